use std::sync::Arc;

use super::*;
use crate::{
    codec::seal::NoPrompt,
    format::{certificate::Role, member_key},
    model::{Clock, LockBy, LockMode, LockPolicy, Span},
    ops::{
        init::{InitRequest, Prepared},
        member::{NewMember, revoke},
    },
    store::{ObjectStore, memory::MemoryStore},
};

struct Still;

impl Clock for Still {
    fn now(&self) -> Time {
        Time::from_unix(1_795_384_260)
    }
}

/// A vault, its owner's identity, and its one writer's key file.
async fn made() -> (Vault, Opener, Vec<u8>) {
    let store = MemoryStore::new(Arc::new(Still));
    let request = InitRequest {
        owners: Vec::new(),
        drillers: Vec::new(),
        keep: Span::days(35),
        max_lock: Span::days(400),
        mode: LockMode::Compliance,
        by: LockBy::Explicit,
        window: LockPolicy::DEFAULT_WINDOW,
        writer: "db1".parse().unwrap(),
        sources: Vec::new(),
    };
    let prepared = Prepared::new(&store, request).await.unwrap();
    let key = prepared.writer_key.to_vec();
    let owner = prepared.recovery.as_ref().unwrap().expose().to_owned();
    let owner = Opener::from_identity_text(&owner, "test", Arc::new(NoPrompt)).unwrap();
    let (id, proof) = (prepared.vault_id(), prepared.store(&store, &store).await.unwrap());
    prepared.found(&store, proof).await.unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    (Vault::open(store, Some(id)).await.unwrap(), owner, key)
}

async fn add(vault: &Vault, owner: &Opener, name: &str, role: Role) -> Vec<u8> {
    let member = NewMember::new(vault, owner, name.parse().unwrap(), role, Vec::new()).await.unwrap();
    member.store().await.unwrap();
    member.key_file().to_vec()
}

fn draft(kind: EvidenceKind) -> Draft {
    Draft { kind, snapshots: Vec::new(), at: Still.now(), result: serde_json::json!({ "n": kind.as_str() }) }
}

async fn signer(vault: &Vault, kind: EvidenceKind, key: &[u8]) -> Option<Signer> {
    Signer::find(vault, kind, Some(member_key::open(key).unwrap()), None).await.unwrap().0
}

#[tokio::test]
async fn what_a_member_or_the_root_signed_is_listed_and_the_rest_is_not() {
    let (vault, owner, _) = made().await;
    let driller = add(&vault, &owner, "ci", Role::Driller).await;
    let by_member = signer(&vault, EvidenceKind::Drill, &driller).await.unwrap();
    let left = by_member.leave(&vault, draft(EvidenceKind::Drill)).await.unwrap();
    assert!(left.key.starts_with("evidence/ci/") && left.locked_until > Still.now() + Span::days(35));
    let (root, none) = Signer::find(&vault, EvidenceKind::Verification, None, Some(&owner)).await.unwrap();
    assert!(none.is_none());
    let left = root.unwrap().leave(&vault, draft(EvidenceKind::Verification)).await.unwrap();
    assert_eq!(left.member.as_str(), OWNER);
    // What somebody signed with a key of his own, under a member's name, and a true piece under another's name.
    let stranger = Signer { name: "ci".parse().unwrap(), key: SigningKey::generate().unwrap() };
    stranger.leave(&vault, draft(EvidenceKind::Drill)).await.unwrap();
    let (key, document) = by_member.sign(&vault, draft(EvidenceKind::Drill)).unwrap();
    let elsewhere = key.as_str().replace("evidence/ci/", "evidence/other/").parse().unwrap();
    vault.store.put_new(&elsewhere, &Payload::Public(document), None).await.unwrap();

    let (all, findings) = list(&vault, None).await.unwrap();
    let kinds: Vec<_> = all.iter().map(|signed| (signed.evidence.member.as_str(), signed.evidence.kind)).collect();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    assert!(kinds.contains(&("owner", EvidenceKind::LockProof)) && kinds.contains(&("ci", EvidenceKind::Drill)));
    assert_eq!(findings.iter().filter(|f| f.code == "evidence.foreign").count(), 2, "{findings:?}");
    let ci = "ci".parse().unwrap();
    assert_eq!(list(&vault, Some(&ci)).await.unwrap().0.len(), 1);

    revoke(&vault, &owner, &ci, Still.now()).await.unwrap();
    let (all, _) = list(&vault, Some(&ci)).await.unwrap();
    assert!(all.iter().all(|signed| signed.suspect) && all.len() == 1);
}

#[tokio::test]
async fn nobody_signs_what_its_role_may_not_say() {
    let (vault, owner, writer) = made().await;
    for kind in [EvidenceKind::Drill, EvidenceKind::Verification, EvidenceKind::LockProof] {
        assert!(signer(&vault, kind, &writer).await.is_none());
    }
    let auditor = add(&vault, &owner, "audit", Role::Auditor).await;
    assert!(signer(&vault, EvidenceKind::Drill, &auditor).await.is_none());
    assert!(signer(&vault, EvidenceKind::Verification, &auditor).await.is_some());
    // Nor is it believed if it was signed after all.
    let member = member_key::open(&auditor).unwrap();
    let signer = Signer { name: member.name, key: member.signing_key };
    signer.leave(&vault, draft(EvidenceKind::Drill)).await.unwrap();
    let (all, findings) = list(&vault, Some(&signer.name)).await.unwrap();
    assert!(all.is_empty() && findings.iter().any(|f| f.message.contains("may not sign")), "{findings:?}");
    // With neither a member nor an identity, nothing is signed, and it is said.
    let (none, finding) = Signer::find(&vault, EvidenceKind::Drill, None, None).await.unwrap();
    assert!(none.is_none() && finding.unwrap().code == "evidence.unsigned");
}
