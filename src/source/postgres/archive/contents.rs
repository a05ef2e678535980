//! What an archive holds: its entries by kind and name, and how many rows each table's data has.

use std::collections::BTreeMap;

/// What `COPY`'s data ends with in an archive, besides the lines of the rows.
const END: &[u8] = b"\\.\n\n\n";

/// The rows of a table's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Rows {
    /// Its data is not there.
    Absent,
    /// It is in a form that can't be counted.
    Unknown,
    /// So many.
    Counted(u64),
}

/// What one archive, or several, hold.
#[derive(Debug, Default)]
pub(in super::super) struct Contents {
    /// Kind, schema and name; functions by their name without arguments.
    entries: BTreeMap<(String, String, String), u64>,
    /// Tables by the number of their entry.
    tables: BTreeMap<i64, (String, String)>,
    rows: BTreeMap<(String, String), Rows>,
    large_objects: u64,
    /// Of the block in hand: its table, the line ends so far, and its last bytes.
    now: Option<((String, String), u64, Vec<u8>)>,
}

impl Contents {
    /// An entry of the table of contents.
    pub(super) fn entry(&mut self, id: i64, kind: &str, schema: &str, name: &str) {
        let name = match kind {
            "FUNCTION" | "PROCEDURE" | "AGGREGATE" => name.split('(').next().unwrap_or(name),
            _ => name,
        };
        if kind == "TABLE DATA" {
            self.tables.insert(id, (schema.to_owned(), name.to_owned()));
        }
        *self.entries.entry((kind.to_owned(), schema.to_owned(), name.to_owned())).or_default() += 1;
    }

    /// A block of data begins.
    pub(super) fn block(&mut self, id: i64) {
        self.now = self.tables.get(&id).map(|table| (table.clone(), 0, Vec::new()));
    }

    /// A part of it.
    pub(super) fn data(&mut self, bytes: &[u8]) {
        let Some((_, lines, tail)) = &mut self.now else { return };
        *lines += bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        let kept = bytes.get(bytes.len().saturating_sub(END.len())..).unwrap_or_default();
        tail.extend_from_slice(kept);
        tail.drain(..tail.len().saturating_sub(END.len()));
    }

    /// The block ends.
    pub(super) fn end_block(&mut self) {
        let Some((table, lines, tail)) = self.now.take() else { return };
        // Each row is one line: whatever would end one within a row is written as two characters.
        let rows = if tail == END { Rows::Counted(lines.saturating_sub(3)) } else { Rows::Unknown };
        self.rows.insert(table, rows);
    }

    /// A large object begins.
    pub(super) fn large_object(&mut self) {
        self.large_objects += 1;
    }

    /// Takes in what another archive of the same dump holds.
    pub(in super::super) fn append(&mut self, other: &mut Self) {
        for (key, count) in std::mem::take(&mut other.entries) {
            *self.entries.entry(key).or_default() += count;
        }
        self.rows.append(&mut other.rows);
        self.large_objects += std::mem::take(&mut other.large_objects);
    }

    /// How many entries of this kind and name there are.
    pub(in super::super) fn count(&self, kind: &str, schema: &str, name: &str) -> u64 {
        self.entries.get(&(kind.to_owned(), schema.to_owned(), name.to_owned())).copied().unwrap_or_default()
    }

    /// How many rows of a table there are.
    pub(in super::super) fn rows(&self, table: &(String, String)) -> Rows {
        self.rows.get(table).copied().unwrap_or(Rows::Absent)
    }

    /// How many large objects there are.
    pub(in super::super) const fn large_objects(&self) -> u64 {
        self.large_objects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_lines_of_a_block_without_its_end() {
        let table = ("s".to_owned(), "t".to_owned());
        for (data, rows) in
            [("1\n2\n\\.\n\n\n", Some(2)), ("\\.\n\n\n", Some(0)), ("\n\n\\.\n\n\n", Some(2)), ("1\n", None)]
        {
            for step in [1, 3, 100] {
                let mut contents = Contents::default();
                contents.entry(7, "TABLE DATA", "s", "t");
                contents.block(7);
                data.as_bytes().chunks(step).for_each(|part| contents.data(part));
                contents.end_block();
                assert_eq!(contents.rows(&table), rows.map_or(Rows::Unknown, Rows::Counted), "{data:?}");
            }
        }
        assert_eq!(Contents::default().rows(&table), Rows::Absent);
    }
}
