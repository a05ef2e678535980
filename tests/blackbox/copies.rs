//! G17 through the program: copies that are killed, disks that are full, read-only or not there, and a vault that is gone.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    lab::{Lab, must_be, noise, tree},
    mount::{Mount, without_links},
};

/// How often a copy is killed; `STRONGROOM_KILLS` says otherwise, as `scripts/soak-copies` does.
const KILLS: u32 = 12;
const SEED: u64 = 0x0c0f_fee5;

fn kills() -> u32 {
    std::env::var("STRONGROOM_KILLS").ok().map_or(KILLS, |text| text.parse().unwrap())
}

fn replicate(lab: &Lab, to: &str) -> Command {
    lab.reader(["replicate", "--to", to, "--json"])
}

/// A vault with some snapshots of a few packs, and what the last one holds.
fn vault(lab: &Lab, snapshots: u64) -> Vec<u8> {
    let mut last = Vec::new();
    for no in 0..snapshots {
        last = noise(no, 20 << 20);
        lab.backup("x", &last);
    }
    last
}

/// The program on a machine that has the copy and the identity, and nothing else.
fn at_copy(lab: &Lab, url: &str, args: &[&str]) -> Command {
    let mut command = lab.around(crate::lab::PROGRAM);
    command.args(["--vault", url]).args(args).arg("-i").arg(lab.identity());
    command
}

fn must_restore(lab: &Lab, url: &str, bytes: &[u8], to: &str) {
    let to = lab.text(to);
    lab.run(&mut at_copy(lab, url, &["restore", "latest", "--source", "x", "--to", &to])).ok();
    must_be(&fs::read(Path::new(&to).join("x/stdin")).unwrap(), bytes, to.as_str());
}

#[test]
fn g17_copies_that_are_killed() {
    let lab = Lab::new();
    let last = vault(&lab, 4);
    // How long a copy takes when nobody stops it.
    let start = Instant::now();
    lab.run(&mut replicate(&lab, &format!("file://{}", lab.text("whole")))).ok();
    let mut whole = start.elapsed();
    let (mut killed, mut headers) = (0, 0);
    for round in 0..kills() {
        let name = format!("copy{}", round / 6);
        let url = format!("file://{}", lab.text(&name));
        let at = u32::from(u16::from_le_bytes(noise(SEED + u64::from(round), 2).try_into().unwrap())) % 1000;
        let mut child = replicate(&lab, &url);
        let mut child = child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(whole * at / 1000); // the moment of the kill is what is tested
        let _ = child.kill();
        let hit = child.wait().unwrap().code().is_none();
        killed += u32::from(hit);
        if !hit {
            // The machine is faster than it was: else most of them would have ended.
            whole = whole * 4 / 5;
        }
        if !lab.path(&name).join("vault.json").exists() {
            whole = if hit && at > 600 { whole * 3 / 2 } else { whole };
            continue;
        }
        // Whatever headers are there, all that they need is there, has its bytes, and is locked. Without one nothing is promised
        // yet: the records of the vault may be on their way.
        let began = |name: &String| name.starts_with("snapshots/") && name.ends_with(".json");
        if tree(&lab.path(&name)).iter().any(began) {
            let run = lab.run(&mut at_copy(&lab, &url, &["verify", "--depth", "read", "--json"])).ok();
            headers += run.json()["result"]["snapshots"].as_u64().unwrap();
        } else if hit && at > 600 {
            // The machine is slower than it was: else no kill would be late enough to find a header.
            whole = whole * 3 / 2;
        }
        if round % 6 == 5 {
            let done = lab.run(&mut replicate(&lab, &url)).ok().json();
            let report = &done["result"]["copies"][0]["report"];
            let copied = report["copied"].as_array().unwrap().len() as u64;
            assert_eq!(report["there"].as_u64().unwrap() + copied, 4, "{report}");
            must_restore(&lab, &url, &last, &format!("back{round}"));
        }
    }
    println!("{killed} of {} copies were killed, with {headers} headers there in all", kills());
    assert!(headers > 0, "no header was ever there, so this proves nothing");
    assert!(killed >= kills() / 3, "only {killed} were killed while they ran");
}

#[test]
fn g17_a_disk_that_is_full_read_only_or_gone() {
    let lab = Lab::new();
    let last = vault(&lab, 2);
    fs::create_dir(lab.path("disk")).unwrap();
    let Some(disk) = Mount::tmpfs(&lab, &lab.path("disk"), "size=28m") else { return };
    let url = format!("file://{}", lab.text("disk"));
    let run = |command: &Command| lab.run(&mut disk.inside(&lab, command));
    let full = run(&replicate(&lab, &url));
    full.code(1).says_anywhere(&["disk-full", "o space left", "free some space"]);
    // What is there is whole.
    let seen = run(&at_copy(&lab, &url, &["verify", "--depth", "read", "--json"]));
    if seen.code == Some(0) {
        assert!(seen.json()["result"]["snapshots"].as_u64().unwrap() <= 1, "{}", seen.said());
    } else {
        seen.code(1).says_anywhere(&["has no snapshot yet"]);
    }
    disk.remount(&lab, "size=100m,ro");
    run(&replicate(&lab, &url)).code(1).says_anywhere(&["ead-only"]);
    disk.remount(&lab, "size=100m,rw");
    let done = run(&replicate(&lab, &url)).ok().json();
    let report = &done["result"]["copies"][0]["report"];
    let all = report["there"].as_u64().unwrap() + report["copied"].as_array().unwrap().len() as u64;
    assert_eq!(all, 2, "{report}");
    let to = lab.text("disk/back");
    run(&at_copy(&lab, &url, &["restore", "latest", "--source", "x", "--to", &to])).ok();
    must_be(&fs::read(disk.seen().join("back/x/stdin")).unwrap(), &last, "the copy");
}

#[test]
fn g17_the_first_vault_is_gone_and_comes_back_from_the_copy() {
    let lab = Lab::new();
    let last = vault(&lab, 2);
    let (first, copy) = (lab.url(), format!("file://{}", lab.text("copy")));
    lab.run(&mut replicate(&lab, &copy)).ok();
    fs::remove_dir_all(lab.path("vault")).unwrap();
    must_restore(&lab, &copy, &last, "from-copy");
    // Nothing is there to be repaired; a new copy of the copy is made.
    lab.run(&mut at_copy(&lab, &first, &["repair", "--from", &copy])).fails(10, &["does not exist"]);
    lab.run(&mut at_copy(&lab, &copy, &["replicate", "--to", &first])).ok();
    must_restore(&lab, &first, &last, "from-first");
    lab.run(&mut at_copy(&lab, &first, &["verify", "--depth", "decrypt"])).ok();
    // And the writer goes on there as if nothing had happened.
    let next = noise(77, 3 << 20);
    lab.backup("x", &next);
    must_restore(&lab, &first, &next, "from-writer");
    lab.run(&mut at_copy(&lab, &first, &["verify", "--depth", "decrypt"])).ok();
}

#[test]
fn g17_damage_is_told_and_repaired_through_the_program() {
    let lab = Lab::new();
    let last = vault(&lab, 2);
    let copy = format!("file://{}", lab.text("copy"));
    lab.run(&mut replicate(&lab, &copy)).ok();
    let pack = lab.objects().into_iter().rfind(|name| name.starts_with("packs/") && !name.ends_with(".lock")).unwrap();
    let path = lab.path("vault").join(&pack);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bytes).unwrap();
    let header =
        lab.objects().into_iter().rfind(|name| name.starts_with("snapshots/") && name.ends_with(".json")).unwrap();
    let text = fs::read(lab.path("vault").join(&header)).unwrap();
    fs::remove_file(lab.path("vault").join(&header)).unwrap();
    fs::write(lab.path("vault").join(&header), &text[..text.len() - 7]).unwrap();
    // Its lock's record says that the newest header was put: what is there instead is damage.
    lab.run(&mut lab.reader(["verify"])).code(4).says_anywhere(&["header.damaged"]);
    let dry = lab.run(&mut at_copy(&lab, &lab.url(), &["repair", "--from", &copy, "--dry-run", "--json"])).json();
    assert_eq!(dry["result"]["objects"], 2, "{dry}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "a dry run puts nothing");
    let run = lab.run(&mut at_copy(&lab, &lab.url(), &["repair", "--from", &copy, "--json"])).ok().json();
    assert_eq!(run["result"]["objects"], 2, "{run}");
    lab.run(&mut lab.reader(["verify", "--depth", "decrypt"])).ok();
    must_restore(&lab, &lab.url(), &last, "healed");
    lab.run(&mut at_copy(&lab, &lab.url(), &["repair", "--from", &lab.url()])).fails(2, &["from itself"]);
}

#[test]
fn g17_configured_copies_and_disks_that_lie_in_a_drawer() {
    let lab = Lab::new();
    let last = vault(&lab, 1);
    let mut config = fs::read_to_string(lab.config()).unwrap();
    for name in ["a", "b"] {
        let copy = format!(
            "[[copy]]\nname = \"disk-{name}\"\nurl = \"file://{}\"\nremovable = true\nlimit_upload = \"500MB\"\n",
            lab.text(format!("disk-{name}"))
        );
        config.push_str(&copy);
    }
    fs::write(lab.config(), config).unwrap();
    // Neither was begun yet, and an empty directory is no disk.
    fs::create_dir(lab.path("disk-a")).unwrap();
    let run = lab.run(&mut lab.writer(["replicate"])).ok();
    assert!(run.said().matches("holds no copy yet, or is not there").count() == 2, "{}", run.said());
    assert!(fs::read_dir(lab.path("disk-a")).unwrap().next().is_none());
    for name in ["a", "b"] {
        lab.run(&mut lab.writer(["replicate", "--to", &format!("file://{}", lab.text(format!("disk-{name}")))])).ok();
    }
    lab.run(&mut lab.writer(["replicate"])).ok();
    // One goes into the drawer, and the other is copied to.
    fs::rename(lab.path("disk-b"), lab.path("drawer")).unwrap();
    let next = noise(5, 2 << 20);
    lab.backup("x", &next);
    let done = lab.run(&mut lab.writer(["replicate", "--json"])).ok().json();
    let copies = done["result"]["copies"].as_array().unwrap();
    assert_eq!(
        (copies[0]["report"]["copied"].as_array().unwrap().len(), &copies[1]["there"]),
        (1, &false.into()),
        "{done}"
    );
    assert_eq!(copies[1]["last"]["snapshots"], 1, "{done}");
    fs::rename(lab.path("drawer"), lab.path("disk-b")).unwrap();
    let run = lab.run(&mut lab.writer(["replicate", "disk-b"])).ok();
    assert!(run.said().contains("disk-b: copied 1 snapshot"), "{}", run.said());
    must_restore(&lab, &format!("file://{}", lab.text("disk-b")), &next, "back");
    assert!(last != next);
    lab.run(&mut lab.writer(["replicate", "disk-c"])).fails(2, &["disk-c"]);
}

#[test]
fn g17_a_limit_really_limits() {
    let lab = Lab::new();
    vault(&lab, 1);
    let to = format!("file://{}", lab.text("slow"));
    for option in ["--limit-upload", "--limit-download"] {
        let start = Instant::now();
        lab.run(replicate(&lab, &to).args([option, "8MiB"])).ok();
        let took = start.elapsed();
        assert!(took > Duration::from_secs(2), "20 MiB at 8 MiB/s took {took:?}");
        fs::remove_dir_all(lab.path("slow")).unwrap();
    }
}

#[test]
fn g17_a_disk_that_is_pulled_out_in_the_middle() {
    let lab = Lab::new();
    let last = vault(&lab, 3);
    fs::create_dir(lab.path("disk")).unwrap();
    let Some(disk) = Mount::tmpfs(&lab, &lab.path("disk"), "size=200m") else { return };
    let url = format!("file://{}", lab.text("disk"));
    let mut command = replicate(&lab, &url);
    command.args(["--limit-upload", "8MiB"]);
    let mut child = disk.inside(&lab, &command);
    let child = child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !disk.seen().join("packs").exists() {
        thread::sleep(Duration::from_millis(5)); // nothing tells when another process has put
    }
    let mut pull = Command::new("umount");
    pull.arg("--lazy").arg(lab.path("disk"));
    assert!(disk.inside(&lab, &pull).status().unwrap().success());
    lab.wait(child).code(10).says_anywhere(&["another directory has taken the place", "unmounted?"]);
    // Nothing went to the disk below.
    assert!(fs::read_dir(lab.path("disk")).unwrap().next().is_none());
    // And a disk that is there takes it.
    lab.run(&mut replicate(&lab, &url)).ok();
    must_restore(&lab, &url, &last, "back");
}

#[test]
fn g17_a_disk_heals_itself_from_parity_through_the_program() {
    let lab = Lab::new();
    let last = vault(&lab, 2);
    let url = format!("file://{}", lab.text("disk"));
    let bucket = ["replicate", "--to", "s3://bucket/p", "--parity", "5%"];
    lab.run(&mut lab.reader(bucket)).fails(2, &["parity lies beside a directory"]);
    lab.run(&mut lab.reader(["replicate", "--to", &url, "--parity", "90%"])).fails(2, &["1% to 25%"]);
    lab.run(&mut lab.reader(["replicate", "--to-no-conditional-put"])).fails(2, &["--to <"]);
    lab.run(&mut lab.reader(["replicate", "--to", &url, "--to-checksum", "crc16"])).fails(2, &["crc64nvme"]);
    lab.run(&mut replicate(&lab, &url)).ok();
    lab.run(&mut at_copy(&lab, &url, &["repair"])).fails(2, &["there is no parity beside"]);
    let made = lab.run(lab.reader(["replicate", "--to", &url, "--json"]).args(["--parity", "5%"])).ok().json();
    assert_eq!(made["result"]["copies"][0]["report"]["parity"]["rate"], "5%", "{made}");
    fs::remove_dir_all(lab.path("vault")).unwrap();

    // Bad sectors in a pack, a header without its last bytes, and no descriptor any more.
    let damage = |bytes: usize| {
        let copy = lab.path("disk");
        let is_pack = |name: &String| name.starts_with("packs/") && !name.ends_with(".lock") && !name.ends_with('/');
        let packs = tree(&copy).into_iter().filter(is_pack).map(|pack| copy.join(pack));
        let path = packs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
        let mut spoiled = fs::read(&path).unwrap();
        spoiled[70_000..70_000 + bytes].fill(0);
        fs::remove_file(&path).unwrap();
        fs::write(&path, spoiled).unwrap();
    };
    damage(500_000);
    fs::remove_file(lab.path("disk/vault.json")).unwrap();
    lab.run(&mut at_copy(&lab, &url, &["verify", "--depth", "read"])).code(4).says_anywhere(&["pack.damaged"]);
    let healed = lab.run(&mut at_copy(&lab, &url, &["repair", "--json"])).ok().json();
    assert_eq!((&healed["result"]["objects"], &healed["result"]["from"]), (&2.into(), &"parity".into()), "{healed}");
    let seen = lab.run(&mut at_copy(&lab, &url, &["verify", "--depth", "read", "--json"])).ok().json();
    assert_eq!(seen["result"]["parity"]["uncovered"], 0, "{seen}");
    must_restore(&lab, &url, &last, "healed");
    // More than it has.
    damage(10_000_000);
    lab.run(&mut at_copy(&lab, &url, &["repair"])).code(4).says_anywhere(&["parity.beyond", "--from"]);
}

#[test]
fn g17_a_disk_without_hard_links() {
    let lab = Lab::new();
    let last = vault(&lab, 2);
    for strict in [false, true] {
        let name = if strict { "fuse" } else { "stick" };
        let url = format!("file://{}", lab.text(name));
        let run = |command: &Command| lab.run(&mut without_links(&lab, strict, command));
        run(lab.reader(["replicate", "--to", &url]).args(["--newest", "1"])).ok().says_anywhere(&["store.plain-disk"]);
        let done = run(&replicate(&lab, &url)).ok().json();
        assert_eq!(done["result"]["copies"][0]["report"]["copied"].as_array().unwrap().len(), 1, "{done}");
        assert!(done["findings"].to_string().contains("store.plain-disk"), "{done}");
        for args in [&["verify", "--depth", "decrypt"][..], &["renew"], &["prune"]] {
            run(&at_copy(&lab, &url, args)).ok();
        }
        let is_pack = |key: &String| key.starts_with("packs/") && !key.ends_with('/') && !key.ends_with(".lock");
        let pack = tree(&lab.path(name)).into_iter().find(is_pack).unwrap();
        fs::remove_file(lab.path(name).join(&pack)).unwrap();
        run(&at_copy(&lab, &url, &["verify"])).code(4).says_anywhere(&["pack.missing"]);
        run(&at_copy(&lab, &url, &["repair", "--from", &lab.url()])).ok();
        run(&at_copy(&lab, &url, &["verify", "--depth", "read"])).ok();
        let to = lab.text(format!("back-{name}"));
        run(&at_copy(&lab, &url, &["restore", "latest", "--source", "x", "--to", &to])).ok();
        must_be(&fs::read(Path::new(&to).join("x/stdin")).unwrap(), &last, &to);
        // A vault may begin there, too.
        let (begun, etc) = (format!("file://{}", lab.text(format!("begun-{name}"))), lab.text(format!("etc-{name}")));
        run(&lab.program(["init", "--vault", &begun, "--out", &etc])).ok().says_anywhere(&["store.plain-disk"]);
        let left: Vec<String> = tree(&lab.path(name).join(".tmp")).into_iter().filter(|name| name != "guard").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_source_that_is_not_there_and_a_limit_of_nothing_are_told() {
    let lab = Lab::new();
    lab.backup("x", &noise(1, 1000));
    let url = format!("file://{}", lab.text("part"));
    let run = lab.run(replicate(&lab, &url).args(["--source", "x", "--source", "xx"])).code(5);
    run.says_anywhere(&["copy.unknown", "xx", "those of x"]);
    for limit in ["--limit-upload", "--limit-download"] {
        lab.run(replicate(&lab, &url).args([limit, "0"])).code(2).says_anywhere(&["nothing would be copied"]);
    }
}
