//! G17 where a copy was allowed to be locked for less: that is told again by each pass, until one that allows it no more has locked
//! all, whatever stops that one.

use std::sync::Arc;

use strongroom::{
    model::{Finding, LockMode, Severity, Span},
    ops::replicate::ReplicateRequest,
    store::{ObjectStore, memory::MemoryStore},
    vault::copying::CopyRequest,
};

use crate::{
    faults::{Fault, FaultyStore, When},
    g17_elsewhere::{ByDefault, must_be_closed, run, three, wanted},
    vault_support::policy,
};

fn told(findings: &[Finding]) -> Option<Severity> {
    findings.iter().filter(|finding| finding.code == "copy.as-possible").map(|finding| finding.severity).max()
}

fn allowed() -> ReplicateRequest {
    let request = wanted("the first");
    ReplicateRequest { copy: CopyRequest { as_possible: true, ..request.copy.clone() }, ..request }
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_what_was_allowed_to_be_locked_for_less_is_told_until_it_is_locked() {
    let (made, clock, _state) = three(policy()).await;
    let bucket = MemoryStore::new(clock.clone()).with_default_lock(LockMode::Compliance, Span::days(2));
    // Its copier may not touch locks, and what the bucket gives is too short.
    let poor: Arc<dyn ObjectStore> = Arc::new(ByDefault(bucket.clone()));
    assert!(run(&made, Arc::clone(&poor), &wanted("the first")).await.is_err(), "it is refused");
    let (report, findings) = run(&made, Arc::clone(&poor), &allowed()).await.unwrap();
    assert_eq!((report.copied.len(), told(&findings)), (3, Some(Severity::Warning)), "{findings:?}");
    // Nothing is new.
    for (request, severity) in [(allowed(), Severity::Warning), (wanted("the first"), Severity::Weak)] {
        for _ in 0..2 {
            let (report, findings) = run(&made, Arc::clone(&poor), &request).await.unwrap();
            assert_eq!((report.copied.len(), told(&findings)), (0, Some(severity)), "{findings:?}");
        }
    }
    // One who may lock does so, whichever call fails on the way.
    let rich: Arc<dyn ObjectStore> = Arc::new(bucket.clone());
    for at in (1..120).step_by(3) {
        let faulty = FaultyStore::new(Arc::clone(&rich), When::From(at), Fault::Error);
        if run(&made, faulty, &wanted("the first")).await.is_ok() {
            break;
        }
    }
    let (_, findings) = run(&made, Arc::clone(&rich), &wanted("the first")).await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity < Severity::Weak), "{findings:?}");
    assert_eq!(must_be_closed(&made, &bucket, "after all is locked").await, 3);
    // From then on nothing is looked at again.
    let (report, findings) = run(&made, Arc::clone(&rich), &wanted("the first")).await.unwrap();
    assert_eq!(told(&findings), None, "{findings:?}");
    assert!(report.target_calls.head < 5, "{:?}", report.target_calls);
}
