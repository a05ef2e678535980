//! `restore`, as it is typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[cfg(feature = "full")]
use super::PapersArgs;
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
  strongroom restore latest --source files -i recovery.key --include 'etc/nginx' --to ~/back
  strongroom restore latest --source orders -i recovery.key --into 'host=db2 user=postgres dbname=orders'
  strongroom restore latest --source orders -i recovery.key --table public.invoices --into service=scratch
  strongroom restore latest --source acme -i recovery.key --into gitea:https://git.example/acme --token file:token
  strongroom restore latest --source cluster --recover-to '2026-11-22 14:59:30' -i recovery.key --to /srv

It needs the vault and an identity, and nothing of the machine that was backed up. Nothing is overwritten.
One that was interrupted goes on where it stopped when the same command is given again. `last-good` looks back over the \
source's snapshots by the rules of docs/signals.md and takes the newest without an alarm that nobody acknowledged; it says \
which it passes over, and why.

--into loads dumps straight into a server or a database file. The snapshot's writer made what is loaded: it runs there with \
the rights of the role in the DSN. PostgreSQL: roles that are not there are made first; each database goes into an empty one of \
its name, made if it is not there, or one alone into the database that the DSN names; one that was made and could not be \
filled is dropped again. MariaDB and MySQL: the dump is loaded under its own names, then users and grants; of one table its rows and triggers alone. SQLite \
(sqlite:FILE): the file gets its name when it is whole. A load that was interrupted begins anew. Passwords belong into \
~/.pgpass, PGPASSWORD or a password-file.

--into a forge makes repositories that are not there, labels, milestones, issues and pull requests in the order of their numbers, \
comments and releases with their files; push the code first. Given again it goes on where it stopped. docs/forges.md.")]
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
    #[arg(long, value_name = "DIR", required_unless_present_any = ["list", "dry_run", "into"])]
    pub to: Option<PathBuf>,
    /// Only list what the snapshot holds, with sizes and with the tables of databases
    #[arg(long, conflicts_with_all = ["to", "dry_run", "into", "resume", "reference", "recover_to", "data_directory"])]
    pub list: bool,
    /// Only say what would be fetched: bytes, objects and calls, and roughly what that costs and how long it takes
    #[arg(long, conflicts_with_all = ["into", "reference", "recover_to", "data_directory"])]
    pub dry_run: bool,
    /// Keep files that are there already and are as the snapshot has them; a restore that was interrupted does so by itself
    #[arg(long)]
    pub resume: bool,
    /// Only this stream, by its name or path
    #[arg(long, value_name = "NAME")]
    pub stream: Option<String>,
    /// Only streams that fit, with all that lies in directories that fit: * stands for anything, ** for any directories, and
    /// a pattern without / fits a name at any depth. May be given more than once
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["stream", "reference", "into", "recover_to", "data_directory"])]
    pub include: Vec<String>,
    /// Of a git repository only this, with its history: a branch, a tag, a commit's id, or what else git takes, such as
    /// main~1 or stash@{1}
    #[arg(long = "ref", value_name = "REF", conflicts_with = "stream")]
    pub reference: Option<String>,
    /// Of a forge: the lines of JSON that its API gave, or pages besides, in <source>.html, that a person reads offline
    #[arg(long = "as", value_name = "FORM", value_enum, default_value_t = Form::Json, hide_default_value = true,
        conflicts_with_all = ["stream", "reference"])]
    pub form: Form,
    /// Into a server.
    #[command(flatten)]
    pub into: IntoArgs,
    /// To a point between two snapshots.
    #[command(flatten)]
    pub recovery: RecoverArgs,
}

/// What a restore into a server is told.
#[derive(Debug, Default, Args)]
pub struct IntoArgs {
    #[allow(clippy::doc_markdown)] // It is the text of --help.
    /// Load dumps into this: a DSN such as 'host=db2 dbname=orders', postgresql://db2/orders, mariadb://root@db2 or
    /// sqlite:FILE. Or make a forge's repositories, issues and releases anew below an owner: gitea:https://HOST/OWNER,
    /// github:https://github.com/OWNER. What is not empty is refused
    #[arg(long, value_name = "DSN", conflicts_with_all = ["to", "resume", "stream", "reference", "recover_to", "data_directory"])]
    pub into: Option<String>,
    #[allow(clippy::doc_markdown)] // It is the text of --help.
    /// With --into a forge: the token, as file:PATH or systemd:NAME. It needs to make repositories, issues and releases
    #[arg(long, value_name = "SPEC", requires = "into")]
    pub token: Option<String>,
    /// With --into a forge: only repositories that fit, by their names in the snapshot, such as acme/app or acme/lib-*. May be
    /// given more than once
    #[arg(long, value_name = "PATTERN", requires = "into")]
    pub repo: Vec<String>,
    /// With --into: only this table and its rows; in a MariaDB or MySQL server its database is made if it is not there
    #[arg(long, value_name = "NAME", requires = "into")]
    pub table: Option<String>,
    /// With --into: only this database of several (PostgreSQL, SQLite)
    #[arg(long, value_name = "NAME", requires = "into")]
    pub database: Option<String>,
    /// With --into: what is there may be replaced: what the dump holds is dropped there first
    #[arg(long, requires = "into")]
    pub clean: bool,
    /// With --into: make no roles or users, and set no owners and grants
    #[arg(long, requires = "into")]
    pub no_roles: bool,
    /// What people approved.
    #[cfg(feature = "full")]
    #[command(flatten)]
    pub papers: PapersArgs,
}
