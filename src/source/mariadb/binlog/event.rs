//! The events that a binary log consists of: where one ends and the next begins, by their own headers, and whether one is
//! what its checksum says.

use super::super::super::crc::Crc;

/// What a file of a log begins with.
pub const MAGIC: [u8; 4] = *b"\xfebin";
/// The length of an event's header.
pub const HEADER: usize = 19;
/// The longest event: a server takes no packet of more than 1 GiB, and adds little to it.
const LONGEST: u32 = (1 << 30) + (1 << 20);
/// So much of an event is kept to look at.
const KEPT: usize = 8 << 10;
/// What stands at the end of each event where they are checked.
const CHECKSUM: u32 = 4;
/// Set in the first event of a file that is being written to, and not covered by its checksum.
const IN_USE: u8 = 1;
/// Set in events that are in no file, but made for whoever is told of the log.
const ARTIFICIAL: u16 = 0x20;

/// The kinds of events that are told apart here.
pub mod kind {
    #![allow(missing_docs, reason = "the server's own names")]
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const INTVAR: u8 = 5;
    pub const APPEND_BLOCK: u8 = 9;
    pub const RAND: u8 = 13;
    pub const USER_VAR: u8 = 14;
    pub const FORMAT: u8 = 15;
    pub const XID: u8 = 16;
    pub const BEGIN_LOAD_QUERY: u8 = 17;
    pub const TABLE_MAP: u8 = 19;
    pub const XA_PREPARE: u8 = 38;
    pub const ANNOTATE: u8 = 160;
    pub const GTID: u8 = 162;
    pub const GTID_LIST: u8 = 163;
}

/// What is no log, or none that is understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub &'static str);

/// The header of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// When it began, in seconds since 1970, by the server's clock.
    pub at: u32,
    /// Its kind.
    pub kind: u8,
    /// The server that wrote it first.
    pub server: u32,
    /// Its bytes, with this header.
    pub len: u32,
    /// Where it ends in its file; 0 if it is in none.
    pub end: u32,
    /// What else is said of it.
    pub flags: u16,
}

impl Head {
    /// Reads a header.
    ///
    /// # Errors
    /// If no event can have it.
    pub fn read(bytes: &[u8; HEADER]) -> Result<Self, Broken> {
        let word = |at: usize| {
            let four = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
            four.map_or(0, |four| u32::from_le_bytes(*four))
        };
        let [_, _, _, _, kind, .., low, high] = *bytes;
        let head = Self {
            at: word(0),
            kind,
            server: word(5),
            len: word(9),
            end: word(13),
            flags: u16::from_le_bytes([low, high]),
        };
        if (head.len as usize) < HEADER {
            return Err(Broken("an event is shorter than its own header"));
        }
        if head.len > LONGEST {
            return Err(Broken("an event is longer than any can be"));
        }
        Ok(head)
    }

    /// From where to where it lies in its file; nothing if it is in none.
    #[must_use]
    pub fn place(&self) -> Option<(u64, u64)> {
        let begin = self.end.checked_sub(self.len)?;
        (self.flags & ARTIFICIAL == 0 && self.end > 0).then_some((u64::from(begin), u64::from(self.end)))
    }
}

/// When the file of a log was made that this is the beginning of, in seconds since 1970.
#[must_use]
pub fn made(log: &[u8]) -> Option<u32> {
    let head = Head::read(log.strip_prefix(&MAGIC)?.first_chunk()?).ok()?;
    (head.kind == kind::FORMAT).then_some(head.at)
}

/// The last event of a stretch that holds whole events of one file and nothing else, with where it begins there. Nothing if that
/// is not so, or it is one that the server changes later.
#[must_use]
pub fn last_event(log: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = log.strip_prefix(&MAGIC).unwrap_or(log);
    let mut before: Option<(u64, u64)> = None;
    loop {
        let head = Head::read(rest.first_chunk()?).ok()?;
        let (begin, end) = head.place().filter(|(begin, _)| before.is_none_or(|(_, end)| end == *begin))?;
        let (event, more) = rest.split_at_checked(head.len as usize)?;
        if more.is_empty() {
            return (head.kind != kind::FORMAT).then_some((begin, event));
        }
        (rest, before) = (more, Some((begin, end)));
    }
}

/// An event that was read whole.
#[derive(Debug)]
pub struct Event<'a> {
    /// Its header.
    pub head: Head,
    /// The beginning of what follows the header, without its checksum.
    pub body: &'a [u8],
    /// Whether it is what its checksum says, where there is one.
    pub sound: bool,
}

/// Reads a log as it comes, in whatever parts. What stands before the first event is not given to it.
#[derive(Debug, Clone)]
pub struct Events {
    /// Whether events end with a checksum, once that was told.
    checked: Option<bool>,
    /// What was seen of the event that is being read: its beginning, and its last bytes.
    kept: Vec<u8>,
    tail: Vec<u8>,
    head: Option<Head>,
    have: u32,
    crc: Crc,
}

impl Default for Events {
    fn default() -> Self {
        let (kept, tail) = (Vec::new(), Vec::new());
        Self { checked: None, kept, tail, head: None, have: 0, crc: Crc::ieee() }
    }
}

impl Events {
    /// Whether it stands between two events.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.kept.is_empty()
    }

    /// Reads on; `see` is given each event when all of it was read.
    ///
    /// # Errors
    /// If that is no log. Then nothing more can be read.
    pub fn feed(&mut self, mut bytes: &[u8], see: &mut dyn FnMut(&Event<'_>)) -> Result<(), Broken> {
        while !bytes.is_empty() {
            if self.head.is_none() {
                let missing = HEADER.saturating_sub(self.kept.len()).min(bytes.len());
                let (now, rest) = bytes.split_at(missing);
                self.kept.extend_from_slice(now);
                bytes = rest;
                self.begin()?;
            }
            let Some(head) = self.head else { return Ok(()) };
            let left = (head.len - self.have) as usize;
            let (now, rest) = bytes.split_at(left.min(bytes.len()));
            self.take(&head, now);
            bytes = rest;
            if self.have == head.len {
                self.end(&head, see);
            }
        }
        Ok(())
    }

    /// Reads the header, once it is there.
    fn begin(&mut self) -> Result<(), Broken> {
        let Some(mut first) = self.kept.first_chunk::<HEADER>().copied() else { return Ok(()) };
        let head = Head::read(&first)?;
        if head.kind == kind::FORMAT
            && let Some(flags) = first.get_mut(HEADER - 2)
        {
            *flags &= !IN_USE;
        }
        self.crc.add(&first);
        (self.head, self.have) = (Some(head), u32::try_from(HEADER).unwrap_or_default());
        Ok(())
    }

    fn take(&mut self, head: &Head, bytes: &[u8]) {
        let room = KEPT.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
        // The last five bytes: of the first event of a file, the kind of checksum, and the checksum.
        let before = head.len.saturating_sub(CHECKSUM);
        let summed = (before.saturating_sub(self.have) as usize).min(bytes.len());
        self.crc.add(bytes.get(..summed).unwrap_or_default());
        let from = bytes.len().saturating_sub(CHECKSUM as usize + 1);
        self.tail.extend_from_slice(bytes.get(from..).unwrap_or_default());
        let more = self.tail.len().saturating_sub(CHECKSUM as usize + 1);
        self.tail.drain(..more);
        // It is no longer than its own length, which is within 32 bits.
        self.have = self.have.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }

    fn end(&mut self, head: &Head, see: &mut dyn FnMut(&Event<'_>)) {
        let length = head.len as usize;
        let mut sum = None;
        if length > HEADER + CHECKSUM as usize
            && let [way, rest @ ..] = self.tail.as_slice()
        {
            if head.kind == kind::FORMAT {
                self.checked = Some(*way == 1);
            }
            sum = rest.try_into().ok().map(u32::from_le_bytes);
        }
        let checked = self.checked == Some(true);
        let sound = !checked || sum.is_none_or(|sum| sum == self.crc.value());
        // The first event of a file has the room for a checksum always.
        let end = if checked || head.kind == kind::FORMAT { length.saturating_sub(CHECKSUM as usize) } else { length };
        let body = self.kept.get(HEADER..end.min(self.kept.len()).max(HEADER)).unwrap_or_default();
        see(&Event { head: *head, body, sound });
        self.kept.clear();
        self.tail.clear();
        (self.head, self.have, self.crc) = (None, 0, Crc::ieee());
    }
}

#[cfg(test)]
pub(super) mod tests;
