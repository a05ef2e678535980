//! What is restored may be hostile: nothing of it runs outside the engine, and nothing of it is written elsewhere.

use std::fs;

use strongroom::{model::SourceKind, source::Facts};

use crate::{
    lab::{Made, back_up, drill, of},
    sandbox::Sandbox,
};

#[test]
fn a_dump_that_reaches_out_reaches_nothing() {
    let sandbox = Sandbox::with_vault();
    // Whoever runs the server could write here.
    let open = sandbox.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    fs::write(open.join("secret"), "readable by all").unwrap();
    let at = open.display().to_string();
    for (i, sql) in [
        format!("\\! touch {at}/shell"),
        format!("system touch {at}/system"),
        format!("SELECT 1 INTO OUTFILE '{at}/outfile';"),
        "INSTALL SONAME 'ha_connect';".to_owned(),
        format!("CREATE DATABASE d; CREATE TABLE d.t AS SELECT LOAD_FILE('{at}/secret') AS x; SELECT 1/(x IS NULL) INTO @a FROM d.t;\nSIGNAL SQLSTATE '45000';"),
        format!("LOAD DATA LOCAL INFILE '{at}/secret' INTO TABLE mysql.db;"),
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = format!("-- MariaDB dump\n{sql}\n-- Dump completed\n").into_bytes();
        let made = Made { kind: SourceKind::Mariadb, stream: "databases.sql", bytes, facts: Facts::default() };
        back_up(&sandbox, &format!("evil{i}"), made);
    }
    let document = drill(&sandbox, &["--json"]).code(6).json();
    for i in 0..6 {
        let found = of(&document, &format!("evil{i}"));
        assert_eq!(found["passed"], false, "{found}");
    }
    assert_eq!(crate::lab::left(&open), ["secret"]);
}

/// A repository full of what git would run: hooks, filters, drivers and helpers in its settings, and submodules.
#[test]
fn a_repository_that_reaches_out_reaches_nothing() {
    let sandbox = Sandbox::with_vault();
    let (repo, marks) = (sandbox.path("repo"), sandbox.path("marks"));
    for dir in [&repo, &marks] {
        fs::create_dir(dir).unwrap();
    }
    let git = |args: &[&str]| crate::plain::git(&repo, args);
    git(&["init", "-q", "-b", "trunk"]);
    fs::write(repo.join(".gitattributes"), "* filter=evil diff=evil merge=evil\n*.big filter=lfs\n").unwrap();
    fs::write(repo.join("code"), "fn main() {}").unwrap();
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "first"]);
    let touch = |name: &str| format!("touch {}", marks.join(name).display());
    for hook in
        ["post-checkout", "post-merge", "pre-auto-gc", "reference-transaction", "post-index-change", "proc-receive"]
    {
        let path = repo.join(".git/hooks").join(hook);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{}\n", touch(hook))).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    for setting in [
        "filter.evil.smudge",
        "filter.evil.clean",
        "filter.lfs.process",
        "diff.evil.command",
        "merge.evil.driver",
        "core.fsmonitor",
        "core.alternateRefsCommand",
        "core.sshCommand",
        "core.gitProxy",
        "core.editor",
        "uploadpack.packObjectsHook",
        "credential.helper",
        "gpg.program",
    ] {
        git(&["config", setting, &touch(setting)]);
    }
    git(&["config", "core.hooksPath", repo.join(".git/hooks").to_str().unwrap()]);
    let configured = fs::read_to_string(repo.join(".git/config")).unwrap();
    assert!(configured.contains("packObjectsHook"), "{configured}");
    // A copy of it with a submodule whose address is a command.
    let worse = sandbox.path("worse");
    assert!(std::process::Command::new("cp").arg("-a").arg(&repo).arg(&worse).status().unwrap().success());
    let text = format!(
        "[submodule \"s\"]\n\tpath = s\n\turl = ext::sh -c '{}'\n\tupdate = !{}\n",
        touch("url"),
        touch("update")
    );
    fs::write(worse.join(".gitmodules"), text).unwrap();
    let worse_git = |args: &[&str]| crate::plain::git(&worse, args);
    let quiet = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "filter.evil.clean=cat"];
    let head = "160000,1111111111111111111111111111111111111111,s";
    worse_git(&[&quiet[..], &["add", ".gitmodules"]].concat());
    worse_git(&[&quiet[..], &["update-index", "--add", "--cacheinfo", head]].concat());
    worse_git(&[&quiet[..], &["commit", "-q", "-m", "worse"]].concat());
    let _ = fs::remove_dir_all(&marks);
    fs::create_dir(&marks).unwrap();
    for (name, path) in [("code", &repo), ("worse", &worse)] {
        sandbox.writer(&["backup", "--name", name, "--git", path.to_str().unwrap()]).ok();
    }
    let document = drill(&sandbox, &["--json"]);
    assert_eq!(crate::lab::left(&marks), [""; 0]);
    let document = document.json();
    assert_eq!(of(&document, "code")["passed"], true, "{document}");
    // What a clone of it would be told to run is a fault of the repository, which is said.
    let said = of(&document, "worse")["checks"][0].to_string();
    assert!(said.contains("fsck") && said.contains("gitmodules"), "{said}");
}
