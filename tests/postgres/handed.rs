//! A stock server that is handed segments by `journal fetch`, and one that hands them to `journal push`.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{FileExt, PermissionsExt},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    sandbox::Sandbox,
    server::{Postgres, as_server, bin, run},
};

fn segment(number: u32) -> String {
    format!("{:08X}{:08X}{number:08X}", 1, 0)
}

/// A base whose own segment the vault does not have, nor anything behind it, is recovered to its end: log from long before it is no
/// gap. And a segment with other bytes is not taken for the one that was archived.
#[test]
fn log_from_before_a_base_lets_its_server_start_and_no_segment_is_replaced() {
    let server = Postgres::start_with(&["wal_keep_size=1GB", "autovacuum=off"]);
    let sandbox = Sandbox::with_vault();
    sandbox.configure(&format!(
        "[[source]]\nname = \"pg\"\nkind = \"postgres\"\ndsn = \"{}\"\nphysical = true\njournal = true\n",
        server.dsn("postgres")
    ));
    server.sql("postgres", "create table t as select 1 as id");
    for _ in 0..4 {
        server.sql("postgres", "create table if not exists x (i int); insert into x values (1)");
        server.sql("postgres", "select pg_switch_wal()");
    }
    let pushed = server.data().join("pg_wal").join(segment(1));
    let push = |path: &std::path::Path| sandbox.writer(&["journal", "push", path.to_str().unwrap()]);
    push(&pushed).ok();
    push(&pushed).ok();
    // The same name from another server's directory, which differs in a few bytes.
    let clone = sandbox.path("clone");
    fs::create_dir_all(clone.join("pg_wal")).unwrap();
    let changed = clone.join("pg_wal").join(segment(1));
    fs::copy(&pushed, &changed).unwrap();
    fs::File::options().write(true).open(&changed).unwrap().write_all_at(&[0x5a; 16], 70_000).unwrap();
    let pieces =
        || sandbox.reader(&["journal", "list", "--json"]).ok().json()["result"]["journals"][0]["pieces"].clone();
    let told = push(&changed).code(1);
    assert!(told.stderr.contains("with other content") && !told.stderr.contains("--dry-run"), "{}", told.stderr);
    fs::remove_dir_all(sandbox.path("etc/state")).unwrap();
    push(&changed).code(1).says("`state`");
    assert_eq!(pieces(), 1);

    sandbox.writer(&["backup", "pg"]).ok();
    let out = tempfile::Builder::new().prefix("strongroom-handed-").tempdir().unwrap();
    fs::set_permissions(out.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let to = |name: &str| out.path().join(name);
    let back = to("back");
    sandbox.reader(&["restore", "latest", "--source", "pg", "--data-directory", "--to", back.to_str().unwrap()]).ok();
    // All that the server's user needs.
    run(Command::new("cp").arg("-a").arg(sandbox.path("vault")).arg(to("vault")));
    fs::copy(sandbox.identity(), to("id")).unwrap();
    fs::copy(assert_cmd::cargo::cargo_bin("strongroom"), to("strongroom")).unwrap();
    let data = back.join("pg");
    let dir = out.path().display();
    let command = format!(
        "{dir}/strongroom --vault file://{dir}/vault journal fetch -i {dir}/id --source pg --ahead {dir}/ahead %f %p"
    );
    let settings = format!("restore_command = '{command}'\narchive_mode = off\n");
    fs::write(data.join("postgresql.auto.conf"), settings).unwrap();
    fs::write(data.join("recovery.signal"), "").unwrap();
    run(Command::new("chown").arg("-R").arg("postgres:").arg(out.path()));
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut start = as_server(bin("pg_ctl"));
    start.args(["-w", "-t", "60", "-D"]).arg(&data).arg("-l").arg(to("log"));
    start.arg("-o").arg(format!("-h '' -c fsync=off -p {port} -k {dir}")).arg("start");
    let log = || fs::read_to_string(to("log")).unwrap_or_default();
    assert!(start.output().unwrap().status.success(), "{}", log());
    let ask = |sql: &str| {
        let mut psql = Command::new(bin("psql"));
        psql.args(["-X", "-A", "-t", "-q", "-U", "postgres", "-d", "postgres", "-c", sql]);
        let told = run(psql.env("PGHOST", out.path()).env("PGPORT", port.to_string()));
        String::from_utf8(told.stdout).unwrap().trim().to_owned()
    };
    let end = Instant::now() + Duration::from_mins(1);
    while ask("select pg_is_in_recovery()") != "f" {
        assert!(Instant::now() < end, "{}", log());
        std::thread::sleep(Duration::from_millis(50)); // nothing tells when a server has recovered
    }
    let rows = ask("select count(*) from t");
    run(as_server(bin("pg_ctl")).args(["-w", "-m", "immediate", "-D"]).arg(&data).arg("stop"));
    assert_eq!(rows, "1", "{}", log());
}
