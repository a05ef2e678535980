//! Whose credentials are examined, and what these are meant to be able to do.

use serde::Serialize;

use crate::format::certificate;

/// A role of the vault, as the people who hold its credentials are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Adds backups.
    Writer,
    /// Extends locks.
    Keeper,
    /// Reads everything.
    Reader,
    /// Reads everything, and leaves evidence of drills.
    Driller,
    /// Reads everything, and leaves evidence of verifications.
    Auditor,
    /// Deletes what no lock protects.
    Pruner,
    /// Made the vault, and may do everything that a lock does not forbid.
    Owner,
    /// Works on production, and is to have nothing to do with the vault.
    Agent,
}

impl From<certificate::Role> for Role {
    fn from(role: certificate::Role) -> Self {
        match role {
            certificate::Role::Writer => Self::Writer,
            certificate::Role::Driller => Self::Driller,
            certificate::Role::Auditor => Self::Auditor,
            certificate::Role::Pruner => Self::Pruner,
            certificate::Role::Keeper => Self::Keeper,
        }
    }
}

impl Role {
    /// The role as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Keeper => "keeper",
            Self::Reader => "reader",
            Self::Driller => "driller",
            Self::Auditor => "auditor",
            Self::Pruner => "pruner",
            Self::Owner => "owner",
            Self::Agent => "agent",
        }
    }

    /// Whether it is meant to delete what no lock protects, and so can prove that locks are enforced.
    #[must_use]
    pub const fn may_delete(self) -> bool {
        matches!(self, Self::Pruner | Self::Owner)
    }

    /// Whether it is meant to put canaries under its own name.
    pub(super) const fn has_canaries(self) -> bool {
        matches!(self, Self::Writer | Self::Pruner | Self::Owner)
    }

    /// Whether it is meant to leave evidence under its own name.
    pub(super) const fn leaves_evidence(self) -> bool {
        matches!(self, Self::Driller | Self::Auditor | Self::Pruner)
    }

    /// Whether it is meant to read packs, keys and the list of versions.
    pub(super) const fn may_read(self) -> bool {
        !matches!(self, Self::Writer | Self::Agent)
    }

    /// Whether it is meant to set locks, in a vault whose writers do that themselves if `explicit`.
    pub(super) const fn may_lock(self, explicit: bool) -> bool {
        matches!(self, Self::Keeper | Self::Owner) || (explicit && matches!(self, Self::Writer))
    }

    /// Whether nothing in the bucket is out of its reach but what is locked.
    pub(super) const fn may_everything(self) -> bool {
        matches!(self, Self::Owner)
    }
}
