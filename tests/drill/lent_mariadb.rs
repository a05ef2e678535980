//! A MariaDB server that is lent: dumps go into databases of their own there, which are dropped whatever happens.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    lab::{drill, failed, left, of},
    sandbox::Sandbox,
    server::Server,
};

const PASSWORD: &str = "hunter2-c0rrect horse";
const OURS: &str = "SELECT COALESCE(GROUP_CONCAT(schema_name ORDER BY schema_name), '') FROM information_schema.schemata \
                    WHERE schema_name LIKE 'strongroom%'";

/// A server that lends, with an account that may do everything with databases of drills and nothing with others, and with
/// databases of its own.
fn lender() -> Server {
    let server = Server::start();
    server.sql(&format!(
        "SET GLOBAL event_scheduler = ON; CREATE DATABASE shop; CREATE TABLE shop.orders(id INT) ENGINE=InnoDB;
         INSERT INTO shop.orders VALUES (1), (2), (3); CREATE DATABASE strongroom_drill_notes;
         CREATE USER drill@localhost IDENTIFIED BY '{PASSWORD}';
         GRANT ALL ON `strongroom\\_drill\\_%`.* TO drill@localhost"
    ));
    server
}

/// How a sandbox reaches it.
fn dsn(sandbox: &Sandbox, server: &Server) -> String {
    let file = sandbox.path("safe/drill-password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    format!("mariadb://drill@/?socket={}&password-file={}", server.socket().display(), file.display())
}

const SHOP: &str = "CREATE DATABASE shop CHARACTER SET latin1; CREATE DATABASE other; USE shop;
    CREATE USER app@localhost;
    CREATE TABLE orders(id INT PRIMARY KEY, total DECIMAL(9,2), note VARCHAR(99)) ENGINE=InnoDB COMMENT='USE `mysql`;';
    INSERT INTO orders VALUES (1, 10.5, 'USE `mysql`;\\nUSE `mysql`;'), (2, 20, NULL);
    CREATE TABLE other.t(a INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO other.t VALUES (7);
    CREATE TABLE refers(a INT, FOREIGN KEY (a) REFERENCES other.t(a)) ENGINE=InnoDB; INSERT INTO refers VALUES (7);
    CREATE TABLE shop(shop INT) ENGINE=InnoDB;
    CREATE DEFINER=app@localhost VIEW paid AS SELECT id FROM orders;
    CREATE VIEW crossed AS SELECT t.a, shop.shop FROM other.t JOIN shop;
    CREATE SEQUENCE s;
    DELIMITER //
    CREATE DEFINER=app@localhost PROCEDURE p() BEGIN SELECT 1;
USE_IT: LOOP LEAVE USE_IT; END LOOP; END //
    CREATE DEFINER=app@localhost TRIGGER shop.tr BEFORE INSERT ON shop.orders FOR EACH ROW BEGIN SET NEW.note = 'shop.x'; END //
    CREATE EVENT e ON SCHEDULE EVERY 1 SECOND COMMENT ' PRESERVE ENABLE' DO DELETE FROM shop.orders LIMIT 1 //
    DELIMITER ;";

/// A vault with one backup of a server that is gone.
fn vault(sql: &str, more: &str) -> Sandbox {
    let server = Server::start();
    server.sql(sql);
    let sandbox = Sandbox::with_vault();
    sandbox.configure(&format!(
        "[[source]]\nname = \"shop\"\nkind = \"mariadb\"\nsocket = {:?}\nuser = \"root\"\n{more}",
        server.socket().to_str().unwrap()
    ));
    sandbox.writer(&["backup", "shop"]).ok();
    sandbox
}

/// The client, and something before all others that notes its arguments and does `after` when a dump was loaded.
fn watched(sandbox: &Sandbox, after: &str) -> String {
    let dir = sandbox.path("watched");
    fs::create_dir(&dir).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>'{}'\nPATH={}\ncase \"$*\" in *sandbox*) mariadb \"$@\" || exit\n{after};; *) exec mariadb \"$@\";; esac\n",
        sandbox.path("arguments").display(),
        env!("PATH")
    );
    fs::write(dir.join("mariadb"), script).unwrap();
    fs::set_permissions(dir.join("mariadb"), fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", dir.display(), env!("PATH"))
}

fn drill_with(sandbox: &Sandbox, path: &str, dsn: &str) -> crate::sandbox::Run {
    let mut command = sandbox.command();
    command.env("PATH", path).env("TMPDIR", sandbox.path("home")).arg("--config").arg(sandbox.config());
    sandbox.finish(command.args(["drill", "--json", "--mariadb", dsn, "-i"]).arg(sandbox.identity()))
}

#[test]
fn a_dump_goes_into_databases_of_its_own_and_one_changed_row_fails() {
    let lender = lender();
    let script = "mariadb --defaults-file=\"$STRONGROOM_DRILL_DEFAULTS_FILE\" -NB -e 'show databases like \"strongroom%\"' | wc -l; \
                  printf %s \"$STRONGROOM_DRILL_DATABASES\" | grep -c '\"shop\":\"strongroom_drill_'";
    let sandbox = vault(
        SHOP,
        &format!(
            "[[source.check]]\nname = \"orders\"\ndatabase = \"shop\"\nsql = \"select count(*) from paid\"\nexpected = 2\n\
             [[source.check]]\nname = \"by hand\"\ncommand = [\"sh\", \"-c\", {script:?}]\nexpected = \"3\\n1\"\n\
             [[source.check]]\nname = \"no event is awake\"\ndatabase = \"shop\"\n\
             sql = \"select status from information_schema.events where event_schema = database()\"\nexpected = \"DISABLED\"\n"
        ),
    );
    let dsn = dsn(&sandbox, &lender);
    let run = drill_with(&sandbox, &watched(&sandbox, ""), &dsn).ok();
    let document = run.json();
    let found = of(&document, "shop");
    let checks = found["checks"].to_string();
    for name in [
        "CHECK TABLE shop.orders",
        "CHECK TABLE shop.crossed",
        "fingerprint shop: orders",
        "fingerprint shop: view crossed",
        "fingerprint shop: trigger tr",
        "fingerprint shop: procedure p",
        "fingerprint shop: event e",
        "fingerprint other: t",
    ] {
        assert!(checks.contains(&format!("\"{name}\"")), "{name} is not in {checks}");
    }
    assert!(found["engine"].as_str().unwrap().contains("/data/s"), "{found}");
    assert!(found["not_tested"].to_string().contains("who defined"), "{found}");
    let is_as_before = || {
        assert_eq!(lender.sql(OURS).trim(), "strongroom_drill_notes");
        assert_eq!(lender.sql("SELECT COUNT(*) FROM shop.orders; SHOW DATABASES LIKE 'other'").trim(), "3");
    };
    is_as_before();
    let log = fs::read_to_string(sandbox.path("arguments")).unwrap();
    let evidence = fs::read_to_string(sandbox.path("vault").join(found["evidence"].as_str().unwrap())).unwrap();
    for text in [&log, &run.out(), &run.stderr, &evidence] {
        assert!(!text.contains("hunter2"), "{text}");
    }

    // Somebody changes one row of what was restored, before it is looked at.
    fs::remove_dir_all(sandbox.path("watched")).unwrap();
    let change = "d=$(mariadb \"$1\" -NB -e \"select table_schema from information_schema.tables where table_name = 'orders' \
                  and table_schema like 'strongroom%'\"); mariadb \"$1\" -e \"UPDATE $d.orders SET total = total + 0.01 WHERE id = 2\"";
    let run = drill_with(&sandbox, &watched(&sandbox, change), &dsn).code(6);
    assert_eq!(failed(of(&run.json(), "shop")), [("fingerprint shop: orders".to_owned(), "fail".to_owned())]);
    is_as_before();

    // A wrong password, and one in the DSN.
    fs::write(sandbox.path("safe/drill-password"), "hunter2-wrong\n").unwrap();
    let run = drill(&sandbox, &["-vv", "--mariadb", &dsn]).code(6);
    assert!(run.out().contains("Access denied"), "{}", run.out());
    assert!(!format!("{}{}", run.out(), run.stderr).contains("hunter2"), "{}{}", run.out(), run.stderr);
    let run = sandbox.reader(&["drill", "--mariadb", "mariadb://drill:hunter2@h/"]).code(2);
    assert!(run.stderr.contains("password-file") && !run.stderr.contains("hunter2"), "{}", run.stderr);
    sandbox.reader(&["drill", "--mariadb", "mariadb://drill@h/shop"]).code(2).says("databases of its own");
}

#[test]
fn a_dump_that_reaches_for_other_databases_reaches_none() {
    let lender = lender();
    let sandbox = Sandbox::with_vault();
    let dsn = dsn(&sandbox, &lender);
    let open = sandbox.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let at = open.display().to_string();
    for (i, sql) in [
        "USE `shop`;\nDROP TABLE `orders`;".to_owned(),
        "USE shop;\nDROP TABLE `orders`;".to_owned(),
        "CREATE DATABASE `a`;\nUSE `a`;\nDROP TABLE shop.orders;".to_owned(),
        format!(
            "CREATE DATABASE `a` \\! touch {at}/shell\n;\nUSE `a`;\n\\! touch {at}/shell\nsystem touch {at}/system"
        ),
        format!("CREATE DATABASE `a`;\nUSE `a`;\nSELECT 1 INTO OUTFILE '{at}/file';"),
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = format!("-- MariaDB dump\n{sql}\n-- Dump completed\n").into_bytes();
        let made = crate::lab::Made {
            kind: strongroom::model::SourceKind::Mariadb,
            stream: "databases.sql",
            bytes,
            facts: strongroom::source::Facts::default(),
        };
        crate::lab::back_up(&sandbox, &format!("evil{i}"), made);
    }
    let document = drill(&sandbox, &["--json", "--mariadb", &dsn]).code(6).json();
    for i in 0..5 {
        let found = of(&document, &format!("evil{i}"));
        assert_eq!(found["passed"], false, "{found}");
    }
    assert_eq!(left(&open), [""; 0]);
    assert_eq!(lender.sql(OURS).trim(), "strongroom_drill_notes");
    assert_eq!(lender.sql("SELECT COUNT(*) FROM shop.orders").trim(), "3");
}

/// A drill that was started and is left to itself, in the middle of loading.
fn start(sandbox: &Sandbox, dsn: &str, path: &str, marker: &Path) -> Child {
    let _ = fs::create_dir(sandbox.path("tmp"));
    let _ = fs::remove_file(marker);
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("strongroom"));
    command.arg("--config").arg(sandbox.config()).args(["drill", "--mariadb", dsn, "-i"]).arg(sandbox.identity());
    command.env("PATH", path).env("TMPDIR", sandbox.path("tmp"));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !marker.exists() {
        assert!(began.elapsed() < Duration::from_mins(2), "it never began");
        std::thread::sleep(Duration::from_millis(20)); // nothing tells when another process has begun
    }
    child
}

#[test]
fn stopped_or_killed_it_leaves_nothing() {
    let lender = lender();
    let sandbox = vault(SHOP, "");
    let dsn = dsn(&sandbox, &lender);
    let marker = sandbox.path("loaded");
    // The load does not end: a statement works on the server, in a table of the drill.
    let wait = format!(
        "touch '{}'; d=$(mariadb \"$1\" -NB -e \"select table_schema from information_schema.tables where \
         table_name = 'orders' and table_schema like 'strongroom%' order by table_schema desc limit 1\"); \
         mariadb \"$1\" \"$d\" -e 'select sleep(1000), o.* from orders o for update'",
        marker.display()
    );
    let path = watched(&sandbox, &wait);
    let mut child = start(&sandbox, &dsn, &path, &marker);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(lender.sql(OURS).trim(), "strongroom_drill_notes");
    assert_eq!(left(&sandbox.path("tmp")), [""; 0]);

    let mut dead = start(&sandbox, &dsn, &path, &marker);
    // Its name begins with a later second, by which the script above finds its own.
    std::thread::sleep(Duration::from_millis(1100));
    let mut living = start(&sandbox, &dsn, &path, &marker);
    let all = lender.sql(OURS);
    assert_eq!(all.split(',').count(), 5, "{all}");
    dead.kill().unwrap();
    dead.wait().unwrap();
    assert_eq!(lender.sql(OURS), all);
    let began = Instant::now();
    let locks = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name LIKE 'strongroom%\\_0' \
                 AND IS_USED_LOCK(LEFT(schema_name, LENGTH(schema_name) - 2)) IS NOT NULL";
    while lender.sql(locks).trim() != "1" {
        assert!(began.elapsed() < Duration::from_mins(1), "{}", lender.sql(locks));
        std::thread::sleep(Duration::from_millis(50));
    }
    drill_with(&sandbox, env!("PATH"), &dsn).ok();
    let now = lender.sql(OURS);
    assert_eq!(now.split(',').count(), 3, "{all} became {now}");
    kill_process(Pid::from_child(&living), Signal::INT).unwrap();
    assert_eq!(living.wait().unwrap().code(), Some(130));
    assert_eq!(lender.sql(OURS).trim(), "strongroom_drill_notes");
}
