//! Facts out of a vault: of a snapshot all that its body tells where an identity opens it, else what its header says.

use std::collections::{BTreeMap, HashSet};

use super::{super::Result, Taken, facts};
use crate::{
    codec::seal::Opener,
    format::{epoch::EpochKeys, header::VerifiedHeader},
    model::{Finding, Hash, Name, PackId, Severity, SnapshotId},
    ops::OpsError,
    signal::{Facts, Fresh},
    vault::{
        Vault, VaultErrorKind, keys,
        reader::{Snapshot, packs_of},
        snapshots::Summary,
    },
};

/// Opens snapshots one after the other, oldest first.
pub(in crate::ops) struct Gather<'a> {
    vault: &'a Vault,
    opener: Option<&'a Opener>,
    /// The keys of the epoch that was opened last.
    keys: Option<(Hash, EpochKeys)>,
    /// The packs of the snapshot of each writer that was opened last.
    packs: BTreeMap<Name, (SnapshotId, HashSet<PackId>)>,
    /// The numbers of headers that others may name as the one before.
    numbers: BTreeMap<SnapshotId, u64>,
    /// How many were opened.
    pub(in crate::ops) opened: u64,
    /// What is wrong with those that were looked at.
    pub(in crate::ops) findings: Vec<Finding>,
}

impl<'a> Gather<'a> {
    /// Of `vault`. `numbers` are those of headers that were there before.
    pub(in crate::ops) const fn new(
        vault: &'a Vault,
        opener: Option<&'a Opener>,
        numbers: BTreeMap<SnapshotId, u64>,
    ) -> Self {
        Self { vault, opener, keys: None, packs: BTreeMap::new(), numbers, opened: 0, findings: Vec::new() }
    }

    /// Opens a snapshot. Nothing without an identity, and where its body is damaged, which is a finding.
    pub(in crate::ops) async fn open(&mut self, summary: &Summary, whole: VerifiedHeader) -> Result<Option<Snapshot>> {
        let Some(opener) = self.opener else { return Ok(None) };
        if self.keys.as_ref().is_none_or(|(epoch, _)| *epoch != summary.epoch) {
            let keys = keys::epoch_keys(self.vault, &whole.epoch, opener).await?;
            self.keys = Some((summary.epoch, keys));
        }
        let Some((_, keys)) = &self.keys else { return Ok(None) };
        match Snapshot::open_with(self.vault, whole, keys).await {
            Ok(snapshot) => {
                self.opened += 1;
                Ok(Some(snapshot))
            }
            Err(error) if error.kind == VaultErrorKind::Damaged => {
                let what = format!("the body of this snapshot can't be read, so it was not looked into: {error}");
                self.findings.push(Finding::new(Severity::Error, "body.damaged", what).of(summary.id));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is known of a snapshot, and whether it was opened.
    pub(in crate::ops) async fn facts(&mut self, summary: &Summary, whole: VerifiedHeader) -> Result<(Facts, bool)> {
        let totals = summary.header.totals;
        let mut plain = Facts::new(summary.since(), totals.bytes, totals.streams);
        plain.snapshot = Some(summary.id);
        let Some(snapshot) = self.open(summary, whole).await? else { return Ok((plain, false)) };
        let body = &snapshot.body;
        let bytes = body.streams.iter().map(|stream| stream.bytes).fold(0, u64::saturating_add);
        if bytes != totals.bytes || body.streams.len() as u64 != totals.streams {
            let what = format!(
                "its header says {} bytes in {} streams, and its body has {bytes} in {}: whoever signed it lies",
                totals.bytes,
                totals.streams,
                body.streams.len()
            );
            self.findings.push(Finding::new(Severity::Error, "header.false", what).of(summary.id));
        }
        let before = self.packs_before(&snapshot.header).await?;
        let fresh =
            before.map(|before| snapshot.anew(&before)).transpose()?.map(|(bytes, stored)| Fresh { bytes, stored });
        self.packs.insert(summary.header.writer.clone(), (summary.id, snapshot.packs()));
        let taken = Taken {
            at: summary.since(),
            snapshot: Some(summary.id),
            kind: summary.header.kind,
            streams: &body.streams,
            details: &body.details,
            fingerprints: &body.fingerprints,
            fresh,
        };
        let facts = facts(&taken).map_err(|_| OpsError::Defect("reading the records of a body in memory"))?;
        Ok((facts, true))
    }

    /// The packs of the writer's snapshot before this one, where that is known.
    async fn packs_before(&self, now: &VerifiedHeader) -> Result<Option<HashSet<PackId>>> {
        let header = &now.header;
        let Some(prev) = header.prev.first() else { return Ok(Some(HashSet::new())) };
        if let Some((_, packs)) = self.packs.get(&header.writer).filter(|(id, _)| id == prev) {
            return Ok(Some(packs.clone()));
        }
        let Some(seq) = self.numbers.get(prev) else { return Ok(None) };
        Ok(packs_of(self.vault, &header.writer, *seq, *prev).await?)
    }
}
