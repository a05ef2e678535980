//! Putting signed documents into a vault: locked like everything in it, and read back.

use super::{OpsError, Result};
use crate::{
    model::{Key, Lock, LockBy, LockPolicy, Time},
    store::{ObjectStore, Payload, Put},
};

/// What a store's own default lock may fall short of ours: it begins a moment before or after, in whole days.
const SLACK: i64 = 86_400;

/// Puts documents into one vault under its policy.
pub struct Publisher<'a> {
    store: &'a dyn ObjectStore,
    explicit: bool,
    lock: Lock,
}

impl<'a> Publisher<'a> {
    /// A publisher for documents of a run that began `at`, by the store's clock.
    #[must_use]
    pub fn new(store: &'a dyn ObjectStore, policy: &LockPolicy, at: Time) -> Self {
        let explicit = policy.by == LockBy::Explicit || store.traits().explicit_locks;
        Self { store, explicit, lock: policy.lock_from(at) }
    }

    /// Whether each put asks for its lock.
    #[must_use]
    pub fn explicit(&self) -> bool {
        self.explicit
    }

    /// The lock that a document gets.
    #[must_use]
    pub fn lock(&self) -> Lock {
        self.lock
    }

    /// The lock that a document must have when it is read back.
    #[must_use]
    pub fn wanted(&self) -> Lock {
        let slack = if self.explicit { 0 } else { SLACK };
        Lock { until: Time::from_unix(self.lock.until.unix().saturating_sub(slack)), ..self.lock }
    }

    /// Stores a document under a new name and reads back that it is locked as long as it should be; returns the lock.
    /// `None` if the name is taken.
    ///
    /// # Errors
    /// `LockNotEnforced`, or the store's.
    pub async fn put(&self, key: &Key, payload: &Payload) -> Result<Option<Lock>> {
        let asked = self.explicit.then_some(self.lock);
        let version = match self.store.put_new(key, payload, asked).await? {
            Put::Created { version } => version,
            Put::AlreadyThere => return Ok(None),
        };
        let lock = self.store.lock_of(key, version.as_ref()).await?;
        let wanted = self.wanted().until;
        if let Some(lock) = lock.filter(|lock| lock.mode.covers(self.lock.mode) && lock.until >= wanted) {
            return Ok(Some(lock));
        }
        let has =
            lock.map_or_else(|| "no lock".to_owned(), |l| format!("a {} lock until {}", l.mode.as_str(), l.until));
        let detail = format!("{key} has {has}, not {} until {wanted}", self.lock.mode.as_str());
        Err(OpsError::LockNotEnforced { url: self.store.url(), check: "documents-locked", detail })
    }
}
