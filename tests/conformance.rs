//! Every store keeps the same contract: each case runs over each store.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "conformance/suite.rs"]
#[macro_use]
mod suite;
#[path = "conformance/local.rs"]
mod local;
#[path = "conformance/memory.rs"]
mod memory;
#[path = "conformance/records.rs"]
mod records;
#[path = "conformance/s3.rs"]
mod s3;
#[allow(dead_code)]
#[path = "support/seaweed.rs"]
mod seaweed;
#[path = "conformance/servers.rs"]
mod servers;
#[path = "support/store.rs"]
mod support;
