//! What work on a vault costs in calls and in waiting for them, counted and never timed; and what is left of work that
//! was stopped.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking, and share support that each uses a part of"
)]

#[path = "support/faults.rs"]
mod faults;
#[path = "support/store.rs"]
mod store_support;
#[path = "support/vault.rs"]
mod vault_support;

#[path = "costs/calls.rs"]
mod calls;
#[path = "costs/lab.rs"]
mod lab;
#[path = "costs/locks.rs"]
mod locks;
#[path = "costs/rebuild.rs"]
mod rebuild;
#[path = "costs/watch.rs"]
mod watch;
