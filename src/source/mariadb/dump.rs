//! The dump, and the fingerprint of its instant.

use std::{
    collections::BTreeSet,
    io::{Cursor, Read},
    process::Stdio,
    sync::{Arc, OnceLock, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    super::{
        FileMeta, Incoming, Members, Result, SourceError,
        child::{Alive, Running, Stream, warning},
        read::{Seen, Watched},
        spool::{Spool, Writing},
    },
    ALL, Client, Databases, Depth, Flavour, account, complete,
    counting::{self, Taken},
    exact,
    globals::{self, Globals},
    lock::Lock,
    name,
    place::{self, Place},
    print::{self, Contents, Table},
    scope::Scope,
    session::{Session, variables},
    stream_of,
    told::{beforehand, names, rounded},
    written::{Fill, Scan, Scanned, Written},
};
use crate::{
    model::{Finding, Fingerprint, Name},
    vault::haste::Haste,
};

/// What the tools write when they are done.
const TRAILER: &[u8] = b"-- Dump completed";
/// What a dump writes after its transaction began, and before any data.
const BEGUN: &[u8] = b"-- Current Database: ";
/// More than this does not come before that.
const HEAD: usize = 1 << 20;
/// What a server takes in one packet by default, 16 MiB, less what comes around a statement.
const PACKET: u64 = (16 << 20) - (1 << 10);

/// What was read already, and the rest.
type Output = (Cursor<Vec<u8>>, Stream);

/// A dump on its way.
pub(super) struct Dump {
    running: Option<Running>,
    program: &'static str,
    incoming: Option<Incoming>,
    seen: Arc<Seen>,
    scan: Scan,
    /// How long its program took to write it.
    took: Arc<OnceLock<Duration>>,
    stream: Name,
    scope: Scope,
    contents: Arc<Contents>,
    depth: Depth,
    taking: Option<JoinHandle<Result<Taken>>>,
    /// Whether the fingerprint's transaction and the dump's began at one instant.
    certain: bool,
    alive: Vec<Alive>,
    warnings: Vec<String>,
    /// Where in the server's log it is, where that was asked for.
    place: Option<Place>,
    /// Users and grants of that very instant.
    globals: Option<Globals>,
}

/// What a dump turned out to be.
pub(super) struct Finished {
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) warnings: Vec<String>,
    pub(super) findings: Vec<Finding>,
    pub(super) details: serde_json::Value,
    pub(super) members: Option<Members>,
    pub(super) place: Option<Place>,
    /// How long its program held its locks.
    pub(super) held: Option<Duration>,
}

impl Dump {
    /// Begins the dump, and beside it a transaction of the same instant. `based` says that a journal is to go on from it.
    pub(super) fn begin(
        client: &Client,
        (spool, haste): (&Spool, &Haste),
        (wanted, exclude): (&Databases, &[String]),
        (depth, based): (Depth, bool),
    ) -> Result<Self> {
        let mut seer = client.connect()?;
        let told = variables::for_dumps(client)?;
        let mut scope = Scope::find(&mut seer, wanted, exclude)?;
        let mut contents = print::contents(&mut seer, &scope.databases)?;
        scope.narrow(&mut seer, &mut contents)?;
        let contents = Arc::new(contents);
        let mut warnings = std::mem::take(&mut scope.warnings);
        match client.connect().and_then(|mut session| account::warnings(&mut session, wanted, &scope.databases)) {
            Ok(more) => warnings.extend(more),
            Err(why) => warnings.push(format!("what the account may not see is unknown: {why}")),
        }
        warnings.extend(beforehand(&contents));
        let stream = match scope.databases.as_slice() {
            [one] => stream_of(one)?,
            _ => name(ALL)?,
        };
        let log = based.then(|| place::Wanted::find(client, wanted));
        let known = log.as_ref().is_some_and(std::result::Result::is_ok);
        let (start, at_work) = (Instant::now(), haste.begin());
        let begun = Begun::at_once(client, seer, &scope, &contents, (depth, known, &told))?;
        let Begun { seer, whole, running, out, apart, globals } = begun;
        let place = log.and_then(|log| place::found(log, out.0.get_ref(), client, &mut warnings));
        if whole.is_none() && !contents.floats.is_empty() {
            warnings.push(rounded(&contents));
        }
        let mut alive = vec![running.alive()];
        alive.extend(seer.alive());
        alive.extend(whole.as_ref().and_then(Session::alive));
        let certain = apart.is_none();
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
        let (writing, written, took) = Writing::since(start, at_work);
        let taking = (depth != Depth::Off).then(|| counting::begin(seer, after, &contents, depth, (written, haste)));
        let (program, running) = (client.dump_program(), Some(running));
        let (incoming, read, scan) = spooled(spool, (&stream, program), out, (whole, &contents), writing)?;
        Ok(Self {
            running,
            program,
            incoming: Some(incoming),
            seen: read,
            scan,
            took,
            stream,
            scope,
            contents,
            depth,
            taking,
            certain,
            alive,
            warnings,
            place,
            globals,
        })
    }

    /// Users and grants, if they were taken with it.
    pub(super) fn globals(&mut self) -> Option<Globals> {
        self.globals.take()
    }

    /// What runs, to be stopped from another thread.
    pub(super) fn alive(&self) -> Vec<Alive> {
        self.alive.clone()
    }

    /// What is dumped.
    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The stream, once.
    pub(super) fn stream(&mut self) -> Result<Incoming> {
        self.incoming.take().ok_or_else(|| SourceError::new("was read already", self.program))
    }

    /// Fails unless the dump ended well. Called when its stream was read.
    pub(super) fn settle(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let seen = &self.seen;
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
        self.warnings.extend(warning(self.program, &running.heard()));
        Ok(())
    }

    /// What was dumped. Fails if that is less than the server has.
    pub(super) fn finish(mut self, client: &Client) -> Result<Finished> {
        self.settle()?;
        let mut warnings = std::mem::take(&mut self.warnings);
        let written = self.scan.written();
        let now = print::contents(&mut client.connect()?, &self.scope.databases)?;
        complete::objects(&written, &self.contents, &now, self.program)?;
        if written.longest > PACKET {
            warnings.push(format!(
                "its longest statement has {} bytes, more than servers and clients take by default (16 MiB): to load it, \
                 set max_allowed_packet to {} on both",
                written.longest,
                packet(written.longest)
            ));
        }
        let left_out = self.scope.left_out();
        let mut details = serde_json::json!({ "longest_statement": written.longest });
        if let (Some(place), Some(object)) = (&self.place, details.as_object_mut()) {
            object.insert("position".to_owned(), place.details());
        }
        if let (false, Some(object)) = (left_out.is_empty(), details.as_object_mut()) {
            object.insert("left_out".to_owned(), serde_json::json!(left_out));
            warnings.push(format!("left out, as `exclude` asks: {}", complete::list(&left_out)));
        }
        let fingerprints = self.fingerprints(client, &written, &mut warnings)?;
        let place = self.place.take();
        let held = self.took.get().copied();
        let (members, findings) = (self.scope.members(), self.scope.findings());
        warnings.extend(findings.iter().map(|finding| finding.message.clone()));
        Ok(Finished { fingerprints, warnings, findings, details, members, place, held })
    }

    fn fingerprints(
        &mut self,
        client: &Client,
        written: &Written,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Fingerprint>> {
        let Some(taking) = self.taking.take() else { return Ok(Vec::new()) };
        let taken = taking.join().map_err(|_| SourceError::new("ended early; this is a defect", "the fingerprint"))?;
        let (mut held, changed) = match taken {
            Ok(taken) => taken,
            Err(e) => {
                warnings.push(format!("there is no fingerprint, so a drill has nothing to compare: {e}"));
                return Ok(Vec::new());
            }
        };
        let mut left_out: BTreeSet<Table> = changed;
        if !self.contents.unsafe_tables.is_empty() {
            // Nobody's transaction covers these. What they held before and after the dump, they held during it.
            let mut session = client.connect()?;
            for table in self.contents.unsafe_tables.keys() {
                let Some(columns) = self.contents.tables.get(table) else { continue };
                let now = print::table(&mut session, table, columns, self.depth)?;
                if held.get(table).is_some_and(|before| (before.rows, &before.hash) != (now.rows, &now.hash)) {
                    left_out.insert(table.clone());
                }
            }
        }
        held.retain(|table, _| !left_out.contains(table));
        if !left_out.is_empty() {
            warnings.push(format!("written to meanwhile, and so without a fingerprint: {}", names(left_out.iter())));
        }
        let rows = complete::rows(written, &self.contents, &held, self.certain, self.program)?;
        if !rows.elsewhere.is_empty() {
            let tables = names(rows.elsewhere.iter());
            warnings.push(format!("the rows of these tables lie elsewhere and are not in the backup: {tables}"));
        }
        if !rows.doubtful.is_empty() {
            let tables = complete::list(&rows.doubtful);
            warnings.push(format!("the dump holds another number of rows than was counted beside it: {tables}"));
        }
        held.retain(|table, _| !rows.elsewhere.contains(table));
        left_out.extend(rows.elsewhere);
        let mut prints = print::fingerprints(&self.scope.databases, &self.contents, &held);
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
        Ok(prints)
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        // The thread that takes the fingerprint ends when its connections do.
        self.alive.iter().for_each(Alive::stop);
    }
}

/// What `max_allowed_packet` must be for a statement of this length, in bytes.
pub(crate) fn packet(statement: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    (statement + (1 << 10)).div_ceil(MIB) * MIB
}

/// The dump by way of the spool. Rows that are put into it are read from the server before that: with it, the transaction that
/// has them is over when the dump is written.
fn spooled(
    spool: &Spool,
    (name, program): (&Name, &'static str),
    (head, rest): Output,
    (whole, contents): (Option<Session>, &Arc<Contents>),
    writing: Writing,
) -> Result<(Incoming, Arc<Seen>, Scan)> {
    let failed = |e| SourceError::new("can't start a thread", program).because(e);
    let out = head.chain(rest);
    let (reader, scan): (Box<dyn Read + Send>, Scan) = if let Some(session) = whole {
        let tables = contents.floats.keys().cloned().collect();
        let (scanned, scan) = Scanned::new(out, tables, fill(session, contents));
        (Box::new(spool.start(scanned, writing).map_err(failed)?), scan)
    } else {
        let nothing = Box::new(|_: &Table| Err(std::io::Error::other("nothing is put into this dump")));
        let (scanned, scan) = Scanned::new(spool.start(out, writing).map_err(failed)?, BTreeSet::new(), nothing);
        (Box::new(scanned), scan)
    };
    let (reader, seen) = Watched::new(reader, program, 4 << 10);
    let meta = FileMeta::default();
    Ok((Incoming { name: name.clone(), path: None, meta, expected: None, reader: Box::new(reader) }, seen, scan))
}

/// What makes the rows that the tool would round. One session makes them all, one table after the other.
fn fill(session: Session, contents: &Arc<Contents>) -> Fill {
    let (back, free) = mpsc::channel();
    // The other end is here.
    let _ = back.send(session);
    let contents = Arc::clone(contents);
    Box::new(move |table| {
        let columns = contents.floats.get(table).map(Vec::as_slice).unwrap_or_default();
        let session = free.try_recv().map_err(std::io::Error::other)?;
        let rows = exact::Rows::of(session, table, columns, back.clone()).map_err(std::io::Error::other)?;
        Ok(Box::new(rows))
    })
}

/// Transactions that began at one instant, unless it is told that they did not.
struct Begun {
    seer: Session,
    whole: Option<Session>,
    running: Running,
    out: Output,
    apart: Option<String>,
    globals: Option<Globals>,
}

impl Begun {
    /// With `placed`, the dump tells where in the log it is, and users and grants are of the same instant: what is replayed on
    /// top of them makes each user once.
    fn at_once(
        client: &Client,
        mut seer: Session,
        scope: &Scope,
        contents: &Contents,
        (depth, placed, told): (Depth, bool, &[String]),
    ) -> Result<Self> {
        let floats = !contents.floats.is_empty() && client.dump_takes("--ignore-table-data");
        let lock = if depth == Depth::Off && !floats && !placed {
            Err("no fingerprint was wanted".to_owned())
        } else {
            Lock::take(client)
        };
        snapshot(&mut seer)?;
        let mut whole = if lock.is_ok() && floats { Some(client.connect()?) } else { None };
        whole.as_mut().map(snapshot).transpose()?;
        let apart_from_us = |whole: &Option<Session>| match whole {
            Some(_) => contents.floats.keys().collect(),
            None => Vec::new(),
        };
        let place = placed.then_some(place::ASK);
        let more: Vec<&str> = told.iter().map(String::as_str).chain(place).collect();
        let (running, out) = start(client, scope, &apart_from_us(&whole), &more)?;
        let globals = if placed { globals::take(client, contents).ok() } else { None };
        let apart = match lock {
            Ok(lock) => (!lock.released_in_time()).then(|| "it took too long".to_owned()),
            Err(why) => Some(why),
        };
        if whole.is_none() || apart.is_none() {
            return Ok(Self { seer, whole, running, out, apart, globals });
        }
        // Rows of another instant don't belong into this dump.
        drop((running, out));
        let (running, out) = start(client, scope, &[], &more)?;
        Ok(Self { seer, whole: None, running, out, apart, globals })
    }
}

fn snapshot(session: &mut Session) -> Result<()> {
    session.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
    session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT")
}

/// Starts the dump and reads until its transaction has begun. Tables of `apart` come without their rows.
fn start(client: &Client, scope: &Scope, apart: &[&Table], more: &[&str]) -> Result<(Running, Output)> {
    begun(client, scope, apart, more)
}

/// Starts a dump without any rows.
pub(super) fn structure(client: &Client, scope: &Scope) -> Result<(Running, Output)> {
    let told = variables::for_dumps(client)?;
    let more: Vec<&str> = told.iter().map(String::as_str).chain(["--no-data"]).collect();
    begun(client, scope, &[], &more)
}

fn begun(client: &Client, scope: &Scope, apart: &[&Table], more: &[&str]) -> Result<(Running, Output)> {
    let program = client.dump_program();
    let mut command = client.command(program);
    command.args(more);
    command.args(["--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob"]);
    command.args([
        "--default-character-set=utf8mb4",
        "--max-allowed-packet=1G",
        "--no-tablespaces",
        "--skip-dump-date",
        // With locks in it, a dump with a default of NEXTVAL() loads nowhere, and any stops a cluster (Galera).
        "--skip-add-locks",
    ]);
    for (option, tables) in
        [("ignore-table", scope.without.iter().collect::<Vec<_>>().as_slice()), ("ignore-table-data", apart)]
    {
        command.args(tables.iter().map(|(database, table)| format!("--{option}={database}.{table}")));
    }
    // The tool called `mysqldump` may be MariaDB's, which lacks this.
    if client.flavour() == Flavour::Mysql && !is_mariadbs(client) {
        // Without it a dump could be loaded into an empty server alone.
        command.arg("--set-gtid-purged=OFF");
    }
    command.arg("--databases").arg("--").args(&scope.databases).stdin(Stdio::null()).stdout(Stdio::piped());
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

/// Whether the dump's tool is one of MariaDB.
fn is_mariadbs(client: &Client) -> bool {
    let output = client.command(client.dump_program()).arg("--version").stdin(Stdio::null()).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("MariaDB"))
}
