//! Listing journals: by their names alone, in their order, and in bounded memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use crate::{
    format::{
        journal::{LOG_LIMIT, plausible},
        layout::{self, ObjectName},
    },
    model::{
        Hash, Key, Name, Time,
        journal::{Line, Piece, Reach, Span},
    },
    store::{Entry, ObjectStore, StoreErrorKind, VersionEntry},
    vault::{Result, Vault},
};

/// So many objects are kept of a listing at once: 42 MB. 35 days of a piece each 10 seconds are 302,400.
const WINDOW: usize = 1 << 19;
/// So many prefixes are listed for one stretch at most.
const PREFIXES: u64 = 3;
/// So many strays are named.
const STRAYS: usize = 20;

/// One object of a journal, as a listing has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// The stretch that it holds, by its name; nothing of a timeline's history.
    pub span: Option<Span>,
    /// BLAKE3 of its sealed bytes, by its name.
    pub hash: Hash,
    /// The bytes of its oldest version.
    pub bytes: u64,
    /// When the store wrote that.
    pub stored_at: Time,
    /// How many versions there are; none where they can't be listed.
    pub versions: u32,
    /// Whether a delete marker lies on it.
    pub hidden: bool,
}

/// What is listed of one line of one source, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineListing {
    /// Whose it is.
    pub writer: Name,
    /// The source.
    pub source: Name,
    /// The line.
    pub line: Line,
    /// Its pieces and histories, in the order of their names: by where they begin.
    pub objects: Vec<Listed>,
}

impl LineListing {
    /// The piece that an object of this line is; nothing of a history.
    #[must_use]
    pub fn piece(&self, of: &Listed) -> Option<Piece> {
        let (writer, source, line) = (self.writer.clone(), self.source.clone(), self.line.clone());
        of.span.map(|span| Piece { writer, source, line, span, hash: of.hash })
    }

    /// The key of an object of this line.
    #[must_use]
    pub fn key(&self, of: &Listed) -> Key {
        match self.piece(of) {
            Some(piece) => layout::piece(&piece),
            None => layout::history(&self.writer, &self.source, &self.line, &of.hash),
        }
    }

    /// The pieces, in their order.
    pub fn pieces(&self) -> impl Iterator<Item = (&Listed, Span)> {
        self.objects.iter().filter_map(|one| one.span.map(|span| (one, span)))
    }

    /// The histories.
    pub fn histories(&self) -> impl Iterator<Item = &Listed> {
        self.objects.iter().filter(|one| one.span.is_none())
    }

    /// What the pieces cover, by their names.
    #[must_use]
    pub fn reach(&self) -> Reach {
        Reach::of(self.pieces().map(|(_, span)| span))
    }
}

/// What was listed.
#[derive(Debug, Default)]
pub struct Listing {
    /// The lines, by writer, source and line.
    pub lines: Vec<LineListing>,
    /// Whether there is more than is kept in memory at once. Then the first are here.
    pub more: bool,
    /// Whether there are versions that these credentials may not list: what a delete marker hides is then missing here.
    pub unlisted: bool,
    /// What lies among them and is no name of a journal's object.
    pub strays: u64,
    /// The first of these.
    pub stray_names: Vec<String>,
}

/// Lists the journal of a source: of one writer, or of all.
///
/// # Errors
/// If the store can't be listed.
pub async fn list(vault: &Vault, writer: Option<&Name>, source: &Name) -> Result<Listing> {
    let mut all = Listing::default();
    for listing in list_all(vault, writer, Some(source)).await?.into_values() {
        all.more |= listing.more;
        all.unlisted |= listing.unlisted;
        all.strays += listing.strays;
        all.stray_names.extend(listing.stray_names);
        all.lines.extend(listing.lines);
    }
    Ok(all)
}

/// Lists journals, of one writer or source, or of all, in one pass over names.
///
/// # Errors
/// If the store can't be listed.
pub async fn list_all(
    vault: &Vault,
    writer: Option<&Name>,
    source: Option<&Name>,
) -> Result<BTreeMap<(Name, Name), Listing>> {
    let prefix = match (writer, source) {
        (Some(writer), Some(source)) => format!("{}{source}/", layout::own(layout::JOURNALS, writer)),
        (Some(writer), None) => layout::own(layout::JOURNALS, writer),
        (None, _) => layout::JOURNALS.to_owned(),
    };
    let wanted = |by: &Name, of: &Name| writer.is_none_or(|w| w == by) && source.is_none_or(|s| s == of);
    let mut gathering = Gathering::of(Box::new(wanted));
    gathering.list(&*vault.store, &prefix).await?;
    Ok(gathering.finish().into_iter().map(|(of, (listing, _))| (of, listing)).collect())
}

/// So many journals are told apart by names that anybody may make up.
const WRITERS: usize = 10_000;

/// Whose journals are wanted: of which writer and source.
type Wanted<'a> = Box<dyn Fn(&Name, &Name) -> bool + Send + Sync + 'a>;

/// Journals, while something lists them in the order of their names: the first window of each that is wanted.
pub struct Gathering<'a> {
    wanted: Wanted<'a>,
    /// Whose journals there are, of which sources, as far as names tell. Of very many, the first.
    pub seen: BTreeSet<(Name, Name)>,
    /// What begins with this belongs to the same as what came before.
    last: String,
    filling: Option<Filling>,
    done: BTreeMap<(Name, Name), Gathered>,
    room: usize,
    unlisted: bool,
}

/// The first window of a journal, and the last name in it.
type Gathered = (Listing, String);

impl<'a> Gathering<'a> {
    /// Gathers what is wanted.
    #[must_use]
    pub fn of(wanted: Wanted<'a>) -> Self {
        let (seen, last, done) = (BTreeSet::new(), String::new(), BTreeMap::new());
        Self { wanted, seen, last, filling: None, done, room: WINDOW, unlisted: false }
    }

    async fn list(&mut self, store: &dyn ObjectStore, prefix: &str) -> Result<()> {
        if store.traits().versions {
            match store.list_versions(prefix, &mut |entry| self.version(&entry)).await {
                Err(error) if error.kind == StoreErrorKind::Denied => self.unlisted(),
                other => return other.map_err(Into::into),
            }
        }
        store.list(prefix, &mut |entry| self.entry(&entry)).await.map_err(Into::into)
    }

    /// Begins again, without the versions that these credentials may not list.
    pub fn unlisted(&mut self) {
        let wanted = mem::replace(&mut self.wanted, Box::new(|_, _| false));
        *self = Self { unlisted: true, ..Self::of(wanted) };
    }

    /// Takes a version that was listed, of whatever it is.
    pub fn version(&mut self, entry: &VersionEntry) {
        let bytes = (!entry.delete_marker).then_some(entry.bytes);
        self.add(&entry.key, bytes, entry.modified, entry.delete_marker && entry.latest, true);
    }

    /// Takes an object that was listed, of whatever it is.
    pub fn entry(&mut self, entry: &Entry) {
        self.add(&entry.key, Some(entry.bytes), entry.modified, false, false);
    }

    fn add(&mut self, key: &str, bytes: Option<u64>, modified: Time, hidden: bool, versions: bool) {
        let Some(rest) = key.strip_prefix(layout::JOURNALS) else { return };
        // Those of one source stand together.
        if self.last.is_empty() || !rest.starts_with(&self.last) {
            self.close();
            let mut parts = rest.split('/');
            let (Some(Ok(writer)), Some(Ok(source))) = (parts.next().map(str::parse), parts.next().map(str::parse))
            else {
                return;
            };
            let of: (Name, Name) = (writer, source);
            if self.seen.len() >= WRITERS {
                return;
            }
            self.last = format!("{}/{}/", of.0, of.1);
            if (self.wanted)(&of.0, &of.1) && !self.done.contains_key(&of) {
                self.filling = Some(Filling::new(&of.0, &of.1, String::new(), self.room));
            }
            self.seen.insert(of);
        }
        if let Some(filling) = &mut self.filling {
            filling.add(key, bytes, modified, hidden, versions);
        }
    }

    fn close(&mut self) {
        self.last.clear();
        let Some(filling) = self.filling.take() else { return };
        self.room = filling.room;
        let of = (filling.writer.clone(), filling.source.clone());
        let (mut listing, last) = filling.finish();
        listing.unlisted = self.unlisted;
        self.done.insert(of, (listing, last));
    }

    /// What was gathered.
    #[must_use]
    pub fn finish(mut self) -> BTreeMap<(Name, Name), Gathered> {
        self.close();
        self.done
    }
}

/// The journal of one source of a writer, window by window. Whoever may add objects may add any number: what is kept at
/// once is bounded, and what follows is listed again from the start.
pub struct Windows<'a> {
    store: &'a dyn ObjectStore,
    writer: Name,
    source: Name,
    size: usize,
    after: String,
    done: bool,
    first: Option<Listing>,
}

impl<'a> Windows<'a> {
    /// Of the journal of this writer's source.
    #[must_use]
    pub fn of(store: &'a dyn ObjectStore, writer: &Name, source: &Name) -> Self {
        let (writer, source) = (writer.clone(), source.clone());
        Self { store, writer, source, size: WINDOW, after: String::new(), done: false, first: None }
    }

    /// The same where the first window was gathered already.
    #[must_use]
    pub fn after(store: &'a dyn ObjectStore, writer: &Name, source: &Name, (first, last): (Listing, String)) -> Self {
        Self { first: Some(first), after: last, ..Self::of(store, writer, source) }
    }

    /// The next window; nothing after the last.
    ///
    /// # Errors
    /// If the store can't be listed.
    pub async fn next(&mut self) -> Result<Option<Listing>> {
        if let Some(first) = self.first.take() {
            self.done = !first.more;
            return Ok(Some(first));
        }
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        let prefix = format!("{}{}/", layout::own(layout::JOURNALS, &self.writer), self.source);
        let filling = self.fill(&prefix).await?;
        let (listing, last) = filling.finish();
        self.after = last;
        self.done = !listing.more;
        Ok(Some(listing))
    }

    /// A window of what begins with `prefix`, which is of this source.
    async fn fill(&self, prefix: &str) -> Result<Filling> {
        let mut filling = self.filling();
        let mut listed = false;
        if self.store.traits().versions {
            let mut add = |e: VersionEntry| {
                let bytes = (!e.delete_marker).then_some(e.bytes);
                filling.add(&e.key, bytes, e.modified, e.delete_marker && e.latest, true);
            };
            match self.store.list_versions(prefix, &mut add).await {
                Err(error) if error.kind == StoreErrorKind::Denied => {
                    filling = self.filling();
                    filling.listing.unlisted = true;
                }
                other => {
                    other?;
                    listed = true;
                }
            }
        }
        if !listed {
            let mut add = |e: Entry| filling.add(&e.key, Some(e.bytes), e.modified, false, false);
            self.store.list(prefix, &mut add).await?;
        }
        Ok(filling)
    }

    fn filling(&self) -> Filling {
        Filling::new(&self.writer, &self.source, self.after.clone(), self.size)
    }
}

/// Lists what of one line lies within `span`, by as few and as narrow prefixes of names as that takes: whoever recovers asks
/// for a segment after the other, and there may be hundreds of thousands of pieces.
///
/// # Errors
/// If the store can't be listed.
pub async fn list_within(vault: &Vault, writer: &Name, source: &Name, line: &Line, span: Span) -> Result<LineListing> {
    let (low, high) = (span.from.0.saturating_sub(LOG_LIMIT as u64), span.to.0.saturating_sub(1));
    let prefixes = prefixes(&layout::journal(writer, source, line), low, high);
    let mut found = parts(vault, writer, source, line, prefixes.into_iter()).await?;
    found.objects.retain(|one| one.span.is_some_and(|has| has.from < span.to && span.from < has.to));
    Ok(found)
}

/// Lists the histories of a line's timeline.
///
/// # Errors
/// If the store can't be listed.
pub async fn list_histories(vault: &Vault, writer: &Name, source: &Name, line: &Line) -> Result<LineListing> {
    let prefix = format!("{}history-", layout::journal(writer, source, line));
    parts(vault, writer, source, line, [prefix].into_iter()).await
}

/// What the names begin with of pieces that begin from `low` up to `high`: as few and as narrow as that takes.
pub(super) fn prefixes(line: &str, low: u64, high: u64) -> Vec<String> {
    // Each digit less is sixteen times as much of the log.
    let few = |digits: &usize| (high >> (64 - 4 * digits)) - (low >> (64 - 4 * digits)) < PREFIXES;
    let digits = (1..=10).rev().find(few).unwrap_or(1);
    let shift = 64 - 4 * digits;
    (low >> shift..=high >> shift).map(|part| format!("{line}{part:0digits$x}")).collect()
}

async fn parts(
    vault: &Vault,
    writer: &Name,
    source: &Name,
    line: &Line,
    prefixes: impl Iterator<Item = String>,
) -> Result<LineListing> {
    let windows = Windows::of(&*vault.store, writer, source);
    let (writer, source, line) = (writer.clone(), source.clone(), line.clone());
    let mut all = LineListing { writer, source, line, objects: Vec::new() };
    for prefix in prefixes {
        let (listing, _) = windows.fill(&prefix).await?.finish();
        all.objects.extend(listing.lines.into_iter().filter(|one| one.line == all.line).flat_map(|one| one.objects));
    }
    Ok(all)
}

/// A window while it fills.
struct Filling {
    listing: Listing,
    /// Names up to this one were in earlier windows.
    after: String,
    /// The last name that was looked at and belongs here.
    last: String,
    writer: Name,
    source: Name,
    room: usize,
}

impl Filling {
    fn new(writer: &Name, source: &Name, after: String, room: usize) -> Self {
        let (writer, source) = (writer.clone(), source.clone());
        Self { listing: Listing::default(), last: after.clone(), after, writer, source, room }
    }

    fn add(&mut self, key: &str, bytes: Option<u64>, modified: Time, hidden: bool, versions: bool) {
        if !self.after.is_empty() && key <= self.after.as_str() {
            return;
        }
        if key == self.last {
            // Another version of the same.
            if let Some(one) = self.listing.lines.last_mut().and_then(|line| line.objects.last_mut()) {
                one.again(bytes, modified, hidden);
            }
            return;
        }
        if self.room == 0 || self.listing.more {
            self.listing.more = true;
            return;
        }
        let (line, span, hash) = match layout::parse(key) {
            Some(ObjectName::Piece(piece)) if plausible(&piece.line, piece.span) => {
                (piece.line, Some(piece.span), piece.hash)
            }
            Some(ObjectName::History(_, _, line, hash)) => (line, None, hash),
            _ => {
                self.listing.strays += 1;
                if self.listing.stray_names.len() < STRAYS {
                    self.listing.stray_names.push(key.chars().take(Key::MAX).collect());
                }
                return;
            }
        };
        self.room -= 1;
        key.clone_into(&mut self.last);
        let versions = u32::from(versions && bytes.is_some());
        let one = Listed { span, hash, bytes: bytes.unwrap_or(0), stored_at: modified, versions, hidden };
        match self.listing.lines.last_mut().filter(|last| last.line == line) {
            Some(last) => last.objects.push(one),
            None => self.listing.lines.push(LineListing {
                writer: self.writer.clone(),
                source: self.source.clone(),
                line,
                objects: vec![one],
            }),
        }
    }

    fn finish(mut self) -> (Listing, String) {
        // What is nothing but a delete marker is not there.
        let there = |one: &Listed| one.versions > 0 || !one.hidden;
        self.listing.lines.iter_mut().for_each(|line| line.objects.retain(there));
        self.listing.lines.retain(|line| !line.objects.is_empty());
        (self.listing, self.last)
    }
}

impl Listed {
    /// A further version of it: they come oldest first.
    fn again(&mut self, bytes: Option<u64>, modified: Time, hidden: bool) {
        self.hidden |= hidden;
        if let Some(bytes) = bytes {
            if self.versions == 0 {
                (self.bytes, self.stored_at) = (bytes, modified);
            }
            self.versions = self.versions.saturating_add(1);
        }
    }
}
