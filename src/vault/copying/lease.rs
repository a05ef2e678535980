//! The record that headers are being copied here: put before they are, and again while that goes on.

use tokio::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{
    format::copied::CopyRecord,
    model::{Lock, LockMode, Span, Time, VaultId},
    store::{ObjectStore, Payload, StoreErrorKind},
    vault::Result,
};

/// For how long a record speaks.
const LENGTH: Span = Span::seconds(2 * 3600);
/// What is left of that when the next one is put: longer than a header takes.
const LEFT: Span = Span::seconds(1800);
/// The target's clock is not asked again before.
const ASKED: Duration = Duration::from_mins(1);

/// Keeps a record in force.
pub(super) struct Lease<'a> {
    store: &'a dyn ObjectStore,
    vault: VaultId,
    from: String,
    part: bool,
    /// What the record is locked with, where it can be.
    lock: Option<(LockMode, Time)>,
    held: Mutex<Held>,
}

/// The record that is in force, and when the target's clock said so.
#[derive(Default)]
struct Held {
    ends: Option<Time>,
    asked: Option<Instant>,
}

impl<'a> Lease<'a> {
    pub(super) fn new(
        store: &'a dyn ObjectStore,
        (vault, from, part): (VaultId, String, bool),
        lock: Option<(LockMode, Time)>,
    ) -> Self {
        Self { store, vault, from, part, lock, held: Mutex::default() }
    }

    /// Sees to it that a record is in force for a while from now on.
    pub(super) async fn hold(&self) -> Result<()> {
        let mut held = self.held.lock().await;
        if held.ends.is_some() && held.asked.is_some_and(|asked| asked.elapsed() < ASKED) {
            return Ok(());
        }
        let asked = Instant::now();
        let now = self.store.server_time().await?;
        if held.ends.is_some_and(|ends| now + LEFT < ends) {
            held.asked = Some(asked);
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
        *held = Held { ends: Some(now + LENGTH), asked: Some(asked) };
        Ok(())
    }
}
