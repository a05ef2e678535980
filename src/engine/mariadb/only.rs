//! One table out of a dump: `restore --into … --table`. The dump's tool writes a comment before each part of a dump, so the
//! lines of one table are those between two comments; all others are read and left out.

use std::io::{self, Write};

use super::rename::{Place, first_quoted};

/// The longest line that is held; what is longer is passed on in parts.
const LINE: usize = 1 << 20;

/// What begins the parts of a dump that belong to a table.
const PARTS: [&str; 2] = ["-- Table structure for table ", "-- Dumping data for table "];
const DATABASE: &str = "-- Current Database: ";

/// The part of the dump that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The settings of the session, before the first database.
    Head,
    /// The making of a database.
    Database,
    /// The wanted table: what makes it, its rows, its triggers.
    Wanted,
    /// Something else.
    Other,
}

/// Passes on what one table of a dump needs.
pub(super) struct Only<W> {
    out: W,
    database: String,
    table: String,
    place: Place,
    part: Part,
    /// Whether the database that is read is the one with the table.
    here: bool,
    line: Vec<u8>,
    /// Whether the beginning of the line was passed on already.
    within: bool,
    found: Found,
}

/// Whether the table was seen, for who waits outside.
#[derive(Debug, Clone, Default)]
pub(super) struct Found(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl Found {
    /// Whether it was.
    pub(super) fn was(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl<W: Write> Only<W> {
    /// Passes `table` of `database` on to `out`.
    pub(super) fn new(out: W, database: &str, table: &str) -> (Self, Found) {
        let found = Found::default();
        let only = Self {
            out,
            database: database.to_owned(),
            table: table.to_owned(),
            place: Place::new(),
            part: Part::Head,
            here: false,
            line: Vec::new(),
            within: false,
            found: found.clone(),
        };
        (only, found)
    }

    /// What the line begins, if it is a comment between statements.
    fn turn(&mut self) {
        let Some(text) = std::str::from_utf8(&self.line).ok().filter(|text| text.starts_with("-- ")) else { return };
        let name = || first_quoted(text);
        if text.starts_with(DATABASE) {
            self.here = name().is_some_and(|name| name == self.database);
            self.part = Part::Database;
        } else if PARTS.iter().any(|begins| text.starts_with(begins)) {
            let wanted = self.here && name().is_some_and(|name| name == self.table);
            self.part = if wanted { Part::Wanted } else { Part::Other };
            if wanted {
                self.found.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        } else if self.part != Part::Head {
            // Views, sequences, routines, events, the end. Comments at the beginning say who made the dump.
            self.part = Part::Other;
        }
    }

    /// Takes what is held of a line, whose end may not have come yet.
    fn take(&mut self) -> io::Result<()> {
        if !self.within && self.place.is_between() {
            self.turn();
        }
        let passes = match self.part {
            Part::Head | Part::Wanted => true,
            Part::Database => self.here,
            Part::Other => false,
        };
        self.place.after(&self.line, self.within);
        if passes {
            self.out.write_all(&self.line)?;
        }
        self.within = self.line.last() != Some(&b'\n');
        self.line.clear();
        Ok(())
    }
}

impl<W: Write> Write for Only<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.last() == Some(&b'\n') || self.line.len() >= LINE {
                self.take()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.line.is_empty() {
            self.take()?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "-- MariaDB dump 10.19\n--\n-- Host: localhost\n/*!40101 SET NAMES utf8mb4 */;\n\n\
        --\n-- Current Database: `crm`\n--\n\nCREATE DATABASE /*!32312 IF NOT EXISTS*/ `crm`;\n\nUSE `crm`;\n\n\
        --\n-- Table structure for table `orders`\n--\n\nDROP TABLE IF EXISTS `orders`;\nCREATE TABLE `orders` (`crm` int);\n\n\
        --\n-- Current Database: `shop`\n--\n\nCREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop`;\n\nUSE `shop`;\n\n\
        --\n-- Table structure for table `o``dd`\n--\n\nDROP TABLE IF EXISTS `o``dd`;\n\
        CREATE TABLE `o``dd` (\n  `t` text COMMENT 'x'\n);\n\n\
        --\n-- Table structure for table `orders`\n--\n\nDROP TABLE IF EXISTS `orders`;\nCREATE TABLE `orders` (\n  `id` int\n);\n\n\
        --\n-- Dumping data for table `orders`\n--\n\nINSERT INTO `orders` VALUES\n(1,'-- Table structure for table `o`'),\n(2,'b');\n\
        DELIMITER ;;\n/*!50003 CREATE*/ /*!50003 TRIGGER `tr` BEFORE INSERT ON `orders` FOR EACH ROW BEGIN\n\
        -- Table structure for table `zzz`\nSET @a = 1;\nEND */;;\nDELIMITER ;\n\n\
        --\n-- Temporary table structure for view `v`\n--\n\nCREATE VIEW `v` AS SELECT 1;\n\
        --\n-- Dumping routines for database 'shop'\n--\nDROP FUNCTION `f`;\n\n-- Dump completed\n";

    fn taken(database: &str, table: &str, step: usize) -> (String, bool) {
        let mut out = Vec::new();
        let (mut only, found) = Only::new(&mut out, database, table);
        DUMP.as_bytes().chunks(step).for_each(|part| only.write_all(part).unwrap());
        only.flush().unwrap();
        drop(only);
        (String::from_utf8(out).unwrap(), found.was())
    }

    #[test]
    fn one_table_comes_with_its_database_rows_and_triggers_and_nothing_else() {
        for step in [1, 7, 4096] {
            let (text, found) = taken("shop", "orders", step);
            assert!(found);
            for has in ["SET NAMES", "USE `shop`", "`id` int", "(2,'b')", "TRIGGER `tr`", "SET @a = 1", "END */;;"] {
                assert!(text.contains(has), "{step}: no {has} in {text}");
            }
            for has in ["`crm`", "o``dd", "VIEW", "FUNCTION", "Dump completed"] {
                assert!(!text.contains(has), "{step}: {has} in {text}");
            }
        }
        let (odd, found) = taken("shop", "o`dd", 5);
        assert!(found && odd.contains("`t` text") && !odd.contains("`id`"), "{odd}");
        // What stands in rows and in triggers is no comment between statements.
        for (database, table) in [("shop", "o"), ("shop", "zzz"), ("other", "orders"), ("shop", "v")] {
            assert!(!taken(database, table, 64).1, "{database}.{table}");
        }
    }

    #[test]
    fn a_line_that_never_ends_is_not_held() {
        let mut out = Vec::new();
        let (mut only, found) = Only::new(&mut out, "a", "t");
        only.write_all(b"-- Current Database: `a`\n-- Table structure for table `t`\nINSERT INTO `t` VALUES ('")
            .unwrap();
        for _ in 0..40 {
            only.write_all(&vec![b'x'; 1 << 16]).unwrap();
            assert!(only.line.len() < LINE + (1 << 16), "{}", only.line.len());
        }
        only.write_all(b"');\n-- Table structure for table `u`\nDROP TABLE `u`;\n").unwrap();
        only.flush().unwrap();
        drop(only);
        let text = String::from_utf8(out).unwrap();
        assert!(found.was() && text.ends_with("x');\n"), "{}", text.len());
        assert_eq!(text.matches('x').count(), 40 << 16);
    }
}
