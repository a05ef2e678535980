//! Loading: databases like those that were backed up, filled from their dumps.

use std::{collections::BTreeMap, process::Stdio};

use super::{
    super::{Check, EngineError, Restored, Result},
    At, Up,
};
use crate::{
    model::Name,
    source::postgres::{Conninfo, DatabaseStreams, Session, Tool},
};

/// The most processes that load one dump.
const MOST_JOBS: usize = 8;
/// What of a dump is not for a server that others use: its roles are not there, and what reaches out of a database, such
/// as a subscription, would not let it be dropped.
const ALONE: [&str; 5] =
    ["--no-owner", "--no-privileges", "--no-tablespaces", "--no-publications", "--no-subscriptions"];

/// A name as SQL quotes it.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL quotes it.
pub(super) fn literal(value: &str) -> String {
    format!("E'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Drops a database that every new cluster has, so that the one that was backed up can be made in its place.
pub(super) fn make_room(up: &Up, name: &str) -> Result<()> {
    let from = match name {
        "postgres" => "template1",
        "template1" => "postgres",
        _ => return Ok(()),
    };
    let mut session = Session::open(&up.psql, &up.info, Some(from))?;
    let quoted = identifier(name);
    // A session that has just ended is waited for by the server.
    for sql in [format!("alter database {quoted} is_template false"), format!("drop database {quoted}")] {
        session.run(&format!("make room for database {name}"), &sql)?;
    }
    Ok(())
}

/// Creates the empty database `real` like `name` that was backed up; tells if its locale is not to be had here.
pub(super) fn create(
    (psql, info): (&Tool, &Conninfo),
    name: &str,
    real: &str,
    server: &BTreeMap<String, String>,
) -> Result<Option<Check>> {
    let get = |key: &str| server.get(key).map(String::as_str).unwrap_or_default();
    let plain =
        format!("create database {} template template0 encoding {}", identifier(real), literal(get("encoding")));
    let icu = match (get("locale_provider"), get("icu_locale")) {
        ("i", locale) if !locale.is_empty() => format!(" locale_provider icu icu_locale {}", literal(locale)),
        _ => String::new(),
    };
    let wanted = format!("{plain} lc_collate {} lc_ctype {}{icu}", literal(get("collate")), literal(get("ctype")));
    // The one that a session is in without more words may be the one that is to be made.
    let from = (real == "postgres").then_some("template1");
    let run = |sql: &str| -> Result<()> {
        let mut session = Session::open(psql, info, from)?;
        Ok(session.run(&format!("create database {name}"), sql)?)
    };
    if run(&wanted).is_ok() {
        return Ok(None);
    }
    run(&format!("{plain} lc_collate 'C' lc_ctype 'C'"))?;
    let told = format!("C, since this host has no {}", get("collate"));
    Ok(Some(Check::done(format!("database {name}: locale"), Ok(told))))
}

/// Loads a database's dumps into `real`. Where large tables have archives of their own, these go between the halves of the
/// main one.
pub(super) fn fill(
    up: &Up,
    restore: &Tool,
    database: &DatabaseStreams,
    real: &str,
    restored: &Restored,
    owners: bool,
) -> Result<()> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_JOBS).to_string();
    let one = |stream: &Name, more: &[&str]| -> Result<()> {
        let found = restored.stream(stream);
        let file = &found.ok_or_else(|| EngineError::new("the snapshot lacks a stream", stream.as_str()))?.file;
        let mut command = up.client(&restore.path, real, std::slice::from_ref(file))?;
        command.args(["-w", "-e", "-j", &jobs]).args(more);
        match &up.at {
            At::Lent(_) => drop(command.args(ALONE)),
            At::Own { jail, .. } => {
                jail.lend(file)?;
                // Their directories are places of the host that was backed up.
                command.arg("--no-tablespaces");
                if !owners {
                    // Without the roles there is nobody to own anything.
                    command.args(["--no-owner", "--no-privileges"]);
                }
            }
        }
        command.arg(file).stdout(Stdio::null());
        let running = up.start(&mut command, "pg_restore")?;
        running.finish().map_err(|e| EngineError::new(e.what, format!("pg_restore of {}", database.name)))
    };
    match database.streams.as_slice() {
        [] => Err(EngineError::new("the snapshot names no stream of it", &database.name)),
        [only] => one(only, &[]),
        [main, parts @ ..] => {
            one(main, &["--section=pre-data", "--section=data"])?;
            parts.iter().try_for_each(|part| one(part, &[]))?;
            one(main, &["--section=post-data"])
        }
    }
}
