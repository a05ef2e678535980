//! Reading and extending locks.

use std::time::Duration;

use aws_sdk_s3::types::{ObjectLockRetention, ObjectLockRetentionMode};

use super::{Call, S3Store, stamp, time};
use crate::{
    model::{Key, Lock, LockMode},
    store::{Enforcement, Result, StoreError, StoreErrorKind as Kind, Version, rules::extended},
};

/// How often an extension is repeated whose result falls short: somebody else extended the same version meanwhile,
/// and the server kept the lesser.
const EXTENSIONS: usize = 3;

/// How soon an object that was just put is asked for again, if the server does not know it; longer and longer.
const SETTLES: Duration = Duration::from_millis(200);
/// The longest of these pauses.
const SETTLED: Duration = Duration::from_millis(1600);

impl S3Store {
    pub(super) async fn read_lock(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>> {
        let call = Call { what: "lock of", needs: "s3:GetObjectRetention", object: key.as_str() };
        let request = self
            .client()
            .get_object_retention()
            .bucket(self.bucket())
            .key(self.full(key))
            .set_version_id(version.map(ToString::to_string));
        match request.send().await {
            Ok(answer) => {
                let lock = answer.retention().map_or(Ok(None), |retention| read(retention, key))?;
                Ok(match lock {
                    Some(_) if self.locks_bind().await? == Enforcement::Absent => None,
                    lock => lock,
                })
            }
            Err(error) => {
                let facts = self.facts(&error);
                if !facts.is_unlocked() {
                    return Err(self.told(&call, &facts));
                }
                // SeaweedFS calls a key behind a delete marker unlocked, too.
                if version.is_none() && matches!(self.is_listed(key).await, Ok(false)) {
                    return Err(StoreError::new(Kind::NotFound, "lock of: there is no such object").on(key));
                }
                Ok(None)
            }
        }
    }

    /// The lock of an object that was put a moment ago: where one part of a server does not know yet what another took,
    /// it is asked again.
    pub(super) async fn lock_of_new(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>> {
        let mut pause = SETTLES;
        loop {
            match self.read_lock(key, version).await {
                Err(error) if error.kind == Kind::NotFound && pause <= SETTLED => {
                    tracing::debug!(%error, "asking again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                told => return told,
            }
        }
    }

    pub(super) async fn extend(&self, key: &Key, version: Option<&Version>, asked: Lock) -> Result<Lock> {
        if self.locks_bind().await? == Enforcement::Absent {
            let what = "extend lock: the bucket has no object lock, so nothing in it can be locked, whatever the server answers \
                        about retention";
            return Err(StoreError::new(Kind::Unsupported, what).on(key));
        }
        let _turn = match self.extending(key, version) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let mut has = self.read_lock(key, version).await?;
        for _ in 0..EXTENSIONS {
            let wanted = extended(has, asked);
            if has == Some(wanted) {
                return Ok(wanted);
            }
            self.set_lock(key, version, wanted).await?;
            has = self.read_lock(key, version).await?;
        }
        match has {
            Some(lock) if Some(extended(has, asked)) == has => Ok(lock),
            _ => {
                let has = has.map_or_else(|| "none".to_owned(), |l| format!("{} until {}", l.mode.as_str(), l.until));
                let what = format!(
                    "extend lock: asked for {} until {}, the store answered that it is done, and it has {has}",
                    asked.mode.as_str(),
                    asked.until
                );
                Err(StoreError::new(Kind::Unsupported, what).on(key))
            }
        }
    }

    /// Sends a lock as it is, a lesser one too.
    pub(super) async fn set_lock(&self, key: &Key, version: Option<&Version>, lock: Lock) -> Result<()> {
        let call = Call { what: "extend lock", needs: "s3:PutObjectRetention", object: key.as_str() };
        let mode = match lock.mode {
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
            LockMode::Governance => ObjectLockRetentionMode::Governance,
        };
        let retention = ObjectLockRetention::builder().mode(mode).retain_until_date(stamp(lock.until)).build();
        let request = self
            .client()
            .put_object_retention()
            .bucket(self.bucket())
            .key(self.full(key))
            .set_version_id(version.map(ToString::to_string))
            .checksum_algorithm(self.settings().checksum.algorithm())
            .retention(retention);
        request.send().await.map(|_| ()).map_err(|error| self.failed(&call, &error))
    }
}

/// A lock that this version can't read is no lock that it may rely on, and not none either.
fn read(retention: &ObjectLockRetention, key: &Key) -> Result<Option<Lock>> {
    let mode = match retention.mode() {
        Some(ObjectLockRetentionMode::Compliance) => LockMode::Compliance,
        Some(ObjectLockRetentionMode::Governance) => LockMode::Governance,
        None if retention.retain_until_date().is_none() => return Ok(None),
        other => {
            let mode = other.map_or("none", ObjectLockRetentionMode::as_str);
            let what = format!("lock of: the store returned a lock of unknown mode {mode:?}");
            return Err(StoreError::new(Kind::Corrupt, what).on(key));
        }
    };
    let Some(until) = retention.retain_until_date() else {
        return Err(StoreError::new(Kind::Corrupt, "lock of: the store returned a lock without an end").on(key));
    };
    Ok(Some(Lock { mode, until: time(until) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_can_t_be_read_is_an_error_and_not_none() {
        let key: Key = "a".parse().unwrap();
        let until = aws_sdk_s3::primitives::DateTime::from_secs_and_nanos(5, 999_999_999);
        let build = |mode: Option<&str>, until| {
            let mode = mode.map(ObjectLockRetentionMode::from);
            ObjectLockRetention::builder().set_mode(mode).set_retain_until_date(until).build()
        };
        let lock = read(&build(Some("COMPLIANCE"), Some(until)), &key).unwrap().unwrap();
        assert_eq!((lock.mode, lock.until.unix()), (LockMode::Compliance, 5));
        assert_eq!(read(&build(None, None), &key).unwrap(), None);
        for bad in [build(Some("ETERNAL"), Some(until)), build(None, Some(until)), build(Some("COMPLIANCE"), None)] {
            assert_eq!(read(&bad, &key).unwrap_err().kind, Kind::Corrupt, "{bad:?}");
        }
    }
}
