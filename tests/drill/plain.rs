//! Streams, SQLite and git.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use strongroom::{
    model::SourceKind,
    source::{Facts, sqlite::print},
};

use crate::{
    lab::{Made, back_up, drill, failed, left, of},
    sandbox::Sandbox,
};

pub fn git(dir: &Path, args: &[&str]) {
    let mut git = Command::new("git");
    git.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", dir).env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@b");
    }
    assert!(git.current_dir(dir).args(args).stdout(Stdio::null()).status().unwrap().success(), "{args:?}");
}

/// A vault with a source of each kind that needs no server.
pub fn vault() -> Sandbox {
    let sandbox = Sandbox::with_vault();
    let (data, repo) = (sandbox.path("data"), sandbox.path("repo"));
    fs::create_dir_all(data.join("deep/empty")).unwrap();
    fs::create_dir(&repo).unwrap();
    fs::write(data.join("A file.sql"), "some dump").unwrap();
    std::os::unix::fs::symlink("../nowhere", data.join("link")).unwrap();
    let database = Connection::open(sandbox.path("app.db")).unwrap();
    database
        .execute_batch("CREATE TABLE orders(id INTEGER, paid TEXT); INSERT INTO orders VALUES (1, 'yes'), (2, 'no')")
        .unwrap();
    git(&repo, &["init", "-q", "-b", "trunk"]);
    fs::write(repo.join("code"), "fn main() {}").unwrap();
    git(&repo, &["add", "."]);
    git(&repo, &["commit", "-q", "-m", "first"]);
    git(&repo, &["tag", "-a", "v1", "-m", "one"]);
    // What `printf content | sha256sum` gives.
    let object = repo.join(".git/lfs/objects/ed/70/ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73");
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    fs::write(object, "content").unwrap();
    sandbox.configure(&format!(
        "[[source]]\nname = \"files\"\nkind = \"path\"\npath = {:?}\n\
         [[source]]\nname = \"app\"\nkind = \"sqlite\"\npath = {:?}\n\
         [[source]]\nname = \"code\"\nkind = \"git\"\nrepo = {:?}\n",
        data.to_str().unwrap(),
        sandbox.path("app.db").to_str().unwrap(),
        repo.to_str().unwrap()
    ));
    sandbox.writer(&["backup"]).ok();
    sandbox
}

#[test]
fn what_is_as_it_was_passes_and_leaves_evidence() {
    let sandbox = vault();
    let document = drill(&sandbox, &["--json"]).ok().json();
    for (source, engine, check) in [
        ("files", "streams", "stream "),
        ("app", "sqlite 3.", "fingerprint app.db: orders"),
        ("code", "git 2.", "fsck --full --strict"),
    ] {
        let drill = of(&document, source);
        assert_eq!(drill["passed"], true, "{drill}");
        assert!(drill["engine"].as_str().unwrap().starts_with(engine), "{drill}");
        let checks = drill["checks"].as_array().unwrap();
        assert!(checks.iter().any(|c| c["name"].as_str().unwrap().starts_with(check)), "{drill}");
        assert_eq!(drill["snapshot"].as_str().unwrap().len(), 64);
        assert!(drill["rto_s"].as_f64().unwrap() > 0.0 && drill["rpo_s"].as_u64().is_some());
        let parts = ["list_s", "fetch_s", "load_s", "check_s"].map(|part| drill["parts"][part].as_f64().unwrap());
        assert!((parts.iter().sum::<f64>() - drill["rto_s"].as_f64().unwrap()).abs() < 1e-6);
        assert!(sandbox.path("vault").join(drill["evidence"].as_str().unwrap()).exists());
    }
    let git = of(&document, "code")["checks"].to_string();
    assert!(git.contains("1 files of") && git.contains("2 refs") && git.contains("1 whole"), "{git}");

    let run = drill(&sandbox, &["app", "--max-rpo", "1d", "--max-rto", "1h"]).ok();
    assert!(run.out().contains("app: passed") && run.out().contains("recovery took"), "{}", run.out());
    let history = sandbox.reader(&["drill", "--history", "--json"]).ok().json();
    let lines = history["result"]["history"].as_array().unwrap();
    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|line| line["passed"] == true && line["member"] == "owner"), "{history}");
    let only = sandbox.reader(&["drill", "--history", "files"]).ok().out();
    assert!(only.contains("files") && !only.contains("code"), "{only}");
    assert!(only.lines().all(|line| line.len() <= 80), "{only}");
}

#[test]
fn checks_of_ones_own_pass_fail_or_could_not_be_run() {
    let sandbox = vault();
    sandbox.configure(
        "[[source]]\nname = \"other\"\nkind = \"command\"\ncommand = [\"echo\", \"x\"]\n\
         [[source.check]]\nname = \"says x\"\ncommand = [\"cat\", \"other/stdout\"]\nexpected = \"x\"\n\
         [[source.check]]\nname = \"no sql here\"\nsql = \"select 1\"\n",
    );
    sandbox.writer(&["backup", "other"]).ok();
    let document = drill(&sandbox, &["other", "--json"]).code(6).json();
    assert_eq!(failed(of(&document, "other")), [("no sql here".to_owned(), "error".to_owned())]);
    assert_eq!(document["error"]["kind"], "drill-failed");

    let config = fs::read_to_string(sandbox.config()).unwrap();
    let checks = "kind = \"sqlite\"\n\
         [[source.check]]\nname = \"paid\"\nsql = \"select count(*) > 0 from orders where paid = 'yes'\"\n\
         [[source.check]]\nname = \"two\"\nsql = \"select count(*) from orders\"\nexpected = 2\n\
         [[source.check]]\nname = \"three\"\nsql = \"select count(*) from orders\"\nexpected = \"3\"\n\
         [[source.check]]\nname = \"false\"\nsql = \"select count(*) > 5 from orders\"\n\
         [[source.check]]\nname = \"no such table\"\nsql = \"select 1 from nothing\"\n\
         [[source.check]]\nname = \"script\"\ncommand = [\"sh\", \"-c\", \"test -s $STRONGROOM_DRILL_DATABASE && echo fine\"]\n\
         [[source.check]]\nname = \"bad script\"\ncommand = [\"sh\", \"-c\", \"echo why >&2; exit 3\"]\n";
    // The keys of a source come before its checks.
    let (before, after) = config.split_once("kind = \"sqlite\"\n").unwrap();
    let (path, rest) = after.split_once('\n').unwrap();
    fs::write(sandbox.config(), format!("{before}{}{rest}", checks.replacen('\n', &format!("\n{path}\n"), 1))).unwrap();
    let document = drill(&sandbox, &["app", "--json"]).code(6).json();
    let names = failed(of(&document, "app"));
    let names: Vec<(&str, &str)> = names.iter().map(|(name, status)| (name.as_str(), status.as_str())).collect();
    assert_eq!(names, [("three", "fail"), ("false", "fail"), ("no such table", "error"), ("bad script", "error")]);
    let report = |ending: &str| sandbox.path(&format!("report.{ending}"));
    let names = ["json", "md", "xml", "html"].map(|ending| report(ending).display().to_string());
    let mut args = vec!["app"];
    args.extend(names.iter().flat_map(|name| ["--report", name]));
    let run = drill(&sandbox, &args).code(6).says("1 of 1 drills failed: app");
    let [json, md, xml, html] = names.map(|name| fs::read_to_string(name).unwrap());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(failed(&json["drills"][0]).len(), 4);
    assert!(md.contains("| three | failed | 3 | 2 |") && md.contains("| drill app | **failed** |"), "{md}");
    assert!(
        xml.contains("<failure message=\"expected 3, found 2\">") && xml.contains("failures=\"2\" errors=\"2\""),
        "{xml}"
    );
    assert!(xml.contains("<error message=\"could not be run: ") && xml.contains("why"), "{xml}");
    sandbox.reader(&["drill", "--report", "report.pdf"]).code(2).says(".html, .md, .xml or .json");
    assert!(run.out().contains("three: expected 3, found 2"), "{}", run.out());
    // One page that needs nothing from outside: what failed stands open, what passed is folded away, and the two drills
    // before this one are in the picture of them all.
    for part in [
        "<h1>Failed</h1>",
        "Drill app: <b class=\"bad\">failed</b>",
        "<td>three</td>",
        "could not be run",
        "checks passed</summary>",
    ] {
        assert!(html.contains(part), "{part} is not in {html}");
    }
    assert_eq!(html.matches("<rect class=\"part").count(), 4);
    assert_eq!(html.matches("<rect class=\"fail\"").count(), 3);
    assert!(!html.contains("<script") && !html.contains("href=") && !html.contains("src="), "{html}");
    let history = sandbox.reader(&["drill", "--history", "app", "--json"]).ok().json();
    assert_eq!(history["result"]["history"][0]["passed"], false, "a failure is evidence, too");

    let wrong = fs::read_to_string(sandbox.config()).unwrap().replace("expected = 2", "expect = 2");
    fs::write(sandbox.config(), wrong).unwrap();
    sandbox.writer(&["backup", "app"]).code(2).says("expect");
}

#[test]
fn what_is_too_slow_or_too_old_fails() {
    let sandbox = vault();
    std::thread::sleep(Duration::from_millis(1100)); // data must be a whole second old to be too old
    let document = drill(&sandbox, &["files", "--json", "--max-rto", "1h", "--max-rpo", "0s"]).code(6).json();
    assert_eq!(failed(of(&document, "files")), [("rpo".to_owned(), "fail".to_owned())]);
}

#[test]
fn one_that_fails_stops_no_other() {
    let sandbox = vault();
    // A fingerprint that is not of what was backed up, as a writer that was taken over could sign it.
    let file = sandbox.path("app.db");
    let fingerprint = print::fingerprint(&print::open(&file).unwrap()).unwrap();
    Connection::open(&file).unwrap().execute_batch("UPDATE orders SET paid = 'yes'").unwrap();
    let mut fingerprint = strongroom::model::Fingerprint { database: "app.db".to_owned(), ..fingerprint };
    fingerprint.streams.push("app.db".parse().unwrap());
    let facts = Facts { fingerprints: vec![fingerprint], ..Facts::default() };
    let made = Made { kind: SourceKind::Sqlite, stream: "app.db", bytes: fs::read(&file).unwrap(), facts };
    back_up(&sandbox, "app", made);
    drill(&sandbox, &["app", "nothing"]).code(2).says("nothing");
    let document = drill(&sandbox, &["app", "files", "code", "--json"]).code(6).json();
    assert_eq!(failed(of(&document, "app")), [("fingerprint app.db: orders".to_owned(), "fail".to_owned())]);
    for source in ["files", "code"] {
        assert_eq!(of(&document, source)["passed"], true);
    }
    // The snapshot before was whole.
    let listed = sandbox.reader(&["snapshots", "--source", "app", "--json"]).ok().json();
    let first = listed["result"][0]["id"].as_str().unwrap().to_owned();
    drill(&sandbox, &["--snapshot", &first]).ok();

    // Damage is found as damage, and the others are drilled.
    let packs = sandbox.path("vault/packs");
    let mut all = Vec::new();
    let mut dirs = vec![packs];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { all.push(path) }
        }
    }
    for pack in all.iter().filter(|path| path.extension().is_none()) {
        let mut bytes = fs::read(pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::set_permissions(pack, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        fs::write(pack, bytes).unwrap();
    }
    let document = drill(&sandbox, &["--json"]).code(6).json();
    let drills = document["result"]["drills"].as_array().unwrap();
    assert!(drills.len() == 3 && drills.iter().all(|drill| drill["passed"] == false), "{document}");
}

#[test]
fn without_an_identity_there_is_no_drill() {
    let (sandbox, other) = (vault(), Sandbox::with_vault());
    sandbox.writer(&["drill"]).code(2);
    let mut command = sandbox.command();
    let id = fs::read_to_string(other.identity()).unwrap();
    let id: String =
        id.lines().filter(|line| !line.starts_with("# strongroom-vault")).flat_map(|l| [l, "\n"]).collect();
    fs::write(other.path("safe/bare"), id).unwrap();
    fs::set_permissions(other.path("safe/bare"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    command.args(["--vault", &sandbox.url(), "drill", "-i"]).arg(other.path("safe/bare"));
    sandbox.finish(&mut command).code(12);
}

#[test]
fn nothing_is_left_after_ctrl_c_nor_after_the_run_that_follows_a_kill() {
    let sandbox = vault();
    let tmp = sandbox.path("tmp");
    fs::create_dir(&tmp).unwrap();
    sandbox.configure(
        "[[source.check]]\nname = \"slow\"\n\
         command = [\"sh\", \"-c\", \"touch \\\"$STRONGROOM_DRILL_DIR/running\\\" && sleep 1000\"]\n",
    );
    let running = || left(&tmp).iter().filter(|name| tmp.join(name).join("restored/running").exists()).count();
    let start = || {
        let child = Command::new(assert_cmd::cargo::cargo_bin("strongroom"))
            .arg("--config")
            .arg(sandbox.config())
            .args(["drill", "code", "-i"])
            .arg(sandbox.identity())
            .env("TMPDIR", &tmp)
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while running() == 0 {
            assert!(began.elapsed() < Duration::from_mins(2), "it never began");
            std::thread::sleep(Duration::from_millis(10)); // nothing tells when another process has begun
        }
        child
    };
    let mut child = start();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(left(&tmp), [""; 0]);
    let mut child = start();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(left(&tmp).len(), 1);
    drill(&sandbox, &["files"]).ok();
}
