//! The locks of what is in the place that a copy goes to.

use std::sync::{PoisonError, atomic::Ordering};

use super::{Object, Place, Trouble, cannot_lock};
use crate::{
    format::{copied::Copied, layout},
    model::{Lock, Time},
    store::StoreErrorKind,
    vault::{Result, fetch, stock::Id},
};

/// Locks that are less than was promised.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Less {
    /// Objects that have none.
    pub none: u64,
    /// Objects whose lock ends too early.
    pub short: u64,
    /// Objects whose lock lasts, and which a principal with a special right can lift, though it should not.
    pub weak: u64,
}

impl Less {
    /// All of them.
    #[must_use]
    pub const fn objects(&self) -> u64 {
        self.none + self.short + self.weak
    }
}

impl Place<'_> {
    /// When the lock of an object ends that is there, as far as that can be read.
    pub(in crate::vault::copying) async fn ends(&self, object: &Object) -> Result<Time> {
        let key = object.key();
        let version = self.held().get(&Id::of(key.as_str())).and_then(|held| held.version.clone());
        match self.store.lock_of(&key, version.as_ref()).await {
            Ok(lock) => Ok(lock.map_or(Time::from_unix(0), |lock| lock.until)),
            Err(error) if error.is_not_found() || fetch::is_unreadable(error.kind) || cannot_lock(&error) => {
                Ok(Time::from_unix(0))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the record of a lock anew that can't be read any more. Until then the object counted as locked, whatever was
    /// in it; its bytes were seen to be right.
    async fn anew(&self, object: &Object, until: Time) -> Result<std::result::Result<Option<Lock>, String>> {
        let (key, lock) = (object.key(), Lock { mode: self.policy.mode, until });
        let Some(mender) = self.mender.filter(|_| !self.look_only) else {
            return Ok(Err("the record of it is damaged".to_owned()));
        };
        let bytes = match fetch::by_hash(self.store, &key, None, &object.hash, object.limit).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_of_object() => return Ok(Err(error.what)),
            Err(error) => return Err(error),
        };
        let copied = match self.vault.filter(|_| key == layout::descriptor()) {
            Some(vault) => Copied::descriptor(vault, bytes),
            None => Copied::of(&key, bytes),
        };
        let Some(copied) = copied else { return Ok(Err("the object is not what was signed".to_owned())) };
        let made = match mender.put_again(&key, &copied, Some(lock)).await {
            Ok(_) => self.store.lock_of(&key, None).await,
            Err(error) => Err(error),
        };
        match made {
            Ok(lock) => {
                self.records.lock().unwrap_or_else(PoisonError::into_inner).push(key);
                Ok(Ok(lock))
            }
            Err(error) if fetch::is_unreadable(error.kind) => Ok(Err(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the lock of an object that is there, and extends it to `ask` if it ends before `required`. Returns when it
    /// ends; where it can't reach and need not, too.
    pub(in crate::vault::copying) async fn lock(
        &self,
        object: &Object,
        required: Time,
        ask: Time,
    ) -> Result<std::result::Result<Option<Time>, Trouble>> {
        let key = object.key();
        let id = Id::of(key.as_str());
        let Some(held) = self.held().get(&id).cloned() else {
            return Ok(Err(Trouble::Short("can't be read: the object is not there any more".to_owned())));
        };
        if held.locked.is_some_and(|until| until >= required) {
            return Ok(Ok(held.locked));
        }
        let version = held.version.as_ref();
        let wanted = Lock { mode: self.policy.mode, until: required };
        let mut found = match self.store.lock_of(&key, version).await {
            Ok(lock) => lock,
            Err(error) if error.is_not_found() => {
                self.held().remove(&id);
                return Ok(Err(Trouble::Short("can't be read: the object is not there any more".to_owned())));
            }
            // A bucket without locks has none to tell of.
            Err(error) if self.as_possible && cannot_lock(&error) => None,
            Err(error) if error.kind == StoreErrorKind::Corrupt && self.mender.is_some() => {
                match self.anew(object, ask.max(required)).await? {
                    Ok(lock) => lock,
                    Err(why) => return Ok(Err(Trouble::Short(format!("can't be read: {error}; {why}")))),
                }
            }
            Err(error) if fetch::is_unreadable(error.kind) || error.kind == StoreErrorKind::Corrupt => {
                return Ok(Err(Trouble::Short(format!("can't be read: {error}"))));
            }
            Err(error) => return Err(error.into()),
        };
        if required <= self.now {
            // What was promised is over; only a record that nobody can read was to be made anew.
            return Ok(Ok(found.map(|lock| lock.until)));
        }
        let mut refused = None;
        if !reaches(found, wanted) && !self.lockless.load(Ordering::Relaxed) && !self.look_only {
            let lock = Lock { mode: self.policy.mode, until: ask.max(required) };
            match self.store.extend_lock(&key, version, lock).await {
                Ok(lock) => {
                    found = Some(lock);
                    self.extended.fetch_add(1, Ordering::Relaxed);
                    // What a put gets by itself is too short here.
                    self.explicit.store(true, Ordering::Relaxed);
                }
                Err(error) if fetch::is_unreadable(error.kind) => refused = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        if reaches(found, wanted) || self.as_possible {
            let until = found.map(|lock| lock.until);
            if !reaches(found, wanted) {
                let mut less = self.less.lock().unwrap_or_else(PoisonError::into_inner);
                let count = match until {
                    None => &mut less.none,
                    Some(until) if until < required => &mut less.short,
                    Some(_) => &mut less.weak,
                };
                *count += 1;
            }
            self.seen(until.unwrap_or(Time::from_unix(0)));
            if let Some(held) = self.held().get_mut(&id) {
                held.locked = until;
            }
            return Ok(Ok(until));
        }
        let has = found.map_or_else(
            || "is missing".to_owned(),
            |lock| format!("is of mode {} and ends {}", lock.mode.as_str(), lock.until),
        );
        let why = refused.map(|error| format!("; it can't be extended: {error}")).unwrap_or_default();
        Ok(Err(Trouble::Short(format!("{has}, and {} until {required} is promised{why}", wanted.mode.as_str()))))
    }
}

fn reaches(found: Option<Lock>, wanted: Lock) -> bool {
    found.is_some_and(|lock| lock.until >= wanted.until && lock.mode.covers(wanted.mode))
}
