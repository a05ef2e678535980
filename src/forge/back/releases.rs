//! Releases with their files. A release whose tag is not there is not made: the forge would make a tag of its own for it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    BackResult, thread,
    words::{author, limit, login, plain, text, time, words},
    writer::{Writer, refused},
};

/// Makes all of them, the oldest first. A repository that is `fresh` has none, and no tag.
pub(super) fn make(writer: &mut Writer<'_>, fresh: bool) -> BackResult<()> {
    let mut lines = writer.lines("releases")?;
    let mut places = Vec::new();
    while let Some((at, value)) = lines.next().map_err(|e| writer.unreadable("releases", e))? {
        places.push((text(&value, "created_at").to_owned(), at));
    }
    places.sort();
    let mut there = BTreeMap::new();
    if !fresh && !places.is_empty() {
        writer.each("/releases", &mut |value| {
            there.insert(text(&value, "tag_name").to_owned(), value);
        })?;
    }
    for (_, at) in places {
        if let Some(release) = lines.at(at).map_err(|e| writer.unreadable("releases", e))? {
            one(writer, &release, &there)?;
        }
    }
    Ok(())
}

fn one(writer: &mut Writer<'_>, release: &Value, there: &BTreeMap<String, Value>) -> BackResult<()> {
    let tag = text(release, "tag_name");
    let made = if let Some(known) = there.get(tag) {
        writer.report.there("releases");
        Some(known.clone())
    } else {
        create(writer, release, tag)?
    };
    let assets = release.get("assets").and_then(Value::as_array).filter(|all| !all.is_empty());
    let (Some(made), Some(assets)) = (made, assets) else { return Ok(()) };
    let Some(id) = made.get("id").and_then(Value::as_i64) else { return Ok(()) };
    let names = made.get("assets").and_then(Value::as_array).into_iter().flatten();
    let mut there = thread::Sent::default();
    names.for_each(|asset| there.add(asset));
    for asset in assets {
        thread::file(writer, ("releases", &format!("/releases/{id}/assets")), asset, &mut there)?;
    }
    Ok(())
}

fn create(writer: &mut Writer<'_>, release: &Value, tag: &str) -> BackResult<Option<Value>> {
    let flag = |field: &str| release.get(field).and_then(Value::as_bool).unwrap_or_default();
    if !writer.has_ref("tag", tag)? {
        writer.report.lacks("releases", tag, "its tag is not in the target: push the code, and restore again");
        return Ok(None);
    }
    let limit = limit(writer.provider);
    let head = format!("{} published this at {}:", publisher(release), time(release));
    let body = words(&format!("release/{tag}"), &[head], text(release, "body"), limit);
    if body.parts.len() > 1 {
        writer.report.lacks("releases", tag, "its text is longer than the forge takes, and was cut");
    }
    let body = body.parts.into_iter().next().map(|(text, _)| text).unwrap_or_default();
    let value = json!({
        "tag_name": tag, "name": text(release, "name"), "body": body, "draft": flag("draft"), "prerelease": flag("prerelease"),
    });
    let url = writer.url("/releases");
    let sent = writer.once(&mut |client| client.send("POST", &url, &value), &mut |writer| {
        let mut found = None;
        writer.each("/releases", &mut |value| {
            if text(&value, "tag_name") == tag {
                found = Some(value);
            }
        })?;
        Ok(found)
    })?;
    match sent {
        Ok(made) => {
            writer.report.made("releases");
            Ok(Some(made))
        }
        Err(why) => {
            writer.report.lacks("releases", tag, &refused(&why));
            Ok(None)
        }
    }
}

/// Who published it.
pub(super) fn publisher(release: &Value) -> String {
    match release.get("author").filter(|author| author.is_object()) {
        Some(by) => plain(login(by)),
        None => author(release),
    }
}
