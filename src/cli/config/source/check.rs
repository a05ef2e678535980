//! `[[source.check]]`: what a drill asks besides.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use crate::{
    model::Span,
    ops::drill::{Asked, What},
};

/// A command of a check may take this long where nothing else is said.
const TIMEOUT: Duration = Duration::from_mins(10);
/// The same for a query.
const QUERY: Duration = Duration::from_hours(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCheck {
    name: Spanned<String>,
    sql: Option<Spanned<String>>,
    database: Option<Spanned<String>>,
    command: Option<Spanned<Vec<String>>>,
    timeout: Option<Spanned<Span>>,
    expected: Option<Expected>,
}

/// An answer as TOML has it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "what is expected is a text, a whole number, true or false")]
enum Expected {
    Text(String),
    Whole(i64),
    Truth(bool),
}

/// What the checks of a source mean.
pub(super) fn parse(raw: Vec<RawCheck>) -> Result<Vec<Asked>, Fault> {
    let mut checks: Vec<Asked> = Vec::new();
    for raw in raw {
        let name = raw.name.get_ref().clone();
        if name.is_empty() || checks.iter().any(|other| other.name == name) {
            return Err(Fault::new(&raw.name, "each check of a source needs a name of its own"));
        }
        let what = match (raw.sql, raw.command) {
            (Some(sql), None) => What::Sql { database: raw.database.map(Spanned::into_inner), sql: sql.into_inner() },
            (None, Some(argv)) => {
                if let Some(database) = &raw.database {
                    return Err(Fault::new(database, "\"database\" belongs to a check with \"sql\""));
                }
                if argv.get_ref().first().is_none_or(String::is_empty) {
                    return Err(Fault::new(&argv, "a command is a list of the program and its arguments"));
                }
                What::Command { argv: argv.into_inner() }
            }
            _ => return Err(Fault::new(&raw.name, "a check needs either \"sql\" or \"command\"")),
        };
        let expected = raw.expected.map(|expected| match expected {
            Expected::Text(text) => text,
            Expected::Whole(n) => n.to_string(),
            Expected::Truth(truth) => truth.to_string(),
        });
        let usual = if matches!(what, What::Sql { .. }) { QUERY } else { TIMEOUT };
        let timeout = raw.timeout.map_or(usual, |timeout| timeout.into_inner().as_duration());
        checks.push(Asked { name, what, timeout, expected });
    }
    Ok(checks)
}
