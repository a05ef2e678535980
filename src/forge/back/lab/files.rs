//! What stands in texts besides words: links to uploads, which are sent and linked anew, and lines that GitLab would take for
//! commands.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    super::{
        super::{
            FILES,
            uploads::{plain, uploads},
        },
        BackResult,
        words::{body, text},
        writer::refused,
    },
    Lab,
};

/// No command is longer than this.
const LONGEST_COMMAND: usize = 80;

/// The text of an entry as GitLab is given it. Its files, which are of the kind `kind` if they have entries of their own, are
/// sent.
pub(super) fn ready(lab: &mut Lab<'_, '_>, kind: &str, entry: &Value) -> BackResult<String> {
    let mut ready = tame(&linked(lab, body(entry))?);
    for asset in entry.get("assets").and_then(Value::as_array).into_iter().flatten() {
        let (id, name) = (asset.get("id").and_then(Value::as_i64).unwrap_or_default(), plain(text(asset, "name")));
        let path = format!("{FILES}/{kind}-{id}-{name}");
        if let Some(url) = upload(lab, &path, &name)? {
            if name != text(asset, "name") {
                lab.w.report.differs("files", text(asset, "name"), "the forge is told a plainer name of it");
            }
            let _ = write!(ready, "\n\n[{name}]({url})");
        }
    }
    Ok(ready)
}

/// A text whose links to uploads of its project lead to those that are sent now.
fn linked(lab: &mut Lab<'_, '_>, body: &str) -> BackResult<String> {
    if !lab.alike {
        return Ok(body.to_owned());
    }
    let mut out = String::with_capacity(body.len());
    let mut done = 0;
    for one in uploads(body) {
        let before = body.get(done..one.at.start).unwrap_or_default();
        // A link of its own, or one with all of the project's place before it; any other is somebody else's.
        let home = lab.homes.iter().find(|home| before.ends_with(home.as_str())).map(String::len);
        let own = before.chars().next_back().is_none_or(|c| c.is_whitespace() || "(\"'=<>[]".contains(c));
        if home.is_none() && !own {
            continue;
        }
        let Some(url) = upload(lab, &one.path(), one.name)? else { continue };
        out.push_str(before.get(..before.len() - home.unwrap_or_default()).unwrap_or_default());
        out.push_str(&url);
        done = one.at.end;
    }
    out.push_str(body.get(done..).unwrap_or_default());
    Ok(out)
}

/// Sends a file of the snapshot to the project, and gives where texts link it.
fn upload(lab: &mut Lab<'_, '_>, path: &str, name: &str) -> BackResult<Option<String>> {
    if let Some(known) = lab.sent.get(path) {
        return Ok(Some(known.clone()));
    }
    let held = lab.w.from.join(lab.w.name).join(path);
    if !held.is_file() {
        lab.w.report.lacks("files", name, "the snapshot does not have it");
        return Ok(None);
    }
    let (url, name) = (lab.w.url("/uploads"), plain(name));
    // GitLab tells nobody which uploads there are with their links, so one that may have come is sent again.
    let sent = lab.w.once(&mut |client| client.send_file(&url, ("file", &name), &held), &mut |_| Ok(None))?;
    match sent {
        Ok(made) if text(&made, "url").starts_with("/uploads/") => {
            lab.w.report.made("files");
            lab.sent.insert(path.to_owned(), text(&made, "url").to_owned());
            Ok(Some(text(&made, "url").to_owned()))
        }
        Ok(_) => {
            lab.w.report.lacks("files", &name, "the forge does not tell where it put it");
            Ok(None)
        }
        Err(why) => {
            lab.w.report.lacks("files", &name, &refused(&why));
            Ok(None)
        }
    }
}

/// A text without commands: GitLab would carry out a line such as `/close`.
pub(super) fn tame(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        // GitLab takes these signs away before it looks.
        let seen: String = line.chars().filter(|c| *c != '\r').take(LONGEST_COMMAND).collect();
        let word = seen.strip_prefix('/').map(|rest| rest.split(char::is_whitespace).next().unwrap_or_default());
        if word.is_some_and(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')) {
            out.push('\\');
        }
        out.push_str(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_a_command() {
        assert_eq!(
            tame("a\n/close\r\n/merge now\nx /close\n/usr/bin/x\n/"),
            "a\n\\/close\r\n\\/merge now\nx /close\n/usr/bin/x\n/"
        );
        assert_eq!(tame("/assign_reviewer @me"), "\\/assign_reviewer @me");
        assert_eq!(tame("a\n\r/close\n/\rClose"), "a\n\\\r/close\n\\/\rClose");
    }
}
