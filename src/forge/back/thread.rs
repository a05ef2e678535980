//! What was said of an issue or a pull request, and the files of it.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{
    super::{
        FILES, Provider,
        lines::{self, Part},
        link::segment,
        uploads::plain as file_name,
    },
    BackResult,
    words::{author, body, limit, mark, plain, text, time, words},
    writer::{Writer, refused},
};

/// The longest name of a file that is sent as it is.
const NAME: usize = 255;

/// Comments that are there, by their marks.
type There = HashMap<String, i64>;

/// The lines above what stands in a thread.
pub(super) fn said(kind: &str, entry: &Value) -> Vec<String> {
    let (by, at) = (author(entry), time(entry));
    match kind {
        "reviews" => vec![format!("{by} reviewed at {at}: {}", plain(text(entry, "state")))],
        "review_comments" => {
            let line = ["line", "position", "original_line", "original_position"];
            let line = line.into_iter().find_map(|field| entry.get(field).and_then(Value::as_i64).filter(|n| *n > 0));
            let place = line.map_or_else(String::new, |line| format!(" line {line}"));
            let hunk = text(entry, "diff_hunk");
            let fence = "`".repeat(hunk.split(|c: char| c != '`').map(str::len).max().unwrap_or_default().max(2) + 1);
            let hunk = if hunk.is_empty() { String::new() } else { format!("{fence}diff\n{hunk}\n{fence}") };
            vec![format!("{by} wrote at {at} on {}{place}:", plain(text(entry, "path"))), hunk]
        }
        _ => vec![format!("{by} wrote at {at}:")],
    }
}

/// Whether it is a review that says nothing but what is on lines.
pub(super) fn says_nothing(kind: &str, value: &Value) -> bool {
    kind == "reviews" && text(value, "body").is_empty() && text(value, "state").starts_with("COMMENT")
}

/// Makes what is missing of a thread, and its files.
pub(super) fn make(
    writer: &mut Writer<'_>,
    (number, entry): (i64, &Value),
    (parts, there): (&mut [Part], &There),
) -> BackResult<()> {
    let limit = limit(writer.provider);
    files(writer, ("issues", &format!("/issues/{number}/assets")), entry)?;
    // What of the issue's own text did not fit.
    let own = words(&writer.called(number), &[], body(entry), limit);
    for (body, id) in own.parts.iter().skip(1) {
        comment(writer, (number, "issues"), (body, id), there)?;
    }
    let unreadable = |writer: &Writer<'_>, e| writer.unreadable("comments", e);
    for (at, place) in lines::thread(parts, number).map_err(|e| unreadable(writer, e))? {
        let Some(part) = parts.get_mut(at) else { continue };
        let kind = part.kind;
        let Some(value) = part.at(place).map_err(|e| unreadable(writer, e))? else { continue };
        if says_nothing(kind, &value) {
            continue;
        }
        let id = format!("{kind}/{}", value.get("id").and_then(Value::as_i64).unwrap_or_default());
        let made = words(&id, &said(kind, &value), text(&value, "body"), limit);
        let mut own = None;
        for (body, id) in &made.parts {
            let made = comment(writer, (number, kind), (body, id), there)?;
            own = own.or(made);
        }
        if let Some(own) = own {
            files(writer, (kind, &format!("/issues/comments/{own}/assets")), &value)?;
        }
    }
    Ok(())
}

/// Makes a comment if it is not there; gives its id.
fn comment(
    writer: &mut Writer<'_>,
    (number, kind): (i64, &'static str),
    (body, id): (&str, &str),
    there: &There,
) -> BackResult<Option<i64>> {
    if let Some(known) = there.get(id) {
        writer.report.there(kind);
        return Ok(Some(*known));
    }
    let path = format!("/issues/{number}/comments");
    let (url, value) = (writer.url(&path), json!({ "body": body }));
    let sent = writer.once(&mut |client| client.send("POST", &url, &value), &mut |writer| {
        let mut found = None;
        writer.each(&path, &mut |value| {
            if mark(text(&value, "body")) == Some(id) {
                found = Some(value);
            }
        })?;
        Ok(found)
    })?;
    match sent {
        Ok(made) => {
            writer.report.made(kind);
            if kind != "comments" && kind != "issues" {
                writer.report.differs(kind, id, "it is a comment that says where it stood and what it was");
            }
            Ok(made.get("id").and_then(Value::as_i64))
        }
        Err(why) => {
            writer.report.lacks(kind, id, &refused(&why));
            Ok(None)
        }
    }
}

/// Sends the files of an entry that are not there.
fn files(writer: &mut Writer<'_>, (kind, path): (&str, &str), entry: &Value) -> BackResult<()> {
    let Some(assets) = entry.get("assets").and_then(Value::as_array).filter(|all| !all.is_empty()) else {
        return Ok(());
    };
    if writer.provider != Provider::Gitea {
        let why = "GitHub's API takes no files of issues and comments; they are in the snapshot";
        writer.report.note(("files", false), (assets.len() as u64, &[]), why);
        return Ok(());
    }
    let mut there = Sent::default();
    writer.each(path, &mut |value| there.add(&value))?;
    for asset in assets {
        file(writer, (kind, path), asset, &mut there)?;
    }
    Ok(())
}

/// Files that are there, by name and length: several may be called alike.
#[derive(Default)]
pub(super) struct Sent {
    all: BTreeMap<(String, Option<u64>), u64>,
    /// Those that stand for none of the snapshot's yet.
    left: BTreeMap<(String, Option<u64>), u64>,
}

impl Sent {
    fn key(value: &Value) -> (String, Option<u64>) {
        (text(value, "name").to_owned(), value.get("size").and_then(Value::as_u64))
    }

    /// Notes one that the forge tells of.
    pub(super) fn add(&mut self, value: &Value) {
        let key = Self::key(value);
        *self.left.entry(key.clone()).or_default() += 1;
        *self.all.entry(key).or_default() += 1;
    }

    /// Takes one of these names that stands for none yet.
    fn take(&mut self, names: &[&str], size: Option<u64>) -> bool {
        let keys = names.iter().flat_map(|name| [size, None].map(|size| ((*name).to_owned(), size)));
        for key in keys {
            if let Some(n) = self.left.get_mut(&key).filter(|n| **n > 0) {
                *n -= 1;
                return true;
            }
        }
        false
    }

    /// Of all that the forge tells of now, one more than were known that `is`.
    fn more(&self, told: Vec<Value>, is: &dyn Fn(&Value) -> bool) -> Option<Value> {
        let known: u64 =
            self.all.iter().filter(|((name, size), _)| is(&json!({"name": name, "size": size}))).map(|(_, n)| n).sum();
        let mut fit: Vec<Value> = told.into_iter().filter(|value| is(value)).collect();
        (fit.len() as u64 > known).then(|| fit.pop()).flatten()
    }
}

/// What a file is called when it is sent.
fn name_of(provider: Provider, told: &str) -> String {
    let odd = |c: char| c.is_control() || matches!(c, '/' | '\\');
    // GitHub gives a file of a release another name than it is told, where that has other signs.
    let may =
        provider == Provider::Gitea && told.len() <= NAME && !matches!(told, "" | "." | "..") && !told.contains(odd);
    if may { told.to_owned() } else { file_name(told) }
}

/// Sends one file, if it is in the snapshot and not there.
pub(super) fn file(
    writer: &mut Writer<'_>,
    (kind, path): (&str, &str),
    asset: &Value,
    there: &mut Sent,
) -> BackResult<()> {
    let (id, told) = (asset.get("id").and_then(Value::as_i64).unwrap_or_default(), text(asset, "name"));
    let (name, plain) = (name_of(writer.provider, told), file_name(told));
    let held = writer.from.join(writer.name).join(FILES).join(format!("{kind}-{id}-{plain}"));
    let length = held.metadata().ok().filter(std::fs::Metadata::is_file).map(|known| known.len());
    if there.take(&[&name, told, &plain], length.or_else(|| asset.get("size")?.as_u64())) {
        writer.report.there("files");
        return Ok(());
    }
    if length.is_none() {
        writer.report.lacks("files", &name, "the snapshot does not have it");
        return Ok(());
    }
    let github = writer.provider == Provider::Github;
    let url = format!("{}?name={}", if github { writer.uploads(path) } else { writer.url(path) }, segment(&name));
    let sent = writer.once(
        &mut |client| {
            if github {
                client.send_bytes("POST", &url, &held)
            } else {
                client.send_file(&url, ("attachment", &plain), &held)
            }
        },
        &mut |writer| {
            let mut told = Vec::new();
            writer.each(path, &mut |value| told.push(value))?;
            let is = |value: &Value| {
                text(value, "name") == name
                    && value.get("size").and_then(Value::as_u64).is_none_or(|n| Some(n) == length)
            };
            Ok(there.more(told, &is))
        },
    )?;
    match sent {
        Ok(_) => {
            writer.report.made("files");
            *there.all.entry((name.clone(), length)).or_default() += 1;
            if name != told {
                writer.report.differs("files", told, "the forge is told a plainer name of it");
            }
        }
        Err(why) => writer.report.lacks("files", &name, &refused(&why)),
    }
    Ok(())
}
