//! SQLite: the restored files are opened for reading, with a schema that is not trusted, by a process that is confined.

mod apart;
pub(super) mod into;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, types::ValueRef};

use self::apart::{Answer, Ask, Request};
pub use self::apart::{WORD, serve};
use super::{Check, Engine, EngineError, Place, Restored, Result, compare, watchdog::Watchdog};
use crate::{
    model::Fingerprint,
    source::sqlite::print::{self, Integrity},
};

/// The files of a snapshot.
pub struct Sqlite {
    place: Place,
    files: Vec<(String, PathBuf)>,
}

impl Sqlite {
    /// Works in `place`.
    #[must_use]
    pub fn new(place: &Place) -> Self {
        Self { place: place.clone(), files: Vec::new() }
    }

    fn ask(&self, ask: Ask) -> Result<Answer> {
        let request = Request { files: self.files.clone(), ask };
        let warden = &self.place.warden;
        if let Some(program) = warden.own_program() {
            return apart::ask(warden, program, &self.place.dir, &request);
        }
        warden.note("", "none: --unconfined");
        apart::answer(&request)
    }
}

impl Engine for Sqlite {
    fn describe(&self) -> String {
        format!("sqlite {}", rusqlite::version())
    }

    fn load(&mut self, restored: &Restored) -> Result<()> {
        self.files = restored.streams.iter().map(|stream| (stream.name.to_string(), stream.file.clone())).collect();
        if self.files.is_empty() {
            return Err(EngineError::new("the snapshot holds no database", restored.source.as_str()));
        }
        self.ask(Ask::Open).map(drop)
    }

    fn check(&mut self, restored: &Restored) -> Vec<Check> {
        let mut checks = match self.ask(Ask::Check(restored.fingerprints.clone())) {
            Ok(Answer::Checks(checks)) => checks,
            Ok(_) => vec![Check::error("integrity_check", "the answer is not understood")],
            Err(e) => vec![Check::error("integrity_check", e.to_string())],
        };
        if restored.fingerprints.is_empty() {
            checks.push(Check::error("fingerprint", "the backup recorded no tables, so there is nothing to compare"));
        }
        checks
    }

    fn query(&mut self, database: Option<&str>, sql: &str, limit: Duration) -> Result<String> {
        match self.ask(Ask::Query(database.map(str::to_owned), sql.to_owned(), limit))? {
            Answer::Value(value) => Ok(value),
            _ => Err(EngineError::new("the answer is not understood", sql)),
        }
    }

    fn access(&self) -> Vec<(String, String)> {
        let path = self.files.first().map(|(_, file)| file.display().to_string());
        path.map(|path| ("STRONGROOM_DRILL_DATABASE".to_owned(), path)).into_iter().collect()
    }
}

/// Databases that are open.
struct Opened(Vec<(String, Connection)>);

impl Opened {
    fn open(files: &[(String, PathBuf)]) -> Result<Self> {
        let one = |(name, file): &(String, PathBuf)| {
            let failed = |e: rusqlite::Error| EngineError::new(format!("can't be opened: {e}"), name);
            open(file).map(|database| (name.clone(), database)).map_err(failed)
        };
        files.iter().map(one).collect::<Result<_>>().map(Self)
    }

    fn check(&self, fingerprints: &[Fingerprint]) -> Vec<Check> {
        let mut checks = Vec::new();
        for (name, database) in &self.0 {
            let what = format!("integrity_check {name}");
            checks.push(match print::integrity(database) {
                Integrity::Whole => Check::compare(what, "ok", "ok"),
                Integrity::Damaged(found) => Check::compare(what, "ok", found.join("; ")),
                Integrity::Unknown(why) => Check::error(what, why),
            });
        }
        for expected in fingerprints {
            let database = self.0.iter().find(|(name, _)| expected.streams.iter().any(|s| s.as_str() == name));
            let actual = database.map(|(_, database)| print::fingerprint(database));
            match actual {
                Some(Ok(actual)) => checks.extend(compare(expected, &actual)),
                Some(Err(e)) => checks.push(Check::error(format!("fingerprint {}", expected.database), e.to_string())),
                None => {
                    let why = "the snapshot does not hold the stream that it is of";
                    checks.push(Check::error(format!("fingerprint {}", expected.database), why));
                }
            }
        }
        checks
    }

    fn query(&self, database: Option<&str>, sql: &str, limit: Duration) -> Result<String> {
        let named = |(name, _): &&(String, Connection)| database.is_none_or(|database| database == name);
        let Some((name, database)) = self.0.iter().find(named) else {
            return Err(EngineError::new("there is no such database", database.unwrap_or_default()));
        };
        let answer = || -> rusqlite::Result<String> {
            let mut statement = database.prepare(sql)?;
            let mut rows = statement.query([])?;
            let Some(row) = rows.next()? else { return Ok(String::new()) };
            Ok(match row.get_ref(0)? {
                ValueRef::Null => String::new(),
                ValueRef::Integer(n) => n.to_string(),
                ValueRef::Real(n) => n.to_string(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat(),
            })
        };
        let interrupt = database.get_interrupt_handle();
        let watchdog = Watchdog::start(limit, move || interrupt.interrupt());
        let answer = answer();
        watchdog.call_off(sql)?;
        answer.map_err(|e| EngineError::new(e.to_string(), name))
    }
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let database = print::open(file)?;
    // What is no database is told when it is first read.
    database.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(database)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        engine::{RestoredStream, Status},
        model::{Fingerprint, Hash, SourceKind},
    };

    /// A restored database, with the fingerprint that it had before `change`.
    fn restored(dir: &std::path::Path, change: &str) -> Restored {
        let file = dir.join("app.db");
        let database = Connection::open(&file).unwrap();
        database.execute_batch("CREATE TABLE t(a); CREATE TABLE u(b); INSERT INTO t VALUES (1), (2)").unwrap();
        let taken: Fingerprint = print::fingerprint(&print::open(&file).unwrap()).unwrap();
        database.execute_batch(change).unwrap();
        drop(database);
        let name: crate::model::Name = "app.db".parse().unwrap();
        let stream = RestoredStream {
            name: name.clone(),
            bytes: fs::metadata(&file).unwrap().len(),
            file,
            blake3: Hash::from_bytes([0; 32]),
            meta: crate::model::FileMeta::default(),
        };
        Restored {
            cluster: None,
            log: None,
            source: "app".parse().unwrap(),
            kind: SourceKind::Sqlite,
            streams: vec![stream],
            repository: None,
            details: serde_json::Value::Null,
            fingerprints: vec![Fingerprint { database: "app.db".to_owned(), streams: vec![name], ..taken }],
        }
    }

    #[test]
    fn a_changed_row_is_found_and_its_table_named() {
        let dir = tempfile::tempdir().unwrap();
        let whole = restored(dir.path(), "");
        let mut engine = Sqlite::new(&Place::default());
        engine.load(&whole).unwrap();
        let checks = engine.check(&whole);
        assert!(checks.len() > 3 && checks.iter().all(Check::passed), "{checks:?}");
        assert_eq!(engine.query(None, "SELECT sum(a) FROM t", Duration::from_mins(1)).unwrap(), "3");
        assert!(engine.query(None, "INSERT INTO t VALUES (9)", Duration::from_mins(1)).is_err());
        assert!(engine.query(Some("other"), "SELECT 1", Duration::from_mins(1)).is_err());

        let dir = tempfile::tempdir().unwrap();
        let changed = restored(dir.path(), "UPDATE t SET a = 3 WHERE a = 2");
        let mut engine = Sqlite::new(&Place::default());
        engine.load(&changed).unwrap();
        let failed: Vec<Check> = engine.check(&changed).into_iter().filter(|check| !check.passed()).collect();
        assert!(
            matches!(&failed[..], [one] if one.name == "fingerprint app.db: t" && one.status == Status::Fail),
            "{failed:?}"
        );
    }
}
