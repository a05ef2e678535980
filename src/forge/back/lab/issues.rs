//! Issues, each with its own number; and what was a pull request elsewhere, since numbers are one count there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::{
        super::{Provider, SourceError, lines},
        BackResult,
        issues::{Held, THREADS, first, head},
        thread::{said, says_nothing},
        words::{body, limit, mark, text, words},
        writer::{put, refused},
    },
    Lab, files,
    said::{self as comments, Place, There},
};

/// The comments of GitLab's issues.
const NOTES: &[&str] = &["issue_notes"];

/// An issue that is there.
struct Made {
    closed: bool,
    /// How many comments people made.
    said: u64,
}

/// Makes all of them. A project that is `fresh` has none.
pub(super) fn make(lab: &mut Lab<'_, '_>, fresh: bool) -> BackResult<()> {
    let mut held = Held::open(lab.w, if lab.alike { NOTES } else { THREADS })?;
    let mut there = if fresh { BTreeMap::new() } else { there(lab)? };
    let numbers: Vec<i64> = held.places.keys().copied().collect();
    for number in numbers {
        let unreadable = |lab: &Lab<'_, '_>, e| lab.w.unreadable("issues", e);
        let Some((entry, pull)) = held.entry(number).map_err(|e| unreadable(lab, e))? else { continue };
        let made = there.remove(&number);
        if made.is_some() {
            lab.w.report.there("issues");
        } else if !one(lab, number, (&entry, pull.as_ref()))? {
            continue;
        }
        let listed = format!("/issues/{number}/notes?sort=asc&order_by=created_at");
        let said =
            if made.as_ref().is_some_and(|made| made.said > 0) { comments::there(lab, &listed)? } else { There::new() };
        thread(lab, (number, &entry), &mut held.parts, (&listed, &said))?;
        let closed = made.is_some_and(|made| made.closed);
        if !closed && matches!(text(&entry, "state"), "closed" | "merged") {
            let path = format!("/issues/{number}");
            if let Err(why) = lab.w.change("PUT", &path, &json!({"state_event": "close"}))? {
                lab.w.report.lacks("issues", &number.to_string(), &format!("its state: {}", refused(&why)));
            }
        }
    }
    Ok(())
}

/// What is there; anything that no restore of this made is an error.
fn there(lab: &mut Lab<'_, '_>) -> BackResult<BTreeMap<i64, Made>> {
    let (mut there, mut other) = (BTreeMap::new(), None);
    let name = lab.w.name;
    lab.w.each("/issues?scope=all&state=all&order_by=created_at&sort=asc", &mut |value| {
        let Some(number) = lines::number(&value) else { return };
        if mark(text(&value, "description")) == Some(format!("{name}#{number}").as_str()) {
            let said = value.get("user_notes_count").and_then(Value::as_u64).unwrap_or(1);
            there.insert(number, Made { closed: text(&value, "state") == "closed", said });
        } else {
            other = Some(number);
        }
    })?;
    match other {
        Some(number) => Err(lab.w.occupied(&format!("number {number}"))),
        None => Ok(there),
    }
}

/// Makes an issue, open. Tells whether it was taken: its number is its own, so that of no other is wrong where it was not.
fn one(lab: &mut Lab<'_, '_>, number: i64, (entry, pull): (&Value, Option<&Value>)) -> BackResult<bool> {
    let id = lab.w.called(number);
    let ready = files::ready(lab, "issues", entry)?;
    let made = words(&id, &head(entry, pull, true), &ready, limit(Provider::Gitlab));
    let mut value = lab.common(("issues", number), entry)?;
    for (field, with) in [("iid", json!(number)), ("description", json!(first(&made)))] {
        put(&mut value, field, with);
    }
    // What others must not read, they must not read here.
    for field in ["created_at", "issue_type", "due_date", "confidential"] {
        if let Some(with) = entry.get(field).filter(|with| !with.is_null() && **with != "issue") {
            put(&mut value, field, with.clone());
        }
    }
    let is_it =
        |value: &Value| lines::number(value) == Some(number) && mark(text(value, "description")) == Some(id.as_str());
    let listed = format!("/issues?scope=all&state=all&iids%5B%5D={number}");
    let sent = match lab.w.create(("/issues", &value), &listed, &is_it)? {
        // Of a number that is taken.
        Err((409, _)) => return Err(lab.w.occupied(&format!("number {number}"))),
        sent => sent,
    };
    let made = match sent {
        Ok(made) => made,
        Err(why) => {
            lab.w.report.lacks(
                "issues",
                &number.to_string(),
                &format!("{}; nor are its comments there", refused(&why)),
            );
            return Ok(false);
        }
    };
    let got = lines::number(&made).unwrap_or_default();
    if got != number {
        let what = format!(
            "GitLab gave the number {got} where {number} was asked for: the token's user must be an owner of the project. \
             Delete the project, and give the token of an owner"
        );
        return Err(SourceError::new(what, lab.w.report.into.clone()).into());
    }
    lab.w.report.made("issues");
    if pull.is_some() {
        let why = "it is an issue, so that its number is the same; one that is open and has its branches is a merge request besides";
        lab.w.report.differs("pulls", &number.to_string(), why);
    }
    Ok(true)
}

/// Makes what is missing of a thread.
fn thread(
    lab: &mut Lab<'_, '_>,
    (number, entry): (i64, &Value),
    parts: &mut [lines::Part],
    (listed, there): (&str, &There),
) -> BackResult<()> {
    let to = format!("/issues/{number}/notes");
    let place = Place { to: &to, listed };
    if body(entry).len() > limit(Provider::Gitlab) {
        let id = lab.w.called(number);
        comments::parts(lab, &place, ("issues", &id, 1), &[], (entry, there))?;
    }
    let unreadable = |lab: &Lab<'_, '_>, e| lab.w.unreadable("comments", e);
    for (at, line) in lines::thread(parts, number).map_err(|e| unreadable(lab, e))? {
        let Some(part) = parts.get_mut(at) else { continue };
        let kind = part.kind;
        let Some(value) = part.at(line).map_err(|e| unreadable(lab, e))? else { continue };
        if says_nothing(kind, &value) {
            continue;
        }
        if value.get("system").and_then(Value::as_bool) == Some(true) {
            lab.w.report.note(("events", false), (1, &[]), EVENTS);
            continue;
        }
        let made = comments::make(lab, &place, (kind, &said(kind, &value)), (&value, there))?;
        if made.is_some() && matches!(kind, "reviews" | "review_comments") {
            let id = format!("{kind}/{}", value.get("id").and_then(Value::as_i64).unwrap_or_default());
            lab.w.report.differs(kind, &id, "it is a comment that says where it stood and what it was");
        }
    }
    Ok(())
}

/// What is said of comments that the system made.
pub(super) const EVENTS: &str =
    "GitLab itself wrote it of an event, and a restore does not make it; the lines are in the snapshot";
