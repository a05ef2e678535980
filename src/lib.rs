//! Strongroom: immutable, encrypted, deduplicated backups outside the blast radius.
//!
//! The rooms, from the top of the house to its foundation. A room may use the rooms below it and no other;
//! `tests/architecture.rs` holds the list and fails when a line breaks it.
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`cli`] | arguments, configuration, wiring, rendering, progress bars, words for failures |
//! | [`ops`] | one promise per file: init, backup, restore, verify … |
//! | [`guard`] | what several people decide and what stays whatever its expiry: approvals, holds |
//! | [`engine`] | throwaway servers that show that what was restored can be used |
//! | [`forge`] | what forges have besides code, through their APIs: issues, pull requests, releases |
//! | [`source`] | what a backup reads: streams, files, commands, git, databases |
//! | [`vault`] | where codec, format, store and catalog meet: the writer's pipeline and the reader |
//! | [`catalog`] | the writer's local memory of what it stored: a cache, never the only copy |
//! | [`store`] | the contract of an object store, and its implementations |
//! | [`format`] | the bytes of the vault format and the names of its objects |
//! | [`signal`] | what changed that should not have: facts of the last runs in, verdicts out |
//! | [`codec`] | chunking, hashing, compression, deltas, sealing and signing |
//! | [`model`] | values without behaviour beyond arithmetic: ids, times, locks, reports |

// The writer's own build reaches a part of the house; what it does not reach is not linked.
#![cfg_attr(not(feature = "full"), allow(dead_code, unused_imports))]

pub mod catalog;
pub mod cli;
pub mod codec;
pub mod engine;
pub mod forge;
pub mod format;
pub mod guard;
pub mod model;
pub mod ops;
pub mod signal;
pub mod source;
pub mod store;
pub mod vault;
