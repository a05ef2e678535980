//! Damaged vaults: whatever byte is wrong, a restore gives the right bytes or none.

use std::{collections::BTreeSet, fs, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::lab::{Lab, Run, chmod, dump, must_be, noise, tree};

/// A file of the vault that is damaged, until this is dropped.
struct Damaged {
    path: PathBuf,
    whole: Vec<u8>,
}

impl Damaged {
    fn new(path: PathBuf, damage: impl FnOnce(&mut Vec<u8>)) -> Self {
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        damage(&mut bytes);
        chmod(&path, 0o600);
        fs::write(&path, bytes).unwrap();
        Self { path, whole }
    }
}

impl Drop for Damaged {
    fn drop(&mut self) {
        fs::write(&self.path, &self.whole).unwrap();
        chmod(&self.path, 0o444);
    }
}

/// Restores a snapshot; on failure nothing with the name of a file may be left.
fn restore(lab: &Lab, id: &str, wanted: &[u8], what: &str) -> Run {
    let out = lab.path("out");
    let run = lab.run(&mut lab.reader(["restore", id, "--to", out.to_str().unwrap()]));
    if run.code == Some(0) {
        must_be(&fs::read(out.join("x/stdin")).unwrap(), wanted, what);
    } else {
        let left: Vec<String> = tree(&out).into_iter().filter(|name| !name.ends_with('/')).collect();
        assert_eq!(left, [""; 0], "{what}: left by a failed restore");
    }
    if out.exists() {
        fs::remove_dir_all(&out).unwrap();
    }
    run
}

/// What a flipped bit in an object of this kind may mean: to the restore of a snapshot that needs it, and to a
/// verification that reads every byte.
fn expected(object: &str) -> (&'static [i32], &'static [i32]) {
    let record = object.ends_with(".lock");
    match object.split('/').next().unwrap() {
        "packs" | "indexes" | "lists" | "snapshots" if record => (&[0], &[5]),
        // What restores from a pack is its blocks; its header and directory are in the index too.
        "packs" => (&[0, 4], &[4]),
        // Packs alone rebuild everything.
        "indexes" => (&[0], &[4]),
        "lists" => (&[4], &[4]),
        // Nobody can tell a damaged newest header from one that somebody made up.
        "snapshots" => (&[1, 4], &[0, 4]),
        // Every header embeds what it needs of these.
        "vault.json" => (&[0], &[4]),
        _ => (&[0], &[0, 4, 5]),
    }
}

#[test]
fn a_flipped_bit_in_any_object() {
    let lab = Lab::new();
    let bytes = dump(1, 400_000);
    let id = lab.backup("x", &bytes)["id"].as_str().unwrap().to_owned();
    let (mut kinds, mut refused) = (BTreeSet::new(), 0);
    for object in lab.objects() {
        let path = lab.path("vault").join(&object);
        let len = fs::metadata(&path).unwrap().len();
        let few = if object.ends_with(".lock") { 1 } else { 4 };
        for (bit, at) in [len / 2, len / 5, len - 2, 0].into_iter().enumerate().take(few) {
            let at = usize::try_from(at).unwrap();
            let damaged = Damaged::new(path.clone(), |bytes| bytes[at] ^= 1 << bit);
            let what = format!("{object}, bit {bit} of byte {at} of {len}");
            let (restores, verifies) = expected(&object);
            let run = restore(&lab, &id, &bytes, &what);
            assert!(restores.contains(&run.code.unwrap()), "{what}: {}", run.said());
            refused += u32::from(run.code != Some(0));
            let run = lab.run(&mut lab.reader(["verify", "--depth", "read"]));
            assert!(verifies.contains(&run.code.unwrap()), "{what}: {}", run.said());
            let named = object.trim_end_matches(".lock");
            assert!(run.code == Some(0) || run.said().contains(named), "{what}: {}", run.said());
            drop(damaged);
        }
        kinds.insert(object.split('/').next().unwrap().to_owned());
    }
    assert_eq!(kinds.len(), 10, "{kinds:?}");
    assert!(refused >= 10, "only {refused} flips were in the way of the restore");
    restore(&lab, &id, &bytes, "whole again").ok();
}

#[test]
fn a_pack_that_is_cut_short_replaced_or_gone() {
    let lab = Lab::new();
    let (first, second) = (noise(1, 300_000), noise(2, 300_000));
    let ids = [&first, &second].map(|bytes| lab.backup("x", bytes)["id"].as_str().unwrap().to_owned());
    let packs = packs(&lab);
    assert_eq!(packs.len(), 2);
    let mut spoiled = [0, 0];
    for (no, pack) in packs.iter().enumerate() {
        let other = fs::read(&packs[1 - no]).unwrap();
        let damages: [(&str, &dyn Fn(&mut Vec<u8>)); 6] = [
            ("emptied", &|bytes| bytes.clear()),
            ("cut to its first byte", &|bytes| bytes.truncate(1)),
            ("cut in half", &|bytes| bytes.truncate(bytes.len() / 2)),
            ("cut by a byte", &|bytes| bytes.truncate(bytes.len() - 1)),
            ("grown by a byte", &|bytes| bytes.push(0)),
            ("replaced by another pack", &|bytes| bytes.clone_from(&other)),
        ];
        for (what, damage) in damages {
            let _damaged = Damaged::new(pack.clone(), damage);
            let codes = [(0, &first), (1, &second)].map(|(i, bytes)| restore(&lab, &ids[i], bytes, what).code.unwrap());
            for (code, count) in codes.iter().zip(&mut spoiled) {
                assert!([0, 4].contains(code), "{what}: {code}");
                *count += i32::from(*code == 4);
            }
            assert!(codes.contains(&0), "{what}: the other snapshot is spoiled too");
            let name = pack.file_name().unwrap().to_str().unwrap();
            for depth in ["locks", "read", "decrypt"] {
                if depth == "locks" && what == "replaced by another pack" {
                    continue; // It may have the same size.
                }
                let run = lab.run(&mut lab.reader(["verify", "--depth", depth])).code(4);
                assert!(run.said().contains(name), "{what}: {}", run.said());
            }
        }
        let away = lab.path("away");
        fs::rename(pack, &away).unwrap();
        lab.run(&mut lab.reader(["verify"])).code(4);
        fs::rename(&away, pack).unwrap();
    }
    assert!(spoiled.iter().all(|count| *count >= 4), "{spoiled:?}");
    lab.run(&mut lab.reader(["verify", "--depth", "decrypt"])).ok();
}

fn packs(lab: &Lab) -> Vec<PathBuf> {
    let all = lab.objects().into_iter().filter(|name| name.starts_with("packs/") && !name.ends_with(".lock"));
    all.map(|name| lab.path("vault").join(name)).collect()
}

#[test]
fn damage_in_the_middle_of_a_long_stream() {
    let lab = Lab::new();
    let bytes = noise(3, 40 << 20);
    let id = lab.backup("x", &bytes)["id"].as_str().unwrap().to_owned();
    let packs = packs(&lab);
    assert!(packs.len() >= 2);
    let mut begun = 0;
    for pack in packs {
        let _damaged = Damaged::new(pack, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        });
        restore(&lab, &id, &bytes, "a flipped bit in a pack").code(4).says(&["hint: "]);
        // A stream can't be taken back: what came is right, and it is not all.
        let run = lab.run(&mut lab.reader(["restore", &id, "--to", "-"])).code(4);
        assert!(run.stdout.len() < bytes.len() && bytes.starts_with(&run.stdout));
        begun += u32::from(!run.stdout.is_empty());
    }
    assert!(begun > 0, "some restore was under way when it met the damage");
}

#[test]
fn what_is_whole_of_a_damaged_tree_can_be_had() {
    let lab = Lab::new();
    fs::create_dir(lab.path("data")).unwrap();
    let (a, b) = (noise(4, 20 << 20), noise(5, 20 << 20));
    for (name, bytes) in [("a", &a), ("b", &b)] {
        fs::write(lab.path("data").join(name), bytes).unwrap();
    }
    lab.run(&mut lab.writer(["backup", "--name", "x", "--path", &lab.text("data")])).ok();
    let id = lab.ids().pop().unwrap();
    let out = lab.text("out");
    let mut whole = 0;
    for pack in packs(&lab) {
        let _damaged = Damaged::new(pack, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
        for (name, bytes) in [("a", &a), ("b", &b)] {
            let run = lab.run(&mut lab.reader(["restore", &id, "--stream", name, "--to", &out]));
            let file = lab.path("out/x").join(name);
            if run.code == Some(0) {
                must_be(&fs::read(file).unwrap(), bytes, name);
                whole += 1;
            } else {
                run.fails(4, &["hint: "]);
                assert!(!file.exists());
            }
        }
        fs::remove_dir_all(lab.path("out")).unwrap();
    }
    assert!(whole >= 2, "{whole}");
}

/// Changes the payload of a signed document.
fn edit(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut envelope: Value = serde_json::from_slice(bytes).unwrap();
    let mut document: Value =
        serde_json::from_slice(&STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap();
    change(&mut document);
    envelope["payload"] = STANDARD.encode(serde_json::to_vec(&document).unwrap()).into();
    serde_json::to_vec(&envelope).unwrap()
}

#[test]
fn a_newer_format_is_told_with_both_versions() {
    let lab = Lab::new();
    let id = lab.backup("x", b"bytes")["id"].as_str().unwrap().to_owned();
    let newer = |document: &mut Value| document["format"] = "7-next".into();
    let version: Value = serde_json::from_slice(&fs::read(lab.path("etc/writer.key")).unwrap()).unwrap();
    let known = version["format"].as_str().unwrap();
    {
        let _newer = Damaged::new(lab.path("vault/vault.json"), |bytes| *bytes = edit(bytes, newer));
        // The key pins the vault, and its headers say what it was.
        let run = restore(&lab, &id, b"bytes", "a newer vault.json");
        assert!(run.code == Some(0) || run.stderr.contains("7-next"), "{}", run.said());
        // Who comes with nothing but a URL is told to get a newer program.
        let run = lab.run(&mut lab.program(["snapshots", "--vault", &lab.url()]));
        run.fails(1, &["7-next", known, "newer strongroom"]);
    }
    let header = lab.objects().into_iter().find(|name| name.starts_with("snapshots/")).unwrap();
    let bytes = edit(&fs::read(lab.path("vault").join(&header)).unwrap(), newer);
    let name = format!("vault/snapshots/writer/0000000002-{}.json", blake3::hash(&bytes).to_hex());
    fs::write(lab.path(name), bytes).unwrap();
    // It may be a lie that somebody put there, so it is told of and stands in nobody's way.
    for args in [&["snapshots"][..], &["verify"], &["restore", "latest", "--source", "x", "--to", "-"]] {
        lab.run(&mut lab.reader(args)).ok().says_anywhere(&["7-next", known, "header.newer"]);
    }
    assert_eq!(lab.bytes_of(&id), b"bytes");
    let key = fs::read_to_string(lab.path("etc/writer.key")).unwrap();
    let told = format!("\"format\": \"{known}\"");
    assert!(key.contains(&told));
    fs::write(lab.path("etc/writer.key"), key.replacen(&told, "\"format\": \"7-next\"", 1)).unwrap();
    lab.feed(&mut lab.writer(["backup", "--name", "x", "--stdin"]), b"more").fails(1, &["7-next", known]);
}
