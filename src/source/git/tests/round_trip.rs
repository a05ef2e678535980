use std::process::Stdio;

use super::*;

#[test]
fn everything_that_refs_name_comes_back_loose_packed_and_mixed() {
    let lab = Lab::new();
    lab.fill();
    assert_eq!(lab.round_trip("repo").0, ["loose.pack"]);

    lab.git("repo", &["gc", "-q", "--prune=now"]);
    let (streams, facts) = lab.round_trip("repo");
    assert!(streams.len() == 1 && streams[0].starts_with("pack-"), "{streams:?}");
    let refs = facts.details["refs"].as_object().unwrap();
    assert!(refs.contains_key("refs/stash") && refs.contains_key("refs/notes/commits"), "{refs:?}");
    assert_eq!(facts.details["stash"].as_array().unwrap().len(), 2);

    lab.commit("four");
    lab.git("repo", &["repack", "-q"]);
    lab.commit("five");
    lab.git("repo", &["branch", "-q", "-D", "side/é#'x"]);
    let (streams, _) = lab.round_trip("repo");
    assert_eq!(streams.len(), 3, "{streams:?}");
    assert_eq!(streams[2], "loose.pack");
}

#[test]
fn the_same_repository_gives_the_same_bytes() {
    let lab = Lab::new();
    lab.fill();
    let read = || fs::read(&lab.backup("repo").unwrap().0[0].1).unwrap();
    assert!(read() == read());
}

#[test]
fn head_comes_back_detached_unborn_and_in_an_empty_repository() {
    let lab = Lab::new();
    assert!(lab.round_trip("repo").0.is_empty());
    lab.commit("one");
    lab.git("repo", &["checkout", "-q", "--detach"]);
    // Only HEAD names this one.
    lab.commit("two");
    lab.round_trip("repo");
    lab.git("repo", &["checkout", "-q", "--orphan", "nothing/yet"]);
    let (_, facts) = lab.round_trip("repo");
    assert_eq!(facts.details["head"]["symbolic"], "refs/heads/nothing/yet");
}

#[test]
fn sha256_repositories_come_back() {
    let lab = Lab::with(&["--object-format=sha256", "--initial-branch=main"]);
    lab.fill();
    lab.round_trip("repo");
    lab.git("repo", &["repack", "-q", "-a", "-d"]);
    lab.commit("more");
    assert_eq!(lab.round_trip("repo").0.len(), 2);
}

#[test]
fn bare_repositories_clones_and_worktrees_come_back() {
    let lab = Lab::new();
    lab.fill();
    lab.git(".", &["clone", "-q", "--mirror", "repo", "bare.git"]);
    lab.round_trip("bare.git");
    lab.git(".", &["clone", "-q", "repo", "clone"]);
    let (_, facts) = lab.round_trip("clone");
    assert_eq!(facts.details["symrefs"]["refs/remotes/origin/HEAD"], "refs/remotes/origin/main");

    lab.git("repo", &["worktree", "add", "-q", "--detach", "../linked"]);
    fs::write(lab.path("linked/w"), "only the other worktree's HEAD reaches this").unwrap();
    lab.git("linked", &["add", "w"]);
    lab.git("linked", &["commit", "-q", "-m", "w"]);
    lab.git("linked", &["bisect", "start"]);
    lab.git("linked", &["bisect", "bad"]);
    lab.round_trip("linked");
    let (files, facts) = lab.backup("repo").unwrap();
    assert_eq!(facts.details["worktrees"].as_object().unwrap().len(), 2);
    restore_from_files(&files, &facts.details, &lab.path("again.git")).unwrap();
    let oid = facts.details["worktrees"]["worktrees/linked"].as_str().unwrap().to_owned();
    // They have names, so that nothing takes them away.
    let names = lab.git("again.git", &["for-each-ref", "--format=%(refname)", "--points-at", &oid, "refs/from-backup"]);
    assert_eq!(
        names.lines().collect::<Vec<_>>(),
        ["refs/from-backup/worktrees/linked/HEAD", "refs/from-backup/worktrees/linked/refs/bisect/bad"]
    );
    lab.git("again.git", &["gc", "-q", "--prune=now"]);
    lab.git("again.git", &["cat-file", "-e", &format!("{oid}:w")]);
}

#[test]
fn a_tree_that_is_loose_below_a_packed_commit_comes_back() {
    let lab = Lab::new();
    lab.commit("one");
    let commit = lab.git("repo", &["rev-parse", "HEAD"]);
    let list = lab.path("list");
    fs::write(&list, &commit).unwrap();
    let packed = Command::new("git")
        .args(["pack-objects", "-q", ".git/objects/pack/pack"])
        .current_dir(lab.path("repo"))
        .stdin(File::open(&list).unwrap())
        .stdout(Stdio::null())
        .status();
    assert!(packed.unwrap().success());
    lab.git("repo", &["prune-packed"]);
    assert_eq!(lab.round_trip("repo").0.len(), 2);
}

#[test]
fn what_is_packed_already_is_not_packed_again() {
    let lab = Lab::new();
    lab.fill();
    // Without -d, the loose objects stay beside the pack.
    lab.git("repo", &["repack", "-q", "-a"]);
    assert_eq!(lab.round_trip("repo").0.len(), 1);
}

#[test]
fn refs_that_are_no_utf8_or_links_come_back() {
    use std::os::unix::ffi::OsStrExt as _;
    let lab = Lab::new();
    lab.commit("one");
    let heads = lab.path("repo/.git/refs/heads");
    fs::copy(heads.join("main"), heads.join(std::ffi::OsStr::from_bytes(b"caf\xe9"))).unwrap();
    let head = lab.path("repo/.git/HEAD");
    fs::remove_file(&head).unwrap();
    std::os::unix::fs::symlink("refs/heads/main", head).unwrap();
    let (files, facts) = lab.backup("repo").unwrap();
    restore_from_files(&files, &facts.details, &lab.path("back.git")).unwrap();
    let refs = |repo| lab.output(repo, &["for-each-ref", "--format=%(refname) %(objectname) %(symref)"]).stdout;
    assert_eq!(refs("back.git"), refs("repo"));
    assert_eq!(facts.details["head"]["symbolic"], "refs/heads/main");
    assert!(refs("repo").windows(4).any(|w| w == b"caf\xe9"));
}

#[test]
fn housekeeping_meanwhile_takes_nothing_away() {
    let lab = Lab::new();
    lab.fill();
    lab.git("repo", &["gc", "-q", "--prune=now"]);
    lab.commit("late");
    let before = lab.state("repo");
    let mut reading = GitSource::new(lab.path("repo")).open().unwrap();
    // All packs are replaced, loose objects packed, and refs moved before the first byte is read.
    lab.commit("later");
    lab.git("repo", &["gc", "-q", "--prune=now"]);
    let mut files = Vec::new();
    while let Some(mut stream) = reading.next_stream().unwrap() {
        let path = lab.path(stream.name.as_str());
        std::io::copy(&mut stream.reader, &mut File::create(&path).unwrap()).unwrap();
        files.push((stream.name, path));
    }
    let facts = reading.finish().unwrap();
    restore_from_files(&files, &facts.details, &lab.path("back.git")).unwrap();
    assert_eq!(files.len(), 2);
    assert_eq!(lab.state("back.git"), before);
}

#[test]
fn settings_and_description_are_kept_for_reading_without_secrets() {
    let lab = Lab::new();
    lab.commit("one");
    lab.git("repo", &["config", "remote.origin.url", "https://me:tok123@host/r.git"]);
    lab.git("repo", &["config", "http.https://host/.extraheader", "AUTHORIZATION: basic tok123"]);
    lab.git("repo", &["config", "core.fsmonitor", "evil"]);
    fs::write(lab.path("repo/.git/description"), "orders\n").unwrap();
    let (_, facts) = lab.round_trip("repo");
    assert!(!facts.details.to_string().contains("tok123"), "{}", facts.details);
    let kept = fs::read_to_string(lab.path("back.git/config.from-backup")).unwrap();
    assert!(kept.contains("remote.origin.url=https://***@host/r.git"), "{kept}");
    assert_eq!(fs::read_to_string(lab.path("back.git/description")).unwrap(), "orders\n");
    assert!(!fs::read_to_string(lab.path("back.git/config")).unwrap().contains("evil"));
}
