//! What a writer remembers of a source's journal: how far it was shipped, and which segments need not be shipped again.
//!
//! Like the catalog it is no more than a memory: where it is lost, the vault is asked.

use std::{
    collections::BTreeSet,
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use super::{RunLock, RunLockError, state};
use crate::model::{
    Hash, Name, VaultId,
    journal::{Line, Position},
};

/// Marks are kept of so many segments.
const MARKS: usize = 256;
/// The largest memory that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// How far a journal got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalNote {
    /// The cluster, of a `PostgreSQL` server.
    pub system: Option<u64>,
    /// The line, of a server whose log has but one.
    pub line: Option<Line>,
    /// The timeline, and up to where it was shipped.
    pub shipped: Option<(u32, Position)>,
    /// The end of what was shipped.
    pub tail: Option<Tail>,
    /// Timelines whose histories are in the vault.
    pub histories: BTreeSet<u32>,
}

/// The last bytes of a log that were shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The timeline.
    pub timeline: u32,
    /// Where they begin.
    pub from: Position,
    /// Where they end.
    pub to: Position,
    /// Their hash.
    pub hash: Hash,
    /// When the file of a binary log that they lie in was made, in seconds since 1970, by the server's clock.
    pub made: Option<u32>,
}

/// What is remembered of a file that was shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    hash: String,
    looks: Option<String>,
}

impl Mark {
    /// Whether it is of a file of these bytes.
    #[must_use]
    pub fn is_of(&self, hash: &Hash) -> bool {
        self.hash == hash.to_string()
    }

    /// Whether it is of a file that looks like this.
    #[must_use]
    pub fn looked(&self, looks: &str) -> bool {
        self.looks.as_deref() == Some(looks)
    }
}

/// What is remembered of a file that is to be shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Nothing of a file of its name.
    Unknown,
    /// That it was shipped, or was begun to be, with the same bytes.
    Same,
    /// That one of its name was, with other bytes.
    Other,
}

/// The memory of one source's journal: a directory.
#[derive(Debug, Clone)]
pub struct JournalMemory {
    dir: PathBuf,
}

impl JournalMemory {
    /// Opens the memory of `source`, and makes it if it is missing.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn open(state: &Path, vault: VaultId, writer: &Name, source: &Name) -> Result<Self, RunLockError> {
        let dir = state::path(state, vault, writer, "journal").join(source.as_str());
        let made = state::make_dir(&dir.join("marks")).and_then(|()| state::make_dir(&dir.join("begun")));
        made.map_err(|e| RunLockError::Io { what: "cannot make the journal's memory", path: dir.clone(), source: e })?;
        Ok(Self { dir })
    }

    /// The right to receive this source, for one process at a time.
    ///
    /// # Errors
    /// While another process has it.
    pub fn lock(&self) -> Result<RunLock, RunLockError> {
        RunLock::take(self.dir.join("lock"), "receiver of this source")
    }

    /// The right to push what waits behind a segment, for one process at a time.
    ///
    /// # Errors
    /// While another process has it.
    pub fn pushing(&self) -> Result<RunLock, RunLockError> {
        RunLock::take(self.dir.join("pushing"), "push of what waits")
    }

    /// Whether a process pushes what waits.
    #[must_use]
    pub fn is_pushing(&self) -> bool {
        RunLock::is_held(&self.dir.join("pushing"))
    }

    /// Where the receiver writes to.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.dir.join("wal")
    }

    /// What was noted; nothing where nothing was, or it can't be understood any more.
    ///
    /// # Errors
    /// If it is there and can't be read.
    pub fn note(&self) -> io::Result<JournalNote> {
        let path = self.dir.join("note");
        match fs::metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(JournalNote::default()),
            Err(e) => return Err(e),
            Ok(meta) if meta.len() > LARGEST => return Ok(JournalNote::default()),
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        Ok(read(&text).unwrap_or_default())
    }

    /// Notes it, whole or not at all.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write(&self, note: &JournalNote) -> io::Result<()> {
        replace(&self.dir.join("note"), spell(note).as_bytes())
    }

    /// Whether a file of these bytes was shipped.
    #[must_use]
    pub fn has(&self, file: &str, hash: &Hash) -> bool {
        self.marked(file).is_some_and(|mark| mark.is_of(hash))
    }

    /// The mark of a file that was shipped.
    #[must_use]
    pub fn marked(&self, file: &str) -> Option<Mark> {
        let told = fs::read_to_string(self.dir.join("marks").join(file)).ok()?;
        let mut lines = told.lines().map(str::to_owned);
        Some(Mark { hash: lines.next()?, looks: lines.next() })
    }

    /// Notes that a file of these bytes was shipped, so that nobody has to ship it again who is told to; with what it looked
    /// like, if it can be told by that.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn mark(&self, file: &str, hash: &Hash, looks: Option<&str>) -> io::Result<()> {
        let dir = self.dir.join("marks");
        let looks = looks.map_or_else(String::new, |looks| format!("{looks}\n"));
        // Not synced: a mark that is lost costs a put, and half a one is none.
        renewed(&dir.join(file), format!("{hash}\n{looks}").as_bytes(), false)?;
        trim(&dir)
    }

    /// Notes that a file of these bytes is about to be shipped: whatever happens then, whoever ships it again knows that what the
    /// vault may have of it is the same.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn begin(&self, file: &str, hash: &Hash) -> io::Result<()> {
        let dir = self.dir.join("begun");
        renewed(&dir.join(file), format!("{hash}\n").as_bytes(), true)?;
        trim(&dir)
    }

    /// What is remembered of a file that is to be shipped and has these bytes.
    #[must_use]
    pub fn taken(&self, file: &str, hash: &Hash) -> Taken {
        let begun = fs::read_to_string(self.dir.join("begun").join(file)).ok();
        let begun = begun.as_deref().and_then(|told| told.lines().next()).map(str::to_owned);
        let known: Vec<String> = self.marked(file).map(|mark| mark.hash).into_iter().chain(begun).collect();
        let own = hash.to_string();
        match known.as_slice() {
            [] => Taken::Unknown,
            _ if known.contains(&own) => Taken::Same,
            _ => Taken::Other,
        }
    }

    /// Forgets all files: those of another cluster have the same names.
    ///
    /// # Errors
    /// If they can't be removed.
    pub fn forget_files(&self) -> io::Result<()> {
        for dir in ["marks", "begun"] {
            for entry in fs::read_dir(self.dir.join(dir))? {
                fs::remove_file(entry?.path())?;
            }
        }
        Ok(())
    }
}

/// Keeps the last of what is remembered of files.
fn trim(dir: &Path) -> io::Result<()> {
    let mut names: Vec<PathBuf> = fs::read_dir(dir)?.flatten().map(|entry| entry.path()).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(MARKS);
    // Another process may have been faster.
    names.iter().take(more).for_each(|old| drop(fs::remove_file(old)));
    Ok(())
}

/// Writes a file whole or not at all, also when several do so at once.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    renewed(path, bytes, true)
}

fn renewed(path: &Path, bytes: &[u8], synced: bool) -> io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
    file.write_all(bytes)?;
    if !synced {
        return file.persist(path).map(drop).map_err(Into::into);
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(dir)?.sync_all()
}

fn spell(note: &JournalNote) -> String {
    let mut lines = vec!["strongroom-journal 1".to_owned()];
    lines.extend(note.system.map(|system| format!("system {system}")));
    lines.extend(note.line.as_ref().map(|line| format!("line {line}")));
    lines.extend(note.shipped.map(|(timeline, to)| format!("shipped {timeline} {to}")));
    let tail = |Tail { timeline, from, to, hash, made }| {
        let made = made.map_or_else(String::new, |made| format!(" {made}"));
        format!("tail {timeline} {from} {to} {hash}{made}")
    };
    lines.extend(note.tail.map(tail));
    lines.extend(note.histories.iter().map(|timeline| format!("history {timeline}")));
    lines.push("end".to_owned());
    lines.join("\n") + "\n"
}

fn read(text: &str) -> Option<JournalNote> {
    let lines: Vec<&str> = text.lines().collect();
    let ["strongroom-journal 1", middle @ .., "end"] = lines.as_slice() else { return None };
    let mut note = JournalNote::default();
    for line in middle {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["system", system] => note.system = Some(system.parse().ok()?),
            ["line", line] => note.line = Some(line.parse().ok()?),
            ["shipped", timeline, to] => note.shipped = Some((timeline.parse().ok()?, to.parse().ok()?)),
            ["tail", timeline, from, to, hash, made @ ..] if made.len() < 2 => {
                let (timeline, hash) = (timeline.parse().ok()?, hash.parse().ok()?);
                let (from, to) = (from.parse().ok()?, to.parse().ok()?);
                let made = made.first().map(|made| made.parse()).transpose().ok()?;
                note.tail = Some(Tail { timeline, from, to, hash, made });
            }
            ["history", timeline] => drop(note.histories.insert(timeline.parse().ok()?)),
            _ => return None,
        }
    }
    Some(note)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(state: &Path) -> JournalMemory {
        let name = |text: &str| text.parse::<Name>().unwrap();
        JournalMemory::open(state, VaultId::from_bytes([7; 32]), &name("w"), &name("pg")).unwrap()
    }

    #[test]
    fn a_note_comes_back_and_one_that_is_cut_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let memory = open(dir.path());
        assert_eq!(memory.note().unwrap(), JournalNote::default());
        let line = Some("my-00000007-mariadb-bin".parse().unwrap());
        let (to, hash) = (Position(0x1_0000), Hash::from_bytes([5; 32]));
        let tail = Some(Tail { timeline: 2, from: Position(0xf000), to, hash, made: Some(7) });
        let note = JournalNote { system: Some(9), line, shipped: Some((2, to)), tail, histories: [1, 2].into() };
        memory.write(&note).unwrap();
        assert_eq!(open(dir.path()).note().unwrap(), note);
        let text = spell(&note);
        for cut in 0..text.len() - 1 {
            assert_eq!(read(&text[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn only_one_receives_and_marks_are_of_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let memory = open(dir.path());
        let lock = memory.lock().unwrap();
        let held = memory.lock().unwrap_err().to_string();
        assert!(held.contains("receiver of this source"), "{held}");
        drop(lock);
        memory.lock().unwrap();
        let hash = |n: u8| Hash::from_bytes([n; 32]);
        for n in 0..300 {
            memory.mark(&format!("{n:024X}"), &hash(1), (n % 2 == 1).then_some("1 2")).unwrap();
        }
        let name = format!("{:024X}", 299);
        assert!(memory.has(&name, &hash(1)) && !memory.has(&name, &hash(2)) && !memory.has("0", &hash(1)));
        let looked = |n: u32, looks: &str| memory.marked(&format!("{n:024X}")).unwrap().looked(looks);
        assert!(looked(299, "1 2") && !looked(299, "1 3") && !looked(298, "1 2"));
        assert!(!memory.has(&format!("{:024X}", 3), &hash(1)), "old ones go");
        assert_eq!([1, 2].map(|n| memory.taken(&name, &hash(n))), [Taken::Same, Taken::Other]);
        memory.begin("begun", &hash(5)).unwrap();
        assert_eq!([5, 6].map(|n| memory.taken("begun", &hash(n))), [Taken::Same, Taken::Other]);
        memory.forget_files().unwrap();
        assert_eq!([name.as_str(), "begun"].map(|file| memory.taken(file, &hash(1))), [Taken::Unknown; 2]);
    }
}
