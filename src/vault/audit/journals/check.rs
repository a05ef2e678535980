//! The objects of a journal one by one: their locks, their bytes, what is in them.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use super::{BAD, Bad, Base, Found, LINES, STRETCHES, Seen};
use crate::{
    codec::hash,
    format::journal::SEALED_LIMIT,
    model::{
        Cancel, Finding, Findings, Hash, Key, Lock, LockPolicy, Severity, SnapshotId, Span as Duration, Time,
        journal::Line,
    },
    store::StoreErrorKind,
    vault::{
        Result, Vault, VaultErrorKind,
        audit::{
            Depth, VerifyRequest, Weakest,
            objects::{in_sample, stop_if_asked},
        },
        fetch,
        journal::{LineListing, Listed, Reader},
    },
};

/// How many are read at once; each may have 32 MiB, and nearly all have far less.
const READS: usize = 4;
/// How far a lock may end before what follows from the store's time: the writer asked the clock a little earlier.
const SLACK: Duration = Duration::seconds(3600);

/// The checks of one source's journal.
pub(super) struct Checks<'a> {
    vault: &'a Vault,
    request: &'a VerifyRequest,
    reader: Option<&'a Reader<'a>>,
    bases: &'a [Base<'a>],
    /// How long each piece is promised to live.
    keep: Duration,
    now: Time,
    cancel: &'a Cancel,
    pub(super) found: BTreeMap<Line, Found>,
}

/// What an object's bytes are.
enum Bytes {
    /// Not looked at, or right. With how many were read, and the hash of what was sealed if it was opened.
    Good(u64, Option<Hash>),
    /// Not those of its name, or not there.
    Damaged(String),
    /// Those of its name, and not what its writer signed.
    Forged(String),
    /// The store does not give them to us.
    Unread(String),
}

impl<'a> Checks<'a> {
    pub(super) fn new(
        vault: &'a Vault,
        request: &'a VerifyRequest,
        reader: Option<&'a Reader<'a>>,
        bases: &'a [Base<'a>],
        now: Time,
        cancel: &'a Cancel,
    ) -> Self {
        let of = |base: &Base<'_>| base.snapshot.header.floor_until.since(base.snapshot.header.started_at);
        let keep = bases.iter().map(of).max().unwrap_or(Duration::ZERO).min(vault.descriptor.lock.keep);
        Self { vault, request, reader, bases, keep, now, cancel, found: BTreeMap::new() }
    }

    /// Checks the objects of a line, or a part of them, that some base needs.
    pub(super) async fn line(&mut self, line: &LineListing, seen: &mut Seen, findings: &mut Findings) -> Result<()> {
        let may_be = |base: &Base<'_>| *base.line == line.line || base.line.may_become(&line.line);
        let known = self.found.contains_key(&line.line);
        if !self.bases.iter().any(may_be) || (!known && self.found.len() >= LINES) {
            return Ok(());
        }
        let needed = |one: &&Listed| one.span.is_none_or(|at| self.bases.iter().any(|b| b.needs(&line.line, at.to)));
        let needed: Vec<&Listed> = line.objects.iter().filter(needed).collect();
        let mut found = self.found.remove(&line.line).unwrap_or_default();
        self.locks(line, &needed, seen, findings).await?;
        let (this, depth) = (&*self, self.request.depth);
        let mut read = stream::iter(needed)
            .map(|one| async move {
                let wanted = depth > Depth::Locks && in_sample(one.hash.as_bytes(), this.request.sample);
                (one, if wanted { this.bytes(line, one).await } else { Ok(Bytes::Good(0, None)) })
            })
            .buffered(READS);
        while let Some((one, bytes)) = read.next().await {
            stop_if_asked(this.cancel)?;
            seen.objects += 1;
            seen.bytes = seen.bytes.saturating_add(one.bytes);
            overlaid(line, one, findings);
            let (forged, why) = match bytes? {
                Bytes::Good(read, plain) => {
                    seen.bytes_read += read;
                    findings.extend(plain.and_then(|plain| found.beside(line, one, plain)));
                    found.good(one);
                    continue;
                }
                Bytes::Unread(why) => {
                    let what = format!("this object of a journal can't be read: {why}");
                    findings.push(Finding::new(Severity::Error, "journal.unread", what).on(line.key(one)));
                    found.good(one);
                    continue;
                }
                Bytes::Damaged(why) => (false, why),
                Bytes::Forged(why) => (true, why),
            };
            match one.span {
                Some(span) if found.bad.len() < BAD => {
                    found.bad.push(Bad { key: line.key(one).to_string(), span, forged, why });
                }
                _ => {
                    let what = format!("this object of a journal is none: {why}");
                    findings.push(Finding::new(Severity::Warning, "journal.forged", what).on(line.key(one)));
                }
            }
        }
        drop(read);
        self.found.insert(line.line.clone(), found);
        Ok(())
    }

    /// Until when a piece is promised to live, and until when a hold of a base promises more.
    fn promise(&self, line: &LineListing, one: &Listed) -> (Time, Option<(Time, SnapshotId)>) {
        let to = one.span.map(|span| span.to);
        let of = |base: &Base<'_>| Some((base.held(&line.line, to, one.stored_at)?, base.snapshot.id));
        let held = self.bases.iter().filter_map(of).max_by_key(|(until, _)| *until);
        let until = one.stored_at + self.keep;
        (until, held.filter(|(held, _)| *held > until))
    }

    /// Reads the locks of what is still promised.
    async fn locks(
        &self,
        line: &LineListing,
        needed: &[&Listed],
        seen: &mut Seen,
        findings: &mut Findings,
    ) -> Result<()> {
        let store = &*self.vault.store;
        let mut promised = Vec::new();
        for one in needed {
            let (until, held) = self.promise(line, one);
            if held.map_or(until, |(until, _)| until) > self.now {
                promised.push((*one, (until, held)));
            }
        }
        let room = &fetch::Room::new();
        let mut locks = stream::iter(promised)
            .map(|(one, promised)| async move { (one, promised, self.lock_of(line, one, room).await) })
            .buffered(store.at_once());
        while let Some((one, (until, held), lock)) = locks.next().await {
            stop_if_asked(self.cancel)?;
            let key = line.key(one);
            let lock = match lock? {
                Ok(lock) => lock,
                Err(why) => {
                    let what = format!("the lock of this object of a journal could not be read: {why}");
                    findings.push(Finding::new(Severity::Weak, "lock.unread", what).on(&key));
                    continue;
                }
            };
            let ends = lock.map_or(Time::from_unix(0), |lock| lock.until);
            if seen.weakest.as_ref().is_none_or(|weakest| ends < weakest.until) {
                seen.weakest = Some(Weakest { until: ends, object: key.to_string(), snapshot: held.map(|(_, id)| id) });
            }
            let policy = &self.vault.descriptor.lock;
            if let Some((code, what)) = judge(policy, lock, until).filter(|_| until > self.now) {
                let what = format!("the lock of this object of a journal {what}");
                findings.push(Finding::new(Severity::Weak, code, what).on(&key));
            } else if let Some((until, id)) = held
                && let Some((_, what)) = judge(policy, lock, until)
            {
                let what = format!(
                    "the lock of this object of a journal {what}; a hold on the base that needs it says so: `strongroom renew` \
                     extends it"
                );
                findings.push(Finding::new(Severity::Weak, "hold.journal", what).on(&key).of(id));
            }
        }
        Ok(())
    }

    /// The lock of the version that has the right bytes: where there is one only, that one.
    async fn lock_of(
        &self,
        line: &LineListing,
        one: &Listed,
        room: &fetch::Room,
    ) -> Result<std::result::Result<Option<Lock>, String>> {
        let (store, key) = (&*self.vault.store, line.key(one));
        let mut version = None;
        if one.versions > 1 || one.hidden {
            let _room = room.take(SEALED_LIMIT as u64).await;
            match fetch::oldest_version(store, &key, &one.hash, SEALED_LIMIT).await {
                Ok(found) => version = Some(found),
                Err(error) if error.is_of_object() => return Ok(Err(error.what)),
                Err(error) => return Err(error),
            }
        }
        match store.lock_of(&key, version.as_ref()).await {
            Ok(lock) => Ok(Ok(lock)),
            Err(error) if error.kind == StoreErrorKind::Unreachable => Err(error.into()),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    async fn bytes(&self, line: &LineListing, one: &Listed) -> Result<Bytes> {
        let key: Key = line.key(one);
        let read = match self.reader {
            Some(reader) if one.span.is_some() => {
                reader.open(line, one).await.map(|opened| (one.bytes, Some(opened.record.plain)))
            }
            Some(reader) => reader.history(line, one).await.map(|history| (one.bytes, Some(hash::hash(&history)))),
            None => fetch::by_hash(&*self.vault.store, &key, None, &one.hash, SEALED_LIMIT)
                .await
                .map(|bytes| (bytes.len() as u64, None)),
        };
        match read {
            Ok((bytes, plain)) => Ok(Bytes::Good(bytes, plain)),
            Err(error) if error.kind == VaultErrorKind::Denied => Ok(Bytes::Unread(error.what)),
            Err(error) if error.kind == VaultErrorKind::Damaged => Ok(Bytes::Damaged(error.what)),
            Err(error) if error.is_of_object() => Ok(Bytes::Forged(error.what)),
            Err(error) => Err(error),
        }
    }
}

impl Found {
    /// Holds what an object has in it against another of the same span, or another history: they stand together. What is sealed
    /// twice has two names, so only who opens both can tell.
    fn beside(&mut self, line: &LineListing, one: &Listed, plain: Hash) -> Option<Finding> {
        let (other, known) = self.last.replace((*one, plain)).filter(|(other, _)| other.span == one.span)?;
        if known == plain {
            return None;
        }
        let (first, later) = if one.stored_at < other.stored_at { (one, &other) } else { (&other, one) };
        let of = match one.span {
            Some(span) => format!("of {} to {}", line.line.say(span.from), line.line.say(span.to)),
            None => "of the history of this timeline".to_owned(),
        };
        let what = format!(
            "the vault has two {of}, each signed by its writer, that differ: this one, of {}, and {}, of {}; a recovery reads the \
             one that was there first",
            later.stored_at,
            line.key(first),
            first.stored_at
        );
        Some(Finding::new(Severity::Weak, "journal.differs", what).on(line.key(later)))
    }

    /// Counts an object that is what it says, as far as was looked.
    fn good(&mut self, one: &Listed) {
        let Some(span) = one.span else {
            self.history = true;
            return;
        };
        self.newest_at = self.newest_at.max(Some(one.stored_at));
        let touches = self.reach.newest().is_some_and(|end| span.from <= end);
        if self.reach.stretches.len() >= STRETCHES && !touches {
            self.flooded = true;
            return;
        }
        self.reach.add(span);
    }
}

/// What lies on an object besides it.
fn overlaid(line: &LineListing, one: &Listed, findings: &mut Findings) {
    if one.hidden {
        let what = "a delete marker lies on this object of a journal; its bytes are still there and are read";
        findings.push(Finding::new(Severity::Warning, "object.hidden", what).on(line.key(one)));
    }
    if one.versions > 1 {
        let what = format!(
            "this object of a journal has {} versions: it was overwritten; the one that matches its name is read",
            one.versions
        );
        findings.push(Finding::new(Severity::Warning, "object.overwritten", what).on(line.key(one)));
    }
}

fn judge(policy: &LockPolicy, lock: Option<Lock>, promised: Time) -> Option<(&'static str, String)> {
    match lock {
        None => Some((
            "lock.missing",
            format!("is missing, and {promised} is promised: anybody who may delete can delete it"),
        )),
        Some(lock) if !lock.mode.covers(policy.mode) => {
            Some(("lock.mode", format!("is of mode {}, weaker than the vault's policy", lock.mode.as_str())))
        }
        Some(lock) if lock.until + SLACK < promised => {
            Some(("lock.short", format!("ends {}, but {promised} is promised", lock.until)))
        }
        Some(_) => None,
    }
}
