//! The proof that a store holds its locks (G1), by a principal that may delete: a locked canary must survive, and a
//! control that nothing locks must not, or the refusal would prove nothing but a missing permission.
//!
//! Where a bucket's default locks what is put, nothing can be put that is not locked. But a delete marker never is: one
//! on the canary itself is the control there, as it takes the same permission on the same key.

use serde::Serialize;

use super::{OpsError, Result};
use crate::{
    codec::{hash, seal::Sealer},
    format::layout,
    model::{Key, Lock, LockMode, Name, Span, Time},
    store::{Deleter, ObjectStore, Payload, Put, StoreError, StoreErrorKind, Version},
};

/// How long the canary is locked, where its lock can be chosen.
const CANARY: Span = Span::days(1);

/// One check of the proof. A check that fails ends the proof, so only passed ones are listed.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Its stable name.
    pub name: &'static str,
    /// How it went: `ok`.
    pub status: &'static str,
    /// What happened.
    pub detail: String,
}

/// A proof that succeeded.
#[derive(Debug, Clone, Serialize)]
pub struct LockProof {
    /// When, by the store's clock.
    pub at: Time,
    /// The store.
    pub url: String,
    /// The canary that stays.
    pub canary: String,
    /// Its version, where the store has versions.
    pub canary_version: Option<String>,
    /// Until when the canary is locked.
    pub locked_until: Time,
    /// What was checked, in order.
    pub checks: Vec<Check>,
}

/// What is needed for a proof.
pub struct Prover<'a> {
    /// The store.
    pub store: &'a dyn ObjectStore,
    /// The right to delete in it.
    pub deleter: &'a dyn Deleter,
    /// Under whose name canaries are put.
    pub member: &'a Name,
    /// What canaries are sealed with; nobody needs to open them.
    pub sealer: &'a Sealer,
    /// How strongly the vault's locks must be held.
    pub mode: LockMode,
    /// The lock that a new object must have by default; `None` where each put asks for its lock.
    pub default: Option<Lock>,
    /// Now, by the store's clock.
    pub at: Time,
}

impl Prover<'_> {
    /// Runs the proof.
    ///
    /// # Errors
    /// `LockNotEnforced` with the check that failed, or the store's error if a check could not run.
    pub async fn prove(&self) -> Result<LockProof> {
        let mut checks = Vec::new();
        let mut passed = |name, detail| checks.push(Check { name, status: "ok", detail });

        let (key, payload, version) = self.put(self.asked()).await?;
        let version = version.as_ref();
        let lock = self.locked(&key, version).await?;
        passed("canary-locked", format!("a {} lock until {}", lock.mode.as_str(), lock.until));

        match self.store.put_new(&key, &payload, self.asked()).await? {
            Put::AlreadyThere => passed("taken-name-refused", format!("a second put of {key} changed nothing")),
            Put::Created { .. } => {
                let detail = format!("a second put of {key} was taken: the store ignores If-None-Match");
                return Err(self.failed("taken-name-refused", detail));
            }
        }

        let refusal = match self.deleter.delete_version(&key, version).await {
            Ok(()) => return Err(self.failed("canary-delete-refused", format!("the locked {key} could be deleted"))),
            Err(error) if matches!(error.kind, StoreErrorKind::Locked | StoreErrorKind::Denied) => error,
            Err(error) => return Err(error.into()),
        };
        passed("canary-delete-refused", refusal.to_string());

        match self.store.get(&key, version, None).await {
            Ok(bytes) if bytes == *payload.bytes() => passed("canary-survives", format!("{key} is as it was")),
            Ok(_) => return Err(self.failed("canary-survives", format!("{key} has other bytes now"))),
            Err(error) => return Err(self.failed("canary-survives", format!("{key} can't be read back: {error}"))),
        }

        let plain = self.store.traits().explicit_locks;
        let deleted = if plain { self.unlocked().await? } else { self.marker(&key, &payload).await? };
        passed("control-deleted", deleted);
        Ok(LockProof {
            at: self.at,
            url: self.store.url(),
            canary: key.to_string(),
            canary_version: version.map(ToString::to_string),
            locked_until: lock.until,
            checks,
        })
    }

    /// A control that was put without a lock.
    async fn unlocked(&self) -> Result<String> {
        let (control, _, control_version) = self.put(None).await?;
        let deleted = self.deleter.delete_version(&control, control_version.as_ref()).await;
        deleted.map_err(|error| self.control(&error))?;
        match self.store.get(&control, control_version.as_ref(), None).await {
            Err(error) if error.is_not_found() => Ok(format!("{control} had no lock and was deleted")),
            Ok(_) => Err(self.failed("control-deleted", format!("{control} is still there after its deletion"))),
            Err(error) => Err(error.into()),
        }
    }

    /// A control that hides the canary for a moment.
    async fn marker(&self, key: &Key, payload: &Payload) -> Result<String> {
        let marker = self.deleter.hide(key).await.map_err(|error| self.control(&error))?;
        match self.store.get(key, None, None).await {
            Err(error) if error.is_not_found() => {}
            Ok(_) => return Err(self.failed("control-deleted", format!("a delete marker does not hide {key}"))),
            Err(error) => return Err(error.into()),
        }
        self.deleter.delete_version(key, Some(&marker)).await.map_err(|error| self.control(&error))?;
        match self.store.get(key, None, None).await {
            Ok(bytes) if bytes == *payload.bytes() => {
                Ok(format!("a delete marker on {key} was deleted again: only its lock kept the canary"))
            }
            Ok(_) => Err(self.failed("control-deleted", format!("{key} has other bytes now"))),
            Err(error) => Err(self.failed("control-deleted", format!("{key} stays hidden: {error}"))),
        }
    }

    /// The lock that the canary is put with; none where the store's default applies.
    fn asked(&self) -> Option<Lock> {
        self.default.is_none().then(|| Lock { mode: self.mode, until: self.at + CANARY })
    }

    async fn put(&self, lock: Option<Lock>) -> Result<(Key, Payload, Option<Version>)> {
        let sealed = self.sealer.seal(b"strongroom canary")?;
        // Sealed bytes are never the same twice, so their hash makes a fresh name.
        let random = hash::hash(sealed.bytes()).to_string();
        let (key, payload) = (layout::canary(self.member, self.at, &random), Payload::Sealed(sealed));
        let put = match self.store.put_new(&key, &payload, lock).await {
            Err(error) if lock.is_some() && error.kind == StoreErrorKind::Unsupported => {
                return Err(self.failed("canary-locked", error.to_string()));
            }
            other => other?,
        };
        match put {
            Put::Created { version } => Ok((key, payload, version)),
            Put::AlreadyThere => {
                Err(StoreError::new(StoreErrorKind::Corrupt, "put: the store says that a random name is taken")
                    .on(&key)
                    .into())
            }
        }
    }

    async fn locked(&self, key: &Key, version: Option<&Version>) -> Result<Lock> {
        let name = "canary-locked";
        let Some(lock) = self.store.lock_of(key, version).await? else {
            return Err(self.failed(name, format!("{key} was put and has no lock")));
        };
        let wanted = self.default.or(self.asked()).map_or(self.at, |lock| lock.until);
        if !lock.mode.covers(self.mode) || lock.until < wanted {
            let has = format!("a {} lock until {}", lock.mode.as_str(), lock.until);
            let asked = format!("{} until {wanted} at least", self.mode.as_str());
            return Err(self.failed(name, format!("{key} has {has}, not {asked}")));
        }
        Ok(lock)
    }

    fn failed(&self, check: &'static str, detail: String) -> OpsError {
        OpsError::LockNotEnforced { url: self.store.url(), check, detail }
    }

    /// Without a control that goes, the canary's survival proves nothing.
    fn control(&self, error: &StoreError) -> OpsError {
        self.failed("control-deleted", format!("what has no lock could not be deleted either: {error}"))
    }
}

#[cfg(test)]
#[path = "lock_proof/tests.rs"]
mod tests;
