//! The bucket's policy, for whoever cuts the ways to it.

use super::{Call, S3Admin, S3Store};
use crate::{
    model::Key,
    store::{Result, StoreErrorKind as Kind, Through},
};

impl S3Admin {
    /// The bucket's policy, if it has one.
    ///
    /// # Errors
    /// `Denied`, `NoVault`, `Unreachable`.
    pub async fn policy(&self) -> Result<Option<String>> {
        let store = self.store();
        let call = Call { what: "bucket policy", needs: "s3:GetBucketPolicy", object: store.bucket() };
        match store.client().get_bucket_policy().bucket(store.bucket()).send().await {
            Ok(answer) => Ok(answer.policy.filter(|text| !text.is_empty())),
            Err(error) => {
                let facts = store.facts(&error);
                if facts.code == "NoSuchBucketPolicy" { Ok(None) } else { Err(store.told(&call, &facts)) }
            }
        }
    }

    /// Gives the bucket this policy in the place of the one that it has; none takes it away.
    ///
    /// # Errors
    /// `Denied`, `Invalid` for what the server does not understand, `Unreachable`.
    pub async fn set_policy(&self, policy: Option<&str>) -> Result<()> {
        let store = self.store();
        if let Some(policy) = policy {
            let call = Call { what: "bucket policy", needs: "s3:PutBucketPolicy", object: store.bucket() };
            let request = store.client().put_bucket_policy().bucket(store.bucket()).policy(policy);
            return request.send().await.map(|_| ()).map_err(|error| store.failed(&call, &error));
        }
        let call = Call { what: "bucket policy", needs: "s3:DeleteBucketPolicy", object: store.bucket() };
        let request = store.client().delete_bucket_policy().bucket(store.bucket());
        request.send().await.map(|_| ()).map_err(|error| store.failed(&call, &error))
    }
}

impl S3Store {
    /// Whether these credentials may put to `key`. What is put has a wrong checksum, so that a store which lets it through
    /// refuses it then; one that verifies nothing keeps a few bytes.
    ///
    /// # Errors
    /// If the store does not answer, or says neither.
    pub async fn may_put(&self, key: &Key) -> Result<bool> {
        match self.put_damaged(key, None, self.settings().checksum).await {
            Ok(Through::Stopped(_) | Through::Taken) => Ok(true),
            Err(error) if error.kind == Kind::Denied => Ok(false),
            Err(error) => Err(error),
        }
    }
}
