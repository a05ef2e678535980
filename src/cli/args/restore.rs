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
    /// JSON lines as in the snapshot.
    Json,
    /// JSON lines, and HTML pages.
    Html,
}

/// `restore`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom restore 4f1c0a9b -i recovery.key --to ~/back
  strongroom restore latest --source orders -i recovery.key --to - | psql orders
  strongroom restore latest --source orders --at '2 hours ago' \\
      -i recovery.key --to ~/back
  strongroom restore latest --source code --at 2026-11-22T06:00:00Z \\
      --ref main -i recovery.key --to ~/back
  strongroom restore last-good --source orders -i recovery.key --to ~/back
  strongroom restore latest --source files --include 'etc/nginx' \\
      -i recovery.key --to ~/back
  strongroom restore latest --source orders -i recovery.key \\
      --into 'host=db2 user=postgres dbname=orders'
  strongroom restore latest --source orders --table public.invoices \\
      -i recovery.key --into service=scratch
  strongroom restore latest --source acme -i recovery.key \\
      --into gitea:https://git.example/acme --token file:token
  strongroom restore latest --source cluster -i recovery.key \\
      --recover-to '2026-11-22 14:59:30' --to /srv

Needs only the vault and an identity, nothing from the machine that was backed up. Never overwrites files. To \
continue an interrupted restore, give the same command again.

`last-good` evaluates the snapshots of the source by the rules in docs/signals.md and restores the newest without an \
unacknowledged alarm. It reports which snapshots it skips, and why.

--into loads dumps into a server or a database file. The loaded SQL comes from the snapshot's writer and runs with \
the rights of the role in the DSN. PostgreSQL: missing roles are created first. Each database is loaded into an \
empty database of its name, created if missing; a single database goes into the one that the DSN names. A database \
that was created and could not be loaded is dropped again. With --table: the table, its rows, its partitions, and what \
it needs and the database lacks (schema, types, functions, sequences). MariaDB and MySQL: the dump is loaded under its \
own database names, then users and grants; with --table only that table's rows and triggers. SQLite (sqlite:FILE): the \
file appears under its name when it is complete. An interrupted load starts from the beginning. Put passwords into \
~/.pgpass, PGPASSWORD or a password-file.

--into a forge (gitea:, github: or gitlab:, and the URL of an owner) creates missing repositories, labels, milestones, \
issues and pull requests in the order of their numbers, comments, and releases with their files. Restore the code \
first: a source of code goes, with its LFS objects, into the URL of a repository (gitlab:https://HOST/GROUP/NAME). To \
continue, give the same command again. See docs/forges.md.")]
pub struct RestoreArgs {
    /// A snapshot id or a prefix of it (at least 8 digits), `latest`, or `last-good`: the newest snapshot without an
    /// unacknowledged alarm
    pub snapshot: String,
    /// With latest or last-good: the source
    #[arg(long, value_name = "NAME")]
    pub source: Option<Name>,
    /// With latest or last-good: the writer, if several writers have a source of this name
    #[arg(long, value_name = "NAME")]
    pub writer: Option<Name>,
    /// With latest or last-good: the newest snapshot taken at or before this time, such as 2026-11-22T06:00:00Z,
    /// "2026-11-22 07:00" (this host's time), yesterday or "2 hours ago"
    #[arg(long, value_name = "TIME")]
    pub at: Option<Said>,
    /// With last-good: the checkpoint file of `watch`, which has the acknowledged alarms
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Directory to restore into: creates <source>/<stream> there (<source>.git for a repository). Or - for standard
    /// output
    #[arg(long, value_name = "DIR", required_unless_present_any = ["list", "dry_run", "into"])]
    pub to: Option<PathBuf>,
    /// Only list the contents of the snapshot, with sizes and with the tables of databases
    #[arg(long, conflicts_with_all = ["to", "dry_run", "into", "resume", "reference", "recover_to", "data_directory"])]
    pub list: bool,
    /// Only report what would be fetched: bytes, objects and calls, with a rough estimate of cost and time
    #[arg(long, conflicts_with_all = ["into", "reference", "recover_to", "data_directory"])]
    pub dry_run: bool,
    /// Keep existing files that match the snapshot. An interrupted restore does this by itself
    #[arg(long)]
    pub resume: bool,
    /// Only this stream, by name or path
    #[arg(long, value_name = "NAME")]
    pub stream: Option<String>,
    /// Only matching files and everything below matching directories. * matches within a name, ** across directories;
    /// a pattern without / matches a name at any depth. Repeatable
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["stream", "reference", "into", "recover_to", "data_directory"])]
    pub include: Vec<String>,
    /// Only this ref of a git repository, with its history: a branch, a tag, a commit id, or any other revision git
    /// understands, such as main~1 or stash@{1}
    #[arg(long = "ref", value_name = "REF", conflicts_with = "stream")]
    pub reference: Option<String>,
    /// For a forge: restore the JSON lines of its API, or also HTML pages for reading offline, in <source>.html
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
    /// Load dumps into this server or file: 'host=db2 dbname=orders', postgresql://db2/orders, mariadb://root@db2 or
    /// sqlite:FILE. Or recreate a forge's repositories, issues and releases below an owner: gitea:https://HOST/OWNER,
    /// github:https://github.com/OWNER. Refuses a target that is not empty
    #[arg(long, value_name = "DSN", conflicts_with_all = ["to", "resume", "stream", "reference", "recover_to", "data_directory"])]
    pub into: Option<String>,
    #[allow(clippy::doc_markdown)] // It is the text of --help.
    /// With --into a forge: the access token, as file:PATH or systemd:NAME. It must be allowed to create
    /// repositories, issues and releases
    #[arg(long, value_name = "SPEC", requires = "into")]
    pub token: Option<String>,
    /// With --into a forge: only matching repositories, by their names in the snapshot, such as acme/app or
    /// acme/lib-*. Repeatable
    #[arg(long, value_name = "PATTERN", requires = "into")]
    pub repo: Vec<String>,
    /// With --into: only this table and its rows. On MariaDB and MySQL its database is created if missing
    #[arg(long, value_name = "NAME", requires = "into")]
    pub table: Option<String>,
    /// With --into: only this database (PostgreSQL, SQLite)
    #[arg(long, value_name = "NAME", requires = "into")]
    pub database: Option<String>,
    /// With --into: replace existing objects. Drops what the dump contains before loading it
    #[arg(long, requires = "into")]
    pub clean: bool,
    /// With --into: create no roles or users, and set no owners or grants
    #[arg(long, requires = "into")]
    pub no_roles: bool,
    /// What people approved.
    #[cfg(feature = "full")]
    #[command(flatten)]
    pub papers: PapersArgs,
}
