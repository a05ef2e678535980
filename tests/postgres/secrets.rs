//! G8: a password reaches the server and nothing else.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{
    sandbox::Sandbox,
    server::{Postgres, bin},
};

const PASSWORD: &str = "hunter2 \"c0rrect' \\horse%";

/// Every way to say a password, the good one and a wrong one: none is shown, and each is used.
#[test]
fn g8_a_password_is_in_no_argument_and_no_output() {
    let server = Postgres::start();
    server.create("shop");
    let literal = PASSWORD.replace('\'', "''");
    server.sql("shop", &format!("create role app superuser login password '{literal}'; create table t as select 1"));
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    for program in ["psql", "pg_dump", "pg_dumpall", "pg_basebackup"] {
        let script = format!(
            "#!/bin/sh\necho \"$0 $*\" >>'{}'\nexec '{}' \"$@\"\n",
            path("log").display(),
            bin(program).display()
        );
        fs::write(path(program), script).unwrap();
        fs::set_permissions(path(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let private = |name: &str, text: &str| {
        fs::write(path(name), text).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    let port = server.port();
    private("pgpass", &format!("127.0.0.1:{port}:*:app:{}\n", PASSWORD.replace('\\', "\\\\").replace(':', "\\:")));
    private(
        "services",
        &format!("[orders]\nhost=127.0.0.1\nport={port}\ndbname=shop\nuser=app\npassword={PASSWORD}\n"),
    );
    let encoded = PASSWORD.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
    let quoted = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    let plain = format!("host=127.0.0.1 port={port} user=app dbname=shop");
    for (dsn, env, code) in [
        (format!("postgres://app:{encoded}@127.0.0.1:{port}/shop"), None, 0),
        (format!("{plain} password='{quoted}'"), None, 0),
        ("service=orders".to_owned(), Some(("PGSERVICEFILE", path("services").display().to_string())), 0),
        (plain.clone(), Some(("PGPASSFILE", path("pgpass").display().to_string())), 0),
        (format!("{plain} passfile='{}'", path("pgpass").display()), None, 0),
        (plain.clone(), Some(("PGPASSWORD", PASSWORD.to_owned())), 0),
        (format!("{plain} password='wrong-{quoted}'"), None, 1),
        (format!("{plain} password='{quoted}"), None, 2),
        (format!("{plain} password='{quoted}' nonsense={PASSWORD}"), None, 2),
        (plain, None, 1),
    ] {
        for physical in [false, true] {
            let sandbox = Sandbox::with_vault();
            sandbox.configure(&format!(
                "[[source]]\nname = \"shop\"\nkind = \"postgres\"\ndsn = {}\nbin = {:?}\nphysical = {physical}\n",
                toml::Value::String(dsn.clone()),
                place.path()
            ));
            let mut command = sandbox.command();
            command.arg("--config").arg(sandbox.config()).args(["backup", "-vv", "--json"]).envs(env.clone());
            let run = sandbox.finish(&mut command).code(code);
            let said = format!("{}{}", run.out(), run.stderr);
            for secret in [PASSWORD, &encoded, &quoted, "c0rrect"] {
                assert!(!said.contains(secret), "{dsn}:\n{said}");
            }
        }
    }
    let log = fs::read_to_string(path("log")).unwrap();
    assert!(log.contains("pg_dumpall --globals-only") && log.contains("pg_basebackup"), "{log}");
    assert!(!log.contains("c0rrect"), "{log}");
}

/// Signs at which some program takes a password to end, within one that has pieces on both sides.
const SIGNS: [&str; 16] = ["/", "?", "@", ":", "#", "&", "=", "%", " ", "'", "\"", "\\", "[", ",", ";", "$"];

/// Every place in a configuration where a secret may stand, in the spellings that there are; connection strings first.
fn spellings(secret: &str) -> (Vec<String>, [String; 2]) {
    let encoded = secret.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
    let quoted = secret.replace('\\', "\\\\").replace('\'', "\\'");
    let source = |kind: &str, key: &str, value: &str| {
        format!("[[source]]\nname = \"x\"\nkind = \"{kind}\"\n{key} = {}\n", toml::Value::String(value.to_owned()))
    };
    let postgres = [
        format!("postgres://app:{secret}@127.0.0.1:1/orders"),
        format!("postgres://app:{encoded}@127.0.0.1:1/orders"),
        format!("postgresql://127.0.0.1:1/orders?user=app&password={secret}"),
        format!("host=127.0.0.1 port=1 password={secret} user=app"),
        format!("host=127.0.0.1 port=1 password='{quoted}' user=app"),
        format!("app:{secret}@127.0.0.1/orders"),
    ];
    let mariadb =
        [format!("mysql://app:{secret}@127.0.0.1:1/shop"), format!("mariadb://127.0.0.1:1/shop?password={secret}")];
    let git = [
        format!("https://app:{secret}@127.0.0.1:1/r.git"),
        format!("https://{secret}@127.0.0.1:1/r.git"),
        format!("https://127.0.0.1:1/r.git?token={secret}"),
        format!("app:{secret}@127.0.0.1:r.git"),
    ];
    let mut texts: Vec<String> = postgres.iter().map(|dsn| source("postgres", "dsn", dsn)).collect();
    texts.extend(mariadb.iter().map(|dsn| source("mariadb", "dsn", dsn)));
    texts.extend(git.iter().map(|url| source("git", "repo", url)));
    texts.push(source("command", "command", &format!("pg_dump {}", postgres[0])));
    texts.push(source("command", "password", secret));
    texts.push(format!("[drill]\npostgres = {}\n", toml::Value::String(postgres[0].clone())));
    // What a command of somebody's own says of its arguments, in pieces.
    let script = "echo \"can't connect to $1\" >&2; echo \"$1\" | tr '/?@:#&=%' '\\n' >&2; exit 1";
    let command = ["sh", "-c", script, "sh", &postgres[0]].map(|word| toml::Value::String(word.to_owned()).to_string());
    texts.push(format!("[[source]]\nname = \"x\"\nkind = \"command\"\ncommand = [{}]\n", command.join(", ")));
    (texts, [postgres[0].clone(), mariadb[0].clone()])
}

/// However a password is spelled, for whichever source or store, and whoever reads it in another way: no piece of it is in
/// what is said or in the arguments of a child. Nothing answers there, so each of them fails.
#[test]
fn g8_no_piece_of_a_secret_is_shown_however_it_is_spelled() {
    let sandbox = Sandbox::with_vault();
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    for program in ["psql", "pg_dump", "git", "ssh", "mariadb", "mariadb-dump", "mysql", "mysqldump"] {
        let real = if matches!(program, "git" | "ssh") {
            format!("/usr/bin/{program}")
        } else {
            bin(program).display().to_string()
        };
        // A client of MariaDB says what it was given and fails.
        let end =
            if real.contains('/') { format!("exec '{real}' \"$@\"") } else { "echo \"$*\" >&2; exit 1".to_owned() };
        let script = format!("#!/bin/sh\necho \"$0 $*\" >>'{}'\n{end}\n", log.display());
        fs::write(place.path().join(program), script).unwrap();
        fs::set_permissions(place.path().join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", place.path().display(), env!("PATH"));
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let mut runs = 0;
    for (n, sign) in SIGNS.iter().enumerate() {
        let secret = format!("Hvnt{sign}Tw0o{sign}Zyxw");
        let encoded = secret.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
        let (texts, [postgres, mariadb]) = spellings(&secret);
        let mut all: Vec<(Vec<String>, Option<String>)> =
            texts.into_iter().map(|text| (vec!["backup".to_owned()], Some(text))).collect();
        let typed = |words: &[&str]| (words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), None);
        // A few of the signs are enough for what is read before any source.
        if n < 10 {
            all.push(typed(&["backup", "--name", "x", "--postgres", &postgres]));
            all.push(typed(&["backup", "--name", "x", "--mariadb", &mariadb]));
            all.push(typed(&["snapshots", "--vault", &format!("s3://app:{secret}@bucket/x")]));
            all.push(typed(&["backup", &postgres]));
            all.push(typed(&["snapshots", &format!("--nothing={postgres}")]));
        }
        for (args, text) in all {
            fs::write(sandbox.config(), format!("{config}{}", text.as_deref().unwrap_or_default())).unwrap();
            let mut command = sandbox.command();
            command.arg("--config").arg(sandbox.config()).args(&args).args(["-vv", "--json"]);
            let run = sandbox.finish(command.env("PATH", &path).env("RUST_BACKTRACE", "1"));
            assert_ne!(run.code, 0, "{args:?} {text:?}");
            let said = format!("{}{}", run.out(), run.stderr);
            for piece in ["Hvnt", "Tw0o", "Zyxw", &encoded[..12]] {
                assert!(!said.contains(piece), "{args:?} {text:?} shows {piece}:\n{said}");
            }
            runs += 1;
        }
    }
    assert!(runs > 300);
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("psql") && log.contains("dbname"), "{log}");
    for piece in ["Hvnt", "Tw0o", "Zyxw"] {
        assert!(!log.contains(piece), "a child has it as an argument:\n{log}");
    }
}

/// Words of ours stay words, where no secret stands.
#[test]
fn g8_sentences_about_secrets_are_not_masked() {
    let sandbox = Sandbox::with_vault();
    let mut command = sandbox.command();
    command.arg("--config").arg(sandbox.config()).env("PGPASSWORD", "postgres");
    let script = "echo \"Access denied for user 'postgres' (using password: NO)\" >&2; exit 1";
    let run = sandbox.finish(command.args(["backup", "--name", "x", "--", "sh", "-c", script])).code(1);
    assert!(run.stderr.contains("user 'postgres' (using password: NO)"), "{}", run.stderr);
}
