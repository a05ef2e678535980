//! Keeping parity in step with the objects: what is new is covered, and groups of which something was pruned are made anew.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::{files, lost, open, vouched, whole};
use crate::{
    codec::{hash, parity::ParityEncoder},
    format::parity::{self, BLOCK, Checks, Covered, MOST_DATA, Rate, Sidecar, Table, blocks_of},
    model::{Cancel, Finding, Findings, Key, Progress, Severity, VaultId},
    store::{ObjectStore, Sidecars, StoreErrorKind},
    vault::{Result, VaultError},
};

/// How parity stands once it was brought in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// How much it is.
    pub rate: Rate,
    /// Its files: one for each group of objects.
    pub groups: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that it covers.
    pub objects: u64,
    /// Files that were written.
    pub written: u64,
    /// Files that were removed, since others took their place.
    pub removed: u64,
}

/// An object of the listing.
struct Seen {
    bytes: u64,
    /// Whether it is one that parity is made of: what was emptied is none any more.
    wanted: bool,
    covered: bool,
}

/// A file of parity that was there before.
struct Group {
    name: String,
    bytes: u64,
    /// What it covers; nothing is known of a file that can't be read.
    covered: Vec<Covered>,
    fate: Fate,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Fate {
    Stays,
    /// Less than half full, so that it may be joined with others.
    Small,
    Anew,
    /// It covers what is damaged or gone, so it stays whatever else covers the rest.
    Owed,
}

/// Brings parity in step with the objects of a directory, at `rate`, else at the rate that there is. Does nothing where there
/// is neither, and in a bucket. The files in `renew` are made anew, whatever they look like.
///
/// # Errors
/// If the directory fails, or somebody asked to stop. Objects that are not whole are findings, and their old parity stays.
#[allow(clippy::implicit_hasher)] // One of ours, made by `heal`.
pub async fn keep(
    (vault, store): (VaultId, &dyn ObjectStore),
    rate: Option<Rate>,
    renew: &HashSet<String>,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<(Option<Kept>, Findings)> {
    let mut findings = Findings::default();
    let Some(sidecars) = store.sidecars() else { return Ok((None, findings)) };
    let files = files(sidecars).await?;
    let any = !files.all.is_empty() || !files.odd.is_empty() || rate.is_some();
    findings.extend(files.odd);
    let odd = findings.len();
    if !any || files.closed {
        return Ok((None, findings));
    }
    progress.phase("parity", None);
    let mut objects: BTreeMap<String, Seen> = BTreeMap::new();
    let mut each = |entry: crate::store::Entry| {
        let wanted = parity::covers(&entry.key, entry.bytes);
        objects.insert(entry.key, Seen { bytes: entry.bytes, wanted, covered: !wanted });
    };
    store.list("", &mut each).await?;
    let (mut groups, found) = groups(sidecars, files.all, rate).await?;
    let unknown = rate.or(found).is_none();
    let rate = rate.or(found).unwrap_or(Rate::USUAL);
    let lost = lost(store).await?;
    judge((&mut groups, renew), &objects, &lost, &mut findings);
    unknown_of(&groups, &lost, &mut findings);
    settle(&mut groups, &mut objects);

    let maker = Maker { vault, store, rate, progress, cancel };
    let mut kept = Kept { rate, groups: 0, bytes: 0, objects: 0, written: 0, removed: 0 };
    let mut stuck = false;
    for wanted in filled(&objects) {
        let Some((name, sidecar, covered)) = maker.make(wanted, &mut findings).await? else { continue };
        match sidecars.put_sidecar(&name, &sidecar).await {
            // A directory has its name, as was told; others are well.
            Err(error) if error.kind == StoreErrorKind::Corrupt && odd > 0 => {
                stuck = true;
                continue;
            }
            other => other?,
        }
        for key in covered {
            if let Some(seen) = objects.get_mut(&key) {
                seen.covered = true;
            }
        }
        kept.groups += 1;
        kept.written += 1;
        kept.bytes += sidecar.bytes().len() as u64;
        // The same objects make the same name.
        groups.retain(|group| group.name != name);
    }
    for group in groups {
        let covered = |one: &Covered| objects.get(&one.key).is_none_or(|seen| seen.covered);
        // Of one that can't be read nobody knows what it may still heal.
        let over =
            if group.covered.is_empty() { !stuck && findings.len() == odd } else { group.covered.iter().all(covered) };
        if group.fate == Fate::Anew && over {
            sidecars.remove_sidecar(&group.name).await?;
            kept.removed += 1;
        } else {
            kept.groups += 1;
            kept.bytes += group.bytes;
        }
    }
    if unknown {
        let what = format!(
            "no file of parity could be read, so how much there was is not known, and {rate} was made: `strongroom repair \
             --parity` with another rate changes it"
        );
        findings.push(Finding::new(Severity::Warning, "parity.rate", what).on(".parity"));
    }
    kept.objects = objects.values().filter(|seen| seen.wanted && seen.covered).count() as u64;
    Ok((Some(kept), findings))
}

/// The files that are there, and the highest rate of them. Those of another rate than is asked for are to be made anew.
async fn groups(
    sidecars: &dyn Sidecars,
    files: Vec<(String, u64)>,
    rate: Option<Rate>,
) -> Result<(Vec<Group>, Option<Rate>)> {
    let (mut groups, mut highest) = (Vec::new(), None);
    for (name, bytes) in files {
        let (mut covered, mut fate) = (Vec::new(), Fate::Anew);
        if let Some(opened) = open(sidecars, (&name, bytes), false).await? {
            highest = highest.max(Some(opened.table.rate));
            if opened.whole && rate.is_none_or(|rate| rate == opened.table.rate) {
                fate = if opened.table.data() * 2 < MOST_DATA { Fate::Small } else { Fate::Stays };
            }
            covered = opened.table.covered;
        }
        groups.push(Group { name, bytes, covered, fate });
    }
    // The fullest first: one whose objects others cover, too, is left over from a pass that was stopped.
    groups.sort_by_key(|group| std::cmp::Reverse(group.bytes));
    Ok((groups, highest))
}

/// Decides what becomes of each file.
fn judge(
    (groups, renew): (&mut [Group], &HashSet<String>),
    objects: &BTreeMap<String, Seen>,
    lost: &BTreeMap<String, bool>,
    findings: &mut Findings,
) {
    for group in groups {
        let mut gone = false;
        let mut owed = None;
        for one in &group.covered {
            match objects.get(&one.key) {
                Some(seen) if seen.bytes == one.bytes => {}
                // Its lock is gone with it: it was pruned.
                None if !lost.contains_key(&one.key) => gone = true,
                _ => owed = Some(&one.key),
            }
        }
        if let Some(key) = owed {
            findings.push(left_out(key));
            group.fate = Fate::Owed;
        } else if gone || renew.contains(&group.name) {
            group.fate = Fate::Anew;
        }
    }
}

/// Tells of what is gone and may be healed by a file alone that can't be read for now: that stays.
fn unknown_of(groups: &[Group], lost: &BTreeMap<String, bool>, findings: &mut Findings) {
    if groups.iter().all(|group| !group.covered.is_empty()) {
        return;
    }
    let known: HashSet<&str> = groups.iter().flat_map(|group| &group.covered).map(|one| one.key.as_str()).collect();
    for key in lost.iter().filter(|(key, due)| **due && !known.contains(key.as_str())).map(|(key, _)| key) {
        let what = "it is gone, and a file of parity that can't be read may be all that heals it, so that stays: \
                    `strongroom repair --from` another copy puts it back";
        findings.push(Finding::new(Severity::Error, "parity.left-out", what).on(key));
    }
}

fn left_out(key: &str) -> Finding {
    let what = "it is damaged or gone, so parity was not brought in step for it, and what there is of it stays: \
                `strongroom repair` heals it from parity, or --from another copy";
    Finding::new(Severity::Error, "parity.left-out", what).on(key)
}

/// Marks what is covered by files that stay. Small ones are joined where there is something to join them with.
fn settle(groups: &mut [Group], objects: &mut BTreeMap<String, Seen>) {
    let mut cover = |group: &mut Group| {
        let news = group.covered.iter().any(|one| objects.get(&one.key).is_some_and(|seen| !seen.covered));
        if !news && group.fate == Fate::Stays {
            group.fate = Fate::Anew;
        }
        for one in &group.covered {
            if let Some(seen) = objects.get_mut(&one.key) {
                seen.covered = true;
            }
        }
    };
    groups.iter_mut().filter(|group| matches!(group.fate, Fate::Stays | Fate::Owed)).for_each(&mut cover);
    let small: Vec<&mut Group> = groups.iter_mut().filter(|group| group.fate == Fate::Small).collect();
    let known: HashSet<&str> = small.iter().flat_map(|group| &group.covered).map(|one| one.key.as_str()).collect();
    let fresh = objects.iter().any(|(key, seen)| !seen.covered && !known.contains(key.as_str()));
    if small.len() == 1 && !fresh {
        for group in groups.iter_mut().filter(|group| group.fate == Fate::Small) {
            group.fate = Fate::Stays;
            for one in &group.covered {
                if let Some(seen) = objects.get_mut(&one.key) {
                    seen.covered = true;
                }
            }
        }
    } else {
        for group in small {
            group.fate = Fate::Anew;
        }
    }
}

/// What is not covered, in groups that are as full as they can be.
fn filled(objects: &BTreeMap<String, Seen>) -> Vec<Vec<(String, u64)>> {
    let (mut all, mut open, mut blocks) = (Vec::new(), Vec::new(), 0);
    for (key, seen) in objects.iter().filter(|(_, seen)| !seen.covered) {
        let more = blocks_of(seen.bytes);
        if blocks + more > MOST_DATA {
            all.push(std::mem::take(&mut open));
            blocks = 0;
        }
        blocks += more;
        open.push((key.clone(), seen.bytes));
    }
    if !open.is_empty() {
        all.push(open);
    }
    all
}

/// What makes files of parity.
struct Maker<'a> {
    vault: VaultId,
    store: &'a dyn ObjectStore,
    rate: Rate,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
}

impl Maker<'_> {
    /// The file of a group, and what it covers: all of it but objects that are damaged. Nothing if none is left.
    async fn make(
        &self,
        mut wanted: Vec<(String, u64)>,
        findings: &mut Findings,
    ) -> Result<Option<(String, Sidecar, Vec<String>)>> {
        while !wanted.is_empty() {
            match self.encode(&wanted).await? {
                Ok((name, sidecar)) => {
                    return Ok(Some((name, sidecar, wanted.into_iter().map(|(key, _)| key).collect())));
                }
                Err(bad) => {
                    findings.note(left_out(&bad));
                    wanted.retain(|(key, _)| *key != bad);
                }
            }
        }
        Ok(None)
    }

    /// The file of a group, or the key of an object that is damaged.
    async fn encode(&self, wanted: &[(String, u64)]) -> Result<std::result::Result<(String, Sidecar), String>> {
        let data = wanted.iter().map(|(_, bytes)| blocks_of(*bytes)).sum();
        let parity = self.rate.blocks(data);
        let mut encoder = ParityEncoder::new(data, parity, BLOCK)?;
        let (mut checks, mut covered) = (Vec::with_capacity(data + parity), Vec::new());
        let mut block = vec![0; BLOCK];
        for (text, size) in wanted {
            if self.cancel.is_cancelled() {
                return Err(VaultError::cancelled());
            }
            let Ok(key) = text.parse::<Key>() else { return Ok(Err(text.clone())) };
            let Some(bytes) = whole(self.store, &key, *size, None).await? else { return Ok(Err(text.clone())) };
            if vouched(self.vault, &key, bytes.clone()).is_none() {
                return Ok(Err(text.clone()));
            }
            for part in bytes.chunks(BLOCK) {
                checks.push(parity::check(part));
                block.fill(0);
                block.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
                encoder.add(&block)?;
            }
            covered.push(Covered { key: text.clone(), bytes: *size, hash: hash::hash(&bytes) });
            self.progress.advance(*size);
        }
        let mut made = Vec::with_capacity(parity * BLOCK);
        encoder.finish(|block| {
            checks.push(parity::check(block));
            made.extend_from_slice(block);
        })?;
        let checks = Checks(checks);
        let table = Table { vault: self.vault, rate: self.rate, covered, checks: checks.hash() };
        Ok(Ok(table.encode(&checks, &made)?))
    }
}
