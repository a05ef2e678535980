use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
};

use super::*;

/// Name, path, meta and bytes.
type Stream = (String, String, FileMeta, Vec<u8>);

/// Reads everything.
fn read(path: &Path) -> Result<(Vec<Stream>, Facts)> {
    let mut reading = PathSource::new(path).open()?;
    let mut all = Vec::new();
    while let Some(mut stream) = reading.next_stream()? {
        let mut bytes = Vec::new();
        stream.reader.read_to_end(&mut bytes).unwrap();
        all.push((stream.name.to_string(), stream.path.unwrap(), stream.meta, bytes));
    }
    Ok((all, reading.finish()?))
}

#[test]
fn a_single_file_keeps_its_name_mode_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Orders.dump");
    fs::write(&file, b"rows").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 5);
    File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    let (streams, facts) = read(&file).unwrap();
    let meta = FileMeta { mode: Some(0o640), mtime_ns: Some(1_700_000_000_000_000_005), ..FileMeta::default() };
    assert_eq!(streams, [("orders.dump".into(), "Orders.dump".into(), meta, b"rows".to_vec())]);
    assert!(facts.warnings.is_empty());

    // A link to a file, given by hand, is followed.
    symlink(&file, dir.path().join("latest")).unwrap();
    assert_eq!(read(&dir.path().join("latest")).unwrap().0[0].3, b"rows");
}

#[test]
fn a_tree_comes_in_the_order_of_its_paths_with_links_and_empty_directories() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("a/deep")).unwrap();
    fs::create_dir(root.join("void")).unwrap();
    for name in ["a/deep/x", "a.b", "a/z", "quo\"te\n", "ünï"] {
        fs::write(root.join(name), name).unwrap();
    }
    symlink("../somewhere", root.join("a/link")).unwrap();
    symlink("void", root.join("dirlink")).unwrap();
    let (streams, facts) = read(root).unwrap();
    let paths: Vec<_> = streams.iter().map(|s| s.1.as_str()).collect();
    assert_eq!(paths, ["a.b", "a/deep/x", "a/link", "a/z", "dirlink", "quo\"te\n", "void", "ünï"]);
    let find = |path: &str| streams.iter().find(|s| s.1 == path).unwrap();
    assert_eq!(find("a/link").2.link.as_deref(), Some("../somewhere"));
    assert_eq!(find("dirlink").2.link.as_deref(), Some("void"));
    assert!(find("void").2.dir && find("void").3.is_empty());
    assert_eq!(find("a/deep/x").3, b"a/deep/x");
    assert!(facts.warnings.is_empty());

    // Another file changes nothing about the names of these.
    fs::write(root.join("a-z"), "").unwrap();
    let after = read(root).unwrap().0;
    assert!(streams.iter().all(|s| after.iter().any(|t| (&t.0, &t.1) == (&s.0, &s.1))));
}

#[test]
fn what_is_no_file_is_skipped_with_a_warning_and_its_directory_kept() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("run")).unwrap();
    let _socket = UnixListener::bind(dir.path().join("run/s")).unwrap();
    let (streams, facts) = read(dir.path()).unwrap();
    assert_eq!(streams.len(), 1);
    assert!(streams[0].2.dir);
    assert!(facts.warnings.len() == 1 && facts.warnings[0].contains("run/s"), "{:?}", facts.warnings);
    assert!(read(&dir.path().join("run/s")).unwrap_err().to_string().contains("--stdin"));
}

#[test]
fn names_that_are_not_utf8_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(OsStr::from_bytes(b"caf\xe9")), b"").unwrap();
    let error = read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("caf\u{fffd}") && error.contains("tar"), "{error}");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["grows", "replaced", "same"] {
        fs::write(dir.path().join(name), b"12345678").unwrap();
    }
    let mut reading = PathSource::new(dir.path()).open().unwrap();
    while let Some(mut stream) = reading.next_stream().unwrap() {
        let path = dir.path().join(stream.path.unwrap());
        if path.ends_with("grows") {
            File::options().append(true).open(&path).unwrap().write_all(b"9").unwrap();
        } else if path.ends_with("replaced") {
            fs::write(dir.path().join("new"), b"new").unwrap();
            fs::rename(dir.path().join("new"), &path).unwrap();
        }
        stream.reader.read_to_end(&mut Vec::new()).unwrap();
    }
    let warnings = reading.finish().unwrap().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("grows was written to") && warnings[1].contains("replaced was replaced"));
}

#[test]
fn a_file_that_vanishes_before_it_is_read_fails_the_backup() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), b"1").unwrap();
    fs::write(dir.path().join("b"), b"2").unwrap();
    let mut reading = PathSource::new(dir.path()).open().unwrap();
    let mut first = reading.next_stream().unwrap().unwrap();
    first.reader.read_to_end(&mut Vec::new()).unwrap();
    fs::remove_file(dir.path().join("b")).unwrap();
    let error = reading.next_stream().err().unwrap().to_string();
    assert!(error.contains("vanished") && error.contains('b'), "{error}");
}

#[test]
fn a_file_swapped_for_a_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(dir.path().join("a"), b"1").unwrap();
    let mut reading = PathSource::new(dir.path()).open().unwrap();
    fs::remove_file(dir.path().join("a")).unwrap();
    symlink(outside.path(), dir.path().join("a")).unwrap();
    assert!(reading.next_stream().is_err());
}

#[test]
fn what_is_not_there_is_an_error() {
    let error = read(Path::new("/nowhere/at all")).unwrap_err().to_string();
    assert!(error.contains("/nowhere/at all"));
}
