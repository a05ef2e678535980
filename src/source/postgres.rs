//! A `PostgreSQL` server: its databases as `pg_dump` writes them, or the whole cluster as `pg_basebackup` does.
//!
//! Each database is dumped within a snapshot that a session of ours exports. The same session tells what the database
//! holds at that instant, its fingerprint, which a restored database is held against.

mod archive;
mod choice;
mod conninfo;
mod dump;
mod fingerprint;
mod globals;
pub mod journal;
mod look;
mod pages;
mod physical;
mod rows;
mod session;
mod sum;
mod table;
mod tools;
mod unlocked;
mod waits;
pub mod wal;
mod whole;

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use self::{
    dump::{Dump, Ended},
    globals::Globals,
    session::lenient,
};
use super::{
    Facts, Incoming, Look, Members, Reading, Result, Source, SourceError,
    child::Alive,
    read::Warnings,
    spool::{self, Spool, SpoolPlace},
};
use crate::{
    model::{Finding, Fingerprint, Name, Severity, SourceKind},
    vault::haste::Haste,
};

pub use archive::Walker;
pub use conninfo::{Conninfo, ConninfoError};
pub(crate) use dump::file_name;
pub use fingerprint::Depth;
pub(crate) use globals::STREAM as GLOBALS;
pub use physical::{Base, Tablespace};
pub(crate) use physical::{MANIFEST, STREAM as BASE};
pub(crate) use session::Session;
pub(crate) use tools::{Tool, Tools, Version};

/// How long locks of others are waited for in all, if nothing else is said.
pub const LOCK_TIMEOUT: Duration = Duration::from_mins(5);

/// The most jobs. Each holds 32 MiB and two connections.
pub const MOST_JOBS: usize = 16;

/// Which databases.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Databases {
    /// The one that the connection string means.
    #[default]
    Connected,
    /// These.
    Named(Vec<String>),
    /// All that allow connections, templates too; `template1` if anything was made in it.
    All,
}

/// What of a server is backed up, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Where it is.
    pub info: Conninfo,
    /// Which databases.
    pub databases: Databases,
    /// How much their fingerprints tell.
    pub fingerprint: Depth,
    /// How many tables are dumped at once, and how many sessions count and hash rows: 1 to [`MOST_JOBS`].
    pub jobs: usize,
    /// Whether roles and tablespaces are dumped too.
    pub globals: bool,
    /// Whether it is the files of the whole cluster instead.
    pub physical: bool,
    /// How long locks of others are waited for in all, before there is no backup.
    pub lock_timeout: Duration,
    /// Where the client programs are, if not in `PATH` or where packages put them.
    pub bin: Option<PathBuf>,
}

impl PostgresOptions {
    /// The database that `info` means, with its fingerprint and the roles.
    #[must_use]
    pub fn new(info: Conninfo) -> Self {
        let (databases, fingerprint) = (Databases::Connected, Depth::Hash);
        let lock_timeout = LOCK_TIMEOUT;
        Self { info, databases, fingerprint, jobs: 1, globals: true, physical: false, lock_timeout, bin: None }
    }
}

/// A server to back up. Its streams are `<database>.dump`, with several jobs also `<database>.tables/<table>.dump`, and
/// `globals.sql`; or `base.tar`. Everything is stopped when its reading is dropped.
pub struct PostgresSource {
    options: PostgresOptions,
    spool: Option<SpoolPlace>,
}

impl PostgresSource {
    /// Reads what `options` say.
    #[must_use]
    pub fn new(options: PostgresOptions) -> Self {
        Self { options, spool: None }
    }

    /// With a spool on a disk between `pg_dump` and whoever reads this.
    #[must_use]
    pub fn spooling(mut self, place: Option<SpoolPlace>) -> Self {
        self.spool = place;
        self
    }
}

/// Takes the fingerprint of a database that nobody dumps: what a restored one is held against. Blocks.
///
/// # Errors
/// If the server can't be reached, or anything there can't be read.
pub fn fingerprint_of(info: &Conninfo, database: &str, depth: Depth, bin: Option<PathBuf>) -> Result<Fingerprint> {
    let psql = Tools::connecting(bin, info).any("psql")?;
    fingerprint_by(&psql, info, database, depth)
}

/// The same with the program that connects.
pub(crate) fn fingerprint_by(psql: &Tool, info: &Conninfo, database: &str, depth: Depth) -> Result<Fingerprint> {
    let mut session = Session::open(psql, info, Some(database))?;
    session.run("begin", "begin transaction isolation level repeatable read read only")?;
    let tables = fingerprint::tables(&mut session)?;
    fingerprint::take(&mut session, database, &tables, depth, &rows::Helpers::NONE, None).map(|taken| taken.fingerprint)
}

/// A database and the streams that bring it back, the main archive first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseStreams {
    /// The database.
    pub name: String,
    /// Its streams.
    pub streams: Vec<Name>,
}

/// Processes that are stopped together.
#[derive(Default)]
struct Stops(Mutex<(bool, Vec<Alive>)>);

impl Stops {
    fn add(&self, alive: Alive) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.0 {
            alive.stop();
        }
        all.1.push(alive);
    }

    fn stop(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.0 = true;
        all.1.drain(..).for_each(|alive| alive.stop());
    }

    fn stopped(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What the parts of a reading share.
struct Place {
    info: Conninfo,
    /// Whether damaged pages are passed over there, had nothing been set.
    lenient: bool,
    psql: Tool,
    dump: Tool,
    depth: Depth,
    jobs: usize,
    lock_timeout: Duration,
    stops: Stops,
    spool: Spool,
    haste: Haste,
}

impl Place {
    /// A process that is stopped with `own`, and with all.
    fn watch(&self, own: &Stops, alive: Alive) {
        self.stops.add(alive.clone());
        own.add(alive);
    }
}

impl Source for PostgresSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Postgres
    }

    fn open(&mut self) -> Result<Box<dyn Reading>> {
        let options = &self.options;
        let tools = Tools::connecting(options.bin.clone(), &options.info);
        let psql = tools.any("psql")?;
        if !options.physical {
            choice::must_be_direct(&psql, &options.info)?;
        }
        let mut session = Session::open(&psql, &options.info, None)?;
        let server = fingerprint::server(&mut session)?;
        let version = version(&server, &options.info)?;
        let mut warnings = Warnings::default();
        if options.physical {
            return physical::open((&options.info, &psql), &tools, &version, &server, session);
        }
        let dump = tools.for_server("pg_dump", &version)?;
        let databases = choice::databases(&mut session, &psql, &options.info, &options.databases, &mut warnings)?;
        if std::env::var_os("PGOPTIONS").is_some_and(|set| !set.is_empty()) {
            warnings.push(
                "PGOPTIONS is set here and was not used: settings of a session can change what a dump holds".to_owned(),
            );
        }
        if options.fingerprint == Depth::Hash && version.major.0 < 11 {
            warnings
                .push(format!("a server of version {version} can't hash rows for the fingerprint; they are counted"));
        }
        let globals =
            if options.globals { Some(Globals::prepare(&mut session, &tools, &version, &mut warnings)?) } else { None };
        let jobs = options.jobs.clamp(1, MOST_JOBS);
        let (info, passed_over) = lenient::strict(&mut session, &psql, &options.info, None)?;
        let lenient = passed_over.is_some();
        if let Some(told) = passed_over {
            warnings.push(told);
        }
        let (depth, lock_timeout) = (options.fingerprint, options.lock_timeout);
        let passwords = globals.as_ref().map(|globals| globals.passwords);
        let rights = globals::rights(&mut session)?;
        let tool = dump.version.text.clone();
        let mut details = json!({ "server": server, "pg_dump": tool, "passwords": passwords, "rights": rights });
        if let (None, Some(details)) = (&globals, details.as_object_mut()) {
            // Dumps name roles that no stream makes.
            let roles = session
                .ask::<String>("list the roles", "select to_json(rolname) from pg_roles where rolname !~ '^pg_'")?;
            details.insert("roles".to_owned(), json!(roles));
        }
        let (stops, haste) = (Stops::default(), spool::haste());
        let spool = Spool::new(self.spool.as_ref(), jobs, &haste);
        Ok(Box::new(PostgresReading {
            place: Arc::new(Place { info, lenient, psql, dump, depth, jobs, lock_timeout, stops, spool, haste }),
            held: Duration::ZERO,
            globals,
            reading_globals: None,
            several: databases.len() > 1,
            waiting: databases.into(),
            current: None,
            failed: Vec::new(),
            given_up: Vec::new(),
            findings: Vec::new(),
            fingerprints: Vec::new(),
            taken: Vec::new(),
            warnings,
            details,
            all: options.databases == Databases::All,
        }))
    }

    fn look(&mut self) -> Look {
        look::look(&self.options)
    }
}

fn version(server: &BTreeMap<String, String>, info: &Conninfo) -> Result<Version> {
    let get = |key: &str| server.get(key).map(String::as_str).unwrap_or_default();
    let number = get("server_version_num").parse().map_err(|_| SourceError::new("tells no version", info.place()))?;
    Ok(Version::of_server(number, get("server_version")))
}

struct PostgresReading {
    place: Arc<Place>,
    /// The longest that `pg_dump` held the locks of a database.
    held: Duration,
    globals: Option<Globals>,
    reading_globals: Option<globals::Dumping>,
    /// Whether there is more than one database, so that one can be left out.
    several: bool,
    waiting: VecDeque<String>,
    current: Option<Dump>,
    /// Databases that could not be backed up, and why; no reason for those that were dropped meanwhile.
    failed: Vec<(String, Option<SourceError>)>,
    /// What was read of them.
    given_up: Vec<Name>,
    findings: Vec<Finding>,
    fingerprints: Vec<Fingerprint>,
    taken: Vec<DatabaseStreams>,
    warnings: Warnings,
    details: serde_json::Value,
    all: bool,
}

impl PostgresReading {
    fn end_database(&mut self) -> Result<()> {
        let Some(dump) = self.current.take() else { return Ok(()) };
        let streams = dump.streams();
        let Ended { fingerprint, warnings, finding, held } = match dump.end() {
            Ok(ended) => ended,
            Err(error) => return self.give_up(streams, error),
        };
        self.held = self.held.max(held);
        self.taken.push(streams);
        self.fingerprints.extend(fingerprint);
        if let Some(finding) = finding {
            self.warnings.push(finding.message.clone());
            self.findings.push(finding);
        }
        for warning in warnings {
            self.warnings.push(warning);
        }
        Ok(())
    }

    /// A database that can't be had does not cost the others their backup. Where the server is gone, or somebody asked to
    /// stop, nothing can be had.
    fn give_up(&mut self, database: DatabaseStreams, error: SourceError) -> Result<()> {
        if !self.several || self.place.stops.stopped() {
            return Err(error);
        }
        let Ok(there) = choice::is_there(&self.place.psql, &self.place.info, &database.name) else { return Err(error) };
        self.failed.push((database.name, there.then_some(error)));
        self.given_up.extend(database.streams);
        Ok(())
    }
}

impl Reading for PostgresReading {
    fn next_stream(&mut self) -> Result<Option<Incoming>> {
        if let Some(globals) = self.globals.take() {
            let (dumping, stream) = globals.start(&self.place)?;
            self.reading_globals = Some(dumping);
            return Ok(Some(stream));
        }
        if let Some(dumping) = self.reading_globals.take() {
            dumping.end()?;
        }
        loop {
            match self.current.as_mut().map(Dump::next) {
                Some(Ok(Some(stream))) => return Ok(Some(stream)),
                Some(Err(error)) => {
                    let streams = self.current.take().map(|dump| dump.streams());
                    let streams = streams.ok_or_else(|| SourceError::new("was lost", "postgres"))?;
                    self.give_up(streams, error)?;
                }
                Some(Ok(None)) | None => self.end_database()?,
            }
            let Some(name) = self.waiting.pop_front() else { return Ok(None) };
            match Dump::begin(&self.place, &name) {
                Ok(dump) => self.current = Some(dump),
                Err(error) => self.give_up(DatabaseStreams { name, streams: Vec::new() }, error)?,
            }
        }
    }

    fn stopper(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let place = Arc::clone(&self.place);
        Some(Box::new(move || place.stops.stop()))
    }

    fn haste(&self) -> Option<Haste> {
        Some(self.place.haste.clone())
    }

    fn finish(mut self: Box<Self>) -> Result<Facts> {
        self.end_database()?;
        let mut findings = std::mem::take(&mut self.findings);
        let mut failed = std::mem::take(&mut self.failed);
        if self.taken.is_empty()
            && let Some(at) = failed.iter().position(|(_, why)| why.is_some())
        {
            return failed.swap_remove(at).1.map_or_else(|| Ok(Facts::default()), Err);
        }
        for (name, why) in &failed {
            let what = match why {
                Some(why) => format!("database {name} is not in this snapshot: {why}"),
                None => format!("database {name} was dropped while the backup ran, and is not in it"),
            };
            if why.is_some() {
                findings.push(Finding::new(Severity::Error, "database.failed", what.clone()).on(name));
            }
            self.warnings.push(what);
        }
        let mut details = std::mem::take(&mut self.details);
        if let Some(details) = details.as_object_mut() {
            details.insert("databases".to_owned(), json!(self.taken));
        }
        let fingerprints = std::mem::take(&mut self.fingerprints);
        let mut warnings = std::mem::take(&mut self.warnings).into_vec();
        warnings.extend(self.place.spool.told());
        let held = Some(self.held).filter(|_| !self.taken.is_empty());
        // Every server has that one, and whether it is taken depends on what is in it.
        let names = self.taken.iter().map(|taken| taken.name.clone()).filter(|name| name != "template1");
        let members = self.all.then(|| Members {
            what: "database",
            taken: names.collect(),
            // They are there, and are not to be missed as if they had vanished.
            left_out: failed.into_iter().filter(|(_, why)| why.is_some()).map(|(name, _)| name).collect(),
        });
        let given_up = std::mem::take(&mut self.given_up);
        Ok(Facts { details, fingerprints, warnings, findings, given_up, members, held, ..Facts::default() })
    }
}

impl Drop for PostgresReading {
    fn drop(&mut self) {
        // The threads that count wait for their sessions, and end with them.
        self.place.stops.stop();
    }
}
