//! What a look at a server finds before a backup.

use crate::{sandbox::Sandbox, server::Postgres};

#[test]
fn a_look_finds_what_a_role_may_not_read_and_who_is_gone() {
    let server = Postgres::start();
    for database in ["shop", "extra"] {
        server.create(database);
    }
    server.sql(
        "shop",
        "create role looker login password 'looks'; create schema inner_; create table inner_.hidden(a int);
         create table open(a int); create table closed(a int); grant select on open to looker;
         create table rows_(a int); alter table rows_ enable row level security; grant select on rows_ to looker;
         create extension postgres_fdw; create server s foreign data wrapper postgres_fdw;
         create foreign table far(a int) server s; select lo_create(4711)",
    );
    let sandbox = Sandbox::with_vault();
    let source = |name: &str, dsn: &str, more: &str| {
        format!("[[source]]\nname = \"{name}\"\nkind = \"postgres\"\ndsn = \"{dsn}\"\n{more}\n")
    };
    let role = format!("host=127.0.0.1 port={} user=looker dbname=shop passfile={}", server.port(), "PASS");
    let pass = sandbox.path("safe/pass");
    std::fs::write(&pass, "127.0.0.1:*:*:looker:looks\n").unwrap();
    std::fs::set_permissions(&pass, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let role = role.replace("PASS", &pass.display().to_string());
    sandbox.configure(&source("all", &server.dsn("postgres"), "databases = \"*\""));
    sandbox.writer(&["backup", "all"]).ok();
    server.sql("postgres", "drop database extra");
    for more in [
        source("role", &role, ""),
        source("base", &role, "physical = true"),
        source("dead", "host=127.0.0.1 port=9 user=x dbname=y", ""),
    ] {
        sandbox.configure(&more);
    }
    let run = sandbox.writer(&["backup", "--dry-run", "--json"]).code(3).json();
    let all = run["result"]["checks"].as_array().unwrap();
    let told = |name: &str, status: &str| -> String {
        let of = all.iter().filter(|check| check["name"] == name && check["status"] == status);
        of.map(|check| check["detail"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
    };
    let rights = told("source.role.rights", "failed");
    let lacking =
        ["closed (SELECT)", "inner_.hidden (USAGE on its schema)", "rows_ (BYPASSRLS", "large object 4711 (SELECT)"];
    for words in lacking {
        assert!(rights.contains(words), "{words}: {rights}");
    }
    assert!(!rights.contains("open"), "{rights}");
    assert!(told("source.base.rights", "failed").contains("REPLICATION"), "{run}");
    assert!(told("source.dead.reach", "failed").contains("refused"), "{run}");
    assert!(told("source.all.rights", "ok").contains("shop: all tables can be read (4)"), "{run}");
    assert!(told("source.all.programs", "ok").contains("pg_dump"), "{run}");
    assert!(told("source.all.last-run", "ok").contains(" s"), "{run}");
    assert!(told("source.all.members", "failed").contains("extra"), "{run}");
    let warnings = run["findings"].to_string();
    assert!(warnings.contains("rows of 1 foreign tables") && warnings.contains("passwords of roles"), "{warnings}");
    // A backup of what was found wanting fails, as was said.
    sandbox.writer(&["backup", "role"]).code(1);
}
