use std::os::unix::fs::{chown, symlink};

use super::*;

#[test]
fn repositories_without_all_their_history_are_refused_with_the_remedy() {
    let lab = Lab::new();
    lab.fill();
    lab.git("repo", &["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", lab.path("repo").display());
    lab.git(".", &["clone", "-q", "--depth=1", &url, "shallow"]);
    assert!(lab.refused("shallow").contains("git fetch --unshallow"));
    lab.git(".", &["clone", "-q", "--bare", "--filter=blob:none", &url, "partial"]);
    assert!(lab.refused("partial").contains("--filter"));
    // Also when only the mark on the pack is left.
    fs::write(lab.path("partial/config"), "").unwrap();
    assert!(lab.refused("partial").contains("--filter"));
    lab.git(".", &["clone", "-q", "--shared", "repo", "shared"]);
    assert!(lab.refused("shared").contains("git repack -a -d"));
    let out = lab.output(".", &["init", "-q", "--ref-format=reftable", "tables"]);
    assert!(out.status.success());
    assert!(lab.refused("tables").contains("git refs migrate"));
    fs::rename(lab.path("repo"), lab.path("moved")).unwrap();
    let said = lab.refused("shared");
    assert!(said.contains("which is not there") && said.contains("repo/.git/objects"), "{said}");
    fs::rename(lab.path("moved"), lab.path("repo")).unwrap();
    // Each remedy works.
    lab.git("shallow", &["fetch", "-q", "--unshallow"]);
    lab.round_trip("shallow");
    lab.git("shared", &["repack", "-q", "-a", "-d"]);
    fs::remove_file(lab.path("shared/.git/objects/info/alternates")).unwrap();
    lab.round_trip("shared");
    lab.git("tables", &["refs", "migrate", "--ref-format=files"]);
    lab.round_trip("tables");
}

/// Removes the loose object that `what` names.
fn remove_object(lab: &Lab, what: &str) {
    let oid = lab.git("repo", &["rev-parse", what]);
    let (first, rest) = oid.trim().split_at(2);
    fs::remove_file(lab.path("repo/.git/objects").join(first).join(rest)).unwrap();
}

#[test]
fn missing_objects_are_noticed_whatever_they_are() {
    for what in ["HEAD~1:one", "HEAD~1^{tree}", "HEAD~1", "HEAD", "refs/stash@{1}", "refs/tags/v1"] {
        let lab = Lab::new();
        lab.fill();
        lab.git("repo", &["commit-graph", "write", "--reachable"]);
        remove_object(&lab, what);
        let said = lab.refused("repo");
        assert!(said.contains("missing or damaged") && said.contains("git fsck"), "{what}: {said}");
    }
}

#[test]
fn a_pack_that_was_cut_short_is_refused() {
    let lab = Lab::new();
    lab.fill();
    lab.git("repo", &["gc", "-q"]);
    let dir = lab.path("repo/.git/objects/pack");
    let pack =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().unwrap() == "pack").unwrap();
    let bytes = fs::read(&pack).unwrap();
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, &bytes[..bytes.len() - 30]).unwrap();
    let said = lab.refused("repo");
    assert!(said.contains("cut short") && said.contains("pack-"), "{said}");
}

#[test]
fn a_broken_ref_is_refused_and_a_stray_file_is_named() {
    let lab = Lab::new();
    lab.commit("one");
    fs::write(lab.path("repo/.git/refs/heads/.DS_Store"), "x").unwrap();
    fs::write(lab.path("repo/.git/refs/heads/main.lock"), "").unwrap();
    let (_, facts) = lab.round_trip("repo");
    assert!(facts.warnings.len() == 1 && facts.warnings[0].contains(".DS_Store"), "{:?}", facts.warnings);
    fs::write(lab.path("repo/.git/refs/heads/empty"), "").unwrap();
    assert!(lab.refused("repo").contains("heads/empty"));
}

#[test]
fn links_to_files_outside_are_not_read() {
    let lab = Lab::new();
    lab.commit("one");
    symlink("/etc/passwd", lab.path("repo/.git/refs/heads/evil")).unwrap();
    let said = lab.refused("repo");
    assert!(said.contains("refs/heads/evil") && !said.contains("root:"), "{said}");
    fs::remove_file(lab.path("repo/.git/refs/heads/evil")).unwrap();
    let description = lab.path("repo/.git/description");
    let _ = fs::remove_file(&description);
    symlink("/etc/passwd", description).unwrap();
    assert!(lab.backup("repo").is_err());
}

#[test]
fn what_is_no_repository_is_refused() {
    let lab = Lab::new();
    fs::create_dir(lab.path("repo/sub")).unwrap();
    assert!(lab.refused("repo/sub").contains("top directory"));
    assert!(lab.refused("nowhere").contains("nowhere"));
}

#[test]
fn nothing_that_the_repository_brings_along_is_run() {
    let lab = Lab::new();
    lab.fill();
    lab.git("repo", &["gc", "-q"]);
    lab.commit("loose");
    let canary = lab.path("canary");
    let touch = format!("touch '{}'", canary.display());
    let evil = lab.path("repo/.git/evil");
    program(&evil, &touch);
    let run = evil.display().to_string();
    for hook in ["post-index-change", "reference-transaction", "pre-auto-gc", "fsmonitor-watchman", "post-checkout"] {
        program(&lab.path("repo/.git/hooks").join(hook), &touch);
    }
    fs::write(lab.path("included"), format!("[core]\n\tpager = {run}\n[alias]\n\tconfig = !{run}\n")).unwrap();
    let config = format!(
        "[core]\n\tfsmonitor = {run}\n\tsshCommand = {run}\n\thooksPath = hooks\n\tpager = {run}\n\talternateRefsCommand = {run}\n\
         [alias]\n\trev-list = !{run}\n\tpack-objects = !{run}\n\tconfig = !{run}\n\
         [uploadpack]\n\tpackObjectsHook = {run}\n[filter \"x\"]\n\tclean = {run}\n\tsmudge = {run}\n\tprocess = {run}\n\
         [diff]\n\texternal = {run}\n[include]\n\tpath = ../../included\n[trace2]\n\tnormalTarget = {run}\n"
    );
    let path = lab.path("repo/.git/config");
    fs::write(&path, fs::read_to_string(&path).unwrap() + &config).unwrap();
    fs::write(lab.path("repo/.git/info/attributes"), "* filter=x diff=x\n").unwrap();
    // Also where the worktree is looked at for changes, which git would have to filter.
    fs::write(lab.path("repo/.gitattributes"), "* filter=x diff=x\n").unwrap();
    fs::write(lab.path("repo/one"), "changed").unwrap();
    let (files, facts) = lab.backup("repo").unwrap();
    restore_from_files(&files, &facts.details, &lab.path("back.git")).unwrap();
    assert!(facts.warnings.iter().any(|w| w.contains("in no commit")), "{:?}", facts.warnings);
    assert!(!canary.exists(), "something of the repository was run");
    assert_eq!(lab.git("back.git", &["log", "-1", "--format=%s"]).trim(), "loose");
    // The trap works: git itself falls into it.
    lab.output("repo", &["status"]);
    assert!(canary.exists());
}

#[test]
fn a_repository_of_another_user_is_read() {
    let lab = Lab::new();
    lab.fill();
    if !rustix::process::geteuid().is_root() {
        // Nobody else can give files away, but git's own refusal can be checked not to depend on the owner's settings.
        lab.round_trip("repo");
        return;
    }
    for (path, ..) in tree(&lab.path("repo")) {
        std::os::unix::fs::lchown(path, Some(65_534), Some(65_534)).unwrap();
    }
    chown(lab.path("repo"), Some(65_534), Some(65_534)).unwrap();
    let plain =
        Command::new("git").arg("log").env("HOME", lab.dir.path()).current_dir(lab.path("repo")).output().unwrap();
    assert!(String::from_utf8_lossy(&plain.stderr).contains("dubious ownership"));
    lab.round_trip("repo");
}

#[test]
fn made_up_details_write_nothing_outside_the_target() {
    let lab = Lab::new();
    lab.commit("one");
    let (files, facts) = lab.backup("repo").unwrap();
    let oid = facts.details["refs"]["refs/heads/main"].as_str().unwrap().to_owned();
    let target = lab.path("made/up.git");
    for (key, value) in [
        ("refs", serde_json::json!({ "refs/../../../evil": oid })),
        ("refs", serde_json::json!({ "/tmp/evil": oid })),
        ("refs", serde_json::json!({ "refs/heads/a\nb": oid })),
        ("refs", serde_json::json!({ "refs/heads/a": "short" })),
        ("refs", serde_json::json!({ "refs/heads/a": "0f".repeat(32) })),
        ("symrefs", serde_json::json!({ "refs/heads/../../config": "refs/heads/main" })),
        ("symrefs", serde_json::json!({ "refs/heads/x": "../../../etc/passwd" })),
        ("symrefs", serde_json::json!({ "hex:726566732f2e2e2f78": "refs/heads/main" })),
        ("head", serde_json::json!({ "symbolic": "config" })),
        ("stash", serde_json::json!([format!("{oid} {oid} a\nb")])),
        ("format", serde_json::json!("md5")),
    ] {
        let mut details = facts.details.clone();
        details[key] = value.clone();
        let error = restore_from_files(&files, &details, &target).err();
        assert!(error.is_some(), "{key} {value}");
        assert!(!target.exists() && !lab.path("made/up.git.partial").exists(), "{key} {value}");
    }
    assert!(restore_from_files(&files, &serde_json::Value::Null, &target).is_err());
    let elsewhere = vec![("config".parse().unwrap(), files[0].1.clone())];
    assert!(restore_from_files(&elsewhere, &facts.details, &target).is_err());
}

#[test]
fn a_restore_that_lacks_objects_or_finds_a_target_fails() {
    let lab = Lab::new();
    lab.fill();
    let (files, facts) = lab.backup("repo").unwrap();
    let target = lab.path("back.git");
    let said = restore_from_files(&[], &facts.details, &target).unwrap_err().to_string();
    assert!(said.contains("do not hold all") && !target.exists(), "{said}");
    let said = restore_from_files(&files, &facts.details, &target).unwrap_err().to_string();
    assert!(said.contains("remove it"), "{said}");
    fs::remove_dir_all(lab.path("back.git.partial")).unwrap();
    let mut bytes = fs::read(&files[0].1).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&files[0].1, bytes).unwrap();
    assert!(restore_from_files(&files, &facts.details, &target).unwrap_err().to_string().contains("not a whole pack"));
    fs::create_dir(&target).unwrap();
    assert!(restore_from_files(&files, &facts.details, &target).unwrap_err().to_string().contains("there already"));
}
