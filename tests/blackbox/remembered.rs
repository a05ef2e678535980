//! What is remembered of copies by the units that `schedule` writes is known to whoever asks by hand, and whatever became of it
//! stops no copy.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use serde_json::Value;

use crate::{
    lab::{Lab, chmod},
    mended::{url, vault},
};

/// The copier's files, as docs/copies.md has them.
fn copier(lab: &Lab, copies: &[&str]) -> String {
    let etc = lab.path("copier");
    fs::create_dir_all(&etc).unwrap();
    let copy = |name: &&str| format!("[[copy]]\nname = \"{name}\"\nurl = \"{}\"\n", url(lab, name));
    let text = format!("[vault]\nurl = \"{}\"\n{}", lab.url(), copies.iter().map(copy).collect::<String>());
    fs::write(etc.join("copier.toml"), text).unwrap();
    lab.text("copier/copier.toml")
}

/// The command of a unit with what systemd hands over: its credentials and its state.
fn started(lab: &Lab, unit: &Path, state: &Path) -> Command {
    let text = fs::read_to_string(unit).unwrap();
    let handed = lab.path("handed");
    fs::create_dir_all(&handed).unwrap();
    let mut words = Vec::new();
    for line in text.lines() {
        if let Some((name, from)) = line.strip_prefix("LoadCredential=").and_then(|rest| rest.split_once(':')) {
            fs::copy(from, handed.join(name)).unwrap();
        }
        if let Some(line) = line.strip_prefix("ExecStart=") {
            words = line.split(' ').map(|word| word.replace("%d", handed.to_str().unwrap())).collect();
        }
    }
    assert!(text.contains("\nStateDirectory=strongroom\n"), "{text}");
    let mut command = lab.around(&words[0]);
    command.args(&words[1..]).env("CREDENTIALS_DIRECTORY", handed).env("STATE_DIRECTORY", state);
    command
}

#[test]
fn copies_that_units_make_are_known_by_hand() {
    let lab = vault(1);
    let config = copier(&lab, &["disk-a", "disk-b"]);
    let units = lab.path("units");
    let schedule = ["--config", &config, "schedule", "--role", "copier", "--systemd", units.to_str().unwrap()];
    lab.run(lab.program(schedule).args(["--program", crate::lab::PROGRAM])).ok();
    let state = lab.path("state");
    fs::create_dir(&state).unwrap();
    for name in ["disk-a", "disk-b"] {
        let unit = units.join(format!("strongroom-replicate-{name}.service"));
        lab.run(&mut started(&lab, &unit, &state)).ok();
    }
    assert!(state.join("strongroom.copies.json").is_file() && !lab.path("copier/copier.copies.json").exists());
    let by_hand = |args: &[&str]| {
        let mut command = lab.program(["--config", &config]);
        command.args(args).env("STATE_DIRECTORY", &state);
        command
    };
    let owed = |run: &Value, name: &str| {
        let copies = run["result"]["copies"].as_array().unwrap();
        copies.iter().find(|copy| copy["name"] == name).unwrap()["at"].is_null()
    };
    let seen = lab.run(&mut by_hand(&["status", "--json"])).json();
    assert!(!owed(&seen, "disk-a") && !owed(&seen, "disk-b"), "{seen}");
    // The newer of both, for each copy.
    let told = |name: &str| {
        let seen = lab.run(&mut by_hand(&["status", "--json"])).json();
        let copies = seen["result"]["copies"].as_array().unwrap().clone();
        copies.iter().find(|copy| copy["name"] == name).unwrap()["snapshots"].clone()
    };
    let beside = |name: &str, at: &str, snapshots: u64| {
        let url = url(&lab, name);
        format!("\"{name}\": {{\"url\": \"{url}\", \"at\": \"{at}\", \"snapshots\": {snapshots}, \"left_out\": 0}}")
    };
    let (old, new) = (beside("disk-a", "2020-01-01T00:00:00Z", 77), beside("disk-b", "2090-01-01T00:00:00Z", 88));
    fs::write(lab.path("copier/copier.copies.json"), format!("{{\"copies\": {{{old}, {new}}}}}")).unwrap();
    assert_eq!((told("disk-a"), told("disk-b")), (1.into(), 88.into()));
    // Of another place nothing is known, whatever it is called.
    fs::remove_file(lab.path("copier/copier.copies.json")).unwrap();
    copier(&lab, &["disk-a"]);
    let moved = fs::read_to_string(&config).unwrap().replace("/disk-a\"", "/elsewhere\"");
    fs::write(&config, moved).unwrap();
    lab.run(&mut by_hand(&["status"])).code(5).says_anywhere(&["never made"]);
}

#[test]
fn a_memory_of_units_that_may_not_be_read_is_told() {
    let lab = vault(1);
    let config = copier(&lab, &["disk-a"]);
    let state = lab.path("state");
    fs::create_dir(&state).unwrap();
    fs::write(state.join("strongroom.copies.json"), "{\"copies\": {}}").unwrap();
    let status = || {
        let mut command = lab.around("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", crate::lab::PROGRAM]);
        command.args(["--config", &config, "status"]).env("STATE_DIRECTORY", &state);
        lab.run(&mut command)
    };
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested: this user can't run anything as another");
        return;
    }
    for place in ["", "vault", "copier", "home"] {
        chmod(&lab.path(place), 0o755);
    }
    chmod(&state, 0o700);
    status().code(5).says_anywhere(&["copy.memory", "ermission denied", "the user of the units", "never made"]);
    // Where nothing is owed, nobody needs it.
    let at = "2090-01-01T00:00:00Z";
    let url = url(&lab, "disk-a");
    let text = format!(
        "{{\"copies\": {{\"disk-a\": {{\"url\": \"{url}\", \"at\": \"{at}\", \"snapshots\": 1, \"left_out\": 0}}}}}}"
    );
    fs::write(lab.path("copier/copier.copies.json"), text).unwrap();
    chmod(&lab.path("copier/copier.copies.json"), 0o644);
    assert!(!status().said().contains("copy.memory"));
}

#[test]
fn whatever_stands_where_copies_are_remembered_stops_nothing() {
    let lab = vault(1);
    let config = copier(&lab, &["disk-a"]);
    let memory = lab.path("copier/copier.copies.json");
    let run = |args: &[&str]| lab.run(lab.program(["--config", &config]).args(args));
    let clear = || {
        let _ = fs::remove_dir_all(&memory);
        let _ = fs::remove_file(&memory);
    };
    let fifo = || assert!(lab.around("mkfifo").arg(&memory).status().unwrap().success());
    let kinds: [(&str, &dyn Fn()); 4] = [
        ("a directory", &|| fs::create_dir(&memory).unwrap()),
        ("a pipe", &fifo),
        ("a link to itself", &|| symlink(&memory, &memory).unwrap()),
        ("junk", &|| fs::write(&memory, b"\xff{").unwrap()),
    ];
    for (kind, make) in kinds {
        clear();
        make();
        let said = run(&["replicate"]).ok().said();
        assert!(said.contains("copy.memory"), "{kind}: {said}");
        let status = run(&["status"]);
        assert!(matches!(status.code, Some(0 | 5)), "{kind}: {}", status.said());
        if kind != "junk" {
            assert!(status.said().contains("copy.memory") && status.said().contains("never made"), "{kind}");
            run(&["ready", "--copies", "1"]).code(5).says_anywhere(&["copy.memory"]);
        }
    }
    // A copy that fails is told as it would be.
    clear();
    fs::create_dir(&memory).unwrap();
    fs::write(lab.path("disk-a/vault.json"), b"x").unwrap();
    run(&["replicate"]).code(4).says_anywhere(&["copy.memory", "vault.descriptor"]);
}
