//! The tables, and how a connection is set up.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::error::Fault;
use crate::model::{Name, VaultId};

/// The version of the tables below, kept in `user_version`. Another version is not migrated but built anew.
pub(super) const VERSION: i32 = 3;
/// The version that a run leaves behind which met damage: the next run does not use the file.
pub(super) const SUSPECT: i32 = -1;

/// Every table, as `sqlite_schema` must have it.
///
/// `chunks` has 8 million rows at 1 TiB, so it is one tree of small rows: no second index, no row ids. `packs` never
/// uses a number twice (AUTOINCREMENT), so a row that still names a forgotten pack can't come to mean another one.
const TABLES: [(&str, &str); 10] = [
    ("chunks", "CREATE TABLE chunks(id BLOB PRIMARY KEY, pack INTEGER NOT NULL, base INTEGER) STRICT, WITHOUT ROWID"),
    (
        "features",
        "CREATE TABLE features(feature INTEGER PRIMARY KEY, chunk BLOB NOT NULL, pack INTEGER NOT NULL) STRICT",
    ),
    ("forgotten", "CREATE TABLE forgotten(pack INTEGER PRIMARY KEY) STRICT"),
    (
        "kept",
        "CREATE TABLE kept(source TEXT NOT NULL, at INTEGER NOT NULL, name TEXT NOT NULL, path TEXT, bytes INTEGER NOT \
         NULL, blake3 BLOB NOT NULL, chunks BLOB NOT NULL, PRIMARY KEY(source, at)) STRICT, WITHOUT ROWID",
    ),
    (
        "memories",
        "CREATE TABLE memories(source TEXT PRIMARY KEY, snapshot BLOB NOT NULL, floor INTEGER NOT NULL, note TEXT NOT \
         NULL, sum BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    ("meta", "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID"),
    (
        "objects",
        "CREATE TABLE objects(key TEXT PRIMARY KEY, bytes INTEGER NOT NULL, version TEXT, lock_mode INTEGER, \
         lock_until INTEGER) STRICT, WITHOUT ROWID",
    ),
    (
        "packs",
        "CREATE TABLE packs(no INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, bytes INTEGER NOT NULL, \
         version TEXT, lock_mode INTEGER, lock_until INTEGER) STRICT",
    ),
    ("pending", "CREATE TABLE pending(pack INTEGER PRIMARY KEY, section BLOB NOT NULL) STRICT"),
    (
        "runs",
        "CREATE TABLE runs(snapshot BLOB PRIMARY KEY, seq INTEGER NOT NULL, source TEXT NOT NULL, finished INTEGER \
         NOT NULL, bytes_read INTEGER NOT NULL, bytes_stored INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    ),
];

/// How the connection behaves.
///
/// The page cache is bounded (16 MiB of the process's budget) and nothing is mapped, so a catalog larger than memory
/// costs reads, not memory. `synchronous=NORMAL` in WAL mode may lose the last transactions with the power, but never
/// leaves half of one: for a cache, that is the right trade. `cell_size_check` finds torn pages when they are read.
const PRAGMAS: &str = "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA cache_size=-16384; \
     PRAGMA mmap_size=0; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=67108864;";

/// How long a call waits for another process, such as one that shows the status, to let go of the file.
const BUSY: Duration = Duration::from_secs(2);

/// Sets the connection up; the first call that reads the file.
pub(super) fn prepare(conn: &Connection) -> Result<(), Fault> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(32);
    conn.execute_batch(PRAGMAS)?;
    Ok(())
}

/// Whether nothing was ever stored in the file, which a crash right after its creation leaves too.
pub(super) fn is_blank(conn: &Connection) -> Result<bool, Fault> {
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables == 0 && version(conn)? == 0)
}

/// Makes the tables, all or none.
pub(super) fn create(conn: &mut Connection, vault: VaultId, writer: &Name) -> Result<(), Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (_, sql) in TABLES {
        tx.execute(sql, [])?;
    }
    let insert = "INSERT INTO meta(key, value) VALUES(?1, ?2)";
    tx.execute(insert, ["vault", &vault.to_string()])?;
    tx.execute(insert, ["writer", writer.as_str()])?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()?;
    Ok(())
}

/// Checks version, tables and owner; cheap at any size.
pub(super) fn check(conn: &Connection, vault: VaultId, writer: &Name) -> Result<(), Fault> {
    match version(conn)? {
        VERSION => {}
        SUSPECT => return Err(Fault::Damaged("an earlier run found it damaged".to_owned())),
        other => {
            return Err(Fault::Damaged(format!("it has version {other}, this strongroom uses version {VERSION}")));
        }
    }
    let found = pairs(conn, "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")?;
    let same = |(name, sql): &(String, String)| TABLES.iter().any(|(n, s)| name == n && sql == s);
    if found.len() != TABLES.len() || !found.iter().all(same) {
        return Err(Fault::Damaged("its tables are not those of a catalog".to_owned()));
    }
    let meta = pairs(conn, "SELECT key, value FROM meta")?;
    for (key, wanted) in [("vault", vault.to_string()), ("writer", writer.to_string())] {
        let value = meta.iter().find(|(k, _)| k == key).map_or("nobody", |(_, v)| v.as_str());
        if value != wanted {
            return Err(Fault::Damaged(format!("it belongs to {key} {value}, not to {wanted}")));
        }
    }
    Ok(())
}

/// Notes that a rebuild was begun and did not end yet, or takes that back.
pub(super) fn set_partial(conn: &Connection, partial: bool) -> rusqlite::Result<()> {
    let sql = if partial {
        "INSERT OR REPLACE INTO meta(key, value) VALUES('rebuild', 'begun')"
    } else {
        "DELETE FROM meta WHERE key = 'rebuild'"
    };
    conn.execute(sql, []).map(drop)
}

/// Whether a rebuild was begun and did not end.
pub(super) fn is_partial(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT EXISTS(SELECT 1 FROM meta WHERE key = 'rebuild')", [], |row| row.get(0))
}

/// Reads the whole file for damage. Takes seconds for a catalog of gigabytes.
pub(super) fn check_deeply(conn: &Connection) -> Result<(), Fault> {
    let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(Fault::Damaged(verdict)) }
}

fn version(conn: &Connection) -> Result<i32, Fault> {
    Ok(conn.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn pairs(conn: &Connection, sql: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
