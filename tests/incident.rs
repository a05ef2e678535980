//! The day it happens: the last good snapshot, the page, and the commands on it.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "incident/good.rs"]
mod good;
#[path = "incident/page.rs"]
mod page;
#[path = "support/sandbox.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod sandbox;
#[path = "incident/shop.rs"]
mod shop;
