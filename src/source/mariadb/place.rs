//! Where in the server's binary log a dump is of: what its tool writes into it for replicas, of its own transaction.

use super::{
    super::{Result, SourceError},
    Client,
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
}

/// The place of a dump.
pub(super) struct Place {
    pub(super) start: Start,
    file: String,
    offset: u64,
    gtid: Option<String>,
}

impl Wanted {
    /// The log of the server; or why a dump can't know its place.
    pub(super) fn find(client: &Client) -> std::result::Result<Self, String> {
        match client.connect().and_then(|mut session| log_of(&mut session)) {
            Ok(Some(log)) => Ok(Self { line: log.line }),
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
        let gtid = client.connect()?.value(&format!("SELECT BINLOG_GTID_POS({}, {offset})", literal(&file)));
        Ok(Place { start, file, offset, gtid: gtid.ok().filter(|gtid| gtid != "NULL") })
    }
}

impl Place {
    /// As the facts of a snapshot have it.
    pub(super) fn details(&self) -> serde_json::Value {
        serde_json::json!({ "file": self.file, "offset": self.offset, "gtid": self.gtid, "line": self.start.line })
    }
}

/// The warning of a dump that is no base.
pub(super) fn no_base(why: &str) -> String {
    format!(
        "this dump does not know where in the server's binary log it is, so its journal can't be gone on with from it: {why}"
    )
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
