//! The bucket itself: making one that locks, and reading what one does.

use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, DefaultRetention,
    ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule, VersioningConfiguration,
};

use super::{Call, Facts, S3Store, watch::Tries};
use crate::{
    model::{LockMode, Span},
    store::{Result, StoreError, StoreErrorKind as Kind},
};

/// Whether a bucket keeps old versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    /// It does.
    Enabled,
    /// It did, and no longer makes new ones.
    Suspended,
    /// It never did, or can't.
    Off,
}

/// A bucket's object lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketLock {
    /// What a new object gets whose put asks for nothing; `None` if it gets no lock.
    pub default: Option<(LockMode, Span)>,
}

/// The powers over a bucket that its owner has and nobody else needs.
#[derive(Debug, Clone)]
pub struct S3Admin {
    store: S3Store,
}

impl S3Admin {
    pub(super) fn new(store: S3Store) -> Self {
        Self { store }
    }

    pub(super) fn store(&self) -> &S3Store {
        &self.store
    }

    fn call(&self, what: &'static str, needs: &'static str) -> Call<'_> {
        Call { what, needs, object: self.store.bucket() }
    }

    /// Makes the bucket, with object lock and so with versioning, in the region of the settings.
    ///
    /// # Errors
    /// `Invalid` if the name is taken, by whomever; `Denied`, `Unsupported`, `Unreachable`.
    pub async fn create_bucket(&self) -> Result<()> {
        let call = self.call("create bucket", "s3:CreateBucket or s3:PutBucketObjectLockConfiguration");
        let region = self.store.settings().region.as_deref();
        // AWS refuses to be told the region that it started with.
        let place = region.filter(|region| *region != "us-east-1").map(|region| {
            CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(region)).build()
        });
        let request = self
            .store
            .client()
            .create_bucket()
            .bucket(self.store.bucket())
            .object_lock_enabled_for_bucket(true)
            .set_create_bucket_configuration(place);
        let attempts = Tries::default();
        let Err(error) = request.customize().interceptor(attempts.clone()).send().await else { return Ok(()) };
        let facts = self.store.facts(&error);
        if matches!(facts.code.as_str(), "BucketAlreadyExists" | "BucketAlreadyOwnedByYou") {
            // The attempt before may have made it and its answer been lost. A bucket of others shows no lock, or locks by default.
            let made = attempts.repeated() && matches!(self.lock().await, Ok(Some(lock)) if lock.default.is_none());
            return if made { Ok(()) } else { Err(self.taken()) };
        }
        Err(self.store.told(&call, &facts))
    }

    /// A bucket that is there is nobody's to make.
    #[must_use]
    pub fn taken(&self) -> StoreError {
        let what = "create bucket: there is a bucket of this name already, here or in somebody's account, and nothing of it \
                    was changed; leave --create-bucket out to use it as it is, or choose another name";
        StoreError::new(Kind::Invalid, what).on(self.store.bucket())
    }

    /// Whether there is a bucket of this name, whosever it is.
    ///
    /// # Errors
    /// `Unreachable`, or settings that are wrong.
    pub async fn is_there(&self) -> Result<bool> {
        let call = self.call("look for the bucket", "s3:ListBucket");
        let request = self.store.client().head_bucket().bucket(self.store.bucket());
        match request.send().await.map_err(|error| self.store.failed(&call, &error)) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::NoVault) => Ok(false),
            // Whoever may not look at it is told that it is there.
            Err(error) if error.kind == Kind::Denied => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether the bucket keeps versions.
    ///
    /// # Errors
    /// `NoVault` if there is no such bucket, `Denied`, `Unreachable`.
    pub async fn versioning(&self) -> Result<Versioning> {
        let call = self.call("bucket versioning", "s3:GetBucketVersioning");
        let request = self.store.client().get_bucket_versioning().bucket(self.store.bucket());
        match request.send().await {
            Ok(answer) => Ok(match answer.status() {
                Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
                Some(BucketVersioningStatus::Suspended) => Versioning::Suspended,
                _ => Versioning::Off,
            }),
            Err(error) => {
                let facts = self.store.facts(&error);
                // A server without versions says that it does not know the question.
                if facts.status == Some(501) { Ok(Versioning::Off) } else { Err(self.told(&call, &facts)) }
            }
        }
    }

    /// Lets the bucket keep versions from now on.
    ///
    /// # Errors
    /// `Denied`, `Unsupported`, `Unreachable`.
    pub async fn enable_versioning(&self) -> Result<()> {
        let call = self.call("enable versioning", "s3:PutBucketVersioning");
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = self
            .store
            .client()
            .put_bucket_versioning()
            .bucket(self.store.bucket())
            .checksum_algorithm(self.store.settings().checksum.algorithm())
            .versioning_configuration(enabled);
        request.send().await.map(|_| ()).map_err(|error| self.told(&call, &self.store.facts(&error)))
    }

    /// The bucket's object lock; `None` if it has none.
    ///
    /// # Errors
    /// `NoVault` if there is no such bucket, `Denied`, `Unreachable`, `Corrupt` for a rule that can't be read.
    pub async fn lock(&self) -> Result<Option<BucketLock>> {
        let call = self.call("bucket lock", "s3:GetBucketObjectLockConfiguration");
        let request = self.store.client().get_object_lock_configuration().bucket(self.store.bucket());
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let facts = self.store.facts(&error);
                let lockless = facts.code == "ObjectLockConfigurationNotFoundError" || facts.status == Some(501);
                return if lockless { Ok(None) } else { Err(self.told(&call, &facts)) };
            }
        };
        let enabled = answer
            .object_lock_configuration()
            .filter(|lock| lock.object_lock_enabled() == Some(&ObjectLockEnabled::Enabled));
        let Some(lock) = enabled else { return Ok(None) };
        let retention = lock.rule().and_then(ObjectLockRule::default_retention);
        let default = retention.map(|retention| {
            read(retention).ok_or_else(|| {
                let what = "bucket lock: the default retention can't be read";
                StoreError::new(Kind::Corrupt, what).on(self.store.bucket())
            })
        });
        Ok(Some(BucketLock { default: default.transpose()? }))
    }

    /// Gives each new object whose put asks for nothing a lock of `span`, rounded up to whole days.
    ///
    /// # Errors
    /// `Invalid` for a bucket without object lock, `Denied`, `Unreachable`.
    pub async fn set_default_lock(&self, mode: LockMode, span: Span) -> Result<()> {
        let call = self.call("set default lock", "s3:PutBucketObjectLockConfiguration");
        let days = i32::try_from(span.as_seconds().div_ceil(86_400)).unwrap_or(i32::MAX);
        let mode = match mode {
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
            LockMode::Governance => ObjectLockRetentionMode::Governance,
        };
        let retention = DefaultRetention::builder().mode(mode).days(days).build();
        let lock = ObjectLockConfiguration::builder()
            .object_lock_enabled(ObjectLockEnabled::Enabled)
            .rule(ObjectLockRule::builder().default_retention(retention).build())
            .build();
        let request = self
            .store
            .client()
            .put_object_lock_configuration()
            .bucket(self.store.bucket())
            .checksum_algorithm(self.store.settings().checksum.algorithm())
            .object_lock_configuration(lock);
        request.send().await.map(|_| ()).map_err(|error| self.told(&call, &self.store.facts(&error)))
    }

    fn told(&self, call: &Call<'_>, facts: &Facts) -> StoreError {
        self.store.told(call, facts)
    }
}

fn read(retention: &DefaultRetention) -> Option<(LockMode, Span)> {
    let mode = match retention.mode()? {
        ObjectLockRetentionMode::Compliance => LockMode::Compliance,
        ObjectLockRetentionMode::Governance => LockMode::Governance,
        _ => return None,
    };
    let days = match (retention.days(), retention.years()) {
        (Some(days), None | Some(0)) => u64::try_from(days).ok()?,
        // S3 counts 365 days for a year.
        (None | Some(0), Some(years)) => u64::try_from(years).ok()?.checked_mul(365)?,
        _ => return None,
    };
    Some((mode, Span::days(days).min(Span::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_of_days_or_years_is_read() {
        let build = |mode: &str, days: Option<i32>, years: Option<i32>| {
            let mode = ObjectLockRetentionMode::from(mode);
            read(&DefaultRetention::builder().mode(mode).set_days(days).set_years(years).build())
        };
        assert_eq!(build("COMPLIANCE", Some(65), None), Some((LockMode::Compliance, Span::days(65))));
        assert_eq!(build("GOVERNANCE", None, Some(2)), Some((LockMode::Governance, Span::days(730))));
        assert_eq!(build("GOVERNANCE", Some(3), Some(0)), Some((LockMode::Governance, Span::days(3))));
        for (mode, days, years) in [
            ("ETERNAL", Some(1), None),
            ("COMPLIANCE", None, None),
            ("COMPLIANCE", Some(1), Some(1)),
            ("COMPLIANCE", Some(-1), None),
        ] {
            assert_eq!(build(mode, days, years), None, "{mode} {days:?} {years:?}");
        }
    }
}
