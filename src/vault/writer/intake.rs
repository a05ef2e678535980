//! The first stage: reads the source's streams and cuts them into chunks.

use std::{io::Read, sync::Arc};

use crossbeam_channel::Sender;

use super::{
    buffers::{Buffer, Pool},
    shared::Shared,
    sketching::Sketching,
};
use crate::{
    codec::chunker::{Chunker, Samples},
    model::{ChunkerParams, FileMeta, Name},
    vault::{
        VaultError, VaultErrorKind,
        input::{Facts, Incoming, Reading, SourceError},
    },
};

/// How many bytes are read before they are cut. Large enough to be a block of its own when all of it is new.
const FILL: usize = 4 << 20;

/// What a segment's stream is, told with its first segment.
pub(super) struct Begin {
    pub(super) name: Name,
    pub(super) path: Option<String>,
    pub(super) meta: FileMeta,
}

/// A run of whole chunks of one stream.
pub(super) struct Segment {
    /// Its place among all segments of the run.
    pub(super) seq: u64,
    pub(super) begin: Option<Begin>,
    /// Whether the stream ends here.
    pub(super) end: bool,
    pub(super) buffer: Arc<Buffer>,
    /// The lengths of the chunks, which follow one another from the buffer's beginning.
    pub(super) lengths: Vec<u32>,
    /// What each of them would be sketched by, if most of what came before was new; empty otherwise.
    pub(super) samples: Vec<Samples>,
}

/// What the source told at its end, and how many segments it was.
pub(super) struct Finished {
    pub(super) facts: Facts,
    pub(super) segments: u64,
}

/// Reads every stream of `reading` and sends its segments in order; then lets the source check that it was whole.
///
/// # Errors
/// If the source fails, or another stage did.
pub(super) fn run(
    mut reading: Box<dyn Reading>,
    params: ChunkerParams,
    (pool, sketching): (&Pool, &Sketching),
    out: &Sender<Segment>,
    shared: &Shared,
) -> Result<Finished, VaultError> {
    let mut stage = Intake { chunker: Chunker::new(params)?, params, pool, sketching, out, shared, seq: 0 };
    while let Some(stream) = reading.next_stream()? {
        stage.stream(stream)?;
    }
    shared.check()?;
    Ok(Finished { facts: reading.finish()?, segments: stage.seq })
}

struct Intake<'a> {
    chunker: Chunker,
    params: ChunkerParams,
    pool: &'a Pool,
    sketching: &'a Sketching,
    out: &'a Sender<Segment>,
    shared: &'a Shared,
    seq: u64,
}

impl Intake<'_> {
    fn stream(&mut self, mut stream: Incoming) -> Result<(), VaultError> {
        let label = stream.path.clone().unwrap_or_else(|| stream.name.to_string());
        let mut begin = Some(Begin { name: stream.name, path: stream.path, meta: stream.meta });
        // The unfinished last chunk of one buffer becomes the beginning of the next, so there must be room for it.
        let room = FILL.max(usize::try_from(self.params.max).unwrap_or(FILL) * 2);
        let mut buffer = self.take(room)?;
        let mut filled = 0;
        loop {
            let end = self.fill(&mut stream.reader, &mut buffer, &mut filled, &label)?;
            let (mut lengths, mut samples) = (Vec::with_capacity(64), Vec::new());
            let data = buffer.get(..filled).unwrap_or_default();
            let used = if self.sketching.ahead() {
                self.chunker.cut_sampling(data, end, &mut lengths, &mut samples)
            } else {
                self.chunker.cut(data, end, &mut lengths)
            };
            let mut next = Vec::new();
            if !end {
                next = self.take(room)?;
                let rest = data.get(used..).unwrap_or_default();
                if let Some(front) = next.get_mut(..rest.len()) {
                    front.copy_from_slice(rest);
                }
                filled = rest.len();
            }
            let buffer_out = self.pool.share(std::mem::replace(&mut buffer, next));
            let segment = Segment { seq: self.seq, begin: begin.take(), end, buffer: buffer_out, lengths, samples };
            self.seq += 1;
            self.out.send(segment).map_err(|_| self.shared.why("hashing"))?;
            if end {
                return Ok(());
            }
        }
    }

    fn take(&self, len: usize) -> Result<Vec<u8>, VaultError> {
        self.pool.take(len).ok_or_else(|| self.shared.why("hashing"))
    }

    /// Reads until the buffer is full or the stream ends; returns whether it ended.
    fn fill(
        &self,
        reader: &mut Box<dyn Read + Send>,
        buffer: &mut [u8],
        filled: &mut usize,
        label: &str,
    ) -> Result<bool, VaultError> {
        loop {
            self.shared.check()?;
            let Some(free) = buffer.get_mut(*filled..).filter(|free| !free.is_empty()) else {
                return Ok(false);
            };
            match reader.read(free) {
                Ok(0) => return Ok(true),
                Ok(n) => {
                    *filled += n;
                    self.shared.progress.advance(n as u64);
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => {
                    let error = SourceError::new("cannot read the stream", label).because(e);
                    return Err(VaultError::new(VaultErrorKind::Source, error.to_string()));
                }
            }
        }
    }
}
