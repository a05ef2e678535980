//! What groups held: repositories that a pattern names, databases of a server. Kept as whoever asks for it writes it down.

use rusqlite::{OptionalExtension, params};

use super::{Catalog, Result, error::Fault};
use crate::model::Name;

fn key(group: &Name) -> String {
    format!("group {group}")
}

impl Catalog {
    /// What was noted of `group`; nothing if it was never met.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn group(&mut self, group: &Name) -> Result<Option<String>> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        let result = self.conn.query_row(sql, [key(group)], |row| row.get(0)).optional().map_err(Fault::from);
        self.check("cannot read what a group held", result)
    }

    /// Notes what `group` holds, in place of what was noted before.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn note_group(&mut self, group: &Name, text: &str) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)";
        let result = self.conn.execute(sql, params![key(group), text]).map(drop).map_err(Fault::from);
        self.check("cannot note what a group holds", result)
    }
}
