//! A repository backed up day after day: each day costs what is new, and every state of every day comes back. Needs git.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/http.rs"]
mod http;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/tls.rs"]
mod tls;

#[path = "git_segments/around.rs"]
mod around;
#[path = "git_segments/days.rs"]
mod days;
#[path = "git_segments/drilled.rs"]
mod drilled;
#[path = "git_segments/groups.rs"]
mod groups;
#[path = "git_segments/hangs.rs"]
mod hangs;
#[path = "git_segments/lab.rs"]
mod lab;
#[path = "git_segments/month.rs"]
mod month;
#[path = "git_segments/urls.rs"]
mod urls;
