//! The page that a person looks at: a vault of 60 snapshots and 12 drills.

use std::sync::Arc;

use strongroom::{
    format::evidence::EvidenceKind,
    model::{Cancel, Progress, Silent, Span},
    ops::{
        evidence::{Draft, Signer},
        report::{self, Form},
        verify::{Depth, VerifyRequest, verify},
    },
    store::{ObjectStore, memory::MemoryStore},
    vault::Vault,
};

use crate::{
    store_support::HandClock,
    vault_support::{dump, make, policy, streams},
};

#[tokio::test(flavor = "multi_thread")]
async fn sixty_snapshots_and_twelve_drills_are_one_page() {
    let clock = HandClock::new();
    let store = MemoryStore::new(clock.clone());
    let made = make(Arc::new(store.clone()), clock.clone(), policy()).await;
    let state = tempfile::tempdir().unwrap();
    let opened: Arc<dyn ObjectStore> = Arc::new(store.clone());
    let vault = Vault::open(opened, Some(made.id)).await.unwrap();
    let (mut orders, mut code) = (dump(1, 900_000), dump(2, 300_000));
    let mut drills = 0;
    for day in 0..40_u64 {
        orders.extend_from_slice(&dump(100 + day, 20_000 + usize::try_from(day).unwrap() * 1500));
        made.backup(state.path(), "orders", streams([("orders.dump", orders.clone())])).await.unwrap();
        if day % 2 == 0 {
            code.extend_from_slice(&dump(500 + day, 9_000));
            made.backup(state.path(), "code", streams([("pack", code.clone())])).await.unwrap();
        }
        if day % 3 == 2 && drills < 12 {
            drills += 1;
            let (signer, _) = Signer::find(&vault, EvidenceKind::Drill, None, Some(&made.owner)).await.unwrap();
            let at = vault.store.server_time().await.unwrap();
            let took = 190.0 + f64::from(u32::try_from(day).unwrap()) * 3.7;
            let result = serde_json::json!({
                "source": if drills % 4 == 0 { "code" } else { "orders" },
                "passed": drills != 7, "rto_s": took, "rpo_s": 3600 * 7,
            });
            let draft = Draft { kind: EvidenceKind::Drill, snapshots: Vec::new(), at, result };
            signer.unwrap().leave(&vault, draft).await.unwrap();
        }
        clock.pass(Span::days(1));
    }
    let silent: Arc<dyn Progress> = Arc::new(Silent);
    let request = VerifyRequest { depth: Some(Depth::Locks), ..VerifyRequest::default() };
    let (whole, findings) = verify(&vault, request, &silent, &Cancel::default()).await.unwrap();
    assert_eq!((whole.snapshots, whole.history.len()), (60, 12));
    let page = report::of_verification(&whole, &findings);
    let html = page.write(Form::Html);
    assert_eq!(html.matches("<g><title>").count(), 60);
    assert_eq!(html.matches("<rect ").count(), 12);
    assert!(html.contains("11 of 12") && html.contains("orders") && html.contains("not-known").eq(&false));
    assert!(page.write(Form::Markdown).len() < 1 << 20);
    assert_eq!(page.write(Form::Junit).matches("<testcase ").count(), 61);
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(dir.join("whole.html"), html).unwrap();

    // The same vault after somebody was at it.
    for (n, key) in crate::store_support::keys(&store, "packs/").await.into_iter().enumerate() {
        if n % 9 == 0 {
            store.overwrite(&key, &b"junk"[..]);
        }
    }
    store.hide(&crate::store_support::keys(&store, "indexes/").await[0]);
    for n in 0..130 {
        store.overwrite(&format!("packs/w1/junk/{n}"), vec![0; 1000]);
    }
    clock.pass(Span::days(24));
    let request = VerifyRequest {
        depth: Some(Depth::Read),
        schedule: [("orders".parse().unwrap(), Span::days(1)), ("wiki".parse().unwrap(), Span::days(1))].into(),
        ..VerifyRequest::default()
    };
    let (bad, findings) = verify(&vault, request, &silent, &Cancel::default()).await.unwrap();
    let page = report::of_verification(&bad, &findings);
    for code in ["object.overwritten", "object.hidden", "foreign", "source.stale", "source.absent", "lock.owed"] {
        assert!(page.findings.iter().any(|f| f.code == code), "{code}");
    }
    std::fs::write(dir.join("weak.html"), page.write(Form::Html)).unwrap();
    std::fs::write(dir.join("weak.md"), page.write(Form::Markdown)).unwrap();
}
