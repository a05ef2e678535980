//! What an operator and an agent ask: `ready`, `status`, `show`, `diff`, metrics, pings, hooks and schedules.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::float_cmp, clippy::cast_precision_loss, reason = "metrics are whole numbers far below 2^52")]

#[path = "operate/around.rs"]
mod around;
#[path = "support/http.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod http;
#[path = "operate/lab.rs"]
mod lab;
#[path = "operate/limits.rs"]
mod limits;
#[path = "operate/mcp.rs"]
mod mcp;
#[path = "operate/monitoring.rs"]
mod monitoring;
#[path = "operate/package.rs"]
mod package;
#[path = "operate/ready.rs"]
mod ready;
#[path = "operate/request.rs"]
mod request;
#[path = "operate/restore.rs"]
mod restore;
#[path = "support/sandbox.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod sandbox;
#[path = "operate/schedule.rs"]
mod schedule;
#[path = "operate/show.rs"]
mod show;
#[path = "support/ssh.rs"]
mod ssh;
#[path = "operate/status.rs"]
mod status;
#[path = "operate/told.rs"]
mod told;
#[path = "operate/year.rs"]
mod year;
