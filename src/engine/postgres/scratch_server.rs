//! A server that somebody lends: dumps go into databases of their own there, beside whatever else it holds.

use std::{path::Path, sync::Arc};

use serde::Deserialize;

use super::{
    super::{
        EngineError, Result,
        scratch_server::{self, Debris},
    },
    load::{identifier, literal},
};
use crate::source::postgres::{Conninfo, Session, Tool, Tools, Version};

/// How what loads is confined there, for the report.
pub(super) const HOW: &str = "none, as they work with the server that is lent, where code of a dump runs";
/// What the server and the role are.
const WHAT: &str = r#"select json_build_object('creates', rolcreatedb or rolsuper, 'superuser', rolsuper,
    'number', current_setting('server_version_num'), 'version', current_setting('server_version'),
    'time', to_char(now() at time zone 'utc', 'YYYYMMDD"t"HH24MISS"z"'), 'host', :'HOST', 'port', :'PORT', 'user', :'USER')
    from pg_roles where rolname = current_user"#;

#[derive(Deserialize)]
struct What {
    creates: bool,
    superuser: bool,
    number: String,
    version: String,
    time: String,
    host: String,
    port: String,
    user: String,
}

/// A run's place on such a server.
pub(super) struct ScratchServer {
    debris: Arc<Debris>,
    mark: String,
    made: usize,
    /// Whether its role may do everything.
    pub(super) superuser: bool,
    /// The server's version.
    pub(super) version: Version,
    /// Host, port and user, as the connection string and this environment led to them.
    pub(super) reached: [(&'static str, String); 3],
    /// Shows the mark for as long as it lasts. The kernel ends it when this process dies, however that goes.
    _keeper: Session,
}

impl ScratchServer {
    /// Connects, and drops what dead runs left.
    pub(super) fn open(psql: &Tool, info: &Conninfo, debris: &Arc<Debris>, dir: &Path) -> Result<Self> {
        let mut keeper = Session::open(psql, info, None)?;
        let what: What = keeper.one("ask what the server is", WHAT)?;
        if !what.creates {
            let what = format!("the role {} may not create databases there: ALTER ROLE … CREATEDB", what.user);
            return Err(EngineError::new(what, info.place()));
        }
        let mark = scratch_server::mark(&what.time, dir)?;
        // A host that vanished must not keep its mark up for the hours that TCP is patient.
        let show = format!(
            "select json_build_object('set', set_config('application_name', {}, false), 'idle', \
             set_config('tcp_keepalives_idle', '60', false), 'interval', set_config('tcp_keepalives_interval', '10', false), \
             'count', set_config('tcp_keepalives_count', '6', false))",
            literal(&mark)
        );
        keeper.run("show the mark of this drill", &show)?;
        sweep(&mut keeper, info)?;
        let number = what.number.parse().map_err(|_| EngineError::new("tells no version", info.place()))?;
        Ok(Self {
            debris: Arc::clone(debris),
            mark,
            made: 0,
            superuser: what.superuser,
            version: Version::of_server(number, &what.version),
            reached: [("PGHOST", what.host), ("PGPORT", what.port), ("PGUSER", what.user)],
            _keeper: keeper,
        })
    }

    /// The name of the next database.
    pub(super) fn next(&mut self) -> String {
        let name = format!("{}_{}", self.mark, self.made);
        self.made += 1;
        name
    }

    /// What clears away what was made.
    pub(super) fn debris(&self) -> &Debris {
        &self.debris
    }
}

/// Drops the databases of runs that are dead. What can't be dropped is told, and left for the next time.
fn sweep(session: &mut Session, info: &Conninfo) -> Result<()> {
    // The databases first: whose mark is not shown afterwards was dead before.
    let like = scratch_server::LIKE;
    let doing = "look for what earlier drills left";
    let sql = format!(
        "select to_json(datname) from pg_database where datname like '{like}' and pg_has_role(datdba, 'USAGE')"
    );
    let databases: Vec<String> = session.ask(doing, &sql)?;
    let sql = format!("select to_json(application_name) from pg_stat_activity where application_name like '{like}'");
    let living: Vec<String> = session.ask(doing, &sql)?;
    for name in databases {
        let Some(mark) = scratch_server::of(&name).filter(|mark| !living.iter().any(|lives| lives == mark)) else {
            continue;
        };
        tracing::info!(%mark, database = %name, "dropping what a dead drill left");
        if let Err(error) = drop_database(info, &name) {
            tracing::warn!(database = %name, %error, "what a dead drill left could not be dropped");
        }
    }
    Ok(())
}

/// Drops a database of a drill, if it is there, after ending the sessions in it.
pub(super) fn drop_database(info: &Conninfo, name: &str) -> Result<()> {
    const TRIES: usize = 2;
    let psql = Tools::default().any("psql")?;
    let end = format!(
        "select json_build_object('ended', count(pg_terminate_backend(pid))) from pg_stat_activity \
         where datname = {} and pg_has_role(usesysid, 'USAGE')",
        literal(name)
    );
    let once = || -> Result<()> {
        let mut session = Session::open(&psql, info, None)?;
        session.run("end the sessions in a scratch database", &end)?;
        Ok(session.run("drop a scratch database", &format!("drop database if exists {}", identifier(name)))?)
    };
    // A client that was killed a moment ago may still have come in between the two.
    (1..TRIES).find_map(|_| once().ok()).map_or_else(once, Ok)
}
