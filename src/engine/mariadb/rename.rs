//! A dump for a server that others use: its databases get other names, nobody else's accounts are named, and its events
//! rest. The lines that say so are written by the dump's tool in one way; all others pass as they are.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
};

use super::super::{EngineError, Result};
use crate::source::mariadb::session::identifier;

/// The longest line that is understood, and the most that is held of any.
const LINE: u64 = 4 << 20;

/// Databases by the names that the dump has for them, with those that they get.
pub(super) type Names = BTreeMap<String, String>;

/// Copies a dump to `out` with other names. A database that it makes is made by `make` instead, which is given its name,
/// its character set and its collation, and says what it is called.
///
/// # Errors
/// If it means a database that it does not make, `make` fails, or it can't be read or written.
pub(super) fn copy(
    dump: impl Read,
    out: &mut impl Write,
    names: &mut Names,
    make: &mut dyn FnMut(&str, &[String]) -> Result<String>,
) -> Result<()> {
    let failed = |what: &str, e: std::io::Error| EngineError {
        what: what.to_owned(),
        object: "the dump".to_owned(),
        source: Some(e),
    };
    let mut dump = BufReader::with_capacity(1 << 20, dump);
    let mut place = Place::new();
    let (mut line, mut within) = (Vec::new(), false);
    loop {
        line.clear();
        let read = dump.by_ref().take(LINE).read_until(b'\n', &mut line);
        if read.map_err(|e| failed("can't be read", e))? == 0 {
            return Ok(());
        }
        let whole = line.last() == Some(&b'\n');
        let changed = if within { None } else { place.change(&line, names, make)? };
        let text = changed.as_deref().unwrap_or(&line);
        out.write_all(text).map_err(|e| failed("the server's client does not take it", e))?;
        place.after(&line, within);
        within = !whole;
    }
}

/// Where in the dump it is.
pub(super) struct Place {
    delimiter: Vec<u8>,
    /// Whether a statement begins with the next line.
    fresh: bool,
}

impl Place {
    /// The beginning of a dump.
    pub(super) fn new() -> Self {
        Self { delimiter: b";".to_vec(), fresh: true }
    }

    /// Whether the next line is within no statement and no body of a trigger or routine.
    pub(super) fn is_between(&self) -> bool {
        self.fresh && self.delimiter == b";"
    }

    /// Notes a line, or the next part of a long one.
    pub(super) fn after(&mut self, line: &[u8], within: bool) {
        let text = line.trim_ascii();
        if let (Some(delimiter), false) = (text.strip_prefix(b"DELIMITER "), within) {
            self.delimiter = delimiter.trim_ascii().to_vec();
            self.fresh = true;
        } else if !text.is_empty() {
            self.fresh = text.ends_with(&self.delimiter) || text.starts_with(b"--");
        }
    }

    /// What the line becomes, if it does not stay as it is.
    fn change(
        &self,
        line: &[u8],
        names: &mut Names,
        make: &mut dyn FnMut(&str, &[String]) -> Result<String>,
    ) -> Result<Option<Vec<u8>>> {
        let starts = |prefix: &str| line.starts_with(prefix.as_bytes());
        let text = || String::from_utf8_lossy(line);
        if self.delimiter == b";" {
            if self.fresh && starts("CREATE DATABASE ") {
                let line = text();
                let (_, name, after) = quoted(&line, 0).ok_or_else(|| unclear(&line))?;
                let real = make(&name, &charset(line.get(after..).unwrap_or_default()))?;
                names.insert(name, real);
                return Ok(Some(b"\n".to_vec()));
            }
            if self.fresh && (starts("USE ") || starts("ALTER DATABASE ")) {
                return renamed(&text(), names).map(|line| Some(line.into_bytes()));
            }
            if starts("/*!50013 DEFINER=") || starts("/*!50001 VIEW ") || starts("  CONSTRAINT ") {
                return Ok(Some(qualified(&without_definer(&text()), names).into_bytes()));
            }
            return Ok(None);
        }
        if !(self.fresh && (starts("CREATE DEFINER=") || starts("/*!50003 CREATE*/ ") || starts("/*!50106 CREATE*/ ")))
        {
            return Ok(None);
        }
        let mut line = without_definer(&text());
        if let Some((head, body)) = line.split_once(" FOR EACH ROW").filter(|(head, _)| head.contains("TRIGGER ")) {
            line = format!("{} FOR EACH ROW{body}", bare(&qualified(head, names), names));
        }
        if let Some((head, body)) =
            line.split_once(" PRESERVE ENABLE").filter(|(head, _)| head.contains("*/ /*!50106 EVENT "))
        {
            // It would run on somebody's server, where the scheduler may be on.
            line = format!("{head} PRESERVE DISABLE{body}");
        }
        Ok(Some(line.into_bytes()))
    }
}

fn unclear(line: &str) -> EngineError {
    let start: String = line.chars().take(80).collect();
    EngineError::new(
        "the dump says something that is not understood, so it is not given to a server that is lent",
        start,
    )
}

/// The first quoted name in a line.
pub(super) fn first_quoted(line: &str) -> Option<String> {
    quoted(line, 0).map(|(_, name, _)| name)
}

/// The first quoted name in `line` from the byte `from` on: where it begins, what it is, and where it ends.
fn quoted(line: &str, from: usize) -> Option<(usize, String, usize)> {
    let begin = from + line.get(from..)?.find('`')?;
    let mut name = String::new();
    let mut at = begin + 1;
    loop {
        let rest = line.get(at..)?;
        let end = rest.find('`')?;
        name.push_str(rest.get(..end)?);
        at += end + 1;
        // Doubled, it belongs to the name.
        if !line.get(at..)?.starts_with('`') {
            return Some((begin, name, at));
        }
        name.push('`');
        at += 1;
    }
}

/// A line with the name of a database as its first quoted name.
fn renamed(line: &str, names: &Names) -> Result<String> {
    let (begin, name, end) = quoted(line, 0).ok_or_else(|| unclear(line))?;
    let real = names.get(&name).ok_or_else(|| {
        EngineError::new(
            "the dump means a database that it does not make, so it is not given to a server that is lent",
            name,
        )
    })?;
    let part = |range: Option<&str>| range.unwrap_or_default().to_owned();
    Ok(part(line.get(..begin)) + &identifier(real) + &part(line.get(end..)))
}

/// The words of a database's character set and collation, and nothing else.
fn charset(rest: &str) -> Vec<String> {
    let after = |key: &str| {
        let word: String =
            rest.split_once(key)?.1.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        (!word.is_empty()).then(|| format!("{key}{word}"))
    };
    ["CHARACTER SET ", "COLLATE "].into_iter().filter_map(after).collect()
}

/// A line without the account that what it makes would belong to: it belongs to whoever loads it.
fn without_definer(line: &str) -> String {
    let cut = || {
        let begin = line.find("DEFINER=`")?;
        let (_, _, user) = quoted(line, begin)?;
        let (_, _, end) = quoted(line, user).filter(|_| line.get(user..).is_some_and(|rest| rest.starts_with("@`")))?;
        Some(format!("{}{}", line.get(..begin)?, line.get(end..)?))
    };
    let cut = cut().unwrap_or_else(|| line.to_owned());
    // A comment of a version without anything in it is a mistake.
    cut.replacen("/*!50017 */ ", "", 1).replacen("/*!50117 */ ", "", 1)
}

/// A line in which names are qualified by other databases: `a`.`t` and `a`.`t`.`c`, outside of texts.
fn qualified(line: &str, names: &Names) -> String {
    let (mut out, mut at, mut text) = (String::with_capacity(line.len()), 0, false);
    let mut after_dot = false;
    while let Some(c) = line.get(at..).and_then(|rest| rest.chars().next()) {
        match c {
            '\'' => text = !text,
            '\\' if text => {
                // The next character is part of the text, whatever it is.
                let next = line.get(at + 1..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
                out.push_str(line.get(at..at + 1 + next).unwrap_or_default());
                at += 1 + next;
                continue;
            }
            '`' if !text => {
                let Some((begin, name, end)) = quoted(line, at) else { break };
                let qualifies = !after_dot && line.get(end..).is_some_and(|rest| rest.starts_with(".`"));
                match names.get(&name).filter(|_| qualifies) {
                    Some(real) => out.push_str(&identifier(real)),
                    None => out.push_str(line.get(begin..end).unwrap_or_default()),
                }
                at = end;
                after_dot = false;
                continue;
            }
            _ => {}
        }
        after_dot = c == '.';
        out.push(c);
        at += c.len_utf8();
    }
    out.push_str(line.get(at..).unwrap_or_default());
    out
}

/// The head of a trigger as somebody wrote it, who may have qualified names without quotes.
fn bare(head: &str, names: &Names) -> String {
    let word = |word: &str| match word.split_once('.') {
        Some((database, table)) => names.get(database).map(|real| format!("{}.{table}", identifier(real))),
        None => None,
    };
    head.split(' ').map(|part| word(part).unwrap_or_else(|| part.to_owned())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(dump: &str) -> Result<String> {
        let mut out = Vec::new();
        let mut make = |name: &str, set: &[String]| {
            assert!(set.iter().all(|set| !set.contains(['`', '\'', '\\', ';'])), "{set:?}");
            Ok(format!("s_{name}"))
        };
        copy(dump.as_bytes(), &mut out, &mut Names::new(), &mut make)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_name_of_a_database_becomes_another() {
        let dump = "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `a``b` /*!40100 DEFAULT CHARACTER SET latin1 COLLATE x */;\n\n\
                    USE `a``b`;\nALTER DATABASE `a``b` CHARACTER SET utf8mb3 ;\n  CONSTRAINT `k` FOREIGN KEY (`a``b`) REFERENCES `a``b`.`t` (`x`)\n\
                    /*!50001 VIEW `v` AS select `a``b`.`a``b`.`c` AS `c`,'`a``b`.`t` \\' ' AS `x` from `a``b`.`t` */;\n";
        let want = "\n\nUSE `s_a``b`;\nALTER DATABASE `s_a``b` CHARACTER SET utf8mb3 ;\n  CONSTRAINT `k` FOREIGN KEY (`a``b`) REFERENCES `s_a``b`.`t` (`x`)\n\
                    /*!50001 VIEW `v` AS select `s_a``b`.`a``b`.`c` AS `c`,'`a``b`.`t` \\' ' AS `x` from `s_a``b`.`t` */;\n";
        assert_eq!(change(dump).unwrap(), want);
    }

    #[test]
    fn nobody_else_owns_what_is_made_and_no_event_is_awake() {
        let dump = "CREATE DATABASE `d`;\n/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`app`@`%` SQL SECURITY DEFINER */\n\
                    DELIMITER ;;\nCREATE DEFINER=`a`@`h` PROCEDURE `p`()\nBEGIN\nCREATE DEFINER=`a`@`h` stays\nUSE `z`;\nEND ;;\n\
                    /*!50003 CREATE*/ /*!50017 DEFINER=`a`@`h`*/ /*!50003 TRIGGER d.t BEFORE INSERT ON d.o FOR EACH ROW SET @a = 'd.o' */;;\n\
                    /*!50106 CREATE*/ /*!50117 DEFINER=`a`@`h`*/ /*!50106 EVENT `e` ON COMPLETION NOT PRESERVE ENABLE COMMENT ' PRESERVE ENABLE' DO x */ ;;\n\
                    DELIMITER ;\n";
        let want = "\n/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013  SQL SECURITY DEFINER */\n\
                    DELIMITER ;;\nCREATE  PROCEDURE `p`()\nBEGIN\nCREATE DEFINER=`a`@`h` stays\nUSE `z`;\nEND ;;\n\
                    /*!50003 CREATE*/ /*!50003 TRIGGER `s_d`.t BEFORE INSERT ON `s_d`.o FOR EACH ROW SET @a = 'd.o' */;;\n\
                    /*!50106 CREATE*/ /*!50106 EVENT `e` ON COMPLETION NOT PRESERVE DISABLE COMMENT ' PRESERVE ENABLE' DO x */ ;;\n\
                    DELIMITER ;\n";
        assert_eq!(change(dump).unwrap(), want);
    }

    #[test]
    fn a_database_that_was_not_made_is_not_touched() {
        for (dump, told) in
            [("USE `mysql`;\n", "mysql"), ("USE x;\n", "USE x"), ("CREATE DATABASE x;\n", "CREATE DATABASE x")]
        {
            let error = change(dump).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        // Long lines pass in pieces.
        let long = format!("INSERT INTO `t` VALUES\n('{}USE `x`;');\n", "x".repeat(9 << 20));
        assert_eq!(change(&long).unwrap().len(), long.len());
    }
}
