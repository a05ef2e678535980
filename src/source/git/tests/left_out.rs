use super::*;

fn warnings(lab: &Lab) -> Vec<String> {
    lab.backup("repo").unwrap().1.warnings
}

#[test]
fn what_is_not_backed_up_is_named() {
    let lab = Lab::new();
    lab.fill();
    assert_eq!(warnings(&lab), [""; 0]);
    program(&lab.path("repo/.git/hooks/post-receive"), "true");
    fs::write(lab.path("repo/new"), "in no commit").unwrap();
    fs::write(lab.path("repo/ignored"), "in no commit").unwrap();
    fs::write(lab.path("repo/.git/info/exclude"), "/ignored\n").unwrap();
    // As `git lfs install` writes it; another of that name is told.
    let standard = "command -v git-lfs >/dev/null 2>&1 || { printf >&2 \"\\n%s\\n\\n\" \"not found\"; exit 2; }";
    program(&lab.path("repo/.git/hooks/pre-push"), &format!("{standard}\ngit lfs pre-push \"$@\""));
    program(&lab.path("repo/.git/hooks/post-merge"), "git lfs post-merge \"$@\"\n./deploy");
    fs::write(lab.path("repo/.git/info/grafts"), lab.git("repo", &["rev-parse", "HEAD"])).unwrap();
    fs::write(lab.path("repo/two"), "changed").unwrap();
    lab.git(".", &["init", "-q", "inner"]);
    fs::write(lab.path("inner/f"), "x").unwrap();
    lab.git("inner", &["add", "f"]);
    lab.git("inner", &["commit", "-q", "-m", "f"]);
    let inner = lab.path("inner").display().to_string();
    lab.git("repo", &["submodule", "--quiet", "add", &inner, "libs/inner"]);
    lab.git("repo", &["commit", "-q", "-m", "a submodule"]);
    let told = warnings(&lab);
    assert_eq!(told.len(), 4, "{told:?}");
    for text in [
        "submodules are not in this backup: libs/inner",
        "2 files with changes",
        "hooks are not in this backup: post-merge, post-receive",
        "`info/grafts` make git show another history",
    ] {
        assert!(told.iter().any(|w| w.contains(text)), "{text}: {told:?}");
    }
    let (files, facts) = lab.backup("repo").unwrap();
    restore_from_files(&files, &facts.details, &lab.path("back.git")).unwrap();
    assert!(lab.path("back.git/grafts.from-backup").exists() && !lab.path("back.git/info/grafts").exists());
}

#[test]
fn logs_of_refs_come_back_where_they_are_wanted() {
    let lab = Lab::new();
    lab.fill();
    lab.commit("dropped");
    let dropped = lab.git("repo", &["rev-parse", "HEAD"]);
    lab.git("repo", &["reset", "-q", "--hard", "HEAD~1"]);
    let (_, facts) = lab.round_trip("repo");
    assert!(facts.details.get("reflogs").is_none());
    assert!(!lab.output("back.git", &["cat-file", "-e", dropped.trim()]).status.success());
    let reading = GitSource::new(lab.path("repo")).with_reflogs(true).open().unwrap();
    let (files, facts) = lab.read(reading).unwrap();
    fs::remove_dir_all(lab.path("back.git")).unwrap();
    restore_from_files(&files, &facts.details, &lab.path("back.git")).unwrap();
    for log in ["HEAD", "main", "stash"] {
        let show = |repo| lab.git(repo, &["log", "-g", "--format=%H %gs", log]);
        assert_eq!(show("back.git"), show("repo"), "{log}");
    }
    assert!(lab.git("back.git", &["log", "-g", "--format=%H", "HEAD"]).contains(dropped.trim()));
}

#[test]
fn submodules_are_told_without_a_file_that_lists_them_and_on_other_branches() {
    let lab = Lab::new();
    lab.commit("one");
    for (name, branch) in [("plain", "main"), ("deep/elsewhere", "side")] {
        let dir = format!("repo/{name}");
        fs::create_dir_all(lab.path(&dir)).unwrap();
        lab.git(&dir, &["init", "-q"]);
        lab.git(&dir, &["commit", "-q", "--allow-empty", "-m", "x"]);
        if branch != "main" {
            lab.git("repo", &["checkout", "-q", "-b", branch]);
        }
        lab.git("repo", &["add", name]);
        lab.git("repo", &["commit", "-q", "-m", name]);
    }
    lab.git("repo", &["checkout", "-q", "-f", "main"]);
    let _ = fs::remove_dir_all(lab.path("repo/deep"));
    let told = warnings(&lab);
    let text = "its submodules are not in this backup: plain, deep/elsewhere (on refs/heads/side);";
    assert!(told.len() == 1 && told[0].contains(text), "{told:?}");
    // What is no commit has no tree, and where nothing is a submodule nothing is said.
    let lab = Lab::with(&["--initial-branch=main", "--object-format=sha256"]);
    lab.commit("one");
    lab.git("repo", &["branch", "side"]);
    lab.git("repo", &["checkout", "-q", "side"]);
    lab.commit("two");
    fs::write(lab.path("repo/.git/refs/heads/blob"), lab.git("repo", &["rev-parse", "HEAD:one"])).unwrap();
    assert_eq!(warnings(&lab), [""; 0]);
}

#[test]
fn logs_of_other_worktrees_come_back_with_what_they_alone_name() {
    let lab = Lab::new();
    lab.commit("one");
    lab.git("repo", &["worktree", "add", "-q", "-b", "side", "../linked"]);
    let drop_one = |within: &str| {
        lab.git(within, &["commit", "-q", "--allow-empty", "-m", "dropped"]);
        let oid = lab.git(within, &["rev-parse", "HEAD"]).trim().to_owned();
        lab.git(within, &["reset", "-q", "--hard", "HEAD~1"]);
        oid
    };
    // On no branch, so that no other log names it.
    lab.git("linked", &["checkout", "-q", "--detach"]);
    let dropped = drop_one("linked");
    lab.git("linked", &["update-ref", "--create-reflog", "refs/worktree/mark", &dropped]);
    lab.git("linked", &["update-ref", "refs/worktree/mark", "HEAD"]);
    lab.git("linked", &["checkout", "-q", "side"]);
    lab.git("repo", &["checkout", "-q", "--detach"]);
    let here = drop_one("repo");
    lab.git("repo", &["checkout", "-q", "main"]);
    for (repo, [of_repo, of_linked]) in [("repo", ["HEAD", "worktrees/linked/HEAD"]), ("linked", ["main/HEAD", "HEAD"])]
    {
        let reading = GitSource::new(lab.path(repo)).with_reflogs(true).open().unwrap();
        let (files, facts) = lab.read(reading).unwrap();
        let _ = fs::remove_dir_all(lab.path("back.git"));
        restore_from_files(&files, &facts.details, &lab.path("back.git")).unwrap();
        let forever = ["-c", "gc.reflogExpire=never", "-c", "gc.reflogExpireUnreachable=never"];
        lab.git("back.git", &[&forever[..], &["gc", "-q", "--prune=now"]].concat());
        lab.git("back.git", &["fsck", "--full", "--strict"]);
        for (log, oid) in [(of_repo, &here), (of_linked, &dropped)] {
            let name = if log == "HEAD" { log.to_owned() } else { format!("refs/from-backup/{log}") };
            let told = lab.git("back.git", &["log", "-g", "--format=%H", &name]);
            assert!(told.contains(oid.as_str()), "{repo}: {name}: {told}");
        }
        let mark = if repo == "linked" {
            "refs/worktree/mark"
        } else {
            "refs/from-backup/worktrees/linked/refs/worktree/mark"
        };
        assert!(lab.git("back.git", &["log", "-g", "--format=%H", mark]).contains(&dropped), "{repo}");
    }
    // Where they are not asked for, nothing of them is kept.
    let (_, facts) = lab.backup("repo").unwrap();
    assert_eq!(
        facts.details["worktrees"],
        serde_json::json!({ "worktrees/linked/refs/worktree/mark": lab.git("linked", &["rev-parse", "HEAD"]).trim() })
    );
}
