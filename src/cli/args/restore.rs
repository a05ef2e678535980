//! `restore`, as it is typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{IdentityArgs, recover::RecoverArgs, said::Said};
use crate::model::Name;

/// In which form something comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// As it is in the snapshot.
    Json,
    /// And as pages for a browser.
    Html,
}

/// `restore`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom restore 4f1c0a9b -i recovery.key --to ~/back
  strongroom restore latest --source orders -i recovery.key --to - | psql orders
  strongroom restore latest --source code --at 2026-11-22T06:00:00Z --ref main -i recovery.key --to ~/back
  strongroom restore latest --source orders --at '2 hours ago' -i recovery.key --to ~/back
  strongroom restore last-good --source orders -i recovery.key --to ~/back
  strongroom restore latest --source cluster --recover-to '2026-11-22 14:59:30' -i recovery.key --to /srv

It needs the vault and an identity, and nothing of the machine that was backed up. Nothing is overwritten.
One that was interrupted goes on where it stopped when the same command is given again. `last-good` looks back over the \
source's snapshots by the rules of docs/signals.md and takes the newest without an alarm that nobody acknowledged; it says \
which it passes over, and why.")]
pub struct RestoreArgs {
    /// The beginning of a snapshot's id (8 digits at least), `latest`, or `last-good`: the newest without an alarm that
    /// nobody acknowledged
    pub snapshot: String,
    /// With latest or last-good: of which source
    #[arg(long, value_name = "NAME")]
    pub source: Option<Name>,
    /// With latest or last-good: whose, where two writers have a source of this name
    #[arg(long, value_name = "NAME")]
    pub writer: Option<Name>,
    /// With latest or last-good: the newest that is not younger than this, such as 2026-11-22T06:00:00Z, "2026-11-22 07:00" (this
    /// host's time), yesterday or "2 hours ago"
    #[arg(long, value_name = "TIME")]
    pub at: Option<Said>,
    /// With last-good: what `watch` remembers, for the alarms that were acknowledged
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// The directory in which <source>/<stream> is made (<source>.git for a repository), or - for standard output
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Keep files that are there already and are as the snapshot has them; a restore that was interrupted does so by itself
    #[arg(long)]
    pub resume: bool,
    /// Only this stream, by its name or path
    #[arg(long, value_name = "NAME")]
    pub stream: Option<String>,
    /// Of a git repository only this, with its history: a branch, a tag, a commit's id, or what else git takes, such as
    /// main~1 or stash@{1}
    #[arg(long = "ref", value_name = "REF", conflicts_with = "stream")]
    pub reference: Option<String>,
    /// Of a forge: the lines of JSON that its API gave, or pages besides, in <source>.html, that a person reads offline
    #[arg(long = "as", value_name = "FORM", value_enum, default_value_t = Form::Json, hide_default_value = true,
        conflicts_with_all = ["stream", "reference"])]
    pub form: Form,
    /// To a point between two snapshots.
    #[command(flatten)]
    pub recovery: RecoverArgs,
}
