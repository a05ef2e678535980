//! The guarantees of `docs/threat-model.md`, each with the tests that hold it, named after it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking, and share support that each uses a part of"
)]

#[path = "../support/fakes3/mod.rs"]
mod fakes3;
#[path = "../support/faults.rs"]
mod faults;
#[path = "../support/hostile.rs"]
mod hostile;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/parts.rs"]
mod parts;
#[path = "../s3_cli/place.rs"]
mod place;
#[path = "../support/sandbox.rs"]
mod sandbox;
#[path = "../support/seaweed.rs"]
mod seaweed;
#[path = "../support/postgres.rs"]
mod server;
#[path = "../support/session.rs"]
mod session;
#[path = "../support/ssh.rs"]
mod ssh;
#[path = "../support/store.rs"]
mod store_support;
#[path = "../support/vault.rs"]
mod vault_support;

mod attack;
mod attacker;
mod fake_place;
mod g11_forged;
mod g11_held;
mod g11_locked;
mod g11_real_server;
mod g11_upkeep;
mod g12_flood;
mod g12_parts;
mod g13_any_second;
mod g13_honest;
mod g13_hosts;
mod g16_not_alone;
mod g17_calls;
mod g17_clock;
mod g17_elsewhere;
mod g17_grows;
mod g17_held;
mod g17_less_locked;
mod g17_parity;
mod g17_repair;
mod g17_restore;
mod g1_cannot_destroy;
mod g2_cannot_read;
mod g3_cannot_hide;
mod g4_cannot_poison;
mod g5_cannot_backdate;
mod g5_touched;
mod g6_crash_safe;
mod g7_no_false_success;
mod g8_no_secrets;
mod g9_cold_restore;
mod house;
mod lying_server;
