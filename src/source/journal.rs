//! What the logs of servers have in common on their way into a journal.

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
    /// The replication slot of a `PostgreSQL` server.
    pub slot: String,
    /// What the receiver calls itself to a `MariaDB` server, whose replicas are numbered; one of its own if nothing is said.
    pub server_id: Option<u32>,
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
            server_id: None,
            flush: Duration::from_secs(10),
            spool: 1 << 30,
            max_lag: 16 << 30,
            on_max_lag: OnMaxLag::Wait,
            every: None,
        }
    }
}

/// What was found where a log that comes meets what was shipped of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joint {
    /// It goes on from that.
    Same,
    /// It is another log.
    Other,
    /// It has not come so far.
    NotYet,
    /// Of the file that it ends in the server has only the beginning, and goes on in the next.
    Lost,
    /// Nothing is here that would tell.
    Unknown,
}

/// How far the log was shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shipped {
    /// The timeline; 0 of a server whose log has none.
    pub timeline: u32,
    /// The position.
    pub to: u64,
}
