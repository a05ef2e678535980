//! MariaDB.

use crate::{
    lab::{drill, of, tampered},
    sandbox::Sandbox,
    server::Server,
};

/// A vault with one backup of a server with two databases.
fn vault() -> Sandbox {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE shop; CREATE DATABASE other; USE shop;
         CREATE USER app@localhost;
         CREATE TABLE orders(id INT PRIMARY KEY, total DECIMAL(9,2), f FLOAT) ENGINE=InnoDB;
         INSERT INTO orders VALUES (1, 10.5, 1.23456789), (2, 20, 0);
         CREATE TABLE other.t(a INT) ENGINE=InnoDB; CREATE TABLE other.gone(a INT) ENGINE=MEMORY;
         CREATE DEFINER=app@localhost VIEW paid AS SELECT id FROM orders;
         DELIMITER //
         CREATE DEFINER=app@localhost PROCEDURE p() BEGIN SELECT 1; END //
         CREATE EVENT e ON SCHEDULE EVERY 1 SECOND DO DELETE FROM shop.orders //
         DELIMITER ;
         GRANT SELECT ON shop.* TO app@localhost",
    );
    let sandbox = Sandbox::with_vault();
    sandbox.configure(&format!(
        "[[source]]\nname = \"shop\"\nkind = \"mariadb\"\nsocket = {:?}\nuser = \"root\"\n\
         [[source.check]]\nname = \"two orders\"\nsql = \"select count(*) from shop.paid\"\nexpected = 2\n\
         [[source.check]]\nname = \"by socket\"\n\
         command = [\"sh\", \"-c\", \"mariadb --no-defaults -NB -S $STRONGROOM_DRILL_SOCKET -u root -e 'select 7'\"]\nexpected = 7\n",
        server.socket().to_str().unwrap()
    ));
    sandbox.writer(&["backup", "shop"]).ok();
    sandbox
}

#[test]
fn a_dump_is_loaded_into_a_server_of_its_own_and_compared() {
    let sandbox = vault();
    let document = drill(&sandbox, &["shop", "--json"]);
    let document = document.ok().json();
    let found = of(&document, "shop");
    assert!(found["engine"].as_str().unwrap().starts_with("mariadb "), "{found}");
    let names: Vec<&str> =
        found["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    for name in [
        "CHECK TABLE shop.orders",
        "CHECK TABLE shop.paid",
        "fingerprint shop: orders",
        "fingerprint shop: view paid",
        "fingerprint shop: event e",
        "fingerprint other: t",
        "two orders",
        "by socket",
        "globals.sql",
    ] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    // What could not be checked does not pass, and is told.
    assert!(!names.contains(&"CHECK TABLE other.gone"), "{names:?}");
    assert!(found["not_tested"].to_string().contains("does not support it: other.gone"), "{found}");

    // Somebody changes one row of what was restored, before it is looked at.
    let script = "case \"$*\" in *sandbox*) mariadb \"$@\" && exec mariadb \"$1\" -e \
         'UPDATE shop.orders SET total = total + 0.01 WHERE id = 2';; *) exec mariadb \"$@\";; esac";
    let failed = tampered(&sandbox, "shop", "mariadb", script);
    assert_eq!(failed, [("fingerprint shop: orders".to_owned(), "fail".to_owned())]);
}
