//! The files of a whole cluster, as `pg_basebackup` copies them: a tar with the log that it needs, a tar for each
//! tablespace, and the manifest.

mod facts;
mod seen;
mod spaces;
mod zeros;

use std::{
    collections::BTreeMap,
    io::{self, Read},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;

use self::{
    facts::{ASK, Asked, CONTROL, ENDED, Ended, LABEL},
    seen::{Kept, Seeing},
    spaces::Spaces,
};
use super::{
    super::{
        Facts, FileMeta, Incoming, Reading, Result, SourceError,
        child::Running,
        pipe::LargeSteps,
        read::{Seen, Watched},
    },
    Conninfo,
    session::Session,
    tools::{Tool, Tools, Version},
};

use crate::model::{Finding, Severity, journal::Start};

pub(crate) use facts::MANIFEST;
pub use facts::{Base, Tablespace};

/// The name of the stream that holds the data directory.
pub(crate) const STREAM: &str = "base.tar";
/// Files without which it is no backup of a cluster, where the manifest lies among them and where it does not.
const NEEDED: &[&str] = &[LABEL, CONTROL, MANIFEST];
const NEEDED_BESIDE: &[&str] = &[LABEL, CONTROL];
/// Keeps the log that the copy needs until it is there, whatever else the server would do with it. Goes with its session.
const SLOT: &str = "select to_json(slot_name) from \
    pg_create_physical_replication_slot('strongroom_base_' || pg_backend_pid(), true, true)";

/// Starts `pg_basebackup`. The session asks what a copy does not tell.
pub(super) fn open(
    (info, psql): (&Conninfo, &Tool),
    tools: &Tools,
    version: &Version,
    server: &BTreeMap<String, String>,
    mut session: Session,
) -> Result<Box<dyn Reading>> {
    let tool = tools.for_server("pg_basebackup", version)?;
    let asked: Asked = session.one("ask where the cluster's files are", ASK)?;
    // A role or a server without slots has none; then the log must stay by itself, as `wal_keep_size` says.
    let slot =
        Session::open(psql, info, None).and_then(|mut slot| slot.one::<String>("keep the log", SLOT).map(|_| slot));
    let slot = slot.inspect_err(|e| tracing::info!("no slot keeps the log for the base: {e}")).ok();
    let command = || {
        let mut command = Command::new(&tool.path);
        // The log is fetched at the end, since one output can hold one tar; a checkpoint at once, since nobody knows how
        // long the server's own pace would take. What it writes is made durable elsewhere.
        command.args(["-Ft", "-X", "fetch", "--checkpoint=fast", "--no-sync", "-w", "-d"]).arg(info.argument(None));
        info.equip(&mut command);
        command.stdin(Stdio::null());
        command
    };
    let program = tool.path.to_string_lossy();
    let (running, way, needed) = if asked.tablespaces.is_empty() {
        let mut command = command();
        command.args(["-D", "-"]).stdout(Stdio::piped());
        let mut running = Running::start(&mut command, &program, info.secrets())?;
        let stdout = running.stream()?;
        (running, Way::Pipe(Some(Box::new(stdout))), NEEDED)
    } else {
        let quiet = || {
            let mut command = command();
            command.stdout(Stdio::null());
            command
        };
        let names = asked.tablespaces.iter().map(|place| facts::stream_of(place.oid));
        let names = names.chain([STREAM.to_owned()]).collect();
        let (running, spaces) = Spaces::start(quiet, &program, &info.secrets(), names)?;
        (running, Way::Files { spaces, manifest: false }, NEEDED_BESIDE)
    };
    let base = Arc::new(Mutex::new(Seeing::new(needed)));
    let details = json!({ "server": server, "physical": true, "pg_basebackup": tool.version.text });
    let held = Held { session, _slot: slot };
    Ok(Box::new(PhysicalReading { running, way, base, beside: Arc::default(), read: Vec::new(), details, asked, held }))
}

fn server_of<'a>(details: &'a serde_json::Value, key: &str) -> Option<&'a str> {
    details.get("server")?.get(key)?.as_str()
}

/// How the tars come.
enum Way {
    /// One, through standard output.
    Pipe(Option<Box<dyn Read + Send>>),
    /// Each through a pipe of its own, and then the manifest.
    Files { spaces: Spaces, manifest: bool },
}

/// Sessions that last as long as the copy.
struct Held {
    session: Session,
    _slot: Option<Session>,
}

/// What is seen of a stream on its way by.
#[derive(Clone)]
enum Eye {
    Tar(Arc<Mutex<Seeing>>),
    Manifest(Arc<Mutex<Kept>>),
}

struct PhysicalReading {
    running: Running,
    way: Way,
    /// The tar of the data directory.
    base: Arc<Mutex<Seeing>>,
    /// The manifest, where it does not lie in that.
    beside: Arc<Mutex<Kept>>,
    read: Vec<(String, Arc<Seen>, Eye)>,
    details: serde_json::Value,
    asked: Asked,
    held: Held,
}

impl PhysicalReading {
    fn incoming(&mut self, name: &str, eye: Eye, reader: impl Read + Send + 'static) -> Result<Incoming> {
        let (reader, seen) = Watched::new(Looked { inner: reader, eye: eye.clone() }, name, 0);
        self.read.push((name.to_owned(), seen, eye));
        let name = name.parse().map_err(|e| SourceError::new(format!("{e}"), name))?;
        Ok(Incoming { name, path: None, meta: FileMeta::default(), expected: None, reader: Box::new(reader) })
    }
}

impl Reading for PhysicalReading {
    fn next_stream(&mut self) -> Result<Option<Incoming>> {
        let base = Eye::Tar(Arc::clone(&self.base));
        let (name, file, eye) = match &mut self.way {
            Way::Pipe(stream) => {
                let Some(stream) = stream.take() else { return Ok(None) };
                return self.incoming(STREAM, base, stream).map(Some);
            }
            Way::Files { manifest: true, .. } => return Ok(None),
            Way::Files { spaces, manifest } => match spaces.next(&self.running)? {
                Some((name, file)) if name == STREAM => (name, file, base),
                Some((name, file)) => (name, file, Eye::Tar(Arc::new(Mutex::new(Seeing::new(&[]))))),
                None => {
                    *manifest = true;
                    self.running.wait_for_end();
                    // Why it failed, where it did, is told at the end.
                    let Ok(file) = spaces.file(MANIFEST) else { return Ok(None) };
                    (MANIFEST.to_owned(), file, Eye::Manifest(Arc::clone(&self.beside)))
                }
            },
        };
        self.incoming(&name, eye, LargeSteps::new(file)).map(Some)
    }

    fn stopper(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let (copy, asks) = (self.running.alive(), self.held.session.alive());
        Some(Box::new(move || {
            copy.stop();
            asks.stop();
        }))
    }

    fn finish(self: Box<Self>) -> Result<Facts> {
        let Self { running, way, base, beside, read, mut details, asked, mut held } = *self;
        for (name, seen, _) in &read {
            seen.must_have_ended(name)?;
        }
        let heard = running.finish_heard()?;
        let broken = |name: &str, why| SourceError::new(format!("pg_basebackup succeeded, but {why}"), name);
        let (mut findings, mut zeroed) = (Vec::new(), Vec::new());
        for (name, _, eye) in &read {
            let Eye::Tar(tar) = eye else { continue };
            let tar = tar.lock().unwrap_or_else(PoisonError::into_inner);
            tar.check().map_err(|why| broken(name, why))?;
            let zeros = tar.zeros().filter(|_| asked.page == zeros::PAGE);
            if let Some(told) = zeros {
                zeroed.push(format!("{name}: {told}"));
                findings.push(Finding::new(Severity::Warning, "database.zeroed", told).on(name));
            }
        }
        if let Way::Files { spaces, .. } = &way {
            spaces.check(MANIFEST)?;
            spaces.file(MANIFEST)?;
        }
        let mut warnings = if heard.is_empty() { Vec::new() } else { vec![format!("pg_basebackup said: {heard}")] };
        warnings.extend(zeroed);
        if server_of(&details, "data_checksums") == Some("off") {
            warnings.push(
                "data checksums are off on this server, so nothing proves that the pages that were copied are sound; \
                 `pg_checksums --enable`, with the server stopped, turns them on"
                    .to_owned(),
            );
        }
        // A pooler or a time-out may have ended it meanwhile. Then the snapshot's own time stands for that of its end.
        let ended: Option<Ended> = held.session.one("ask when it ended", ENDED).ok();
        let base = base.lock().unwrap_or_else(PoisonError::into_inner);
        let beside = beside.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = |name: &str| base.kept(name).ok_or_else(|| SourceError::new("was not seen", name));
        let manifest = base.kept(MANIFEST).unwrap_or(&beside);
        let base = Base::read((kept(LABEL)?, manifest, kept(CONTROL)?), asked, ended)?;
        if let Some(details) = details.as_object_mut() {
            details.insert("base".to_owned(), json!(base));
        }
        let journal = Some(Start { line: base.line, from: base.from });
        Ok(Facts { details, warnings, findings, journal, ..Facts::default() })
    }
}

/// A reader that shows what passes.
struct Looked<R> {
    inner: R,
    eye: Eye,
}

impl<R: Read> Read for Looked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        let bytes = buf.get(..n).unwrap_or_default();
        match &self.eye {
            Eye::Tar(tar) => tar.lock().unwrap_or_else(PoisonError::into_inner).feed(bytes),
            Eye::Manifest(kept) => kept.lock().unwrap_or_else(PoisonError::into_inner).push(bytes),
        }
        Ok(n)
    }
}
