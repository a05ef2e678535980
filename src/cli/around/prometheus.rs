//! Metrics in the text format of Prometheus, for the textfile collector of its node exporter.

use std::fmt::{Display, Write as _};

use super::known::{Last, Metrics, Of};
use crate::model::Time;

/// One metric of a source: its name, its help, its value.
type Row = (&'static str, &'static str, fn(&Of) -> Option<f64>);
/// One metric of a command.
type CommandRow = (&'static str, &'static str, fn(&Last) -> Option<f64>);

const COMMANDS: &[CommandRow] = &[
    ("strongroom_run_timestamp_seconds", "When the last run of the command ended", |last| last.at.map(seconds)),
    ("strongroom_run_exit_code", "Its exit code", |last| Some(f64::from(last.exit_code))),
    ("strongroom_run_duration_seconds", "How long it took", |last| Some(last.duration_s)),
    ("strongroom_run_success_timestamp_seconds", "When a run of the command ended with 0 last", |last| {
        last.success_at.map(seconds)
    }),
];

const SOURCES: &[Row] = &[
    ("strongroom_backup_success_timestamp_seconds", "When a backup on this host made a snapshot last", |of| {
        of.success_at.map(seconds)
    }),
    ("strongroom_snapshot_timestamp_seconds", "The instant of the newest snapshot", |of| of.snapshot_at.map(seconds)),
    ("strongroom_snapshot_every_seconds", "How often a snapshot is expected", |of| of.every_s.map(number)),
    ("strongroom_snapshot_bytes", "Bytes of the newest snapshot's streams", |of| of.bytes.map(number)),
    ("strongroom_snapshot_stored_bytes", "Bytes that its run put into the vault", |of| of.stored_bytes.map(number)),
    ("strongroom_snapshot_chunks", "Chunks of its streams", |of| of.chunks.map(number)),
    ("strongroom_snapshot_new_chunks", "Of these, chunks that were new", |of| of.new_chunks.map(number)),
    ("strongroom_signal_level", "Its loudest signal: 0 none, 1 notice, 2 alarm", |of| of.signal.map(f64::from)),
    ("strongroom_alarms_open", "Alarms that nobody acknowledged", |of| of.alarms.map(number)),
    (
        "strongroom_locked_until_timestamp_seconds",
        "No lock that the newest snapshot needs ends before this: what backup promised, or what status found",
        |of| of.locked_until.map(seconds),
    ),
    ("strongroom_drill_timestamp_seconds", "When the source was drilled last", |of| of.drill_at.map(seconds)),
    ("strongroom_drill_passed", "Whether that drill passed", |of| {
        of.drill_passed.map(|passed| f64::from(u8::from(passed)))
    }),
    ("strongroom_drill_rto_seconds", "How long the recovery took", |of| of.rto_s),
    ("strongroom_drill_rpo_seconds", "How old the data was that came back", |of| of.rpo_s),
    ("strongroom_journal_timestamp_seconds", "When the store got the newest piece of the journal", |of| {
        of.journal_at.map(seconds)
    }),
    ("strongroom_journal_lag_seconds", "How long ago that was when it was looked at", |of| {
        of.journal_lag_s.map(number)
    }),
    ("strongroom_owed", "How many things `status` says are owed", |of| of.owed.map(number)),
];

#[allow(clippy::cast_precision_loss, reason = "times and sizes within 2^53")]
fn seconds(at: Time) -> f64 {
    at.unix() as f64
}

#[allow(clippy::cast_precision_loss, reason = "a number for a graph")]
const fn number(n: u64) -> f64 {
    n as f64
}

/// The text.
pub(super) fn text(metrics: &Metrics) -> String {
    let mut out = String::new();
    for (name, help, value) in COMMANDS {
        let samples = metrics.commands.iter().filter_map(|(command, last)| Some((command, value(last)?)));
        add(&mut out, (name, help), samples.map(|(command, value)| (format!("command=\"{}\"", label(command)), value)));
    }
    for (name, help, value) in SOURCES {
        let samples = metrics.sources.iter().filter_map(|(key, of)| Some((key, value(of)?)));
        let labelled = samples.map(|(key, value)| {
            let (writer, source) = key.split_once('/').unwrap_or(("-", key));
            (format!("writer=\"{}\",source=\"{}\"", label(writer), label(source)), value)
        });
        add(&mut out, (name, help), labelled);
    }
    let whole = [
        (
            "strongroom_weakest_lock_timestamp_seconds",
            "When the first lock ends that any live snapshot needs",
            metrics.weakest_lock,
        ),
        ("strongroom_metrics_timestamp_seconds", "When this was written", metrics.written_at),
    ];
    for (name, help, value) in whole {
        add(&mut out, (name, help), value.map(|at| (String::new(), seconds(at))).into_iter());
    }
    out
}

fn add(out: &mut String, (name, help): (&str, &str), samples: impl Iterator<Item = (String, impl Display)>) {
    let mut first = true;
    for (labels, value) in samples {
        if std::mem::take(&mut first) {
            // Writing to memory does not fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        }
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        let _ = writeln!(out, "{name}{labels} {value}");
    }
}

/// The value of a label: what was read back from a file may hold anything.
fn label(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "._- ".contains(*c)).collect()
}
