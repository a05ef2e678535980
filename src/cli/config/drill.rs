//! `[drill]`: servers that are lent for drills.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::{Fault, dsn_input};
use crate::{
    engine::Servers,
    source::{
        mariadb::{Databases, Flavour, Login},
        postgres::Conninfo,
    },
};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDrill {
    postgres: Option<Spanned<String>>,
    mariadb: Option<Spanned<String>>,
}

/// What it means; the paths in it start from `dir`.
pub(super) fn parse(raw: RawDrill, dir: &Path) -> Result<Servers, Fault> {
    let postgres = raw.postgres.map(|dsn| postgres(dsn.get_ref()).map_err(|why| Fault::new(&dsn, why))).transpose()?;
    let mariadb = raw.mariadb.map(|dsn| mariadb(dsn.get_ref()).map_err(|why| Fault::new(&dsn, why))).transpose()?;
    let within = |login: Login| Login {
        password_file: login.password_file.map(|path| dir.join(path)),
        defaults_file: login.defaults_file.map(|path| dir.join(path)),
        socket: login.socket.map(|path| dir.join(path)),
        ..login
    };
    Ok(Servers { postgres, mariadb: mariadb.map(within) })
}

/// The server that a DSN means, as libpq has them.
///
/// # Errors
/// If it can't be understood. What is told of it shows none of it.
pub fn postgres(text: &str) -> Result<Conninfo, String> {
    text.parse().map_err(|e| format!("{e}; a DSN is `service=NAME`, `host=… user=… dbname=…` or a postgresql:// URL"))
}

/// The server that a DSN of MariaDB means.
///
/// # Errors
/// If it can't be understood, holds a password, or names a database.
pub fn mariadb(text: &str) -> Result<Login, String> {
    without_database(text, "a drill makes databases of its own there: leave the database out")
}

/// The server that a dump is loaded into.
///
/// # Errors
/// If it can't be understood, holds a password, or names a database.
pub fn mariadb_server(text: &str) -> Result<Login, String> {
    without_database(text, "a dump is loaded under the names that its databases had: leave the database out")
}

fn without_database(text: &str, why: &str) -> Result<Login, String> {
    let input = dsn_input(Flavour::Mariadb, text)?;
    match input.databases {
        Databases::All => Ok(input.login),
        Databases::Named(_) => Err(why.to_owned()),
    }
}
