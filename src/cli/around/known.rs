//! What is known of runs and sources, as it is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Time;

/// The last run of a command.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Last {
    /// When it ended.
    pub at: Option<Time>,
    /// With what.
    pub exit_code: u8,
    /// How long it took, in seconds.
    pub duration_s: f64,
    /// When one ended with 0 last.
    pub success_at: Option<Time>,
}

/// What is known of a source. What nobody said is not there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Of {
    /// When a backup on this host made a snapshot last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_at: Option<Time>,
    /// The instant of the newest snapshot's data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_at: Option<Time>,
    /// How old that was when this was written, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
    /// How often one is expected, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_s: Option<u64>,
    /// Bytes of its streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes that its run put into the vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
    /// Chunks of its streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunks: Option<u64>,
    /// Of these, chunks that were new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_chunks: Option<u64>,
    /// The loudest signal of its newest snapshot: 0 none, 1 notice, 2 alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<u8>,
    /// Alarms that nobody acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarms: Option<u64>,
    /// The first lock that ends of what the newest snapshot needs; what a backup read back, until somebody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Time>,
    /// When it was drilled last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill_at: Option<Time>,
    /// Whether that passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill_passed: Option<bool>,
    /// How long the recovery took, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto_s: Option<f64>,
    /// How old the data was, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpo_s: Option<f64>,
    /// When the store got the newest piece of its journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_at: Option<Time>,
    /// How long ago that was when it was looked at, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_lag_s: Option<u64>,
    /// How many things are owed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owed: Option<u64>,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// The version of this file's format.
    pub format: String,
    /// When it was written.
    pub written_at: Option<Time>,
    /// The last run of each command.
    pub commands: BTreeMap<String, Last>,
    /// Sources, by `writer/source`.
    pub sources: BTreeMap<String, Of>,
    /// The first lock that ends among all that live snapshots need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weakest_lock: Option<Time>,
}
