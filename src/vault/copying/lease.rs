//! The record that headers are being copied here: put before they are, and again while that goes on.

use tokio::sync::Mutex;

use crate::{
    format::copied::CopyRecord,
    model::{Lock, LockMode, Span, Time, VaultId},
    store::{ObjectStore, Payload, StoreErrorKind},
    vault::Result,
};

/// For how long a record speaks.
const LENGTH: Span = Span::seconds(2 * 3600);
/// What is left of that when the next one is put: longer than a window of headers takes.
const LEFT: Span = Span::seconds(1800);

/// Keeps a record in force.
pub(super) struct Lease<'a> {
    store: &'a dyn ObjectStore,
    vault: VaultId,
    from: String,
    part: bool,
    /// What the record is locked with, where it can be.
    lock: Option<(LockMode, Time)>,
    ends: Mutex<Option<Time>>,
}

impl<'a> Lease<'a> {
    pub(super) fn new(
        store: &'a dyn ObjectStore,
        (vault, from, part): (VaultId, String, bool),
        lock: Option<(LockMode, Time)>,
    ) -> Self {
        Self { store, vault, from, part, lock, ends: Mutex::new(None) }
    }

    /// Sees to it that a record is in force for a while from now on.
    pub(super) async fn hold(&self) -> Result<()> {
        let mut ends = self.ends.lock().await;
        let now = self.store.server_time().await?;
        if ends.is_some_and(|ends| now + LEFT < ends) {
            return Ok(());
        }
        let record = CopyRecord::new(self.vault, self.from.clone(), (now, now + LENGTH), self.part);
        let (key, public) = record.encode()?;
        let payload = Payload::Public(public);
        let lock = self.lock.map(|(mode, until)| Lock { mode, until });
        // The same record of another copier of the same second is as good.
        match self.store.put_new(&key, &payload, lock).await {
            Err(error) if matches!(error.kind, StoreErrorKind::Unsupported | StoreErrorKind::Invalid) => {
                self.store.put_new(&key, &payload, None).await?;
            }
            other => drop(other?),
        }
        *ends = Some(now + LENGTH);
        Ok(())
    }
}
