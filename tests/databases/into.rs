//! `restore --into` a server of MariaDB.

use crate::{sandbox::Sandbox, server::Server};

#[test]
fn a_dump_goes_into_a_server_that_has_none_of_its_databases() {
    let origin = Server::start();
    origin.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE orders(id INT PRIMARY KEY, what TEXT); \
         INSERT INTO orders SELECT seq, MD5(seq) FROM seq_1_to_5000; \
         CREATE TABLE other(t TEXT); CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW SET @last = NEW.id; CREATE VIEW v AS SELECT id FROM orders; \
         CREATE USER reader@localhost IDENTIFIED BY 'p'; GRANT SELECT ON shop.orders TO reader@localhost",
    );
    let sandbox = Sandbox::with_vault();
    let source = |name: &str, server: &Server| {
        format!(
            "[[source]]\nname = {name:?}\nkind = \"mariadb\"\nsocket = {:?}\nuser = \"root\"\n",
            server.socket().to_str().unwrap()
        )
    };
    sandbox.configure(&source("shop", &origin));
    sandbox.writer(&["backup", "shop"]).ok();
    let target = Server::start();
    let dsn = format!("mariadb://root@?socket={}", target.socket().display());
    let into =
        |more: &[&str]| sandbox.reader(&[&["restore", "latest", "--source", "shop", "--into", &dsn], more].concat());
    let near = into(&["--table", "oders"]).code(2);
    assert!(near.stderr.contains("shop.orders"), "{}", near.stderr);
    // One table alone: its database is made, and nothing else is.
    let one = into(&["--table", "orders", "--json"]).ok().json()["result"].clone();
    assert_eq!(one["loaded"], serde_json::json!(["shop.orders"]), "{one}");
    assert_eq!(target.sql("SELECT COUNT(*) FROM shop.orders").trim(), "5000");
    assert_eq!(target.sql("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'shop'").trim(), "1");
    assert_eq!(target.sql("SELECT COUNT(*) FROM mysql.user WHERE user = 'reader'").trim(), "0");
    assert_eq!(target.sql("SHOW TRIGGERS FROM shop").lines().count(), 1, "its trigger came with it");
    into(&["--table", "shop.orders"]).code(2).says("already");
    target.sql("DELETE FROM shop.orders");
    into(&["--table", "shop.orders", "--clean"]).ok();
    assert_eq!(target.sql("SELECT COUNT(*) FROM shop.orders").trim(), "5000");
    target.sql("DROP DATABASE shop");
    let done = into(&["--json"]).ok().json()["result"].clone();
    assert!(done["loaded"].to_string().contains("shop"), "{done}");
    assert_eq!(target.sql("SELECT COUNT(*) FROM shop.orders").trim(), "5000");
    assert_eq!(target.sql("SELECT COUNT(*) FROM shop.v").trim(), "5000");
    assert_eq!(target.sql("SELECT COUNT(*) FROM mysql.user WHERE user = 'reader'").trim(), "1");
    into(&[]).code(2).says("not empty").says("shop.orders");
    target.sql("DELETE FROM shop.orders");
    into(&["--clean", "--no-roles"]).ok();
    assert_eq!(target.sql("SELECT COUNT(*) FROM shop.orders").trim(), "5000");
}
