//! What snapshots need, as their signed headers and the pages named there have it.

use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry};

use crate::{
    format::{
        header::{ObjectRef, VerifiedHeader},
        layout,
        page::PackRef,
    },
    model::{Finding, Hash, Key, Name, Severity, Time},
    vault::{Result, VaultErrorKind, reader::PagesAhead},
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
    pub(super) findings: Vec<Finding>,
    /// By key, not by hash: whoever names a page of another writer names nothing.
    pages: HashMap<Key, Option<Vec<PackRef>>>,
}

impl Needs {
    /// Adds what a snapshot needs until `until`.
    ///
    /// # Errors
    /// If the store can't be read. A page that is not there as it was signed is a finding.
    pub(super) async fn add(
        &mut self,
        ahead: &mut PagesAhead<'_>,
        snapshot: &VerifiedHeader,
        until: Time,
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
                None => self.read(ahead, snapshot, page).await?,
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
    ) -> Result<Option<Vec<PackRef>>> {
        let writer = &snapshot.header.writer;
        let key = layout::page(writer, &page.hash);
        let packs = match ahead.page(snapshot, page).await {
            Ok(packs) => Some(packs),
            Err(error) if matches!(error.kind, VaultErrorKind::Damaged | VaultErrorKind::Untrusted) => {
                let what = format!("which packs a snapshot needs can't be told: {}", error.what);
                // A suspect header can name pages that never were, and what can't be restored needs nothing.
                let suspect = snapshot.standing.suspect;
                let severity = if suspect { Severity::Warning } else { Severity::Error };
                self.findings.push(Finding::new(severity, "page.damaged", what).on(&key).of(snapshot.id));
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

    fn need(&mut self, key: Key, need: Need) {
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

fn named(object: &ObjectRef, until: Time) -> Need {
    Need { hash: object.hash, bytes: Some(object.bytes), hint: object.version.clone(), until, header: false }
}
