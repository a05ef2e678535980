//! What of a bucket's settings could undo what its locks promise.

use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule, ServerSideEncryption};

use super::{Call, S3Admin};
use crate::store::{Encryption, Result, StoreError, StoreErrorKind as Kind};

impl S3Admin {
    /// The rules by which the bucket deletes or moves objects by their age; none if it has none.
    ///
    /// # Errors
    /// `Denied`, `Unsupported`, `Unreachable`.
    pub(super) async fn lifecycle_rules(&self) -> Result<Vec<LifecycleRule>> {
        let store = self.store();
        let call = Call { what: "bucket lifecycle", needs: "s3:GetLifecycleConfiguration", object: store.bucket() };
        let request = store.client().get_bucket_lifecycle_configuration().bucket(store.bucket());
        match request.send().await {
            Ok(answer) => Ok(answer.rules.unwrap_or_default()),
            Err(error) => {
                let facts = store.facts(&error);
                if facts.code == "NoSuchLifecycleConfiguration" {
                    Ok(Vec::new())
                } else {
                    Err(store.told(&call, &facts))
                }
            }
        }
    }

    /// What the bucket deletes or moves by its age, in words, one for each rule that is on. Clearing away what was
    /// uploaded in part is left out: it harms nothing.
    ///
    /// # Errors
    /// `Denied`, `Unsupported`, `Unreachable`.
    pub async fn lifecycle(&self) -> Result<Vec<String>> {
        let rules = self.lifecycle_rules().await?;
        Ok(rules.iter().filter(|rule| *rule.status() == ExpirationStatus::Enabled).filter_map(harm).collect())
    }

    /// What the bucket encrypts new objects with.
    ///
    /// # Errors
    /// `Denied`, `Unsupported`, `Unreachable`.
    pub async fn encryption(&self) -> Result<Encryption> {
        let store = self.store();
        let call = Call { what: "bucket encryption", needs: "s3:GetEncryptionConfiguration", object: store.bucket() };
        let answer = match store.client().get_bucket_encryption().bucket(store.bucket()).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let facts = store.facts(&error);
                let none = facts.code == "ServerSideEncryptionConfigurationNotFoundError";
                return if none { Ok(Encryption::Stores) } else { Err(store.told(&call, &facts)) };
            }
        };
        let rules = answer.server_side_encryption_configuration.map(|config| config.rules).unwrap_or_default();
        let with_key = rules.iter().filter_map(|rule| rule.apply_server_side_encryption_by_default()).find(|default| {
            matches!(default.sse_algorithm(), ServerSideEncryption::AwsKms | ServerSideEncryption::AwsKmsDsse)
        });
        Ok(with_key.map_or(Encryption::Stores, |default| {
            let id = default.kms_master_key_id().unwrap_or_default().to_owned();
            Encryption::Key { account: account_of(&id), id }
        }))
    }

    /// Whether the bucket belongs to `account`, as far as the store knows accounts.
    ///
    /// # Errors
    /// `Unreachable`, or a store that can't say.
    pub async fn belongs_to(&self, account: &str) -> Result<bool> {
        let store = self.store();
        let call = Call { what: "bucket owner", needs: "s3:ListBucket", object: store.bucket() };
        let plain = store.client().head_bucket().bucket(store.bucket());
        plain.send().await.map_err(|error| store.failed(&call, &error))?;
        // The bucket can be asked for; if it can't be asked for as this account's, then because it is another's.
        let request = store.client().head_bucket().bucket(store.bucket()).expected_bucket_owner(account);
        match request.send().await.map_err(|error| store.failed(&call, &error)) {
            Ok(_) => Ok(true),
            Err(StoreError { kind: Kind::Denied, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The account of a key's full name, such as `arn:aws:kms:eu-central-1:111122223333:key/…`.
fn account_of(id: &str) -> Option<String> {
    let account = id.strip_prefix("arn:")?.split(':').nth(3)?;
    (!account.is_empty()).then(|| account.to_owned())
}

fn harm(rule: &LifecycleRule) -> Option<String> {
    let mut does = Vec::new();
    if rule.expiration().is_some() {
        does.push("hides or deletes objects by age");
    }
    if rule.noncurrent_version_expiration().is_some() {
        does.push("deletes old versions whose lock has ended");
    }
    if !rule.transitions().is_empty() || !rule.noncurrent_version_transitions().is_empty() {
        does.push("moves objects to a class that may not be readable at once");
    }
    let id = rule.id().unwrap_or("a rule without a name");
    (!does.is_empty()).then(|| format!("{id:?} {}", does.join(" and ")))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{AbortIncompleteMultipartUpload, LifecycleExpiration, NoncurrentVersionExpiration};

    use super::*;

    #[test]
    fn the_account_of_a_key_is_read() {
        let id = "arn:aws:kms:eu-central-1:111122223333:key/0d1e";
        assert_eq!(account_of(id).as_deref(), Some("111122223333"));
        for id in ["", "0d1e", "alias/mine", "arn:aws:kms", "arn:aws:kms:r::key/x"] {
            assert_eq!(account_of(id), None, "{id}");
        }
    }

    #[test]
    fn only_what_deletes_or_moves_is_harm() {
        let rule = || LifecycleRule::builder().id("r").status(ExpirationStatus::Enabled);
        let abort = AbortIncompleteMultipartUpload::builder().days_after_initiation(1).build();
        assert_eq!(harm(&rule().abort_incomplete_multipart_upload(abort).build().unwrap()), None);
        let expire = rule().expiration(LifecycleExpiration::builder().days(1).build()).build().unwrap();
        assert!(harm(&expire).unwrap().contains("hides or deletes"));
        let old = NoncurrentVersionExpiration::builder().noncurrent_days(1).build();
        assert!(harm(&rule().noncurrent_version_expiration(old).build().unwrap()).unwrap().contains("old versions"));
    }
}
