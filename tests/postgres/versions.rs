//! Programs of another version than the server's.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::{
    place::{options, read_into},
    server::{Postgres, bin},
};

/// Programs in `dir` that are the installed ones but for what they say of themselves; `version` of `pg_dump`.
fn wrappers(dir: &Path, version: &str) {
    for program in ["psql", "pg_dump", "pg_dumpall", "pg_basebackup"] {
        let real = bin(program);
        let told = format!("[ \"$1\" = --version ] && echo '{program} (PostgreSQL) {version} (Ünlikely 1)' && exit");
        let told = if program == "psql" { String::new() } else { told };
        let log = dir.join("log");
        let script =
            format!("#!/bin/sh\n{told}\necho {program} >>'{}'\nexec '{}' \"$@\"\n", log.display(), real.display());
        fs::write(dir.join(program), script).unwrap();
        fs::set_permissions(dir.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn an_older_pg_dump_is_refused_before_anything_is_read() {
    let server = Postgres::start();
    let real = server.sql("postgres", "show server_version").split(' ').next().unwrap().to_owned();
    for (version, physical) in [("9.6.24", false), ("10.1", false), ("14.9", false), ("14.9", true)] {
        let dir = tempfile::tempdir().unwrap();
        wrappers(dir.path(), version);
        let mut old = options(&server, "postgres");
        (old.bin, old.physical) = (Some(dir.path().to_owned()), physical);
        let error = read_into(old, dir.path()).unwrap_err().to_string();
        assert!(error.contains(version) && error.contains(&real) && error.contains("older"), "{error}");
        let log = fs::read_to_string(dir.path().join("log")).unwrap();
        assert!(log.lines().all(|program| program == "psql"), "{log}");
    }
}

#[test]
fn a_newer_pg_dump_will_do_and_none_at_all_is_told() {
    let server = Postgres::start();
    let dir = tempfile::tempdir().unwrap();
    wrappers(dir.path(), "99beta1");
    let mut new = options(&server, "postgres");
    new.bin = Some(dir.path().to_owned());
    read_into(new.clone(), dir.path()).unwrap();
    fs::remove_file(dir.path().join("pg_dump")).unwrap();
    let error = read_into(new, dir.path()).unwrap_err().to_string();
    assert!(error.contains("pg_dump") && error.contains("`bin`"), "{error}");
}
