//! `holds/<member>/<time>-<hash>.json`: snapshots that stay whatever their expiry, signed by a keeper or the root; and
//! `releases/<member>/<time>-<hash>.json`, which lifts a hold.

use serde::{Deserialize, Serialize};

pub use super::bounded::SNAPSHOTS;
use super::{approval::Approval, bounded, dsse::Document};
use crate::model::{Hash, Name, SnapshotId, Time, VaultId};

/// The longest reason, in bytes.
pub const REASON: usize = 1024;

/// Snapshots that are held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The format version of this document.
    pub format: String,
    /// The vault.
    pub vault: VaultId,
    /// Who holds: a keeper, or `owner` for the root.
    pub member: Name,
    /// Since when, by the store's clock.
    pub at: Time,
    /// Until when.
    pub until: Time,
    /// The snapshots.
    #[serde(deserialize_with = "bounded::held")]
    pub snapshots: Vec<SnapshotId>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Document for Hold {
    const WHAT: &'static str = "hold";
    const TYPE: &'static str = "application/vnd.strongroom.hold+json";
    const LIMIT: usize = 1 << 20;

    fn vault(&self) -> VaultId {
        self.vault
    }
}

/// A hold that is lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The format version of this document.
    pub format: String,
    /// The vault.
    pub vault: VaultId,
    /// Who lifts it: a keeper, or `owner` for the root.
    pub member: Name,
    /// When, by the store's clock.
    pub at: Time,
    /// The hash of the hold, as its name has it.
    pub hold: Hash,
    /// What people approved, where the list of approvers asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

impl Document for Release {
    const WHAT: &'static str = "release of a hold";
    const TYPE: &'static str = "application/vnd.strongroom.release+json";
    const LIMIT: usize = 2 << 20;

    fn vault(&self) -> VaultId {
        self.vault
    }
}
