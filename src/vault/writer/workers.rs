//! The workers: as many threads as there are cores, which hash, compress and seal, whichever is due.

use std::{
    sync::{Arc, OnceLock},
    thread,
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender, never, select_biased};

use super::{
    bases::BaseCache,
    buffers::Buffer,
    intake::Segment,
    pressure::Pressure,
    shared::Shared,
    sketching::Sketching,
    stages::{Done, DoneBlock, Hashed, NewChunk, PackPlan, Resembling, SealedPack, ToPacker, Work, WorkKind},
};
use crate::{
    codec::{
        compress::{Codec, Compressor, Contexts, DeltaMaker, Trials},
        hash::ChunkIdKey,
        seal::Sealer,
        sketch::sketch,
    },
    format::pack::Block,
    model::PackId,
    vault::{VaultError, haste::Haste},
};

/// A delta is stored if it has at most half of what the chunk would add to a block. Deltas grow with the days, and one
/// that has grown so far is better replaced by a new base.
const CLEARLY: u64 = 2;

/// What a worker takes from and gives to. Cloned for each worker.
#[derive(Clone)]
pub(super) struct Bench {
    /// Closed when the run has failed, though the source may still be waiting for data.
    pub(super) stop: Receiver<()>,
    pub(super) segments: Receiver<Segment>,
    pub(super) hashed: Sender<Hashed>,
    pub(super) work: Receiver<Work>,
    pub(super) packer: Sender<ToPacker>,
    pub(super) plans: Receiver<PackPlan>,
    pub(super) sealed: tokio::sync::mpsc::UnboundedSender<SealedPack>,
    pub(super) key: ChunkIdKey,
    pub(super) sealer: Sealer,
    pub(super) level: i32,
    pub(super) trials: Arc<Trials>,
    pub(super) harder: Arc<Contexts>,
    pub(super) pressure: Arc<Pressure>,
    /// Where there are to be deltas.
    pub(super) cache: Option<Arc<BaseCache>>,
    pub(super) sketching: Arc<Sketching>,
    /// Whose turn it is, where that changes, and whether this worker is one of those who give way.
    pub(super) turn: Option<(Haste, bool)>,
}

/// What each worker does first, where somebody asked for something.
static FIRST: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

/// Lets every worker of this process call `first` when it begins, such as to give way to others. Asked for once.
pub fn begin_with(first: impl Fn() + Send + Sync + 'static) {
    // Whoever asked before goes on being heard.
    let _ = FIRST.set(Box::new(first));
}

/// How many there are.
pub(super) fn count() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}

impl Bench {
    /// A bench for each of `count` workers, and with `haste` for as many again that give way.
    pub(super) fn each(self, count: usize, haste: Option<&Haste>) -> Vec<Self> {
        let kinds: &[bool] = if haste.is_some() { &[false, true] } else { &[false] };
        let all = kinds.iter().flat_map(|gives_way| std::iter::repeat_n(*gives_way, count));
        all.map(|gives_way| Self { turn: haste.cloned().map(|haste| (haste, gives_way)), ..self.clone() }).collect()
    }
}

/// Works until there is nothing left to come.
///
/// # Errors
/// If a codec fails.
pub(super) fn run(mut bench: Bench, shared: &Shared) -> Result<(), VaultError> {
    match (&bench.turn, FIRST.get()) {
        (Some((haste, true)), _) => haste.give_way(),
        (_, Some(first)) => first(),
        _ => {}
    }
    // Where it is nobody's turn, whoever failed is heard all the same: the next piece of work ends this.
    let stop = |_| shared.check().is_err();
    let my_turn = |bench: &Bench| bench.turn.as_ref().is_none_or(|(haste, gives_way)| haste.turn_or(*gives_way, stop));
    // What it needs is made once it is needed.
    if !my_turn(&bench) {
        return Ok(());
    }
    let mut compressor = Compressor::of_several(bench.level, Arc::clone(&bench.trials), Arc::clone(&bench.harder))?;
    let mut scratch = Vec::new();
    // Later stages first: what is nearly done frees the most memory.
    let mut open = 3;
    while open > 0 && my_turn(&bench) {
        select_biased! {
            recv(bench.stop) -> _ => return Ok(()),
            recv(bench.plans) -> plan => if let Ok(plan) = plan {
                shared.check()?;
                let _ = bench.sealed.send(seal(&bench, plan, &mut scratch)?);
            } else { bench.plans = never(); open -= 1; },
            recv(bench.work) -> work => if let Ok(work) = work {
                shared.check()?;
                let _ = bench.packer.send(ToPacker::Done(compress(&bench, &mut compressor, work)?));
            } else { bench.work = never(); open -= 1; },
            recv(bench.segments) -> segment => if let Ok(segment) = segment {
                shared.check()?;
                let _ = bench.hashed.send(hash(&bench, segment));
            } else { bench.segments = never(); open -= 1; },
        }
    }
    Ok(())
}

fn hash(bench: &Bench, segment: Segment) -> Hashed {
    let mut rest = segment.buffer.bytes();
    let mut ids = Vec::with_capacity(segment.lengths.len());
    for length in &segment.lengths {
        let (chunk, tail) = rest.split_at_checked(*length as usize).unwrap_or((rest, &[]));
        ids.push(bench.key.id(chunk));
        rest = tail;
    }
    let both = segment.lengths.iter().zip(&segment.samples);
    let sketches = both.map(|(length, samples)| sketch(*length as usize, samples)).collect();
    Hashed { segment, ids, sketches }
}

fn compress(bench: &Bench, compressor: &mut Compressor, work: Work) -> Result<Done, VaultError> {
    let Work { seq, mut out, kind } = work;
    let blocks = match kind {
        WorkKind::Block(plain, chunks) => vec![block(bench, compressor, plain.bytes(), chunks, out.bytes_mut())?],
        WorkKind::Deltas(buffer, chunks) => deltas(bench, compressor, &buffer, &chunks, out.bytes_mut())?,
    };
    bench.pressure.made(out.bytes().len());
    Ok(Done { seq, blocks, bytes: out })
}

/// Appends one block to `out`.
fn block(
    bench: &Bench,
    compressor: &mut Compressor,
    plain: &[u8],
    chunks: Vec<NewChunk>,
    out: &mut Vec<u8>,
) -> Result<DoneBlock, VaultError> {
    let start = out.len();
    let (effort, began) = (bench.pressure.effort(), Instant::now());
    let codec = compressor.compress_by(effort, plain, out)?;
    let mut sketches = Vec::new();
    if chunks.iter().any(|new| new.sketch.is_some()) {
        bench.sketching.compressed(codec != Codec::Raw);
        // What does not shrink is not kept as a base: it would only push out what may serve.
        if codec != Codec::Raw {
            sketches = chunks.iter().map(|new| new.sketch).collect();
        }
    }
    let chunks = chunks.into_iter().map(|new| new.chunk).collect();
    let stored = out.len().saturating_sub(start);
    if codec != Codec::Raw {
        bench.pressure.compressed(effort, (plain.len(), stored), began.elapsed());
    }
    let entry = Block { codec, stored: short(stored), plain: short(plain.len()), base: None, chunks };
    Ok(DoneBlock { entry, sketches })
}

/// Makes deltas of chunks that resemble others, and a block of those for which that does not pay.
fn deltas(
    bench: &Bench,
    compressor: &mut Compressor,
    buffer: &Buffer,
    chunks: &[Resembling],
    out: &mut Vec<u8>,
) -> Result<Vec<DoneBlock>, VaultError> {
    let mut blocks = Vec::with_capacity(chunks.len());
    let (mut plain, mut whole) = (Vec::new(), Vec::new());
    let cache = bench.cache.as_ref();
    let mut rest = chunks;
    while let Some(first) = rest.first() {
        let home = cache.and_then(|cache| cache.home(&first.base));
        let mut maker = DeltaMaker::new()?;
        let mut done = 0;
        // Neighbours mostly have their bases in one block, and these share a compressor.
        for Resembling { new, range, base } in rest {
            let source = buffer.bytes().get(range.clone()).unwrap_or_default();
            let found = home.as_ref().and_then(|home| home.chunk(base).map(|bytes| (home, bytes)));
            match found {
                None if done > 0 => break,
                Some((home, bytes)) if bench.key.id(bytes) == base.chunk => {
                    let start = out.len();
                    maker.delta(bytes, source, out)?;
                    let stored = out.len().saturating_sub(start);
                    let pays = stored as u64 * CLEARLY <= home.would_store(source.len());
                    bench.sketching.tried(pays);
                    if pays {
                        let chunks = vec![new.chunk];
                        let (stored, plain) = (short(stored), new.chunk.len);
                        let entry = Block { codec: Codec::ZstdDelta, stored, plain, base: Some(base.chunk), chunks };
                        blocks.push(DoneBlock { entry, sketches: Vec::new() });
                    } else {
                        out.truncate(start);
                        plain.extend_from_slice(source);
                        whole.push(*new);
                    }
                }
                _ => {
                    plain.extend_from_slice(source);
                    whole.push(*new);
                }
            }
            done += 1;
        }
        rest = rest.get(done..).unwrap_or_default();
    }
    if !whole.is_empty() {
        blocks.push(block(bench, compressor, &plain, whole, out)?);
    }
    Ok(blocks)
}

/// A length in a pack, which is far below 4 GiB.
fn short(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Seals a pack. Its blocks go into the cache of bases too, and are not needed any more.
fn seal(bench: &Bench, plan: PackPlan, scratch: &mut Vec<u8>) -> Result<SealedPack, VaultError> {
    let directory = plan.directory.encode();
    let directory_len = u32::try_from(directory.len()).unwrap_or(u32::MAX);
    let mut stream = bench.sealer.stream(plan.blocks.bytes().len() + directory.len() + 4)?;
    stream.write(plan.blocks.bytes())?;
    stream.write(&directory)?;
    stream.write(&directory_len.to_le_bytes())?;
    let file = stream.finish()?;
    let id = PackId::from_bytes(*file.hash.as_bytes());
    let kept = bench.cache.as_ref().map(|cache| cache.keep(&id, &plan, scratch)).unwrap_or_default();
    Ok(SealedPack { file, directory: plan.directory, kept, permit: plan.permit })
}

/// Seals a pack again, which makes other bytes of it, and so another name.
pub(super) fn seal_again(sealer: &Sealer, pack: SealedPack) -> Result<SealedPack, VaultError> {
    const PIECE: usize = 1 << 20;
    let SealedPack { mut file, directory, kept, permit } = pack;
    let len = file.reader.plain_len();
    let mut stream = sealer.stream(usize::try_from(len).unwrap_or(0))?;
    let mut piece = Vec::new();
    for start in (0..len).step_by(PIECE) {
        piece.clear();
        file.reader.read_at((0, file.sealed.bytes()), start..len.min(start + PIECE as u64), &mut piece)?;
        stream.write(&piece)?;
    }
    Ok(SealedPack { file: stream.finish()?, directory, kept, permit })
}
