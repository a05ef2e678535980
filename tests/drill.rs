//! Drills, through the program: what is as it was passes, what is not is found and named, and nothing is left behind.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "drill/confined.rs"]
mod confined;
#[path = "drill/hostile.rs"]
mod hostile;
#[path = "drill/lab.rs"]
mod lab;
#[path = "drill/lent_mariadb.rs"]
mod lent_mariadb;
#[path = "drill/lent_postgres.rs"]
mod lent_postgres;
#[path = "support/postgres.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod pg;
#[path = "drill/plain.rs"]
mod plain;
#[path = "drill/reach.rs"]
mod reach;
#[path = "drill/salvaged.rs"]
mod salvaged;
#[path = "support/sandbox.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod sandbox;
#[path = "support/mariadb.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod server;
#[path = "drill/servers.rs"]
mod servers;
#[path = "drill/tampered.rs"]
mod tampered;
