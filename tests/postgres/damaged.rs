//! What a backup says of a cluster that is damaged, with checksums of pages and without.

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use crate::{
    broken::{configured, no_snapshot},
    sandbox::Sandbox,
    server::{Postgres, as_server, bin, run},
};

/// Overwrites `bytes` of a file while the server is down: nothing of it is in memory then.
fn plant(server: &mut Postgres, file: &Path, at: u64, bytes: &[u8]) {
    server.stop();
    let mut file = fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    let mut was = vec![0; bytes.len()];
    file.read_exact(&mut was).unwrap();
    assert_ne!(was, bytes);
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
    drop(file);
    server.restart();
}

fn shop() -> (Postgres, String) {
    let server = Postgres::start();
    server.create("shop");
    server.sql(
        "shop",
        "create table t as select i, repeat(md5(i::text), 30) t from generate_series(1, 1000) i; checkpoint",
    );
    let path = server.sql("shop", "select pg_relation_filepath('t')");
    (server, path)
}

#[test]
fn g7_a_damaged_page_or_a_missing_file_makes_no_snapshot() {
    // The page's own header: told without checksums too.
    let (mut server, path) = shop();
    let file = server.data().join(&path);
    plant(&mut server, &file, 8192 * 3 + 12, &[0xff; 8]);
    let sandbox = configured(&server, None, "");
    no_snapshot(&sandbox, sandbox.writer(&["backup"])).says("invalid page in block 3");

    // A file that is gone.
    let (mut server, path) = shop();
    fs::rename(server.data().join(&path), server.data().join("gone")).unwrap();
    server.restart();
    let sandbox = configured(&server, None, "");
    no_snapshot(&sandbox, sandbox.writer(&["backup"])).says(&path);

    // A byte of a row: with checksums, a dump and a copy of the files both tell.
    let (mut server, path) = shop();
    let file = server.data().join(&path);
    server.stop();
    run(as_server(bin("pg_checksums")).args(["--enable", "--no-sync", "-D"]).arg(server.data()));
    server.restart();
    plant(&mut server, &file, 8192 * 4 - 10, &[0xff]);
    for more in ["", "physical = true\n"] {
        let sandbox = configured(&server, None, more);
        let told = no_snapshot(&sandbox, sandbox.writer(&["backup"]));
        let told = told.says("checksum");
        if !more.is_empty() {
            told.says(&path).says("block");
        }
    }
}

/// Without checksums nobody can tell that a byte of a row is another: a copy of the files says so.
#[test]
fn a_copy_of_a_cluster_without_checksums_says_that_nothing_proves_its_pages() {
    let (mut server, path) = shop();
    // Pages of zeros are sound by every checksum.
    let file = server.data().join(&path);
    plant(&mut server, &file, 8192 * 3, &[0; 8192 * 2]);
    let sandbox = configured(&server, None, "physical = true\n");
    let made = sandbox.writer(&["backup", "--json"]).ok().json();
    let warnings = made["result"]["snapshots"][0]["warnings"].to_string();
    assert!(warnings.contains("data checksums are off"), "{warnings}");
    let findings = made["findings"].to_string();
    assert!(findings.contains("database.zeroed") && findings.contains(&format!("{path} blocks 3 to 4")), "{findings}");
    let drill = sandbox.reader(&["drill", "--json"]).ok().json();
    let not = drill["result"]["drills"][0]["not_tested"].to_string();
    assert!(not.contains("no data checksums"), "{not}");
}

/// Settings let a server give fewer rows and say nothing. Whoever set them, a dump sets them off, or there is none.
#[test]
fn g7_a_page_that_a_setting_passes_over_makes_no_snapshot() {
    let mut server = Postgres::start_as(&["-k"], &[]);
    server.create("shop");
    server.sql(
        "shop",
        "create table t as select i, repeat(md5(i::text), 30) t from generate_series(1, 1000) i; checkpoint",
    );
    server.sql("postgres", "create role reader login password 'x'; grant pg_read_all_data to reader");
    let file = server.data().join(server.sql("shop", "select pg_relation_filepath('t')"));
    plant(&mut server, &file, 8192 * 4 - 10, &[0xff]);
    let set = |sql: &str| server.sql("postgres", sql);
    let run = |sandbox: Sandbox| no_snapshot(&sandbox, sandbox.writer(&["backup"]));
    for (on, off) in [
        ("alter database shop set zero_damaged_pages = on", "alter database shop reset all"),
        ("alter role postgres set ignore_checksum_failure = on", "alter role postgres reset all"),
    ] {
        set(on);
        run(configured(&server, None, "")).says("invalid page");
        set(off);
    }
    let with = |dsn: &str| {
        let sandbox = Sandbox::with_vault();
        sandbox.configure(&format!(
            "[[source]]\nname = \"shop\"\nkind = \"postgres\"\ndsn = \"{dsn}\"\nglobals = false\n"
        ));
        sandbox
    };
    run(with(&format!("{} options='-c zero_damaged_pages=on'", server.dsn("shop")))).says("invalid page");
    // A role that may not set it off.
    set("alter role reader set zero_damaged_pages = on");
    let reader = server.dsn("shop").replace("user=postgres", "user=reader password=x");
    run(with(&reader)).says("may not set it off").says("ALTER ROLE").says("RESET zero_damaged_pages");
    set("alter role reader reset all");

    // What somebody else read so lies in the server's memory as if it were sound: the server's own count tells.
    let lost = server.sql("shop", "set zero_damaged_pages = on; select count(*) < 1000 from t");
    assert_eq!(lost, "t");
    let sandbox = configured(&server, None, "");
    let made = sandbox.writer(&["backup", "--json"]).ok().json();
    assert!(made["findings"].to_string().contains("database.pages"), "{made}");
    set("alter database shop set zero_damaged_pages = on");
    let made = sandbox.writer(&["backup", "--json"]).code(3).json();
    assert!(made["findings"].to_string().contains("rows may be missing"), "{made}");
}

/// One that is damaged costs the others of the server nothing.
#[test]
fn of_several_databases_those_that_are_whole_have_their_snapshot() {
    let (mut server, path) = shop();
    let file = server.data().join(&path);
    for whole in ["accounts", "works"] {
        server.create(whole);
        server.sql(whole, "create table t as select 7 as n");
    }
    plant(&mut server, &file, 8192 * 3 + 12, &[0xff; 8]);
    let sandbox = Sandbox::with_vault();
    let dsn = server.dsn("postgres");
    for jobs in [1, 2] {
        sandbox.configure(&format!(
            "[[source]]\nname = \"all{jobs}\"\nkind = \"postgres\"\ndsn = {dsn:?}\ndatabases = \"*\"\njobs = {jobs}\n"
        ));
        let run = sandbox.writer(&["backup", &format!("all{jobs}"), "--json"]).code(3).json();
        let told = run["findings"].to_string();
        assert!(told.contains("database.failed") && told.contains("database shop") && told.contains("invalid page"));
        assert!(!told.contains("source.vanished"), "{told}");
        let made = &run["result"]["snapshots"][0];
        let streams = made["streams"].to_string();
        assert!(!streams.contains("shop"), "{streams}");
        assert!(made["warnings"].to_string().contains("database shop is not in this snapshot"), "{made}");
        let drill = sandbox.reader(&["drill", &format!("all{jobs}"), "--json"]).ok().json();
        let checks = drill["result"]["drills"][0]["checks"].to_string();
        assert!(checks.contains("accounts: public.t") && checks.contains("works: public.t"), "{checks}");
    }
    sandbox.reader(&["verify", "--depth", "decrypt"]).ok();

    // Where nothing is whole there is no snapshot.
    let sandbox = configured(&server, None, "");
    no_snapshot(&sandbox, sandbox.writer(&["backup"])).says("invalid page");
}
