//! What a loaded server is asked: does it hold what was backed up, and do its indexes agree with its tables?

use serde::Deserialize;

use super::{
    super::{Check, Result, Status, compare},
    Database, Up,
};
use crate::{
    model::Fingerprint,
    source::postgres::{Depth, Session, fingerprint_by},
};

/// One check for each table and each other object, or whether the database answers where there is no fingerprint.
pub(super) fn contents(up: &Up, database: &Database, print: Option<&Fingerprint>) -> Vec<Check> {
    match print {
        Some(print) => held_against(up, &database.real, print),
        None => {
            vec![Check::done(format!("database {}: answers", database.name), answers(up, &database.real))]
        }
    }
}

fn held_against(up: &Up, real: &str, print: &Fingerprint) -> Vec<Check> {
    let hashed = print.tables.values().any(|table| table.hash.is_some());
    let depth = if hashed { Depth::Hash } else { Depth::Rows };
    match fingerprint_by(&up.psql, &up.info, real, depth) {
        Ok(mut is) => {
            // A dump asks for an extension and not for its version: a server gives the one that it has. That it is there
            // is what counts, and the other version is told.
            let mut others = Vec::new();
            for (name, version) in is.objects.iter_mut().filter(|(name, _)| name.starts_with("extension ")) {
                if let Some(was) = print.objects.get(name).filter(|was| *was != version) {
                    let told = format!("{version}, which this server has, and was {was}: a dump names no version");
                    others.push(Check::done(format!("fingerprint {}: {name}: version", print.database), Ok(told)));
                    version.clone_from(was);
                }
            }
            compare(print, &is).into_iter().chain(others).collect()
        }
        Err(e) => vec![Check::error(format!("fingerprint {}", print.database), e.to_string())],
    }
}

fn answers(up: &Up, real: &str) -> Result<String> {
    let print = fingerprint_by(&up.psql, &up.info, real, Depth::Rows)?;
    let rows: u64 = print.tables.values().map(|table| table.rows).sum();
    Ok(format!("{} tables, {rows} rows; there is no fingerprint to hold them against", print.tables.len()))
}

/// Lets the server check its indexes against their tables, and its tables.
pub(super) fn amcheck(up: &Up, database: &Database) -> Check {
    #[derive(Deserialize)]
    struct Found {
        found: u64,
    }
    const QUIET: &str = "do $quiet$ declare fires name; begin for fires in select evtname from pg_event_trigger \
                         where evtenabled <> 'D' loop execute format('alter event trigger %I disable', fires); \
                         end loop; end $quiet$";
    const THERE: &str =
        "select json_build_object('found', count(*)) from pg_available_extensions where name = 'amcheck'";
    const MAKE: &str = "create schema \"strongroom-drill\"; \
                        create extension if not exists amcheck schema \"strongroom-drill\"";
    const WHERE: &str = "select to_json(format('%I.bt_index_check', n.nspname)) from pg_proc p \
                         join pg_namespace n on n.oid = p.pronamespace where p.proname = 'bt_index_check' limit 1";
    let check = || -> Result<Option<String>> {
        let mut session = Session::open(&up.psql, &up.info, Some(&database.real))?;
        let there: Found = session.one("look for amcheck", THERE)?;
        if there.found == 0 {
            return Ok(None);
        }
        // In a transaction that is rolled back, in which no trigger of the database's own fires.
        session.run("begin to check", &format!("begin; {QUIET}"))?;
        session.run("install amcheck", MAKE)?;
        let function: String = session.one("find amcheck", WHERE)?;
        let sql = format!(
            "select json_build_object('found', count(*)) from (select {function}(i.indexrelid, true) from pg_index i \
             join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam where a.amname = 'btree' \
             and c.relkind = 'i' and c.relpersistence <> 't' and i.indisvalid and i.indisready offset 0) checked"
        );
        let checked: Found = session.one("check the indexes", &sql)?;
        session.run("leave no trace", "rollback")?;
        Ok(Some(format!("{} indexes agree with their tables", checked.found)))
    };
    let name = format!("database {}: amcheck", database.name);
    match check() {
        Ok(Some(told)) => Check::done(name, Ok(told)),
        // A check that can't be run never passes, and is not left out either.
        Ok(None) => Check::error(
            name,
            "the extension amcheck is not installed with this server; install PostgreSQL's contrib package",
        ),
        Err(e) => Check { name, expected: None, actual: Some(e.to_string()), status: Status::Fail },
    }
}
