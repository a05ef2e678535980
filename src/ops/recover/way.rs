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

/// A way, and what a server needs to go it.
pub(super) struct Found<'a> {
    way: Way<'a>,
    /// The history files of its timelines.
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

/// The way from `base` to `timeline`, or to the newest that it leads to.
///
/// # Errors
/// If it does not lead there, or the store does not answer.
pub(super) async fn way_of<'a>(
    reader: &'a Reader<'a>,
    log: &'a Listing,
    base: &Base,
    timeline: Option<u32>,
) -> Result<(Found<'a>, Vec<Finding>)> {
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
        return Err(OpsError::Request {
            what: format!(
                "the base of timeline {here}, which ends at {}, does not lead to timeline {wanted}; the vault has log of \
                 timelines {}",
                lsn(base.end),
                known.join(", ")
            ),
            next: "leave --timeline out for the newest that it leads to".to_owned(),
        });
    }
    let on: Vec<Option<&LineListing>> = legs.iter().map(|leg| lines.get(&leg.timeline).copied()).collect();
    let along = Along::new(&legs, base.segment, |timeline| {
        let line = lines.get(&timeline);
        let spans = line.into_iter().flat_map(|line| line.objects.iter().enumerate());
        spans.filter_map(|(at, one)| Some((at, one.span?, one.stored_at))).collect()
    });
    let newest_at = on.iter().flatten().flat_map(|line| line.pieces()).map(|(one, _)| one.stored_at).max();
    let way = Way { reader, legs, lines: on, along, segment: base.segment };
    Ok((Found { way, histories, newest_at }, findings))
}
