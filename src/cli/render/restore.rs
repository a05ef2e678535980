//! `restore`, for people.

use std::path::PathBuf;

use super::{Lines, plural, since};
#[cfg(feature = "full")]
use crate::forge::back::Lacking;
use crate::{
    cli::shell,
    model::{SourceKind, size},
    ops::{
        recover::Recovery,
        restore::{
            RestoreReport,
            forge::ForgeReport,
            into::IntoReport,
            look::{ListReport, RehearsalReport},
        },
    },
};

/// For people.
pub(super) fn text(report: &RestoreReport, to: Option<&PathBuf>) -> Lines {
    let to = to.map_or_else(|| "standard output".to_owned(), |to| to.display().to_string());
    let mut text = Lines::default();
    text.add(format!(
        "restored {} of {} ({}, taken {} by {}) to {to}: {}, every byte checked",
        plural(report.streams.len(), "stream"),
        report.source,
        report.id.short(),
        report.created_at,
        report.writer,
        size::human(report.bytes)
    ));
    let kept = report.kept;
    if kept.bytes > 0 || kept.streams > 0 {
        text.add(format!(
            "  of it {}{} were there already and match; {} were fetched for the rest",
            size::human(kept.bytes),
            if kept.streams == 0 {
                String::new()
            } else {
                format!(" in {}", plural(usize::try_from(kept.streams).unwrap_or(usize::MAX), "whole stream"))
            },
            size::human(report.fetched_bytes)
        ));
    }
    if let Some(site) = &report.site {
        text.add(format!("  to read it in a browser: {}", site.display()));
    }
    for lost in &report.lost {
        text.add(format!("  not whole: {}: {}", lost.object, lost.message));
    }
    if let Some(reference) = &report.reference {
        let (name, object) = (&reference.name, &reference.object);
        let of = reference.commit.as_ref().filter(|commit| *commit != object);
        let of = of.map_or_else(String::new, |commit| format!(", a {} of the commit {commit}", reference.kind));
        text.add(format!("  {name} was {object}{of}"));
        // What the ref is called came with the backup, and a person is to paste this into a shell. Git takes nothing but
        // commits for a branch.
        let among = if reference.kind == "commit" { "heads" } else { "tags" };
        let refspec = shell::quoted(&format!("{name}:refs/{among}/restored"));
        text.add(format!("  to fetch it into an existing repository: git fetch {} {refspec}", shell::quoted(&to)));
    }
    if let Some(recovery) = &report.recovery {
        if report.kind == SourceKind::Mariadb {
            replayed(recovery, &to, &mut text);
        } else {
            recovered(recovery, &mut text);
        }
    }
    if report.data_directory {
        text.add("  as it was copied: a server that starts on it goes on from there, in the timeline of its origin");
        text.add("  unless it takes its origin's place, set archive_mode = off first");
    }
    if report.data_directory || (report.recovery.is_some() && report.kind != SourceKind::Mariadb) {
        let to = shell::quoted(&to);
        text.add(format!(
            "  give it to the server's user and start the server: chown -R postgres: {to} && pg_ctl -D {to} -w start"
        ));
    }
    since::add(report.since.as_ref(), &mut text);
    for warning in &report.warnings {
        text.add(format!("  warning from the backup: {warning}"));
    }
    text
}

/// `--list`.
pub(super) fn listed(report: &ListReport) -> Lines {
    let mut text = Lines::default();
    for line in &report.streams {
        let path = line.path.as_deref().unwrap_or(line.name.as_str());
        let size = match line.kind {
            "file" => size::human(line.bytes),
            other => other.to_owned(),
        };
        text.add(format!("{size:>10}  {path}{}", if line.kind == "directory" { "/" } else { "" }));
    }
    for database in &report.databases {
        text.add(format!("database {}: {}", database.database, plural(database.tables.len(), "table")));
        for (table, rows) in &database.tables {
            text.add(format!("{rows:>10}  {table}"));
        }
    }
    text.add(format!(
        "{} in {} of {} ({}, taken {} by {})",
        size::human(report.bytes),
        plural(report.streams.len(), "stream"),
        report.source,
        report.id.short(),
        report.created_at,
        report.writer
    ));
    text
}

/// `--dry-run`.
pub(super) fn rehearsed(report: &RehearsalReport) -> Lines {
    let count = |n: u64, what: &str| plural(usize::try_from(n).unwrap_or(usize::MAX), what);
    let mut text = Lines::of([
        format!(
            "would restore {} of {} ({}, taken {} by {}): {}",
            count(report.streams, "stream"),
            report.source,
            report.id.short(),
            report.created_at,
            report.writer,
            size::human(report.bytes)
        ),
        format!(
            "  would fetch {} in {} from {}",
            size::human(report.fetch.bytes),
            count(report.fetch.calls, "call"),
            count(report.fetch.objects, "pack")
        ),
        format!(
            "  besides {} in {}, which opening the snapshot took just now",
            size::human(report.opening.bytes),
            count(report.opening.get + report.opening.head + report.opening.list, "call")
        ),
        format!("  about {} s at 50 MiB a second", report.seconds),
    ]);
    if let (Some(calls), Some(transfer)) = (report.calls_usd, report.transfer_usd) {
        text.add(format!(
            "  about ${calls:.4} for the calls and ${transfer:.2} for what leaves AWS (nothing within its region)"
        ));
    }
    text
}

/// `--into`.
pub(super) fn loaded(report: &IntoReport) -> Lines {
    let mut text = Lines::of([format!(
        "loaded {} of {} ({}, taken {} by {}) into {}: {}, every byte checked",
        report.loaded.join(", "),
        report.source,
        report.id.short(),
        report.created_at,
        report.writer,
        report.into,
        size::human(report.bytes)
    )]);
    for note in &report.notes {
        text.add(format!("  {note}"));
    }
    if !report.approved_by.is_empty() {
        let people: Vec<&str> = report.approved_by.iter().map(crate::model::Name::as_str).collect();
        text.add(format!("  approved by {}; the approval is used up", people.join(", ")));
    }
    for warning in &report.warnings {
        text.add(format!("  warning from the backup: {warning}"));
    }
    text
}

/// `--into` a forge.
#[cfg(feature = "full")]
pub(super) fn made(report: &ForgeReport) -> Lines {
    let mut text = Lines::of([format!(
        "restored {} ({}, taken {} by {}) into {}: {} in {} calls",
        report.source,
        report.id.short(),
        report.created_at,
        report.writer,
        report.into,
        match report.made.repositories.len() {
            1 => "1 repository".to_owned(),
            n => format!("{n} repositories"),
        },
        report.made.calls
    )]);
    for one in &report.made.repositories {
        let counted = |all: &std::collections::BTreeMap<&str, u64>| {
            let words: Vec<String> = all.iter().map(|(kind, n)| format!("{n} {}", kind.replace('_', " "))).collect();
            if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
        };
        let there =
            if one.there.is_empty() { String::new() } else { format!("; there already: {}", counted(&one.there)) };
        text.add(format!("  {} as {}: {}{there}", one.name, one.into, counted(&one.made)));
        one.lacking.iter().for_each(|lacking| text.add(lacks(lacking)));
    }
    if !report.made.owner.is_empty() {
        text.add("  of the owner:");
        report.made.owner.iter().for_each(|lacking| text.add(lacks(lacking)));
    }
    if !report.approved_by.is_empty() {
        let people: Vec<&str> = report.approved_by.iter().map(crate::model::Name::as_str).collect();
        text.add(format!("  approved by {}; the approval is used up", people.join(", ")));
    }
    for warning in &report.warnings {
        text.add(format!("  warning from the backup: {warning}"));
    }
    text
}

/// Something that did not come back.
#[cfg(feature = "full")]
fn lacks(lacking: &Lacking) -> String {
    let count = if lacking.count > 0 { format!("{} ", lacking.count) } else { String::new() };
    let first = match lacking.first.as_slice() {
        [] => String::new(),
        named => {
            let more = if lacking.count > named.len() as u64 { ", …" } else { "" };
            format!(" ({}{more})", named.join(", "))
        }
    };
    let how = if lacking.open { "did not come back" } else { "not as it was" };
    format!("    {how}: {count}{}{first}: {}", lacking.kind.replace('_', " "), lacking.why)
}

/// What was laid out to be replayed, and what to do with it.
fn replayed(recovery: &Recovery, to: &str, text: &mut Lines) {
    match (&recovery.log_from, &recovery.log_until) {
        (Some(from), Some(until)) => text.add(format!(
            "  with the log from {from} to {until}, {} in {}",
            size::human(recovery.log_bytes),
            plural(usize::try_from(recovery.pieces).unwrap_or(usize::MAX), "piece")
        )),
        _ => text.add("  with no log behind it"),
    }
    match (&recovery.last_commit_at, &recovery.last_commit_gtid) {
        (Some(at), Some(gtid)) => text.add(format!("  the last restored transaction: {gtid}, of {at}")),
        (Some(at), None) => text.add(format!("  the last restored transaction is of {at}")),
        (None, _) => text.add("  no transaction of the log is restored, only what the dump has"),
    }
    if let (Some(newest), Some(at), true) = (&recovery.newest, recovery.newest_at, recovery.leaves_some()) {
        text.add(format!(
            "  the vault has the log up to {newest}, stored {at}: anything after the point is not restored"
        ));
    }
    let script = shell::quoted(&format!("{to}/recover.sh"));
    text.add(format!("  into an empty server, by its own programs: bash {script} --socket=/run/mysqld/mysqld.sock"));
}

/// What was laid out for a server, and what to do with it.
fn recovered(recovery: &Recovery, text: &mut Lines) {
    let point = &recovery.point;
    match (&recovery.log_from, &recovery.log_until) {
        (Some(from), Some(until)) => text.add(format!(
            "  with the log from {from} to {until}, {} in {}",
            size::human(recovery.log_bytes),
            plural(usize::try_from(recovery.pieces).unwrap_or(usize::MAX), "piece")
        )),
        _ => text.add("  with no log but the base's own"),
    }
    let stop = recovery.stop.as_deref().map_or_else(String::new, |stop| format!(" (at {stop})"));
    text.add(format!(
        "  a server that starts on it recovers to {point}{stop}, timeline {}, and is open then",
        recovery.timeline
    ));
    match (&recovery.last_commit_at, recovery.last_commit_xid) {
        (Some(at), Some(xid)) => text.add(format!("  the last restored transaction: {xid}, committed {at}")),
        (Some(at), None) => text.add(format!("  the last restored transaction was committed {at}")),
        (None, _) => text.add("  no transaction of the log is restored, only what the base has"),
    }
    if let (Some(newest), Some(at), true) = (&recovery.newest, recovery.newest_at, recovery.leaves_some()) {
        text.add(format!(
            "  the vault has the log up to {newest}, stored {at}: anything after the point is not restored"
        ));
    }
}
