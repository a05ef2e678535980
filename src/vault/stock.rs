//! What a store lists under the names of packs, pages and indexes. Whoever may add objects can add any number of them, so no
//! more than a part is in memory at once: an ordinary vault is one part and is listed once, and a larger one is listed again
//! for each.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    sync::Arc,
};

use super::bloom::BloomFilter;
use crate::{
    codec::hash,
    format::layout::{self, ObjectName},
    model::{Hash, Key, Name, PackId, Time},
    store::Version,
};

/// So many versions of objects are in memory at once: 2 TiB in packs of 16 MiB, and about 35 MB.
pub(crate) const ROOM: usize = 1 << 17;
/// So many versions of one object are kept: the oldest, since nobody but a copier knows its name before it is there, and the
/// newest, since what repairs an object puts it on top.
pub(crate) const VERSIONS: usize = 64;
/// So many of them are the oldest.
const OLDEST: usize = 48;

/// Keeps a version that was listed after the others of its object, or one between the oldest and the newest no more.
pub(crate) fn keep<T>(versions: &mut Vec<T>, stored: T) {
    if versions.len() >= VERSIONS {
        versions.remove(OLDEST);
    }
    versions.push(stored);
}

/// So many pages are remembered, and so many packs on all of them together: about 30 MB.
const PAGES: usize = 1 << 17;
const PLACES: usize = 1 << 22;
/// Of so many objects that are not there it is known that they were told.
const TOLD: usize = 1 << 16;

/// The name of an object in sixteen bytes, since there may be hundreds of thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id([u8; 16]);

impl Id {
    /// Of an object's key.
    pub(crate) fn of(key: &str) -> Self {
        let mut id = [0; 16];
        id.iter_mut().zip(hash::hash(key.as_bytes()).as_bytes()).for_each(|(to, from)| *to = *from);
        Self(id)
    }
}

/// What lies under a name that ends in a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sort {
    /// A page.
    Page,
    /// An index.
    Index,
    /// A pack.
    Pack,
}

/// Where an object lies. The keys of packs are long and many, so they are spelled when they are needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum At {
    /// An object of a writer that is named by its hash alone.
    Data(Sort, Arc<Name>, Hash),
    /// Any other.
    Other(Key),
}

impl At {
    /// Its key.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Data(Sort::Pack, writer, hash) => layout::pack(writer, &PackId::from_bytes(*hash.as_bytes())),
            Self::Data(Sort::Page, writer, hash) => layout::page(writer, hash),
            Self::Data(Sort::Index, writer, hash) => layout::index(writer, hash),
            Self::Other(key) => key.clone(),
        }
    }
}

/// One version of an object, or a delete marker.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// `None` where the store has no versions.
    pub(crate) version: Option<Version>,
    pub(crate) bytes: u64,
    pub(crate) modified: Time,
    pub(crate) marker: bool,
}

/// An object and its versions, oldest first.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) at: At,
    /// The first of them.
    pub(crate) versions: Vec<Stored>,
    /// How many there are, and how many of these are delete markers.
    pub(crate) all: u32,
    pub(crate) markers: u32,
    /// Whether a delete marker is the newest.
    pub(crate) hidden: bool,
}

/// A part of all objects. Which are in it follows from a key that is made up for each run: nobody can choose names that fall
/// together.
#[derive(Debug, Clone)]
struct Part {
    key: RandomState,
    no: u64,
    of: u64,
}

impl Part {
    fn has(&self, at: &At) -> bool {
        self.of < 2 || self.key.hash_one(at) % self.of == self.no
    }
}

/// What was listed of one part.
#[derive(Debug)]
pub(crate) struct Stock {
    part: Part,
    /// Which pages were listed at all, whichever part they are of. A header can name any number of pages that never were, and to
    /// ask the store for each would take hours.
    pages: Arc<BloomFilter>,
    room: usize,
    /// Whether evidence and canaries are in it, too.
    more: bool,
    writers: HashMap<Name, Arc<Name>>,
    objects: Vec<Object>,
    last: Option<(At, usize)>,
    /// Objects that were listed, and their versions as far as they would be kept.
    listed: u64,
    versions: usize,
}

impl Stock {
    /// For everything, as long as there are no more than `room` versions.
    pub(crate) fn new(room: usize, more: bool) -> Self {
        let part = Part { key: RandomState::new(), no: 0, of: 1 };
        Self::of(part, Arc::default(), room.max(1), more)
    }

    fn of(part: Part, pages: Arc<BloomFilter>, room: usize, more: bool) -> Self {
        let (writers, objects) = (HashMap::new(), Vec::new());
        Self { part, pages, room, more, writers, objects, last: None, listed: 0, versions: 0 }
    }

    /// Where what has this name lies, if it is of a kind that belongs here.
    fn at(&mut self, key: &str) -> Option<At> {
        let (sort, writer, hash) = match layout::parse(key)? {
            ObjectName::Pack(writer, id) => (Sort::Pack, writer, Hash::from_bytes(*id.as_bytes())),
            ObjectName::Page(writer, hash) => (Sort::Page, writer, hash),
            ObjectName::Index(writer, hash) => (Sort::Index, writer, hash),
            ObjectName::Evidence(..) | ObjectName::Canary(_) if self.more => return Some(At::Other(key.parse().ok()?)),
            _ => return None,
        };
        Some(At::Data(sort, self.writer(&writer), hash))
    }

    /// One copy of a writer's name.
    pub(crate) fn writer(&mut self, name: &Name) -> Arc<Name> {
        if let Some(known) = self.writers.get(name) {
            return Arc::clone(known);
        }
        let new = Arc::new(name.clone());
        self.writers.insert(name.clone(), Arc::clone(&new));
        new
    }

    /// Takes what was listed; gives it back if it is of no kind that belongs here. The versions of one key come together.
    pub(crate) fn add(&mut self, key: &str, stored: Stored) -> Result<(), Stored> {
        let Some(at) = self.at(key) else { return Err(stored) };
        let again = self.last.as_ref().filter(|(last, _)| *last == at).map(|(_, versions)| *versions);
        let before = again.unwrap_or_default();
        if self.part.of < 2
            && let (At::Data(Sort::Page, ..), Some(pages)) = (&at, Arc::get_mut(&mut self.pages))
        {
            pages.add(self.part.key.hash_one(&at));
        }
        self.listed += u64::from(again.is_none());
        self.versions += usize::from(before < VERSIONS);
        if self.is_over() {
            self.objects = Vec::new();
        } else if self.part.has(&at) {
            if let Some(object) = self.objects.last_mut().filter(|_| again.is_some()) {
                object.all = object.all.saturating_add(1);
                object.markers = object.markers.saturating_add(stored.marker.into());
                object.hidden = stored.marker;
                keep(&mut object.versions, stored);
            } else {
                let (markers, hidden) = (stored.marker.into(), stored.marker);
                self.objects.push(Object { at: at.clone(), versions: vec![stored], all: 1, markers, hidden });
            }
        }
        self.last = Some((at, before + 1));
        Ok(())
    }

    /// Whether there is more than fits.
    fn is_over(&self) -> bool {
        self.part.of < 2 && self.versions > self.room
    }

    /// Whether nothing was listed into it yet.
    pub(crate) fn is_to_be_listed(&self) -> bool {
        self.last.is_none() && self.part.of > 1
    }

    /// Called once all is listed.
    pub(crate) fn sort(&mut self) {
        self.objects.sort_unstable_by(|a, b| a.at.cmp(&b.at));
        self.objects.shrink_to_fit();
    }

    /// How many objects were listed, whichever part they are of.
    pub(crate) const fn listed(&self) -> u64 {
        self.listed
    }

    /// The objects, in the order of where they lie.
    pub(crate) fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Takes the versions of one out.
    pub(crate) fn take(&mut self, place: usize) -> Vec<Stored> {
        self.objects.get_mut(place).map(|object| std::mem::take(&mut object.versions)).unwrap_or_default()
    }

    /// Whether an object belongs to this part, there or not.
    pub(crate) fn covers(&self, at: &At) -> bool {
        self.part.has(at)
    }

    /// Whether no version of a page was listed, not even a hidden one; now and then it is not known of a page of another part.
    /// Right once all is listed and this part sorted.
    pub(crate) fn lacks(&self, page: &At) -> bool {
        if self.covers(page) { self.find(page).is_none() } else { !self.pages.may_have(self.part.key.hash_one(page)) }
    }

    /// The same by a page's key.
    pub(crate) fn lacks_page(&self, key: &Key) -> bool {
        match layout::parse(key.as_str()) {
            Some(ObjectName::Page(writer, hash)) => self.lacks(&At::Data(Sort::Page, Arc::new(writer), hash)),
            _ => false,
        }
    }

    /// The place of an object.
    pub(crate) fn find(&self, at: &At) -> Option<usize> {
        self.objects.binary_search_by(|object| object.at.cmp(at)).ok()
    }
}

/// The parts of everything, one after the other.
pub(crate) struct Stocks {
    first: Option<Stock>,
    pages: Arc<BloomFilter>,
    left: VecDeque<Part>,
    room: usize,
    more: bool,
}

impl Stocks {
    /// After everything was listed into `all`: that is the one part if there was room for it.
    pub(crate) fn of(mut all: Stock) -> Self {
        let (pages, room, more) = (Arc::clone(&all.pages), all.room, all.more);
        if !all.is_over() {
            all.sort();
            return Self { first: Some(all), pages, left: VecDeque::new(), room, more };
        }
        // What falls into a part is a matter of chance.
        let of = all.versions.div_ceil((room - room / 8).max(1)) as u64;
        let key = all.part.key;
        let left = (0..of).map(|no| Part { key: key.clone(), no, of }).collect();
        Self { first: None, pages, left, room, more }
    }

    /// The next part. Unless it is all there is, it is to be listed.
    pub(crate) fn next(&mut self) -> Option<Stock> {
        let next = |stocks: &mut Self| {
            let part = stocks.left.pop_front()?;
            Some(Stock::of(part, Arc::clone(&stocks.pages), stocks.room, stocks.more))
        };
        self.first.take().or_else(|| next(self))
    }
}

/// Where the packs of pages are in a stock, so that a page which many snapshots name is read once. Of very many pages, some are
/// read again.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    known: HashMap<Id, u32>,
    numbered: Vec<Places>,
    places: Vec<u32>,
}

/// Where the packs of one page are.
#[derive(Debug, Clone, Copy)]
struct Places {
    from: u32,
    to: u32,
    /// Whether one of them is nowhere.
    lacks: bool,
}

impl Pages {
    /// The number of a page, if it is known.
    pub(crate) fn number(&self, page: &Id) -> Option<u32> {
        self.known.get(page).copied()
    }

    /// The places of the packs of a page, by its number, and whether it names others that are not there.
    pub(crate) fn get(&self, number: u32) -> (&[u32], bool) {
        let Some(Places { from, to, lacks }) = self.numbered.get(number as usize) else { return (&[], false) };
        (self.places.get(*from as usize..*to as usize).unwrap_or_default(), *lacks)
    }

    /// Remembers a page, if there is room, and returns its number.
    pub(crate) fn keep(&mut self, page: Id, places: &[u32], lacks: bool) -> Option<u32> {
        if self.known.len() >= PAGES || self.places.len() + places.len() > PLACES {
            return None;
        }
        let from = u32::try_from(self.places.len()).ok()?;
        self.places.extend_from_slice(places);
        let (to, number) = (u32::try_from(self.places.len()).ok()?, u32::try_from(self.numbered.len()).ok()?);
        self.numbered.push(Places { from, to, lacks });
        self.known.insert(page, number);
        Some(number)
    }
}

/// Objects of which something was told: each is told once, unless there are very many.
#[derive(Debug, Default)]
pub(crate) struct Told(HashSet<Id>);

impl Told {
    /// Whether this is to be told now.
    pub(crate) fn first(&mut self, object: Id) -> bool {
        !self.0.contains(&object) && (self.0.len() >= TOLD || self.0.insert(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(no: u64) -> Stored {
        Stored { version: Some(Version::new(no.to_string())), bytes: no, modified: Time::from_unix(0), marker: false }
    }

    fn fill(stock: &mut Stock, objects: u8, versions: u64) {
        for no in 0..objects {
            let key = layout::pack(&"w1".parse().unwrap(), &PackId::from_bytes([no; 32]));
            (0..versions).for_each(|no| stock.add(key.as_str(), stored(no)).unwrap());
        }
    }

    #[test]
    fn a_page_that_was_never_listed_is_known_to_lack_in_whichever_part() {
        let page = |no: u64| layout::page(&"w1".parse().unwrap(), &hash::hash(&no.to_le_bytes()));
        for room in [1000, 30] {
            let mut all = Stock::new(room, false);
            (0..200).for_each(|no| all.add(page(no).as_str(), stored(no)).unwrap());
            let mut stocks = Stocks::of(all);
            while let Some(mut stock) = stocks.next() {
                if stock.is_to_be_listed() {
                    (0..200).for_each(|no| stock.add(page(no).as_str(), stored(no)).unwrap());
                    stock.sort();
                }
                assert!((0..200).all(|no| !stock.lacks_page(&page(no))));
                let absent = (1000..11_000).filter(|no| stock.lacks_page(&page(*no))).count();
                assert!(absent > 9990, "{absent} of 10000 are known to lack");
                assert!(!stock.lacks_page(&"vault.json".parse().unwrap()));
            }
        }
    }

    #[test]
    fn every_object_is_in_one_part_and_no_part_is_large() {
        for (room, parts) in [(1000, 1..2), (50, 6..7), (7, 30..50)] {
            let mut all = Stock::new(room, false);
            assert!(all.add("vault.json", stored(0)).is_err());
            fill(&mut all, 250, 1);
            assert_eq!(all.listed(), 250);
            assert!(all.objects().len() <= room);
            let mut stocks = Stocks::of(all);
            let (mut seen, mut count) = (Vec::new(), 0);
            while let Some(mut stock) = stocks.next() {
                if stock.is_to_be_listed() {
                    fill(&mut stock, 250, 1);
                    stock.sort();
                }
                count += 1;
                assert!(stock.objects().len() <= room * 4);
                for (place, object) in stock.objects().iter().enumerate() {
                    assert!(stock.covers(&object.at));
                    assert_eq!(stock.find(&object.at), Some(place));
                }
                seen.extend(stock.objects().iter().map(|object| object.at.clone()));
            }
            seen.sort();
            seen.dedup();
            assert_eq!((seen.len(), parts.contains(&count)), (250, true), "{count} parts of {room}");
        }
    }

    #[test]
    fn of_one_object_the_oldest_versions_are_kept() {
        let mut stock = Stock::new(10_000, false);
        fill(&mut stock, 3, 1000);
        let mut stocks = Stocks::of(stock);
        for object in stocks.next().unwrap().objects() {
            assert_eq!((object.versions.len(), object.all), (VERSIONS, 1000));
            assert_eq!(object.versions[0].bytes, 0);
        }
        assert!(stocks.next().is_none());
    }

    #[test]
    fn pages_and_what_was_told_are_remembered_within_bounds() {
        let mut pages = Pages::default();
        let id = |no: usize| Id::of(&no.to_string());
        assert_eq!(pages.keep(id(0), &[1, 2], true), Some(0));
        assert_eq!(pages.keep(id(1), &vec![7; PLACES], false), None);
        assert_eq!(pages.keep(id(2), &[], false), Some(1));
        assert_eq!((pages.number(&id(0)), pages.number(&id(1)), pages.number(&id(2))), (Some(0), None, Some(1)));
        assert_eq!((pages.get(0), pages.get(1)), ((&[1, 2][..], true), (&[][..], false)));
        let mut told = Told::default();
        assert!(told.first(id(0)) && !told.first(id(0)));
        assert_eq!((0..TOLD + 5).filter(|no| told.first(id(*no))).count(), TOLD + 4);
        assert!(told.first(id(TOLD + 9)) && told.first(id(TOLD + 9)) && told.0.len() == TOLD);
    }
}
