//! Loading dumps into a server that is there: archives go through `pg_restore` as they come, each database into an empty one
//! of that name, the roles first.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::Command,
};

use super::{
    super::{
        EngineError,
        into::{Feeding, Held, HeldStream, Kept, LoadResult, Loaded, Loader, Options, Step, find, must_be, wrong},
    },
    details::Details,
    load,
    one_table::{OneTable, Unwanted},
    roles,
    scratch_server::drop_database,
    vacancy::{WHAT, What, is_no_template, is_vacant},
};
use crate::{
    model::{Cancel, Name, SourceKind},
    source::postgres::{Conninfo, DatabaseStreams, GLOBALS, Session, Tool, Tools, Version},
};

/// What a step does.
enum Deed {
    /// Makes the roles.
    Roles,
    /// Has `pg_restore` print the contents of an archive.
    Contents { database: usize },
    /// Gives an archive to `pg_restore`, with these options more.
    Archive { database: usize, more: Vec<String> },
    /// The same, with what the one table needs of it. `part` is the path of an archive of one table's rows.
    Table { database: usize, part: Option<String> },
}

/// A database that is filled.
struct Target {
    /// What it was called.
    name: String,
    /// What it is called there.
    real: String,
    /// What its server was set to.
    server: BTreeMap<String, String>,
    exists: bool,
    /// Whether it was made here.
    made: bool,
    filled: Filled,
}

/// How much of it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filled {
    Not,
    Partly,
    Whole,
}

/// See the module.
pub(in crate::engine) struct Into {
    info: Conninfo,
    options: Options,
    tools: Option<(Tool, Tool)>,
    superuser: bool,
    roles: BTreeSet<String>,
    targets: Vec<Target>,
    deeds: Vec<Deed>,
    table: Option<OneTable>,
    /// Where sessions begin that are not for one of the targets.
    home: Option<String>,
    running: Option<Feeding>,
    kept: Kept,
    notes: Vec<String>,
}

impl Into {
    pub(in crate::engine) fn new(info: Conninfo, options: Options) -> Self {
        Self {
            info,
            options,
            tools: None,
            superuser: false,
            roles: BTreeSet::new(),
            targets: Vec::new(),
            deeds: Vec::new(),
            table: None,
            home: None,
            running: None,
            kept: Kept::default(),
            notes: Vec::new(),
        }
    }

    fn tools(&self) -> LoadResult<&(Tool, Tool)> {
        Ok(self.tools.as_ref().ok_or_else(|| EngineError::new("was not looked at", "postgres"))?)
    }

    /// A session in a database that is there. Where the one of the connection string is still to be made, in another.
    fn connect(&mut self, psql: &Tool) -> LoadResult<Session> {
        let first = Session::open(psql, &self.info, None);
        let Some(error) = first.as_ref().err() else { return Ok(first?) };
        let missing = self.info.database().is_some() && error.what.contains("does not exist");
        if missing && let Ok(session) = Session::open(psql, &self.info, Some("postgres")) {
            self.home = Some("postgres".to_owned());
            return Ok(session);
        }
        Ok(first?)
    }

    /// The databases that are wanted, with the names that they get.
    fn choose(&mut self, details: &Details, what: &What, held: &Held) -> LoadResult<Vec<DatabaseStreams>> {
        let names: Vec<&str> = details.databases.iter().map(|database| database.name.as_str()).collect();
        let wanted: Vec<DatabaseStreams> = match &self.options.database {
            Some(name) => {
                let name = find("database", name, &names)?;
                details.databases.iter().filter(|database| database.name == name).cloned().collect()
            }
            None => details.databases.clone(),
        };
        if wanted.is_empty() {
            return wrong("the snapshot lists no database", "give --to DIR and load its streams by pg_restore");
        }
        if self.options.table.is_some() && wanted.len() > 1 {
            return wrong(
                "--table: the snapshot holds several databases",
                format!("say --database: {}", names.join(", ")),
            );
        }
        // A connection string that means a database means where the one goes.
        let by_info =
            self.info.database().map(str::to_owned).or_else(|| self.info.has_service().then(|| what.database.clone()));
        for database in &wanted {
            let print = held.fingerprints.iter().find(|print| print.database == database.name);
            let server = print.map_or(&details.server, |print| &print.server).clone();
            let real = by_info.clone().filter(|_| wanted.len() == 1).unwrap_or_else(|| database.name.clone());
            let name = database.name.clone();
            if by_info.is_some() {
                is_no_template(&real)?;
            }
            self.targets.push(Target { name, real, server, exists: false, made: false, filled: Filled::Not });
        }
        Ok(wanted)
    }

    /// Looks whether what is to be filled is empty.
    fn must_be_empty(&mut self, session: &mut Session, psql: &Tool) -> LoadResult<()> {
        let there: Vec<String> = session.ask("list the databases", "select to_json(datname) from pg_database")?;
        for target in &mut self.targets {
            target.exists = there.contains(&target.real);
            if !target.exists || self.options.clean {
                continue;
            }
            let mut session = Session::open(psql, &self.info, Some(&target.real))?;
            is_vacant(&mut session, &target.real, self.table.as_ref())?;
        }
        Ok(())
    }

    /// The steps of one database.
    fn steps_of(&mut self, held: &Held, no: usize, database: &DatabaseStreams) -> LoadResult<Vec<Step>> {
        let section = |names: &[&str]| names.iter().map(|name| format!("--section={name}")).collect::<Vec<_>>();
        let mut steps = Vec::new();
        let mut add = |stream: &Name, more: Vec<String>, what: &str| {
            let called =
                held.streams.iter().find(|held| held.name == *stream).map_or(stream.as_str(), HeldStream::called);
            steps.push(Step { stream: stream.clone(), label: format!("{called}{what}") });
            self.deeds.push(Deed::Archive { database: no, more });
        };
        match database.streams.as_slice() {
            [] => return wrong(format!("the snapshot names no stream of database {}", database.name), "give --to DIR"),
            [only] => add(only, Vec::new(), ""),
            [main, parts @ ..] => {
                add(main, section(&["pre-data", "data"]), "");
                for part in parts {
                    add(part, Vec::new(), "");
                }
                add(main, section(&["post-data"]), " (indexes and keys)");
            }
        }
        Ok(steps)
    }

    /// The steps of one table: the contents of the main archive, that archive, and those of its rows.
    fn steps_of_table(&mut self, held: &Held, database: &DatabaseStreams) -> Vec<Step> {
        let called = |stream: &Name| {
            let found = held.streams.iter().find(|held| held.name == *stream);
            found.map_or(stream.as_str(), HeldStream::called).to_owned()
        };
        let mut steps = Vec::new();
        for (no, stream) in database.streams.iter().enumerate() {
            if no == 0 {
                steps.push(Step { stream: stream.clone(), label: format!("{} (contents)", called(stream)) });
                self.deeds.push(Deed::Contents { database: 0 });
            }
            steps.push(Step { stream: stream.clone(), label: called(stream) });
            self.deeds.push(Deed::Table { database: 0, part: (no > 0).then(|| called(stream)) });
        }
        steps
    }

    /// Reads what an archive holds.
    fn look_into(&mut self, cancel: &Cancel) -> LoadResult<Box<dyn Write + Send>> {
        let (_, restore) = self.tools()?.clone();
        let mut command = Command::new(&restore.path);
        let table = self.table.as_mut().ok_or_else(|| EngineError::new("was lost", "the table"))?;
        let out = table.print(&mut command)?;
        let (running, out) = Feeding::start_to(&mut command, ("pg_restore --list", out), self.info.secrets(), cancel)?;
        self.running = Some(running);
        Ok(out)
    }

    /// Chooses of it what the table needs.
    fn choose_parts(&mut self, no: usize) -> LoadResult<()> {
        let (psql, _) = self.tools()?.clone();
        let target = self.targets.get(no).ok_or_else(|| EngineError::new("was lost", "the database"))?;
        let mut there = target.exists.then(|| Session::open(&psql, &self.info, Some(&target.real))).transpose()?;
        let table = self.table.as_mut().ok_or_else(|| EngineError::new("was lost", "the table"))?;
        let note = table.choose(there.as_mut(), self.options.clean)?;
        self.notes.extend(note);
        Ok(())
    }

    fn make_roles(&mut self) -> LoadResult<()> {
        let text = self.kept.take();
        let (psql, _) = self.tools()?;
        let mut session = Session::open(psql, &self.info, self.home.as_deref())?;
        let done = roles::add(&mut session, &String::from_utf8_lossy(&text), &self.roles)?;
        let left = if done.left_out > 0 {
            format!(
                "; {} statements left out, of roles that were there, of tablespaces and of databases",
                done.left_out
            )
        } else {
            String::new()
        };
        self.notes.push(format!("roles: {} statements{left}", done.run));
        Ok(())
    }

    fn fill(&mut self, no: usize, more: &[String], cancel: &Cancel) -> LoadResult<Box<dyn Write + Send>> {
        let (psql, restore) = self.tools()?.clone();
        let home = self.home.clone();
        let target = self.targets.get_mut(no).ok_or_else(|| EngineError::new("was lost", "the database"))?;
        if !target.exists && !target.made {
            // From the database that a session is in by itself, unless that is not there.
            let info = home.as_deref().map_or_else(|| self.info.clone(), |name| self.info.with_database(name));
            let note = load::create((&psql, &info), &target.real, &target.real, &target.server)?;
            target.made = true;
            self.notes.extend(note.and_then(|check| check.actual.map(|how| format!("{}: {how}", check.name))));
        }
        target.filled = Filled::Partly;
        let mut command = Command::new(&restore.path);
        command.args(["-Fc", "-w", "-e", "--no-tablespaces"]).args(more);
        if self.options.clean && !target.made {
            command.args(["--clean", "--if-exists"]);
        }
        if self.options.without_roles {
            command.args(["--no-owner", "--no-privileges"]);
        }
        command.arg("-d").arg(self.info.argument(Some(&target.real)));
        self.info.equip(&mut command);
        let object = format!("pg_restore into {} at {}", target.real, self.info.place());
        let (running, out) = Feeding::start(&mut command, &object, self.info.secrets(), cancel)?;
        self.running = Some(running);
        Ok(out)
    }
}

impl Loader for Into {
    fn prepare(&mut self, held: &Held) -> LoadResult<Vec<Step>> {
        must_be(held, &[SourceKind::Postgres], "PostgreSQL")?;
        let details: Details = serde_json::from_value(held.details.clone()).map_err(|e| {
            EngineError::new(format!("what the backup recorded of its server is not understood: {e}"), "details")
        })?;
        if details.physical {
            let next = "give --to DIR --data-directory: a server starts on that";
            return wrong("the snapshot is a copy of a whole cluster, which no server that is there can take", next);
        }
        self.info.database().map_or(Ok(()), is_no_template)?;
        let psql = Tools::default().any("psql")?;
        let mut session = self.connect(&psql)?;
        let what: What = session.one("ask what the server is", WHAT)?;
        let number = what.number.parse().map_err(|_| EngineError::new("tells no version", self.info.place()))?;
        let (there, was) = (Version::of_server(number, &what.version), details.version()?);
        if there.major < was.major {
            let what = format!("the server is of version {there}, and the backup of {was}");
            return wrong(what, "give a server that is not older");
        }
        self.superuser = what.superuser;
        let mut wanted = self.choose(&details, &what, held)?;
        if self.options.table.is_some()
            && let Some(database) = wanted.first_mut()
        {
            let wanted = self.options.table.clone().unwrap_or_default();
            let (table, streams, note) = OneTable::narrow(&wanted, held, database)?;
            database.streams = streams;
            self.notes.push(note);
            self.table = Some(table);
        }
        self.must_be_empty(&mut session, &psql)?;
        self.roles =
            session.ask::<String>("list the roles", "select to_json(rolname) from pg_roles")?.into_iter().collect();
        self.tools = Some((psql, details.restore()?));
        let mut steps = Vec::new();
        let globals = held.streams.iter().find(|stream| stream.name.as_str() == GLOBALS);
        match globals.filter(|_| !self.options.without_roles && self.table.is_none()) {
            Some(_) if !what.roles => {
                let what = format!("the role {} may not make roles at {}", what.user, self.info.place());
                return wrong(what, "give the DSN of a role that may, or --no-roles: then all belongs to that role");
            }
            Some(globals) if globals.bytes > Kept::LIMIT => {
                return wrong(format!("{GLOBALS} is larger than it may be"), "give --no-roles");
            }
            Some(globals) => {
                steps.push(Step { stream: globals.name.clone(), label: "roles".to_owned() });
                self.deeds.push(Deed::Roles);
            }
            None if self.table.is_some() => self.options.without_roles = true,
            None => {}
        }
        for (no, database) in wanted.iter().enumerate() {
            steps.extend(match self.table {
                Some(_) => self.steps_of_table(held, database),
                None => self.steps_of(held, no, database)?,
            });
        }
        Ok(steps)
    }

    fn place(&self) -> String {
        let user = if self.info.user().is_empty() { String::new() } else { format!("{}@", self.info.user()) };
        let names: Vec<&str> = self.targets.iter().map(|target| target.real.as_str()).collect();
        format!("postgresql://{user}{}/{}", self.info.place(), names.join(","))
    }

    fn words(&self) -> BTreeMap<&'static str, String> {
        let mut words = BTreeMap::from([("into", self.place())]);
        let names: Vec<&str> = self.targets.iter().map(|target| target.name.as_str()).collect();
        words.insert("database", names.join(","));
        if let Some(table) = &self.table {
            words.insert("table", table.told());
        }
        if self.options.clean {
            words.insert("clean", "true".to_owned());
        }
        words
    }

    fn begin(&mut self, step: usize, cancel: &Cancel) -> LoadResult<Box<dyn Write + Send>> {
        match self.deeds.get(step) {
            Some(Deed::Roles) => Ok(Box::new(self.kept.clone())),
            Some(Deed::Archive { database, more }) => {
                let (database, more) = (*database, more.clone());
                self.fill(database, &more, cancel)
            }
            Some(Deed::Contents { .. }) => self.look_into(cancel),
            Some(Deed::Table { database, part }) => {
                let database = *database;
                match self.table.as_ref().and_then(|table| table.options(part.as_deref())) {
                    Some(more) => self.fill(database, &more, cancel),
                    // It takes no bytes, and `cut_off` says that this is right.
                    None => Ok(Box::new(Unwanted)),
                }
            }
            None => Err(EngineError::new("has no such step", "the restore").into()),
        }
    }

    fn end(&mut self, step: usize) -> LoadResult<()> {
        match self.deeds.get(step) {
            Some(Deed::Contents { database }) => {
                let database = *database;
                self.running.take().map_or(Ok(()), Feeding::end)?;
                self.choose_parts(database)
            }
            Some(Deed::Archive { database, .. } | Deed::Table { database, .. }) => {
                let database = *database;
                let ended = self.running.take().map_or(Ok(()), Feeding::end);
                match self.table {
                    Some(_) => ended.map_err(OneTable::not_taken)?,
                    None => ended?,
                }
                let last = self.deeds.iter().rposition(|deed| {
                    matches!(deed, Deed::Archive { database: d, .. } | Deed::Table { database: d, .. } if *d == database)
                });
                if let Some(target) = self.targets.get_mut(database).filter(|_| last == Some(step)) {
                    target.filled = Filled::Whole;
                }
                Ok(())
            }
            _ => self.make_roles(),
        }
    }

    fn cut_off(&mut self, step: usize) -> Option<LoadResult<()>> {
        let unwanted = matches!(self.deeds.get(step), Some(Deed::Table { .. }));
        (self.running.is_some() || unwanted).then(|| self.end(step))
    }

    fn abandon(&mut self) -> Option<String> {
        if let Some(running) = self.running.take() {
            running.stop();
        }
        let done: Vec<&str> =
            self.targets.iter().filter(|t| t.filled == Filled::Whole).map(|t| t.real.as_str()).collect();
        let mut told: Vec<String> = Vec::new();
        if !done.is_empty() {
            told.push(format!("database {} is whole", done.join(", ")));
        }
        let info = self.home.as_deref().map_or_else(|| self.info.clone(), |name| self.info.with_database(name));
        for target in self.targets.iter().filter(|target| target.filled != Filled::Whole) {
            if target.made {
                // A session in the database itself could not drop it.
                let from = if target.real == "postgres" { "template1" } else { "postgres" };
                let dropped = drop_database(&info.with_database(from), &target.real);
                told.push(match dropped {
                    Ok(()) => format!("database {}, which was made for this, was dropped again", target.real),
                    Err(e) => format!("database {} holds a part and could not be dropped: {e}", target.real),
                });
            } else if target.filled == Filled::Partly {
                told.push(format!("database {} may hold a part of it", target.real));
            }
        }
        (!told.is_empty()).then(|| told.join("; "))
    }

    fn finish(&mut self, _cancel: &Cancel) -> LoadResult<Loaded> {
        let loaded = match &self.table {
            Some(table) => vec![table.told()],
            None => self.targets.iter().map(|target| target.real.clone()).collect(),
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
