//! Healing objects from parity.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;

use super::{Opened, RUN, checks, files, is_of_file, lost, open, parity_blocks, told, vouched, whole};
use crate::{
    codec::parity::ParityDecoder,
    format::parity::{self, BLOCK, Check, Covered},
    model::{Cancel, Finding, Findings, Key, Progress, Severity},
    store::{Mender, ObjectStore, Sidecars, StoreErrorKind},
    vault::{
        Result, VaultError,
        copying::{CopiedCount, kind_of},
    },
};

/// What was healed, or would be.
#[derive(Debug, Default)]
pub struct Healed {
    /// Objects that were looked at.
    pub objects: u64,
    /// Headers among them.
    pub snapshots: u64,
    /// Objects that were put right, by kind.
    pub mended: BTreeMap<&'static str, CopiedCount>,
    /// Files of parity that are damaged themselves.
    pub renew: HashSet<String>,
    /// Those of them of which nothing can be read.
    pub unread: Vec<String>,
    /// What stands in their place and is none, which `keep` tells.
    pub odd: Vec<Finding>,
    /// What was found.
    pub findings: Findings,
}

/// What became of files of parity of which nothing could be read, once parity was brought in step: those that were made anew, and
/// those that still can't be read.
///
/// # Errors
/// If the directory fails.
pub async fn renewed(sidecars: &dyn Sidecars, unread: &[String]) -> Result<Findings> {
    let mut findings = Findings::default();
    let now = files(sidecars).await?;
    for name in unread {
        let again = match now.all.iter().find(|(other, _)| other == name) {
            Some((_, bytes)) => open(sidecars, (name, *bytes), true).await?.is_some_and(|opened| opened.whole),
            None => true,
        };
        findings.push(if again {
            let what = "neither of its tables could be read, so nothing could heal from it; parity was made anew";
            Finding::new(Severity::Info, "repair.mended", what).on(told(name))
        } else {
            damaged(name)
        });
    }
    Ok(findings)
}

/// A file of parity of which nothing can be read.
#[must_use]
pub fn damaged(name: &str) -> Finding {
    let what = "neither of its tables can be read, so nothing heals from this file of parity. It is made again once all that is \
                damaged here is intact: `strongroom repair --from` another copy puts that right";
    Finding::new(Severity::Weak, "parity.damaged", what).on(told(name))
}

/// Reads every object that parity covers, and puts the true bytes in the place of what is damaged, as far as parity goes.
///
/// # Errors
/// If the directory fails, or somebody asked to stop. What can't be healed is a finding.
pub async fn heal(
    (store, sidecars, mender): (&dyn ObjectStore, &dyn Sidecars, &dyn Mender),
    dry_run: bool,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<Healed> {
    progress.phase("reading", None);
    let lost = lost(store).await?;
    let (covered, done) = (HashSet::new(), Healed::default());
    let mut healer = Healer { store, sidecars, mender, dry_run, progress, cancel, lost, covered, healed: done };
    let files = files(sidecars).await?;
    healer.healed.odd = files.odd;
    for (name, bytes) in files.all {
        healer.group(&name, bytes).await?;
    }
    for key in healer.lost.iter().filter(|(key, due)| **due && !healer.covered.contains(*key)).map(|(key, _)| key) {
        let what = "the record of its lock proves that it was put; it is gone, and no parity that can be read covers it: \
                    `strongroom repair --from` another copy puts it back";
        healer.healed.findings.push(Finding::new(Severity::Error, "parity.beyond", what).on(key));
    }
    Ok(healer.healed)
}

struct Healer<'a> {
    store: &'a dyn ObjectStore,
    sidecars: &'a dyn Sidecars,
    mender: &'a dyn Mender,
    dry_run: bool,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
    /// The objects that are gone and have a lock, and whether that is damage.
    lost: BTreeMap<String, bool>,
    /// What the files name that can be read.
    covered: HashSet<String>,
    healed: Healed,
}

/// How an object of a group stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Whole,
    Damaged,
    /// It was pruned, so nobody wants it back.
    Pruned,
}

/// An object, where its blocks begin in the group, and how it stands.
type Member<'a> = (&'a Covered, usize, Standing);

impl Healer<'_> {
    async fn group(&mut self, name: &str, bytes: u64) -> Result<()> {
        let Some(opened) = open(self.sidecars, (name, bytes), true).await? else {
            self.healed.unread.push(name.to_owned());
            self.healed.renew.insert(name.to_owned());
            return Ok(());
        };
        let (mut members, mut first): (Vec<Member<'_>>, usize) = (Vec::new(), 0);
        for one in &opened.table.covered {
            self.covered.insert(one.key.clone());
            members.push((one, first, self.standing(one).await?));
            first += one.blocks();
        }
        let (found, both) = checks(self.sidecars, name, &opened).await?;
        let (of_data, of_parity) =
            found.as_ref().map_or((&[][..], &[][..]), |found| found.0.split_at(first.min(found.0.len())));
        if members.iter().any(|(.., standing)| *standing == Standing::Damaged) {
            let good = self.restore(name, &opened, (&members, of_data, of_parity)).await?;
            if !good || !both || !opened.whole {
                self.healed.renew.insert(name.to_owned());
            }
            return Ok(());
        }
        let mut bad = !both || !opened.whole;
        let mut each = |_: usize, block: Option<&[u8]>| {
            bad |= block.is_none();
            Ok(())
        };
        parity_blocks(self.sidecars, (name, &opened), of_parity, &mut each).await?;
        if bad {
            self.healed.renew.insert(name.to_owned());
        }
        Ok(())
    }

    async fn standing(&mut self, one: &Covered) -> Result<Standing> {
        if self.cancel.is_cancelled() {
            return Err(VaultError::cancelled());
        }
        self.healed.objects += 1;
        self.healed.snapshots += u64::from(kind_of(&one.key) == "snapshots");
        // No key of ours: whoever made this table was none of us.
        let Ok(key) = one.key.parse::<Key>() else { return Ok(Standing::Pruned) };
        self.progress.advance(one.bytes);
        if whole(self.store, &key, one.bytes, Some(&one.hash)).await?.is_some() {
            return Ok(Standing::Whole);
        }
        let absent = self.store.head(&key, None).await.is_err_and(|error| error.is_not_found());
        Ok(if absent && !self.lost.contains_key(&one.key) { Standing::Pruned } else { Standing::Damaged })
    }

    /// Restores the damaged objects of a group. Says whether all its parity is good.
    async fn restore(
        &mut self,
        name: &str,
        opened: &Opened,
        (members, of_data, of_parity): (&[Member<'_>], &[Check], &[Check]),
    ) -> Result<bool> {
        let (data, parity) = (opened.table.data(), opened.table.parity());
        let mut decoder = ParityDecoder::new(data, parity, BLOCK)?;
        let (mut have, mut good) = (0, 0);
        let mut lacking: HashMap<usize, Vec<u8>> = HashMap::new();
        for (one, first, standing) in members {
            if *standing == Standing::Pruned {
                continue;
            }
            for (at, block) in self.blocks(one, of_data.get(*first..).unwrap_or_default()).await?.iter().enumerate() {
                if let Some(block) = block {
                    decoder.add_data(first + at, &padded(block))?;
                    have += 1;
                } else {
                    lacking.insert(first + at, Vec::new());
                }
            }
        }
        let mut each = |at: usize, block: Option<&[u8]>| {
            if let Some(block) = block {
                decoder.add_parity(at, block)?;
                good += 1;
            }
            Ok(())
        };
        parity_blocks(self.sidecars, (name, opened), of_parity, &mut each).await?;
        if have + good < data {
            let what = format!(
                "damaged or gone, and beyond what its parity heals: of the {data} blocks of its group {} are damaged, and {good} \
                 of its {parity} blocks of parity are there. `strongroom repair --from` another copy puts it right",
                data - have
            );
            for (one, ..) in members.iter().filter(|(.., standing)| *standing == Standing::Damaged) {
                self.healed.findings.push(Finding::new(Severity::Error, "parity.beyond", what.clone()).on(&one.key));
            }
            return Ok(good == parity);
        }
        if have < data {
            decoder.finish(|at, block| {
                if let Some(found) = lacking.get_mut(&at) {
                    *found = block.to_vec();
                }
            })?;
        }
        for (one, first, _) in members.iter().filter(|(.., standing)| *standing == Standing::Damaged) {
            self.mend((opened, one), (*first, of_data), &lacking).await?;
        }
        Ok(good == parity)
    }

    /// Puts the bytes of one object together, and into its place.
    async fn mend(
        &mut self,
        (opened, one): (&Opened, &Covered),
        (first, of_data): (usize, &[Check]),
        restored: &HashMap<usize, Vec<u8>>,
    ) -> Result<()> {
        let read = self.blocks(one, of_data.get(first..).unwrap_or_default()).await?;
        let size = usize::try_from(one.bytes).unwrap_or_default();
        let mut bytes = Vec::with_capacity(size + BLOCK);
        for (at, block) in read.iter().enumerate() {
            let block = block.as_deref().or_else(|| restored.get(&(first + at)).map(Vec::as_slice));
            bytes.extend_from_slice(block.unwrap_or_default());
        }
        drop(read);
        bytes.truncate(size);
        let Ok(key) = one.key.parse::<Key>() else { return Ok(()) };
        let Some(copied) = vouched(opened.table.vault, &key, bytes.into()) else {
            let what = "what parity makes of it is not what was signed: this parity is damaged in a way that its checks do not \
                        see, or was made by somebody else. `strongroom repair --from` another copy puts it right";
            self.healed.findings.push(Finding::new(Severity::Error, "parity.beyond", what).on(&key));
            return Ok(());
        };
        if !self.dry_run {
            if let Err(error) = self.mender.put_again(&key, &copied, None).await {
                // Something is in its place that is no object, and others are well.
                if error.kind != StoreErrorKind::Corrupt {
                    return Err(error.into());
                }
                let what = format!("parity has it, and it can't be put here: {error}");
                self.healed.findings.push(Finding::new(Severity::Error, "repair.failed", what).on(&key));
                return Ok(());
            }
            if whole(self.store, &key, one.bytes, Some(&one.hash)).await?.is_none() {
                let what = "the true bytes were put, and what is read back is something else: look at the disk";
                self.healed.findings.push(Finding::new(Severity::Error, "repair.failed", what).on(&key));
                return Ok(());
            }
        }
        let count = self.healed.mended.entry(kind_of(&one.key)).or_default();
        count.objects += 1;
        count.bytes += one.bytes;
        let what = if self.dry_run {
            "damaged or gone here; parity has it as it was signed"
        } else {
            "damaged or gone here; the true bytes were found by parity, put, and read back"
        };
        self.healed.findings.push(Finding::new(Severity::Info, "repair.mended", what).on(&key));
        Ok(())
    }

    /// The blocks of an object as they are read; nothing for one that is damaged or can't be.
    async fn blocks(&self, one: &Covered, checks: &[Check]) -> Result<Vec<Option<Bytes>>> {
        let Ok(key) = one.key.parse::<Key>() else { return Ok(Vec::new()) };
        let count = one.blocks();
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            let (begin, end) = (all.len(), (all.len() + RUN).min(count));
            let run = self.piece(&key, one, (begin, end)).await?;
            for at in begin..end {
                let alone = if run.is_none() { self.piece(&key, one, (at, at + 1)).await? } else { None };
                let offset = (at - begin) * BLOCK;
                let found = run.as_ref().map(|run| run.slice(offset..(offset + BLOCK).min(run.len()))).or(alone);
                all.push(found.filter(|found| checks.get(at) == Some(&parity::check(found))));
            }
        }
        Ok(all)
    }

    /// Some blocks of an object, if all of them can be read.
    async fn piece(&self, key: &Key, one: &Covered, (begin, end): (usize, usize)) -> Result<Option<Bytes>> {
        let range = (begin * BLOCK) as u64..((end * BLOCK) as u64).min(one.bytes);
        let wanted = range.end - range.start;
        match self.store.get(key, None, Some(range)).await {
            Ok(found) => Ok((found.len() as u64 == wanted).then_some(found)),
            Err(error) if is_of_file(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn padded(block: &[u8]) -> Vec<u8> {
    let mut padded = block.to_vec();
    padded.resize(BLOCK, 0);
    padded
}
