//! What a verification, a renewal and a pruning make of journals.

use std::sync::Arc;

use strongroom::{
    format::{journal::plausible, layout},
    model::{Cancel, Clock, Finding, LockMode, Severity, Silent, Span as Duration, journal::Position},
    store::{Deleter, ObjectStore},
    vault::{
        audit::{self, Depth, Recovery, VerifyReport, VerifyRequest},
        upkeep::{
            prune::{self, PruneRequest},
            renew,
        },
    },
};

use crate::{
    lab::{Lab, START, line, span},
    store_support::{key, sealed},
};

const DEPTHS: [Depth; 3] = [Depth::Locks, Depth::Read, Depth::Decrypt];

async fn verify(lab: &Lab, depth: Depth) -> VerifyReport {
    let request = VerifyRequest { opener: Some(lab.made.owner.clone()), ..VerifyRequest::new(depth) };
    audit::verify(&lab.vault().await, &request, Arc::new(Silent), &Cancel::default()).await.unwrap()
}

fn told(report: &VerifyReport) -> Vec<(Severity, &str)> {
    let mut all: Vec<_> = report.findings.iter().map(|f| (f.severity, f.code.as_str())).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn ends(one: &Recovery) -> (u64, Option<u64>, Option<(u64, u64)>) {
    let to = one.to.map(|to| to.0 - START);
    (one.from.0 - START, to, one.gap.map(|gap| (gap.from.0 - START, gap.to.0 - START)))
}

/// Removes an object as whoever owns the store can.
async fn lose(lab: &Lab, key_of: &str) {
    let key = key(key_of);
    lab.clock.pass(Duration::days(66));
    let mut all = Vec::new();
    lab.store.list_versions(key_of, &mut |entry| all.push(entry.version)).await.unwrap();
    assert!(!all.is_empty(), "{key_of}");
    for version in all {
        lab.store.delete_version(&key, Some(&version)).await.unwrap();
    }
    lab.clock.step_back(Duration::days(66));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_up_to_where_each_base_can_be_recovered() {
    let lab = Lab::new().await;
    let writer = lab.writer();
    lab.base(0).await;
    lab.put(&writer, 0, 1000).await;
    let middle = lab.put(&writer, 1000, 1500).await;
    lab.clock.pass(Duration::seconds(60));
    lab.put(&writer, 1500, 4000).await;
    lab.clock.pass(Duration::seconds(7));
    for depth in DEPTHS {
        let report = verify(&lab, depth).await;
        assert_eq!(report.findings, [], "{depth:?}");
        let [one] = &report.recoveries[..] else { panic!("{:?}", report.recoveries) };
        assert_eq!((ends(one), one.age_s), ((0, Some(4000), None), Some(7)));
        assert_eq!((one.from_text.as_str(), one.to_text.as_deref()), ("0/1000000", Some("0/1000FA0")));
    }
    // A newest piece may be so old, and no older. One of what is there already tells that nothing is new.
    let aged = |seconds: u64| VerifyRequest {
        journals: [(Lab::source(), Duration::seconds(seconds))].into(),
        ..VerifyRequest::new(Depth::Locks)
    };
    let stale = async |seconds: u64| {
        let report =
            audit::verify(&lab.vault().await, &aged(seconds), Arc::new(Silent), &Cancel::default()).await.unwrap();
        report.findings.iter().map(|f| (f.severity, f.code.as_str().to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(stale(7).await, []);
    assert_eq!(stale(6).await, [(Severity::Weak, "journal.stale".to_owned())]);
    lab.put(&writer, 3900, 4000).await;
    assert_eq!(stale(6).await, []);
    // Junk: beside it, on it, far ahead of it, and in names that no server makes.
    let pieces = layout::journal(&"w1".parse().unwrap(), &Lab::source(), &line(1));
    let hash = "ab".repeat(32);
    lab.store.overwrite(&format!("{pieces}junk"), &b"junk"[..]);
    lab.store.overwrite(&format!("{pieces}0000000000000000-7fffffffffffffff-{hash}.age"), &b"junk"[..]);
    lab.store.overwrite(layout::piece(&middle.piece).as_str(), &b"junk"[..]);
    lab.store.hide(layout::piece(&middle.piece).as_str());
    let ahead = format!("{pieces}{}-{}-{hash}.age", Position(START + 9000), Position(START + 9100));
    let report = verify(&lab, Depth::Read).await;
    let calm = [
        (Severity::Info, "foreign"),
        (Severity::Info, "journal.stray"),
        (Severity::Warning, "object.hidden"),
        (Severity::Warning, "object.overwritten"),
    ];
    assert_eq!(told(&report), calm);
    lab.store.overwrite(&ahead, sealed(b"junk").bytes().clone());
    // By its name it is a piece behind a gap; who reads it knows better.
    assert!(told(&verify(&lab, Depth::Locks).await).contains(&(Severity::Weak, "journal.gap")));
    let report = verify(&lab, Depth::Decrypt).await;
    assert!(report.findings.iter().all(|f| f.severity <= Severity::Warning), "{:?}", report.findings);
    assert_eq!(ends(&report.recoveries[0]), (0, Some(4000), None));

    // A piece is gone: nothing after it can be recovered until there is a base behind it.
    lose(&lab, layout::piece(&middle.piece).as_str()).await;
    lose(&lab, &ahead).await;
    let gap = |report: &VerifyReport| -> Finding {
        report.findings.iter().find(|f| f.code == "journal.gap").unwrap().clone()
    };
    for depth in DEPTHS {
        let report = verify(&lab, depth).await;
        assert_eq!(ends(&report.recoveries[0]), (0, Some(1000), Some((1000, 1500))), "{depth:?}");
        let gap = gap(&report);
        assert!(gap.severity == Severity::Weak && gap.message.contains("from 0/10003E8 to 0/10005DC"), "{gap:?}");
    }
    lab.base(1800).await;
    let report = verify(&lab, Depth::Locks).await;
    assert_eq!(gap(&report).severity, Severity::Warning);
    assert_eq!(report.recoveries.iter().map(ends).collect::<Vec<_>>()[1], (1800, Some(4000), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_a_journal_is_found_at_the_depth_that_can_see_it() {
    let lab = Lab::new().await;
    let writer = lab.writer();
    lab.base(0).await;
    let mut puts = Vec::new();
    for n in 0..3 {
        puts.push(lab.put(&writer, n * 1000, n * 1000 + 1000).await);
    }
    // One bit of the middle one, in its only version.
    let middle = layout::piece(&puts[1].piece);
    let mut bytes = lab.store.get(&middle, None, None).await.unwrap().to_vec();
    lose(&lab, middle.as_str()).await;
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    lab.store.overwrite(middle.as_str(), bytes);
    assert_eq!(told(&verify(&lab, Depth::Locks).await), []);
    for depth in [Depth::Read, Depth::Decrypt] {
        let report = verify(&lab, depth).await;
        assert_eq!(
            told(&report),
            [(Severity::Error, "journal.damaged"), (Severity::Error, "journal.gap")],
            "{depth:?}"
        );
        assert_eq!(ends(&report.recoveries[0]), (0, Some(1000), Some((1000, 2000))));
    }
    // Shipped again, it is whole.
    lab.put(&writer, 500, 2100).await;
    let report = verify(&lab, Depth::Decrypt).await;
    assert_eq!(told(&report), [(Severity::Warning, "journal.damaged")]);
    assert_eq!(ends(&report.recoveries[0]), (0, Some(3000), None));

    // A promotion: the new line begins within what is there of the old, and is followed once its history is there.
    let (from, to) = (START + 2500, START + 6000);
    writer.put(&line(2), span(from, to), &crate::lab::log(from, to), lab.clock.now()).await.unwrap();
    let report = verify(&lab, Depth::Decrypt).await;
    assert!(told(&report).contains(&(Severity::Weak, "journal.missing")), "{:?}", report.findings);
    writer.put_history(&line(2), b"1\t0/1000BB8\tx\n", lab.clock.now()).await.unwrap();
    let report = verify(&lab, Depth::Decrypt).await;
    assert_eq!(told(&report), [(Severity::Warning, "journal.damaged")]);
    let on: Vec<_> = report.recoveries[0].goes_on.iter().map(|on| (on.line.clone(), on.to.0)).collect();
    assert_eq!(on, [(line(2), to)]);

    // No base, no use; and a base that nothing goes on from.
    let other = Lab::new().await;
    other.put(&other.writer(), 0, 10).await;
    assert_eq!(
        told(&verify(&other, Depth::Locks).await),
        [(Severity::Warning, "journal.baseless"), (Severity::Warning, "vault.empty")]
    );
    other.base(5000).await;
    assert_eq!(told(&verify(&other, Depth::Locks).await), [(Severity::Warning, "journal.missing")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_are_locked_as_promised_and_go_when_no_base_needs_them() {
    let lab = Lab::new().await;
    let writer = lab.writer();
    let (day, step) = (Duration::days(1), Duration::days(5));
    for n in 0..12_u64 {
        lab.base(n * 1000 + 500).await;
        lab.put(&writer, n * 1000, n * 1000 + 1000).await;
        lab.clock.pass(step);
    }
    let renewed = renew::renew(&lab.vault().await, true, &Silent, &Cancel::default()).await.unwrap();
    assert!(!renewed.findings.iter().any(|f| f.severity >= Severity::Weak), "{:?}", renewed.findings);
    let request = PruneRequest { grace: day, clock_is_right: false };
    let all = lab.keys().await.len();
    assert_eq!(all, 12);
    let prune = || async {
        let deleter: &dyn Deleter = &lab.store;
        prune::prune(&lab.vault().await, Some(deleter), request, &Silent, &Cancel::default()).await.unwrap()
    };
    let done = prune().await;
    assert!(!done.deleted.contains_key("journals") && done.waiting.versions > 0, "locked: {done:?}");
    for n in 12..22_u64 {
        lab.base(n * 1000 + 500).await;
        lab.put(&writer, n * 1000, n * 1000 + 1000).await;
        lab.clock.pass(step);
    }
    let done = prune().await;
    let left = lab.keys().await;
    assert_eq!(left.len() as u64, 22 - done.deleted["journals"].versions, "{done:?}");
    // Day 110: locks of 65 days and a day of grace are over of what was put up to day 44; bases of 35 days need none of it.
    assert_eq!(done.deleted["journals"].versions, 9);
    let report = verify(&lab, Depth::Decrypt).await;
    let bad: Vec<_> = report.findings.iter().filter(|f| f.code.starts_with("journal")).collect();
    assert!(bad.is_empty() && report.recoveries.len() >= 6, "{bad:?}");
    assert!(report.recoveries.iter().all(|one| one.to.unwrap().0 == START + 22_000 && one.gap.is_none()));
    // While one base stays before it, a piece stays: without a base that is younger, the last ones are kept.
    lab.clock.pass(Duration::days(400));
    prune().await;
    let report = verify(&lab, Depth::Locks).await;
    assert!(lab.keys().await.len() >= 3, "{:?}", report.recoveries);

    // A bucket whose default is too short: told by a verification, extended by a renewal.
    let short = Lab::new().await;
    short.base(0).await;
    let put = short.put(&short.writer(), 0, 1000).await;
    let bytes = short.store.get(&layout::piece(&put.piece), None, None).await.unwrap();
    lose(&short, layout::piece(&put.piece).as_str()).await;
    let bare = short.store.clone().with_default_lock(LockMode::Compliance, Duration::days(3));
    bare.overwrite(layout::piece(&put.piece).as_str(), bytes);
    assert_eq!(told(&verify(&short, Depth::Locks).await), [(Severity::Weak, "lock.short")]);
    let renewed = renew::renew(&short.vault().await, false, &Silent, &Cancel::default()).await.unwrap();
    assert_eq!(renewed.updates, 1, "{renewed:?}");
    assert_eq!(told(&verify(&short, Depth::Locks).await), []);
}

#[test]
fn names_that_no_server_makes_are_no_pieces() {
    let pg = line(1);
    assert!(plausible(&pg, span(0, 16 << 20)) && !plausible(&pg, span(0, (16 << 20) + 1)));
    let my = strongroom::model::journal::Line::mariadb(1, "bin").unwrap();
    let file = 1_u64 << 32;
    assert!(plausible(&my, span(3 * file + 4, 3 * file + 900)) && plausible(&my, span(3 * file + 4, 4 * file)));
    assert!(!plausible(&my, span(3 * file + 4, 4 * file + 1)) && !plausible(&my, span(3 * file, 5 * file)));
    assert!(!plausible(&my, span(u64::MAX - 1, u64::MAX)) || u64::MAX >> 32 == (u64::MAX - 1) >> 32);
}
