//! Signals: what the rules say of lives and attacks, and that the page about them says the same as the code.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/life/mod.rs"]
mod life;
#[path = "support/mariadb.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod mariadb;
#[path = "signals/mariadb.rs"]
mod on_mariadb;
#[path = "signals/real.rs"]
mod real;
#[path = "support/sandbox.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod sandbox;
#[path = "support/postgres.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod server;

use life::replay::Row;

/// Nothing that is not as it should be; `cargo bench --bench signals` is the same for more days and seeds.
fn fine(rows: &[Row]) {
    let bad: Vec<String> = rows
        .iter()
        .filter(|row| !row.fine)
        .map(|Row { name, told, words, .. }| format!("{name}: {told}: {words}"))
        .collect();
    assert!(!rows.is_empty() && bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn attacks_are_told() {
    fine(&life::replay::attacks(&[11], &[9]));
}

#[test]
fn ordinary_life_is_not_told() {
    fine(&life::replay::lives(&[11], 61, true));
}

#[test]
fn the_page_has_the_rules_of_the_code() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/signals.md")).unwrap();
    let rows: Vec<String> = strongroom::signal::rules::ALL
        .iter()
        .map(|r| format!("| `{}` | {} | {} | {} | {} |", r.name, r.looks_at, r.speaks, r.why, r.blind))
        .collect();
    let told: Vec<&str> = page.lines().filter(|line| line.starts_with("| `") && line.contains('.')).collect();
    for row in &rows {
        assert!(told.contains(&row.as_str()), "docs/signals.md lacks this row:\n{row}");
    }
    assert_eq!(told.len(), rows.len(), "docs/signals.md has rows of rules that there are not");
}
