//! What the snapshots need, as signed documents name it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::needed::{Hold, Kind, Needed, Promise, Said};
use crate::{
    format::header::{ObjectRef, VerifiedHeader},
    model::{Finding, Findings, Hash, Key, LockMode, Severity, SnapshotId, Time},
    vault::{
        Result, Vault, VaultError, VaultErrorKind,
        reader::PagesAhead,
        snapshots::Summary,
        stock::{At, Id, Pages, Sort, Stock, Stored, Told, VERSIONS},
    },
};

/// Of so many objects that are not there the promises are kept, and so each is told once.
const LACKING: usize = 1 << 14;
/// So many objects and pages are kept beside the snapshots that name them: 16 MiB.
const USES: usize = 1 << 22;

/// How a snapshot stands, by what it needs.
#[derive(Debug)]
pub(super) struct Uses {
    /// The place of its header.
    header: usize,
    /// What it needs of the part in hand: places of indexes and pages, and the numbers of pages.
    own: Vec<u32>,
    pages: Vec<u32>,
    /// Whether these are all.
    all: bool,
    /// Whether something that it needs is not there, and whether a page can't be read.
    lacks: bool,
    unreadable: bool,
    /// When the first lock ends among what it needs.
    locked: Option<Time>,
    /// Bytes of packs that no snapshot before it needs.
    stored: u64,
}

impl Default for Uses {
    fn default() -> Self {
        let (own, pages) = (Vec::new(), Vec::new());
        Self { header: 0, own, pages, all: true, lacks: false, unreadable: false, locked: None, stored: 0 }
    }
}

/// Everything that is signed for: documents, headers, and a part of packs, pages and indexes.
pub(super) struct Inventory {
    pub(super) documents: Vec<Needed>,
    places: BTreeMap<String, usize>,
    /// Documents that were listed before anything named them.
    pub(super) loose: BTreeMap<String, Vec<Stored>>,
    stock: Stock,
    /// Whether what was not listed is not there: not where versions are hidden and may not be listed.
    sure: bool,
    /// What is needed of the stock, by its places.
    pub(super) data: Vec<Option<Box<Needed>>>,
    /// What is needed and not there; of very much, the first, and how much more that is.
    lacking: Vec<Needed>,
    lacking_at: HashMap<Id, usize>,
    pub(super) lacking_more: u64,
    /// By key, not by hash: whoever names a page of another writer names nothing.
    pages: Pages,
    /// Pages that can't be read.
    told: Told,
    /// How much more is kept beside the snapshots that name it.
    room: usize,
    uses: BTreeMap<SnapshotId, Uses>,
    /// What is promised of snapshots beyond what their headers say.
    pub(super) held: BTreeMap<SnapshotId, Hold>,
    /// Pages that were read count once.
    first: bool,
    pub(super) bytes_read: u64,
}

impl Inventory {
    /// One in which nothing is yet.
    pub(super) fn new(held: BTreeMap<SnapshotId, Hold>) -> Self {
        Self {
            documents: Vec::new(),
            places: BTreeMap::new(),
            loose: BTreeMap::new(),
            stock: Stock::new(1, false),
            sure: false,
            data: Vec::new(),
            lacking: Vec::new(),
            lacking_at: HashMap::new(),
            lacking_more: 0,
            pages: Pages::default(),
            told: Told::default(),
            room: USES,
            uses: BTreeMap::new(),
            held,
            first: true,
            bytes_read: 0,
        }
    }

    /// Goes on to a part of what was listed, and whether all was.
    pub(super) fn turn_to(&mut self, stock: Stock, sure: bool) {
        self.sure = sure;
        self.data = std::iter::repeat_with(|| None).take(stock.objects().len()).collect();
        self.stock = stock;
        (self.lacking, self.lacking_at) = (Vec::new(), HashMap::new());
        (self.pages, self.room) = (Pages::default(), USES);
    }

    /// Notes what locks and sizes tell of snapshots, after a part.
    pub(super) fn settle(&mut self) {
        let never = Time::from_unix(0);
        for uses in self.uses.values_mut() {
            let packs = uses.pages.iter().flat_map(|page| self.pages.get(*page).0);
            let data = uses.own.iter().chain(packs).filter_map(|at| self.data.get(*at as usize)?.as_deref());
            let header = self.documents.get(uses.header).into_iter();
            let locked = header.chain(data).map(|needed| needed.locked.unwrap_or(never)).min();
            uses.locked = uses.locked.into_iter().chain(locked).chain(uses.lacks.then_some(never)).min();
            (uses.own, uses.pages) = (Vec::new(), Vec::new());
        }
        self.first = false;
    }

    /// The place of the document or header with this key.
    pub(super) fn find(&self, key: &str) -> Option<usize> {
        self.places.get(key).copied()
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Needed> {
        let at = self.find(key)?;
        self.documents.get_mut(at)
    }

    /// Adds the headers of snapshots, and of suspect ones.
    pub(super) fn headers(&mut self, vault: &Vault, (chosen, suspects): (&[&Summary], &[&Summary])) {
        for (snapshots, suspect) in [(chosen, false), (suspects, true)] {
            for snapshot in snapshots {
                self.header(snapshot, vault.descriptor.lock.mode, suspect);
            }
        }
    }

    fn header(&mut self, snapshot: &Summary, mode: LockMode, suspect: bool) {
        let times = (snapshot.header.floor_until, snapshot.header.expires_at);
        let promise = Promise::until(snapshot.id, mode, times, suspect, self.held.get(&snapshot.id));
        let hash = Hash::from_bytes(*snapshot.id.as_bytes());
        let header = self.need(snapshot.key(), Kind::Header, (hash, None, None), &promise);
        self.uses.insert(snapshot.id, Uses { header, ..Uses::default() });
    }

    /// Adds what a snapshot needs of the part in hand: pages, indexes and packs. What only snapshots name that are added as
    /// suspect need not be there; add them after all others, whose word on sizes and versions counts.
    pub(super) async fn add(
        &mut self,
        ahead: &mut PagesAhead<'_>,
        snapshot: &VerifiedHeader,
        suspect: bool,
        findings: &mut Findings,
    ) -> Result<()> {
        let header = &snapshot.header;
        let writer = self.stock.writer(&header.writer);
        let promise = Promise::of(snapshot, suspect, self.held.get(&snapshot.id));
        let mut uses = self.uses.remove(&snapshot.id).unwrap_or_default();
        if let Some(header) = self.documents.get_mut(uses.header) {
            header.mode = promise.mode;
        }
        let said = |object: &ObjectRef| (object.hash, Some(object.bytes), object.version.as_deref().map(Into::into));
        for index in &header.indexes {
            let at = At::Data(Sort::Index, Arc::clone(&writer), index.hash);
            let place = self.name(at, Kind::Index, said(index), &promise, findings);
            self.own(&mut uses, &place);
        }
        for page in &header.pages {
            let at = At::Data(Sort::Page, Arc::clone(&writer), page.hash);
            let id = Id::of(at.key().as_str());
            let place = self.name(at, Kind::Page, said(page), &promise, findings);
            self.own(&mut uses, &place);
            let number = match self.pages.number(&id) {
                Some(known) => {
                    for place in self.pages.get(known).0 {
                        if let Some(Some(needed)) = self.data.get_mut(*place as usize) {
                            needed.raise(&promise);
                            uses.lacks |= needed.missing();
                        }
                    }
                    uses.lacks |= self.pages.get(known).1;
                    Some(known)
                }
                None => self.page(ahead, (snapshot, page, id), &promise, &mut uses, findings).await?,
            };
            match number.filter(|_| self.room > 0) {
                Some(number) => {
                    self.room -= 1;
                    uses.pages.push(number);
                }
                None => uses.all = false,
            }
        }
        self.uses.insert(snapshot.id, uses);
        Ok(())
    }

    /// Adds the packs of a page that is not known; returns its number, if there was room to remember it.
    async fn page(
        &mut self,
        ahead: &mut PagesAhead<'_>,
        (snapshot, page, id): (&VerifiedHeader, &ObjectRef, Id),
        promise: &Promise,
        uses: &mut Uses,
        findings: &mut Findings,
    ) -> Result<Option<u32>> {
        let writer = self.stock.writer(&snapshot.header.writer);
        let absent = self.sure && self.stock.lacks(&At::Data(Sort::Page, Arc::clone(&writer), page.hash));
        let read = if absent {
            Err(VaultError::new(VaultErrorKind::Damaged, "it is not there"))
        } else {
            ahead.page(snapshot, page).await
        };
        let packs = match read {
            Ok(packs) => packs,
            Err(error) if error.is_of_object() => {
                if promise.suspect {
                    uses.unreadable = true;
                    return Ok(None);
                }
                if self.told.first(id) {
                    let what = format!("a page can't be read, so the packs that it names are unknown: {}", error.what);
                    let (severity, code) = match error.kind {
                        VaultErrorKind::Damaged | VaultErrorKind::Untrusted => (Severity::Error, "page.damaged"),
                        _ => (Severity::Error, "page.unread"),
                    };
                    let key = At::Data(Sort::Page, writer, page.hash).key();
                    findings.push(Finding::new(severity, code, what).on(key).of(snapshot.id));
                }
                return Ok(self.pages.keep(id, &[], false));
            }
            Err(error) => return Err(error),
        };
        if self.first {
            self.bytes_read += page.bytes;
        }
        let (mut places, mut lacks) = (Vec::with_capacity(packs.len()), false);
        for pack in packs {
            let hash = Hash::from_bytes(*pack.id.as_bytes());
            let (at, said) = (At::Data(Sort::Pack, Arc::clone(&writer), hash), pack.version.map(Into::into));
            match self.name(at, Kind::Pack, (hash, Some(pack.bytes), said), promise, findings) {
                Place::There { at, new, missing } => {
                    places.extend(u32::try_from(at).ok());
                    uses.stored += if new { pack.bytes } else { 0 };
                    uses.lacks |= missing;
                }
                Place::Nowhere { new } => {
                    uses.stored = uses.stored.saturating_add(if new { pack.bytes } else { 0 });
                    lacks = true;
                }
                Place::Elsewhere => {}
            }
        }
        uses.lacks |= lacks;
        Ok(self.pages.keep(id, &places, lacks))
    }

    /// Notes an index or a page beside the snapshot that names it.
    fn own(&mut self, uses: &mut Uses, place: &Place) {
        match place {
            Place::There { at, missing, .. } => {
                uses.lacks |= missing;
                match u32::try_from(*at).ok().filter(|_| self.room > 0) {
                    Some(at) => {
                        self.room -= 1;
                        uses.own.push(at);
                    }
                    None => uses.all = false,
                }
            }
            Place::Nowhere { .. } => uses.lacks = true,
            Place::Elsewhere => {}
        }
    }

    /// Adds an object of the part in hand, there or not; the strictest promise counts.
    fn name(&mut self, at: At, kind: Kind, said: Said, promise: &Promise, findings: &mut Findings) -> Place {
        let place = self.stock.find(&at);
        if let Some((place, slot)) = place.and_then(|place| Some((place, self.data.get_mut(place)?))) {
            let new = slot.is_none();
            if new {
                let mut needed = Needed::new(at, kind, said, promise);
                let (hidden, versions) = self
                    .stock
                    .objects()
                    .get(place)
                    .map_or((false, 0), |object| (object.hidden, object.all - object.markers));
                let stored = self.stock.take(place).into_iter().filter(|stored| !stored.marker);
                stored.for_each(|stored| needed.version(stored, usize::MAX));
                needed.candidates.shrink_to_fit();
                (needed.hidden, needed.versions) = (hidden, versions);
                *slot = Some(Box::new(needed));
            }
            let Some(needed) = slot else { return Place::Elsewhere };
            needed.raise(promise);
            return Place::There { at: place, new, missing: needed.missing() };
        }
        if !self.stock.covers(&at) {
            return Place::Elsewhere;
        }
        let id = Id::of(at.key().as_str());
        if let Some(known) = self.lacking_at.get(&id).and_then(|at| self.lacking.get_mut(*at)) {
            known.raise(promise);
            return Place::Nowhere { new: false };
        }
        let needed = Needed::new(at, kind, said, promise);
        if self.lacking.len() < LACKING {
            self.lacking_at.insert(id, self.lacking.len());
            self.lacking.push(needed);
        } else if !promise.suspect {
            self.lacking_more += 1;
            findings.push(needed.gone());
        }
        Place::Nowhere { new: true }
    }

    /// Adds a document or a header; the strictest promise counts.
    pub(super) fn need(&mut self, key: Key, kind: Kind, said: Said, promise: &Promise) -> usize {
        let at = *self.places.entry(key.to_string()).or_insert(self.documents.len());
        if at == self.documents.len() {
            let listed = self.loose.remove(key.as_str()).unwrap_or_default();
            let mut needed = Needed::new(At::Other(key), kind, said, promise);
            for stored in listed {
                needed.hidden = stored.marker;
                if !stored.marker {
                    needed.version(stored, VERSIONS);
                }
            }
            self.documents.push(needed);
        } else if let Some(needed) = self.documents.get_mut(at) {
            needed.raise(promise);
        }
        at
    }

    /// When the first lock ends that a snapshot needs, as far as locks were read; nothing where that is not known.
    pub(super) fn locked_until(&self, snapshot: &SnapshotId) -> Option<Time> {
        self.uses.get(snapshot).filter(|uses| uses.all || uses.lacks)?.locked
    }

    /// Of how many snapshots that is not known, since they name too much together.
    pub(super) fn untold(&self) -> u64 {
        self.uses.values().filter(|uses| !uses.all && !uses.lacks && !uses.unreadable).count() as u64
    }

    /// Bytes of the packs that a snapshot needs and none before it does.
    pub(super) fn stored(&self, snapshot: &SnapshotId) -> u64 {
        self.uses.get(snapshot).map_or(0, |uses| uses.stored)
    }

    /// Whether a page need not be read: its packs are known, or it is not there.
    pub(super) fn knows(&self, page: &Key) -> bool {
        self.pages.number(&Id::of(page.as_str())).is_some() || self.sure && self.stock.lacks_page(page)
    }

    /// Whether something is not there that a suspect snapshot needs, as far as the listing tells.
    pub(super) fn is_hollow(&self, suspect: &SnapshotId) -> bool {
        let header = |uses: &Uses| self.documents.get(uses.header).is_some_and(Needed::missing);
        self.uses.get(suspect).is_some_and(|uses| uses.lacks || uses.unreadable || header(uses))
    }

    /// What is looked at with the part in hand: with the first one also documents and headers.
    pub(super) fn all(&self) -> impl Iterator<Item = (Slot, &Needed)> {
        let documents = self.documents.iter().enumerate().filter(|_| self.first);
        let data = self.data.iter().enumerate().filter_map(|(at, needed)| Some((Slot::Data(at), needed.as_deref()?)));
        let lacking = self.lacking.iter().enumerate();
        let documents = documents.map(|(at, needed)| (Slot::Document(at), needed));
        documents.chain(data).chain(lacking.map(|(at, needed)| (Slot::Lacking(at), needed)))
    }

    /// The objects among them that must be there.
    pub(super) fn firm(&self) -> impl Iterator<Item = &Needed> {
        self.all().map(|(_, needed)| needed).filter(|needed| !needed.suspect)
    }

    /// Notes until when an object is locked.
    pub(super) fn lock(&mut self, slot: Slot, until: Time) {
        let needed = match slot {
            Slot::Document(at) => self.documents.get_mut(at),
            Slot::Data(at) => self.data.get_mut(at).and_then(Option::as_deref_mut),
            Slot::Lacking(at) => self.lacking.get_mut(at),
        };
        if let Some(needed) = needed {
            needed.locked = Some(until);
        }
    }

    /// What lies in the part in hand and nothing named: its key, its versions and their bytes, as far as they were kept.
    pub(super) fn unnamed(&self) -> impl Iterator<Item = (&At, u64, u64)> {
        let objects = self.stock.objects().iter().zip(&self.data).filter(|(_, needed)| needed.is_none());
        objects.filter(|(object, _)| object.all > object.markers).map(|(object, _)| {
            let bytes = object.versions.iter().fold(0_u64, |sum, stored| sum.saturating_add(stored.bytes));
            (&object.at, u64::from(object.all - object.markers), bytes)
        })
    }
}

/// Where an object is in an inventory.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    Document(usize),
    Data(usize),
    Lacking(usize),
}

/// Where what a snapshot names is.
enum Place {
    /// In the part in hand: whether it is named for the first time, and whether no version has its size.
    There { at: usize, new: bool, missing: bool },
    /// It is of this part, and not there.
    Nowhere { new: bool },
    /// In another part.
    Elsewhere,
}
