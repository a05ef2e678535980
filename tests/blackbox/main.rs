//! The program as others meet it: the built binary, run on temporary directories by people in a hurry, on full disks, by
//! accident twice, and killed at any moment.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    clippy::match_same_arms,
    clippy::type_complexity,
    clippy::print_stderr,
    reason = "keys are spelled in lower case; tables of damages have arms and types of their own"
)]

mod apart;
mod asked_wrongly;
mod bad_sector;
mod beside;
mod contract;
mod copies;
mod copy_records;
mod damage;
mod full_disk;
mod interrupted;
mod killed;
mod lab;
mod memory;
mod mended;
mod mount;
mod orphans;
mod parts;
mod places;
mod remembered;
mod repository;
mod restored;
mod secrets;
mod sources;
mod unread;
mod unwritable;
