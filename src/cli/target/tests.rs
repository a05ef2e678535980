use std::{
    io::Write as _,
    os::unix::fs::{PermissionsExt, symlink},
};

use super::*;
use crate::{
    format::body::{Body, StreamRecord},
    model::{FileMeta, Hash},
    vault::reader::Sink,
};

fn plan(streams: &[(&str, FileMeta)]) -> Plan {
    let streams = streams.iter().enumerate().map(|(n, (path, meta))| StreamRecord {
        name: format!("s{n}").parse().unwrap(),
        path: Some((*path).into()),
        meta: meta.clone(),
        bytes: 3,
        blake3: Hash::from_bytes([0; 32]),
        chunks: 0,
        depth: 0,
        list: Vec::new(),
    });
    let body = Body::new(streams.collect(), serde_json::Value::Null, Vec::new());
    Plan::new("src".parse().unwrap(), SourceKind::Path, body, None).unwrap()
}

fn file(begun: Begun) -> Box<dyn Sink> {
    match begun {
        Begun::File(sink) => sink,
        Begun::There(_) | Begun::Skipped => panic!("nothing was there"),
    }
}

fn meta() -> FileMeta {
    FileMeta { mode: Some(0o4755), mtime_ns: Some(1_000_000_000_000_000_007), ..FileMeta::default() }
}

fn restore(dir: &Path, plan: &Plan) -> Result<()> {
    let mut target = Directory::new(dir.to_owned());
    target.prepare(plan)?;
    for entry in &plan.entries {
        if entry.is_file() {
            file(target.begin(entry)?).write_all(b"abc").unwrap();
        }
        target.end(entry)?;
    }
    target.finish()
}

#[test]
fn files_links_and_directories_come_back_with_what_was_known_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let link = FileMeta { link: Some("/etc/passwd".into()), ..FileMeta::default() };
    let empty = FileMeta { dir: true, mode: Some(0o750), ..FileMeta::default() };
    restore(&dir.path().join("new"), &plan(&[("a/b/f", meta()), ("l", link), ("a/d", empty)])).unwrap();
    let root = dir.path().join("new/src");
    let meta = fs::metadata(root.join("a/b/f")).unwrap();
    assert_eq!(fs::read(root.join("a/b/f")).unwrap(), b"abc");
    assert_eq!(meta.permissions().mode() & 0o7777, 0o755, "never the rights of an owner");
    let since = meta.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_nanos(), 1_000_000_000_000_000_007);
    assert_eq!(fs::read_link(root.join("l")).unwrap(), Path::new("/etc/passwd"));
    assert!(root.join("a/d").is_dir());
}

#[test]
fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(&[("a/f", meta()), ("g", meta())]);
    fs::create_dir_all(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("src/g"), "mine").unwrap();
    let error = restore(dir.path(), &plan).unwrap_err();
    assert!(matches!(&error, OpsError::TargetExists { path } if path.ends_with("src/g")), "{error}");
    assert!(!dir.path().join("src/a").exists(), "refused before anything was made");
    assert_eq!(fs::read(dir.path().join("src/g")).unwrap(), b"mine");
}

#[test]
fn no_link_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let plan = plan(&[("a/f", meta())]);
    fs::create_dir(dir.path().join("src")).unwrap();
    symlink(elsewhere.path(), dir.path().join("src/a")).unwrap();
    assert!(restore(dir.path(), &plan).is_err());
    fs::remove_dir_all(dir.path().join("src")).unwrap();
    symlink(elsewhere.path(), dir.path().join("src")).unwrap();
    assert!(restore(dir.path(), &plan).is_err());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_was_not_finished_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(&[("f", meta())]);
    let mut target = Directory::new(dir.path().to_owned());
    target.prepare(&plan).unwrap();
    file(target.begin(&plan.entries[0]).unwrap()).write_all(b"ab").unwrap();
    drop(target);
    assert_eq!(fs::read_dir(dir.path().join("src")).unwrap().count(), 0);
}

#[test]
fn a_snapshot_that_does_not_fit_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(&[("f", meta())]);
    plan.bytes = u64::MAX;
    let error = restore(&dir.path().join("new"), &plan).unwrap_err();
    assert!(matches!(error, OpsError::NoSpace { .. }), "{error}");
    assert!(!dir.path().join("new").exists());
}

#[test]
fn a_full_disk_is_told_as_such() {
    let failure = Failure::default();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut out = Noted::new(full, "/dev/full".into(), &failure);
    assert!(out.write(b"x").is_err());
    assert!(matches!(failure.take(), Some(OpsError::Io { source, .. }) if source.kind() == io::ErrorKind::StorageFull));
}
