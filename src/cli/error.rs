//! What goes wrong on the command line before or around a command's own work.

use std::{io, path::PathBuf};

use super::config::ConfigError;
use crate::{
    codec::CodecError,
    format::FormatError,
    model::Span,
    ops::OpsError,
    store::{UrlError, credentials::CredentialsError},
};

/// A command that failed, as the command line sees it.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command itself.
    #[error(transparent)]
    Ops(#[from] OpsError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was typed, or is missing.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to do instead.
        hint: String,
    },
    /// Not a vault's URL.
    #[error("{origin}: {source}")]
    Url {
        /// Where it was read.
        origin: &'static str,
        /// What is wrong with it.
        source: UrlError,
    },
    /// The store's credentials were not named, or what names them is wrong.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// What a drill starts can't be confined here.
    #[error("{0}")]
    Unconfined(String),
    /// A secret that others can read.
    #[error("{} can be read by others (its mode is {mode:04o})", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A secret that belongs to somebody else.
    #[error("{} belongs to user {owner}, who can read and change it", .path.display())]
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// An identity where the writer's host can read it.
    #[error("{} is an identity that opens the backups, and it lies beside the writer's configuration", .path.display())]
    IdentityHere {
        /// The file.
        path: PathBuf,
    },
    /// A file that would have to be overwritten.
    #[error("{} already exists, and nothing is overwritten", .path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// A directory that holds other things.
    #[error("{} is not empty: it holds {found:?}, which does not belong to a vault", .path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// A key file that is none.
    #[error("the writer's key {} can't be used: {source}", .path.display())]
    WriterKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A member's key file that is none.
    #[error("the member's key {} can't be used: {source}", .path.display())]
    MemberKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
    /// An identity that is none.
    #[error(transparent)]
    Identity(CodecError),
    /// A result can't be written to where it was to go.
    #[error("can't write {}: {source}", .path.display())]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A run was stopped since its time was over.
    #[error("the backup was stopped after {after}, its deadline: {what}; earlier snapshots are safe")]
    Late {
        /// The time that it had.
        after: Span,
        /// What it did before.
        what: String,
    },
    /// A file can't be read or written.
    #[error("{what} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl CliError {
    /// Something wrong with what was typed.
    pub(super) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), hint: hint.into() }
    }
}
