//! Files of databases that may be running: copied one after the other while somebody writes, they are of no instant, and
//! what is only in a log or in memory is not in them. Told by names that lie side by side.

use std::{collections::BTreeSet, fs::File, io::Read, path::Path};

/// What an SQLite database begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// A kind of directory that a database server, or a program with a database in it, keeps.
struct Kind {
    what: &'static str,
    /// Names that all lie there; one that ends with `*` may go on.
    names: &'static [&'static str],
    instead: &'static str,
}

const KINDS: &[Kind] = &[
    Kind { what: "PostgreSQL", names: &["PG_VERSION", "base", "global", "pg_wal"], instead: "use kind = \"postgres\"" },
    Kind {
        what: "PostgreSQL",
        names: &["PG_VERSION", "base", "global", "pg_xlog"],
        instead: "use kind = \"postgres\"",
    },
    Kind { what: "MariaDB or MySQL", names: &["ibdata1", "mysql"], instead: "use kind = \"mariadb\" or \"mysql\"" },
    Kind { what: "MariaDB or MySQL", names: &["aria_log_control", "mysql"], instead: "use kind = \"mariadb\"" },
    Kind { what: "MySQL", names: &["mysql.ibd", "#innodb_redo"], instead: "use kind = \"mysql\"" },
    Kind {
        what: "MongoDB (WiredTiger)",
        names: &["WiredTiger", "WiredTiger.wt"],
        instead: "use `mongodump --archive` as a command",
    },
    Kind {
        what: "LevelDB or RocksDB",
        names: &["CURRENT", "MANIFEST-*"],
        instead: "let its program make a checkpoint or a dump",
    },
    Kind { what: "Redis", names: &["appendonlydir"], instead: "use `redis-cli --rdb -` as a command" },
    Kind { what: "Redis", names: &["appendonly.aof"], instead: "use `redis-cli --rdb -` as a command" },
    Kind { what: "LMDB", names: &["data.mdb", "lock.mdb"], instead: "use `mdb_copy` or, for OpenLDAP, `slapcat`" },
    Kind { what: "etcd", names: &["snap", "wal"], instead: "use `etcdctl snapshot save`" },
    Kind { what: "Lucene (Elasticsearch, Solr)", names: &["segments_*", "write.lock"], instead: "use its snapshots" },
    Kind { what: "Prometheus", names: &["chunks_head", "wal"], instead: "use its snapshot API" },
    Kind { what: "Cassandra", names: &["commitlog", "data", "saved_caches"], instead: "use `nodetool snapshot`" },
    Kind { what: "Berkeley DB", names: &["__db.*", "log.*"], instead: "use `db_hotbackup` or `db_dump`" },
    Kind { what: "ClickHouse", names: &["metadata", "store", "uuid"], instead: "use its BACKUP statement" },
];

/// What tells that a directory is a backup that a tool made, and no server's.
const BACKUPS: [&str; 4] = ["xtrabackup_checkpoints", "mariadb_backup_checkpoints", "backup_manifest", "backup_label"];

/// Warnings of what lies in the directory `dir`, whose entries are `names`.
pub(super) fn in_directory(dir: &Path, names: &BTreeSet<String>) -> Vec<String> {
    let has = |wanted: &&str| match wanted.strip_suffix('*') {
        Some(begin) => names.range(begin.to_owned()..).next().is_some_and(|name| name.starts_with(begin)),
        None => names.contains(*wanted),
    };
    let mut found = Vec::new();
    let backup = BACKUPS.iter().any(|name| names.contains(*name));
    if let Some(kind) = KINDS.iter().find(|kind| !backup && kind.names.iter().all(has)) {
        found.push(format!(
            "{} looks like the files of {}: unless its server is stopped, they are copied while they change and may not \
             start again. {} instead, or stop it meanwhile",
            dir.display(),
            kind.what,
            kind.instead
        ));
    }
    for name in names {
        found.extend(sqlite(dir, name, &|name| names.contains(name)));
    }
    found
}

/// A warning of the one file `name` in `dir`.
pub(super) fn one_file(dir: &Path, name: &str) -> Option<String> {
    sqlite(dir, name, &|name| dir.join(name).exists())
}

/// A database that somebody has open, or whose last transaction was not finished: a part of it is in another file.
fn sqlite(dir: &Path, name: &str, there: &dyn Fn(&str) -> bool) -> Option<String> {
    let beside = ["-wal", "-shm", "-journal"].into_iter().find(|end| there(&format!("{name}{end}")))?;
    let path = dir.join(name);
    let mut head = Vec::new();
    File::open(&path).ok()?.take(SQLITE.len() as u64).read_to_end(&mut head).ok()?;
    (head == SQLITE).then(|| {
        format!(
            "{} is an SQLite database that is in use (there is {name}{beside}): a copy of the file lacks what was written \
             last, or holds halves of it. Use kind = \"sqlite\" (--sqlite), which takes one instant of it",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_servers_are_known_by_their_neighbours() {
        let told = |names: &[&str]| {
            let names: BTreeSet<String> = names.iter().map(|&name| name.to_owned()).collect();
            in_directory(Path::new("/srv/x"), &names)
        };
        for (names, word) in [
            (&["PG_VERSION", "base", "global", "pg_wal", "postmaster.pid"][..], "PostgreSQL"),
            (&["ibdata1", "ib_logfile0", "mysql", "shop"], "MariaDB"),
            (&["WiredTiger", "WiredTiger.wt", "mongod.lock"], "MongoDB"),
            (&["000003.log", "CURRENT", "LOCK", "MANIFEST-000002"], "LevelDB"),
            (&["data.mdb", "lock.mdb"], "LMDB"),
        ] {
            let told = told(names);
            assert!(matches!(&told[..], [one] if one.contains(word) && one.contains("/srv/x")), "{told:?}");
        }
        for names in [
            &["PG_VERSION"][..],
            &["ibdata1", "mysql", "xtrabackup_checkpoints"],
            &["CURRENT", "README"],
            &["a.sql", "b.sql"],
            &["a.db", "a.db-wal"],
        ] {
            assert_eq!(told(names), [""; 0], "{names:?}");
        }
    }
}
