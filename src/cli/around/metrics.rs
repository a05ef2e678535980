//! What is known of runs and sources on this host, kept as JSON beside the textfile and written anew after each run: of a
//! source of which a run says nothing, what the run before said stays.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{
    known::{Metrics, Of},
    prometheus,
};
use crate::{
    cli::{error::CliError, files, render::Output},
    model::{Name, Time},
    signal::Level,
};
use rustix::fs::{FlockOperation, flock};

/// The version of the file.
const FORMAT: &str = "1";
/// The largest file that is read, in bytes.
const LIMIT: u64 = 16 << 20;
/// So many sources are remembered.
const SOURCES: usize = 5000;
/// So long another run's writing is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// A run that ended.
pub struct Ran<'a> {
    /// The command.
    pub command: &'a str,
    /// When it ended.
    pub at: Time,
    /// With what.
    pub exit_code: u8,
    /// How long it took, in seconds.
    pub duration_s: f64,
}

/// Adds a run to the file at `path` and to the JSON beside it.
///
/// # Errors
/// If one of the two can't be written.
pub(super) fn write(path: &Path, ran: &Ran<'_>, writer: Option<&Name>, output: &Output) -> Result<(), CliError> {
    let beside = path.with_extension("json");
    // Another run that ends now must not take away what this one adds.
    let _held = hold(&path.with_extension("lock"))?;
    let before = files::read_up_to(&beside, LIMIT).ok().flatten();
    let mut metrics: Metrics = before.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    metrics.take(ran, writer, output);
    let json = serde_json::to_string_pretty(&metrics).unwrap_or_default() + "\n";
    files::replace_readable(&beside, json.as_bytes())?;
    files::replace_readable(path, prometheus::text(&metrics).as_bytes())
}

fn hold(path: &Path) -> Result<fs::File, CliError> {
    let failed = |source: io::Error| CliError::Io { what: "can't lock", path: path.to_owned(), source };
    let file = fs::File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    let began = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(error) if io::Error::from(error).kind() == ErrorKind::WouldBlock && began.elapsed() < PATIENCE => {
                thread::sleep(POLL);
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
}

impl Metrics {
    fn take(&mut self, ran: &Ran<'_>, writer: Option<&Name>, output: &Output) {
        FORMAT.clone_into(&mut self.format);
        self.written_at = Some(ran.at);
        let last = self.commands.entry(ran.command.to_owned()).or_default();
        (last.at, last.exit_code, last.duration_s) = (Some(ran.at), ran.exit_code, ran.duration_s);
        if ran.exit_code == 0 {
            last.success_at = Some(ran.at);
        }
        self.of(writer, output, ran.at);
        for one in self.sources.values_mut() {
            one.age_s = one.snapshot_at.map(|at| ran.at.since(at).as_seconds());
        }
    }

    /// What is known of a source, unless there are too many.
    fn source(&mut self, writer: Option<&Name>, source: &str) -> Option<&mut Of> {
        let key = format!("{}/{source}", writer.map_or("-", Name::as_str));
        if self.sources.len() >= SOURCES && !self.sources.contains_key(&key) {
            return None;
        }
        Some(self.sources.entry(key).or_default())
    }

    fn of(&mut self, writer: Option<&Name>, output: &Output, now: Time) {
        match output {
            Output::Backup(report) => {
                for made in &report.snapshots {
                    let level = made.signals.iter().map(|verdict| verdict.level).max();
                    let Some(of) = self.source(writer, made.source.as_str()) else { continue };
                    (of.success_at, of.snapshot_at) = (Some(now), Some(now));
                    (of.bytes, of.stored_bytes) = (Some(made.bytes_read), Some(made.bytes_stored));
                    (of.chunks, of.new_chunks) = (Some(made.chunks), Some(made.chunks_new));
                    (of.signal, of.locked_until) = (Some(loudness(level)), Some(made.floor_until));
                }
            }
            Output::Drill(report) => {
                for drill in &report.drills {
                    let Some(of) = self.source(drill.writer.as_ref(), drill.source.as_str()) else { continue };
                    (of.drill_at, of.drill_passed) = (Some(report.at), Some(drill.passed));
                    of.rto_s = Some(drill.rto_s);
                    of.rpo_s = drill.rpo_s.and_then(|seconds| u32::try_from(seconds).ok()).map(f64::from);
                }
            }
            Output::Verify(report, _) => {
                self.weakest_lock = report.weakest_lock;
                for fresh in &report.sources {
                    let Some(of) = self.source(fresh.writer.as_ref(), fresh.source.as_str()) else { continue };
                    of.snapshot_at = fresh.newest.or(of.snapshot_at);
                }
                for recovery in &report.recoveries {
                    let Some(of) = self.source(Some(&recovery.writer), recovery.source.as_str()) else { continue };
                    if recovery.newest_at > of.journal_at {
                        (of.journal_at, of.journal_lag_s) = (recovery.newest_at, recovery.age_s);
                    }
                }
            }
            Output::Watch(report, _) => {
                self.sources.values_mut().for_each(|of| of.alarms = of.alarms.map(|_| 0));
                for signal in &report.open {
                    let Some(of) = self.source(Some(&signal.writer), signal.source.as_str()) else { continue };
                    of.alarms = Some(of.alarms.unwrap_or_default() + 1);
                }
            }
            Output::Status(report) => self.status(report),
            _ => {}
        }
    }

    fn status(&mut self, report: &crate::ops::status::StatusReport) {
        self.weakest_lock = report.weakest_lock;
        for one in &report.sources {
            let Some(of) = self.source(one.writer.as_ref(), one.source.as_str()) else { continue };
            of.snapshot_at = one.taken_at;
            of.every_s = one.every_s.filter(|_| one.told);
            of.bytes = one.snapshot.map(|_| one.bytes);
            // Without the checkpoint of a watch it knows of fewer, and does not take away what the watch said.
            let known = of.alarms.filter(|_| !report.watched).unwrap_or_default();
            of.alarms = Some(one.alarms.max(known));
            of.locked_until = one.locked_until;
            of.owed = Some(one.owed.len() as u64);
            if let Some(drill) = &one.drill {
                (of.drill_at, of.drill_passed) = (Some(drill.at), Some(drill.passed));
                (of.rto_s, of.rpo_s) = (drill.rto_s, drill.rpo_s);
            }
            if let Some(journal) = &one.journal {
                (of.journal_at, of.journal_lag_s) = (journal.newest_at, journal.lag_s);
            }
        }
    }
}

const fn loudness(level: Option<Level>) -> u8 {
    match level {
        None => 0,
        Some(Level::Notice) => 1,
        Some(Level::Alarm) => 2,
    }
}
