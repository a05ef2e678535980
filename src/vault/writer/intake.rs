//! The first stage: reads the source's streams and cuts them into chunks.

use std::{
    io::Read,
    sync::{Arc, Mutex},
    thread,
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    buffers::{Buffer, Pool},
    shared::Shared,
    sketching::Sketching,
};
use crate::{
    codec::chunker::{Chunker, Samples},
    model::{ChunkerParams, FileMeta, Name, Progress},
    vault::{
        VaultError, VaultErrorKind,
        haste::Haste,
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

/// The stage. It goes on step by step, so that threads can take turns: while a program is at work that holds locks, one that
/// gives way to it.
pub(super) struct Intake {
    /// What is read, until its end.
    reading: Option<Box<dyn Reading>>,
    chunker: Chunker,
    params: ChunkerParams,
    pool: Pool,
    sketching: Arc<Sketching>,
    out: Sender<Segment>,
    shared: Arc<Shared>,
    seq: u64,
    current: Option<Current>,
    opener: Option<Opener>,
    ahead: Ahead,
}

/// What is told while nobody reads, since all wait for programs that write.
#[derive(Default)]
struct Ahead {
    /// How often somebody who waits was here.
    waited: u32,
    /// How many bytes that programs wrote were told.
    told: u64,
}

impl Ahead {
    /// After so many, people are told. Two look ten times a second.
    const PATIENCE: u32 = 20;

    fn waits(&mut self, aside: u64, progress: &dyn Progress) {
        self.waited = self.waited.saturating_add(1);
        if self.waited == Self::PATIENCE {
            progress.phase("somebody waits for locks of the dump, so it goes first", None);
        }
        if self.waited >= Self::PATIENCE && aside > self.told {
            progress.advance(aside - self.told);
            self.told = aside;
        }
    }

    fn reads(&mut self, progress: &dyn Progress) {
        if std::mem::take(&mut self.waited) >= Self::PATIENCE {
            progress.phase("storing what was dumped", None);
        }
    }
}

/// A thread that asks the source for its next stream in the place of one that gives way: what the source starts for it would
/// give way as well.
pub(super) struct Opener {
    ask: Sender<Box<dyn Reading>>,
    told: Receiver<Asked>,
}

/// A source, and what it gave.
type Asked = (Box<dyn Reading>, Result<Option<Incoming>, SourceError>);

impl Opener {
    /// One, and what its thread is to do.
    pub(super) fn new() -> (Self, impl FnOnce() + Send) {
        let ((ask, asked), (tell, told)) = (bounded::<Box<dyn Reading>>(1), bounded::<Asked>(1));
        let work = move || {
            for mut reading in asked {
                let next = reading.next_stream();
                if tell.send((reading, next)).is_err() {
                    return;
                }
            }
        };
        (Self { ask, told }, work)
    }

    fn next(&self, reading: Box<dyn Reading>) -> Option<Asked> {
        self.ask.send(reading).ok()?;
        self.told.recv().ok()
    }
}

/// The stream that is being read.
struct Current {
    reader: Box<dyn Read + Send>,
    label: String,
    /// What goes with its first segment.
    begin: Option<Begin>,
    buffer: Vec<u8>,
    filled: usize,
}

/// Takes the turns of a thread that gives way, or of one that does not, until the streams end; tells what the source told at
/// its end to the thread that came to it.
///
/// # Errors
/// If the source fails, or another stage did. The others have no turn after that.
pub(super) fn run(stage: &Mutex<Intake>, turn: Option<&(Haste, bool)>) -> Result<Option<Finished>, VaultError> {
    if let Some((haste, true)) = turn {
        haste.give_way();
    }
    let ahead = |written| stage.lock().map_or(true, |mut stage| stage.waits(written));
    while turn.is_none_or(|(haste, gives_way)| haste.turn_or(*gives_way, ahead)) {
        // If the other panicked, the run fails.
        let Ok(mut stage) = stage.lock() else { break };
        if stage.reading.is_none() {
            break;
        }
        match stage.step(turn.is_some_and(|(_, gives_way)| *gives_way)) {
            Ok(None) => {}
            ended => {
                // After an error it is of no use.
                drop(stage.reading.take());
                return ended;
            }
        }
    }
    Ok(None)
}

/// A thread of this stage. If it panics, the run fails: the other would wait for its turn for ever.
pub(super) struct Whole<'a>(pub(super) &'a Shared, pub(super) Option<&'a (Haste, bool)>);

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(VaultError::stage_gone("reading"));
            if let Some((haste, _)) = self.1 {
                haste.over();
            }
        }
    }
}

impl Intake {
    /// A stage that reads the streams of `reading` and sends their segments in order.
    ///
    /// # Errors
    /// If the sizes of chunks make no sense.
    pub(super) fn new(
        reading: Box<dyn Reading>,
        params: ChunkerParams,
        (pool, sketching): (Pool, Arc<Sketching>),
        out: Sender<Segment>,
        shared: Arc<Shared>,
    ) -> Result<Self, VaultError> {
        let chunker = Chunker::new(params)?;
        let (reading, current, opener) = (Some(reading), None, None);
        Ok(Self {
            reading,
            chunker,
            params,
            pool,
            sketching,
            out,
            shared,
            seq: 0,
            current,
            opener,
            ahead: Ahead::default(),
        })
    }

    /// Lets this thread ask for streams whenever one that gives way would.
    pub(super) fn open_by(&mut self, opener: Opener) {
        self.opener = Some(opener);
    }

    /// This stage waits; if all do, programs put so many bytes aside so far, which is progress. Says whether it is to stop.
    fn waits(&mut self, aside: Option<u64>) -> bool {
        if let Some(aside) = aside {
            self.ahead.waits(aside, &*self.shared.progress);
        }
        self.shared.check().is_err()
    }

    fn next(&mut self, gives_way: bool) -> Result<Option<Incoming>, VaultError> {
        let Some(mut reading) = self.reading.take() else { return Ok(None) };
        let (reading, next) = match &self.opener {
            Some(opener) if gives_way => opener.next(reading).ok_or_else(|| VaultError::stage_gone("reading"))?,
            _ => {
                let next = reading.next_stream();
                (reading, next)
            }
        };
        self.reading = Some(reading);
        Ok(next?)
    }

    /// Reads and sends one segment, or lets the source check that it was whole.
    fn step(&mut self, gives_way: bool) -> Result<Option<Finished>, VaultError> {
        self.shared.check()?;
        let mut current = if let Some(current) = self.current.take() {
            current
        } else if let Some(stream) = self.next(gives_way)? {
            self.begin(stream)?
        } else {
            let facts = self.reading.take().ok_or_else(|| self.shared.why("reading"))?.finish()?;
            return Ok(Some(Finished { facts, segments: self.seq }));
        };
        if !self.segment(&mut current)? {
            self.current = Some(current);
        }
        Ok(None)
    }

    fn begin(&self, stream: Incoming) -> Result<Current, VaultError> {
        let label = stream.path.clone().unwrap_or_else(|| stream.name.to_string());
        let begin = Some(Begin { name: stream.name, path: stream.path, meta: stream.meta });
        Ok(Current { reader: stream.reader, label, begin, buffer: self.take(self.room())?, filled: 0 })
    }

    /// The unfinished last chunk of one buffer becomes the beginning of the next, so there must be room for it.
    fn room(&self) -> usize {
        FILL.max(usize::try_from(self.params.max).unwrap_or(FILL) * 2)
    }

    /// Fills the buffer, and sends the chunks that are whole. Says whether the stream ended.
    fn segment(&mut self, current: &mut Current) -> Result<bool, VaultError> {
        let end = self.fill(current)?;
        let (mut lengths, mut samples) = (Vec::with_capacity(64), Vec::new());
        let data = current.buffer.get(..current.filled).unwrap_or_default();
        let used = if self.sketching.ahead() {
            self.chunker.cut_sampling(data, end, &mut lengths, &mut samples)
        } else {
            self.chunker.cut(data, end, &mut lengths)
        };
        let mut next = Vec::new();
        if !end {
            next = self.take(self.room())?;
            let rest = data.get(used..).unwrap_or_default();
            if let Some(front) = next.get_mut(..rest.len()) {
                front.copy_from_slice(rest);
            }
            current.filled = rest.len();
        }
        let buffer = self.pool.share(std::mem::replace(&mut current.buffer, next));
        let segment = Segment { seq: self.seq, begin: current.begin.take(), end, buffer, lengths, samples };
        self.seq += 1;
        self.out.send(segment).map_err(|_| self.shared.why("hashing"))?;
        Ok(end)
    }

    fn take(&self, len: usize) -> Result<Vec<u8>, VaultError> {
        self.pool.take(len).ok_or_else(|| self.shared.why("hashing"))
    }

    /// Reads until the buffer is full or the stream ends; returns whether it ended.
    fn fill(&mut self, current: &mut Current) -> Result<bool, VaultError> {
        loop {
            self.shared.check()?;
            let Some(free) = current.buffer.get_mut(current.filled..).filter(|free| !free.is_empty()) else {
                return Ok(false);
            };
            match current.reader.read(free) {
                Ok(0) => return Ok(true),
                Ok(n) => {
                    current.filled += n;
                    self.ahead.reads(&*self.shared.progress);
                    self.shared.progress.advance(n as u64);
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => {
                    let error = SourceError::new("cannot read the stream", &current.label).because(e);
                    return Err(VaultError::new(VaultErrorKind::Source, error.to_string()));
                }
            }
        }
    }
}
