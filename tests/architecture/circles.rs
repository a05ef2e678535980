//! Circles between files: a file that uses another one that uses the first, directly or by way of more.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Reference, Source};

/// Follows `pub use` no further than this: re-exports of re-exports are rare, and two may name each other.
const DEPTH: usize = 8;

/// The files of the house by their modules, and what each passes on from elsewhere.
struct Map<'a> {
    /// Index into the sources by module, from the crate's root.
    files: BTreeMap<Vec<String>, usize>,
    sources: &'a [&'a Source],
    passed_on: Vec<BTreeMap<String, Vec<String>>>,
}

impl<'a> Map<'a> {
    fn of(sources: &'a [&'a Source]) -> Self {
        let files = sources.iter().enumerate().map(|(at, source)| (source.modules(), at)).collect();
        // Private imports count as well: children see them.
        let imports = |source: &&Source| source.imports().into_iter().map(|used| (used.name, used.path)).collect();
        Self { files, sources, passed_on: sources.iter().map(imports).collect() }
    }

    /// The file in which that which a path names is written: re-exports are followed.
    fn file(&self, path: &[String], depth: usize) -> Option<usize> {
        let known = |len: &usize| self.files.contains_key(&path[..*len]);
        let len = (0..=path.len()).rev().find(known)?;
        let at = self.files[&path[..len]];
        let Some(name) = path.get(len).filter(|_| depth > 0) else { return Some(at) };
        let Some(target) = self.passed_on[at].get(name) else { return Some(at) };
        let whole: Vec<String> = target.iter().chain(&path[len + 1..]).cloned().collect();
        if whole == path { Some(at) } else { self.file(&whole, depth - 1) }
    }

    /// The files that a file uses, with the line of the first use. A module and what is within it count as one: a file and
    /// the `mod.rs` above it may know each other.
    fn uses(&self, at: usize) -> BTreeMap<usize, usize> {
        let own = self.sources[at].modules();
        let mut found = BTreeMap::new();
        for Reference { line, path, .. } in self.sources[at].references().into_iter().filter(|used| !used.test) {
            let Some(used) = self.file(&path, DEPTH) else { continue };
            let other = self.sources[used].modules();
            if !own.starts_with(&other) && !other.starts_with(&own) {
                found.entry(used).or_insert(line);
            }
        }
        found
    }
}

/// Each circle once, as its lines of use. Two circles that share a file may be told as one.
pub fn circles(sources: &[Source]) -> Vec<String> {
    let sources: Vec<&Source> = sources.iter().filter(|s| s.room().is_some() && !s.is_test()).collect();
    let map = Map::of(&sources);
    let edges: Vec<BTreeMap<usize, usize>> = (0..sources.len()).map(|at| map.uses(at)).collect();
    let mut broken = Vec::new();
    let mut told: BTreeSet<usize> = BTreeSet::new();
    for start in 0..sources.len() {
        if told.contains(&start) {
            continue;
        }
        if let Some(way) = shortest_way_back(&edges, start) {
            told.extend(&way);
            let next = |n: usize| way[(n + 1) % way.len()];
            let line = |n: usize| {
                let (from, to) = (way[n], next(n));
                format!("{}:{} uses {}", sources[from].path, edges[from][&to], sources[to].path)
            };
            broken.push((0..way.len()).map(line).collect::<Vec<_>>().join(", "));
        }
    }
    broken
}

/// The files of the shortest circle through `start`, from it on.
fn shortest_way_back(edges: &[BTreeMap<usize, usize>], start: usize) -> Option<Vec<usize>> {
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    let mut waiting = std::collections::VecDeque::from([start]);
    while let Some(at) = waiting.pop_front() {
        for next in edges[at].keys() {
            if *next == start {
                let mut way = vec![at];
                while let Some(earlier) = before.get(way.last()?) {
                    way.push(*earlier);
                }
                way.reverse();
                return Some(way);
            }
            if !before.contains_key(next) {
                before.insert(*next, at);
                waiting.push_back(*next);
            }
        }
    }
    None
}
