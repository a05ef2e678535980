//! Forges: what their APIs have is backed up, told, restored and read again, by the program and against a forge of ours.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "forge/app.rs"]
mod app;
#[path = "forge/back.rs"]
mod back;
#[path = "forge/back_odd.rs"]
mod back_odd;
#[path = "forge/broken.rs"]
mod broken;
#[path = "forge/day.rs"]
mod day;
#[path = "forge/discussions.rs"]
mod discussions;
#[path = "forge/drills.rs"]
mod drills;
#[path = "forge/elsewhere.rs"]
mod elsewhere;
#[path = "forge/fake.rs"]
mod fake;
#[path = "forge/hostile.rs"]
mod hostile;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/http.rs"]
mod http;
#[path = "forge/lab.rs"]
mod lab;
#[path = "forge/lfs.rs"]
mod lfs;
#[path = "forge/odd.rs"]
mod odd;
#[path = "forge/pages.rs"]
mod pages;
#[path = "forge/paging.rs"]
mod paging;
#[path = "forge/partial.rs"]
mod partial;
#[path = "forge/round_trip.rs"]
mod round_trip;
#[path = "support/sandbox.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod sandbox;
#[path = "forge/secrets.rs"]
mod secrets;
#[path = "forge/survey.rs"]
mod survey;
#[path = "support/tls.rs"]
mod tls;
#[path = "forge/trouble.rs"]
mod trouble;
