//! The drills of the past, as their evidence tells.

use serde::Serialize;
use serde_json::Value;

use crate::{
    format::evidence::EvidenceKind,
    model::{Finding, Name, Time},
    ops::{Result, evidence},
    vault::Vault,
};

/// One drill that was signed.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryLine {
    /// When, by the store's clock.
    pub at: Time,
    /// Of which source.
    pub source: String,
    /// Whose snapshot it was.
    pub writer: Option<String>,
    /// Of which snapshot.
    pub snapshot: Option<String>,
    /// What it was loaded into.
    pub engine: Option<String>,
    /// Whether every check passed.
    pub passed: bool,
    /// How long the recovery took, in seconds.
    pub rto_s: Option<f64>,
    /// How old the data was, in seconds.
    pub rpo_s: Option<f64>,
    /// How many checks there were, and how many did not pass.
    pub checks: (usize, usize),
    /// Who signed it.
    pub member: Name,
    /// Whether that member was revoked from a time before it.
    pub suspect: bool,
    /// Where it is kept.
    pub evidence: String,
}

/// The drills of `sources` and `writer` (of all where none is given), oldest first, and what was found on the way.
///
/// # Errors
/// If the evidence can't be read.
pub async fn history(
    vault: &Vault,
    sources: &[Name],
    writer: Option<&Name>,
) -> Result<(Vec<HistoryLine>, Vec<Finding>)> {
    let (signed, findings) = evidence::list(vault, None).await?;
    let drills = signed.into_iter().filter(|signed| signed.evidence.kind == EvidenceKind::Drill);
    let lines = drills.map(|signed| {
        let result = &signed.evidence.result;
        let text = |key: &str| result.get(key).and_then(Value::as_str).map(str::to_owned);
        let checks = result.get("checks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let failed = checks.iter().filter(|check| check.get("status").and_then(Value::as_str) != Some("pass")).count();
        HistoryLine {
            at: signed.evidence.at,
            source: text("source").unwrap_or_default(),
            writer: text("writer"),
            snapshot: text("snapshot"),
            engine: text("engine"),
            passed: result.get("passed").and_then(Value::as_bool) == Some(true),
            rto_s: result.get("rto_s").and_then(Value::as_f64),
            rpo_s: result.get("rpo_s").and_then(Value::as_f64),
            checks: (checks.len(), failed),
            member: signed.evidence.member.clone(),
            suspect: signed.suspect,
            evidence: signed.key.to_string(),
        }
    });
    let wanted = |line: &HistoryLine| {
        (sources.is_empty() || sources.iter().any(|name| name.as_str() == line.source))
            && writer.is_none_or(|name| line.writer.as_deref() == Some(name.as_str()))
    };
    Ok((lines.filter(wanted).collect(), findings))
}
