//! The last drill of a source, as its evidence tells.

use serde::Serialize;
use serde_json::Value;

use crate::{
    format::evidence::EvidenceKind,
    model::{Name, SnapshotId, Time},
    vault::evidence::Signed,
};

/// A drill that was signed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastDrill {
    /// When, by the store's clock.
    pub at: Time,
    /// Of which snapshot.
    pub snapshot: Option<SnapshotId>,
    /// Whether every check passed.
    pub passed: bool,
    /// Checks that failed.
    pub failed: u64,
    /// Checks that could not be run.
    pub not_run: u64,
    /// What it was loaded into.
    pub engine: Option<String>,
    /// How long the recovery took, in seconds.
    pub rto_s: Option<f64>,
    /// How old the data was, in seconds.
    pub rpo_s: Option<f64>,
    /// Who signed it.
    pub member: Name,
    /// Where it is kept.
    pub evidence: String,
}

/// The last drill of `source` by `writer`, out of `all` evidence. What a member signed from whose revocation on does not
/// count.
#[must_use]
pub fn last(all: &[Signed], source: &Name, writer: &Name) -> Option<LastDrill> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let about = |signed: &&Signed| {
        let result = &signed.evidence.result;
        signed.evidence.kind == EvidenceKind::Drill
            && !signed.suspect
            && text(result, "source").as_deref() == Some(source.as_str())
            && text(result, "writer").as_deref() == Some(writer.as_str())
    };
    let when = |signed: &Signed| signed.stored_at.map_or(signed.evidence.at, |stored| stored.min(signed.evidence.at));
    let signed = all.iter().filter(about).max_by_key(|signed| when(signed))?;
    let result = &signed.evidence.result;
    let checks = result.get("checks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let of =
        |wanted: &str| checks.iter().filter(|check| text(check, "status").as_deref() == Some(wanted)).count() as u64;
    let passed = result.get("passed").and_then(Value::as_bool) == Some(true);
    Some(LastDrill {
        at: when(signed),
        snapshot: text(result, "snapshot").and_then(|id| id.parse().ok()),
        passed: passed && of("fail") == 0 && of("error") == 0,
        failed: of("fail"),
        not_run: of("error"),
        engine: text(result, "engine").filter(|engine| !engine.is_empty()),
        rto_s: result.get("rto_s").and_then(Value::as_f64),
        rpo_s: result.get("rpo_s").and_then(Value::as_f64),
        member: signed.evidence.member.clone(),
        evidence: signed.key.to_string(),
    })
}
