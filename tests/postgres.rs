//! Real `PostgreSQL` servers, backed up while they are written to, and broken while they are backed up.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "postgres/accident.rs"]
mod accident;
#[path = "postgres/broken.rs"]
mod broken;
#[path = "postgres/damaged.rs"]
mod damaged;
#[path = "postgres/drill.rs"]
mod drill;
#[path = "postgres/handed.rs"]
mod handed;
#[path = "postgres/history.rs"]
mod history;
#[path = "postgres/into.rs"]
mod into;
#[path = "postgres/killed.rs"]
mod killed;
#[path = "postgres/later.rs"]
mod later;
#[path = "postgres/left_out.rs"]
mod left_out;
#[path = "postgres/locks.rs"]
mod locks;
#[path = "postgres/look.rs"]
mod look;
#[path = "postgres/place.rs"]
mod place;
#[path = "postgres/quickstart.rs"]
mod quickstart;
#[path = "postgres/recover.rs"]
mod recover;
#[allow(dead_code)]
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "postgres/secrets.rs"]
mod secrets;
#[allow(dead_code)]
#[path = "support/postgres.rs"]
mod server;
#[path = "postgres/spool.rs"]
mod spool;
#[path = "postgres/stock.rs"]
mod stock;
#[path = "postgres/story.rs"]
mod story;
#[path = "postgres/tls.rs"]
mod tls;
#[path = "postgres/versions.rs"]
mod versions;
#[path = "postgres/whole.rs"]
mod whole;
