//! A real server of MariaDB: what is ordinary there is silent, and rows that are altered at once or a few a day are not.

use std::fs;

use crate::{
    mariadb::Server,
    real::{alarms, calm, watch, words},
    sandbox::Sandbox,
};

/// Runs of honest days, each with new rows and with changes to the newest.
fn honest(server: &Server, backup: &dyn Fn(), runs: usize) {
    for _ in 0..runs {
        server.sql(
            "USE shop; INSERT INTO orders(what, paid) SELECT MD5(RAND()), 0 FROM seq_1_to_40; \
             UPDATE orders SET paid = 1 WHERE id > (SELECT m FROM (SELECT MAX(id) - 60 m FROM orders) x);
             INSERT INTO `lines` SELECT MD5(RAND()), 1 FROM seq_1_to_30",
        );
        backup();
    }
}

/// The writer forgets what it knows, so it says nothing: it is `watch` that has to see it.
fn forget(sandbox: &Sandbox) {
    fs::remove_dir_all(sandbox.path("etc/state")).unwrap();
}

#[test]
fn a_mariadb_server_is_altered_at_once_and_slowly() {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE shop; USE shop; \
         CREATE TABLE orders(id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(120) NOT NULL, paid INT); \
         CREATE TABLE `lines`(what TEXT, n INT); \
         CREATE TABLE notes(id INT PRIMARY KEY, t TEXT); \
         INSERT INTO orders(what, paid) SELECT MD5(seq), 1 FROM seq_1_to_3000; \
         INSERT INTO `lines` SELECT MD5(seq), seq FROM seq_1_to_800; \
         INSERT INTO notes SELECT seq, 'a note' FROM seq_1_to_100",
    );
    let sandbox = Sandbox::with_vault();
    let socket = server.socket();
    let dsn = format!("mariadb://root@/shop?socket={}", socket.display());
    let backup = || drop(sandbox.writer(&["backup", "--name", "shop", "--mariadb", &dsn]).ok());
    let watched = |what: &str| {
        let run = watch(&sandbox, &["--json"]);
        assert_eq!(run.code, 0, "{what}: {}", run.out());
    };
    honest(&server, &backup, 6);
    // Rows lie elsewhere afterwards, and are the same.
    server.sql("USE shop; OPTIMIZE TABLE orders; ALTER TABLE `lines` ENGINE = InnoDB; ALTER TABLE orders FORCE");
    server.sql("USE shop; ALTER TABLE orders ADD INDEX (paid); ANALYZE TABLE orders");
    honest(&server, &backup, 3);
    calm(&sandbox);
    // A migration touches each row, and is a notice.
    server.sql("USE shop; ALTER TABLE notes ADD COLUMN by_whom VARCHAR(20) DEFAULT 'nobody'");
    backup();
    watched("a migration");
    forget(&sandbox);

    // Two rows in a hundred a day.
    let mut told = 0;
    for day in 1..=5 {
        server.sql(&format!("USE shop; UPDATE orders SET what = SHA2(what, 256) WHERE id % 50 = {day} AND id <= 3000"));
        honest(&server, &backup, 1);
        let run = watch(&sandbox, &["--json"]);
        if run.code == 7 {
            let said = words(&alarms(&run)[0], "rows.changing");
            assert!(said.contains("table orders") && !said.contains("lines"), "{said}");
            told = day;
            let cause = alarms(&run)[0]["cause"].as_str().unwrap().to_owned();
            watch(&sandbox, &["--acknowledge", &cause]).ok();
            break;
        }
    }
    assert!(told > 0, "nobody noticed in five days");

    // All rows, of a table with a key and of one without, by a statement without WHERE.
    server.sql("USE shop; UPDATE orders SET paid = 7; UPDATE `lines` SET n = n + 1");
    backup();
    let run = watch(&sandbox, &["--json"]);
    let said = words(&alarms(&run)[0], "rows.rewritten");
    assert!(said.contains("100% of the rows of table orders") && said.contains("of table lines"), "{said}");
    let cause = alarms(&run)[0]["cause"].as_str().unwrap().to_owned();
    watch(&sandbox, &["--acknowledge", &cause]).ok();

    // A column that is encrypted into raw bytes.
    server.sql("USE shop; ALTER TABLE notes MODIFY t BLOB; UPDATE notes SET t = AES_ENCRYPT(t, 'k')");
    backup();
    let said = words(&alarms(&watch(&sandbox, &["--json"]))[0], "columns.sealed");
    assert!(said.contains("column `t` of table notes"), "{said}");
}
