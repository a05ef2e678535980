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
