//! `restore`: from the vault and an identity, and nothing else.

use std::{
    fs,
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Stdio,
};

use crate::sandbox::{Sandbox, is_tidy, noise};

#[test]
fn a_stream_comes_back_byte_for_byte() {
    let sandbox = Sandbox::with_vault();
    let bytes = [noise(3_000_000, 11), vec![0; 1_000_000], b"the end".to_vec()].concat();
    let id = sandbox.backup("orders", &bytes);
    sandbox.backup("orders", b"something newer");
    let out = sandbox.path("back");
    let document = sandbox.reader(&["restore", &id[..8], "--to", out.to_str().unwrap(), "--json"]).ok().json();
    assert_eq!(document["result"]["id"], id.as_str());
    assert_eq!(document["result"]["streams"][0]["bytes"], bytes.len());
    assert!(fs::read(out.join("orders/stdin")).unwrap() == bytes);
    assert_eq!(fs::metadata(out.join("orders/stdin")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(is_tidy(&out.join("orders")));
    let run = sandbox.reader(&["restore", &id, "--to", "-"]).ok();
    assert!(run.stdout == bytes);
}

#[test]
fn latest_says_what_it_takes() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("orders", b"old");
    sandbox.backup("other", b"of another source");
    sandbox.backup("orders", b"newer");
    let run = sandbox.reader(&["restore", "latest", "--source", "orders", "--to", "-"]).ok();
    assert_eq!(run.stdout, b"newer");
    assert!(run.stderr.contains("ago") && run.stderr.contains("by writer writer") && run.stderr.contains("+2 B"));
    let run = sandbox.reader(&["restore", "latest", "--source", "other", "--to", "-"]).ok();
    assert!(run.stderr.contains("first of this source"));
    let early = ["restore", "latest", "--source", "orders", "--at", "2001-01-01T00:00:00Z", "--to", "-", "-v"];
    sandbox.reader(&early).code(1).says("the oldest is of");
    sandbox.reader(&["restore", "latest", "--source", "nope", "--to", "-"]).code(2).says("orders").says("other");
    sandbox.reader(&["restore", "latest", "--to", "-"]).code(2).says("--source");
    sandbox.reader(&["restore", "00000000", "--to", "-"]).code(1).says("00000000");
    sandbox.reader(&["restore", "abc", "--to", "-"]).code(2).says("8");
}

#[test]
fn a_tree_of_files_comes_back_as_it_was() {
    let sandbox = Sandbox::with_vault();
    let root = sandbox.path("tree");
    fs::create_dir_all(root.join("Deep Dir/empty")).unwrap();
    fs::write(root.join("Deep Dir/A file.sql"), noise(100_000, 2)).unwrap();
    fs::set_permissions(root.join("Deep Dir/A file.sql"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(root.join("nothing"), "").unwrap();
    fs::hard_link(root.join("Deep Dir/A file.sql"), root.join("again")).unwrap();
    fs::set_permissions(root.join("Deep Dir"), fs::Permissions::from_mode(0o2775)).unwrap();
    std::os::unix::fs::symlink("Deep Dir/A file.sql", root.join("link")).unwrap();
    sandbox.writer(&["backup", "--name", "tree", "--path", root.to_str().unwrap()]).ok();
    let out = sandbox.path("back");
    let args = ["restore", "latest", "--source", "tree", "--to", out.to_str().unwrap()];
    sandbox.reader(&args).ok();
    let same = std::process::Command::new("diff").arg("-r").arg(&root).arg(out.join("tree")).status().unwrap();
    assert!(same.success());
    let meta = fs::metadata(out.join("tree/Deep Dir/A file.sql")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o640);
    let before = fs::metadata(root.join("Deep Dir/A file.sql")).unwrap();
    assert_eq!(meta.modified().unwrap(), before.modified().unwrap());
    assert!(out.join("tree/Deep Dir/empty").is_dir());
    let (was, is) = (fs::metadata(root.join("Deep Dir")).unwrap(), fs::metadata(out.join("tree/Deep Dir")).unwrap());
    assert_eq!(is.permissions().mode() & 0o7777, 0o2775, "what is in it does not cost a directory its mode");
    assert_eq!(is.modified().unwrap(), was.modified().unwrap());
    let number = |path: &str| fs::metadata(out.join("tree").join(path)).unwrap().ino();
    assert_eq!(number("again"), number("Deep Dir/A file.sql"), "two names of one file");
    assert!(fs::symlink_metadata(out.join("tree/link")).unwrap().is_symlink());

    let one = sandbox.path("one");
    let args =
        ["restore", "latest", "--source", "tree", "--to", one.to_str().unwrap(), "--stream", "Deep Dir/A file.sql"];
    sandbox.reader(&args).ok();
    assert!(one.join("tree/Deep Dir/A file.sql").exists() && !one.join("tree/link").exists());
    sandbox.reader(&["restore", "latest", "--source", "tree", "--to", "-"]).code(2).says("--stream");
    sandbox.reader(&["restore", "latest", "--source", "tree", "--to", "-", "--stream", "x"]).code(1).says("no stream");
    sandbox.reader(&["restore", "latest", "--source", "tree", "--to", "-", "--stream", "link"]).code(2).says("link");
}

#[test]
fn a_repository_comes_back_bare() {
    let sandbox = Sandbox::with_vault();
    let repo = sandbox.path("code");
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.arg("-C").arg(&repo).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    fs::create_dir(&repo).unwrap();
    git(&["init", "-q", "-b", "main"]);
    fs::write(repo.join("file"), "text").unwrap();
    git(&["add", "file"]);
    git(&["commit", "-q", "-m", "one"]);
    git(&["tag", "-a", "v1", "-m", "tagged"]);
    sandbox.writer(&["backup", "--name", "code", "--git", repo.to_str().unwrap()]).ok();
    let out = sandbox.path("back");
    let args = ["restore", "latest", "--source", "code", "--to", out.to_str().unwrap()];
    sandbox.reader(&args).ok();
    let restored = out.join("code.git");
    let refs = |path: &str| {
        let output = std::process::Command::new("git").args(["-C", path, "show-ref", "-d"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(refs(restored.to_str().unwrap()), refs(repo.to_str().unwrap()));
    let fsck = std::process::Command::new("git").arg("-C").arg(&restored).args(["fsck", "--full", "--strict"]).output();
    assert!(fsck.unwrap().status.success());
    for own in ["", "code.git", "code.git/HEAD", "code.git/config", "code.git/objects/pack"] {
        let mode = fs::metadata(out.join(own)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{own} has mode {mode:o}");
    }
    let again = sandbox.reader(&args).code(2).says("already exists");
    assert!(again.stdout.is_empty());
}

#[test]
fn a_relative_path_is_meant_from_where_one_stands() {
    let sandbox = Sandbox::with_vault();
    let (repo, tree) = (sandbox.path("code"), sandbox.path("tree"));
    fs::create_dir_all(tree.join("deep")).unwrap();
    fs::write(tree.join("deep/file"), "in a tree").unwrap();
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-C"]).args(args);
        let output = command.current_dir(sandbox.path("")).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    fs::create_dir(&repo).unwrap();
    git(&["code", "init", "-q", "-b", "main"]);
    git(&["code", "commit", "-q", "--allow-empty", "-m", "one"]);
    sandbox.backup("orders", b"a stream");
    sandbox.writer(&["backup", "--name", "tree", "--path", tree.to_str().unwrap()]).ok();
    sandbox.writer(&["backup", "--name", "code", "--git", repo.to_str().unwrap()]).ok();
    let here = sandbox.path("here");
    fs::create_dir(&here).unwrap();
    let restore = |source: &str, to: &str| {
        let mut command = sandbox.command();
        command.current_dir(&here).args(["--vault", &sandbox.url(), "restore", "latest", "--source", source]);
        sandbox.finish(command.args(["--to", to, "-i", "../safe/recovery.key"])).ok();
    };
    for to in ["out.git", "./new/er", ".", "../beside"] {
        for source in ["orders", "tree", "code"] {
            restore(source, to);
        }
        let at = here.join(to);
        assert_eq!(fs::read(at.join("orders/stdin")).unwrap(), b"a stream", "{to}");
        assert_eq!(fs::read(at.join("tree/deep/file")).unwrap(), b"in a tree", "{to}");
        assert!(is_tidy(&at.join("orders")) && is_tidy(&at), "{to}");
        let back = at.join("code.git");
        git(&[back.to_str().unwrap(), "fsck", "--full", "--strict"]);
        assert_eq!(git(&[back.to_str().unwrap(), "show-ref"]), git(&["code", "show-ref"]), "{to}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("orders", b"from the vault");
    let out = sandbox.path("back");
    fs::create_dir_all(out.join("orders")).unwrap();
    fs::write(out.join("orders/stdin"), "mine").unwrap();
    let run =
        sandbox.reader(&["restore", "latest", "--source", "orders", "--to", out.to_str().unwrap(), "--json"]).code(2);
    assert_eq!(run.json()["error"]["kind"], "target-exists");
    assert_eq!(fs::read(out.join("orders/stdin")).unwrap(), b"mine");
}

#[test]
fn a_wrong_or_missing_identity_is_told_apart() {
    let (sandbox, other) = (Sandbox::with_vault(), Sandbox::with_vault());
    sandbox.backup("x", b"bytes");
    let args = ["restore", "latest", "--source", "x", "--to", "-", "--vault"];
    sandbox.run(&[&args[..], &[&sandbox.url()]].concat()).code(2).says("STRONGROOM_IDENTITY");
    // Without its pin, the other vault's identity is only one that opens nothing here.
    let text = fs::read_to_string(other.identity()).unwrap();
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("# strongroom-vault")).collect();
    let wrong = sandbox.path("safe/wrong.key");
    fs::write(&wrong, text.join("\n")).unwrap();
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = sandbox.command();
    command.args(args).arg(sandbox.url()).arg("-i").arg(&wrong);
    sandbox.finish(&mut command).code(12).says("vault.unpinned");
    let mut command = sandbox.command();
    command.args(args).arg(sandbox.url()).arg("-i").arg(&wrong).arg("-i").arg(sandbox.identity());
    assert_eq!(sandbox.finish(&mut command).ok().stdout, b"bytes", "one of several is enough");
    // With its pin, it is another vault that is meant.
    let mut command = sandbox.command();
    command.args(args).arg(sandbox.url()).arg("-i").arg(other.identity());
    sandbox.finish(&mut command).code(4).says("a different vault");
    let secret = format!("AGE-SECRET-KEY-1{}", "Q".repeat(58));
    let mut command = sandbox.command();
    command.args(args).arg(sandbox.url()).arg("-i").arg(secret);
    sandbox.finish(&mut command).code(2).says("can see a command's arguments");
}

#[test]
fn a_damaged_pack_never_becomes_a_file() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("x", &noise(200_000, 4));
    let mut packs = vec![sandbox.path("vault/packs")];
    while let Some(path) = packs.pop() {
        if path.is_dir() {
            packs.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if path.extension().is_none() {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    }
    let out = sandbox.path("back");
    sandbox.reader(&["restore", "latest", "--source", "x", "--to", out.to_str().unwrap()]).code(4);
    assert!(!out.join("x/stdin").exists());
    assert!(!out.join("x").exists() || is_tidy(&out.join("x")));
}

#[test]
fn a_full_disk_and_a_reader_that_leaves_are_told_as_such() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("x", &noise(3_000_000, 6));
    let start = |out: Stdio| {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("strongroom"));
        command.args(["restore", "latest", "--source", "x", "--to", "-", "--vault", &sandbox.url(), "-i"]);
        command.arg(sandbox.identity()).current_dir(sandbox.path("home")).stdout(out).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = start(full.into()).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"));
    let mut child = start(Stdio::piped());
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("went away"));
    // A pipe is made to hold more, and what comes through it is all of it.
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut child = start(writer.into());
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(bytes == noise(3_000_000, 6));
    assert_eq!(rustix::pipe::fcntl_getpipe_size(&reader).unwrap(), 1 << 20);
}

#[test]
fn a_target_that_others_can_write_to_is_told() {
    let sandbox = Sandbox::with_vault();
    sandbox.backup("orders", b"rows");
    let shared = sandbox.path("shared");
    fs::create_dir(&shared).unwrap();
    let to = shared.join("back");
    let args = ["restore", "latest", "--source", "orders", "--to", to.to_str().unwrap()];
    assert!(!sandbox.reader(&args).ok().stderr.contains("target.exposed"));
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    fs::remove_dir_all(&to).unwrap();
    sandbox.reader(&args).ok().says("everybody may write there");
}

/// Restores until a file would grow over `blocks` of 512 bytes, which kills it at that very byte.
fn killed(sandbox: &Sandbox, id: &str, out: &Path, blocks: u32) {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("ulimit -c 0; ulimit -f {blocks}; exec \"$@\""), "sh"]);
    command.arg(assert_cmd::cargo::cargo_bin("strongroom")).args(["--vault", &sandbox.url(), "restore", id, "-i"]);
    command.arg(sandbox.identity()).arg("--to").arg(out).current_dir(sandbox.path("home"));
    assert_eq!(command.output().unwrap().status.code(), None, "a signal ended it");
}

#[test]
fn a_restore_that_was_killed_goes_on() {
    let sandbox = Sandbox::with_vault();
    let root = sandbox.path("tree");
    fs::create_dir_all(root.join("d")).unwrap();
    let (whole, half) = (noise(1_100_000, 21), noise(3_000_000, 22));
    fs::write(root.join("d/1-whole"), &whole).unwrap();
    fs::write(root.join("d/2-half"), &half).unwrap();
    (0..50).for_each(|no| fs::write(root.join(format!("small-{no}")), format!("small {no}")).unwrap());
    let back = |name: &str| ["backup", "--name", "tree", "--path", name, "--json"].map(str::to_owned);
    let made = |name: &str| {
        let args = back(name);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let document = sandbox.writer(&args).ok().json();
        document["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned()
    };
    let id = made(root.to_str().unwrap());
    fs::write(root.join("small-1"), "another").unwrap();
    let other = made(root.to_str().unwrap());

    let out = sandbox.path("back");
    let to = out.to_str().unwrap();
    killed(&sandbox, &id, &out, 2 * 2000);
    assert_eq!(fs::read(out.join("tree/d/1-whole")).unwrap(), whole);
    assert!(!is_tidy(&out.join("tree/d")) && !out.join("tree/d/2-half").exists());
    sandbox.reader(&["restore", &other, "--to", to]).code(2).says(&id[..8]).says("was not finished");
    // What was only half written when the power went is not believed.
    let partial = |dir: &Path| {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        names.into_iter().find(|path| path.to_string_lossy().ends_with(".partial")).unwrap()
    };
    let left = partial(&out.join("tree/d"));
    let mut bytes = fs::read(&left).unwrap();
    assert!(bytes.len() > 1_500_000 && half.starts_with(&bytes));
    bytes[1_400_000..].fill(0);
    fs::write(&left, &bytes).unwrap();
    let mine = out.join("tree/d/.strongroom-0123456789abcdef.partial");
    fs::write(&mine, "of somebody else").unwrap();
    let result = sandbox.reader(&["restore", &id, "--to", to, "--json"]).ok().json()["result"].clone();
    assert_eq!(result["kept"]["streams"], 1);
    let kept = result["kept"]["bytes"].as_u64().unwrap();
    assert!((1_100_000 + 800_000..=1_100_000 + 1_400_000).contains(&kept), "{kept}");
    assert!(result["fetched_bytes"].as_u64().unwrap() < 3_500_000, "a block at most is fetched twice: {result}");
    assert_eq!(result["streams"].as_array().unwrap().len(), 52);
    assert_eq!(fs::read(&mine).unwrap(), b"of somebody else");
    fs::remove_file(mine).unwrap();
    assert_eq!(fs::read(out.join("tree/d/2-half")).unwrap(), half);
    assert_eq!(fs::read(out.join("tree/small-49")).unwrap(), b"small 49");
    assert!(is_tidy(&out.join("tree/d")) && fs::read_dir(&out).unwrap().count() == 1);

    // It was finished, so what is there is somebody's now.
    sandbox.reader(&["restore", &id, "--to", to]).code(2).says("--resume");
    fs::remove_file(out.join("tree/small-7")).unwrap();
    let result = sandbox.reader(&["restore", &id, "--to", to, "--resume", "--json"]).ok().json()["result"].clone();
    assert_eq!(result["kept"]["streams"], 51);
    assert_eq!(fs::read(out.join("tree/small-7")).unwrap(), b"small 7");
    fs::write(out.join("tree/small-7"), "SMALL 7").unwrap();
    sandbox.reader(&["restore", &id, "--to", to, "--resume"]).code(2).says("small-7 already exists and differs");
    assert_eq!(fs::read(out.join("tree/small-7")).unwrap(), b"SMALL 7");
}

#[test]
fn a_repository_that_was_begun_is_restored_anew_and_a_whole_one_is_kept() {
    let sandbox = Sandbox::with_vault();
    let repo = sandbox.path("code");
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.arg("-C").arg(&repo).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(args);
        assert!(command.output().unwrap().status.success());
    };
    fs::create_dir(&repo).unwrap();
    git(&["init", "-q", "-b", "main"]);
    git(&["commit", "-q", "--allow-empty", "-m", "one"]);
    let args = ["backup", "--name", "code", "--git", repo.to_str().unwrap(), "--json"];
    let id = sandbox.writer(&args).ok().json()["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned();
    let out = sandbox.path("back");
    let to = out.to_str().unwrap();
    fs::create_dir_all(out.join("code.git.partial/objects")).unwrap();
    sandbox.reader(&["restore", &id, "--to", to]).code(1).says("left from another restore");
    let mark = out.join(".strongroom-restore-code.json");
    assert!(!mark.exists());
    fs::write(&mark, format!("{{\"snapshot\":\"{id}\"}}")).unwrap();
    sandbox.reader(&["restore", &id, "--to", to]).ok();
    assert!(!mark.exists() && !out.join("code.git.partial").exists());
    // Killed after it had its name and before the mark was removed.
    fs::write(&mark, format!("{{\"snapshot\":\"{id}\"}}")).unwrap();
    let result = sandbox.reader(&["restore", &id, "--to", to, "--json"]).ok().json()["result"].clone();
    assert!(result["kept"]["streams"].as_u64().unwrap() > 0 && !mark.exists(), "{result}");
    sandbox.reader(&["restore", &id, "--to", to]).code(2).says("already exists");
}

#[test]
fn thousands_of_small_files_are_read_together() {
    let sandbox = Sandbox::with_vault();
    let root = sandbox.path("tree");
    fs::create_dir(&root).unwrap();
    (0..3000).for_each(|no| fs::write(root.join(format!("f{no}")), noise(100, no + 1)).unwrap());
    sandbox.writer(&["backup", "--name", "tree", "--path", root.to_str().unwrap()]).ok();
    let out = sandbox.path("back");
    let args = ["restore", "latest", "--source", "tree", "--to", out.to_str().unwrap(), "--json"];
    let result = sandbox.reader(&args).ok().json()["result"].clone();
    // One by one, each would have fetched the block that it lies in, of 300,000 bytes.
    assert!(result["fetched_bytes"].as_u64().unwrap() < 3_000_000, "{}", result["fetched_bytes"]);
    for no in [0, 1499, 2999] {
        assert_eq!(fs::read(out.join(format!("tree/f{no}"))).unwrap(), noise(100, no + 1));
    }
    let drill = sandbox.reader(&["drill", "tree", "--json"]).ok().json();
    let evidence = drill["result"]["drills"][0]["evidence"].as_str().unwrap();
    let stored = fs::metadata(sandbox.path("vault").join(evidence)).unwrap().len();
    assert!(stored < 1_000_000, "{stored}");
}
