use super::*;

/// A repository with `main`, three branches with a commit of their own each, and two tags that stand for commits; all packed.
fn packed() -> Lab {
    let lab = Lab::new();
    lab.commit("base");
    for no in 1..=3 {
        lab.git("repo", &["checkout", "-q", "-b", &format!("release-{no}"), "main"]);
        lab.commit(&format!("only on {no}"));
        lab.git("repo", &["tag", "-a", "-m", "x", &format!("v{no}")]);
    }
    lab.git("repo", &["checkout", "-q", "main"]);
    lab.git("repo", &["pack-refs", "--all"]);
    lab
}

/// Backs up `repo` with `text` as its `packed-refs` and restores it: the facts, and the subjects of all commits that came back.
#[track_caller]
fn with(lab: &Lab, text: &[u8]) -> (Facts, String) {
    fs::write(lab.path("repo/.git/packed-refs"), text).unwrap();
    let (files, facts) = lab.backup("repo").unwrap();
    let _ = fs::remove_dir_all(lab.path("back.git"));
    restore_from_files(&files, &facts.details, &lab.path("back.git")).unwrap();
    lab.git("back.git", &["fsck", "--full", "--strict"]);
    let subjects = lab.git("back.git", &["log", "--all", "--format=%s"]);
    (facts, subjects)
}

fn is_broken(facts: &Facts) -> bool {
    !facts.findings.is_empty() && facts.findings.iter().all(|finding| finding.code == "git.ref.broken")
}

#[test]
fn packed_refs_that_were_cut_make_up_no_ref_and_are_told() {
    let lab = packed();
    let text = fs::read(lab.path("repo/.git/packed-refs")).unwrap();
    let whole = String::from_utf8(text.clone()).unwrap();
    assert!(with(&lab, &text).0.findings.is_empty());
    let known: Vec<&str> = whole.lines().filter_map(|line| line.split_once(' ')).map(|(_, name)| name).collect();
    // Within a name, within the first and the last peeled tag, and where only the last line's end is gone.
    let within = whole.find("refs/heads/release-2").unwrap() + "refs/heads/rel".len();
    let peeled: Vec<usize> = whole.match_indices('^').map(|(at, _)| at + 20).collect();
    for end in [within, peeled[0], peeled[2], text.len() - 1] {
        let (facts, subjects) = with(&lab, &text[..end]);
        assert!(is_broken(&facts) && facts.findings[0].message.contains("cut short"), "{end}: {:?}", facts.findings);
        assert!(facts.warnings.iter().any(|told| told.contains("not whole")), "{:?}", facts.warnings);
        for name in facts.details["refs"].as_object().unwrap().keys() {
            assert!(known.contains(&name.as_str()), "{end}: {name} was made up");
        }
        // What the line names is there, whatever its name was to be.
        assert!(end != within || subjects.contains("only on 2"), "{subjects}");
        let finding = &facts.findings[0].message;
        assert_eq!(finding.contains("refs/from-backup/packed-refs/"), end == within, "{finding}");
    }
    let (facts, _) = with(&lab, &text[..whole.find("refs/heads/main").unwrap() + "refs/heads/main\n".len()]);
    assert!(facts.findings.is_empty());
    fs::write(lab.path("repo/.git/refs/heads/main"), lab.git("repo", &["rev-parse", "HEAD"])).unwrap();
    let (facts, _) = with(&lab, b"");
    assert!(facts.warnings.iter().any(|told| told.contains("packed-refs is empty")), "{:?}", facts.warnings);
}

#[test]
fn what_damaged_names_stand_for_is_kept_and_told() {
    let lab = packed();
    let whole = fs::read_to_string(lab.path("repo/.git/packed-refs")).unwrap();
    let all = |subjects: &str| ["base", "only on 1", "only on 2", "only on 3"].iter().all(|one| subjects.contains(one));
    // An editor that changes the ends of lines: no ref has a name any more, also where the last run knew them.
    let (facts, subjects) = with(&lab, whole.replace('\n', "\r\n").as_bytes());
    assert!(is_broken(&facts) && all(&subjects), "{subjects}: {:?}", facts.findings);
    assert_eq!(facts.details["refs"], serde_json::json!({}));
    // One byte of a name.
    for (damaged, left) in [("refs/heads/rel\u{1}ase-2", 1), ("refs/heads/selease-2", 2)] {
        let (facts, subjects) = with(&lab, whole.replace("refs/heads/release-2", damaged).as_bytes());
        assert!(is_broken(&facts) && all(&subjects), "{damaged}: {subjects}: {:?}", facts.findings);
        let refs = facts.details["refs"].as_object().unwrap();
        assert!(refs.len() == whole.matches("refs/").count() - left && !refs.contains_key(damaged), "{refs:?}");
    }
    // What such a line names may be gone as well.
    let line = format!("{} refs/heads/\u{1}\n", "a1".repeat(20));
    let (facts, _) = with(&lab, (whole.clone() + &line).as_bytes());
    assert!(is_broken(&facts) && facts.findings[0].message.contains("is not there"), "{:?}", facts.findings);
    // A loose ref under a name that is none, as of a program that keeps both sides of a conflict.
    fs::write(lab.path("repo/.git/packed-refs"), &whole).unwrap();
    lab.git("repo", &["checkout", "-q", "--detach"]);
    lab.commit("nowhere else");
    let oid = lab.git("repo", &["rev-parse", "HEAD"]);
    lab.git("repo", &["checkout", "-q", "main"]);
    fs::write(lab.path("repo/.git/refs/heads/main (conflict)"), oid).unwrap();
    let (facts, subjects) = with(&lab, whole.as_bytes());
    assert!(is_broken(&facts) && subjects.contains("nowhere else"), "{:?}", facts.findings);
}

#[test]
fn a_head_that_stands_on_no_branch_beside_others_is_told() {
    let lab = packed();
    let about_head = || {
        let warnings = lab.backup("repo").unwrap().1.warnings;
        warnings.iter().any(|told| told.contains("its HEAD stands on refs/heads/ma, which does not exist"))
    };
    assert!(!about_head());
    fs::write(lab.path("repo/.git/HEAD"), "ref: refs/heads/ma\n").unwrap();
    assert!(about_head());
    lab.git("repo", &["symbolic-ref", "refs/heads/ma", "refs/heads/main"]);
    assert!(!about_head());
    // Of one without any commit it says nothing.
    let lab = Lab::new();
    assert!(!lab.backup("repo").unwrap().1.warnings.iter().any(|told| told.contains("HEAD")));
}
