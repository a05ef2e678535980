//! What a drill starts reads, writes and reaches nothing but what it was given: as root, as a user, and where namespaces are
//! refused. With `--unconfined` the same code reaches all of it, so that these tests can fail.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use strongroom::{model::SourceKind, source::Facts};

use crate::{
    lab::{Made, back_up, of},
    pg::Postgres,
    reach::{Bait, Who, told},
    server::Server,
};

/// What nothing confines reaches.
const ALL: [&str; 10] = ["ran", "key", "truncate", "home", "tmp", "tcp", "udp", "unix", "abstract", "signal"];

/// The confinement that must be told.
fn held(who: Who, how: &str) {
    assert!(how.contains("landlock abi ") && how.contains(", seccomp, no-new-privileges, "), "{who:?}: {how}");
    assert_eq!(how.contains("no namespaces"), who == Who::Refused, "{who:?}: {how}");
    assert!(!how.contains("uid 0") && !how.contains("none:"), "{who:?}: {how}");
}

#[test]
fn a_check_command_reaches_nothing() {
    let bait = Bait::new();
    let sandbox = &bait.sandbox;
    let notes = sandbox.path("notes");
    fs::write(&notes, "of today").unwrap();
    bait.probe(false);
    let (probe, etc) = (sandbox.path("etc/probe"), sandbox.path("etc"));
    fs::write(sandbox.path("etc/expected"), "as it should be").unwrap();
    let secret = bait.open().join("key");
    let command = |name: &str, words: &[&str]| format!("[[source.check]]\nname = \"{name}\"\ncommand = {words:?}\n");
    sandbox.configure(&format!(
        "\n[[source]]\nname = \"notes\"\nkind = \"path\"\npath = \"{}\"\n{}{}{}{}",
        notes.display(),
        command("reached", &[probe.to_str().unwrap()]),
        command("own", &["sh", "-c", "cat \"$1\" */*", "sh", sandbox.path("etc/expected").to_str().unwrap()]),
        command("elsewhere", &["cat", secret.to_str().unwrap()]),
        command("all", &["ls", etc.to_str().unwrap()]),
    ));
    sandbox.writer(&["backup", "notes"]).ok();
    for (who, reached, how) in bait.drilled("notes", "reached") {
        assert_eq!(reached, "ran", "{who:?}: {how}");
        held(who, &how);
        assert!(how.starts_with("cat, ") || how.starts_with("probe, sh: "), "{how}");
    }
    assert!(bait.untouched());
    let document = bait.drill(Who::Self_, &["notes", "--json"]);
    assert_eq!(bait.left_running(), 0);
    let found = of(&document, "notes");
    assert!(told(found, "own").starts_with("as it should be"), "{found}");
    assert!(told(found, "elsewhere").contains("not below the configuration's directory"), "{found}");
    assert!(told(found, "all").contains("holds what opens the vault"), "{found}");

    let document = bait.drill(Who::Self_, &["notes", "--json", "--unconfined"]);
    let found = of(&document, "notes");
    let reached = told(found, "reached");
    assert!(ALL.iter().all(|word| reached.split_whitespace().any(|r| r == *word)), "{reached}");
    assert!(reached.contains("environ") && reached.contains("namespace"), "{reached}");
    assert_eq!(found["confinement"], "none: --unconfined");
    assert!(!bait.untouched());
    let text = fs::read_to_string(sandbox.config()).unwrap();
    fs::write(sandbox.config(), text.split("[[source.check]]").next().unwrap()).unwrap();
    let document = bait.drill(Who::Self_, &["notes", "--json"]);
    assert_eq!(of(&document, "notes")["confinement"], "nothing was started");
}

/// The step that becomes a program starts nothing where a layer is missing that it was to have.
#[test]
fn without_a_layer_nothing_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().to_str().unwrap();
    let step = |landlock: i32, namespaces: &[&str], report: Option<&str>| {
        let spec = serde_json::json!({
            "home": home, "writes": [], "reads": [], "user": null, "apart": [], "view": false, "way": "server",
            "engine": true, "person": null, "alone": false, "outside": {"net": "another"}, "report": report,
            "needs": {"landlock": landlock, "namespaces": namespaces},
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.args(["jail", &spec.to_string(), "--", "touch", "made"]).current_dir(home);
        let output = command.output().unwrap();
        let made = dir.path().join("made").exists();
        let _ = fs::remove_file(dir.path().join("made"));
        (output.status.code(), made, String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(step(1, &["net"], None), (Some(0), true, String::new()));
    for (landlock, namespaces, report, why) in [
        (99, &[][..], None, "too old"),
        (1, &["net", "pid"], None, "namespaces"),
        (1, &[], Some("/no/such/file"), "can't tell what holds it"),
    ] {
        let (code, made, said) = step(landlock, namespaces, report);
        assert!(code == Some(125) && !made && said.contains(why), "{code:?} {made} {said}");
    }
}

/// A dump whose load runs code in the server: SQL that reaches for files and programs, and a library that it writes into the
/// server's own directory and loads.
#[test]
fn a_postgres_dump_reaches_nothing() {
    let bait = Bait::new();
    let sandbox = &bait.sandbox;
    let library = bait.probe(true).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let open = bait.open().display().to_string();
    let attempts = [
        ("read", format!("perform pg_read_file('{open}/key')")),
        ("copy", format!("copy (select 1) to '{open}/copied'")),
        ("program", format!("copy (select 1) to program 'cat {open}/key >{open}/program; cat >/dev/null'")),
        ("export", format!("l := lo_from_bytea(0, 'x'); perform lo_export(l, '{open}/exported')")),
        (
            "library",
            format!(
                "l := lo_from_bytea(0, decode('{library}', 'hex')); perform lo_export(l, 'probe.so'); \
                 execute format('load %L', current_setting('data_directory') || '/probe.so')"
            ),
        ),
    ];
    let tries = attempts
        .iter()
        .map(|(word, sql)| format!("begin {sql}; got := got || ' {word}'; exception when others then null; end;\n"))
        .collect::<Vec<_>>()
        .concat();
    let server = Postgres::start();
    server.create("shop");
    server.sql(
        "shop",
        &format!(
            "create function run() returns bool language plpgsql as $f$ declare got text := 'sql'; l oid; begin \
             if current_setting('port') = '5432' then {tries} \
             execute format('copy (select %L) to %L', got, current_setting('data_directory') || '/said'); end if; \
             return true; end $f$; create table trap (n int check (public.run())); insert into trap values (1)"
        ),
    );
    sandbox.configure(&format!(
        "\n[[source]]\nname = \"shop\"\nkind = \"postgres\"\ndsn = {:?}\ndatabases = [\"shop\"]\n\
         [[source.check]]\nname = \"reached\"\nsql = \"select pg_read_file('reached') || pg_read_file('said')\"\nexpected = \"\"\n",
        server.dsn("shop")
    ));
    sandbox.writer(&["backup", "shop"]).ok();
    drop(server);
    for (who, reached, how) in bait.drilled("shop", "reached") {
        // Code of the dump runs in the server: that is what must be held.
        assert_eq!(reached, "ran sql", "{who:?}: {how}");
        held(who, &how);
        assert!(how.contains("pg_restore, postgres, psql: "), "{how}");
    }
    assert!(bait.untouched());
    let document = bait.drill(Who::Self_, &["shop", "--json", "--unconfined"]);
    let found = of(&document, "shop");
    let reached = told(found, "reached");
    let all = ALL.iter().chain(&["read", "copy", "program", "export", "environ"]);
    assert!(all.into_iter().all(|word| reached.split_whitespace().any(|r| r == *word)), "{reached}");
    assert_eq!(found["confinement"], "none: --unconfined");
}

#[test]
fn a_mariadb_dump_changes_nothing_but_its_databases() {
    let bait = Bait::new();
    let open = bait.open().display().to_string();
    let hostile = [
        format!("SET GLOBAL general_log_file = '{open}/log'; SET GLOBAL general_log = 1"),
        format!("CREATE DATABASE d; USE d; CREATE TABLE t (a INT) ENGINE=MyISAM DATA DIRECTORY = '{open}'"),
        "CREATE DATABASE d; USE d; CREATE DEFINER = 'root'@'localhost' PROCEDURE p() SET GLOBAL general_log = 1; CALL p()"
            .to_owned(),
    ];
    for (at, sql) in hostile.iter().enumerate() {
        let bytes = format!("-- MariaDB dump\n{sql};\n-- Dump completed\n").into_bytes();
        let made = Made { kind: SourceKind::Mariadb, stream: "databases.sql", bytes, facts: Facts::default() };
        back_up(&bait.sandbox, &format!("evil{at}"), made);
    }
    let whole = [Who::Self_, Who::Nobody, Who::Refused];
    let root = rustix::process::geteuid().is_root();
    for who in whole.into_iter().filter(|who| root || *who != Who::Nobody) {
        // A server of its own for each, so that others than the first of these try what writes, and no more, unless
        // all is asked for.
        let all = who == Who::Self_ || std::env::var_os("STRONGROOM_ALL_HOSTILE").is_some();
        let (tried, args) = if all { (hostile.len(), &["--json"][..]) } else { (1, &["evil0", "--json"][..]) };
        let document = bait.drill(who, args);
        for at in 0..tried {
            let found = of(&document, &format!("evil{at}"));
            let loaded = found["checks"][0].to_string();
            // An engine may pass over the directory in silence.
            assert!(at == 1 || loaded.contains("the server does not take it"), "{who:?} {at}: {found}");
            held(who, found["confinement"].as_str().unwrap());
        }
        assert!(bait.untouched(), "{who:?}");
    }
    // What an account with all rights would have reached.
    let server = Server::start();
    server.sql(&format!("{};", hostile[0]));
    assert!(!bait.untouched());
}

/// SQLite itself is confined, too; a query of a check can show it.
#[test]
fn sqlite_and_git_see_nothing_else() {
    let bait = Bait::new();
    let sandbox = &bait.sandbox;
    let (file, other, repo) = (sandbox.path("app.db"), bait.open().join("other.db"), sandbox.path("repo"));
    for path in [&file, &other] {
        let database = rusqlite::Connection::open(path).unwrap();
        database.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (7)").unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    }
    fs::create_dir(&repo).unwrap();
    let git = |args: &[&str]| crate::plain::git(&repo, args);
    git(&["init", "-q", "-b", "trunk"]);
    fs::write(repo.join("code"), "fn main() {}").unwrap();
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "first"]);
    sandbox.configure(&format!(
        "\n[[source]]\nname = \"app\"\nkind = \"sqlite\"\npath = \"{}\"\n\
         [[source.check]]\nname = \"own\"\nsql = \"select a from t\"\nexpected = 7\n\
         [[source.check]]\nname = \"other\"\nsql = \"attach '{}' as o\"\nexpected = \"\"\n\
         [[source]]\nname = \"code\"\nkind = \"git\"\nrepo = \"{}\"\n",
        file.display(),
        other.display(),
        repo.display()
    ));
    sandbox.writer(&["backup", "app", "code"]).ok();
    for (who, reached, how) in bait.drilled("app", "other") {
        assert!(reached.contains("unable to open database"), "{who:?}: {reached}");
        held(who, &how);
        let document = bait.drill(who, &["--json"]);
        let (app, code) = (of(&document, "app"), of(&document, "code"));
        assert_eq!((told(app, "own").as_str(), &code["passed"]), ("7", &true.into()), "{document}");
        held(who, code["confinement"].as_str().unwrap());
    }
    let document = bait.drill(Who::Self_, &["app", "--json", "--unconfined"]);
    assert_eq!(of(&document, "app")["passed"], true, "{document}");
}
