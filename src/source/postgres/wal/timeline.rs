//! Histories of timelines: which way led to one.

use crate::model::journal::Position;

/// A part of the way: a timeline, from where it began to where it was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leg {
    /// Its number.
    pub(crate) timeline: u32,
    /// Where it began.
    pub(crate) from: Position,
    /// Where it was left.
    pub(crate) to: Position,
}

/// Reads the history of `timeline`: the way that led there, itself the last.
///
/// # Errors
/// If it is none.
pub(crate) fn history(timeline: u32, text: &str) -> Result<Vec<Leg>, &'static str> {
    let mut legs: Vec<Leg> = Vec::new();
    let mut from = Position(0);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let parent = words.next().and_then(|word| word.parse().ok()).ok_or("has a line without a timeline")?;
        let to = words.next().and_then(|word| Position::from_lsn(word).ok()).ok_or("has a line without a position")?;
        if to < from || legs.last().is_some_and(|last| last.timeline >= parent) {
            return Err("goes backwards");
        }
        legs.push(Leg { timeline: parent, from, to });
        from = to;
    }
    if legs.last().is_some_and(|last| last.timeline >= timeline) {
        return Err("goes backwards");
    }
    legs.push(Leg { timeline, from, to: Position(u64::MAX) });
    Ok(legs)
}
