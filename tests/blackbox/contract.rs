//! The fields that scripts depend on, by name and form.

use serde_json::Value;

use crate::lab::{Lab, dump};

/// What a field looks like.
#[derive(Clone, Copy, Debug)]
enum Form {
    Text,
    Hex,
    Time,
    Count,
    Seconds,
    List,
}
use Form::{Count, Hex, List, Seconds, Text, Time};

fn must_have(value: &Value, fields: &[(&str, Form)]) {
    for (name, form) in fields {
        let field = &value[name];
        let good = match form {
            Text => field.as_str().is_some_and(|text| !text.is_empty()),
            Hex => field.as_str().is_some_and(|t| t.len() == 64 && hex::decode(t).is_ok() && t == t.to_lowercase()),
            Time => field.as_str().is_some_and(|text| {
                let digits = |range: std::ops::Range<usize>| text[range].bytes().all(|b| b.is_ascii_digit());
                text.len() == 20 && text.ends_with('Z') && digits(0..4) && &text[10..11] == "T" && digits(17..19)
            }),
            Count => field.as_u64().is_some(),
            Seconds => field.as_f64().is_some_and(|seconds| seconds > 0.0),
            List => field.is_array(),
        };
        assert!(good, "{name} is no {form:?} in {value}");
    }
}

#[test]
fn backup_snapshots_restore_and_verify() {
    let lab = Lab::new();
    let bytes = dump(1, 3_000_000);
    let snapshot = lab.backup("orders", &bytes);
    must_have(&snapshot, &[("id", Hex), ("source", Text), ("kind", Text), ("bytes_read", Count), ("bytes_new", Count)]);
    must_have(&snapshot, &[("bytes_stored", Count), ("chunks", Count), ("chunks_new", Count), ("chunks_delta", Count)]);
    must_have(&snapshot, &[("floor_until", Time), ("expires_at", Time), ("duration_s", Seconds), ("warnings", List)]);
    must_have(&snapshot["streams"][0], &[("name", Text), ("bytes", Count), ("blake3", Hex)]);
    assert_eq!(snapshot["streams"][0]["blake3"], blake3::hash(&bytes).to_hex().as_str());
    assert_eq!((&snapshot["bytes_read"], &snapshot["streams"][0]["bytes"]), (&3_000_000.into(), &3_000_000.into()));
    assert!(snapshot["floor_until"].as_str() <= snapshot["expires_at"].as_str());

    // `bytes_stored` is all that the run put into the vault.
    let size = |name: &String| std::fs::metadata(lab.path("vault").join(name)).unwrap().len();
    let stored = |of: &str| lab.objects().iter().filter(|n| n.starts_with(of) && !n.ends_with(".lock")).map(size).sum();
    let all: u64 = ["packs/", "indexes/", "lists/", "snapshots/"].map(stored).iter().sum();
    assert_eq!(snapshot["bytes_stored"], all);
    let again = lab.backup("orders", &bytes);
    assert_eq!(again["bytes_new"], 0);
    assert!(again["bytes_stored"].as_u64().unwrap() < 16 << 10, "the same again costs next to nothing: {again}");
    assert_eq!(stored("packs/") + stored("indexes/") + stored("lists/") + stored("snapshots/"), {
        all + again["bytes_stored"].as_u64().unwrap()
    });

    let document = lab.run(&mut lab.reader(["snapshots", "--json"])).ok().json();
    let lines = document["result"].as_array().unwrap();
    assert_eq!(lines.len(), 2);
    for (line, made, seq) in [(&lines[0], &snapshot, 1), (&lines[1], &again, 2)] {
        must_have(line, &[("id", Hex), ("source", Text), ("kind", Text), ("writer", Text), ("seq", Count)]);
        must_have(line, &[("created_at", Time), ("floor_until", Time), ("expires_at", Time), ("bytes", Count)]);
        assert_eq!((&line["id"], &line["bytes"], &line["seq"]), (&made["id"], &made["bytes_read"], &seq.into()));
    }

    let (id, to) = (snapshot["id"].as_str().unwrap(), lab.text("out"));
    let document = lab.run(&mut lab.reader(["restore", id, "--to", &to, "--json"])).ok().json();
    must_have(
        &document["result"],
        &[("id", Hex), ("source", Text), ("kind", Text), ("bytes", Count), ("streams", List)],
    );
    assert_eq!(document["result"]["streams"], snapshot["streams"]);

    for depth in ["locks", "read", "decrypt"] {
        let document = lab.run(&mut lab.reader(["verify", "--depth", depth, "--json"])).ok().json();
        let result = &document["result"];
        must_have(result, &[("depth", Text), ("snapshots", Count), ("objects", Count), ("bytes_read", Count)]);
        must_have(result, &[("weakest_lock", Time)]);
        assert_eq!((&result["depth"], &result["snapshots"]), (&depth.into(), &2.into()));
        assert!(result["weakest_lock"].as_str() >= snapshot["floor_until"].as_str());
    }
}

#[test]
fn findings_and_errors() {
    let lab = Lab::new();
    lab.backup("x", b"bytes");
    let pack = lab.objects().into_iter().find(|name| name.starts_with("packs/") && !name.ends_with(".lock")).unwrap();
    std::fs::remove_file(lab.path("vault").join(&pack)).unwrap();
    let document = lab.run(&mut lab.reader(["verify", "--json"])).code(4).json();
    let findings = document["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["object"] == pack.as_str()).unwrap();
    must_have(found, &[("severity", Text), ("code", Text), ("object", Text), ("snapshot", Hex), ("message", Text)]);
    assert_eq!(found["severity"], "error");
    must_have(&document["error"], &[("kind", Text), ("message", Text), ("hint", Text)]);
    assert_eq!(document["result"]["snapshots"], 1, "the result is there though it is bad");
    let document = lab.run(&mut lab.reader(["snapshots", "--json", "--sauce", "x"])).code(2).json();
    assert_eq!((&document["command"], &document["error"]["kind"]), (&"snapshots".into(), &"usage".into()));
}

#[test]
fn init_tells_what_it_made() {
    let lab = Lab::bare();
    let (url, out) = (lab.url(), lab.text("etc"));
    let document = lab.run(&mut lab.program(["init", "--vault", &url, "--out", &out, "--json"])).ok().json();
    let result = &document["result"];
    must_have(result, &[("vault_id", Hex), ("url", Text), ("writer", Text), ("locked_until", Time), ("files", List)]);
    let mut files: Vec<&str> = result["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    files.sort_unstable();
    let all = ["recovery-kit.txt", "recovery.key", "strongroom.toml", "writer.key"].map(|name| format!("{out}/{name}"));
    assert_eq!(files, all);
    let id = result["vault_id"].as_str().unwrap();
    for file in ["strongroom.toml", "recovery-kit.txt", "recovery.key"] {
        assert!(std::fs::read_to_string(lab.path("etc").join(file)).unwrap().contains(id), "{file} pins the vault");
    }
    // Whoever gives a recipient gets no key made.
    let key = std::fs::read_to_string(lab.path("etc/recovery.key")).unwrap();
    let recipient = key.split_whitespace().find(|word| word.starts_with("age1")).unwrap();
    let lab = Lab::bare();
    let (url, out) = (lab.url(), lab.text("etc"));
    lab.run(&mut lab.program(["init", "--vault", &url, "--out", &out, "--recipient", recipient])).ok();
    assert!(!lab.path("etc/recovery.key").exists());
}
