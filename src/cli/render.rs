//! What people and scripts get to see. The only place that writes to standard output.
//!
//! Text for people is made of [`Lines`], so that what comes out of data never steers a terminal and never begins a line;
//! documents hold it as it is, escaped as JSON escapes.

#[cfg(feature = "full")]
mod airgap;
mod backup;
#[cfg(feature = "full")]
mod copies;
mod doctor;
mod document;
mod drill;
mod finding;
mod guard;
#[cfg(feature = "full")]
mod incident;
mod init;
mod journal;
mod member;
mod output;
mod people;
mod ready;
pub mod report;
#[cfg(feature = "full")]
mod request;
mod restore;
mod show;
mod since;
mod snapshots;
mod status;
mod upkeep;
mod verify;
mod watch;

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

pub use self::finding::{fields_of, finding_line, finding_lines, graded_lines, level_of};
pub use self::output::Output;
use super::{
    failure::{Exit, Failure},
    log::{self, Fields, Level},
};
use crate::model::{Finding, Time, visible, visible_lines};
use crate::ops::catalog::RebuildReport;

/// A command that ended.
pub struct Ended {
    /// What it is called.
    pub command: Option<&'static str>,
    /// What it gives back.
    pub output: Output,
    /// What it found. People were told already.
    pub findings: Vec<Finding>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

/// Text for people: whole lines, none of which can begin another.
#[derive(Default)]
struct Lines(String);

impl Lines {
    /// Some lines.
    fn of(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut text = Self::default();
        lines.into_iter().for_each(|line| text.add(line));
        text
    }

    /// One more line.
    fn add(&mut self, line: impl AsRef<str>) {
        self.0.push_str(&visible(line.as_ref()));
        self.0.push('\n');
    }
}

/// How to show it.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    /// As one JSON document.
    pub json: bool,
    /// Only warnings, errors and data that was asked for.
    pub quiet: bool,
}

impl Console {
    /// Shows how a command ended, and says what it ends with: a result that could not be written is a failure.
    #[must_use]
    pub fn show(self, ended: &Ended) -> Exit {
        let mut out = io::stdout().lock();
        let shown = if self.json { document::write(&mut out, ended) } else { self.people(&mut out, ended) };
        let unwritten = written(shown.and_then(|()| out.flush()));
        if let Some(failure) = &unwritten {
            tell(failure, visible);
        }
        ended.failure.as_ref().or(unwritten.as_ref()).map_or(Exit::Done, |failure| failure.exit)
    }

    fn people(self, out: &mut impl Write, ended: &Ended) -> io::Result<()> {
        let (result, asked_for) = text(&ended.output);
        if asked_for || !self.quiet {
            let beside = matches!(ended.output, Output::Restore(_, None));
            // What standard error can't take is not the result.
            if beside { drop(io::stderr().write_all(result.as_bytes())) } else { out.write_all(result.as_bytes())? }
        }
        out.flush()?;
        if let Some(failure) = &ended.failure {
            let lines = if matches!(ended.output, Output::Unparsed) { visible_lines } else { visible };
            tell(failure, lines);
        }
        Ok(())
    }
}

/// What it means that standard output could not be written. Whoever stopped listening has what they wanted.
#[must_use]
pub fn written(result: io::Result<()>) -> Option<Failure> {
    result.err().filter(|error| error.kind() != io::ErrorKind::BrokenPipe).map(|error| Failure::unwritten(&error))
}

fn tell(failure: &Failure, message: fn(&str) -> String) {
    if log::form() == log::Form::Json {
        let hint = failure.hint.iter().map(|hint| ("hint".to_owned(), hint.as_str().into()));
        let mut fields = Fields::from_iter([
            ("code".to_owned(), "failed".into()),
            ("kind".to_owned(), failure.kind.into()),
            ("exit_code".to_owned(), failure.exit.code().into()),
        ]);
        fields.extend(hint);
        return log::write(Level::Error, &failure.message, fields);
    }
    log::write(Level::Error, &format!("error: {}", message(&failure.message)), Fields::new());
    if let Some(hint) = &failure.hint {
        log::write(Level::Error, &format!("hint: {}", visible_lines(hint)), Fields::new());
    }
}

fn value(output: &Output) -> Value {
    match output {
        Output::Nothing | Output::Unparsed => Value::Null,
        Output::Init(report, files) => with(report, "files", json!(files)),
        Output::Renew(report) => json!(report),
        Output::Prune(report) => json!(report),
        #[cfg(feature = "full")]
        Output::Replicate(all) => copies::value(all),
        #[cfg(feature = "full")]
        Output::Repair(report) => json!(report),
        Output::Freeze(report) => json!(report),
        Output::Holds(lines) => json!({ "holds": lines }),
        Output::Release(report) => json!(report),
        Output::Approvers(report) => json!(report),
        Output::Request(report) => json!(report),
        Output::Check(report) => json!(report),
        Output::Split(report, files) => with(report, "files", json!(files)),
        Output::Combined(report, files) => with(report, "files", json!(files)),
        Output::Member(report, files) => with(report, "files", json!(files)),
        Output::Revoke(report) => json!(report),
        Output::Keys(report) => json!(report),
        Output::Recipients(report) => json!(report),
        Output::Rotated(report) => json!(report),
        Output::Backup(report) => {
            let failed = report.failed.iter().map(|failed| {
                let failure = Failure::of_source(&failed.error);
                json!({ "source": failed.source, "kind": failure.kind, "message": failure.message })
            });
            json!({ "snapshots": report.snapshots, "failed": failed.collect::<Vec<_>>() })
        }
        Output::Rehearsal(looked) => {
            let failed =
                looked.failed.iter().map(|(source, why)| json!({ "source": source, "kind": "source", "message": why }));
            json!({ "dry_run": true, "snapshots": [], "failed": failed.collect::<Vec<_>>(), "checks": looked.checks })
        }
        Output::Snapshots(lines) => json!(lines),
        Output::Show(report) => json!(report),
        Output::Diff(report) => json!(report),
        Output::Restore(report, to) => with(report, "to", json!(to)),
        Output::Listing(report) => json!(report),
        Output::RestoreRehearsal(report) => with(report, "dry_run", json!(true)),
        Output::Into(report) => json!(report),
        #[cfg(feature = "full")]
        Output::IntoForge(report) => json!(report),
        Output::Verify(report, _) => json!(report),
        Output::Watch(report, _) => json!(report),
        Output::Ready(report) => json!(report),
        #[cfg(feature = "full")]
        Output::Requested(report) => json!(report),
        Output::Status(report) => json!(report),
        #[cfg(feature = "full")]
        Output::Incident(report, ..) => json!(report),
        #[cfg(feature = "full")]
        Output::Trip(report, _) => json!(report),
        #[cfg(feature = "full")]
        Output::Airgap(report) => json!(report),
        #[cfg(feature = "full")]
        Output::Opened(report) => json!(report),
        #[cfg(feature = "full")]
        Output::Window(report) => json!(report),
        Output::Policy(document) => json!(document),
        Output::Doctor(report, _) => json!(report),
        Output::Drill(report) => json!(report),
        Output::Drills(lines) => json!({ "history": lines }),
        Output::Rebuild(report) => json!(report),
        Output::JournalRun(report) => json!(report),
        Output::JournalPush(report) => json!(report),
        Output::JournalFetch(report) => json!(report),
        Output::Journals(lines) => json!({ "journals": lines }),
        Output::Schedule(files) => json!({ "files": files }),
        Output::Version(build) => json!(build),
        Output::Text(text) => json!(text),
    }
}

/// A report with one more field.
fn with(report: &impl Serialize, key: &str, more: Value) -> Value {
    let mut value = json!(report);
    if let Value::Object(fields) = &mut value {
        fields.insert(key.to_owned(), more);
    }
    value
}

/// The text for people, and whether it is data that was asked for.
fn text(output: &Output) -> (String, bool) {
    let (lines, asked_for) = match output {
        Output::Nothing | Output::Unparsed => (Lines::default(), false),
        Output::Init(report, files) => (init::text(report, files), false),
        Output::Renew(report) => (upkeep::renewed(report), false),
        Output::Prune(report) => (upkeep::pruned(report), false),
        #[cfg(feature = "full")]
        Output::Replicate(all) => (copies::replicated(all), false),
        #[cfg(feature = "full")]
        Output::Repair(report) => (copies::repaired(report), false),
        Output::Freeze(report) => (guard::frozen(report), false),
        Output::Holds(lines) => (guard::holds(lines), true),
        Output::Release(report) => (guard::released(report), false),
        Output::Approvers(report) => (guard::approvers(report.as_ref()), true),
        // The file that is signed, byte for byte.
        Output::Request(report) => return (report.request.clone(), true),
        Output::Check(report) => (guard::checked(report), true),
        Output::Split(report, files) => (guard::split(report, files), false),
        Output::Combined(report, files) => (guard::combined(report, files), false),
        Output::Member(report, files) => (member::added(report, files), false),
        Output::Revoke(report) => (member::revoked(report), false),
        Output::Keys(report) => (people::keys(report), true),
        Output::Recipients(report) => (people::added(report), false),
        Output::Rotated(report) => (people::rotated(report), false),
        Output::Backup(report) => (backup::text(&report.snapshots), false),
        Output::Rehearsal(looked) => (backup::rehearsed(looked), true),
        Output::Snapshots(lines) => (snapshots::text(lines), true),
        Output::Show(report) => (show::shown(report), true),
        Output::Diff(report) => (show::diffed(report), true),
        Output::Restore(report, to) => (restore::text(report, to.as_ref()), false),
        Output::Listing(report) => (restore::listed(report), true),
        Output::RestoreRehearsal(report) => (restore::rehearsed(report), true),
        Output::Into(report) => (restore::loaded(report), false),
        #[cfg(feature = "full")]
        Output::IntoForge(report) => (restore::made(report), false),
        // What verify finds is its result; elsewhere findings are remarks.
        Output::Verify(report, findings) => (verify::text(report, findings), !findings.is_empty()),
        Output::Watch(report, findings) => (watch::text(report, findings), true),
        Output::Ready(report) => (ready::text(report), true),
        #[cfg(feature = "full")]
        Output::Requested(report) => (request::text(report), true),
        Output::Status(report) => (status::text(report), true),
        #[cfg(feature = "full")]
        Output::Incident(report, true, _) => return (report.markdown(), true),
        #[cfg(feature = "full")]
        Output::Incident(report, false, findings) => (incident::text(report, findings), true),
        #[cfg(feature = "full")]
        Output::Trip(report, findings) => (airgap::tripped(report, findings), true),
        #[cfg(feature = "full")]
        Output::Airgap(report) => (airgap::status(report), true),
        #[cfg(feature = "full")]
        Output::Opened(report) => (airgap::opened(report), false),
        #[cfg(feature = "full")]
        Output::Window(report) => (airgap::window(report), false),
        // Writing to memory does not fail. The lines are those of JSON.
        Output::Policy(document) => return (serde_json::to_string_pretty(document).unwrap_or_default() + "\n", true),
        Output::Doctor(report, findings) => (doctor::text(report, findings), true),
        Output::Drill(report) => (drill::text(report), report.drills.iter().any(|drill| !drill.passed)),
        Output::Drills(lines) => (drill::history(lines), true),
        Output::Rebuild(report) => {
            let RebuildReport { indexes, packs, chunks } = report;
            let line = format!("the catalog knows {chunks} chunks in {packs} packs again, from {indexes} indexes");
            (Lines::of([line]), false)
        }
        Output::JournalRun(report) => (journal::ran(report), false),
        Output::JournalPush(report) => (journal::pushed(report), false),
        Output::JournalFetch(report) => (journal::fetched(report), false),
        Output::Journals(lines) => (journal::listed(lines), true),
        Output::Schedule(files) => (upkeep::scheduled(files), false),
        Output::Version(build) => return (format!("strongroom {}\n", build.version), true),
        Output::Text(text) => return (text.clone(), true),
    };
    (lines.0, asked_for)
}

/// How long before or after `now` an instant is.
fn age(at: Time, now: Time) -> String {
    if at > now {
        return format!("in {}", brief(at.since(now).as_seconds()));
    }
    format!("{} ago", brief(now.since(at).as_seconds()))
}

/// Seconds in the one unit that says most: `41 s`, `3 min`, `5 h`, `12 d`.
fn brief(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Adds a text in lines of 80 columns, those after the first indented by so much. No word is cut.
fn wrapped(line: &str, indent: usize, text: &mut Lines) {
    const WIDTH: usize = 80;
    // What comes out of data may hold anything; what is visible of it is what takes room.
    let line = visible(line);
    let own = line.chars().take_while(|c| *c == ' ').count();
    let mut current = " ".repeat(own);
    let mut empty = true;
    for word in line.trim_start().split(' ') {
        if !empty && current.chars().count() + 1 + word.chars().count() > WIDTH {
            text.add(current.trim_end());
            current = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            current.push(' ');
        }
        current.push_str(word);
        empty = false;
    }
    text.add(current.trim_end());
}

/// The beginning of a name that is too long for a table.
fn cut(name: &str, longest: usize) -> String {
    if name.chars().count() <= longest {
        return name.to_owned();
    }
    let kept: String = name.chars().take(longest - 1).collect();
    format!("{kept}…")
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_document_too() {
        let failure = Failure::usage("no such option");
        let ended = Ended { command: None, output: Output::Nothing, findings: Vec::new(), failure: Some(failure) };
        let mut out = Vec::new();
        document::write(&mut out, &ended).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["ok"], false);
        assert_eq!(value["result"], Value::Null);
        assert_eq!(value["error"]["kind"], "usage");
        assert_eq!(value["findings"], json!([]));
    }
}
