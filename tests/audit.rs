//! What an auditor is told: the damage matrix, checkpoints, schedules and reports.
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, and share support that each uses a part of"
)]

#[path = "support/craft.rs"]
mod craft;
#[path = "support/parts.rs"]
mod parts;
#[path = "support/store.rs"]
mod store_support;
#[path = "support/vault.rs"]
mod vault_support;

#[path = "audit/directory.rs"]
mod directory;
#[path = "audit/matrix.rs"]
mod matrix;
#[path = "audit/memory.rs"]
mod memory;
#[path = "audit/page.rs"]
mod page;
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "audit/suspect.rs"]
mod suspect;
