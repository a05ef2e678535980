//! The headers of the log's pages, and what the first of a segment says of the whole log.

/// How long the header of a page is.
pub(in super::super) const SHORT: usize = 24;
/// How long that of a segment's first page is.
pub(in super::super) const LONG: usize = 40;
/// The page begins with the rest of a record.
pub(in super::super) const CONTINUES: u16 = 0x0001;
/// The header is a long one.
pub(in super::super) const IS_LONG: u16 = 0x0002;
/// Sizes of segments that servers can have.
const SEGMENTS: std::ops::RangeInclusive<u32> = 1 << 20..=1 << 30;
/// Sizes of pages that servers can be built with.
const PAGES: std::ops::RangeInclusive<u32> = 1 << 10..=1 << 16;

/// What is wrong with bytes that should be a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at {at:X}: {what}")]
pub struct Broken {
    /// Where, as a position in the log.
    pub at: u64,
    /// What is wrong there.
    pub what: String,
}

impl Broken {
    pub(in super::super) fn new(at: u64, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

/// What is the same in all pages of a cluster's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// What pages of this major version begin with. Each has its own, so it is taken from the first and held against the
    /// others.
    pub magic: u16,
    /// Which cluster it is.
    pub system: u64,
    /// The size of a segment.
    pub segment: u64,
    /// The size of a page.
    pub page: u64,
}

/// The header of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Head {
    /// See [`Geometry::magic`].
    pub(in super::super) magic: u16,
    /// Flags.
    pub(in super::super) info: u16,
    /// The timeline that it was written on.
    pub(in super::super) timeline: u32,
    /// Its position.
    pub(in super::super) address: u64,
    /// How much of a record that began before is still to come.
    pub(in super::super) rest: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u16::from_le_bytes(*b))
}

pub(in super::super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

pub(in super::super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

impl Head {
    /// The header that `bytes`, of which there are enough, begin with.
    pub(in super::super) fn read(bytes: &[u8]) -> Self {
        Self {
            magic: u16_at(bytes, 0),
            info: u16_at(bytes, 2),
            timeline: u32_at(bytes, 4),
            address: u64_at(bytes, 8),
            rest: u32_at(bytes, 16).into(),
        }
    }
}

impl Geometry {
    /// What the first page of a segment, or its first 40 bytes, says of the log; nothing if it was not written yet.
    ///
    /// # Errors
    /// If it is no page of a log, or of a server on a machine that writes numbers the other way round.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, Broken> {
        let Some(bytes) = bytes.get(..LONG) else { return Ok(None) };
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let head = Head::read(bytes);
        let broken = |what: &str| Broken::new(head.address, what);
        // Of all versions so far: D0xx and D1xx.
        if head.magic >> 12 != 0xd || head.info & IS_LONG == 0 {
            let turned = head.magic.swap_bytes() >> 12 == 0xd;
            let what = "no segment of a write-ahead log begins so";
            return Err(broken(if turned {
                "the log of a machine of another byte order can't be read here"
            } else {
                what
            }));
        }
        let (segment, page) = (u32_at(bytes, 32), u32_at(bytes, 36));
        let fits = |n: u32, range: std::ops::RangeInclusive<u32>| n.is_power_of_two() && range.contains(&n);
        if !fits(segment, SEGMENTS) || !fits(page, PAGES) {
            return Err(broken("its header has impossible segment or page sizes"));
        }
        let (segment, page) = (u64::from(segment), u64::from(page));
        if !head.address.is_multiple_of(segment) {
            return Err(broken("its header has a position where no segment begins"));
        }
        Ok(Some(Self { magic: head.magic, system: u64_at(bytes, 24), segment, page }))
    }

    /// The position that the first page of a segment tells.
    #[must_use]
    pub fn address(bytes: &[u8]) -> u64 {
        Head::read(bytes).address
    }

    /// How long the header of the page at `at` is.
    pub(in super::super) fn header(&self, at: u64) -> usize {
        if at.is_multiple_of(self.segment) { LONG } else { SHORT }
    }

    /// The header of the page at `at`, which is `bytes`; nothing if it was not written yet.
    pub(in super::super) fn head(&self, bytes: &[u8], at: u64, timeline: u32) -> Result<Option<Head>, Broken> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let first = at.is_multiple_of(self.segment);
        let head = Head::read(bytes);
        if head.magic != self.magic || (head.info & IS_LONG != 0) != first {
            return Err(Broken::new(at, "no page of this log begins so"));
        }
        if head.address != at {
            return Err(Broken::new(at, format!("the page that is here belongs to {:X}", head.address)));
        }
        if head.timeline > timeline || head.timeline == 0 {
            return Err(Broken::new(at, format!("the page is of timeline {}, not {timeline}", head.timeline)));
        }
        if first && Self::read(bytes)? != Some(*self) {
            return Err(Broken::new(at, "the segment is of another cluster, or of other sizes"));
        }
        Ok(Some(head))
    }
}
