//! Journals: the log of a database, in the vault within seconds.

mod asked;
mod behind;
mod board;
mod check;
mod covered;
mod ear;
mod event;
mod fetch;
mod keeper;
mod list;
mod log;
mod moment;
mod push;
mod replica;
mod report;
mod run;
mod seam;
mod ship;
mod sink;
mod still;
mod taken;
#[cfg(test)]
mod tests;

pub use behind::push_behind;
pub use event::{Event, Observer};
pub use fetch::{FetchRequest, Fetched, fetch, from_ahead};
pub use list::{GapLine, JournalLine, Stretch, list};
pub use push::{PushReport, PushRequest, push, was_pushed};
pub use report::{GapReport, RunReport, SourceReport};
pub use run::{JobServer, RunJob, RunRequest, run};
