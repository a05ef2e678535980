//! `backup`, `snapshots` and `catalog rebuild`.

use std::fs;

use strongroom::{
    catalog::{Catalog, RunLock},
    model::{Name, VaultId},
};

use crate::sandbox::{Sandbox, noise};

fn sources(sandbox: &Sandbox) {
    let root = sandbox.path("data");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("one.sql"), noise(300_000, 1)).unwrap();
    sandbox.configure(&format!(
        "[[source]]\nname = \"files\"\nkind = \"path\"\npath = {:?}\n\
         [[source]]\nname = \"bad\"\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"echo begun; exit 3\"]\n\
         [[source]]\nname = \"dump\"\nkind = \"command\"\ncommand = [\"echo\", \"dump complete\"]\ntrailer = \"complete\"\n",
        root.to_str().unwrap()
    ));
}

fn vault_id(sandbox: &Sandbox) -> VaultId {
    let config = fs::read_to_string(sandbox.config()).unwrap();
    config.lines().find_map(|l| l.strip_prefix("id = \"")).unwrap().trim_end_matches('"').parse().unwrap()
}

/// The writer's.
fn name() -> Name {
    "writer".parse().unwrap()
}

#[test]
fn the_document_holds_what_scripts_rely_on() {
    let sandbox = Sandbox::with_vault();
    let bytes = noise(2_000_000, 7);
    let run = sandbox.writer_with(&["backup", "--name", "orders", "--stdin", "--json"], &bytes).ok();
    let document = run.json();
    assert_eq!(document["command"], "backup");
    let snapshot = &document["result"]["snapshots"][0];
    assert_eq!(snapshot["id"].as_str().unwrap().len(), 64);
    assert_eq!((&snapshot["source"], &snapshot["kind"]), (&"orders".into(), &"stdin".into()));
    assert_eq!(snapshot["bytes_read"], 2_000_000);
    assert_eq!(snapshot["bytes_new"], 2_000_000);
    assert!(snapshot["bytes_stored"].as_u64().unwrap() >= 2_000_000, "noise does not shrink");
    assert_eq!(snapshot["chunks"], snapshot["chunks_new"]);
    assert_eq!(snapshot["chunks_delta"], 0);
    assert!(snapshot["duration_s"].as_f64().unwrap() > 0.0);
    assert_eq!(snapshot["warnings"], serde_json::json!([]));
    let floor = snapshot["floor_until"].as_str().unwrap();
    assert!(floor.ends_with('Z') && snapshot["expires_at"].as_str().unwrap() >= floor);
    let stream = &snapshot["streams"][0];
    assert_eq!((&stream["name"], &stream["bytes"]), (&"stdin".into(), &2_000_000.into()));
    let hash = strongroom::codec::hash::hash(&bytes).to_string();
    assert_eq!(stream["blake3"], hash.as_str());

    let listed = sandbox.reader(&["snapshots", "--json"]).ok().json();
    let line = &listed["result"][0];
    for field in ["id", "source", "kind", "floor_until", "expires_at"] {
        assert_eq!(line[field], snapshot[field], "{field}");
    }
    assert_eq!((&line["writer"], &line["seq"], &line["bytes"]), (&"writer".into(), &1.into(), &2_000_000.into()));
    assert!(line["created_at"].as_str().is_some());
}

#[test]
fn the_same_again_stores_next_to_nothing() {
    let sandbox = Sandbox::with_vault();
    let bytes = noise(4_000_000, 3);
    sandbox.backup("orders", &bytes);
    let again = sandbox.writer_with(&["backup", "--name", "orders", "--stdin", "--json"], &bytes).ok().json();
    let snapshot = &again["result"]["snapshots"][0];
    assert_eq!(snapshot["bytes_new"], 0);
    assert!(snapshot["bytes_stored"].as_u64().unwrap() < 16_384, "{snapshot}");
}

#[test]
fn one_failed_source_stops_no_other() {
    let sandbox = Sandbox::with_vault();
    sources(&sandbox);
    let document = sandbox.writer(&["backup", "--json"]).code(3).json();
    let made: Vec<_> = document["result"]["snapshots"].as_array().unwrap().iter().map(|s| &s["source"]).collect();
    assert_eq!(made, ["files", "dump"]);
    assert_eq!(document["result"]["failed"][0]["source"], "bad");
    assert_eq!(document["error"]["kind"], "some-sources-failed");
    assert!(document["findings"][0]["message"].as_str().unwrap().contains("exit status 3"));
    sandbox.writer(&["backup"]).code(3).says("failed: bad: ");

    let only = sandbox.writer(&["backup", "bad", "--json"]).code(1).json();
    assert_eq!(only["error"]["kind"], "source");
    assert_eq!(only["result"]["snapshots"], serde_json::json!([]));
    sandbox.writer(&["backup", "dump", "files"]).ok();
    sandbox.writer(&["backup", "nope"]).code(2).says("files, bad, dump");
    // A failed source makes no snapshot (G7), so the vault knows none of that name.
    sandbox.reader(&["snapshots", "--source", "bad"]).code(2).says("dump, files");
}

#[test]
fn a_producer_that_fails_or_dies_makes_no_snapshot() {
    let sandbox = Sandbox::with_vault();
    sandbox.writer_with(&["backup", "--name", "x", "--stdin"], b"").code(1).says("--allow-empty");
    sandbox.writer(&["backup", "--name", "x", "--", "true"]).code(1).says("--allow-empty");
    sandbox.writer(&["backup", "--name", "x", "--", "sh", "-c", "echo much; exit 1"]).code(1).says("exit status 1");
    sandbox.writer(&["backup", "--name", "x", "--", "no-such-program"]).code(1).says("no-such-program");
    sandbox.writer(&["backup", "--name", "x", "--path", "/no/such/file"]).code(1).says("/no/such/file");
    sandbox.writer(&["backup", "--name", "x", "--git", "/tmp"]).code(1);
    assert_eq!(sandbox.reader(&["snapshots", "--json"]).ok().json()["result"], serde_json::json!([]));
    sandbox.writer_with(&["backup", "--name", "x", "--stdin", "--allow-empty"], b"").ok();
}

#[test]
fn compressed_input_is_stored_with_a_warning_of_what_it_costs() {
    let sandbox = Sandbox::with_vault();
    let rows: Vec<String> = noise(600_000, 5).chunks(20).map(|row| format!("row {row:02x?}\n")).collect();
    let dump = sandbox.path("dump.sql");
    let backup = |source: &str, script: &str| {
        let dump = dump.to_str().unwrap();
        let run = sandbox.writer(&["backup", "--name", source, "--json", "--", "sh", "-c", script, "sh", dump]).ok();
        let snapshot = run.json()["result"]["snapshots"][0].clone();
        (snapshot["bytes_stored"].as_u64().unwrap(), snapshot["warnings"].to_string())
    };
    let (plain, gzip) = ("cat \"$1\"", "gzip -c \"$1\"");
    fs::write(&dump, rows.concat()).unwrap();
    let first = [backup("plain", plain), backup("packed", gzip)];
    assert_eq!(first[0].1, "[]");
    for word in ["gzip data", "stored again", "no `| gzip`", "KiB"] {
        assert!(first[1].1.contains(word), "{word}: {}", first[1].1);
    }
    // That it is so: one row more at the beginning.
    fs::write(&dump, ["one more\n", &rows.concat()].concat()).unwrap();
    let second = [backup("plain", plain), backup("packed", gzip)];
    assert!(second[0].0 * 4 < first[0].0, "{} of {} stored", second[0].0, first[0].0);
    assert!(second[1].0 * 10 > first[1].0 * 9, "{} of {} stored", second[1].0, first[1].0);
}

#[test]
fn two_runs_of_one_writer_are_kept_apart() {
    let sandbox = Sandbox::with_vault();
    let lock = RunLock::acquire(&sandbox.path("etc/state"), vault_id(&sandbox), &name()).unwrap();
    let args = ["backup", "--name", "x", "--path", "/etc/hostname", "--json"];
    assert_eq!(sandbox.writer(&args).code(75).json()["error"]["kind"], "busy");
    sandbox.writer(&["catalog", "rebuild"]).code(75).says("another run");
    drop(lock);
    sandbox.writer(&args).ok();
}

#[test]
fn a_lost_catalog_is_told_and_comes_back() {
    let sandbox = Sandbox::with_vault();
    let bytes = noise(3_000_000, 5);
    sandbox.backup("x", &bytes);
    fs::remove_dir_all(sandbox.path("etc/state")).unwrap();
    let rebuilt = sandbox.writer(&["catalog", "rebuild", "--json"]).ok().json();
    assert_eq!(rebuilt["command"], "catalog rebuild");
    assert!(rebuilt["result"]["chunks"].as_u64().unwrap() > 0);
    let again = sandbox.writer_with(&["backup", "--name", "x", "--stdin", "--json"], &bytes).ok().json();
    assert_eq!(again["result"]["snapshots"][0]["bytes_new"], 0);

    // A backup does it by itself and says so, whatever became of the catalog.
    let state = sandbox.path("etc/state");
    let backup = |more: &[&str]| {
        let args = [&["backup", "--name", "x", "--stdin", "--json"], more].concat();
        let told = sandbox.writer_with(&args, &bytes).ok().json();
        (told["findings"].to_string(), told["result"]["snapshots"][0]["bytes_new"].as_u64().unwrap())
    };
    let spoil = || {
        for entry in fs::read_dir(&state).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "sqlite") {
                fs::write(&path, "this is not a database").unwrap();
            }
        }
    };
    let partial = || {
        // As a rebuild leaves it that was killed.
        Catalog::open(&state, vault_id(&sandbox), &name()).unwrap().into_catalog().begin_rebuild().unwrap();
    };
    let lost = || fs::remove_dir_all(&state).unwrap();
    let ways: [(&dyn Fn(), &str, &str); 3] = [
        (&lost, "no catalog in", "catalog.lost"),
        (&spoil, "set aside as", "catalog.replaced"),
        (&partial, "stopped before its end", "catalog.partial"),
    ];
    for (lose, words, code) in ways {
        lose();
        let (findings, new) = backup(&[]);
        assert!(findings.contains("catalog.rebuilt") && findings.contains(words) && new == 0, "{new} {findings}");
        assert_eq!(backup(&[]), ("[]".to_owned(), 0), "told once");
        lose();
        let (findings, new) = backup(&["--no-rebuild"]);
        assert!(findings.contains(code) && findings.contains("catalog rebuild") && new > 0, "{findings}");
        lost();
        sandbox.writer(&["catalog", "rebuild"]).ok();
    }
}

#[test]
fn a_state_directory_that_can_t_be_written_says_what_to_do() {
    let sandbox = Sandbox::with_vault();
    let config = fs::read_to_string(sandbox.config()).unwrap();
    for (state, code) in [("/proc/strongroom", 1), ("/dev/null/state", 1)] {
        fs::write(sandbox.config(), config.replace("state = \"state\"", &format!("state = {state:?}"))).unwrap();
        let run = sandbox.writer_with(&["backup", "--name", "x", "--stdin"], b"bytes").code(code);
        let run = run.says(state).says("`state` in [writer]");
        assert!(!run.stderr.contains("catalog rebuild"), "{}", run.stderr);
    }
}

#[test]
fn the_writer_may_promise_less_than_the_policy_and_not_more() {
    let sandbox = Sandbox::with_vault();
    let config = fs::read_to_string(sandbox.config()).unwrap();
    fs::write(sandbox.config(), config.replace("keep = \"35d\"", "keep = \"36d\"")).unwrap();
    sandbox.writer_with(&["backup", "--name", "x", "--stdin"], b"bytes").code(2).says("36d");
    fs::write(sandbox.config(), config.replace("keep = \"35d\"", "keep = \"1d\"")).unwrap();
    sandbox.writer_with(&["backup", "--name", "x", "--stdin"], b"bytes").ok();
}

#[test]
fn a_vault_that_was_swapped_is_not_written_to() {
    let (sandbox, other) = (Sandbox::with_vault(), Sandbox::with_vault());
    fs::remove_dir_all(sandbox.path("vault")).unwrap();
    fs::rename(other.path("vault"), sandbox.path("vault")).unwrap();
    let run = sandbox.writer_with(&["backup", "--name", "x", "--stdin", "--json"], b"bytes").code(4);
    assert_eq!(run.json()["error"]["kind"], "untrusted");
    assert!(!sandbox.path("vault/packs").exists());
}

#[test]
fn quiet_runs_of_cron_say_nothing() {
    let sandbox = Sandbox::with_vault();
    let run = sandbox.writer_with(&["backup", "--name", "x", "--stdin", "-q"], b"bytes").ok();
    assert_eq!((run.out(), run.stderr.as_str()), (String::new(), ""));
    let run = sandbox.reader(&["snapshots", "-q", "--source", "x"]).ok();
    assert!(run.out().contains("stdin"), "data that was asked for is shown");
}

#[test]
fn a_child_gets_no_identity_and_no_credentials_of_the_bucket() {
    let sandbox = Sandbox::with_vault();
    let mut command = sandbox.command();
    command.arg("--config").arg(sandbox.config()).args(["backup", "--name", "env", "--", "env"]);
    for name in ["STRONGROOM_IDENTITY", "STRONGROOM_OTHER", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "KEPT"] {
        command.env(name, "/no/such/value");
    }
    sandbox.finish(&mut command).ok();
    let seen = sandbox.reader(&["restore", "latest", "--source", "env", "--to", "-"]).ok().out();
    assert!(seen.contains("KEPT=") && seen.contains("PATH="), "{seen}");
    assert!(!seen.contains("STRONGROOM_") && !seen.contains("AWS_"), "{seen}");
}

/// Nobody sees the exit status of what wrote into the pipe.
#[test]
fn a_dump_that_was_cut_in_the_pipe_makes_no_snapshot() {
    let sandbox = Sandbox::with_vault();
    let rows = "INSERT INTO t VALUES (1);\n".repeat(1000);
    let cut = format!("--\n-- PostgreSQL database dump\n--\n\n{rows}");
    let whole = format!("{cut}--\n-- PostgreSQL database dump complete\n--\n\n");
    let backup = |text: &str| sandbox.writer_with(&["backup", "--name", "orders", "--stdin"], text.as_bytes());
    backup(&whole).ok();
    let said = backup(&cut).code(1).stderr;
    assert!(said.contains("began as a dump of pg_dump") && said.contains("did not finish"), "{said}");
    sandbox.configure(
        "[[source]]\nname = \"job\"\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"printf 'PGDMP\\\\1'\"]\n",
    );
    let said = sandbox.writer(&["backup"]).code(1).stderr;
    assert!(said.contains("is not whole"), "{said}");
    assert_eq!(sandbox.reader(&["snapshots", "--json"]).ok().json()["result"].as_array().unwrap().len(), 1);
}

/// What accepts and says nothing is waited for as long as is said, and the others have their turn.
#[test]
fn a_silent_server_fails_its_source_and_not_the_run() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    std::thread::spawn(move || silent.incoming().collect::<Vec<_>>());
    let sandbox = Sandbox::with_vault();
    let data = sandbox.path("data");
    fs::write(&data, "data").unwrap();
    sandbox.configure(&format!(
        "[[source]]\nname = \"pg\"\nkind = \"postgres\"\ndsn = \"host=127.0.0.1 port={port} user=u dbname=d\"\ntimeout = \"1s\"\n\
         [[source]]\nname = \"my\"\nkind = \"mariadb\"\ndsn = \"mysql://u@127.0.0.1:{port}/d\"\ntimeout = \"1s\"\n\
         [[source]]\nname = \"files\"\nkind = \"path\"\npath = {:?}\ntimeout = \"1h\"\n",
        data.to_str().unwrap()
    ));
    let run = sandbox.writer(&["backup", "--json"]).code(3).json();
    let failed = run["result"]["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 2, "{run}");
    for failed in failed {
        assert!(failed["message"].as_str().unwrap().contains("after 1 s, which is its `timeout`"), "{failed}");
    }
    assert_eq!(run["result"]["snapshots"][0]["source"], "files");
    let left = std::process::Command::new("pgrep").args(["-f", &format!("127.0.0.1.*{port}")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "what asked it was left running");
}
