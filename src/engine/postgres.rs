//! A throwaway `PostgreSQL` server: dumps are loaded into a new cluster, or into databases of their own on a server that
//! somebody lends, a copied cluster is started, and all are asked whether they hold what was backed up.

mod checks;
mod contents;
mod details;
pub(super) mod into;
mod load;
mod one_table;
mod recovered;
mod roles;
mod scratch_server;
mod server;
mod vacancy;

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use self::{details::Details, scratch_server::ScratchServer, server::Server};
use super::{
    Check, Cluster, Engine, EngineError, Place, Reach, Restored, Result,
    jail::{Jail, Warden},
    scratch_server::Debris,
    watchdog::Watchdog,
};
use crate::{
    model::Name,
    source::{
        child::Running,
        postgres::{BASE, Conninfo, GLOBALS, Session, Tool, Tools, Version},
        redact::Known,
    },
};

/// The longest answer to a query of a check, in bytes.
const ANSWER: u64 = 16 << 20;
/// How much later than the server itself the client of a query is stopped.
const GRACE: Duration = Duration::from_secs(5);
/// The longest limit that a server takes, in milliseconds.
const SERVERS_MOST: u128 = 2_147_483_647;

/// The engine. Dropped, it stops its server, or drops its databases; its directory is somebody else's to remove.
pub struct Postgres {
    home: PathBuf,
    warden: Warden,
    /// The server that is lent, and what is made there.
    lender: Option<(Conninfo, Arc<Debris>)>,
    told: String,
    up: Option<Up>,
    loaded: Vec<Check>,
    /// Libraries that the origin's server loads when it starts, and this one does not.
    left_out: Vec<String>,
}

/// A server that is up.
struct Up {
    at: At,
    info: Conninfo,
    psql: Tool,
    databases: Vec<Database>,
}

/// Whose server it is.
enum At {
    Own { server: Server, jail: Jail },
    Lent(ScratchServer),
}

/// A database: what it was called, and what it is called here.
struct Database {
    name: String,
    real: String,
}

impl Postgres {
    /// An engine that works in `place`, which it makes if it is not there. Dumps go to the server that is lent, if there is one.
    #[must_use]
    pub fn new(place: &Place) -> Self {
        let lender = place.servers.postgres.clone().map(|info| {
            let drop = info.clone();
            (info, Arc::new(Debris::new(move |name: &str| scratch_server::drop_database(&drop, name))))
        });
        Self {
            home: place.dir.clone(),
            warden: place.warden.clone(),
            lender,
            told: "postgres".to_owned(),
            up: None,
            loaded: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The programs: of the version that was backed up, or the nearest newer one.
    fn programs(&mut self, details: &Details) -> Result<(PathBuf, Version)> {
        let was = details.version()?;
        let found = Tools::default().nearest("initdb", &was).filter(|tool| {
            let same = tool.version.major == was.major;
            same || !details.physical
        });
        let Some(tool) = found else {
            let newer = if details.physical { "" } else { " or newer" };
            let what = format!("no server of version {}{newer} is installed here; install it", was.major.0);
            return Err(EngineError::new(what, "postgres"));
        };
        self.told = format!("postgres {}", tool.version);
        if tool.version.major != was.major {
            self.told = format!("{} (the backup is of {was})", self.told);
        }
        Ok((server::home_of(&tool)?, tool.version))
    }

    fn load_dumps(&mut self, restored: &Restored, details: &Details, jail: Jail) -> Result<()> {
        let (bin, version) = self.programs(details)?;
        let psql = Tools::new(Some(bin.clone())).any("psql")?;
        let restore = details.restore()?;
        let data = jail.make("data")?;
        let superuser = details.superuser();
        Server::init(&jail, &bin, &data, superuser)?;
        let server = Server::start(&jail, (&bin, &version), &data, superuser)?;
        let info = server.info.clone();
        let up = self.up.insert(Up { at: At::Own { server, jail }, info, psql, databases: Vec::new() });
        let globals = restored.streams.iter().find(|stream| stream.name.as_str() == GLOBALS);
        if let Some(globals) = globals {
            let text = fs::read(&globals.file).map_err(|e| EngineError::at("can't read", &globals.file, e))?;
            let mut session = Session::open(&up.psql, &up.info, None)?;
            let done = roles::load(&mut session, &String::from_utf8_lossy(&text), superuser)?;
            let told = format!("{} statements, {} of tablespaces and the like left out", done.run, done.left_out);
            self.loaded.push(Check::done("roles", Ok(told)));
        } else if !details.roles.is_empty() {
            // Policies and user mappings name them.
            let mut session = Session::open(&up.psql, &up.info, None)?;
            for role in details.roles.iter().filter(|role| *role != superuser) {
                session.run("make the roles", &format!("create role {}", load::identifier(role)))?;
            }
        }
        for database in &details.databases {
            let name = &database.name;
            load::make_room(up, name)?;
            self.loaded.extend(load::create((&up.psql, &up.info), name, name, details.server_of(restored, name))?);
            up.databases.push(Database { name: name.clone(), real: name.clone() });
            load::fill(up, &restore, database, name, restored, globals.is_some())?;
        }
        Ok(())
    }

    /// Loads dumps into databases of a server that is lent.
    fn load_lent(&mut self, restored: &Restored, details: &Details) -> Result<()> {
        let Some((info, debris)) = &self.lender else { return Err(EngineError::new("was not lent", "postgres")) };
        let (psql, was) = (Tools::default().any("psql")?, details.version()?);
        self.warden.note("psql, pg_restore", scratch_server::HOW);
        let lent = ScratchServer::open(&psql, info, debris, &self.home)?;
        self.told = format!("postgres {} at {}", lent.version, info.place());
        if lent.version.major < was.major {
            let what = format!("the server is of version {}, and the backup of {was}", lent.version);
            return Err(EngineError::new(what, info.place()));
        }
        let restore = details.restore()?;
        let up = self.up.insert(Up { at: At::Lent(lent), info: info.clone(), psql, databases: Vec::new() });
        for database in &details.databases {
            let (name, server) = (&database.name, details.server_of(restored, &database.name));
            let mut note = None;
            let real = up.make(|up, real| {
                note = load::create((&up.psql, &up.info), name, real, server)?;
                Ok(())
            })?;
            self.loaded.extend(note);
            up.databases.push(Database { name: name.clone(), real: real.clone() });
            load::fill(up, &restore, database, &real, restored, false)?;
        }
        Ok(())
    }

    /// Lets a cluster go through its log.
    fn load_recovered(&mut self, cluster: &Cluster, details: &Details, mut jail: Jail) -> Result<()> {
        let (bin, version) = self.programs(details)?;
        let (data, verified) = recovered::settle(cluster, (&self.home, &mut jail, &bin))?;
        self.loaded.push(verified);
        let psql = Tools::new(Some(bin.clone())).any("psql")?;
        self.start((&bin, &version), (&data, Some(cluster)), (details, psql), jail)?;
        if let Some(up) = &self.up {
            self.loaded.extend(recovered::came(up, cluster));
        }
        Ok(())
    }

    fn load_cluster(&mut self, restored: &Restored, details: &Details, jail: Jail) -> Result<()> {
        let (bin, version) = self.programs(details)?;
        let psql = Tools::new(Some(bin.clone())).any("psql")?;
        let data = jail.make("data")?;
        let base = BASE.parse::<Name>().ok().and_then(|name| restored.stream(&name));
        let base = base.ok_or_else(|| EngineError::new("the snapshot has no base backup", BASE))?;
        server::unpack_beside(&jail, restored, &data)?;
        Server::unpack(&jail, &base.file, &data)?;
        let mut verify = jail.tools(&[])?.command(&bin.join("pg_verifybackup"));
        verify.arg(&data).stdout(Stdio::null());
        let verified = Running::start(&mut verify, "pg_verifybackup", Known::default())?.finish();
        self.loaded.push(Check::done(
            "pg_verifybackup",
            verified.map(|()| "as its manifest says".to_owned()).map_err(Into::into),
        ));
        self.start((&bin, &version), (&data, None), (details, psql), jail)
    }

    /// Starts a copied cluster, which goes through its log first.
    fn start(
        &mut self,
        program: (&Path, &Version),
        (data, cluster): (&Path, Option<&Cluster>),
        (details, psql): (&Details, Tool),
        jail: Jail,
    ) -> Result<()> {
        self.left_out = server::preloaded(data);
        let lines = cluster.map(recovered::lines);
        let server = Server::start_to(&jail, program, (data, lines.as_deref()), details.get("superuser"))?;
        let info = server.info.clone();
        let mut session = Session::open(&psql, &info, None)?;
        let sql = "select to_json(datname) from pg_database where datallowconn and not datistemplate order by datname";
        let names: Vec<String> = session.ask("list the databases", sql)?;
        let databases = names.into_iter().map(|name| Database { real: name.clone(), name }).collect();
        self.up = Some(Up { at: At::Own { server, jail }, info, psql, databases });
        Ok(())
    }
}

impl Engine for Postgres {
    fn describe(&self) -> String {
        self.told.clone()
    }

    fn load(&mut self, restored: &Restored) -> Result<()> {
        let details: Details = serde_json::from_value(restored.details.clone()).map_err(|e| {
            EngineError::new(format!("what the backup recorded of its server is not understood: {e}"), "details")
        })?;
        if self.lender.is_some() && !details.physical {
            return self.load_lent(restored, &details);
        }
        let jail = Jail::new(&self.warden, &self.home)?;
        if let Some(cluster) = &restored.cluster {
            self.load_recovered(cluster, &details, jail)
        } else if details.physical {
            self.load_cluster(restored, &details, jail)
        } else {
            self.load_dumps(restored, &details, jail)
        }
    }

    fn check(&mut self, restored: &Restored) -> Vec<Check> {
        let mut checks = std::mem::take(&mut self.loaded);
        let Some(up) = &self.up else {
            checks.push(Check::error("server", "it was not started"));
            return checks;
        };
        for database in &up.databases {
            let print = restored.fingerprints.iter().find(|print| print.database == database.name);
            checks.extend(checks::contents(up, database, print));
            if up.may_check_indexes() {
                checks.push(checks::amcheck(up, database));
            }
        }
        if up.databases.is_empty() {
            checks.push(Check::error("databases", "there is none"));
        }
        checks
    }

    fn query(&mut self, database: Option<&str>, sql: &str, limit: Duration) -> Result<String> {
        let up = self.up.as_ref().ok_or_else(|| EngineError::new("the server is not up", "postgres"))?;
        let database = up.meant(database)?;
        let mut command = up.client(&up.psql.path, database, &[])?;
        // Records and fields end with a zero byte, which no value holds.
        command.args(["-X", "-A", "-t", "-q", "-w", "-0", "-z", "-v", "ON_ERROR_STOP=1"]).stdout(Stdio::piped());
        command.args([
            "-c",
            &format!("set statement_timeout = {}", limit.as_millis().clamp(1, SERVERS_MOST)),
            "-c",
            sql,
        ]);
        let mut running = up.start(&mut command, "psql")?;
        let (mut output, alive) = (Vec::new(), running.alive());
        // What loads libraries or catches errors need not heed the server's own limit.
        let watchdog = Watchdog::start(limit.saturating_add(GRACE), move || alive.stop());
        let read = running.stdout()?.take(ANSWER).read_to_end(&mut output);
        watchdog.call_off(sql)?;
        if output.len() as u64 >= ANSWER {
            return Err(EngineError::new("gives more than can be handled", sql));
        }
        running.finish()?;
        read.map_err(|e| EngineError {
            what: "can't read the answer".to_owned(),
            object: "psql".to_owned(),
            source: Some(e),
        })?;
        let first = output.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(first).trim_end_matches('\n').to_owned())
    }

    fn access(&self) -> Vec<(String, String)> {
        self.up.as_ref().map(Up::access).unwrap_or_default()
    }

    fn reach(&self) -> Reach {
        let lent = self.up.as_ref().is_some_and(|up| matches!(up.at, At::Lent(_)));
        if lent { Reach::Lent } else { Reach::Socket }
    }

    fn stopper(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let (_, debris) = self.lender.as_ref()?;
        let debris = Arc::clone(debris);
        Some(Box::new(move || drop(debris.clear())))
    }

    fn leave(&mut self) -> Vec<(String, EngineError)> {
        self.lender.as_ref().map(|(_, debris)| debris.clear()).unwrap_or_default()
    }

    fn not_tested(&self, restored: &Restored) -> Vec<String> {
        let Some(up) = self.up.as_ref().filter(|up| matches!(up.at, At::Lent(_))) else {
            let told =
                |lines: &String| format!("what the cluster loads or runs by itself, which a drill leaves out: {lines}");
            let pages = unproved(restored).then(|| {
                "whether the pages that were copied are sound: that server has no data checksums, and amcheck looks at what \
                 indexes and tables say of each other"
                    .to_owned()
            });
            return self.left_out.iter().map(told).chain(pages).collect();
        };
        let mut not = vec!["owners and privileges, which a server that is lent has no roles for".to_owned()];
        if restored.streams.iter().any(|stream| stream.name.as_str() == GLOBALS) {
            not.push(format!("{GLOBALS} (roles) was restored and hashed, and not loaded into a server that is lent"));
        }
        if !up.may_check_indexes() {
            not.push(
                "indexes against their tables (amcheck), which the role on that server may not install".to_owned(),
            );
        }
        not
    }
}

/// Whether nothing proves the pages of a copied cluster.
fn unproved(restored: &Restored) -> bool {
    let details = &restored.details;
    let off = details.get("server").and_then(|server| server.get("data_checksums")).is_some_and(|is| is == "off");
    off && details.get("physical").is_some_and(|is| is == true)
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Before the session that shows the mark ends.
        drop(self.leave());
    }
}

impl Up {
    /// A client program, for a database here, that reads these files.
    fn client(&self, program: &Path, real: &str, reads: &[PathBuf]) -> Result<Command> {
        let mut command = match &self.at {
            At::Own { jail, .. } => jail.client(reads)?.command(program),
            At::Lent(_) => {
                let mut command = Command::new(program);
                self.info.equip(&mut command);
                command.stdin(Stdio::null());
                command
            }
        };
        command.arg("-d").arg(self.info.argument(Some(real)));
        Ok(command)
    }

    /// Starts it. On a server that is lent it ends before its database is dropped.
    fn start(&self, command: &mut Command, program: &str) -> Result<Running> {
        let running = Running::start(command, program, self.info.secrets())?;
        if let At::Lent(lent) = &self.at {
            lent.debris().works(running.alive());
        }
        Ok(running)
    }

    /// Makes a database of a name that nobody else has, and returns that.
    fn make(&mut self, create: impl FnOnce(&Self, &str) -> Result<()>) -> Result<String> {
        let name = match &mut self.at {
            At::Own { .. } => return Err(EngineError::new("was not lent", "postgres")),
            At::Lent(lent) => lent.next(),
        };
        match &self.at {
            At::Own { .. } => {}
            At::Lent(lent) => lent.debris().make(&name, || create(self, &name))?,
        }
        Ok(name)
    }

    /// Only a superuser can install what checks them.
    fn may_check_indexes(&self) -> bool {
        match &self.at {
            At::Own { .. } => true,
            At::Lent(lent) => lent.superuser,
        }
    }

    /// What the database is called here that a check means.
    fn meant(&self, database: Option<&str>) -> Result<&str> {
        let Some(name) = database else {
            return match self.databases.as_slice() {
                [only] => Ok(&only.real),
                several => {
                    let names: Vec<&str> = several.iter().map(|database| database.name.as_str()).collect();
                    let what = format!("there are several databases ({}); say which is meant", names.join(", "));
                    Err(EngineError::new(what, "query"))
                }
            };
        };
        let found = self.databases.iter().find(|database| database.name == name);
        found.map(|database| database.real.as_str()).ok_or_else(|| EngineError::new("there is no such database", name))
    }

    fn access(&self) -> Vec<(String, String)> {
        let mut all = match &self.at {
            At::Own { server, .. } => vec![
                ("PGHOST".to_owned(), server.socket.to_string_lossy().into_owned()),
                ("PGPORT".to_owned(), "5432".to_owned()),
                ("PGUSER".to_owned(), self.info.user().to_owned()),
                ("PGOPTIONS".to_owned(), self.info.options().to_owned()),
            ],
            At::Lent(lent) => {
                let mut all = self.info.for_commands();
                all.extend(lent.reached.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
                let names: BTreeMap<&str, &str> = self.databases.iter().map(|d| (&*d.name, &*d.real)).collect();
                all.push(("STRONGROOM_DRILL_DATABASES".to_owned(), serde_json::json!(names).to_string()));
                all
            }
        };
        if let [only] = self.databases.as_slice() {
            all.push(("PGDATABASE".to_owned(), only.real.clone()));
            if matches!(self.at, At::Lent(_)) {
                all.push(("STRONGROOM_DRILL_DSN".to_owned(), self.info.argument(Some(&only.real))));
            }
        }
        all
    }
}
