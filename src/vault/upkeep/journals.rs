//! What becomes of journals with time: pieces are locked for as long as they were promised when they were put, and go when
//! no base is left that they continue.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use super::Everything;
use crate::{
    format::{
        journal::{SEALED_LIMIT, plausible},
        layout::{self, ObjectName},
    },
    model::{
        Cancel, Key, Lock, LockPolicy, Name, Span as Duration, Time,
        journal::{Line, Position},
    },
    store::{ObjectStore, Version},
    vault::{
        Result, Vault, VaultError, VaultErrorKind,
        fetch::{self, Room},
        journal::{Gathering, LineListing, Listed, Windows},
        snapshots::Summary,
        stock::Stored,
    },
};

/// So many objects of a journal are looked at for deletion at once.
const BATCH: usize = 50_000;

/// Where the journals of one source are needed.
#[derive(Debug)]
struct Needed {
    /// The earliest base of each line.
    bases: BTreeMap<Line, Position>,
    /// How long each piece is promised to live.
    keep: Duration,
    /// What holds need of them.
    held: Vec<HeldBase>,
}

/// A base that is held, and with it what was in its journal when the hold was made.
#[derive(Debug)]
struct HeldBase {
    line: Line,
    from: Position,
    since: Time,
    until: Time,
    floor: Time,
}

/// The bases of journals among some snapshots.
#[derive(Debug, Default)]
pub(crate) struct Bases(BTreeMap<(Name, Name), Needed>);

impl Bases {
    pub(crate) fn of<'a>(snapshots: impl Iterator<Item = &'a Summary>, policy: &LockPolicy) -> Self {
        let mut all = Self::default();
        for header in snapshots.map(|snapshot| &snapshot.header) {
            let Some(start) = &header.journal else { continue };
            let keep = header.floor_until.since(header.started_at).min(policy.keep);
            let place = all.0.entry((header.writer.clone(), header.source.clone()));
            let needed = place.or_insert_with(|| Needed { bases: BTreeMap::new(), keep, held: Vec::new() });
            needed.keep = needed.keep.max(keep);
            let from = needed.bases.entry(start.line.clone()).or_insert(start.from);
            *from = start.from.min(*from);
        }
        all
    }

    /// Holds what the journal of a base had at `since`, until a time, and locked until another at once. The base must be one
    /// of these.
    pub(super) fn hold(&mut self, snapshot: &Summary, since: Time, (until, floor): (Time, Time)) {
        let header = &snapshot.header;
        let needed = self.0.get_mut(&(header.writer.clone(), header.source.clone()));
        if let (Some(start), Some(needed)) = (&header.journal, needed) {
            needed.held.push(HeldBase { line: start.line.clone(), from: start.from, since, until, floor });
        }
    }

    /// Whether this source of a writer has any.
    pub(crate) fn has(&self, writer: &Name, source: &Name) -> bool {
        self.0.contains_key(&(writer.clone(), source.clone()))
    }

    /// Whether a base needs something of this line that ends at `to`; of a timeline's history, anything.
    pub(crate) fn need(&self, writer: &Name, source: &Name, line: &Line, to: Option<Position>) -> bool {
        let needed = self.0.get(&(writer.clone(), source.clone()));
        needed.is_some_and(|needed| needed.need(line, to))
    }
}

impl Needed {
    fn need(&self, line: &Line, to: Option<Position>) -> bool {
        self.bases.iter().any(|(base, from)| goes_on(base, line) && to.is_none_or(|to| *from < to))
    }

    /// Until when a hold needs something of this line that ends at `to` and was stored at a time, and until when it is to be
    /// locked at once.
    fn held(&self, line: &Line, to: Option<Position>, stored: Time) -> Option<(Time, Time)> {
        let needs =
            |held: &&HeldBase| goes_on(&held.line, line) && to.is_none_or(|to| held.from < to) && stored <= held.since;
        let all = || self.held.iter().filter(needs);
        all().map(|held| held.until).max().zip(all().map(|held| held.floor).max())
    }
}

/// Whether a line is that of a base, or may follow it.
fn goes_on(base: &Line, line: &Line) -> bool {
    base == line || base.may_become(line)
}

/// A version whose lock is looked at.
pub(super) struct Looked {
    pub(super) key: Key,
    pub(super) version: Option<Version>,
    pub(super) bytes: u64,
    pub(super) lock: std::result::Result<Option<Lock>, String>,
    /// Until when it was promised to live.
    pub(super) promised: Time,
    /// Until when a hold keeps it, and until when it is locked at once for that.
    pub(super) held: Option<(Time, Time)>,
}

/// Looks at the locks of what the bases need and was promised beyond now, and gives each to `each`. Those are read that the
/// store has since less than `lead`, so that a lock that is too short is found when it is new, and those whose promise ends
/// within it, and those that are held; nothing shortens one in between, and `verify` reads all.
pub(super) async fn look(
    vault: &Vault,
    (bases, gathered): (&Bases, Gathering<'_>),
    (now, lead): (Time, Duration),
    cancel: &Cancel,
    each: &mut (dyn FnMut(Looked) + Send),
) -> Result<()> {
    let (store, room) = (&*vault.store, &Room::new());
    let mut gathered = gathered.finish();
    for (of, needed) in &bases.0 {
        let first = gathered.remove(of).unwrap_or_default();
        let mut windows = Windows::after(store, &of.0, &of.1, first);
        while let Some(window) = windows.next().await? {
            let due = |one: &Listed| {
                let promised = one.stored_at + needed.keep;
                promised > now && (now < one.stored_at + lead || promised < now + lead)
            };
            let held =
                |line: &LineListing, one: &Listed| needed.held(&line.line, one.span.map(|span| span.to), one.stored_at);
            let all = window.lines.iter().flat_map(|line| line.objects.iter().map(move |one| (line, one)));
            let all = all.map(|(line, one)| (line, one, held(line, one)));
            let wanted = all.filter(|(line, one, held)| {
                held.is_some() || (due(one) && needed.need(&line.line, one.span.map(|span| span.to)))
            });
            let mut looks = stream::iter(wanted)
                .map(|(line, one, held)| async move {
                    let promised = one.stored_at + needed.keep;
                    Result::Ok(Looked { held, ..lock_of((store, room), line, one, promised).await? })
                })
                .buffered(store.at_once());
            while let Some(looked) = looks.next().await {
                if cancel.is_cancelled() {
                    return Err(VaultError::cancelled());
                }
                each(looked?);
            }
        }
    }
    Ok(())
}

async fn lock_of(
    (store, room): (&dyn ObjectStore, &Room),
    line: &LineListing,
    one: &Listed,
    promised: Time,
) -> Result<Looked> {
    let key = line.key(one);
    let mut version = None;
    let looked = |version, lock| Looked { key: key.clone(), version, bytes: one.bytes, lock, promised, held: None };
    if one.versions > 1 || one.hidden {
        let _room = room.take(SEALED_LIMIT as u64).await;
        match fetch::oldest_version(store, &key, &one.hash, SEALED_LIMIT).await {
            Ok(found) => version = Some(found),
            Err(error) if error.is_of_object() => return Ok(looked(None, Err(error.what))),
            Err(error) => return Err(error),
        }
    }
    match store.lock_of(&key, version.as_ref()).await {
        Ok(lock) => Ok(looked(version, Ok(lock))),
        Err(error) if error.is_not_found() || fetch::is_unreadable(error.kind) => {
            Ok(looked(version, Err(error.to_string())))
        }
        Err(error) => Err(error.into()),
    }
}

/// The version of an object that has the bytes of its name, where it is to be changed: never by key alone, since somebody
/// may have put another on top meanwhile.
pub(super) async fn version_of(store: &dyn ObjectStore, key: &Key) -> Result<Option<Version>> {
    let hash = match layout::parse(key.as_str()) {
        Some(ObjectName::Piece(piece)) => piece.hash,
        Some(ObjectName::History(.., hash)) => hash,
        _ => return Ok(None),
    };
    let versions = fetch::versions(store, key).await?;
    match versions.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        _ => match fetch::oldest_version(store, key, &hash, SEALED_LIMIT).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind == VaultErrorKind::Damaged => Ok(None),
            Err(error) => Err(error),
        },
    }
}

/// What of journals may be looked at for deletion.
#[derive(Debug, Default)]
pub(super) struct Over {
    /// What no base needs, and whose lock should be over.
    pub(super) all: Everything,
    /// Versions that no base needs and whose lock can't be over yet.
    pub(super) waiting: u64,
    /// Their bytes.
    pub(super) waiting_bytes: u64,
    /// When the first of these may go.
    pub(super) next: Option<Time>,
    /// Whether there is more, after the last of `all`.
    pub(super) more: bool,
}

/// Finds what no base needs, after the name `after`: a bounded number at once. Locks are not read of what the policy locks
/// for longer: most of it waits for its lock alone.
pub(super) async fn over(vault: &Vault, bases: &Bases, after: &str, (now, grace): (Time, Duration)) -> Result<Over> {
    let (store, policy) = (&*vault.store, &vault.descriptor.lock);
    let mut over = Over::default();
    let mut last: Option<(Key, bool)> = None;
    let mut add = |text: &str, stored: Stored| {
        if !after.is_empty() && text <= after {
            return;
        }
        // The versions of one key come together; the oldest decides.
        if last.as_ref().is_none_or(|(key, _)| key.as_str() != text) {
            let Some(doomed) = doomed(bases, text) else { return };
            let Ok(key) = text.parse::<Key>() else { return };
            let free = policy.lock_from(stored.modified).until + grace;
            let ready = doomed && free <= now;
            if doomed && !ready {
                over.waiting += 1;
                over.waiting_bytes = over.waiting_bytes.saturating_add(stored.bytes);
                over.next = Some(over.next.map_or(free, |next: Time| next.min(free)));
            }
            over.more |= ready && over.all.len() == BATCH;
            last = Some((key, ready && !over.more));
        }
        if let Some((key, true)) = &last {
            over.all.entry(key.clone()).or_default().push(stored);
        }
    };
    if store.traits().versions {
        let mut each = |e: crate::store::VersionEntry| {
            let version = Some(e.version);
            add(&e.key, Stored { version, bytes: e.bytes, modified: e.modified, marker: e.delete_marker });
        };
        store.list_versions(layout::JOURNALS, &mut each).await?;
    } else {
        let mut each = |e: crate::store::Entry| {
            add(&e.key, Stored { version: None, bytes: e.bytes, modified: e.modified, marker: false });
        };
        store.list(layout::JOURNALS, &mut each).await?;
    }
    Ok(over)
}

/// Whether no base needs what this name tells of; nothing where it tells of no journal.
pub(super) fn doomed(bases: &Bases, text: &str) -> Option<bool> {
    match layout::parse(text)? {
        ObjectName::Piece(p) => {
            let needed = plausible(&p.line, p.span) && bases.need(&p.writer, &p.source, &p.line, Some(p.span.to));
            Some(!needed)
        }
        ObjectName::History(writer, source, line, _) => Some(!bases.need(&writer, &source, &line, None)),
        _ => None,
    }
}
