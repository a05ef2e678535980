//! Golden vaults: what the build wrote that froze the format, every build restores, for ever. What is expected of each lies
//! beside it, in `fixtures/vaults`; nothing here depends on the day on which it runs.
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, and share support that each uses a part of"
)]

#[path = "golden/draft.rs"]
mod draft;
#[path = "golden/features.rs"]
mod features;
#[path = "golden/made.rs"]
mod made;
#[path = "golden/met.rs"]
mod met;
#[path = "golden/restores.rs"]
mod restores;
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/store.rs"]
mod store_support;
#[path = "support/vault.rs"]
mod vault_support;
#[path = "golden/vaults.rs"]
mod vaults;
#[path = "golden/written.rs"]
mod written;
