//! What is put comes back, whatever happened on the way and whatever lies on it.

use std::sync::Arc;

use strongroom::{
    codec::hash,
    format::layout,
    model::{Clock, Span as Duration, journal::Piece},
    ops::member,
    store::ObjectStore,
    vault::{journal::JournalWriter, snapshots},
};

use crate::{
    faults::{Fault, FaultyStore, When},
    lab::{Lab, START, line, log, span},
    store_support::sealed,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_comes_back_whatever_lies_on_it_and_a_false_one_does_not() {
    let lab = Lab::new().await;
    let writer = lab.writer();
    let base = lab.base(0).await;
    let puts =
        [lab.put(&writer, 0, 3000).await, lab.put(&writer, 3000, 3001).await, lab.put(&writer, 3001, 200_000).await];
    writer.put_history(&line(2), b"1\t0/1000BB9\tno recovery target specified\n", lab.clock.now()).await.unwrap();
    let floor = lab.clock.now() + Duration::days(35);
    assert!(puts.iter().all(|put| put.lock.unwrap().until >= floor && put.piece.line == line(1)));
    let reach = writer.covered(&line(1)).await.unwrap();
    assert_eq!(reach.stretches, [span(START, START + 200_000)]);
    assert_eq!(lab.opened().await, (reach.clone(), Vec::new()));

    // The header says where the base stands, and so does the listing of snapshots.
    let found = snapshots::list(&lab.vault().await).await.unwrap().snapshots;
    let start = found.iter().find(|s| s.id == base).unwrap().header.journal.clone().unwrap();
    assert_eq!((start.line, start.from.0), (line(1), START));

    // Overwritten, hidden, and stood beside by what was never the writer's.
    lab.store.overwrite(layout::piece(&puts[0].piece).as_str(), &b"junk"[..]);
    lab.store.hide(layout::piece(&puts[1].piece).as_str());
    let junk = sealed(b"junk");
    let false_piece = Piece { hash: hash::hash(junk.bytes()), ..puts[2].piece.clone() };
    lab.store.overwrite(layout::piece(&false_piece).as_str(), junk.bytes().clone());
    lab.store.overwrite("journals/w1/orders/stray", &b"x"[..]);
    let listed = lab.listed().await;
    assert_eq!(listed.iter().map(|(_, one)| one.versions).collect::<Vec<_>>(), [2, 1, 1, 1, 1]);
    assert!(listed[1].1.hidden && listed[0].1.stored_at <= lab.clock.now());
    let (again, wrong) = lab.opened().await;
    assert_eq!(again, reach);
    assert!(matches!(&wrong[..], [one] if one.starts_with("Untrusted")), "{wrong:?}");

    // The same bytes under a name that says otherwise.
    let bytes = lab.store.get(&layout::piece(&puts[2].piece), None, None).await.unwrap();
    let moved = Piece { span: span(START + 200_000, START + 396_999), ..puts[2].piece.clone() };
    lab.store.overwrite(layout::piece(&moved).as_str(), bytes);
    let (again, wrong) = lab.opened().await;
    assert_eq!((again, wrong.len()), (reach, 2));

    // What a revoked writer puts is none.
    lab.clock.pass(Duration::seconds(10));
    member::revoke(&lab.vault().await, &lab.made.owner, &"w1".parse().unwrap(), lab.clock.now()).await.unwrap();
    lab.put(&writer, 200_000, 200_100).await;
    let (again, wrong) = lab.opened().await;
    assert_eq!((again.newest().unwrap().0, wrong.len()), (START + 200_000, 3));
    assert!(wrong.iter().any(|why| why.contains("revoked")), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_failed_anywhere_makes_no_claims_that_disagree() {
    const STEPS: u64 = 4;
    for fault in [Fault::Error, Fault::Timeout, Fault::AppliedButUnanswered, Fault::Denied] {
        let mut at = 1;
        loop {
            let lab = Lab::new().await;
            let faulty = FaultyStore::new(Arc::clone(&lab.made.store), When::At(at), fault);
            let made = lab.made.through(faulty.clone());
            let mut writer = JournalWriter::new(made.place(), Lab::source(), None).unwrap();
            // As a receiver does: what was not acknowledged is put again, within whatever came since, also by a process
            // that knows nothing of the one before.
            let (mut done, mut end, mut acknowledged) = (START, START, Vec::new());
            for step in 0..=STEPS {
                end += 1000 + step;
                match writer.put(&line(1), span(done, end), &log(done, end), lab.clock.now()).await {
                    Ok(put) => {
                        assert!(put.lock.unwrap().until >= lab.clock.now() + Duration::days(35));
                        acknowledged.push(layout::piece(&put.piece).to_string());
                        done = end;
                    }
                    Err(_) => writer = JournalWriter::new(made.place(), Lab::source(), None).unwrap(),
                }
            }
            let keys = lab.keys().await;
            assert!(acknowledged.iter().all(|key| keys.contains(key)), "{fault:?} at {at}");
            // Each piece holds the log of its name, and together they hold it without a gap.
            let (reach, wrong) = lab.opened().await;
            assert!(wrong.is_empty(), "{fault:?} at {at}: {wrong:?}");
            let [all] = reach.stretches[..] else { panic!("{fault:?} at {at}: {:?}", reach.stretches) };
            // What was put and not acknowledged is there, too.
            assert!(all.from.0 == START && all.to.0 >= done, "{fault:?} at {at}: {all:?}");
            if faulty.calls() < at {
                break;
            }
            at += 1;
        }
        assert!(at > 10, "{at} calls");
    }
}

#[tokio::test]
async fn no_more_is_promised_than_the_vault_does() {
    let lab = Lab::new().await;
    let error = JournalWriter::new(lab.made.place(), Lab::source(), Some(Duration::days(36))).err().unwrap();
    assert!(error.to_string().contains("more than the vault's policy promises"), "{error}");
}
