//! The middle of the pipeline, on the catalog's own thread: takes named chunks in order, decides which are known,
//! gathers the new ones into blocks, builds the streams' lists, and records what the store acknowledged.

mod body;
mod carry;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, never, select};

use super::{
    blocks::BlockMaker,
    intake::{Begin, Finished},
    known::KnownPacks,
    lists::ListMaker,
    memory::Carried,
    records::{self, Recorded},
    shared::Shared,
    similar::Similar,
    stages::{Acknowledged, Hashed, NewChunk, Resembling, ToPacker},
};
use crate::{
    catalog::{Catalog, Kept, Known, NewPack, PackNo},
    codec::{chunker::Chunker, hash::ChunkIdKey, hash::Hasher},
    format::{
        FormatError,
        body::{BODY_LIMIT, Body, Records, StreamRecord},
        index::Section,
        list::{self, ChunkRef},
    },
    model::{ChunkId, ChunkerParams, Fingerprint, Hash, Name, journal::Start},
    vault::{VaultError, VaultErrorKind, input::Facts},
};

/// How often a stage that waits looks whether it is to stop.
const WAKE: Duration = Duration::from_millis(100);

/// So many bytes of a list are kept in the catalog at once: of a stream of a tebibyte it has 288 MiB.
const KEPT: usize = 1 << 20;

/// What came of the streams.
pub(super) struct Outcome {
    pub(super) streams: Recorded,
    /// What the source told of itself, as the body has it.
    pub(super) details: serde_json::Value,
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) body: Vec<ChunkRef>,
    pub(super) warnings: Vec<String>,
    /// What the source's details say of what became of its parts.
    pub(super) since: Option<serde_json::Value>,
    /// Where in its log the source stands.
    pub(super) journal: Option<Start>,
    /// The packs that the snapshot needs, in the order of the catalog.
    pub(super) packs: BTreeSet<PackNo>,
    pub(super) counts: Counts,
    /// What the source's next run is to know, with the streams that it may carry then.
    pub(super) left: Option<(serde_json::Value, Vec<Kept>)>,
}

/// What the run counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) bytes_read: u64,
    pub(super) bytes_new: u64,
    pub(super) bytes_stored: u64,
    pub(super) chunks: u64,
    pub(super) chunks_new: u64,
    pub(super) chunks_delta: u64,
}

/// The channels of this stage.
pub(super) struct Ports {
    pub(super) hashed: Receiver<Hashed>,
    pub(super) finished: Receiver<Finished>,
    pub(super) packer: Sender<ToPacker>,
    pub(super) acknowledged: Receiver<Acknowledged>,
}

/// The stage.
pub(super) struct Dedup<'a> {
    pub(super) catalog: &'a mut Catalog,
    pub(super) source: Name,
    pub(super) known: KnownPacks,
    pub(super) blocks: BlockMaker,
    /// Blocks of lists and bodies, kept apart from those of data, which compress better by themselves.
    pub(super) meta: BlockMaker,
    pub(super) key: ChunkIdKey,
    pub(super) params: ChunkerParams,
    pub(super) allow_empty: bool,
    /// The streams of the last snapshot that this one leans on, if the source keeps a memory.
    pub(super) carried: Option<Vec<Carried>>,
    pub(super) shared: &'a Shared,
    pub(super) similar: Similar,
    pub(super) state: State,
}

/// The error of a snapshot that has to say more of its streams than a body holds.
fn too_large(streams: u64) -> VaultError {
    let what = format!(
        "this source has too many files or streams for one snapshot: what is to be said of the first {streams} takes more than \
         the {} MiB that a snapshot has for it. Make several sources of it, each with some of its paths, or `exclude` what \
         need not be backed up",
        BODY_LIMIT >> 20
    );
    VaultError::new(VaultErrorKind::Source, what)
}

/// What the stage remembers of the run.
#[derive(Default)]
pub(super) struct State {
    waiting: BTreeMap<u64, Hashed>,
    next: u64,
    current: Option<Current>,
    streams: Recorded,
    /// The streams, whose lists are in the catalog, if the source keeps a memory.
    kept: Option<Vec<Kept>>,
    /// Chunks that are new in this run and not acknowledged yet.
    in_flight: HashSet<ChunkId>,
    packs: BTreeSet<PackNo>,
    counts: Counts,
    found: Vec<Option<Known>>,
}

struct Current {
    begin: Begin,
    hasher: Hasher,
    list: ListMaker,
    bytes: u64,
    /// What the catalog does not have of the list, encoded, if the source keeps a memory.
    kept: Option<Vec<u8>>,
}

impl Current {
    fn push(&mut self, chunk: ChunkRef) {
        self.list.push(chunk);
        if let Some(kept) = &mut self.kept {
            list::push(kept, chunk);
        }
    }
}

impl Dedup<'_> {
    /// Runs until every stream has ended and everything that it needs is acknowledged.
    ///
    /// # Errors
    /// If the catalog or another stage fails, or nothing was read and that is not allowed.
    pub(super) fn run(mut self, ports: &Ports) -> Result<Outcome, VaultError> {
        if let Some(carried) = self.carried.take() {
            self.state.kept = Some(Vec::new());
            carried.into_iter().try_for_each(|stream| self.carry(stream))?;
        }
        let facts = self.take_segments(ports)?;
        self.refuse_empty()?;
        let streams = std::mem::take(&mut self.state.streams).without(&facts.given_up).map_err(records::failed)?;
        let since = facts.details.get("since").cloned();
        let mut body = Body::new(Vec::new(), facts.details, facts.warnings);
        body.fingerprints = facts.fingerprints;
        let chunks = self.store_body(&body, &streams)?;
        let works = self.finish_blocks()?;
        ports.packer.send(ToPacker::End { works }).map_err(|_| self.shared.why("packing"))?;
        let Self { catalog, mut state, known, blocks, meta, shared, .. } = self;
        // The compressors end when nobody can send them blocks.
        drop((blocks, meta));
        loop {
            // Whoever fails now leaves others waiting for what will not come, so this stage must look up too.
            shared.check()?;
            match ports.acknowledged.recv_timeout(WAKE) {
                Ok(ack) => record(catalog, &mut state, ack)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        shared.check()?;
        if !state.in_flight.is_empty() {
            return Err(shared.why("uploading"));
        }
        state.packs.extend(known.into_used());
        let left = facts.note.zip(state.kept);
        Ok(Outcome {
            streams,
            details: body.details,
            fingerprints: body.fingerprints,
            body: chunks,
            warnings: body.warnings,
            since,
            journal: facts.journal,
            packs: state.packs,
            counts: state.counts,
            left,
        })
    }

    /// Takes segments until all that were read have come; returns the source's facts.
    fn take_segments(&mut self, ports: &Ports) -> Result<Facts, VaultError> {
        let mut finished: Option<Finished> = None;
        let mut end = ports.finished.clone();
        while finished.as_ref().is_none_or(|f| self.state.next < f.segments) {
            select! {
                recv(ports.hashed) -> hashed => self.arrived(hashed.map_err(|_| self.shared.why("hashing"))?)?,
                recv(ports.acknowledged) -> ack => self.record(ack.map_err(|_| self.shared.why("uploading"))?)?,
                recv(end) -> told => {
                    // The sender goes once it has told; before that, the source failed.
                    finished = Some(told.map_err(|_| self.shared.why("reading"))?);
                    end = never();
                },
                // A source that gives nothing for hours can still be interrupted.
                default(WAKE) => self.shared.check()?,
            }
        }
        finished.map(|f| f.facts).ok_or_else(|| self.shared.why("reading"))
    }

    fn arrived(&mut self, hashed: Hashed) -> Result<(), VaultError> {
        self.state.waiting.insert(hashed.segment.seq, hashed);
        while let Some(hashed) = self.state.waiting.remove(&self.state.next) {
            self.state.next += 1;
            self.segment(hashed)?;
        }
        Ok(())
    }

    fn segment(&mut self, mut named: Hashed) -> Result<(), VaultError> {
        self.shared.check()?;
        if let Some(begin) = named.segment.begin.take() {
            let kept = self.state.kept.as_ref().map(|_| Vec::new());
            let (whole, list) = (Hasher::new(), ListMaker::default());
            self.state.current = Some(Current { begin, hasher: whole, list, bytes: 0, kept });
        }
        let Some(mut current) = self.state.current.take() else {
            return Err(VaultError::stage_gone("reading"));
        };
        let segment = &named.segment;
        let total: usize = segment.lengths.iter().map(|n| *n as usize).sum();
        current.hasher.update(segment.buffer.bytes().get(..total).unwrap_or_default());
        current.bytes += total as u64;
        self.chunks(&named, &mut current)?;
        if named.segment.end {
            self.end_stream(current)?;
        } else {
            self.state.current = Some(current);
        }
        Ok(())
    }

    /// Sorts a segment's chunks into known and new ones, and these into those that resemble others and those that
    /// don't.
    fn chunks(&mut self, hashed: &Hashed, current: &mut Current) -> Result<(), VaultError> {
        let Hashed { segment, ids, sketches } = hashed;
        let mut found = std::mem::take(&mut self.state.found);
        self.lookup(ids, &mut found)?;
        let (mut at, mut new) = (0, 0);
        let mut resembling = Vec::new();
        for (n, ((id, length), hit)) in ids.iter().zip(&segment.lengths).zip(&found).enumerate() {
            let chunk = ChunkRef { id: *id, len: *length };
            let range = at..at + *length as usize;
            at = range.end;
            current.push(chunk);
            if !self.is_new(chunk, *hit)? {
                continue;
            }
            new += 1;
            self.state.counts.bytes_new += u64::from(*length);
            let plain = segment.buffer.bytes().get(range.clone()).unwrap_or_default();
            let sketch = sketches.get(n).copied().unwrap_or_else(|| self.similar.sketch(plain));
            let new = NewChunk { chunk, sketch };
            match self.similar.base(self.catalog, &mut self.known, &self.state.packs, new)? {
                Some(base) => resembling.push(Resembling { new, range, base }),
                None => self.blocks.add(&segment.buffer, range, new)?,
            }
        }
        self.state.counts.chunks += ids.len() as u64;
        self.state.counts.chunks_new += new as u64;
        self.similar.segment(new, ids.len());
        self.state.found = found;
        self.blocks.end_segment(&segment.buffer)?;
        self.blocks.deltas(&segment.buffer, resembling)?;
        while let Some(part) = current.list.full_part()? {
            self.store_list_part(&part, current)?;
        }
        if let Some(kept) = current.kept.as_mut().filter(|kept| kept.len() >= KEPT) {
            self.catalog.keep_part(&self.source, kept)?;
            kept.clear();
        }
        Ok(())
    }

    fn lookup(&mut self, ids: &[ChunkId], found: &mut Vec<Option<Known>>) -> Result<(), VaultError> {
        found.clear();
        if self.known.nothing_known() && self.state.packs.is_empty() {
            found.resize(ids.len(), None);
            return Ok(());
        }
        Ok(self.catalog.lookup(ids, found)?)
    }

    /// Whether a chunk must be stored. A known chunk counts only if its pack is there and locked until the floor, and
    /// the pack of its base too.
    fn is_new(&mut self, chunk: ChunkRef, hit: Option<Known>) -> Result<bool, VaultError> {
        if self.state.in_flight.contains(&chunk.id) {
            return Ok(false);
        }
        if let Some(hit) = hit
            && self.can_lean_on(hit)?
        {
            return Ok(false);
        }
        self.state.in_flight.insert(chunk.id);
        Ok(true)
    }

    fn can_lean_on(&mut self, hit: Known) -> Result<bool, VaultError> {
        let mine = self.state.packs.contains(&hit.pack);
        let usable = mine || self.known.usable(self.catalog, hit.pack)?;
        match hit.base_pack {
            Some(base) if usable && !self.state.packs.contains(&base) => self.known.usable(self.catalog, base),
            _ => Ok(usable),
        }
    }

    fn end_stream(&mut self, mut current: Current) -> Result<(), VaultError> {
        self.blocks.end_stream()?;
        let blake3 = std::mem::take(&mut current.hasher).finish();
        self.close(current, blake3)
    }

    /// Stores the rest of a stream's list and writes the stream down.
    fn close(&mut self, mut current: Current, blake3: Hash) -> Result<(), VaultError> {
        let chunks = current.list.total();
        let (depth, list) = if let Some(list) = current.list.inline() {
            (0, list)
        } else {
            while let Some(part) = current.list.last_part()? {
                self.store_list_part(&part, &mut current)?;
            }
            (1, current.list.into_parts())
        };
        self.state.counts.bytes_read += current.bytes;
        let Begin { name, path, meta } = current.begin;
        if let (Some(kept), Some(chunks)) = (&mut self.state.kept, current.kept) {
            let (stream, what) = ((name.clone(), path.clone()), (current.bytes, blake3));
            kept.push(self.catalog.keep(&self.source, stream, what, &chunks)?);
        }
        let path = path.map(Into::into);
        let stream = StreamRecord { name, path, meta, bytes: current.bytes, blake3, chunks, depth, list };
        self.state.streams.push(&stream).map_err(records::failed)?;
        if self.state.streams.bytes() > BODY_LIMIT { Err(too_large(self.state.streams.count())) } else { Ok(()) }
    }

    fn store_list_part(&mut self, part: &[u8], current: &mut Current) -> Result<(), VaultError> {
        let chunk = self.store_meta(part)?;
        current.list.stored(chunk);
        Ok(())
    }

    /// Stores a chunk of a list or a body, unless it is known.
    fn store_meta(&mut self, bytes: &[u8]) -> Result<ChunkRef, VaultError> {
        let chunk = ChunkRef { id: self.key.id(bytes), len: u32::try_from(bytes.len()).unwrap_or(u32::MAX) };
        let mut found = Vec::with_capacity(1);
        self.lookup(&[chunk.id], &mut found)?;
        if self.is_new(chunk, found.pop().flatten())? {
            self.meta.gather(bytes, NewChunk { chunk, sketch: None })?;
        }
        Ok(chunk)
    }

    /// Stores a body with these records of streams in the place of its own.
    fn store_body(&mut self, body: &Body, streams: &Recorded) -> Result<Vec<ChunkRef>, VaultError> {
        let chunker = Chunker::new(self.params)?;
        let mut storing =
            body::StoringBody { dedup: self, chunker, waiting: Vec::new(), chunks: Vec::new(), failed: None };
        let mut unread = None;
        let records = |out: &mut dyn io::Write| streams.write(out).inspect_err(|error| unread = Some(error.kind()));
        let written = body.write_around((streams.bytes(), records), &mut storing);
        // What failed below a write says more than the write that it failed.
        if let Some(failed) = storing.failed.take() {
            return Err(failed);
        }
        written.map_err(|error| match error {
            FormatError::TooLarge { .. } => too_large(streams.count()),
            other => unread.map_or_else(|| other.into(), |kind| records::failed(kind.into())),
        })?;
        storing.cut(true)?;
        Ok(storing.chunks)
    }

    fn finish_blocks(&mut self) -> Result<u64, VaultError> {
        self.blocks.flush()?;
        self.meta.flush()?;
        Ok(self.blocks.made())
    }

    fn refuse_empty(&self) -> Result<(), VaultError> {
        // Directories alone are what is left of a tree whose files are gone.
        if self.allow_empty || self.state.streams.has_something() {
            return Ok(());
        }
        Err(VaultError::new(
            VaultErrorKind::Source,
            "the source gave no data: a dead producer looks just like this, so no snapshot was made",
        ))
    }

    fn record(&mut self, ack: Acknowledged) -> Result<(), VaultError> {
        record(self.catalog, &mut self.state, ack)
    }
}

/// Records a pack that the store acknowledged. The packs of its deltas' bases are needed as much as itself.
pub(super) fn record(catalog: &mut Catalog, state: &mut State, ack: Acknowledged) -> Result<(), VaultError> {
    let (mut chunks, mut bases) = (Vec::new(), Vec::new());
    for block in &ack.directory.blocks {
        for chunk in &block.chunks {
            state.in_flight.remove(&chunk.id);
            chunks.push((chunk.id, block.base));
        }
        bases.extend(block.base);
    }
    let version = ack.version.as_ref().map(|v| v.as_str().to_owned());
    let section = Section {
        pack: ack.id,
        sealed_len: ack.bytes,
        version: version.clone(),
        header: ack.header,
        directory: ack.directory,
    };
    let pack = NewPack {
        id: ack.id,
        bytes: ack.bytes,
        version: version.as_deref(),
        lock: ack.lock,
        section: &section.encode()?,
        chunks: &chunks,
    };
    let no = catalog.record_pack(&pack)?;
    state.packs.insert(no);
    state.counts.bytes_stored += ack.bytes;
    state.counts.chunks_delta += bases.len() as u64;
    let mut found = Vec::new();
    catalog.lookup(&bases, &mut found)?;
    state.packs.extend(found.into_iter().flatten().map(|known| known.pack));
    if !ack.sketches.is_empty() {
        catalog.add_features(no, ack.sketches.iter().map(|(id, sketch)| (id, sketch.as_slice())))?;
    }
    Ok(())
}
