//! G6: killed at any moment, the vault holds only whole snapshots, every earlier one restores, and the next run goes on
//! with what was uploaded.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::lab::{Lab, must_be, noise, tree};

/// How often a backup is killed.
const KILLS: u32 = 6;
/// The same moments each time, as far as machines are alike.
const SEED: u64 = 0x5742_4e47;
/// What a backup reads: some packs of it.
const BYTES: usize = 48 << 20;

/// A number of thousandths that looks random.
fn thousandths(no: u32) -> u32 {
    u32::from(u16::from_le_bytes(noise(SEED + u64::from(no), 2).try_into().unwrap())) % 1000
}

/// Starts `command` and kills it after `delay`; returns its process id and whether it was still running.
fn kill_after(command: &mut Command, delay: Duration) -> (u32, bool) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The moment is the point of it, and no test's verdict depends on which one it is.
    thread::sleep(delay); // the moment of the kill is what is tested
    child.kill().unwrap();
    (child.id(), child.wait().unwrap().code().is_none())
}

/// Starts `command` and kills it once the vault has `packs` more packs, or lets it end if it is faster; returns its
/// process id and whether it was still running. How far it came does not depend on how fast the machine is.
fn kill_at(lab: &Lab, command: &mut Command, packs: usize) -> (u32, bool) {
    let before = pack_count(lab);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while pack_count(lab) < before + packs && child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(2)); // nothing tells when another process has put
    }
    // Fails if it has ended by itself, which is fine.
    let _ = child.kill();
    (child.id(), child.wait().unwrap().code().is_none())
}

fn pack_count(lab: &Lab) -> usize {
    lab.objects().iter().filter(|name| name.starts_with("packs/") && !name.ends_with(".lock")).count()
}

/// How long `command` takes when nobody stops it.
fn measure(lab: &Lab, command: &mut Command) -> Duration {
    let start = Instant::now();
    lab.run(command).ok();
    start.elapsed()
}

/// Every snapshot of the vault is one of `known`, the `newest` are whole, and nothing is damaged.
fn must_be_whole(lab: &Lab, known: &BTreeMap<String, Vec<u8>>, newest: usize, what: &str) {
    let listed = lab.run(&mut lab.reader(["snapshots", "--json"])).ok().json();
    for (age, line) in listed["result"].as_array().unwrap().iter().rev().enumerate() {
        let (id, source) = (line["id"].as_str().unwrap(), line["source"].as_str().unwrap());
        assert!(known.contains_key(source), "{what}: {source}");
        if age >= newest {
            continue;
        }
        must_be(&lab.bytes_of(id), &known[source], &format!("{what}: {source}"));
    }
    lab.run(&mut lab.reader(["verify", "--depth", "read"])).ok();
}

#[test]
fn g6_backups_that_are_killed() {
    let lab = Lab::new();
    let mut known = BTreeMap::from([("base".to_owned(), noise(0, 3 << 20))]);
    lab.backup("base", &known["base"]);
    let input = lab.path("input");
    let backup = |name: &str| lab.writer(["backup", "--name", name, "--json", "--path", input.to_str().unwrap()]);
    fs::write(&input, noise(1, BYTES)).unwrap();
    let full = measure(&lab, &mut backup("whole"));
    known.insert("whole".to_owned(), noise(1, BYTES));
    let (mut killed, mut reused, mut committed) = (0, 0, 0);
    for no in 0..KILLS {
        let name = format!("run{no}");
        let bytes = noise(100 + u64::from(no), BYTES);
        fs::write(&input, &bytes).unwrap();
        known.insert(name.clone(), bytes);
        let (pid, dead) = if no % 3 == 2 {
            // When something is there to be used again: two packs are under way at once, so the first was acknowledged
            // before the third began.
            kill_at(&lab, &mut backup(&name), 3)
        } else {
            // Spread over the whole run, and a little beyond its end.
            kill_after(&mut backup(&name), full * (no * 1000 + thousandths(no)) / (KILLS * 900))
        };
        killed += u32::from(dead);
        let ids = lab.ids().len();
        must_be_whole(&lab, &known, 2, &format!("kill {no}"));
        let marks = tree(&lab.path("etc/state")).into_iter().filter(|file| file.ends_with(".lock"));
        let mark: String = marks.map(|file| fs::read_to_string(lab.path("etc/state").join(file)).unwrap()).collect();
        assert!(mark.is_empty() || !dead || mark == format!("pid {pid}\n"), "{mark}");
        // Most go on with other data, as a dump that changes does; some with the same.
        if no % 3 == 2 || ids > known.len() - 1 {
            let made = lab.run(&mut backup(&name)).ok().json();
            let new = made["result"]["snapshots"][0]["bytes_new"].as_u64().unwrap();
            reused += u32::from(new < BYTES as u64);
            committed += 1;
        }
    }
    assert!(killed >= KILLS / 5, "only {killed} of {KILLS} were killed before they ended");
    assert!(reused > 0, "of {committed} runs that came again none used what was uploaded");
    let last = lab.backup("last", &known[&format!("run{}", KILLS - 1)]);
    assert_eq!(last["bytes_new"], 0, "{last}");
    known.insert("last".to_owned(), known[&format!("run{}", KILLS - 1)].clone());
    lab.run(&mut lab.writer(["catalog", "rebuild"])).ok();
    must_be_whole(&lab, &known, usize::MAX, "in the end");
}

#[test]
fn g6_the_same_data_until_it_is_done() {
    let lab = Lab::new();
    let bytes = noise(2, BYTES);
    fs::write(lab.path("input"), &bytes).unwrap();
    let backup = || lab.writer(["backup", "--name", "x", "--json", "--", "cat", &lab.text("input")]);
    let full = {
        let other = Lab::new();
        fs::write(other.path("input"), &bytes).unwrap();
        measure(&other, &mut other.writer(["backup", "--name", "x", "--", "cat", &other.text("input")]))
    };
    for no in 0..6 {
        if no % 2 == 0 {
            // As above: the first of them leaves something to be used again, however slow the machine is just then.
            kill_at(&lab, &mut backup(), 3);
        } else {
            kill_after(&mut backup(), full * (500 + 70 * no) / 1000);
        }
        lab.run(&mut lab.reader(["verify", "--depth", "read"])).ok();
    }
    let made = lab.run(&mut backup()).ok().json();
    let new = made["result"]["snapshots"][0]["bytes_new"].as_u64().unwrap();
    assert!(new < BYTES as u64, "nothing of six runs was used");
    must_be(&lab.bytes_of(lab.ids().last().unwrap()), &bytes, "in the end");
    let packs = pack_count(&lab);
    assert!(packs < 20, "{packs} packs for {BYTES} bytes: each run stored all of it again");
    assert_eq!(lab.still_running(), [""; 0]);
}

#[test]
fn g6_an_init_that_is_killed() {
    let lab = Lab::bare();
    let init = |no: u32| {
        let url = format!("file://{}", lab.text(format!("vault{no}")));
        lab.program(["init", "--vault", &url, "--out", &lab.text(format!("etc{no}"))])
    };
    let full = measure(&lab, &mut init(1000));
    for no in 0..12 {
        kill_after(&mut init(no), full * (no * 1000 + thousandths(no)) / 11_000);
        let out = lab.path(format!("etc{no}"));
        let again = lab.run(&mut init(no));
        match again.code {
            Some(0) => {}
            // Keys that are there already may be those of a vault, and so they are never replaced.
            Some(2) => assert!(again.stderr.contains("already"), "{}", again.said()),
            _ => panic!("{}", again.said()),
        }
        let vault = lab.path(format!("vault{no}"));
        if !vault.join("vault.json").exists() {
            // No vault came to be; elsewhere its files may be made anew.
            fs::rename(&out, lab.path(format!("aside{no}"))).unwrap();
            lab.run(&mut init(no)).ok();
        }
        // Whatever vault there is now, its keys are there and work.
        let mut backup = lab.program(["backup", "--name", "x", "--stdin", "--allow-identity-here", "--config"]);
        lab.feed(backup.arg(out.join("strongroom.toml")), b"bytes").ok();
        let url = format!("file://{}", vault.display());
        let mut restore = lab.program(["restore", "latest", "--source", "x", "--to", "-", "--vault", &url, "-i"]);
        assert_eq!(lab.run(restore.arg(out.join("recovery.key"))).ok().stdout, b"bytes");
    }
}

#[test]
fn g6_restores_and_rebuilds_that_are_killed() {
    let lab = Lab::new();
    let bytes = noise(3, BYTES);
    let id = lab.backup("x", &bytes)["id"].as_str().unwrap().to_owned();
    let out = lab.path("out");
    let restore = || lab.reader(["restore", &id, "--to", out.to_str().unwrap()]);
    let full = measure(&lab, &mut restore());
    for no in 0..6 {
        fs::remove_dir_all(&out).unwrap();
        kill_after(&mut restore(), full * (no * 1000 + thousandths(no)) / 6500);
        let file = out.join("x/stdin");
        if file.exists() {
            must_be(&fs::read(&file).unwrap(), &bytes, "what has its name is whole");
            continue;
        }
        // What a dead restore left is in nobody's way.
        lab.run(&mut restore()).ok();
        must_be(&fs::read(&file).unwrap(), &bytes, "after a dead restore");
    }
    let full = measure(&lab, &mut lab.writer(["catalog", "rebuild"]));
    for no in 0..6 {
        if no % 2 == 0 {
            fs::remove_dir_all(lab.path("etc/state")).unwrap();
        }
        kill_after(&mut lab.writer(["catalog", "rebuild"]), full * (no * 1000 + thousandths(no)) / 6500);
        let made = lab.backup("x", &bytes);
        assert!(made["bytes_new"].as_u64().unwrap() <= BYTES as u64);
    }
    must_be(&lab.bytes_of(lab.ids().last().unwrap()), &bytes, "in the end");
    lab.run(&mut lab.reader(["verify", "--depth", "decrypt"])).ok();
}
