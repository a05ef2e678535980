//! Every call to the store fails once under whatever reads journals: the answer is right, or there is none.

use std::{collections::BTreeSet, sync::Arc};

use strongroom::{
    model::{Cancel, Silent},
    ops::journal as op,
    source::postgres::journal::Ahead,
    store::{Deleter, ObjectStore},
    vault::{
        Vault,
        audit::{self, Depth, VerifyRequest},
        journal::Reader,
    },
};

use crate::{
    faults::{Fault, FaultyStore, When},
    lab::{Lab, START, line, log},
};

/// The size of the segments that are fetched.
const SEGMENT: u64 = 1 << 20;

/// The vault through a store whose call number `at` fails.
async fn through(lab: &Lab, at: u64, fault: Fault) -> (Arc<FaultyStore>, Result<Vault, String>) {
    let (store, deleter) = (Arc::new(lab.store.clone()) as Arc<dyn ObjectStore>, Arc::new(lab.store.clone()));
    let when = if at == 0 { When::Never } else { When::At(at) };
    let faulty = FaultyStore::with_deleter(store, deleter as Arc<dyn Deleter>, when, fault);
    let vault = Vault::open(Arc::clone(&faulty) as _, Some(lab.made.id)).await.map_err(|e| e.to_string());
    (faulty, vault)
}

async fn verified(lab: &Lab, vault: &Vault, depth: Depth) -> Result<String, String> {
    let request = VerifyRequest { opener: Some(lab.made.owner.clone()), ..VerifyRequest::new(depth) };
    let report =
        audit::verify(vault, &request, Arc::new(Silent), &Cancel::default()).await.map_err(|e| e.to_string())?;
    Ok(format!("{:?} {:?} {}", report.recoveries, report.findings, report.objects))
}

async fn fetched(lab: &Lab, vault: &Vault, number: u64) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let ahead = Ahead::open(dir.path().join("ahead")).unwrap();
    ahead.note_size(line(1).as_str(), SEGMENT);
    let at = START + number * SEGMENT;
    let request = op::FetchRequest {
        name: format!("{:08X}{:08X}{:08X}", 1, at >> 32, at / SEGMENT),
        path: dir.path().join("out"),
        source: Lab::source(),
        writer: None,
        system: line(1).postgres_parts().unwrap().0,
        ahead,
        read_ahead: 2,
    };
    let reader = Reader::new(vault, &lab.made.owner, &[]).await.map_err(|e| e.to_string())?;
    let told = op::fetch(vault, &reader, &request).await.map_err(|e| e.to_string())?;
    if told.found {
        let (bytes, to) = (std::fs::read(&request.path).unwrap(), told.to.unwrap().0);
        let whole = usize::try_from(to - at).unwrap();
        assert!(bytes[..whole] == log(at, to) && bytes[whole..].iter().all(|byte| *byte == 0));
        // What was read ahead is right as well.
        for entry in std::fs::read_dir(dir.path().join("ahead")).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if let Some(number) = name.get(16..24).and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
                let at = number * SEGMENT;
                assert!(std::fs::read(entry.path()).unwrap() == log(at, at + SEGMENT), "{name}");
            }
        }
    }
    Ok(format!("{} {:?}", told.found, told.to))
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_a_journal_is_right_or_says_that_it_can_not() {
    let lab = Lab::new().await;
    let writer = lab.writer();
    lab.base(0).await;
    let mut from = 0;
    for to in [700_000, SEGMENT, 2 * SEGMENT - 5, 2 * SEGMENT, 3 * SEGMENT - 1000] {
        lab.put(&writer, from, to).await;
        from = to;
    }
    let (mut calls, mut wrong) = (0, BTreeSet::new());
    for what in ["locks", "decrypt", "list", "fetch", "fetch the last", "fetch what is not there"] {
        let mut right = None;
        // What only reads can't know one fault from another.
        let fault = Fault::Error;
        for at in 0.. {
            let (faulty, vault) = through(&lab, at, fault).await;
            let answer = match (&vault, what) {
                (Err(error), _) => Err(error.clone()),
                (Ok(vault), "locks") => verified(&lab, vault, Depth::Locks).await,
                (Ok(vault), "decrypt") => verified(&lab, vault, Depth::Decrypt).await,
                (Ok(vault), "list") => {
                    let all = op::list(vault, None, None).await;
                    all.map(|all| format!("{all:?}")).map_err(|e| e.to_string())
                }
                (Ok(vault), "fetch") => fetched(&lab, vault, 0).await,
                (Ok(vault), "fetch the last") => fetched(&lab, vault, 2).await,
                (Ok(vault), _) => fetched(&lab, vault, 3).await,
            };
            calls += 1;
            match (answer, right.clone()) {
                (Ok(answer), None) => right = Some(answer),
                (Err(error), None) => panic!("{what} without a fault: {error}"),
                (Ok(answer), Some(right)) if answer != right => {
                    wrong.insert(format!("{what}, {fault:?} at {at}:\n{answer}\nand not\n{right}"));
                }
                (Err(error), _) if !error.contains("injected") => {
                    wrong.insert(format!("{what}, {fault:?} at {at}: {error}"));
                }
                _ => {}
            }
            if faulty.calls() < at {
                break;
            }
        }
    }
    assert!(wrong.is_empty() && calls > 40, "{calls} calls: {wrong:#?}");
}
