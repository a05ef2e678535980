//! What of the spool is whole and was not shipped yet.

use std::collections::BTreeMap;

use super::{
    super::super::{
        Result,
        journal::{Joint, Shipped},
    },
    event::{HEADER, Head},
    spool::{Held, Spool},
    walk::{Stretch, Walk},
};

/// Files are numbered in the upper half of a position.
const FILE: u64 = 1 << 32;

/// A part of the log, within one file, that can be shipped. It ends where an event does, unless that is longer than a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The file of the spool.
    pub held: Held,
    /// Where it lies there.
    pub offset: u64,
    /// How much it is.
    pub bytes: u64,
    /// From where.
    pub from: u64,
    /// Up to where: the beginning of the next file, if this is the last of its own.
    pub to: u64,
}

/// What a look at the spool gives.
#[derive(Debug, Default)]
pub struct Look {
    /// What can be shipped, in the order of the log.
    pub ready: Vec<Ready>,
    /// What lies between what was shipped and what comes next, and is not here.
    pub gap: Option<(Shipped, Shipped)>,
    /// A file that is no whole log, and why.
    pub broken: Option<(String, String)>,
    /// Bytes that were not shipped.
    pub unshipped: u64,
}

/// Follows the spool.
#[derive(Debug)]
pub struct Follower {
    spool: Spool,
    /// The most bytes of a part.
    part: u64,
    walks: BTreeMap<Held, Walk>,
}

/// A stretch with its place in the whole log.
struct Found<'a> {
    from: u64,
    to: u64,
    held: &'a Held,
    walk: &'a Walk,
    of: Option<&'a Stretch>,
}

impl Follower {
    /// Follows `spool`, in parts of at most so many bytes.
    #[must_use]
    pub fn new(spool: Spool, part: u64) -> Self {
        Self { spool, part, walks: BTreeMap::new() }
    }

    /// Looks what is new beyond `shipped`; of a file that grows, only if `growing`, or there is enough for a whole part.
    ///
    /// # Errors
    /// If the spool can't be read.
    pub fn look(&mut self, shipped: Option<Shipped>, growing: bool) -> Result<Look> {
        let files = self.advance()?;
        let mut look = Look::default();
        let mut at = shipped.map(|shipped| shipped.to);
        for found in self.found(&files) {
            let from = at.map_or(found.from, |at| at.max(found.from));
            if found.to <= from && at.is_some() {
                continue;
            }
            if let Some(before) = at.filter(|at| *at < found.from)
                && look.gap.is_none()
            {
                let shipped = |to| Shipped { timeline: 0, to };
                look.gap = Some((shipped(before), shipped(found.from)));
            }
            at = Some(found.to);
            self.cut(&found, from, &mut look.ready);
        }
        for (held, walk) in &self.walks {
            let waits = shipped.is_none_or(|shipped| u64::from(held.number) * FILE + FILE > shipped.to);
            if let Some(broken) = walk.broken.as_ref().filter(|_| waits) {
                look.broken.get_or_insert_with(|| (held.name.clone(), broken.to_string()));
            }
        }
        look.unshipped = look.ready.iter().map(|ready| ready.bytes).sum();
        let grows = |ready: &Ready| !ready.to.is_multiple_of(FILE) && ready.bytes < self.part / 2;
        if !growing && look.ready.last().is_some_and(grows) {
            look.ready.pop();
        }
        Ok(look)
    }

    /// Reads what is new, and forgets what is gone.
    fn advance(&mut self) -> Result<Vec<Held>> {
        let files = self.spool.files()?;
        self.walks.retain(|held, _| files.contains(held));
        for held in &files {
            let walk = self.walks.entry(held.clone()).or_default();
            walk.advance(&self.spool, held)?;
            // The same receiver went on with another file.
            walk.ended |= files.iter().any(|other| other.run == held.run && other.number > held.number);
        }
        Ok(files)
    }

    /// The stretches that are here, in the order of the log. The last of a file that has ended reaches to the next one.
    fn found<'a>(&'a self, files: &'a [Held]) -> Vec<Found<'a>> {
        let mut all = Vec::new();
        for held in files {
            let Some(walk) = self.walks.get(held) else { continue };
            let base = u64::from(held.number) * FILE;
            let end = |to: u64, last: bool| if last && walk.ended { base + FILE } else { base + to };
            let last = walk.stretches.len().saturating_sub(1);
            for (n, of) in walk.stretches.iter().enumerate() {
                all.push(Found { from: base + of.from, to: end(of.to, n == last), held, walk, of: Some(of) });
            }
            if walk.stretches.is_empty() && walk.ended && walk.tail.is_some() {
                // Nothing came of it any more: it ended where the receiver was told to begin, which is as far as is known.
                all.push(Found { from: base, to: base + FILE, held, walk, of: None });
            }
        }
        all.sort_by_key(|found| (found.from, found.to));
        // What says no more than that a file has ended goes on from whatever is known of it.
        let known: Vec<(u64, u64)> = all.iter().filter(|f| f.of.is_some()).map(|f| (f.from, f.to)).collect();
        for found in all.iter_mut().filter(|found| found.of.is_none()) {
            let within = known.iter().filter(|(from, to)| *from < found.to && *to < found.to).map(|(_, to)| *to).max();
            found.from = within.unwrap_or(found.from).max(found.from);
        }
        all.sort_by_key(|found| (found.from, found.to));
        all
    }

    /// Cuts what lies from `from` on into parts.
    fn cut(&self, found: &Found<'_>, from: u64, parts: &mut Vec<Ready>) {
        let base = u64::from(found.held.number) * FILE;
        let mut push = |from: u64, to: u64, offset: u64, bytes: u64| {
            parts.push(Ready { held: found.held.clone(), offset, bytes, from, to });
        };
        let ended = found.to.is_multiple_of(FILE);
        let Some(of) = found.of.filter(|of| base + of.to > from) else {
            // Only that the file has ended is new: a piece holds something, so the last event goes with it again.
            let Some(tail) = found.walk.tail else { return };
            let begin = tail.begin.map_or(from, |begin| (base + begin).min(from));
            return push(begin, found.to, tail.offset, tail.bytes.min(self.part));
        };
        let (mut at, end) = (from - base, of.to);
        while at < end {
            let begin = at.max(of.begin);
            let most = begin + self.part;
            let mark = found.walk.marks.partition_point(|mark| *mark <= most);
            let mark = mark.checked_sub(1).and_then(|mark| found.walk.marks.get(mark)).copied();
            let to = if end <= most { end } else { mark.filter(|mark| *mark > begin).unwrap_or(most) };
            let reaches = if to == end && ended { found.to } else { base + to };
            push(base + at, reaches, of.offset + (begin - of.begin), to - begin);
            at = to;
        }
    }

    /// Up to where the log is here without a gap beyond `shipped`.
    ///
    /// # Errors
    /// If the spool can't be read.
    pub fn newest(&mut self, shipped: Option<u64>) -> Result<Option<u64>> {
        let files = self.advance()?;
        let mut at = shipped;
        for found in self.found(&files) {
            if at.is_none_or(|at| found.from <= at && at < found.to) {
                at = Some(found.to);
            }
        }
        Ok(at)
    }

    /// Reads what is to be shipped; nothing if it is not there any more.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read(&self, ready: &Ready) -> Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; usize::try_from(ready.bytes).unwrap_or_default()];
        let read = self.spool.read(&ready.held, ready.offset, &mut bytes)?;
        Ok((read == bytes.len()).then_some(bytes))
    }

    /// Removes everything that is in the spool. To be called while no receiver runs.
    ///
    /// # Errors
    /// If something can't be removed.
    pub fn empty(&mut self) -> Result<()> {
        self.walks.clear();
        self.spool.files()?.iter().try_for_each(|held| self.spool.remove(held))?;
        self.spool.sweep()
    }

    /// The start of a receiver, and a file that it got while the server wrote to it, which ended without a word: a server says in each
    /// that it goes on in the next, unless somebody empties its log (`RESET MASTER`).
    ///
    /// # Errors
    /// If the spool can't be read.
    pub fn broke_off(&self) -> Result<Option<(u32, u32)>> {
        let live = self.spool.live()?;
        let broken = |held: &Held, walk: &Walk| {
            let was_live = live.get(&held.run).is_some_and(|live| held.number >= *live);
            was_live && walk.ended && !walk.closed && !walk.is_over()
        };
        let mut all = self.walks.iter().filter(|(held, walk)| broken(held, walk));
        Ok(all.next().map(|(held, _)| (held.run, held.number)))
    }

    /// Lets go of what came of another history than what was shipped: of a file that broke off what came behind it, or all of the receiver
    /// that began with it, and what later ones got. To be called while none runs.
    ///
    /// # Errors
    /// If something can't be read or removed.
    pub fn reject(&mut self, tail: Option<(u64, Option<u32>)>, is: &dyn Fn(&[u8]) -> bool) -> Result<()> {
        self.advance()?;
        let broken = self.broke_off()?;
        let other = match tail {
            Some((from, made)) => self.meets(from, made, is)?.filter(|(joint, _)| *joint == Joint::Other),
            None => None,
        };
        let first = other.map(|(_, run)| (run, 0)).into_iter().chain(broken).min();
        let Some((run, number)) = first else { return Ok(()) };
        for held in
            self.spool.files()?.iter().filter(|held| held.run > run || (held.run == run && held.number > number))
        {
            self.spool.remove(held)?;
        }
        self.walks.clear();
        Ok(())
    }

    /// Whether what is here goes on from what was shipped, whose last event, which begins at `from` in a file that was `made` then, `is`
    /// as it was.
    ///
    /// # Errors
    /// If the spool can't be read.
    pub fn joint(&self, from: u64, made: Option<u32>, is: &dyn Fn(&[u8]) -> bool) -> Result<Joint> {
        Ok(self.meets(from, made, is)?.map_or(Joint::Unknown, |(joint, _)| joint))
    }

    /// The same, with the start of the receiver that tells it.
    fn meets(&self, from: u64, made: Option<u32>, is: &dyn Fn(&[u8]) -> bool) -> Result<Option<(Joint, u32)>> {
        let (number, at) = (from / FILE, from % FILE);
        let mut all: Vec<_> = self.walks.iter().filter(|(held, _)| u64::from(held.number) == number).collect();
        // The newest receiver was told to begin with that event, or with the file where the server has no such event in it.
        all.sort_by_key(|(held, _)| std::cmp::Reverse(held.run));
        for (held, walk) in all {
            if let Some(of) = walk.stretches.iter().find(|of| of.begin <= at && at < of.to) {
                return Ok(Some((self.event_is(held, of, at, is)?, held.run)));
            }
            let short = walk.position().is_none_or(|to| to <= at);
            if short && walk.ended {
                let other = made.zip(walk.made).is_some_and(|(was, is)| was != is);
                return Ok(Some((if other { Joint::Other } else { Joint::Lost }, held.run)));
            }
            if short && walk.position().is_some() {
                return Ok(Some((Joint::NotYet, held.run)));
            }
        }
        Ok(None)
    }

    fn event_is(&self, held: &Held, of: &Stretch, at: u64, is: &dyn Fn(&[u8]) -> bool) -> Result<Joint> {
        let offset = of.offset + (at - of.begin);
        let mut first = [0; HEADER];
        let read = self.spool.read(held, offset, &mut first)?;
        let Some(told) = Head::read(&first).ok().filter(|_| read == HEADER) else { return Ok(Joint::Other) };
        let mut event = vec![0; told.len as usize];
        let read = self.spool.read(held, offset, &mut event)?;
        Ok(if read == event.len() && is(&event) { Joint::Same } else { Joint::Other })
    }

    /// Removes what was shipped, but for the file that a receiver may be writing to.
    ///
    /// # Errors
    /// If something can't be removed.
    pub fn clear(&mut self, shipped: Shipped) -> Result<()> {
        let files = self.spool.files()?;
        let newest = self.spool.runs()?.pop();
        let written = files.iter().filter(|held| Some(held.run) == newest).max_by_key(|held| held.number);
        for held in files.iter().filter(|held| Some(*held) != written) {
            let base = u64::from(held.number) * FILE;
            let end = self.walks.get(held).and_then(Walk::position).map_or(base, |to| base + to);
            // That one has ended, the next of the same start says; it is needed until that is in the vault, too.
            let followed = files.iter().any(|other| other.run == held.run && other.number > held.number);
            if base + FILE <= shipped.to || (end <= shipped.to && !followed) {
                self.spool.remove(held)?;
                self.walks.remove(held);
            }
        }
        self.spool.sweep()
    }
}

#[cfg(test)]
mod tests;
