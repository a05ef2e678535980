//! MariaDB: a server of its own in a private directory, on a socket alone, as a user who is not root; or databases of
//! their own on a server that somebody lends.

mod globals;
pub(super) mod into;
mod only;
mod rename;
mod replay;
mod scratch_server;
mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use self::scratch_server::{Lender, ScratchServer};
use super::{Check, Engine, EngineError, Place, Reach, Restored, RestoredStream, Result, compare, watchdog::Watchdog};
use crate::{
    model::Fingerprint,
    source::mariadb::{
        Client, Depth, GLOBALS, packet,
        print::{self, FLOATS, Floats, LEFT_OUT, OWN},
        session::{Session, identifier, literal},
    },
};
use server::Server;

/// How the client loads a dump: it may touch no file and start nothing.
const LOADING: [&str; 5] =
    ["--batch", "--loose-sandbox", "--binary-mode", "--local-infile=0", "--default-character-set=utf8mb4"];
/// What servers and clients take as one statement by default.
const PACKET: u64 = 16 << 20;

/// What a definer may do, so that what is defined can be used: nothing beyond databases.
const DEFINER: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, \
                       LOCK TABLES, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, EVENT, TRIGGER";

/// A server, once there is one.
pub struct Mariadb {
    place: Place,
    lender: Option<Lender>,
    at: Option<At>,
    version: String,
    /// Accounts that log in by what this server does not have.
    locked: Vec<String>,
    /// Tables whose storage engine has nothing to check them with.
    unchecked: Vec<String>,
    /// Beyond the default, what one packet must hold. The settings of a new server are what a drill is to prove.
    packet: Option<u64>,
    /// How loading users and grants went.
    globals: Option<Check>,
    /// What was found of the dump before its log was replayed.
    before: Option<Vec<Check>>,
}

/// Whose server it is.
enum At {
    Own(Box<Server>),
    Lent(Box<ScratchServer>),
}

impl Mariadb {
    /// Works in `place`.
    #[must_use]
    pub fn new(place: &Place) -> Self {
        let lender = place.servers.mariadb.clone().map(Lender::new);
        Self {
            place: place.clone(),
            lender,
            at: None,
            version: "mariadb".to_owned(),
            locked: Vec::new(),
            unchecked: Vec::new(),
            packet: None,
            globals: None,
            before: None,
        }
    }

    fn client(&self) -> Result<&Client> {
        match &self.at {
            Some(At::Own(server)) => Ok(server.client()),
            Some(At::Lent(lent)) => Ok(lent.client()),
            None => Err(EngineError::new("was not started", "mariadbd")),
        }
    }

    fn connect(&self) -> Result<Session> {
        Ok(self.client()?.connect()?)
    }

    /// What the database `name` of the backup is called here.
    fn real<'a>(&'a self, name: &'a str) -> &'a str {
        match &self.at {
            Some(At::Lent(lent)) => lent.names().get(name).map_or(name, String::as_str),
            _ => name,
        }
    }

    /// The databases that were loaded, as they are called here.
    fn databases(&self) -> Result<Vec<String>> {
        if let Some(At::Lent(lent)) = &self.at {
            return Ok(lent.names().values().cloned().collect());
        }
        let found = self.connect()?.rows("SHOW DATABASES")?.into_iter().flatten();
        Ok(found.filter(|name| !OWN.contains(&name.as_str())).collect())
    }

    /// What a database that is called so here was called.
    fn told<'a>(&'a self, real: &'a str) -> &'a str {
        match &self.at {
            Some(At::Lent(lent)) => lent.names().iter().find(|(_, r)| *r == real).map_or(real, |(name, _)| name),
            _ => real,
        }
    }

    /// Loads one file of SQL.
    fn load_file(&mut self, stream: &RestoredStream) -> Result<()> {
        if let Some(At::Lent(lent)) = &mut self.at {
            return lent.load(stream, self.packet);
        }
        load(self.client()?, stream, self.packet)
    }

    /// Loads users, roles and grants, as somebody would who recovers. Without them, views have definers that can't be used.
    fn load_globals(&mut self, restored: &Restored) -> Result<()> {
        if !matches!(self.at, Some(At::Own(_))) {
            // On a server that is lent, everything belongs to whoever loaded it.
            return Ok(());
        }
        let globals = restored.streams.iter().find(|stream| stream.name.as_str() == GLOBALS);
        let Some(globals) = globals else { return self.make_definers() };
        let adapted = globals::adapted(globals, &mut self.connect()?, &self.place.dir);
        let loaded = adapted.and_then(|(adapted, locked)| {
            self.locked = locked;
            let Some(At::Own(server)) = &mut self.at else { return Ok(()) };
            let client = server.client().clone();
            server.armed(|| load(&client, &adapted, self.packet))
        });
        let well = loaded.is_ok();
        let told = loaded.map_or_else(|e| e.to_string(), |()| "loads".to_owned());
        self.globals = Some(Check::compare(GLOBALS, "loads", told));
        if well { Ok(()) } else { self.make_definers() }
    }

    /// Views and routines run as those who defined them, who are not here. They become accounts that nobody can use.
    fn make_definers(&self) -> Result<()> {
        let mut session = self.connect()?;
        let sql = "SELECT definer FROM information_schema.views UNION SELECT definer FROM information_schema.routines \
                   UNION SELECT definer FROM information_schema.triggers UNION SELECT definer FROM information_schema.events";
        for row in session.rows(sql)? {
            let Some((user, host)) = row.first().and_then(|definer| definer.rsplit_once('@')) else { continue };
            let account = format!("{}@{}", literal(user), literal(host));
            if user == "mariadb.sys" || user == "root" {
                continue;
            }
            session.run(&format!("CREATE USER IF NOT EXISTS {account} ACCOUNT LOCK"))?;
            session.run(&format!("GRANT {DEFINER} ON *.* TO {account}"))?;
        }
        Ok(())
    }

    /// `CHECK TABLE` of every table and view.
    fn check_tables(&mut self) -> Vec<Check> {
        let listed = self.databases().and_then(|databases| {
            let within: Vec<String> = databases.iter().map(|name| literal(name)).collect();
            if within.is_empty() {
                return Ok(Vec::new());
            }
            let sql = format!(
                "SELECT table_schema, table_name FROM information_schema.tables \
                 WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW') AND table_schema IN ({})",
                within.join(", ")
            );
            Ok(self.connect()?.rows(&sql)?)
        });
        let tables = match listed {
            Ok(tables) => tables,
            Err(e) => return vec![Check::error("CHECK TABLE", e.to_string())],
        };
        let mut checks = Vec::new();
        let mut open: Option<Session> = None;
        for row in tables {
            let [database, table] = row.as_slice() else { continue };
            let name = format!("CHECK TABLE {}.{table}", self.told(database));
            let sql = format!("CHECK TABLE {}.{}", identifier(database), identifier(table));
            // A session ends with the first statement that fails.
            let answer = match open.take().map_or_else(|| self.connect(), Ok) {
                Ok(mut session) => {
                    let rows = session.rows(&sql).map_err(EngineError::from);
                    open = rows.is_ok().then_some(session);
                    rows
                }
                Err(e) => Err(e),
            };
            checks.push(match answer {
                // Table, operation, kind of message, message; the last row is the verdict.
                Ok(rows) => {
                    let said: Vec<String> = rows.iter().filter_map(|row| row.get(3).cloned()).collect();
                    let verdict = said.last().cloned().unwrap_or_default();
                    if verdict.contains("doesn't support check") {
                        // Nothing was checked, so nothing passes.
                        self.unchecked.push(format!("{}.{table}", self.told(database)));
                        continue;
                    }
                    Check::compare(name, "OK", if verdict == "OK" { verdict } else { said.join("; ") })
                }
                Err(e) => Check::error(name, e.to_string()),
            });
        }
        checks
    }

    /// Whether the tables hold what they held when they were backed up.
    fn compared(&self, restored: &Restored) -> Vec<Check> {
        if restored.fingerprints.is_empty() {
            return vec![Check::error("fingerprint", "the backup recorded no tables, so there is nothing to compare")];
        }
        self.fingerprints(restored).unwrap_or_else(|e| vec![Check::error("fingerprint", e.to_string())])
    }

    fn fingerprints(&self, restored: &Restored) -> Result<Vec<Check>> {
        let mut session = self.connect()?;
        let told = restored.fingerprints.iter().map(|print| print.database.as_str());
        let databases: Vec<String> = told.map(|name| self.real(name).to_owned()).collect();
        let by_value = |print: &Fingerprint| print.server.get(FLOATS.0).is_some_and(|how| how == FLOATS.1);
        let by_value = restored.fingerprints.iter().any(by_value);
        let floats = if by_value { Floats::ByValue } else { Floats::Rounded };
        let none = BTreeMap::new();
        let names = if let Some(At::Lent(lent)) = &self.at { lent.names() } else { &none };
        let contents = print::contents_as(&mut session, &databases, names, floats)?;
        let hashed = restored.fingerprints.iter().flat_map(|print| print.tables.values()).any(|t| t.hash.is_some());
        let depth = if hashed { Depth::Hash } else { Depth::Rows };
        let mut without = BTreeSet::new();
        for print in &restored.fingerprints {
            let left = print.server.get(LEFT_OUT).into_iter().flat_map(|names| names.lines());
            without.extend(left.map(|table| (self.real(&print.database).to_owned(), table.to_owned())));
        }
        let tables = print::tables(&mut session, &contents, depth, &without)?;
        let actual = print::fingerprints(&databases, &contents, &tables);
        let pairs = restored.fingerprints.iter().zip(actual);
        Ok(pairs.flat_map(|(expected, actual)| self.compare(expected, actual)).collect())
    }

    /// Another version words definitions in another way; then it counts that they are there.
    fn compare(&self, expected: &Fingerprint, mut actual: Fingerprint) -> Vec<Check> {
        let series = |version: &str| version.split('.').take(2).collect::<Vec<_>>().join(".");
        let was = expected.server.get("version").map(|version| series(version));
        if was == Some(series(&self.version)) {
            return compare(expected, &actual);
        }
        let present = |objects: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            objects.keys().map(|name| (name.clone(), "present".to_owned())).collect()
        };
        let expected = Fingerprint { objects: present(&expected.objects), ..expected.clone() };
        actual.objects = present(&actual.objects);
        compare(&expected, &actual)
    }
}

impl Engine for Mariadb {
    fn describe(&self) -> String {
        let version = self.version.split('-').next().unwrap_or_default();
        let place = self.lender.as_ref().map(|lender| format!(" at {}", lender.place())).unwrap_or_default();
        format!("mariadb {version}{place}")
    }

    fn load(&mut self, restored: &Restored) -> Result<()> {
        let sql = |stream: &&RestoredStream| stream.name.as_str() != GLOBALS;
        let streams: Vec<&RestoredStream> = restored.streams.iter().filter(sql).collect();
        if streams.is_empty() {
            return Err(EngineError::new("the snapshot holds no dump", restored.source.as_str()));
        }
        self.packet = packet_for(&restored.details);
        self.at = Some(if let Some(lender) = &self.lender {
            self.place.warden.note("mariadb", scratch_server::HOW);
            At::Lent(Box::new(ScratchServer::open(lender, &self.place.dir)?))
        } else {
            // An event of the log is one packet, and may be as large as any.
            let packet = restored.log.as_ref().map_or(self.packet, |_| Some(replay::PACKET));
            At::Own(Box::new(Server::start(&self.place.warden, &self.place.dir, packet)?))
        });
        self.version = self.connect()?.value("SELECT VERSION()")?;
        streams.into_iter().try_for_each(|stream| self.load_file(stream))?;
        self.load_globals(restored)?;
        if let Some(log) = &restored.log {
            // Behind it, the tables are not what they were any more.
            self.before = Some(self.compared(restored));
            if let Some(At::Own(server)) = &mut self.at {
                replay::replay(server, log)?;
            }
        }
        Ok(())
    }

    fn check(&mut self, restored: &Restored) -> Vec<Check> {
        let mut checks = self.check_tables();
        checks.extend(self.globals.clone());
        checks.extend(self.before.take().unwrap_or_else(|| self.compared(restored)));
        checks.extend(restored.log.iter().flat_map(replay::told));
        checks
    }

    fn query(&mut self, database: Option<&str>, sql: &str, limit: Duration) -> Result<String> {
        let mut session = self.connect()?;
        let alive = session.alive();
        let watchdog = Watchdog::start(limit, move || {
            if let Some(alive) = alive {
                alive.stop();
            }
        });
        let database = match database {
            Some(database) => Some(self.real(database).to_owned()),
            None => Some(self.databases()?).filter(|all| all.len() == 1).and_then(|all| all.into_iter().next()),
        };
        if let Some(database) = database {
            session.run(&format!("USE {}", identifier(&database)))?;
        }
        let sql = sql.trim().trim_end_matches(';');
        let rows = session.rows(sql);
        watchdog.call_off(sql)?;
        Ok(rows?.into_iter().next().and_then(|row| row.into_iter().next()).unwrap_or_default())
    }

    fn access(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let mut add = |name: &str, value: String| all.push((format!("STRONGROOM_DRILL_{name}"), value));
        match &self.at {
            Some(At::Own(server)) => {
                add("SOCKET", server.socket().display().to_string());
                add("USER", "root".to_owned());
            }
            Some(At::Lent(lent)) => {
                add("DEFAULTS_FILE", lent.client().options().display().to_string());
                add("DATABASES", serde_json::json!(lent.names()).to_string());
                if let Some((_, only)) = lent.names().first_key_value().filter(|_| lent.names().len() == 1) {
                    add("DATABASE", only.clone());
                }
            }
            None => {}
        }
        all
    }

    fn reach(&self) -> Reach {
        if self.lender.is_some() { Reach::Lent } else { Reach::Socket }
    }

    fn stopper(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let debris = Arc::clone(&self.lender.as_ref()?.debris);
        Some(Box::new(move || drop(debris.clear())))
    }

    fn leave(&mut self) -> Vec<(String, EngineError)> {
        self.lender.as_ref().map(|lender| lender.debris.clear()).unwrap_or_default()
    }

    fn not_tested(&self, restored: &Restored) -> Vec<String> {
        let mut not = Vec::new();
        if let Some(bytes) = self.packet {
            not.push(format!(
                "loading with the settings of a new server: the longest statement needs max_allowed_packet = {}M there \
                 and in the client",
                bytes >> 20
            ));
        }
        if let Some(left) = restored.details.get("left_out").and_then(serde_json::Value::as_array) {
            let left: Vec<&str> = left.iter().filter_map(serde_json::Value::as_str).collect();
            not.push(format!("what `exclude` left out of the backup: {}", left.join(", ")));
        }
        if self.lender.is_some() && restored.streams.iter().any(|stream| stream.name.as_str() == GLOBALS) {
            not.push(format!("{GLOBALS} (users and grants) was restored and hashed, and not loaded"));
        }
        if !self.locked.is_empty() {
            not.push(format!(
                "how these accounts log in, since the throwaway server has no such plugin and loads none: {} (their grants were loaded)",
                self.locked.join(", ")
            ));
        }
        if !self.unchecked.is_empty() {
            let tables = self.unchecked.join(", ");
            not.push(format!("CHECK TABLE of tables whose storage engine does not support it: {tables}"));
        }
        for print in &restored.fingerprints {
            if let Some(left) = print.server.get(LEFT_OUT) {
                let left = left.lines().collect::<Vec<_>>().join(", ");
                not.push(format!(
                    "tables of {} that were written to as the dump began, or whose rows lie elsewhere: {left}",
                    print.database
                ));
            }
        }
        if self.lender.is_some() {
            not.push(
                "who defined views, routines, triggers and events: there, all belonged to who loaded them".to_owned(),
            );
        }
        not
    }
}

/// Loads one file of SQL into a server of our own.
fn load(client: &Client, stream: &RestoredStream, packet: Option<u64>) -> Result<()> {
    let file =
        File::open(&stream.file).map_err(|e| EngineError::at("can't read a restored stream", &stream.file, e))?;
    let mut command = client.command("mariadb");
    command.args(LOADING).args(packet_option(packet)).stdin(file).stdout(Stdio::null());
    let running = client.start(&mut command, "mariadb")?;
    running.finish().map_err(|e| {
        let what = format!("the server does not take it: {}", e.what);
        EngineError::new(what, stream.name.as_str())
    })
}

/// What one packet must hold to load the dump of a snapshot, if that is more than the default.
fn packet_for(details: &serde_json::Value) -> Option<u64> {
    match details.get("longest_statement").and_then(serde_json::Value::as_u64) {
        Some(longest) => Some(packet(longest)).filter(|bytes| *bytes > PACKET),
        // Backups did not always tell: the most that there is.
        None => Some(1 << 30),
    }
}

fn packet_option(packet: Option<u64>) -> Option<String> {
    packet.map(|bytes| format!("--max-allowed-packet={bytes}"))
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        // Before the session that holds the lock of the mark ends.
        drop(self.leave());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Status;

    #[test]
    fn without_a_server_nothing_passes() {
        let mut engine = Mariadb::new(&Place { dir: "/no/such/place".into(), ..Place::default() });
        assert!(engine.check_tables().iter().all(|check| check.status == Status::Error));
        assert!(engine.query(None, "SELECT 1", Duration::MAX).is_err());
    }
}
