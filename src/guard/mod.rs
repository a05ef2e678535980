//! What more than one person decides, and what stays whatever its expiry: approvals and holds.

pub mod approvals;
mod error;
pub mod holds;
#[cfg(test)]
mod tests;

pub use error::GuardError;

/// The result of a guard.
pub type Result<T> = std::result::Result<T, GuardError>;
