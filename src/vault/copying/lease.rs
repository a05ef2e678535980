//! The record that headers are being copied here: put before they are, and again while that goes on.

use std::collections::BTreeMap;

use tokio::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{
    codec::hash,
    format::{
        FormatError,
        copied::{CopyRecord, RECORD_LIMIT},
    },
    model::{Hash, Key, Lock, LockMode, Name, Span, Time, VaultId},
    store::{ObjectStore, Payload, Put, StoreErrorKind},
    vault::{Result, VaultErrorKind, fetch},
};

/// For how long a record speaks.
const LENGTH: Span = Span::seconds(2 * 3600);
/// What is left of that when the next one is put: longer than a header takes.
const LEFT: Span = Span::seconds(1800);
/// So often another second is tried where something else has a record's name.
const TRIES: usize = 16;
/// The target's clock is not asked again before.
const ASKED: Duration = Duration::from_mins(1);

/// Keeps a record in force.
pub(super) struct Lease<'a> {
    store: &'a dyn ObjectStore,
    word: Word,
    /// The record that is there already.
    last: Option<CopyRecord>,
    /// What the record is locked with, where it can be.
    lock: Option<(LockMode, Time)>,
    held: Mutex<Held>,
}

/// What a record says besides its times.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) vault: VaultId,
    pub(super) from: String,
    pub(super) part: bool,
    pub(super) unhealed: bool,
    /// Whether locks here may be less than what is promised.
    pub(super) less_locked: bool,
    /// Of a part: what was here as a whole before.
    pub(super) had: BTreeMap<Name, u64>,
}

impl Word {
    /// That of a repair, which puts none.
    pub(super) const fn default_of(vault: VaultId) -> Self {
        Self { vault, from: String::new(), part: false, unhealed: false, less_locked: false, had: BTreeMap::new() }
    }

    fn is_that_of(&self, record: &CopyRecord) -> bool {
        self.vault == record.vault
            && (self.from.as_str(), self.part) == (record.from.as_str(), record.part)
            && (self.unhealed, self.less_locked) == (record.unhealed, record.less_locked)
            && self.had == record.had
    }
}

/// The record that is in force, and when the target's clock said so.
#[derive(Default)]
struct Held {
    begins: Option<Time>,
    ends: Option<Time>,
    asked: Option<Instant>,
}

impl<'a> Lease<'a> {
    pub(super) fn new(
        store: &'a dyn ObjectStore,
        word: Word,
        (lock, last): (Option<(LockMode, Time)>, Option<CopyRecord>),
    ) -> Self {
        Self { store, word, last, lock, held: Mutex::default() }
    }

    /// Sees to it that a record is in force for a while from now on.
    pub(super) async fn hold(&self) -> Result<()> {
        let mut held = self.held.lock().await;
        if held.ends.is_some() && held.asked.is_some_and(|asked| asked.elapsed() < ASKED) {
            return Ok(());
        }
        let asked = Instant::now();
        let now = self.store.server_time().await?;
        if held.ends.is_some_and(|ends| now + LEFT < ends) {
            held.asked = Some(asked);
            return Ok(());
        }
        let begins = self.begins(now);
        let (begins, ends) = self.put(self.word.clone(), (begins, begins + LENGTH)).await?;
        *held = Held { begins: Some(begins), ends: Some(ends), asked: Some(asked) };
        Ok(())
    }

    /// Puts a record that says what it says, and speaks of no time.
    pub(super) async fn say(&self, now: Time) -> Result<()> {
        let begins = self.begins(now);
        self.put(self.word.clone(), (begins, begins)).await.map(drop)
    }

    /// Says what this pass came to, if that is something else than what the record says that is in force: newer than that.
    pub(super) async fn conclude(&self, (whole, less_locked): (bool, bool)) -> Result<()> {
        let held = self.held.lock().await;
        let part = self.word.part && !whole;
        let had = if part { self.word.had.clone() } else { BTreeMap::new() };
        let word = Word { part, less_locked, had, ..self.word.clone() };
        let stands = match (held.begins, &self.last) {
            (Some(_), _) => (self.word.part, self.word.less_locked),
            (None, Some(last)) => (last.part, last.less_locked),
            // Nothing was put, so nothing is said.
            (None, None) => return Ok(()),
        };
        if stands.1 == less_locked && (!whole || !stands.0) {
            return Ok(());
        }
        let now = self.store.server_time().await?;
        let before = held.begins.max(self.last.as_ref().map(|last| last.begins));
        let begins = before.map_or(now, |before| now.max(before + Span::seconds(1)));
        self.put(word, (begins, begins)).await.map(drop)
    }

    /// A record that says something else than the last one is newer than that, also within one second.
    fn begins(&self, now: Time) -> Time {
        let last = self.last.as_ref().filter(|last| !self.word.is_that_of(last));
        last.map_or(now, |last| now.max(last.begins + Span::seconds(1)))
    }

    /// Puts a record. Gives its times: later ones, where something else has its name.
    async fn put(&self, word: Word, (mut begins, mut ends): (Time, Time)) -> Result<(Time, Time)> {
        let Word { vault, from, part, unhealed, less_locked, had } = word;
        for _ in 0..TRIES {
            let new = CopyRecord::new(vault, from.clone(), (begins, ends), part);
            let record = CopyRecord { unhealed, less_locked, had: had.clone(), ..new };
            let (key, public) = match record.encode() {
                // Of very many writers nothing is said: then what is missing is not known from what was not copied.
                Err(FormatError::TooLarge { .. }) => CopyRecord { had: BTreeMap::new(), ..record }.encode()?,
                other => other?,
            };
            let wanted = hash::hash(public.bytes());
            let payload = Payload::Public(public);
            let lock = self.lock.map(|(mode, until)| Lock { mode, until });
            let put = match self.store.put_new(&key, &payload, lock).await {
                Err(error) if matches!(error.kind, StoreErrorKind::Unsupported | StoreErrorKind::Invalid) => {
                    self.store.put_new(&key, &payload, None).await?
                }
                other => other?,
            };
            // The same record of another copier of the same second is as good. A damaged one says nothing.
            if matches!(put, Put::Created { .. }) || self.is_there(&key, &wanted).await? {
                break;
            }
            (begins, ends) = (begins + Span::seconds(1), ends + Span::seconds(1));
        }
        Ok((begins, ends))
    }

    async fn is_there(&self, key: &Key, wanted: &Hash) -> Result<bool> {
        match fetch::by_hash(self.store, key, None, wanted, RECORD_LIMIT).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == VaultErrorKind::Damaged => Ok(false),
            // Whoever may only put can't look.
            Err(error) if error.is_of_object() => Ok(true),
            Err(error) => Err(error),
        }
    }
}
