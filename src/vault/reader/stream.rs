//! Reading a stream in order, on all cores: parts of packs are fetched ahead, blocks are opened, decompressed and
//! checked by workers, and written in order.

use std::{
    collections::VecDeque,
    io::Write,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::runtime::Handle;

use super::{
    PackSource,
    block_cache::BlockCache,
    decode,
    locate::lost,
    places::Places,
    plan::{Budget, Decoding, Plan, plan},
    recover,
};
use crate::{
    codec::{compress::Decompressor, hash::Hasher, seal::PartReader},
    format::list::ChunkRef,
    model::{Cancel, Hash, Progress},
    vault::{Result, VaultError, VaultErrorKind},
};

/// One stream to write.
pub(super) struct Job {
    pub(super) places: Arc<Places>,
    pub(super) source: PackSource,
    pub(super) budget: Budget,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) cancel: Cancel,
}

/// What was written of a stream so far.
pub(super) struct Tally {
    hasher: Hasher,
    written: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { hasher: Hasher::new(), written: 0 }
    }

    /// Adds bytes that follow.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
    }

    /// Holds the whole of it against what was signed.
    pub(super) fn check(self, hash: Hash, bytes: u64) -> Result<()> {
        if self.hasher.finish() == hash && self.written == bytes {
            return Ok(());
        }
        let what = "every chunk is right, but the whole stream is not what was signed";
        Err(VaultError::new(VaultErrorKind::Damaged, what))
    }
}

impl Job {
    /// Writes `chunks` to `out` in order, and adds them to the tally if there is one.
    pub(super) async fn write(
        self,
        chunks: Vec<ChunkRef>,
        out: Box<dyn Write + Send>,
        tally: Option<Tally>,
    ) -> Result<(Box<dyn Write + Send>, Option<Tally>)> {
        let runtime = Handle::current();
        let writing = tokio::task::spawn_blocking(move || {
            let (mut out, mut tally) = (out, tally);
            self.run(&runtime, &chunks, &mut *out, tally.as_mut()).map(|()| (out, tally))
        });
        writing.await.map_err(|_| VaultError::stage_gone("reading"))?
    }

    /// The same, on a thread that may block.
    pub(super) fn run(
        &self,
        runtime: &Handle,
        chunks: &[ChunkRef],
        out: &mut dyn Write,
        tally: Option<&mut Tally>,
    ) -> Result<()> {
        let plan = plan(&self.places, chunks, &self.cancel)?;
        let cache = BlockCache::new(&plan, self.budget);
        thread::scope(|scope| {
            for _ in 0..plan.fetches.len().min(FETCHERS) {
                scope.spawn(|| self.fetch(runtime, &plan, &cache));
            }
            for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
                scope.spawn(|| self.work(runtime, &plan, chunks, &cache));
            }
            let result = self.deliver(&plan, chunks, &cache, out, tally);
            cache.close();
            result
        })
    }

    /// Fetches the parts of packs in the order of the plan, as far ahead as the budget allows.
    fn fetch(&self, runtime: &Handle, plan: &Plan, cache: &BlockCache) {
        let budget = plan.sealed_peak.max(self.budget.fetched);
        while let Some((no, fetch)) = cache.next_fetch(plan, budget) {
            // A part that can't be had leaves its blocks to be recovered one by one.
            let pack = self.places.pack(fetch.pack).ok();
            let part =
                pack.and_then(|pack| runtime.block_on(decode::part(&self.source, &pack, fetch.plain.clone())).ok());
            cache.fetched(no, part);
        }
    }

    /// Decodes blocks in the order of the plan until there are none left.
    fn work(&self, runtime: &Handle, plan: &Plan, chunks: &[ChunkRef], cache: &BlockCache) {
        let Ok(mut decompressor) = Decompressor::new() else { return cache.close() };
        let mut scratch = Scratch::default();
        while let Some((no, decoding)) = cache.next(plan, size) {
            let decoded = self.decode(&mut decompressor, &mut scratch, decoding, cache);
            let Some(decoded) = decoded else { return };
            // Bases are not checked for themselves: what is made of another base is not the chunk, and is found there.
            let is_right = |block: &[u8]| {
                let mut needed = needed(plan, chunks, no, false).into_iter();
                needed.all(|(at, chunk)| decode::is_chunk(&self.source, block, at, chunk))
            };
            let checked = match decoded {
                Ok(block) if is_right(&block) => Ok(block),
                // Whatever is wrong with this place of the chunks, another may have them.
                _ => runtime.block_on(self.recover(decoding, &needed(plan, chunks, no, true))),
            };
            cache.decoded(plan, no, decoding, checked);
        }
    }

    /// Opens and decodes one block; `None` if the cache was closed meanwhile.
    fn decode(
        &self,
        decompressor: &mut Decompressor,
        scratch: &mut Scratch,
        decoding: &Decoding,
        cache: &BlockCache,
    ) -> Option<Result<Vec<u8>>> {
        let part = cache.part(decoding.fetch)?;
        let base = match decoding.base {
            Some((base, place, _)) => Some((cache.block(base)?, place)),
            None => None,
        };
        let (pack, block) = match self.places.row(decoding.block.1) {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        scratch.stored.clear();
        let opened = match part {
            Some((offset, part)) => {
                let range = block.offset..block.offset + u64::from(block.stored);
                scratch.open(self, pack, (offset, &part), range)
            }
            None => Err(lost(&crate::model::ChunkId::from_bytes([0; 32]))),
        };
        let stored = &scratch.stored;
        let mut out = BlockCache::spare(u64::from(block.plain));
        let decoded = opened.and_then(|()| match base {
            Some((Some(base), place)) => {
                let base = decode::slice(&base, place.offset, place.len);
                decode::block(decompressor, block, stored, base, &mut out)
            }
            Some((None, _)) => Err(VaultError::stage_gone("decoding a base")),
            None => decode::block(decompressor, block, stored, None, &mut out),
        });
        Some(decoded.map(|()| out))
    }

    /// A block whose needed chunks were had from wherever they can be.
    async fn recover(&self, decoding: &Decoding, needed: &[(u32, ChunkRef)]) -> Result<Vec<u8>> {
        let mut block = vec![0; usize::try_from(size(decoding)).unwrap_or(0)];
        for (at, chunk) in needed {
            let bytes = recover::recover(&self.source, &self.places, *chunk).await?;
            let at = usize::try_from(*at).unwrap_or(usize::MAX);
            if let Some(room) = block.get_mut(at..at.saturating_add(bytes.len())) {
                room.copy_from_slice(&bytes);
            }
        }
        Ok(block)
    }

    /// Writes the runs in order and gives back what they needed.
    fn deliver(
        &self,
        plan: &Plan,
        chunks: &[ChunkRef],
        cache: &BlockCache,
        out: &mut dyn Write,
        mut tally: Option<&mut Tally>,
    ) -> Result<()> {
        for (no, run) in plan.runs.iter().enumerate() {
            let block = loop {
                if self.cancel.is_cancelled() {
                    return Err(VaultError::cancelled());
                }
                if let Some(block) = cache.try_block(run.decoding, WAKE)? {
                    break block;
                }
            };
            for span in spans(plan, chunks, run.chunks.clone()) {
                let bytes = block.get(span).ok_or_else(|| VaultError::stage_gone("decoding"))?;
                if let Some(tally) = &mut tally {
                    tally.add(bytes);
                }
                out.write_all(bytes).map_err(failed)?;
                self.progress.advance(bytes.len() as u64);
            }
            drop(block);
            cache.done(plan, no, run.decoding, size);
        }
        out.flush().map_err(failed)
    }
}

fn size(decoding: &Decoding) -> u64 {
    u64::from(decoding.extent.plain)
}

fn failed(e: std::io::Error) -> VaultError {
    VaultError::new(VaultErrorKind::Failed, "cannot write the stream").because(e)
}

/// Writes all of a stream.
pub(super) fn put(mut out: Box<dyn Write + Send>, bytes: &[u8]) -> Result<Box<dyn Write + Send>> {
    out.write_all(bytes).and_then(|()| out.flush()).map_err(failed)?;
    Ok(out)
}

/// How many parts are fetched at once. A store far away answers after a while and sends each at no great speed; what
/// lies on a local disk is there at once.
const FETCHERS: usize = 4;

/// How many packs a worker goes to and fro between without unwrapping their headers again: those of a day's deltas and
/// of their bases.
const READERS: usize = 8;

/// What a worker uses again.
#[derive(Default)]
struct Scratch {
    /// A block as it is stored.
    stored: Vec<u8>,
    /// What opens the packs that were read last, newest last.
    readers: VecDeque<(u32, PartReader)>,
}

impl Scratch {
    /// Appends the opened range of a pack to what is stored.
    fn open(&mut self, job: &Job, no: u32, part: (u64, &[u8]), range: Range<u64>) -> Result<()> {
        let known = self.readers.iter().position(|(pack, _)| *pack == no).and_then(|at| self.readers.remove(at));
        let mut reader = if let Some((_, reader)) = known {
            reader
        } else {
            let pack = job.places.pack(no)?;
            job.source.opener.reader(&pack.header, pack.sealed_len)?
        };
        let opened = reader.read_at(part, range, &mut self.stored);
        self.readers.push_back((no, reader));
        if self.readers.len() > READERS {
            self.readers.pop_front();
        }
        Ok(opened?)
    }
}

/// How often a wait looks whether somebody asked to stop.
const WAKE: Duration = Duration::from_millis(100);

/// The chunks that the runs of a decoding read, with their places in it, and with those that are the bases of others if
/// `bases` are wanted too.
fn needed(plan: &Plan, chunks: &[ChunkRef], decoding: usize, bases: bool) -> Vec<(u32, ChunkRef)> {
    let mut needed = Vec::new();
    let runs = plan.decodings.get(decoding).map(|d| d.first_run..=d.last_run).into_iter().flatten();
    for run in runs.filter_map(|no| plan.runs.get(no)) {
        if run.decoding == decoding {
            let offsets = plan.offsets.get(run.chunks.clone()).unwrap_or_default();
            let chunks = chunks.get(run.chunks.clone()).unwrap_or_default();
            needed.extend(offsets.iter().copied().zip(chunks.iter().copied()));
        }
        if bases
            && let Some((base, place, id)) = plan.decodings.get(run.decoding).and_then(|d| d.base)
            && base == decoding
        {
            needed.push((place.offset, ChunkRef { id, len: place.len }));
        }
    }
    needed
}

/// The spans of a decoded block that a run reads; neighbouring chunks are one span.
fn spans(plan: &Plan, chunks: &[ChunkRef], run: Range<usize>) -> Vec<Range<usize>> {
    let offsets = plan.offsets.get(run.clone()).unwrap_or_default();
    let mut spans: Vec<Range<usize>> = Vec::new();
    for (offset, chunk) in offsets.iter().zip(chunks.get(run).unwrap_or_default()) {
        let (from, len) = (*offset as usize, chunk.len as usize);
        match spans.last_mut() {
            Some(last) if last.end == from => last.end += len,
            _ => spans.push(from..from + len),
        }
    }
    spans
}

/// A sink that collects `size` bytes into memory, and where to find what it collected.
pub(super) fn collect(size: usize) -> (Box<dyn Write + Send>, Collected) {
    let collected = Collected(Arc::new(Mutex::new(Vec::with_capacity(size))));
    (Box::new(Collected(Arc::clone(&collected.0))), collected)
}

/// Bytes collected in memory.
pub(super) struct Collected(Arc<Mutex<Vec<u8>>>);

impl Collected {
    /// The bytes.
    pub(super) fn take(self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
