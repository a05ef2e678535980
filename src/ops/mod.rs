//! One promise per file. What a command does, without words for people and without touching files of its own: the
//! command line hands in keys, sources and targets, and shows what comes back.

pub mod airgap;
pub mod approve;
pub mod backup;
pub mod bucket;
pub mod catalog;
pub mod diff;
mod distrust;
pub mod doctor;
pub mod drill;
mod error;
pub mod evidence;
pub mod freeze;
pub mod groups;
pub mod incident;
pub mod init;
pub mod journal;
pub mod lock_proof;
pub mod look;
pub mod lookback;
pub mod member;
mod parity;
pub mod people;
mod pins;
pub mod policy;
pub mod prune;
pub mod publish;
pub mod readiness;
pub mod recover;
pub mod renew;
pub mod repair;
pub mod replicate;
pub mod report;
pub mod request;
pub mod restore;
pub mod schedule;
pub mod shares;
pub mod show;
pub mod signals;
pub mod snapshots;
pub mod status;
pub mod verify;
pub mod watch;
mod watching;

pub use error::OpsError;
pub use pins::{Pin, must_allow, open_vault};

/// The result of a command.
pub type Result<T> = std::result::Result<T, OpsError>;
