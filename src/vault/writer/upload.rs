//! Puts sealed packs, reads their locks back and acknowledges them.

use std::sync::Arc;

use crossbeam_channel::Sender;
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinSet};

use super::{
    shared::Shared,
    stages::{Acknowledged, SealedPack},
    workers,
};
use crate::{
    codec::seal::{SealedFile, Sealer},
    format::layout,
    model::{Key, Lock, LockMode, Name, Time},
    store::{ObjectStore, Payload, Put, StoreError, StoreErrorKind, Version},
    vault::{VaultError, VaultErrorKind},
};

/// How often a pack is sealed again when its put stayed unanswered.
const ATTEMPTS: usize = 3;

/// Where packs go and how they are locked.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) writer: Name,
    pub(super) sealer: Sealer,
    pub(super) locking: Locking,
}

/// What the run asks of locks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Locking {
    /// The lock that each put asks for; `None` where the store's default applies.
    pub(crate) on_put: Option<Lock>,
    /// What everything that the snapshot needs must reach.
    pub(crate) floor: Time,
    /// How strongly it must be held.
    pub(crate) mode: LockMode,
    /// The lock that the run may extend others to; `None` where it may not.
    pub(crate) extend_to: Option<Lock>,
}

impl Locking {
    /// Whether a lock is enough for this run's snapshot.
    pub(crate) fn suffices(&self, lock: Option<Lock>) -> bool {
        lock.is_some_and(|lock| lock.mode.covers(self.mode) && lock.until >= self.floor)
    }

    /// Whether what the run promised is over at `now`, so that locks which reach the floor may hold nothing any more.
    pub(crate) fn lapsed(&self, now: Time) -> bool {
        now >= self.floor
    }

    /// Fails if the lock of a new object is not.
    pub(crate) fn check(&self, key: &Key, lock: Option<Lock>) -> Result<(), VaultError> {
        if self.suffices(lock) {
            return Ok(());
        }
        let has =
            lock.map_or_else(|| "no lock".to_owned(), |l| format!("a {} lock until {}", l.mode.as_str(), l.until));
        let what = format!("the store gave a new object {has}, but this run promises {}", self.floor);
        Err(VaultError::new(VaultErrorKind::Unprotected, what).on(key))
    }
}

/// Puts every pack that comes, several at once, and acknowledges each; ends when no more can come.
pub(super) async fn run(
    target: Target,
    mut packs: UnboundedReceiver<SealedPack>,
    acknowledged: Sender<Acknowledged>,
    shared: Arc<Shared>,
) {
    let mut puts = JoinSet::new();
    // The permits that packs carry bound how many there are at once.
    while let Some(pack) = packs.recv().await {
        let (target, acknowledged, shared) = (target.clone(), acknowledged.clone(), Arc::clone(&shared));
        puts.spawn(async move {
            if let Err(error) = put_pack(&target, pack, &acknowledged, &shared).await {
                shared.fail(error);
            }
        });
        while puts.try_join_next().is_some() {}
    }
    while puts.join_next().await.is_some() {}
}

async fn put_pack(
    target: &Target,
    mut pack: SealedPack,
    acknowledged: &Sender<Acknowledged>,
    shared: &Shared,
) -> Result<(), VaultError> {
    let mut attempt = 1;
    loop {
        shared.check()?;
        let id = pack.id();
        let key = layout::pack(&target.writer, &id);
        let payload = Payload::Sealed(pack.file.sealed.clone());
        let failure = match target.store.put_new(&key, &payload, target.locking.on_put).await {
            Ok(Put::Created { version }) => {
                let SealedPack { file: SealedFile { sealed, header, .. }, directory, kept, permit } = pack;
                permit.answered();
                let bytes = sealed.bytes().len() as u64;
                // It is stored: the next pack need not wait until its lock is read, too.
                drop((payload, sealed, permit));
                let lock = read_lock(target, &key, version.as_ref()).await?;
                let ack = Acknowledged { id, bytes, version, lock, header, directory, sketches: kept };
                acknowledged.send(ack).map_err(|_| shared.why("catalog"))?;
                return Ok(());
            }
            // A fresh name that is taken: an earlier try of ours landed, or somebody guessed it. Neither can be told
            // from here, so what is there is not believed.
            Ok(Put::AlreadyThere) => StoreError::new(StoreErrorKind::Unreachable, "the pack's name was taken").on(&key),
            Err(error) if error.kind == StoreErrorKind::Unreachable => error,
            Err(error) => return Err(error.into()),
        };
        if attempt == ATTEMPTS {
            return Err(failure.into());
        }
        attempt += 1;
        let sealer = target.sealer.clone();
        pack = tokio::task::spawn_blocking(move || workers::seal_again(&sealer, pack))
            .await
            .map_err(|_| VaultError::stage_gone("sealing"))??;
    }
}

async fn read_lock(target: &Target, key: &Key, version: Option<&Version>) -> Result<Option<Lock>, VaultError> {
    let lock = target.store.lock_of(key, version).await?;
    target.locking.check(key, lock).map(|()| lock)
}
