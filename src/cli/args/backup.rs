//! `backup`, as it is typed.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use crate::model::{Name, Span, size::ByteSize};

/// `backup`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom backup                                    every configured source
  strongroom backup orders files                       two of them
  strongroom backup --name orders -- pg_dump -Z0 orders
  strongroom backup --name code --git /srv/git/code.git
  strongroom backup --name orders --postgres 'service=orders'
  strongroom backup --name app --sqlite /var/lib/app/app.db
  strongroom backup --name shop --mariadb 'mysql:///shop?defaults-file=/root/.my.cnf'
  pg_dump -Z0 orders | strongroom backup --name orders --stdin
  strongroom backup --dry-run                          what would it meet?

A command is better than a pipe: its exit status decides whether there is a snapshot, and nobody sees how the program \
before a pipe ended.")]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct BackupArgs {
    /// Configured sources [default: all of them]
    #[arg(value_name = "SOURCE", conflicts_with_all = ["name", "input"])]
    pub sources: Vec<Name>,
    /// The name of a source that is given here
    #[arg(long, value_name = "NAME", requires = "input")]
    pub name: Option<Name>,
    /// Read standard input
    #[arg(long, group = "input", requires = "name")]
    pub stdin: bool,
    /// Read a file, or a directory with all that is in it
    #[arg(long, value_name = "PATH", group = "input", requires = "name")]
    pub path: Option<PathBuf>,
    /// Read a git repository: all refs and all objects, at a path or behind a URL
    #[arg(long, value_name = "PATH", group = "input", requires = "name")]
    pub git: Option<String>,
    /// Dump a PostgreSQL database with its roles; the connection string is as psql takes it. Don't put a password here:
    /// a service file, a password file or PGPASSWORD keeps it from being seen
    #[arg(long, value_name = "DSN", group = "input", requires = "name")]
    pub postgres: Option<String>,
    /// Read an `SQLite` database, also while others write to it
    #[arg(long, value_name = "FILE", group = "input", requires = "name")]
    pub sqlite: Option<PathBuf>,
    /// Read databases of a MariaDB server, all or those named in the DSN; without a password in it
    #[arg(long, value_name = "DSN", group = "input", requires = "name")]
    pub mariadb: Option<String>,
    /// Read databases of a MySQL server, all or those named in the DSN; without a password in it
    #[arg(long, value_name = "DSN", group = "input", requires = "name")]
    pub mysql: Option<String>,
    /// Run a command, without a shell, and read what it writes
    #[arg(last = true, value_name = "COMMAND", group = "input", requires = "name")]
    pub command: Vec<OsString>,
    /// What to call the stream of --stdin or of a command [default: stdin or stdout]
    #[arg(long, value_name = "NAME", requires = "name",
        conflicts_with_all = ["path", "git", "postgres", "sqlite", "mariadb", "mysql"])]
    pub stream: Option<Name>,
    /// Leave out what fits: a path below --path, a DATABASE or DATABASE.TABLE of --mariadb or --mysql. `*` and `?` stand
    /// for anything
    #[arg(long, value_name = "PATTERN", requires = "name",
        conflicts_with_all = ["stdin", "git", "postgres", "sqlite", "command"])]
    pub exclude: Vec<String>,
    /// Accept a source that gives nothing
    #[arg(long)]
    pub allow_empty: bool,
    /// Look at everything that a backup needs, and store nothing: programs, connections, rights, room, what would be left
    /// out, and how long the last run took
    #[arg(long, conflicts_with_all = ["full", "acknowledge"])]
    pub dry_run: bool,
    /// Store all of it anew, and lean on nothing that was stored before, as every `full_every` and after a drill that found
    /// damage
    #[arg(long)]
    pub full: bool,
    /// Go on though the clock contradicts what is in the vault, which is in a directory and has no clock of its own
    #[arg(long)]
    pub clock_is_right: bool,
    /// Take it for known that snapshots of this writer vanished, or that it did not make some (otherwise every run ends
    /// with 5), and that repositories or databases of a group are gone (otherwise every run of it ends with 3)
    #[arg(long)]
    pub acknowledge: bool,
    /// Store all of it again where the writer's local memory was lost, rather than fill that again from the vault first
    #[arg(long)]
    pub no_rebuild: bool,
    /// Give the vault no more than so many bytes a second, on average, such as 2MiB; comes before `upload` in [limits]
    #[arg(long, value_name = "SIZE")]
    pub limit_upload: Option<ByteSize>,
    /// Stop in good order after this time, such as 4h, and fail; what was committed stays. Comes before `deadline` in [limits]
    #[arg(long, value_name = "SPAN")]
    pub deadline: Option<Span>,
    /// Why this is backed up now: kept in the snapshots, sealed; `show` tells it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who asked for it, as `request serve` saw it
    #[arg(long, value_name = "TEXT", hide = true)]
    pub requested_by: Option<String>,
    /// Go on though an identity that opens the backups lies beside the configuration: for demos only
    #[arg(long)]
    pub allow_identity_here: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::args::Cli;

    #[test]
    fn a_source_comes_from_one_place() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        for good in [
            "s backup",
            "s backup a b",
            "s backup --name a --stdin",
            "s backup --name a -- dump -x",
            "s backup --name a --path /x --exclude y",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "s backup --name a",
            "s backup --stdin",
            "s backup b --name a --stdin",
            "s backup --name a --stdin --path /x",
            "s backup --name a --path /x -- dump",
            "s backup -- dump",
            "s backup --name a --path /x --stream y",
            "s backup --name a --exclude x --stdin",
            "s backup --exclude x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
