//! Objects that this user may not read, and what is no object in an object's place: each is told by itself, and the rest is looked
//! at, copied and mended all the same.

use std::{
    fs,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    lab::{Lab, Run, chmod, noise},
    mended::{at, below, names, record, url, vault},
    mount::without_privilege,
};

fn plain(lab: &Lab, command: &Command) -> Run {
    lab.run(&mut without_privilege(lab, command))
}

fn verify(lab: &Lab, place: &str) -> Run {
    plain(lab, &at(lab, place, &["verify", "--depth", "read", "--json"]))
}

fn replicate(lab: &Lab, to: &str) -> Run {
    plain(lab, &at(lab, "vault", &["replicate", "--to", &url(lab, to), "--json"]))
}

fn repair(lab: &Lab, place: &str, from: &str) -> Run {
    plain(lab, &at(lab, place, &["repair", "--from", &url(lab, from), "--json"]))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn first(lab: &Lab, place: &str, prefix: &str) -> PathBuf {
    below(lab, place, prefix).remove(0)
}

#[test]
fn a_verification_tells_of_each_and_of_all_else() {
    let lab = vault(2);
    let closed: Vec<PathBuf> = ["packs/", "lists/", "indexes/", "keys/epoch", "members/"]
        .iter()
        .map(|prefix| first(&lab, "vault", prefix))
        .collect();
    for path in &closed {
        chmod(path, 0o000);
        let run = verify(&lab, "vault").code(1);
        let code = if path.to_string_lossy().contains("/lists/") { "page.unread" } else { "object.unread" };
        assert!(names(&run, code, &name(path)), "{}: {}", path.display(), run.said());
        assert!(run.json()["result"]["snapshots"] == 2, "{}", run.said());
        chmod(path, 0o444);
    }
    // The newest header, and one that another follows.
    for header in below(&lab, "vault", "snapshots/") {
        chmod(&header, 0o000);
        let run = verify(&lab, "vault").code(1);
        assert!(names(&run, "object.unread", &name(&header)), "{}", run.said());
        chmod(&header, 0o444);
    }
    // What is proven to be damaged beside it counts for more.
    chmod(&closed[2], 0o000);
    let gone = below(&lab, "vault", "packs/").pop().unwrap();
    let bytes = fs::read(&gone).unwrap();
    fs::remove_file(&gone).unwrap();
    let run = verify(&lab, "vault").code(4);
    assert!(
        names(&run, "object.unread", &name(&closed[2])) && names(&run, "pack.missing", &name(&gone)),
        "{}",
        run.said()
    );
    fs::write(&gone, bytes).unwrap();
    chmod(&closed[2], 0o444);
    verify(&lab, "vault").ok();
}

#[test]
fn a_copy_goes_on_past_what_it_may_not_read() {
    let lab = vault(1);
    lab.backup("x", &noise(21, 100_000));
    lab.backup("y", &noise(22, 100_000));
    let headers = below(&lab, "vault", "snapshots/");
    // Of two new headers one can't be read, and then the only one that is left.
    chmod(&headers[1], 0o000);
    for copied in [1, 0] {
        let run = replicate(&lab, "copy").code(1);
        assert!(names(&run, "copy.unread", &name(&headers[1])), "{}", run.said());
        let report = run.json()["result"]["copies"][0]["report"].clone();
        assert_eq!(report["copied"].as_array().unwrap().len(), copied, "{report}");
    }
    chmod(&headers[1], 0o444);
    replicate(&lab, "copy").ok();
    // Neither do a pack and a certificate stop others.
    let before = below(&lab, "vault", "packs/");
    lab.backup("x", &noise(23, 100_000));
    let pack = below(&lab, "vault", "packs/").into_iter().find(|pack| !before.contains(pack)).unwrap();
    lab.backup("y", &noise(24, 100_000));
    let member = first(&lab, "vault", "members/");
    chmod(&pack, 0o000);
    chmod(&member, 0o000);
    let run = replicate(&lab, "copy").code(1);
    assert!(names(&run, "copy.unread", &name(&pack)), "{}", run.said());
    assert_eq!(run.json()["result"]["copies"][0]["report"]["copied"].as_array().unwrap().len(), 1, "{}", run.said());
    let run = replicate(&lab, "other").code(1);
    assert!(names(&run, "copy.unread", &name(&member)), "{}", run.said());
    assert_eq!(run.json()["result"]["copies"][0]["report"]["copied"].as_array().unwrap().len(), 4, "{}", run.said());
    chmod(&pack, 0o444);
    chmod(&member, 0o444);
    // A socket stands in the target where a pack belongs.
    let there = lab.path("copy").join(pack.strip_prefix(lab.path("vault")).unwrap());
    fs::create_dir_all(there.parent().unwrap()).unwrap();
    let socket = UnixListener::bind(lab.path("s")).unwrap();
    fs::rename(lab.path("s"), &there).unwrap();
    let run = replicate(&lab, "copy").code(4);
    assert!(names(&run, "copy.taken", &name(&pack)), "{}", run.said());
    drop(socket);
    fs::remove_file(&there).unwrap();
    replicate(&lab, "copy").ok();
    verify(&lab, "copy").ok();
}

#[test]
fn a_repair_mends_the_rest_and_leaves_what_it_may_not_read() {
    let lab = vault(3);
    let packs = below(&lab, "vault", "packs/");
    let header = below(&lab, "vault", "snapshots/").pop().unwrap();
    let bytes = fs::read(&packs[0]).unwrap();
    chmod(&packs[0], 0o000);
    chmod(&header, 0o000);
    fs::remove_file(&packs[1]).unwrap();
    let run = repair(&lab, "vault", "copy").code(1);
    for path in [&packs[0], &header] {
        assert!(names(&run, "repair.unread", &name(path)), "{}", run.said());
    }
    assert!(names(&run, "repair.mended", &name(&packs[1])) && packs[1].is_file(), "{}", run.said());
    chmod(&packs[0], 0o444);
    chmod(&header, 0o444);
    assert_eq!(fs::read(&packs[0]).unwrap(), bytes);
    // In the copy it can't be read, and here it is gone: that can't be healed, and the rest is.
    let there = |path: &Path| lab.path("copy").join(path.strip_prefix(lab.path("vault")).unwrap());
    chmod(&there(&packs[0]), 0o000);
    fs::remove_file(&packs[0]).unwrap();
    fs::remove_file(&packs[2]).unwrap();
    let run = repair(&lab, "vault", "copy");
    assert!(matches!(run.code, Some(1 | 4)), "{}", run.said());
    assert!(names(&run, "repair.unread", &name(&packs[0])) && packs[2].is_file(), "{}", run.said());
    chmod(&there(&packs[0]), 0o444);
    repair(&lab, "vault", "copy").ok();
    assert!(record(&packs[0]).is_file());
    verify(&lab, "vault").ok();
}
