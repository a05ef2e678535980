//! What databases hold, as their server tells. Used in the backup, and on what a drill restored.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{Result, SourceError},
    sampled::{Bound, Known},
    session::{Row, Session, identifier, literal},
};
use crate::{
    codec::hash::hash,
    model::{Fingerprint, TableFingerprint},
};

/// How much of the tables is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Rows are counted and hashed.
    Hash,
    /// Rows are counted.
    Rows,
    /// Nothing is looked at.
    Off,
}

/// The server's own databases.
pub const OWN: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];

/// The entry of a fingerprint's `server` that names the tables without one, one a line.
pub const LEFT_OUT: &str = "without a fingerprint";

/// The entry of a fingerprint's `server` that says how `FLOAT` values were hashed, and what it says now.
pub const FLOATS: (&str, &str) = ("float", "by value");

/// A table: its database and its name.
pub type Table = (String, String);

/// A column that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The server's word for its type, such as `varchar`.
    pub kind: String,
    /// Whether a dump's tool may write its values with fewer digits than they have.
    pub rounded: bool,
}

/// How values of `FLOAT` columns are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floats {
    /// As they are.
    ByValue,
    /// With six digits, as backups did once.
    Rounded,
}

/// What is in some databases.
pub struct Contents {
    /// Tables that hold rows, with their columns as expressions for the hash.
    pub tables: BTreeMap<Table, Vec<String>>,
    /// Of these, tables whose engine knows no transactions, with the engine.
    pub unsafe_tables: BTreeMap<Table, String>,
    /// Of these, tables that keep the rows that were.
    pub versioned: BTreeSet<Table>,
    /// Of these, tables of which a dump's tool rounds a column, with all columns that are stored.
    pub floats: BTreeMap<Table, Vec<Column>>,
    /// What is known of them before they are read.
    pub known: BTreeMap<Table, Known>,
    /// Views, routines, triggers and events by database, with a hash of what defines them.
    pub objects: BTreeMap<String, BTreeMap<String, String>>,
    /// The server's version.
    pub version: String,
}

/// Looks up what is in `databases`.
///
/// # Errors
/// If the server fails, or hides the definition of something that the dump would then lack.
pub fn contents(session: &mut Session, databases: &[String]) -> Result<Contents> {
    contents_as(session, databases, &BTreeMap::new(), Floats::ByValue)
}

/// The same of databases that were loaded under other names: definitions are told as if they had those that they had.
/// `names` has what they are called now by what they were called.
///
/// # Errors
/// As [`contents`].
pub fn contents_as(
    session: &mut Session,
    databases: &[String],
    names: &BTreeMap<String, String>,
    floats: Floats,
) -> Result<Contents> {
    let list: Vec<String> = databases.iter().map(|name| literal(name)).collect();
    let within = format!("IN ({})", list.join(", "));
    let version = session.value("SELECT VERSION()")?;
    let mut tables = BTreeMap::new();
    let mut unsafe_tables = BTreeMap::new();
    let mut versioned = BTreeSet::new();
    let mut known: BTreeMap<Table, Known> = BTreeMap::new();
    let sql = format!(
        "SELECT t.table_schema, t.table_name, COALESCE(t.engine, ''), COALESCE(e.transactions, ''), t.table_type, \
         COALESCE(t.table_rows, 0) \
         FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine \
         WHERE t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND t.table_schema {within}"
    );
    for row in session.rows(&sql)? {
        let [database, table, engine, transactions, kind, rows] = fields(row)?;
        let estimate = rows.parse().unwrap_or_default();
        known.insert((database.clone(), table.clone()), Known { estimate, ..Known::default() });
        if kind == "SYSTEM VERSIONED" {
            versioned.insert((database.clone(), table.clone()));
        }
        if transactions != "YES" {
            unsafe_tables.insert((database.clone(), table.clone()), engine);
        }
        tables.insert((database, table), Vec::new());
    }
    let mut stored: BTreeMap<Table, Vec<Column>> = BTreeMap::new();
    let sql = format!(
        "SELECT table_schema, table_name, column_name, data_type, data_type = 'float' AND numeric_scale IS NULL, \
         column_type, is_nullable, column_key = 'PRI' \
         FROM information_schema.columns \
         WHERE COALESCE(generation_expression, '') = '' AND table_schema {within} \
         ORDER BY table_schema, table_name, ordinal_position"
    );
    for row in session.rows(&sql)? {
        let [database, table, name, kind, rounded, full, null, key] = fields(row)?;
        let table = (database, table);
        if let (Some(columns), Some(known)) = (tables.get_mut(&table), known.get_mut(&table)) {
            columns.push(expression(&name, &kind, floats));
            let filled = if null == "NO" { " not null" } else { "" };
            known.columns.push(format!("{} {full}{filled}", identifier(&name)));
            if key == "1" {
                known.key.push(expression(&name, &kind, floats));
            }
            stored.entry(table).or_default().push(Column { name, kind, rounded: rounded == "1" });
        }
    }
    stored.retain(|_, columns| columns.iter().any(|column| column.rounded));
    let objects = objects(session, &within, names)?;
    Ok(Contents { tables, unsafe_tables, versioned, floats: stored, known, objects, version })
}

fn fields<const N: usize>(row: Vec<String>) -> Result<[String; N]> {
    row.try_into().map_err(|_| SourceError::new("the server gave a row of another shape", "information_schema"))
}

/// A column as text that can be told from every other: long ones by their hash, so that no row becomes too long.
/// Numbers count as the server writes them; for `FLOAT` that has six digits, and as `DOUBLE` the whole value.
fn expression(column: &str, kind: &str, floats: Floats) -> String {
    let mut name = identifier(column);
    if kind == "float" && floats == Floats::ByValue {
        name = format!("({name} * 1e0)");
    }
    let long = ["text", "blob", "json", "vector"].iter().any(|word| kind.ends_with(word));
    if long {
        return format!("IFNULL(SHA1({name}), 'N')");
    }
    format!("IFNULL(CONCAT(LENGTH(CAST({name} AS BINARY)), ':', CAST({name} AS BINARY)), 'N')")
}

fn objects(
    session: &mut Session,
    within: &str,
    names: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    // Only what the server words itself, such as a view, holds the new names.
    let told = |definition: String| {
        names.iter().fold(definition, |text, (was, is)| {
            text.replace(&format!("{}.", identifier(is)), &format!("{}.", identifier(was)))
        })
    };
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (kind, sql) in [
        (
            "view",
            "SELECT table_schema, table_name, COALESCE(view_definition, '') FROM information_schema.views WHERE table_schema",
        ),
        (
            "routine",
            "SELECT routine_schema, CONCAT(LOWER(routine_type), ' ', routine_name), COALESCE(routine_definition, '') FROM information_schema.routines WHERE routine_schema",
        ),
        (
            "trigger",
            "SELECT trigger_schema, trigger_name, CONCAT(action_timing, ' ', event_manipulation, ' ', event_object_table, ' ', action_statement) FROM information_schema.triggers WHERE trigger_schema",
        ),
        (
            "event",
            "SELECT event_schema, event_name, event_definition FROM information_schema.events WHERE event_schema",
        ),
    ] {
        for row in session.rows(&format!("{sql} {within}"))? {
            let [database, name, definition] = fields(row)?;
            let name = if kind == "routine" { name } else { format!("{kind} {name}") };
            if definition.is_empty() {
                let what = "the account may not see how this is defined, and the dump would lack it; grant it SHOW VIEW \
                            and, for routines, SELECT on mysql.proc (MySQL: SHOW_ROUTINE)";
                return Err(SourceError::new(what, format!("{database}: {name}")));
            }
            found.entry(database).or_default().insert(name, short(&told(definition)));
        }
    }
    let sequences =
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'SEQUENCE' AND table_schema";
    for row in session.rows(&format!("{sequences} {within}"))? {
        let [database, name] = fields(row)?;
        found.entry(database).or_default().insert(format!("sequence {name}"), "present".to_owned());
    }
    Ok(found)
}

/// 128 bits are plenty against chance, and fit a line.
fn short(text: &str) -> String {
    hash(text.as_bytes()).to_string().chars().take(32).collect()
}

/// What one table holds, in the transaction of `session`, without a sample.
///
/// # Errors
/// If it can't be read.
pub fn table(session: &mut Session, table: &Table, columns: &[String], depth: Depth) -> Result<TableFingerprint> {
    let asked = Asked::about(table, columns, (depth, None));
    let row = session.rows(&asked.sql)?.into_iter().next().unwrap_or_default();
    asked.understand(row).map(|(found, _)| found)
}

/// The same with a sample, or nothing if the table was changed since that transaction began. Other servers than those of
/// MariaDB make an error of that.
pub(super) fn table_unless_changed(
    session: &mut Session,
    contents: &Contents,
    (name, depth): (&Table, Depth),
) -> Result<Option<TableFingerprint>> {
    let nothing = Known::default();
    let known = contents.known.get(name).unwrap_or(&nothing);
    let columns = contents.tables.get(name).map(Vec::as_slice).unwrap_or_default();
    let mut ask = |rows: u64| -> Result<Option<(TableFingerprint, bool)>> {
        let asked = Asked::about(name, columns, (depth, Some((known, rows))));
        let row = if contents.version.contains("MariaDB") {
            session.row_unless_changed(&asked.sql)?
        } else {
            Some(session.rows(&asked.sql)?.into_iter().next().unwrap_or_default())
        };
        row.map(|row| asked.understand(row)).transpose()
    };
    let Some((mut found, fits)) = ask(known.estimate)? else { return Ok(None) };
    if !fits {
        // The server's estimate was far off. Now the rows are counted.
        let Some((again, _)) = ask(found.rows)? else { return Ok(None) };
        found = again;
    }
    found.columns = known.definition();
    Ok(Some(found))
}

struct Asked {
    sql: String,
    hashed: bool,
    sampled: Option<Bound>,
    from: String,
}

impl Asked {
    fn about(table: &Table, columns: &[String], (depth, sampled): (Depth, Option<(&Known, u64)>)) -> Self {
        let from = format!("{}.{}", identifier(&table.0), identifier(&table.1));
        let hashed = depth == Depth::Hash && !columns.is_empty();
        let sampled = sampled.filter(|_| hashed);
        let row = format!("SHA1(CONCAT({}))", columns.join(", "));
        // Sixty bits of a row's hash, summed: the same in every order, and a row that comes twice counts twice.
        let sum = if hashed {
            format!("COALESCE(SUM(CAST(CONV(LEFT({row}, 15), 16, 10) AS UNSIGNED)), 0)")
        } else {
            "0".to_owned()
        };
        let bound = sampled.map(|(known, rows)| (known, Bound::of(rows)));
        let sample = bound.map_or_else(|| "NULL".to_owned(), |(known, at)| at.asking(&known.key, columns, &row));
        let sql = format!("SELECT COUNT(*), {sum}, {sample} FROM {from}");
        Self { sql, hashed, sampled: bound.map(|(_, bound)| bound), from }
    }

    /// What it holds, and whether the sample is one, if any was asked for.
    fn understand(&self, row: Row) -> Result<(TableFingerprint, bool)> {
        let [rows, sum, sample] = fields(row)?;
        let odd = || SourceError::new("the server gave no number of rows", &self.from);
        let rows = rows.parse().map_err(|_| odd())?;
        let hash = self.hashed.then(|| sum.parse::<u128>().map(|sum| format!("{sum:032x}")));
        let hash = hash.transpose().map_err(|_| odd())?;
        let sample = self.sampled.and_then(|bound| bound.understand(&sample, rows));
        let fits = sample.is_some() || self.sampled.is_none();
        Ok((TableFingerprint { rows, hash, sample, columns: None }, fits))
    }
}

/// What the tables of `contents` hold, without those in `without`.
///
/// # Errors
/// If one can't be read.
pub fn tables(
    session: &mut Session,
    contents: &Contents,
    depth: Depth,
    without: &BTreeSet<Table>,
) -> Result<BTreeMap<Table, TableFingerprint>> {
    let mut found = BTreeMap::new();
    for (name, columns) in contents.tables.iter().filter(|(name, _)| !without.contains(*name)) {
        found.insert(name.clone(), table(session, name, columns, depth)?);
    }
    Ok(found)
}

/// The fingerprints of `databases`.
#[must_use]
pub fn fingerprints(
    databases: &[String],
    contents: &Contents,
    tables: &BTreeMap<Table, TableFingerprint>,
) -> Vec<Fingerprint> {
    let one = |database: &String| {
        let own = tables.iter().filter(|((of, _), _)| of == database);
        let mut print = Fingerprint {
            database: database.clone(),
            streams: Vec::new(),
            server: BTreeMap::from([
                ("version".to_owned(), contents.version.clone()),
                (FLOATS.0.to_owned(), FLOATS.1.to_owned()),
            ]),
            tables: own.map(|((_, name), held)| (name.clone(), held.clone())).collect(),
            objects: contents.objects.get(database).cloned().unwrap_or_default(),
        };
        print.bound_samples();
        print
    };
    databases.iter().map(one).collect()
}
