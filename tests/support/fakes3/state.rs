//! What the fake has, and how it lies about it.

use std::collections::BTreeMap;

use strongroom::model::{Lock, Span};

/// What the server does otherwise than it says.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each lie is told or not")]
pub struct Lies {
    /// Takes the headers of a lock, tells them, and deletes all the same.
    pub locks_not_enforced: bool,
    /// Takes the headers of a lock and forgets them.
    pub locks_forgotten: bool,
    /// Answers that locks are something it does not know.
    pub no_lock_api: bool,
    /// Answers the question for the bucket's object lock with this error, and tells locks of objects all the same.
    pub bucket_lock: Option<(u16, &'static str)>,
    /// Keeps one version of each key.
    pub no_versions: bool,
    /// Takes bytes whose `x-amz-checksum-…` is wrong.
    pub checksums_ignored: bool,
    /// Takes bytes whose `Content-MD5` is wrong.
    pub md5_ignored: bool,
    /// Takes bytes that are not those of the signature.
    pub signed_ignored: bool,
    /// Ignores `If-None-Match`.
    pub condition_ignored: bool,
    /// Answers that conditions are something it does not know.
    pub condition_refused: bool,
    /// Says that a key is taken which is free.
    pub taken: bool,
    /// A plain get gives the oldest version.
    pub old_bytes: bool,
    /// A get gives other bytes of the same length.
    pub foreign_bytes: bool,
    /// A listing of versions tells the newest only.
    pub versions_dropped: bool,
    /// Ignores `Range`.
    pub ranges_ignored: bool,
    /// Answers a range with another one.
    pub ranges_shifted: bool,
    /// Repeats a listing's first page for ever.
    pub pages_repeated: bool,
    /// Refuses locks longer than this, as a policy with a condition on remaining retention days does.
    pub lock_cap: Option<Span>,
    /// Wants requests signed for this region, and says so to others.
    pub region: Option<&'static str>,
    /// The bucket's lifecycle rule, from the inside of `<Rule>`.
    pub rule: Option<&'static str>,
    /// The key by which the bucket encrypts new objects, and the account that the bucket belongs to.
    pub key: Option<&'static str>,
    pub account: Option<&'static str>,
}

/// The bucket.
#[derive(Default)]
pub struct State {
    pub lies: Lies,
    pub keys: BTreeMap<String, Vec<Stored>>,
    pub made: u64,
}

/// One version, oldest first in its list.
pub struct Stored {
    pub version: String,
    /// `None` makes it a delete marker.
    pub bytes: Option<Vec<u8>>,
    pub modified: jiff::Timestamp,
    pub lock: Option<Lock>,
}

impl State {
    /// Puts a version on top of a key, and says which.
    pub fn push(&mut self, key: &str, bytes: Option<Vec<u8>>, lock: Option<Lock>) -> String {
        self.made += 1;
        let version = format!("v{:08}", self.made);
        let stored = Stored { version: version.clone(), bytes, modified: jiff::Timestamp::now(), lock };
        let versions = self.keys.entry(key.to_owned()).or_default();
        if self.lies.no_versions {
            versions.clear();
        }
        versions.push(stored);
        version
    }

    /// The version meant, delete markers included.
    pub fn find(&mut self, key: &str, version: Option<&str>) -> Option<&mut Stored> {
        let old = self.lies.old_bytes;
        let versions = self.keys.get_mut(key)?;
        match version {
            Some(version) => versions.iter_mut().find(|stored| stored.version == version),
            None if old => versions.first_mut(),
            None => versions.last_mut(),
        }
    }
}
