//! The server's process.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::super::{EngineError, Result};
use crate::source::{
    child::Running,
    mariadb::{Client, Flavour, Login},
    redact::Known,
};

/// How long a server may take until it answers.
const STARTING: Duration = Duration::from_mins(3);

/// A running server. Dropped, it is killed.
pub(super) struct Server {
    client: Client,
    socket: PathBuf,
    cut_off: bool,
    running: Running,
}

impl Server {
    /// Makes system tables in `dir` and starts a server there, which takes packets of the default size or of `packet`.
    pub(super) fn start(dir: &Path, packet: Option<u64>) -> Result<Self> {
        let user = who()?;
        let data = prepare(dir, user.as_ref())?;
        let place = |name: &str| data.join(name);
        let own = format!("--tmpdir={}", place("tmp").display());
        let cut_off = user.is_some() && can_cut_off();
        let mut install = as_user("mariadb-install-db", user.as_ref(), false, dir);
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &own]);
        install.arg(format!("--datadir={}", place("data").display()));
        // What it says of success it says at length, and of failure on the same way.
        install.stdin(Stdio::null()).stdout(Stdio::null());
        Running::start(&mut install, "mariadb-install-db", Known::default())?.finish()?;
        let socket = place("socket");
        let mut command = as_user("mariadbd", user.as_ref(), cut_off, dir);
        command.args([
            "--no-defaults",
            "--skip-networking",
            "--skip-log-bin",
            "--event-scheduler=OFF",
            "--local-infile=0",
        ]);
        command.args(["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", &own]);
        command.args(super::packet_option(packet));
        // No plugin can be loaded, and no file be read or written by SQL.
        for (option, at) in [
            ("datadir", place("data")),
            ("socket", socket.clone()),
            ("pid-file", place("pid")),
            ("plugin-dir", place("empty")),
            ("secure-file-priv", place("empty")),
        ] {
            command.arg(format!("--{option}={}", at.display()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let running = Running::start(&mut command, "mariadbd", Known::default())?;
        let login = Login { socket: Some(socket.clone()), user: Some("root".to_owned()), ..Login::default() };
        let client = Client::within(Flavour::Mariadb, &login, dir)?;
        let mut server = Self { client, socket, cut_off, running };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            let Err(error) = self.client.connect() else { return Ok(()) };
            if self.running.has_ended() {
                let status = self.running.reap()?;
                let said = self.running.said();
                let how = crate::source::child::ended(status);
                return Err(EngineError::new(format!("the server did not start: it {how}{said}"), "mariadbd"));
            }
            if began.elapsed() > STARTING {
                return Err(EngineError::new(format!("the server does not answer: {error}"), "mariadbd"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether its process has no network at all.
    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off
    }
}

/// A user and its group.
struct User {
    uid: u32,
    gid: u32,
}

/// Who runs the server: this user, or where that is root, one of those that have no rights.
fn who() -> Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let text =
        fs::read_to_string("/etc/passwd").map_err(|e| EngineError::at("can't read", Path::new("/etc/passwd"), e))?;
    let find = |wanted: &str| {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            (name == wanted && uid != 0).then_some(User { uid, gid })
        })
    };
    let user = find("mysql").or_else(|| find("nobody"));
    let what = "the server does not run as root, and there is neither a user mysql nor nobody";
    user.map(Some).ok_or_else(|| EngineError::new(what, "/etc/passwd"))
}

/// The directories of the server, for its user alone.
fn prepare(dir: &Path, user: Option<&User>) -> Result<PathBuf> {
    let failed = |path: &Path, e| EngineError::at("can't prepare a directory for the server", path, e);
    let data = dir.join("server");
    fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    if user.is_some() {
        // The way to it may be walked, and not looked at, by others. What was restored lies beside it and stays closed.
        for above in dir.parent().into_iter().chain([dir]) {
            fs::set_permissions(above, Permissions::from_mode(0o711)).map_err(|e| failed(above, e))?;
        }
    }
    for name in ["", "data", "tmp", "empty"] {
        let path = if name.is_empty() { data.clone() } else { data.join(name) };
        fs::create_dir(&path).map_err(|e| failed(&path, e))?;
        fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(|e| failed(&path, e))?;
        if let Some(User { uid, gid }) = user {
            chown(&path, Some(*uid), Some(*gid)).map_err(|e| failed(&path, e))?;
        }
    }
    Ok(data)
}

/// A program as that user, and if `cut_off` without any network. Its own environment is all that it gets.
fn as_user(program: &str, user: Option<&User>, cut_off: bool, dir: &Path) -> Command {
    let mut words: Vec<String> = Vec::new();
    if cut_off {
        words.extend(["unshare", "--net", "--"].map(str::to_owned));
    }
    if let Some(User { uid, gid }) = user {
        let ids = [format!("--reuid={uid}"), format!("--regid={gid}")];
        words.push("setpriv".to_owned());
        words.extend(ids);
        words.extend(["--clear-groups", "--no-new-privs", "--"].map(str::to_owned));
    }
    words.push(program.to_owned());
    let mut command = Command::new(words.first().map_or(program, String::as_str));
    command.args(words.iter().skip(1)).env_clear().current_dir("/").env("HOME", dir).env("LC_ALL", "C.UTF-8");
    // Servers lie where only root looks by itself.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
    command
}

/// Whether a process can be given a network of its own, which has nothing in it.
fn can_cut_off() -> bool {
    let tried =
        Command::new("unshare").args(["--net", "--", "true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}
