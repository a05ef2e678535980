//! What the server and the bucket can do, found out once and said in words.

use bytes::Bytes;

use super::{S3Store, Versioning};
use crate::{
    model::Key,
    store::{Put, Result, StoreErrorKind as Kind},
};

/// Something that a vault needs of its bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ability {
    /// It is there.
    Present,
    /// It is not: what is missing, and what to do.
    Absent(String),
    /// Could not be found out, and why. Never counts as present.
    Unknown(String),
}

/// What the server and the bucket can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// Old versions are kept, so that overwrites and delete markers are seen through.
    pub versions: Ability,
    /// Objects can be locked. Whether locks are enforced, only a proof on a canary tells.
    pub locks: Ability,
    /// A put can be refused because the key is taken.
    pub conditional_put: Ability,
}

impl Abilities {
    /// What is missing, in words.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        [&self.versions, &self.locks, &self.conditional_put].into_iter().filter_map(|ability| match ability {
            Ability::Absent(words) => Some(words.as_str()),
            _ => None,
        })
    }
}

impl S3Store {
    /// Finds out what the bucket can do. With `scratch`, a free key that the role may put to, it also tries whether
    /// the server refuses a second put: that leaves a small object there, or two.
    ///
    /// # Errors
    /// `NoVault` if there is no such bucket, `Unreachable`, or settings that are wrong. What the role may not ask is
    /// `Unknown`, and no error.
    pub async fn probe(&self, scratch: Option<&Key>) -> Result<Abilities> {
        let server = self.settings().place();
        let bucket = self.bucket();
        let versions = match self.admin().versioning().await {
            Ok(Versioning::Enabled) => Ability::Present,
            Ok(Versioning::Suspended | Versioning::Off) => Ability::Absent(format!(
                "the bucket {bucket:?} keeps no versions, so whoever may write can replace what is there; make a \
                 bucket with object lock, or a server that has versions if {server} has none"
            )),
            Err(error) => unknown(error)?,
        };
        let locks = match self.admin().lock().await {
            Ok(Some(_)) => Ability::Present,
            Ok(None) => Ability::Absent(format!(
                "the bucket {bucket:?} has no object lock, so nothing in it is protected; object lock is given to a \
                 bucket when it is made, if {server} has it at all"
            )),
            Err(error) => unknown(error)?,
        };
        let conditional_put = match scratch {
            Some(key) => self.try_condition(key).await?,
            None => Ability::Unknown("not tried".to_owned()),
        };
        Ok(Abilities { versions, locks, conditional_put })
    }

    async fn try_condition(&self, key: &Key) -> Result<Ability> {
        let server = self.settings().place();
        let put = || self.put(key, Bytes::from_static(b"strongroom tries whether a put can be refused\n"), None);
        let absent = |how: &str| {
            Ability::Absent(format!(
                "{server} {how}; set `conditional_put = false` and let no two writers share a name, or use a server \
                 that has conditional puts"
            ))
        };
        for _ in 0..2 {
            match put().await {
                Ok(Put::AlreadyThere) if self.settings().conditional_put => return Ok(Ability::Present),
                Ok(Put::AlreadyThere) => return Ok(Ability::Unknown("switched off in the settings".to_owned())),
                Ok(Put::Created { .. }) => {}
                Err(error) if error.kind == Kind::Unsupported => return Ok(absent("refuses conditional puts")),
                Err(error) => return unknown(error),
            }
        }
        Ok(absent("ignores If-None-Match: it replaced an object that it was asked to keep"))
    }
}

/// What the role may not know is unknown; everything else is an error.
fn unknown(error: crate::store::StoreError) -> Result<Ability> {
    if error.kind == Kind::Denied { Ok(Ability::Unknown(error.to_string())) } else { Err(error) }
}
