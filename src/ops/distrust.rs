//! What a drill or a verification found damaged is never leaned on again: the writer looks for signed evidence of it, forgets
//! the packs that are named, and stores the sources that are concerned anew.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::runtime::Handle;

use super::{OpsError, Result};
use crate::{
    catalog::Catalog,
    format::{
        evidence::{Evidence, EvidenceKind},
        layout::{self, ObjectName},
    },
    model::{Finding, Name, Severity, SnapshotId, Time},
    vault::{Vault, evidence, writer::Workplace},
};

/// What the catalog calls what is noted here.
const NOTE: &str = "evidence";

/// What was looked at, and what is still to be done.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Noted {
    /// The newest evidence that was looked at is of this time, by the store.
    until: Option<Time>,
    /// The pieces of that time.
    keys: Vec<String>,
    /// Sources that are to be stored anew, and were not yet.
    anew: BTreeSet<Name>,
}

fn noted(catalog: &mut Catalog) -> Result<Noted> {
    Ok(catalog.note(NOTE)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

fn keep(catalog: &mut Catalog, noted: &Noted) -> Result<()> {
    let text = serde_json::to_string(noted).map_err(|_| OpsError::Defect("noting what evidence says"))?;
    Ok(catalog.set_note(NOTE, &text)?)
}

/// Looks at the evidence that is new. Returns what was found, and the sources that are to be stored anew.
pub(super) fn look(
    place: &Workplace,
    runtime: &Handle,
    vault: &Vault,
    catalog: &mut Catalog,
) -> Result<(Vec<Finding>, BTreeSet<Name>)> {
    let mut noted = noted(catalog)?;
    let seen = std::mem::take(&mut noted.keys);
    let Some(newer) = runtime.block_on(evidence::newer(vault, noted.until, &seen))? else {
        let what = "these credentials may not read evidence/, so packs that drills or verifications found damaged are still used; `backup --full` stores everything again";
        return Ok((vec![Finding::new(Severity::Info, "evidence.unread", what)], noted.anew));
    };
    (noted.until, noted.keys) = (newer.until, newer.keys);
    let mut findings = Vec::new();
    for signed in newer.signed.iter().filter(|signed| !signed.suspect) {
        let found = damage(&signed.evidence, &place.writer.name);
        let mut forgotten = 0_u64;
        for key in &found.packs {
            let Some(ObjectName::Pack(writer, id)) = layout::parse(key) else { continue };
            if writer == place.writer.name
                && let Some(row) = catalog.find_pack(&id)?
            {
                catalog.forget_pack(row.no)?;
                forgotten += 1;
            }
        }
        let by = &signed.evidence.member;
        if forgotten > 0 {
            let what = format!("{by} found {forgotten} packs damaged or missing: their contents are stored again");
            findings.push(Finding::new(Severity::Info, "source.anew", what).on(&signed.key));
        }
        let mut sources = found.sources;
        for run in catalog.runs(None, usize::MAX)? {
            if found.snapshots.contains(&run.snapshot) {
                sources.insert(run.source);
            }
        }
        for source in sources {
            let what = format!("{by} found its snapshot damaged: all of it is stored again");
            findings.push(Finding::new(Severity::Info, "source.anew", what).on(&source));
            noted.anew.insert(source);
        }
    }
    keep(catalog, &noted)?;
    Ok((findings, noted.anew))
}

/// Notes that a source was stored anew.
pub(super) fn done(catalog: &mut Catalog, source: &Name) -> Result<()> {
    let mut noted = noted(catalog)?;
    if noted.anew.remove(source) { keep(catalog, &noted) } else { Ok(()) }
}

/// What a piece of evidence says is damaged.
#[derive(Debug, Default, PartialEq, Eq)]
struct Damage {
    /// Keys of packs.
    packs: Vec<String>,
    snapshots: Vec<SnapshotId>,
    sources: BTreeSet<Name>,
}

fn damage(evidence: &Evidence, writer: &Name) -> Damage {
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let result = &evidence.result;
    let mut damage = Damage::default();
    match evidence.kind {
        EvidenceKind::LockProof | EvidenceKind::Readiness | EvidenceKind::Airgap => {}
        EvidenceKind::Drill => {
            let own = text(result, "writer").as_deref() == Some(writer.as_str());
            let damaged = result.get("damaged").and_then(Value::as_bool).unwrap_or_default();
            let source = text(result, "source").and_then(|source| source.parse().ok());
            damage.sources.extend(source.filter(|_| own && damaged));
        }
        EvidenceKind::Verification => {
            let findings = result.get("findings").and_then(Value::as_array).into_iter().flatten();
            for finding in findings.filter(|finding| text(finding, "severity").as_deref() == Some("error")) {
                let object = text(finding, "object").unwrap_or_default();
                if object.starts_with(layout::PACKS) {
                    damage.packs.push(object);
                } else if matches!(text(finding, "code").as_deref(), Some("stream.damaged" | "body.damaged")) {
                    let snapshot = text(finding, "snapshot").and_then(|id| id.parse::<SnapshotId>().ok());
                    damage.snapshots.extend(snapshot);
                }
            }
        }
    }
    damage
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::VaultId;

    #[test]
    fn only_damage_of_the_writers_own_counts() {
        let evidence = |kind, result| Evidence {
            vault: VaultId::from_bytes([1; 32]),
            member: "ci".parse().unwrap(),
            kind,
            at: Time::from_unix(0),
            snapshots: Vec::new(),
            result,
        };
        let me = "w".parse().unwrap();
        let drill = |writer: &str, damaged: bool| {
            let result = json!({"source": "code", "writer": writer, "passed": false, "damaged": damaged});
            damage(&evidence(EvidenceKind::Drill, result), &me)
        };
        assert_eq!(drill("w", true).sources, BTreeSet::from(["code".parse().unwrap()]));
        assert_eq!(drill("w", false), Damage::default());
        assert_eq!(drill("x", true), Damage::default());
        let id = SnapshotId::from_bytes([7; 32]);
        let finding = |severity: &str, code: &str, object: &str| json!({"severity": severity, "code": code, "object": object, "snapshot": id.to_string()});
        let found = damage(
            &evidence(
                EvidenceKind::Verification,
                json!({"findings": [
                    finding("error", "pack.missing", "packs/w/aa/a"), finding("warning", "object.hidden", "packs/w/bb/b"),
                    finding("error", "stream.damaged", "files"), finding("error", "evidence.missing", "evidence/x"),
                ]}),
            ),
            &me,
        );
        assert_eq!((found.packs, found.snapshots), (vec!["packs/w/aa/a".to_owned()], vec![id]));
    }
}
