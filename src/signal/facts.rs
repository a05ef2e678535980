//! What is known of one run of one source.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{Sample, SnapshotId, Time};

/// What is known of one run of one source. What is `None` or empty was not looked at or could not be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// When the run started.
    pub at: Time,
    /// The snapshot that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
    /// Bytes of all streams.
    pub bytes: u64,
    /// How many streams.
    pub streams: u64,
    /// The bytes of each stream, where there are few.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, u64>,
    /// Equal for two runs that hold the same contents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What was not stored before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<Fresh>,
    /// The tables of databases, by database and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<BTreeMap<String, Table>>,
    /// Where the sequences of databases stand.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sequences: BTreeMap<String, i64>,
    /// What each role of a server may do beyond what everybody may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<BTreeMap<String, BTreeSet<String>>>,
    /// The branches and tags of a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refs: Option<Refs>,
    /// The files of a tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
}

impl Facts {
    /// A run of which only its time and size are known.
    #[must_use]
    pub fn new(at: Time, bytes: u64, streams: u64) -> Self {
        Self {
            at,
            snapshot: None,
            bytes,
            streams,
            parts: BTreeMap::new(),
            state: None,
            fresh: None,
            tables: None,
            sequences: BTreeMap::new(),
            roles: None,
            refs: None,
            files: None,
        }
    }

    /// The day of the week: 0 is Thursday, as 1970 began.
    pub(super) const fn weekday(&self) -> i64 {
        self.day().rem_euclid(7)
    }

    /// The day, counted from 1970 in UTC.
    pub(super) const fn day(&self) -> i64 {
        self.at.unix().div_euclid(86_400)
    }
}

/// What was not stored before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fresh {
    /// Its bytes as they were read.
    pub bytes: u64,
    /// The bytes that it takes compressed.
    pub stored: u64,
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Rows.
    pub rows: u64,
    /// A hash of all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// How it is defined: its columns and their types, or a hash of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<String>,
    /// A sample of its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

/// The branches and tags of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refs {
    /// The branch that `HEAD` stands on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether that branch is there.
    pub default_there: bool,
    /// How many branches there are of each [`unit`].
    pub units: BTreeMap<String, u64>,
    /// How many tags.
    pub tags: u64,
    /// Whether nobody knows what became of them since the run before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlogged: bool,
    /// Branches whose history was replaced since the run before.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub rewritten: BTreeSet<String>,
    /// Tags that name something else than in the run before.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub moved_tags: BTreeSet<String>,
}

impl Refs {
    pub(super) fn branches(&self) -> u64 {
        self.units.values().sum()
    }
}

/// What a branch counts as: itself, or all those whose names begin alike, as `dependabot/`. A robot's branches come and go
/// by the hundred and are one thing.
#[must_use]
pub fn unit(branch: &str) -> &str {
    branch.find('/').map_or(branch, |at| branch.get(..=at).unwrap_or(branch))
}

/// The files of a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// How many.
    pub count: u64,
    /// How many of them are empty.
    pub empty: u64,
    /// A sample of their names.
    pub names: Sample,
    /// A sample of their contents.
    pub contents: Sample,
}
