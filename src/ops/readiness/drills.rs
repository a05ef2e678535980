//! The last drill of a source, as its evidence tells.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    format::evidence::EvidenceKind,
    model::{Name, SnapshotId, Time},
    vault::evidence::Signed,
};

/// A drill that was signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
/// count. Times are whole seconds: of two drills in one second nobody knows which came last, so one that did not pass counts.
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
    let signed = all.iter().filter(about).max_by_key(|signed| (when(signed), !passed(&signed.evidence.result)))?;
    let result = &signed.evidence.result;
    Some(LastDrill {
        at: when(signed),
        snapshot: text(result, "snapshot").and_then(|id| id.parse().ok()),
        passed: passed(result),
        failed: ended(result, "fail"),
        not_run: ended(result, "error"),
        engine: text(result, "engine").filter(|engine| !engine.is_empty()),
        rto_s: result.get("rto_s").and_then(Value::as_f64),
        rpo_s: result.get("rpo_s").and_then(Value::as_f64),
        member: signed.evidence.member.clone(),
        evidence: signed.key.to_string(),
    })
}

fn passed(result: &Value) -> bool {
    let passed = result.get("passed").and_then(Value::as_bool) == Some(true);
    passed && ended(result, "fail") == 0 && ended(result, "error") == 0
}

/// How many checks have this status.
fn ended(result: &Value, status: &str) -> u64 {
    let checks = result.get("checks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    checks.iter().filter(|check| check.get("status").and_then(Value::as_str) == Some(status)).count() as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::format::evidence::Evidence;

    fn at(hours: i64) -> Time {
        Time::from_unix(1_800_000_000 + hours * 3600)
    }

    #[test]
    fn of_two_drills_in_one_second_the_one_that_did_not_pass_counts() {
        let name: Name = "shop".parse().unwrap();
        let one = |passed: bool, status: &str, hours: i64, key: &str| Signed {
            key: format!("evidence/ci/{key}.json").parse().unwrap(),
            evidence: Evidence {
                vault: "7".repeat(64).parse().unwrap(),
                member: "ci".parse().unwrap(),
                kind: EvidenceKind::Drill,
                at: at(hours),
                snapshots: Vec::new(),
                result: json!({"source": "shop", "writer": "shop", "passed": passed, "checks": [{"status": status}]}),
            },
            stored_at: None,
            suspect: false,
        };
        let passed = |all: &[Signed]| last(all, &name, &name).unwrap().passed;
        for (good, bad) in [("a", "b"), ("b", "a")] {
            let mut all = vec![one(true, "pass", 0, good), one(true, "error", 0, bad)];
            assert!(!passed(&all));
            all.reverse();
            assert!(!passed(&all));
            all.push(one(true, "pass", 1, "c"));
            assert!(passed(&all), "a later one counts");
        }
    }
}
