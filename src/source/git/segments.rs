//! Segments: a repository's packs as they are, then one small pack per run of what is new. Each snapshot leans on the
//! segments of the one before, so a day costs what was new that day, whatever `gc` did to the source meanwhile, and
//! commits that a force-push dropped stay.
//!
//! What holds throughout: the segments in hand have every object that can be reached from the tips they cover. So a tip
//! that is covered, and still exists in the source, is a place where the next pack can stop.

use std::{
    collections::{BTreeSet, HashSet},
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    process::{ChildStdout, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{
    GitDetails, ObjectFormat, Oid, Result, SourceError, attributes,
    lfs::LfsNote,
    open_own,
    prove::{self, Proving, Tee},
    run,
};
use crate::{
    model::Name,
    source::{
        Before,
        child::{Running, Stream},
        pipe,
    },
};

/// What a git source's next run knows of this one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Note {
    version: u32,
    pub(super) format: ObjectFormat,
    /// The number of the next segment.
    next: u32,
    segments: Vec<Segment>,
    /// The tips of segments that the next one replaces.
    #[serde(skip)]
    folding: BTreeSet<Oid>,
    /// Some commits in the history of the last tips: if a rewrite takes all tips away, the next pack can stop at these.
    #[serde(default)]
    anchors: Vec<Oid>,
    /// What is known of LFS objects.
    #[serde(default)]
    pub(super) lfs: LfsNote,
    /// What was told of the repository.
    pub(super) details: GitDetails,
}

/// Some streams that hold all that can be reached from `tips` and not from what segments before it cover.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Segment {
    streams: Vec<Name>,
    tips: BTreeSet<Oid>,
    /// Whether it took the place of several.
    #[serde(default)]
    folded: bool,
}

/// So many segments in a row that were not folded yet become one. Each byte is folded once, so folding stores it twice in
/// all; without it, names and hashes of old segments alone would soon cost more than a day's work.
const FOLD: usize = 32;
/// So many segments are never carried: beyond, the repository is stored anew.
const MOST: usize = 512;
/// What is carried may be this many times as large as the source's own objects, and [`DEAD_SLACK`] more. Beyond, most of
/// it is history that the source dropped, and the repository is stored anew without it.
const DEAD_RATIO: u64 = 2;
const DEAD_SLACK: u64 = 64 << 20;

impl Note {
    /// Segments of version 1 were stored without a proof, so they are not leaned on.
    const VERSION: u32 = 2;

    /// The note of a set that begins with these streams.
    pub(super) fn begin(details: &GitDetails, streams: Vec<Name>, anchors: Vec<Oid>, lfs: LfsNote) -> Self {
        let segments = vec![Segment { streams, tips: details.oids().collect(), folded: false }];
        Self {
            version: Self::VERSION,
            format: details.format,
            next: 1,
            segments,
            folding: BTreeSet::new(),
            anchors,
            lfs,
            details: details.clone(),
        }
    }

    /// The note that the last run left, if this build understands it.
    pub(super) fn of(before: &Before) -> Option<Self> {
        let note: Self = Deserialize::deserialize(&before.note).ok()?;
        (note.version == Self::VERSION).then_some(note)
    }

    /// All streams of the set, in the order in which they build on each other.
    pub(super) fn streams(&self) -> impl Iterator<Item = &Name> {
        self.segments.iter().flat_map(|segment| &segment.streams)
    }

    /// Objects of which the set has all that can be reached from them: every tip so far, and some commits below.
    pub(super) fn covered(&self) -> HashSet<&Oid> {
        self.tips().chain(&self.anchors).collect()
    }

    /// All tips that the set covers.
    pub(super) fn tips(&self) -> impl Iterator<Item = &Oid> {
        self.segments.iter().flat_map(|segment| &segment.tips)
    }

    /// Takes the last segments out if they are to be packed as one, together with what is new; gives the tips that this
    /// one has to cover, and those that it can stop at. `there` are the covered objects that the source still has: what
    /// it has dropped can't be packed again, so segments that hold it stay as they are.
    pub(super) fn fold(&mut self, there: &HashSet<Oid>) -> Option<(Vec<Oid>, Vec<Oid>)> {
        let can = |segment: &&Segment| !segment.folded && segment.tips.iter().all(|tip| there.contains(tip));
        // The first is the repository as it was found.
        let tail = self.segments.iter().skip(1).rev().take_while(can).count();
        let (before, last) = self.segments.split_at(self.segments.len() - tail);
        let held: Vec<Oid> = before.iter().flat_map(|s| &s.tips).filter(|tip| there.contains(*tip)).cloned().collect();
        if tail < FOLD || held.is_empty() {
            return None;
        }
        self.folding = last.iter().flat_map(|s| &s.tips).cloned().collect();
        self.segments.truncate(self.segments.len() - tail);
        Some((self.folding.iter().cloned().collect(), held))
    }

    /// Why the repository has to be stored anew, if it has: `before` is what may be carried, `source_bytes` the size of
    /// the source's own objects.
    pub(super) fn why_anew(&self, before: &Before, source_bytes: u64) -> Option<&'static str> {
        let mut carried = 0_u64;
        for name in self.streams() {
            let Some(bytes) = before.streams.get(name) else {
                return Some("what was stored before is not locked for long enough, or is gone");
            };
            carried = carried.saturating_add(*bytes);
        }
        if self.segments.len() >= MOST {
            return Some("it was stored in too many parts");
        }
        let limit = source_bytes.saturating_mul(DEAD_RATIO).saturating_add(DEAD_SLACK);
        (carried > limit).then_some("most of what was stored before has been dropped from it")
    }

    /// The name of the segment that comes next.
    pub(super) fn next_name(&self) -> Result<Name> {
        let name = format!("segment-{:04}.pack", self.next);
        name.parse().map_err(|e| SourceError::new(format!("{e}"), name))
    }

    /// The note after a run that added the stream `name`, if it added one, which covers `tips`.
    pub(super) fn grown(mut self, details: &GitDetails, name: Option<Name>, anchors: Vec<Oid>, lfs: LfsNote) -> Self {
        let covered: HashSet<&Oid> = self.tips().collect();
        let mut tips: BTreeSet<Oid> = details.oids().filter(|oid| !covered.contains(oid)).collect();
        let folded = !self.folding.is_empty();
        tips.append(&mut self.folding);
        if let Some(name) = name {
            self.next += 1;
            self.segments.push(Segment { streams: vec![name], tips, folded });
        } else if let Some(last) = self.segments.last_mut() {
            // Nothing had to be packed for them, so they are covered already.
            last.tips.extend(tips);
        }
        self.anchors = anchors;
        self.lfs = lfs;
        self.details = details.clone();
        self
    }

    /// As JSON.
    pub(super) fn to_value(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self)
            .map_err(|e| SourceError::new(format!("its segments can't be written down: {e}"), "git"))
    }
}

/// Which of `oids` exist in the repository whose objects are in `objects`.
pub(super) fn existing<'a>(
    scratch: &Path,
    objects: &Path,
    oids: impl Iterator<Item = &'a Oid>,
) -> Result<HashSet<&'a Oid>> {
    let path = scratch.join("asked");
    let failed = |e| SourceError::at("can't look up the last tips", &path, e);
    let oids: Vec<&Oid> = oids.collect();
    if oids.is_empty() {
        return Ok(HashSet::new());
    }
    write_lines(&path, oids.iter().map(|oid| ("", *oid)))?;
    let mut command = run::git(scratch, Some(objects), &["cat-file", "--batch-check=%(objectname)", "--buffer"]);
    let mut asking = run::start(command.stdin(Stdio::from(open_own(&path)?)), "git cat-file")?;
    let mut found = HashSet::new();
    for (line, oid) in BufReader::new(asking.stdout()?).lines().zip(oids) {
        // Of what is not there, it says so behind the name.
        if line.map_err(failed)? == oid.as_str() {
            found.insert(oid);
        }
    }
    asking.finish()?;
    Ok(found)
}

/// How far back anchors are looked for, in commits.
const ANCHOR_DEPTH: usize = 10_000;

/// Git, listing the commits among which anchors are chosen.
pub(super) struct Anchoring {
    listing: Running,
    commits: BufReader<ChildStdout>,
}

impl Anchoring {
    /// Begins to list the history of `tips`. It goes on while other things are read.
    pub(super) fn start(scratch: &Path, objects: &Path, tips: impl Iterator<Item = Oid>) -> Result<Self> {
        let path = scratch.join("anchored");
        let tips: Vec<Oid> = tips.collect();
        write_lines(&path, tips.iter().map(|oid| ("", oid)))?;
        let depth = format!("--max-count={ANCHOR_DEPTH}");
        let mut command = run::git(scratch, Some(objects), &["rev-list", "--stdin", &depth]);
        let mut listing = run::start(command.stdin(Stdio::from(open_own(&path)?)), "git rev-list")?;
        let commits = listing.stdout()?;
        // All of it fits, so that it need not wait to be asked. Where that is not allowed, it waits.
        pipe::enlarge(&commits);
        Ok(Self { listing, commits: BufReader::new(commits) })
    }

    /// Some of the commits, the newest ones close together and older ones further apart.
    pub(super) fn finish(self) -> Result<Vec<Oid>> {
        let (mut anchors, mut next) = (Vec::new(), 1);
        for (at, line) in self.commits.lines().enumerate() {
            let line = line.map_err(|e| SourceError::new("can't list the last commits", "git rev-list").because(e))?;
            if at == next {
                anchors.extend(Oid::parse(&line));
                next += 1 + at / 8;
            }
        }
        self.listing.finish()?;
        Ok(anchors)
    }
}

/// The file in the scratch repository that says what is new: what is wanted, and what is held.
const REVISIONS: &str = "revisions";

/// Writes down what is to be read: what can be reached from `wanted` and not from `held`.
pub(super) fn write_revisions(scratch: &Path, wanted: &[Oid], held: &[Oid]) -> Result<()> {
    let lines = wanted.iter().map(|oid| ("", oid)).chain(held.iter().map(|oid| ("^", oid)));
    write_lines(&scratch.join(REVISIONS), lines)
}

/// What [`write_revisions`] wrote.
pub(super) fn revisions(scratch: &Path) -> Result<Stdio> {
    Ok(Stdio::from(open_own(&scratch.join(REVISIONS))?))
}

/// A pack on its way, of which it is known that it holds something.
pub(super) struct Packing {
    pub(super) running: Running,
    pub(super) from: Tee<Stream>,
    pub(super) proving: Proving,
    /// The `.gitattributes` in it, at any level.
    pub(super) attributes: Vec<Oid>,
}

/// Begins to pack the revisions that were written down; nothing if there is nothing to pack. By then git has found all
/// that it will pack. Deltas may build on what is held.
pub(super) fn start_packing(scratch: &Path, objects: &Path, format: ObjectFormat) -> Result<Option<Packing>> {
    let arguments = ["pack-objects", "--revs", "--thin", "--stdout", "--delta-base-offset", "-q"];
    let mut command = run::git(scratch, Some(objects), &arguments);
    let mut running = run::start(command.stdin(revisions(scratch)?), "git pack-objects")?;
    // Lists the same meanwhile, by the same walk: what must be in the pack.
    let path = scratch.join("listed");
    let list = std::fs::File::create(&path).map_err(|e| SourceError::at("can't write a temporary file", &path, e))?;
    let mut command = run::git(scratch, Some(objects), &["rev-list", "--objects-edge", "--stdin"]);
    run::start(command.stdin(revisions(scratch)?).stdout(list), "git rev-list")?.finish()?;
    let wanted = prove::names(&path, format.hex_len())?;
    if wanted.is_empty() {
        return Ok(None);
    }
    let attributes = attributes::in_list(&path, format.hex_len())?;
    let (proving, from) = Proving::start(scratch, objects, format, wanted, running.stream()?)?;
    Ok(Some(Packing { running, from, proving, attributes }))
}

fn write_lines<'a>(path: &Path, lines: impl Iterator<Item = (&'a str, &'a Oid)>) -> Result<()> {
    let failed = |e| SourceError::at("can't write a temporary file", path, e);
    let mut file = BufWriter::new(std::fs::File::create(path).map_err(failed)?);
    for (sign, oid) in lines {
        writeln!(file, "{sign}{}", oid.as_str()).map_err(failed)?;
    }
    file.flush().map_err(failed)
}
