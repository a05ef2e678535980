//! The log of a `PostgreSQL` server on its way into a journal: received by the server's own `pg_receivewal` through a
//! replication slot, or handed over a segment at a time; and how far of it is whole.

mod ahead;
mod crc;
mod files;
mod follow;
mod page;
mod receiver;
mod segment;
mod server;
mod spool;
mod walk;

pub use ahead::Ahead;
pub use files::{LogFile, Past, SegmentName, history};
pub use follow::{Follower, Look, Ready, Shipped};
pub use page::{Broken, Geometry};
pub use receiver::{Receiver, end_orphans};
pub use segment::{LogBytes, lies_beside, read_file, system_of, waiting, write_file};
pub use server::{Identity, Server, Slot, SlotState};
pub use spool::{Held, Spool};
pub use walk::{Stop, Walk};

use std::time::Duration;

use crate::model::Span;

/// What is done when the server holds more of its log than was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnMaxLag {
    /// Nothing but to tell: the slot holds all of it, and the server's disk may fill.
    #[default]
    Wait,
    /// The slot is let go of, and what is lost then is told.
    Gap,
}

/// How the log of a server becomes a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOptions {
    /// The replication slot.
    pub slot: String,
    /// How long something new may wait.
    pub flush: Duration,
    /// How many bytes may wait on this host's disk.
    pub spool: u64,
    /// How many bytes may wait on the server's.
    pub max_lag: u64,
    /// What is done beyond that.
    pub on_max_lag: OnMaxLag,
    /// How old the newest piece may get. Where the server writes nothing, that is told by a piece of what is there already.
    pub every: Option<Span>,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            slot: "strongroom".to_owned(),
            flush: Duration::from_secs(10),
            spool: 1 << 30,
            max_lag: 16 << 30,
            on_max_lag: OnMaxLag::Wait,
            every: None,
        }
    }
}
