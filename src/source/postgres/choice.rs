//! Which databases of a server are backed up, and whether it is a server that can be.

use serde::Deserialize;

use super::{
    super::{Result, SourceError, read::Warnings},
    Conninfo, Databases, fingerprint,
    session::Session,
    tools::Tool,
};

#[derive(Deserialize)]
struct Database {
    name: String,
    connects: bool,
    /// It is being dropped, or a drop of it was stopped.
    dropped: bool,
    current: bool,
}

/// Every database. Of `template0` nobody can change anything.
const DATABASES: &str = "select json_build_object('name', datname, 'connects', datallowconn, 'dropped', datconnlimit = -2, \
    'current', datname = current_database()) from pg_database order by datname";

#[derive(Deserialize, PartialEq, Eq)]
struct Backend {
    pid: i64,
}

const BACKEND: &str = "select pg_catalog.json_build_object('pid', pg_catalog.pg_backend_pid())";

/// Refuses a pooler that gives the sessions of a server to whoever has a transaction: a dump's settings would stay there,
/// and the next client's queries would run with them.
pub(super) fn must_be_direct(psql: &Tool, info: &Conninfo) -> Result<()> {
    // Nothing is set before it is known.
    let mut first = Session::untouched(psql, info, None)?;
    let was: Backend = first.one("talk to the server", BACKEND)?;
    let mut second = Session::untouched(psql, info, None)?;
    second.run("begin", "begin")?;
    let other: Backend = second.one("ask which process it is", BACKEND)?;
    let is: Backend = first.one("ask which process it is", BACKEND)?;
    if was == is && was != other {
        return Ok(());
    }
    let what = "is reached through a pooler that shares the server's sessions between clients (such as pgbouncer with \
                pool_mode = transaction): a dump would leave its settings to the application; name the server itself, or \
                a pool with pool_mode = session";
    Err(SourceError::new(what, info.place()))
}

/// The databases that are wanted.
pub(super) fn databases(
    session: &mut Session,
    psql: &Tool,
    info: &Conninfo,
    wanted: &Databases,
    warnings: &mut Warnings,
) -> Result<Vec<String>> {
    let all = session.ask::<Database>("list the databases", DATABASES)?;
    match wanted {
        Databases::Connected => Ok(all.into_iter().filter(|d| d.current).map(|d| d.name).collect()),
        Databases::All => {
            let mut chosen = Vec::new();
            for Database { name, connects, dropped, .. } in all {
                match (name.as_str(), connects, dropped) {
                    ("template0", ..) => {}
                    (_, _, true) => warnings.push(format!("database {name} was half dropped and is not in the backup")),
                    (_, false, _) => {
                        warnings.push(format!(
                            "database {name} allows no connections and is not in the backup; \
                             ALTER DATABASE … ALLOW_CONNECTIONS true lets it be"
                        ));
                    }
                    // As every server makes it, it is of no use to anybody.
                    ("template1", ..) if !was_changed(psql, info, &name)? => {}
                    _ => chosen.push(name),
                }
            }
            Ok(chosen)
        }
        Databases::Named(names) => {
            for name in names {
                let Some(found) = all.iter().find(|d| d.name == *name) else {
                    let there: Vec<&str> = all.iter().map(|d| d.name.as_str()).take(20).collect();
                    let what = format!("has no database {name:?}; it has {}", there.join(", "));
                    return Err(SourceError::new(what, info.place()));
                };
                if found.dropped || !found.connects {
                    let why = if found.dropped { "was half dropped" } else { "allows no connections" };
                    return Err(SourceError::new(
                        format!("database {name:?} {why}, so nothing can dump it"),
                        info.place(),
                    ));
                }
            }
            Ok(names.clone())
        }
    }
}

/// Whether the database is still there.
///
/// # Errors
/// If the server does not answer.
pub(super) fn is_there(psql: &Tool, info: &Conninfo, name: &str) -> Result<bool> {
    let mut session = Session::open(psql, info, None)?;
    let all = session.ask::<Database>("list the databases", DATABASES)?;
    Ok(all.iter().any(|database| database.name == name && !database.dropped))
}

/// Whether there is anything in it that a new server does not have.
fn was_changed(psql: &Tool, info: &Conninfo, name: &str) -> Result<bool> {
    let mut session = Session::open(psql, info, Some(name))?;
    Ok(!fingerprint::tables(&mut session)?.is_empty() || fingerprint::has_objects(&mut session)?)
}
