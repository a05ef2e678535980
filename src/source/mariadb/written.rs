//! What a dump holds, read from the dump itself while it passes: the tool's exit status says nothing of what it left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

use super::{print::Table, words::Words};

/// The most of a statement that is kept to learn what it makes.
const HEAD: usize = 8 << 10;
/// The most of an `INSERT` before its rows: some name all columns.
const LIST: usize = 1 << 20;

/// What was found in a dump.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// Rows by table.
    pub(super) tables: BTreeMap<Table, u64>,
    /// Everything else by database, called as in [`print::Contents`](super::print::Contents).
    pub(super) objects: BTreeSet<(String, String)>,
    /// Things of a kind whose names could not be read.
    pub(super) unread: u64,
    /// The length of the longest statement, which a server must take in one packet.
    pub(super) longest: u64,
}

/// Where in the dump the scanner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// At the beginning of a line, or in one that was not recognised yet.
    Line,
    /// In a line that says nothing.
    Rest,
    /// In the rows of an `INSERT`, in how many parentheses, and in a quoted text or not.
    Rows { depth: u32, quoted: bool, escaped: bool },
    /// In the statement that makes a trigger, a routine or an event.
    Body,
}

/// Reads a dump as the tools of MariaDB and MySQL write it.
#[derive(Debug)]
pub(super) struct Scanner {
    written: Written,
    at: At,
    /// The line so far, or the statement in a body, up to a limit.
    head: Vec<u8>,
    /// How the line ends so far.
    end: [u8; 2],
    database: String,
    /// Whether statements end with `;;` now.
    in_bodies: bool,
    /// Bytes of the statement so far.
    statement: u64,
    /// The table whose `CREATE` or `INSERT` this is.
    table: Option<Table>,
    /// Tables after whose `CREATE` the scanner stops, once each.
    stops: BTreeSet<Table>,
}

impl Scanner {
    fn new(stops: BTreeSet<Table>) -> Self {
        Self {
            written: Written::default(),
            at: At::Line,
            head: Vec::new(),
            end: [0; 2],
            database: String::new(),
            in_bodies: false,
            statement: 0,
            table: None,
            stops,
        }
    }

    /// Takes the next part of the dump, or only what comes before a stop: tells how much, and the table of the stop.
    fn feed(&mut self, bytes: &[u8]) -> (usize, Option<Table>) {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let (taken, line_over) = match self.at {
                At::Rows { depth, quoted, escaped } => (self.rows(rest, depth, quoted, escaped), false),
                At::Line | At::Rest | At::Body => self.line(rest),
            };
            self.statement += taken as u64;
            done += taken;
            if line_over && self.at == At::Line {
                self.written.longest = self.written.longest.max(std::mem::take(&mut self.statement));
                let made = self.end[1] == b';';
                if let Some(table) = self.table.take_if(|table| made && self.stops.contains(table)) {
                    self.stops.remove(&table);
                    return (done, Some(table));
                }
            }
        }
        (done, None)
    }

    /// Takes bytes up to the end of the line, or to where the rows of an `INSERT` begin, and tells whether a line ended.
    fn line(&mut self, bytes: &[u8]) -> (usize, bool) {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        if self.at != At::Rest {
            let begun = self.head.len();
            self.keep(part);
            if self.at == At::Line
                && self.head.starts_with(b"INSERT ")
                && let Some(rows) = self.insert()
            {
                self.head.clear();
                self.at = At::Rows { depth: 0, quoted: false, escaped: false };
                return (rows.saturating_sub(begun), false);
            }
        }
        match part {
            [] => {}
            [only] => self.end = [self.end[1], *only],
            [.., before, last] => self.end = [*before, *last],
        }
        let Some(end) = end else { return (bytes.len(), false) };
        match self.at {
            At::Body if self.end == *b";;" => self.body(),
            At::Body => self.keep(b"\n"),
            At::Line => self.whole_line(),
            At::Rest | At::Rows { .. } => self.at = At::Line,
        }
        if self.at == At::Line {
            self.head.clear();
        }
        (end + 1, true)
    }

    /// Keeps a part of a line, as far as there is room.
    fn keep(&mut self, part: &[u8]) {
        let most = if self.head.starts_with(b"INSERT ") { LIST } else { HEAD };
        let room = most.saturating_sub(self.head.len());
        self.head.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
    }

    /// Where rows begin in the head, if that is known by now; the table is noted.
    fn insert(&mut self) -> Option<usize> {
        let text = std::str::from_utf8(&self.head).ok()?;
        let mut words = Words(text);
        let mut name = None;
        while let Some((word, quoted)) = words.next() {
            if quoted && name.is_none() {
                name = Some(word);
            } else if !quoted && word == "VALUES" {
                let at = text.len() - words.0.len();
                let table = (self.database.clone(), name?);
                self.table = Some(table);
                return Some(at);
            }
        }
        None
    }

    /// Takes bytes up to the end of an `INSERT`.
    fn rows(&mut self, bytes: &[u8], mut depth: u32, mut quoted: bool, mut escaped: bool) -> usize {
        let (mut rows, mut over) = (0, None);
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'\'' => quoted = !quoted,
                _ if quoted => {}
                b'(' => {
                    depth += 1;
                    rows += u64::from(depth == 1);
                }
                b')' => depth = depth.saturating_sub(1),
                b';' if depth == 0 => {
                    over = Some(at + 1);
                    break;
                }
                _ => {}
            }
        }
        if let Some(table) = &self.table
            && rows > 0
        {
            match self.written.tables.get_mut(table) {
                Some(known) => *known += rows,
                None => drop(self.written.tables.insert(table.clone(), rows)),
            }
        }
        self.at = if over.is_some() { At::Rest } else { At::Rows { depth, quoted, escaped } };
        over.unwrap_or(bytes.len())
    }

    /// A whole line outside of bodies and rows, or the first of a body.
    fn whole_line(&mut self) {
        let text = String::from_utf8_lossy(&self.head).into_owned();
        if let Some(delimiter) = text.strip_prefix("DELIMITER ") {
            self.in_bodies = delimiter.trim() == ";;";
            return;
        }
        if self.in_bodies {
            if text.starts_with("CREATE ") || text.starts_with("/*!50003 CREATE") || text.starts_with("/*!50106 CREATE")
            {
                self.at = At::Body;
                if text.ends_with(";;") {
                    self.body();
                } else {
                    self.keep(b"\n");
                }
            }
            return;
        }
        let mut words = Words(&text);
        let made = match words.word().as_deref() {
            Some("USE") => {
                self.database = words.word().unwrap_or_default();
                return;
            }
            Some("CREATE") => words.word(),
            Some("/*!50001") if text.starts_with("/*!50001 VIEW ") => words.word(),
            _ => None,
        };
        let name = |words: &mut Words<'_>| words.next().filter(|(_, quoted)| *quoted).map(|(name, _)| name);
        match made.as_deref() {
            Some("TABLE") => {
                if let Some(name) = name(&mut words) {
                    let table = (self.database.clone(), name);
                    self.written.tables.entry(table.clone()).or_default();
                    self.table = Some(table);
                }
            }
            Some("SEQUENCE") => self.made("sequence", name(&mut words)),
            Some("VIEW") => self.made("view", name(&mut words)),
            _ => {}
        }
    }

    fn made(&mut self, kind: &str, name: Option<String>) {
        match name {
            Some(name) => drop(self.written.objects.insert((self.database.clone(), format!("{kind} {name}")))),
            None => self.written.unread += 1,
        }
    }

    /// The statement that makes a trigger, a routine or an event was read.
    fn body(&mut self) {
        self.at = At::Line;
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.head)).into_owned();
        let mut words = Words(&text);
        while let Some((word, quoted)) = words.next() {
            if quoted {
                continue;
            }
            let mut kind = word.to_ascii_lowercase();
            if !["trigger", "procedure", "function", "event", "package"].contains(&kind.as_str()) {
                continue;
            }
            let mut name = words.next();
            if kind == "package" && name.as_ref().is_some_and(|(word, quoted)| !quoted && word == "BODY") {
                kind.push_str(" body");
                name = words.next();
            }
            if name.as_ref().is_some_and(|(word, quoted)| !quoted && word.eq_ignore_ascii_case("IF")) {
                // IF NOT EXISTS
                name = words.nth(2);
            }
            // A name may stand behind that of its database.
            let mut rest = Words(words.0);
            if words.0.trim_start().starts_with('.') && rest.next().is_some() {
                name = rest.next();
            }
            self.made(&kind, name.map(|(name, _)| name));
            return;
        }
        self.written.unread += 1;
    }
}

/// What makes the rows of a table that the dump leaves to us.
pub(super) type Fill = Box<dyn FnMut(&Table) -> io::Result<Box<dyn Read + Send>> + Send>;

/// A dump on its way through a scanner, with rows put in where the dump's tool left them to us.
pub(super) struct Scanned<R> {
    inner: R,
    scanner: Arc<Mutex<Scanner>>,
    fill: Fill,
    filling: Option<Box<dyn Read + Send>>,
    /// What was read already and comes behind what is being filled in.
    rest: Vec<u8>,
}

/// What the scanner knows, kept by whoever asks later.
pub(super) struct Scan(Arc<Mutex<Scanner>>);

impl Scan {
    /// What was found up to now.
    pub(super) fn written(&self) -> Written {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).written.clone()
    }
}

impl<R: Read> Scanned<R> {
    /// Reads `inner`, and after the structure of each table of `stops` what `fill` gives.
    pub(super) fn new(inner: R, stops: BTreeSet<Table>, fill: Fill) -> (Self, Scan) {
        let scanner = Arc::new(Mutex::new(Scanner::new(stops)));
        let scan = Scan(Arc::clone(&scanner));
        (Self { inner, scanner, fill, filling: None, rest: Vec::new() }, scan)
    }
}

impl<R: Read> Read for Scanned<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Nothing is read into no room, and that is not an end of anything.
        if buf.is_empty() {
            return Ok(0);
        }
        let mut scanner = self.scanner.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(filling) = &mut self.filling {
                let n = filling.read(buf)?;
                if n > 0 {
                    scanner.feed(buf.get(..n).unwrap_or_default());
                    return Ok(n);
                }
                self.filling = None;
            }
            let n = if self.rest.is_empty() {
                self.inner.read(buf)?
            } else {
                let n = self.rest.len().min(buf.len());
                buf.iter_mut().zip(self.rest.drain(..n)).for_each(|(to, from)| *to = from);
                n
            };
            let (taken, stop) = scanner.feed(buf.get(..n).unwrap_or_default());
            if let Some(table) = stop {
                self.filling = Some((self.fill)(&table)?);
                let mut rest = buf.get(taken..n).unwrap_or_default().to_vec();
                rest.append(&mut self.rest);
                self.rest = rest;
            }
            // No bytes are the end of it all, and of nothing less.
            if taken > 0 || n == 0 {
                return Ok(taken);
            }
        }
    }
}

#[cfg(test)]
mod tests;
