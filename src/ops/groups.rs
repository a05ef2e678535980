//! Groups remember their members: the repositories that a pattern names, the databases of a server. A pattern fits what is
//! there, so one that is gone would else be missed by nobody.

use std::collections::{BTreeMap, BTreeSet};

use tokio::runtime::Handle;

use super::{Result, backup::Job};
use crate::{
    catalog::Catalog,
    model::{Finding, Name, Severity, SnapshotId},
    source::Members,
    vault::{
        earlier::{self, is_member},
        writer::Workplace,
    },
};

/// The code of the finding that a member of a group is gone.
pub const VANISHED: &str = "source.vanished";
/// How many members are told one by one.
const NAMED: usize = 20;

/// The members of a group, each with the last snapshot that has it.
pub(super) type Held = BTreeMap<String, SnapshotId>;

/// What is known of the databases, or the like, of a source.
pub(super) fn known(catalog: &mut Catalog, source: &Name) -> Result<Held> {
    Ok(noted(catalog, source)?.unwrap_or_default())
}

fn noted(catalog: &mut Catalog, group: &Name) -> Result<Option<Held>> {
    // What can't be read was written by another build, or by nobody.
    Ok(catalog.note(&format!("group {group}"))?.and_then(|text| serde_json::from_str(&text).ok()))
}

fn note(catalog: &mut Catalog, group: &Name, held: &Held) -> Result<()> {
    let text = serde_json::to_string(held).map_err(|_| super::OpsError::Defect("noting what a group holds"))?;
    Ok(catalog.set_note(&format!("group {group}"), &text)?)
}

/// The databases, or the like, of a snapshot that was made: tells of those that are gone.
pub(super) fn of_source(
    catalog: &mut Catalog,
    source: &Name,
    members: &Members,
    snapshot: SnapshotId,
    acknowledge: bool,
) -> Result<Vec<Finding>> {
    let mut held = known(catalog, source)?;
    held.retain(|name, _| !members.left_out.contains(name));
    let now: BTreeSet<&String> = members.taken.iter().collect();
    let gone: Held = held.iter().filter(|(name, _)| !now.contains(name)).map(|(n, s)| (n.clone(), *s)).collect();
    held.extend(members.taken.iter().map(|name| (name.clone(), snapshot)));
    if acknowledge {
        held.retain(|name, _| !gone.contains_key(name));
    }
    note(catalog, source, &held)?;
    Ok(told(source, &gone, acknowledge, |name| (format!("{} {name:?}", members.what), source.to_string())))
}

/// What each group of `jobs` is known to have had, as far as that is known: by what was noted, by the runs of the catalog, or,
/// where that does not reach back to the first, by the vault.
pub(super) fn before(
    place: &Workplace,
    runtime: &Handle,
    catalog: &mut Catalog,
    jobs: &[Job],
) -> Result<BTreeMap<Name, Held>> {
    let mut groups = BTreeMap::new();
    for group in jobs.iter().filter_map(|job| job.group.as_ref()) {
        if groups.contains_key(group) {
            continue;
        }
        let held = match noted(catalog, group)? {
            Some(held) => held,
            None => unnoted(place, runtime, catalog, group)?,
        };
        groups.insert(group.clone(), held);
    }
    Ok(groups)
}

fn unnoted(place: &Workplace, runtime: &Handle, catalog: &mut Catalog, group: &Name) -> Result<Held> {
    let mut last = LastRun::default();
    let runs = catalog.runs(None, usize::MAX)?;
    let from_the_first = runs.last().is_some_and(|run| run.seq == 1);
    for run in runs.into_iter().filter(|run| is_member(group, &run.source)) {
        if !last.add(run.source, run.snapshot) {
            break;
        }
    }
    let mut members = last.members;
    if members.is_empty() && !from_the_first {
        members = earlier::members(place, runtime, group)?;
    }
    Ok(members.into_iter().map(|(name, snapshot)| (name.to_string(), snapshot)).collect())
}

/// The repositories of the group `group`, which had `held`: `now` are those that are there, each with its new snapshot if
/// one was made. Tells of those that are gone.
pub(super) fn of_repositories(
    catalog: &mut Catalog,
    (group, mut held): (&Name, Held),
    now: &BTreeMap<Name, Option<SnapshotId>>,
    acknowledge: bool,
) -> Result<Vec<Finding>> {
    let there = |name: &str| now.keys().any(|known| known.as_str() == name);
    let gone: Held = held.iter().filter(|(name, _)| !there(name)).map(|(n, s)| (n.clone(), *s)).collect();
    held.extend(now.iter().filter_map(|(name, made)| Some((name.to_string(), (*made)?))));
    if acknowledge {
        held.retain(|name, _| !gone.contains_key(name));
    }
    note(catalog, group, &held)?;
    Ok(told(group, &gone, acknowledge, |name| (format!("repository {name}"), name.to_owned())))
}

/// What a group's last run had, out of snapshots from the newest on. They follow one another, so the run before begins
/// where a member is met again.
#[derive(Debug, Default)]
struct LastRun {
    /// The members so far.
    members: BTreeMap<Name, SnapshotId>,
    last: Option<Name>,
}

impl LastRun {
    /// Adds the next older snapshot; false once it is of a run before. One that was backed up alone several times is
    /// met several times in a row.
    fn add(&mut self, name: Name, snapshot: SnapshotId) -> bool {
        if self.last.as_ref() == Some(&name) {
            return true;
        }
        let new = !self.members.contains_key(&name);
        if new {
            self.members.insert(name.clone(), snapshot);
            self.last = Some(name);
        }
        new
    }
}

fn told(group: &Name, gone: &Held, acknowledged: bool, called: impl Fn(&str) -> (String, String)) -> Vec<Finding> {
    let severity = if acknowledged { Severity::Info } else { Severity::Error };
    let next = if acknowledged { "; that is known from now on" } else { "" };
    let mut findings: Vec<Finding> = gone
        .iter()
        .take(NAMED)
        .map(|(name, snapshot)| {
            let (what, on) = called(name);
            let what =
                format!("{what} of {group} is gone; the last snapshot that has it is {}{next}", snapshot.short());
            Finding::new(severity, VANISHED, what).on(on)
        })
        .collect();
    if gone.len() > NAMED {
        let what = format!("{} more of {group} are gone{next}", gone.len() - NAMED);
        findings.push(Finding::new(severity, VANISHED, what).on(group));
    }
    findings
}
