//! The dump of one database: `pg_dump` within a snapshot that a session of ours holds, so that the dump and the
//! fingerprint see the same instant.
//!
//! With several jobs, each large table's data is an archive of its own. They are written at the same time, each into the
//! spool, and read one after the other.
//!
//! Rows are counted and hashed once all archives are written: what the server does for that would only make them slower, and
//! whoever waits for a table would wait for its hash as well.

mod archives;

use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::Deserialize;

use super::{
    super::{Incoming, Result, SourceError, files::slug},
    DatabaseStreams, Place, Stops,
    archive::{Contents, SequenceSet},
    fingerprint::{self, Depth, Taken},
    pages::{self, Counted},
    rows::Helpers,
    session::{Session, lenient},
    table::Table,
    unlocked::Marks,
    waits::{self, Blocker, LATER, ONCE, Patience},
    whole,
};
use crate::model::{Finding, Fingerprint, Name};
use archives::{Archives, Coming, Producer, Tools};

/// Tables of at least this many bytes are dumped by themselves when there are several jobs. Each costs `pg_dump` a look
/// at the whole catalog, which small ones are not worth.
const LARGE: u64 = 32 << 20;

/// How often it is looked whether somebody waits for the locks of `pg_dump`. Networks and servers forget sessions that say nothing.
const LOOK: Duration = Duration::from_millis(250);

/// What is to be written as one stream.
struct Part {
    name: Name,
    path: String,
    /// Of `pg_dump`, besides what all have.
    arguments: Vec<String>,
}

/// Waits for the archives, counts and hashes, and ends the snapshot. Tells for how long the archives were written, what it
/// found if that was wanted, and how many damaged pages the server counted until then.
type Taking = JoinHandle<Option<(Duration, Option<Taken>, Counted)>>;

/// A database on its way out.
pub(super) struct Dump {
    /// What is at work for this database alone.
    stops: Arc<Stops>,
    database: String,
    archives: Arc<Archives>,
    /// What the archives must hold, by the catalog.
    expected: whole::Expected,
    written: Contents,
    waiting: VecDeque<Part>,
    started: Option<(Producer, Incoming)>,
    coming: Option<Coming>,
    current: Option<Producer>,
    streams: Vec<Name>,
    sequences: Vec<SequenceSet>,
    warnings: Vec<String>,
    /// How many damaged pages the server had counted before.
    counted: Counted,
    /// Whether such pages are passed over there.
    lenient: bool,
    /// When it took its locks.
    began: Instant,
    /// From the moment on at which the first archive has all its locks.
    taking: Option<Taking>,
    /// Why there is no fingerprint.
    failed: Arc<Mutex<Option<SourceError>>>,
}

/// What a database turned out to be.
pub(super) struct Ended {
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) warnings: Vec<String>,
    pub(super) finding: Option<Finding>,
    /// How long `pg_dump` held its locks.
    pub(super) held: Duration,
}

#[derive(Deserialize)]
struct Exported {
    snapshot: String,
}

#[derive(Deserialize)]
struct Elsewhere {
    unlogged: u64,
    foreign: u64,
}

const BEGIN: &str = "begin transaction isolation level repeatable read read only";

const EXPORT: &str = "select json_build_object('snapshot', pg_export_snapshot())";

const ELSEWHERE: &str = "select json_build_object('unlogged', (select count(*) from pg_class where relkind = 'r' and relpersistence = 'u' and pg_is_in_recovery()), \
    'foreign', (select count(*) from pg_class where relkind = 'f'))";

impl Dump {
    /// Opens the snapshot and starts to write and to count within it, once nobody holds that up.
    pub(super) fn begin(place: &Arc<Place>, database: &str) -> Result<Self> {
        let mut patience = Patience::new(place.lock_timeout);
        loop {
            let stops = Arc::new(Stops::default());
            let mut session = Session::open(&place.psql, &place.info, Some(database))?;
            place.watch(&stops, session.alive());
            let (exported, tables, marks) = match Self::lock(&mut session) {
                Ok(locked) => locked,
                Err(failed) => {
                    let state = session.state().map(str::to_owned);
                    drop(session);
                    patience.after(failed, state.as_deref(), place, database)?;
                    continue;
                }
            };
            let mut dump = Self::locked((place, &stops), database, &mut session, exported, &tables)?;
            match dump.first(&mut session)? {
                None => {
                    dump.warnings.extend(patience.told(database));
                    // Archives that are still to begin lean on our locks.
                    let lean = !dump.waiting.is_empty();
                    if marks.is_some() && !lean {
                        Marks::let_go(&mut session)?;
                    }
                    dump.taking = Some(dump.take(session, (tables, marks), lean));
                    let waiting = std::mem::take(&mut dump.waiting);
                    dump.coming = Some(dump.archives.come(waiting, place.jobs)?);
                    return Ok(dump);
                }
                Some(blocker) => {
                    drop((dump, session));
                    patience.wait(Some(blocker), place, database)?;
                }
            }
        }
    }

    /// The snapshot and its tables, locked.
    fn lock(session: &mut Session) -> Result<(Exported, Vec<Table>, Option<Marks>)> {
        waits::limit(session, ONCE)?;
        session.run("begin", BEGIN)?;
        let exported: Exported = session.one("export a snapshot", EXPORT)?;
        let tables = fingerprint::tables(session)?;
        Marks::begin(session)?;
        fingerprint::lock(session, &tables)?;
        let marks = Marks::of(session, &tables)?;
        Ok((exported, tables, marks))
    }

    fn locked(
        (place, stops): (&Arc<Place>, &Arc<Stops>),
        database: &str,
        session: &mut Session,
        exported: Exported,
        tables: &[Table],
    ) -> Result<Self> {
        let mut warnings = elsewhere(session, database)?;
        let (info, passed_over) = lenient::strict(session, &place.psql, &place.info, Some(database))?;
        let lenient = place.lenient || passed_over.is_some();
        warnings.extend(passed_over);
        let expected = whole::Expected::ask(session, tables)?;
        warnings.extend(expected.left_out(database));
        let waiting = parts(database, tables, place.jobs)?;
        let archives = Archives {
            place: Arc::clone(place),
            info,
            stops: Arc::clone(stops),
            database: database.to_owned(),
            snapshot: exported.snapshot,
            mark: waits::mark(session)?,
            tools: Arc::new(Tools::default()),
        };
        Ok(Self {
            streams: waiting.iter().map(|part| part.name.clone()).collect(),
            taking: None,
            archives: Arc::new(archives),
            began: Instant::now(),
            counted: pages::counted(session)?,
            lenient,
            expected,
            written: Contents::default(),
            stops: Arc::clone(stops),
            database: database.to_owned(),
            waiting,
            started: None,
            coming: None,
            current: None,
            sequences: Vec::new(),
            warnings,
            failed: Arc::new(Mutex::new(None)),
        })
    }

    /// Starts the first archive and waits until it has its locks, or somebody holds it up.
    fn first(&mut self, session: &mut Session) -> Result<Option<Blocker>> {
        let Some(part) = self.waiting.pop_front() else { return Ok(None) };
        let (producer, stream, blocker) = self.archives.start(part, Some(session))?;
        self.started = Some((producer, stream));
        Ok(blocker)
    }

    /// The next stream.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>> {
        self.settle()?;
        let next = match self.started.take() {
            Some(first) => Some(first),
            None => self.coming.as_ref().map(Coming::next).transpose()?.flatten(),
        };
        let Some((producer, stream)) = next else { return Ok(None) };
        self.current = Some(producer);
        Ok(Some(stream))
    }

    /// What it is, and its streams.
    pub(super) fn streams(&self) -> DatabaseStreams {
        DatabaseStreams { name: self.database.clone(), streams: self.streams.clone() }
    }

    /// Checks that all went well, after the last stream; gives the fingerprint, if one was wanted, and warnings.
    pub(super) fn end(mut self) -> Result<Ended> {
        let taken = self.taking.take().and_then(|taking| taking.join().ok().flatten());
        if let Some(error) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        let (held, taken, counted) =
            taken.ok_or_else(|| SourceError::new("its fingerprint was not finished", &self.database))?;
        let finding = pages::judge(self.counted, counted, self.lenient, &self.database);
        let tables = taken.as_ref().map(|taken| &taken.fingerprint.tables);
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.extend(self.expected.held_against(&self.written, tables, &self.database)?);
        let taken = taken.map(|mut taken| {
            fingerprint::settle_sequences(&mut taken, &self.sequences);
            warnings.extend(self.expected.changed(&mut taken, &self.written, &self.database));
            Fingerprint { streams: std::mem::take(&mut self.streams), ..taken.fingerprint }
        });
        Ok(Ended { fingerprint: taken, warnings, finding, held })
    }

    /// Takes the fingerprint on a thread of its own once the archives are written, with two sessions for each job. What goes wrong
    /// there stops the dump, which would be for nothing. With `lean`, archives need our locks until then.
    fn take(&self, mut session: Session, (tables, marks): (Vec<Table>, Option<Marks>), lean: bool) -> Taking {
        let (archives, failed, began) = (Arc::clone(&self.archives), Arc::clone(&self.failed), self.began);
        let import = format!("set transaction snapshot '{}'", archives.snapshot.replace('\'', "''"));
        thread::spawn(move || {
            let Archives { place, stops, database, .. } = &*archives;
            let open = || {
                let mut session = Session::open(&place.psql, &place.info, Some(database))?;
                place.watch(stops, session.alive());
                session.run("begin", BEGIN)?;
                session.run("take up the snapshot", &import)?;
                waits::limit(&mut session, ONCE)?;
                Ok(session)
            };
            // The first is why the others stopped.
            let fail = |error| {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                stops.stop();
            };
            // As many sessions as there were while it was dumped.
            let helpers = Helpers { count: 2 * place.jobs - 1, open: &open, fail: &fail };
            let mut count = || {
                while !archives.tools.all_have_written(LOOK) {
                    place.haste.is_waited_for(waits::waited_for(&mut session)?);
                }
                let held = began.elapsed();
                if marks.is_some() && lean {
                    Marks::let_go(&mut session)?;
                }
                waits::limit(&mut session, if marks.is_some() { ONCE } else { LATER })?;
                let depth = place.depth;
                let taken = (depth != Depth::Off)
                    .then(|| fingerprint::take(&mut session, database, &tables, depth, &helpers, marks.as_ref()));
                let taken = taken.transpose()?;
                // The server is still there, and so was the snapshot until now.
                session.run("end the snapshot", "commit")?;
                Ok((held, taken, pages::counted(&mut session)?))
            };
            count().map_err(fail).ok()
        })
    }

    fn settle(&mut self) -> Result<()> {
        let Some(Producer { running, seen, walker, path }) = self.current.take() else { return Ok(()) };
        let ended = seen.must_have_ended(&path).and_then(|()| running.finish_heard());
        // What stopped it matters more than that it was stopped.
        if let Some(error) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        let heard = ended.map_err(|e| {
            let pages = pages::found(&self.archives.place, &self.database, self.began.elapsed());
            let what = pages.map_or_else(|| e.what.clone(), |pages| format!("{}; {pages}", e.what));
            SourceError { object: format!("{} of {path}", e.object), what, ..e }
        })?;
        if !heard.is_empty() {
            self.warnings.push(format!("pg_dump said of {}: {}", self.database, short(&heard)));
        }
        let mut walker = walker.lock().unwrap_or_else(PoisonError::into_inner);
        match walker.finish() {
            Ok(true) => {}
            Ok(false) => {
                self.expected = whole::Expected::default();
                self.warnings.push(format!(
                    "{path} is an archive of a newer version than is known here; that pg_dump succeeded is all that was checked"
                ));
            }
            Err(why) => {
                return Err(SourceError::new(format!("pg_dump succeeded, but its archive is not whole: {why}"), path));
            }
        }
        self.sequences.append(&mut walker.sequences);
        self.written.append(&mut walker.contents);
        Ok(())
    }
}

/// Warns of tables whose rows no dump of this server has.
pub(super) fn elsewhere(session: &mut Session, database: &str) -> Result<Vec<String>> {
    let Elsewhere { unlogged, foreign } = session.one("count tables without rows of their own", ELSEWHERE)?;
    let mut warnings = Vec::new();
    if unlogged > 0 {
        warnings.push(format!("{database}: {unlogged} unlogged tables have no rows on a standby and are left out"));
    }
    if foreign > 0 {
        warnings
            .push(format!("{database}: the rows of {foreign} foreign tables live elsewhere and are not in the dump"));
    }
    Ok(warnings)
}

/// What a database is dumped as: one archive, or one with everything but the data of large tables, and theirs.
fn parts(database: &str, tables: &[Table], jobs: usize) -> Result<VecDeque<Part>> {
    let mut large: Vec<&Table> = tables.iter().filter(|t| jobs > 1 && t.own && t.bytes >= LARGE).collect();
    // The largest first, so that it is not what everything waits for in the end.
    large.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    let left_out = large.iter().map(|table| format!("--exclude-table-data={}", pattern(table)));
    let base = file_name(database);
    let mut parts = VecDeque::from([part(format!("{base}.dump"), left_out.collect())?]);
    for table in large {
        let arguments = vec!["--data-only".to_owned(), format!("--table={}", pattern(table))];
        parts.push_back(part(format!("{base}.tables/{}.dump", file_name(&table.name)), arguments)?);
    }
    Ok(parts)
}

fn part(path: String, arguments: Vec<String>) -> Result<Part> {
    let name = slug::in_tree(&path).map_err(|e| SourceError::new(e.to_string(), &path))?;
    Ok(Part { name, path, arguments })
}

/// The table as a pattern that matches nothing else: within quotes every character stands for itself.
fn pattern(table: &Table) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    format!("{}.{}", quoted(&table.place.0), quoted(&table.place.1))
}

/// A name of a database or a table as a part of a path: signs that may not stand in one are written as `%2F`.
pub(crate) fn file_name(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.chars().enumerate() {
        if matches!(c, '/' | '\\' | '%' | '"') || c.is_control() || (at == 0 && c == '.') {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                // Writing to a string can't fail.
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
    // Two names of 63 bytes fit, unless nearly all of them had to be written so.
    if out.len() <= 200 { out } else { slug::in_tree(&out).map_or(out, |name| name.to_string()) }
}

fn short(text: &str) -> String {
    const MOST: usize = 400;
    let line = text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MOST { line } else { line.chars().take(MOST).chain("…".chars()).collect() }
}

impl Drop for Dump {
    fn drop(&mut self) {
        // What counts waits for its session, and what writes for a reader.
        self.stops.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: &str, name: &str, bytes: u64) -> Table {
        serde_json::from_value(serde_json::json!({
            "name": format!("{schema}.{name}"), "place": [schema, name], "bytes": bytes, "blocks": 0, "own": true,
            "from": "x", "columns": "",
        }))
        .unwrap()
    }

    #[test]
    fn one_job_makes_one_archive_and_several_one_more_for_each_large_table() {
        let tables = [table("public", "small", 10), table("s", "Big \"one\"", LARGE), table("s", "huge", LARGE * 2)];
        let told = |jobs| -> Vec<(String, Vec<String>)> {
            parts("Orders/1", &tables, jobs).unwrap().into_iter().map(|part| (part.path, part.arguments)).collect()
        };
        assert_eq!(told(1), [("Orders%2F1.dump".to_owned(), vec![])]);
        let several = told(2);
        assert_eq!(several.len(), 3);
        assert_eq!(
            several[0].1,
            ["--exclude-table-data=\"s\".\"huge\"", "--exclude-table-data=\"s\".\"Big \"\"one\"\"\""]
        );
        assert_eq!(several[1].0, "Orders%2F1.tables/s.huge.dump");
        assert_eq!(several[2].0, "Orders%2F1.tables/s.Big %22one%22.dump");
        assert_eq!(several[2].1, ["--data-only", "--table=\"s\".\"Big \"\"one\"\"\""]);
    }

    #[test]
    fn a_name_becomes_a_part_of_a_path() {
        for (name, want) in [("orders", "orders"), ("..", "%2E."), ("a/b", "a%2Fb"), ("a\nb", "a%0Ab"), ("é", "é")] {
            assert_eq!(file_name(name), want);
        }
        assert!(file_name(&"%".repeat(126)).len() <= 200);
    }
}
