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
    details::hex,
    lfs::LfsNote,
    lines::{next_line, revisions, write_lines, write_revisions},
    open_own,
    packs::{self, LargeObject},
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
    /// Whether the next segment takes the place of some that were taken out.
    #[serde(skip)]
    folding: bool,
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
    /// Some commits that it and those before it cover, where the next pack can stop if a rewrite takes all tips away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    anchors: Vec<Oid>,
}

/// So many segments that were not folded yet become one, together with the folded ones before them that are not larger than
/// [`GEOMETRIC`] times all after them. So there are never more than these and some more that grow by that factor, and each
/// byte is folded a few times; without it, each restore would index all that there ever were.
const FOLD: usize = 32;
const GEOMETRIC: u64 = 2;
/// Segments that were not folded yet are folded earlier if those that hold what the source has dropped have one byte of so
/// many that are carried, and [`DROPPED_SLACK`] at least.
const DROPPED_SHARE: u64 = 4;
const DROPPED_SLACK: u64 = 4 << 20;
/// What is carried may be this many times as large as the source's own objects, and [`DEAD_SLACK`] more. Beyond, most of
/// it is history that the source dropped, and the repository is stored anew without it.
const DEAD_RATIO: u64 = 2;
const DEAD_SLACK: u64 = 64 << 20;

/// What becomes of the segments before a new one is added.
pub(super) enum Folding {
    /// All of them stay.
    Not,
    /// The last ones were taken out, which had these tips; what takes their place can stop at `held`.
    Last { tips: BTreeSet<Oid>, held: BTreeSet<Oid> },
    /// The last ones should be taken out, and the source has nothing left of what the others cover.
    Nothing,
}

impl Note {
    /// Segments of version 1 were stored without a proof, so they are not leaned on.
    const VERSION: u32 = 2;

    /// The note of a set that begins with these streams.
    pub(super) fn begin(details: &GitDetails, streams: Vec<Name>, anchors: Vec<Oid>, lfs: LfsNote) -> Self {
        let tips = details.oids().collect();
        let segments = vec![Segment { streams, tips, folded: false, anchors: anchors.clone() }];
        Self {
            version: Self::VERSION,
            format: details.format,
            next: 1,
            segments,
            folding: false,
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
        self.tips().chain(&self.anchors).chain(self.segments.iter().flat_map(|segment| &segment.anchors)).collect()
    }

    /// All tips that the set covers.
    pub(super) fn tips(&self) -> impl Iterator<Item = &Oid> {
        self.segments.iter().flat_map(|segment| &segment.tips)
    }

    /// Takes the last segments out if they are to be packed as one, together with what is new. What they hold and the refs
    /// no longer need stays behind, in earlier snapshots. `before` tells their sizes, `there` are the covered objects that
    /// the source still has.
    pub(super) fn fold(&mut self, before: &Before, there: &HashSet<Oid>) -> Folding {
        let size = |segment: &Segment| segment.streams.iter().filter_map(|name| before.streams.get(name)).sum::<u64>();
        let sizes: Vec<u64> = self.segments.iter().map(size).collect();
        let sum = |from: usize| sizes.iter().skip(from).fold(0, |sum: u64, size| sum.saturating_add(*size));
        let young = || self.segments.iter().zip(&sizes).enumerate().skip(1).filter(|(_, (segment, _))| !segment.folded);
        let dropped = young().filter(|(_, (segment, _))| segment.tips.iter().any(|tip| !there.contains(tip)));
        let dropped = dropped.fold(0, |sum: u64, (_, (_, size))| sum.saturating_add(*size));
        if young().count() < FOLD && dropped < (sum(0) / DROPPED_SHARE).max(DROPPED_SLACK) {
            return Folding::Not;
        }
        // The first is the repository as it was found.
        let mut from = young().next().map_or(self.segments.len(), |(at, _)| at);
        while from > 1 && sizes.get(from - 1).is_some_and(|size| *size <= sum(from).saturating_mul(GEOMETRIC)) {
            from -= 1;
        }
        let (stay, last) = self.segments.split_at(from);
        let held = stay.iter().flat_map(|segment| segment.tips.iter().chain(&segment.anchors));
        let held: BTreeSet<Oid> = held.filter(|oid| there.contains(*oid)).cloned().collect();
        if held.is_empty() {
            return Folding::Nothing;
        }
        let tips = last.iter().flat_map(|segment| &segment.tips).cloned().collect();
        self.segments.truncate(from);
        self.folding = true;
        Folding::Last { tips, held }
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
        let limit = source_bytes.saturating_mul(DEAD_RATIO).saturating_add(DEAD_SLACK);
        (carried > limit).then_some("most of what was stored before has been dropped from it")
    }

    /// The name of the segment that comes next.
    pub(super) fn next_name(&self) -> Result<Name> {
        let name = format!("segment-{:04}.pack", self.next);
        name.parse().map_err(|e| SourceError::new(format!("{e}"), name))
    }

    /// The note after a run that added `streams`, if it added any.
    pub(super) fn grown(mut self, details: &GitDetails, streams: Vec<Name>, anchors: Vec<Oid>, lfs: LfsNote) -> Self {
        let covered: HashSet<&Oid> = self.tips().collect();
        let tips: BTreeSet<Oid> = details.oids().filter(|oid| !covered.contains(oid)).collect();
        if !streams.is_empty() {
            self.next += 1;
            let folded = std::mem::take(&mut self.folding);
            let at = if folded { anchors.clone() } else { Vec::new() };
            self.segments.push(Segment { streams, tips, folded, anchors: at });
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

/// Whether anything that can be reached from `tips` can't be from `now`, or is not there any more.
pub(super) fn any_dropped(
    (scratch, objects): (&Path, &Path),
    tips: &BTreeSet<Oid>,
    now: &BTreeSet<Oid>,
    there: &HashSet<Oid>,
) -> Result<bool> {
    if tips.iter().any(|tip| !there.contains(tip)) {
        return Ok(true);
    }
    let path = scratch.join("dropped");
    write_lines(&path, tips.iter().map(|oid| ("", oid)).chain(now.iter().map(|oid| ("^", oid))))?;
    let mut command = run::git(scratch, Some(objects), &["rev-list", "--objects", "--stdin"]);
    let mut listing = run::start(command.stdin(Stdio::from(open_own(&path)?)), "git rev-list")?;
    let mut line = String::new();
    let failed = |e| SourceError::at("can't list what was dropped", &path, e);
    Ok(BufReader::new(listing.stdout()?).read_line(&mut line).map_err(failed)? > 0)
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

/// What is new: a pack on its way, and loose objects that are too large for git.
pub(super) struct News {
    pub(super) packing: Option<Packing>,
    pub(super) large: Vec<LargeObject>,
    /// The `.gitattributes` in it, at any level.
    pub(super) attributes: Vec<Oid>,
}

/// A pack on its way, of which it is known that it holds something.
pub(super) struct Packing {
    pub(super) running: Running,
    pub(super) from: Tee<Stream>,
    pub(super) proving: Proving,
}

/// Begins to pack what can be reached from `wanted` and not from `held`. By then git has found all of that. Deltas may build on what is held.
pub(super) fn start_packing(
    (scratch, objects): (&Path, &Path),
    format: ObjectFormat,
    wanted: &[Oid],
    held: &[Oid],
) -> Result<News> {
    let mut news = News { packing: None, large: Vec::new(), attributes: Vec::new() };
    write_revisions(scratch, wanted, held)?;
    if wanted.is_empty() {
        return Ok(news);
    }
    // What must be in the pack.
    let path = scratch.join("listed");
    let list = std::fs::File::create(&path).map_err(|e| SourceError::at("can't write a temporary file", &path, e))?;
    let mut command = run::git(scratch, Some(objects), &["rev-list", "--objects-edge", "--stdin"]);
    run::start(command.stdin(revisions(scratch)?).stdout(list), "git rev-list")?.finish()?;
    let mut wanted = prove::names(&path, format.hex_len())?;
    news.attributes = attributes::in_list(&path, format.hex_len())?;
    let size = format.hash().size();
    wanted.retain(|oid| {
        let name = oid.get(..size).unwrap_or_default();
        !packs::add_large(objects, name, &mut news.large)
    });
    if wanted.is_empty() {
        return Ok(news);
    }
    let mut arguments = vec!["pack-objects", "--stdout", "--delta-base-offset", "-q"];
    let input = if news.large.is_empty() {
        // Git walks the same way once more.
        arguments.extend(["--revs", "--thin"]);
        revisions(scratch)?
    } else {
        let small = scratch.join("small-ones");
        write_lines_of(&path, &small, &news.large, format.hex_len())?;
        Stdio::from(open_own(&small)?)
    };
    let mut command = run::git(scratch, Some(objects), &arguments);
    let mut running = run::start(command.stdin(input), "git pack-objects")?;
    let (proving, from) = Proving::start(scratch, objects, format, wanted, running.stream()?)?;
    news.packing = Some(Packing { running, from, proving });
    Ok(news)
}

/// Writes the lines of a list that are about objects other than `large`, without hints.
fn write_lines_of(from: &Path, to: &Path, large: &[LargeObject], hex_len: usize) -> Result<()> {
    let failed = |e| SourceError::at("can't write a temporary file", to, e);
    let without: HashSet<Vec<u8>> = large.iter().map(|(name, _)| hex(name).into_bytes()).collect();
    let mut lines = BufReader::new(open_own(from)?);
    let (mut file, mut line) = (BufWriter::new(std::fs::File::create(to).map_err(failed)?), Vec::new());
    while next_line(&mut lines, &mut line).map_err(failed)? {
        if line.first() != Some(&b'-') && !line.get(..hex_len).is_some_and(|name| without.contains(name)) {
            file.write_all(&line).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
        }
    }
    file.flush().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SnapshotId, Time};

    fn oid(no: usize) -> Oid {
        Oid::parse(&format!("{no:040x}")).unwrap()
    }

    /// So many runs of a repository of a thousand bytes, of which each adds one; with `keeps`, the source keeps what its refs
    /// no longer name. Gives the most segments there ever were, and all bytes that were packed.
    fn life(runs: usize, keeps: bool) -> (usize, u64) {
        let mut details: GitDetails = serde_json::from_value(serde_json::json!({
            "format": "sha1", "head": { "symbolic": "refs/heads/main" }, "refs": { "refs/heads/main": oid(0).as_str() },
        }))
        .unwrap();
        let name: Name = "pack-0.pack".parse().unwrap();
        let mut note = Note::begin(&details, vec![name.clone()], Vec::new(), LfsNote::default());
        let mut before = Before {
            snapshot: SnapshotId::from_bytes([7; 32]),
            locked_until: Time::from_unix(0),
            note: serde_json::Value::Null,
            streams: [(name, 1000)].into(),
        };
        let (mut most, mut packed) = (0, 0);
        for run in 1..=runs {
            details.refs.insert(super::super::RefName::parse(b"refs/heads/main").unwrap(), oid(run));
            let had: BTreeSet<Name> = note.streams().cloned().collect();
            let known = (0..run).filter(|then| keeps || *then == 0).map(oid).collect();
            assert!(note.why_anew(&before, 1000).is_none(), "run {run}");
            assert!(!matches!(note.fold(&before, &known), Folding::Nothing), "run {run}");
            let has: BTreeSet<Name> = note.streams().cloned().collect();
            let folded = had.difference(&has).filter_map(|name| before.streams.get(name)).sum::<u64>();
            let bytes = 1 + if keeps { folded } else { 0 };
            let name = note.next_name().unwrap();
            before.streams.insert(name.clone(), bytes);
            note = note.grown(&details, vec![name], Vec::new(), LfsNote::default());
            (most, packed) = (most.max(note.segments.len()), packed + bytes);
            note = serde_json::from_value(note.to_value().unwrap()).unwrap();
        }
        (most, packed)
    }

    #[test]
    fn many_runs_leave_few_segments_and_pack_each_byte_a_few_times() {
        const RUNS: usize = 600;
        // Plain growth, and a source that keeps nothing but what its refs name now and what it began with.
        let (most, packed) = life(RUNS, true);
        assert!(most <= 1 + FOLD + 4, "{most} segments");
        assert!(packed <= RUNS as u64 * 5, "{packed} bytes");
        let (most, packed) = life(RUNS, false);
        assert!(most <= 1 + FOLD + 1, "{most} segments");
        assert_eq!(packed, RUNS as u64);
    }
}
