//! Whether a dump holds what the server has. The tools end well, too, when they have left something out.

use std::collections::BTreeMap;

use super::{
    super::{Result, SourceError},
    print::{Contents, Table},
    written::Written,
};
use crate::model::TableFingerprint;

/// How many names are told.
const SHOWN: usize = 10;
/// Engines whose rows lie elsewhere, so that the tools dump none.
const ELSEWHERE: [&str; 8] = ["MRG_MyISAM", "MRG_ISAM", "CONNECT", "OQGRAPH", "SPIDER", "VP", "FEDERATED", "BLACKHOLE"];

/// Fails if something that was there before the dump and is there after it is not in it.
pub(super) fn objects(written: &Written, before: &Contents, after: &Contents, program: &str) -> Result<()> {
    let tables = before.tables.keys().filter(|table| after.tables.contains_key(*table));
    let mut missing: Vec<String> = tables
        .filter(|table| !written.tables.contains_key(*table))
        .map(|(database, name)| format!("table {database}.{name}"))
        .collect();
    let mut unnamed = written.unread;
    for (database, objects) in &before.objects {
        let there = |name: &String| after.objects.get(database).is_some_and(|objects| objects.contains_key(name));
        for name in objects.keys().filter(|name| there(name)) {
            if written.objects.contains(&(database.clone(), name.clone())) {
                continue;
            }
            if unnamed > 0 && !name.starts_with("view ") && !name.starts_with("sequence ") {
                unnamed -= 1;
                continue;
            }
            missing.push(format!("{name} of {database}"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!(
        "its output lacks what the server has, though it ended well: {}. Look for options and versions of the tool",
        list(&missing)
    );
    Err(SourceError::new(what, program))
}

/// What is wrong with rows that are not in the dump, or too often.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Tables whose rows lie elsewhere by design.
    pub(super) elsewhere: Vec<Table>,
    /// Tables that may have been written to meanwhile.
    pub(super) doubtful: Vec<String>,
}

/// Holds the rows that were dumped against those that were counted in a transaction of the same instant. `certain` says
/// that both began at one instant.
///
/// # Errors
/// If a table's rows are missing.
pub(super) fn rows(
    written: &Written,
    contents: &Contents,
    held: &BTreeMap<Table, TableFingerprint>,
    certain: bool,
    program: &str,
) -> Result<Rows> {
    let (mut found, mut missing) = (Rows::default(), Vec::new());
    for (table, held) in held {
        let dumped = written.tables.get(table).copied().unwrap_or_default();
        if dumped == held.rows {
            continue;
        }
        let engine = contents.unsafe_tables.get(table).map(String::as_str);
        let told = format!("{}.{}: {dumped} of {} rows", table.0, table.1, held.rows);
        match engine {
            Some(engine) if dumped == 0 && ELSEWHERE.iter().any(|known| known.eq_ignore_ascii_case(engine)) => {
                found.elsewhere.push(table.clone());
            }
            None if certain => missing.push(told),
            _ => found.doubtful.push(told),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let what =
        format!("its output does not hold the rows that the server has, though it ended well: {}", list(&missing));
    Err(SourceError::new(what, program))
}

/// The first names, and how many more there are.
pub(super) fn list(names: &[String]) -> String {
    let mut shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = format!("and {} more", names.len().saturating_sub(SHOWN));
    if names.len() > SHOWN {
        shown.push(&more);
    }
    shown.join(", ")
}
