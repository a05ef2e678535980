//! The command line and a real object-lock bucket, with the roles apart.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "s3_cli/agent.rs"]
mod agent;
#[path = "s3_cli/between.rs"]
mod between;
#[path = "s3_cli/copies.rs"]
mod copies;
#[path = "s3_cli/crashes.rs"]
mod crashes;
#[path = "s3_cli/doctor.rs"]
mod doctor;
#[path = "s3_cli/errors.rs"]
mod errors;
#[allow(dead_code)]
#[path = "support/fakes3/mod.rs"]
mod fakes3;
#[path = "s3_cli/held.rs"]
mod held;
#[allow(dead_code)]
#[path = "support/http.rs"]
mod http;
#[path = "s3_cli/init.rs"]
mod init;
#[path = "s3_cli/lockless.rs"]
mod lockless;
#[path = "s3_cli/network.rs"]
mod network;
#[path = "s3_cli/place.rs"]
mod place;
#[path = "s3_cli/ready.rs"]
mod ready;
#[path = "s3_cli/rights.rs"]
mod rights;
#[allow(dead_code)]
#[path = "support/sandbox.rs"]
mod sandbox;
#[allow(dead_code)]
#[path = "support/seaweed.rs"]
mod seaweed;
#[path = "support/session.rs"]
mod session;
#[path = "s3_cli/sessions.rs"]
mod sessions;
#[path = "support/ssh.rs"]
mod ssh;
#[path = "s3_cli/story.rs"]
mod story;
#[path = "support/tls.rs"]
mod tls;
#[path = "s3_cli/upkeep.rs"]
mod upkeep;
