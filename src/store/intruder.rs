//! What somebody who found the credentials would try.

use async_trait::async_trait;
use bytes::Bytes;

use super::{Result, Version};
use crate::model::{Key, Lock};

/// Hostile calls, each in the most harmless form that still tells whether it is let through. Held by `doctor` and by
/// nothing else.
///
/// `Ok` means that the call was let through. `Denied` is what one hopes for; `Locked` says the same where the store tells
/// a lock from a missing permission. `NotFound` says that the role was let through and only the object is missing.
#[async_trait]
pub trait Intruder: Send + Sync {
    /// Deletes one version; with `bypass`, asking to pass over a governance lock.
    ///
    /// # Errors
    /// As described above, or why it could not be tried.
    async fn destroy(&self, key: &Key, version: &Version, bypass: bool) -> Result<()>;

    /// Deletes `key` without naming a version, which hides it behind a delete marker, whose version is returned.
    ///
    /// # Errors
    /// As described above; `Unsupported` if the store kept no marker, that is, no old version.
    async fn hide(&self, key: &Key) -> Result<Version>;

    /// Puts `bytes` on top of whatever `key` holds.
    ///
    /// # Errors
    /// As described above; `Unsupported` if the store kept no version of what was there.
    async fn overwrite(&self, key: &Key, bytes: Bytes) -> Result<Version>;

    /// Sets the lock of a version to what is asked, be it less than it has; with `bypass`, asking to pass over a
    /// governance lock.
    ///
    /// # Errors
    /// As described above.
    async fn set_lock(&self, key: &Key, version: &Version, lock: Lock, bypass: bool) -> Result<()>;

    /// Lifts a legal hold that is not there: it takes the permission to set one, and changes nothing.
    ///
    /// # Errors
    /// As described above.
    async fn lift_hold(&self, key: &Key, version: &Version) -> Result<()>;

    /// Reads the first byte of an object.
    ///
    /// # Errors
    /// As described above.
    async fn peek(&self, key: &Key) -> Result<()>;

    /// Lists what begins with `prefix`, one of it at most.
    ///
    /// # Errors
    /// As described above.
    async fn peek_list(&self, prefix: &str) -> Result<()>;

    /// Lists the versions of what begins with `prefix`, one of them at most.
    ///
    /// # Errors
    /// As described above.
    async fn peek_versions(&self, prefix: &str) -> Result<()>;

    /// Puts to `key` what the store can't accept: only if the key is free, and with a checksum that is wrong. Whoever
    /// may put there is told so by how it is refused, and nothing is stored either way.
    ///
    /// # Errors
    /// As described above.
    async fn put_broken(&self, key: &Key, lock: Option<Lock>) -> Result<()>;

    /// Sets something of the bucket to what it is already.
    ///
    /// # Errors
    /// As described above; `Unsupported` if there is no such setting or it can't be read, so nothing could be tried
    /// without a change.
    async fn rewrite(&self, setting: Setting) -> Result<()>;
}

/// What of a bucket must not be in the hands of those who work with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Whether old versions are kept.
    Versioning,
    /// The default retention.
    ObjectLock,
    /// Who may do what.
    Policy,
    /// What is deleted or moved by age.
    Lifecycle,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Versioning, Self::ObjectLock, Self::Policy, Self::Lifecycle];

    /// The permission that it takes to change it.
    #[must_use]
    pub const fn permission(self) -> &'static str {
        match self {
            Self::Versioning => "s3:PutBucketVersioning",
            Self::ObjectLock => "s3:PutBucketObjectLockConfiguration",
            Self::Policy => "s3:PutBucketPolicy",
            Self::Lifecycle => "s3:PutLifecycleConfiguration",
        }
    }
}

/// What is known of a bucket by its own word, for whoever judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// With keys of the store itself, or not at all, which makes no difference to sealed bytes.
    Stores,
    /// With a key of a key service: whoever deletes that key makes everything unreadable.
    Key {
        /// The key as the bucket names it; empty for the service's own.
        id: String,
        /// The account that the key belongs to, if the name tells it.
        account: Option<String>,
    },
}
