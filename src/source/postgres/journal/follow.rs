//! What of the spool is whole and was not shipped yet.

use super::{
    super::{
        super::{
            Result,
            journal::{Joint, Shipped},
        },
        wal::page::{Broken, Geometry},
    },
    spool::{Held, Spool},
    walk::{Stop, Walk},
};
use crate::model::Hash;

/// So far behind a record that is not whole it is looked whether the log goes on.
const BEHIND: usize = 64 << 10;
/// How much of a segment is read at a time.
const STEP: usize = 1 << 20;

/// A stretch of one segment that can be shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The segment.
    pub held: Held,
    /// From where.
    pub from: u64,
    /// Up to where.
    pub to: u64,
}

/// What a look at the spool gives.
#[derive(Debug, Default)]
pub struct Look {
    /// What can be shipped, in the order of the log.
    pub ready: Vec<Ready>,
    /// What lies between what was shipped and what comes next, and is not here.
    pub gap: Option<(Shipped, Shipped)>,
    /// A segment that is complete and no log.
    pub broken: Option<(Held, Broken)>,
    /// Bytes in the spool that were not shipped: of the segment that grows, what is whole.
    pub unshipped: u64,
    /// The newest position that is here.
    pub newest: Option<Shipped>,
}

/// Follows the spool.
pub struct Follower {
    spool: Spool,
    size: u64,
    walk: Option<Walk>,
}

impl Follower {
    /// Follows `spool`, whose segments are of `size`.
    #[must_use]
    pub fn new(spool: Spool, size: u64) -> Self {
        Self { spool, size, walk: None }
    }

    /// The size of segments.
    #[must_use]
    pub fn segment_size(&self) -> u64 {
        self.size
    }

    /// Looks what is new beyond `shipped`; of the segment that grows only if `growing`.
    ///
    /// # Errors
    /// If the spool can't be read.
    pub fn look(&mut self, shipped: Option<Shipped>, growing: bool) -> Result<Look> {
        let look = self.look_once(shipped, growing)?;
        // A segment that was renamed while its directory was read may not have been seen under either name.
        if look.gap.is_some() { self.look_once(shipped, growing) } else { Ok(look) }
    }

    fn look_once(&mut self, shipped: Option<Shipped>, growing: bool) -> Result<Look> {
        let mut look = Look::default();
        let mut expected = shipped;
        let all = self.spool.segments(self.size)?;
        for (at, held) in all.iter().enumerate() {
            let end = held.start + self.size;
            // A timeline that went before needs nothing beyond what it was shipped to.
            let known = shipped.filter(|shipped| shipped.timeline >= held.timeline);
            if known.is_some_and(|shipped| shipped.timeline > held.timeline || end <= shipped.to) {
                continue;
            }
            // Nobody writes to it any more where the log went on elsewhere.
            let to = if held.partial {
                let last = all.get(at + 1).is_none();
                if last && !growing {
                    continue;
                }
                let before = at.checked_sub(1).and_then(|before| all.get(before));
                self.grown(held, before, &mut look)?
            } else {
                self.complete(held, &mut look)?;
                Some(end)
            };
            let Some(to) = to else { continue };
            let from = known.map_or(held.start, |shipped| shipped.to.max(held.start));
            if to <= from {
                continue;
            }
            if let Some(expected) = expected.filter(|expected| expected.to < held.start)
                && look.gap.is_none()
            {
                look.gap = Some((expected, Shipped { timeline: held.timeline, to: held.start }));
            }
            expected = Some(Shipped { timeline: held.timeline, to });
            look.unshipped += to - from;
            look.ready.push(Ready { held: held.clone(), from, to });
        }
        look.newest = expected;
        Ok(look)
    }

    /// How far a segment that grows is whole; nothing if nothing was written yet.
    fn grown(&mut self, held: &Held, before: Option<&Held>, look: &mut Look) -> Result<Option<u64>> {
        let follows = |walk: &Walk| walk.timeline() == held.timeline && walk.whole() >= held.start;
        let end = held.start + self.size;
        let within = |walk: &Walk| walk.whole() < end;
        if !self.walk.as_ref().is_some_and(|walk| follows(walk) && within(walk)) {
            let before =
                before.filter(|b| b.timeline == held.timeline && b.start + self.size == held.start && !b.partial);
            match before {
                // A record may have begun in the segment before.
                Some(before) => self.complete(before, look)?,
                None => self.walk = None,
            }
            if !self.walk.as_ref().is_some_and(|walk| follows(walk) && within(walk)) {
                let Some(geometry) = self.geometry(held)? else { return Ok(None) };
                self.walk = Some(Walk::new(geometry, held.timeline, held.start));
            }
        }
        let Some(walk) = &mut self.walk else { return Ok(None) };
        walk.rewind();
        // What is no log may be so because it is being written.
        let _ = over(&self.spool, held, walk, self.size)?;
        Ok(Some(walk.whole()))
    }

    /// Walks over a segment that is complete, so that what begins in it is known in the next.
    fn complete(&mut self, held: &Held, look: &mut Look) -> Result<()> {
        let within = |walk: &Walk| {
            walk.timeline() == held.timeline && (held.start..held.start + self.size).contains(&walk.whole())
        };
        let passed = |walk: &Walk| walk.timeline() == held.timeline && walk.whole() >= held.start + self.size;
        if self.walk.as_ref().is_some_and(passed) {
            return Ok(());
        }
        let known = match self.walk.take().filter(within) {
            Some(walk) => Some(walk),
            None => self.geometry(held)?.map(|geometry| Walk::new(geometry, held.timeline, held.start)),
        };
        let Some(mut walk) = known else {
            let broken = Broken { at: held.start, what: "it begins as no log".into() };
            look.broken.get_or_insert((held.clone(), broken));
            return Ok(());
        };
        walk.rewind();
        match over(&self.spool, held, &mut walk, self.size)? {
            Ok(Stop::More) => {
                walk.settle();
                self.walk = Some(walk);
            }
            Ok(stop) => {
                let at = if let Stop::Torn { record } = stop { record } else { walk.at() };
                let what =
                    if stop == Stop::Unwritten { "the rest of it is empty" } else { "a record has a wrong checksum" };
                look.broken.get_or_insert((held.clone(), Broken { at, what: what.into() }));
            }
            Err(broken) => {
                look.broken.get_or_insert((held.clone(), broken));
            }
        }
        Ok(())
    }

    fn geometry(&self, held: &Held) -> Result<Option<Geometry>> {
        let mut first = [0; 64];
        let Some(n) = self.spool.read(held, 0, &mut first)? else { return Ok(None) };
        Ok(Geometry::read(first.get(..n).unwrap_or_default()).ok().flatten())
    }

    /// Reads what is to be shipped; nothing if it can't be found any more under its name, which another look gives.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read(&self, ready: &Ready) -> Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; usize::try_from(ready.to - ready.from).unwrap_or_default()];
        let read = self.spool.read(&ready.held, ready.from - ready.held.start, &mut bytes)?;
        Ok(read.filter(|n| *n == bytes.len()).map(|_| bytes))
    }

    /// The segment that what was shipped ends in, if that is here up to there.
    fn last(&self, shipped: Shipped) -> Result<Option<Held>> {
        let last = shipped.to.saturating_sub(1);
        let start = last - last % self.size;
        let all = self.spool.segments(self.size)?;
        let Some(held) = all.into_iter().find(|held| held.timeline == shipped.timeline && held.start == start) else {
            return Ok(None);
        };
        // It may be coming for a second time, and be zeros until it has.
        let Some(geometry) = self.geometry(&held)? else { return Ok(None) };
        let mut walk = Walk::new(geometry, held.timeline, start);
        let _ = over(&self.spool, &held, &mut walk, self.size)?;
        Ok(Some(held).filter(|held| !held.partial || walk.whole() >= shipped.to))
    }

    /// The end of what was shipped, at most so many bytes, with where it begins; nothing if it is not here as a whole.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn end(&self, shipped: Shipped, bytes: u64) -> Result<Option<(u64, Vec<u8>)>> {
        let Some(held) = self.last(shipped)? else { return Ok(None) };
        let from = held.start.max(shipped.to.saturating_sub(bytes));
        let ready = Ready { held, from, to: shipped.to };
        Ok(self.read(&ready)?.map(|log| (from, log)))
    }

    /// Whether what is here goes on from what was shipped, whose end from `from` on had this hash.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn joint(&self, shipped: Shipped, from: u64, hash: &Hash) -> Result<Joint> {
        let held = |start: u64| -> Result<Option<Held>> {
            let all = self.spool.segments(self.size)?;
            Ok(all.into_iter().find(|held| held.timeline == shipped.timeline && held.start == start))
        };
        let start = shipped.to.saturating_sub(1) / self.size * self.size;
        let Some(before) = held(start)? else { return Ok(Joint::Unknown) };
        let Some(last) = self.last(shipped)? else { return Ok(Joint::NotYet) };
        let Some(is) = self.spool.hash(&last, from.max(start), shipped.to)? else { return Ok(Joint::NotYet) };
        if is != *hash {
            return Ok(Joint::Other);
        }
        // What ended with a segment is not received again: the first records of the next tell what they follow.
        let Some(next) = held(shipped.to)? else { return Ok(Joint::Same) };
        let Some(geometry) = self.geometry(&before)? else { return Ok(Joint::Unknown) };
        let mut walk = Walk::new(geometry, shipped.timeline, start).linked();
        if !matches!(over(&self.spool, &before, &mut walk, self.size)?, Ok(Stop::More)) {
            return Ok(Joint::Unknown);
        }
        walk.settle();
        Ok(match over(&self.spool, &next, &mut walk, self.size)? {
            _ if walk.whole() > shipped.to => Joint::Same,
            Ok(Stop::Unwritten | Stop::More) => Joint::NotYet,
            Ok(Stop::Torn { .. }) if next.partial && !self.goes_on(&next, walk.at())? => Joint::NotYet,
            Ok(Stop::Torn { .. }) | Err(_) => Joint::Other,
        })
    }

    /// Whether something was written well behind `at`: what stands there is not half written.
    fn goes_on(&self, held: &Held, at: u64) -> Result<bool> {
        let mut some = vec![0; BEHIND];
        let read = self.spool.read(held, at.saturating_sub(held.start) + BEHIND as u64, &mut some)?;
        Ok(some.iter().take(read.unwrap_or_default()).any(|byte| *byte != 0))
    }

    /// Removes what was shipped, but for the newest that is complete: the receiver goes on from it, and a record may begin
    /// in it.
    ///
    /// # Errors
    /// If something can't be removed.
    pub fn clear(&self, shipped: Shipped) -> Result<()> {
        let all = self.spool.segments(self.size)?;
        let Some(newest) = all.last() else { return Ok(()) };
        let kept = all.iter().rev().find(|held| !held.partial);
        for held in &all {
            let over = held.timeline < shipped.timeline || held.start + self.size <= shipped.to;
            let needed = held.timeline == newest.timeline && kept == Some(held);
            if held.timeline <= shipped.timeline && over && !needed && held != newest {
                self.spool.remove(held)?;
            }
        }
        Ok(())
    }

    /// Removes everything that is in the spool.
    ///
    /// # Errors
    /// If something can't be removed.
    pub fn empty(&mut self) -> Result<()> {
        self.walk = None;
        self.spool.segments(self.size)?.iter().try_for_each(|held| self.spool.remove(held))
    }
}

/// Whether a segment that is complete is a log from its beginning to its end.
pub(super) fn is_log(spool: &Spool, held: &Held, size: u64) -> Result<bool> {
    let mut first = [0; 64];
    let read = spool.read(held, 0, &mut first)?.unwrap_or_default();
    let geometry = Geometry::read(first.get(..read).unwrap_or_default()).ok().flatten();
    let Some(geometry) = geometry else { return Ok(false) };
    let mut walk = Walk::new(geometry, held.timeline, held.start);
    Ok(matches!(over(spool, held, &mut walk, size)?, Ok(Stop::More)))
}

/// Walks over the rest of a segment.
fn over(spool: &Spool, held: &Held, walk: &mut Walk, size: u64) -> Result<std::result::Result<Stop, Broken>> {
    let mut buffer = vec![0; STEP];
    loop {
        let at = walk.at();
        let left = (held.start + size).saturating_sub(at);
        if left == 0 {
            return Ok(Ok(Stop::More));
        }
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(STEP);
        let room = buffer.get_mut(..want).unwrap_or_default();
        let Some(n) = spool.read(held, at - held.start, room)? else { return Ok(Ok(Stop::Unwritten)) };
        match walk.feed(room.get(..n).unwrap_or_default()) {
            Ok(Stop::More) if walk.at() > at => {}
            Ok(Stop::More) => return Ok(Ok(Stop::Unwritten)),
            other => return Ok(other),
        }
    }
}

#[cfg(test)]
mod tests;
