//! `key`, for people.

use super::{Lines, plural};
use crate::ops::people::{AddedReport, KeysReport, RotateReport};

fn count(number: u64, what: &str) -> String {
    plural(usize::try_from(number).unwrap_or(usize::MAX), what)
}

/// `key list` and `key check`, for people.
pub(super) fn keys(report: &KeysReport) -> Lines {
    let mut text = Lines::default();
    text.add(format!("vault {}", report.vault_id));
    match report.root {
        Some(true) => text.add("the root key: opened, so this is an owner's identity"),
        Some(false) => text.add("the root key: not opened"),
        None => {}
    }
    for line in &report.epochs {
        let opens = match line.opens {
            Some(true) => ": opened",
            Some(false) => ": NOT OPENED",
            None => "",
        };
        let (snapshots, records) = (count(line.snapshots, "snapshot"), plural(line.records.len(), "record"));
        text.add(format!("epoch {}, {snapshots}, {records}{opens}", line.epoch));
        for record in &line.records {
            text.add(format!("  {record}"));
        }
    }
    if report.root.is_none() {
        text.add("a record does not say who opens it: `strongroom key check -i IDENTITY` tries one");
    }
    text
}

/// `key add-recipient`, for people.
pub(super) fn added(report: &AddedReport) -> Lines {
    let mut text = Lines::default();
    let numbers = |all: &[u32]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    text.add(format!("epoch {} can be opened by", numbers(&report.epochs)));
    for recipient in &report.recipients {
        text.add(format!("  {recipient}"));
    }
    if !report.left_out.is_empty() {
        text.add(format!("not epoch {}: the identity given does not open it", numbers(&report.left_out)));
    }
    text.add(format!("the records can't be deleted before {}, and are kept with the vault", report.locked_until));
    text.add("try it: `strongroom key check -i IDENTITY` with theirs");
    text
}

/// `key rotate`, for people.
pub(super) fn rotated(report: &RotateReport) -> Lines {
    let mut text = Lines::default();
    let names = |all: &[crate::model::Name]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let by = if report.approved_by.is_empty() {
        String::new()
    } else {
        format!(", by leave of {}", names(&report.approved_by))
    };
    text.add(format!("epoch {} begins{by}. It is opened by", report.epoch));
    for recipient in &report.recipients {
        text.add(format!("  {recipient}"));
    }
    text.add("what was sealed before is opened by whoever opened it before");
    if !report.writers.is_empty() {
        text.add(format!(
            "these writers seal to the epoch of their keys, and not to this one: {}",
            names(&report.writers)
        ));
        text.add(
            "add each again under a new name (`strongroom writer add`), and revoke the old one when the new one has run",
        );
    }
    text
}
