//! Days of work, with what a repository's life has: merges, deleted branches, force-pushes, housekeeping, idle days.

use serde_json::Value;

use crate::lab::{Lab, State, stored, streams};

/// One day's backup, and what the repository held then.
struct Day {
    id: String,
    state: State,
    snapshot: Value,
}

fn day(lab: &Lab) -> Day {
    let snapshot = lab.backup();
    let id = snapshot["id"].as_str().unwrap().to_owned();
    Day { id, state: lab.state(&lab.repo()), snapshot }
}

#[test]
fn a_day_costs_what_is_new_and_every_state_comes_back() {
    let mut lab = Lab::new();
    for no in 0..20 {
        lab.commit(no, 20_000);
    }
    lab.git(&["gc", "-q"]);
    lab.commit(20, 2000);
    let mut days = vec![day(&lab)];
    let whole = stored(&days[0].snapshot);

    // An idle day: nothing new, nothing to carry along but names.
    days.push(day(&lab));
    assert_eq!(streams(&days[1].snapshot), streams(&days[0].snapshot));

    // Work, and housekeeping that makes one new pack of everything.
    lab.commit(21, 1000);
    lab.git(&["checkout", "-q", "-b", "topic"]);
    lab.commit(22, 1000);
    lab.git(&["tag", "-a", "-m", "a tag", "v1"]);
    lab.git(&["gc", "-q", "--prune=now"]);
    days.push(day(&lab));
    assert_eq!(streams(&days[2].snapshot).last().unwrap(), "segment-0001.pack");

    // A force-push that drops commits for good, and a branch that goes.
    let dropped = lab.git(&["rev-parse", "topic"]);
    lab.git(&["checkout", "-q", "main"]);
    lab.git(&["reset", "-q", "--hard", "HEAD~3"]);
    lab.commit(23, 1000);
    lab.git(&["branch", "-q", "-D", "topic"]);
    lab.git(&["tag", "-d", "v1"]);
    lab.git(&["reflog", "expire", "--expire=now", "--all"]);
    lab.git(&["gc", "-q", "--prune=now"]);
    assert!(!lab.output(&lab.repo(), &["cat-file", "-e", &dropped]).status.success());
    days.push(day(&lab));
    assert_eq!(streams(&days[3].snapshot).last().unwrap(), "segment-0002.pack");

    // Only refs move: to where an earlier segment has everything.
    lab.git(&["reset", "-q", "--hard", "HEAD~1"]);
    lab.git(&["branch", "other", "HEAD~2"]);
    days.push(day(&lab));
    assert_eq!(streams(&days[4].snapshot), streams(&days[3].snapshot));

    for (no, day) in days.iter().enumerate().skip(1) {
        let cost = stored(&day.snapshot);
        assert!(cost < 24 << 10, "day {no} stored {cost} bytes, the first {whole}");
    }
    // Refs that went or were rewritten are told, and nothing else is.
    let told = |no: usize| {
        let warnings = days[no].snapshot["warnings"].as_array().unwrap().iter();
        let refs = warnings.map(|text| text.as_str().unwrap().rsplit(": ").next().unwrap().to_owned());
        refs.collect::<Vec<_>>()
    };
    assert_eq!((told(1), told(2)), (vec![], vec![]));
    assert_eq!(told(3), ["refs/heads/topic, refs/tags/v1", "refs/heads/main"]);
    assert_eq!(told(4), ["refs/heads/main"]);
    // The log of refs, whole in the result.
    let since = &days[3].snapshot["since"];
    assert_eq!(since["snapshot"].as_str(), Some(days[2].id.as_str()));
    let changes: Vec<_> = since["changes"].as_array().unwrap().iter().collect();
    let became = |name: &str| changes.iter().find(|change| change["ref"] == name).map(|change| &change["what"]);
    assert_eq!(became("refs/heads/main").unwrap(), "rewritten");
    assert_eq!(
        (became("refs/heads/topic").unwrap(), became("refs/tags/v1").unwrap()),
        (&"deleted".into(), &"deleted".into())
    );
    assert!(changes.iter().any(|change| change["ref"] == "refs/heads/topic" && change["from"] == dropped.as_str()));
    assert!(days[0].snapshot["since"].is_null());
    // Newest first: what a later day left out would be missing here.
    for day in days.iter().rev() {
        let back = lab.restore(&day.id);
        assert_eq!(lab.state(&back), day.state);
    }
    // The dropped commits are in the newest snapshot's segments still.
    let newest = lab.restore(&days[4].id);
    lab.git_in(&newest, &["cat-file", "-e", &dropped]);
    lab.sandbox.reader(&["verify", "--depth", "decrypt"]).ok();
}

#[test]
fn a_lost_memory_costs_space_and_nothing_else() {
    let mut lab = Lab::new();
    for no in 0..10 {
        lab.commit(no, 5000);
    }
    let first = day(&lab);
    lab.commit(10, 1000);
    let second = day(&lab);
    assert_eq!(streams(&second.snapshot).len(), 2);
    std::fs::remove_dir_all(lab.sandbox.path("etc/state")).unwrap();
    lab.commit(11, 1000);
    let third = day(&lab);
    assert_eq!(streams(&third.snapshot), ["loose.pack"]);
    lab.commit(12, 1000);
    let fourth = day(&lab);
    assert_eq!(streams(&fourth.snapshot), ["loose.pack", "segment-0001.pack"]);

    // A rebuild brings the chunks back and not what the segments cover, and says so, as does the run after it.
    lab.git(&["gc", "-q"]);
    let fifth = day(&lab);
    let whole = lab.sandbox.writer(&["catalog", "rebuild", "--json"]).ok().json()["findings"].to_string();
    assert!(whole.contains("git.whole"), "{whole}");
    let repo = lab.repo();
    let args = ["backup", "--name", "code", "--json", "--git", repo.to_str().unwrap()];
    let run = lab.sandbox.writer(&args).ok().json();
    let told = |run: &Value| run["findings"].as_array().unwrap().iter().any(|f| f["code"] == "git.whole");
    assert!(told(&run), "{run}");
    let sixth = Day {
        id: run["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned(),
        state: lab.state(&lab.repo()),
        snapshot: run["result"]["snapshots"][0].clone(),
    };
    assert_eq!(streams(&sixth.snapshot).len(), 1, "{run}");
    let run = lab.sandbox.writer(&args).ok().json();
    assert!(!told(&run) && streams(&run["result"]["snapshots"][0]) == streams(&sixth.snapshot), "{run}");
    for day in [first, second, third, fourth, fifth, sixth] {
        let back = lab.restore(&day.id);
        assert_eq!(lab.state(&back), day.state);
    }
}

#[test]
fn what_a_repository_lost_is_noticed_though_segments_hold_it() {
    let mut lab = Lab::new();
    for no in 0..3 {
        lab.commit(no, 1000);
    }
    lab.backup();
    let oid = lab.git(&["rev-parse", "HEAD"]);
    std::fs::remove_file(lab.repo().join(".git/objects").join(&oid[..2]).join(&oid[2..])).unwrap();
    let run = lab.sandbox.writer(&["backup", "--name", "code", "--git", lab.repo().to_str().unwrap()]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("objects are missing or damaged") && run.stderr.contains(&oid), "{}", run.stderr);
}
