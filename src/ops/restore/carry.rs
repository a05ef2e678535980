//! Carrying a plan out: every stream to its target, small ones together.

use std::{io::Write, sync::Arc};

use super::{
    super::{OpsError, Result, backup::StreamReport},
    Begun, Entry, Kept, Lost, Plan, Target,
};
use crate::{
    format::body::StreamRecord,
    model::{Cancel, Progress, SourceKind},
    vault::{VaultError, VaultErrorKind, reader::Snapshot},
};

/// A stream of at most so many bytes is read together with others.
const SMALL: u64 = 1 << 20;
/// So many bytes and streams are read together at most.
const TOGETHER: u64 = 16 << 20;
const COUNT: usize = 8192;

/// What came of it.
#[derive(Debug, Default)]
pub(in crate::ops) struct Carried {
    /// Which entries of the plan are there now, by their places.
    whole: Vec<bool>,
    /// What of them was there before.
    pub(in crate::ops) kept: Kept,
}

impl Carried {
    /// The streams that are there now.
    pub(in crate::ops) fn streams(&self, plan: &Plan) -> Vec<StreamReport> {
        let there = plan.entries.iter().zip(&self.whole).filter(|(_, whole)| **whole);
        there
            .map(|(Entry { stream }, _)| StreamReport {
                name: stream.name.clone(),
                bytes: stream.bytes,
                blake3: stream.blake3,
            })
            .collect()
    }

    /// The same out of the plan's entries, whose names it takes: of a third of a million, a second copy is 40 MiB.
    pub(in crate::ops) fn into_streams(self, entries: Vec<Entry>) -> Vec<StreamReport> {
        let there = entries.into_iter().zip(self.whole).filter(|(_, whole)| *whole);
        there.map(|(Entry { stream }, _)| report(stream)).collect()
    }
}

fn report(StreamRecord { name, bytes, blake3, .. }: StreamRecord) -> StreamReport {
    StreamReport { name, bytes, blake3 }
}

/// Carries a plan out. What `target` had finished before an error stays. With `lost`, what is damaged is told there, and all
/// else is restored.
///
/// # Errors
/// If a stream is damaged, or `target` fails. With `lost`, if nothing is whole.
pub(in crate::ops) async fn carry_out(
    snapshot: &Snapshot,
    plan: &Plan,
    target: &mut dyn Target,
    (progress, cancel): (&Arc<dyn Progress>, &Cancel),
    lost: Option<&mut Vec<Lost>>,
) -> Result<Carried> {
    target.prepare(plan)?;
    if target.is_whole() {
        let kept = Kept { streams: plan.entries.len() as u64, bytes: plan.bytes };
        target.finish()?;
        return Ok(Carried { whole: vec![true; plan.entries.len()], kept });
    }
    progress.phase(&format!("restoring {}", plan.source), Some(plan.bytes));
    let whole = vec![false; plan.entries.len()];
    let mut carrier = Carrier {
        snapshot,
        plan,
        target,
        progress,
        cancel,
        salvage: lost.is_some(),
        lost: Vec::new(),
        first: None,
        whole,
        kept: Kept::default(),
        batch: Vec::new(),
        batched: 0,
    };
    carrier.all().await?;
    let Carrier { target, whole, kept, first, lost: found, .. } = carrier;
    progress.phase("finishing", None);
    let Some(lost) = lost else { return target.finish().map(|()| Carried { whole, kept }) };
    lost.extend(found);
    // Of a repository's streams, parts may be whole.
    if let Some(error) = first.filter(|_| !whole.contains(&true) && plan.kind != SourceKind::Git) {
        target.nothing();
        return Err(error);
    }
    lost.extend(target.salvage()?);
    Ok(Carried { whole, kept })
}

struct Carrier<'a> {
    snapshot: &'a Snapshot,
    plan: &'a Plan,
    target: &'a mut dyn Target,
    progress: &'a Arc<dyn Progress>,
    cancel: &'a Cancel,
    /// Whether what is damaged stops nothing.
    salvage: bool,
    lost: Vec<Lost>,
    /// Why the first of them is lost.
    first: Option<OpsError>,
    /// Which entries are there, by their places in the plan.
    whole: Vec<bool>,
    kept: Kept,
    /// Small streams that are read together next.
    batch: Vec<usize>,
    batched: u64,
}

impl Carrier<'_> {
    async fn all(&mut self) -> Result<()> {
        let plan = self.plan;
        for (no, entry) in plan.entries.iter().enumerate() {
            if self.cancel.is_cancelled() {
                return Err(OpsError::Interrupted);
            }
            if self.is_small(entry) {
                self.batch.push(no);
                self.batched += entry.stream.bytes;
                if self.batched >= TOGETHER || self.batch.len() >= COUNT {
                    self.together().await?;
                }
                continue;
            }
            // A link leads to what must be there.
            if plan.linked_to(entry).is_some() {
                self.together().await?;
            }
            let done = self.one(entry).await;
            self.note(no, done)?;
        }
        self.together().await
    }

    /// Whether an entry is read together with others.
    fn is_small(&self, entry: &Entry) -> bool {
        let stream = &entry.stream;
        let apart = self.plan.kind == SourceKind::Git && stream.path.is_none();
        let small = stream.depth == 0 && stream.bytes <= SMALL && !apart;
        small && entry.is_file() && self.plan.linked_to(entry).is_none() && !self.target.has(entry)
    }

    /// Restores the small streams that wait for it.
    async fn together(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.batched = 0;
        let plan = self.plan;
        let entries: Vec<(usize, &Entry)> =
            batch.into_iter().filter_map(|no| Some((no, plan.entries.get(no)?))).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let streams: Vec<_> = entries.iter().map(|(_, entry)| &entry.stream).collect();
        let bytes = match self.snapshot.small_streams(&streams, self.cancel).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind == VaultErrorKind::Cancelled => return Err(OpsError::Interrupted),
            // Which of them it is shows when each is read for itself.
            Err(error) if error.kind == VaultErrorKind::Damaged => {
                for (no, entry) in entries {
                    let done = self.one(entry).await;
                    self.note(no, done)?;
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let mut rest = bytes.as_slice();
        for (no, entry) in entries {
            if self.cancel.is_cancelled() {
                return Err(OpsError::Interrupted);
            }
            let len = usize::try_from(entry.stream.bytes).unwrap_or(usize::MAX);
            let (one, after) = rest.split_at_checked(len).ok_or(OpsError::Defect("reading small streams"))?;
            rest = after;
            let put = self.put(entry, one);
            self.note(no, put)?;
            self.progress.advance(entry.stream.bytes);
        }
        Ok(())
    }

    /// Writes a stream that was read.
    fn put(&mut self, entry: &Entry, bytes: &[u8]) -> Result<Kept> {
        let mut sink = match self.target.begin(entry)? {
            Begun::File(sink) => sink,
            Begun::Skipped => return Ok(Kept::default()),
            // It was not when all was looked at.
            Begun::There(_) => return Err(self.target.differs(entry)),
        };
        let written = sink.keep(0).and_then(|()| sink.write_all(bytes)).and_then(|()| sink.flush());
        drop(sink);
        if let Err(error) = written {
            let failed = VaultError::new(VaultErrorKind::Failed, "cannot write the stream").because(error);
            return Err(self.target.failure().unwrap_or_else(|| failed.into()));
        }
        self.target.end(entry).map(|()| Kept::default())
    }

    /// Restores one entry; returns what of it was there.
    async fn one(&mut self, entry: &Entry) -> Result<Kept> {
        let mut kept = Kept::default();
        if entry.is_file() {
            if let Some(first) = self.plan.linked_to(entry)
                && self.target.link(entry, first)?
            {
                self.progress.advance(entry.stream.bytes);
                return Ok(kept);
            }
            let (progress, cancel) = (Arc::clone(self.progress), self.cancel.clone());
            let stream = &entry.stream;
            match self.target.begin(entry)? {
                Begun::Skipped => return Ok(kept),
                Begun::There(reader) => {
                    let same = self.snapshot.is_stream(stream, reader, progress, cancel).await;
                    let same = same.map_err(|error| self.cause(error))?;
                    let all = Kept { streams: 1, bytes: stream.bytes };
                    return if same { Ok(all) } else { Err(self.target.differs(entry)) };
                }
                Begun::File(sink) => {
                    let resumed = self.snapshot.resume_stream(stream, sink, progress, cancel).await;
                    // The writer is gone, and with it flushed or closed, before the entry gets its name.
                    kept.bytes = resumed.map_err(|error| self.cause(error))?;
                }
            }
        }
        self.target.end(entry)?;
        Ok(kept)
    }

    /// Why a stream could not be written.
    fn cause(&mut self, error: VaultError) -> OpsError {
        if error.kind == VaultErrorKind::Cancelled {
            return OpsError::Interrupted;
        }
        self.target.failure().unwrap_or_else(|| error.into())
    }

    /// Takes down what became of an entry.
    fn note(&mut self, no: usize, done: Result<Kept>) -> Result<()> {
        let Some(entry) = self.plan.entries.get(no) else { return Err(OpsError::Defect("the plan of the restore")) };
        match done {
            Ok(kept) => {
                self.kept.streams += kept.streams;
                self.kept.bytes = self.kept.bytes.saturating_add(kept.bytes);
                if let Some(whole) = self.whole.get_mut(no) {
                    *whole = true;
                }
                Ok(())
            }
            Err(error) if self.salvage && is_damage(&error) => {
                self.target.give_up(entry);
                self.lost.push(Lost { object: entry.path().to_owned(), message: error.to_string() });
                self.first.get_or_insert(error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether an error says that what was stored is not as it was.
fn is_damage(error: &OpsError) -> bool {
    matches!(error, OpsError::Vault(error) if error.kind == VaultErrorKind::Damaged)
}
