//! G17 on real servers: a bucket on one server, a copy on a second with other roles, a copy of that on a disk; then the first server
//! and the host that wrote into it are gone with all that was on their disks, everything is restored and drilled from each of the others,
//! and the first is made again from the disk.

use std::{fs, net::TcpStream, path::Path};

use strongroom::model::{LockMode, Span};

use crate::{
    place::{Place, server},
    sandbox::{Sandbox, noise},
    seaweed::Seaweed,
};

/// How a copier reaches the bucket of a copy.
fn to(server: &Seaweed, identity: &str, url: &str, option: &str) -> Vec<String> {
    let spec = format!("file:{}", server.credentials(identity).display());
    [
        &format!("--{option}"),
        url,
        &format!("--{option}-credentials"),
        &spec,
        &format!("--{option}-endpoint"),
        &server.endpoint(),
        &format!("--{option}-path-style"),
    ]
    .map(ToString::to_string)
    .to_vec()
}

fn strings<'a>(args: &'a [&'a str], more: &'a [String]) -> Vec<&'a str> {
    args.iter().copied().chain(more.iter().map(String::as_str)).collect()
}

/// Makes the bucket of a copy. Where the vault's policy leaves locks to the default, it gets one: what others put there than the
/// copier, such as evidence, is locked by that alone.
fn bucket(place: &Place<'_>, by_default: bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = place.store("admin").await;
        store.admin().create_bucket().await.unwrap();
        store.admin().enable_versioning().await.unwrap();
        if by_default {
            store.admin().set_default_lock(LockMode::Compliance, Span::days(65)).await.unwrap();
        }
    });
}

/// A vault with two snapshots of a stream, and one of a database.
fn filled<'a>(server: &'a Seaweed, explicit: bool, orders: &[u8]) -> Place<'a> {
    const MAKE: &str = "import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.execute('create table t(a)')
c.executemany('insert into t values(?)', [(i,) for i in range(1000)])
c.commit()";
    let place = if explicit { Place::with_explicit_vault(server) } else { Place::with_vault(server) };
    place.backup("orders", &noise(18 << 20, 1));
    place.backup("orders", orders);
    let database = place.sandbox.path("db.sqlite");
    let made = std::process::Command::new("python3").args(["-c", MAKE]).arg(&database).status();
    assert!(made.unwrap().success());
    let mut command = place.sandbox.command();
    command.arg("--config").arg(place.sandbox.config()).args(["backup", "--name", "db", "--sqlite"]).arg(&database);
    place.finish(&mut command).ok();
    place
}

/// Copies to the second server, twice: the second time nothing is new.
fn to_second(place: &Place<'_>, second: &Seaweed, url: &str) -> String {
    let copier = to(second, "copier", url, "to");
    let copy = || {
        let run = place.run_as("reader", &strings(&["replicate", "--json"], &copier)).ok().json();
        run["result"]["copies"][0]["report"].clone()
    };
    let report = copy();
    assert_eq!(report["copied"].as_array().unwrap().len(), 3, "{report}");
    let idle = copy();
    assert_eq!((&idle["objects"], &idle["there"]), (&0.into(), &3.into()), "{idle}");
    report["vault"].as_str().unwrap().to_owned()
}

/// The first server and the host that backed up to it end, with their disks.
fn lose(server: Seaweed, host: Sandbox) {
    let (address, etc, home) = (server.address(), host.path("etc"), host.path("home"));
    let data = server.credentials("admin").with_file_name("data");
    assert!([&data, &etc, &home].iter().all(|path| path.exists()) && etc.join("strongroom.toml").exists());
    assert!(fs::read_dir(&data).unwrap().next().is_some());
    drop((server, host));
    assert!([&data, &etc, &home].iter().all(|path| !path.exists()), "something is left of them");
    assert!(TcpStream::connect(address).is_err(), "the first server still answers");
}

/// Flips a bit in a pack on the disk, and has it healed from the second server.
fn rot_and_heal(copy: &Place<'_>, disk: &Path, args: &[String]) {
    let two = fs::read_dir(disk.join("packs/w1")).unwrap().flatten().next().unwrap().path();
    let pack = fs::read_dir(two).unwrap().flatten().map(|e| e.path()).find(|p| p.extension().is_none()).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[200] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    let mut repair = copy.sandbox.command();
    repair.args(["--vault", &format!("file://{}", disk.display()), "repair", "--json"]).args(args);
    let mended = copy.finish(&mut repair).ok().json();
    // And the evidence of the drill over there, which the disk lacks.
    assert_eq!(mended["result"]["mended"]["packs"]["objects"], 1, "{mended}");
}

#[test]
fn g17_a_vault_is_copied_to_a_second_server_and_to_a_disk_and_each_restores_without_the_others() {
    copied(false);
}

#[test]
fn g17_a_vault_whose_writer_sets_locks_itself_is_copied_likewise() {
    copied(true);
}

fn copied(explicit: bool) {
    let orders = noise(20 << 20, 3);
    let first = Seaweed::start();
    let place = filled(&first, explicit, &orders);
    let second = Seaweed::start();
    let copy = Place::of(&second, Sandbox::new(), "vault-copy".to_owned());
    bucket(&copy, !explicit);
    let url = copy.url();
    let vault = to_second(&place, &second, &url);
    copy.run_as("auditor", &["verify", "--depth", "read", "--vault-id", &vault]).ok();
    let disk = copy.sandbox.path("disk");
    let disk_url = format!("file://{}", disk.display());
    copy.run_as("reader", &["replicate", "--to", &disk_url]).ok();

    // The safe with the identity is elsewhere. What came first is gone; the others restore and drill.
    let identity = copy.sandbox.identity();
    fs::rename(place.sandbox.identity(), &identity).unwrap();
    let host = place.sandbox;
    lose(first, host);
    let latest = ["restore", "latest", "--source", "orders", "--to", "-", "-i", identity.to_str().unwrap()];
    let drill = ["drill", "db", "-i", identity.to_str().unwrap()];
    assert!(copy.run_as("reader", &latest).ok().stdout == orders, "from the second server");
    copy.run_as("copier", &drill).ok();
    let at_disk = |args: &[&str]| {
        let mut command = copy.sandbox.command();
        copy.finish(command.args(["--vault", &disk_url]).args(args)).ok()
    };
    assert!(at_disk(&latest).stdout == orders, "from the disk");
    at_disk(&drill);
    rot_and_heal(&copy, &disk, &to(&second, "reader", &url, "from"));

    // A whole new bucket for the first, out of the disk.
    let again = Place::empty(server());
    bucket(&again, !explicit);
    let again_url = again.url();
    let copier = to(server(), "copier", &again_url, "to");
    at_disk(&strings(&["replicate"], &copier));
    assert!(again.run_as("reader", &latest).ok().stdout == orders, "from the bucket that was made again");
    let clean = again.run_as("copier", &["repair", "--json", "--from", &disk_url]).ok().json();
    assert_eq!(clean["result"]["objects"], 0, "{clean}");
}
