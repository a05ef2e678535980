//! Notes of others: what groups held, what evidence was looked at. Kept as whoever asks for it writes it down.

use rusqlite::{OptionalExtension, params};

use super::{Catalog, Result, error::Fault};

impl Catalog {
    /// What was noted under this name.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn note(&mut self, name: &str) -> Result<Option<String>> {
        let sql = "SELECT value FROM meta WHERE key = 'note ' || ?1";
        let result = self.conn.query_row(sql, [name], |row| row.get(0)).optional().map_err(Fault::from);
        self.check("cannot read a note", result)
    }

    /// Notes `text` under this name, in place of what was noted before.
    ///
    /// # Errors
    /// See [`Catalog`].
    pub fn set_note(&mut self, name: &str, text: &str) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO meta(key, value) VALUES('note ' || ?1, ?2)";
        let result = self.conn.execute(sql, params![name, text]).map(drop).map_err(Fault::from);
        self.check("cannot write a note down", result)
    }
}
