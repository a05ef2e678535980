//! Where the pieces of a log go.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::super::{OpsError, Result};
use crate::{
    format::journal::Effort,
    model::{
        Clock, Name, Span as Duration,
        journal::{Line, Reach, Span},
    },
    store::StoreErrorKind,
    vault::{
        VaultErrorKind,
        journal::{JournalWriter, Log},
        writer::Workplace,
    },
};

/// Takes pieces. All of it blocks, and may be called from several threads at once.
pub(super) trait Sink: Send + Sync {
    /// Puts a piece: when it returns, that is stored and locked. Says how many bytes it took.
    fn put(&self, line: &Line, span: Span, log: Log, effort: Effort) -> Result<u64>;
    /// Puts the history of a line's timeline.
    fn put_history(&self, line: &Line, history: &[u8]) -> Result<()>;
    /// What is there of a line.
    fn covered(&self, line: &Line) -> Result<Reach>;
}

/// The vault.
pub(super) struct VaultSink {
    writer: JournalWriter,
    runtime: Handle,
    clock: Arc<dyn Clock>,
}

impl VaultSink {
    pub(super) fn new(place: &Workplace, runtime: &Handle, source: &Name, keep: Option<Duration>) -> Result<Self> {
        let writer = JournalWriter::new(place.clone(), source.clone(), keep)?;
        Ok(Self { writer, runtime: runtime.clone(), clock: Arc::clone(&place.clock) })
    }
}

impl Sink for VaultSink {
    fn put(&self, line: &Line, span: Span, log: Log, effort: Effort) -> Result<u64> {
        let put = self.runtime.block_on(self.writer.put_with(line, (span, log), effort, self.clock.now()))?;
        Ok(put.bytes)
    }

    fn put_history(&self, line: &Line, history: &[u8]) -> Result<()> {
        self.runtime.block_on(self.writer.put_history(line, history, self.clock.now()))?;
        Ok(())
    }

    fn covered(&self, line: &Line) -> Result<Reach> {
        Ok(self.runtime.block_on(self.writer.covered(line))?)
    }
}

/// Whether the same may work later without anybody doing anything.
pub(super) fn is_passing(error: &OpsError) -> bool {
    match error {
        OpsError::Vault(error) => matches!(error.kind, VaultErrorKind::TryAgain),
        OpsError::Store(error) => matches!(error.kind, StoreErrorKind::Unreachable),
        _ => false,
    }
}

/// Whether the same may work once somebody mended something, which needs nothing of this process.
pub(super) fn may_pass(error: &OpsError) -> bool {
    use VaultErrorKind as K;
    match error {
        OpsError::Vault(error) => !matches!(error.kind, K::Invalid | K::Untrusted | K::Newer | K::Draft | K::Unknown),
        OpsError::Store(_) => true,
        _ => false,
    }
}
