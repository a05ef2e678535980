//! Loading a snapshot's dumps into a server that is there, or into a database file: what `restore --into` hands its bytes
//! to. Unlike a drill's engine nothing here is thrown away, so nothing is touched that was there, unless that was asked for.

use std::{
    collections::BTreeMap,
    io::Write,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    process::{ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::EngineError;
use crate::{
    model::{Cancel, Fingerprint, Name, SourceKind, nearest_texts},
    source::{
        SourceError,
        child::Running,
        mariadb::{Client, Login},
        pipe,
        postgres::Conninfo,
        redact::Known,
    },
};

/// How often it is looked whether somebody asked to stop.
const POLL: Duration = Duration::from_millis(100);

/// Why something can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is something already.
    #[error("{what}")]
    Occupied {
        /// What.
        what: String,
        /// What to do instead.
        next: String,
    },
    /// What was asked for can't be.
    #[error("{what}")]
    Wrong {
        /// What is wrong with it.
        what: String,
        /// What to ask for instead.
        next: String,
    },
    /// The server did not take a part of a dump.
    #[error("{what}")]
    Lacking {
        /// What it said.
        what: String,
        /// What was loaded, and where.
        object: String,
        /// What to do then.
        next: String,
    },
    /// The server, or what talks to it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<SourceError> for LoadError {
    fn from(error: SourceError) -> Self {
        Self::Engine(error.into())
    }
}

/// The result of loading.
pub type LoadResult<T> = std::result::Result<T, LoadError>;

pub(super) fn wrong<T>(what: impl Into<String>, next: impl Into<String>) -> LoadResult<T> {
    Err(LoadError::Wrong { what: what.into(), next: next.into() })
}

pub(super) fn occupied<T>(what: impl Into<String>, next: impl Into<String>) -> LoadResult<T> {
    Err(LoadError::Occupied { what: what.into(), next: next.into() })
}

/// Where to.
#[derive(Debug, Clone)]
pub enum Server {
    /// A server of `PostgreSQL`.
    Postgres(Conninfo),
    /// A server of MariaDB or MySQL.
    Mariadb(Login),
    /// A file of SQLite.
    Sqlite(PathBuf),
}

/// What of a snapshot, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The one database that is wanted, of several.
    pub database: Option<String>,
    /// The one table that is wanted.
    pub table: Option<String>,
    /// Whether what is there is replaced.
    pub clean: bool,
    /// Whether roles, owners and grants are left out.
    pub without_roles: bool,
}

/// A stream of the snapshot.
#[derive(Debug, Clone)]
pub struct HeldStream {
    /// Its name.
    pub name: Name,
    /// The path that it came from.
    pub path: Option<String>,
    /// Its bytes.
    pub bytes: u64,
}

impl HeldStream {
    /// What a person calls it.
    pub(super) fn called(&self) -> &str {
        self.path.as_deref().unwrap_or(self.name.as_str())
    }
}

/// What a snapshot holds.
#[derive(Debug)]
pub struct Held {
    /// Its source.
    pub source: Name,
    /// What kind of source that is.
    pub kind: SourceKind,
    /// What the source told of itself.
    pub details: serde_json::Value,
    /// What the databases held.
    pub fingerprints: Vec<Fingerprint>,
    /// Its streams.
    pub streams: Vec<HeldStream>,
}

/// One stream that is loaded, once.
#[derive(Debug, Clone)]
pub struct Step {
    /// The stream.
    pub stream: Name,
    /// What it is, for people.
    pub label: String,
}

/// How it ended.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Databases, or the table.
    pub loaded: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// Loads streams in the order that it wants them in. Everything here blocks.
pub trait Loader: Send {
    /// Looks at the server and at what the snapshot holds, changes nothing, and says what is to be loaded.
    ///
    /// # Errors
    /// If it can't be reached, is not empty, or can't take this.
    fn prepare(&mut self, held: &Held) -> LoadResult<Vec<Step>>;

    /// Where it goes, without a password.
    fn place(&self) -> String;

    /// What decides what it does, for those who approve it.
    fn words(&self) -> BTreeMap<&'static str, String>;

    /// Where the bytes of a step go. Where somebody asks to stop, what takes them ends.
    ///
    /// # Errors
    /// If it can't be begun.
    fn begin(&mut self, step: usize, cancel: &Cancel) -> LoadResult<Box<dyn Write + Send>>;

    /// Called when all bytes of a step were written.
    ///
    /// # Errors
    /// If they were not taken.
    fn end(&mut self, step: usize) -> LoadResult<()>;

    /// How a step ended that takes no more bytes; nothing if nobody knows.
    fn cut_off(&mut self, step: usize) -> Option<LoadResult<()>>;

    /// Called where a step failed: stops what runs, takes away what it can, and says what is left.
    fn abandon(&mut self) -> Option<String>;

    /// Called after the last step.
    ///
    /// # Errors
    /// If the whole can't be finished.
    fn finish(&mut self, cancel: &Cancel) -> LoadResult<Loaded>;
}

/// Refuses a snapshot of another kind of source.
pub(super) fn must_be(held: &Held, kinds: &[SourceKind], server: &str) -> LoadResult<()> {
    if kinds.contains(&held.kind) {
        return Ok(());
    }
    let what =
        format!("{} is a source of kind {}, which can't be loaded into {server}", held.source, held.kind.as_str());
    wrong(what, "give --into the DSN of a server of that kind, or --to DIR")
}

/// The one of `known` that `wanted` is; a part after the last dot is enough where it is the only one.
pub(super) fn find<'a>(what: &str, wanted: &str, known: &[&'a str]) -> LoadResult<&'a str> {
    if let Some(found) = known.iter().find(|name| **name == wanted) {
        return Ok(found);
    }
    let last = |name: &str| name.rsplit('.').next().is_some_and(|last| last == wanted);
    let ends: Vec<&str> = known.iter().copied().filter(|name| last(name)).collect();
    match ends.as_slice() {
        [one] => Ok(one),
        [] => {
            let near = nearest_texts(wanted, known.iter().copied());
            let near = if near.is_empty() { "none".to_owned() } else { near.join(", ") };
            wrong(format!("the snapshot has no {what} {wanted:?}"), format!("the nearest names are: {near}"))
        }
        several => wrong(
            format!("{} {what}s of the snapshot are called {wanted:?}", several.len()),
            format!("say which: {}", several.join(", ")),
        ),
    }
}

/// A program that is fed.
pub(super) struct Feeding {
    running: Running,
    program: String,
    /// Its input, held open until all was written: what sees its end takes what came for the whole.
    input: Option<OwnedFd>,
    over: Arc<AtomicBool>,
}

impl Feeding {
    /// Starts a program that reads from its standard input, and ends it where somebody asks to stop.
    pub(super) fn start(
        command: &mut Command,
        program: &str,
        known: Known,
        cancel: &Cancel,
    ) -> LoadResult<(Self, Box<dyn Write + Send>)> {
        Self::start_to(command, (program, Stdio::null()), known, cancel)
    }

    /// The same, with a place for what it prints.
    pub(super) fn start_to(
        command: &mut Command,
        (program, out): (&str, Stdio),
        known: Known,
        cancel: &Cancel,
    ) -> LoadResult<(Self, Box<dyn Write + Send>)> {
        command.stdin(Stdio::piped()).stdout(out);
        let running = Running::start(command, program, known)?;
        Self::of(running, program, cancel)
    }

    /// The same of a client of MariaDB, which knows its password.
    pub(super) fn client(
        client: &Client,
        (command, program): (&mut Command, &str),
        cancel: &Cancel,
    ) -> LoadResult<(Self, Box<dyn Write + Send>)> {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let running = client.start(command, program)?;
        Self::of(running, program, cancel)
    }

    fn of(mut running: Running, program: &str, cancel: &Cancel) -> LoadResult<(Self, Box<dyn Write + Send>)> {
        let input: ChildStdin = running.stdin()?;
        let _ = pipe::enlarge(&input);
        let again = input.as_fd().try_clone_to_owned().map_err(|e| EngineError {
            what: "can't feed it".to_owned(),
            object: program.to_owned(),
            source: Some(e),
        })?;
        let over = Arc::new(AtomicBool::new(false));
        let (alive, watched, cancel) = (running.alive(), Arc::clone(&over), cancel.clone());
        thread::spawn(move || {
            while !watched.load(Ordering::Relaxed) {
                if cancel.is_cancelled() {
                    return alive.stop();
                }
                thread::sleep(POLL);
            }
        });
        Ok((Self { running, program: program.to_owned(), input: Some(again), over }, Box::new(input)))
    }

    /// Ends its input, and waits until it took all.
    pub(super) fn end(mut self) -> LoadResult<()> {
        drop(self.input.take());
        let ended = self.running.finish_heard();
        self.over.store(true, Ordering::Relaxed);
        match ended {
            Ok(_) => Ok(()),
            Err(e) => Err(EngineError::new(format!("the server does not take it: {}", e.what), self.program).into()),
        }
    }

    /// Stops it.
    pub(super) fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        self.running.alive().stop();
        let mut running = self.running;
        let _ = running.reap();
        drop(self.input);
    }
}

/// Bytes that are kept in memory, of a stream that is small.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    /// The most.
    pub(super) const LIMIT: u64 = 64 << 20;

    /// What was written.
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_its_last_part_and_a_wrong_one_answered_with_the_nearest() {
        let known = ["public.orders", "public.customers", "audit.orders", "public.notes"];
        assert_eq!(find("table", "audit.orders", &known).unwrap(), "audit.orders");
        assert_eq!(find("table", "notes", &known).unwrap(), "public.notes");
        let Err(LoadError::Wrong { next, .. }) = find("table", "custmers", &known) else { panic!("it is not there") };
        assert!(next.contains("public.customers"), "{next}");
        let Err(LoadError::Wrong { what, next }) = find("table", "orders", &known) else { panic!("two are") };
        assert!(what.contains('2') && next.contains("audit.orders"), "{what}; {next}");
    }
}
