//! Words that send people the right way.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
};

use crate::sandbox::Sandbox;

fn chmod(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn times_ids_and_streams_are_taken_as_people_say_them_or_refused_with_an_example() {
    let sandbox = Sandbox::with_vault();
    fs::create_dir(sandbox.path("tree")).unwrap();
    fs::write(sandbox.path("tree/Mit Leerzeichen.txt"), "text").unwrap();
    let tree = sandbox.path("tree").display().to_string();
    sandbox.writer(&["backup", "--name", "tree", "--path", &tree]).ok();
    let restore =
        |more: &[&str]| sandbox.reader(&[&["restore", "latest", "--source", "tree", "--to", "-"], more].concat());
    let read = restore(&["--at", "now"]).ok().says("--at now: read as 20");
    assert_eq!(read.stdout, b"text");
    restore(&["--at", "2 hours ago"]).code(1).says("has no snapshot of 20");
    restore(&["--at", "yesterday"]).code(1).says("read as");
    restore(&["--at", "2026-11-22 07:00 +01:00"]).code(1).says("read as 2026-11-22T06:00:00Z");
    restore(&["--at", "tomorrow"]).code(2).says("yesterday").says("2 hours ago").says("2026-11-22T07:00+01:00");
    // By the names that people gave, and not by those within.
    restore(&["--stream", "nosuch"]).code(1).says("it has Mit Leerzeichen.txt");
    sandbox.reader(&["restore", "4f1c0", "--to", "-"]).code(2).says("too short").says("at least 8");
    let listed = sandbox.reader(&["snapshots"]).ok();
    assert!(listed.out().lines().all(|line| line.len() <= 80), "{}", listed.out());
}

/// A word that is no format is a mistake of whoever set it, who would look for JSON in vain.
#[test]
fn a_format_of_log_lines_that_there_is_not_is_refused_by_name() {
    let sandbox = Sandbox::with_vault();
    for (given, code) in [("yaml", 2), ("", 0), ("json", 0), ("Text", 0)] {
        let mut command = sandbox.command();
        command.env("STRONGROOM_LOG_FORMAT", given).arg("--config").arg(sandbox.config());
        let run = sandbox.finish(command.arg("snapshots")).code(code);
        if code == 2 {
            run.says("STRONGROOM_LOG_FORMAT: \"yaml\"").says("set it to text or json");
        }
    }
}

#[test]
fn what_stands_in_the_way_is_named_with_what_to_do() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("x", b"bytes");
    // A vault that holds itself would double with each run.
    let around = sandbox.path("").display().to_string();
    let run = sandbox.writer(&["backup", "--name", "around", "--path", &around, "--json"]).ok();
    assert!(run.json()["result"].to_string().contains("is the vault itself and was left out"));
    let streams = run.json()["result"]["snapshots"][0]["streams"].to_string();
    assert!(streams.contains("strongroom.toml") && !streams.contains("vault.json"), "{streams}");
    let vault = sandbox.path("vault").display().to_string();
    sandbox.writer(&["backup", "--name", "self", "--path", &vault]).code(1).says("is the vault itself");
    // One bracket too few, and one too many.
    let config = fs::read_to_string(sandbox.config()).unwrap();
    fs::write(sandbox.config(), format!("{config}\n[source]\nname = \"a\"\n")).unwrap();
    sandbox.writer(&["backup"]).code(2).says("[[source]]");
    fs::write(sandbox.config(), config.replace("[writer]", "[[writer]]")).unwrap();
    sandbox.writer(&["backup"]).code(2).says("[writer]");
    fs::write(sandbox.config(), &config).unwrap();
    // What it says is run.
    chmod(&sandbox.config(), 0o666);
    sandbox.writer(&["snapshots"]).code(2).says("other users may write to it").says("chmod go-w");
    chmod(&sandbox.config(), 0o600);
    // A directory has no credentials.
    if rustix::process::geteuid().is_root() {
        for entry in fs::read_dir(sandbox.path("vault")).unwrap() {
            chmod(&entry.unwrap().path(), 0o700);
        }
        for dir in ["", "vault"] {
            chmod(&sandbox.path(dir), 0o755);
        }
        // The program itself may lie where nobody else may go.
        let bin = sandbox.path("strongroom");
        fs::copy(assert_cmd::cargo::cargo_bin("strongroom"), &bin).unwrap();
        let mut command = Command::new(&bin);
        command.env_clear().current_dir("/").args(["--vault", &sandbox.url(), "snapshots"]).uid(65534).gid(65534);
        let output = command.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("run it as a user who may read") && !told.contains("credentials"), "{told}");
    }
}

#[test]
fn the_kits_commands_can_be_typed_whatever_the_path_holds() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("it's $HOME");
    fs::create_dir(&dir).unwrap();
    let url = format!("file://{}", dir.join("vault").display());
    sandbox.run(&["init", "--vault", &url, "--out", sandbox.path("etc").to_str().unwrap()]).ok();
    let kit = fs::read_to_string(sandbox.path("etc/recovery-kit.txt")).unwrap();
    let line = kit.lines().find(|line| line.contains("strongroom snapshots")).unwrap().trim().to_owned();
    let bin = assert_cmd::cargo::cargo_bin("strongroom");
    let path = format!("{}:/usr/bin:/bin", bin.parent().unwrap().display());
    let typed = Command::new("sh").args(["-c", &line]).env_clear().env("PATH", path).output().unwrap();
    assert!(typed.status.success(), "{line}: {}", String::from_utf8_lossy(&typed.stderr));
}
