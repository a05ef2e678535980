//! `backup --dry-run` and `doctor` look at sources before they are backed up.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use serde_json::Value;

use crate::{sandbox::Sandbox, server::Server};

/// All files of a vault.
fn files(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else {
            found.insert(entry.path().display().to_string());
        }
    }
}

fn stored(sandbox: &Sandbox) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    files(&sandbox.path("vault"), &mut found);
    found
}

/// How the checks of this name went, and what they say.
fn checks(document: &Value, name: &str) -> Vec<(String, String)> {
    let all = document["result"]["checks"].as_array().unwrap();
    let told = |check: &Value, field: &str| check[field].as_str().unwrap().to_owned();
    let of = all.iter().filter(|check| check["name"] == name);
    of.map(|check| (told(check, "status"), told(check, "detail"))).collect()
}

#[track_caller]
fn has(document: &Value, name: &str, status: &str, words: &str) {
    let found = checks(document, name);
    assert!(found.iter().any(|(s, d)| s == status && d.contains(words)), "{name}: {status} {words:?}: {document}");
}

fn warned(document: &Value) -> String {
    let findings = document["findings"].as_array().unwrap().iter().filter(|f| f["code"] == "source.warned");
    findings.map(|f| f["message"].as_str().unwrap().to_owned() + "\n").collect()
}

/// A server with an account that sees everything, and one that sees tables alone.
fn server() -> Server {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE a(id INT PRIMARY KEY) ENGINE=InnoDB; CREATE VIEW v AS SELECT id FROM a;
         CREATE TABLE h(id INT PRIMARY KEY) ENGINE=InnoDB WITH SYSTEM VERSIONING; CREATE TABLE skipped(id INT);
         CREATE DATABASE other; CREATE TABLE other.b(id INT PRIMARY KEY) ENGINE=InnoDB;
         CREATE USER blind@localhost IDENTIFIED BY 'blind'; GRANT SELECT ON shop.* TO blind@localhost;
         CREATE USER sees@localhost IDENTIFIED BY 'sees'; GRANT ALL ON *.* TO sees@localhost",
    );
    server
}

/// A `[[source]]` for an account of the server.
fn maria(sandbox: &Sandbox, server: &Server, name: &str, user: &str, databases: &str) -> String {
    let (socket, password) = (server.socket(), sandbox.path("safe").join(user));
    format!(
        "[[source]]\nname = \"{name}\"\nkind = \"mariadb\"\nsocket = \"{}\"\nuser = \"{user}\"\n\
         password_file = \"{}\"\ndatabases = {databases}\n",
        socket.display(),
        password.display()
    )
}

/// A vault whose configuration has a source of nearly every kind.
fn vault(server: &Server) -> Sandbox {
    let sandbox = Sandbox::with_vault();
    let tree = sandbox.path("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(tree.join("sub/kept"), "kept").unwrap();
    fs::write(tree.join("scrap"), "x").unwrap();
    rusqlite::Connection::open(sandbox.path("app.db")).unwrap().execute_batch("CREATE TABLE t(a)").unwrap();
    for name in ["one", "two"] {
        let repo = sandbox.path("code").join(name);
        assert!(Command::new("git").args(["init", "-q", "--bare"]).arg(repo).status().unwrap().success());
    }
    for name in ["blind", "sees"] {
        fs::write(sandbox.path("safe").join(name), name).unwrap();
        fs::set_permissions(sandbox.path("safe").join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let at = |path: &str| sandbox.path(path).display().to_string();
    sandbox.configure(&format!(
        "[[source]]\nname = \"tree\"\nkind = \"path\"\npath = \"{}\"\nexclude = [\"scrap\", \"nowhere\"]\n\
         [[source]]\nname = \"app\"\nkind = \"sqlite\"\npath = \"{}\"\n\
         [[source]]\nname = \"code\"\nkind = \"git\"\nrepos = \"{}/*\"\nallow_empty = true\n{}exclude = [\"shop.skipped\"]\n",
        at("tree"),
        at("app.db"),
        at("code"),
        maria(&sandbox, server, "shop", "sees", "\"*\"")
    ));
    sandbox
}

#[test]
fn sources_are_looked_at_before_they_are_backed_up_and_nothing_is_stored() {
    let server = server();
    let sandbox = vault(&server);
    // Before the first run, and after it.
    let before = stored(&sandbox);
    let run = sandbox.writer(&["backup", "--dry-run", "--json"]).ok().json();
    has(&run, "source.shop.rights", "ok", "3 tables in 2 databases");
    has(&run, "source.shop.last-run", "ok", "no run of it is known here");
    has(&run, "state-room", "ok", "free");
    has(&run, "scratch-room", "ok", "free");
    assert_eq!(run["result"]["dry_run"], true);
    assert_eq!(before, stored(&sandbox), "a dry run stores nothing");
    let warnings = warned(&run);
    for words in
        ["exclude` asks: scrap", "fits these of `exclude`: nowhere", "asks: shop.skipped", "versioned tables is not in"]
    {
        assert!(warnings.contains(words), "{words}: {warnings}");
    }
    sandbox.writer(&["backup"]).ok();
    let run = sandbox.writer(&["backup", "--dry-run", "--json"]).ok().json();
    for name in ["tree", "app", "code.one", "shop"] {
        has(&run, &format!("source.{name}.last-run"), "ok", " s");
    }
    // What changed since, and what can't be backed up.
    fs::remove_dir_all(sandbox.path("code/two")).unwrap();
    server.sql("DROP DATABASE other");
    sandbox.configure(&format!(
        "{}[[source]]\nname = \"tool\"\nkind = \"command\"\ncommand = [\"no-such-dump\"]\n\
         [[source]]\nname = \"gone\"\nkind = \"sqlite\"\npath = \"/nowhere/app.db\"\n\
         [[source]]\nname = \"far\"\nkind = \"git\"\nrepo = \"http://127.0.0.1:9/x.git\"\n",
        maria(&sandbox, &server, "half", "blind", "[\"shop\"]")
    ));
    let before = stored(&sandbox);
    let run = sandbox.writer(&["backup", "--dry-run", "--json"]).code(3).json();
    has(&run, "source.code.members", "failed", "code.two");
    has(&run, "source.shop.members", "failed", "other");
    has(&run, "source.tool.programs", "failed", "not found in PATH");
    has(&run, "source.gone.reach", "failed", "/nowhere/app.db");
    has(&run, "source.far.reach", "failed", "127.0.0.1:9");
    // Without SHOW VIEW a dump would lack it.
    has(&run, "source.half.contents", "failed", "SHOW VIEW");
    assert!(warned(&run).contains("may not see the triggers of shop"), "{run}");
    let failed: Vec<&str> =
        run["result"]["failed"].as_array().unwrap().iter().map(|f| f["source"].as_str().unwrap()).collect();
    assert_eq!(failed, ["half", "tool", "gone", "far"]);
    assert_eq!(before, stored(&sandbox));
    // Doctor finds the same, and says what is well besides.
    let run = sandbox.writer(&["doctor", "--json"]).code(5).json();
    has(&run, "source.gone.reach", "failed", "/nowhere/app.db");
    has(&run, "source.tree.contents", "ok", "1 files");
    has(&run, "vault", "ok", "holds vault");
    sandbox.writer(&["doctor", "--no-sources"]).ok();
    sandbox.writer(&["backup", "--dry-run", "--name", "x", "--path", "/nowhere"]).code(1).says("/nowhere");
}
