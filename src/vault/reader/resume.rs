//! Going on with a stream of which a beginning is there, and reading many small streams at once.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use super::{
    Snapshot,
    cost::TOGETHER,
    plan::Budget,
    seeds::{Seeded, Seeds},
    stream::{self, Job, Tally},
    walk::Walk,
};
use crate::{
    codec::hash::ChunkIdKey,
    format::{body::StreamRecord, list::ChunkRef},
    model::{Cancel, Progress, Silent},
    vault::{Result, VaultError, VaultErrorKind},
};

/// What is read at once of a stream that may be there already.
const STEP: usize = 1 << 20;

/// What a stream is written to. Of one that was given up earlier there may be a beginning, which is read back and proved.
pub trait Sink: Write + Send {
    /// Reads on in what is there, from its beginning; 0 at its end.
    ///
    /// # Errors
    /// If it can't be read.
    fn read_back(&mut self, _buf: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    /// Keeps the first `bytes` of what is there and drops the rest. What is written follows them.
    ///
    /// # Errors
    /// If it can't be cut there.
    fn keep(&mut self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    /// Older files that may hold chunks of it, wherever.
    fn seeds(&self) -> Option<Arc<dyn Seeds>> {
        None
    }
}

/// A stream on its way, whose beginning may be there.
enum Stage {
    Proving(Proof),
    Writing(Box<dyn Write + Send>, Option<Tally>),
}

/// The beginning of a stream, as far as it proved itself: chunk by chunk, by their ids.
struct Proof {
    sink: Box<dyn Sink>,
    kept: u64,
    tally: Tally,
    key: ChunkIdKey,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
}

impl Proof {
    /// How many of the next chunks are there.
    fn go_on(&mut self, chunks: &[ChunkRef]) -> Result<usize> {
        let mut buf = Vec::new();
        for (no, chunk) in chunks.iter().enumerate() {
            if self.cancel.is_cancelled() {
                return Err(VaultError::cancelled());
            }
            buf.resize(usize::try_from(chunk.len).unwrap_or(0), 0);
            let read =
                fill(&mut *self.sink, &mut buf).map_err(|e| failed("cannot read what is there of the stream", e))?;
            if read < buf.len() || self.key.id(&buf) != chunk.id {
                return Ok(no);
            }
            self.tally.add(&buf);
            self.kept += u64::from(chunk.len);
            self.progress.advance(u64::from(chunk.len));
        }
        Ok(chunks.len())
    }

    /// Cuts off what did not prove itself.
    fn cut(&mut self) -> Result<()> {
        self.sink.keep(self.kept).map_err(|e| failed("cannot write the stream", e))
    }
}

fn failed(what: &'static str, e: io::Error) -> VaultError {
    VaultError::new(VaultErrorKind::Failed, what).because(e)
}

/// Reads until the buffer is full or there is no more.
fn fill(sink: &mut dyn Sink, buf: &mut [u8]) -> io::Result<usize> {
    let mut at = 0;
    while let Some(rest) = buf.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match sink.read_back(rest) {
            Ok(0) => break,
            Ok(n) => at += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(at)
}

impl Snapshot {
    /// As [`restore_stream`](Self::restore_stream), but what is there of the stream already is kept as far as it is right,
    /// and not fetched. Returns how many bytes that were.
    ///
    /// # Errors
    /// As [`restore_stream`](Self::restore_stream).
    pub async fn resume_stream(
        &self,
        stream: &StreamRecord,
        sink: Box<dyn Sink>,
        progress: Arc<dyn Progress>,
        cancel: Cancel,
    ) -> Result<u64> {
        let mut walk = Walk::new(self, stream, cancel.clone());
        let (key, tally) = (self.source.key.clone(), Tally::new());
        let seeded = match sink.seeds() {
            Some(seeds) => Some(self.seeded(seeds, &progress, cancel.clone()).await?),
            None => None,
        };
        let proof = Proof { sink, kept: 0, tally, key, progress: Arc::clone(&progress), cancel: cancel.clone() };
        let (mut stage, mut kept) = (Stage::Proving(proof), 0);
        while let Some(mut chunks) = walk.next().await? {
            if let Stage::Proving(mut proof) = stage {
                let proving = tokio::task::spawn_blocking(move || {
                    let no = proof.go_on(&chunks)?;
                    let rest = chunks.split_off(no);
                    if !rest.is_empty() {
                        proof.cut()?;
                    }
                    Ok::<_, VaultError>((proof, rest))
                });
                let (proof, rest) = proving.await.map_err(|_| VaultError::stage_gone("reading"))??;
                kept = proof.kept;
                if rest.is_empty() {
                    stage = Stage::Proving(proof);
                    continue;
                }
                chunks = rest;
                stage = Stage::Writing(proof.sink, Some(proof.tally));
            }
            let Stage::Writing(out, tally) = stage else { return Err(VaultError::stage_gone("reading")) };
            let (places, source) = (Arc::clone(&self.places), self.source.clone());
            let budget = Budget::STREAM;
            let job = Job { places, source, budget, progress: Arc::clone(&progress), cancel: cancel.clone() };
            let (out, tally) = if let Some(seeded) = &seeded {
                let (out, tally, here) = job.write_seeded(chunks, out, (tally, Arc::clone(seeded))).await?;
                kept += here;
                (out, tally)
            } else {
                job.write(chunks, out, tally).await?
            };
            stage = Stage::Writing(out, tally);
        }
        let tally = match stage {
            Stage::Proving(mut proof) => {
                proof.cut()?;
                Some(proof.tally)
            }
            Stage::Writing(_, tally) => tally,
        };
        tally.ok_or_else(|| VaultError::stage_gone("reading"))?.check(stream.blake3, stream.bytes)?;
        Ok(kept)
    }

    /// Looks through what a target has.
    async fn seeded(&self, seeds: Arc<dyn Seeds>, progress: &Arc<dyn Progress>, cancel: Cancel) -> Result<Arc<Seeded>> {
        progress.note("looking at what is there already: what is right of it is kept");
        let (params, key) = (self.header.descriptor.chunker, self.source.key.clone());
        let looking = tokio::task::spawn_blocking(move || Seeded::look(seeds, (params, &key), &cancel));
        looking.await.map_err(|_| VaultError::stage_gone("reading"))?.map(Arc::new)
    }

    /// Whether `reader` gives the stream, no more and no less.
    ///
    /// # Errors
    /// `Failed` if it can't be read.
    pub async fn is_stream(
        &self,
        stream: &StreamRecord,
        mut reader: Box<dyn Read + Send>,
        progress: Arc<dyn Progress>,
        cancel: Cancel,
    ) -> Result<bool> {
        let (hash, bytes) = (stream.blake3, stream.bytes);
        let reading = tokio::task::spawn_blocking(move || {
            let (mut tally, mut buf) = (Tally::new(), vec![0; STEP]);
            loop {
                if cancel.is_cancelled() {
                    return Err(VaultError::cancelled());
                }
                match reader.read(&mut buf) {
                    Ok(0) => return Ok(tally.check(hash, bytes).is_ok()),
                    Ok(n) => {
                        tally.add(buf.get(..n).unwrap_or_default());
                        progress.advance(n as u64);
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(failed("cannot read what is there of the stream", e)),
                }
            }
        });
        reading.await.map_err(|_| VaultError::stage_gone("reading"))?
    }

    /// The bytes of several small streams one after the other, checked. Thousands of them lie in one block, which is
    /// fetched and decoded once for all.
    ///
    /// # Errors
    /// As [`restore_stream`](Self::restore_stream), for whichever of them is damaged.
    pub async fn small_streams(&self, streams: &[&StreamRecord], cancel: &Cancel) -> Result<Vec<u8>> {
        let chunks = streams.iter().filter(|stream| stream.depth == 0).flat_map(|stream| stream.list.iter().copied());
        let chunks: Vec<ChunkRef> = chunks.collect();
        let (places, source) = (Arc::clone(&self.places), self.source.clone());
        let budget = Budget::STREAM;
        let job = Job { places, source, budget, progress: Arc::new(Silent), cancel: cancel.clone() };
        // No more than the caller lets be read together.
        let total = streams.iter().map(|stream| stream.bytes).fold(0, u64::saturating_add).min(TOGETHER);
        let (sink, collected) = stream::collect(usize::try_from(total).unwrap_or(0));
        drop(job.write(chunks, sink, None).await?);
        let bytes = collected.take();
        let mut rest = bytes.as_slice();
        for stream in streams {
            let split = usize::try_from(stream.bytes).ok().and_then(|len| rest.split_at_checked(len));
            let (one, after) = split.ok_or_else(|| VaultError::stage_gone("reading"))?;
            let mut tally = Tally::new();
            tally.add(one);
            tally.check(stream.blake3, stream.bytes)?;
            rest = after;
        }
        Ok(bytes)
    }
}
