//! Comments.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    super::{
        super::Provider,
        BackResult,
        words::{body, limit, mark, text, words},
        writer::{put, refused},
    },
    Lab, files,
};

/// What is there of a thread: by their marks, the discussions that comments stand in, and whether these are resolved.
pub(super) type There = HashMap<String, (String, bool)>;

/// Where a comment is made, and where one is looked for.
pub(super) struct Place<'a> {
    pub(super) to: &'a str,
    pub(super) listed: &'a str,
}

/// The comments of ours below `path`.
pub(super) fn there(lab: &mut Lab<'_, '_>, path: &str) -> BackResult<There> {
    let mut there = There::new();
    lab.w.each(path, &mut |value| {
        for note in notes(&value) {
            if let Some(mark) = mark(text(note, "body")) {
                let resolved = note.get("resolved").and_then(Value::as_bool) == Some(true);
                there.insert(mark.to_owned(), (text(&value, "id").to_owned(), resolved));
            }
        }
    })?;
    Ok(there)
}

/// The comments of a discussion, or the one that an entry is.
fn notes(value: &Value) -> impl Iterator<Item = &Value> {
    let of = value.get("notes").and_then(Value::as_array);
    of.into_iter().flatten().chain(of.is_none().then_some(value))
}

/// Makes an entry as comments as far as these are not there; gives what the first is answered with, where it is made now.
pub(super) fn make(
    lab: &mut Lab<'_, '_>,
    place: &Place<'_>,
    (kind, head): (&'static str, &[String]),
    (entry, there): (&Value, &There),
) -> BackResult<Option<Value>> {
    let id = format!("{kind}/{}", entry.get("id").and_then(Value::as_i64).unwrap_or_default());
    parts(lab, place, (kind, &id, 0), head, (entry, there))
}

/// Makes the parts of a text from the one at `from` on.
pub(super) fn parts(
    lab: &mut Lab<'_, '_>,
    place: &Place<'_>,
    (kind, id, from): (&'static str, &str, usize),
    head: &[String],
    (entry, there): (&Value, &There),
) -> BackResult<Option<Value>> {
    let limit = limit(Provider::Gitlab);
    let known = words(id, &[], body(entry), limit).parts;
    if known.iter().skip(from).all(|(_, id)| there.contains_key(id)) {
        for _ in known.iter().skip(from) {
            lab.w.report.there(kind);
        }
        return Ok(None);
    }
    let ready = files::ready(lab, kind, entry)?;
    let mut first = None;
    for (body, id) in words(id, head, &ready, limit).parts.iter().skip(from) {
        if there.contains_key(id) {
            lab.w.report.there(kind);
            continue;
        }
        let mut value = json!({ "body": body });
        let at = ["created_at", "submitted_at"].into_iter().map(|field| text(entry, field)).find(|at| !at.is_empty());
        if let Some(at) = at {
            put(&mut value, "created_at", json!(at));
        }
        if ["internal", "confidential"].into_iter().any(|field| entry.get(field) == Some(&Value::Bool(true))) {
            put(&mut value, "internal", json!(true));
        }
        let is_it = |value: &Value| notes(value).any(|note| mark(text(note, "body")) == Some(id.as_str()));
        match lab.w.create((place.to, &value), place.listed, &is_it)? {
            Ok(made) => {
                lab.w.report.made(kind);
                first = first.or(Some(made));
            }
            Err(why) => lab.w.report.lacks(kind, id, &refused(&why)),
        }
    }
    Ok(first)
}
