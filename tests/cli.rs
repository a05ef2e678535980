//! The command line, as people and scripts use it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "cli/backup.rs"]
mod backup;
#[path = "cli/children.rs"]
mod children;
#[path = "cli/config.rs"]
mod config;
#[path = "cli/contract.rs"]
mod contract;
#[path = "cli/errors.rs"]
mod errors;
#[path = "cli/evidence.rs"]
mod evidence;
#[path = "cli/guard.rs"]
mod guard;
#[path = "cli/init.rs"]
mod init;
#[path = "cli/interrupt.rs"]
mod interrupt;
#[path = "cli/member.rs"]
mod member;
#[path = "cli/own.rs"]
mod own;
#[path = "cli/people.rs"]
mod people;
#[path = "cli/plugins.rs"]
mod plugins;
#[path = "cli/restore.rs"]
mod restore;
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/ssh.rs"]
mod ssh;
#[path = "cli/upkeep.rs"]
mod upkeep;
#[path = "cli/verify.rs"]
mod verify;
#[path = "cli/words.rs"]
mod words;
