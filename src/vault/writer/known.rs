//! Which of the catalog's packs this run may lean on: those that the store still lists, locked until the floor.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::runtime::Handle;

use super::{
    locks::{Locks, Told},
    upload::Locking,
};
use crate::{
    catalog::{Catalog, PackNo, PackRow},
    format::layout,
    model::{Lock, Name, PackId},
    store::{ObjectStore, StoreErrorKind, Version},
    vault::VaultError,
};

/// Decides once per pack and run.
pub(super) struct KnownPacks {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
    writer: Name,
    locking: Locking,
    /// What the store listed at the run's start; a pack that is gone or of another size is stored again.
    listed: HashMap<PackId, u64>,
    locks: Locks,
    decided: HashMap<PackNo, bool>,
    used: HashSet<PackNo>,
    empty: bool,
}

impl KnownPacks {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        runtime: Handle,
        writer: Name,
        locking: Locking,
        listed: HashMap<PackId, u64>,
        empty: bool,
    ) -> Self {
        let locks = Locks::new(Arc::clone(&store), runtime.clone(), writer.clone());
        let (decided, used) = (HashMap::new(), HashSet::new());
        Self { store, runtime, writer, locking, listed, locks, decided, used, empty }
    }

    /// Whether the catalog knew nothing when the run began, so that looking up is of no use.
    pub(super) fn nothing_known(&self) -> bool {
        self.empty
    }

    /// Whether the snapshot may need this pack. Reads the pack's real lock, and extends it where that is allowed,
    /// before it says no: somebody may have extended it since.
    ///
    /// # Errors
    /// If the catalog fails, or the store does not tell.
    pub(super) fn usable(&mut self, catalog: &mut Catalog, no: PackNo) -> Result<bool, VaultError> {
        let usable = self.may_lean_on(catalog, no)?;
        if usable {
            self.used.insert(no);
        }
        Ok(usable)
    }

    /// The same, for a pack that the snapshot will not necessarily need.
    ///
    /// # Errors
    /// As [`usable`](Self::usable).
    pub(super) fn may_lean_on(&mut self, catalog: &mut Catalog, no: PackNo) -> Result<bool, VaultError> {
        if let Some(decided) = self.decided.get(&no) {
            return Ok(*decided);
        }
        let usable = self.decide(catalog, no)?;
        self.decided.insert(no, usable);
        Ok(usable)
    }

    fn decide(&mut self, catalog: &mut Catalog, no: PackNo) -> Result<bool, VaultError> {
        let row = catalog.pack(no)?;
        if !self.is_listed(&row) {
            return Ok(false);
        }
        if self.locking.suffices(row.lock) {
            return Ok(true);
        }
        self.locks.begin(&row);
        let ahead = self.locks.ahead(no);
        for next in catalog.packs_after(no, ahead)? {
            if self.is_listed(&next) && !self.locking.suffices(next.lock) && !self.decided.contains_key(&next.no) {
                self.locks.begin(&next);
            }
        }
        let lock = match self.locks.take(&row)? {
            Told::Lock(lock) if !self.locking.suffices(lock) => self.runtime.block_on(self.extended(&row, lock))?,
            Told::Lock(lock) => lock,
            Told::Gone => None,
        };
        catalog.set_lock(no, lock)?;
        Ok(self.locking.suffices(lock))
    }

    fn is_listed(&self, row: &PackRow) -> bool {
        self.listed.get(&row.id) == Some(&row.bytes)
    }

    /// The lock of a pack that is there, after it was extended where that is allowed.
    async fn extended(&self, row: &PackRow, lock: Option<Lock>) -> Result<Option<Lock>, VaultError> {
        let Some(wanted) = self.locking.extend_to else { return Ok(lock) };
        let (key, version) = (layout::pack(&self.writer, &row.id), row.version.as_deref().map(Version::new));
        match self.store.extend_lock(&key, version.as_ref(), wanted).await {
            Ok(lock) => Ok(Some(lock)),
            // Not allowed to extend: the chunk is stored again instead.
            Err(e) if matches!(e.kind, StoreErrorKind::Denied | StoreErrorKind::Unsupported) => Ok(lock),
            Err(error) => Err(error.into()),
        }
    }

    /// The packs that were found usable and asked for.
    pub(super) fn into_used(self) -> HashSet<PackNo> {
        self.used
    }
}
