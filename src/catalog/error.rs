//! What goes wrong in the catalog.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

/// What kind of failure it is; decides the exit code and whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CatalogErrorKind {
    /// The file is damaged. The next [`open`](super::Catalog::open) moves it aside and makes a new one.
    Damaged,
    /// The disk is full.
    Full,
    /// Another process holds the file for longer than a moment.
    Busy,
    /// The file or its directory can't be read or written.
    Io,
    /// The caller asked for what can't be, such as a delta on a chunk that is not known.
    Invalid,
}

/// A failed catalog call: what was tried, on which file, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{what} ({}){}", .object.display(), .source.as_ref().map(|s| format!(": {s}")).unwrap_or_default())]
pub struct CatalogError {
    /// What kind of failure it is.
    pub kind: CatalogErrorKind,
    /// What failed, in words, with what to do next.
    pub what: String,
    /// The file or directory concerned.
    pub object: PathBuf,
    /// The error beneath.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl CatalogError {
    /// A failed file operation on `object`.
    pub(super) fn io(what: &str, object: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CatalogErrorKind::Full,
            _ => CatalogErrorKind::Io,
        };
        Self::of(kind, what, object, Some(Box::new(source)))
    }

    /// What `fault` means to the caller, who tried `what` on the catalog at `object`.
    pub(super) fn from_fault(what: &str, object: &Path, fault: Fault) -> Self {
        match fault {
            Fault::Refused(reason) => Self {
                kind: CatalogErrorKind::Invalid,
                what: format!("{what}: {reason}"),
                object: object.to_owned(),
                source: None,
            },
            Fault::Damaged(reason) => Self::of(CatalogErrorKind::Damaged, what, object, Some(reason.into())),
            Fault::Sql(error) => Self::of(kind_of(&error), what, object, Some(Box::new(error))),
        }
    }

    fn of(
        kind: CatalogErrorKind,
        what: &str,
        object: &Path,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let advice = match kind {
            CatalogErrorKind::Damaged => ": the catalog is damaged; the next run sets it aside and builds a new one",
            CatalogErrorKind::Full => ": the disk is full; free some space and run again",
            CatalogErrorKind::Busy => ": another process uses the catalog; run again when it is done",
            CatalogErrorKind::Io => ": check the disk, and that this user may write there",
            CatalogErrorKind::Invalid => "",
        };
        Self { kind, what: format!("{what}{advice}"), object: object.to_owned(), source }
    }
}

/// A failure inside the room, before it knows the file's name.
#[derive(Debug)]
pub(super) enum Fault {
    /// The library reports it.
    Sql(rusqlite::Error),
    /// The caller asked for what can't be.
    Refused(String),
    /// What was read can't have been written by us.
    Damaged(String),
}

impl Fault {
    /// Whether the file itself is at fault, so that a new one is the remedy.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Sql(error) => kind_of(error) == CatalogErrorKind::Damaged,
            Self::Damaged(_) => true,
            Self::Refused(_) => false,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

fn kind_of(error: &rusqlite::Error) -> CatalogErrorKind {
    use rusqlite::Error as E;
    match error {
        // Rows whose values don't fit their columns' meaning: nothing that we wrote looks so.
        E::InvalidColumnType(..)
        | E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::Utf8Error(..) => CatalogErrorKind::Damaged,
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => CatalogErrorKind::Damaged,
            Some(ErrorCode::DiskFull) => CatalogErrorKind::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => CatalogErrorKind::Busy,
            Some(ErrorCode::ConstraintViolation) => CatalogErrorKind::Invalid,
            _ => CatalogErrorKind::Io,
        },
    }
}
