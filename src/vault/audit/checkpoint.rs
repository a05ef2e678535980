//! What an auditor saw last time. A vault can lose its newest snapshot, or a revocation, and what is left is in order:
//! only somebody who remembers can tell.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    chain,
    inventory::Inventory,
    needed::{Kind, Needed},
};
use crate::{
    model::{Finding, Findings, Name, Severity, SnapshotId, Time, VaultId},
    vault::snapshots::Summary,
};

/// The version of the file.
const FORMAT: &str = "1";
/// Findings that stay warnings until somebody says that he knows.
const TO_ACKNOWLEDGE: [&str; 5] = ["chain.fork", "chain.order", "suspect.hollow", "writer.outside", "writer.revoked"];

/// The end of a writer's chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Head {
    /// The writer.
    pub writer: Name,
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub id: SnapshotId,
}

/// What was seen in a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The version of this file's format.
    pub format: String,
    /// The vault.
    pub vault: VaultId,
    /// When, by the store's clock.
    pub at: Time,
    /// The ends of all chains.
    pub heads: BTreeSet<Head>,
    /// Certificates, records and evidence, each with the time until which it was locked or promised.
    pub documents: BTreeMap<String, Time>,
    /// Findings that somebody knows of.
    #[serde(default)]
    pub acknowledged: BTreeSet<String>,
    /// Which part was read last, by depth and number of parts such as `read/20`, for those who ask for the next one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sampled: BTreeMap<String, u32>,
}

/// What a finding is called in the list of those that somebody knows of.
fn name(finding: &Finding) -> Option<String> {
    let known = TO_ACKNOWLEDGE.contains(&finding.code.as_str());
    let about = finding.snapshot.as_deref().or(finding.object.as_deref()).unwrap_or_default();
    // A revocation that reaches further back is another one.
    let more = if finding.code == "writer.revoked" {
        finding.message.split(" from ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default()
    } else {
        ""
    };
    known.then(|| format!("{} {about} {more}", finding.code).trim_end().to_owned())
}

impl Checkpoint {
    /// Whether this is a checkpoint of `vault` that this build understands; else why not.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn belongs_to(&self, vault: VaultId) -> std::result::Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("it has format {:?}, and this build knows {FORMAT:?}", self.format));
        }
        if self.vault != vault {
            return Err(format!("it is of vault {}, and this is {vault}", self.vault));
        }
        Ok(())
    }

    /// What is gone or changed since.
    pub(super) fn compare(&self, all: &[Summary], inventory: &Inventory, now: Time) -> Vec<Finding> {
        let mut findings = Vec::new();
        for head in &self.heads {
            let Head { writer, seq, id } = head;
            if all.iter().any(|s| s.id == *id) {
                continue;
            }
            let (newest, same) = all
                .iter()
                .filter(|s| s.header.writer == *writer)
                .fold((0, false), |(n, same), s| (s.header.seq.max(n), same || s.header.seq == *seq));
            let instead = if same {
                format!("another snapshot has its number {seq}")
            } else {
                format!("the newest of writer {writer} is number {newest} now, and it was {seq}")
            };
            let what = format!(
                "this snapshot was the newest of writer {writer} on {} and is gone: the vault was set back or changed; \
                 {instead}",
                self.at
            );
            findings.push(Finding::new(Severity::Error, "checkpoint.lost", what).of(id).on(writer));
        }
        for (key, until) in self.documents.iter().filter(|(_, until)| **until > now) {
            let there = inventory.find(key).and_then(|at| inventory.documents.get(at));
            if there.is_none_or(Needed::missing) {
                let what =
                    format!("this was in the vault on {}, to stay until {until}, and is gone or changed", self.at);
                findings.push(Finding::new(Severity::Error, "checkpoint.document", what).on(key));
            }
        }
        findings
    }

    /// Makes notes of those findings that somebody knows of already.
    pub(super) fn calm(&self, findings: &mut Findings) {
        for finding in findings.iter_mut() {
            if finding.severity == Severity::Warning && name(finding).is_some_and(|n| self.acknowledged.contains(&n)) {
                finding.severity = Severity::Info;
            }
        }
    }

    /// What was seen now. What an earlier checkpoint remembers and is gone stays remembered, so that the alarm stays.
    pub(super) fn new(vault: VaultId, at: Time, all: &[Summary], inventory: &Inventory, before: Option<&Self>) -> Self {
        // A suspect head may go when its time is over, with nothing after it.
        let heads = chain::heads(all.iter().filter(|s| !s.standing.suspect)).into_iter().map(|s| Head {
            writer: s.header.writer.clone(),
            seq: s.header.seq,
            id: s.id,
        });
        let documents = inventory.documents.iter().filter(|needed| {
            !matches!(needed.kind, Kind::Header | Kind::Page | Kind::Index | Kind::Pack) && !needed.missing()
        });
        let mut now = Self {
            format: FORMAT.to_owned(),
            vault,
            at,
            heads: heads.collect(),
            documents: documents
                .map(|needed| (needed.key().to_string(), needed.locked.unwrap_or(needed.floor).max(needed.floor)))
                .collect(),
            acknowledged: BTreeSet::new(),
            sampled: BTreeMap::new(),
        };
        if let Some(before) = before {
            let lost = |head: &&Head| !all.iter().any(|s| s.id == head.id);
            now.heads.extend(before.heads.iter().filter(lost).cloned());
            for (key, until) in before.documents.iter().filter(|(_, until)| **until > at) {
                now.documents.entry(key.clone()).or_insert(*until);
            }
            now.acknowledged.clone_from(&before.acknowledged);
            now.sampled.clone_from(&before.sampled);
        }
        now
    }

    /// Notes that somebody knows of the forks and revocations among `findings`.
    pub fn acknowledge(&mut self, findings: &[Finding]) {
        self.acknowledged.extend(findings.iter().filter_map(name));
    }
}
