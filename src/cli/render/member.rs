//! `member`, for people.

use std::path::PathBuf;

use super::{Lines, plural};
use crate::{
    cli::outdir,
    format::certificate::Role,
    ops::member::{MemberReport, RevokeReport},
    vault::standing::names,
};

/// `member add`, for people.
pub(super) fn added(report: &MemberReport, files: &[PathBuf]) -> Lines {
    let mut text = Lines::default();
    text.add(format!(
        "{} {} belongs to vault {}; its certificate can't be deleted before {}",
        report.role, report.name, report.vault_id, report.locked_until
    ));
    if report.role == Role::Writer {
        text.add(format!("it may make snapshots of {}", names(&report.sources)));
    }
    text.add("wrote");
    for file in files {
        let what = match (file.file_name().and_then(|name| name.to_str()), report.role) {
            (Some(outdir::CONFIG), _) => "its configuration",
            (_, Role::Writer) => "its key: adds backups, reads none",
            (_, Role::Keeper) => "its key: signs holds, opens no backup",
            _ => "its key: signs what it finds, opens no backup",
        };
        text.add(format!("  {}  ({what})", file.display()));
    }
    text
}

/// `member revoke`, for people.
pub(super) fn revoked(report: &RevokeReport) -> Lines {
    let people: Vec<&str> = report.approved_by.iter().map(crate::model::Name::as_str).collect();
    let by = if people.is_empty() { String::new() } else { format!(", by leave of {}", people.join(", ")) };
    let Some(from) = report.revoked_from else {
        return Lines::of([
            format!("{} {} is no longer revoked{by}: what it signed since counts again", report.role, report.name),
            "Give it its credentials for the bucket again there, if they were taken away".to_owned(),
        ]);
    };
    let suspect = match report.role {
        Role::Writer => {
            let count = plural(usize::try_from(report.suspect).unwrap_or(usize::MAX), "snapshot");
            format!("{count} that it wrote since is suspect now: listed as such, never taken as the latest.")
        }
        _ => "Evidence that it signed since is suspect.".to_owned(),
    };
    Lines::of([
        format!("{} {} is revoked from {from} on{by}. {suspect}", report.role, report.name),
        "Its credentials for the bucket work until you take them away there".to_owned(),
    ])
}
