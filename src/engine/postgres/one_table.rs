//! One table of a dump, into a database that may have what it needs, or may not: the archive's contents are read first, and
//! of what the table needs that is restored which the database lacks.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::fd::AsRawFd as _,
    process::{Command, Stdio, id},
};

use super::{
    super::{
        EngineError,
        into::{Held, HeldStream, Kept, LoadError, LoadResult, find, occupied, wrong},
    },
    contents::{Contents, Needed, Picked, of_label, question},
    load::{identifier, literal},
};
use crate::{
    model::Name,
    source::postgres::{DatabaseStreams, Session, file_name},
};

/// How fingerprints call tables that have no rows of their own.
const PARTITIONED: &str = "partitioned table ";
const NEXT: &str = "give --into a database in which what the message names is there (pg_restore --section=pre-data of the dump \
                    makes all of it), or restore the whole database into one beside, without --table";

/// The table that is wanted.
#[derive(Debug)]
pub(super) struct OneTable {
    pub(super) schema: String,
    pub(super) name: String,
    /// Whether it may have partitions.
    partitioned: bool,
    /// The tables of the database.
    known: Vec<(String, String)>,
    /// Where the archive's contents go, and the list of those that are wanted.
    printed: Option<File>,
    list: Option<File>,
    /// The table and its partitions.
    tables: Vec<(String, String)>,
}

fn memory(called: &str) -> LoadResult<File> {
    let made = rustix::fs::memfd_create(called, rustix::fs::MemfdFlags::CLOEXEC);
    Ok(made.map(File::from).map_err(|e| failed(e.into()))?)
}

fn failed(e: io::Error) -> EngineError {
    EngineError { what: "can't hold the contents of the dump".to_owned(), object: "memory".to_owned(), source: Some(e) }
}

impl OneTable {
    /// Finds out which one is meant, and gives the streams that may have something of it.
    pub(super) fn narrow(
        wanted: &str,
        held: &Held,
        database: &DatabaseStreams,
    ) -> LoadResult<(Self, Vec<Name>, String)> {
        let print = held.fingerprints.iter().find(|print| print.database == database.name);
        let without_rows = || {
            let all = print.into_iter().flat_map(|print| print.objects.keys());
            all.filter_map(|name| name.strip_prefix(PARTITIONED))
        };
        let tables = print.into_iter().flat_map(|print| print.tables.keys()).map(String::as_str);
        let labels: Vec<&str> = tables.chain(without_rows()).collect();
        let found = if labels.is_empty() { wanted } else { find("table", wanted, &labels)? };
        let Some((schema, name)) = of_label(found) else {
            return wrong(format!("--table {found}: of which schema?"), "say it as schema.table");
        };
        let known = labels.iter().filter_map(|label| of_label(label)).collect();
        let note =
            format!("{found}: the table, its rows and what it needs; indexes, keys, triggers and rights are left out");
        // Where a large table has an archive of its own, no other part is needed. Those of partitions are known by the contents.
        let own = format!(".tables/{}.dump", file_name(found));
        let partitioned = labels.is_empty() || without_rows().any(|label| label == found);
        let is_part = |stream: &&HeldStream| {
            let called = stream.called();
            database.streams.get(1..).is_some_and(|parts| parts.contains(&stream.name))
                && (partitioned || called.ends_with(&own))
        };
        let parts = held.streams.iter().filter(is_part).map(|stream| stream.name.clone());
        let table = Self { schema, name, partitioned, known, printed: None, list: None, tables: Vec::new() };
        Ok((table, database.streams.first().cloned().into_iter().chain(parts).collect(), note))
    }

    /// For people, and for those who approve it.
    pub(super) fn told(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Has `command`, which is `pg_restore`, print the contents of what it reads.
    pub(super) fn print(&mut self, command: &mut Command) -> LoadResult<Stdio> {
        let file = memory("contents")?;
        let out = file.try_clone().map_err(failed)?;
        self.printed = Some(file);
        command.args(["--list", "--verbose"]);
        Ok(out.into())
    }

    /// Chooses out of the contents. `session` is in the database that is filled, if it is there; `clean` replaces the table.
    pub(super) fn choose(&mut self, session: Option<&mut Session>, clean: bool) -> LoadResult<Option<String>> {
        let mut text = Vec::new();
        if let Some(mut file) = self.printed.take() {
            file.seek(SeekFrom::Start(0)).map_err(failed)?;
            file.take(Kept::LIMIT).read_to_end(&mut text).map_err(failed)?;
        }
        let contents = Contents::of(&String::from_utf8_lossy(&text));
        let Some(picked) = contents.pick((&self.schema, &self.name), self.partitioned, &self.known) else {
            return wrong(format!("the dump has no table {}", self.told()), "restore without --table, or by --to DIR");
        };
        let there = match session {
            Some(session) => Self::there(session, &contents, &picked, clean)?,
            None => BTreeSet::new(),
        };
        let mut list = memory("list")?;
        list.write_all(contents.list(&picked, &there).as_bytes()).map_err(failed)?;
        self.list = Some(list);
        let made: Vec<String> =
            contents.needed(&picked).iter().filter(|one| !there.contains(&one.id)).map(Needed::told).collect();
        self.tables = picked.tables;
        Ok((!made.is_empty()).then(|| format!("made as well, since the table needs it: {}", made.join(", "))))
    }

    fn there(session: &mut Session, contents: &Contents, picked: &Picked, clean: bool) -> LoadResult<BTreeSet<u64>> {
        session.run("ask what is there", "set search_path = ''")?;
        let mut ask = |all: &[Needed]| -> LoadResult<BTreeSet<u64>> {
            let Some(sql) = question(all, identifier, literal) else { return Ok(BTreeSet::new()) };
            Ok(session.ask::<u64>("look for what the table needs", &sql)?.into_iter().collect())
        };
        if !clean {
            let own = contents.own(picked);
            let found = ask(&own)?;
            if let Some(first) = own.iter().find(|one| found.contains(&one.id)) {
                let next = "name another database in the DSN, or drop it; --clean replaces what is there";
                return occupied(format!("the database has a {} already", first.told()), next);
            }
        }
        ask(&contents.needed(picked))
    }

    /// What `pg_restore` is told of an archive; nothing where it has nothing of the table. `own` is the path of the archive of
    /// one table's rows.
    pub(super) fn options(&self, own: Option<&str>) -> Option<Vec<String>> {
        let Some(own) = own else {
            let list = self.list.as_ref()?;
            return Some(vec!["-L".to_owned(), format!("/proc/{}/fd/{}", id(), list.as_raw_fd())]);
        };
        let (schema, name) = self.tables.iter().find(|(schema, name)| {
            // The server quotes what must be, keywords among it.
            let spelled = |name: &str| [name.to_owned(), identifier(name)];
            let (schemas, names) = (spelled(schema), spelled(name));
            let mut all = schemas.iter().flat_map(|schema| names.iter().map(move |name| format!("{schema}.{name}")));
            all.any(|label| own.ends_with(&format!(".tables/{}.dump", file_name(&label))))
        })?;
        Some(vec!["-n".to_owned(), schema.clone(), "-t".to_owned(), name.clone()])
    }

    /// What it means that the server did not take it.
    pub(super) fn not_taken(error: LoadError) -> LoadError {
        match error {
            LoadError::Engine(EngineError { what, object, source: None }) => {
                LoadError::Lacking { what, object, next: NEXT.to_owned() }
            }
            other => other,
        }
    }
}

/// What takes nothing of an archive that has nothing of the table.
pub(super) struct Unwanted;

impl io::Write for Unwanted {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
