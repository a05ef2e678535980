//! What a checkout would unfold to, counted from the trees without unfolding them: one tree may be named any number of
//! times, and a few hundred bytes stand for millions of files.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
    process::Stdio,
};

use super::{ObjectFormat, Result, SourceError, details::unhex, open_own, packs::padded, run};

/// The most objects of a checkout that are counted, and the most entries of their trees: 400 MB of memory.
const MOST: usize = 8 << 20;
/// The largest tree that is read.
const LARGEST: u64 = 256 << 20;

/// What a checkout unfolds to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Files, links, submodules' directories, and the directories that hold any.
    pub(crate) files: u64,
    /// Bytes of all of them.
    pub(crate) bytes: u64,
    /// The longest path, in bytes.
    pub(crate) path: u64,
    /// The longest name.
    pub(crate) name: u64,
    /// The entries of all its trees, each tree counted once.
    pub(crate) entries: u64,
}

/// A checkout may unfold to so many files and directories, and so many more for each entry of its trees: those of an honest
/// repository are hardly more than that.
const FILES: u64 = 50_000;
const FILES_PER_ENTRY: u64 = 4;

impl Shape {
    /// Whether it is more than an honest repository would unfold to.
    pub(crate) const fn is_endless(&self) -> bool {
        self.files > FILES.saturating_add(self.entries.saturating_mul(FILES_PER_ENTRY))
    }

    fn add(&mut self, name: u64, below: Option<Self>, bytes: u64) {
        let inner = below.unwrap_or(Self { bytes, ..Self::default() });
        let path = if below.is_some() { name + 1 + inner.path } else { name };
        // A directory without files is not made.
        let own = u64::from(below.is_none_or(|below| below.files > 0));
        self.files = self.files.saturating_add(inner.files).saturating_add(own);
        self.bytes = self.bytes.saturating_add(inner.bytes);
        self.path = self.path.max(path);
        self.name = self.name.max(name).max(inner.name);
    }
}

struct Entry {
    /// Its place among the objects; none of a submodule.
    object: Option<usize>,
    name: u64,
}

#[derive(Default)]
struct Object {
    bytes: u64,
    /// Of a tree, what is in it.
    entries: Option<std::ops::Range<usize>>,
    shape: Option<Shape>,
}

/// What a checkout of `commit` in the repository `dir`, whose objects may be elsewhere, unfolds to. `list` is a file to work
/// with.
pub(super) fn of((dir, own): (&Path, Option<&Path>), list: &Path, commit: &str, format: ObjectFormat) -> Result<Shape> {
    let failed = |e: io::Error| SourceError::at("can't count what a checkout unfolds to", list, e);
    let arguments = ["rev-list", "--objects", "--no-object-names", "--no-walk", commit];
    let mut listing = run::start(&mut run::git(dir, own, &arguments), "git rev-list")?;
    io::copy(&mut listing.stdout()?, &mut File::create(list).map_err(failed)?).map_err(failed)?;
    listing.finish()?;
    let mut command =
        run::git(dir, own, &["cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)", "--buffer"]);
    let mut asking = run::start(command.stdin(Stdio::from(open_own(list)?)), "git cat-file")?;
    let trees_list = list.with_extension("trees");
    let mut trees_file = BufWriter::new(File::create(&trees_list).map_err(failed)?);
    let (mut objects, mut places, mut trees) = (Vec::new(), HashMap::new(), Vec::new());
    for line in BufReader::with_capacity(1 << 16, asking.stdout()?).lines() {
        let line = line.map_err(failed)?;
        let mut words = line.split(' ');
        let (name, kind, size) = (words.next().unwrap_or_default(), words.next(), words.next());
        let oid = unhex(name.as_bytes()).and_then(|oid| padded(&oid));
        let (Some(oid), Some(bytes)) = (oid, size.and_then(|size| size.parse::<u64>().ok())) else {
            return Err(SourceError::new(format!("said {line:?}"), "git cat-file"));
        };
        if kind == Some("tree") {
            trees.push(objects.len());
            writeln!(trees_file, "{name}").map_err(failed)?;
        }
        if kind != Some("commit") && kind != Some("tag") {
            places.insert(oid, objects.len());
            objects.push(Object { bytes, ..Object::default() });
        }
        must_be_few(objects.len())?;
    }
    asking.finish()?;
    trees_file.flush().map_err(failed)?;
    let mut command = run::git(dir, own, &["cat-file", "--batch", "--buffer"]);
    let mut reading = run::start(command.stdin(Stdio::from(open_own(&trees_list)?)), "git cat-file")?;
    let mut from = BufReader::with_capacity(1 << 16, reading.stdout()?);
    let (mut entries, mut line, mut text) = (Vec::new(), String::new(), Vec::new());
    for tree in &trees {
        line.clear();
        text.clear();
        from.read_line(&mut line).map_err(failed)?;
        let size = objects.get(*tree).map_or(0, |tree| tree.bytes);
        if size > LARGEST {
            return Err(SourceError::new(format!("holds a tree of {size} bytes, which is not read"), commit));
        }
        from.by_ref().take(size).read_to_end(&mut text).map_err(failed)?;
        from.read_exact(&mut [0]).map_err(failed)?;
        let begin = entries.len();
        read_tree(&text, format.hex_len() / 2, &places, &mut entries)
            .ok_or_else(|| SourceError::new("holds a tree that can't be understood", commit))?;
        must_be_few(entries.len())?;
        if let Some(tree) = objects.get_mut(*tree) {
            tree.entries = Some(begin..entries.len());
        }
    }
    reading.finish()?;
    // The commit's own tree comes first.
    let root = trees.first().map(|root| unfold(&mut objects, &entries, *root)).unwrap_or_default();
    Ok(Shape { entries: entries.len() as u64, ..root })
}

fn must_be_few(len: usize) -> Result<()> {
    if len <= MOST {
        return Ok(());
    }
    Err(SourceError::new(format!("has more than {MOST} objects, which are not counted"), "a checkout"))
}

fn read_tree(mut text: &[u8], hash: usize, places: &HashMap<[u8; 32], usize>, entries: &mut Vec<Entry>) -> Option<()> {
    while !text.is_empty() {
        let end = text.iter().position(|b| *b == 0)?;
        let (head, rest) = text.split_at(end);
        let space = head.iter().position(|b| *b == b' ')?;
        let oid = rest.get(1..=hash)?;
        let name = (head.len() - space - 1) as u64;
        entries.push(Entry { object: padded(oid).and_then(|oid| places.get(&oid).copied()), name });
        text = rest.get(hash + 1..)?;
    }
    Some(())
}

/// Counts from the leaves on, each tree once.
fn unfold(objects: &mut [Object], entries: &[Entry], root: usize) -> Shape {
    // Where each tree on the way stands, and what of it is counted.
    let mut way: Vec<(usize, usize, Shape)> = vec![(root, 0, Shape::default())];
    while let Some((tree, at, mut shape)) = way.pop() {
        let range = objects.get(tree).and_then(|tree| tree.entries.clone()).unwrap_or_default();
        let Some(entry) = entries.get(range).and_then(|entries| entries.get(at)) else {
            if let Some(tree) = objects.get_mut(tree) {
                tree.shape = Some(shape);
            }
            continue;
        };
        let object = entry.object.and_then(|object| Some((object, objects.get(object)?)));
        match object {
            Some((object, Object { entries: Some(_), shape: None, .. })) => {
                // First what is in it. A tree can't hold itself, since its name is the hash of what it holds.
                way.push((tree, at, shape));
                way.push((object, 0, Shape::default()));
                continue;
            }
            Some((_, Object { shape: Some(below), .. })) => shape.add(entry.name, Some(*below), 0),
            Some((_, blob)) => shape.add(entry.name, None, blob.bytes),
            None => shape.add(entry.name, None, 0),
        }
        way.push((tree, at + 1, shape));
    }
    objects.get(root).and_then(|root| root.shape).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_counted_without_being_unfolded() {
        // A blob of seven bytes; ten entries of it; and ten trees above, each of ten times the one below.
        let made = |entries| Object { entries: Some(entries), ..Object::default() };
        let mut objects = vec![Object { bytes: 7, ..Object::default() }];
        let mut entries = Vec::new();
        for level in 0..30 {
            let begin = entries.len();
            entries.extend((0..10).map(|_| Entry { object: Some(level), name: 3 }));
            objects.push(made(begin..entries.len()));
        }
        let one = unfold(&mut objects, &entries, 1);
        assert_eq!((one.files, one.bytes, one.path, one.name), (10, 70, 3, 3));
        for object in &mut objects {
            object.shape = None;
        }
        let above = unfold(&mut objects, &entries, 3);
        assert_eq!((above.files, above.bytes, above.path), (1000 + 110, 7000, 11));
        assert_eq!(unfold(&mut objects, &entries, 30).files, u64::MAX);
    }
}
