//! The ways to the vault, cut on demand: steps that hang, lie and fail, processes that are killed, a network, a bucket.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

#[path = "airgap/alert.rs"]
mod alert;
#[path = "airgap/bucket.rs"]
mod bucket;
#[path = "airgap/day.rs"]
mod day;
#[path = "airgap/network.rs"]
mod network;
#[path = "airgap/open.rs"]
mod open;
#[path = "s3_cli/place.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod place;
#[path = "support/postgres.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod postgres;
#[path = "support/sandbox.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod sandbox;
#[path = "support/seaweed.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod seaweed;
#[path = "support/session.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod session;
#[path = "airgap/steps.rs"]
mod steps;
#[path = "airgap/window.rs"]
mod window;
