//! The snapshots of a vault: every header that trust reaches, and how each stands with the store and the members.

pub(super) mod judge;
pub(super) mod order;
mod summary;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt, stream};

use super::{
    Result, Vault, VaultError, VaultErrorKind,
    copies::Copies,
    fetch::{self, Stored},
    members::Members,
    standing,
    stock::keep,
};
use crate::{
    format::{
        header::{HEADER_LIMIT, VerifiedHeader},
        layout::{self, ObjectName},
    },
    model::{Finding, Findings, Hash, Key, Name, Severity, SnapshotId, Time},
};

use summary::Digest;
pub use summary::{Brief, Summary};

/// How many headers are fetched at once.
const AT_ONCE: usize = 16;
/// So many suspect headers of a writer are read; of more, the first, which are next to those that are not.
const SUSPECTS: usize = 256;

/// What a vault holds.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Every header that trust reaches, oldest first, newest last.
    pub snapshots: Vec<Summary>,
    /// What stands under a header's name and is none, and what the headers say of each other.
    pub findings: Vec<Finding>,
    /// What stands under a header's name and can't be read, or claims to need a newer build: nobody knows what it needs.
    /// What was put there since its writer was revoked is left out, since nobody needs it.
    pub unread: Vec<Unread>,
    /// How many headers of revoked writers were left unread, since the store has them only since then.
    pub left_out: BTreeMap<Name, u64>,
}

/// Something under a header's name that tells nothing. Whoever may add objects can put any number of them.
#[derive(Debug, Clone)]
pub struct Unread {
    /// Whose header it would be.
    pub writer: Arc<Name>,
    /// Which number it would have, and which id.
    pub named: (u64, SnapshotId),
    /// Since when the store has something there, where its time is a witness.
    pub since: Option<Time>,
}

impl Unread {
    /// Its name.
    #[must_use]
    pub fn key(&self) -> Key {
        layout::header(&self.writer, self.named.0, &self.named.1)
    }
}

/// What stands under a header's name, before it was read.
struct Named {
    writer: Arc<Name>,
    seq: u64,
    id: SnapshotId,
    stored: Vec<Stored>,
}

/// Lists and verifies every header of a vault. Those hidden by delete markers or overwritten are found by their
/// versions, where the store has them. Revocations are looked up, and times are held against the store's. Of each, a
/// summary is kept.
///
/// # Errors
/// If the store can't be listed or does not answer. A header that can't be read, or needs a newer build, is a finding.
pub async fn list(vault: &Vault) -> Result<Listing> {
    of(vault, |_| true, false).await
}

/// Lists and verifies the headers whose ids begin with `prefix`, and reads no other: what others put beside them costs
/// nothing.
///
/// # Errors
/// As for [`list`].
pub async fn by_id(vault: &Vault, prefix: &str) -> Result<Listing> {
    of(vault, |id| id.to_string().starts_with(prefix), true).await
}

/// The headers that are not known yet, and the ids of all that are there.
#[derive(Debug)]
pub struct Newer {
    /// Those that are not known, read and verified.
    pub listing: Listing,
    /// Whatever stands under a header's name.
    pub there: Vec<SnapshotId>,
    /// How many that are not known were left for another time.
    pub left: usize,
}

/// Lists all headers and reads those that are not `known`, at most so many. `whole` says that none is known, so that they
/// can be judged as a whole.
///
/// # Errors
/// As for [`list`].
pub async fn newer(
    vault: &Vault,
    known: &(dyn Fn(&SnapshotId) -> bool + Sync),
    most: usize,
    whole: bool,
) -> Result<Newer> {
    let seen = Mutex::new((Vec::new(), 0_usize));
    let wanted = |id: &SnapshotId| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.0.push(*id);
        let new = !known(id);
        seen.1 += usize::from(new);
        new && seen.1 <= most
    };
    let listing = of(vault, wanted, !whole).await?;
    let (there, new) = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Newer { listing, there, left: new.saturating_sub(most) })
}

async fn of(vault: &Vault, wanted: impl Fn(&SnapshotId) -> bool + Send + Sync, alone: bool) -> Result<Listing> {
    let mut findings = Findings::default();
    let copies = async {
        if vault.store.traits().trusted_time { Copies::of(&*vault.store).await } else { Ok(Copies::default()) }
    };
    let mut of_names = Findings::default();
    let (members, mut names, copies) =
        tokio::try_join!(members(vault, &mut findings), named(vault, wanted, &mut of_names), copies)?;
    findings.extend(of_names.into_vec());
    let stored = names.iter().filter_map(|named| named.stored.first().map(|first| first.modified)).collect();
    let copies = copies.proven(vault, Some(stored)).await?;
    let left_out = match &members {
        Some(members) if !alone => leave_out(vault, members, &copies, &mut names, &mut findings),
        _ => BTreeMap::new(),
    };
    let mut reading = Reading { vault, findings, snapshots: Vec::new(), unread: Vec::new(), refused: None };
    let mut budget = summary::Budget::new();
    let mut found = stream::iter(names).map(|named| one(vault, named)).buffered(AT_ONCE);
    while let Some((unread, found)) = found.next().await {
        match found {
            Ok(digest) => reading.snapshots.push(budget.keep(digest)),
            Err(error) => reading.failed(unread, error)?,
        }
    }
    drop(found);
    let Reading { mut findings, mut snapshots, mut unread, refused, .. } = reading;
    if let Some(error) = refused
        && !fetch::is_of_one(&*vault.store, !snapshots.is_empty()).await?
    {
        // These credentials read nothing here: that is not about one object.
        return Err(error);
    }
    let made_here = !alone && judge::all_late(&snapshots, &copies) && is_made_here(vault).await?;
    let seen = judge::Seen { members: members.as_ref(), copies: &copies, alone, made_here };
    judge::judge(&seen, &mut snapshots, &mut unread, &mut findings);
    let now = vault.store.server_time().await?;
    standing::settle(members.as_ref(), &mut snapshots, now, &mut findings);
    order::sort(&mut snapshots);
    Ok(Listing { snapshots, findings: findings.into_vec(), unread, left_out })
}

/// What stands under the names of headers that are wanted.
async fn named(
    vault: &Vault,
    wanted: impl Fn(&SnapshotId) -> bool + Send + Sync,
    findings: &mut Findings,
) -> Result<Vec<Named>> {
    let (mut names, mut writers): (Vec<Named>, HashSet<Arc<Name>>) = (Vec::new(), HashSet::new());
    let mut left = None;
    let mut each = |one: Option<(String, Stored)>| {
        let Some((key, stored)) = one else {
            names.clear();
            return;
        };
        let Some(ObjectName::Header(writer, seq, id)) = layout::parse(&key) else { return };
        if let Some(last) = names.last_mut().filter(|last| (last.seq, last.id) == (seq, id) && *last.writer == writer) {
            keep(&mut last.stored, stored);
            return;
        }
        // Each name is asked for once, whatever versions it has.
        if left.as_ref() == Some(&key) || !wanted(&id) {
            left = Some(key);
            return;
        }
        let writer = writers.get(&writer).cloned().unwrap_or_else(|| Arc::new(writer));
        writers.insert(Arc::clone(&writer));
        names.push(Named { writer, seq, id, stored: vec![stored] });
    };
    if fetch::each(&*vault.store, layout::SNAPSHOTS, &mut each).await? {
        findings.push(fetch::unlisted());
    }
    Ok(names)
}

/// Whether the vault was made in this place: a copy has its descriptor only since it was copied.
async fn is_made_here(vault: &Vault) -> Result<bool> {
    let key = layout::descriptor();
    let listed = fetch::listed(&*vault.store, key.as_str()).await?;
    let oldest = listed.keys.get(key.as_str()).and_then(|versions| versions.first());
    Ok(oldest.is_some_and(|oldest| judge::is_of_its_time(oldest.modified, vault)))
}

/// What was read so far.
struct Reading<'a> {
    vault: &'a Vault,
    findings: Findings,
    snapshots: Vec<Summary>,
    unread: Vec<Unread>,
    refused: Option<VaultError>,
}

impl Reading<'_> {
    /// Something that is no header, or none that can be read. It stops nobody from reading the others, since whoever
    /// may add objects can put such a one.
    ///
    /// # Errors
    /// If the store does not answer.
    fn failed(&mut self, unread: Unread, error: VaultError) -> Result<()> {
        let key = unread.key();
        let finding = |code: &str, what: String| Finding::new(Severity::Warning, code, what).on(&key);
        match error.kind {
            // Nobody can be sure that this was ever signed, so it is no damage; a later header or a checkpoint that
            // names it would be.
            VaultErrorKind::Damaged | VaultErrorKind::Untrusted => {
                // An error of the bytes themselves names the object: they are not those that its name tells of.
                if error.kind == VaultErrorKind::Damaged && error.object.is_some() {
                    self.unread.push(unread);
                }
                let what = format!("not a header that this vault's root vouches for: {error}");
                self.findings.push(finding("header.foreign", what));
            }
            // A claim that nobody verified: were it an error, one planted object would close the whole vault.
            VaultErrorKind::Newer | VaultErrorKind::Draft => {
                self.findings.push(finding("header.newer", error.what));
                self.unread.push(unread);
            }
            VaultErrorKind::Denied => {
                let what = format!(
                    "this header can't be read, so whether it is a snapshot, and what it needs, is not known: {}",
                    error.what
                );
                self.findings.push(finding("header.unread", what));
                self.unread.push(unread);
                self.refused.get_or_insert(VaultError { object: Some(key.to_string()), ..error });
            }
            _ => {
                let vault = self.vault.store.url();
                tracing::debug!(%key, vault, "the listing ends here");
                return Err(VaultError { object: Some(key.to_string()), ..error });
            }
        }
        Ok(())
    }
}

/// Who was revoked since; `None` where these credentials may not know.
async fn members(vault: &Vault, findings: &mut Findings) -> Result<Option<Members>> {
    match Members::of(vault).await {
        Ok(members) => {
            findings.extend(members.findings.iter().cloned());
            Ok(Some(members))
        }
        Err(error) if error.kind == VaultErrorKind::Denied => {
            let what = "these credentials may not read members/, so nobody knows which writers were revoked";
            findings.push(Finding::new(Severity::Warning, "members.unread", what).on(layout::MEMBERS));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Leaves out most of what the store has only since its writer was revoked: a flood of it is to cost nobody anything.
/// In a copy that was made later, all of it would be, and then nothing is left out.
fn leave_out(
    vault: &Vault,
    members: &Members,
    copies: &Copies,
    names: &mut Vec<Named>,
    findings: &mut Findings,
) -> BTreeMap<Name, u64> {
    let mut left_out = BTreeMap::new();
    if !vault.store.traits().trusted_time {
        return left_out;
    }
    let stored = |named: &Named| named.stored.first().map(|first| first.modified);
    let since = |named: &Named| stored(named).filter(|stored| !copies.cover(*stored));
    let mut revoked: BTreeMap<Name, Vec<Time>> = BTreeMap::new();
    for named in names.iter() {
        if let Some((from, since)) = members.revoked_from(&named.writer).zip(since(named))
            && since >= from
        {
            revoked.entry(Name::clone(&named.writer)).or_default().push(since);
        }
    }
    for (writer, mut times) in revoked {
        let Some(from) = members.revoked_from(&writer) else { continue };
        times.sort_unstable();
        let Some(last) = times.get(SUSPECTS.saturating_sub(1)).copied().filter(|_| times.len() > SUSPECTS) else {
            continue;
        };
        if !names.iter().any(|named| since(named).is_some_and(|since| since < from)) {
            continue;
        }
        let before = names.len();
        let mut room = SUSPECTS;
        names.retain(|named| {
            if *named.writer != writer || since(named).is_none_or(|since| since < from) {
                return true;
            }
            let stays = room > 0 && since(named).is_some_and(|since| since <= last);
            room -= usize::from(stays);
            stays
        });
        let unread = (before - names.len()) as u64;
        let what = format!(
            "{unread} headers that the store has only since writer {writer} was revoked were not read; a snapshot of \
             them is found by its id"
        );
        findings.push(Finding::new(Severity::Warning, "suspect.unread", what).on(&writer));
        left_out.insert(writer, unread);
    }
    left_out
}

/// A header, as much of it as is kept.
async fn one(vault: &Vault, named: Named) -> (Unread, Result<Digest>) {
    let Named { writer, seq, id, stored } = named;
    let since = stored.first().map(|first| first.modified).filter(|_| vault.store.traits().trusted_time);
    let key = layout::header(&writer, seq, &id);
    let found = read(vault, (&writer, seq, id), &key, &stored).await;
    (Unread { writer, named: (seq, id), since }, found)
}

async fn read(
    vault: &Vault,
    (writer, seq, id): (&Name, u64, SnapshotId),
    key: &Key,
    stored: &[Stored],
) -> Result<Digest> {
    let wanted = Hash::from_bytes(*id.as_bytes());
    let (bytes, modified) = fetch::oldest(&*vault.store, key, stored, &wanted, HEADER_LIMIT).await?;
    let vault_id = vault.descriptor.vault;
    let stored_at = vault.store.traits().trusted_time.then_some(modified);
    // Verifying is work for a core of its own.
    let opened = tokio::task::spawn_blocking(move || {
        let mut found = VerifiedHeader::open(&bytes, vault_id)?;
        found.standing.stored_at = stored_at;
        Ok(Digest::of(found, bytes.len()))
    });
    let digest: Result<Digest> = opened.await.map_err(|_| VaultError::stage_gone("verifying a header"))?;
    let digest = digest?;
    let header = &digest.summary.header;
    if header.writer != *writer || header.seq != seq {
        return Err(VaultError::new(VaultErrorKind::Untrusted, "its name is not what it says of itself").on(key));
    }
    Ok(digest)
}
