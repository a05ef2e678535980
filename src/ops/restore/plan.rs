//! What a restore is going to write where. Everything here comes from a writer that may have been taken over, so every
//! path is judged before anything is written.

use std::collections::HashMap;

use serde::Deserialize;

use super::{OpsError, Result};
use crate::{
    format::body::{Body, StreamRecord},
    model::{FileMeta, Name, SnapshotId, SourceKind, nearest_texts},
    source::pattern::fits_path,
};

/// The longest part of a path, and the longest path, in bytes: what file systems take.
const PART: usize = 255;
const PATH: usize = 4095;

/// One stream on its way out. It is no larger than the stream, so that half a million of them are made in place.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The stream.
    pub stream: StreamRecord,
}

impl Entry {
    /// The relative path it goes to. Never empty; no part of it is empty, `.` or `..`, or holds NUL.
    #[must_use]
    pub fn path(&self) -> &str {
        self.stream.path.as_deref().unwrap_or(self.stream.name.as_str())
    }

    /// The parts of its path.
    #[must_use]
    pub fn parts(&self) -> Vec<&str> {
        self.path().split('/').collect()
    }

    /// What was known of its file.
    #[must_use]
    pub fn meta(&self) -> &FileMeta {
        &self.stream.meta
    }

    /// Whether it has bytes: it is neither a link nor a directory.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.stream.meta.link.is_none() && !self.stream.meta.dir
    }
}

/// Which of a snapshot's streams are wanted: all of them, if nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// The one that has this name or path.
    pub stream: Option<String>,
    /// Those whose name or path, or a directory of that, fits one of these patterns.
    pub include: Vec<String>,
}

impl Part {
    fn includes(&self, stream: &StreamRecord) -> bool {
        self.include.is_empty() || self.include.iter().any(|pattern| included(pattern, stream))
    }

    /// A pattern that nothing fits is mistyped.
    fn every_pattern_fits(&self, streams: &[StreamRecord]) -> Result<()> {
        for pattern in &self.include {
            if streams.iter().any(|stream| included(pattern, stream)) {
                continue;
            }
            let known = streams.iter().map(|stream| stream.path.as_deref().unwrap_or(stream.name.as_str()));
            let near = nearest_texts(pattern, known);
            let near = if near.is_empty() { "nothing like it".to_owned() } else { near.join(", ") };
            let what = format!("nothing in the snapshot matches --include {pattern:?}; the nearest is: {near}");
            return Err(OpsError::NotInSnapshot { what });
        }
        Ok(())
    }

    /// How a restore of this part is told from one of another.
    pub(super) fn mark(&self) -> Option<String> {
        if self.include.is_empty() { self.stream.clone() } else { Some(format!("include {}", self.include.join(" "))) }
    }
}

/// Whether a pattern fits a stream's name, its path, or a directory that it lies in.
fn included(pattern: &str, stream: &StreamRecord) -> bool {
    let path = stream.path.as_deref().unwrap_or(stream.name.as_str());
    let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
    fits_path(pattern, path)
        || fits_path(pattern, stream.name.as_str())
        || above.into_iter().any(|dir| fits_path(pattern, dir))
}

/// A directory with things in it: its path, mode and time.
pub type Directory = (String, Option<u32>, Option<i64>);

/// What is to be restored.
#[derive(Debug)]
pub struct Plan {
    /// Of which snapshot, where that is known.
    pub snapshot: Option<SnapshotId>,
    /// The one stream or ref that is wanted, if not all are.
    pub only: Option<String>,
    /// What was known of directories that are not empty.
    pub directories: Vec<Directory>,
    /// The source, which names the directory.
    pub source: Name,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// The source's facts.
    pub details: serde_json::Value,
    /// The streams, directories and files before links.
    pub entries: Vec<Entry>,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Other names of files: each with the one that comes first.
    linked: HashMap<String, String>,
}

impl Plan {
    /// Plans the streams of `body`, or the one of them that is called `only` by its name or its path.
    ///
    /// # Errors
    /// `UnsafePath`, or `NotInSnapshot` if there is no such stream.
    pub fn new(source: Name, kind: SourceKind, body: Body, only: Option<&str>) -> Result<Self> {
        let part = Part { stream: only.map(str::to_owned), include: Vec::new() };
        Self::of_part(source, kind, body, &part)
    }

    /// Plans those streams of `body` that are wanted.
    ///
    /// # Errors
    /// `UnsafePath`, or `NotInSnapshot` if there is none of them.
    pub fn of_part(source: Name, kind: SourceKind, body: Body, part: &Part) -> Result<Self> {
        const SHOWN: usize = 20;
        if kind == SourceKind::Git && !part.include.is_empty() {
            let what = format!("--include: {source} is a git repository, which comes back whole or by a ref");
            return Err(OpsError::Request { what, next: "leave --include out, or give --ref REF".to_owned() });
        }
        // By what a person knows: the path or name that it came from, where it has one.
        let called = |s: &StreamRecord| s.path.as_deref().unwrap_or(s.name.as_str()).to_owned();
        let names: Vec<String> = body.streams.iter().take(SHOWN).map(called).collect();
        let more = body.streams.len().saturating_sub(SHOWN);
        part.every_pattern_fits(&body.streams)?;
        let only = part.stream.as_deref();
        let wanted = |stream: &StreamRecord| {
            only.is_none_or(|only| stream.name.as_str() == only || stream.path.as_deref() == Some(only))
                && part.includes(stream)
        };
        let entry = |stream| {
            let entry = Entry { stream };
            judge(entry.path()).map(|()| entry)
        };
        let mut entries = body.streams.into_iter().filter(wanted).map(entry).collect::<Result<Vec<_>>>()?;
        if let Some(only) = only.filter(|_| entries.is_empty()) {
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let what = format!("the snapshot has no stream {only:?}; it has {}{more}", names.join(", "));
            return Err(OpsError::NotInSnapshot { what });
        }
        must_not_collide(&entries)?;
        let Tree { directories, hard_links } = tree(kind, &body.details);
        let linked = linked(&entries, &hard_links);
        // Links come last, so that nothing can be written through one, and other names after what they name.
        // With its keys beside it: sorting in order otherwise takes half of all entries as room.
        entries.sort_by_cached_key(|entry| {
            let other = u8::from(linked.contains_key(entry.path()));
            if entry.meta().link.is_some() { 2 } else { other }
        });
        let bytes = entries.iter().map(|entry| entry.stream.bytes).fold(0, u64::saturating_add);
        let (details, directories) =
            (body.details, directories.into_iter().filter(|dir| judge(&dir.0).is_ok()).collect());
        Ok(Self { snapshot: None, only: None, directories, source, kind, details, entries, bytes, linked })
    }

    /// The same, of the snapshot `id`.
    #[must_use]
    pub fn of(mut self, id: SnapshotId) -> Self {
        self.snapshot = Some(id);
        self
    }

    /// The file that an entry is another name of.
    #[must_use]
    pub fn linked_to(&self, entry: &Entry) -> Option<&str> {
        self.linked.get(entry.path()).map(String::as_str)
    }

    /// Bytes that need room of their own.
    #[must_use]
    pub fn room(&self) -> u64 {
        let linked = self.entries.iter().filter(|entry| self.linked_to(entry).is_some());
        self.bytes.saturating_sub(linked.map(|entry| entry.stream.bytes).fold(0, u64::saturating_add))
    }
}

/// What a tree's own facts say of it. Older backups have none.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Tree {
    directories: Vec<Directory>,
    hard_links: Vec<Vec<String>>,
}

fn tree(kind: SourceKind, details: &serde_json::Value) -> Tree {
    let tree = if kind == SourceKind::Path { Tree::deserialize(details).ok() } else { None };
    tree.unwrap_or_default()
}

/// Which entries are other names of which. Only where both are files of the same bytes: what a writer claims must not
/// change what is restored.
fn linked(entries: &[Entry], groups: &[Vec<String>]) -> HashMap<String, String> {
    let named: std::collections::HashSet<&String> = groups.iter().flatten().collect();
    let of = |entry: &&Entry| entry.is_file() && named.contains(&entry.path().to_owned());
    let known: HashMap<&str, &Entry> = entries.iter().filter(of).map(|entry| (entry.path(), entry)).collect();
    let mut linked = HashMap::new();
    // What others are names of is written itself, and before them, also where groups share a path.
    let mut firsts = std::collections::HashSet::new();
    for group in groups {
        let mut there = group.iter().filter_map(|path| known.get(path.as_str()));
        let Some(first) = there.next() else { continue };
        for other in there {
            let (a, b) = (&first.stream, &other.stream);
            let same = (a.blake3, a.bytes, a.meta.mode) == (b.blake3, b.bytes, b.meta.mode);
            let free = !linked.contains_key(first.path()) && !firsts.contains(other.path());
            if same && free && first.path() != other.path() {
                firsts.insert(first.path());
                linked.insert(other.path().to_owned(), first.path().to_owned());
            }
        }
    }
    linked
}

fn judge(path: &str) -> Result<()> {
    let refuse = |why| Err(OpsError::UnsafePath { path: path.chars().take(200).collect(), why });
    if path.len() > PATH {
        return refuse("is longer than a path may be");
    }
    if path.starts_with('/') {
        return refuse("is absolute");
    }
    for part in path.split('/') {
        match part {
            "" => return refuse("has an empty part"),
            "." | ".." => return refuse("would lead out of its directory"),
            part if part.contains('\0') => return refuse("holds a zero byte"),
            part if part.len() > PART => return refuse("has a part that is longer than a name may be"),
            _ => {}
        }
    }
    Ok(())
}

/// The bytes of a path, with the slash before all else.
fn spelled(entry: &Entry) -> impl Iterator<Item = u8> {
    entry.path().bytes().map(|byte| if byte == b'/' { 0 } else { byte })
}

/// No two entries may meet in one place, and none may lie below one that is not a directory. In the order of their
/// paths, with the slash before all else, whatever lies below an entry follows it directly.
fn must_not_collide(entries: &[Entry]) -> Result<()> {
    let refuse = |entry: &Entry, why| Err(OpsError::UnsafePath { path: entry.path().chars().take(200).collect(), why });
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_unstable_by(|a, b| spelled(a).cmp(spelled(b)));
    let mut before: Option<&Entry> = None;
    let mut file: Option<&Entry> = None;
    for entry in sorted {
        if before.is_some_and(|before| before.path() == entry.path()) {
            return refuse(entry, "is there twice");
        }
        let below = |file: &Entry| entry.path().strip_prefix(file.path()).is_some_and(|rest| rest.starts_with('/'));
        if file.is_some_and(below) {
            return refuse(entry, "lies below something that is not a directory");
        }
        before = Some(entry);
        if !entry.meta().dir {
            file = Some(entry);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hash;

    fn stream(name: &str, path: Option<&str>, meta: FileMeta) -> StreamRecord {
        StreamRecord {
            name: name.parse().unwrap(),
            path: path.map(Into::into),
            meta,
            bytes: 7,
            blake3: Hash::from_bytes([0; 32]),
            chunks: 0,
            depth: 0,
            list: Vec::new(),
        }
    }

    fn plan(streams: Vec<StreamRecord>, only: Option<&str>) -> Result<Plan> {
        let body = Body::new(streams, serde_json::Value::Null, Vec::new());
        Plan::new("src".parse().unwrap(), SourceKind::Path, body, only)
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for bad in ["/etc/passwd", "..", "a/../b", "./a", "a//b", "a/", "", "a\0b", &"x".repeat(256)] {
            let error = plan(vec![stream("a", Some(bad), FileMeta::default())], None).unwrap_err();
            assert!(matches!(error, OpsError::UnsafePath { .. }), "{bad:?}: {error}");
        }
        let good = plan(vec![stream("a", Some("A dir/.hidden"), FileMeta::default())], None).unwrap();
        assert_eq!(good.entries[0].parts(), ["A dir", ".hidden"]);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let link = FileMeta { link: Some("/etc".into()), ..FileMeta::default() };
        let below = vec![stream("l", Some("l"), link.clone()), stream("f", Some("l/passwd"), FileMeta::default())];
        assert!(matches!(plan(below, None), Err(OpsError::UnsafePath { .. })));
        let twice = vec![stream("a", Some("x"), FileMeta::default()), stream("x", None, link.clone())];
        assert!(matches!(plan(twice, None), Err(OpsError::UnsafePath { .. })));
        let apart = vec![stream("l", Some("l"), link), stream("m", Some("m/f"), FileMeta::default())];
        assert!(plan(apart, None).unwrap().entries[1].meta().link.is_some(), "links come last");
    }

    #[test]
    fn deep_paths_cost_what_they_are_long() {
        let deep = |no: usize| stream("x", Some(&format!("{}{no}", "a/".repeat(2040))), FileMeta::default());
        let numbered = |no: usize| StreamRecord { name: format!("s{no}").parse().unwrap(), ..deep(no) };
        assert_eq!(plan((0..200).map(numbered).collect(), None).unwrap().entries.len(), 200);
        let mut below: Vec<_> = (0..200).map(numbered).collect();
        below.push(stream("file", Some(&"a/".repeat(1000)[..1999]), FileMeta::default()));
        assert!(matches!(
            plan(below, None),
            Err(OpsError::UnsafePath { why: "lies below something that is not a directory", .. })
        ));
        let neighbours =
            ["a", "a.b", "a-b/c", "ab/c"].map(|path| stream(&path.replace('/', "-"), Some(path), FileMeta::default()));
        assert_eq!(plan(neighbours.to_vec(), None).unwrap().entries.len(), 4);
    }

    #[test]
    fn a_part_is_what_its_patterns_fit() {
        let tree = || {
            let paths = ["etc/nginx/nginx.conf", "etc/nginx/sites/a", "etc/hosts", "srv/a.db"];
            let one = |(no, path): (usize, &&str)| stream(&format!("s{no}"), Some(path), FileMeta::default());
            Body::new(paths.iter().enumerate().map(one).collect(), serde_json::Value::Null, Vec::new())
        };
        let told = |include: &[&str]| {
            let part = Part { stream: None, include: include.iter().map(|p| (*p).to_owned()).collect() };
            let plan = Plan::of_part("src".parse().unwrap(), SourceKind::Path, tree(), &part)?;
            Ok::<_, OpsError>(plan.entries.iter().map(|e| e.path().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(told(&["*.conf"]).unwrap(), ["etc/nginx/nginx.conf"]);
        assert_eq!(told(&["etc/nginx"]).unwrap(), ["etc/nginx/nginx.conf", "etc/nginx/sites/a"]);
        assert_eq!(told(&["nginx", "*.db"]).unwrap().len(), 3);
        let error = told(&["*.conf", "etc/host"]).unwrap_err().to_string();
        assert!(error.contains("etc/host") && error.contains("etc/hosts"), "{error}");
        let part = Part { stream: None, include: vec!["x".to_owned()] };
        let git = Plan::of_part("src".parse().unwrap(), SourceKind::Git, tree(), &part).unwrap_err();
        assert!(git.to_string().contains("git repository"), "{git}");
    }

    #[test]
    fn one_stream_is_found_by_name_or_path() {
        let two = || vec![stream("a", Some("d/A"), FileMeta::default()), stream("b", None, FileMeta::default())];
        assert_eq!(plan(two(), None).unwrap().bytes, 14);
        for only in ["a", "d/A"] {
            let plan = plan(two(), Some(only)).unwrap();
            assert_eq!((plan.entries.len(), plan.bytes), (1, 7));
        }
        let error = plan(two(), Some("c")).unwrap_err().to_string();
        assert!(error.contains("d/A, b"), "{error}");
    }
}
