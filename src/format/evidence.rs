//! `evidence/<member>/<time>-<hash>.json`: signed results of lock proofs, verifications and drills.
//!
//! An in-toto Statement v1 (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>) in a DSSE envelope,
//! so that what reads attestations reads these too.

use serde::{Deserialize, Serialize};

use super::{FORMAT, certificate::Role, dsse::Document};
use crate::model::{Name, SnapshotId, Time, VaultId};

/// The type of an in-toto statement.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What the subject that is the vault itself is called.
const VAULT: &str = "vault";
/// What the other subjects are called.
const SNAPSHOT: &str = "snapshot";
/// What the predicate types of this format begin with; the kind follows.
const PREDICATE: &str = "urn:strongroom:evidence:v1:";

/// What a piece of evidence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceKind {
    /// The store was shown to enforce its locks.
    LockProof,
    /// A verification.
    Verification,
    /// A restore drill.
    Drill,
    /// An answer to whether sources could be restored. It is handed to whoever asks and not stored.
    Readiness,
    /// The ways to the vault were cut.
    Airgap,
}

impl EvidenceKind {
    /// The kind as JSON spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LockProof => "lock-proof",
            Self::Verification => "verification",
            Self::Drill => "drill",
            Self::Readiness => "readiness",
            Self::Airgap => "airgap",
        }
    }

    /// Whether a member of this role may sign evidence of this kind. A writer may not: whoever took the writer over
    /// would vouch for what it did. The root may sign all.
    #[must_use]
    pub const fn may_sign(self, role: Role) -> bool {
        matches!(
            (self, role),
            (Self::Drill, Role::Driller)
                | (Self::Verification | Self::Readiness, Role::Driller | Role::Auditor)
                | (Self::LockProof, Role::Pruner)
                | (Self::Airgap, Role::Keeper | Role::Driller | Role::Auditor | Role::Pruner)
        )
    }
}

/// A signed result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Statement", try_from = "Statement")]
pub struct Evidence {
    /// The vault that it is about.
    pub vault: VaultId,
    /// Who signed it: a member, or `owner` for the root.
    pub member: Name,
    /// What it is about.
    pub kind: EvidenceKind,
    /// When, by the store's clock.
    pub at: Time,
    /// The snapshots that it is about; none if it is about the vault as a whole.
    pub snapshots: Vec<SnapshotId>,
    /// The result itself.
    pub result: serde_json::Value,
}

impl Document for Evidence {
    const WHAT: &'static str = "evidence";
    const TYPE: &'static str = "application/vnd.in-toto+json";
    const LIMIT: usize = 4 << 20;

    fn vault(&self) -> VaultId {
        self.vault
    }
}

/// Evidence as it is stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind_of: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
    /// The format version, which an in-toto reader skips.
    format: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Subject {
    name: String,
    digest: Digest,
}

#[derive(Clone, Serialize, Deserialize)]
struct Digest {
    blake3: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Predicate {
    vault: VaultId,
    member: Name,
    kind: EvidenceKind,
    at: Time,
    result: serde_json::Value,
}

impl From<Evidence> for Statement {
    fn from(evidence: Evidence) -> Self {
        let Evidence { vault, member, kind, at, snapshots, result } = evidence;
        let subject = |name: &str, blake3: String| Subject { name: name.to_owned(), digest: Digest { blake3 } };
        let about = snapshots.iter().map(|id| subject(SNAPSHOT, id.to_string()));
        Self {
            kind_of: STATEMENT.to_owned(),
            subject: std::iter::once(subject(VAULT, vault.to_string())).chain(about).collect(),
            predicate_type: format!("{PREDICATE}{}", kind.as_str()),
            predicate: Predicate { vault, member, kind, at, result },
            format: FORMAT.to_owned(),
        }
    }
}

impl TryFrom<Statement> for Evidence {
    type Error = String;

    fn try_from(statement: Statement) -> Result<Self, String> {
        let Predicate { vault, member, kind, at, result } = statement.predicate;
        if statement.kind_of != STATEMENT {
            return Err(format!("it is no {STATEMENT}"));
        }
        if statement.predicate_type != format!("{PREDICATE}{}", kind.as_str()) {
            return Err("its predicate type is not that of its kind".to_owned());
        }
        let mut subjects = statement.subject.into_iter();
        let first = subjects.next().ok_or("it has no subject")?;
        if first.name != VAULT || first.digest.blake3 != vault.to_string() {
            return Err("its first subject is not its vault".to_owned());
        }
        let snapshot = |subject: Subject| match subject.digest.blake3.parse() {
            Ok(id) if subject.name == SNAPSHOT => Ok(id),
            _ => Err("a subject is not a snapshot"),
        };
        let snapshots = subjects.map(snapshot).collect::<Result<_, _>>()?;
        Ok(Self { vault, member, kind, at, snapshots, result })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drill() -> Evidence {
        Evidence {
            vault: VaultId::from_bytes([1; 32]),
            member: "ci".parse().unwrap(),
            kind: EvidenceKind::Drill,
            at: Time::from_unix(1_800_000_000),
            snapshots: vec![SnapshotId::from_bytes([2; 32])],
            result: serde_json::json!({ "passed": true }),
        }
    }

    #[test]
    fn it_is_an_in_toto_statement_and_comes_back() {
        let value = serde_json::to_value(drill()).unwrap();
        assert_eq!(value["_type"], STATEMENT);
        assert_eq!(value["predicateType"], "urn:strongroom:evidence:v1:drill");
        assert_eq!(value["subject"][0]["digest"]["blake3"], "01".repeat(32));
        assert_eq!(value["subject"][1], serde_json::json!({"name": "snapshot", "digest": {"blake3": "02".repeat(32)}}));
        assert_eq!(value["predicate"]["result"]["passed"], true);
        assert_eq!(serde_json::from_value::<Evidence>(value).unwrap(), drill());
    }

    #[test]
    fn what_contradicts_itself_is_no_evidence() {
        for (at, other) in [
            ("/_type", serde_json::json!("x")),
            ("/predicateType", serde_json::json!("urn:strongroom:evidence:v1:verification")),
            ("/subject", serde_json::json!([])),
            ("/subject/0/digest/blake3", serde_json::json!("02".repeat(32))),
            ("/subject/1/digest/blake3", serde_json::json!("none")),
            ("/subject/1/name", serde_json::json!("report")),
        ] {
            let mut value = serde_json::to_value(drill()).unwrap();
            *value.pointer_mut(at).unwrap() = other;
            assert!(serde_json::from_value::<Evidence>(value).is_err(), "{at}");
        }
    }

    #[test]
    fn nobody_vouches_for_himself() {
        use EvidenceKind as K;
        for kind in [K::LockProof, K::Verification, K::Drill, K::Readiness, K::Airgap] {
            assert!(!kind.may_sign(Role::Writer));
        }
        assert!(EvidenceKind::Drill.may_sign(Role::Driller) && !EvidenceKind::Drill.may_sign(Role::Auditor));
        assert!(EvidenceKind::Verification.may_sign(Role::Auditor));
        assert!(EvidenceKind::Readiness.may_sign(Role::Auditor) && !EvidenceKind::Readiness.may_sign(Role::Pruner));
        assert!(EvidenceKind::LockProof.may_sign(Role::Pruner) && !EvidenceKind::LockProof.may_sign(Role::Driller));
    }
}
