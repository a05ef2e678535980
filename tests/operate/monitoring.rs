//! The rules and the board speak of metrics that there are.

use std::{collections::BTreeSet, fs, process::Command};

fn text(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn named(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_lowercase() || c == '_';
    let starts = text.match_indices("strongroom_").map(|(at, _)| &text[at..]);
    starts.map(|rest| rest[..rest.find(|c| !word(c)).unwrap_or(rest.len())].to_owned()).collect()
}

#[test]
fn rules_and_board_name_metrics_that_are_written() {
    let written = named(&text("src/cli/around/prometheus.rs"));
    assert!(written.len() > 20, "{written:?}");
    let (rules, board) = (text("docs/monitoring/alerts.yml"), text("docs/monitoring/grafana.json"));
    for of in [&rules, &board] {
        let used = named(of);
        assert!(used.len() > 8);
        assert!(used.is_subset(&written), "{:?}", used.difference(&written).collect::<Vec<_>>());
    }
    assert!(!named("strongroom_no_such_metric > 1").is_subset(&written));
    let parsed: serde_json::Value = serde_json::from_str(&board).unwrap();
    assert!(parsed["panels"].as_array().unwrap().len() > 10);
    let page = text("docs/monitoring/README.md");
    for metric in &written {
        let short = metric.strip_prefix("strongroom").unwrap();

        let told = page.contains(metric.as_str())
            || ["_run", "_snapshot", "_drill", "_journal"]
                .iter()
                .any(|group| short.strip_prefix(group).is_some_and(|rest| page.contains(&format!("`…{rest}`"))));
        assert!(told, "docs/monitoring/README.md does not tell of {metric}");
    }
}

#[test]
fn prometheus_takes_the_rules() {
    let rules = format!("{}/docs/monitoring/alerts.yml", env!("CARGO_MANIFEST_DIR"));
    let run = Command::new("promtool").args(["check", "rules", &rules]).output();
    let run = run.expect("promtool, which Debian has in the package prometheus");
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("rules found"), "{said}");
}
