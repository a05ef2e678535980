//! Places where this user may not write or read, and file systems that take nothing.

use std::{fs, process::Command};

use crate::{
    lab::{Lab, Run, chmod, tree},
    mount::{Mount, without_privilege},
};

fn plain(lab: &Lab, command: &Command) -> Run {
    lab.run(&mut without_privilege(lab, command))
}

#[test]
fn a_target_that_takes_nothing() {
    let lab = Lab::new();
    let id = lab.backup("x", b"bytes")["id"].as_str().unwrap().to_owned();
    fs::create_dir(lab.path("out")).unwrap();
    chmod(&lab.path("out"), 0o555);
    for to in ["out", "out/deeper/still"] {
        let command = lab.reader(["restore", &id, "--to", &lab.text(to)]);
        plain(&lab, &command).fails(1, &[&lab.text("out"), "ermission denied"]);
    }
    assert_eq!(tree(&lab.path("out")), [""; 0]);
    fs::write(lab.path("file"), "mine").unwrap();
    let command = lab.reader(["restore", &id, "--to", &lab.text("file")]);
    let run = plain(&lab, &command);
    assert!(matches!(run.code, Some(1 | 2)) && run.stderr.contains(&lab.text("file")), "{}", run.said());
    assert_eq!(fs::read(lab.path("file")).unwrap(), b"mine");
    fs::create_dir(lab.path("disk")).unwrap();
    let Some(disk) = Mount::tmpfs(&lab, &lab.path("disk"), "size=8m,ro") else { return };
    let command = lab.reader(["restore", &id, "--to", &lab.text("disk")]);
    lab.run(&mut disk.inside(&lab, &command)).fails(1, &[&lab.text("disk"), "ead-only file system"]);
}

#[test]
fn a_vault_that_takes_nothing() {
    let lab = Lab::new();
    lab.backup("x", b"earlier");
    let vault = lab.path("vault");
    let directories = || tree(&vault).into_iter().filter(|name| name.ends_with('/')).chain([String::new()]);
    directories().for_each(|name| chmod(&vault.join(name), 0o555));
    let before = lab.objects();
    fs::write(lab.path("file"), "bytes").unwrap();
    let command = lab.writer(["backup", "--name", "x", "--path", &lab.text("file")]);
    plain(&lab, &command).fails(1, &["ermission denied", "no snapshot"]);
    assert_eq!(lab.objects(), before);
    // Who only reads needs no right to write.
    for args in
        [&["snapshots"][..], &["verify", "--depth", "decrypt"], &["restore", "latest", "--source", "x", "--to", "-"]]
    {
        plain(&lab, &lab.reader(args)).ok();
    }
    directories().for_each(|name| chmod(&vault.join(name), 0o755));
    plain(&lab, &command).ok();
    let place = lab.text("vault/sub");
    fs::write(lab.path("home/readme"), "x").unwrap();
    chmod(&lab.path("home"), 0o555);
    let url = format!("file://{}", lab.text("home/vault"));
    let command = lab.program(["init", "--vault", &url, "--out", &lab.text("etc2")]);
    plain(&lab, &command).fails(1, &["ermission denied"]);
    assert!(!lab.path("etc2/writer.key").exists() && !lab.path(place).exists());
}

#[test]
fn a_vault_that_shows_nothing() {
    let lab = Lab::new();
    let id = lab.backup("x", b"earlier")["id"].as_str().unwrap().to_owned();
    let restore = lab.reader(["restore", &id, "--to", &lab.text("out")]);
    let verify = lab.reader(["verify", "--depth", "read"]);
    for (hidden, mode) in
        [("vault", 0o000), ("vault", 0o300), ("vault/packs", 0o000), ("vault/snapshots/writer", 0o000)]
    {
        chmod(&lab.path(hidden), mode);
        // What need not be listed may do with the right to pass.
        let commands = if mode == 0 { &[&restore, &verify][..] } else { &[&verify] };
        for command in commands {
            // It is not known to be damaged, nor that no vault is there; and a check that could not run never passes.
            plain(&lab, command).code(1).says_anywhere(&["ermission denied"]);
        }
        chmod(&lab.path(hidden), 0o755);
    }
    plain(&lab, &restore).ok();
}

#[test]
fn a_state_directory_that_takes_nothing() {
    let lab = Lab::new();
    fs::write(lab.path("file"), "bytes").unwrap();
    fs::create_dir(lab.path("etc/state")).unwrap();
    chmod(&lab.path("etc/state"), 0o555);
    let command = lab.writer(["backup", "--name", "x", "--path", &lab.text("file")]);
    plain(&lab, &command).fails(1, &["etc/state", "ermission denied", "hint: "]);
    fs::remove_dir(lab.path("etc/state")).unwrap();
    fs::write(lab.path("etc/state"), "a file").unwrap();
    plain(&lab, &command).fails(1, &["etc/state"]);
    fs::remove_file(lab.path("etc/state")).unwrap();
    assert!(lab.ids().is_empty() && !lab.path("vault/packs").exists());
    plain(&lab, &command).ok();
}
