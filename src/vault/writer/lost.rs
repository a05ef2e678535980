//! Packs that the store acknowledged, whose locks last, and that it does not list any more.

use std::collections::HashMap;

use crate::{
    catalog::{Catalog, PackNo},
    format::layout,
    model::{Finding, Name, PackId, Severity, Time},
    vault::VaultError,
};

/// What is gone.
#[derive(Default)]
pub(super) struct Lost {
    pub(super) packs: Vec<PackNo>,
    first: Option<PackId>,
}

impl Lost {
    /// Those of the catalog's packs that are locked beyond `now` and not among `listed`.
    pub(super) fn of(catalog: &mut Catalog, listed: &HashMap<PackId, u64>, now: Time) -> Result<Self, VaultError> {
        let mut lost = Self::default();
        catalog.locked_packs(now, |no, id| {
            if !listed.contains_key(&id) {
                lost.packs.push(no);
                lost.first.get_or_insert(id);
            }
        })?;
        Ok(lost)
    }

    /// What is to be said of it, once: the packs are stored again, and `verify` tells which snapshots need them.
    pub(super) fn finding(&self, writer: &Name) -> Option<Finding> {
        let first = layout::pack(writer, self.first.as_ref()?);
        let what = format!(
            "{} packs that this writer stored are gone, or hidden, though they are locked, such as {first}: somebody \
             deleted from the vault, or set it back. What this snapshot needs of them was stored again; earlier ones \
             may not restore",
            self.packs.len()
        );
        Some(Finding::new(Severity::Weak, "writer.vanished", what).on(first))
    }
}
