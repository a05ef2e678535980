//! A backup and a restore as people run them.

use std::fs;

use crate::{
    place::{EVERYTHING, everything},
    sandbox::Sandbox,
    server::{Postgres, run},
};

#[test]
fn a_database_goes_into_a_vault_and_comes_back_from_it() {
    let server = everything("shop");
    let sandbox = Sandbox::with_vault();
    let made = sandbox.writer(&["backup", "--name", "orders", "--postgres", &server.dsn("shop"), "--json"]).ok().json();
    let made = &made["result"]["snapshots"][0];
    assert_eq!(made["kind"], "postgres");
    let names: Vec<&str> = made["streams"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["globals.sql", "shop.dump"]);
    assert!(!made["warnings"].to_string().contains("compressed"), "{made}");
    // Nothing changed, so next to nothing is new.
    let again =
        sandbox.writer(&["backup", "--name", "orders", "--postgres", &server.dsn("shop"), "--json"]).ok().json();
    let again = &again["result"]["snapshots"][0];
    assert!(again["bytes_new"].as_u64().unwrap() < made["bytes_new"].as_u64().unwrap() / 4, "{made}\n{again}");

    let to = sandbox.path("back");
    sandbox.reader(&["restore", "latest", "--source", "orders", "--to", to.to_str().unwrap()]).ok();
    let back = Postgres::start();
    let roles = fs::read_to_string(to.join("orders/globals.sql")).unwrap();
    back.sql("postgres", &roles.replace("CREATE ROLE postgres;", ""));
    run(back.tool("pg_restore", "postgres").args(["-C", "-e", "-d", "postgres"]).arg(to.join("orders/shop.dump")));
    let count = "select count(*) from shop.kinds";
    assert_eq!(back.sql("shop", count), server.sql("shop", count));
    assert!(EVERYTHING.contains("work_mem = '5MB'"));
    assert_eq!(back.sql("shop", "show work_mem"), "5MB", "the database's own settings come back too");
}

#[test]
fn wrong_words_are_told_with_their_place() {
    let sandbox = Sandbox::with_vault();
    let config = fs::read_to_string(sandbox.config()).unwrap();
    for (keys, word) in [
        ("", "\"dsn\""),
        ("dsn = \"postgres://u:hunter2@[::1/x\"", "not closed"),
        ("dsn = \"\"\njobs = 0", "1 to 16"),
        ("dsn = \"\"\ndatabases = \"one\"", "list of names"),
        ("dsn = \"\"\ndatabases = []", "each once"),
        ("dsn = \"\"\nfingerprint = \"md5\"", "md5"),
        ("dsn = \"\"\nphysical = true\njobs = 2", "physical"),
        ("dsn = \"sslpassword=hunter2\"", "sslpassword"),
        ("dsn = \"\"\npath = \"x\"", "belongs to"),
    ] {
        fs::write(sandbox.config(), format!("{config}\n[[source]]\nname = \"p\"\nkind = \"postgres\"\n{keys}\n"))
            .unwrap();
        let run = sandbox.writer(&["backup"]).code(2).says(word);
        assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
    }
}
