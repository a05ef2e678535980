//! Disks that fill up, and files that may not grow: a plain word, no half file, and the next run goes on.

use std::{fs, process::Command};

use crate::{
    lab::{Lab, must_be, noise, tree},
    mount::{Mount, with_small_files},
};

/// The id of a snapshot of `bytes`.
fn backed_up(lab: &Lab, bytes: &[u8]) -> String {
    lab.backup("x", bytes)["id"].as_str().unwrap().to_owned()
}

fn files(tree: Vec<String>) -> Vec<String> {
    tree.into_iter().filter(|name| !name.ends_with('/')).collect()
}

#[test]
fn a_restore_to_a_disk_that_is_too_small() {
    let lab = Lab::new();
    let id = backed_up(&lab, &noise(1, 12 << 20));
    let small = backed_up(&lab, &noise(2, 2 << 20));
    fs::create_dir(lab.path("disk")).unwrap();
    let Some(disk) = Mount::tmpfs(&lab, &lab.path("disk"), "size=8m") else { return };
    let restore = |id: &str, to: &str| {
        let command = lab.reader(["restore", id, "--to", &lab.text("disk").replace("disk", to)]);
        lab.run(&mut disk.inside(&lab, &command))
    };
    restore(&id, "disk/deep").fails(1, &["12.0 MiB", "free", "hint: "]);
    assert_eq!(tree(&disk.seen()), [""; 0], "it was looked at before anything was made");
    restore(&small, "disk/deep").ok();
    // Standard output may be a file too.
    let command = lab.reader(["restore", &id, "--to", "-"]);
    let mut redirected = Command::new("sh");
    redirected.args(["-c", "out=$1; shift; exec \"$@\" > \"$out\"", "sh"]).arg(lab.path("disk/stream"));
    redirected.arg(command.get_program()).args(command.get_args());
    lab.run(&mut disk.inside(&lab, &redirected)).fails(1, &["standard output", "o space left"]);
}

#[test]
fn a_disk_that_fills_up_during_a_restore() {
    let lab = Lab::new();
    fs::create_dir(lab.path("data")).unwrap();
    for no in 0..600 {
        fs::write(lab.path("data").join(format!("{no:03}")), [b'x'; 10]).unwrap();
    }
    lab.run(&mut lab.writer(["backup", "--name", "x", "--path", &lab.text("data")])).ok();
    fs::create_dir(lab.path("disk")).unwrap();
    // Few bytes, and yet each file takes a whole block.
    let Some(disk) = Mount::tmpfs(&lab, &lab.path("disk"), "size=1m") else { return };
    let command = lab.reader(["restore", "latest", "--source", "x", "--to", &lab.text("disk")]);
    lab.run(&mut disk.inside(&lab, &command)).fails(1, &["o space left", &lab.text("disk/x/"), "hint: free"]);
    let mut left = files(tree(&disk.seen()));
    // What says that it can be gone on with.
    left.retain(|name| name != ".strongroom-restore-x.json");
    assert!(!left.is_empty() && left.iter().all(|name| !name.contains("partial")), "{left:?}");
    for name in left {
        assert_eq!(fs::read(disk.seen().join(&name)).unwrap(), [b'x'; 10], "{name} is not whole");
    }
}

#[test]
fn a_restored_file_that_may_not_grow() {
    let lab = Lab::new();
    let id = backed_up(&lab, &noise(3, 6 << 20));
    for to in ["out", "-"] {
        let to = if to == "-" { to.to_owned() } else { lab.text(to) };
        let mut command = with_small_files(&lab, 4096, &lab.reader(["restore", &id, "--to", &to]));
        if to == "-" {
            command.stdout(fs::File::create(lab.path("stream")).unwrap());
            command.stderr(std::process::Stdio::piped());
            let run = lab.wait(command.spawn().unwrap()).code(1);
            assert!(run.stderr.contains("ile too large"), "{}", run.stderr);
        } else {
            lab.run(&mut command).fails(1, &["ile too large", "out/x/stdin"]);
        }
    }
    let named = |name: &String| !name.split('/').any(|part| part.starts_with(".strongroom-"));
    assert_eq!(files(tree(&lab.path("out"))).into_iter().filter(named).collect::<Vec<_>>(), [""; 0]);
    // With room, it goes on.
    let result = lab.run(&mut lab.reader(["restore", &id, "--to", &lab.text("out"), "--json"])).ok().json();
    assert!(result["result"]["kept"]["bytes"].as_u64().unwrap() > 1 << 20, "{result}");
    assert_eq!(files(tree(&lab.path("out"))), ["x/stdin"]);
}

#[test]
fn a_vault_on_a_disk_that_fills_up() {
    let lab = Lab::bare();
    fs::create_dir(lab.path("vault")).unwrap();
    let Some(disk) = Mount::tmpfs(&lab, &lab.path("vault"), "size=40m") else { return };
    let run = |command: Command| lab.run(&mut disk.inside(&lab, &command));
    run(lab.program(["init", "--vault", &lab.url(), "--out", &lab.text("etc")])).ok();
    fs::rename(lab.path("etc/recovery.key"), lab.identity()).unwrap();
    let (first, second) = (noise(4, 6 << 20), noise(5, 70 << 20));
    fs::write(lab.path("first"), &first).unwrap();
    fs::write(lab.path("second"), &second).unwrap();
    let backup = |file: &str| run(lab.writer(["backup", "--name", "x", "--json", "--path", &lab.text(file)]));
    let ids = || {
        let listed = run(lab.reader(["snapshots", "--json"])).ok().json();
        let ids = listed["result"].as_array().unwrap().iter().map(|line| line["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    let bytes_of = |id: &str| run(lab.reader(["restore", id, "--to", "-"])).ok().stdout;
    backup("first").ok();
    for _ in 0..2 {
        let document = backup("second").code(1).json();
        assert!(document["error"]["message"].as_str().unwrap().contains("free some space"), "{document}");
        let unfinished: Vec<String> = files(tree(&disk.seen().join(".tmp")));
        assert!(unfinished.iter().all(|name| name == "guard"), "{unfinished:?}");
        assert_eq!(ids().len(), 1, "no half snapshot");
        must_be(&bytes_of(&ids()[0]), &first, "the earlier snapshot");
        run(lab.reader(["verify", "--depth", "read"])).ok();
    }
    disk.remount(&lab, "size=200m");
    let made = backup("second").ok().json();
    let stored = made["result"]["snapshots"][0]["bytes_stored"].as_u64().unwrap();
    assert!(stored < 60 << 20, "{stored} bytes of 70 MiB were stored again");
    for (id, bytes) in ids().iter().zip([&first, &second]) {
        must_be(&bytes_of(id), bytes, "in the end");
    }
    run(lab.reader(["verify", "--depth", "decrypt"])).ok();
}

#[test]
fn a_vault_whose_objects_may_not_grow() {
    let lab = Lab::new();
    let earlier = backed_up(&lab, b"earlier");
    fs::write(lab.path("large"), noise(6, 30 << 20)).unwrap();
    let command = lab.writer(["backup", "--name", "x", "--path", &lab.text("large")]);
    lab.run(&mut with_small_files(&lab, 8192, &command)).fails(1, &["ile too large", "no snapshot"]);
    assert_eq!(lab.unfinished(), [""; 0]);
    assert_eq!(lab.bytes_of(&earlier), b"earlier");
    assert_eq!(lab.ids().len(), 1);
    lab.run(&mut lab.reader(["verify", "--depth", "read"])).ok();
}

#[test]
fn a_state_directory_on_a_disk_that_fills_up() {
    let lab = Lab::new();
    fs::create_dir(lab.path("etc/state")).unwrap();
    let bytes = noise(7, 6 << 20);
    fs::write(lab.path("file"), &bytes).unwrap();
    for size in ["size=4k", "size=64k", "size=128k"] {
        let Some(disk) = Mount::tmpfs(&lab, &lab.path("etc/state"), size) else { return };
        let command = lab.writer(["backup", "--name", "x", "--json", "--path", &lab.text("file")]);
        let before = lab.ids().len();
        let run = lab.run(&mut disk.inside(&lab, &command));
        let document = run.json();
        if run.code == Some(0) {
            assert_eq!(lab.ids().len(), before + 1);
        } else {
            assert_eq!((run.code, &document["error"]["kind"]), (Some(1), &"disk-full".into()), "{size}: {document}");
        }
        for id in lab.ids() {
            must_be(&lab.bytes_of(&id), &bytes, size);
        }
        lab.run(&mut lab.reader(["verify", "--depth", "read"])).ok();
    }
}
