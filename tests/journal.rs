//! Journals in a vault: put, listed, opened, verified, kept and pruned.
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, and share support that each uses a part of"
)]

#[path = "support/faults.rs"]
mod faults;
#[path = "support/store.rs"]
mod store_support;
#[path = "support/vault.rs"]
mod vault_support;

#[path = "journal/failing.rs"]
mod failing;
#[path = "journal/handed.rs"]
mod handed;
#[path = "journal/kept.rs"]
mod kept;
#[path = "journal/lab.rs"]
mod lab;
#[path = "journal/many.rs"]
mod many;
#[path = "journal/put.rs"]
mod put;
#[path = "journal/upkeep.rs"]
mod upkeep;
