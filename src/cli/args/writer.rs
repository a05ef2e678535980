//! The commands of the writer's own build: a list of what it may do. What is not on it can't be reached, and so is not
//! in the program.

use clap::Subcommand;

use super::{BackupArgs, CatalogCommand, DoctorArgs, JournalCommand};

/// What to do.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // One is made in a run.
pub enum Command {
    /// Back up the configured sources, or one given here
    Backup(BackupArgs),
    /// Check the setup: credentials, bucket, clock, key files and sources
    Doctor(DoctorArgs),
    /// Archive the logs of databases continuously
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Manage the writer's local catalog
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// The commands as they are typed.
pub const COMMANDS: &[&str] = &["backup", "doctor", "journal", "catalog", "completions", "man"];

impl Command {
    /// Whether hooks, pings and metrics belong around it: it does something, and does not only say what it would do.
    #[must_use]
    pub const fn is_run(&self) -> bool {
        matches!(self, Self::Backup(args) if !args.dry_run)
    }

    /// The file of `status --metrics`, which this build has not.
    #[must_use]
    #[allow(clippy::unused_self, reason = "the whole program has one")]
    pub const fn metrics(&self) -> Option<&std::path::Path> {
        None
    }

    /// The command as documents name it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Backup(_) => "backup",
            Self::Doctor(_) => "doctor",
            Self::Journal(command) => command.name(),
            Self::Catalog(CatalogCommand::Rebuild) => "catalog rebuild",
            Self::Completions { .. } => "completions",
            Self::Man => "man",
        }
    }
}
