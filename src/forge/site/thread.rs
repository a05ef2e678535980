//! An issue, a pull request or a merge request with its thread, a page each.

use std::io;

use serde_json::Value;

use super::{
    Listed, RepositoryRows, Site,
    page::{Page, author, brief, esc, own, text},
};
use crate::forge::{
    lines::{self, Lines, Part, Places, number},
    uploads::plain,
};

/// The kinds whose entries belong to threads of `issues` and of `merge_requests`.
const OF_ISSUES: &[&str] = &["comments", "reviews", "review_comments", "timeline", "events", "issue_notes"];
const OF_MERGES: &[&str] = &["discussions"];
const OF_DISCUSSIONS: &[&str] = &["discussion_comments"];

/// Writes the pages of a kind, and tells what is on them.
pub(super) fn pages(site: &mut Site<'_>, one: &RepositoryRows, kind: &str) -> io::Result<Vec<Listed>> {
    let of = match kind {
        "issues" => OF_ISSUES,
        "discussions" => OF_DISCUSSIONS,
        _ => OF_MERGES,
    };
    let mut parts = lines::parts(site.from, &one.name, of)?;
    let mut pulls = Lines::open(&site.stream(&one.name, "pulls"))?;
    let mut places = Places::new();
    while kind == "issues"
        && let Some((at, value)) = pulls.next()?
    {
        places.entry(number(&value).unwrap_or_default()).or_default().push(at);
    }
    let (mut listed, mut lines) = (Vec::new(), Lines::open(&site.stream(&one.name, kind))?);
    while let Some((_, value)) = lines.next()? {
        let Some(number) = number(&value) else { continue };
        let at = places.remove(&number).and_then(|all| all.first().copied());
        let pull = at.map(|at| pulls.at(at)).transpose()?.flatten();
        listed.push(of_one(site, (one, kind, number), (&value, pull.as_ref()), &mut parts)?);
    }
    // Pull requests that the list of issues does not have, such as where issues are switched off.
    for (number, at) in places {
        let Some(value) = at.first().map(|at| pulls.at(*at)).transpose()?.flatten() else { continue };
        listed.push(of_one(site, (one, kind, number), (&value, Some(&value)), &mut parts)?);
    }
    listed.sort_by_key(|item| item.number);
    Ok(listed)
}

fn of_one(
    site: &mut Site<'_>,
    (one, kind, number): (&RepositoryRows, &str, i64),
    (value, pull): (&Value, Option<&Value>),
    parts: &mut [Part],
) -> io::Result<Listed> {
    let place = format!("{}/{kind}/{number}.html", one.name);
    let title = text(value, &["title"]);
    let mut page = site.page(&place, &format!("{number}: {title}"))?;
    let back = site.link(&place, &format!("{}/index.html", one.name), &one.name);
    page.raw(&format!("<p>{back}</p>"));
    let merged = pull.is_some_and(|pull| pull.get("merged_at").is_some_and(Value::is_string));
    let state = match value.get("closed").and_then(Value::as_bool) {
        _ if merged => "merged".to_owned(),
        Some(closed) => if closed { "closed" } else { "open" }.to_owned(),
        None => text(value, &["state"]),
    };
    page.line(&head(value, pull, &state));
    page.raw("<article>");
    page.line(&format!("{}, {}", author(value), text(value, &["created_at", "createdAt"])));
    page.body(own(value, &["body", "description"]));
    page.raw(&files(site, (&place, &one.name, kind), value));
    page.raw("</article>");
    for (at, from) in lines::thread(parts, number)? {
        let Some(part) = parts.get_mut(at) else { continue };
        if let Some(value) = part.at(from)? {
            entry(site, (&place, &one.name, part.kind), &value, &mut page);
        }
    }
    page.end()?;
    let (author, made) = (author(value), text(value, &["created_at", "createdAt"]));
    let pull = pull.is_some() || value.get("pull_request").is_some_and(Value::is_object);
    let (title, state, author, made) = (brief(&title), brief(&state), brief(&author), brief(&made));
    Ok(Listed { number, title, state, author, made, pull })
}

/// What stands above the thread.
fn head(value: &Value, pull: Option<&Value>, state: &str) -> String {
    let mut words = vec![state.to_owned()];
    let names = |field: &str| {
        let all = value.get(field).map(|list| list.get("nodes").unwrap_or(list));
        let all = all.and_then(Value::as_array).into_iter().flatten();
        let named =
            all.map(|one| one.as_str().map_or_else(|| text(one, &["name", "login", "username"]), str::to_owned));
        named.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ")
    };
    for (field, called) in [("labels", "labels"), ("assignees", "assigned to")] {
        let names = names(field);
        if !names.is_empty() {
            words.push(format!("{called}: {names}"));
        }
    }
    if let Some(category) = value.get("category").filter(|one| one.is_object()) {
        words.push(format!("category: {}", text(category, &["name"])));
    }
    if let Some(milestone) = value.get("milestone").filter(|one| one.is_object()) {
        words.push(format!("milestone: {}", text(milestone, &["title"])));
    }
    if let Some(pull) = pull {
        let branch = |field: &str| pull.get(field).map(|one| text(one, &["label", "ref"])).unwrap_or_default();
        words.push(format!("from {} into {}", branch("head"), branch("base")));
    }
    let branches = (text(value, &["source_branch"]), text(value, &["target_branch"]));
    if !branches.0.is_empty() {
        words.push(format!("from {} into {}", branches.0, branches.1));
    }
    words.join(" · ")
}

/// One entry of the thread.
fn entry(site: &mut Site<'_>, (place, repository, kind): (&str, &str, &str), value: &Value, page: &mut Page) {
    if let Some(notes) = value.get("notes").and_then(Value::as_array) {
        for note in notes {
            entry(site, (place, repository, "notes"), note, page);
        }
        return;
    }
    let (by, at) = (author(value), text(value, &["created_at", "submitted_at", "createdAt"]));
    let what = match kind {
        "timeline" | "events" => {
            let event = text(value, &["type", "event"]);
            // Comments and reviews stand there by themselves.
            if matches!(event.as_str(), "comment" | "review" | "code" | "") {
                return;
            }
            page.raw("<article class=\"event\">");
            page.line(format!("{by}, {at}: {event} {}", of_event(value)).trim_end());
            page.raw("</article>");
            return;
        }
        "reviews" => format!(" reviewed: {}", text(value, &["state"])),
        "review_comments" => format!(" on {} line {}", text(value, &["path"]), text(value, &["line", "position"])),
        "discussion_comments" if value.get("deletedAt").is_some_and(Value::is_string) => " (deleted)".to_owned(),
        "discussion_comments" if value.get("isAnswer") == Some(&Value::Bool(true)) => " (the answer)".to_owned(),
        _ => String::new(),
    };
    page.raw("<article>");
    page.line(&format!("{by}, {at}{what}"));
    page.hunk(own(value, &["diff_hunk"]));
    page.body(own(value, &["body"]));
    page.raw(&files(site, (place, repository, kind), value));
    page.raw("</article>");
}

/// What an event is about: a label, a milestone, a person, a title, a commit.
fn of_event(value: &Value) -> String {
    let inner = |field: &str, names: &[&str]| value.get(field).map(|one| text(one, names)).unwrap_or_default();
    let words = [
        inner("label", &["name"]),
        inner("milestone", &["title"]),
        inner("assignee", &["login"]),
        inner("rename", &["to"]),
        text(value, &["new_title", "new_ref", "ref_commit_sha", "commit_id"]),
    ];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Links to the files of an entry, as far as they are there.
pub(super) fn files(site: &mut Site<'_>, (place, repository, kind): (&str, &str, &str), value: &Value) -> String {
    let mut out = String::new();
    for asset in value.get("assets").and_then(Value::as_array).into_iter().flatten() {
        let (Some(id), name) = (asset.get("id").and_then(Value::as_i64), text(asset, &["name"])) else { continue };
        let path = format!("{repository}/{}/{kind}-{id}-{}", crate::forge::FILES, plain(&name));
        let there = site.from.join(&path).is_file();
        let copied = there && site.copy(&path).is_ok();
        let shown =
            if copied { site.link(place, &path, &name) } else { format!("{} (not in this snapshot)", esc(&name)) };
        out.extend(["<p>File: ", &shown, "</p>"]);
    }
    out
}
