//! Where codec, format, store and catalog meet.

pub mod approvers;
pub mod audit;
mod bloom;
pub mod copies;
pub mod copy_records;
pub mod copying;
pub mod earlier;
mod error;
pub mod evidence;
mod fetch;
pub mod haste;
mod heads;
pub mod holds;
pub mod input;
pub mod journal;
pub mod keys;
pub mod members;
mod open;
pub mod own;
pub mod parity;
pub mod past;
pub mod reader;
pub mod rebuild;
mod signed;
pub mod snapshots;
pub mod standing;
mod stock;
pub mod upkeep;
pub mod writer;

pub use error::{VaultError, VaultErrorKind};
pub use open::Vault;

/// The result of working on a vault.
pub type Result<T> = std::result::Result<T, VaultError>;
