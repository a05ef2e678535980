//! Reading a log back, transaction by transaction: which events belong together, when each was committed, and which bytes
//! are the log's own where pieces of it overlap.

use std::{fmt, ops::Range, str::FromStr};

use super::event::{Broken, Event, Events, HEADER, Head, MAGIC, kind};

/// A transaction's number in the whole of a server's history, such as `0-1-42`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gtid {
    /// The domain that numbers are counted in.
    pub domain: u32,
    /// The server that made it.
    pub server: u32,
    /// Its number.
    pub number: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.number)
    }
}

impl FromStr for Gtid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let mut parts = text.split('-');
            let (domain, server) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let gtid = Self { domain, server, number: parts.next()?.parse().ok()? };
            parts.next().is_none().then_some(gtid)
        };
        read().ok_or_else(|| format!("{text:?} is not a transaction, such as 0-1-42"))
    }
}

/// What belongs together in a log: a transaction, or a statement that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Its number, where the server has such.
    pub gtid: Option<Gtid>,
    /// Where it begins and ends in its file.
    pub begin: u64,
    /// See there.
    pub end: u64,
    /// When it was committed, in seconds since 1970, by the server's clock. Of rows that were changed by a statement which commits
    /// itself, the log has only when that began.
    pub at: u32,
    /// How much of the file was read up to its end: less than that where the file was not read from its beginning on.
    pub length: u64,
}

/// A group that is being read.
#[derive(Debug, Clone, Copy)]
struct Begun {
    gtid: Option<Gtid>,
    begin: u64,
    /// Whether it is one statement, which nothing commits.
    alone: bool,
    /// When the last statement in it began, and when it had been done.
    done: Option<(u32, u32)>,
}

/// Reads one file of a log, from its beginning or a place between two events on.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    events: Events,
    /// Up to where the file was read, in whole events.
    at: u64,
    /// What is missing of an event that a piece ended in.
    rest: usize,
    begun: Option<Begun>,
    /// How much of it was read, in whole events.
    length: u64,
    unsound: bool,
}

impl Groups {
    /// Goes on at `at`. What a file begins with can be given to it before.
    #[must_use]
    pub fn new(at: u64) -> Self {
        Self { at, ..Self::default() }
    }

    /// Up to where the file was read, in whole events.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// Whether a piece ended within an event.
    #[must_use]
    pub const fn is_within(&self) -> bool {
        self.rest > 0
    }

    /// Reads what a file begins with, its first event, which says how those behind it are to be read.
    ///
    /// # Errors
    /// If it is no such thing.
    pub fn prime(&mut self, beginning: &[u8]) -> Result<(), Broken> {
        let format = beginning.strip_prefix(&MAGIC).ok_or(Broken("a file of the log does not begin as one"))?;
        self.length = beginning.len() as u64;
        self.events.feed(format, &mut |_| {})
    }

    /// Reads a piece that goes on here; `see` is given each group that is complete. Says which of its bytes are log that was
    /// not read before.
    ///
    /// # Errors
    /// If it is no log.
    pub fn feed(&mut self, bytes: &[u8], see: &mut dyn FnMut(&Group)) -> Result<Vec<Range<usize>>, Broken> {
        let mut kept: Vec<Range<usize>> = Vec::new();
        let mut at = 0;
        if self.at == 0 && self.rest == 0 {
            if !bytes.starts_with(&MAGIC) {
                return Err(Broken("a file of the log does not begin as one"));
            }
            (self.at, at) = (MAGIC.len() as u64, MAGIC.len());
            self.length = self.at;
            kept.push(0..at);
        }
        let continued = self.rest.min(bytes.len().saturating_sub(at));
        if continued > 0 {
            kept.push(at..at + continued);
            self.read(bytes.get(at..at + continued).unwrap_or_default(), see)?;
            (self.rest, at) = (self.rest - continued, at + continued);
        }
        while at < bytes.len() {
            let first = bytes.get(at..).and_then(|rest| rest.first_chunk::<HEADER>());
            let head = Head::read(first.ok_or(Broken("a piece of the log ends within the header of an event"))?)?;
            let length = head.len as usize;
            let end = (at + length).min(bytes.len());
            // What is in no file says nothing, and what was read before nothing new.
            if head.place().is_some_and(|(begin, _)| begin >= self.at) {
                match kept.last_mut() {
                    Some(last) if last.end == at => last.end = end,
                    _ => kept.push(at..end),
                }
                self.read(bytes.get(at..end).unwrap_or_default(), see)?;
                self.rest = length - (end - at);
            } else if at + length > bytes.len() {
                return Err(Broken("a piece of the log goes back to where it was read"));
            }
            at = end;
        }
        Ok(kept)
    }

    fn read(&mut self, bytes: &[u8], see: &mut dyn FnMut(&Group)) -> Result<(), Broken> {
        let mut events = std::mem::take(&mut self.events);
        let fed = events.feed(bytes, &mut |event| self.event(event, see));
        self.events = events;
        fed?;
        if self.unsound { Err(Broken("an event of the log is not what its checksum says")) } else { Ok(()) }
    }

    fn event(&mut self, event: &Event<'_>, see: &mut dyn FnMut(&Group)) {
        let Some((begin, end)) = event.head.place() else { return };
        self.at = end;
        self.length += u64::from(event.head.len);
        self.unsound |= !event.sound;
        if event.head.kind == kind::GTID {
            self.begun = Some(began(event, begin));
            return;
        }
        let Some(group) = &mut self.begun else { return };
        if event.head.kind == kind::QUERY {
            group.done = Some((event.head.at, done(event)));
        }
        if ends(event, group.alone) {
            // A statement that commits itself has one time for all its events.
            let at = group.done.filter(|(began, _)| *began == event.head.at).map_or(event.head.at, |(_, done)| done);
            see(&Group { gtid: group.gtid, begin: group.begin, end, at, length: self.length });
            self.begun = None;
        }
    }
}

/// What the first event of a group says of it.
fn began(event: &Event<'_>, begin: u64) -> Begun {
    const ALONE: u8 = 1;
    let (number, rest) =
        event.body.split_first_chunk::<8>().map_or((0, event.body), |(n, r)| (u64::from_le_bytes(*n), r));
    let (domain, rest) = rest.split_first_chunk::<4>().map_or((0, rest), |(d, r)| (u32::from_le_bytes(*d), r));
    let gtid = Gtid { domain, server: event.head.server, number };
    Begun { gtid: Some(gtid), begin, alone: rest.first().is_some_and(|flags| flags & ALONE != 0), done: None }
}

/// When a statement was done: it says how long it took. That is what the server's clock said then less what the statement says, so it is
/// right also where somebody set another time for it (`SET TIMESTAMP`), as a replay does.
fn done(event: &Event<'_>) -> u32 {
    let took = event.body.get(4..).and_then(|rest| rest.first_chunk::<4>());
    event.head.at.wrapping_add(took.map_or(0, |took| u32::from_le_bytes(*took)))
}

/// Whether a group ends with it.
fn ends(event: &Event<'_>, alone: bool) -> bool {
    match event.head.kind {
        kind::XID | kind::XA_PREPARE => true,
        // What a statement needs comes before it.
        kind::INTVAR
        | kind::RAND
        | kind::USER_VAR
        | kind::APPEND_BLOCK
        | kind::BEGIN_LOAD_QUERY
        | kind::TABLE_MAP
        | kind::ANNOTATE => false,
        kind::QUERY if !alone => {
            let said = query(event.body).unwrap_or_default();
            [&b"COMMIT"[..], b"ROLLBACK", b"XA COMMIT", b"XA ROLLBACK"].iter().any(|word| {
                said.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
                    && !said.get(word.len()..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b"TO"))
            })
        }
        _ => alone,
    }
}

/// The text of a statement, as far as it was kept.
fn query(body: &[u8]) -> Option<&[u8]> {
    let (database, status) = (*body.get(8)?, body.get(11..13)?.first_chunk::<2>()?);
    let text = 13 + usize::from(u16::from_le_bytes(*status)) + usize::from(database) + 1;
    body.get(text..)
}

/// What a file begins with, up to the end of its first event, which says how all others are to be read.
#[must_use]
pub fn beginning(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let head = Head::read(rest.first_chunk()?).ok().filter(|head| head.kind == kind::FORMAT)?;
    bytes.get(..MAGIC.len() + head.len as usize)
}

/// The same, with the list of the last transactions before it, if that follows: the server's tools hold other files against
/// it.
#[must_use]
pub fn opening(bytes: &[u8]) -> Option<Vec<u8>> {
    let begin = beginning(bytes)?;
    let mut found = begin.to_vec();
    let mut rest = bytes.get(begin.len()..).unwrap_or_default();
    while let Some(head) = rest.first_chunk().and_then(|first| Head::read(first).ok()) {
        let Some((event, after)) = rest.split_at_checked(head.len as usize) else { break };
        if head.kind == kind::GTID {
            break;
        }
        if head.kind == kind::GTID_LIST {
            found.extend_from_slice(event);
        }
        rest = after;
    }
    Some(found)
}

#[cfg(test)]
mod tests;
