//! Which of the catalog's packs this run may lean on: those that the store still lists, locked until the floor.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::runtime::Handle;

use super::upload::Locking;
use crate::{
    catalog::{Catalog, PackNo},
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
        Self { store, runtime, writer, locking, listed, decided: HashMap::new(), used: HashSet::new(), empty }
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

    fn decide(&self, catalog: &mut Catalog, no: PackNo) -> Result<bool, VaultError> {
        let row = catalog.pack(no)?;
        if self.listed.get(&row.id) != Some(&row.bytes) {
            return Ok(false);
        }
        if self.locking.suffices(row.lock) {
            return Ok(true);
        }
        let lock = self.runtime.block_on(self.real_lock(&row.id, row.version.as_deref()))?;
        catalog.set_lock(no, lock)?;
        Ok(self.locking.suffices(lock))
    }

    async fn real_lock(&self, id: &PackId, version: Option<&str>) -> Result<Option<Lock>, VaultError> {
        let key = layout::pack(&self.writer, id);
        let version = version.map(Version::new);
        let lock = match self.store.lock_of(&key, version.as_ref()).await {
            Ok(lock) => lock,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match self.locking.extend_to {
            Some(wanted) if !self.locking.suffices(lock) => {
                match self.store.extend_lock(&key, version.as_ref(), wanted).await {
                    Ok(lock) => Ok(Some(lock)),
                    // Not allowed to extend: the chunk is stored again instead.
                    Err(e) if matches!(e.kind, StoreErrorKind::Denied | StoreErrorKind::Unsupported) => Ok(lock),
                    Err(error) => Err(error.into()),
                }
            }
            _ => Ok(lock),
        }
    }

    /// The packs that were found usable and asked for.
    pub(super) fn into_used(self) -> HashSet<PackNo> {
        self.used
    }
}
