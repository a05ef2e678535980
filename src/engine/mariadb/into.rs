//! Loading a dump into a server that is there: the client takes it as it comes, into databases that are not there or empty.
//! Users and grants come last, for a grant needs what it is on; an account that is there keeps its password. Of one table
//! the client gets the lines of that table, and its database is made if it is not there.

use std::{collections::BTreeMap, io::Write};

use super::{
    super::{
        EngineError,
        into::{Feeding, Held, Kept, LoadResult, Loaded, Loader, Options, Step, find, must_be, occupied, wrong},
    },
    LOADING, globals,
    only::{Found, Only},
    packet_for, packet_option,
};
use crate::{
    model::{Cancel, SourceKind},
    source::{
        mariadb::{
            Client, Flavour, GLOBALS, Login,
            print::OWN,
            session::{Session, literal},
        },
        scratch::Scratch,
    },
};

const OTHER: &str = "give another server, or drop the database; --clean has the dump replace the tables that it holds";

/// See the module.
pub(in crate::engine) struct Into {
    login: Login,
    options: Options,
    scratch: Scratch,
    client: Option<(Client, &'static str)>,
    names: Vec<String>,
    /// The database and the name of the one table that is wanted.
    table: Option<(String, String)>,
    found: Found,
    packet: Option<u64>,
    /// Whether the step is that of users and grants.
    accounts: Vec<bool>,
    kept: Kept,
    running: Option<Feeding>,
    loaded: usize,
    notes: Vec<String>,
}

impl Into {
    pub(in crate::engine) fn new(login: Login, options: Options) -> LoadResult<Self> {
        Ok(Self {
            login,
            options,
            scratch: Scratch::new()?,
            client: None,
            names: Vec::new(),
            table: None,
            found: Found::default(),
            packet: None,
            accounts: Vec::new(),
            kept: Kept::default(),
            running: None,
            loaded: 0,
            notes: Vec::new(),
        })
    }

    fn client(&self) -> LoadResult<&(Client, &'static str)> {
        Ok(self.client.as_ref().ok_or_else(|| EngineError::new("was not looked at", "mariadb"))?)
    }

    /// Finds the one table that is wanted among those that were counted when the dump was made.
    fn choose(&mut self, held: &Held, wanted: &str) -> LoadResult<()> {
        let all = held.fingerprints.iter().flat_map(|print| print.tables.keys().map(|name| (&print.database, name)));
        let known: Vec<(String, &String, &String)> =
            all.map(|(database, table)| (format!("{database}.{table}"), database, table)).collect();
        let names: Vec<&str> = known.iter().map(|(name, ..)| name.as_str()).collect();
        let name = find("table", wanted, &names)?;
        let chosen = known.iter().find(|(known, ..)| known == name);
        self.table = chosen.map(|(_, database, table)| ((*database).clone(), (*table).clone()));
        Ok(())
    }

    /// The one table must not be there.
    fn must_not_have(session: &mut Session, database: &str, table: &str) -> LoadResult<()> {
        let sql = format!(
            "SELECT table_type FROM information_schema.tables WHERE table_schema = {} AND table_name = {}",
            literal(database),
            literal(table)
        );
        if session.rows(&sql)?.is_empty() {
            return Ok(());
        }
        let next = "give another server, rename the table that is there, or give --clean to have it replaced";
        occupied(format!("the server has a table {database}.{table} already"), next)
    }

    fn must_be_empty(&self, session: &mut Session) -> LoadResult<()> {
        if self.options.clean {
            return Ok(());
        }
        if let Some((database, table)) = &self.table {
            return Self::must_not_have(session, database, table);
        }
        let within = if self.names.is_empty() {
            let own: Vec<String> = OWN.iter().map(|name| literal(name)).collect();
            format!("NOT IN ({})", own.join(", "))
        } else {
            let names: Vec<String> = self.names.iter().map(|name| literal(name)).collect();
            format!("IN ({})", names.join(", "))
        };
        let sql = format!(
            "SELECT s, n FROM (SELECT table_schema s, table_name n FROM information_schema.tables UNION ALL \
             SELECT routine_schema, routine_name FROM information_schema.routines UNION ALL \
             SELECT event_schema, event_name FROM information_schema.events) made WHERE s {within} ORDER BY s, n LIMIT 4"
        );
        let rows = session.rows(&sql)?;
        let some: Vec<String> = rows.iter().take(3).map(|row| row.join(".")).collect();
        if some.is_empty() {
            return Ok(());
        }
        let more = if rows.len() > some.len() { " …" } else { "" };
        occupied(format!("the server is not empty where the dump goes: it has {}{more}", some.join(", ")), OTHER)
    }

    /// Loads users and grants, which hold nothing else.
    fn make_accounts(&mut self) -> LoadResult<()> {
        let text = self.kept.take();
        if let Some(found) = globals::stranger(&String::from_utf8_lossy(&text)) {
            let what = format!("holds what makes no account, and was not loaded: {found}");
            return Err(EngineError::new(what, GLOBALS).into());
        }
        let (client, program) = self.client()?;
        let mut command = client.command(program);
        command.args(LOADING);
        let (running, mut out) = Feeding::client(client, (&mut command, program), &Cancel::default())?;
        let written = out.write_all(&text).and_then(|()| out.flush());
        drop(out);
        running.end()?;
        written.map_err(|e| EngineError {
            what: "can't be loaded".to_owned(),
            object: GLOBALS.to_owned(),
            source: Some(e),
        })?;
        self.notes.push("users and grants were added; accounts that were there keep their passwords".to_owned());
        Ok(())
    }
}

impl Loader for Into {
    fn prepare(&mut self, held: &Held) -> LoadResult<Vec<Step>> {
        must_be(held, &[SourceKind::Mariadb, SourceKind::Mysql], "MariaDB or MySQL")?;
        let next = "restore with --to DIR, and take what is needed out of the dump";
        if self.options.database.is_some() {
            return wrong("--database: a dump of MariaDB is one script, and is loaded as a whole", next);
        }
        let (flavour, program) = match held.kind {
            SourceKind::Mysql => (Flavour::Mysql, "mysql"),
            _ => (Flavour::Mariadb, "mariadb"),
        };
        let client = Client::new(flavour, &self.login, &self.scratch)?;
        let mut session = client.connect()?;
        self.names = held.fingerprints.iter().map(|print| print.database.clone()).collect();
        if let Some(wanted) = self.options.table.clone() {
            self.choose(held, &wanted)?;
        }
        self.packet = packet_for(&held.details);
        self.must_be_empty(&mut session)?;
        self.client = Some((client, program));
        let mut steps = Vec::new();
        for stream in held.streams.iter().filter(|stream| stream.name.as_str() != GLOBALS) {
            steps.push(Step { stream: stream.name.clone(), label: stream.name.to_string() });
            self.accounts.push(false);
        }
        if steps.is_empty() {
            return wrong("the snapshot holds no dump", "see `strongroom restore … --list`");
        }
        if let Some(globals) = held.streams.iter().find(|stream| stream.name.as_str() == GLOBALS)
            && !self.options.without_roles
            && self.table.is_none()
        {
            if globals.bytes > Kept::LIMIT {
                return wrong(format!("{GLOBALS} is larger than it may be"), "give --no-roles");
            }
            steps.push(Step { stream: globals.name.clone(), label: "users and grants".to_owned() });
            self.accounts.push(true);
        }
        Ok(steps)
    }

    fn place(&self) -> String {
        let login = &self.login;
        let user = login.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let place = match (&login.host, login.port, &login.socket) {
            (Some(host), Some(port), _) => format!("{host}:{port}"),
            (Some(host), None, _) => host.clone(),
            (None, _, Some(socket)) => socket.display().to_string(),
            (None, ..) => "the default server".to_owned(),
        };
        let what = match &self.table {
            Some((database, table)) => format!("{database}.{table}"),
            None => self.names.join(","),
        };
        format!("mariadb://{user}{place}/{what}")
    }

    fn words(&self) -> BTreeMap<&'static str, String> {
        let mut words = BTreeMap::from([("into", self.place())]);
        if self.options.clean {
            words.insert("clean", "true".to_owned());
        }
        if let Some((database, table)) = &self.table {
            words.insert("table", format!("{database}.{table}"));
        }
        words
    }

    fn begin(&mut self, step: usize, cancel: &Cancel) -> LoadResult<Box<dyn Write + Send>> {
        if self.accounts.get(step) == Some(&true) {
            return Ok(Box::new(self.kept.clone()));
        }
        let (client, program) = self.client()?;
        let mut command = client.command(program);
        command.args(LOADING).args(packet_option(self.packet));
        let (running, out) = Feeding::client(client, (&mut command, program), cancel)?;
        self.running = Some(running);
        let Some((database, table)) = &self.table else { return Ok(out) };
        let (only, found) = Only::new(out, database, table);
        self.found = found;
        Ok(Box::new(only))
    }

    fn end(&mut self, step: usize) -> LoadResult<()> {
        if self.accounts.get(step) == Some(&true) {
            return self.make_accounts();
        }
        self.running.take().map_or(Ok(()), Feeding::end)?;
        if let Some((database, table)) = self.table.as_ref().filter(|_| !self.found.was()) {
            let what = format!("the dump holds no rows or definition of {database}.{table}, so nothing was loaded");
            return Err(EngineError::new(what, "the dump").into());
        }
        self.loaded += 1;
        Ok(())
    }

    fn cut_off(&mut self, _step: usize) -> Option<LoadResult<()>> {
        // A client that ends before its script does has not run all of it.
        let ended = self.running.take()?.end();
        let early = || Err(EngineError::new("the client ended before the end of the dump", "mariadb").into());
        Some(ended.and_then(|()| early()))
    }

    fn abandon(&mut self) -> Option<String> {
        let began = self.running.is_some() || self.loaded > 0;
        if let Some(running) = self.running.take() {
            running.stop();
        }
        let names = if let Some((database, table)) = &self.table {
            format!("{database}.{table}")
        } else if self.names.is_empty() {
            "the server".to_owned()
        } else {
            self.names.join(", ")
        };
        began.then(|| format!("{names} may hold a part of it: drop that before the next try, or give --clean"))
    }

    fn finish(&mut self, _cancel: &Cancel) -> LoadResult<Loaded> {
        let loaded = match self.table.take() {
            Some((database, table)) => vec![format!("{database}.{table}")],
            None => std::mem::take(&mut self.names),
        };
        Ok(Loaded { loaded, notes: std::mem::take(&mut self.notes) })
    }
}

impl Drop for Into {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}
