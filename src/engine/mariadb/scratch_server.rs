//! A server that somebody lends: dumps go into databases of their own there, beside whatever else it holds.

use std::{
    fs::File,
    path::Path,
    process::Stdio,
    sync::{Arc, OnceLock},
};

use super::{
    super::{
        EngineError, RestoredStream, Result,
        scratch_server::{self, Debris},
    },
    LOADING,
    rename::{self, Names},
};
use crate::source::mariadb::{
    Client, Flavour, Login,
    session::{Session, identifier, literal},
};

/// How what loads is confined there, for the report.
pub(super) const HOW: &str = "none, as it works with the server that is lent, where code of a dump runs";
/// How long a database waits to be dropped for what still works in it, in seconds.
const LOCK_WAIT: u32 = 20;

/// Who lends the server, and what was made there.
pub(super) struct Lender {
    login: Login,
    client: Arc<OnceLock<Client>>,
    pub(super) debris: Arc<Debris>,
}

impl Lender {
    pub(super) fn new(login: Login) -> Self {
        let client = Arc::<OnceLock<Client>>::default();
        let known = Arc::clone(&client);
        // Before somebody connected, nothing was made.
        let drop = move |name: &str| known.get().map_or(Ok(()), |client| drop_database(client, name));
        Self { login, client, debris: Arc::new(Debris::new(drop)) }
    }

    /// Where it is, for messages.
    pub(super) fn place(&self) -> String {
        match (&self.login.host, self.login.port, &self.login.socket) {
            (Some(host), Some(port), _) => format!("{host}:{port}"),
            (Some(host), None, _) => host.clone(),
            (None, _, Some(socket)) => socket.display().to_string(),
            (None, ..) => "the default server".to_owned(),
        }
    }
}

/// A run's place on such a server.
pub(super) struct ScratchServer {
    client: Client,
    debris: Arc<Debris>,
    mark: String,
    /// Databases by the names that they had, with those that they have here.
    names: Names,
    /// Holds the lock of the mark's name for as long as it lasts. The kernel ends it when this process dies.
    _keeper: Session,
}

impl ScratchServer {
    /// Connects with a private file in `dir`, and drops what dead runs left.
    pub(super) fn open(lender: &Lender, dir: &Path) -> Result<Self> {
        let client = Client::within(Flavour::Mariadb, &lender.login, dir)?;
        let _ = lender.client.set(client.clone());
        let mut keeper = client.connect()?;
        let time = keeper.value("SELECT DATE_FORMAT(UTC_TIMESTAMP(), '%Y%m%dt%H%i%sz')")?;
        let mark = scratch_server::mark(&time, dir)?;
        // It says nothing for as long as the drill takes.
        keeper.run("SET SESSION wait_timeout = 2147483")?;
        if keeper.value(&format!("SELECT GET_LOCK({}, 0)", literal(&mark)))? != "1" {
            return Err(EngineError::new("can't take the lock that shows that this drill lives", mark));
        }
        let found = keeper.rows(&format!("SHOW DATABASES LIKE '{}'", scratch_server::LIKE.replace('\\', "\\\\")))?;
        for name in found.into_iter().flatten() {
            let Some(mark) = scratch_server::of(&name) else { continue };
            if keeper.value(&format!("SELECT IS_USED_LOCK({})", literal(mark)))? != "NULL" {
                continue;
            }
            tracing::info!(%mark, database = %name, "dropping what a dead drill left");
            if let Err(error) = drop_database(&client, &name) {
                tracing::warn!(database = %name, %error, "what a dead drill left could not be dropped");
            }
        }
        Ok(Self { client, debris: Arc::clone(&lender.debris), mark, names: Names::new(), _keeper: keeper })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Databases by the names that they had, with those that they have here.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Loads one file of SQL under other names.
    pub(super) fn load(&mut self, stream: &RestoredStream, packet: Option<u64>) -> Result<()> {
        let file =
            File::open(&stream.file).map_err(|e| EngineError::at("can't read a restored stream", &stream.file, e))?;
        let mut command = self.client.command("mariadb");
        command.args(LOADING).args(super::packet_option(packet)).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut running = self.client.start(&mut command, "mariadb")?;
        self.debris.works(running.alive());
        let mut input = running.stdin()?;
        let (client, debris, mark) = (&self.client, &self.debris, &self.mark);
        let mut count = self.names.len();
        let mut make = |_: &str, set: &[String]| {
            let real = format!("{mark}_{count}");
            count += 1;
            let sql = format!("CREATE DATABASE {} {}", identifier(&real), set.join(" "));
            debris.make(&real, || Ok(client.connect()?.run(&sql)?))?;
            Ok(real)
        };
        let copied = rename::copy(file, &mut input, &mut self.names, &mut make);
        drop(input);
        match copied {
            // The client ended early: what it said tells more.
            Err(e) if e.source.as_ref().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) => {}
            Err(e) => {
                drop(running);
                return Err(e);
            }
            Ok(()) => {}
        }
        running.finish().map_err(|e| {
            let what = format!("the server does not take it: {}", e.what);
            EngineError::new(what, stream.name.as_str())
        })
    }
}

/// Drops a database of a drill, if it is there, after ending what works in it.
fn drop_database(client: &Client, name: &str) -> Result<()> {
    const TRIES: usize = 2;
    let working =
        format!("SELECT id FROM information_schema.processlist WHERE db = {} AND id <> CONNECTION_ID()", literal(name));
    let once = || -> Result<()> {
        for id in client.connect()?.rows(&working)?.into_iter().flatten() {
            // One that ended meanwhile is unknown, which ends the session that asks.
            let _ = client.connect()?.run(&format!("KILL {id}"));
        }
        let mut session = client.connect()?;
        // Another database of the dump may refer to it.
        session.run(&format!("SET SESSION lock_wait_timeout = {LOCK_WAIT}, foreign_key_checks = 0"))?;
        Ok(session.run(&format!("DROP DATABASE IF EXISTS {}", identifier(name)))?)
    };
    (1..TRIES).find_map(|_| once().ok()).map_or_else(once, Ok)
}
