//! `request` and `request serve`: the socket between somebody who wants a backup now and the writer who makes it.

pub mod client;
pub mod peers;
pub mod runner;
pub mod serve;
