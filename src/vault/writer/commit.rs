//! The end of a run: indexes, pages, the locks of all of it read back, and last of all the header.

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    Committed, Observed, Run,
    dedup::Outcome,
    locks::{self, Told},
};
use crate::{
    catalog::{Catalog, CatalogError, Kept, Memory, ObjectRow, PackNo, PackRow, RunRow},
    format::{
        FORMAT,
        body::Records,
        header::{Header, Totals, VerifiedHeader},
        layout,
    },
    model::{Key, Lock, SnapshotId, Time},
    store::{Payload, Put, StoreError, StoreErrorKind, Version},
    vault::{VaultError, VaultErrorKind, fetch},
};

/// How often an object of a fixed name is put before the run gives up.
const ATTEMPTS: usize = 3;

/// Everything that the snapshot needs besides its packs, and what it cost.
#[derive(Default)]
pub(super) struct Closure {
    objects: Vec<(Key, Option<String>)>,
    /// Bytes that were put in this part of the run.
    pub(super) stored: u64,
}

impl Closure {
    /// Adds an object that is stored.
    pub(super) fn existing(&mut self, row: &ObjectRow) {
        if let Ok(key) = row.key.parse() {
            self.objects.push((key, row.version.clone()));
        }
    }
}

/// An object that is now stored under its name.
pub(super) struct Stored {
    pub(super) version: Option<String>,
    pub(super) lock: Option<Lock>,
}

/// Notes the header that is to be put: stopped between the put and the end, the next run knows it for its own.
fn expect(catalog: &mut Catalog, key: &Key, bytes: u64, warnings: &mut Vec<String>) -> ObjectRow {
    let noted = ObjectRow { key: key.to_string(), bytes, version: None, lock: None };
    if let Err(error) = catalog.expect_object(&noted) {
        let what = "the catalog could not note the snapshot, which the next run may take for another's";
        warnings.push(format!("{what}: {error}"));
    }
    noted
}

/// Remembers a snapshot that was made.
fn update(
    catalog: &mut Catalog,
    indexed: &[PackNo],
    lost: &[PackNo],
    (run, header): (&RunRow, &ObjectRow),
    left: Option<(serde_json::Value, Vec<Kept>)>,
    floor: Time,
) -> Result<(), CatalogError> {
    catalog.mark_indexed(indexed)?;
    catalog.record_run(run)?;
    catalog.remember_object(header)?;
    for no in lost {
        catalog.forget_pack(*no)?;
    }
    let Some((note, streams)) = left else { return Ok(()) };
    let memory = Memory { snapshot: run.snapshot, floor, note: note.to_string(), streams };
    catalog.remember(&run.source, &memory)
}

/// What the catalog keeps of a run.
fn row(header: &Header, snapshot: SnapshotId, bytes_read: u64, bytes_stored: u64) -> RunRow {
    let (source, finished) = (header.source.clone(), header.claimed_at);
    RunRow { seq: header.seq, snapshot, source, finished, bytes_read, bytes_stored }
}

impl Run<'_> {
    /// Writes what names and finds the packs of `outcome`, proves that all of it is locked, and commits.
    pub(super) fn commit(&self, catalog: &mut Catalog, outcome: Outcome) -> Result<Committed, VaultError> {
        self.stop_if_asked()?;
        self.place.progress.phase("committing", None);
        let mut closure = Closure::default();
        let indexed = self.indexes(catalog, &mut closure)?;
        let packs = catalog.packs(outcome.packs.iter().copied())?;
        let pages = self.pages(catalog, &packs, &mut closure)?;
        self.read_back(catalog, &packs, &closure)?;
        self.refuse_lapsed()?;
        self.stop_if_asked()?;
        let writer = &self.place.writer;
        let signals = self.request.judge.as_ref().map(|judge| judge(&self.observed(&outcome)));
        let signals = signals.transpose()?.unwrap_or_default();
        let header = Header {
            format: FORMAT.to_owned(),
            vault: writer.descriptor.vault,
            writer: writer.name.clone(),
            seq: self.heads.next_seq,
            prev: self.heads.ids.clone(),
            source: self.request.source.clone(),
            kind: self.request.kind,
            started_at: self.started_at,
            claimed_at: self.place.clock.now(),
            floor_until: self.locking.floor,
            expires_at: self.retention.expires_at,
            tier: self.retention.tier,
            full_at: Some(self.retention.full_at),
            journal: outcome.journal,
            signals,
            pages,
            indexes: indexed.live,
            body: outcome.body,
            totals: Totals {
                bytes: outcome.counts.bytes_read,
                streams: outcome.streams.count(),
                chunks: outcome.counts.chunks,
                packs: packs.len() as u64,
                packed: packs.iter().map(|p| p.bytes).sum(),
            },
            warnings: self.request.warnings.iter().cloned().chain(indexed.warnings).collect(),
            features: Vec::new(),
            descriptor: writer.embedded.descriptor.clone(),
            certificate: writer.embedded.certificate.clone(),
            epoch: writer.embedded.epoch.clone(),
        };
        let (id, public) = header.seal(&writer.signing_key)?;
        // A header that readers would refuse must not be taken for a backup.
        VerifiedHeader::open(public.bytes(), writer.descriptor.vault)?;
        let key = layout::header(&writer.name, header.seq, &id);
        let mut warnings = outcome.warnings;
        let mut noted = expect(catalog, &key, public.bytes().len() as u64, &mut warnings);
        let put = self.put_named(&key, &Payload::Public(public), &mut closure)?;
        if !self.locking.suffices(put.lock) {
            return Err(self.unprotected(&key, put.lock));
        }
        // From here on there is a snapshot. A catalog that can't be written costs space in the next run, not this one.
        let bytes_stored = outcome.counts.bytes_stored + closure.stored;
        let run = row(&header, id, outcome.counts.bytes_read, bytes_stored);
        let until = put.lock.map_or(header.expires_at, |lock| lock.until.max(header.expires_at));
        noted.lock = Some(Lock { mode: self.locking.mode, until });
        noted.version = put.version;
        let lost = &self.lost.packs;
        if let Err(error) = update(catalog, &indexed.packs, lost, (&run, &noted), outcome.left, header.floor_until) {
            warnings.push(format!("the catalog could not be brought up to date: {error}"));
        }
        warnings.extend(self.tidy_cache(catalog));
        Ok(Committed {
            levels: None,
            id,
            header,
            streams: outcome.streams,
            warnings,
            since: outcome.since,
            lost: self.lost.finding(&writer.name),
            bytes_new: outcome.counts.bytes_new,
            bytes_stored,
            chunks_new: outcome.counts.chunks_new,
            chunks_delta: outcome.counts.chunks_delta,
        })
    }

    fn observed<'b>(&self, outcome: &'b Outcome) -> Observed<'b> {
        Observed {
            at: self.started_at,
            streams: &outcome.streams,
            details: &outcome.details,
            fingerprints: &outcome.fingerprints,
            bytes_new: outcome.counts.bytes_new,
            bytes_stored: outcome.counts.bytes_stored,
        }
    }

    fn stop_if_asked(&self) -> Result<(), VaultError> {
        if self.place.cancel.is_cancelled() { Err(VaultError::cancelled()) } else { Ok(()) }
    }

    /// Stores an object whose name follows from its bytes, and reads its lock back. A put that stays unanswered is
    /// sent again as it is: if the name is then taken by these bytes, it had landed.
    pub(super) fn put_named(&self, key: &Key, payload: &Payload, closure: &mut Closure) -> Result<Stored, VaultError> {
        let store = &self.place.store;
        let mut attempt = 1;
        let version = loop {
            match self.runtime.block_on(store.put_new(key, payload, self.locking.on_put)) {
                Ok(Put::Created { version }) => {
                    closure.stored += payload.bytes().len() as u64;
                    break version.map(|v| v.as_str().to_owned());
                }
                Ok(Put::AlreadyThere) => {
                    let hash = crate::codec::hash::hash(payload.bytes());
                    let length = payload.bytes().len();
                    self.runtime.block_on(fetch::by_hash(&**store, key, None, &hash, length))?;
                    break None;
                }
                Err(error) if error.kind == StoreErrorKind::Unreachable && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        };
        let lock = self.lock_or_extend(key, version.as_deref())?;
        Ok(Stored { version, lock })
    }

    /// The lock of an object, extended first if it falls short and this run may extend it.
    pub(super) fn lock_or_extend(&self, key: &Key, version: Option<&str>) -> Result<Option<Lock>, VaultError> {
        let store = &self.place.store;
        let Told::Lock(lock) = self.runtime.block_on(locks::lock_of(&**store, key, version))? else { return Ok(None) };
        let version = version.map(Version::new);
        match self.locking.extend_to {
            Some(wanted) if !self.locking.suffices(lock) => {
                Ok(Some(self.runtime.block_on(store.extend_lock(key, version.as_ref(), wanted))?))
            }
            _ => Ok(lock),
        }
    }

    /// Reads the lock of everything that the snapshot needs (G11). What falls short is noted in the catalog, so that
    /// the next run stores it again.
    fn read_back(&self, catalog: &mut Catalog, packs: &[PackRow], closure: &Closure) -> Result<(), VaultError> {
        let store = &self.place.store;
        let read = |key: Key, version: Option<String>| async move {
            let lock = locks::lock_of(&**store, &key, version.as_deref()).await?;
            Ok::<_, StoreError>((key, lock))
        };
        let names = packs.iter().map(|p| (layout::pack(&self.place.writer.name, &p.id), p.version.clone()));
        let all: Vec<(Key, Option<String>)> = names.chain(closure.objects.iter().cloned()).collect();
        let locks: Vec<(Key, Told)> = self.runtime.block_on(
            stream::iter(all).map(|(key, version)| read(key, version)).buffered(store.at_once()).try_collect(),
        )?;
        let mut short = None;
        for (at, (key, lock)) in locks.into_iter().enumerate() {
            let Told::Lock(lock) = lock else {
                if let Some(pack) = packs.get(at) {
                    catalog.forget_pack(pack.no)?;
                }
                catalog.forget_object(key.as_str())?;
                let what = "this object was stored and is gone; no header was written, the next run stores it again";
                return Err(VaultError::new(VaultErrorKind::Damaged, what).on(key));
            };
            if !self.locking.suffices(lock) {
                if let Some(pack) = packs.get(at) {
                    catalog.set_lock(pack.no, lock)?;
                }
                catalog.forget_object(key.as_str())?;
                short = Some(self.unprotected(&key, lock));
            }
        }
        short.map_or(Ok(()), Err)
    }

    /// Fails if the run took longer than what it promises: locks that reach its floor may be over.
    fn refuse_lapsed(&self) -> Result<(), VaultError> {
        let now = self.runtime.block_on(self.place.store.server_time())?;
        if !self.locking.lapsed(now) {
            return Ok(());
        }
        let (began, floor) = (self.started_at, self.locking.floor);
        let what = format!(
            "the run began at {began} and lasted until {now}, longer than its snapshot would be kept (until {floor}): what it \
             stored may be unlocked by now. No header was written; the next run reuses what still has a lock"
        );
        Err(VaultError::new(VaultErrorKind::Unprotected, what))
    }

    /// The error of an object whose lock does not reach the floor.
    pub(super) fn unprotected(&self, key: &Key, lock: Option<Lock>) -> VaultError {
        let has =
            lock.map_or_else(|| "no lock".to_owned(), |l| format!("a {} lock until {}", l.mode.as_str(), l.until));
        let what = format!("this object has {has}, but the snapshot promises {}", self.locking.floor);
        VaultError::new(VaultErrorKind::Unprotected, what).on(key)
    }
}
