//! Putting pieces of a log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use crate::{
    format::{
        journal::{Effort, HistoryRecord, Origin, Packed, Record, SealedObject},
        layout::{self, ObjectName},
    },
    model::{
        Hash, Key, Lock, LockBy, Name, Span as Duration, Time,
        journal::{Line, Piece, Position, Reach, Span},
    },
    store::{Entry, Payload, Put as StorePut, StoreError, StoreErrorKind},
    vault::{
        Result, VaultError, VaultErrorKind,
        journal::list::prefixes,
        writer::{Workplace, refuse_skew, upload::Locking},
    },
};

/// How often an object is sealed again when its put stayed unanswered.
const ATTEMPTS: usize = 3;
/// How long the difference between the store's clock and this host's is believed.
const BELIEVED: Duration = Duration::seconds(600);

/// A stretch of a log, which several may hold without a copy of it.
pub type Log = Bytes;

/// A stretch of a log that is to be put.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// Where it lies.
    pub span: Span,
    /// Its bytes.
    pub log: Log,
    /// Their hash, where that is known.
    pub hash: Option<Hash>,
    /// Before when all that was committed is in it and what is before it, where that is known.
    pub covers: Option<Time>,
}

/// A piece that only needs to be put: its log is compressed, and let go of.
#[derive(Debug)]
pub struct Ready {
    line: Line,
    span: Span,
    packed: Arc<Packed>,
}

impl Ready {
    /// How many bytes of memory it takes; about twice as many while it is put.
    #[must_use]
    pub fn size(&self) -> usize {
        self.packed.size()
    }
}

/// A piece that the store has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The piece.
    pub piece: Piece,
    /// Its sealed bytes.
    pub bytes: u64,
    /// The lock that the store gave it, read back.
    pub lock: Option<Lock>,
}

/// Puts the log of one source, piece by piece. Needs what a backup needs: the writer's key and a store that it may put
/// into. It opens nothing. Several pieces may be put at once.
pub struct JournalWriter {
    place: Workplace,
    source: Name,
    keep: Duration,
    /// When the store's clock was asked, by this host's, and what it said.
    clock: Mutex<Option<(Time, Time)>>,
    /// Where the newest piece of each line ends that was acknowledged, and its name.
    last: Mutex<BTreeMap<Line, (Position, Hash)>>,
}

impl JournalWriter {
    /// A writer of the journal of `source`, whose pieces are promised to live for `keep`, or for as long as the vault's
    /// policy says.
    ///
    /// # Errors
    /// `Invalid` if that is more than the policy promises, or the writer's certificate does not name the source.
    pub fn new(place: Workplace, source: Name, keep: Option<Duration>) -> Result<Self> {
        let policy = &place.writer.descriptor.lock;
        let keep = keep.unwrap_or(policy.keep);
        if keep > policy.keep {
            let what = format!("keep = {keep} is more than the vault's policy promises ({})", policy.keep);
            return Err(VaultError::new(VaultErrorKind::Invalid, what));
        }
        if !place.writer.certificate.may_write(&source) {
            let what = format!("the certificate of writer {} does not let it write source {source}", place.writer.name);
            return Err(VaultError::new(VaultErrorKind::Invalid, what));
        }
        Ok(Self { place, source, keep, clock: Mutex::default(), last: Mutex::default() })
    }

    /// The source whose log it puts.
    #[must_use]
    pub fn source(&self) -> &Name {
        &self.source
    }

    /// Puts `log`, the stretch `span` of a line, made `at`. When it returns, the piece is stored and its lock was read
    /// back. A put that stays unanswered is sealed again under a new name: both hold the same.
    ///
    /// # Errors
    /// If the store does not take it, or does not lock it for long enough. Then it may be there all the same, and putting
    /// it again, alone or within a longer piece, is right.
    pub async fn put(&self, line: &Line, span: Span, log: &[u8], at: Time) -> Result<Put> {
        let stretch = Stretch { span, log: Bytes::copy_from_slice(log), hash: None, covers: None };
        self.put_stretch(line, stretch, at).await
    }

    /// The same of a stretch of which more is known.
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub async fn put_stretch(&self, line: &Line, stretch: Stretch, at: Time) -> Result<Put> {
        self.put_ready(self.pack(line, stretch, Effort::Usual, at)?).await
    }

    /// The first half of a put, which needs a processor and no store: what is ready need only be put. Blocks.
    ///
    /// # Errors
    /// If the stretch is none that a piece can be.
    pub fn pack(&self, line: &Line, stretch: Stretch, effort: Effort, at: Time) -> Result<Ready> {
        let Stretch { span, log, hash, covers } = stretch;
        let previous = self.last().get(line).filter(|(end, _)| *end == span.from).map(|(_, hash)| *hash);
        let plain = (log.len() as u64, hash.unwrap_or_else(|| crate::codec::hash::hash(&log)));
        let record = Record { covers, ..Record::of(&self.origin(line), span, plain, previous, at) };
        Ok(Ready { line: line.clone(), span, packed: Arc::new(record.pack(&log, effort)?) })
    }

    /// The second half of a [`put`](Self::put), which waits for the store.
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub async fn put_ready(&self, ready: Ready) -> Result<Put> {
        let Ready { line, span, packed } = ready;
        let writer = Arc::clone(&self.place.writer);
        let seal = move || Ok(packed.seal(&writer.signing_key, &writer.pack_sealer)?);
        let named = |hash: Hash| self.piece(&line, span, hash);
        let (hash, bytes, lock) = self.store(seal, |hash| layout::piece(&named(*hash))).await?;
        let mut last = self.last();
        let newest = last.entry(line.clone()).or_insert((span.to, hash));
        if newest.0 <= span.to {
            *newest = (span.to, hash);
        }
        drop(last);
        Ok(Put { piece: named(hash), bytes, lock })
    }

    /// Puts the history of a line's timeline, as the server has it. Whoever restores needs one of them; more do no harm.
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub async fn put_history(&self, line: &Line, history: &[u8], at: Time) -> Result<Hash> {
        let record = Arc::new(HistoryRecord::new(&self.origin(line), history, at));
        let history = Bytes::copy_from_slice(history);
        let writer = Arc::clone(&self.place.writer);
        let seal = move || Ok(record.seal(&history, &writer.signing_key, &writer.pack_sealer)?);
        let key = |hash: &Hash| layout::history(&self.place.writer.name, &self.source, line, hash);
        self.store(seal, key).await.map(|(hash, ..)| hash)
    }

    /// What the store lists of this writer, source and line. What a writer lists are names: nothing says that they hold
    /// what they say, so what it was acknowledged itself is the better memory.
    ///
    /// # Errors
    /// If the store can't be listed.
    pub async fn covered(&self, line: &Line) -> Result<Reach> {
        let mut reach = Reach::default();
        let prefix = layout::journal(&self.place.writer.name, &self.source, line);
        self.place
            .store
            .list(&prefix, &mut |entry| {
                if let Some(ObjectName::Piece(piece)) = layout::parse(&entry.key) {
                    reach.add(piece.span);
                }
            })
            .await?;
        Ok(reach)
    }

    /// What the store lists of this writer, source and line, of pieces that begin within `span`, by names as in
    /// [`covered`](Self::covered).
    ///
    /// # Errors
    /// If the store can't be listed.
    pub async fn covered_within(&self, line: &Line, span: Span) -> Result<Reach> {
        let mut reach = Reach::default();
        let line = layout::journal(&self.place.writer.name, &self.source, line);
        for prefix in prefixes(&line, span.from.0, span.to.0.saturating_sub(1)) {
            let mut add = |entry: Entry| {
                if let Some(ObjectName::Piece(piece)) = layout::parse(&entry.key) {
                    reach.add(piece.span);
                }
            };
            self.place.store.list(&prefix, &mut add).await?;
        }
        Ok(reach)
    }

    /// Whether the store lists a history of this writer, source and line.
    ///
    /// # Errors
    /// If the store can't be listed.
    pub async fn has_history(&self, line: &Line) -> Result<bool> {
        let prefix = format!("{}history-", layout::journal(&self.place.writer.name, &self.source, line));
        let mut found = false;
        self.place.store.list(&prefix, &mut |_| found = true).await?;
        Ok(found)
    }

    fn origin(&self, line: &Line) -> Origin {
        let writer = &self.place.writer;
        let (source, line) = (self.source.clone(), line.clone());
        Origin { vault: writer.descriptor.vault, writer: writer.name.clone(), source, line }
    }

    fn piece(&self, line: &Line, span: Span, hash: Hash) -> Piece {
        let (writer, source) = (self.place.writer.name.clone(), self.source.clone());
        Piece { writer, source, line: line.clone(), span, hash }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, BTreeMap<Line, (Position, Hash)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the store's time, before several puts at once do.
    ///
    /// # Errors
    /// If it can't be had, or is too far from this host's.
    pub async fn look_at_clock(&self) -> Result<()> {
        self.now().await.map(drop)
    }

    /// The time by the store's clock, which is asked now and then: a flush every few seconds is not to double its calls.
    async fn now(&self) -> Result<Time> {
        let here = self.place.clock.now();
        let asked = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, there)) = asked.filter(|(then, _)| *then <= here && here < *then + BELIEVED) {
            return Ok(there + here.since(then));
        }
        let store = &self.place.store;
        let there = store.server_time().await?;
        refuse_skew(store.traits().trusted_time, here, there)?;
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some((here, there));
        Ok(there)
    }

    /// What is asked of the lock of an object that is put now: the same as of a pack.
    async fn locking(&self) -> Result<Locking> {
        let (policy, now) = (&self.place.writer.descriptor.lock, self.now().await?);
        let explicit = policy.by == LockBy::Explicit || self.place.store.traits().explicit_locks;
        let lock = explicit.then(|| policy.lock_from(now));
        Ok(Locking { on_put: lock, floor: now + self.keep, mode: policy.mode, extend_to: lock })
    }

    /// Seals, puts, and reads the lock back.
    async fn store(
        &self,
        seal: impl Fn() -> Result<SealedObject> + Send + Sync + 'static,
        key: impl Fn(&Hash) -> Key,
    ) -> Result<(Hash, u64, Option<Lock>)> {
        let (seal, store) = (Arc::new(seal), &self.place.store);
        let mut attempt = 1;
        loop {
            if self.place.cancel.is_cancelled() {
                return Err(VaultError::cancelled());
            }
            let locking = self.locking().await?;
            let sealing = Arc::clone(&seal);
            let sealed = tokio::task::spawn_blocking(move || sealing()).await;
            let SealedObject { hash, sealed } = sealed.map_err(|_| VaultError::stage_gone("sealing"))??;
            let (key, bytes) = (key(&hash), sealed.bytes().len() as u64);
            let failure = match store.put_new(&key, &Payload::Sealed(sealed), locking.on_put).await {
                Ok(StorePut::Created { version }) => {
                    let lock = store.lock_of(&key, version.as_ref()).await?;
                    locking.check(&key, lock)?;
                    return Ok((hash, bytes, lock));
                }
                // A fresh name that is taken: an earlier try of ours landed, or somebody guessed it. Neither can be told
                // from here, so what is there is not believed.
                Ok(StorePut::AlreadyThere) => {
                    StoreError::new(StoreErrorKind::Unreachable, "the name of this object was taken").on(&key)
                }
                Err(error) if error.kind == StoreErrorKind::Unreachable => error,
                Err(error) => return Err(error.into()),
            };
            if attempt == ATTEMPTS {
                return Err(failure.into());
            }
            attempt += 1;
        }
    }
}
