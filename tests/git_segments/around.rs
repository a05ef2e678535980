//! LFS objects, repositories behind URLs, whole hosts, and one ref of many, through the program.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::lab::{Lab, streams};

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn lfs_objects_come_along_and_what_is_missing_or_damaged_is_named() {
    let mut lab = Lab::new();
    // What `printf content | sha256sum` and `printf mended | sha256sum` give.
    let present = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    let rotten = "2481edd3b03fb258be1d053d556298e7cc5d7e3c2c9c6a04776b20505335d8b3";
    let missing = "5d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2394";
    for (name, id) in [("a.bin", present), ("b.bin", missing), ("c.bin", rotten)] {
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{id}\nsize 7\n");
        fs::write(lab.repo().join(name), pointer).unwrap();
    }
    fs::write(lab.repo().join(".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    lab.commit(0, 100);
    let place = |id: &str| format!("lfs/objects/{}/{}/{id}", &id[..2], &id[2..4]);
    let object = |id: &str| lab.repo().join(".git").join(place(id));
    for (id, text) in [(present, "content"), (rotten, "m3nded")] {
        fs::create_dir_all(object(id).parent().unwrap()).unwrap();
        fs::write(object(id), text).unwrap();
    }
    let check = |snapshot: &serde_json::Value, whole: bool| {
        let warnings: Vec<_> = snapshot["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
        let told = |id: &str, how: &str| warnings.iter().filter(|w| w.contains(id) && w.contains(how)).count();
        assert_eq!(told(missing, "is not here"), 1, "{warnings:?}");
        assert_eq!((told(rotten, "is damaged"), told(rotten, "")), if whole { (0, 0) } else { (1, 1) }, "{warnings:?}");
        let back = lab.restore(snapshot["id"].as_str().unwrap());
        assert_eq!(fs::read(back.join(place(present))).unwrap(), b"content");
        assert_eq!(fs::read(back.join(place(rotten))).ok(), whole.then(|| b"mended".to_vec()));
    };
    let first = lab.backup();
    check(&first, false);
    // Gone from the repository, it is carried along, and the pointer without an object is still told of.
    fs::remove_file(object(present)).unwrap();
    let second = lab.backup();
    assert_eq!(streams(&second), streams(&first));
    check(&second, false);
    // Once it is mended, the damaged one comes along too.
    fs::write(object(rotten), "mended").unwrap();
    check(&lab.backup(), true);
}

/// A server of git's own that ends with the test.
struct Daemon(Child, u16);

impl Daemon {
    fn start(base: &std::path::Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("git");
        command.args(["daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1"]);
        command.arg(format!("--port={port}")).arg(format!("--base-path={}", base.display())).arg(base);
        command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
        let daemon = Self(command.stderr(Stdio::null()).spawn().unwrap(), port);
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return daemon;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("git daemon does not answer");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The daemon that serves is a child of what was started.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

#[test]
fn a_repository_behind_a_url_is_mirrored_first() {
    let mut lab = Lab::new();
    lab.commit(0, 500);
    lab.git(&["update-ref", "refs/pull/7/head", "HEAD"]);
    lab.git(&["branch", "-q", "-m", "main", "trunk"]);
    let daemon = Daemon::start(&lab.sandbox.path(""));
    let url = format!("git://127.0.0.1:{}/code", daemon.1);
    let backup = || lab.sandbox.writer(&["backup", "--name", "code", "--json", "--git", &url]);
    let check = |id: &str| {
        let back = lab.restore(id);
        assert_eq!(lab.state(&back), lab.state(&lab.repo()));
    };
    let id = |run: crate::sandbox::Run| {
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.json()["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned()
    };
    check(&id(backup()));
    lab.git(&["checkout", "-q", "--orphan", "other"]);
    lab.git(&["commit", "-q", "-m", "Another root"]);
    lab.git(&["branch", "-q", "-D", "trunk"]);
    check(&id(backup()));
    drop(daemon);
    let run = backup();
    assert_eq!(run.code, 1, "{}", run.stderr);
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(said.contains("can't be reached"), "{said}");
    let run = lab.sandbox.writer(&["backup", "--name", "code", "--git", "https://me:tok123@127.0.0.1/r.git"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("credential helper") && !run.stderr.contains("tok123"), "{}", run.stderr);
}

#[test]
fn a_host_of_repositories_is_one_source_each() {
    let mut lab = Lab::new();
    lab.commit(0, 500);
    let srv = lab.sandbox.path("srv");
    for name in ["app.git", "team/app.git", "team/Odd Name.git"] {
        let place = srv.join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        lab.git(&["clone", "-q", "--mirror", ".", text(&place)]);
    }
    fs::create_dir_all(srv.join("broken.git")).unwrap();
    lab.sandbox
        .configure(&format!("\n[[source]]\nname = \"host\"\nkind = \"git\"\nrepos = \"{}/**/*.git\"\n", text(&srv)));
    let run = lab.sandbox.writer(&["backup", "--json"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let found = run.json();
    let names: Vec<_> =
        found["result"]["snapshots"].as_array().unwrap().iter().map(|s| s["source"].as_str().unwrap()).collect();
    assert_eq!(names[..2], ["host.app", "host.team.app"]);
    assert!(names[2].starts_with("host.team.odd-name") && names.len() == 3, "{names:?}");
    assert!(found["findings"].to_string().contains("broken.git"), "{found}");
    let run = lab.sandbox.writer(&["backup", "host.team.app", "--json"]);
    assert_eq!(run.json()["result"]["snapshots"].as_array().unwrap().len(), 1);
    let run = lab.sandbox.writer(&["backup", "host.nothing"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    fs::remove_dir_all(&srv).unwrap();
    let run = lab.sandbox.writer(&["backup"]);
    assert_eq!(run.code, 1, "a pattern that fits nothing is a failure: {}", run.stderr);
}

#[test]
fn one_ref_comes_back_as_it_was_before_it_was_rewritten() {
    let mut lab = Lab::new();
    for no in 0..4 {
        lab.commit(no, 500);
    }
    lab.git(&["branch", "other", "HEAD~1"]);
    let was = lab.git(&["rev-parse", "main"]);
    let first = lab.backup();
    lab.git(&["reset", "-q", "--hard", "HEAD~3"]);
    lab.commit(9, 500);
    lab.backup();
    let to = lab.sandbox.path("night");
    let id = first["id"].as_str().unwrap();
    let run = lab.sandbox.reader(&["restore", id, "--ref", "main", "--to", text(&to)]).ok();
    assert!(String::from_utf8_lossy(&run.stdout).contains(&format!("refs/heads/main was {was}")));
    // And a responder sees when that was, and what it was.
    let run =
        lab.sandbox.reader(&["restore", "latest", "--source", "code", "--to", text(&lab.sandbox.path("now"))]).ok();
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(told.contains(&format!("rewritten refs/heads/main: {} ->", &was[..12])), "{told}");
    let back = to.join("code.git");
    assert_eq!(
        lab.git_in(&back, &["for-each-ref", "--format=%(refname) %(objectname)"]),
        format!("refs/heads/main {was}")
    );
    lab.git(&["fetch", "-q", text(&back), "refs/heads/main:refs/heads/main-before"]);
    assert_eq!(lab.git(&["rev-parse", "main-before"]), was);
    let run = lab.sandbox.reader(&["restore", id, "--ref", "nothing", "--to", text(&lab.sandbox.path("no"))]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("refs/heads/other"), "{}", run.stderr);
}
