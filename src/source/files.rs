//! A file, or a directory tree of dumps.

mod live;
pub(super) mod slug;
mod tree;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{Advice, Mode, OFlags};

use super::{
    Facts, FileMeta, Incoming, Look, Reading, Result, Source, SourceError, look, pattern,
    read::{Seen, Warnings, Watched},
};
use crate::model::{Name, SourceKind, size};
use tree::Tree;

/// A file or a directory tree.
///
/// A tree gives one stream per regular file, in the order of their paths. Symbolic links are recorded and not followed,
/// empty directories are recorded; pipes, sockets and devices are skipped with a warning. The path that was given may
/// itself be a link. Only the names of the directories on the way down are held in memory.
pub struct PathSource {
    path: PathBuf,
    exclude: Vec<String>,
    /// A directory that is left out, by device and inode.
    avoid: Option<(u64, u64)>,
}

impl PathSource {
    /// Reads the file or the tree at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), exclude: Vec::new(), avoid: None }
    }

    /// Without what fits one of `patterns`: a name at any depth, or with `/` in the pattern a path from the root.
    #[must_use]
    pub fn excluding(mut self, patterns: Vec<String>) -> Self {
        self.exclude = patterns;
        self
    }
}

impl Source for PathSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Path
    }

    fn open(&mut self) -> Result<Box<dyn Reading>> {
        Ok(Box::new(self.reading()?))
    }

    fn avoid(&mut self, dir: &Path) {
        self.avoid = fs::metadata(dir).ok().map(|meta| (meta.dev(), meta.ino()));
    }

    fn look(&mut self) -> Look {
        let mut look = Look::default();
        if let Some(mut reading) = look.step("reach", self.reading()) {
            reading.look(&mut look);
        }
        look
    }
}

impl PathSource {
    fn reading(&self) -> Result<PathReading> {
        let path = &self.path;
        let meta = fs::metadata(path).map_err(|e| SourceError::at("can't find what is to be backed up", path, e))?;
        let mut reading = PathReading::new(path.clone(), self.exclude.clone());
        reading.avoid = self.avoid;
        if self.avoid == Some((meta.dev(), meta.ino())) {
            let what = "is the vault itself; to have it twice, copy it to another place";
            return Err(SourceError::new(what, path.display().to_string()));
        }
        if meta.is_dir() {
            let level = reading.list(String::new())?;
            reading.stack.push(level);
        } else if meta.is_file() {
            // What the link leads to is the file; its name is the one that was given.
            let name = utf8(path.file_name().unwrap_or(path.as_os_str()), path)?;
            let dir = path.parent().unwrap_or(path);
            if let Some(warning) = live::one_file(dir, &name) {
                reading.live.push(warning);
            }
            reading.single = Some(name);
        } else {
            return Err(SourceError::new(
                "is neither a file nor a directory. Let strongroom run the command that writes it (`-- COMMAND`), \
                 so that its exit status counts, or pipe it in with `--stdin`",
                path.display().to_string(),
            ));
        }
        Ok(reading)
    }
}

struct PathReading {
    root: PathBuf,
    single: Option<String>,
    stack: Vec<Level>,
    current: Option<Current>,
    warnings: Warnings,
    /// Files of databases that may be running.
    live: Warnings,
    exclude: Vec<String>,
    avoid: Option<(u64, u64)>,
    /// The patterns that something fitted.
    used: BTreeSet<String>,
    left_out: LeftOut,
    tree: Tree,
}

/// What was left out as asked: the first names, and how many.
#[derive(Default)]
struct LeftOut {
    names: Vec<String>,
    count: u64,
}

/// A directory on the way down, with what is left of it.
struct Level {
    path: String,
    entries: std::vec::IntoIter<Entry>,
}

struct Entry {
    name: String,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    File,
    Dir,
    Link,
}

/// The file that is being read, to be looked at again afterwards.
struct Current {
    file: File,
    path: PathBuf,
    before: Stamp,
    seen: Arc<Seen>,
}

/// What changes when a file is written to or replaced.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self { inode: (meta.dev(), meta.ino()), size: meta.size(), modified: (meta.mtime(), meta.mtime_nsec()) }
    }
}

impl PathReading {
    fn new(root: PathBuf, exclude: Vec<String>) -> Self {
        Self {
            root,
            single: None,
            stack: Vec::new(),
            current: None,
            warnings: Warnings::default(),
            live: Warnings::default(),
            exclude,
            avoid: None,
            used: BTreeSet::new(),
            left_out: LeftOut::default(),
            tree: Tree::default(),
        }
    }

    /// Whether what lies at `path` is to be left out, which is noted.
    fn excluded(&mut self, path: &str) -> bool {
        const NAMED: usize = 100;
        let Some(pattern) = self.exclude.iter().find(|pattern| pattern::fits_path(pattern, path)) else { return false };
        self.used.insert(pattern.clone());
        self.left_out.count += 1;
        if self.left_out.names.len() < NAMED {
            self.left_out.names.push(path.to_owned());
        }
        true
    }

    /// What is in the directory at `path`, in the order in which whole paths would sort.
    fn list(&mut self, path: String) -> Result<Level> {
        let dir = self.root.join(&path);
        let failed = |e| SourceError::at("can't list a directory", &dir, e);
        let (mut entries, mut names) = (Vec::new(), BTreeSet::new());
        for entry in fs::read_dir(&dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let at = entry.path();
            if let (false, Some(name)) = (self.exclude.is_empty(), entry.file_name().to_str())
                && self.excluded(&join(&path, name))
            {
                continue;
            }
            let kind = entry.file_type().map_err(|e| SourceError::at("can't look at a file", &at, e))?;
            if kind.is_dir()
                && self.avoid.is_some()
                && fs::metadata(&at).is_ok_and(|meta| self.avoid == Some((meta.dev(), meta.ino())))
            {
                self.warnings.push(format!("{} is the vault itself and was left out", at.display()));
                continue;
            }
            let what = match () {
                () if kind.is_file() => What::File,
                () if kind.is_dir() => What::Dir,
                () if kind.is_symlink() => What::Link,
                () => {
                    let shown = at.display();
                    self.warnings.push(format!("{shown} is a pipe, a socket or a device and was skipped"));
                    continue;
                }
            };
            let name = utf8(&entry.file_name(), &at)?;
            names.insert(name.clone());
            entries.push(Entry { name, what });
        }
        for warning in live::in_directory(&dir, &names) {
            self.live.push(warning);
        }
        entries.sort_by(|a, b| a.sort_key().cmp(b.sort_key()));
        Ok(Level { path, entries: entries.into_iter() })
    }

    /// The next stream of a tree.
    fn next_in_tree(&mut self) -> Result<Option<Incoming>> {
        loop {
            let Some(level) = self.stack.last_mut() else { return Ok(None) };
            let Some(entry) = level.entries.next() else {
                self.stack.pop();
                continue;
            };
            let path = join(&level.path, &entry.name);
            let at = self.root.join(&path);
            let name = slug::in_tree(&path).map_err(|e| SourceError::new(e.to_string(), at.display().to_string()))?;
            match entry.what {
                What::File => return self.open_file(name, path, &at, OFlags::NOFOLLOW).map(Some),
                What::Link => return link(name, path, &at).map(Some),
                What::Dir => {
                    let level = self.list(path)?;
                    if level.entries.len() == 0 {
                        return empty_dir(name, level.path, &at).map(Some);
                    }
                    let meta = fs::symlink_metadata(&at);
                    let meta = meta.map_err(|e| SourceError::at("can't look at a directory", &at, e))?;
                    self.tree.directory(&level.path, &meta);
                    self.stack.push(level);
                }
            }
        }
    }

    /// Opens the file `at` as the stream `name`.
    fn open_file(&mut self, name: Name, path: String, at: &Path, flags: OFlags) -> Result<Incoming> {
        // Without NONBLOCK, a file that became a pipe meanwhile would hang the run.
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(at, flags, Mode::empty()).map(File::from).map_err(|e| {
            let what = if e == rustix::io::Errno::NOENT {
                "vanished while the tree was read; run again when nothing removes files there"
            } else {
                "can't open a file"
            };
            SourceError::at(what, at, e.into())
        })?;
        let failed = |e| SourceError::at("can't look at a file", at, e);
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(SourceError::new("was a file and no longer is one", at.display().to_string()));
        }
        self.tree.file(&path, &meta);
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::Sequential);
        let again = file.try_clone().map_err(failed)?;
        let (reader, seen) = Watched::new(file, at.display().to_string(), 0);
        self.current = Some(Current { file: again, path: at.to_owned(), before: Stamp::of(&meta), seen });
        Ok(Incoming {
            name,
            path: Some(path),
            meta: FileMeta { mode: Some(meta.mode() & 0o7777), mtime_ns: mtime_ns(&meta), ..FileMeta::default() },
            expected: Some(meta.size()),
            reader: Box::new(reader),
        })
    }

    /// Looks at the file that was read once more.
    fn settle(&mut self) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let shown = current.path.display().to_string();
        current.seen.must_have_ended(&shown)?;
        let after = current.file.metadata().map_err(|e| SourceError::at("can't look at a file", &current.path, e))?;
        // The path is asked too: a file that was replaced has another inode there.
        let there = fs::metadata(&current.path).map(|m| Stamp::of(&m));
        let same = Stamp::of(&after) == current.before && current.seen.bytes() == current.before.size;
        if !same {
            self.warnings.push(format!(
                "{shown} was written to while it was read: what is stored may mix old and new. \
                 Write dumps under another name and rename them when they are whole"
            ));
        } else if there.map_or(true, |there| there != current.before) {
            self.warnings.push(format!("{shown} was replaced or removed while it was read: the old file is stored"));
        }
        Ok(())
    }
}

impl Entry {
    /// A directory sorts as the paths below it do.
    fn sort_key(&self) -> impl Iterator<Item = u8> + '_ {
        self.name.bytes().chain((self.what == What::Dir).then_some(b'/'))
    }
}

impl Reading for PathReading {
    fn next_stream(&mut self) -> Result<Option<Incoming>> {
        self.settle()?;
        self.step()
    }

    fn finish(mut self: Box<Self>) -> Result<Facts> {
        self.settle()?;
        let mut warnings = self.told();
        let mut details = serde_json::Map::new();
        let LeftOut { names, count } = self.left_out;
        if count > 0 {
            details.insert("left_out".to_owned(), names.into());
            details.insert("left_out_count".to_owned(), count.into());
        }
        self.tree.tell(&mut details, &mut warnings);
        let details = if details.is_empty() { serde_json::Value::Null } else { details.into() };
        Ok(Facts { details, warnings, ..Facts::default() })
    }
}

impl PathReading {
    fn step(&mut self) -> Result<Option<Incoming>> {
        let Some(file_name) = self.single.take() else { return self.next_in_tree() };
        let root = self.root.clone();
        let name = single_name(&file_name, &root)?;
        self.open_file(name, file_name, &root, OFlags::empty()).map(Some)
    }

    /// What a person should know.
    fn told(&mut self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut self.live).into_vec();
        warnings.extend(std::mem::take(&mut self.warnings).into_vec());
        let LeftOut { names, count } = &self.left_out;
        if *count > 0 {
            let shown = names.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if *count > 5 { format!(" and {} more", count - 5) } else { String::new() };
            warnings.push(format!("left out, as `exclude` asks: {shown}{more}"));
        }
        let unused: Vec<&str> = self.exclude.iter().filter(|p| !self.used.contains(*p)).map(String::as_str).collect();
        if !unused.is_empty() {
            warnings.push(format!("nothing fits these of `exclude`: {}", unused.join(", ")));
        }
        warnings
    }

    /// Opens everything and reads none of it.
    fn look(&mut self, look: &mut Look) {
        let (mut streams, mut bytes, mut failed) = (0_u64, 0_u64, Vec::new());
        loop {
            match self.step() {
                Ok(None) => break,
                Ok(Some(stream)) => {
                    streams += 1;
                    bytes += stream.expected.unwrap_or_default();
                }
                Err(error) => failed.push(error.to_string()),
            }
        }
        let root = self.root.display();
        if failed.is_empty() {
            look.good("contents", format!("{root}: {streams} files and links, {}", size::human(bytes)));
        } else {
            look.bad(
                "rights",
                format!("{} of what is in {root} can't be read: {}", failed.len(), look::some_of(&failed)),
            );
        }
        look.warnings.extend(self.told());
    }
}

/// A path within the tree.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

/// The name of the stream of the one file `at`.
pub(super) fn single_name(file_name: &str, at: &Path) -> Result<Name> {
    slug::single(file_name).map_err(|e| SourceError::new(e.to_string(), at.display().to_string()))
}

/// A symbolic link: no bytes, only where it leads.
fn link(name: Name, path: String, at: &Path) -> Result<Incoming> {
    let failed = |e| SourceError::at("can't read a symbolic link", at, e);
    let meta = fs::symlink_metadata(at).map_err(failed)?;
    let target = fs::read_link(at).map_err(failed)?;
    let target = utf8(target.as_os_str(), at)?;
    let meta = FileMeta { mtime_ns: mtime_ns(&meta), link: Some(target.into()), ..FileMeta::default() };
    Ok(Incoming { name, path: Some(path), meta, expected: Some(0), reader: Box::new(io::empty()) })
}

/// A directory that holds nothing that is backed up.
fn empty_dir(name: Name, path: String, at: &Path) -> Result<Incoming> {
    let meta = fs::symlink_metadata(at).map_err(|e| SourceError::at("can't look at a directory", at, e))?;
    let mode = Some(meta.mode() & 0o7777);
    let meta = FileMeta { mode, mtime_ns: mtime_ns(&meta), dir: true, ..FileMeta::default() };
    Ok(Incoming { name, path: Some(path), meta, expected: Some(0), reader: Box::new(io::empty()) })
}

/// Nanoseconds since 1970; nothing for times that don't fit (beyond the years 1677 and 2262).
pub(super) fn mtime_ns(meta: &Metadata) -> Option<i64> {
    meta.mtime().checked_mul(1_000_000_000)?.checked_add(meta.mtime_nsec())
}

/// A snapshot keeps paths as text, and a path that can't be kept as it is would not come back as it was.
pub(super) fn utf8(name: &OsStr, at: &Path) -> Result<String> {
    name.to_str().map(str::to_owned).ok_or_else(|| {
        let what = "has a name or a target that is not UTF-8; rename it, or back up an archive of it (`-- tar -c DIR`)";
        SourceError::new(what, at.display().to_string())
    })
}

#[cfg(test)]
mod tests;
