//! Whatever a dump leaves out is told by name, and rows that are left out make no snapshot.

use crate::{
    broken::{configured, no_snapshot, replaced},
    place::{EVERYTHING, everything, options, read_into},
    server::Postgres,
};

#[test]
fn g7_rows_that_pg_dump_left_out_make_no_snapshot() {
    let server = everything("shop");
    for (option, says) in [
        ("--exclude-table-data=shop.kinds", "the rows of shop.kinds"),
        ("--exclude-table=shop.kinds", "table shop.kinds"),
        ("--exclude-schema=shop", "shop."),
        ("--no-blobs", "large objects"),
        ("--schema-only", "the rows of"),
        ("--no-unlogged-table-data", ""),
    ] {
        if option == "--no-unlogged-table-data" {
            server.sql("shop", "create unlogged table shop.fast as select 1 as n");
        }
        let programs = replaced("pg_dump", &format!("REAL \"$@\" {option}"));
        let sandbox = configured(&server, Some(programs.path()), "");
        no_snapshot(&sandbox, sandbox.writer(&["backup"])).says("lacks").says(says);
    }
    // What can be made again is a warning.
    let programs = replaced("pg_dump", "REAL \"$@\" --section=pre-data --section=data");
    let sandbox = configured(&server, Some(programs.path()), "");
    let made = sandbox.writer(&["backup", "--json"]).ok().json();
    let warnings = made["result"]["snapshots"][0]["warnings"].to_string();
    assert!(warnings.contains("left out") && warnings.contains("index shop."), "{warnings}");
    // And nothing is told of a dump that is whole, with several jobs either.
    assert!(EVERYTHING.contains("create table"));
    server.sql(
        "shop",
        "create table shop.large as select i, repeat(md5(i::text), 30) t from generate_series(1, 45000) i",
    );
    for jobs in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let mut several = options(&server, "shop");
        several.jobs = jobs;
        let facts = read_into(several, dir.path()).unwrap();
        assert!(
            !facts.warnings.iter().any(|w| w.contains("left out") || w.contains("not in the dump:")),
            "{:?}",
            facts.warnings
        );
    }
}

#[test]
fn what_no_dump_holds_is_named() {
    let server = Postgres::start();
    server.create("shop");
    server.sql(
        "shop",
        "create extension hstore; create table mine as select 1 as n; alter extension hstore add table mine",
    );
    server.sql("shop", "create table information_schema.odd as select 1 as n");
    let dir = tempfile::tempdir().unwrap();
    let facts = read_into(options(&server, "shop"), dir.path()).unwrap();
    for word in ["public.mine", "information_schema.odd"] {
        assert!(facts.warnings.iter().any(|w| w.contains(word)), "{word}: {:?}", facts.warnings);
    }
}
