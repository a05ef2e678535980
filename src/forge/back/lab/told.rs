//! What the texts of merge requests and their comments begin with.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use super::{
    super::{
        super::lines::{self, Part},
        BackResult,
        words::{author, login, logins, plain, text, time},
    },
    Lab,
};

/// The lines above the text of a merge request.
pub(super) fn head(entry: &Value, approved: &BTreeMap<String, String>) -> Vec<String> {
    let mut lines = vec![format!("{} wrote this at {}:", author(entry), time(entry))];
    let branch = |field: &str| plain(text(entry, field));
    let mut line = format!("It was a merge request from {} into {}", branch("source_branch"), branch("target_branch"));
    if !text(entry, "merged_at").is_empty() {
        let _ = write!(line, ", merged at {}", branch("merged_at"));
    } else if !text(entry, "closed_at").is_empty() {
        let _ = write!(line, ", closed at {}", branch("closed_at"));
    }
    let by = ["merge_user", "merged_by", "closed_by"]
        .into_iter()
        .find_map(|field| entry.get(field).filter(|by| by.is_object()));
    if let Some(by) = by {
        let _ = write!(line, " by {}", plain(login(by)));
    }
    for (field, called) in
        [("sha", "its last commit"), ("merge_commit_sha", "merged as"), ("squash_commit_sha", "squashed as")]
    {
        if !text(entry, field).is_empty() {
            let _ = write!(line, ", {called} {}", branch(field));
        }
    }
    lines.push(format!("{line}."));
    for (list, called) in [("assignees", "Assigned to"), ("reviewers", "To be reviewed by")] {
        let names: Vec<String> = logins(entry, list).iter().map(|name| plain(name)).collect();
        if !names.is_empty() {
            lines.push(format!("{called} {}.", names.join(", ")));
        }
    }
    if !approved.is_empty() {
        let all: Vec<String> = approved.iter().map(|(name, at)| format!("{name} at {at}")).collect();
        lines.push(format!("Approved by {}.", all.join(", ")));
    }
    lines
}

/// Who approved one and did not take it back, with when, as GitLab's own comments tell.
pub(super) fn approvals(lab: &Lab<'_, '_>, number: i64, parts: &mut [Part]) -> BackResult<BTreeMap<String, String>> {
    let unreadable = |e| lab.w.unreadable("discussions", e);
    let mut approved = BTreeMap::new();
    for (at, line) in lines::thread(parts, number).map_err(unreadable)? {
        let Some(part) = parts.get_mut(at) else { continue };
        let Some(value) = part.at(line).map_err(unreadable)? else { continue };
        for note in value.get("notes").and_then(Value::as_array).into_iter().flatten().filter(|note| is_system(note)) {
            match text(note, "body").trim() {
                "approved this merge request" => drop(approved.insert(author(note), time(note))),
                "unapproved this merge request" | "removed approval" => drop(approved.remove(&author(note))),
                _ => {}
            }
        }
    }
    Ok(approved)
}

/// Whether GitLab itself wrote it.
pub(super) fn is_system(note: &Value) -> bool {
    note.get("system").and_then(Value::as_bool) == Some(true)
}

/// The lines above a comment: where it stood, if it stood on a line.
pub(super) fn said(note: &Value) -> Vec<String> {
    let Some(place) = note.get("position").filter(|place| place.is_object()) else {
        return vec![format!("{} wrote at {}:", author(note), time(note))];
    };
    let line = place.get("new_line").and_then(Value::as_i64).map(|line| format!(" line {line}"));
    let old = place.get("old_line").and_then(Value::as_i64).map(|line| format!(" line {line} as it was before"));
    let path = ["new_path", "old_path"].into_iter().map(|field| text(place, field)).find(|path| !path.is_empty());
    let commit = text(place, "head_sha");
    let commit = if commit.is_empty() { String::new() } else { format!(", commit {}", plain(commit)) };
    let place = format!("{}{}{commit}", plain(path.unwrap_or_default()), line.or(old).unwrap_or_default());
    vec![format!("{} wrote at {} on {place}:", author(note), time(note))]
}
