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
  strongroom backup --name shop \\
      --mariadb 'mysql:///shop?defaults-file=/root/.my.cnf'
  pg_dump -Z0 orders | strongroom backup --name orders --stdin
  strongroom backup --dry-run                          check only, store nothing

Prefer a command after -- to a pipe. If the command fails, no snapshot is made; the exit status of a program before \
a pipe cannot be seen.")]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct BackupArgs {
    /// Configured sources [default: all of them]
    #[arg(value_name = "SOURCE", conflicts_with_all = ["name", "input"])]
    pub sources: Vec<Name>,
    /// Name of the source given on this command line
    #[arg(long, value_name = "NAME", requires = "input")]
    pub name: Option<Name>,
    /// Read standard input
    #[arg(long, group = "input", requires = "name")]
    pub stdin: bool,
    /// Read a file, or a directory and everything below it
    #[arg(long, value_name = "PATH", group = "input", requires = "name")]
    pub path: Option<PathBuf>,
    /// Read a git repository, with all refs and objects; a path or a URL
    #[arg(long, value_name = "PATH", group = "input", requires = "name")]
    pub git: Option<String>,
    /// Dump a PostgreSQL database and the server's roles. Takes a connection string as psql does. Do not put a
    /// password here, where other users can see it: use a service file, a password file or PGPASSWORD
    #[arg(long, value_name = "DSN", group = "input", requires = "name")]
    pub postgres: Option<String>,
    /// Read an SQLite database; other programs may write to it meanwhile
    #[arg(long, value_name = "FILE", group = "input", requires = "name")]
    pub sqlite: Option<PathBuf>,
    /// Dump databases of a MariaDB server: all, or those named in the DSN. Do not put a password here
    #[arg(long, value_name = "DSN", group = "input", requires = "name")]
    pub mariadb: Option<String>,
    /// Dump databases of a MySQL server: all, or those named in the DSN. Do not put a password here
    #[arg(long, value_name = "DSN", group = "input", requires = "name")]
    pub mysql: Option<String>,
    /// Run a command, without a shell, and read its standard output
    #[arg(last = true, value_name = "COMMAND", group = "input", requires = "name")]
    pub command: Vec<OsString>,
    /// Name of the stream read from --stdin or from a command [default: stdin or stdout]
    #[arg(long, value_name = "NAME", requires = "name",
        conflicts_with_all = ["path", "git", "postgres", "sqlite", "mariadb", "mysql"])]
    pub stream: Option<Name>,
    /// Exclude what matches: a path below --path, or a DATABASE or DATABASE.TABLE of --mariadb or --mysql. `*` and
    /// `?` are wildcards. Repeatable
    #[arg(long, value_name = "PATTERN", requires = "name",
        conflicts_with_all = ["stdin", "git", "postgres", "sqlite", "command"])]
    pub exclude: Vec<String>,
    /// Accept an empty source
    #[arg(long)]
    pub allow_empty: bool,
    /// Check everything a backup needs and store nothing: programs, connections, permissions, disk space, what would
    /// be left out, and how long the last run took
    #[arg(long, conflicts_with_all = ["full", "acknowledge"])]
    pub dry_run: bool,
    /// Store all data again instead of referring to earlier backups, as is done every `full_every` and after a drill
    /// that found damage
    #[arg(long)]
    pub full: bool,
    /// Continue although this host's clock disagrees with the times in a directory vault, which has no clock of its
    /// own
    #[arg(long)]
    pub clock_is_right: bool,
    /// Acknowledge that snapshots of this writer are missing or were not made by it (otherwise every run ends with
    /// 5), and that repositories or databases of a group were removed (otherwise every run ends with 3)
    #[arg(long)]
    pub acknowledge: bool,
    /// If the writer's local catalog was lost, store everything again instead of rebuilding the catalog from the
    /// vault first
    #[arg(long)]
    pub no_rebuild: bool,
    /// Limit the average upload rate to this many bytes a second, such as 2MiB. Overrides `upload` in [limits]
    #[arg(long, value_name = "SIZE")]
    pub limit_upload: Option<ByteSize>,
    /// Stop after this time, such as 4h, and fail. Snapshots committed until then stay. Overrides `deadline` in
    /// [limits]
    #[arg(long, value_name = "SPAN")]
    pub deadline: Option<Span>,
    /// Reason for this backup, stored encrypted in the snapshots; `show` prints it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who asked for it, as `request serve` saw it
    #[arg(long, value_name = "TEXT", hide = true)]
    pub requested_by: Option<String>,
    /// Continue although an identity that opens the backups lies beside the configuration. For demos only
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
