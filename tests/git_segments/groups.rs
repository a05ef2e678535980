//! A group of repositories remembers what it had.

use std::{fs, path::Path};

use crate::lab::Lab;

/// The codes, severities and objects of what was told, but for what a first run tells of each repository.
fn told(run: &crate::sandbox::Run) -> Vec<String> {
    let json = run.json();
    let findings = json["findings"].as_array().unwrap();
    let text = |finding: &serde_json::Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    let line = |f: &serde_json::Value| format!("{} {} {}", text(f, "code"), text(f, "severity"), text(f, "object"));
    findings.iter().map(line).filter(|line| line.starts_with("source.")).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    assert!(std::process::Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a_repository_that_is_gone_is_told_until_somebody_says_that_it_is_known() {
    let mut lab = Lab::new();
    lab.commit(1, 500);
    let host = lab.sandbox.path("host");
    for name in ["a.git", "team/b.git", "team/c.git", "gone.git"] {
        copy(&lab.repo().join(".git"), &host.join(name));
    }
    lab.sandbox
        .configure(&format!("[[source]]\nname = \"host\"\nkind = \"git\"\nrepos = \"{}/**/*.git\"\n", host.display()));
    let backup = |more: &[&str]| lab.sandbox.writer(&[&["backup", "--json"], more].concat());
    let first = backup(&[]).ok();
    assert_eq!(told(&first), [""; 0]);
    fs::rename(host.join("gone.git"), host.join("gone.old")).unwrap();
    // The others are backed up, and it is told each time, also where all memory is lost.
    for lose in [false, false, true, false] {
        if lose {
            fs::remove_dir_all(lab.sandbox.path("etc/state")).unwrap();
        }
        let run = backup(&[]).code(3);
        assert_eq!(run.json()["result"]["snapshots"].as_array().unwrap().len(), 3);
        assert_eq!(run.json()["error"]["kind"], "vanished");
        assert_eq!(told(&run), ["source.vanished error host.gone"], "{lose}");
    }
    // Some of a group say nothing of the others.
    assert_eq!(told(&backup(&["host.a"]).ok()), [""; 0]);
    assert_eq!(told(&backup(&["--acknowledge"]).ok()), ["source.vanished info host.gone"]);
    assert_eq!(told(&backup(&[]).ok()), [""; 0]);
    // A whole directory of them; and one that comes back is a member again.
    fs::remove_dir_all(host.join("team")).unwrap();
    fs::rename(host.join("gone.old"), host.join("gone.git")).unwrap();
    let two = ["source.vanished error host.team.b", "source.vanished error host.team.c"];
    assert_eq!(told(&backup(&[]).code(3)), two);
    fs::remove_dir_all(host.join("gone.git")).unwrap();
    assert_eq!(told(&backup(&[]).code(3)), [&["source.vanished error host.gone"], &two[..]].concat());
    // One that is there and broken fails, and is not gone.
    fs::remove_dir_all(host.join("a.git/objects")).unwrap();
    copy(&lab.repo().join(".git"), &host.join("d.git"));
    let run = backup(&["--acknowledge"]).code(3);
    assert!(told(&run).contains(&"source.failed error host.a".to_owned()), "{:?}", told(&run));
    assert_eq!(told(&backup(&[]).code(3)), ["source.failed error host.a"]);
}
