//! Finds the way from a base through the timelines that the vault has.

use std::collections::BTreeMap;

use super::{
    super::{OpsError, Result},
    gather::Way,
    legs::{Along, Leg, history},
    point::lsn,
};
use crate::{
    model::{Finding, Severity, Time, journal::Position},
    source::postgres::Base,
    vault::journal::{LineListing, Listing, Reader},
};

/// Of so many timelines that a recovery does not go the history is read, so that a server has it. Of more it learns that they are taken.
const READ: usize = 32;
/// What stands in for a history that is not read. A server that looks for a number for its own timeline only looks whether there is a file.
const TAKEN: &[u8] = b"# This number is taken: the vault has log of such a timeline.\n";

/// A way, and what a server needs to go it.
pub(super) struct Found<'a> {
    way: Way<'a>,
    /// The history files of its timelines, and of all others that the vault has: a server that opens takes the first number behind its own
    /// for which it finds none, and must not take one that another server had.
    pub(super) histories: Vec<(String, Vec<u8>)>,
    /// When the vault got the newest of it.
    pub(super) newest_at: Option<Time>,
}

impl<'a> std::ops::Deref for Found<'a> {
    type Target = Way<'a>;

    fn deref(&self) -> &Way<'a> {
        &self.way
    }
}

impl Found<'_> {
    /// The end of all that the vault has of it.
    pub(super) fn newest(&self) -> Option<Position> {
        self.way.along.newest()
    }
}

/// A way with what was found of it; or why the base leads nowhere that was asked for.
type Looked<'a> = std::result::Result<(Found<'a>, Vec<Finding>), OpsError>;

/// The way from `base` to `timeline`, or to the newest that it leads to.
///
/// # Errors
/// If the store does not answer.
pub(super) async fn way_of<'a>(
    reader: &'a Reader<'a>,
    log: &'a Listing,
    base: &Base,
    timeline: Option<u32>,
) -> Result<Looked<'a>> {
    let (system, own) = base.line.postgres_parts().ok_or(OpsError::Defect("the line of a base"))?;
    let here = own.max(base.end_timeline);
    let of = |line: &'a LineListing| match line.line.postgres_parts() {
        Some((id, timeline)) if id == system => Some((timeline, line)),
        _ => None,
    };
    let lines: BTreeMap<u32, &LineListing> = log.lines.iter().filter_map(of).collect();
    let mut findings = Vec::new();
    let mut histories = Vec::new();
    let mut legs = vec![Leg { timeline: here, from: Position(0), to: Position(u64::MAX) }];
    let wanted = |other: u32| other > here && timeline.is_none_or(|wanted| wanted == other);
    for (other, line) in lines.iter().rev().filter(|(other, _)| wanted(**other)) {
        let (text, wrong) = reader.history_of(line).await?;
        findings.extend(wrong.into_iter().map(|e| Finding::new(Severity::Error, "journal.damaged", e.to_string())));
        let read = text.as_deref().map(String::from_utf8_lossy);
        let all = read.as_ref().map(|text| history(*other, text));
        let Some(Ok(all)) = all else {
            let why = all.and_then(std::result::Result::err).unwrap_or("is missing or damaged");
            let what = format!("the history of timeline {other} {why}, so nobody knows whether the base leads there");
            findings.push(Finding::new(Severity::Warning, "journal.missing", what).on(line.line.as_str()));
            continue;
        };
        let leads = all.iter().position(|leg| leg.timeline == here && leg.to >= base.end);
        if let Some(at) = leads {
            legs = all.into_iter().skip(at).collect();
            histories.push((format!("{other:08X}.history"), text.unwrap_or_default()));
            break;
        }
    }
    if let Some(wanted) = timeline.filter(|wanted| legs.last().is_none_or(|last| last.timeline != *wanted)) {
        let known: Vec<String> = lines.keys().map(u32::to_string).collect();
        return Ok(Err(OpsError::Request {
            what: format!(
                "the base of timeline {here}, which ends at {}, does not lead to timeline {wanted}; the vault has log of \
                 timelines {}",
                lsn(base.end),
                known.join(", ")
            ),
            next: "leave --timeline out for the newest that it leads to".to_owned(),
        }));
    }
    let gone: Vec<u32> =
        histories.iter().filter_map(|(name, _)| u32::from_str_radix(name.get(..8)?, 16).ok()).collect();
    for (read, (other, line)) in lines.iter().filter(|(other, _)| **other > 1 && !gone.contains(other)).enumerate() {
        let text = if read < READ { reader.history_of(line).await?.0 } else { None };
        histories.push((format!("{other:08X}.history"), text.unwrap_or_else(|| TAKEN.to_vec())));
    }
    // What led to the base.
    let name = format!("{here:08X}.history");
    let own = histories.iter().find(|(file, _)| *file == name);
    let before = own.and_then(|(_, text)| history(here, &String::from_utf8_lossy(text)).ok()).unwrap_or_default();
    let all: Vec<Leg> = before.into_iter().filter(|leg| leg.timeline < here).chain(legs.iter().copied()).collect();
    findings.extend(elsewhere(&lines, &all, here));
    let on: Vec<Option<&LineListing>> = legs.iter().map(|leg| lines.get(&leg.timeline).copied()).collect();
    let along = Along::new(&legs, base.segment, |timeline| {
        let line = lines.get(&timeline);
        let spans = line.into_iter().flat_map(|line| line.objects.iter().enumerate());
        spans.filter_map(|(at, one)| Some((at, one.span?, one.stored_at))).collect()
    });
    let newest_at = on.iter().flatten().flat_map(|line| line.pieces()).map(|(one, _)| one.stored_at).max();
    let way = Way { reader, legs, lines: on, along, segment: base.segment };
    Ok(Ok((Found { way, histories, newest_at }, findings)))
}

/// Tells of log that the way does not go along: of timelines beside it, and of one that went on where the way left it.
fn elsewhere(lines: &BTreeMap<u32, &LineListing>, way: &[Leg], base: u32) -> Option<Finding> {
    let ends = |line: &LineListing| line.pieces().map(|(_, span)| span.to).max();
    let beside = lines.iter().filter_map(|(timeline, line)| {
        let end = ends(line)?;
        let past = match way.iter().find(|leg| leg.timeline == *timeline) {
            Some(leg) => end > leg.to,
            // Of what was before the base, nothing is known without its history.
            None => *timeline > base,
        };
        past.then(|| format!("{timeline} up to {}", lsn(end)))
    });
    let beside: Vec<String> = beside.collect();
    if beside.is_empty() {
        return None;
    }
    let what = format!(
        "the vault has log that this recovery does not come along, of timeline {}: --timeline N goes there",
        beside.join(", ")
    );
    Some(Finding::new(Severity::Warning, "journal.elsewhere", what))
}
