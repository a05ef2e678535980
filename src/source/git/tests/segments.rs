use std::collections::BTreeMap;

use super::*;
use crate::{
    model::{SnapshotId, Time},
    source::Before,
};

/// What a writer does between two runs: it keeps the streams, and hands the note back.
#[derive(Default)]
struct Vault {
    files: BTreeMap<Name, PathBuf>,
    note: Option<serde_json::Value>,
}

impl Vault {
    fn before(&self) -> Option<Before> {
        let bytes = |path: &PathBuf| fs::metadata(path).unwrap().len();
        let streams = self.files.iter().map(|(name, path)| (name.clone(), bytes(path))).collect();
        let note = self.note.clone()?;
        Some(Before { snapshot: SnapshotId::from_bytes([7; 32]), locked_until: Time::from_unix(0), note, streams })
    }

    /// Backs `repo` up once more; gives the snapshot's streams in order, and its facts.
    fn run(&mut self, lab: &Lab) -> (Vec<(Name, PathBuf)>, Facts) {
        let mut reading = GitSource::new(lab.path("repo")).open_after(self.before()).unwrap();
        let carried = reading.carried().unwrap();
        let (new, facts) = lab.read(reading).unwrap();
        let mut streams: Vec<_> = carried.into_iter().map(|name| (name.clone(), self.files[&name].clone())).collect();
        streams.extend(new);
        self.files = streams.iter().cloned().collect();
        assert_eq!(self.files.len(), streams.len(), "two streams of one name");
        self.note.clone_from(&facts.note);
        (streams, facts)
    }
}

fn back(lab: &Lab, streams: &[(Name, PathBuf)], facts: &Facts) -> String {
    let _ = fs::remove_dir_all(lab.path("back.git"));
    restore_from_files(streams, &facts.details, &lab.path("back.git")).unwrap();
    lab.git("back.git", &["fsck", "--full", "--strict"]);
    lab.state("back.git")
}

fn names(streams: &[(Name, PathBuf)]) -> Vec<&str> {
    streams.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn many_segments_become_one() {
    let lab = Lab::new();
    lab.fill();
    lab.git("repo", &["gc", "-q"]);
    let mut vault = Vault::default();
    vault.run(&lab);
    for no in 1..=32 {
        lab.commit(&format!("day{no}"));
        let (streams, facts) = vault.run(&lab);
        assert_eq!(streams.len(), 1 + no);
        assert_eq!(facts.details["since"]["changes"][0]["what"], "forward");
    }
    lab.commit("day33");
    let (streams, facts) = vault.run(&lab);
    assert_eq!(names(&streams)[1..], ["segment-0033.pack"]);
    assert_eq!(back(&lab, &streams, &facts), lab.state("repo"));
    lab.commit("day34");
    let (streams, facts) = vault.run(&lab);
    assert_eq!(names(&streams)[1..], ["segment-0033.pack", "segment-0034.pack"]);
    assert_eq!(back(&lab, &streams, &facts), lab.state("repo"));
}

#[test]
fn what_the_source_dropped_stays_in_earlier_snapshots_when_segments_are_folded() {
    let lab = Lab::new();
    lab.fill();
    let mut vault = Vault::default();
    vault.run(&lab);
    lab.git("repo", &["branch", "topic"]);
    let told = |facts: &Facts| facts.warnings.iter().any(|warning| warning.contains("are in earlier snapshots only"));
    let (mut dropped, mut first) = (String::new(), None);
    for no in 1..=33 {
        // Each run's topic takes the place of the last one's, of which nothing is left.
        lab.git("repo", &["checkout", "-q", "-B", "topic", "main"]);
        lab.commit(&format!("topic{no}"));
        if no == 1 {
            dropped = lab.git("repo", &["rev-parse", "HEAD"]);
        }
        lab.git("repo", &["checkout", "-q", "main"]);
        if no % 8 == 0 {
            lab.commit(&format!("day{no}"));
        }
        lab.git("repo", &["reflog", "expire", "--expire=now", "--all", "--expire-unreachable=now"]);
        lab.git("repo", &["prune", "--expire=now"]);
        let (streams, facts) = vault.run(&lab);
        first.get_or_insert_with(|| (streams.clone(), facts.clone()));
        assert_eq!(streams.len(), if no < 33 { 1 + no } else { 2 }, "run {no}");
        assert_eq!(told(&facts), no == 33, "run {no}: {:?}", facts.warnings);
    }
    let has = |name: &str| lab.output("back.git", &["cat-file", "-e", name]).status.success();
    let (streams, facts) = vault.run(&lab);
    assert_eq!(names(&streams), ["loose.pack", "segment-0033.pack"]);
    assert_eq!(back(&lab, &streams, &facts), lab.state("repo"));
    assert!(!has(dropped.trim()));
    let (streams, facts) = first.unwrap();
    back(&lab, &streams, &facts);
    assert!(has(dropped.trim()));
    // A rewrite of everything leaves no place to stop, and then what is leaned on is of no use.
    lab.git("repo", &["checkout", "-q", "--orphan", "new"]);
    lab.git("repo", &["rm", "-q", "-r", "-f", "."]);
    lab.commit("root");
    for name in lab.git("repo", &["for-each-ref", "--format=%(refname)"]).lines().filter(|name| !name.ends_with("/new"))
    {
        lab.git("repo", &["update-ref", "-d", name]);
    }
    lab.git("repo", &["reflog", "expire", "--expire=now", "--all", "--expire-unreachable=now"]);
    lab.git("repo", &["prune", "--expire=now"]);
    let (streams, facts) = vault.run(&lab);
    assert_eq!(names(&streams), ["loose.pack"]);
    assert!(told(&facts), "{:?}", facts.warnings);
    assert_eq!(back(&lab, &streams, &facts), lab.state("repo"));
}

#[test]
fn the_log_of_refs_says_what_became_of_each() {
    let lab = Lab::new();
    lab.fill();
    lab.git("repo", &["branch", "stays"]);
    lab.git("repo", &["branch", "goes"]);
    lab.git("repo", &["branch", "back"]);
    let mut vault = Vault::default();
    assert!(vault.run(&lab).1.details.get("since").is_none());
    lab.git("repo", &["branch", "-q", "-D", "goes"]);
    lab.git("repo", &["branch", "-q", "-f", "back", "HEAD~1"]);
    lab.git("repo", &["branch", "comes"]);
    lab.git("repo", &["tag", "-f", "light", "HEAD~1"]);
    lab.commit("more");
    let (streams, facts) = vault.run(&lab);
    let changes = facts.details["since"]["changes"].as_array().unwrap();
    let told: Vec<_> = changes.iter().map(|c| (c["ref"].as_str().unwrap(), c["what"].as_str().unwrap())).collect();
    assert_eq!(
        told,
        [
            ("refs/heads/back", "rewritten"),
            ("refs/heads/comes", "added"),
            ("refs/heads/goes", "deleted"),
            ("refs/heads/main", "forward"),
            ("refs/tags/light", "rewritten"),
        ]
    );
    assert_eq!(facts.details["since"]["snapshot"], "07".repeat(32));
    assert_eq!(back(&lab, &streams, &facts), lab.state("repo"));
}

#[test]
fn streams_that_are_gone_or_mostly_dead_mean_a_new_set() {
    let lab = Lab::new();
    lab.fill();
    let mut vault = Vault::default();
    vault.run(&lab);
    lab.commit("second");
    vault.run(&lab);
    lab.git("repo", &["reset", "-q", "--hard", "HEAD~1"]);
    lab.commit("other");
    // The lock of one of them is too short.
    let mut before = vault.before().unwrap();
    before.streams.remove(&"segment-0001.pack".parse().unwrap());
    let mut reading = GitSource::new(lab.path("repo")).open_after(Some(before)).unwrap();
    assert_eq!(reading.carried(), Some(Vec::new()));
    let (streams, facts) = lab.read(reading).unwrap();
    assert_eq!(names(&streams), ["loose.pack"]);
    assert!(facts.warnings.iter().any(|w| w.contains("stored again") && w.contains("1970-01-01T00:00:00Z")));
    // What is carried is far larger than all that the source has.
    let mut before = vault.before().unwrap();
    before.streams.values_mut().for_each(|bytes| *bytes = 1 << 30);
    let mut reading = GitSource::new(lab.path("repo")).open_after(Some(before)).unwrap();
    assert_eq!(reading.carried(), Some(Vec::new()));
    assert!(lab.read(reading).unwrap().1.warnings.iter().any(|w| w.contains("most of what was stored before")));
}

#[test]
fn only_what_was_asked_for_is_left_whatever_git_takes_for_it() {
    let lab = Lab::new();
    lab.fill();
    lab.git("repo", &["update-ref", "--create-reflog", "refs/remotes/origin/main", "HEAD"]);
    lab.git("repo", &["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]);
    let (files, facts) = lab.backup("repo").unwrap();
    let full = lab.git("repo", &["rev-parse", "HEAD~1"]).trim().to_owned();
    for (asked, name) in [
        ("main", "refs/heads/main"),
        ("HEAD", "refs/heads/main"),
        ("v1", "refs/tags/v1"),
        ("blob", "refs/tags/blob"),
        ("tree", "refs/tags/tree"),
        ("origin", "refs/remotes/origin/main"),
        ("refs/stash", "refs/stash"),
        ("stash@{1}", "refs/heads/restored"),
        ("main~1", "refs/heads/restored"),
        ("main^{tree}", "refs/tags/restored"),
        ("main:one", "refs/tags/restored"),
        (&full[..9], "refs/heads/restored"),
        ("v1-0-gABBREV", "refs/heads/restored"),
    ] {
        let asked = &asked.replace("ABBREV", &full[..8]);
        may_name(&facts.details, asked).unwrap();
        let _ = fs::remove_dir_all(lab.path("back.git"));
        let mut restorer =
            GitRestorer::begin(&lab.path("back.git"), &facts.details).unwrap().with_only(Some(asked.clone()));
        for (name, path) in &files {
            let (mut into, _) = restorer.stream(name, None).unwrap();
            std::io::copy(&mut File::open(path).unwrap(), &mut into).unwrap();
        }
        let (lost, only) = restorer.finish_salvaging().unwrap();
        let only = only.unwrap();
        assert!(lost.is_empty(), "{lost:?}");
        let right = lab.git("repo", &["rev-parse", asked]).trim().to_owned();
        assert_eq!((only.name.to_string().as_str(), only.object.as_str()), (name, right.as_str()), "{asked}");
        let refs = lab.git("back.git", &["for-each-ref", "--format=%(refname) %(objectname) %(objecttype)"]);
        assert_eq!(refs.trim(), format!("{name} {right} {}", only.kind), "{asked}");
        // It can be cloned, and fetched from.
        let _ = fs::remove_dir_all(lab.path("clone"));
        lab.git(".", &["clone", "-q", "back.git", "clone"]);
        let commit = lab.output("repo", &["rev-parse", "--verify", "-q", &format!("{right}^{{commit}}")]);
        let head = lab.output("clone", &["rev-parse", "--verify", "-q", "HEAD"]);
        assert_eq!(only.commit.is_some(), commit.status.success(), "{asked}");
        if let Some(commit) = only.commit.filter(|_| name != "refs/stash") {
            assert_eq!(String::from_utf8(head.stdout).unwrap().trim(), commit.as_str(), "{asked}");
        }
        let among = if only.kind == "commit" { "heads" } else { "tags" };
        lab.git("repo", &["fetch", "-q", "../back.git", &format!("+{name}:refs/{among}/fetched")]);
    }
    for bad in ["nothing", "nothing~1", "-main", "refs/heads/", "xyz@{1}", ""] {
        let error = may_name(&facts.details, bad).unwrap_err().to_string();
        assert!(error.contains("no such ref") && error.contains("refs/heads/main"), "{bad}: {error}");
    }
}
