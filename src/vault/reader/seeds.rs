//! Chunks that a target has already, in older files: they are found by their content, so what is read of them is what was
//! signed, wherever it lies. Only what is new is fetched.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use tokio::runtime::Handle;

use super::{
    recover,
    stream::{Job, Tally},
};
use crate::{
    codec::{Chunker, hash::ChunkIdKey},
    format::list::ChunkRef,
    model::{Cancel, ChunkerParams},
    vault::{Result, VaultError},
};

/// So many chunks are remembered, in 24 bytes each: half a terabyte of files. What lies beyond is fetched.
const MOST: usize = 4 << 20;
/// What is read at once of a file.
const STEP: usize = 4 << 20;

/// Files that may hold chunks of a stream already.
pub trait Seeds: Send + Sync {
    /// How many there are.
    fn count(&self) -> u32;

    /// Reads of file number `file`, from the byte `at` on; 0 at its end.
    ///
    /// # Errors
    /// If it can't be read. Then its chunks are fetched.
    fn read_at(&self, file: u32, at: u64, buf: &mut [u8]) -> io::Result<usize>;
}

/// Where a chunk was seen: the beginning of its id, the file, and its place there.
type Known = (u64, u32, u64);

/// What chunks there are in the files of a target.
pub(super) struct Seeded {
    seeds: Arc<dyn Seeds>,
    known: Vec<Known>,
}

/// A stretch of a stream.
enum Part {
    /// A chunk that a file has.
    Here(ChunkRef, u32, u64),
    /// So many bytes that are fetched.
    Stored(u64),
}

fn short(id: &[u8; 32]) -> u64 {
    id.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

/// Reads until the buffer is full or the file ends.
fn fill(seeds: &dyn Seeds, file: u32, mut at: u64, buf: &mut [u8]) -> io::Result<usize> {
    let mut had = 0;
    while let Some(rest) = buf.get_mut(had..).filter(|rest| !rest.is_empty()) {
        match seeds.read_at(file, at, rest) {
            Ok(0) => break,
            Ok(n) => (had, at) = (had + n, at + n as u64),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(had)
}

impl Seeded {
    /// Looks through all files, on all cores.
    pub(super) fn look(
        seeds: Arc<dyn Seeds>,
        (params, key): (ChunkerParams, &ChunkIdKey),
        cancel: &Cancel,
    ) -> Result<Self> {
        let chunker = Chunker::new(params)?;
        let (next, full, all) = (AtomicU32::new(0), AtomicBool::new(false), Mutex::new(Vec::new()));
        let work = || {
            let mut buf = vec![0; STEP];
            while !cancel.is_cancelled() && !full.load(Ordering::Relaxed) {
                let file = next.fetch_add(1, Ordering::Relaxed);
                if file >= seeds.count() {
                    break;
                }
                let mut found = Vec::new();
                // One that can't be read has nothing for us.
                let _ = Self::one(&*seeds, file, (&chunker, key), &mut buf, &mut found);
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                all.append(&mut found);
                full.store(all.len() >= MOST, Ordering::Relaxed);
            }
        };
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
                scope.spawn(work);
            }
        });
        if cancel.is_cancelled() {
            return Err(VaultError::cancelled());
        }
        let mut known: Vec<Known> = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        known.sort_unstable();
        Ok(Self { seeds, known })
    }

    fn one(
        seeds: &dyn Seeds,
        file: u32,
        (chunker, key): (&Chunker, &ChunkIdKey),
        buf: &mut [u8],
        found: &mut Vec<Known>,
    ) -> io::Result<()> {
        let (mut at, mut lengths) = (0, Vec::new());
        while found.len() < MOST {
            let had = fill(seeds, file, at, buf)?;
            let bytes = buf.get(..had).unwrap_or_default();
            lengths.clear();
            let cut = chunker.cut(bytes, had < buf.len(), &mut lengths);
            let mut rest = bytes;
            for length in &lengths {
                let Some((chunk, after)) = rest.split_at_checked(*length as usize) else { break };
                found.push((short(key.id(chunk).as_bytes()), file, at));
                at += u64::from(*length);
                rest = after;
            }
            if cut == 0 || had < buf.len() {
                break;
            }
        }
        Ok(())
    }

    /// Parts the chunks of a stream into those that are here and those that are fetched, which are given back.
    fn part(&self, chunks: &[ChunkRef]) -> (Vec<ChunkRef>, Vec<Part>) {
        let (mut wanted, mut parts) = (Vec::new(), Vec::new());
        // Of several places the one that follows the last is the likeliest to be still as it was.
        let mut next = (0, 0);
        for chunk in chunks {
            let id = short(chunk.id.as_bytes());
            let from = self.known.partition_point(|known| known.0 < id);
            let same = || self.known.iter().skip(from).take_while(|known| known.0 == id).take(64);
            if let Some((_, file, at)) = same().find(|(_, file, at)| (*file, *at) == next).or_else(|| same().next()) {
                parts.push(Part::Here(*chunk, *file, *at));
                next = (*file, at + u64::from(chunk.len));
                continue;
            }
            next.1 += u64::from(chunk.len);
            wanted.push(*chunk);
            match parts.last_mut() {
                Some(Part::Stored(bytes)) => *bytes += u64::from(chunk.len),
                _ => parts.push(Part::Stored(u64::from(chunk.len))),
            }
        }
        (wanted, parts)
    }
}

impl Job {
    /// As [`write`](Self::write), with what is here already taken from there. Tells besides how many bytes that were.
    pub(super) async fn write_seeded(
        self,
        chunks: Vec<ChunkRef>,
        out: Box<dyn Write + Send>,
        (tally, seeded): (Option<Tally>, Arc<Seeded>),
    ) -> Result<(Box<dyn Write + Send>, Option<Tally>, u64)> {
        let runtime = Handle::current();
        let writing = tokio::task::spawn_blocking(move || {
            let (wanted, parts) = seeded.part(&chunks);
            let (mut out, mut tally) = (out, tally);
            let mut mixed = Mixed {
                out: &mut *out,
                tally: tally.as_mut(),
                parts: parts.into_iter(),
                left: 0,
                seeded: &seeded,
                on: (&self, &runtime),
                chunk: Vec::new(),
                kept: 0,
                failed: None,
            };
            let done = self.run(&runtime, &wanted, &mut mixed, None);
            let (kept, failed) = (mixed.kept, mixed.failed);
            // What failed below a write says more than the write that it failed.
            failed.map_or(done, Err)?;
            Ok((out, tally, kept))
        });
        writing.await.map_err(|_| VaultError::stage_gone("reading"))?
    }
}

/// Takes what is fetched, and puts what is here between.
struct Mixed<'a> {
    out: &'a mut dyn Write,
    tally: Option<&'a mut Tally>,
    parts: std::vec::IntoIter<Part>,
    /// Bytes that are fetched before the next part.
    left: u64,
    seeded: &'a Seeded,
    on: (&'a Job, &'a Handle),
    chunk: Vec<u8>,
    kept: u64,
    failed: Option<VaultError>,
}

impl Mixed<'_> {
    /// Writes what is here until more is to be fetched, or all is there.
    fn go_on(&mut self) -> io::Result<()> {
        while self.left == 0 {
            match self.parts.next() {
                Some(Part::Stored(bytes)) => self.left = bytes,
                Some(Part::Here(chunk, file, at)) => self.copy(chunk, (file, at))?,
                None => break,
            }
        }
        Ok(())
    }

    fn copy(&mut self, chunk: ChunkRef, (file, at): (u32, u64)) -> io::Result<()> {
        let (job, runtime) = self.on;
        if job.cancel.is_cancelled() {
            self.failed = Some(VaultError::cancelled());
            return Err(io::Error::other("cancelled"));
        }
        self.chunk.resize(usize::try_from(chunk.len).unwrap_or(0), 0);
        let had = fill(&*self.seeded.seeds, file, at, &mut self.chunk);
        if had.is_ok_and(|had| had == self.chunk.len()) && job.source.key.id(&self.chunk) == chunk.id {
            self.kept += u64::from(chunk.len);
        } else {
            // It was written over meanwhile.
            let fetched = runtime.block_on(recover::recover(&job.source, &job.places, chunk));
            self.chunk = fetched.map_err(|error| {
                self.failed = Some(error);
                io::Error::other("a chunk can't be fetched")
            })?;
        }
        if let Some(tally) = &mut self.tally {
            tally.add(&self.chunk);
        }
        self.out.write_all(&self.chunk)?;
        job.progress.advance(u64::from(chunk.len));
        Ok(())
    }
}

impl Write for Mixed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.go_on()?;
        let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let now = bytes.get(..n).unwrap_or_default();
        if let Some(tally) = &mut self.tally {
            tally.add(now);
        }
        self.out.write_all(now)?;
        self.left -= n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.go_on()?;
        if self.left > 0 {
            return Err(io::Error::other("less was fetched than was to be"));
        }
        self.out.flush()
    }
}
