//! What snapshots need, as their signed headers and the pages named there have it.

use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry};

use super::Everything;

use crate::{
    format::{
        header::{ObjectRef, VerifiedHeader},
        layout,
        page::PackRef,
    },
    model::{Cancel, Finding, Findings, Hash, Key, Name, Severity, Time},
    vault::{Result, Vault, VaultError, VaultErrorKind, reader::PagesAhead, snapshots::Summary},
};

/// An object that a snapshot needs.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub(super) hash: Hash,
    /// Its size, where the header says it.
    pub(super) bytes: Option<u64>,
    /// Its version as the writer was told when it was stored.
    pub(super) hint: Option<String>,
    /// Until when it is needed.
    pub(super) until: Time,
    /// Whether it is a header, which was read when the snapshots were listed.
    pub(super) header: bool,
}

/// Everything that some snapshots need, by key. A header reaches only into the prefix of the writer that signed it.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) objects: BTreeMap<Key, Need>,
    /// Writers of which not all packs are known, since a page can't be read.
    pub(super) unknown: BTreeSet<Name>,
    pub(super) findings: Findings,
    /// Packs that are named and are not there. They are told and counted, and not kept: a header can name any number.
    pub(super) lost: Findings,
    pub(super) lost_count: u64,
    /// By key, not by hash: whoever names a page of another writer names nothing.
    pages: HashMap<Key, Option<Vec<PackRef>>>,
}

impl Needs {
    /// What snapshots need, each until the time beside it, of what is `there`.
    ///
    /// # Errors
    /// If the store can't be read. A page that is not there as it was signed is a finding.
    pub(super) async fn of(
        vault: &Vault,
        wanted: &[(&Summary, Time)],
        there: &Everything,
        cancel: &Cancel,
    ) -> Result<Self> {
        let mut needs = Self::default();
        let mut wholes = vault.wholes(wanted.iter().map(|(snapshot, _)| *snapshot));
        let mut ends = wanted.iter().map(|(_, until)| *until);
        loop {
            let window = wholes.next().await?;
            if window.is_empty() {
                return Ok(needs);
            }
            let mut ahead = PagesAhead::of(&*vault.store, window.iter(), |page| needs.pages.contains_key(page));
            for (snapshot, until) in window.iter().zip(ends.by_ref()) {
                if cancel.is_cancelled() {
                    return Err(VaultError::cancelled());
                }
                needs.add(&mut ahead, snapshot, until, there).await?;
            }
        }
    }

    async fn add(
        &mut self,
        ahead: &mut PagesAhead<'_>,
        snapshot: &VerifiedHeader,
        until: Time,
        there: &Everything,
    ) -> Result<()> {
        let header = &snapshot.header;
        let writer = &header.writer;
        let own =
            Need { hash: Hash::from_bytes(*snapshot.id.as_bytes()), bytes: None, hint: None, until, header: true };
        self.need(layout::header(writer, header.seq, &snapshot.id), own);
        for index in &header.indexes {
            self.need(layout::index(writer, &index.hash), named(index, until));
        }
        for page in &header.pages {
            let key = layout::page(writer, &page.hash);
            self.need(key.clone(), named(page, until));
            let packs = match self.pages.get(&key) {
                Some(known) => known.clone(),
                None => self.read(ahead, snapshot, page, there).await?,
            };
            for pack in packs.into_iter().flatten() {
                let hash = Hash::from_bytes(*pack.id.as_bytes());
                let need = Need { hash, bytes: Some(pack.bytes), hint: pack.version, until, header: false };
                self.need(layout::pack(writer, &pack.id), need);
            }
        }
        Ok(())
    }

    async fn read(
        &mut self,
        ahead: &mut PagesAhead<'_>,
        snapshot: &VerifiedHeader,
        page: &ObjectRef,
        there: &Everything,
    ) -> Result<Option<Vec<PackRef>>> {
        let writer = &snapshot.header.writer;
        let key = layout::page(writer, &page.hash);
        let packs = match ahead.page(snapshot, page).await {
            Ok(packs) => Some(self.found(snapshot, packs, there)),
            Err(error) if error.is_of_object() => {
                let what = format!("which packs a snapshot needs is unknown: {}", error.what);
                // A suspect header can name pages that never were, and what can't be restored needs nothing.
                let suspect = snapshot.standing.suspect;
                let (severity, code) = match error.kind {
                    VaultErrorKind::Damaged | VaultErrorKind::Untrusted => (Severity::Error, "page.damaged"),
                    _ => (Severity::Weak, "page.unread"),
                };
                let severity = if suspect { Severity::Warning } else { severity };
                self.findings.push(Finding::new(severity, code, what).on(&key).of(snapshot.id));
                if suspect {
                    return Ok(None);
                }
                self.unknown.insert(writer.clone());
                None
            }
            Err(error) => return Err(error),
        };
        self.pages.insert(key, packs.clone());
        Ok(packs)
    }

    /// Those of a page's packs that are there.
    fn found(&mut self, snapshot: &VerifiedHeader, mut packs: Vec<PackRef>, there: &Everything) -> Vec<PackRef> {
        packs.retain(|pack| {
            let key = layout::pack(&snapshot.header.writer, &pack.id);
            let found = there.contains_key(&key);
            if !found {
                self.lost_count += 1;
                self.lost.push(lost(&key).of(snapshot.id));
            }
            found
        });
        packs.shrink_to_fit();
        packs
    }

    /// Adds what a header names: where several name one object, it is needed by the longest of them.
    pub(super) fn need(&mut self, key: Key, need: Need) {
        match self.objects.entry(key) {
            Entry::Vacant(free) => drop(free.insert(need)),
            Entry::Occupied(known) => {
                let known = known.into_mut();
                known.until = known.until.max(need.until);
                // The hash is the authority. Where headers differ about the rest, one of them is false, and nobody can
                // tell which.
                known.bytes = known.bytes.filter(|bytes| Some(*bytes) == need.bytes);
                known.hint = known.hint.take().filter(|hint| Some(hint) == need.hint.as_ref());
            }
        }
    }
}

/// What is said of an object that is needed and of which no version is what was signed.
pub(super) fn lost(key: &Key) -> Finding {
    let what = "no version of this object has the bytes that a live snapshot needs";
    Finding::new(Severity::Error, "object.lost", what).on(key)
}

fn named(object: &ObjectRef, until: Time) -> Need {
    Need { hash: object.hash, bytes: Some(object.bytes), hint: object.version.clone(), until, header: false }
}
