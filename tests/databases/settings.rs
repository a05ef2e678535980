//! What a server sets for whoever connects changes nothing of a backup, or there is none.

use std::fs;

use crate::{
    complete::{drill, vault},
    mariadb::{backup, fails, made},
    server::Server,
};

#[test]
fn g7_variables_of_a_session_cut_no_list_and_tell_no_past() {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE acc(id INT PRIMARY KEY, bal INT) WITH SYSTEM VERSIONING;
         INSERT INTO acc VALUES (1, 100); SET @x = 1; DO SLEEP(0.01)",
    );
    let past = server.sql("SELECT NOW(6)").trim().to_owned();
    server.sql("UPDATE shop.acc SET bal = 999; INSERT INTO shop.acc VALUES (2, 5)");
    for n in 0..12 {
        server.sql(&format!("CREATE DATABASE d{n}; CREATE TABLE d{n}.t(a INT); CREATE USER `we ird {n}`@localhost"));
    }
    server.sql(
        "CREATE USER bk@localhost; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, RELOAD ON *.* TO bk@localhost",
    );
    let sandbox = vault(&server, "", "");
    let plain = fs::read_to_string(sandbox.path("safe/o.cnf")).unwrap();
    let as_bk = plain.replace("user=root", "user=bk");

    // What the dump's tool depends on and can't be told otherwise: there is no snapshot.
    for (set, unset, why) in [
        ("SET GLOBAL sql_select_limit = 10", "SET GLOBAL sql_select_limit = DEFAULT", "sql_select_limit = 10"),
        (
            &*format!("SET GLOBAL system_versioning_asof = '{past}'"),
            "SET GLOBAL system_versioning_asof = DEFAULT",
            "system_versioning_asof = ",
        ),
        (
            "SET GLOBAL init_connect = 'SET sql_select_limit = 3'",
            "SET GLOBAL init_connect = ''",
            "sql_select_limit = 3",
        ),
    ] {
        server.sql(set);
        fs::write(sandbox.path("safe/o.cnf"), &as_bk).unwrap();
        let run = backup(&sandbox);
        fails(&run, why);
        fails(&run, "unset it");
        server.sql(unset);
    }

    // Everything else is put right.
    server.sql(
        "SET GLOBAL sql_quote_show_create = 0, sql_safe_updates = 1, div_precision_increment = 0;
         SET GLOBAL init_connect = 'SET autocommit = 0, character_set_results = latin1, time_zone = \"+05:00\"'",
    );
    let (id, _) = made(&backup(&sandbox).ok());
    server.sql("SET GLOBAL sql_quote_show_create = 1, init_connect = ''");
    let to = sandbox.path("out");
    sandbox.reader(&["restore", &id, "--to", to.to_str().unwrap()]).ok();
    let read = |name: &str| fs::read_to_string(to.join("shop").join(name)).unwrap();
    assert_eq!(read("databases.sql").matches("\nCREATE DATABASE").count(), 13);
    assert_eq!(read("globals.sql").matches("CREATE USER IF NOT EXISTS `we ird").count(), 12);
    assert!(read("databases.sql").contains("999"));
    drill(&sandbox).ok();
}

/// An account that logs in by a plugin that is no part of the server itself: a drill has it with its grants, and says what it did
/// not test, without loading a library that a dump names.
#[test]
fn accounts_by_plugins_do_not_fail_a_drill() {
    let server = Server::start_with(&["--plugin-load-add=auth_ed25519"]);
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.t(a INT); INSERT INTO shop.t VALUES (1);
         CREATE USER app@localhost IDENTIFIED VIA ed25519 USING PASSWORD('x') OR unix_socket; GRANT SELECT ON shop.* TO app@localhost;
         CREATE DEFINER = app@localhost VIEW shop.v AS SELECT a FROM shop.t; CREATE USER plain@localhost IDENTIFIED BY 'x'",
    );
    let sandbox = vault(&server, "", "databases = [\"shop\"]");
    backup(&sandbox).ok();
    let drilled = drill(&sandbox).ok().json();
    let drilled = &drilled["result"]["drills"][0];
    let not = drilled["not_tested"].to_string();
    assert!(not.contains("`app`@`localhost` (ed25519, unix_socket)") && !not.contains("plain"), "{not}");
    assert!(drilled["checks"].to_string().contains("globals.sql"), "{drilled}");
}
