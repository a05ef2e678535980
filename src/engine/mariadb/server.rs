//! The server's process.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::super::{
    EngineError, Result,
    jail::{Jail, Warden},
};
use crate::source::{
    cell::Cell,
    child::Running,
    mariadb::{
        Client, Flavour, Login,
        session::{Session, literal},
    },
    redact::Known,
};

/// How long a server may take until it answers.
const STARTING: Duration = Duration::from_mins(3);

/// What reads and writes files.
const FILES: &str = "FILE";
/// What reaches beyond databases: settings of the server, replication, other sessions.
const SERVER: &str = "SUPER, RELOAD, SHUTDOWN, PROCESS, REPLICATION SLAVE, BINLOG MONITOR, BINLOG ADMIN, BINLOG REPLAY, \
                      CONNECTION ADMIN, FEDERATED ADMIN, READ_ONLY ADMIN, REPLICATION MASTER ADMIN, REPLICATION SLAVE ADMIN";
/// The version that has these one by one.
const SPLIT: (u32, u32) = (10, 5);

/// A running server. Dropped, it is killed.
pub(super) struct Server {
    client: Client,
    /// A session that began before everything was taken from its account: it can give that back.
    armed: Session,
    socket: PathBuf,
    /// Where programs run that read a log, and may put down what they work with.
    reader: Reader,
    _running: Running,
}

impl Server {
    /// Makes system tables in `dir` and starts a server there, which takes packets of the default size or of `packet`.
    pub(super) fn start(warden: &Warden, dir: &Path, packet: Option<u64>) -> Result<Self> {
        let jail = Jail::new(warden, dir)?;
        let data = prepare(&jail)?;
        let place = |name: &str| data.join(name);
        let own = format!("--tmpdir={}", place("tmp").display());
        let mut install = program(&jail, "mariadb-install-db")?;
        // Without a network no name is found, which it would refuse.
        install.args(["--no-defaults", "--force", "--auth-root-authentication-method=normal", "--skip-test-db", &own]);
        install.arg(format!("--datadir={}", place("data").display()));
        // What it says of success it says at length, and of failure on the same way.
        install.stdin(Stdio::null()).stdout(Stdio::null());
        Running::start(&mut install, "mariadb-install-db", Known::default())?.finish()?;
        let socket = place("socket");
        let mut command = program(&jail, "mariadbd")?;
        command.args([
            "--no-defaults",
            "--skip-networking",
            "--skip-log-bin",
            "--event-scheduler=OFF",
            "--local-infile=0",
            // The way of the kernel that it would take is refused to it.
            "--innodb-use-native-aio=0",
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
        let mut running = Running::start(&mut command, "mariadbd", Known::default())?;
        let login = Login { socket: Some(socket.clone()), user: Some("root".to_owned()), ..Login::default() };
        let client = Client::within(Flavour::Mariadb, &login, dir)?.in_cell(jail.client(&[])?);
        jail.lend(client.options())?;
        let mut armed = wait(&client, &mut running)?;
        // It says nothing for as long as loading takes.
        armed.run("SET SESSION wait_timeout = 2147483")?;
        disarm(&client)?;
        let reader = Reader { cell: jail.server(&[])?, tmp: place("tmp") };
        Ok(Self { client, armed, socket, reader, _running: running })
    }

    /// Lets the account do everything while `work` is done.
    pub(super) fn armed<T>(&mut self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.armed.run("GRANT ALL PRIVILEGES ON *.* TO 'root'@'localhost' WITH GRANT OPTION")?;
        let done = work();
        take_away(&mut self.client.connect()?)?;
        done
    }

    /// Lets the account replay a log while `work` is done.
    pub(super) fn replaying<T>(&mut self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let version = self.armed.value("SELECT VERSION()")?;
        // Before that it takes SUPER, which it has.
        let split = is_split(&version);
        if split {
            self.armed.run("GRANT BINLOG REPLAY ON *.* TO 'root'@'localhost'")?;
        }
        let done = work();
        if split {
            self.armed.run("REVOKE BINLOG REPLAY ON *.* FROM 'root'@'localhost'")?;
        }
        done
    }

    pub(super) fn reader(&self) -> Reader {
        self.reader.clone()
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

/// Where programs run that read a log.
#[derive(Clone)]
pub(super) struct Reader {
    cell: Cell,
    tmp: PathBuf,
}

impl Reader {
    /// A command that does. An event of some length goes through a file.
    pub(super) fn reading(&self, program: &str) -> Command {
        let mut command = self.cell.command(Path::new(program));
        command.arg("--no-defaults").env("TMPDIR", &self.tmp).env("LC_ALL", "C.UTF-8");
        command
    }
}

/// The first session with a server that starts.
fn wait(client: &Client, running: &mut Running) -> Result<Session> {
    let began = Instant::now();
    loop {
        let error = match client.connect() {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        if running.has_ended() {
            let how = crate::source::child::ended(running.reap()?);
            let said = running.said();
            return Err(EngineError::new(format!("the server did not start: it {how}{said}"), "mariadbd"));
        }
        if began.elapsed() > STARTING {
            return Err(EngineError::new(format!("the server does not answer: {error}"), "mariadbd"));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The directories of the server, for its user alone.
fn prepare(jail: &Jail) -> Result<PathBuf> {
    let data = jail.make("server")?;
    for name in ["data", "tmp", "empty"] {
        jail.make(&format!("server/{name}"))?;
    }
    Ok(data)
}

/// A program of the server. Servers lie where only root looks by itself.
fn program(jail: &Jail, name: &str) -> Result<Command> {
    let mut command = jail.server(&[])?.command(Path::new(name));
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin")).env("LC_ALL", "C.UTF-8");
    Ok(command)
}

/// Takes from the one account that is left what a dump has no business with: files, settings of the whole server, other
/// accounts' sessions. Whoever a dump names as the definer of its routines can't be given more.
fn disarm(client: &Client) -> Result<()> {
    let mut session = client.connect()?;
    let others =
        "SELECT user, host FROM mysql.user WHERE NOT (user = 'root' AND host = 'localhost') AND user <> 'mariadb.sys'";
    for row in session.rows(others)? {
        let [user, host] = row.as_slice() else { continue };
        session.run(&format!("DROP USER {}@{}", literal(user), literal(host)))?;
    }
    take_away(&mut session)
}

/// Whether a server of this version has its privileges one by one.
fn is_split(version: &str) -> bool {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) >= SPLIT
}

fn take_away(session: &mut Session) -> Result<()> {
    let version = session.value("SELECT VERSION()")?;
    // Before that, naming a definer takes SUPER.
    let taken = if is_split(&version) { format!("{FILES}, {SERVER}") } else { FILES.to_owned() };
    Ok(session.run(&format!("REVOKE {taken} ON *.* FROM 'root'@'localhost'"))?)
}
