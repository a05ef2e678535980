//! What was restored is changed before it is looked at: the check fails and names what was changed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use strongroom::{
    engine::{self, Check, Engine, Place, Restored, RestoredStream, Status},
    model::{FileMeta, Fingerprint, Hash, SourceKind},
    source::sqlite::print,
};

use crate::{lab::tampered, plain::vault};

/// What a drill would have restored into files: name, file, and the bytes that were backed up.
fn restored(kind: SourceKind, files: &[(&str, PathBuf, &[u8])], fingerprints: Vec<Fingerprint>) -> Restored {
    let streams = files.iter().map(|(name, file, bytes)| RestoredStream {
        name: name.parse().unwrap(),
        file: file.clone(),
        bytes: bytes.len() as u64,
        blake3: Hash::from_bytes(blake3_of(bytes)),
        meta: FileMeta::default(),
    });
    Restored {
        cluster: None,
        log: None,
        source: "x".parse().unwrap(),
        kind,
        streams: streams.collect(),
        repository: None,
        details: serde_json::Value::Null,
        fingerprints,
    }
}

fn blake3_of(bytes: &[u8]) -> [u8; 32] {
    let hash = strongroom::codec::hash::hash(bytes).to_string();
    let byte = |at: usize| u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).unwrap();
    std::array::from_fn(byte)
}

/// Loads it, lets somebody change it, and gives the checks that did not pass.
fn checked(restored: &Restored, dir: &Path, change: impl FnOnce()) -> Vec<(String, Status)> {
    let place = Place {
        dir: dir.join("engine"),
        warden: engine::jail::Warden::find(std::path::Path::new(env!("CARGO_BIN_EXE_strongroom"))).unwrap(),
        ..Place::default()
    };
    let mut engine: Box<dyn Engine> = engine::for_kind(restored.kind, &place).unwrap();
    engine.load(restored).unwrap();
    change();
    let checks: Vec<Check> = engine.check(restored);
    assert!(!checks.is_empty());
    checks.into_iter().filter(|check| !check.passed()).map(|check| (check.name, check.status)).collect()
}

#[test]
fn a_row_of_sqlite_and_a_byte_of_a_stream_are_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.db");
    let database = Connection::open(&file).unwrap();
    database.execute_batch("CREATE TABLE t(a); CREATE TABLE u(b); INSERT INTO t VALUES (1), (2)").unwrap();
    drop(database);
    let taken = print::fingerprint(&print::open(&file).unwrap()).unwrap();
    let print = Fingerprint { database: "app.db".to_owned(), streams: vec!["app.db".parse().unwrap()], ..taken };
    let bytes = fs::read(&file).unwrap();
    let app = restored(SourceKind::Sqlite, &[("app.db", file.clone(), &bytes)], vec![print]);
    assert_eq!(checked(&app, dir.path(), || {}), []);
    let change = || Connection::open(&file).unwrap().execute_batch("UPDATE t SET a = 3 WHERE a = 2").unwrap();
    assert_eq!(checked(&app, dir.path(), change), [("fingerprint app.db: t".to_owned(), Status::Fail)]);

    let paths = ["a.sql", "b.sql"].map(|name| dir.path().join(name));
    let contents: [&[u8]; 2] = [b"a dump", b"another dump"];
    paths.iter().zip(contents).for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    let files = [("a.sql", paths[0].clone(), contents[0]), ("b.sql", paths[1].clone(), contents[1])];
    let streams = restored(SourceKind::Path, &files, Vec::new());
    assert_eq!(checked(&streams, dir.path(), || {}), []);
    let found = checked(&streams, dir.path(), || fs::write(&paths[1], b"another dumb").unwrap());
    assert_eq!(found, [("stream b.sql".to_owned(), Status::Fail)]);
    let found = checked(&streams, dir.path(), || fs::remove_file(&paths[0]).unwrap());
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, found[0].1), (vec!["stream a.sql", "stream b.sql"], Status::Error));
}

#[test]
fn an_integrity_check_that_finds_damage_fails_and_one_that_can_not_run_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let made = |name: &str, sql: &str| {
        let file = dir.path().join(name);
        let database = Connection::open(&file).unwrap();
        database.execute_batch("CREATE TABLE t(a, b); CREATE INDEX i ON t(b)").unwrap();
        database.execute_batch("WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < 2000) INSERT INTO t SELECT x, hex(x) FROM n").unwrap();
        database.execute_batch(sql).unwrap();
        drop(database);
        let bytes = fs::read(&file).unwrap();
        (restored(SourceKind::Sqlite, &[(name, file.clone(), &bytes)], Vec::new()), file)
    };
    let without = ("fingerprint".to_owned(), Status::Error);
    let (whole, _) = made("whole.db", "");
    assert_eq!(
        checked(&whole, dir.path(), || {}),
        std::slice::from_ref(&without),
        "no fingerprint is nothing to compare with"
    );
    // The last page belongs to the index, whose entries no longer agree with the table.
    let (damaged, file) = made("damaged.db", "");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.len() - 40;
    bytes[at..].fill(b'0');
    fs::write(&file, bytes).unwrap();
    let found = checked(&damaged, dir.path(), || {});
    assert_eq!(found, [("integrity_check damaged.db".to_owned(), Status::Fail), without.clone()]);
    // Only its application can sort like that.
    let (foreign, _) = made(
        "foreign.db",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON t(b COLLATE of_the_app)' WHERE name = 'i'",
    );
    let found = checked(&foreign, dir.path(), || {});
    assert_eq!(found, [("integrity_check foreign.db".to_owned(), Status::Error), without]);
}

/// Drills the repository while somebody does `change` to what was restored, in the moment after its clone.
fn git_with(change: &str) -> Vec<(String, String)> {
    let script = format!(
        "git \"$@\" || exit\ncase \" $* \" in *' clone '*) ;; *) exit 0;; esac\n\
         for last; do repo=$before; before=$last; done\ncd \"$repo\" || exit\nexport GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b \
         GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b\n{change}"
    );
    tampered(&vault(), "code", "git", &script)
}

#[test]
fn a_ref_that_was_moved_and_an_object_that_was_changed_are_found_and_named() {
    let moved = "git update-ref refs/heads/trunk \"$(git commit-tree -p trunk -m more 'trunk^{tree}')\"";
    assert_eq!(git_with(moved), [("ref refs/heads/trunk".to_owned(), "fail".to_owned())]);
    let dropped = "git update-ref -d refs/tags/v1";
    let names = [("refs", "fail"), ("ref refs/tags/v1", "fail")];
    assert_eq!(git_with(dropped), names.map(|(name, status)| (name.to_owned(), status.to_owned())));
    let damaged = "pack=$(ls objects/pack/*.pack | head -1); chmod u+w \"$pack\"; \
                   printf x | dd of=\"$pack\" bs=1 seek=$(($(stat -c %s \"$pack\") / 2)) conv=notrunc 2>&1";
    let fsck = ("fsck --full --strict".to_owned(), "fail".to_owned());
    assert!(git_with(damaged).contains(&fsck));
    // What git complains of in what was committed is no fault, and hides none.
    let odd = "printf 'tree %s\nauthor A 1 +0\ncommitter A 1 +0\n\nm\n' \"$(git rev-parse 'trunk^{tree}')\" | git \
               hash-object -t commit --literally -w --stdin >&2\n";
    let lost = "mv objects/pack/*.pack p; rm -f objects/pack/*; git unpack-objects -q <p; tree=$(git rev-parse 'trunk^{tree}'); \
                rm -f \"objects/$(printf %.2s \"$tree\")/${tree#??}\"";
    let both = git_with(&format!("{odd}{dropped}"));
    assert_eq!(both, names.map(|(name, status)| (name.to_owned(), status.to_owned())));
    for change in [damaged, lost] {
        assert!(git_with(&format!("{odd}{change}")).contains(&fsck), "{change}");
    }
}
