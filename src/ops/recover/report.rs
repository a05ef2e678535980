//! What is told of a recovery.

use serde::Serialize;

use crate::model::Time;

/// What is told of a recovery.
#[derive(Debug, Clone, Serialize)]
pub struct Recovery {
    /// The point that was asked for.
    pub point: String,
    /// Whether what is at the point is there.
    pub inclusive: bool,
    /// The timeline that the log is of at the point.
    pub timeline: u32,
    /// From where on the base is consistent.
    pub base_end: String,
    /// When the base was done, by its server's clock.
    pub base_at: Option<String>,
    /// From where to where the log was laid out; nothing where the server fetches it.
    pub log_from: Option<String>,
    /// See there.
    pub log_until: Option<String>,
    /// Its bytes.
    pub log_bytes: u64,
    /// How many objects of the vault hold it.
    pub pieces: u64,
    /// Where the server stops.
    pub stop: Option<String>,
    /// When that is, if the log tells.
    pub stop_at: Option<String>,
    /// When the last transaction was committed that comes back.
    pub last_commit_at: Option<String>,
    /// Its number.
    pub last_commit_xid: Option<u32>,
    /// The same of a server of `MariaDB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_commit_gtid: Option<String>,
    /// Up to where the vault has the log, without a gap or behind one: what lies between is lost by stopping here.
    pub newest: Option<String>,
    /// When the vault got that.
    pub newest_at: Option<Time>,
    /// A gap in the log that nothing can go beyond from this base: where it begins, and where it ends if it does.
    pub gap: Option<(String, Option<String>)>,
    /// Tablespaces that were made since the base: their numbers, and where. The server makes them there again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tablespaces: Vec<(u32, String)>,
    /// The server's settings.
    pub settings: Vec<(String, String)>,
}
