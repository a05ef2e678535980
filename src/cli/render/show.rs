//! `show` and `diff`, for people.

use super::{Lines, age, wrapped};
use crate::{
    model::size,
    ops::{
        diff::{Changes, DiffReport, What},
        show::{Opened, ShowReport},
    },
};

/// So many of each are shown; `--json` has up to ten thousand.
const SHOWN: usize = 40;

/// `show`.
pub(super) fn shown(report: &ShowReport) -> Lines {
    let mut text = Lines::default();
    let now = report.at;
    text.add(format!("snapshot {}", report.id));
    let mut add = |line: String| wrapped(&format!("  {line}"), 13, &mut text);
    add(format!(
        "source     {} ({}) of writer {}, number {}",
        report.source,
        report.kind.as_str(),
        report.writer,
        report.seq
    ));
    if report.suspect {
        add("suspect    its writer was revoked, or may not write this source: it is never taken as the latest"
            .to_owned());
    }
    if report.future {
        add("not yet    its time is in the future: it is never taken as the latest".to_owned());
    }
    add(format!("taken      {}, {}", report.created_at, age(report.created_at, now)));
    if let Some(stored) = report.stored_at {
        add(format!("stored     {stored}, by the store's clock"));
    }
    add(format!(
        "locked     until {} at least when it was written, {}",
        report.floor_until,
        age(report.floor_until, now)
    ));
    let tier = report.tier.map(|tier| format!(" ({tier:?})").to_lowercase()).unwrap_or_default();
    add(format!("kept       until {}{tier}, {}", report.expires_at, age(report.expires_at, now)));
    let totals = report.totals;
    add(format!("contents   {}; streams: {}, chunks: {}", size::human(totals.bytes), totals.streams, totals.chunks));
    add(format!("needs      {}; packs: {}", size::human(totals.packed), totals.packs));
    add(match report.cost {
        Some(cost) => {
            format!("added      {}; packs: {} that were not needed before", size::human(cost.bytes), cost.packs)
        }
        None => "added      unknown: the snapshot before is missing, or a page can't be read".to_owned(),
    });
    if let Some(journal) = &report.journal {
        add(format!("journal    goes on from {} of line {}", journal.line.say(journal.from), journal.line));
    }
    for flag in &report.signals {
        add(format!("signal     {} by its writer: {}", flag.level.as_str(), flag.rule));
    }
    for warning in &report.warnings {
        add(format!("warning    {warning}"));
    }
    match &report.opened {
        Some(opened) => inside(opened, &mut text),
        None => text.add("  that is what its header says; -i FILE shows what is in it"),
    }
    text
}

fn inside(opened: &Opened, text: &mut Lines) {
    if let Some(requested) = &opened.requested {
        let by = requested.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let reason = requested.reason.as_deref().unwrap_or("no reason was given");
        wrapped(&format!("  requested{by}: {reason}"), 13, text);
    }
    for warning in &opened.warnings {
        wrapped(&format!("  warning    {warning}"), 13, text);
    }
    text.add(format!("streams: {}", opened.stream_count));
    for stream in opened.streams.iter().take(SHOWN) {
        let hash: String = stream.blake3.to_string().chars().take(12).collect();
        text.add(format!("  {:>9}  {hash}  {}", size::human(stream.bytes), stream.name));
    }
    more(opened.stream_count, text);
    for database in &opened.databases {
        let version = database.server.get("version").map(|version| format!(", {version}")).unwrap_or_default();
        text.add(format!("tables of {}{version}: {}", database.name, database.table_count));
        for table in database.tables.iter().take(SHOWN) {
            let hash: String = table.hash.iter().flat_map(|hash| hash.chars()).take(12).collect();
            text.add(format!("  {:>12} rows  {hash:<12}  {}", table.rows, table.name));
        }
        more(database.table_count, text);
    }
    if opened.ref_count > 0 {
        text.add(format!("refs: {}", opened.ref_count));
        for (name, to) in opened.refs.iter().take(SHOWN) {
            let to: String = to.chars().take(12).collect();
            text.add(format!("  {to}  {name}"));
        }
        more(opened.ref_count, text);
    }
}

fn more(count: u64, text: &mut Lines) {
    if let Some(more) = count.checked_sub(SHOWN as u64).filter(|more| *more > 0) {
        text.add(format!("  and {more} more; --json has up to 10000"));
    }
}

/// `diff`.
pub(super) fn diffed(report: &DiffReport) -> Lines {
    let mut text = Lines::default();
    for (word, line) in [("from", &report.a), ("to  ", &report.b)] {
        text.add(format!(
            "{word}  {} {} of {}, {}",
            line.id.short(),
            line.source,
            line.created_at,
            size::human(line.bytes)
        ));
    }
    let grown = size::human(report.grown.unsigned_abs());
    let how = if report.grown < 0 { "smaller" } else { "larger" };
    text.add(if report.grown == 0 { "of the same size".to_owned() } else { format!("{grown} {how}") });
    for (what, changes) in
        [("tables", &report.tables), ("objects", &report.objects), ("refs", &report.refs), ("streams", &report.streams)]
    {
        kind(what, changes, &mut text);
    }
    text
}

/// The id of a commit by its beginning: two of them whole are wider than a terminal.
fn shortened(text: &str) -> &str {
    let is_id = text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.get(..12).filter(|_| is_id).unwrap_or(text)
}

fn kind(what: &str, changes: &Changes, text: &mut Lines) {
    let Changes { same, gone, changed, added, changes } = changes;
    let differ = gone + changed + added;
    if same + differ == 0 {
        return;
    }
    text.add(format!("{what}: {gone} gone, {changed} changed, {added} added, {same} the same"));
    for change in changes.iter().take(SHOWN) {
        let (from, to) = (change.from.as_deref().unwrap_or("none"), change.to.as_deref().unwrap_or("none"));
        let what = match change.what {
            What::Gone => "gone",
            What::Changed => "changed",
            What::Added => "added",
        };
        text.add(format!("  {what:<7}  {}: {} -> {}", change.name, shortened(from), shortened(to)));
    }
    if let Some(more) = differ.checked_sub(SHOWN as u64).filter(|more| *more > 0) {
        text.add(format!("  and {more} more; --json has up to 10000 of each"));
    }
}
