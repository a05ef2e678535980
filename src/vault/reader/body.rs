//! Reading a body. Of a tree of some hundred thousand files it has 96 MiB, and is decoded while it is read: what was read is
//! never in memory beside what came of it.

use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use super::{PackSource, places::Places, plan::Budget, read_small, stream};
use crate::{
    format::{
        self,
        body::{BODY_LIMIT, Body},
        list::ChunkRef,
    },
    model::{Cancel, Silent},
    vault::{Result, VaultError, VaultErrorKind},
};

/// A body of so many bytes is read as a whole.
const WHOLE: u64 = 4 << 20;
/// How many parts wait for the decoder.
const PARTS: usize = 2;

/// Reads and decodes the body whose chunks these are.
///
/// # Errors
/// If it is too large, a chunk can't be had, or it can't be decoded.
pub(super) async fn read(source: &PackSource, places: &Arc<Places>, chunks: &[ChunkRef]) -> Result<Body> {
    let total = chunks.iter().map(|c| u64::from(c.len)).fold(0, u64::saturating_add);
    if total > BODY_LIMIT as u64 {
        return Err(VaultError::new(VaultErrorKind::Damaged, "a body is larger than it may be"));
    }
    if total <= WHOLE {
        let bytes = read_small(source, places, chunks, BODY_LIMIT).await?;
        // Decoding is work for a core of its own.
        let decoded = tokio::task::spawn_blocking(move || Body::decode(&bytes)).await;
        return Ok(decoded.map_err(|_| gone())??);
    }
    match piped(source, places, chunks, Body::read).await? {
        Ok(body) => Ok(body),
        // It may be of a later version.
        Err(error) => Err(piped(source, places, chunks, Body::why).await?.err().unwrap_or(error).into()),
    }
}

fn gone() -> VaultError {
    VaultError::stage_gone("decoding the body")
}

/// Lets `decode` read what the chunks hold, on a thread of its own.
async fn piped<T: Send + 'static>(
    source: &PackSource,
    places: &Arc<Places>,
    chunks: &[ChunkRef],
    decode: impl FnOnce(Pipe) -> format::Result<T> + Send + 'static,
) -> Result<format::Result<T>> {
    let (to, from) = sync_channel(PARTS);
    let ended = Arc::new(AtomicBool::new(false));
    let pipe = Pipe { from, part: Vec::new(), at: 0, ended: Arc::clone(&ended) };
    let decoding = tokio::task::spawn_blocking(move || decode(pipe));
    let (places, source) = (Arc::clone(places), source.clone());
    let job =
        stream::Job { places, source, budget: Budget::BODY, progress: Arc::new(Silent), cancel: Cancel::default() };
    // The sink goes at once, which is the end for who reads.
    let written = job.write(chunks.to_vec(), Box::new(Sink(to)), None).await.map(drop);
    let decoded = decoding.await.map_err(|_| gone())?;
    match (written, decoded) {
        // It was given up before its end, so writing failed for that.
        (Err(_), Err(error)) if !ended.load(Ordering::Acquire) => Ok(Err(error)),
        (Err(error), _) => Err(error),
        (Ok(()), decoded) => Ok(decoded),
    }
}

/// Where the chunks go.
struct Sink(SyncSender<Vec<u8>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where they come from.
struct Pipe {
    from: Receiver<Vec<u8>>,
    part: Vec<u8>,
    at: usize,
    /// Whether it was read to its end.
    ended: Arc<AtomicBool>,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.part.len() {
            let Ok(part) = self.from.recv() else {
                self.ended.store(true, Ordering::Release);
                return Ok(0);
            };
            (self.part, self.at) = (part, 0);
        }
        let n = self.part.get(self.at..).unwrap_or_default().read(buf)?;
        self.at += n;
        Ok(n)
    }
}
