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
