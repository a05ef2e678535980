//! G12: whoever may add snapshots can sign as many headers as they like. What others do beside them stays within its bound.

use std::{fs, path::Path};

use strongroom::format::{header::VerifiedHeader, layout, writer_key};

use crate::{
    hostile::Hostile,
    sandbox::{Run, Sandbox, noise},
};

/// How many headers are signed. Each kept whole took 1.5 MiB.
const HEADERS: u64 = 120;
/// The bound that is promised, in KiB.
const BOUND: u64 = 256 << 10;
/// What a flood of thirty MiB may add to what a backup, or a restore by id, takes without one.
const ROOM: u64 = 12 << 10;
/// Runs a command and tells the most memory that it had at once.
const MEASURE: &str = "
import os, sys
pid = os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(pid, 0)
open(sys.argv[1], 'w').write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
";

/// The program with `args`, and its peak in KiB.
fn measured(place: &Sandbox, args: &[&str]) -> (Run, u64) {
    let (program, peak) = (place.command().get_program().to_owned(), place.path("peak"));
    let mut command = assert_cmd::Command::new("python3");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", place.path("home"));
    command.args(["-c", MEASURE]).arg(&peak).arg(program).args(args).args(["--no-progress"]);
    let run = place.finish(&mut command);
    (run, fs::read_to_string(peak).unwrap().parse().unwrap())
}

/// Signs headers of 256 KiB with the key in `key`, like the one that is there.
fn flood(vault: &Path, key: &Path) {
    let key = writer_key::open(&fs::read(key).unwrap()).unwrap();
    let own = vault.join(layout::own(layout::SNAPSHOTS, &key.name));
    let first =
        fs::read_dir(&own).unwrap().find(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "json"));
    let bytes = fs::read(first.unwrap().unwrap().path()).unwrap();
    let mut header = VerifiedHeader::open(&bytes, key.descriptor.vault).unwrap().header;
    // The payload is stored in base64.
    header.warnings = vec!["w".repeat(990); 185];
    for seq in 1000..1000 + HEADERS {
        header.seq = seq;
        let (id, public) = header.seal(&key.signing_key).unwrap();
        assert!((240 << 10..=256 << 10).contains(&public.bytes().len()), "{}", public.bytes().len());
        fs::write(vault.join(layout::header(&key.name, seq, &id).as_str()), public.bytes()).unwrap();
    }
}

#[test]
fn g12_headers_by_a_stolen_key_cost_an_honest_writer_nothing_and_a_reader_little() {
    let place = Sandbox::with_vault();
    place.backup("evil", b"of the writer whose key was stolen");
    let (home, identity) = (place.path("honest"), place.identity());
    let (home, identity) = (home.to_str().unwrap(), identity.to_str().unwrap());
    place.reader(&["writer", "add", "honest", "-i", identity, "--out", home]).ok();
    let config = place.path("honest/strongroom.toml");
    let config = config.to_str().unwrap();
    let data = place.path("data");
    fs::write(&data, noise(3 << 20, 1)).unwrap();
    let backup = ["backup", "--config", config, "--name", "orders", "--path", data.to_str().unwrap(), "--json"];
    let (run, alone) = measured(&place, &backup);
    let id = run.ok().json()["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned();
    let back = place.path("before");
    let restore = ["restore", &id, "--config", config, "-i", identity, "--to", back.to_str().unwrap()];
    let (run, restored) = measured(&place, &restore);
    run.ok();
    flood(&place.path("vault"), &place.path("etc/writer.key"));

    let (run, peak) = measured(&place, &backup);
    run.ok();
    assert!(peak < alone + ROOM, "backup: {peak} KiB after {alone}");
    let back = place.path("back");
    let restore = ["restore", &id, "--config", config, "-i", identity, "--to", back.to_str().unwrap()];
    let (run, peak) = measured(&place, &restore);
    run.ok();
    assert!(peak < restored + ROOM, "restore by id: {peak} KiB after {restored}");
    assert!(fs::read(back.join("orders/data")).unwrap() == noise(3 << 20, 1));
    for (args, code) in [
        (&["snapshots", "--config", config][..], 0),
        (&["restore", "latest", "--source", "orders", "--config", config, "-i", identity, "--to", "-"], 0),
        // What was not made by a run of a writer is not locked as it says.
        (&["verify", "--depth", "decrypt", "--config", config, "-i", identity], 5),
        (&["renew", "--config", config], 0),
        (&["prune", "--config", config], 0),
    ] {
        let (run, peak) = measured(&place, args);
        assert_eq!(run.code, code, "{args:?}: {}", run.stderr);
        assert!(peak < BOUND, "{args:?}: {peak} KiB");
        assert!(run.stderr.lines().count() < 60, "{args:?} says {} lines", run.stderr.lines().count());
    }
}

/// Packs that are named and were never stored. Each took 750 bytes of a verification.
const ABSENT: u64 = 120_000;
/// What they may add, in KiB: what is told of the first ten thousand, and which of them were told.
const MORE: u64 = 48 << 10;

#[test]
fn g12_packs_that_were_never_stored_take_no_memory_and_are_told() {
    let place = Sandbox::with_vault();
    place.backup("evil", b"of the writer whose key was stolen");
    let config = place.config();
    let config = config.to_str().unwrap();
    let commands = [
        (&["verify", "--config", config][..], 4, "pack.missing"),
        (&["renew", "--dry-run", "--config", config], 4, "object.lost"),
        (&["prune", "--dry-run", "--config", config], 0, ""),
    ];
    let alone: Vec<u64> = commands.iter().map(|(args, ..)| measured(&place, args).1).collect();
    Hostile::of(&place.path("vault"), &place.path("etc/writer.key")).name_absent(ABSENT, 40);
    for ((args, code, told), alone) in commands.into_iter().zip(alone) {
        let (run, peak) = measured(&place, args);
        assert_eq!(run.code, code, "{args:?}: {}", run.stderr);
        let said = [run.stderr.as_str(), &String::from_utf8_lossy(&run.stdout)].concat();
        assert!(said.contains(told), "{args:?} does not say {told}: {said}");
        assert!(peak < alone + MORE, "{args:?}: {peak} KiB after {alone}");
    }
}

/// A list of three megabytes says a hundred and seventy-eight tebibytes. Whoever reads it is told who signed it, and does not read
/// what it says.
#[test]
fn g12_a_list_that_repeats_itself_costs_its_signers_name() {
    let place = Sandbox::with_vault();
    place.backup("evil", b"of the writer whose key was stolen");
    let id = Hostile::of(&place.path("vault"), &place.path("etc/writer.key")).sign_list(400).to_string();
    let (config, identity) = (place.config(), place.identity());
    let args = ["verify", "--depth", "decrypt", "--config", config.to_str().unwrap(), "-i", identity.to_str().unwrap()];
    let (run, peak) = measured(&place, &args);
    let said = [run.stderr.as_str(), &String::from_utf8_lossy(&run.stdout)].concat();
    let line = said.lines().find(|line| line.contains("stream.repeats")).unwrap_or_else(|| panic!("{said}"));
    let signed = said.contains("writer writer says that it has 195467988172800 bytes");
    assert!(signed && said.contains(id.get(..12).unwrap()), "{line}: {said}");
    // It was not made by a run, so it has no lock.
    assert_eq!(run.code, 5, "{said}");
    assert!(peak < BOUND, "{peak} KiB");
}

/// So many files fill a body to its limit, of 190 bytes each.
const FILES: usize = 480_000;

#[test]
#[ignore = "half a million files take minutes: run it when bodies or restores change"]
fn g12_a_body_at_its_limit_is_read_within_the_bound() {
    let place = Sandbox::with_vault();
    place.backup("evil", b"of the writer whose key was stolen");
    let id = Hostile::of(&place.path("vault"), &place.path("etc/writer.key")).sign_files(FILES).to_string();
    let (config, identity, out) = (place.config(), place.identity(), place.path("out"));
    let common = ["--config", config.to_str().unwrap(), "-i", identity.to_str().unwrap()];
    let mut peaks = Vec::new();
    for command in
        [&["verify", "--depth", "decrypt", "--snapshot", &id][..], &["restore", &id, "--to", out.to_str().unwrap()]]
    {
        let (run, peak) = measured(&place, &[command, &common].concat());
        println!("{command:?}: {} MiB, exit code {}: {}", peak >> 10, run.code, run.stderr);
        peaks.push(peak);
    }
    assert!(peaks.iter().all(|peak| *peak < BOUND), "KiB: {peaks:?}");
}
