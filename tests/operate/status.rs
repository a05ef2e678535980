//! `status`: what a person pins, and what scripts read.

use std::fs;

use crate::lab::{codes, drill, drilled, with_shop};

#[test]
fn it_fits_a_terminal_and_says_what_is_owed() {
    let sandbox = with_shop("every = \"24h\"\n");
    let text = sandbox.writer(&["status"]).code(5).says("something is owed: shop: shop has no snapshot").out();
    assert!(text.contains("never") && text.contains("OWED"), "{text}");
    sandbox.writer(&["backup", "shop"]).ok();
    let run = sandbox.writer(&["status", "--json"]).code(5);
    assert_eq!(codes(&run.json(), "owed"), ["drill-never"]);
    drill(&sandbox, &["shop"]).ok();
    let text = sandbox.writer(&["status"]).ok().out();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    for part in ["SOURCE", "shop (writer writer, sqlite)", "due      2", "every 24 h", "RTO", "nothing is owed"] {
        assert!(text.contains(part), "no {part} in:\n{text}");
    }
    let document = sandbox.writer(&["status", "--json"]).ok().json();
    let one = &document["result"]["sources"][0];
    assert_eq!((&one["every_s"], &one["told"], &one["snapshots"]), (&86_400.into(), &true.into(), &1.into()));
    assert!(one["stored"].as_u64().unwrap() > 1000 && one["bytes"].as_u64().unwrap() > 10_000, "{one}");
    assert!(one["drill"]["rto_s"].as_f64().is_some() && one["due_at"].as_str().is_some(), "{one}");
    // Its metrics in a file that is named here.
    let (metrics, words) = (sandbox.path("here.prom"), sandbox.path("here.prom").display().to_string());
    sandbox.writer(&["status", "--metrics", &words]).ok();
    let text = fs::read_to_string(&metrics).unwrap();
    assert!(text.contains("strongroom_run_exit_code{command=\"status\"} 0"), "{text}");
    assert!(text.contains("strongroom_locked_until_timestamp_seconds{"), "{text}");
    assert!(sandbox.path("here.json").is_file());
    sandbox.reader(&["status", "--metrics", &words, "-i", &sandbox.identity().display().to_string()]).ok();
    sandbox.writer(&["status", "--metrics", "here.txt"]).code(2).says(".prom");
    sandbox.writer(&["status", "--metrics", "/nonexistent/here.prom"]).code(2).says("/nonexistent");
    let run = sandbox.writer(&["status", "--drilled", "1s", "--max-age", "365d", "--json"]);
    assert!(run.code == 5 || codes(&run.json(), "owed").is_empty());
}

#[test]
fn names_of_any_length_and_hostile_ones_keep_their_line() {
    let sandbox = drilled();
    let long = format!("a-source-with-a-very-{}", "long-name-".repeat(4));
    let name = long.trim_end_matches('-');
    sandbox.backup(name, b"some dump");
    let text = sandbox.writer(&["status"]).code(5).out();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("a-source-with-a-v…") && text.contains(&format!("{name} (writer writer")), "{text}");
    let only = sandbox.writer(&["status", "--source", "shop", "--json"]).ok().json();
    assert_eq!(only["result"]["sources"].as_array().unwrap().len(), 1);
    sandbox.writer(&["status", "--source", "shoop"]).code(2);
}

#[test]
fn damage_is_told_as_damage() {
    let sandbox = drilled();
    let packs = crate::lab::ending(&sandbox.path("vault/packs"), "");
    fs::remove_file(packs.iter().find(|path| path.extension().is_none()).unwrap()).unwrap();
    let run = sandbox.writer(&["status", "--json"]).code(4);
    assert!(codes(&run.json(), "owed").contains(&"damaged".to_owned()), "{}", run.out());
}
