//! Real `PostgreSQL` servers, backed up while they are written to, and broken while they are backed up.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "postgres/broken.rs"]
mod broken;
#[path = "postgres/drill.rs"]
mod drill;
#[path = "postgres/killed.rs"]
mod killed;
#[path = "postgres/place.rs"]
mod place;
#[allow(dead_code)]
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "postgres/secrets.rs"]
mod secrets;
#[allow(dead_code)]
#[path = "support/postgres.rs"]
mod server;
#[path = "postgres/story.rs"]
mod story;
#[path = "postgres/tls.rs"]
mod tls;
#[path = "postgres/versions.rs"]
mod versions;
#[path = "postgres/whole.rs"]
mod whole;
