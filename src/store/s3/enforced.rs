//! Whether the bucket has object lock at all. Servers exist that take and tell the retention of an object in a bucket that has
//! none, and delete it all the same.

use aws_sdk_s3::types::ObjectLockEnabled;

use super::{Call, S3Store};
use crate::store::{Enforcement, Result, StoreErrorKind as Kind};

impl S3Store {
    /// Asks for the bucket's object lock, once for all clones. Whoever may not ask, or whose server does not know the question,
    /// goes by what is told of each object.
    pub(super) async fn locks_bind(&self) -> Result<Enforcement> {
        self.inner.enforcement.get_or_try_init(|| self.ask_enforcement()).await.cloned()
    }

    async fn ask_enforcement(&self) -> Result<Enforcement> {
        let call = Call { what: "bucket lock", needs: "s3:GetBucketObjectLockConfiguration", object: self.bucket() };
        let error = match self.client().get_object_lock_configuration().bucket(self.bucket()).send().await {
            Ok(answer) => {
                let config = answer.object_lock_configuration();
                let on = config.and_then(|config| config.object_lock_enabled()) == Some(&ObjectLockEnabled::Enabled);
                return Ok(if on { Enforcement::Enforced } else { Enforcement::Absent });
            }
            Err(error) => error,
        };
        let facts = self.facts(&error);
        if facts.code == "ObjectLockConfigurationNotFoundError" {
            return Ok(Enforcement::Absent);
        }
        match self.told(&call, &facts) {
            error if matches!(error.kind, Kind::Unreachable | Kind::Clock) => Err(error),
            error => Ok(Enforcement::Unknown(error.to_string().into())),
        }
    }
}
