//! A server that is to be reached over TLS alone, and only if it is the right one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    sandbox::Sandbox,
    server::{Postgres, run},
};

const PASSWORD: &str = "pw-under-tls";

/// A key and a certificate for `localhost`, signed by itself.
fn certificate(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (key, certificate) = (dir.join(format!("{name}.key")), dir.join(format!("{name}.crt")));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-days", "30", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout"]);
    run(command.arg(&key).arg("-out").arg(&certificate));
    (key, certificate)
}

#[test]
fn the_server_is_checked_as_sslmode_says_and_a_wrong_one_gets_no_password() {
    let mut server = Postgres::start();
    let (key, right) = certificate(&server.data(), "server");
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").arg("postgres:").args([&key, &right]));
    }
    server.create("shop");
    let script = format!(
        "create role app superuser login password '{PASSWORD}'; create table t as select generate_series(1, 9) as n; \
         alter system set ssl_cert_file = 'server.crt'; alter system set ssl_key_file = 'server.key'"
    );
    for statement in script.split("; ").chain(["alter system set ssl = on"]) {
        server.sql("shop", statement);
    }
    let rules = "local all postgres trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(server.data().join("pg_hba.conf"), rules).unwrap();
    server.signal("HUP");
    let sandbox = Sandbox::with_vault();
    let wrong = certificate(&sandbox.path("home"), "other").1;
    let place = format!("hostaddr=127.0.0.1 port={} user=app password={PASSWORD} dbname=shop", server.port());
    let (right, wrong) = (right.to_str().unwrap(), wrong.to_str().unwrap());
    // The settings are read again when the server gets to it.
    for _ in 0..600 {
        if server.sql("shop", "show ssl") == "on" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50)); // nothing tells when a reload has come through
    }
    let backup = |dsn: &str| {
        let sources = fs::read_to_string(sandbox.config()).unwrap();
        sandbox.configure(&format!("\n[[source]]\nname = \"shop\"\nkind = \"postgres\"\ndsn = {dsn:?}\n"));
        let run = sandbox.writer(&["backup", "--json", "-v"]);
        fs::write(sandbox.config(), sources).unwrap();
        assert!(!(run.out() + &run.stderr).contains(PASSWORD), "{}{}", run.out(), run.stderr);
        run
    };
    let url = format!("postgresql://app:{PASSWORD}@localhost:{}/shop?hostaddr=127.0.0.1", server.port());
    for dsn in [
        format!("{place} host=localhost sslmode=verify-full sslrootcert={right}"),
        format!("{place} host=127.0.0.1 sslmode=verify-ca sslrootcert={right}"),
        format!("{url}&sslmode=verify-full&sslrootcert={right}"),
    ] {
        let run = backup(&dsn);
        assert_eq!(run.code, 0, "{dsn}: {}", run.out());
        assert_eq!(run.json()["result"]["snapshots"][0]["streams"][1]["name"], "shop.dump", "{}", run.out());
    }
    for (dsn, why) in [
        (format!("{place} host=localhost sslmode=verify-full"), "root certificate file"),
        (format!("{place} host=localhost sslmode=verify-full sslrootcert={wrong}"), "certificate verify failed"),
        (format!("{place} host=127.0.0.1 sslmode=verify-full sslrootcert={right}"), "does not match host name"),
        (format!("{place} host=localhost sslmode=disable"), "no encryption"),
        (format!("{url}&sslmode=verify-full"), "root certificate file"),
    ] {
        let run = backup(&dsn);
        assert_eq!(run.code, 1, "{dsn}: {}", run.out());
        assert!(run.out().contains(why), "{dsn}: {}", run.out());
    }
}
