//! Facts out of a snapshot's body.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use serde_json::Value;

use crate::{
    codec::hash::{Hasher, hash},
    format::body::{Records, StreamRecord},
    model::{Fingerprint, Hash, SnapshotId, SourceKind, Time, sample::Sampling},
    signal::{Facts, Files, Fresh, Refs, Table, unit},
};

/// The bytes of each stream are facts up to so many streams.
const FEW: usize = 64;
/// The most things in a sample.
const SAMPLED: usize = 1024;
/// The most tables of which more than their rows is looked at.
const TABLES: usize = 2000;
/// The most groups of branches that are told apart.
const UNITS: usize = 2000;

/// A snapshot, as its body tells of it.
pub struct Taken<'a> {
    /// When.
    pub at: Time,
    /// Its id, once it has one.
    pub snapshot: Option<SnapshotId>,
    /// Of what.
    pub kind: SourceKind,
    /// Its streams.
    pub streams: &'a dyn Records,
    /// What its source told of it.
    pub details: &'a Value,
    /// What its databases held.
    pub fingerprints: &'a [Fingerprint],
    /// What was stored for it that was not there.
    pub fresh: Option<Fresh>,
}

/// What is known of a snapshot.
///
/// # Errors
/// If its records can't be read any more.
pub fn facts(taken: &Taken<'_>) -> io::Result<Facts> {
    let Taken { at, snapshot, kind, streams, details, fingerprints, fresh } = taken;
    let (mut bytes, few) = (0_u64, streams.count() <= FEW as u64);
    let mut parts = BTreeMap::new();
    let (mut files, mut contents) = (Tree::default(), Contents::default());
    streams.each(&mut |stream| {
        bytes = bytes.saturating_add(stream.bytes);
        if few {
            parts.insert(shown(stream).to_owned(), stream.bytes);
        }
        files.add(stream);
        contents.follow(stream);
        Ok(())
    })?;
    let mut facts = Facts::new(*at, bytes, streams.count());
    (facts.snapshot, facts.fresh, facts.parts) = (*snapshot, *fresh, parts);
    facts.state = Some(contents.finish(*streams)?);
    if !fingerprints.is_empty() {
        databases(&mut facts, fingerprints);
    }
    match kind {
        SourceKind::Git => facts.refs = refs(&mut facts.state, details),
        SourceKind::Path => facts.files = Some(files.facts()),
        SourceKind::Postgres => facts.roles = roles(details),
        kind if kind.is_forge() => facts.tables = entries(details),
        _ => {}
    }
    Ok(facts)
}

/// What a stream is called where it came from.
fn shown(stream: &StreamRecord) -> &str {
    stream.path.as_deref().unwrap_or(stream.name.as_str())
}

fn first_bits(hash: &Hash) -> u64 {
    hash.as_bytes().first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
}

/// A short name of the whole.
fn short(hasher: &Hasher) -> String {
    hasher.finish().to_string().chars().take(32).collect()
}

/// What all streams hold, hashed in the order of their names.
#[derive(Default)]
struct Contents {
    hasher: Hasher,
    last: Option<(Box<str>, Hash)>,
    /// Whether they did not come in that order.
    unordered: bool,
}

impl Contents {
    fn add(&mut self, name: &str, blake3: &Hash) {
        self.hasher.update(name.as_bytes());
        self.hasher.update(&[0]);
        self.hasher.update(blake3.as_bytes());
    }

    /// Adds a stream, if it comes behind those before it.
    fn follow(&mut self, stream: &StreamRecord) {
        let this = (shown(stream), &stream.blake3);
        self.unordered |= self.last.as_ref().is_some_and(|(name, blake3)| (&**name, blake3) > this);
        if !self.unordered {
            self.add(this.0, this.1);
            self.last = Some((this.0.into(), *this.1));
        }
    }

    /// A short name of all. A tree's streams come in order; of others all names are in memory.
    fn finish(self, streams: &dyn Records) -> io::Result<String> {
        if !self.unordered {
            return Ok(short(&self.hasher));
        }
        let mut all: Vec<(Box<str>, Hash)> = Vec::new();
        all.reserve_exact(usize::try_from(streams.count()).unwrap_or_default());
        streams.each(&mut |stream| {
            all.push((shown(stream).into(), stream.blake3));
            Ok(())
        })?;
        all.sort_unstable();
        let mut contents = Self::default();
        for (name, blake3) in &all {
            contents.add(name, blake3);
        }
        Ok(short(&contents.hasher))
    }
}

/// What is counted of the files of a tree.
struct Tree {
    count: u64,
    empty: u64,
    names: Sampling,
    contents: Sampling,
}

impl Default for Tree {
    fn default() -> Self {
        Self { count: 0, empty: 0, names: Sampling::new(SAMPLED), contents: Sampling::new(SAMPLED) }
    }
}

impl Tree {
    fn add(&mut self, stream: &StreamRecord) {
        if stream.meta.dir || stream.meta.link.is_some() {
            return;
        }
        self.count += 1;
        self.names.add(first_bits(&hash(shown(stream).as_bytes())));
        // All empty files hold the same, which says nothing of what was lost.
        if stream.bytes == 0 {
            self.empty += 1;
        } else {
            self.contents.add(first_bits(&stream.blake3));
        }
    }

    fn facts(self) -> Files {
        let Self { count, empty, names, contents } = self;
        Files { count, empty, names: names.done(), contents: contents.done() }
    }
}

fn databases(facts: &mut Facts, fingerprints: &[Fingerprint]) {
    let mut tables = BTreeMap::new();
    let (mut hasher, mut whole) = (Hasher::new(), true);
    for print in fingerprints {
        let full = |name: &str| {
            if fingerprints.len() > 1 { format!("{}: {name}", print.database) } else { name.to_owned() }
        };
        for (name, held) in &print.tables {
            let columns = [format!("columns {name}"), format!("table {name}")];
            let columns = columns.iter().find_map(|key| print.objects.get(key)).or(held.columns.as_ref()).cloned();
            whole &= held.hash.is_some();
            hasher.update(format!("{}\n{name}\n{}\n{:?}\n", print.database, held.rows, held.hash).as_bytes());
            let table = Table { rows: held.rows, hash: held.hash.clone(), columns, sample: held.sample.clone() };
            tables.insert(full(name), table);
        }
        for (name, value) in print.objects.iter().filter(|(name, _)| name.starts_with("sequence ")) {
            let digits = value.split(',').next().unwrap_or_default();
            if let Ok(value) = digits.parse() {
                facts.sequences.insert(full(name), value);
            }
        }
    }
    if tables.len() > TABLES {
        for table in tables.values_mut() {
            *table = Table { rows: table.rows, ..Table::default() };
        }
    }
    if whole && !tables.is_empty() {
        facts.state = Some(short(&hasher));
    }
    facts.tables = Some(tables);
}

/// How many entries a forge has of each kind of each repository: what rows are to a table.
fn entries(details: &Value) -> Option<BTreeMap<String, Table>> {
    let all = details.get("entries")?.as_object()?;
    let table =
        |(name, count): (&String, &Value)| Some((name.clone(), Table { rows: count.as_u64()?, ..Table::default() }));
    Some(all.iter().filter_map(table).collect())
}

/// Roles and what they may do, as the source told it.
fn roles(details: &Value) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let rights = details.get("rights")?.as_object()?;
    let texts =
        |list: &Value| list.as_array().into_iter().flatten().filter_map(|r| Some(r.as_str()?.to_owned())).collect();
    Some(rights.iter().map(|(role, list)| (role.clone(), texts(list))).collect())
}

fn refs(state: &mut Option<String>, details: &Value) -> Option<Refs> {
    let all = details.get("refs")?.as_object()?;
    let default = details.get("head").and_then(|head| head.get("symbolic")).and_then(Value::as_str);
    let branch = |name: &str| name.strip_prefix("refs/heads/").map(str::to_owned);
    let mut refs = Refs { default: default.and_then(branch), ..Refs::default() };
    refs.default_there = default.is_some_and(|name| all.contains_key(name));
    let mut hasher = Hasher::new();
    for (name, oid) in all {
        hasher.update(format!("{name} {oid}\n").as_bytes());
        if let Some(branch) = branch(name) {
            let unit = unit(&branch).to_owned();
            if refs.units.len() < UNITS || refs.units.contains_key(&unit) {
                *refs.units.entry(unit).or_default() += 1;
            }
        } else if name.starts_with("refs/tags/") {
            refs.tags += 1;
        }
    }
    *state = Some(short(&hasher));
    refs.unlogged = details.get("since").is_none();
    let changes = details.get("since").and_then(|since| since.get("changes")).and_then(Value::as_array);
    for change in changes.into_iter().flatten() {
        let text = |key: &str| change.get(key).and_then(Value::as_str).unwrap_or_default();
        let (name, what) = (text("ref"), text("what"));
        if let Some(branch) = branch(name).filter(|_| what == "rewritten") {
            refs.rewritten.insert(branch);
        } else if let Some(tag) =
            name.strip_prefix("refs/tags/").filter(|_| matches!(what, "rewritten" | "forward" | "moved"))
        {
            refs.moved_tags.insert(tag.to_owned());
        }
        if refs.rewritten.len() + refs.moved_tags.len() >= UNITS {
            break;
        }
    }
    Some(refs)
}
