//! Throwaway engines for drills: what was restored is loaded into a server or a repository of its own, in a private
//! directory, and asked whether it is what was backed up. Everything here blocks.
//!
//! What is loaded may be hostile. Nothing of it is run but by the engine, and that is confined: see [`jail`].

pub mod command;
mod error;
mod forge;
pub mod git;
pub mod into;
pub mod jail;
pub mod loaders;
pub mod mariadb;
pub mod postgres;
mod scratch_server;
pub mod sqlite;
pub mod streams;
mod watchdog;

use std::{fs, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

pub use error::EngineError;

use crate::{
    model::{FileMeta, Fingerprint, Hash, Name, SourceKind},
    source::{mariadb::Login, postgres::Conninfo},
};

/// The result of an engine's work.
pub type Result<T> = std::result::Result<T, EngineError>;

/// A stream that was restored into a file.
#[derive(Debug, Clone)]
pub struct RestoredStream {
    /// Its name in the snapshot.
    pub name: Name,
    /// The file; for a link or an empty directory, that.
    pub file: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// BLAKE3 of it, as the snapshot has it.
    pub blake3: Hash,
    /// What was known of its file.
    pub meta: FileMeta,
}

/// A snapshot that was restored for a drill.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Its source.
    pub source: Name,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// The streams. For git there are none: `repository` is what they became.
    pub streams: Vec<RestoredStream>,
    /// The restored bare repository, if the source is one.
    pub repository: Option<PathBuf>,
    /// What the source told of itself.
    pub details: serde_json::Value,
    /// What the databases held at the instant of their dumps.
    pub fingerprints: Vec<Fingerprint>,
    /// The cluster that was laid out for a recovery, where that was done. Then there are no streams.
    pub cluster: Option<Cluster>,
    /// The log that is to be replayed on the streams, where there is one.
    pub log: Option<Log>,
}

/// A binary log that goes on from a dump.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// The directory of its files; it is not there if nothing is to be replayed.
    pub dir: PathBuf,
    /// The one database that the dump is of, if not of all.
    pub database: Option<String>,
    /// Where it ends.
    pub until: String,
    /// A gap in it that nothing can go beyond.
    pub gap: Option<(String, Option<String>)>,
}

/// A copied cluster that is to go through its log. What it was unpacked by left no link in it but those of tablespaces.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// The data directory, with the log in its own directory of log.
    pub data: PathBuf,
    /// The directory that holds its tablespaces by number, if it has any.
    pub tablespaces: PathBuf,
    /// Tablespaces that its log makes: their numbers, and where.
    pub later: Vec<(u32, String)>,
    /// The settings that say how far.
    pub settings: Vec<(String, String)>,
    /// The record that it must come to.
    pub stop: Option<String>,
    /// The last transaction that was committed before that, by the lower half of its number.
    pub last_xid: Option<u32>,
    /// A gap in the log that it can't go beyond.
    pub gap: Option<(String, Option<String>)>,
}

impl Restored {
    /// The stream called `name`.
    #[must_use]
    pub fn stream(&self, name: &Name) -> Option<&RestoredStream> {
        self.streams.iter().find(|stream| stream.name == *name)
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is as it should be.
    Pass,
    /// It is not.
    Fail,
    /// It could not be run, which counts as failed.
    Error,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was checked; a fingerprint's names its table.
    pub name: String,
    /// What should be.
    pub expected: Option<String>,
    /// What is; for one that could not be run, why.
    pub actual: Option<String>,
    /// How it ended.
    pub status: Status,
}

impl Check {
    /// A check that compares two texts.
    #[must_use]
    pub fn compare(name: impl Into<String>, expected: impl Into<String>, actual: impl Into<String>) -> Self {
        let (expected, actual) = (expected.into(), actual.into());
        let status = if expected == actual { Status::Pass } else { Status::Fail };
        Self { name: name.into(), expected: Some(expected), actual: Some(actual), status }
    }

    /// A check that could not be run.
    #[must_use]
    pub fn error(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), expected: None, actual: Some(why.into()), status: Status::Error }
    }

    /// Whether it passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.status == Status::Pass
    }

    /// A check that passed if `actual` could be had at all, and has no other expectation.
    #[must_use]
    pub fn done(name: impl Into<String>, actual: Result<String>) -> Self {
        let name = name.into();
        match actual {
            Ok(actual) => Self { name, expected: None, actual: Some(actual), status: Status::Pass },
            Err(e) => Self::error(name, e.to_string()),
        }
    }
}

/// Holds what an engine holds against what its source told: one check for each table and each other object.
/// Where nothing was and nothing is, that is one check that passed.
#[must_use]
pub fn compare(expected: &Fingerprint, actual: &Fingerprint) -> Vec<Check> {
    let name = |what: &str| format!("fingerprint {}: {what}", expected.database);
    let comparisons = expected.compare(actual);
    if comparisons.is_empty() {
        return vec![Check::compare(name("everything"), "empty", "empty")];
    }
    let told = comparisons.into_iter().map(|c| {
        let status = if c.equal() { Status::Pass } else { Status::Fail };
        Check { name: name(&c.name), expected: c.expected, actual: c.actual, status }
    });
    told.collect()
}

/// Where an engine works: a private directory that somebody else removes, and what confines it there.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// An empty directory. Its path is in the command line of every process that an engine leaves running, so that
    /// what outlives a killed run is found and ended by the next.
    pub dir: PathBuf,
    /// Servers that are lent for drills.
    pub servers: Servers,
    /// What confines programs there.
    pub warden: jail::Warden,
    /// What commands of checks may be shown.
    pub allowed: jail::Allowed,
}

/// What a command must reach to ask an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nothing: files are all.
    Nothing,
    /// The socket of a server that the drill started.
    Socket,
    /// A server that somebody lends.
    Lent,
}

/// Servers that somebody lends for drills: dumps are loaded into databases of their own there, which are dropped
/// afterwards. Where none is lent, an engine starts its own.
#[derive(Debug, Clone, Default)]
pub struct Servers {
    /// For dumps of `PostgreSQL`. A copied cluster is always started here.
    pub postgres: Option<Conninfo>,
    /// For dumps of MariaDB and MySQL.
    pub mariadb: Option<Login>,
}

/// A throwaway engine. Dropped, it stops what it started. Where somebody asks to stop, its directory is removed and whatever
/// names that in its command line is ended: that is what a wait of an engine must be ended by.
pub trait Engine: Send {
    /// What it is, with its version, for the report: `mariadb 10.11.6`. Called after [`Engine::load`].
    fn describe(&self) -> String;

    /// Starts it and loads what was restored.
    ///
    /// # Errors
    /// If it can't be started, or does not take what it is given.
    fn load(&mut self, restored: &Restored) -> Result<()>;

    /// Its own checks: is it whole, and does it hold what the fingerprints say? One that could not be run is
    /// [`Status::Error`]; none is left out.
    fn check(&mut self, restored: &Restored) -> Vec<Check>;

    /// The first value of the first row that a query gives, as text; empty if there is no row. `database` names the
    /// database if there are several. After `limit` it is stopped.
    ///
    /// # Errors
    /// If it fails, or is stopped, or the engine knows no SQL.
    fn query(&mut self, database: Option<&str>, sql: &str, limit: Duration) -> Result<String>;

    /// Variables that tell a command how to reach it, such as a socket's path.
    fn access(&self) -> Vec<(String, String)>;

    /// What a command must reach for that.
    fn reach(&self) -> Reach {
        Reach::Nothing
    }

    /// What ends it, and whatever it waits for, from another thread. `None` where removing its directory, which ends every
    /// process whose command line names that, is enough.
    fn stopper(&self) -> Option<Box<dyn FnOnce() + Send>> {
        None
    }

    /// Clears away what it made elsewhere than in its directory, and gives what it could not, with the reason. Called after
    /// all checks; what is dropped without that clears away as well as it can.
    fn leave(&mut self) -> Vec<(String, EngineError)> {
        Vec::new()
    }

    /// What of the source the snapshot has not, since its run could not read it: no check can tell anything of it.
    fn lacking(&self, _restored: &Restored) -> Vec<String> {
        Vec::new()
    }

    /// What it says nothing about, for the report.
    fn not_tested(&self, _restored: &Restored) -> Vec<String> {
        Vec::new()
    }
}

/// The engine for what was restored of a source of this kind.
///
/// # Errors
/// If there is none that can be used here.
pub fn for_kind(kind: SourceKind, place: &Place) -> Result<Box<dyn Engine>> {
    fs::create_dir_all(&place.dir).map_err(|e| EngineError::at("can't make a directory", &place.dir, e))?;
    Ok(match kind {
        SourceKind::Postgres => Box::new(postgres::Postgres::new(place)),
        SourceKind::Stdin | SourceKind::Path | SourceKind::Command => Box::new(streams::Streams),
        SourceKind::Gitea | SourceKind::Github | SourceKind::Gitlab => Box::new(forge::Forge::new(place)),
        SourceKind::Sqlite => Box::new(sqlite::Sqlite::new(place)),
        SourceKind::Git => Box::new(git::Git::new(place)),
        SourceKind::Mariadb | SourceKind::Mysql => Box::new(mariadb::Mariadb::new(place)),
    })
}
