//! The way through the timelines of a cluster, and which pieces of which of them a recovery reads.

use std::{cmp::Reverse, ops::Range};

pub(in crate::ops) use crate::source::postgres::wal::timeline::{Leg, history};

use crate::model::{
    Time,
    journal::{Position, Span},
};

/// A piece that may be read: which, and what of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) struct Choice {
    /// The place of its leg in the way.
    pub(in crate::ops) leg: usize,
    /// Its place among the objects of that line.
    pub(in crate::ops) piece: usize,
    /// What it holds.
    pub(in crate::ops) span: Span,
    /// What of that lies on the way.
    pub(in crate::ops) use_of: Span,
    /// When the vault got it.
    pub(in crate::ops) stored_at: Time,
}

/// The pieces along a way, by where what is read of them begins.
#[derive(Debug, Default)]
pub(in crate::ops) struct Along {
    choices: Vec<Choice>,
    /// How far the longest piece reaches.
    longest: u64,
}

impl Along {
    /// `pieces` gives those of a leg's line: their places and spans. Of an older timeline nothing counts behind where it was
    /// left; a younger one has what was before from the beginning of its first segment on.
    pub(in crate::ops) fn new(legs: &[Leg], segment: u64, pieces: impl Fn(u32) -> Vec<(usize, Span, Time)>) -> Self {
        let mut choices = Vec::new();
        for (leg, part) in legs.iter().enumerate() {
            let begin = Position(part.from.0 / segment * segment);
            let of = pieces(part.timeline).into_iter().filter_map(|(piece, span, stored_at)| {
                let use_of = Span::new(span.from.max(begin), span.to.min(part.to))?;
                Some(Choice { leg, piece, span, use_of, stored_at })
            });
            choices.extend(of);
        }
        choices.sort_by_key(|choice| (choice.use_of.from, choice.leg, choice.use_of.to));
        let longest = choices.iter().map(|choice| choice.use_of.distance()).max().unwrap_or(0);
        Self { choices, longest }
    }

    /// Those that hold `at`, the best first: of the youngest timeline, and of these what the vault had first, since nobody
    /// who came later could answer it.
    pub(in crate::ops) fn at(&self, at: Position) -> Vec<Choice> {
        let mut fitting: Vec<Choice> = self.window(at).filter(|choice| choice.use_of.contains(at)).copied().collect();
        fitting.sort_by_key(|choice| (Reverse(choice.leg), choice.stored_at, Reverse(choice.use_of.to)));
        fitting
    }

    /// Those that hold `at`, the best first, each up to where one begins that is to be read in its stead: a piece that came later
    /// and is longer adds what lies beyond those that the vault had, and nothing within them.
    pub(in crate::ops) fn go_on(&self, at: Position) -> Vec<Choice> {
        let mut fitting = self.at(at);
        let last = fitting.iter().map(|choice| choice.use_of.to).max().unwrap_or(at);
        let first = self.choices.partition_point(|choice| choice.use_of.from <= at);
        let end = self.choices.partition_point(|choice| choice.use_of.from < last);
        for better in self.choices.get(first..end).unwrap_or_default() {
            let stands = (Reverse(better.leg), better.stored_at);
            for choice in &mut fitting {
                if stands < (Reverse(choice.leg), choice.stored_at) {
                    choice.use_of.to = choice.use_of.to.min(better.use_of.from);
                }
            }
        }
        fitting
    }

    /// Where the next piece behind `at` begins.
    pub(in crate::ops) fn after(&self, at: Position) -> Option<Position> {
        let behind = self.choices.partition_point(|choice| choice.use_of.from <= at);
        self.choices.get(behind).map(|choice| choice.use_of.from)
    }

    /// Up to where everything from `from` on is covered, by names alone.
    pub(in crate::ops) fn until(&self, from: Position) -> Option<Position> {
        let mut at = from;
        while let Some(best) = self.at(at).iter().map(|choice| choice.use_of.to).max() {
            at = best;
        }
        (at > from).then_some(at)
    }

    /// The end of all of it.
    pub(in crate::ops) fn newest(&self) -> Option<Position> {
        self.choices.iter().map(|choice| choice.use_of.to).max()
    }

    fn window(&self, at: Position) -> impl Iterator<Item = &Choice> {
        let from = Position(at.0.saturating_sub(self.longest));
        let first = self.choices.partition_point(|choice| choice.use_of.from < from);
        let last = self.choices.partition_point(|choice| choice.use_of.from <= at);
        self.choices.get(first..last).unwrap_or_default().iter()
    }
}

/// The files of a log that a stretch lies in: name, and which bytes of it. The youngest timeline whose first segment is not
/// later names a segment, as a server looks for it.
pub(in crate::ops) fn files(legs: &[Leg], segment: u64, span: Span) -> Vec<(String, Range<u64>)> {
    let mut files = Vec::new();
    let mut at = span.from.0;
    while at < span.to.0 {
        let number = at / segment;
        let end = (number + 1).saturating_mul(segment).min(span.to.0);
        let timeline = legs.iter().rev().find(|leg| leg.from.0 / segment <= number).map_or(1, |leg| leg.timeline);
        let begin = number * segment;
        files.push((file(timeline, number, segment), at - begin..end - begin));
        at = end;
    }
    files
}

fn file(timeline: u32, number: u64, segment: u64) -> String {
    let per = (1 << 32) / segment.max(1);
    format!("{timeline:08X}{:08X}{:08X}", number / per.max(1), number % per.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 1 << 24;

    fn span(from: u64, to: u64) -> Span {
        Span { from: Position(from), to: Position(to) }
    }

    #[test]
    fn a_history_is_the_way_to_its_timeline() {
        let text = "1\t0/3000060\tno recovery target specified\n\n# x\n2\t0/5000000\tbefore 2026\n";
        let legs = history(3, text).unwrap();
        let told: Vec<(u32, u64, u64)> = legs.iter().map(|leg| (leg.timeline, leg.from.0, leg.to.0)).collect();
        assert_eq!(told, [(1, 0, 0x300_0060), (2, 0x300_0060, 0x500_0000), (3, 0x500_0000, u64::MAX)]);
        assert_eq!(history(1, "").unwrap().len(), 1);
        for bad in ["x\t0/1", "1", "2\t0/5\n1\t0/6", "1\t0/5\n2\t0/4", "3\t0/1"] {
            assert!(history(3, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_way_leaves_a_timeline_where_it_was_left_and_finds_every_gap() {
        let legs = history(2, "1\t0/2800000\tx").unwrap();
        let now = Time::from_unix(0);
        let pieces = |timeline| match timeline {
            1 => vec![(0, span(0x100_0000, 0x200_0000), now), (1, span(0x200_0000, 0x300_0000), now)],
            _ => vec![(0, span(0x200_0000, 0x290_0000), now), (1, span(0x2a0_0000, 0x300_0000), now)],
        };
        let along = Along::new(&legs, SEGMENT, pieces);
        let best = |at| along.at(Position(at)).first().map(|choice| (choice.leg, choice.piece, choice.use_of.to.0));
        assert_eq!(best(0x180_0000), Some((0, 0, 0x200_0000)));
        assert_eq!(best(0x200_0000), Some((1, 0, 0x290_0000)), "the younger has what was before");
        assert_eq!(best(0x290_0000), None);
        assert_eq!(along.until(Position(0x100_0000)), Some(Position(0x290_0000)));
        assert_eq!(along.after(Position(0x290_0000)), Some(Position(0x2a0_0000)));
        assert_eq!(along.newest(), Some(Position(0x300_0000)));
        let parts = files(&legs, SEGMENT, span(0x1ff_ffff, 0x200_0001));
        let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["000000010000000000000001", "000000020000000000000002"]);
        assert_eq!(parts[0].1, 0xff_ffff..0x100_0000);
        assert_eq!(file(1, 0x1_00, SEGMENT), "000000010000000100000000");
    }

    #[test]
    fn what_came_later_adds_only_what_lies_beyond() {
        let at = Time::from_unix;
        let pieces = |_| {
            vec![(0, span(0, 100), at(9)), (1, span(0, 20), at(5)), (2, span(40, 60), at(4)), (3, span(10, 70), at(7))]
        };
        let along = Along::new(&history(1, "").unwrap(), SEGMENT, pieces);
        let (mut next, mut way) = (Position(0), Vec::new());
        while let Some(choice) = along.go_on(next).first().copied() {
            way.push((choice.piece, next.0, choice.use_of.to.0));
            next = choice.use_of.to;
        }
        assert_eq!(way, [(1, 0, 20), (3, 20, 40), (2, 40, 60), (3, 60, 70), (0, 70, 100)]);
        // Where the best of a place can't be read, the next of it goes no further either.
        let told: Vec<_> = along.go_on(Position(15)).iter().map(|choice| (choice.piece, choice.use_of.to.0)).collect();
        assert_eq!(told, [(1, 20), (3, 40), (0, 40)]);
    }
}
