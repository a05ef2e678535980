//! What an SQLite database holds, and whether it is whole. Used on the copy of a backup and on what a drill restored.

use std::{fmt::Write as _, path::Path};

use rusqlite::{Connection, OpenFlags, config::DbConfig, types::ValueRef};

use crate::{
    codec::hash::Hasher,
    model::{
        Fingerprint, TableFingerprint,
        sample::{SAMPLED, Sampling},
    },
};

/// How many faults are told.
const FAULTS: u32 = 10;

/// Opens a file that nobody else has open, for reading, and writes nothing beside it. What its schema says is not
/// trusted: it can't run functions that have effects.
///
/// # Errors
/// If it can't be opened.
pub fn open(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            // Writing to a string does not fail.
            byte => drop(write!(uri, "%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

/// What `integrity_check` found.
pub enum Integrity {
    /// Nothing.
    Whole,
    /// Faults, the first few.
    Damaged(Vec<String>),
    /// It could not be run to its end: the database uses functions, collations or modules that only its application has.
    Unknown(String),
}

/// Runs `integrity_check`.
#[must_use]
pub fn integrity(connection: &Connection) -> Integrity {
    let lines = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(&format!("PRAGMA integrity_check({FAULTS})"))?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    match lines() {
        Ok(lines) if lines == ["ok"] => Integrity::Whole,
        Ok(lines) if !lines.is_empty() && lines.iter().all(|line| foreign(line)) => {
            Integrity::Unknown(lines.join("; "))
        }
        Ok(lines) => Integrity::Damaged(lines),
        Err(e) if foreign(&e.to_string()) => Integrity::Unknown(e.to_string()),
        Err(e) => Integrity::Damaged(vec![e.to_string()]),
    }
}

/// Whether a message tells of something that this build of SQLite lacks, rather than of damage.
fn foreign(message: &str) -> bool {
    ["no such collation", "no such function", "unknown function", "no such module", "unsafe use of"]
        .iter()
        .any(|known| message.contains(known))
}

/// What every table that has rows of its own holds, and a hash of every statement of the schema.
///
/// Virtual tables are told by their statement; what they hold lies in ordinary tables beside them. Generated columns are
/// not read, since they follow from others.
///
/// # Errors
/// If anything of it can't be read.
pub fn fingerprint(connection: &Connection) -> rusqlite::Result<Fingerprint> {
    let mut print = Fingerprint::default();
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| Ok(text(row.get_ref(0)?)));
    print.server.insert("sqlite".to_owned(), rusqlite::version().to_owned());
    for name in ["encoding", "page_size", "page_count", "auto_vacuum"] {
        print.server.insert(name.to_owned(), pragma(name)?);
    }
    for name in ["user_version", "application_id"] {
        print.objects.insert(name.to_owned(), pragma(name)?);
    }
    let mut schema = connection.prepare("SELECT type, name, rootpage, sql FROM sqlite_schema")?;
    let mut rows = schema.query([])?;
    let mut tables = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, name) = (text(row.get_ref(0)?), text(row.get_ref(1)?));
        let root: Option<i64> = row.get(2)?;
        if kind == "table" && root.is_some_and(|page| page > 0) {
            tables.push(name.clone());
        }
        if let ValueRef::Text(sql) = row.get_ref(3)? {
            print.objects.insert(format!("{kind} {name}"), short(&crate::codec::hash::hash(sql).to_string()));
        }
    }
    for name in tables {
        let held = table(connection, &name)?;
        print.tables.insert(name, held);
    }
    print.bound_samples();
    Ok(print)
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(n) => n.to_string(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
    }
}

/// 128 bits are plenty against chance, and fit a line.
fn short(hex: &str) -> String {
    hex.get(..32).unwrap_or(hex).to_owned()
}

/// Rows, and the sum of the rows' hashes: the same whatever their order, and a row that comes twice counts twice.
fn table(connection: &Connection, name: &str) -> rusqlite::Result<TableFingerprint> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let mut columns = connection.prepare(&format!("PRAGMA table_xinfo({})", quoted(name)))?;
    let columns: Vec<String> = columns
        .query_map([], |row| Ok((text(row.get_ref(1)?), row.get::<_, i64>(6)?)))?
        .filter_map(|column| column.map(|(name, hidden)| (hidden == 0).then(|| quoted(&name))).transpose())
        .collect::<rusqlite::Result<_>>()?;
    let list = if columns.is_empty() { "NULL".to_owned() } else { columns.join(", ") };
    let mut statement = connection.prepare(&format!("SELECT {list} FROM {}", quoted(name)))?;
    let mut rows = statement.query([])?;
    let (mut count, mut sum, mut sample) = (0_u64, 0_u128, Sampling::new(SAMPLED));
    while let Some(row) = rows.next()? {
        let mut hasher = Hasher::new();
        for at in 0..columns.len().max(1) {
            add(&mut hasher, row.get_ref(at)?);
        }
        let hash = hasher.finish();
        let first = hash.as_bytes().first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first));
        sample.add(first);
        let mut half = [0; 16];
        half.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        sum = sum.wrapping_add(u128::from_be_bytes(half));
        count += 1;
    }
    Ok(TableFingerprint { rows: count, hash: Some(format!("{sum:032x}")), sample: Some(sample.done()), columns: None })
}

/// Each value with its type and its length, so that no two rows look alike.
fn add(hasher: &mut Hasher, value: ValueRef<'_>) {
    let mut tagged = |tag: u8, bytes: &[u8]| {
        let mut head = [tag; 9];
        head.iter_mut().skip(1).zip((bytes.len() as u64).to_le_bytes()).for_each(|(to, from)| *to = from);
        hasher.update(&head);
        hasher.update(bytes);
    };
    match value {
        ValueRef::Null => tagged(0, &[]),
        ValueRef::Integer(n) => tagged(1, &n.to_le_bytes()),
        ValueRef::Real(n) => tagged(2, &n.to_bits().to_le_bytes()),
        ValueRef::Text(text) => tagged(3, text),
        ValueRef::Blob(bytes) => tagged(4, bytes),
    }
}
