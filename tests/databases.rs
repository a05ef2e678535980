//! Databases as sources, through the program, against the real things while others write to them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "databases/binlog.rs"]
mod binlog;
#[path = "databases/binlog_odd.rs"]
mod binlog_odd;
#[path = "databases/complete.rs"]
mod complete;
#[path = "databases/honest.rs"]
mod honest;
#[path = "databases/into.rs"]
mod into;
#[path = "databases/look.rs"]
mod look;
#[path = "databases/mariadb.rs"]
mod mariadb;
#[path = "support/sandbox.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod sandbox;
#[path = "support/mariadb.rs"]
mod server;
#[path = "databases/settings.rs"]
mod settings;
#[path = "databases/sqlite.rs"]
mod sqlite;
#[path = "databases/waited.rs"]
mod waited;
