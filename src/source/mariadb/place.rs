//! Where in the server's binary log a dump is of: what its tool writes into it for replicas, of its own transaction.

use super::{
    super::{Result, SourceError},
    Client, Databases,
    binlog::{log_of, number_of, position},
    session::literal,
};
use crate::model::journal::{Line, Start};

/// What the dump's tool is told.
pub(super) const ASK: &str = "--master-data=2";
/// What it writes then.
const TOLD: &str = "-- CHANGE MASTER TO MASTER_LOG_FILE='";
const AND: &str = "', MASTER_LOG_POS=";

/// A log that dumps are to know their place in.
pub(super) struct Wanted {
    line: Line,
    /// What can't be replayed of it.
    unsound: Option<String>,
    /// The one database that is dumped, if not all are.
    database: Option<String>,
}

/// The place of a dump.
pub(super) struct Place {
    pub(super) start: Start,
    file: String,
    offset: u64,
    gtid: Option<String>,
    /// When it was taken at the latest, by the server's clock, in seconds since 1970.
    at: Option<i64>,
    database: Option<String>,
}

impl Wanted {
    /// The log of the server; or why a dump can't know its place.
    pub(super) fn find(client: &Client, databases: &Databases) -> std::result::Result<Self, String> {
        let database = match databases {
            Databases::Named(names) => names.first().cloned(),
            Databases::All => None,
        };
        match client.connect().and_then(|mut session| log_of(&mut session)) {
            Ok(Some(log)) => Ok(Self { unsound: log.unsound(), line: log.line, database }),
            Ok(None) => Err("the server writes none: set log_bin in its configuration".to_owned()),
            Err(error) => Err(format!("{error}. GRANT BINLOG MONITOR lets it ask")),
        }
    }

    /// The place that the beginning of a dump tells.
    pub(super) fn of(&self, head: &[u8], client: &Client) -> Result<Place> {
        let missing = |why: &str| SourceError::new(format!("{why} where in the log it is"), client.dump_program());
        let (file, offset) = told(head).ok_or_else(|| missing("does not tell"))?;
        let from = number_of(&file).and_then(|number| position(number, offset));
        let from = from.ok_or_else(|| missing("can't name"))?;
        let start = Start { line: self.line.clone(), from };
        let mut session = client.connect()?;
        let at = session.value("SELECT UNIX_TIMESTAMP() + 1")?.parse().ok();
        let gtid = session.value(&format!("SELECT BINLOG_GTID_POS({}, {offset})", literal(&file)));
        let database = self.database.clone();
        Ok(Place { start, file, offset, gtid: gtid.ok().filter(|gtid| gtid != "NULL"), at, database })
    }
}

impl Place {
    /// As the facts of a snapshot have it.
    pub(super) fn details(&self) -> serde_json::Value {
        serde_json::json!({
            "file": self.file,
            "offset": self.offset,
            "gtid": self.gtid,
            "at": self.at,
            "database": self.database,
            "line": self.start.line,
        })
    }
}

/// The place that the beginning of a dump tells; with a warning where it is none that a journal could go on from.
pub(super) fn found(
    log: std::result::Result<Wanted, String>,
    head: &[u8],
    client: &Client,
    warnings: &mut Vec<String>,
) -> Option<Place> {
    warnings.extend(log.as_ref().ok().and_then(|log| log.unsound.clone()));
    let place = log.and_then(|log| log.of(head, client).map_err(|e| e.to_string()));
    let told = |why: &String| {
        warnings.push(format!(
            "this dump does not know where in the server's binary log it is, so no journal can go on from it: {why}"
        ));
    };
    place.inspect_err(told).ok()
}

fn told(head: &[u8]) -> Option<(String, u64)> {
    let head = String::from_utf8_lossy(head);
    let line = head.lines().find_map(|line| line.strip_prefix(TOLD))?;
    let (file, rest) = line.split_once(AND)?;
    Some((file.to_owned(), rest.trim_end_matches(';').parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_place_is_read_as_the_tool_writes_it() {
        let head = b"-- x\n--\n-- CHANGE MASTER TO MASTER_LOG_FILE='mariadb-bin.000003', MASTER_LOG_POS=344;\n\n--";
        assert_eq!(super::told(head), Some(("mariadb-bin.000003".to_owned(), 344)));
        assert_eq!(super::told(b"INSERT"), None);
    }
}
