//! `ready` and `status`, as they are typed.

use std::path::PathBuf;

use clap::Args;

use crate::model::{Name, Span};

/// `ready`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom ready orders --max-age 1h --drilled 7d
  strongroom --config auditor.toml ready orders wiki --json
  strongroom ready orders --checkpoint /var/lib/strongroom/watch.json
  strongroom ready orders --max-age 1h --via /run/strongroom/request.sock

Ask it before anything destructive: a migration, a deployment, a tool call of an agent. Exit code 0 only if each source could be \
restored as asked: its newest snapshot is young enough, all that it needs is there and locked, no alarm is open, its last drill \
passed lately, and the clocks agree. Else 5, with the reasons; 4 if the vault is another one than the id that is pinned; 75 if the \
store can't be reached. It needs read access and no identity, and reads no data. With --json, the answer is signed if [member] has \
the key of a driller or an auditor. With --via it needs nothing but the socket of `request serve`, which answers for the sources in its \
[request] and for users who may request them.")]
pub struct ReadyArgs {
    /// The sources [default: those of the configuration, else all in the vault]
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<Name>,
    /// The same as SOURCE
    #[arg(long = "source", value_name = "NAME", conflicts_with = "sources")]
    pub source: Vec<Name>,
    /// Whose source it is, where several writers have one of this name
    #[arg(long, value_name = "NAME")]
    pub writer: Option<Name>,
    /// A snapshot that is older will not do [default: one and a half times the source's `every`, else 26h]
    #[arg(long, value_name = "D")]
    pub max_age: Option<Span>,
    /// Nor does a source whose last drill is older [default: a third of the vault's `keep`]
    #[arg(long, value_name = "D")]
    pub drilled: Option<Span>,
    /// So many copies must have the snapshot: those of [[copy]] whose last `replicate` began after it
    #[arg(long, value_name = "N")]
    pub copies: Option<u32>,
    /// Ask the server of requests at this socket, and hold nothing: it answers with its own configuration
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["writer", "checkpoint", "acknowledge"])]
    pub via: Option<PathBuf>,
    /// The checkpoint of `watch`: its open alarms count, and its acknowledgements
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Pass over this alarm. May be given more than once
    #[arg(long, value_name = "CAUSE")]
    pub acknowledge: Vec<String>,
}

/// `status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom status
  strongroom --config auditor.toml status --checkpoint /var/lib/strongroom/watch.json

For each source: its newest snapshot, when the next is due, size and growth, the first lock that ends, the last drill, alarms, and \
how far its journal reaches. Exit code 5 if something is owed, 4 if damage was found. It reads headers, pages and locks, needs no \
identity, and costs as many calls as `verify --depth locks`. Of copies it shows what `replicate` remembers.")]
pub struct StatusArgs {
    /// Only this source. May be given more than once
    #[arg(long, value_name = "NAME")]
    pub source: Vec<Name>,
    /// A snapshot that is older is owed [default: one and a half times the source's `every`]
    #[arg(long, value_name = "D")]
    pub max_age: Option<Span>,
    /// A drill is owed if the last is older [default: a third of the vault's `keep`]
    #[arg(long, value_name = "D")]
    pub drilled: Option<Span>,
    /// The checkpoint of `watch`: its open alarms count, and its acknowledgements
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
}
