//! What people are told of a dump: what it lacks, and why.

use std::collections::BTreeSet;

use super::{
    complete,
    print::{Contents, Table},
    session::{PASSWORD_UNUSED, password_unused},
};

/// The names of tables, the first of many.
pub(super) fn names<'a>(tables: impl ExactSizeIterator<Item = &'a Table>) -> String {
    const SHOWN: usize = 10;
    let more = tables.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> = tables.take(SHOWN).map(|(database, table)| format!("{database}.{table}")).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

/// What is known of the dump before it is begun.
pub(super) fn beforehand(contents: &Contents) -> Vec<String> {
    let mut warnings: Vec<String> = without_transactions(contents).into_iter().collect();
    if !contents.versioned.is_empty() {
        warnings.push(format!(
            "the dump has the rows that are valid now; the history of system-versioned tables is not in the backup: {}",
            names(contents.versioned.iter())
        ));
    }
    if password_unused() {
        warnings.push(PASSWORD_UNUSED.to_owned());
    }
    warnings
}

fn without_transactions(contents: &Contents) -> Option<String> {
    let tables = &contents.unsafe_tables;
    let engines: BTreeSet<&str> = tables.values().map(String::as_str).collect();
    (!tables.is_empty()).then(|| {
        let engines: Vec<&str> = engines.into_iter().collect();
        format!(
            "these tables have no transactions ({}), so writes during the dump may be in it incompletely: {}. ALTER TABLE … ENGINE = InnoDB avoids that",
            engines.join(", "),
            names(tables.keys())
        )
    })
}

/// What the tool rounds, where it can't be helped.
pub(super) fn rounded(contents: &Contents) -> String {
    let mut columns = Vec::new();
    for ((database, table), all) in &contents.floats {
        let rounded = all.iter().filter(|column| column.rounded);
        columns.extend(rounded.map(|column| format!("{database}.{table}.{}", column.name)));
    }
    format!(
        "FLOAT values are dumped with six digits, so these columns come back rounded, and drills will say so: {}. GRANT \
         RELOAD lets strongroom dump them whole (with MariaDB's tools); ALTER TABLE … DOUBLE keeps them whole in any dump",
        complete::list(&columns)
    )
}
