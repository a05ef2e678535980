//! `verify`.

use std::fs;

use crate::sandbox::{Sandbox, noise};

#[test]
fn every_depth_passes_on_a_whole_vault() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("x", &noise(500_000, 8));
    sandbox.backup("y", b"small");
    for depth in ["locks", "read", "decrypt"] {
        let document = sandbox.reader(&["verify", "--depth", depth, "--json"]).ok().json();
        let result = &document["result"];
        assert_eq!((&result["depth"], &result["snapshots"]), (&depth.into(), &2.into()));
        assert!(result["objects"].as_u64().unwrap() > 0 && result["weakest_lock"].as_str().is_some());
        let read = result["bytes_read"].as_u64().unwrap();
        assert_eq!(read > 400_000, depth != "locks", "{depth}: {read}");
        assert_eq!(document["findings"], serde_json::json!([]));
    }
    // No key is needed for the first two, and none is had by the writer.
    sandbox.writer(&["verify", "--depth", "read"]).ok();
    sandbox.writer(&["verify", "--depth", "decrypt"]).code(2).says("identity");
}

#[test]
fn a_missing_pack_is_damage_at_every_depth() {
    let sandbox = Sandbox::with_vault();
    let id = sandbox.backup("x", &noise(200_000, 9));
    fs::remove_dir_all(sandbox.path("vault/packs")).unwrap();
    for depth in ["locks", "read", "decrypt"] {
        let document = sandbox.reader(&["verify", "--depth", depth, "--json"]).code(4).json();
        assert_eq!(document["error"]["kind"], "damaged");
        let findings = document["findings"].as_array().unwrap();
        assert!(findings.iter().any(|f| f["severity"] == "error"), "{findings:?}");
        for field in ["severity", "code", "object", "snapshot", "message"] {
            assert!(findings.iter().all(|f| f.get(field).is_some()), "{field}");
        }
    }
    let run = sandbox.reader(&["verify", "--snapshot", &id[..8]]).code(4);
    assert!(run.out().contains("damage: packs/writer/"), "findings are the result: {}", run.out());
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let sandbox = Sandbox::with_vault();
    for args in [
        &["verify", "--sample", "1/0", "--depth", "read"][..],
        &["verify", "--sample", "3/2", "--depth", "read"],
        &["verify", "--sample", "1/2"],
        &["verify", "--sample", "next/2", "--depth", "read"],
        &["verify", "--depth", "deep"],
        &["verify", "--snapshot", "xyz"],
    ] {
        sandbox.reader(args).code(2);
    }
}

/// A journal that is waited for, and that nobody has, is no journal that is new enough.
#[test]
fn a_journal_that_is_not_there_is_not_new_enough() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("x", b"small");
    sandbox.reader(&["verify", "--expect-journal", "nosuch=1h"]).code(2).says("nosuch");
    let document = sandbox.reader(&["verify", "--expect-journal", "x=1h", "--json"]).code(5).json();
    assert_eq!(document["findings"][0]["code"], "journal.stale", "{document:#}");
    // A span of less than an hour is told in its own unit.
    std::thread::sleep(std::time::Duration::from_millis(2100)); // nothing but time makes a snapshot old
    let document = sandbox.reader(&["verify", "--expect", "x=1s", "--json"]).code(5).json();
    let told = document["findings"][0]["message"].as_str().unwrap();
    assert!(told.contains("expected every 1s") && !told.contains("0 h"), "{told}");
}

#[test]
fn samples_go_on_from_run_to_run_until_all_was_read() {
    let sandbox = Sandbox::with_vault();
    for n in 0..6 {
        sandbox.backup("x", &noise(300_000, n));
    }
    let seen = sandbox.path("seen.json").display().to_string();
    let verify = |depth: &str, sample: &str| {
        let run = sandbox.reader(&["verify", "--depth", depth, "--sample", sample, "--checkpoint", &seen, "--json"]);
        let result = run.json()["result"].clone();
        let sample: Vec<u64> = result["sample"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        (run.code, sample, result["bytes_read"].as_u64().unwrap())
    };
    // What is read anyway, and what is read of the data.
    let least = sandbox.reader(&["verify", "--json"]).ok().json()["result"]["bytes_read"].as_u64().unwrap();
    let all =
        sandbox.reader(&["verify", "--depth", "read", "--json"]).ok().json()["result"]["bytes_read"].as_u64().unwrap();
    let mut read = 0;
    for part in [1, 2, 3] {
        let (code, sample, bytes) = verify("read", "next/3");
        assert_eq!((code, sample), (0, vec![part, 3]));
        read += bytes - least;
        // Neither another depth, nor other parts, nor a part that is named disturb the order.
        assert_eq!(verify("decrypt", "next/3").1, [part, 3]);
        assert_eq!(verify("read", "next/7").1, [part, 7]);
        assert_eq!(verify("read", "3/3").1, [3, 3]);
    }
    assert_eq!(read, all - least, "three runs read everything once");
    // One damaged pack is found within one round, wherever the round begins.
    let packs = fs::read_dir(sandbox.path("vault/packs/writer")).unwrap().map(|entry| entry.unwrap().path());
    let mut files = packs.flat_map(|dir| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()));
    let pack = files.find(|path| path.extension().is_none()).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[1000] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    let codes: Vec<i32> = (0..3).map(|_| verify("read", "next/3").0).collect();
    assert_eq!(codes.iter().filter(|code| **code == 4).count(), 1, "{codes:?}");
}
