//! What comes back is what went in: bytes, names, links, modes and times; and only what was asked for.

use std::{
    ffi::OsStr,
    fs::{self, File, FileTimes},
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use crate::lab::{Lab, chmod, dump, must_be, noise, tree};

/// Names that file systems take and programs stumble over.
const ODD: &[&str] = &[
    "plain",
    "With Capitals And Spaces",
    "-rf",
    "--to",
    ".hidden",
    "...",
    "~",
    "$HOME",
    "*",
    "a\"b'c",
    "new\nline",
    "tab\there",
    "back\\slash",
    "ünï-⛄",
    "e\u{301}",
    "\u{e9}",
    "CON",
    "trailing.",
    "trailing ",
    "a.lock",
    "vault.json",
    ".strongroom-1-1.partial",
    "\u{202e}txt.exe",
];

/// What is to come back of a path: its kind, mode, time in nanoseconds, and bytes or where it leads.
fn describe(root: &Path, path: &str) -> (String, u32, i128, Vec<u8>) {
    let at = root.join(path);
    let meta = fs::symlink_metadata(&at).unwrap();
    let mtime = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    if meta.is_symlink() {
        let to = fs::read_link(at).unwrap().into_os_string().into_encoded_bytes();
        return ("link".into(), 0, mtime, to);
    }
    if meta.is_dir() {
        let empty = fs::read_dir(&at).unwrap().next().is_none();
        // Of directories that hold something, nothing but their names is kept.
        return if empty { ("empty".into(), meta.mode() & 0o777, mtime, vec![]) } else { ("dir".into(), 0, 0, vec![]) };
    }
    ("file".into(), meta.mode() & 0o777, mtime, fs::read(at).unwrap())
}

fn dated(path: &Path, seconds_before_or_after_1970: i64, nanos: u32) {
    let whole = Duration::from_secs(seconds_before_or_after_1970.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let time = if seconds_before_or_after_1970 < 0 { epoch - whole } else { epoch + whole };
    let times = FileTimes::new().set_modified(time + Duration::from_nanos(u64::from(nanos)));
    File::options().read(true).open(path).unwrap().set_times(times).unwrap();
}

#[test]
fn a_tree_with_everything_in_it() {
    let lab = Lab::new();
    let data = lab.path("data");
    fs::create_dir_all(data.join("deep/er/still")).unwrap();
    for (no, name) in ODD.iter().enumerate() {
        fs::write(data.join(name), format!("this is {name}")).unwrap();
        fs::write(data.join("deep/er").join(name), dump(no as u64, no * 3000)).unwrap();
        symlink(name, data.join("deep").join(format!("{name} link"))).unwrap();
    }
    fs::write(data.join("nothing"), "").unwrap();
    fs::write(data.join("large"), noise(1, 3 << 20)).unwrap();
    fs::write(data.join("holes"), vec![0; 5 << 20]).unwrap();
    let long = "x".repeat(255);
    fs::write(data.join(&long), "long").unwrap();
    fs::create_dir_all(data.join(format!("{long}d").split_at(200).1).join(&long).join(&long)).unwrap();
    symlink("/etc/passwd", data.join("to the outside")).unwrap();
    symlink("../../..", data.join("deep/up")).unwrap();
    symlink("nowhere", data.join("dangling")).unwrap();
    for (no, mode) in [0o400, 0o444, 0o600, 0o640, 0o755, 0o777, 0o000].into_iter().enumerate() {
        let path = data.join(format!("mode {no}"));
        fs::write(&path, "m").unwrap();
        dated(&path, [0, 1, 1_000_000_000, 2_000_000_000, 4_000_000_000, -1, -1_000_000_000][no], 123_456_789);
        chmod(&path, mode);
    }
    fs::create_dir(data.join("mode dir")).unwrap();
    chmod(&data.join("mode dir"), 0o711);
    dated(&data.join("mode dir"), 1_234_567_890, 5);

    lab.run(&mut lab.writer(["backup", "--name", "files", "--path", &lab.text("data")])).ok();
    for out in ["one", "two"] {
        lab.run(&mut lab.reader(["restore", "latest", "--source", "files", "--to", &lab.text(out)])).ok();
        let out = lab.path(out).join("files");
        let paths = tree(&data);
        assert_eq!(tree(&out), paths);
        for path in paths {
            assert_eq!(describe(&out, &path), describe(&data, &path), "{path:?}");
        }
    }
    lab.run(&mut lab.reader(["verify", "--depth", "decrypt"])).ok();
    // The same again costs next to nothing, whatever the names.
    let run = lab.run(&mut lab.writer(["backup", "--name", "files", "--json", "--path", &lab.text("data")])).ok();
    assert_eq!(run.json()["result"]["snapshots"][0]["bytes_new"], 0);
}

#[test]
fn rights_that_a_restore_does_not_give() {
    let lab = Lab::new();
    fs::create_dir(lab.path("data")).unwrap();
    fs::write(lab.path("data/program"), "#!/bin/sh\n").unwrap();
    chmod(&lab.path("data/program"), 0o6755);
    lab.run(&mut lab.writer(["backup", "--name", "files", "--path", &lab.text("data")])).ok();
    lab.run(&mut lab.reader(["restore", "latest", "--source", "files", "--to", &lab.text("out")])).ok();
    let mode = |path: &str| fs::metadata(lab.path(path)).unwrap().mode() & 0o7777;
    assert_eq!(mode("out/files/program"), 0o755, "it must not run as somebody else");
    assert_eq!(mode("out/files") & 0o077, 0, "a backup's content is its owner's");
}

#[test]
fn the_snapshot_that_is_meant() {
    let lab = Lab::new();
    let taken: Vec<_> = [b"first", b"secnd", b"third"].map(|bytes| lab.backup("x", bytes)).into();
    lab.backup("y", b"other");
    let id = |no: usize| taken[no]["id"].as_str().unwrap();
    let restore = |args: &[&str]| lab.run(&mut lab.reader([&["restore"][..], args, &["--to", "-"]].concat()));
    for (no, bytes) in [b"first", b"secnd", b"third"].iter().enumerate() {
        assert_eq!(restore(&[id(no)]).ok().stdout, *bytes);
        assert_eq!(restore(&[&id(no)[..8]]).ok().stdout, *bytes);
    }
    let latest = restore(&["latest", "--source", "x"]).ok();
    assert_eq!(latest.stdout, b"third");
    latest.says(&[&id(2)[..12], "writer", "ago", &id(1)[..12]]);
    let quiet = restore(&["latest", "--source", "x", "-q"]).ok();
    assert_eq!((quiet.stdout.as_slice(), quiet.stderr.as_str()), (&b"third"[..], ""));
    let lines = lab.run(&mut lab.reader(["snapshots", "--json"])).ok().json();
    let at = |no: usize| lines["result"][no]["created_at"].as_str().unwrap().to_owned();
    // What was taken at that very second counts; times are whole seconds.
    let newest = (0..3).rev().find(|no| at(*no) == at(0)).unwrap();
    let bytes = [b"first", b"secnd", b"third"][newest];
    assert_eq!(restore(&["latest", "--source", "x", "--at", &at(0)]).ok().stdout, bytes);
    assert_eq!(restore(&["latest", "--source", "x", "--at", "2999-01-01T00:00:00Z"]).ok().stdout, b"third");
    restore(&["latest", "--source", "x", "--at", "2000-01-01T00:00:00Z"]).fails(1, &["2000"]);
}

#[test]
fn one_stream_of_several() {
    let lab = Lab::new();
    fs::create_dir_all(lab.path("data/Sub Dir")).unwrap();
    fs::write(lab.path("data/a.sql"), "a").unwrap();
    fs::write(lab.path("data/Sub Dir/B.sql"), "b").unwrap();
    symlink("a.sql", lab.path("data/link")).unwrap();
    lab.run(&mut lab.writer(["backup", "--name", "x", "--path", &lab.text("data")])).ok();
    let restore =
        |args: &[&str]| lab.run(&mut lab.reader([&["restore", "latest", "--source", "x"][..], args].concat()));
    restore(&["--to", "-"]).code(2).says(&["3 streams", "a.sql", "--stream"]);
    assert_eq!(restore(&["--to", "-", "--stream", "a.sql"]).ok().stdout, b"a");
    assert_eq!(restore(&["--to", "-", "--stream", "Sub Dir/B.sql"]).ok().stdout, b"b");
    restore(&["--to", "-", "--stream", "link"]).code(2).says(&["link"]);
    restore(&["--to", "-", "--stream", "b.sql"]).code(1).says(&["a.sql"]);
    restore(&["--to", &lab.text("out"), "--stream", "Sub Dir/B.sql"]).ok();
    assert_eq!(tree(&lab.path("out")), ["x/", "x/Sub Dir/", "x/Sub Dir/B.sql"]);
    // The rest can come later, and what is there is not touched.
    restore(&["--to", &lab.text("out"), "--stream", "a.sql"]).ok();
    restore(&["--to", &lab.text("out")]).fails(2, &["already exists"]);
    assert_eq!(tree(&lab.path("out")), ["x/", "x/Sub Dir/", "x/Sub Dir/B.sql", "x/a.sql"]);
}

#[test]
fn nothing_is_overwritten_or_fetched_for_nothing() {
    let lab = Lab::new();
    let bytes = noise(2, 40 << 20);
    let id = lab.backup("x", &bytes)["id"].as_str().unwrap().to_owned();
    fs::create_dir_all(lab.path("out/x")).unwrap();
    let restore = || lab.run(&mut lab.reader(["restore", &id, "--to", &lab.text("out")]));
    let place = lab.path("out/x/stdin");
    // Without most of its data the snapshot can still be opened, and that is all that is needed to refuse.
    let packs = lab.objects().into_iter().filter(|n| n.starts_with("packs/") && !n.ends_with(".lock"));
    let size = |name: &String| fs::metadata(lab.path("vault").join(name)).unwrap().len();
    let large: Vec<String> = packs.filter(|name| size(name) > 15 << 20).collect();
    assert!(!large.is_empty());
    for name in &large {
        fs::rename(lab.path("vault").join(name), lab.path("home").join(Path::new(name).file_name().unwrap())).unwrap();
    }
    fs::write(&place, "mine").unwrap();
    restore().fails(2, &[place.to_str().unwrap(), "already exists", "hint: "]);
    assert_eq!(fs::read(&place).unwrap(), b"mine");
    fs::remove_file(&place).unwrap();
    symlink("/nowhere", &place).unwrap();
    restore().fails(2, &[place.to_str().unwrap()]);
    fs::remove_file(&place).unwrap();
    fs::create_dir(&place).unwrap();
    restore().fails(2, &[place.to_str().unwrap()]);
    fs::remove_dir(&place).unwrap();
    fs::remove_dir(lab.path("out/x")).unwrap();
    fs::create_dir(lab.path("elsewhere")).unwrap();
    symlink(lab.path("elsewhere"), lab.path("out/x")).unwrap();
    let run = restore();
    assert!(run.code != Some(0) && tree(&lab.path("elsewhere")).is_empty(), "written through a link: {}", run.said());
    fs::remove_file(lab.path("out/x")).unwrap();
    restore().fails(4, &["hint: "]);
    for name in &large {
        fs::rename(lab.path("home").join(Path::new(name).file_name().unwrap()), lab.path("vault").join(name)).unwrap();
    }
    restore().ok();
    must_be(&fs::read(&place).unwrap(), &bytes, "in the end");
    restore().fails(2, &["already exists"]);
}

#[test]
fn a_clean_machine_needs_the_url_and_the_identity() {
    let lab = Lab::new();
    let bytes = dump(3, 1 << 20);
    lab.backup("x", &bytes);
    // The machine that was backed up is gone.
    fs::remove_dir_all(lab.path("etc")).unwrap();
    fs::remove_dir_all(lab.path("home")).unwrap();
    fs::create_dir(lab.path("home")).unwrap();
    let identity = fs::read(lab.identity()).unwrap();
    let ways: [(&[&str], &str, &[u8]); 3] = [
        (&["-i", &lab.text("safe/recovery.key")], "", b""),
        (&["-i", "-"], "", &identity),
        (&[], std::str::from_utf8(&identity).unwrap(), b""),
    ];
    for (args, variable, input) in ways {
        let mut restore = lab.program(["restore", "latest", "--source", "x", "--vault", &lab.url(), "--to", "-"]);
        let run = lab.feed(restore.args(args).env("STRONGROOM_IDENTITY", OsStr::new(variable)), input).ok();
        must_be(&run.stdout, &bytes, "a cold restore");
    }
    assert_eq!(tree(&lab.path("home")), [""; 0], "reading leaves nothing behind");
    // Nothing of the writer's configuration is there, so its own command says what it needs.
    lab.feed(&mut lab.program(["backup", "--name", "x", "--stdin"]), b"x").fails(2, &["--config"]);
}
