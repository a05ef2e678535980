//! Roles, their settings and tablespaces: what belongs to the whole cluster and stands in no database's dump.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    sync::Arc,
};

use serde::Deserialize;

use super::{
    super::{
        FileMeta, Incoming, Result, SourceError,
        child::Running,
        read::{Seen, Warnings, Watched},
    },
    Place,
    session::Session,
    tools::{Tool, Tools, Version},
};

/// The stream's name.
pub(crate) const STREAM: &str = "globals.sql";
/// What `pg_dumpall` writes at its end, and how near the end it must stand.
const TRAILER: &[u8] = b"-- PostgreSQL database cluster dump complete";
const WITHIN: usize = 4 << 10;

/// What each role may do beyond what everybody may, as one text each.
const RIGHTS: &str = r"
select json_build_object('role', r.rolname, 'rights', to_json(array_remove(array[
  case when r.rolsuper then 'superuser' end, case when r.rolcreaterole then 'createrole' end,
  case when r.rolcreatedb then 'createdb' end, case when r.rolreplication then 'replication' end,
  case when r.rolbypassrls then 'bypassrls' end, case when r.rolcanlogin then 'login' end], null)
  || array(select 'member of ' || g.rolname from pg_auth_members m join pg_roles g on g.oid = m.roleid
    where m.member = r.oid order by 1)))
from pg_roles r where r.rolname !~ '^pg_' order by r.rolname";

#[derive(Deserialize)]
struct Rights {
    role: String,
    rights: Vec<String>,
}

/// What each role may do, by its name: so that one that may do more than before is seen.
pub(super) fn rights(session: &mut Session) -> Result<BTreeMap<String, Vec<String>>> {
    let all = session.ask::<Rights>("list what roles may do", RIGHTS)?;
    Ok(all.into_iter().map(|Rights { role, rights }| (role, rights)).collect())
}

/// How the globals are dumped.
pub(super) struct Globals {
    tool: Tool,
    /// Whether the role may read passwords.
    pub(super) passwords: bool,
    /// The database that is known to let us in.
    database: String,
}

/// The globals on their way out.
pub(super) struct Dumping {
    running: Running,
    seen: Arc<Seen>,
}

#[derive(Deserialize)]
struct Allowed {
    allowed: bool,
    database: String,
}

impl Globals {
    /// Finds the program, and whether the role may read passwords.
    pub(super) fn prepare(
        session: &mut Session,
        tools: &Tools,
        version: &Version,
        warnings: &mut Warnings,
    ) -> Result<Self> {
        let tool = tools.for_server("pg_dumpall", version)?;
        let sql = "select json_build_object('allowed', has_table_privilege('pg_authid', 'select'), \
                   'database', current_database())";
        let Allowed { allowed, database } = session.one("ask for the role's rights", sql)?;
        if !allowed {
            warnings.push(
                "this role may not read the passwords of roles, so globals.sql has the roles without them; set them again after a restore, or back up as a superuser"
                    .to_owned(),
            );
        }
        Ok(Self { tool, passwords: allowed, database })
    }

    /// Starts `pg_dumpall`.
    pub(super) fn start(self, place: &Place) -> Result<(Dumping, Incoming)> {
        let mut command = Command::new(&self.tool.path);
        // Left to itself it would try `postgres` and `template1`, which may let nobody in.
        command.args(["--globals-only", "-w", "-l", &self.database, "-d"]).arg(place.info.argument(None));
        if !self.passwords {
            command.arg("--no-role-passwords");
        }
        place.info.equip(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut running = Running::start(&mut command, &self.tool.path.to_string_lossy(), place.info.secrets())?;
        place.stops.add(running.alive());
        let (reader, seen) = Watched::new(running.stdout()?, STREAM, WITHIN);
        let name = STREAM.parse().map_err(|e| SourceError::new(format!("{e}"), STREAM))?;
        let stream = Incoming { name, path: None, meta: FileMeta::default(), expected: None, reader: Box::new(reader) };
        Ok((Dumping { running, seen }, stream))
    }
}

impl Dumping {
    /// Checks that it was whole.
    pub(super) fn end(self) -> Result<()> {
        self.seen.must_have_ended(STREAM)?;
        self.running.finish()?;
        let whole = self.seen.tail().windows(TRAILER.len()).any(|part| part == TRAILER);
        if whole {
            return Ok(());
        }
        Err(SourceError::new("pg_dumpall succeeded, but its output has no end: it is cut short", STREAM))
    }
}
