//! The dump, and the fingerprint of its instant.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Read},
    process::Stdio,
    sync::Arc,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    super::{
        FileMeta, Incoming, Result, SourceError,
        child::{Alive, Running, Stream},
        read::{Seen, Watched},
    },
    ALL, Client, Databases, Depth, Flavour, account, name,
    print::{self, Contents, OWN, Table},
    session::Session,
    stream_of,
};
use crate::model::{Fingerprint, Name, TableFingerprint};

/// What the tools write when they are done.
const TRAILER: &[u8] = b"-- Dump completed";
/// What a dump writes after its transaction began, and before any data.
const BEGUN: &[u8] = b"-- Current Database: ";
/// More than this does not come before that.
const HEAD: usize = 1 << 20;
/// How long the lock of all tables is waited for, in seconds; while it is waited for, writers wait too.
const LOCK_WAIT: u32 = 5;
/// How long it is held at most.
const LOCK_HELD: Duration = Duration::from_secs(10);

type Held = BTreeMap<Table, TableFingerprint>;
/// What tables hold, and tables that were written to meanwhile.
type Taken = (Held, BTreeSet<Table>);
/// What was read already, and the rest.
type Output = (Cursor<Vec<u8>>, Stream);

/// A dump on its way.
pub(super) struct Dump {
    running: Option<Running>,
    program: &'static str,
    out: Option<Output>,
    seen: Option<Arc<Seen>>,
    stream: Name,
    databases: Vec<String>,
    contents: Arc<Contents>,
    depth: Depth,
    taking: Option<JoinHandle<Result<Taken>>>,
    alive: Vec<Alive>,
    warnings: Vec<String>,
}

impl Dump {
    /// Begins the dump, and beside it a transaction of the same instant.
    pub(super) fn begin(client: &Client, wanted: &Databases, depth: Depth) -> Result<Self> {
        let mut seer = client.connect()?;
        let databases = databases(&mut seer, wanted)?;
        let contents = Arc::new(print::contents(&mut seer, &databases)?);
        let mut warnings = account::warnings(client, &databases);
        warnings.extend(without_transactions(&contents));
        let stream = match databases.as_slice() {
            [one] => stream_of(one)?,
            _ => name(ALL)?,
        };
        let lock = if depth == Depth::Off { Err("no fingerprint was wanted".to_owned()) } else { Lock::take(client) };
        snapshot(&mut seer)?;
        let (running, out) = start(client, &databases)?;
        let mut alive = vec![running.alive()];
        alive.extend(seer.alive());
        // Only if nobody could write from the one transaction's begin to the other's are they of one instant.
        let apart = match lock {
            Ok(lock) => (!lock.released_in_time()).then(|| "it took too long".to_owned()),
            Err(why) => Some(why),
        };
        let mut after = None;
        if let Some(why) = apart.filter(|_| depth != Depth::Off) {
            let mut session = client.connect()?;
            snapshot(&mut session)?;
            alive.extend(session.alive());
            after = Some(session);
            warnings.push(format!(
                "the tables could not be locked for the moment in which the dump began ({why}), so tables that were \
                 written to in that moment have no fingerprint; the dump itself is consistent. GRANT RELOAD lets it"
            ));
        }
        let taking = (depth != Depth::Off).then(|| {
            let contents = Arc::clone(&contents);
            thread::spawn(move || take(seer, after, &contents, depth))
        });
        let (program, running) = (client.dump_program(), Some(running));
        Ok(Self {
            running,
            program,
            out: Some(out),
            seen: None,
            stream,
            databases,
            contents,
            depth,
            taking,
            alive,
            warnings,
        })
    }

    /// What runs, to be stopped from another thread.
    pub(super) fn alive(&self) -> Vec<Alive> {
        self.alive.clone()
    }

    /// The stream, once.
    pub(super) fn stream(&mut self) -> Result<Incoming> {
        let (head, rest) = self.out.take().ok_or_else(|| SourceError::new("was read already", self.program))?;
        let (reader, seen) = Watched::new(head.chain(rest), self.program, 4 << 10);
        self.seen = Some(seen);
        let meta = FileMeta::default();
        Ok(Incoming { name: self.stream.clone(), path: None, meta, expected: None, reader: Box::new(reader) })
    }

    /// Fails unless the dump ended well. Called when its stream was read.
    pub(super) fn settle(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let seen = self.seen.as_ref().ok_or_else(|| SourceError::new("was not read", self.program))?;
        seen.must_have_ended(self.program)?;
        let status = running.reap()?;
        let said = running.said();
        if !status.success() {
            return Err(SourceError::new(format!("{}{said}", super::super::child::ended(status)), self.program));
        }
        if !seen.tail().windows(TRAILER.len()).any(|part| part == TRAILER) {
            let what =
                format!("its output does not end with {:?}: it is cut short{said}", String::from_utf8_lossy(TRAILER));
            return Err(SourceError::new(what, self.program));
        }
        if !said.is_empty() {
            self.warnings.push(format!("{} succeeded{said}", self.program));
        }
        Ok(())
    }

    /// The fingerprints, and warnings.
    pub(super) fn finish(mut self, client: &Client) -> Result<(Vec<Fingerprint>, Vec<String>)> {
        self.settle()?;
        let mut warnings = std::mem::take(&mut self.warnings);
        let Some(taking) = self.taking.take() else { return Ok((Vec::new(), warnings)) };
        let taken = taking.join().map_err(|_| SourceError::new("ended early; this is a defect", "the fingerprint"))?;
        let (mut held, changed) = match taken {
            Ok(taken) => taken,
            Err(e) => {
                warnings.push(format!("there is no fingerprint, so a drill has nothing to compare: {e}"));
                return Ok((Vec::new(), warnings));
            }
        };
        let mut left_out: BTreeSet<Table> = changed;
        if !self.contents.unsafe_tables.is_empty() {
            // Nobody's transaction covers these. What they held before and after the dump, they held during it.
            let mut session = client.connect()?;
            for table in self.contents.unsafe_tables.keys() {
                let Some(columns) = self.contents.tables.get(table) else { continue };
                let now = print::table(&mut session, table, columns, self.depth)?;
                if held.get(table).is_some_and(|before| *before != now) {
                    left_out.insert(table.clone());
                }
            }
        }
        held.retain(|table, _| !left_out.contains(table));
        if !left_out.is_empty() {
            warnings.push(format!("written to meanwhile, and so without a fingerprint: {}", names(left_out.iter())));
        }
        let mut prints = print::fingerprints(&self.databases, &self.contents, &held);
        for print in &mut prints {
            print.streams.push(self.stream.clone());
            let of =
                left_out.iter().filter(|(database, _)| *database == print.database).map(|(_, table)| table.clone());
            let of: Vec<String> = of.collect();
            if !of.is_empty() {
                // One name a line: a name may hold anything else.
                print.server.insert(print::LEFT_OUT.to_owned(), of.join("\n"));
            }
        }
        Ok((prints, warnings))
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        // The thread that takes the fingerprint ends when its connections do.
        self.alive.iter().for_each(Alive::stop);
    }
}

fn names<'a>(tables: impl ExactSizeIterator<Item = &'a Table>) -> String {
    const SHOWN: usize = 10;
    let more = tables.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> = tables.take(SHOWN).map(|(database, table)| format!("{database}.{table}")).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

fn without_transactions(contents: &Contents) -> Option<String> {
    let tables = &contents.unsafe_tables;
    let engines: BTreeSet<&str> = tables.values().map(String::as_str).collect();
    (!tables.is_empty()).then(|| {
        let engines: Vec<&str> = engines.into_iter().collect();
        format!(
            "these tables know no transactions ({}), so what is written to them during the dump may be in it by half: \
             {}. ALTER TABLE … ENGINE = InnoDB mends that",
            engines.join(", "),
            names(tables.keys())
        )
    })
}

/// The databases that are there and wanted.
fn databases(session: &mut Session, wanted: &Databases) -> Result<Vec<String>> {
    let there: Vec<String> = session.rows("SHOW DATABASES")?.into_iter().flatten().collect();
    match wanted {
        Databases::All => {
            let found: Vec<String> = there.into_iter().filter(|name| !OWN.contains(&name.as_str())).collect();
            if found.is_empty() {
                return Err(SourceError::new("there is no database that this account can see", "databases = \"*\""));
            }
            Ok(found)
        }
        Databases::Named(names) => {
            if let Some(missing) = names.iter().find(|name| !there.contains(name)) {
                let what = "there is no such database, or this account may not see it";
                return Err(SourceError::new(what, missing.clone()));
            }
            Ok(names.clone())
        }
    }
}

fn snapshot(session: &mut Session) -> Result<()> {
    session.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
    session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT")
}

/// Starts the dump and reads until its transaction has begun.
fn start(client: &Client, databases: &[String]) -> Result<(Running, Output)> {
    let program = client.dump_program();
    let mut command = client.command(program);
    command.args(["--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob"]);
    command.args([
        "--default-character-set=utf8mb4",
        "--max-allowed-packet=1G",
        "--no-tablespaces",
        "--skip-dump-date",
    ]);
    if client.flavour() == Flavour::Mysql && !speaks_mariadb(client) {
        // Without it a dump could be loaded into an empty server alone.
        command.arg("--set-gtid-purged=OFF");
    }
    command.arg("--databases").arg("--").args(databases).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = client.start(&mut command, program)?;
    let mut out = running.stream()?;
    let (mut head, mut buf) = (Vec::new(), vec![0; 64 << 10]);
    while head.len() < HEAD && !head.windows(BEGUN.len()).any(|part| part == BEGUN) {
        let n = out.read(&mut buf).map_err(|e| SourceError::new("can't be read", program).because(e))?;
        if n == 0 {
            break;
        }
        head.extend_from_slice(buf.get(..n).unwrap_or_default());
    }
    Ok((running, (Cursor::new(head), out)))
}

/// Whether the tool called `mysqldump` is MariaDB's, which lacks some of the options of the other.
fn speaks_mariadb(client: &Client) -> bool {
    let output = client.command(client.dump_program()).arg("--version").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("MariaDB"))
}

/// All tables locked, for a moment.
struct Lock {
    session: Session,
    off: mpsc::Sender<()>,
    thread: JoinHandle<bool>,
}

impl Lock {
    fn take(client: &Client) -> std::result::Result<Self, String> {
        let take = || {
            let mut session = client.connect()?;
            session.run(&format!("SET SESSION lock_wait_timeout = {LOCK_WAIT}"))?;
            session.run("FLUSH TABLES WITH READ LOCK")?;
            Ok::<_, SourceError>(session)
        };
        let session = take().map_err(|e| e.to_string())?;
        let (off, called_off) = mpsc::channel::<()>();
        let alive = session.alive();
        // Nobody may keep a server's writers waiting for long. The server lets go when the connection ends.
        let thread = thread::spawn(move || {
            let late = called_off.recv_timeout(LOCK_HELD) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                alive.iter().for_each(Alive::stop);
            }
            late
        });
        Ok(Self { session, off, thread })
    }

    /// Lets go of it, and tells whether it was held until now.
    fn released_in_time(self) -> bool {
        let Self { mut session, off, thread } = self;
        let released = session.run("UNLOCK TABLES");
        drop(off);
        thread.join().is_ok_and(|late| !late) && released.is_ok()
    }
}

/// What the tables hold in the transaction of `seer`. With a later transaction, only of tables that hold the same in both;
/// the others are told.
fn take(mut seer: Session, after: Option<Session>, contents: &Contents, depth: Depth) -> Result<Taken> {
    let mut held = print::tables(&mut seer, contents, depth, &BTreeSet::new())?;
    drop(seer);
    let Some(mut after) = after else { return Ok((held, BTreeSet::new())) };
    let later = print::tables(&mut after, contents, depth, &BTreeSet::new())?;
    let changed: BTreeSet<Table> =
        held.iter().filter(|(name, was)| later.get(*name) != Some(was)).map(|(name, _)| name.clone()).collect();
    held.retain(|name, _| !changed.contains(name));
    Ok((held, changed))
}
