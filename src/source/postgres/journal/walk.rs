//! Following the log record by record: how far what was written of a segment is whole.
//!
//! A segment that grows is as long as it will ever be and full of zeros, and what is read while it is written may be half
//! of a record. So each record is checked by its own checksum, and counts when all of it is there.

use super::super::{
    super::crc::Crc,
    wal::page::{Broken, CONTINUES, Geometry, u32_at, u64_at},
};

/// The length of a record's header.
const HEADER: usize = 24;
/// Where in it is where the one before it began.
const PREVIOUS: usize = 8;
/// Where in it the checksum is, which covers all before it, and all after the header.
const CHECKSUM: usize = 20;
/// The longest record that a server writes.
const LONGEST: u64 = 1020 << 20;
/// Records begin at multiples of it.
const ALIGNED: u64 = 8;

/// Why nothing more was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// All was taken.
    More,
    /// Here nothing was written yet.
    Unwritten,
    /// A record is not what its checksum says: it may be only half there.
    Torn {
        /// Where it begins.
        record: u64,
    },
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Where a record begins.
    Between,
    /// In a record.
    Record { from: u64, head: [u8; HEADER], have: usize, left: u64, crc: Crc },
    /// In a record whose beginning was not seen.
    Rest { left: u64 },
}

#[derive(Debug, Clone, Copy)]
struct Cursor {
    at: u64,
    whole: u64,
    /// Where the last record began that was whole, if it was seen as a whole: each names the one before it.
    last: Option<u64>,
    /// Whether nothing was walked yet, so that a record may go on whose beginning was not seen.
    fresh: bool,
    state: State,
}

/// A walk along the log of one timeline.
#[derive(Debug, Clone)]
pub struct Walk {
    geometry: Geometry,
    timeline: u32,
    /// Whether each record must name the one before it.
    linked: bool,
    /// What is certain: the end of a whole record, or of a segment that is complete.
    sure: Cursor,
    now: Cursor,
}

impl Walk {
    /// A walk that begins where a segment does.
    #[must_use]
    pub fn new(geometry: Geometry, timeline: u32, start: u64) -> Self {
        let cursor = Cursor { at: start, whole: start, last: None, fresh: true, state: State::Between };
        Self { geometry, timeline, linked: false, sure: cursor, now: cursor }
    }

    /// The same, and each record must name the one before it.
    #[must_use]
    pub fn linked(self) -> Self {
        Self { linked: true, ..self }
    }

    /// What the log is like.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The timeline.
    #[must_use]
    pub fn timeline(&self) -> u32 {
        self.timeline
    }

    /// The position of the byte that is wanted next.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.now.at
    }

    /// Up to where all is whole.
    #[must_use]
    pub fn whole(&self) -> u64 {
        self.sure.whole
    }

    /// Goes back to where all was certain, to look again at what was not.
    pub fn rewind(&mut self) {
        self.now = self.sure;
    }

    /// Takes all that was fed for certain: the segment is complete.
    pub fn settle(&mut self) {
        self.now.whole = self.now.at;
        self.sure = self.now;
    }

    /// Walks over bytes that begin at [`at`](Self::at).
    ///
    /// # Errors
    /// If they are no log, or not of this one.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<Stop, Broken> {
        while !bytes.is_empty() {
            let in_page = self.now.at % self.geometry.page;
            let step = if in_page == 0 { self.page(bytes)? } else { self.within(bytes, self.geometry.page - in_page)? };
            match step {
                Step::Taken(n) => {
                    self.now.at += n as u64;
                    bytes = bytes.get(n..).unwrap_or_default();
                }
                Step::Ended(n) => {
                    let used = self.end_record(n);
                    bytes = bytes.get(used..).unwrap_or_default();
                }
                Step::Stopped(why) => return Ok(why),
            }
        }
        Ok(Stop::More)
    }

    /// The header of a page.
    fn page(&mut self, bytes: &[u8]) -> Result<Step, Broken> {
        let at = self.now.at;
        let len = self.geometry.header(at);
        let Some(bytes) = bytes.get(..len) else { return Ok(Step::Stopped(Stop::More)) };
        let Some(head) = self.geometry.head(bytes, at, self.timeline)? else {
            return Ok(Step::Stopped(Stop::Unwritten));
        };
        let continues = head.info & CONTINUES != 0 && head.rest > 0;
        match self.now.state {
            State::Record { left, .. } | State::Rest { left } if continues => {
                if left != head.rest {
                    let what =
                        format!("the page goes on with {} bytes of a record of which {left} are left", head.rest);
                    return Err(Broken::new(at, what));
                }
            }
            // The server died in the middle of a record, which nobody finished: the log goes on without it.
            State::Record { .. } | State::Rest { .. } => self.now.state = State::Between,
            State::Between if continues && self.now.fresh => self.now.state = State::Rest { left: head.rest },
            State::Between if continues => {
                return Err(Broken::new(at, "the page goes on with a record that did not begin"));
            }
            State::Between => {}
        }
        self.now.fresh = false;
        Ok(Step::Taken(len))
    }

    /// Something within a page, of which `room` bytes are left.
    fn within(&mut self, bytes: &[u8], room: u64) -> Result<Step, Broken> {
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let at = self.now.at;
        match &mut self.now.state {
            State::Between => {
                if bytes.len() < 4 {
                    return Ok(Step::Stopped(Stop::More));
                }
                let left = u64::from(u32_at(bytes, 0));
                if left == 0 {
                    return Ok(Step::Stopped(Stop::Unwritten));
                }
                if left < HEADER as u64 || left > LONGEST {
                    return Err(Broken::new(at, format!("no record has {left} bytes")));
                }
                self.now.state = State::Record { from: at, head: [0; HEADER], have: 0, left, crc: Crc::castagnoli() };
                Ok(Step::Taken(0))
            }
            State::Rest { left } => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= n as u64;
                Ok(if *left == 0 { Step::Ended(n) } else { Step::Taken(n) })
            }
            State::Record { from, head, have, left, crc } => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                let to_head = (HEADER - *have).min(n);
                let (first, data) = bytes.get(..n).unwrap_or_default().split_at(to_head);
                if let Some(place) = head.get_mut(*have..*have + to_head) {
                    place.copy_from_slice(first);
                }
                *have += to_head;
                crc.add(data);
                *left -= n as u64;
                if *left > 0 {
                    return Ok(Step::Taken(n));
                }
                crc.add(head.get(..CHECKSUM).unwrap_or_default());
                if crc.value() != u32_at(head, CHECKSUM) {
                    return Ok(Step::Stopped(Stop::Torn { record: *from }));
                }
                let named = u64_at(head, PREVIOUS);
                if self.linked && named > 0 && self.now.last.is_some_and(|last| last != named) {
                    return Err(Broken::new(*from, "a record follows another one than stands before it"));
                }
                Ok(Step::Ended(n))
            }
        }
    }

    /// A record ended after `n` more bytes. Says how many bytes are used up with what fills up behind it.
    fn end_record(&mut self, n: usize) -> usize {
        let from = self.now.at;
        let end = (from + n as u64).next_multiple_of(ALIGNED);
        let begun = if let State::Record { from, .. } = self.now.state { Some(from) } else { None };
        let known = begun.is_some();
        self.now.last = begun;
        // Behind the order to go on in the next segment, all of this one is zeros.
        let end = if self.is_switch() { end.next_multiple_of(self.geometry.segment) } else { end };
        self.now.state = State::Between;
        self.now.at = end;
        if known {
            self.now.whole = end;
        }
        self.sure = self.now;
        usize::try_from(end - from).unwrap_or(usize::MAX)
    }

    /// Whether it is the record of `pg_switch_wal`, and of a timeout that archives.
    fn is_switch(&self) -> bool {
        const RESOURCE_XLOG: u8 = 0;
        const SWITCH: u8 = 0x40;
        match &self.now.state {
            State::Record { head, .. } => {
                let [info, resource] = [16, 17].map(|at| head.get(at).copied().unwrap_or_default());
                resource == RESOURCE_XLOG && info & 0xf0 == SWITCH
            }
            _ => false,
        }
    }
}

enum Step {
    /// So many bytes were used.
    Taken(usize),
    /// So many bytes were used, and a record ends.
    Ended(usize),
    Stopped(Stop),
}

#[cfg(test)]
mod tests;
