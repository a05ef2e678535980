//! The plan of reading a stream in order: which blocks to decode when, which parts of packs to fetch for them, and how
//! long to keep both. Pure arithmetic, so that its promises can be tested: memory stays within a budget, and a pack is
//! fetched once wherever the budget allows it.

use std::{collections::HashMap, ops::Range};

use super::{
    locate::lost,
    places::{BlockPlace, Located, Places},
};
use crate::{
    format::list::ChunkRef,
    model::{Cancel, ChunkId},
    vault::{Result, VaultError},
};

/// Decoded bytes that may be alive at once.
const DECODED: u64 = 32 << 20;
/// Sealed bytes that may be alive at once.
pub(super) const SEALED: u64 = 32 << 20;
/// Sealed bytes that may be fetched ahead: three packs.
const AHEAD: u64 = 52 << 20;

/// How much may be alive at once of what is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Of sealed bytes that were fetched.
    pub(super) fetched: u64,
    /// Of decoded bytes.
    pub(super) decoded: u64,
}

impl Budget {
    /// Of data.
    pub(super) const STREAM: Self = Self { fetched: AHEAD, decoded: DECODED };
    /// Of a body or a list: what comes of it is as large, and stays; and whoever decodes it takes longer than who fetches.
    pub(super) const BODY: Self = Self { fetched: 8 << 20, decoded: 8 << 20 };
}
/// Two needed parts of a pack that are at most this far apart are fetched together.
const JOIN: u64 = 512 << 10;
/// After so many chunks it looks whether somebody asked to stop.
const LOOK: usize = 256;

/// A block of a pack, by their numbers.
type BlockId = (u32, u32);

/// Where a block's bytes are in its opened pack, and how many they are when decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    offset: u32,
    stored: u32,
    pub(super) plain: u32,
}

impl Extent {
    fn of(block: &BlockPlace) -> Self {
        // A pack has fewer than 2^32 bytes.
        Self { offset: u32::try_from(block.offset).unwrap_or(u32::MAX), stored: block.stored, plain: block.plain }
    }

    fn range(self) -> Range<u64> {
        let offset = u64::from(self.offset);
        offset..offset + u64::from(self.stored)
    }
}

/// A run of the stream's chunks that lie in one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// Which decoding it reads.
    pub(super) decoding: usize,
    /// The chunks, by their places in the stream's list.
    pub(super) chunks: Range<usize>,
}

/// A block decoded once, for one or several runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decoding {
    pub(super) block: BlockId,
    pub(super) extent: Extent,
    /// Which fetch has its bytes.
    pub(super) fetch: usize,
    /// The decoding that holds the base, the base's place in it, and its id.
    pub(super) base: Option<(usize, Located, ChunkId)>,
    /// The first run that reads it, directly or as a base.
    pub(super) first_run: usize,
    /// The last run that reads it, directly or as a base.
    pub(super) last_run: usize,
}

/// A part of a pack fetched once, for one or several decodings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) pack: u32,
    /// The range of the opened pack.
    pub(super) plain: Range<u64>,
    /// The first decoding that needs it.
    pub(super) first_decoding: usize,
    /// The last decoding that needs it.
    pub(super) last_decoding: usize,
}

/// The plan of one stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) runs: Vec<Run>,
    pub(super) decodings: Vec<Decoding>,
    pub(super) fetches: Vec<Fetch>,
    /// Where each chunk of the stream begins in its decoded block.
    pub(super) offsets: Vec<u32>,
    /// The most decoded bytes that are alive at once.
    pub(super) decoded_peak: u64,
    /// The most sealed bytes that are alive at once, nearly.
    pub(super) sealed_peak: u64,
}

/// A run before decodings are assigned.
struct Use {
    block: (BlockId, Extent),
    base: Option<(Located, Extent, ChunkId)>,
    chunks: Range<usize>,
    at: u64,
    end: u64,
}

/// Plans to read `chunks` in order.
///
/// # Errors
/// If a chunk or the base of one is in no pack that the snapshot names, or somebody asked to stop.
pub(super) fn plan(places: &Places, chunks: &[ChunkRef], cancel: &Cancel) -> Result<Plan> {
    let (uses, offsets) = uses(places, chunks, cancel)?;
    let mut keep = 256 << 20;
    let mut plan = loop {
        let plan = decodings(&uses, keep);
        if plan.decoded_peak <= DECODED || keep == 0 {
            break plan;
        }
        keep = if keep < 1 << 20 { 0 } else { keep / 2 };
    };
    plan.offsets = offsets;
    let mut distance = plan.decodings.len();
    loop {
        fetches(&mut plan, distance);
        if plan.sealed_peak <= SEALED || distance == 0 {
            return Ok(plan);
        }
        distance /= 2;
    }
}

fn uses(places: &Places, chunks: &[ChunkRef], cancel: &Cancel) -> Result<(Vec<Use>, Vec<u32>)> {
    let mut uses: Vec<Use> = Vec::new();
    let mut offsets = Vec::with_capacity(chunks.len());
    let mut at = 0;
    for (no, chunk) in chunks.iter().enumerate() {
        if no % LOOK == 0 && cancel.is_cancelled() {
            return Err(VaultError::cancelled());
        }
        // Of several places the first whose length is right; which of them has the right bytes shows later.
        let (place, found) = places.find_of(*chunk)?.ok_or_else(|| lost(&chunk.id))?;
        offsets.push(place.offset);
        let block = ((place.pack, place.block), Extent::of(&found));
        let end = at + u64::from(chunk.len);
        match uses.last_mut() {
            Some(last) if last.block == block => {
                last.chunks.end = no + 1;
                last.end = end;
            }
            _ => {
                let base = match found.base {
                    Some(id) => {
                        let (place, base) = places.find_base(&id)?.ok_or_else(|| lost(&id))?;
                        Some((place, Extent::of(&base), id))
                    }
                    None => None,
                };
                uses.push(Use { block, base, chunks: no..no + 1, at, end });
            }
        }
        at = end;
    }
    Ok((uses, offsets))
}

/// Assigns decodings: a block stays decoded while its next use is at most `keep` bytes of the stream away.
fn decodings(uses: &[Use], keep: u64) -> Plan {
    let mut plan = Plan::default();
    let mut open: HashMap<BlockId, (usize, u64)> = HashMap::new();
    for (run, one) in uses.iter().enumerate() {
        let mut again = |plan: &mut Plan, block: BlockId| {
            let (decoding, end) = open.get_mut(&block)?;
            if one.at.saturating_sub(*end) > keep {
                return None;
            }
            *end = one.end;
            plan.decodings.get_mut(*decoding)?.last_run = run;
            Some(*decoding)
        };
        let decoding = again(&mut plan, one.block.0);
        let base = match one.base {
            Some((place, extent, id)) if decoding.is_none() => {
                let block = ((place.pack, place.block), extent);
                let found = again(&mut plan, block.0);
                Some((found.unwrap_or_else(|| add(&mut plan, &mut open, block, None, run, one.end)), place, id))
            }
            _ => None,
        };
        let decoding = decoding.unwrap_or_else(|| add(&mut plan, &mut open, one.block, base, run, one.end));
        plan.runs.push(Run { decoding, chunks: one.chunks.clone() });
    }
    plan.decoded_peak = decoded_peak(&plan);
    plan
}

fn add(
    plan: &mut Plan,
    open: &mut HashMap<BlockId, (usize, u64)>,
    (block, extent): (BlockId, Extent),
    base: Option<(usize, Located, ChunkId)>,
    run: usize,
    end: u64,
) -> usize {
    let decoding = plan.decodings.len();
    plan.decodings.push(Decoding { block, extent, fetch: 0, base, first_run: run, last_run: run });
    open.insert(block, (decoding, end));
    decoding
}

fn decoded_peak(plan: &Plan) -> u64 {
    let size = |decoding: &Decoding| u64::from(decoding.extent.plain);
    let mut ends: Vec<u64> = vec![0; plan.runs.len()];
    let (mut alive, mut peak, mut next) = (0_u64, 0_u64, 0_usize);
    for (no, run) in plan.runs.iter().enumerate() {
        while let Some(decoding) = plan.decodings.get(next).filter(|_| next <= run.decoding) {
            alive += size(decoding);
            if let Some(end) = ends.get_mut(decoding.last_run) {
                *end += size(decoding);
            }
            next += 1;
        }
        peak = peak.max(alive);
        alive = alive.saturating_sub(ends.get(no).copied().unwrap_or_default());
    }
    peak
}

/// Assigns fetches: the blocks of one pack are fetched together while the next is at most `distance` decodings away.
fn fetches(plan: &mut Plan, distance: usize) {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut open: HashMap<u32, (usize, usize)> = HashMap::new();
    for (no, decoding) in plan.decodings.iter().enumerate() {
        let group = match open.get(&decoding.block.0) {
            Some((group, last)) if no - last <= distance.max(1) => *group,
            _ => {
                groups.push(Vec::new());
                groups.len() - 1
            }
        };
        open.insert(decoding.block.0, (group, no));
        if let Some(members) = groups.get_mut(group) {
            members.push(no);
        }
    }
    plan.fetches.clear();
    for mut members in groups {
        let range = |plan: &Plan, no: usize| plan.decodings.get(no).map_or(0..0, |d| d.extent.range());
        members.sort_by_key(|no| range(plan, *no).start);
        let mut current: Option<usize> = None;
        for no in members {
            let part = range(plan, no);
            let joined = current.filter(|at| plan.fetches.get(*at).is_some_and(|f| part.start <= f.plain.end + JOIN));
            let at = joined.unwrap_or_else(|| {
                let pack = plan.decodings.get(no).map_or(0, |d| d.block.0);
                plan.fetches.push(Fetch { pack, plain: part.clone(), first_decoding: no, last_decoding: no });
                plan.fetches.len() - 1
            });
            if let Some(fetch) = plan.fetches.get_mut(at) {
                fetch.plain.end = fetch.plain.end.max(part.end);
                fetch.first_decoding = fetch.first_decoding.min(no);
                fetch.last_decoding = fetch.last_decoding.max(no);
            }
            if let Some(decoding) = plan.decodings.get_mut(no) {
                decoding.fetch = at;
            }
            current = Some(at);
        }
    }
    order_fetches(plan);
    plan.sealed_peak = sealed_peak(plan);
}

/// Numbers the fetches in the order in which they are first needed.
fn order_fetches(plan: &mut Plan) {
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    let mut ordered = Vec::with_capacity(plan.fetches.len());
    for decoding in &mut plan.decodings {
        let number = *numbers.entry(decoding.fetch).or_insert_with(|| {
            ordered.extend(plan.fetches.get(decoding.fetch).cloned());
            ordered.len() - 1
        });
        decoding.fetch = number;
    }
    plan.fetches = ordered;
}

fn sealed_peak(plan: &Plan) -> u64 {
    let mut ends: Vec<u64> = vec![0; plan.decodings.len()];
    let (mut alive, mut peak, mut next) = (0_u64, 0_u64, 0_usize);
    for (no, decoding) in plan.decodings.iter().enumerate() {
        while let Some(fetch) = plan.fetches.get(next).filter(|_| next <= decoding.fetch) {
            let size = fetch.plain.end - fetch.plain.start;
            alive += size;
            if let Some(end) = ends.get_mut(fetch.last_decoding) {
                *end += size;
            }
            next += 1;
        }
        peak = peak.max(alive);
        alive = alive.saturating_sub(ends.get(no).copied().unwrap_or_default());
    }
    peak
}
