//! Hostile calls to a bucket.

use async_trait::async_trait;
use aws_sdk_s3::{
    primitives::ByteStream,
    types::{BucketVersioningStatus, ObjectLockRetention, ObjectLockRetentionMode, VersioningConfiguration},
};
use bytes::Bytes;

use super::{Call, Checksum, S3Store, spoil::once, stamp, version_of};
use crate::{
    model::{Key, Lock, LockMode},
    store::{Attempts, Result, Setting, StoreError, StoreErrorKind as Kind, Target, Through, Version},
};

/// What no object's bytes are called.
const NEVER: &str = "\"00000000000000000000000000000000\"";

/// Hostile calls with a store's credentials.
#[derive(Debug, Clone)]
pub struct S3Attempts {
    store: S3Store,
    /// The same bucket, and no credentials.
    nobody: Option<S3Store>,
}

impl S3Attempts {
    pub(super) fn new(store: S3Store, nobody: Option<S3Store>) -> Self {
        Self { store, nobody }
    }

    async fn rewrite_versioning(&self) -> Result<()> {
        // A bucket without versions is not given any: that would be a change.
        if self.store.admin().versioning().await.map_err(|error| unread(&error))? != super::Versioning::Enabled {
            return Err(nothing_there("bucket versioning"));
        }
        let call = self.call("bucket versioning", Setting::Versioning.permission());
        let same = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = self
            .store
            .client()
            .put_bucket_versioning()
            .bucket(self.store.bucket())
            .checksum_algorithm(self.store.settings().checksum.algorithm())
            .versioning_configuration(same);
        request.send().await.map(|_| ()).map_err(|error| self.store.failed(&call, &error))
    }

    async fn rewrite_lock(&self) -> Result<()> {
        let call = self.call("bucket lock", Setting::ObjectLock.permission());
        let read = self.store.client().get_object_lock_configuration().bucket(self.store.bucket());
        let answer = read.send().await.map_err(|error| unread(&self.store.failed(&call, &error)))?;
        let same = answer.object_lock_configuration.ok_or_else(|| nothing_there("bucket lock"))?;
        let request = self
            .store
            .client()
            .put_object_lock_configuration()
            .bucket(self.store.bucket())
            .checksum_algorithm(self.store.settings().checksum.algorithm())
            .object_lock_configuration(same);
        request.send().await.map(|_| ()).map_err(|error| self.store.failed(&call, &error))
    }

    async fn rewrite_policy(&self) -> Result<()> {
        let read = self.store.client().get_bucket_policy().bucket(self.store.bucket());
        let call = self.call("bucket policy", "s3:GetBucketPolicy");
        let answer = read.send().await.map_err(|error| unread(&self.store.failed(&call, &error)))?;
        let same = answer.policy.filter(|text| !text.is_empty()).ok_or_else(|| nothing_there("bucket policy"))?;
        let call = self.call("bucket policy", Setting::Policy.permission());
        let request = self.store.client().put_bucket_policy().bucket(self.store.bucket()).policy(same);
        request.send().await.map(|_| ()).map_err(|error| self.store.failed(&call, &error))
    }

    async fn rewrite_lifecycle(&self) -> Result<()> {
        let rules = self.store.admin().lifecycle_rules().await.map_err(|error| unread(&error))?;
        if rules.is_empty() {
            return Err(nothing_there("bucket lifecycle"));
        }
        let call = self.call("bucket lifecycle", Setting::Lifecycle.permission());
        let same = aws_sdk_s3::types::BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build();
        let same = same.map_err(|error| unread(&StoreError::new(Kind::Corrupt, error.to_string())))?;
        let request = self
            .store
            .client()
            .put_bucket_lifecycle_configuration()
            .bucket(self.store.bucket())
            .checksum_algorithm(self.store.settings().checksum.algorithm())
            .lifecycle_configuration(same);
        request.send().await.map(|_| ()).map_err(|error| self.store.failed(&call, &error))
    }

    fn call(&self, what: &'static str, needs: &'static str) -> Call<'_> {
        Call { what, needs, object: self.store.bucket() }
    }
}

#[async_trait]
impl Attempts for S3Attempts {
    async fn destroy(&self, key: &Key, version: &Version, bypass: bool) -> Result<()> {
        let needs = if bypass { "s3:BypassGovernanceRetention" } else { "s3:DeleteObjectVersion" };
        let call = Call { what: "delete version", needs, object: key.as_str() };
        let request = self
            .store
            .client()
            .delete_object()
            .bucket(self.store.bucket())
            .key(self.store.full(key))
            .version_id(version.as_str())
            .set_bypass_governance_retention(bypass.then_some(true));
        request.send().await.map(|_| ()).map_err(|error| self.store.failed(&call, &error))
    }

    async fn hide(&self, key: &Key) -> Result<Version> {
        self.store.put_marker(key).await
    }

    async fn overwrite(&self, key: &Key, bytes: Bytes) -> Result<Version> {
        let call = Call { what: "overwrite", needs: "s3:PutObject", object: key.as_str() };
        let request = self
            .store
            .client()
            .put_object()
            .bucket(self.store.bucket())
            .key(self.store.full(key))
            .checksum_algorithm(self.store.settings().checksum.algorithm())
            .body(ByteStream::from(bytes));
        let answer = request.send().await.map_err(|error| self.store.failed(&call, &error))?;
        named(version_of(answer.version_id()), &call)
    }

    async fn set_lock(&self, key: &Key, version: &Version, lock: Lock, bypass: bool) -> Result<()> {
        let needs = if bypass { "s3:BypassGovernanceRetention" } else { "s3:PutObjectRetention" };
        let call = Call { what: "set lock", needs, object: key.as_str() };
        let mode = match lock.mode {
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
            LockMode::Governance => ObjectLockRetentionMode::Governance,
        };
        let retention = ObjectLockRetention::builder().mode(mode).retain_until_date(stamp(lock.until)).build();
        let request = self
            .store
            .client()
            .put_object_retention()
            .bucket(self.store.bucket())
            .key(self.store.full(key))
            .version_id(version.as_str())
            .set_bypass_governance_retention(bypass.then_some(true))
            .checksum_algorithm(self.store.settings().checksum.algorithm())
            .retention(retention);
        request.send().await.map(|_| ()).map_err(|error| self.store.failed(&call, &error))
    }

    async fn spoil(&self, target: Target<'_>) -> Result<Through> {
        self.store.spoil(target, self.nobody.as_ref()).await
    }

    async fn hide_never(&self, key: &Key) -> Result<Option<Version>> {
        let call = Call { what: "hide", needs: "s3:DeleteObject", object: key.as_str() };
        let request = self.store.client().delete_object().bucket(self.store.bucket()).key(self.store.full(key));
        let answer = request.if_match(NEVER).customize().config_override(once()).send().await;
        match answer {
            Ok(answer) => Ok(version_of(answer.version_id())),
            Err(error) => {
                let facts = self.store.facts(&error);
                if facts.is_taken() { Ok(None) } else { Err(self.store.told(&call, &facts)) }
            }
        }
    }

    async fn peek(&self, key: &Key, version: Option<&Version>) -> Result<()> {
        let needs = if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
        let call = Call { what: "get", needs, object: key.as_str() };
        let request = self.store.client().get_object().bucket(self.store.bucket()).key(self.store.full(key));
        let request = request.set_version_id(version.map(ToString::to_string));
        // Where the role may read, the object may be empty.
        match request.range("bytes=0-0").send().await.map_err(|error| self.store.failed(&call, &error)) {
            Err(error) if error.kind == Kind::BadRange => Ok(()),
            other => other.map(|_| ()),
        }
    }

    async fn peek_list(&self, prefix: &str) -> Result<Option<String>> {
        let call = Call { what: "list", needs: "s3:ListBucket", object: prefix };
        let prefix = self.store.settings().full(prefix);
        let request = self.store.client().list_objects_v2().bucket(self.store.bucket()).prefix(prefix).max_keys(1);
        let answer = request.send().await.map_err(|error| self.store.failed(&call, &error))?;
        let first = answer.contents().first().and_then(|object| object.key());
        Ok(first.and_then(|key| self.store.settings().relative(key)).map(str::to_owned))
    }

    async fn peek_versions(&self, prefix: &str) -> Result<()> {
        let call = Call { what: "list versions", needs: "s3:ListBucketVersions", object: prefix };
        let prefix = self.store.settings().full(prefix);
        let request = self.store.client().list_object_versions().bucket(self.store.bucket());
        let answer = request.prefix(prefix).max_keys(1).send().await;
        answer.map(|_| ()).map_err(|error| self.store.failed(&call, &error))
    }

    async fn put_broken(&self, key: &Key, lock: Option<Lock>, way: Checksum) -> Result<Through> {
        self.store.put_damaged(key, lock, way).await
    }

    fn verified_by(&self) -> Checksum {
        self.store.settings().checksum
    }

    async fn rewrite(&self, setting: Setting) -> Result<()> {
        match setting {
            Setting::Versioning => self.rewrite_versioning().await,
            Setting::ObjectLock => self.rewrite_lock().await,
            Setting::Policy => self.rewrite_policy().await,
            Setting::Lifecycle => self.rewrite_lifecycle().await,
            other => Err(nothing_there(other.permission())),
        }
    }
}

impl S3Store {
    /// Deletes `key` without naming a version.
    pub(super) async fn put_marker(&self, key: &Key) -> Result<Version> {
        let call = Call { what: "hide", needs: "s3:DeleteObject", object: key.as_str() };
        let request = self.client().delete_object().bucket(self.bucket()).key(self.full(key));
        let answer = request.send().await.map_err(|error| self.failed(&call, &error))?;
        named(version_of(answer.version_id()), &call)
    }
}

fn named(version: Option<Version>, call: &Call<'_>) -> Result<Version> {
    version.ok_or_else(|| {
        let what = format!("{}: the store keeps no versions, so what was there is lost", call.what);
        StoreError::new(Kind::Unsupported, what).on(call.object)
    })
}

/// What can't be read can't be put back as it is. Nothing was tried, so this is no refusal.
fn unread(error: &StoreError) -> StoreError {
    let kind = if error.kind == Kind::Denied { Kind::Unsupported } else { error.kind };
    StoreError::new(kind, format!("it could not be read, so it was not put back: {error}"))
}

fn nothing_there(what: &str) -> StoreError {
    StoreError::new(Kind::Unsupported, format!("{what}: there is none, so none was put back"))
}
