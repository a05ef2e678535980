use std::collections::HashSet;

use super::{super::reach, *};

/// Which of `tips` git itself can't walk, each by itself.
fn by_walking(lab: &Lab, tips: &[Oid]) -> HashSet<Oid> {
    let walks = |tip: &Oid| lab.output("repo", &["rev-list", "--objects", "--quiet", tip.as_str()]).status.success();
    tips.iter().filter(|tip| !walks(tip)).cloned().collect()
}

#[test]
fn tips_that_need_missing_contents_are_those_that_git_cant_walk() {
    let lab = Lab::new();
    lab.commit("root");
    for side in ["a", "b", "c"] {
        lab.git("repo", &["checkout", "-q", "-b", side, "main"]);
        for no in 0..4 {
            lab.commit(&format!("{side}{no}"));
            lab.git("repo", &["branch", &format!("{side}-{no}")]);
        }
    }
    // Merged into another line, removed in a third, tagged, and a merge that brings something itself.
    lab.git("repo", &["checkout", "-q", "-b", "merged", "a"]);
    lab.git("repo", &["merge", "-q", "-m", "m", "b"]);
    lab.git("repo", &["checkout", "-q", "-b", "without", "b"]);
    lab.git("repo", &["rm", "-q", "b2"]);
    lab.git("repo", &["commit", "-q", "-m", "without b2"]);
    lab.git("repo", &["tag", "-a", "-m", "t", "tagged", "b"]);
    lab.git("repo", &["tag", "whole", "c"]);
    lab.git("repo", &["checkout", "-q", "-b", "evil", "a-1"]);
    lab.git("repo", &["merge", "-q", "--no-commit", "c-1"]);
    lab.commit("brought by a merge");
    let listed = lab.git("repo", &["for-each-ref", "--format=%(objectname)"]);
    let tips: Vec<Oid> = listed.lines().map(|line| Oid::parse(line).unwrap()).collect();
    let scratch = scratch(ObjectFormat::Sha1).unwrap();
    run::skeleton(scratch.path(), ObjectFormat::Sha1).unwrap();
    let objects = lab.path("repo/.git/objects");
    let sorted = || reach::missing_contents((scratch.path(), &objects), &tips, &[]).unwrap();
    assert!(sorted().is_none(), "nothing is missing");
    let name = |what: &str| lab.git("repo", &["rev-parse", what]).trim().to_owned();
    let blobs = ["b:b2", "evil:brought by a merge"].map(name);
    for (removed, blob) in blobs.iter().enumerate() {
        fs::remove_file(objects.join(&blob[..2]).join(&blob[2..])).unwrap();
        let reached = sorted().expect("contents are missing");
        let gone: HashSet<Oid> = reached.gone.keys().cloned().collect();
        let expected = by_walking(&lab, &tips);
        assert!(expected.len() > 4 && expected.len() < 10, "{expected:?}");
        assert_eq!(gone, expected, "{removed}");
        assert!(reached.rest.iter().all(|tip| !expected.contains(tip)));
        assert!(
            reached.gone.values().all(|why| why.contains("missing") && blobs.iter().any(|b| why.contains(b.as_str())))
        );
    }
    // Where a tree is missing, the passes can't tell.
    let tree = name("a-2^{tree}");
    fs::remove_file(objects.join(&tree[..2]).join(&tree[2..])).unwrap();
    assert!(sorted().is_none());
}
