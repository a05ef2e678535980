//! The binary log of a `MariaDB` server on its way into a journal, and back: received by the server's own
//! `mariadb-binlog`, and what of it is whole by the events' own headers.

pub mod event;
mod follow;
mod groups;
mod server;
mod spool;
mod walk;

pub use event::{last_event, made};
pub use follow::{Follower, Look, Ready};
pub use groups::{Group, Groups, Gtid, beginning, opening};
pub(super) use server::log_of;
pub use server::{Log, Server, end_orphans, position, split};
pub use spool::{Held, Spool, file_of, number_of};
