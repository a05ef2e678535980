//! `ready` and `status`, as they are typed.

use std::path::PathBuf;

use clap::Args;

use super::IdentityArgs;
use crate::model::{Name, Span};

/// `ready`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom ready orders --max-age 1h --drilled 7d
  strongroom --config auditor.toml ready orders wiki --json
  strongroom ready orders --checkpoint /var/lib/strongroom/watch.json
  strongroom ready orders --max-age 1h --via /run/strongroom/request.sock

Run it before a destructive step: a migration, a deployment, a tool call of an agent. Exit code 0 only if each \
source could be restored as asked: its newest snapshot is recent enough, all objects it needs are there and locked, \
no alarm is open, its last drill passed recently, and the clocks agree. Otherwise 5, with the reasons; 4 if the \
vault is not the one whose id is pinned; 75 if the store can't be reached. It needs read access and no identity, and \
reads no data. With --json the answer is signed if [member] has the key of a driller or an auditor. With --via it \
needs only the socket of `request serve`, which answers for the sources and users in its [request].")]
pub struct ReadyArgs {
    /// Sources to check [default: those of the configuration, else all in the vault]
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<Name>,
    /// The same as SOURCE
    #[arg(long = "source", value_name = "NAME", conflicts_with = "sources")]
    pub source: Vec<Name>,
    /// The writer, if several writers have a source of this name
    #[arg(long, value_name = "NAME")]
    pub writer: Option<Name>,
    /// Maximum age of the newest snapshot [default: one and a half times the source's `every`, else 26h]
    #[arg(long, value_name = "D")]
    pub max_age: Option<Span>,
    /// Maximum age of the last passed drill [default: a third of the vault's `keep`]
    #[arg(long, value_name = "D")]
    pub drilled: Option<Span>,
    /// Number of copies ([[copy]]) that must have the snapshot, by their last `replicate`
    #[arg(long, value_name = "N")]
    pub copies: Option<u32>,
    /// Ask the `request serve` at this socket, which answers with its own configuration and credentials
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["writer", "checkpoint", "acknowledge"])]
    pub via: Option<PathBuf>,
    /// Checkpoint file of `watch`, for open and acknowledged alarms
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Ignore this alarm. Repeatable
    #[arg(long, value_name = "CAUSE")]
    pub acknowledge: Vec<String>,
}

/// `status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom status
  strongroom --config auditor.toml status \\
      --checkpoint /var/lib/strongroom/watch.json

For each source: its newest snapshot, when the next is due, size and growth, the first lock that ends, the last \
drill, alarms, and the state of its journal. Exit code 5 if something is owed (overdue or missing), 4 if damage was \
found. It reads headers, pages and locks, needs no identity, and makes as many calls as `verify --depth locks`. The \
state of copies is that of the last `replicate`.")]
pub struct StatusArgs {
    /// Only this source. Repeatable
    #[arg(long, value_name = "NAME")]
    pub source: Vec<Name>,
    /// Report a source as owed if its newest snapshot is older [default: one and a half times the source's `every`]
    #[arg(long, value_name = "D")]
    pub max_age: Option<Span>,
    /// Report a drill as owed if the last is older [default: a third of the vault's `keep`]
    #[arg(long, value_name = "D")]
    pub drilled: Option<Span>,
    /// Checkpoint file of `watch`, for open and acknowledged alarms
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Also write metrics for Prometheus to this file, in place of [metrics] in the configuration. Its name ends in
    /// .prom; the same as JSON is written beside it
    #[arg(long, value_name = "FILE.prom")]
    pub metrics: Option<PathBuf>,
    /// Says which vault is meant. Opens nothing here.
    #[command(flatten)]
    pub identity: IdentityArgs,
}
