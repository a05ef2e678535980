//! MariaDB and MySQL: a dump by the server's own tool, and what the tables held at the instant of the dump.

mod account;
pub mod binlog;
mod complete;
mod counting;
mod dump;
mod exact;
mod globals;
mod lock;
mod look;
mod options;
mod place;
pub mod print;
mod sampled;
mod scope;
pub mod session;
mod told;
mod words;
mod written;

use std::path::{Path, PathBuf};

use super::{
    Facts, FileMeta, Incoming, Look, Reading, Result, Source, SourceError,
    scratch::Scratch,
    spool::{self, Spool, SpoolPlace},
};
use crate::{
    model::{Name, SourceKind},
    vault::haste::Haste,
};

pub(crate) use dump::packet;
pub use print::Depth;
pub use session::Client;

/// The name of the stream that holds users and grants.
pub const GLOBALS: &str = "globals.sql";
/// The name of the stream that holds several databases.
pub const ALL: &str = "databases.sql";

/// Which of the two it is. They have their own tools, and their own ways to tell of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// MariaDB: `mariadb` and `mariadb-dump`.
    Mariadb,
    /// MySQL: `mysql` and `mysqldump`.
    Mysql,
}

impl Flavour {
    const fn client(self) -> &'static str {
        match self {
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
        }
    }

    const fn dump(self) -> &'static str {
        match self {
            Self::Mariadb => "mariadb-dump",
            Self::Mysql => "mysqldump",
        }
    }
}

/// Where the server is and who asks. What is not given is left to the defaults file, and else to the client.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Login {
    /// An option file whose `[client]` group is read first, such as `/root/.my.cnf`.
    pub defaults_file: Option<PathBuf>,
    /// The server's host.
    pub host: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Its socket.
    pub socket: Option<PathBuf>,
    /// The account.
    pub user: Option<String>,
    /// The file that holds the password and nothing else, for its owner's eyes only.
    pub password_file: Option<PathBuf>,
}

/// Which databases are dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Databases {
    /// All but the server's own.
    All,
    /// These.
    Named(Vec<String>),
}

/// A server, of which some databases are dumped. One stream holds them all, since only so are they of one instant.
pub struct MariadbSource {
    flavour: Flavour,
    login: Login,
    databases: Databases,
    exclude: Vec<String>,
    depth: Depth,
    based: bool,
    spool: Option<SpoolPlace>,
}

impl MariadbSource {
    /// The databases of the server that `login` reaches.
    #[must_use]
    pub fn new(flavour: Flavour, login: Login, databases: Databases, depth: Depth) -> Self {
        Self { flavour, login, databases, exclude: Vec::new(), depth, based: false, spool: None }
    }

    /// With a spool on a disk between the dump's tool and whoever reads this.
    #[must_use]
    pub fn spooling(mut self, place: Option<SpoolPlace>) -> Self {
        self.spool = place;
        self
    }

    /// With its place in the server's binary log, from which a journal goes on, if `based`.
    #[must_use]
    pub fn based(mut self, based: bool) -> Self {
        self.based = based;
        self
    }

    /// Without databases whose names fit one of `patterns`, and without tables and views of which `database.name` does.
    #[must_use]
    pub fn excluding(mut self, patterns: Vec<String>) -> Self {
        self.exclude = patterns;
        self
    }
}

impl Source for MariadbSource {
    fn kind(&self) -> SourceKind {
        match self.flavour {
            Flavour::Mariadb => SourceKind::Mariadb,
            Flavour::Mysql => SourceKind::Mysql,
        }
    }

    fn open(&mut self) -> Result<Box<dyn Reading>> {
        let scratch = Scratch::new()?;
        let client = Client::new(self.flavour, &self.login, &scratch)?;
        let haste = spool::haste();
        let spool = Spool::new(self.spool.as_ref(), 1, &haste);
        let wanted = (&self.databases, self.exclude.as_slice());
        let dump = dump::Dump::begin(&client, (&spool, &haste), wanted, (self.depth, self.based))?;
        Ok(Box::new(MariadbReading { dump, client, spool, haste, scratch, next: Next::Dump, warnings: Vec::new() }))
    }

    fn look(&mut self) -> Look {
        look::look(self)
    }
}

/// What comes next.
enum Next {
    Dump,
    Globals,
    Nothing,
}

/// The scratch directory holds the password, and is the last to go.
struct MariadbReading {
    dump: dump::Dump,
    client: Client,
    spool: Spool,
    haste: Haste,
    next: Next,
    warnings: Vec<String>,
    scratch: Scratch,
}

impl Reading for MariadbReading {
    fn next_stream(&mut self) -> Result<Option<Incoming>> {
        match self.next {
            Next::Dump => {
                self.next = Next::Globals;
                self.dump.stream().map(Some)
            }
            Next::Globals => {
                self.next = Next::Nothing;
                // Whatever is wrong with the dump is told before anything else is begun.
                self.dump.settle()?;
                let taken = self.dump.globals().map(Ok);
                match taken.unwrap_or_else(|| globals::take(&self.client, self.dump.contents())) {
                    Ok(globals::Globals { sql, warnings }) => {
                        self.warnings.extend(warnings);
                        let name = name(GLOBALS)?;
                        let reader = Box::new(std::io::Cursor::new(sql));
                        let meta = FileMeta::default();
                        Ok(Some(Incoming { name, path: None, meta, expected: None, reader }))
                    }
                    Err(why) => {
                        self.warnings.push(format!("users and grants are not in the backup: {why}"));
                        Ok(None)
                    }
                }
            }
            Next::Nothing => Ok(None),
        }
    }

    fn stopper(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let (running, remover) = (self.dump.alive(), self.scratch.remover());
        Some(Box::new(move || {
            running.iter().for_each(super::child::Alive::stop);
            remover.remove();
        }))
    }

    fn haste(&self) -> Option<Haste> {
        Some(self.haste.clone())
    }

    fn finish(self: Box<Self>) -> Result<Facts> {
        let Self { dump, client, spool, mut warnings, next, .. } = *self;
        if !matches!(next, Next::Nothing) {
            return Err(SourceError::new("was given up before all of it was read", client.dump_program()));
        }
        let finished = dump.finish(&client)?;
        let dump::Finished { fingerprints, warnings: more, findings, details, members, place, held } = finished;
        warnings.extend(more);
        warnings.extend(spool.told());
        let journal = place.map(|place| place.start);
        Ok(Facts { details, fingerprints, warnings, findings, journal, members, held, ..Facts::default() })
    }
}

fn name(text: &str) -> Result<Name> {
    text.parse().map_err(|e| SourceError::new(format!("{e}"), text))
}

/// The name of the stream that holds the one database `database`.
fn stream_of(database: &str) -> Result<Name> {
    super::files::single_name(&format!("{database}.sql"), Path::new(database))
}
