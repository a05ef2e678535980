//! What of one file of the spool is whole, and which stretch of the server's file it is.
//!
//! A receiver that was told to begin in the middle of a file writes one that begins there, behind a first event that is in
//! no file. So positions are taken from the events themselves.

use super::{
    super::super::Result,
    event::{Broken, Event, Events, MAGIC, kind},
    spool::{Held, Spool},
};

/// How much is read at a time.
const STEP: usize = 1 << 20;
/// A place where a piece may end is noted each time so much has come.
const MARK: u64 = 1 << 20;

/// A stretch of the server's file in a file of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// From where on nothing is missing: where the server sends nothing of some bytes, they count as there.
    pub(super) from: u64,
    /// Where its first event begins.
    pub(super) begin: u64,
    pub(super) to: u64,
    /// Where its first event lies in the file of the spool.
    pub(super) offset: u64,
}

/// The last event that was read: where it begins, if it is one of the server's file, and where it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    pub(super) begin: Option<u64>,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// See the top.
#[derive(Debug, Default)]
pub(super) struct Walk {
    events: Events,
    /// How much was read, and how much of that is whole.
    read: u64,
    whole: u64,
    pub(super) stretches: Vec<Stretch>,
    /// Where events end, now and then.
    pub(super) marks: Vec<u64>,
    pub(super) tail: Option<Tail>,
    /// Whether the server will write no more to the file.
    pub(super) ended: bool,
    /// Whether its last event says so.
    pub(super) closed: bool,
    /// When the server made it, in seconds since 1970, if its beginning is here.
    pub(super) made: Option<u32>,
    pub(super) broken: Option<Broken>,
}

impl Walk {
    /// Up to where the file of the server is here.
    pub(super) fn position(&self) -> Option<u64> {
        self.stretches.last().map(|stretch| stretch.to)
    }

    /// Reads what is new.
    pub(super) fn advance(&mut self, spool: &Spool, held: &Held) -> Result<()> {
        let mut buffer = vec![0; STEP];
        // What can't be read on can't be told apart any more.
        while !self.is_over() {
            let n = spool.read(held, self.read, &mut buffer)?;
            let bytes = buffer.get(..n).unwrap_or_default();
            if n == 0 || (self.read == 0 && n < MAGIC.len()) {
                break;
            }
            let skip = if self.read == 0 { self.magic(bytes) } else { 0 };
            self.read += n as u64;
            self.feed(bytes.get(skip..).unwrap_or_default());
        }
        Ok(())
    }

    /// Whether it can't be read on.
    pub(super) fn is_over(&self) -> bool {
        self.broken.as_ref().is_some_and(|broken| *broken != UNSOUND)
    }

    fn magic(&mut self, bytes: &[u8]) -> usize {
        if !bytes.starts_with(&MAGIC) {
            self.broken = Some(Broken("it does not begin as a binary log does"));
        }
        self.whole = MAGIC.len() as u64;
        MAGIC.len()
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let mut events = std::mem::take(&mut self.events);
        let fed = events.feed(bytes, &mut |event| self.see(event));
        self.events = events;
        if let Err(broken) = fed {
            self.broken = Some(broken);
        }
    }

    fn see(&mut self, event: &Event<'_>) {
        if self.is_over() {
            return;
        }
        let (offset, bytes) = (self.whole, u64::from(event.head.len));
        self.whole += bytes;
        let place = event.head.place();
        self.tail = Some(Tail { begin: place.map(|(begin, _)| begin), offset, bytes });
        let Some((begin, end)) = place else { return };
        // What stands before the first event is of the file, too.
        let first = begin == MAGIC.len() as u64 && offset == begin;
        if first && event.head.kind == kind::FORMAT {
            self.made = Some(event.head.at);
        }
        let (begin, offset) = if first { (0, 0) } else { (begin, offset) };
        match self.stretches.last_mut() {
            Some(last) if begin == last.to => last.to = end,
            Some(last) if begin > last.to => {
                let from = last.to;
                self.stretches.push(Stretch { from, begin, to: end, offset });
            }
            Some(_) => {
                self.broken = Some(Broken("its events go back to where others were: it may be longer than 4 GiB"));
                return;
            }
            None => self.stretches.push(Stretch { from: begin, begin, to: end, offset }),
        }
        if self.marks.last().is_none_or(|last| end >= last + MARK) {
            self.marks.push(end);
        }
        if !event.sound {
            self.broken.get_or_insert(UNSOUND);
        }
        self.closed |= matches!(event.head.kind, kind::STOP | kind::ROTATE);
        self.ended |= self.closed;
    }
}

/// It can be read on all the same.
const UNSOUND: Broken = Broken("an event is not what its checksum says");
