//! The throwaway server itself: a new cluster, or the files of one that was copied, on a socket of its own.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use super::super::{EngineError, Restored, RestoredStream, Result, jail::Jail};
use crate::source::{
    child::Running,
    postgres::{Conninfo, MANIFEST, Tool, Version, wal},
    redact::Known,
};

/// How long a server may take until it accepts connections; one that was copied may have much log to replay.
const PATIENCE: Duration = Duration::from_mins(30);

/// What a server says when it comes to the end of the log that it has (`xlogreader.c`). One that is told where to stop does not read so far,
/// and a standby that does waits for more, for ever.
const NO_MORE: [&str; 8] = [
    "invalid record length at",
    "record with incorrect prev-link",
    "invalid resource manager ID",
    "incorrect resource manager data checksum",
    "invalid magic number",
    "unexpected pageaddr",
    "invalid contrecord length",
    "there is no contrecord flag",
];
/// How often a server that recovers is listened to, and how long it may go on after it said so.
const LISTEN: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(10);

/// Nothing here must survive anything, nothing must be reachable from outside, and nothing must begin by itself: no
/// subscription goes on, which would take rows from its publisher that then never reach the cluster that was copied, no
/// segment is archived or fetched, no library of somebody's works in the background. The file stands for all others that a
/// copied cluster may bring along.
const SETTINGS: &str = "listen_addresses = ''
unix_socket_permissions = 0700
port = 5432
fsync = off
full_page_writes = off
synchronous_commit = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 4GB
autovacuum = off
archive_mode = off
archive_command = ''
shared_preload_libraries = ''
max_worker_processes = 4
shared_buffers = 128MB
maintenance_work_mem = 256MB
max_connections = 50
max_prepared_transactions = 100
max_locks_per_transaction = 1024
dynamic_shared_memory_type = mmap
logging_collector = off
log_destination = stderr
lc_messages = 'C'
";
/// The same, by the version that knows them first.
const LATER: [(u32, &str); 4] = [
    (10, "max_logical_replication_workers = 0\nmax_sync_workers_per_subscription = 0\n"),
    (12, "restore_command = ''\nprimary_conninfo = ''\nprimary_slot_name = ''\n"),
    (15, "archive_library = ''\n"),
    (17, "sync_replication_slots = off\nsummarize_wal = off\n"),
];
/// What a session of ours must not begin with, whatever a role or a database of the cluster sets.
/// Nor may these make a drill fail of a cluster that is as it was, or pass one that is damaged. What somebody's own checks are
/// written for, such as the search path, stays.
const SESSION: &str = "-c session_preload_libraries= -c local_preload_libraries= -c role=none \
    -c session_replication_role=origin -c default_transaction_read_only=off -c default_transaction_deferrable=off \
    -c row_security=on -c statement_timeout=0 -c lock_timeout=0 -c zero_damaged_pages=off -c ignore_checksum_failure=off \
    -c default_tablespace= -c temp_tablespaces= -c quote_all_identifiers=off -c standard_conforming_strings=on";
/// The same by the version that knows them first: idle ones are not ended, and nothing fires when somebody logs in.
const SESSION_LATER: [(u32, &str); 3] = [
    (10, " -c idle_in_transaction_session_timeout=0"),
    (14, " -c idle_session_timeout=0"),
    (17, " -c transaction_timeout=0 -c event_triggers=off"),
];
/// Settings of a cluster that make it load or do something by itself.
const BY_ITSELF: [&str; 7] = [
    "shared_preload_libraries",
    "session_preload_libraries",
    "local_preload_libraries",
    "archive_command",
    "archive_library",
    "restore_command",
    "primary_conninfo",
];
/// The longest configuration that is looked through.
const CONFIGURATION: u64 = 1 << 20;
/// Files in a copied cluster that would tell the server to follow another, to run something, or to write elsewhere.
const UNWANTED: [&str; 6] =
    ["postgresql.auto.conf", "recovery.signal", "standby.signal", "recovery.conf", "postmaster.pid", "tablespace_map"];

/// What makes a server go through its log before it is open.
const STANDBY: &str = "standby.signal";

/// A running server. Ends when dropped.
pub(super) struct Server {
    running: Running,
    /// How to reach it.
    pub(super) info: Conninfo,
    /// The directory of its socket.
    pub(super) socket: PathBuf,
}

impl Server {
    /// Makes the files of a new cluster in `data`, whose superuser is `superuser`.
    pub(super) fn init(jail: &Jail, bin: &Path, data: &Path, superuser: &str) -> Result<()> {
        let mut command = jail.tools(&[])?.command(&bin.join("initdb"));
        command.args(["--no-sync", "-A", "trust", "-E", "UTF8", "--locale=C", "-U", superuser, "-D"]).arg(data);
        command.stdout(Stdio::null());
        Ok(Running::start(&mut command, "initdb", Known::default())?.finish()?)
    }

    /// Unpacks the files of a copied cluster into `data`.
    pub(super) fn unpack(jail: &Jail, tar: &Path, data: &Path) -> Result<()> {
        let file = File::open(tar).map_err(|e| EngineError::at("can't open the restored stream", tar, e))?;
        let mut command = jail.server(&[])?.command(Path::new("tar"));
        command.args(["-x", "-f", "-", "-C"]).arg(data).stdin(Stdio::from(file)).stdout(Stdio::null());
        Ok(Running::start(&mut command, "tar", Known::default())?.finish()?)
    }

    /// Starts the cluster in `data`.
    pub(super) fn start(jail: &Jail, program: (&Path, &Version), data: &Path, superuser: &str) -> Result<Self> {
        Self::start_to(jail, program, (data, None), superuser)
    }

    /// The same; with lines that say to which point of its log, as a standby that has nothing but its own directory of log:
    /// a recovery wants a command that fetches it, and the jail starts nothing but the server.
    pub(super) fn start_to(
        jail: &Jail,
        (bin, version): (&Path, &Version),
        (data, recovery): (&Path, Option<&str>),
        superuser: &str,
    ) -> Result<Self> {
        for name in UNWANTED {
            let path = data.join(name);
            if fs::symlink_metadata(&path).is_ok() {
                fs::remove_file(&path).map_err(|e| EngineError::at("can't remove", &path, e))?;
            }
        }
        if recovery.is_some() {
            let path = data.join(STANDBY);
            fs::write(&path, "").map_err(|e| EngineError::at("can't write", &path, e))?;
            jail.give(&path)?;
        }
        let socket = jail.make("socket")?;
        let settings = jail.make("settings")?;
        let write = |name: &str, text: &str| -> Result<PathBuf> {
            let path = settings.join(name);
            fs::write(&path, text).map_err(|e| EngineError::at("can't write", &path, e))?;
            jail.lend(&path)?;
            Ok(path)
        };
        let known = |(since, _): &&(u32, &str)| version.major.0 >= *since;
        let later: String = LATER.iter().filter(known).map(|(_, lines)| *lines).collect();
        let sizes: Vec<String> =
            wal::sizes(segment(data)).iter().map(|(name, size)| format!("{name} = {size}MB\n")).collect();
        let sizes = sizes.concat();
        let config = write("postgresql.conf", &format!("{SETTINGS}{later}{sizes}{}", recovery.unwrap_or_default()))?;
        let rules = write("pg_hba.conf", "local all all trust\n")?;
        let idents = write("pg_ident.conf", "")?;
        let mut command = jail.server(&[])?.command(&bin.join("postgres"));
        command.arg("-D").arg(data).arg("-k").arg(&socket);
        for (name, path) in [("config_file", &config), ("hba_file", &rules), ("ident_file", &idents)] {
            command.arg("-c").arg(format!("{name}={}", path.display()));
        }
        command.stdout(Stdio::null());
        let running = Running::start(&mut command, "postgres", Known::default())?;
        let later: String = SESSION_LATER.iter().filter(known).map(|(_, options)| *options).collect();
        let info = Conninfo::of_engine(&socket, superuser, &format!("{SESSION}{later}"), jail.client(&[])?);
        let mut server = Self { running, info, socket };
        server.wait(data, recovery.is_some())?;
        Ok(server)
    }

    /// Waits until it says that it is ready; if it recovers, no longer than it has log for.
    fn wait(&mut self, data: &Path, recovers: bool) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        let (mut listen, mut over) = (Instant::now() + LISTEN, None);
        // The eighth line of this file is its state.
        let ready =
            || fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|t| t.lines().nth(7) == Some("ready   "));
        while !ready() {
            if self.running.has_ended() {
                let said = self.running.said();
                return Err(EngineError::new(format!("the server did not start{said}"), "postgres"));
            }
            if Instant::now() > end {
                return Err(EngineError::new("the server is not ready after half an hour", "postgres"));
            }
            if recovers && Instant::now() > listen {
                let said = self.running.heard();
                let line = said.lines().find(|line| NO_MORE.iter().any(|words| line.contains(words)));
                if let Some(line) = line
                    && over.get_or_insert_with(Instant::now).elapsed() > GRACE
                {
                    let what =
                        format!("the log that was recovered ends before the server reached the point; it said: {line}");
                    return Err(EngineError::new(what, "postgres"));
                }
                listen = Instant::now() + LISTEN;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // In a namespace all ends with it. Else its children have groups of their own, and would outlive a kill for a while.
        let _ = rustix::process::kill_process(self.running.group(), rustix::process::Signal::QUIT);
        let end = Instant::now() + Duration::from_secs(10);
        while !self.running.has_ended() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Unpacks tablespaces beside `data`, lays the links that lead there, and puts the manifest where it is looked for. All that is made outside the jail is made while nothing was unpacked that could lead it elsewhere.
pub(super) fn unpack_beside(jail: &Jail, restored: &Restored, data: &Path) -> Result<()> {
    let number = |stream: &RestoredStream| {
        let oid = stream.name.as_str().strip_suffix(".tar")?;
        oid.bytes().all(|byte| byte.is_ascii_digit()).then(|| oid.to_owned())
    };
    let spaces: Vec<_> = restored.streams.iter().filter_map(|stream| Some((stream, number(stream)?))).collect();
    if !spaces.is_empty() {
        jail.make("data/pg_tblspc")?;
    }
    let made = |(stream, oid): (_, String)| {
        let dir = jail.make(&format!("tablespace-{oid}"))?;
        let link = data.join("pg_tblspc").join(oid);
        symlink(&dir, &link).map_err(|e| EngineError::at("can't make", &link, e))?;
        Ok((stream, dir))
    };
    let spaces: Vec<(&RestoredStream, PathBuf)> = spaces.into_iter().map(made).collect::<Result<_>>()?;
    if let Some(manifest) = restored.streams.iter().find(|stream| stream.name.as_str() == MANIFEST) {
        let to = data.join(MANIFEST);
        fs::copy(&manifest.file, &to).map_err(|e| EngineError::at("can't copy", &to, e))?;
        jail.give(&to)?;
    }
    spaces.into_iter().try_for_each(|(stream, dir)| Server::unpack(jail, &stream.file, &dir))
}

/// How long the segments of a cluster's log are: its longest file that is called like one.
fn segment(data: &Path) -> u64 {
    let entries = fs::read_dir(data.join("pg_wal")).into_iter().flatten().flatten();
    entries
        .filter(|one| one.file_name().len() == 24)
        .filter_map(|one| Some(one.metadata().ok()?.len()))
        .max()
        .unwrap_or(0)
}

/// What the files of a cluster let it load or run by itself, setting by setting.
pub(super) fn preloaded(data: &Path) -> Vec<String> {
    // What was unpacked may be a pipe or a link to anywhere.
    let read = |name: &&str| {
        let path = data.join(name);
        fs::symlink_metadata(&path).ok().filter(|meta| meta.is_file() && meta.len() <= CONFIGURATION)?;
        fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let texts: Vec<String> = ["postgresql.conf", "postgresql.auto.conf"].iter().filter_map(read).collect();
    let value = |line: &str| -> Option<String> {
        let (name, value) = line.trim().split_once([' ', '='])?;
        let name = BY_ITSELF.iter().find(|known| known.eq_ignore_ascii_case(name.trim()))?;
        let value = value.trim_start_matches(['=', ' ', '\t']).split(" #").next().unwrap_or_default().trim();
        // A value may hold a password.
        let told = if name.ends_with("_libraries") { format!(" = {value}") } else { String::new() };
        (!matches!(value, "" | "''")).then(|| format!("{name}{told}"))
    };
    texts.iter().flat_map(|text| text.lines()).filter_map(value).collect()
}

/// The directory in which a tool and its like really are: what `PATH` holds may be a link to one of them alone.
pub(super) fn home_of(tool: &Tool) -> Result<PathBuf> {
    let path = fs::canonicalize(&tool.path).map_err(|e| EngineError::at("can't find", &tool.path, e))?;
    Ok(path.parent().map(Path::to_owned).unwrap_or_default())
}
