//! Nothing of a MariaDB server is left out in silence, and a new server takes what comes back.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{
    mariadb::{backup, fails, made},
    sandbox::{Run, Sandbox},
    server::Server,
};

/// A vault for `server` as its root, by an option file with more groups than one.
pub fn vault(server: &Server, options: &str, source: &str) -> Sandbox {
    let sandbox = Sandbox::with_vault();
    login(&sandbox, server, "root", options);
    sandbox.configure(&format!(
        "[[source]]\nname = \"shop\"\nkind = \"mariadb\"\ndefaults_file = {:?}\n{source}\n",
        sandbox.path("safe/o.cnf").to_str().unwrap()
    ));
    sandbox
}

fn login(sandbox: &Sandbox, server: &Server, user: &str, options: &str) {
    let file = sandbox.path("safe/o.cnf");
    fs::write(&file, format!("[client]\nsocket={}\nuser={user}\n{options}", server.socket().display())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
}

fn has(warnings: &[String], part: &str) {
    assert!(warnings.iter().any(|warning| warning.contains(part)), "{part:?} is not among {warnings:?}");
}

pub fn drill(sandbox: &Sandbox) -> Run {
    let mut command = sandbox.command();
    command.arg("--config").arg(sandbox.config()).args(["drill", "shop", "--json", "-i"]).arg(sandbox.identity());
    sandbox.finish(&mut command)
}

/// A server with one of everything.
fn shop() -> Server {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE shop; USE shop;
         CREATE TABLE t(id INT PRIMARY KEY, f FLOAT, g FLOAT(10,2), n FLOAT UNSIGNED, s VARCHAR(20) CHARACTER SET latin1,
           b BLOB, bits BIT(9), p POINT, u UUID, j JSON, e ENUM('x','é'), ts TIMESTAMP(6) NULL, tm TIME(3), y YEAR,
           d DOUBLE, dc DECIMAL(20,3), twice FLOAT AS (f * 2) STORED) ENGINE=InnoDB;
         INSERT INTO t(id, f, g, n, s, b, bits, p, u, j, e, ts, tm, y, d, dc) VALUES
           (1, 3.14159274, 16777215, 0.1, 'é''\\\\\\n\\t', x'00270a5c09', b'101', POINT(1, 2), UUID(), '{}', 'é', NOW(6),
            '12:01:02.5', 2020, 1e308, -0.001),
           (2, 16777215, 1.1, 1e-30, '', '', b'0', NULL, NULL, NULL, 'x', NULL, NULL, NULL, NULL, NULL), (3, -1e30, NULL,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, -0.1, NULL);
         CREATE TABLE marks(n INT); CREATE TRIGGER tg AFTER INSERT ON t FOR EACH ROW INSERT INTO marks VALUES (1);
         CREATE SEQUENCE seq; CREATE TABLE numbered(id INT DEFAULT NEXTVAL(seq), x INT); INSERT INTO numbered(x) VALUES (1);
         CREATE PROCEDURE pp() SELECT 1; CREATE VIEW v AS SELECT id FROM t;
         CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO SELECT 1; CREATE TABLE hidden(a INT)",
    );
    server
}

#[test]
fn what_the_tool_or_the_account_leaves_out_is_told() {
    let server = shop();
    server.sql(
        "CREATE ROLE r2; GRANT SELECT, SHOW VIEW, EVENT, LOCK TABLES ON shop.* TO r2; CREATE USER rb@localhost;
         GRANT r2 TO rb@localhost; SET DEFAULT ROLE r2 FOR rb@localhost;
         CREATE USER one@localhost; GRANT SELECT ON shop.marks TO one@localhost; GRANT EVENT ON shop.* TO one@localhost",
    );
    // Options of the dump's tool, or of the client, that empty a dump or change the shape of answers.
    let options = "[mysqldump]\nno-data\nwhere=1=0\nskip-triggers\n[mariadb-dump]\nignore-table=shop.marks\n\
                   [client-server]\nport=3306\n[mysql]\ntable\nsafe-updates\nvertical\n[mariadb-client]\nxml\n";
    let sandbox = vault(&server, options, "databases = [\"shop\"]");
    let (id, warnings) = made(&backup(&sandbox).ok());
    assert_eq!(warnings, [""; 0]);
    let to = sandbox.path("out");
    sandbox.reader(&["restore", &id, "--to", to.to_str().unwrap()]).ok();
    let dump = fs::read_to_string(to.join("shop/shop.sql")).unwrap();
    assert!(dump.contains("INSERT INTO `marks`") || dump.contains("INSERT INTO `numbered`"), "{dump}");
    assert!(!dump.contains("LOCK TABLES") && dump.contains("16777215"), "{dump}");
    login(&sandbox, &server, "root", "loose-no-data\n");
    fails(&backup(&sandbox), "loose-no-data");

    // Rights by a role, and on a single table.
    login(&sandbox, &server, "rb", "");
    let (_, warnings) = made(&backup(&sandbox).ok());
    has(&warnings, "GRANT TRIGGER ON `shop`");
    has(&warnings, "procedures and functions");
    has(&warnings, "come back rounded");
    login(&sandbox, &server, "one", "");
    let (_, warnings) = made(&backup(&sandbox).ok());
    has(&warnings, "single tables of shop only");

    // A tool that ends well and leaves something out.
    login(&sandbox, &server, "root", "");
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    for (with, word) in [
        ("--skip-triggers", "trigger tg of shop"),
        ("--skip-routines", "procedure pp of shop"),
        ("--skip-events", "event ev of shop"),
        ("--where=1=0", "shop.numbered: 0 of 1 rows"),
        ("--no-data", "shop.numbered: 0 of 1 rows"),
        ("--ignore-table=shop.hidden", "table shop.hidden"),
        ("--ignore-table=shop.v", "view v of shop"),
        ("--ignore-table=shop.seq", "sequence seq of shop"),
    ] {
        let path = bin.join("mariadb-dump");
        let script = format!("#!/bin/sh\nfile=$1; shift\nexec /usr/bin/mariadb-dump \"$file\" {with} \"$@\" {with}\n");
        // Behind `--` there are names of databases.
        let script =
            script.replace(&format!(" \"$@\" {with}"), &format!(" $(echo \"$@\" | sed 's/--databases.*/{with} &/')"));
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = sandbox.command();
        command.env("PATH", format!("{}:{}", bin.display(), env!("PATH")));
        command.arg("--config").arg(sandbox.config()).args(["backup", "shop", "--json"]);
        fails(&sandbox.finish(&mut command), word);
    }
}

/// A drill of the backup after it was told that a database is gone.
fn drill_without_one(server: &Server, sandbox: &Sandbox) -> Run {
    server.sql("CREATE DATABASE passing");
    backup(sandbox).ok();
    server.sql("DROP DATABASE passing");
    let gone = backup(sandbox).code(3).json();
    assert!(gone["error"]["message"].as_str().unwrap().contains("database \"passing\" of shop is gone"), "{gone}");
    sandbox.writer(&["backup", "--acknowledge"]).ok();
    drill(sandbox)
}

/// With the broken view `other.sick`.
fn what_can_t_be_read_costs_the_rest_nothing(sandbox: &Sandbox) {
    let partial = backup(sandbox).code(3).json();
    let (told, made_of) = (partial["findings"].to_string(), &partial["result"]["snapshots"][0]);
    for part in [
        "table.failed",
        "other.sick is not in the backup",
        "references invalid table",
        "exclude = [\\\"other.sick\\\"]",
    ] {
        has(std::slice::from_ref(&told), part);
    }
    assert!(made_of["warnings"].to_string().contains("other.sick is not in the backup"), "{made_of}");
    let passed = drill(sandbox).ok().json();
    assert!(passed["result"]["drills"][0]["checks"].to_string().contains("fingerprint other: t"), "{passed}");
    let dry = sandbox.writer(&["backup", "--dry-run", "--json"]).code(3).json();
    has(&[dry.to_string()], "other.sick is not in the backup");
}

#[test]
fn a_new_server_takes_all_of_it_with_its_default_settings() {
    let server = shop();
    server.sql(
        "CREATE DATABASE nothing; CREATE DATABASE other; CREATE TABLE other.t(a INT); CREATE DATABASE left_out;
         CREATE ROLE r2; CREATE ROLE r1; GRANT r2 TO r1; GRANT DELETE ON shop.* TO r2; GRANT SELECT ON shop.* TO PUBLIC;
         CREATE USER app@'%' IDENTIFIED BY 'x' REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 3; GRANT r1 TO app@'%' WITH ADMIN OPTION;
         SET DEFAULT ROLE r1 FOR app@'%'; GRANT SELECT (id), INSERT ON shop.t TO app@'%' WITH GRANT OPTION;
         GRANT EXECUTE ON PROCEDURE shop.pp TO app@'%'; GRANT SELECT ON left_out.gone TO app@'%';
         CREATE SERVER s1 FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h''x', DATABASE 'd', PASSWORD 'p w', PORT 3307);
         GRANT ALL ON *.* TO root@localhost IDENTIFIED BY 'origin' WITH GRANT OPTION; SET PASSWORD FOR root@localhost = ''"
            .replace("GRANT SELECT ON left_out.gone TO app@'%';", "CREATE TABLE left_out.gone(a INT); GRANT SELECT ON left_out.gone TO app@'%';")
            .as_str(),
    );
    server.sql("SET GLOBAL max_allowed_packet = 128 * 1024 * 1024");
    let mut client = server.client();
    let big = "CREATE TABLE shop.big(id INT, d LONGBLOB); INSERT INTO shop.big VALUES (1, REPEAT('x', 20000000))";
    assert!(client.args(["--max-allowed-packet=128M", "-e", big]).status().unwrap().success());
    let data = server.socket().parent().unwrap().to_owned();
    for stray in ["lost+found", ".ssh"] {
        fs::create_dir(data.join(stray)).unwrap();
    }
    server.sql(
        "CREATE TABLE other.g(a INT); CREATE VIEW other.sick AS SELECT * FROM other.g; CREATE TRIGGER other.tr2 \
                BEFORE INSERT ON other.t FOR EACH ROW SET NEW.a = 1; DROP TABLE other.g",
    );

    let sandbox = vault(&server, "", "databases = \"*\"");
    what_can_t_be_read_costs_the_rest_nothing(&sandbox);
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let exclude = "databases = \"*\"\nexclude = [\"other.*\", \"left_out\", \"typo\"]";
    fs::write(sandbox.config(), config.replace("databases = \"*\"", exclude)).unwrap();
    let (id, warnings) = made(&backup(&sandbox).ok());
    for part in [
        "lost+found in the server's data directory",
        ".ssh in the server's data directory",
        "left out, as `exclude` asks: left_out, other.sick, other.t",
        "nothing fits these of `exclude`: typo",
        "set max_allowed_packet to ",
        "1 grants on single tables",
    ] {
        has(&warnings, part);
    }
    assert_eq!(warnings.len(), 6, "{warnings:?}");

    let document = drill_without_one(&server, &sandbox).ok().json();
    let found = &document["result"]["drills"][0];
    let checks = found["checks"].to_string();
    for name in ["globals.sql", "fingerprint nothing: everything", "fingerprint shop: t", "fingerprint shop: numbered"]
    {
        assert!(checks.contains(&format!("\"{name}\"")), "{name} is not in {checks}");
    }
    for part in ["max_allowed_packet = ", "`exclude` left out of the backup: left_out, other.sick"] {
        assert!(found["not_tested"].to_string().contains(part), "{part}: {found}");
    }

    let to = sandbox.path("out");
    sandbox.reader(&["restore", &id, "--to", to.to_str().unwrap()]).ok();
    let second = Server::start();
    second.sql("SET GLOBAL max_allowed_packet = 64 * 1024 * 1024");
    let load = |file: &str| {
        let input = fs::File::open(to.join("shop").join(file)).unwrap();
        let output = second.client().arg("--max-allowed-packet=64M").stdin(input).output().unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    };
    load("databases.sql");
    load("globals.sql");
    load("globals.sql");
    for sql in [
        "SELECT id, f * 1e0, g * 1e0, n * 1e0, s, HEX(b), bits + 0, HEX(p), u, j, e, ts, tm, y, d, dc FROM shop.t ORDER BY id",
        "SELECT COUNT(*) FROM shop.marks",
        "SHOW GRANTS FOR app@'%'",
        "SHOW GRANTS FOR r1",
        "SHOW GRANTS FOR PUBLIC",
        "SELECT server_name, host, db, password, port FROM mysql.servers",
    ] {
        let was = server.sql(sql).replace("GRANT SELECT ON `left_out`.`gone` TO `app`@`%`\n", "");
        assert_eq!(second.sql(sql), was, "{sql}");
    }
    assert_eq!(second.sql("SELECT f * 1e0 FROM shop.t WHERE id = 2").trim(), "16777215");
}

#[test]
fn damage_of_the_source_is_told_by_its_name() {
    let mut server = Server::start();
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.whole(a INT); CREATE TABLE shop.pages(id INT PRIMARY KEY, s CHAR(200));
         INSERT INTO shop.pages SELECT seq, REPEAT('x', 200) FROM shop.seq_1_to_2000; CREATE TABLE shop.old(a INT, KEY(a)) \
         ENGINE=MyISAM; INSERT INTO shop.old VALUES (1), (2); FLUSH TABLES; SET GLOBAL innodb_fast_shutdown = 0",
    );
    let sandbox = vault(&server, "", "databases = [\"shop\"]");
    made(&backup(&sandbox).ok());
    let data = server.socket().parent().unwrap().join("shop");
    // A table whose index was cut off.
    let index = data.join("old.MYI");
    let bytes = fs::read(&index).unwrap();
    server.sql("FLUSH TABLES");
    fs::write(&index, &bytes[..bytes.len() / 2]).unwrap();
    fails(&backup(&sandbox), "shop/old");
    fs::write(&index, &bytes).unwrap();
    // A page in the middle of a table that holds other bytes than its checksum says.
    server.stop();
    let table = data.join("pages.ibd");
    let mut bytes = fs::read(&table).unwrap();
    let at = 5 * 16384 + 8000;
    bytes[at..at + 200].fill(b'#');
    fs::write(&table, bytes).unwrap();
    server.again();
    let run = backup(&sandbox);
    assert_eq!(run.code, 1, "{}", run.out());
    assert!(run.out().contains("pages"), "{}", run.out());
}

/// A table that is changed after it was dumped and before it was hashed costs itself its fingerprint, and no other.
#[test]
fn of_tables_that_are_changed_meanwhile_the_others_keep_their_fingerprints() {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE a(i INT); INSERT INTO a VALUES (1), (2); CREATE TABLE altered(i INT);
         INSERT INTO altered VALUES (3); CREATE TABLE dropped(i INT); INSERT INTO dropped VALUES (4); CREATE TABLE z(i INT);
         INSERT INTO z VALUES (5)",
    );
    let sandbox = vault(&server, "", "databases = [\"shop\"]");
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\nhere=$(mktemp)\n/usr/bin/mariadb-dump \"$@\" > \"$here\" || exit 1\nhead -n -1 \"$here\"\n\
         /usr/bin/mariadb --no-defaults -u root -S '{}' shop -e 'ALTER TABLE altered ADD x INT, ALGORITHM=COPY; DROP TABLE dropped' || exit 1\n\
         tail -n 1 \"$here\"; rm \"$here\"\n",
        server.socket().display()
    );
    let path = bin.join("mariadb-dump");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = sandbox.command();
    command.env("PATH", format!("{}:{}", bin.display(), env!("PATH")));
    command.arg("--config").arg(sandbox.config()).args(["backup", "shop", "--json"]);
    let (_, warnings) = made(&sandbox.finish(&mut command).ok());
    has(&warnings, "without a fingerprint: shop.altered, shop.dropped");
    let drilled = drill(&sandbox).ok().json();
    let checks = drilled["result"]["drills"][0]["checks"].to_string();
    assert!(checks.contains("\"fingerprint shop: a\"") && checks.contains("\"fingerprint shop: z\""), "{checks}");
}
