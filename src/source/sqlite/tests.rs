use rusqlite::Connection;

use super::*;

fn database(sql: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd ?#%name.db");
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    (dir, path)
}

fn print_of(sql: &str) -> Fingerprint {
    let (_dir, path) = database(sql);
    print::fingerprint(&print::open(&path).unwrap()).unwrap()
}

const SCHEMA: &str = "CREATE TABLE t(a, b); CREATE TABLE w(k PRIMARY KEY, v) WITHOUT ROWID;";

#[test]
fn a_fingerprint_does_not_depend_on_the_order_of_rows() {
    let one = print_of(&format!("{SCHEMA} INSERT INTO t VALUES (1, 'x'), (2, NULL), (2, NULL)"));
    let other = print_of(&format!("{SCHEMA} INSERT INTO t VALUES (2, NULL), (1, 'x'), (2, NULL)"));
    assert_eq!(one.tables, other.tables);
    assert!(one.compare(&other).iter().all(crate::model::Comparison::equal));
    assert_eq!(one.tables["t"].rows, 3);
    assert_eq!(one.tables["w"].hash.as_deref(), Some("0".repeat(32).as_str()));
}

#[test]
fn every_change_of_a_value_or_the_schema_is_seen() {
    let base = print_of(&format!("{SCHEMA} INSERT INTO t VALUES (1, 'x'), (2, NULL)"));
    for (change, name) in [
        ("INSERT INTO t VALUES (1, 'x'), (2, '')", "t"),
        ("INSERT INTO t VALUES (1, 'x'), (2, 0)", "t"),
        ("INSERT INTO t VALUES (1, x'78'), (2, NULL)", "t"),
        ("INSERT INTO t VALUES (1.0, 'x'), (2, NULL)", "t"),
        ("INSERT INTO t VALUES ('x', 1), (2, NULL)", "t"),
        ("INSERT INTO t VALUES (1, 'x'), (2, NULL), (2, NULL)", "t"),
        ("INSERT INTO t VALUES (1, 'x'), (2, NULL); INSERT INTO w VALUES (1, 1)", "w"),
        ("INSERT INTO t VALUES (1, 'x'), (2, NULL); CREATE INDEX i ON t(a)", "index i"),
        ("INSERT INTO t VALUES (1, 'x'), (2, NULL); PRAGMA user_version = 3", "user_version"),
        ("INSERT INTO t VALUES (1, 'x'), (2, NULL); DROP TABLE w", "w"),
    ] {
        let changed = print_of(&format!("{SCHEMA} {change}"));
        let unequal: Vec<_> = base.compare(&changed).into_iter().filter(|c| !c.equal()).map(|c| c.name).collect();
        assert_eq!(unequal.first().map(String::as_str), Some(name), "{change}: {unequal:?}");
    }
}

#[test]
fn what_an_application_alone_has_is_no_damage() {
    let (_dir, path) = database("CREATE TABLE t(a); CREATE INDEX i ON t(a); INSERT INTO t VALUES ('x'), ('y')");
    let writer = Connection::open(&path).unwrap();
    writer
        .execute_batch(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON t(a COLLATE of_the_app)' WHERE name = 'i'",
        )
        .unwrap();
    drop(writer);
    let database = print::open(&path).unwrap();
    assert!(matches!(print::integrity(&database), print::Integrity::Unknown(why) if why.contains("of_the_app")));
    assert_eq!(print::fingerprint(&database).unwrap().tables["t"].rows, 2);
}

#[test]
fn looking_writes_nothing() {
    let (dir, path) = database("PRAGMA journal_mode = WAL; CREATE TABLE t(a)");
    let database = print::open(&path).unwrap();
    assert!(matches!(print::integrity(&database), print::Integrity::Whole));
    assert!(database.execute_batch("INSERT INTO t VALUES (1)").is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Of a database that is always written to, the first try is given up half way; the second begins with nothing.
#[test]
fn a_copy_that_was_overtaken_begins_again_and_is_whole() {
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
                INSERT INTO t SELECT i, hex(randomblob(100)) FROM n";
    let (dir, path) = database(&format!("PRAGMA page_size = 512; {SCHEMA} {rows}"));
    let copied = dir.path().join("copied");
    File::create(&copied).unwrap();
    let stop = AtomicBool::new(false);
    let warnings = copy::online(&path, &copied, false, Duration::ZERO, Duration::ZERO, &stop).unwrap();
    assert!(warnings.iter().any(|told| told.contains("faster than it could be copied")), "{warnings:?}");
    let [was, is] = [&path, &copied].map(|path| print::fingerprint(&print::open(path).unwrap()).unwrap());
    assert_eq!(was.tables, is.tables);
    assert!(matches!(print::integrity(&print::open(&copied).unwrap()), print::Integrity::Whole));
}
