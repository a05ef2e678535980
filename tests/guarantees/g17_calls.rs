//! G17, elsewhere: whatever single call of a copy fails, no header is there without its closure, and the next run goes on.

use std::sync::Arc;

use strongroom::{
    model::{Cancel, Progress, Severity, Silent, Span},
    ops::verify::{VerifyRequest, verify},
    store::{ObjectStore, counted::Counted, memory::MemoryStore},
    vault::{Vault, audit::Depth},
};

use crate::{
    faults::{Fault, FaultyStore, When},
    g17_elsewhere::{ByDefault, bucket, explicit, must_be_closed, run, three, wanted},
    vault_support::{Made, policy},
};

/// A copy whose `n`-th call of one side fails; returns whether there was such a call, and bytes put in all passes.
async fn fails_at(
    (made, inner): (&Made, Arc<dyn ObjectStore>),
    n: u64,
    fault: Fault,
    source_fails: bool,
) -> (bool, u64) {
    let counted: Arc<Counted> = Arc::new(Counted::new(Arc::clone(&inner)));
    let what = format!("call {n}, {fault:?}, source {source_fails}");
    let (source, target): (Arc<dyn ObjectStore>, Arc<dyn ObjectStore>);
    let faulty;
    if source_fails {
        faulty = FaultyStore::new(Arc::clone(&made.store), When::At(n), fault);
        (source, target) = (faulty.clone(), counted.clone());
    } else {
        faulty = FaultyStore::new(counted.clone(), When::At(n), fault);
        (source, target) = (Arc::clone(&made.store), faulty.clone());
    }
    let first = run(&made.through(source), target, &wanted("the first")).await;
    let reached = faulty.calls() >= n;
    let headers = must_be_closed(made, &*inner, &what).await;
    if let Ok((report, _)) = &first {
        assert_eq!(headers as u64, report.there + report.copied.len() as u64, "{what}");
    }
    let after: Arc<dyn ObjectStore> = counted.clone();
    let (report, findings) = run(made, after, &wanted("the first")).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(findings.iter().all(|f| f.severity < Severity::Weak), "{what}: {findings:?}");
    assert_eq!(report.there + report.copied.len() as u64, 3, "{what}");
    assert_eq!(must_be_closed(made, &*inner, &what).await, 3, "{what}");
    (reached, counted.calls().put)
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_whatever_call_fails_no_header_is_there_without_its_closure_and_the_next_run_goes_on() {
    let (made, clock, _state) = three(explicit()).await;
    for source_fails in [true, false] {
        for fault in [Fault::Error, Fault::AppliedButUnanswered, Fault::Denied] {
            let (mut n, mut most) = (1, 0);
            loop {
                let (reached, puts) = Box::pin(fails_at((&made, bucket(&clock)), n, fault, source_fails)).await;
                most = puts.max(most);
                if !reached {
                    println!(
                        "{fault:?}, source {source_fails}: {} calls; {most} puts at most, {puts} without a fault",
                        n - 1
                    );
                    // A put that was not answered is sent again, and so is what was under way beside it.
                    assert!(most <= puts + 2 * 4, "{most} puts, {puts} are needed");
                    break;
                }
                n += 1;
            }
            assert!(n > 20, "a copy makes more than 20 calls; only {n} were failed");
        }
    }
}

/// Where the bucket locks by itself, the descriptor is put before it is known what is copied.
#[tokio::test(flavor = "multi_thread")]
async fn g17_whatever_call_fails_where_the_bucket_locks_the_next_run_goes_on() {
    let (made, clock, _state) = three(policy()).await;
    for fault in [Fault::Error, Fault::AppliedButUnanswered] {
        let mut n = 1;
        loop {
            let locks = MemoryStore::new(clock.clone()).with_default_lock(policy().mode, Span::days(65));
            let inner: Arc<dyn ObjectStore> = Arc::new(ByDefault(locks));
            let (reached, puts) = Box::pin(fails_at((&made, inner), n, fault, false)).await;
            if !reached {
                println!("{fault:?}: {} calls, {puts} puts", n - 1);
                break;
            }
            n += 1;
        }
        assert!(n > 20, "a copy makes more than 20 calls; only {n} were failed");
    }
}

/// Codes of what `verify` finds in a copy.
async fn found(made: &Made, copy: Arc<dyn ObjectStore>) -> Vec<String> {
    let vault = Vault::open(copy, Some(made.id)).await.unwrap();
    let request = VerifyRequest { depth: Some(Depth::Locks), ..VerifyRequest::default() };
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let (_, findings) = verify(&vault, request, &progress, &Cancel::default()).await.unwrap();
    findings.into_iter().map(|finding| finding.code).collect()
}

/// Wherever a whole pass stops, what was a part stays one, and is no damage: later passes for a part would never end that.
#[tokio::test(flavor = "multi_thread")]
async fn g17_a_part_is_one_until_a_pass_for_the_whole_is_over() {
    let (made, clock, _state) = three(explicit()).await;
    let (mut n, mut stopped) = (1, 0);
    loop {
        let copy = bucket(&clock);
        let mut newest = wanted("the first");
        newest.copy.newest = Some(1);
        run(&made, Arc::clone(&copy), &newest).await.unwrap();
        let faulty = FaultyStore::new(Arc::clone(&copy), When::From(n), Fault::Error);
        let done = run(&made, faulty.clone(), &wanted("the first")).await.is_ok();
        if faulty.calls() < n {
            assert!(done && found(&made, Arc::clone(&copy)).await.iter().all(|code| code != "chain.part"));
            break;
        }
        let part = must_be_closed(&made, &*copy, &format!("call {n}")).await < 3;
        stopped += u32::from(part);
        for pass in [None, Some(&newest), Some(&wanted("the first"))] {
            if let Some(pass) = pass {
                run(&made, Arc::clone(&copy), pass).await.unwrap();
            }
            let codes = found(&made, Arc::clone(&copy)).await;
            assert!(codes.iter().all(|code| code != "header.missing"), "call {n}: {codes:?}");
        }
        let codes = found(&made, Arc::clone(&copy)).await;
        assert!(codes.iter().all(|code| code != "chain.part"), "call {n}: {codes:?}");
        n += 1;
    }
    assert!(stopped > 10, "{stopped}");
}
