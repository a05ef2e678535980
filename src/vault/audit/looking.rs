//! One part of a vault after the other: what is needed of it is named, held against what is there, and read.

use std::sync::Arc;

use super::{
    Depth, VerifyRequest,
    documents::Documents,
    inventory::Inventory,
    listing::{self, Listed},
    objects::{self, Locks, ReadBack, Reading},
};
use crate::{
    model::{Cancel, Findings, Progress, Time},
    vault::{Result, Vault, reader::PagesAhead, snapshots::Summary, stock::Stocks},
};

/// What is looked at in every part of a vault.
pub(super) struct Looking<'a> {
    pub(super) vault: &'a Vault,
    pub(super) request: &'a VerifyRequest,
    /// Those that are to be verified, and suspect ones.
    pub(super) snapshots: (&'a [&'a Summary], &'a [&'a Summary]),
    pub(super) openers: objects::Openers,
    pub(super) documents: Documents,
    pub(super) now: Time,
}

/// What it told.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) locks: Locks,
    pub(super) read: ReadBack,
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

impl Looking<'_> {
    /// Looks at one part after the other.
    pub(super) async fn at(
        &self,
        inventory: &mut Inventory,
        (listed, mut parts): (&mut Listed, Stocks),
        (progress, cancel): (&Arc<dyn Progress>, &Cancel),
        findings: &mut Findings,
    ) -> Result<Looked> {
        let (data, sample) = (self.request.depth >= Depth::Read, self.request.sample);
        let reading = Reading { data, sample, openers: &self.openers };
        let mut done = Looked::default();
        while let Some(mut stock) = parts.next() {
            if stock.is_to_be_listed() {
                listing::part(self.vault, &mut stock, listed.versions).await?;
            }
            inventory.turn_to(stock, listed.versions || !self.vault.store.traits().versions);
            self.needed(inventory, cancel, findings).await?;
            inventory.judge(listed, findings);
            progress.phase("reading locks", None);
            done.locks.read(self.vault, inventory, self.now, cancel, findings).await?;
            objects::read(self.vault, inventory, &reading, progress, cancel, (&mut done.read, findings)).await?;
            done.objects += inventory.firm().count() as u64;
            done.bytes += inventory.firm().filter_map(|needed| needed.bytes).sum::<u64>();
            inventory.settle();
        }
        done.read.must_be_some(&*self.vault.store)?;
        done.objects += inventory.lacking_more;
        Ok(done)
    }

    /// Adds what snapshots need of the part in hand to the inventory, and the documents that they embed; what suspect ones
    /// name comes last.
    async fn needed(&self, inventory: &mut Inventory, cancel: &Cancel, findings: &mut Findings) -> Result<()> {
        let (chosen, suspects) = self.snapshots;
        for (snapshots, suspect) in [(chosen, false), (suspects, true)] {
            let mut wholes = self.vault.wholes(snapshots.iter().copied());
            loop {
                let window = wholes.next().await?;
                if window.is_empty() {
                    break;
                }
                let known = |page: &_| inventory.knows(page);
                let mut ahead = PagesAhead::of(&*self.vault.store, window.iter(), known);
                for snapshot in &window {
                    objects::stop_if_asked(cancel)?;
                    inventory.add(&mut ahead, snapshot, suspect, findings).await?;
                    if !suspect {
                        self.documents.embedded(inventory, snapshot)?;
                    }
                }
            }
        }
        Ok(())
    }
}
