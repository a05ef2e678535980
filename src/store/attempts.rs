//! What somebody who found the credentials would try.

use async_trait::async_trait;
use bytes::Bytes;

use super::{Checksum, Result, StoreError, Version};
use crate::model::{Key, Lock};

/// Hostile calls, each in the most harmless form that still tells whether it is let through. Held by `doctor` and by
/// nothing else.
///
/// `Ok` means that the call was let through. `Denied` is what one hopes for; `Locked` says the same where the store tells
/// a lock from a missing permission. `NotFound` says that the role was let through and only the object is missing.
#[async_trait]
pub trait Attempts: Send + Sync {
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

    /// Sends a document that is none, or a part of an upload that is not there: whoever may set it is told so by how
    /// that is refused, and nothing changes either way.
    ///
    /// # Errors
    /// As described above; `Invalid` if the server answers so whoever asks, `Unsupported` if it has nothing of the kind.
    async fn spoil(&self, target: Target<'_>) -> Result<Through>;

    /// Deletes `key` without naming a version, on a condition that never holds. A store that ignores it makes a delete
    /// marker, whose version is returned.
    ///
    /// # Errors
    /// As described above.
    async fn hide_never(&self, key: &Key) -> Result<Option<Version>>;

    /// Reads the first byte of an object.
    ///
    /// # Errors
    /// As described above.
    async fn peek(&self, key: &Key, version: Option<&Version>) -> Result<()>;

    /// Lists what begins with `prefix`, one of it at most, and gives its key.
    ///
    /// # Errors
    /// As described above.
    async fn peek_list(&self, prefix: &str) -> Result<Option<String>>;

    /// Lists the versions of what begins with `prefix`, one of them at most.
    ///
    /// # Errors
    /// As described above.
    async fn peek_versions(&self, prefix: &str) -> Result<()>;

    /// Puts to `key` what the store can't accept: only if the key is free, and damaged so that a store which verifies
    /// what it is sent by `way` refuses it. Only for stores that were seen to do so: another one keeps it.
    ///
    /// # Errors
    /// As described above.
    async fn put_broken(&self, key: &Key, lock: Option<Lock>, way: Checksum) -> Result<Through>;

    /// The way by which the settings have the store verify what it is sent.
    fn verified_by(&self) -> Checksum;

    /// Sets something of the bucket to what it is already.
    ///
    /// # Errors
    /// As described above; `Unsupported` if there is no such setting or it can't be read, so nothing could be tried
    /// without a change.
    async fn rewrite(&self, setting: Setting) -> Result<()>;
}

/// How a call went that was let through.
#[derive(Debug)]
pub enum Through {
    /// The role might do it, and the store stopped at what was wrong with the request.
    Stopped(StoreError),
    /// The store did what it was told, or said so.
    Taken,
}

/// What is to be set by a document that is none.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// A setting of the bucket.
    Bucket(Setting),
    /// The lock of an object.
    Lock(&'a Key, Option<&'a Version>),
    /// The legal hold of an object.
    Hold(&'a Key, Option<&'a Version>),
    /// Who may do what with an object.
    Acl(&'a Key),
    /// A part of an object that is uploaded in parts.
    Part(&'a Key),
}

impl Target<'_> {
    /// The permission that it takes.
    #[must_use]
    pub const fn permission(self) -> &'static str {
        match self {
            Self::Bucket(setting) => setting.permission(),
            Self::Lock(..) => "s3:PutObjectRetention",
            Self::Hold(..) => "s3:PutObjectLegalHold",
            Self::Acl(_) => "s3:PutObjectAcl",
            Self::Part(_) => "s3:PutObject",
        }
    }
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
    /// Who may do what, the older way.
    Acl,
    /// Whose objects are that others put.
    Ownership,
    /// Whether everybody may be let in.
    PublicAccess,
    /// Where objects are copied to.
    Replication,
    /// With whose key new objects are encrypted.
    Encryption,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Versioning,
        Self::ObjectLock,
        Self::Policy,
        Self::Lifecycle,
        Self::Acl,
        Self::Ownership,
        Self::PublicAccess,
        Self::Replication,
        Self::Encryption,
    ];

    /// Whether every server that can hold a vault has it.
    #[must_use]
    pub const fn is_common(self) -> bool {
        matches!(self, Self::Versioning | Self::ObjectLock | Self::Policy | Self::Lifecycle | Self::Acl)
    }

    /// The permission that it takes to change it.
    #[must_use]
    pub const fn permission(self) -> &'static str {
        match self {
            Self::Versioning => "s3:PutBucketVersioning",
            Self::ObjectLock => "s3:PutBucketObjectLockConfiguration",
            Self::Policy => "s3:PutBucketPolicy",
            Self::Lifecycle => "s3:PutLifecycleConfiguration",
            Self::Acl => "s3:PutBucketAcl",
            Self::Ownership => "s3:PutBucketOwnershipControls",
            Self::PublicAccess => "s3:PutBucketPublicAccessBlock",
            Self::Replication => "s3:PutReplicationConfiguration",
            Self::Encryption => "s3:PutEncryptionConfiguration",
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
