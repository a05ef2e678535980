//! Holds and lists of approvers: what they promise of snapshots, and whether they are there themselves.

use std::collections::BTreeMap;

use super::{
    inventory::Inventory,
    needed::{Hold, Kind, Promise},
};
use crate::{
    format::layout::{self, ObjectName},
    model::{Finding, Findings, Severity, SnapshotId, Time},
    vault::{Result, Vault, VaultErrorKind, approvers::Lists, holds::Holds, snapshots::Summary},
};

/// Reads the holds. Who may not is told.
pub(super) async fn read(vault: &Vault, findings: &mut Findings) -> Result<Holds> {
    match Holds::of(vault).await {
        Ok(holds) => {
            for finding in &holds.findings {
                findings.note(finding.clone());
            }
            Ok(holds)
        }
        Err(error) if error.kind == VaultErrorKind::Denied => {
            let what = "these credentials may not read this, so it was not checked";
            findings.note(Finding::new(Severity::Warning, "documents.unread", what).on(layout::HOLDS));
            Ok(Holds::default())
        }
        Err(error) => Err(error),
    }
}

/// What each held snapshot is promised.
pub(super) fn promises(vault: &Vault, holds: &Holds, now: Time) -> BTreeMap<SnapshotId, Hold> {
    let most = vault.descriptor.lock.max_lock;
    let mut promised: BTreeMap<SnapshotId, Hold> = BTreeMap::new();
    for held in holds.active(now) {
        let (expires, floor) = (held.hold.until, held.hold.until.min(held.hold.at + most));
        for id in &held.hold.snapshots {
            let hold = promised.entry(*id).or_insert(Hold { floor, expires });
            (hold.floor, hold.expires) = (hold.floor.max(floor), hold.expires.max(expires));
        }
    }
    promised
}

/// Adds the documents to the inventory, and tells of snapshots that are held and not there.
pub(super) async fn add(
    inventory: &mut Inventory,
    vault: &Vault,
    (holds, all, part): (&Holds, &[Summary], bool),
    now: Time,
    findings: &mut Findings,
) -> Result<()> {
    let policy = vault.descriptor.lock;
    let promise = |floor: Time, expires: Time| Promise {
        mode: policy.mode,
        floor,
        expires: expires.max(floor),
        snapshot: None,
        suspect: false,
    };
    for held in holds.all.iter().filter(|held| !held.suspect) {
        let floor = if held.released.is_some() { held.hold.at + policy.keep } else { held.hold.until };
        let floor = floor.min(held.hold.at + policy.max_lock);
        inventory.need(held.key.clone(), Kind::Hold, (held.hash, None, None), &promise(floor, floor));
    }
    for (key, hash, at) in &holds.releases {
        let floor = *at + policy.keep;
        inventory.need(key.clone(), Kind::Release, (*hash, None, None), &promise(floor, floor));
    }
    for held in holds.active(now) {
        for id in held.hold.snapshots.iter().filter(|id| !all.iter().any(|snapshot| snapshot.id == **id)) {
            let finding = if part {
                let what = "this hold names a snapshot that is not here: this is a copy of a part of the vault";
                Finding::new(Severity::Info, "hold.part", what)
            } else {
                Finding::new(Severity::Error, "hold.lost", "this hold names a snapshot that is not in the vault")
            };
            findings.push(finding.on(&held.key).of(id));
        }
    }
    let lists = match Lists::of(vault).await {
        Ok(lists) => lists,
        Err(error) if error.is_of_object() => {
            let what =
                format!("a list of approvers can't be read, so nobody knows what needs approvals: {}", error.what);
            findings.note(Finding::new(Severity::Weak, "approvers.unread", what).on(layout::APPROVERS));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for finding in &lists.findings {
        findings.note(finding.clone());
    }
    for listed in lists.iter() {
        let Some(ObjectName::Approvers(_, hash)) = layout::parse(listed.key.as_str()) else { continue };
        let floor = listed.list.at + policy.keep;
        inventory.need(listed.key.clone(), Kind::Approvers, (hash, None, None), &promise(floor, floor));
    }
    Ok(())
}
