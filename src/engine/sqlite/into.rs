//! Loading a database into a file: written beside it and given its name at the end, or one table of it copied into a file
//! that may hold others.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, config::DbConfig};

use super::super::{
    EngineError,
    into::{Held, HeldStream, LoadResult, Loaded, Loader, Options, Step, find, must_be, occupied, wrong},
};
use crate::{
    model::{Cancel, SourceKind},
    source::sqlite::print::{self, Integrity},
};

const OTHER: &str = "name another file, or give --clean to replace it";

/// See the module.
pub(in crate::engine) struct Into {
    path: PathBuf,
    options: Options,
    /// The database of the snapshot.
    database: String,
    /// The file that is written, until it has its name.
    partial: Option<PathBuf>,
    notes: Vec<String>,
}

impl Into {
    pub(in crate::engine) fn new(path: PathBuf, options: Options) -> Self {
        Self { path, options, database: String::new(), partial: None, notes: Vec::new() }
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut name: OsString = self.path.clone().into_os_string();
        name.push(end);
        name.into()
    }

    fn must_be_free(&self) -> LoadResult<()> {
        let meta = fs::symlink_metadata(&self.path).ok();
        if meta.as_ref().is_some_and(|meta| !meta.is_file()) {
            return occupied(format!("{} is there and is not a file", self.path.display()), OTHER);
        }
        for end in ["-wal", "-journal"] {
            let path = self.beside(end);
            if fs::symlink_metadata(&path).is_ok_and(|log| log.len() > 0) {
                // SQLite would read the log of an earlier database into the one that is restored.
                let Some(_) = meta else {
                    let what = format!("{} is there: the log of a database that was at this place", path.display());
                    return occupied(what, "move it to the database that it belongs to, or name another file");
                };
                let what = format!("{} is there: the database is in use, or what used it was killed", path.display());
                return occupied(what, "stop what uses it, open it once with sqlite3, and try again");
            }
        }
        let Some(meta) = meta else { return Ok(()) };
        if meta.len() > 0 {
            self.must_not_be_in_use()?;
        }
        if let (Some(table), false) = (&self.options.table, self.options.clean) {
            let there: Option<i64> = open(&self.path)
                .and_then(|db| {
                    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
                    db.query_row(sql, [table], |row| row.get(0)).optional()
                })
                .map_err(|e| failed(&self.path, &e))?;
            if there.is_some() {
                return occupied(format!("{} has a table {table} already", self.path.display()), OTHER);
            }
        } else if self.options.table.is_none() && !self.options.clean && meta.len() > 0 {
            return occupied(format!("{} is there already", self.path.display()), OTHER);
        }
        Ok(())
    }

    /// Whoever has the database open would go on with a file that is another, or with none.
    fn must_not_be_in_use(&self) -> LoadResult<()> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let locked = Connection::open_with_flags(&self.path, flags).and_then(|db| {
            db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
            db.execute_batch("BEGIN EXCLUSIVE; ROLLBACK")
        });
        match locked {
            Err(rusqlite::Error::SqliteFailure(error, _))
                if matches!(error.code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) =>
            {
                let what = format!("{} is in use", self.path.display());
                occupied(what, "stop what uses it, and try again")
            }
            // What is no database is replaced, or refused by what comes next.
            _ => Ok(()),
        }
    }

    /// Gives the whole database its name.
    fn place_whole(&self, partial: &Path) -> LoadResult<()> {
        let failed = |e| EngineError::at("can't give the database its name", &self.path, e);
        File::open(partial).and_then(|file| file.sync_all()).map_err(failed)?;
        let empty = fs::metadata(&self.path).is_ok_and(|meta| meta.len() == 0);
        if self.options.clean || empty {
            fs::rename(partial, &self.path).map_err(failed)?;
        } else {
            // Unlike a rename, a link takes nobody's place.
            fs::hard_link(partial, &self.path).map_err(failed)?;
            fs::remove_file(partial).map_err(failed)?;
        }
        let above = self.path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(File::open(above).and_then(|dir| dir.sync_all()).map_err(failed)?)
    }

    /// Copies one table.
    fn place_table(&mut self, partial: &Path, table: &str) -> LoadResult<()> {
        let new = !self.path.exists();
        let copied = copy(partial, &self.path, table, self.options.clean);
        let rows = copied.map_err(|e| failed(&self.path, &e))?;
        if new {
            let mode = Permissions::from_mode(0o600);
            fs::set_permissions(&self.path, mode).map_err(|e| EngineError::at("can't finish", &self.path, e))?;
        }
        self.notes.push(format!("{table}: {rows} rows, with its indexes; triggers are left out"));
        let _ = fs::remove_file(partial);
        Ok(())
    }
}

fn failed(path: &Path, error: &rusqlite::Error) -> EngineError {
    EngineError::new(format!("SQLite says: {error}"), path.display().to_string())
}

/// Opens a file that may hold other tables.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(db)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Copies a table with its rows and indexes, all of it or nothing. What the file says of its schema is not trusted.
fn copy(from: &Path, to: &Path, table: &str, clean: bool) -> rusqlite::Result<usize> {
    let mut db = open(to)?;
    db.execute("ATTACH DATABASE ?1 AS restored", [from.to_string_lossy()])?;
    let transaction = db.transaction()?;
    let name = quoted(table);
    if clean {
        transaction.execute(&format!("DROP TABLE IF EXISTS main.{name}"), [])?;
    }
    let kept = |kind: &str| -> rusqlite::Result<Vec<String>> {
        let sql = "SELECT sql FROM restored.sqlite_schema WHERE type = ?1 AND tbl_name = ?2 AND sql IS NOT NULL";
        let mut statement = transaction.prepare(sql)?;
        let rows = statement.query_map([kind, table], |row| row.get(0))?;
        rows.collect()
    };
    // Only what makes it, and of that the first statement alone.
    let run = |sql: &str, starts: &[&str]| -> rusqlite::Result<()> {
        let upper = sql.to_ascii_uppercase();
        if starts.iter().any(|start| upper.starts_with(start)) {
            transaction.prepare(sql)?.execute([])?;
        }
        Ok(())
    };
    for sql in kept("table")? {
        run(&sql, &["CREATE TABLE ", "CREATE TABLE\"", "CREATE TABLE\n"])?;
    }
    let columns: Vec<String> = {
        let mut statement =
            transaction.prepare("SELECT name FROM pragma_table_xinfo(?1, 'restored') WHERE hidden = 0")?;
        let rows = statement.query_map([table], |row| row.get::<_, String>(0))?;
        rows.map(|name| name.map(|name| quoted(&name))).collect::<rusqlite::Result<_>>()?
    };
    let columns = columns.join(", ");
    let rows = transaction
        .execute(&format!("INSERT INTO main.{name} ({columns}) SELECT {columns} FROM restored.{name}"), [])?;
    for sql in kept("index")? {
        run(&sql, &["CREATE INDEX ", "CREATE UNIQUE INDEX "])?;
    }
    transaction.commit()?;
    Ok(rows)
}

impl Loader for Into {
    fn prepare(&mut self, held: &Held) -> LoadResult<Vec<Step>> {
        must_be(held, &[SourceKind::Sqlite], "SQLite")?;
        let called: Vec<&str> = held.streams.iter().map(HeldStream::called).collect();
        let chosen = match (&self.options.database, held.streams.as_slice()) {
            (Some(name), _) => {
                let name = find("database", name, &called)?;
                held.streams.iter().find(|stream| stream.called() == name)
            }
            (None, [one]) => Some(one),
            (None, _) => None,
        };
        let Some(chosen) = chosen else {
            let what = format!("the snapshot holds {} databases", held.streams.len());
            return wrong(what, format!("say which with --database: {}", called.join(", ")));
        };
        if let Some(table) = self.options.table.clone() {
            let of = |print: &&crate::model::Fingerprint| print.streams.contains(&chosen.name);
            if let Some(print) = held.fingerprints.iter().find(of) {
                let known: Vec<&str> = print.tables.keys().map(String::as_str).collect();
                self.options.table = Some(find("table", &table, &known)?.to_owned());
            }
        }
        self.must_be_free()?;
        chosen.called().clone_into(&mut self.database);
        Ok(vec![Step { stream: chosen.name.clone(), label: self.database.clone() }])
    }

    fn place(&self) -> String {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        format!("sqlite:{}", path.display())
    }

    fn words(&self) -> BTreeMap<&'static str, String> {
        let mut words = BTreeMap::from([("into", self.place()), ("database", self.database.clone())]);
        if let Some(table) = &self.options.table {
            words.insert("table", table.clone());
        }
        if self.options.clean {
            words.insert("clean", "true".to_owned());
        }
        words
    }

    fn begin(&mut self, _step: usize, _cancel: &Cancel) -> LoadResult<Box<dyn Write + Send>> {
        let partial = self.beside(".strongroom-partial");
        // What a restore that was killed has left.
        let _ = fs::remove_file(&partial);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        let file = made.map_err(|e| EngineError::at("can't make the file", &partial, e))?;
        self.partial = Some(partial);
        Ok(Box::new(file))
    }

    fn end(&mut self, _step: usize) -> LoadResult<()> {
        let Some(partial) = self.partial.clone() else { return Ok(()) };
        match print::open(&partial).map(|db| print::integrity(&db)) {
            Ok(Integrity::Whole | Integrity::Unknown(_)) => {}
            Ok(Integrity::Damaged(found)) => {
                let what = format!("every byte came back, and integrity_check says: {}", found.join("; "));
                return Err(EngineError::new(what, &self.database).into());
            }
            Err(e) => return Err(failed(&partial, &e).into()),
        }
        match self.options.table.clone() {
            None => self.place_whole(&partial)?,
            Some(table) => self.place_table(&partial, &table)?,
        }
        self.partial = None;
        Ok(())
    }

    fn cut_off(&mut self, _step: usize) -> Option<LoadResult<()>> {
        let partial = self.partial.clone()?;
        let free = crate::source::scratch::free(partial.parent()?).unwrap_or_default();
        let what = format!("can't be written; its disk has {free} bytes free");
        Some(Err(EngineError::new(what, partial.display().to_string()).into()))
    }

    fn abandon(&mut self) -> Option<String> {
        let partial = self.partial.take()?;
        let _ = fs::remove_file(partial);
        None
    }

    fn finish(&mut self, _cancel: &Cancel) -> LoadResult<Loaded> {
        let loaded = self.options.table.clone().unwrap_or_else(|| self.database.clone());
        Ok(Loaded { loaded: vec![loaded], notes: std::mem::take(&mut self.notes) })
    }
}

impl Drop for Into {
    fn drop(&mut self) {
        drop(self.abandon());
    }
}
