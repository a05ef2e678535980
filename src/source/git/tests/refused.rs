use std::os::unix::fs::{chown, symlink};

use super::*;

/// What a run that gave these streams and facts leaves for the next.
fn before(files: &[(Name, PathBuf)], facts: &Facts) -> Before {
    Before {
        snapshot: crate::model::SnapshotId::from_bytes([7; 32]),
        locked_until: crate::model::Time::from_unix(0),
        note: facts.note.clone().unwrap(),
        streams: files.iter().map(|(name, path)| (name.clone(), fs::metadata(path).unwrap().len())).collect(),
    }
}

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
    assert!(said.contains("which does not exist") && said.contains("repo/.git/objects"), "{said}");
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

/// What the findings are about.
fn told(facts: &Facts) -> Vec<&str> {
    facts.findings.iter().filter_map(|finding| finding.object.as_deref()).collect()
}

/// Backs `repo` up, which is not all whole, and proves that all comes back but what is told; gives that.
#[track_caller]
fn partly(lab: &Lab, before: Option<Before>) -> (Vec<String>, Facts) {
    let names = |repo: &str| -> Vec<String> {
        // Git's own listing fails on what is broken.
        let out = lab.output(repo, &["for-each-ref", "--format=%(refname)"]).stdout;
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    };
    let (files, facts) = lab.read(GitSource::new(lab.path("repo")).open_after(before).unwrap()).unwrap();
    let _ = fs::remove_dir_all(lab.path("back.git"));
    restore_from_files(&files, &facts.details, &lab.path("back.git")).unwrap();
    lab.git("back.git", &["fsck", "--full", "--strict"]);
    let told = told(&facts);
    let whole: Vec<String> = names("repo").into_iter().filter(|name| !told.contains(&name.as_str())).collect();
    assert_eq!(names("back.git"), whole, "{told:?}");
    assert!(told.is_empty() || facts.warnings.iter().any(|warning| warning.contains("not whole")));
    (told.iter().map(ToString::to_string).collect(), facts)
}

#[test]
fn missing_objects_are_noticed_whatever_they_are_and_stop_nothing_else() {
    let (main, notes, line) = ("refs/heads/main", "refs/notes/commits", "a line of the log of refs/stash");
    for (what, lacking, whole) in [
        ("HEAD~1:one", main, notes),
        ("HEAD~1^{tree}", main, notes),
        ("HEAD~1", main, notes),
        ("HEAD", main, "refs/heads/side/é#'x"),
        ("refs/stash@{1}", line, "refs/stash"),
        ("refs/tags/v1", "refs/tags/v1-again", main),
        (notes, notes, main),
    ] {
        let lab = Lab::new();
        lab.fill();
        lab.git("repo", &["commit-graph", "write", "--reachable"]);
        remove_object(&lab, what);
        let (told, facts) = partly(&lab, None);
        let has = |name: &str| told.iter().any(|told| told == name);
        assert!(has(lacking) && !has(whole), "{what}: {told:?}");
        assert!(facts.findings.iter().all(|finding| finding.code == "git.ref.lacking"));
    }
    // Nothing at all.
    let lab = Lab::new();
    lab.commit("one");
    remove_object(&lab, "HEAD");
    let said = lab.refused("repo");
    assert!(said.contains("missing or damaged") && said.contains("git fsck"), "{said}");
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
fn what_says_nothing_is_named_and_stops_nothing_else() {
    let lab = Lab::new();
    lab.commit("one");
    let git = lab.path("repo/.git");
    fs::write(git.join("refs/heads/.DS_Store"), "x").unwrap();
    fs::write(git.join("refs/heads/main.lock"), "").unwrap();
    let (_, facts) = lab.round_trip("repo");
    assert!(facts.warnings.len() == 1 && facts.warnings[0].contains(".DS_Store"), "{:?}", facts.warnings);
    assert!(facts.findings.is_empty());
    fs::write(git.join("refs/heads/empty"), "").unwrap();
    fs::write(git.join("refs/desktop.ini"), "[.ShellClassInfo]\n").unwrap();
    symlink("/etc/passwd", git.join("refs/heads/evil")).unwrap();
    fifo(&git.join("refs/heads/fifo"));
    let (told, facts) = partly(&lab, None);
    assert_eq!(told, ["refs/desktop.ini", "refs/heads/empty", "refs/heads/evil", "refs/heads/fifo"]);
    assert!(
        facts.findings.iter().all(|finding| finding.code == "git.ref.broken" && !finding.message.contains("root:"))
    );
    // Also where `HEAD` itself says nothing, and where git itself gives up.
    fs::write(git.join("packed-refs"), "# pack-refs with: sorted\nno line of it\n").unwrap();
    fs::write(git.join("HEAD"), "\n").unwrap();
    let (_, facts) = lab.backup("repo").unwrap();
    assert!(told_of(&facts, "packed-refs: \"no line of it\""));
    assert!(told_of(&facts, "HEAD") && facts.details["head"]["symbolic"] == "refs/heads/main");
    // What can't be understood is not taken for what is gone.
    fs::remove_file(git.join("packed-refs")).unwrap();
    for left in ["refs/desktop.ini", "refs/heads/evil", "refs/heads/fifo"] {
        fs::remove_file(git.join(left)).unwrap();
    }
    fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(git.join("refs/heads/empty"), fs::read(git.join("refs/heads/main")).unwrap()).unwrap();
    let (files, facts) = lab.backup("repo").unwrap();
    fs::write(git.join("refs/heads/empty"), "").unwrap();
    lab.git("repo", &["checkout", "-q", "-b", "side"]);
    lab.commit("two");
    remove_object(&lab, "HEAD:two");
    let before = before(&files, &facts);
    let reading = GitSource::new(lab.path("repo")).open_after(Some(before)).unwrap();
    let (_, facts) = lab.read(reading).unwrap();
    assert!(told_of(&facts, "refs/heads/empty") && told_of(&facts, "refs/heads/side"));
    assert_eq!(facts.details["since"]["changes"], serde_json::json!([]));
}

fn told_of(facts: &Facts, name: &str) -> bool {
    told(facts).contains(&name)
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_repository_without_a_commit_is_one() {
    let lab = Lab::new();
    let (names, facts) = lab.round_trip("repo");
    assert!(names.is_empty() && facts.findings.is_empty());
    assert!(facts.warnings.iter().any(|warning| warning.contains("no commit yet")), "{:?}", facts.warnings);
    // One whose only ref is broken is none.
    fs::write(lab.path("repo/.git/refs/heads/main"), "").unwrap();
    assert!(lab.refused("repo").contains("refs/heads/main"));
}

#[test]
fn what_is_no_file_is_never_opened() {
    let lab = Lab::new();
    lab.commit("one");
    lab.git("repo", &["branch", "old"]);
    lab.git("repo", &["checkout", "-q", "--orphan", "new"]);
    lab.git("repo", &["rm", "-q", "-r", "-f", "."]);
    lab.commit("two");
    let git = lab.path("repo/.git");
    let oid = lab.git("repo", &["rev-parse", "old:one"]);
    let (first, rest) = oid.trim().split_at(2);
    let object = git.join("objects").join(first).join(rest);
    fs::remove_file(&object).unwrap();
    let _ = fs::remove_file(git.join("description"));
    fs::create_dir(lab.path("repo/sub")).unwrap();
    let pack = git.join("objects/pack/pack-1234567890123456789012345678901234567890");
    let places = [object, pack.with_extension("pack"), pack.with_extension("idx"), git.join("description")];
    for path in &places {
        fifo(path);
    }
    fifo(&lab.path("repo/sub/.gitattributes"));
    let (_, facts) = lab.backup("repo").unwrap();
    assert_eq!(told(&facts), ["refs/heads/main", "refs/heads/old"]);
    for place in places.iter().map(|path| path.to_str().unwrap()).chain(["sub/.gitattributes"]) {
        assert!(facts.warnings.iter().any(|warning| warning.contains(place)), "{place}: {:?}", facts.warnings);
    }
}

#[test]
fn packs_behind_links_are_read() {
    let lab = Lab::new();
    lab.fill();
    lab.git("repo", &["gc", "-q"]);
    let packs = lab.path("repo/.git/objects/pack");
    fs::rename(&packs, lab.path("packs")).unwrap();
    fs::create_dir(&packs).unwrap();
    for entry in fs::read_dir(lab.path("packs")).unwrap() {
        let path = entry.unwrap().path();
        symlink(&path, packs.join(path.file_name().unwrap())).unwrap();
    }
    let (names, _) = lab.round_trip("repo");
    assert!(names[0].starts_with("pack-"), "{names:?}");
    // A file that is none is not read through them.
    fs::remove_file(packs.parent().unwrap().join("../description")).ok();
    symlink("/etc/passwd", lab.path("repo/.git/description")).unwrap();
    let (_, facts) = lab.backup("repo").unwrap();
    assert!(!facts.details.to_string().contains("root:"));
    assert!(facts.warnings.iter().any(|warning| warning.contains("description")), "{:?}", facts.warnings);
}

#[test]
fn large_loose_objects_are_packed_here() {
    let lab = Lab::new();
    lab.commit("one");
    let noise: Vec<u8> = {
        let mut state = 7_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        (0..(2 << 20) / 8).flat_map(|_| next()).collect()
    };
    fs::write(lab.path("repo/large"), &noise).unwrap();
    lab.commit("two");
    let (names, facts) = lab.round_trip("repo");
    assert!(names.len() == 2 && names[0] == "loose.pack" && names[1].starts_with("pack-"), "{names:?}");
    // And in a later run.
    let (files, _) = lab.backup("repo").unwrap();
    let before = before(&files, &facts);
    fs::write(lab.path("repo/larger"), [&noise[7..], &noise[..100]].concat()).unwrap();
    lab.commit("three");
    let mut reading = GitSource::new(lab.path("repo")).open_after(Some(before)).unwrap();
    assert_eq!(reading.carried().unwrap().len(), 2);
    let (new, facts) = lab.read(reading).unwrap();
    assert!(new.len() == 2 && new[0].0.as_str() == "segment-0001.pack", "{new:?}");
    let _ = fs::remove_dir_all(lab.path("back.git"));
    restore_from_files(&[files, new].concat(), &facts.details, &lab.path("back.git")).unwrap();
    assert_eq!(lab.state("back.git"), lab.state("repo"));
    lab.git("back.git", &["fsck", "--full", "--strict"]);
    // One that rotted is not taken.
    let oid = lab.git("repo", &["rev-parse", "HEAD:large"]);
    let (first, rest) = oid.trim().split_at(2);
    let path = lab.path("repo/.git/objects").join(first).join(rest);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1 << 20] ^= 1;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, bytes).unwrap();
    let said = lab.refused("repo");
    assert!(said.contains(oid.trim()) && said.contains("is damaged"), "{said}");
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
