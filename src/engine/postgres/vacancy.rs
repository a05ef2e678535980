//! What a server is, and whether a database is one that a dump may go into: empty, or without the one table.

use serde::Deserialize;

use super::{
    super::into::{LoadResult, occupied, wrong},
    load::{identifier, literal},
    one_table::OneTable,
};
use crate::source::postgres::Session;

/// What the server and the role are.
pub(super) const WHAT: &str = "select json_build_object('database', current_database(), \
    'number', current_setting('server_version_num'), 'version', current_setting('server_version'), \
    'roles', rolcreaterole or rolsuper, 'superuser', rolsuper, 'user', rolname) from pg_roles where rolname = current_user";

#[derive(Deserialize)]
pub(super) struct What {
    pub(super) database: String,
    pub(super) number: String,
    pub(super) version: String,
    pub(super) roles: bool,
    pub(super) superuser: bool,
    pub(super) user: String,
}

/// What somebody made in a database, by names: at most a few of them.
const HELD: &str = "select json_build_object('count', count(*), 'some', coalesce((array_agg(name order by name))[1:3], '{}')) \
    from (select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace \
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relkind in ('r','p','v','m','S','f') \
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') \
    union all select n.nspname || '.' || p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace \
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
    and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e') \
    union all select 'large object ' || oid from pg_largeobject_metadata \
    union all select nspname from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public')) made";
const OTHER: &str = "name another database in the DSN or drop this one; --clean replaces what is there";

#[derive(Deserialize)]
struct Made {
    count: u64,
    some: Vec<String>,
}

/// Refuses the databases that all others are made of.
pub(super) fn is_no_template(name: &str) -> LoadResult<()> {
    if matches!(name, "template0" | "template1") {
        let what =
            format!("{name} is the template that new databases are made of: each would have what is loaded into it");
        return wrong(what, "name a database of its own in the DSN; it is made if it is missing");
    }
    Ok(())
}

/// Refuses a database that has the table, or anything if the whole goes there.
pub(super) fn is_vacant(session: &mut Session, database: &str, table: Option<&OneTable>) -> LoadResult<()> {
    if let Some(table) = table {
        let name = format!("{}.{}", identifier(&table.schema), identifier(&table.name));
        let sql = format!("select json_build_object('there', to_regclass({}) is not null)", literal(&name));
        let found: serde_json::Value = session.one("look for the table", &sql)?;
        if found.get("there") == Some(&true.into()) {
            return occupied(format!("database {database} has a table {} already", table.told()), OTHER);
        }
        return Ok(());
    }
    let made: Made = session.one("look whether the database is empty", HELD)?;
    if made.count > 0 {
        let (some, more) = (made.some.join(", "), if made.count > made.some.len() as u64 { " …" } else { "" });
        return occupied(
            format!("database {database} is not empty: it has {} objects: {some}{more}", made.count),
            OTHER,
        );
    }
    Ok(())
}
