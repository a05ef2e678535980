//! Copies and repairs as somebody meets them who damages several things at once and mixes passes up.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::lab::{Lab, Run, noise, tree};

pub fn url(lab: &Lab, name: &str) -> String {
    format!("file://{}", lab.text(name))
}

/// The program at some place, with nothing else.
pub fn at(lab: &Lab, place: &str, args: &[&str]) -> Command {
    let mut command = lab.around(crate::lab::PROGRAM);
    command.args(["--vault", &url(lab, place)]).args(args);
    command
}

pub fn replicate(lab: &Lab, to: &str, more: &[&str]) -> Run {
    let to = url(lab, to);
    lab.run(at(lab, "vault", &["replicate", "--to", &to, "--json"]).args(more))
}

/// A repair of one place from another.
pub fn repair(lab: &Lab, place: &str, from: &str) -> Run {
    let from = url(lab, from);
    lab.run(&mut at(lab, place, &["repair", "--from", &from, "--json"]))
}

pub fn verify(lab: &Lab, place: &str, depth: &str) -> Run {
    lab.run(&mut at(lab, place, &["verify", "--depth", depth, "--json"]))
}

/// A vault of so many small snapshots, and a whole copy of it.
pub fn vault(snapshots: u64) -> Lab {
    vault_and_pack(snapshots).0
}

/// The same with the pack that the last snapshot alone needs.
fn vault_and_pack(snapshots: u64) -> (Lab, PathBuf) {
    let lab = Lab::new();
    let mut before = Vec::new();
    for no in 0..snapshots {
        before = below(&lab, "vault", "packs/");
        lab.backup("x", &noise(no, 100_000));
    }
    replicate(&lab, "copy", &[]).ok();
    let last = below(&lab, "vault", "packs/").into_iter().find(|pack| !before.contains(pack)).unwrap();
    (lab, last)
}

/// Objects below a prefix, without records of locks, in order: headers as they were made.
pub fn below(lab: &Lab, place: &str, prefix: &str) -> Vec<PathBuf> {
    let root = lab.path(place);
    let is = |name: &String| name.starts_with(prefix) && !name.ends_with('/') && !name.ends_with(".lock");
    tree(&root).into_iter().filter(is).map(|name| root.join(name)).collect()
}

/// The same name in another place.
fn twin(lab: &Lab, path: &Path, place: &str) -> PathBuf {
    lab.path(place).join(path.strip_prefix(lab.path("vault")).unwrap())
}

pub fn record(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.lock", path.display()))
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// Whether a finding with this code names something of this name.
pub fn names(run: &Run, code: &str, named: &str) -> bool {
    let all = run.json()["findings"].as_array().unwrap().clone();
    let text = |finding: &serde_json::Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    all.iter().any(|f| text(f, "code") == code && (text(f, "object").contains(named) || text(f, "snapshot") == named))
}

/// What an envelope signs.
fn payload(envelope: &str) -> String {
    let envelope: serde_json::Value = serde_json::from_str(envelope).unwrap();
    String::from_utf8(STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn what_names_something_lost_is_put_back_all_the_same() {
    let (lab, pack) = vault_and_pack(2);
    let header = below(&lab, "vault", "snapshots/").pop().unwrap();
    let text = fs::read_to_string(&header).unwrap();
    let named = |page: &PathBuf| payload(&text).contains(&file_name(page));
    let page = below(&lab, "vault", "lists/").into_iter().find(named).unwrap();
    let (pack, page, header) = (&pack, &page, &header);
    let whole = (fs::read(page).unwrap(), fs::read(header).unwrap());
    // A pack is gone from both; its page is gone here, and the header that names both is damaged.
    for path in [pack, &twin(&lab, pack, "copy"), page] {
        fs::remove_file(path).unwrap();
    }
    cut(header);
    let run = repair(&lab, "vault", "copy").code(4);
    assert!(names(&run, "repair.lost", &file_name(pack)), "{}", run.said());
    for (path, bytes) in [(page, whole.0), (header, whole.1)] {
        assert!(names(&run, "repair.mended", &file_name(path)), "{}", run.said());
        assert_eq!(fs::read(path).unwrap(), bytes, "{}", path.display());
    }
    assert_eq!(run.json()["result"]["broken"].as_array().unwrap().len(), 1, "{}", run.said());
    // What is left is told by a verification, and nothing else is.
    let seen = verify(&lab, "vault", "read").code(4);
    assert!(names(&seen, "pack.missing", &file_name(pack)) || names(&seen, "object.lost", &file_name(pack)));
    for code in ["header.damaged", "page.missing", "page.damaged"] {
        assert!(!seen.said().contains(code), "{}", seen.said());
    }
    // A copy never gets a header of which something is missing, by a pass or by a repair that had nothing of it before.
    replicate(&lab, "other", &[]).code(4);
    assert_eq!(below(&lab, "other", "snapshots/").len(), 1);
    let run = repair(&lab, "other", "vault").code(4);
    assert!(names(&run, "repair.lost", &file_name(pack)), "{}", run.said());
    assert_eq!(below(&lab, "other", "snapshots/").len(), 1);
}

#[test]
fn a_copy_goes_by_the_bytes_once_a_repair_left_something_damaged_there() {
    let (lab, pack) = vault_and_pack(2);
    let (pack, pages) = (&pack, below(&lab, "vault", "lists/"));
    // In the copy a pack has other bytes of the same length and its page is gone; the vault can't give the pack for now.
    let (there, aside) = (twin(&lab, pack, "copy"), lab.path("aside"));
    let mut bytes = fs::read(&there).unwrap();
    bytes[50] ^= 1;
    fs::remove_file(&there).unwrap();
    fs::write(&there, bytes).unwrap();
    for page in &pages {
        fs::remove_file(twin(&lab, page, "copy")).unwrap();
    }
    fs::rename(pack, &aside).unwrap();
    let run = repair(&lab, "copy", "vault").code(4);
    assert!(names(&run, "repair.lost", &file_name(pack)), "{}", run.said());
    assert_eq!(below(&lab, "copy", "lists/").len(), pages.len(), "pages are back: {}", run.said());
    // The header goes, and the next pass would bring it, going by its page.
    fs::rename(&aside, pack).unwrap();
    let header = below(&lab, "copy", "snapshots/").into_iter().next_back().unwrap();
    fs::remove_file(&header).unwrap();
    fs::remove_file(record(&header)).unwrap();
    let run = replicate(&lab, "copy", &[]).code(4);
    assert!(names(&run, "copy.taken", &file_name(pack)) && !header.exists(), "{}", run.said());
    // A repair that reads all and leaves nothing ends that.
    repair(&lab, "copy", "vault").ok();
    verify(&lab, "copy", "read").ok();
    let run = replicate(&lab, "copy", &[]).ok();
    assert!(header.exists(), "{}", run.said());
}

#[test]
fn what_is_gone_from_both_is_named_as_far_as_something_tells_of_it() {
    let lab = vault(3);
    let headers = below(&lab, "vault", "snapshots/");
    let gone = |path: &Path, with_record: bool| {
        for path in [path.to_owned(), twin(&lab, path, "copy")] {
            fs::remove_file(&path).unwrap();
            if with_record {
                fs::remove_file(record(&path)).unwrap();
            }
        }
    };
    // Of the newest the record of its lock tells, of the first the one after it.
    gone(&headers[2], false);
    gone(&headers[0], true);
    let is_root = |path: &PathBuf| file_name(path).starts_with("root-");
    let (roots, records): (Vec<PathBuf>, Vec<PathBuf>) = below(&lab, "vault", "keys/").into_iter().partition(is_root);
    let members = below(&lab, "vault", "members/");
    gone(&roots[0], true);
    // These are embedded in what is left.
    gone(&records[0], true);
    gone(&members[0], true);
    gone(&lab.path("vault/vault.json"), true);
    let from = url(&lab, "copy");
    let run = lab.run(at(&lab, "vault", &["repair", "--from", &from, "--json", "-i"]).arg(lab.identity())).code(4);
    assert!(names(&run, "repair.lost", &file_name(&headers[2])), "{}", run.said());
    let first = file_name(&headers[0]);
    let id = first.split(['-', '.']).nth(1).unwrap();
    assert!(names(&run, "repair.lost", id), "{id}: {}", run.said());
    assert!(names(&run, "repair.lost", &file_name(&roots[0])), "{}", run.said());
    for path in [&records[0], &members[0], &lab.path("vault/vault.json")] {
        assert!(path.exists() && names(&run, "repair.mended", &file_name(path)), "{}: {}", path.display(), run.said());
    }
}

#[test]
fn a_partial_pass_makes_no_part_of_what_is_whole() {
    let lab = vault(3);
    let part = |lab: &Lab| tree(&lab.path("copy/copies")).into_iter().any(|name| name.contains("-part-"));
    // Nothing is missing after it: what is whole stays whole.
    lab.backup("x", &noise(9, 100_000));
    replicate(&lab, "copy", &["--newest", "1"]).ok();
    assert!(!part(&lab), "{:?}", tree(&lab.path("copy/copies")));
    let header = below(&lab, "copy", "snapshots/").remove(1);
    let (bytes, lock) = (fs::read(&header).unwrap(), fs::read(record(&header)).unwrap());
    fs::remove_file(&header).unwrap();
    fs::remove_file(record(&header)).unwrap();
    verify(&lab, "copy", "locks").code(4).says_anywhere(&["header.missing"]);
    fs::write(&header, bytes).unwrap();
    fs::write(record(&header), lock).unwrap();
    // This one leaves something out, and so is a part, until a whole pass brings the rest, or has nothing to bring any more.
    lab.backup("x", &noise(10, 100_000));
    lab.backup("x", &noise(11, 100_000));
    replicate(&lab, "copy", &["--newest", "1"]).ok();
    verify(&lab, "copy", "locks").ok().says_anywhere(&["chain.part"]);
    replicate(&lab, "copy", &["--newest", "2"]).ok();
    replicate(&lab, "copy", &[]).ok();
    verify(&lab, "copy", "locks").ok();
    for path in below(&lab, "copy", "snapshots/").into_iter().take(3).skip(1) {
        fs::remove_file(record(&path)).unwrap();
        fs::remove_file(path).unwrap();
    }
    verify(&lab, "copy", "locks").code(4).says_anywhere(&["header.missing"]);
}

#[test]
fn a_whole_pass_with_nothing_new_makes_a_part_whole_again() {
    let lab = vault(2);
    // Its record says that it is a part, as those of earlier builds did after a partial pass.
    let copies = lab.path("copy/copies");
    let name = tree(&copies).into_iter().find(|name| name.contains("-whole-") && !name.ends_with(".lock")).unwrap();
    let text = fs::read_to_string(copies.join(&name)).unwrap().replace("\"part\":false", "\"part\":true");
    fs::remove_file(copies.join(&name)).unwrap();
    fs::remove_file(record(&copies.join(&name))).unwrap();
    let hash = blake3::hash(text.as_bytes()).to_hex();
    fs::write(copies.join(format!("{}-part-{hash}.json", &name[..33])), &text).unwrap();
    let header = below(&lab, "copy", "snapshots/").remove(0);
    let bytes = fs::read(&header).unwrap();
    replicate(&lab, "copy", &[]).ok();
    fs::remove_file(&header).unwrap();
    fs::remove_file(record(&header)).unwrap();
    verify(&lab, "copy", "locks").code(4).says_anywhere(&["header.missing"]);
    fs::write(&header, bytes).unwrap();
}

#[test]
fn what_is_held_is_locked_in_the_copy_for_as_long() {
    let (lab, other) = vault_and_pack(2);
    let first = lab.ids().remove(0);
    let freeze = |id: &str, span: &str| {
        let mut command = at(&lab, "vault", &["freeze", id, "--for", span, "-i"]);
        lab.run(command.arg(lab.identity())).ok();
    };
    freeze(&first, "100d");
    let run = replicate(&lab, "copy", &[]).ok();
    verify(&lab, "copy", "locks").ok();
    assert!(run.json()["result"]["copies"][0]["report"]["held"].as_u64().unwrap() > 3, "{}", run.said());
    // Once is enough.
    let run = replicate(&lab, "copy", &[]).ok();
    assert_eq!(run.json()["result"]["copies"][0]["report"]["held"], 0, "{}", run.said());
    // What a new copy gets is held as well, and what a repair puts back.
    replicate(&lab, "fresh", &[]).ok();
    verify(&lab, "fresh", "locks").ok();
    let other = twin(&lab, &other, "fresh");
    let pack = below(&lab, "fresh", "packs/").into_iter().find(|pack| *pack != other).unwrap();
    fs::remove_file(record(&pack)).unwrap();
    fs::remove_file(&pack).unwrap();
    repair(&lab, "fresh", "vault").ok();
    verify(&lab, "fresh", "read").ok();
    // So does `renew` where somebody took a lock back to what it was.
    fs::write(record(&pack), fs::read(record(&other)).unwrap()).unwrap();
    verify(&lab, "fresh", "locks").code(5).says_anywhere(&["lock.short"]);
    lab.run(&mut at(&lab, "fresh", &["renew"])).ok();
    verify(&lab, "fresh", "locks").ok();
    // A part that lacks what is held says so, and fails for it no more.
    replicate(&lab, "part", &["--newest", "1"]).ok();
    verify(&lab, "part", "locks").ok().says_anywhere(&["hold.part"]);
}

#[test]
fn a_directory_in_an_objects_place_is_damage_of_that_one() {
    let lab = vault(2);
    let packs = below(&lab, "vault", "packs/");
    let (blocked, broken) = (&packs[0], &packs[1]);
    for path in [blocked, broken] {
        fs::remove_file(path).unwrap();
    }
    fs::create_dir(blocked).unwrap();
    fs::write(blocked.join("x"), b"y").unwrap();
    let run = repair(&lab, "vault", "copy").code(4);
    assert!(names(&run, "repair.failed", &file_name(blocked)), "{}", run.said());
    assert!(names(&run, "repair.mended", &file_name(broken)) && broken.is_file(), "{}", run.said());
    fs::remove_dir_all(blocked).unwrap();
    // A file where the directories of packs are.
    let fan = blocked.parent().unwrap();
    fs::remove_dir_all(fan).unwrap();
    fs::write(fan, b"z").unwrap();
    let run = repair(&lab, "vault", "copy").code(4);
    assert!(names(&run, "repair.failed", &file_name(blocked)), "{}", run.said());
    fs::remove_file(fan).unwrap();
    repair(&lab, "vault", "copy").ok();
    verify(&lab, "vault", "read").ok();
    // The same where parity heals.
    let run = lab.run(&mut at(&lab, "vault", &["repair", "--parity", "25%", "--json"])).ok();
    assert!(run.json()["result"]["parity"]["groups"].as_u64().unwrap() > 0);
    fs::remove_file(blocked).unwrap();
    fs::create_dir(blocked).unwrap();
    let run = lab.run(&mut at(&lab, "vault", &["repair", "--json"])).code(4);
    assert!(run.said().contains(&file_name(blocked)), "{}", run.said());
}

#[test]
fn a_damaged_record_of_a_lock_is_made_anew() {
    let lab = vault(2);
    let victims: Vec<PathBuf> = ["packs/", "lists/", "indexes/", "snapshots/", "keys/", "members/", "vault.json"]
        .iter()
        .map(|prefix| record(&below(&lab, "vault", prefix)[0]))
        .collect();
    for victim in &victims {
        fs::remove_file(victim).unwrap();
        fs::write(victim, b"{\"mode\":").unwrap();
    }
    verify(&lab, "vault", "locks").code(5).says_anywhere(&["lock.unread"]);
    let from = url(&lab, "copy");
    lab.run(&mut at(&lab, "vault", &["repair", "--from", &from, "--dry-run"]))
        .code(5)
        .says_anywhere(&["can't be read"]);
    let run = repair(&lab, "vault", "copy").ok();
    for victim in &victims {
        assert!(names(&run, "repair.mended", &file_name(victim)), "{}: {}", victim.display(), run.said());
    }
    verify(&lab, "vault", "read").ok();
    let run = repair(&lab, "vault", "copy").ok();
    assert!(!run.said().contains("repair.mended"), "{}", run.said());
}

/// A damaged object with the record of its lock.
fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[20] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_header_or_document_that_neither_has_whole_is_lost_in_both() {
    let lab = vault(3);
    let headers = below(&lab, "vault", "snapshots/");
    let is_root = |path: &PathBuf| file_name(path).starts_with("root-");
    let root = &below(&lab, "vault", "keys/").into_iter().find(is_root).unwrap();
    // The newest header is damaged there and gone here without a trace; a root's record is damaged here and gone there.
    let newest = &headers[2];
    spoil(&twin(&lab, newest, "copy"));
    fs::remove_file(newest).unwrap();
    fs::remove_file(record(newest)).unwrap();
    spoil(root);
    fs::remove_file(twin(&lab, root, "copy")).unwrap();
    let run = repair(&lab, "vault", "copy").code(4);
    for path in [newest, root] {
        assert!(names(&run, "repair.lost", &file_name(path)), "{}: {}", path.display(), run.said());
    }
    // One that is damaged in both, and one whose record is gone, too, that another names.
    let lab = vault(3);
    let headers = below(&lab, "vault", "snapshots/");
    for path in [&headers[2], &twin(&lab, &headers[2], "copy"), &headers[0], &twin(&lab, &headers[0], "copy")] {
        spoil(path);
    }
    for path in [&headers[0], &twin(&lab, &headers[0], "copy")] {
        fs::remove_file(record(path)).unwrap();
    }
    let run = repair(&lab, "vault", "copy").code(4);
    assert!(names(&run, "repair.lost", &file_name(&headers[2])), "{}", run.said());
    let first = file_name(&headers[0]);
    assert!(names(&run, "repair.lost", first.split(['-', '.']).nth(1).unwrap()), "{}", run.said());
}

#[test]
fn replicate_says_what_its_source_lost() {
    let lab = vault(3);
    let newest = below(&lab, "vault", "snapshots/").pop().unwrap();
    fs::remove_file(&newest).unwrap();
    for place in ["copy", "other"] {
        let run = replicate(&lab, place, &[]).code(4);
        assert!(names(&run, "copy.damaged", &file_name(&newest)), "{}", run.said());
    }
    repair(&lab, "vault", "copy").ok();
    replicate(&lab, "other", &[]).ok();
    // As a directory in its place does.
    fs::remove_file(&newest).unwrap();
    fs::create_dir(&newest).unwrap();
    let run = replicate(&lab, "other", &[]).code(4);
    assert!(names(&run, "copy.damaged", &file_name(&newest)), "{}", run.said());
}

#[test]
fn parity_that_cannot_be_read_stays_while_something_is_gone() {
    let lab = vault(2);
    replicate(&lab, "copy", &["--parity", "5%"]).ok();
    let file =
        tree(&lab.path("copy/.parity")).into_iter().map(|name| lab.path("copy/.parity").join(name)).next().unwrap();
    let whole = fs::read(&file).unwrap();
    let mut blind = whole.clone();
    for at in [0, blind.len() - 56] {
        blind[at..at + 4].fill(0);
    }
    let page = below(&lab, "copy", "lists/").remove(0);
    fs::write(&file, &blind).unwrap();
    fs::remove_file(&page).unwrap();
    let run = |args: &[&str]| lab.run(at(&lab, "copy", args).arg("--json")).code(4);
    let told =
        [run(&["repair"]), replicate(&lab, "copy", &["--parity", "5%"]).code(4), replicate(&lab, "copy", &[]).code(4)];
    for run in told {
        assert!(names(&run, "parity.left-out", &file_name(&page)), "{}", run.said());
        assert_eq!(fs::read(&file).unwrap(), blind);
    }
    run(&["prune", "--yes"]);
    assert_eq!(fs::read(&file).unwrap(), blind);
    // It still heals once it can be read.
    fs::write(&file, whole).unwrap();
    lab.run(&mut at(&lab, "copy", &["repair", "--json"])).ok();
    assert!(page.exists());
    verify(&lab, "copy", "read").ok();
    // What is gone and was never covered is named as well.
    lab.backup("x", &noise(40, 100_000));
    let before = below(&lab, "vault", "packs/");
    lab.run(&mut at(&lab, "vault", &["repair", "--parity", "5%", "--json"])).ok();
    lab.backup("x", &noise(41, 100_000));
    let fresh = below(&lab, "vault", "packs/").into_iter().find(|pack| !before.contains(pack)).unwrap();
    fs::remove_file(&fresh).unwrap();
    let run = lab.run(&mut at(&lab, "vault", &["repair", "--json"])).code(4);
    assert!(names(&run, "parity.beyond", &file_name(&fresh)), "{}", run.said());
}
