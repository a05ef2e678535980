//! A database that is backed up each day, until something happens to it.

use std::path::PathBuf;

use rusqlite::Connection;

use crate::sandbox::{Run, Sandbox};

pub struct Shop {
    pub sandbox: Sandbox,
    pub db: Connection,
    path: PathBuf,
}

impl Shop {
    /// With so many honest snapshots.
    pub fn open(runs: usize) -> Self {
        let sandbox = Sandbox::with_vault();
        let path = sandbox.path("shop.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch("CREATE TABLE orders(id INTEGER PRIMARY KEY, what TEXT); CREATE TABLE notes(t TEXT)").unwrap();
        let shop = Self { sandbox, db, path };
        shop.orders(500);
        for _ in 0..runs {
            shop.orders(10);
            shop.backup();
        }
        shop
    }

    pub fn orders(&self, count: i64) {
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             INSERT INTO orders(what) SELECT hex(randomblob(20)) FROM n"
        );
        self.db.execute_batch(&sql).unwrap();
    }

    /// Backs it up, and returns the snapshot's id.
    pub fn backup(&self) -> String {
        let run = self.sandbox.writer(&["backup", "--name", "shop", "--sqlite", self.path.to_str().unwrap(), "--json"]);
        run.ok().json()["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned()
    }

    pub fn count(&self) -> i64 {
        self.db.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).unwrap()
    }

    /// A command with the identity and the vault.
    pub fn responder(&self, args: &[&str]) -> Run {
        let mut command = self.sandbox.command();
        command.args(args).args(["--vault", &self.sandbox.url()]).arg("-i").arg(self.sandbox.identity());
        self.sandbox.finish(&mut command)
    }

    pub fn watch(&self, more: &[&str]) -> Run {
        let seen = self.sandbox.path("seen.json").display().to_string();
        self.responder(&[&["watch", "--checkpoint", &seen, "--json"], more].concat())
    }
}
