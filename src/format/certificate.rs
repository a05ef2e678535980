//! `members/<name>/<rev>-<hash>.json`: who a member is and what its signature is good for, signed by the root.

use serde::{Deserialize, Serialize};

use super::dsse::Document;
use crate::{
    codec::sign::PublicKey,
    model::{Name, NamePattern, Time, VaultId},
};

/// What a member may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Snapshots.
    Writer,
    /// Evidence of drills.
    Driller,
    /// Evidence of verifications.
    Auditor,
    /// Evidence of lock proofs.
    Pruner,
    /// Holds.
    Keeper,
}

impl Role {
    /// The role as configuration and JSON spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Driller => "driller",
            Self::Auditor => "auditor",
            Self::Pruner => "pruner",
            Self::Keeper => "keeper",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A member's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The format version of this document.
    pub format: String,
    /// The vault that it is good for.
    pub vault: VaultId,
    /// The member's name; for a writer also the prefix of its objects.
    pub name: Name,
    /// Which revision this is; the highest counts.
    pub rev: u32,
    /// What the member may sign.
    pub role: Role,
    /// The key that the member signs with.
    pub signing_key: PublicKey,
    /// The recipient that a writer seals its indexes to besides the epoch, so that it can read them back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_recipient: Option<String>,
    /// The first instant at which it is valid.
    pub valid_from: Time,
    /// The instant from which what the member signs is suspect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_from: Option<Time>,
    /// The sources that a writer may make snapshots of; any where there is no pattern.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<NamePattern>,
}

impl Certificate {
    /// Whether the member may make snapshots of this source.
    #[must_use]
    pub fn may_write(&self, source: &Name) -> bool {
        self.sources.is_empty() || self.sources.iter().any(|pattern| pattern.fits(source))
    }
}

impl Document for Certificate {
    const WHAT: &'static str = "member certificate";
    const TYPE: &'static str = "application/vnd.strongroom.certificate+json";
    const LIMIT: usize = 8 << 10;

    fn vault(&self) -> VaultId {
        self.vault
    }
}
