//! The throwaway server itself: a new cluster, or the files of one that was copied, on a socket of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{EngineError, Result},
    jail::Jail,
};
use crate::source::{
    child::Running,
    postgres::{Conninfo, Tool},
    redact::Known,
};

/// How long a server may take until it accepts connections; one that was copied may have much log to replay.
const PATIENCE: Duration = Duration::from_mins(30);

/// Nothing here must survive anything, nothing must be reachable from outside, and nothing starts by itself: a copied
/// cluster that subscribes would take rows from its publisher that then never reach the one that was copied. The file stands for all others that a
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
/// What servers before 10 don't know.
const NO_SUBSCRIPTIONS: &str = "max_logical_replication_workers = 0\n";
/// Files in a copied cluster that would tell the server to follow another or to run something.
const UNWANTED: [&str; 5] =
    ["postgresql.auto.conf", "recovery.signal", "standby.signal", "recovery.conf", "postmaster.pid"];

/// A running server. Ends when dropped.
pub(super) struct Server {
    running: Running,
    apart: bool,
    /// How to reach it.
    pub(super) info: Conninfo,
    /// The directory of its socket.
    pub(super) socket: PathBuf,
}

impl Server {
    /// Makes the files of a new cluster in `data`, whose superuser is `superuser`.
    pub(super) fn init(jail: &Jail, bin: &Path, data: &Path, superuser: &str) -> Result<()> {
        let mut command = jail.apart(&bin.join("initdb"));
        command.args(["--no-sync", "-A", "trust", "-E", "UTF8", "--locale=C", "-U", superuser, "-D"]).arg(data);
        command.stdout(Stdio::null());
        Ok(Running::start(&mut command, "initdb", Known::default())?.finish()?)
    }

    /// Unpacks the files of a copied cluster into `data`.
    pub(super) fn unpack(jail: &Jail, tar: &Path, data: &Path) -> Result<()> {
        let file = File::open(tar).map_err(|e| EngineError::at("can't open the restored stream", tar, e))?;
        let mut command = jail.apart(Path::new("tar"));
        command.args(["-x", "-f", "-", "-C"]).arg(data).stdin(Stdio::from(file)).stdout(Stdio::null());
        Ok(Running::start(&mut command, "tar", Known::default())?.finish()?)
    }

    /// Starts the cluster in `data`.
    pub(super) fn start(jail: &Jail, bin: &Path, data: &Path, superuser: &str) -> Result<Self> {
        for name in UNWANTED {
            let path = data.join(name);
            if fs::symlink_metadata(&path).is_ok() {
                fs::remove_file(&path).map_err(|e| EngineError::at("can't remove", &path, e))?;
            }
        }
        let socket = jail.make("socket")?;
        let settings = jail.make("settings")?;
        let write = |name: &str, text: &str| -> Result<PathBuf> {
            let path = settings.join(name);
            fs::write(&path, text).map_err(|e| EngineError::at("can't write", &path, e))?;
            jail.lend(&path)?;
            Ok(path)
        };
        let version = fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default();
        let quiet = if version.starts_with("9.") { "" } else { NO_SUBSCRIPTIONS };
        let config = write("postgresql.conf", &format!("{SETTINGS}{quiet}"))?;
        let rules = write("pg_hba.conf", "local all all trust\n")?;
        let idents = write("pg_ident.conf", "")?;
        let mut command = jail.apart(&bin.join("postgres"));
        command.arg("-D").arg(data).arg("-k").arg(&socket);
        for (name, path) in [("config_file", &config), ("hba_file", &rules), ("ident_file", &idents)] {
            command.arg("-c").arg(format!("{name}={}", path.display()));
        }
        command.stdout(Stdio::null());
        let running = Running::start(&mut command, "postgres", Known::default())?;
        let info = Conninfo::of_engine(&socket, superuser, jail.guest());
        let mut server = Self { running, apart: jail.is_apart(), info, socket };
        server.wait(data)?;
        Ok(server)
    }

    /// Waits until it says that it is ready.
    fn wait(&mut self, data: &Path) -> Result<()> {
        let end = Instant::now() + PATIENCE;
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
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.apart {
            // All that is in its namespace ends with it.
            return;
        }
        // Its children have groups of their own and would outlive a kill for a while.
        let _ = rustix::process::kill_process(self.running.group(), rustix::process::Signal::QUIT);
        let end = Instant::now() + Duration::from_secs(10);
        while !self.running.has_ended() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The directory in which a tool and its like really are: what `PATH` holds may be a link to one of them alone.
pub(super) fn home_of(tool: &Tool) -> Result<PathBuf> {
    let path = fs::canonicalize(&tool.path).map_err(|e| EngineError::at("can't find", &tool.path, e))?;
    Ok(path.parent().map(Path::to_owned).unwrap_or_default())
}
