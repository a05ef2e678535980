//! What snapshots need, as their signed headers and the pages named there have it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    format::{
        header::{ObjectRef, VerifiedHeader},
        layout,
        page::PackRef,
    },
    model::{Cancel, Finding, Findings, Hash, Key, Name, Severity, SnapshotId, Time},
    vault::{
        Result, Vault, VaultError, VaultErrorKind,
        reader::PagesAhead,
        snapshots::Summary,
        stock::{At, Id, Pages, Sort, Stock, Told},
    },
};

/// An object that a snapshot needs.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub(super) hash: Hash,
    /// Its size, where the header says it.
    pub(super) bytes: Option<u64>,
    /// Its version as the writer was told when it was stored.
    pub(super) hint: Option<Box<str>>,
    /// Until when it is needed.
    pub(super) until: Time,
    /// Until when it must be locked at once, whatever is still left of its lock: what a hold promised when it was made.
    pub(super) floor: Time,
    /// Whether it is a header, which was read when the snapshots were listed.
    pub(super) header: bool,
}

impl Need {
    /// Where several name one object, it is needed by the longest of them.
    pub(super) fn join(&mut self, other: &Self) {
        self.until = self.until.max(other.until);
        self.floor = self.floor.max(other.floor);
        // The hash is the authority. Where headers differ about the rest, one of them is false, and nobody can tell which.
        self.bytes = self.bytes.filter(|bytes| Some(*bytes) == other.bytes);
        self.hint = self.hint.take().filter(|hint| Some(hint) == other.hint.as_ref());
    }
}

/// What some snapshots need of a part of what is there. A header reaches only into the prefix of the writer that signed it.
#[derive(Debug)]
pub(super) struct Needs<'a> {
    there: &'a Stock,
    /// What each object that is there is needed for, if it is.
    pub(super) objects: Vec<Option<Need>>,
    /// Writers of which not all packs are known, since a page can't be read.
    pub(super) unknown: BTreeSet<Name>,
    pub(super) findings: Findings,
    /// What is named and is not there. It is told and counted, and not kept: a header can name any number.
    pub(super) lost: Findings,
    pub(super) lost_count: u64,
    /// By key, not by hash: whoever names a page of another writer names nothing.
    pages: Pages,
    told: &'a mut Told,
    floors: &'a Floors,
}

/// What holds promise of snapshots: until when all that they need is locked.
pub(super) type Floors = BTreeMap<SnapshotId, Time>;

impl<'a> Needs<'a> {
    /// What snapshots need, each until the time beside it, of what is `there`. What is `told` already is not told again.
    ///
    /// # Errors
    /// If the store can't be read. A page that is not there as it was signed is a finding.
    pub(super) async fn of(
        vault: &Vault,
        wanted: &[(&Summary, Time)],
        (there, told): (&'a Stock, &'a mut Told),
        floors: &'a Floors,
        cancel: &Cancel,
    ) -> Result<Self> {
        let mut needs = Self {
            there,
            objects: vec![None; there.objects().len()],
            unknown: BTreeSet::new(),
            findings: Findings::default(),
            lost: Findings::default(),
            lost_count: 0,
            pages: Pages::default(),
            told,
            floors,
        };
        let mut wholes = vault.wholes(wanted.iter().map(|(snapshot, _)| *snapshot));
        let mut ends = wanted.iter().map(|(_, until)| *until);
        loop {
            let window = wholes.next().await?;
            if window.is_empty() {
                return Ok(needs);
            }
            let known =
                |page: &Key| needs.pages.number(&Id::of(page.as_str())).is_some() || needs.there.lacks_page(page);
            let mut ahead = PagesAhead::of(&*vault.store, window.iter(), known);
            for (snapshot, until) in window.iter().zip(ends.by_ref()) {
                if cancel.is_cancelled() {
                    return Err(VaultError::cancelled());
                }
                needs.add(&mut ahead, snapshot, until).await?;
            }
        }
    }

    async fn add(&mut self, ahead: &mut PagesAhead<'_>, snapshot: &VerifiedHeader, until: Time) -> Result<()> {
        let header = &snapshot.header;
        let floor = self.floors.get(&snapshot.id).copied().unwrap_or(Time::from_unix(0));
        let times = (until, floor);
        let writer = Arc::new(header.writer.clone());
        for index in &header.indexes {
            self.need(snapshot, &At::Data(Sort::Index, Arc::clone(&writer), index.hash), named(index, times));
        }
        for page in &header.pages {
            let at = At::Data(Sort::Page, Arc::clone(&writer), page.hash);
            let id = Id::of(at.key().as_str());
            self.need(snapshot, &at, named(page, times));
            if let Some(known) = self.pages.number(&id) {
                for place in self.pages.get(known).0 {
                    if let Some(Some(need)) = self.objects.get_mut(*place as usize) {
                        (need.until, need.floor) = (need.until.max(until), need.floor.max(floor));
                    }
                }
                continue;
            }
            let Some(packs) = self.read(ahead, snapshot, page).await? else { continue };
            let mut places = Vec::with_capacity(packs.len());
            for pack in packs {
                let hash = Hash::from_bytes(*pack.id.as_bytes());
                let hint = pack.version.map(Into::into);
                let need = Need { hash, bytes: Some(pack.bytes), hint, until, floor, header: false };
                let place = self.need(snapshot, &At::Data(Sort::Pack, Arc::clone(&writer), hash), need);
                places.extend(place.and_then(|place| u32::try_from(place).ok()));
            }
            self.pages.keep(id, &places, false);
        }
        Ok(())
    }

    /// The packs of a page; nothing if it can't be read.
    async fn read(
        &mut self,
        ahead: &mut PagesAhead<'_>,
        snapshot: &VerifiedHeader,
        page: &ObjectRef,
    ) -> Result<Option<Vec<PackRef>>> {
        let writer = &snapshot.header.writer;
        let key = layout::page(writer, &page.hash);
        let error = if self.there.lacks_page(&key) {
            VaultError::new(VaultErrorKind::Damaged, "it is not there")
        } else {
            match ahead.page(snapshot, page).await {
                Ok(packs) => return Ok(Some(packs)),
                Err(error) if error.is_of_object() => error,
                Err(error) => return Err(error),
            }
        };
        // A suspect header can name pages that never were, and what can't be restored needs nothing.
        let suspect = snapshot.standing.suspect;
        if !suspect {
            self.unknown.insert(writer.clone());
            self.pages.keep(Id::of(key.as_str()), &[], false);
        }
        let (severity, code) = match error.kind {
            VaultErrorKind::Damaged | VaultErrorKind::Untrusted => (Severity::Error, "page.damaged"),
            _ => (Severity::Weak, "page.unread"),
        };
        let severity = if suspect { Severity::Warning } else { severity };
        if self.told.first(Id::of(&format!("{key} {}", severity.as_str()))) {
            let what = format!("which packs a snapshot needs can't be told: {}", error.what);
            self.findings.push(Finding::new(severity, code, what).on(&key).of(snapshot.id));
        }
        Ok(None)
    }

    /// Adds what a header names, and returns its place if it is there.
    fn need(&mut self, snapshot: &VerifiedHeader, at: &At, need: Need) -> Option<usize> {
        let place = self.there.find(at);
        match place.and_then(|place| self.objects.get_mut(place)) {
            Some(Some(known)) => known.join(&need),
            Some(free) => *free = Some(need),
            None if self.there.covers(at) => {
                let key = at.key();
                if self.told.first(Id::of(key.as_str())) {
                    self.lost_count += 1;
                    self.lost.push(lost(&key).of(snapshot.id));
                }
            }
            None => {}
        }
        place
    }
}

/// What is said of an object that is needed and of which no version is what was signed.
pub(super) fn lost(key: &Key) -> Finding {
    let what = "no version of this object has the bytes that a live snapshot needs";
    Finding::new(Severity::Error, "object.lost", what).on(key)
}

fn named(object: &ObjectRef, (until, floor): (Time, Time)) -> Need {
    let hint = object.version.as_deref().map(Into::into);
    Need { hash: object.hash, bytes: Some(object.bytes), hint, until, floor, header: false }
}
