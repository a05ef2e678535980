//! A vault with a source that was backed up and drilled.

use std::{fs, path::Path};

use rusqlite::Connection;
use serde_json::Value;

use crate::sandbox::{Run, Sandbox};

/// A vault in which `shop`, an SQLite database, was backed up and a drill of it passed.
pub fn drilled() -> Sandbox {
    let sandbox = with_shop("");
    sandbox.writer(&["backup", "shop"]).ok();
    drill(&sandbox, &["shop"]).ok();
    sandbox
}

/// A vault with the source `shop`, of which nothing was backed up; `more` goes into its `[[source]]`.
pub fn with_shop(more: &str) -> Sandbox {
    let sandbox = Sandbox::with_vault();
    let path = sandbox.path("shop.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE orders(id INTEGER PRIMARY KEY, what TEXT); CREATE TABLE notes(t TEXT)").unwrap();
    orders(&db, 500);
    sandbox.configure(&format!(
        "[[source]]\nname = \"shop\"\nkind = \"sqlite\"\npath = {:?}\n{more}",
        path.to_str().unwrap()
    ));
    sandbox
}

pub fn orders(db: &Connection, count: usize) {
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         INSERT INTO orders(what) SELECT hex(randomblob(40)) FROM n"
    );
    db.execute_batch(&sql).unwrap();
}

/// Runs a drill with a temporary directory of its own.
pub fn drill(sandbox: &Sandbox, args: &[&str]) -> Run {
    let tmp = sandbox.path("tmp");
    let _ = fs::create_dir(&tmp);
    for open in [sandbox.path(""), tmp.clone()] {
        fs::set_permissions(open, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    }
    let mut command = sandbox.command();
    command.env("TMPDIR", &tmp).arg("--config").arg(sandbox.config()).arg("drill");
    sandbox.finish(command.arg("-i").arg(sandbox.identity()).args(args))
}

/// Makes a member and gives the path of its configuration.
pub fn member(sandbox: &Sandbox, name: &str, role: &str) -> String {
    let out = sandbox.path(name);
    let mut command = sandbox.command();
    command.args(["--vault", &sandbox.url(), "member", "add", name, "--role", role, "-i"]).arg(sandbox.identity());
    sandbox.finish(command.arg("--out").arg(&out)).ok();
    let all = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
    let config = all.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "toml"));
    config.unwrap().display().to_string()
}

/// Every file below `dir` whose name ends so.
pub fn ending(dir: &Path, end: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(ending(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found
}

/// The codes of why the one source of a document is not ready, or of what is owed.
pub fn codes(document: &Value, field: &str) -> Vec<String> {
    let reasons = document["result"]["sources"][0][field].as_array().unwrap();
    reasons.iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect()
}
