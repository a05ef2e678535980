//! What was read of a forge, on this host: an SQLite file in the writer's state directory, for its user alone. It lets a run
//! ask only for what changed, and one that was killed go on. Lost, it costs one pass through everything.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

use rusqlite::{Connection, OptionalExtension, params};

use super::{Result, SourceError};

/// The version of the tables below. Another one is begun anew.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE entry (repo INTEGER, kind TEXT, parent INTEGER, ord INTEGER, id TEXT, rev TEXT, pass INTEGER, json BLOB);
CREATE UNIQUE INDEX entry_by_id ON entry (repo, kind, parent, id);
CREATE INDEX entry_in_order ON entry (repo, kind, parent, ord, id);
CREATE TABLE kind (repo INTEGER, kind TEXT, pass INTEGER, done INTEGER, next TEXT, since TEXT, etag TEXT, told TEXT,
    PRIMARY KEY (repo, kind));
CREATE TABLE child (repo INTEGER, kind TEXT, parent INTEGER, rev TEXT, PRIMARY KEY (repo, kind, parent)) WITHOUT ROWID;
CREATE TABLE word (name TEXT PRIMARY KEY, value TEXT);
";

/// The memory of one source.
pub(super) struct Memory {
    db: Connection,
}

/// One entry, as it is kept.
pub(super) struct Entry<'a> {
    /// The issue or the like that it belongs to; 0 for none.
    pub(super) parent: i64,
    /// Where it stands among its like.
    pub(super) ord: i64,
    /// What tells it from its like.
    pub(super) id: &'a str,
    /// What changes whenever it does.
    pub(super) rev: &'a str,
    /// It, on one line.
    pub(super) json: &'a [u8],
}

/// How far a kind of a repository is.
#[derive(Debug, Default, Clone)]
pub(super) struct Progress {
    pub(super) pass: i64,
    pub(super) done: bool,
    /// The page to go on with.
    pub(super) next: Option<String>,
    /// From when on the next run asks for changes.
    pub(super) since: Option<String>,
    pub(super) etag: Option<String>,
    /// What the manifest is to say of it.
    pub(super) told: Option<String>,
}

impl Memory {
    /// Opens the memory at `path`, or begins one.
    ///
    /// # Errors
    /// If the directory can't be written to.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if let Some(dir) = path.parent() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(|e| SourceError::at("can't make the directory", dir, e))?;
        }
        match Self::at(path) {
            Ok(memory) => Ok(memory),
            // Damaged, or of another version: it can be had again.
            Err(error) => {
                tracing::info!(%error, "what was remembered of the forge can't be used, and is begun anew");
                for end in ["", "-wal", "-shm"] {
                    let mut name = path.as_os_str().to_owned();
                    name.push(end);
                    let _ = fs::remove_file(Path::new(&name));
                }
                Self::at(path)
            }
        }
    }

    fn at(path: &Path) -> Result<Self> {
        // Before anything is in it.
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|e| SourceError::at("can't be opened", path, e))?;
        let private = file.set_permissions(fs::Permissions::from_mode(0o600));
        private.map_err(|e| SourceError::at("can't be made private", path, e))?;
        let db = Connection::open(path).map_err(failed)?;
        // What the last second wrote may be lost with the power; the next run asks again.
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16000;")
            .map_err(failed)?;
        let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        if version == 0 {
            db.execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")).map_err(failed)?;
        } else if version != VERSION {
            return Err(SourceError::new(format!("is of version {version}"), path.display().to_string()));
        }
        db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)).map_err(failed).and_then(|told| {
            if told == "ok" { Ok(()) } else { Err(SourceError::new("is damaged", path.display().to_string())) }
        })?;
        Ok(Self { db })
    }

    pub(super) fn begin(&self) -> Result<()> {
        self.db.execute_batch("BEGIN").map_err(failed)
    }

    pub(super) fn commit(&self) -> Result<()> {
        self.db.execute_batch("COMMIT").map_err(failed)
    }

    /// Takes back what came since [`begin`](Self::begin).
    pub(super) fn take_back(&self) -> Result<()> {
        self.db.execute_batch("ROLLBACK").map_err(failed)
    }

    pub(super) fn word(&self, name: &str) -> Result<Option<String>> {
        let found = self.db.query_row("SELECT value FROM word WHERE name = ?", [name], |row| row.get(0));
        found.optional().map_err(failed)
    }

    pub(super) fn set_word(&self, name: &str, value: &str) -> Result<()> {
        self.db.execute("INSERT OR REPLACE INTO word VALUES (?, ?)", [name, value]).map(drop).map_err(failed)
    }

    /// Keeps an entry, in place of an older one.
    pub(super) fn keep(&self, repo: i64, kind: &str, pass: i64, entry: &Entry<'_>) -> Result<()> {
        let text = "INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (repo, kind, parent, id) \
                    DO UPDATE SET ord = ?4, rev = ?6, pass = ?7, json = ?8";
        let mut statement = self.db.prepare_cached(text).map_err(failed)?;
        let Entry { parent, ord, id, rev, json } = entry;
        statement.execute(params![repo, kind, parent, ord, id, rev, pass, json]).map(drop).map_err(failed)
    }

    /// Whether there is such an entry.
    pub(super) fn has(&self, repo: i64, kind: &str, id: &str) -> Result<bool> {
        let text = "SELECT EXISTS (SELECT 1 FROM entry WHERE repo = ? AND kind = ? AND parent = 0 AND id = ?)";
        let mut statement = self.db.prepare_cached(text).map_err(failed)?;
        statement.query_row(params![repo, kind, id], |row| row.get(0)).map_err(failed)
    }

    /// What an entry of that number was changed by last.
    pub(super) fn rev(&self, repo: i64, kind: &str, number: i64) -> Result<Option<String>> {
        let text = "SELECT rev FROM entry WHERE repo = ? AND kind = ? AND parent = 0 AND ord = ?";
        let mut statement = self.db.prepare_cached(text).map_err(failed)?;
        statement.query_row(params![repo, kind, number], |row| row.get(0)).optional().map_err(failed)
    }

    /// Whether a pull request is among the entries of a kind that were met since that mark.
    pub(super) fn met_pulls(&self, repo: i64, kind: &str, pass: i64) -> Result<bool> {
        let text = "SELECT EXISTS (SELECT 1 FROM entry WHERE repo = ? AND kind = ? AND pass >= ? \
                    AND json_type(CAST(json AS TEXT), '$.pull_request') = 'object')";
        self.db.query_row(text, params![repo, kind, pass], |row| row.get(0)).map_err(failed)
    }

    pub(super) fn progress(&self, repo: i64, kind: &str) -> Result<Progress> {
        let text = "SELECT pass, done, next, since, etag, told FROM kind WHERE repo = ? AND kind = ?";
        let found = self.db.query_row(text, params![repo, kind], |row| {
            Ok(Progress {
                pass: row.get(0)?,
                done: row.get(1)?,
                next: row.get(2)?,
                since: row.get(3)?,
                etag: row.get(4)?,
                told: row.get(5)?,
            })
        });
        Ok(found.optional().map_err(failed)?.unwrap_or_default())
    }

    pub(super) fn set_progress(&self, repo: i64, kind: &str, progress: &Progress) -> Result<()> {
        let Progress { pass, done, next, since, etag, told } = progress;
        let text = "INSERT OR REPLACE INTO kind VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        self.db.execute(text, params![repo, kind, pass, done, next, since, etag, told]).map(drop).map_err(failed)
    }

    /// How many entries of a kind there are, and how many of these were met since that mark.
    pub(super) fn count(&self, repo: i64, kind: &str, pass: i64) -> Result<(u64, u64)> {
        let text = "SELECT count(*), coalesce(sum(pass >= ?), 0) FROM entry WHERE repo = ? AND kind = ?";
        let counted = self.db.query_row(text, params![pass, repo, kind], |row| {
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()))
        });
        counted.map_err(failed)
    }

    /// How many entries of a kind belong to one parent.
    pub(super) fn count_of(&self, repo: i64, kind: &str, parent: i64) -> Result<u64> {
        let text = "SELECT count(*) FROM entry WHERE repo = ? AND kind = ? AND parent = ?";
        let mut statement = self.db.prepare_cached(text).map_err(failed)?;
        let counted = statement.query_row(params![repo, kind, parent], |row| row.get::<_, i64>(0));
        counted.map(i64::unsigned_abs).map_err(failed)
    }

    /// How many entries of a kind have that place.
    pub(super) fn count_at(&self, repo: i64, kind: &str, ord: i64) -> Result<u64> {
        let text = "SELECT count(*) FROM entry WHERE repo = ? AND kind = ? AND ord = ?";
        let counted = self.db.query_row(text, params![repo, kind, ord], |row| row.get::<_, i64>(0));
        counted.map(i64::unsigned_abs).map_err(failed)
    }

    /// Forgets the entries of a kind that were last met with another mark; gives the first names of these, and how many there were.
    pub(super) fn forget_unmet(&self, repo: i64, kind: &str, pass: i64) -> Result<(Vec<String>, u64)> {
        let text = "SELECT CASE WHEN parent = 0 THEN '' ELSE parent || '/' END || CASE WHEN ord = 0 THEN id ELSE ord END \
                    FROM entry WHERE repo = ? AND kind = ? AND pass <> ? ORDER BY parent, ord LIMIT 100";
        let mut statement = self.db.prepare_cached(text).map_err(failed)?;
        let names = statement.query_map(params![repo, kind, pass], |row| row.get(0)).map_err(failed)?;
        let names = names.collect::<rusqlite::Result<Vec<String>>>().map_err(failed)?;
        let text = "DELETE FROM entry WHERE repo = ? AND kind = ? AND pass <> ?";
        let gone = self.db.execute(text, params![repo, kind, pass]).map_err(failed)?;
        Ok((names, gone as u64))
    }

    /// Forgets all that belongs to one parent.
    pub(super) fn forget_of(&self, repo: i64, kind: &str, parent: i64) -> Result<()> {
        let mut statement =
            self.db.prepare_cached("DELETE FROM entry WHERE repo = ? AND kind = ? AND parent = ?").map_err(failed)?;
        statement.execute(params![repo, kind, parent]).map(drop).map_err(failed)
    }

    /// Forgets what a query gave of a kind whose list has numbers, in place of which the list is read.
    pub(super) fn forget_asked(&self, repo: i64, kind: &str) -> Result<()> {
        let text = "DELETE FROM entry WHERE repo = ? AND kind = ? AND id GLOB '*[^0-9]*'";
        self.db.execute(text, params![repo, kind]).map(drop).map_err(failed)
    }

    /// The names in queries of what was made since then.
    pub(super) fn nodes_since(&self, repo: i64, kind: &str, since: &str) -> Result<BTreeSet<String>> {
        let text = "SELECT CAST(json_extract(CAST(json AS TEXT), '$.node_id') AS TEXT) FROM entry WHERE repo = ? AND kind = ? \
                    AND json_extract(CAST(json AS TEXT), '$.created_at') >= ?";
        let mut statement = self.db.prepare_cached(text).map_err(failed)?;
        let rows = statement.query_map(params![repo, kind, since], |row| row.get::<_, Option<String>>(0));
        let rows = rows.map_err(failed)?.filter_map(std::result::Result::transpose);
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    /// Forgets all of a kind.
    pub(super) fn forget(&self, repo: i64, kind: &str) -> Result<()> {
        for table in ["entry", "child", "kind"] {
            let text = format!("DELETE FROM {table} WHERE repo = ? AND kind = ?");
            self.db.execute(&text, params![repo, kind]).map_err(failed)?;
        }
        Ok(())
    }

    /// Forgets what belongs to no entry of `of` any longer.
    pub(super) fn forget_orphans(&self, repo: i64, kind: &str, of: &str) -> Result<u64> {
        let mut gone = 0;
        for table in ["entry", "child"] {
            let text = format!(
                "DELETE FROM {table} WHERE repo = ?1 AND kind = ?2 AND parent NOT IN \
                 (SELECT ord FROM entry WHERE repo = ?1 AND kind = ?3)"
            );
            let deleted = self.db.execute(&text, params![repo, kind, of]).map_err(failed)?;
            gone += if table == "entry" { deleted as u64 } else { 0 };
        }
        Ok(gone)
    }

    /// The next parents, behind `after`, whose children of `kind` were not read since they changed last, with what they
    /// were changed by.
    pub(super) fn stale(&self, repo: i64, kind: &str, of: &str, after: i64) -> Result<Vec<(i64, String)>> {
        let text = "SELECT e.ord, e.rev FROM entry e LEFT JOIN child c ON c.repo = e.repo AND c.kind = ?2 AND c.parent = e.ord \
                    WHERE e.repo = ?1 AND e.kind = ?3 AND e.parent = 0 AND e.ord > ?4 AND (c.rev IS NULL OR c.rev <> e.rev) \
                    ORDER BY e.ord LIMIT 200";
        let mut statement = self.db.prepare_cached(text).map_err(failed)?;
        let rows = statement.query_map(params![repo, kind, of, after], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.map_err(failed)?.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    /// Notes that the children of a parent were read.
    pub(super) fn set_child(&self, repo: i64, kind: &str, parent: i64, rev: &str) -> Result<()> {
        let mut statement =
            self.db.prepare_cached("INSERT OR REPLACE INTO child VALUES (?, ?, ?, ?)").map_err(failed)?;
        statement.execute(params![repo, kind, parent, rev]).map(drop).map_err(failed)
    }

    /// An entry of that number, as it came.
    pub(super) fn line(&self, repo: i64, kind: &str, number: i64) -> Result<Option<Vec<u8>>> {
        let text = "SELECT json FROM entry WHERE repo = ? AND kind = ? AND parent = 0 AND ord = ?";
        let mut statement = self.db.prepare_cached(text).map_err(failed)?;
        statement.query_row(params![repo, kind, number], |row| row.get(0)).optional().map_err(failed)
    }

    /// Forgets that the children of a kind were read.
    pub(super) fn forget_children_of(&self, repo: i64, kind: &str) -> Result<()> {
        let text = "DELETE FROM child WHERE repo = ? AND kind = ?";
        self.db.execute(text, params![repo, kind]).map(drop).map_err(failed)
    }

    /// What a parent had been changed by when its children were read, if they ever were.
    pub(super) fn child(&self, repo: i64, kind: &str, parent: i64) -> Result<Option<String>> {
        let text = "SELECT rev FROM child WHERE repo = ? AND kind = ? AND parent = ?";
        let mut statement = self.db.prepare_cached(text).map_err(failed)?;
        statement.query_row(params![repo, kind, parent], |row| row.get(0)).optional().map_err(failed)
    }

    /// Forgets whose children were read, for a pass through everything.
    pub(super) fn forget_children(&self) -> Result<()> {
        self.db.execute("DELETE FROM child", []).map(drop).map_err(failed)
    }

    /// Forgets repositories that are none of these.
    pub(super) fn retain(&self, repos: &[i64]) -> Result<()> {
        self.db
            .execute_batch("CREATE TEMP TABLE IF NOT EXISTS there (repo INTEGER PRIMARY KEY); DELETE FROM there;")
            .map_err(failed)?;
        for repo in repos {
            self.db.execute("INSERT OR IGNORE INTO there VALUES (?)", [repo]).map_err(failed)?;
        }
        for table in ["entry", "child", "kind"] {
            let text = format!("DELETE FROM {table} WHERE repo NOT IN (SELECT repo FROM there)");
            self.db.execute(&text, []).map_err(failed)?;
        }
        Ok(())
    }

    /// The entry behind `after` of a kind, in order: its place, and what it is.
    pub(super) fn following(&self, repo: i64, kind: &str, after: &Place) -> Result<Option<(Place, Vec<u8>)>> {
        let text = "SELECT parent, ord, id, json FROM entry WHERE repo = ? AND kind = ? AND (parent, ord, id) > (?, ?, ?) \
                    ORDER BY parent, ord, id LIMIT 1";
        let mut statement = self.db.prepare_cached(text).map_err(failed)?;
        let (parent, ord, id) = after;
        let found = statement.query_row(params![repo, kind, parent, ord, id], |row| {
            Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get(3)?))
        });
        found.optional().map_err(failed)
    }
}

/// Where an entry stands: its parent, its number, its id.
pub(super) type Place = (i64, i64, String);

/// Before all of them.
pub(super) const FIRST: Place = (i64::MIN, i64::MIN, String::new());

#[allow(clippy::needless_pass_by_value)] // It stands in `map_err`.
fn failed(error: rusqlite::Error) -> SourceError {
    SourceError::new(format!("fails: {error}"), "what is remembered of the forge, in the writer's state directory")
}
