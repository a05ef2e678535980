//! Journals in a vault: the pieces of a database's log between two snapshots. Each is an object of its own that is put
//! once, locked as a pack is, and needs no header to count.

mod list;
mod read;
mod write;

pub use list::{Gathering, LineListing, Listed, Listing, Windows, list, list_all, list_histories, list_within};
pub use read::{Opened, Opening, Reader};
pub use write::{JournalWriter, Log, Put, Ready, Stretch};
