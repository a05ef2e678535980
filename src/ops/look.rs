//! A look at sources before they are backed up, of `doctor` and of `backup --dry-run`: whether each could be read now, what
//! would be left out, who is gone, and how its last run went. Nothing is put into the vault.

use std::{
    collections::BTreeSet,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::{
    OpsError, Result,
    backup::Job,
    doctor::Check,
    groups::{self, VANISHED},
};
use crate::{
    catalog::Catalog,
    model::{Cancel, Finding, Name, Progress, Severity, VaultId, size},
    source::{Look, Source, look::State},
};

/// The code of what a backup would warn of.
pub const WARNED: &str = "source.warned";
/// How long a look at one source may take.
const LONGEST: Duration = Duration::from_mins(3);
/// What there is to say of a source that was never backed up.
const UNKNOWN: &str = "no run of it is known here: the first reads and stores all of it";
/// How often it is asked to stop meanwhile.
const POLL: Duration = Duration::from_millis(50);

/// What was found.
#[derive(Debug, Default)]
pub struct Looked {
    /// Whether each source could be backed up, in the order of the sources.
    pub checks: Vec<Check>,
    /// What a backup would warn of.
    pub findings: Vec<Finding>,
    /// The sources.
    pub sources: Vec<Name>,
    /// The sources of which there would be no snapshot, each with the first reason.
    pub failed: Vec<(Name, String)>,
    /// What is gone of a group, if anything.
    pub vanished: Option<String>,
}

/// Whose memory tells of earlier runs.
pub struct Past<'a> {
    /// The state directory.
    pub state: &'a Path,
    /// The vault and the writer, where these are known.
    pub writer: Option<(VaultId, Name)>,
}

/// Looks at each of `jobs`, one after the other. Blocks.
///
/// # Errors
/// If somebody asks to stop.
pub fn look(jobs: Vec<Job>, past: &Past<'_>, progress: &dyn Progress, cancel: &Cancel) -> Result<Looked> {
    let mut looked = Looked::default();
    let mut catalog = match &past.writer {
        Some((vault, writer)) => match Catalog::peek(past.state, *vault, writer) {
            Ok(catalog) => catalog,
            Err(error) => {
                let what = format!("records of earlier runs can't be read: {error}");
                looked.findings.push(Finding::new(Severity::Warning, WARNED, what));
                None
            }
        },
        None => None,
    };
    let known = past.writer.is_some() && looked.findings.is_empty();
    let mut grouped: Vec<(Name, BTreeSet<String>)> = Vec::new();
    for Job { name, source, group, .. } in jobs {
        progress.phase(&format!("looking at {name}"), None);
        if let Some(group) = group {
            if grouped.last().is_none_or(|(last, _)| *last != group) {
                grouped.push((group.clone(), BTreeSet::new()));
            }
            if let Some((_, members)) = grouped.last_mut() {
                members.insert(name.to_string());
            }
        }
        let Look { points, warnings, members } = patiently(source, cancel)?;
        for point in points {
            let called = format!("source.{name}.{}", point.part);
            looked.checks.push(match point.state {
                State::Good => Check::ok(called, point.told),
                State::Unknown => Check::could_not_run(called, point.told),
                State::Bad => {
                    if looked.failed.last().is_none_or(|(failed, _)| *failed != name) {
                        looked.failed.push((name.clone(), point.told.clone()));
                    }
                    Check::failed(called, point.told)
                }
            });
        }
        let warned = warnings.into_iter().map(|what| Finding::new(Severity::Warning, WARNED, what).on(&name));
        looked.findings.extend(warned);
        if let Some(catalog) = &mut catalog {
            if let Some(members) = members {
                let taken = members.taken.into_iter().chain(members.left_out).collect();
                looked.gone(catalog, &name, &taken, members.what)?;
            }
            looked.checks.push(last_run(catalog, &name)?);
        }
        if known && catalog.is_none() {
            looked.checks.push(Check::ok(format!("source.{name}.last-run"), UNKNOWN));
        }
        looked.sources.push(name);
    }
    if let Some(catalog) = &mut catalog {
        for (group, there) in &grouped {
            looked.gone(catalog, group, there, "repository")?;
        }
    }
    Ok(looked)
}

impl Looked {
    /// What a group had and has no more.
    fn gone(&mut self, catalog: &mut Catalog, group: &Name, there: &BTreeSet<String>, what: &str) -> Result<()> {
        let held = groups::known(catalog, group)?;
        let mut gone: Vec<&String> = held.keys().filter(|name| !there.contains(*name)).collect();
        let count = gone.len();
        if count == 0 {
            return Ok(());
        }
        gone.truncate(5);
        let names: Vec<&str> = gone.iter().map(|name| name.as_str()).collect();
        let more = if count > 5 { format!(" and {} more", count - 5) } else { String::new() };
        let told = format!(
            "gone of {group} since its last run: {what} {}{more}. A backup would say so and end with 3; the vault has \
             what it was ({VANISHED})",
            names.join(", ")
        );
        self.checks.push(Check::failed(format!("source.{group}.members"), told.clone()));
        self.vanished.get_or_insert(told);
        Ok(())
    }
}

/// Looks on a thread of its own, so that a source that hangs can be left behind.
fn patiently(mut source: Box<dyn Source>, cancel: &Cancel) -> Result<Look> {
    let (sender, receiver) = bounded(1);
    let spawned = thread::Builder::new().name("look".to_owned()).spawn(move || drop(sender.send(source.look())));
    spawned.map_err(|_| OpsError::Defect("the thread that looks at a source"))?;
    let began = Instant::now();
    loop {
        match receiver.recv_timeout(POLL) {
            Ok(look) => return Ok(look),
            Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => return Err(OpsError::Interrupted),
            Err(RecvTimeoutError::Timeout) if began.elapsed() > LONGEST => {
                let mut look = Look::default();
                look.bad("reach", format!("it did not answer within {} s", LONGEST.as_secs()));
                return Ok(look);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(OpsError::Defect("looking at a source")),
        }
    }
}

/// Under which name it is noted how long a source's last run took, in seconds.
fn took(source: &Name) -> String {
    format!("took {source}")
}

/// Notes how long a run took.
pub(super) fn note_run(catalog: &mut Catalog, source: &Name, took_for: Duration) -> Result<()> {
    Ok(catalog.set_note(&took(source), &format!("{:.1}", took_for.as_secs_f64()))?)
}

/// How the last run went, by the writer's own memory.
fn last_run(catalog: &mut Catalog, source: &Name) -> Result<Check> {
    let name = format!("source.{source}.last-run");
    let Some(run) = catalog.runs(Some(source), 1)?.into_iter().next() else {
        return Ok(Check::ok(name, UNKNOWN));
    };
    let took = catalog.note(&took(source))?.map(|s| format!(" in {s} s")).unwrap_or_default();
    let told = format!(
        "snapshot {} of {}: {} read, {} stored{took}",
        run.snapshot.short(),
        run.finished,
        size::human(run.bytes_read),
        size::human(run.bytes_stored)
    );
    Ok(Check::ok(name, told))
}
