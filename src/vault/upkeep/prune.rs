//! Deleting what no snapshot needs any more, once its lock has ended.
//!
//! A header that stays keeps everything that it names, so a mistaken or malicious one can only keep more. Headers go
//! first: whatever happens in between, no header is left that names what is gone.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};

use super::{
    journals::{self, Bases},
    list, list_part,
    needs::{Floors, Needs},
    plausible::{ById, longest, wrong},
    there::{KEEP_NEWEST, There},
};
use crate::{
    format::layout::{self, ObjectName},
    model::{Cancel, Finding, Findings, Key, Lock, Name, Progress, Severity, SnapshotId, Span, Time},
    store::{Deleter, StoreError, StoreErrorKind, Version},
    vault::{
        Result, Vault, VaultError, fetch,
        holds::Holds,
        journal::Gathering,
        past, snapshots,
        snapshots::Summary,
        stock::{At, Object, Sort, Stocks, Stored, Told},
    },
};

/// Where what may go lies, besides headers and journals.
const PREFIXES: [&str; 5] = [layout::LISTS, layout::INDEXES, layout::PACKS, layout::EVIDENCE, layout::CANARIES];
/// So many objects are looked at before those are deleted that may go.
const BATCH: usize = 10_000;
/// How old what has no lock must be at least: a run puts packs before anything names them.
const UNLOCKED: Span = Span::days(1);
/// How many reasons for deleting nothing are named.
const BLOCKED: usize = 1000;
/// How many refusals are told one by one.
const SHOWN: u64 = 20;

/// What was deleted of one kind, or would be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    /// Versions.
    pub versions: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a pruning did, or would do.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Why nothing was deleted, if something forbids it.
    pub blocked: Vec<String>,
    /// By kind: `snapshots`, `lists`, `indexes`, `packs`, `evidence`, `canaries`, `journals`, `markers`.
    pub deleted: BTreeMap<&'static str, Count>,
    /// Versions that the store refused to delete.
    pub refused: u64,
    /// Versions that no snapshot needs and that are locked, or were until a moment ago.
    pub waiting: Count,
    /// When the first of these locks ends.
    pub next: Option<Time>,
    /// Snapshots that stay.
    pub snapshots: u64,
    /// How many of them a hold keeps.
    pub held: u64,
    /// What was found.
    pub findings: Findings,
}

/// What to prune.
#[derive(Debug, Clone, Copy)]
pub struct PruneRequest {
    /// How long after its lock something is still kept.
    pub grace: Span,
    /// Believe the clock of a directory's host although no snapshot was made for long.
    pub clock_is_right: bool,
}

/// A version that may go.
struct Doomed<'a> {
    key: &'a Key,
    stored: &'a Stored,
    kind: &'static str,
}

/// Deletes what may go, by `deleter`; without one, says what would.
///
/// # Errors
/// If the store can't be listed or read.
pub async fn prune(
    vault: &Vault,
    deleter: Option<&dyn Deleter>,
    request: PruneRequest,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Pruned> {
    let store = &*vault.store;
    progress.phase("reading headers", None);
    let listing = snapshots::list(vault).await?;
    let now = store.server_time().await?;
    let mut work = Work { vault, deleter, now, grace: request.grace, cancel, progress, done: Pruned::default() };
    work.done.findings.extend(vault.findings.iter().chain(&listing.findings).cloned());
    for unread in listing.unread.iter().take(BLOCKED) {
        let key = unread.key();
        let what = format!("{key} can't be read, or needs a newer strongroom: what it needs is not known");
        work.done.blocked.push(what);
    }
    if let Some(more) = listing.unread.len().checked_sub(BLOCKED).filter(|more| *more > 0) {
        work.done.blocked.push(format!("and {more} more headers can't be read"));
    }
    if !request.clock_is_right {
        work.done.blocked.extend(past::runs_ahead(vault, now, &listing.snapshots));
    }
    if !work.done.blocked.is_empty() {
        return Ok(work.done);
    }
    let holds = Holds::of(vault).await?;
    work.done.findings.extend(holds.findings.iter().cloned());
    for key in holds.unread.iter().take(BLOCKED) {
        work.done.blocked.push(format!("{key} can't be read, so what it holds is not known"));
    }
    if !work.done.blocked.is_empty() {
        return Ok(work.done);
    }
    let Chosen { staying, over, held } = choose(vault, &listing.snapshots, &holds, (now, request.grace));
    work.done.held = held;
    let mut there = There::new(vault.room, &over);
    let mut none = Gathering::of(Box::new(|_, _| false));
    list(store, "", &mut none, &mut |key, stored| there.add(key, stored)).await?;
    let staying = work.headers(&there, over, staying).await?;
    let stay: Vec<_> = listing.snapshots.iter().filter(|s| staying.contains(&s.id)).map(|s| (s, now)).collect();
    work.done.snapshots = staying.len() as u64;
    work.data(&stay, there).await?;
    work.journals(&Bases::of(stay.iter().map(|(snapshot, _)| *snapshot), &vault.descriptor.lock)).await?;
    Ok(work.done)
}

/// What an object is counted as, and whose it is; nothing for what is not deleted.
fn kind(at: &At) -> Option<(&'static str, Name)> {
    match at {
        At::Data(Sort::Page, writer, _) => Some(("lists", Name::clone(writer))),
        At::Data(Sort::Index, writer, _) => Some(("indexes", Name::clone(writer))),
        At::Data(Sort::Pack, writer, _) => Some(("packs", Name::clone(writer))),
        At::Other(key) => match layout::parse(key.as_str())? {
            ObjectName::Evidence(member, _) => Some(("evidence", member)),
            ObjectName::Canary(member) => Some(("canaries", member)),
            _ => None,
        },
    }
}

/// Which snapshots stay, and which may go.
pub(super) struct Chosen<'a> {
    /// Those that stay, for whatever reason.
    pub(super) staying: BTreeSet<SnapshotId>,
    /// Those whose time is over, the newest first.
    pub(super) over: Vec<&'a Summary>,
    /// How many of those that stay a hold keeps.
    pub(super) held: u64,
}

/// Decides by headers and holds alone, without the store.
pub(super) fn choose<'a>(
    vault: &Vault,
    snapshots: &'a [Summary],
    holds: &Holds,
    (now, grace): (Time, Span),
) -> Chosen<'a> {
    let mut staying = BTreeSet::new();
    let by_id: ById<'_> = snapshots.iter().map(|s| (s.id, s)).collect();
    let mut newest: BTreeMap<(&Name, &Name, bool), usize> = BTreeMap::new();
    let (mut over, mut holding) = (Vec::new(), 0);
    for snapshot in snapshots.iter().rev() {
        let header = &snapshot.header;
        let honest = !snapshot.standing.suspect && !snapshot.standing.future;
        // Headers that no honest run makes are counted apart, so that they take no place of those that one did.
        let sound = wrong(snapshot, &by_id).is_none() && !snapshot.standing.future;
        let place = newest.entry((&header.writer, &header.source, sound)).or_default();
        // Whoever signed it, a hold of a keeper or the root keeps it. It takes no place of the newest: on a server whose
        // times change when a lock is extended, it would look like one of them.
        let held = holds.kept(&snapshot.id, now, grace);
        *place += usize::from(honest && !held);
        let kept = honest && *place <= KEEP_NEWEST;
        // Nobody is promised more than the root allows.
        let ends = header.expires_at.max(header.floor_until).min(longest(vault, snapshot));
        holding += u64::from(held);
        if kept || held || ends + grace > now {
            staying.insert(snapshot.id);
        } else {
            over.push(snapshot);
        }
    }
    Chosen { staying, over, held: holding }
}

/// From when on a version may go.
pub(super) fn free_from(stored: &Stored, lock: Option<Lock>, grace: Span) -> Time {
    lock.map_or(stored.modified + UNLOCKED.max(grace), |lock| lock.until + grace)
}

struct Work<'a> {
    vault: &'a Vault,
    deleter: Option<&'a dyn Deleter>,
    now: Time,
    grace: Span,
    cancel: &'a Cancel,
    progress: &'a dyn Progress,
    done: Pruned,
}

impl Work<'_> {
    /// Deletes the headers whose time is over; returns the snapshots that stay, for whatever reason.
    async fn headers(
        &mut self,
        there: &There,
        over: Vec<&Summary>,
        mut staying: BTreeSet<SnapshotId>,
    ) -> Result<BTreeSet<SnapshotId>> {
        for snapshot in over {
            let key = layout::header(&snapshot.header.writer, snapshot.header.seq, &snapshot.id);
            let Some(stored) = there.headers.get(&key) else {
                if there.cut {
                    staying.insert(snapshot.id);
                    let what = "the headers that are over have more versions than one run looks at, so this snapshot \
                                stays: prune again";
                    self.done.findings.push(Finding::new(Severity::Info, "prune.versions", what).on(key));
                }
                continue;
            };
            if !self.objects(&[(key, stored)], "snapshots").await? {
                staying.insert(snapshot.id);
            }
        }
        Ok(staying)
    }

    /// Deletes what no snapshot that stays needs, a part of it at a time. What is needed of a part is known as a whole before
    /// anything of it is deleted.
    async fn data(&mut self, stay: &[(&Summary, Time)], there: There) -> Result<()> {
        let There { evidence, stock, .. } = there;
        let (mut parts, mut told) = (Stocks::of(stock), Told::default());
        while let Some(mut stock) = parts.next() {
            if stock.is_to_be_listed() {
                list_part(&*self.vault.store, &mut stock, &PREFIXES).await?;
            }
            let floors = Floors::new();
            let needs = Needs::of(self.vault, stay, (&stock, &mut told), &floors, self.cancel).await?;
            self.done.findings.extend(needs.findings.into_vec());
            let (unknown, needed) = (needs.unknown, needs.objects);
            let free =
                stock.objects().iter().zip(needed).filter(|(_, need)| need.is_none()).filter_map(|(object, _)| {
                    let (kind, writer) = kind(&object.at)?;
                    let stays = match kind {
                        // What a page that can't be read names is not known, and may be any of them.
                        "packs" => unknown.contains(&writer),
                        "evidence" => matches!(&object.at, At::Other(key) if evidence.has(key, &writer)),
                        _ => false,
                    };
                    (!stays).then_some((kind, object))
                });
            let mut free = free.peekable();
            while let Some((kind, _)) = free.peek() {
                let kind = *kind;
                let same = std::iter::from_fn(|| free.next_if(|(other, _)| *other == kind)).take(BATCH);
                let same: Vec<&Object> = same.map(|(_, object)| object).collect();
                let batch: Vec<(Key, &Vec<Stored>)> =
                    same.iter().map(|object| (object.at.key(), &object.versions)).collect();
                self.objects(&batch, kind).await?;
                for object in same.iter().filter(|object| object.all as usize > object.versions.len()) {
                    let (all, kept) = (object.all, object.versions.len());
                    let what =
                        format!("it has {all} versions, of which one run looks at the oldest {kept}: prune again");
                    let finding = Finding::new(Severity::Info, "prune.versions", what).on(object.at.key());
                    self.done.findings.push(finding);
                }
            }
        }
        Ok(())
    }

    /// Deletes the pieces of journals that no base which stays goes on with.
    async fn journals(&mut self, bases: &Bases) -> Result<()> {
        let mut after = String::new();
        loop {
            let over = journals::over(self.vault, bases, &after, (self.now, self.grace)).await?;
            if after.is_empty() {
                self.done.waiting.versions += over.waiting;
                self.done.waiting.bytes += over.waiting_bytes;
                self.done.next = self.done.next.into_iter().chain(over.next).min();
            }
            let (more, all): (bool, Vec<(Key, Vec<Stored>)>) = (over.more, over.all.into_iter().collect());
            let all: Vec<(Key, &Vec<Stored>)> = all.iter().map(|(key, stored)| (key.clone(), stored)).collect();
            let Some((last, _)) = all.last() else { return Ok(()) };
            after = last.to_string();
            self.objects(&all, "journals").await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Deletes every version of these objects whose lock has ended long enough ago; says whether all of them could go.
    async fn objects(&mut self, objects: &[(Key, &Vec<Stored>)], kind: &'static str) -> Result<bool> {
        let versions = objects.iter().flat_map(|(key, stored)| stored.iter().map(move |stored| (key, stored)));
        let store = &*self.vault.store;
        let looked: Vec<_> = stream::iter(versions)
            .map(|(key, stored)| async move {
                // A marker has no lock and no lock to read.
                let lock = if stored.marker { Ok(None) } else { store.lock_of(key, stored.version.as_ref()).await };
                (Doomed { key, stored, kind }, lock)
            })
            .buffered(store.at_once())
            .collect()
            .await;
        let (mut ready, mut markers, mut every) = (Vec::new(), Vec::new(), true);
        for (doomed, lock) in looked {
            let lock = match lock {
                Err(error) if error.is_not_found() => continue,
                // What can't be read counts as locked.
                Err(error) if fetch::is_unreadable(error.kind) => {
                    every = false;
                    self.done.waiting.versions += 1;
                    self.done.waiting.bytes += doomed.stored.bytes;
                    let what = format!("its lock can't be read, so it stays: {error}");
                    self.done.findings.push(Finding::new(Severity::Warning, "lock.unread", what).on(doomed.key));
                    continue;
                }
                other => other?,
            };
            let free = free_from(doomed.stored, lock, self.grace);
            if free > self.now {
                every = false;
                self.done.waiting.versions += 1;
                self.done.waiting.bytes += doomed.stored.bytes;
                self.done.next = Some(self.done.next.map_or(free, |next| next.min(free)));
            } else if doomed.stored.marker {
                markers.push(doomed);
            } else {
                ready.push(doomed);
            }
        }
        // A header goes whole or stays whole: its true version is the oldest, and without it nobody could read the rest.
        let whole = kind == "snapshots";
        if whole && !every {
            return Ok(false);
        }
        self.progress.phase("deleting", None);
        for doomed in ready.into_iter().rev() {
            every &= self.delete(&doomed).await?;
            if whole && !every {
                return Ok(false);
            }
        }
        // A marker hides whatever is left of its key, so it goes last and only if nothing is.
        for doomed in markers.into_iter().filter(|_| every) {
            self.delete(&Doomed { kind: "markers", ..doomed }).await?;
        }
        Ok(every)
    }

    /// Deletes one version; `false` if the store refuses, which is told.
    async fn delete(&mut self, doomed: &Doomed<'_>) -> Result<bool> {
        if self.cancel.is_cancelled() {
            return Err(VaultError::cancelled());
        }
        if let Some(deleter) = self.deleter {
            match deleter.delete_version(doomed.key, doomed.stored.version.as_ref()).await {
                Ok(()) => {}
                Err(error) if error.is_not_found() => return Ok(true),
                Err(error) if matches!(error.kind, StoreErrorKind::Locked | StoreErrorKind::Denied) => {
                    self.refused(doomed, &error);
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let count = self.done.deleted.entry(doomed.kind).or_default();
        count.versions += 1;
        count.bytes += doomed.stored.bytes;
        Ok(true)
    }

    fn refused(&mut self, doomed: &Doomed<'_>, error: &StoreError) {
        self.done.refused += 1;
        if self.done.refused <= SHOWN {
            let version = doomed.stored.version.as_ref().map_or("", Version::as_str);
            let what = format!("the store refuses to delete version {version} of it: {error}");
            self.done.findings.push(Finding::new(Severity::Warning, "prune.refused", what).on(doomed.key));
        }
    }
}
