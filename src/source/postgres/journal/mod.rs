//! The log of a `PostgreSQL` server on its way into a journal: received by the server's own `pg_receivewal` through a
//! replication slot, or handed over a segment at a time; and how far of it is whole.

mod again;
mod ahead;
mod files;
mod follow;
mod maker;
mod receiver;
mod segment;
mod server;
mod spool;
mod walk;

pub use again::Again;
pub use ahead::Ahead;
pub use files::{LogFile, Past, SegmentName, history};
pub use follow::{Follower, Look, Ready};
pub use maker::Maker;
pub use receiver::{end_orphans, receive};
pub use segment::{LogBytes, file_of, hash_of, lies_beside, looks, read_file, system_of, waiting, write_file};
pub use server::{Identity, Server, Slot, SlotState, Told};
pub use spool::{Held, Spool};
pub use walk::{Stop, Walk};

pub use super::wal::page::{Broken, Geometry};
