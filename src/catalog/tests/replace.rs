//! Files that can't be used, and disks that don't obey.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
};

use super::*;

const FILE: &str = "abababababababab-db1.sqlite";

/// A state directory whose catalog holds enough chunks for many database pages.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let chunks: Vec<_> = (0..2000).map(|id| (id, None)).collect();
    record(&mut catalog, 1, &chunks).unwrap();
    drop(catalog);
    let file = dir.path().join(FILE);
    (dir, file)
}

/// The reason, after checking that an empty, working catalog stands in place of a file kept as `….corrupt-<n>`.
fn replaced(state: &Path, n: u32) -> String {
    let Opened::Replaced { mut catalog, reason, kept } = open(state) else { panic!("the file was used") };
    assert_eq!(kept, state.join(format!("{FILE}.corrupt-{n}")));
    assert!(catalog.is_empty());
    assert_eq!(look(&mut catalog, &[1]), [None]);
    record(&mut catalog, 9, &[(1, None)]).unwrap();
    drop(catalog);
    assert_eq!(existing(state).counts().unwrap(), (1, 1, 0));
    reason
}

fn set(file: &Path, sql: &str) {
    Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("deep/state");
    let Opened::New(mut catalog) = Catalog::open(&state, VAULT, &name("db1")).unwrap() else { panic!("not new") };
    record(&mut catalog, 1, &[]).unwrap();
    let mut files = 0;
    for entry in fs::read_dir(&state).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o077, 0, "{:?}", entry.path());
        files += 1;
    }
    assert_eq!(files, 3, "the file, its log, and the log's index");
    assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_file_that_is_no_database_is_kept_and_replaced() {
    let (dir, file) = filled();
    let noise: Vec<u8> = (0..400_u64).flat_map(bytes).collect();
    fs::write(&file, &noise).unwrap();
    replaced(dir.path(), 1);
    assert_eq!(fs::read(dir.path().join(format!("{FILE}.corrupt-1"))).unwrap(), noise);
    fs::write(&file, "short").unwrap();
    replaced(dir.path(), 2);
}

#[test]
fn a_truncated_file_is_replaced() {
    for (eighths, blank) in [(7, false), (4, false), (1, false), (0, true)] {
        let (dir, file) = filled();
        let len = fs::metadata(&file).unwrap().len();
        let handle = fs::OpenOptions::new().write(true).open(&file).unwrap();
        handle.set_len(len * eighths / 8).unwrap();
        if blank {
            assert!(matches!(open(dir.path()), Opened::New(_)), "an empty file is what a crash at creation leaves");
        } else {
            replaced(dir.path(), 1);
        }
    }
}

#[test]
fn another_version_is_replaced() {
    let (dir, file) = filled();
    set(&file, "PRAGMA user_version = 7");
    let reason = replaced(dir.path(), 1);
    assert!(reason.contains("version 7") && reason.contains(&format!("version {}", schema::VERSION)), "{reason}");
    set(&file, "ALTER TABLE runs ADD COLUMN more INTEGER");
    assert!(replaced(dir.path(), 2).contains("tables"));
    set(&file, "DROP TABLE packs");
    assert!(replaced(dir.path(), 3).contains("tables"));
}

#[test]
fn the_catalog_of_another_vault_or_writer_is_not_used() {
    let (dir, _) = filled();
    let mut id = [0xab; 32];
    id[31] = 0;
    let other = VaultId::from_bytes(id);
    let opened = Catalog::open(dir.path(), other, &name("db1")).unwrap();
    let Opened::Replaced { reason, .. } = opened else { panic!("the file was used") };
    assert!(reason.contains(&VAULT.to_string()), "{reason}");

    let (dir, file) = filled();
    fs::rename(&file, dir.path().join("abababababababab-db2.sqlite")).unwrap();
    let opened = Catalog::open(dir.path(), VAULT, &name("db2")).unwrap();
    let Opened::Replaced { reason, .. } = opened else { panic!("the file was used") };
    assert!(reason.contains("writer db1"), "{reason}");
}

#[test]
fn damage_inside_is_reported_when_met_and_the_file_not_used_again() {
    let (dir, file) = filled();
    let mut image = fs::read(&file).unwrap();
    let from = image.len() / 2;
    image[from..].fill(0x5a);
    fs::write(&file, image).unwrap();

    let mut catalog = existing(dir.path());
    let ids: Vec<_> = (0..2000).map(chunk).collect();
    let error = catalog.lookup(&ids, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Damaged);
    assert!(error.to_string().contains(FILE), "{error}");
    drop(catalog);
    assert!(replaced(dir.path(), 1).contains("earlier run"));
}

#[test]
fn damage_is_looked_for_after_a_run_that_did_not_end_well() {
    let (dir, file) = filled();
    let mut catalog = existing(dir.path());
    record(&mut catalog, 2, &[(5000, None)]).unwrap();
    let log = dir.path().join(format!("{FILE}-wal"));
    let crash = (fs::read(&file).unwrap(), fs::read(&log).unwrap());
    drop(catalog);
    assert!(!log.exists(), "a run that ends well leaves no log");

    let (mut image, log_image) = crash;
    fs::write(&file, &image).unwrap();
    fs::write(&log, &log_image).unwrap();
    assert_eq!(existing(dir.path()).counts().unwrap(), (2001, 2, 0), "no damage: what was committed is there");

    let from = image.len() / 2;
    image[from..].fill(0x5a);
    fs::write(&file, image).unwrap();
    fs::write(&log, log_image).unwrap();
    replaced(dir.path(), 1);
}

#[test]
fn a_full_disk_is_named_and_leaves_whole_packs_only() {
    let (dir, _) = filled();
    let mut catalog = existing(dir.path());
    let pages: i64 = catalog.conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    catalog.conn.pragma_update(None, "max_page_count", pages + 1).unwrap();
    let chunks: Vec<_> = (5000..9000).map(|id| (id, None)).collect();
    let error = record(&mut catalog, 2, &chunks).unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Full);
    assert!(error.to_string().contains(FILE) && error.to_string().contains("full"), "{error}");
    assert_eq!(catalog.counts().unwrap(), (2000, 1, 0));
    drop(catalog);
    assert_eq!(existing(dir.path()).counts().unwrap(), (2000, 1, 0), "full is not damaged");
}

#[test]
fn a_busy_or_unusable_file_is_an_error_and_stays() {
    let (dir, file) = filled();
    let before = fs::read(&file).unwrap();
    fs::rename(&file, dir.path().join("elsewhere")).unwrap();
    fs::create_dir(&file).unwrap();
    let error = Catalog::open(dir.path(), VAULT, &name("db1")).unwrap_err();
    assert_eq!(error.kind, CatalogErrorKind::Io);
    assert!(error.to_string().contains(FILE), "{error}");
    fs::remove_dir(&file).unwrap();
    fs::rename(dir.path().join("elsewhere"), &file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), before);

    let state = dir.path().join("state");
    fs::write(&state, "a file").unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o600)).unwrap();
    let error = Catalog::open(&state, VAULT, &name("db1")).unwrap_err();
    assert!(error.to_string().contains("state directory"), "{error}");

    let mut catalog = existing(dir.path());
    let other = Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    catalog.conn.busy_timeout(std::time::Duration::ZERO).unwrap();
    assert_eq!(record(&mut catalog, 2, &[]).unwrap_err().kind, CatalogErrorKind::Busy);
    other.execute_batch("ROLLBACK").unwrap();
    record(&mut catalog, 2, &[]).unwrap();
}
