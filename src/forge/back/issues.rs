//! Issues and pull requests with their threads, in the order of their numbers.

use std::fmt::Write as _;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{
    super::{
        Provider, SourceError,
        lines::{self, Lines, Part, number},
        send::Sent,
    },
    BackResult,
    numbers::{AS_ISSUE, BEYOND, GAP, REFUSED, forked, reach},
    thread,
    words::{Words, author, body, limit, logins, mark, plain, text, time, words},
    writer::{Writer, put, refused},
};

/// What belongs to threads and is made as comments.
pub(super) const THREADS: &[&str] = &["comments", "reviews", "review_comments"];

/// An issue that is there.
struct Made {
    /// What its mark says.
    mark: String,
    closed: bool,
    pull: bool,
    /// Whether it has neither labels nor a milestone.
    bare: bool,
}

/// What is there already.
#[derive(Default)]
struct There {
    /// Issues by number.
    issues: BTreeMap<i64, Made>,
    /// Comments by their marks.
    comments: HashMap<String, i64>,
}

/// What the snapshot has of them.
pub(super) struct Held {
    issues: Lines,
    pulls: Lines,
    /// Where each number stands, among issues and among pull requests.
    pub(super) places: BTreeMap<i64, (Option<u64>, Option<u64>)>,
    pub(super) parts: Vec<Part>,
}

impl Held {
    /// Reads where everything stands. `threads` are the kinds that threads are of.
    pub(super) fn open(writer: &Writer<'_>, threads: &[&'static str]) -> BackResult<Self> {
        let mut places = BTreeMap::<i64, (Option<u64>, Option<u64>)>::new();
        let (mut issues, mut pulls) = (writer.lines("issues")?, writer.lines("pulls")?);
        let unreadable = |kind: &'static str| move |e| writer.unreadable(kind, e);
        while let Some((at, value)) = issues.next().map_err(unreadable("issues"))? {
            if let Some(number) = number(&value).filter(|number| *number > 0) {
                places.entry(number).or_default().0 = Some(at);
            }
        }
        while let Some((at, value)) = pulls.next().map_err(unreadable("pulls"))? {
            if let Some(number) = number(&value).filter(|number| *number > 0) {
                places.entry(number).or_default().1 = Some(at);
            }
        }
        let parts = lines::parts(writer.from, writer.name, threads).map_err(unreadable("comments"))?;
        Ok(Self { issues, pulls, places, parts })
    }

    /// An issue, and what it is besides as a pull request.
    pub(super) fn entry(&mut self, number: i64) -> std::io::Result<Option<(Value, Option<Value>)>> {
        let Some((issue, pull)) = self.places.get(&number).copied() else { return Ok(None) };
        let issue = issue.map(|at| self.issues.at(at)).transpose()?.flatten();
        let pull = pull.map(|at| self.pulls.at(at)).transpose()?.flatten();
        Ok(issue.or_else(|| pull.clone()).map(|entry| (entry, pull)))
    }
}

/// Makes all of them. A repository that is `fresh` has none.
pub(super) fn make(writer: &mut Writer<'_>, fresh: bool) -> BackResult<()> {
    let mut held = Held::open(writer, THREADS)?;
    let mut there = if fresh { There::default() } else { there(writer)? };
    let last = reach(held.places.keys().copied());
    for (number, (issue, _)) in held.places.range(last + 1..) {
        writer.report.lacks(if issue.is_some() { "issues" } else { "pulls" }, &number.to_string(), BEYOND);
    }
    let next = there.issues.keys().next_back().map_or(1, |last| last + 1);
    if let Some((number, _)) = there.issues.iter().find(|(number, made)| !is_of(writer, **number, &made.mark)) {
        return Err(writer.occupied(&format!("number {number}")));
    }
    let mut gaps = Vec::new();
    for number in 1..=last {
        let unreadable = |writer: &Writer<'_>, e| writer.unreadable("issues", e);
        let entry = held.entry(number).map_err(|e| unreadable(writer, e))?;
        let Some((entry, pull)) = entry else {
            if number >= next {
                keep(writer, number)?;
            }
            let closed = there.issues.get(&number).map(|made| made.closed);
            if number >= next || closed.is_some() {
                gaps.push((number, closed == Some(true)));
            }
            continue;
        };
        let closed = match there.issues.remove(&number) {
            Some(made) => {
                known(writer, number, &made, (&entry, pull.as_ref()))?;
                made.closed
            }
            // One that was made and is gone: somebody deleted it, and its number does not come back.
            None if number < next => {
                writer.report.lacks("issues", &number.to_string(), "it was made before and is gone from there");
                continue;
            }
            None => {
                one(writer, number, (&entry, pull.as_ref()))?;
                false
            }
        };
        // Only now: whoever goes on later finds by the highest number which is next.
        for (number, closed) in gaps.drain(..) {
            give_up(writer, number, closed)?;
        }
        thread::make(writer, (number, &entry), (&mut held.parts, &there.comments))?;
        if !closed && text(&entry, "state") == "closed" {
            close(writer, number)?;
        }
    }
    Ok(())
}

fn is_of(writer: &Writer<'_>, number: i64, mark: &str) -> bool {
    mark == writer.called(number) || mark == format!("{GAP}{number}") || mark == format!("{REFUSED}{number}")
}

/// Goes on with one that is there.
fn known(writer: &mut Writer<'_>, number: i64, made: &Made, (entry, pull): (&Value, Option<&Value>)) -> BackResult<()> {
    if made.mark == format!("{REFUSED}{number}") {
        again(writer, number, (entry, pull))?;
    } else {
        writer.report.there(if made.pull { "pulls" } else { "issues" });
    }
    if let Some(pull) = pull.filter(|_| !made.pull)
        && branches(writer, number, pull)?.is_some()
    {
        writer.report.lacks("pulls", &number.to_string(), AS_ISSUE);
    }
    // A run that was killed may have made it without these, which GitHub takes by a call of their own.
    if made.pull && made.bare && writer.provider == Provider::Github {
        let mut common = common(writer, entry)?;
        common.as_object_mut().map(|fields| fields.remove("title"));
        if common.get("milestone").is_some() || common.get("labels").is_some_and(|all| *all != json!([])) {
            patch(writer, number, &common)?;
        }
    }
    Ok(())
}

/// What is there, of whoever made it.
fn there(writer: &mut Writer<'_>) -> BackResult<There> {
    let mut there = There::default();
    writer.each("/issues?state=all", &mut |value| {
        if let Some(number) = number(&value) {
            let mark = mark(text(&value, "body")).unwrap_or_default().to_owned();
            let pull = value.get("pull_request").is_some_and(Value::is_object);
            let closed = text(&value, "state") == "closed";
            let labels = value.get("labels").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
            let bare = !labels && !value.get("milestone").is_some_and(Value::is_object);
            there.issues.insert(number, Made { mark, closed, pull, bare });
        }
    })?;
    if !there.issues.is_empty() {
        writer.each("/issues/comments", &mut |value| {
            let (mark, id) = (mark(text(&value, "body")), value.get("id").and_then(Value::as_i64));
            if let (Some(mark), Some(id)) = (mark, id) {
                there.comments.insert(mark.to_owned(), id);
            }
        })?;
    }
    Ok(there)
}

/// The issue of a number, if it has our mark.
fn found(writer: &mut Writer<'_>, number: i64, wanted: &str) -> BackResult<Option<Value>> {
    let url = writer.url(&format!("/issues/{number}"));
    let Some(value) = writer.find(&url)? else { return Ok(None) };
    if mark(text(&value, "body")) == Some(wanted) {
        Ok(Some(value))
    } else {
        Err(writer.occupied(&format!("number {number}")))
    }
}

/// Keeps a number that the snapshot has nothing of, by an issue.
fn keep(writer: &mut Writer<'_>, number: i64) -> BackResult<()> {
    let id = format!("{GAP}{number}");
    let made = words(&id, &["The backup has nothing of this number.".to_owned()], "", usize::MAX);
    let value = json!({"title": format!("(number {number} is not in the backup)"), "body": first(&made)});
    posted(writer, "/issues", number, (&value, &id))?.map_err(|why| {
        SourceError::new(format!("number {number} can't be kept: {}", refused(&why)), writer.report.into.clone())
    })?;
    Ok(())
}

/// Deletes what kept a number, or closes it where no issue can be deleted.
fn give_up(writer: &mut Writer<'_>, number: i64, closed: bool) -> BackResult<()> {
    if writer.provider == Provider::Gitea {
        let url = writer.url(&format!("/issues/{number}"));
        // Who may not delete may close; a deletion whose answer did not come is looked after.
        let gone = match writer.client.send("DELETE", &url, &Value::Null)? {
            Sent::Done(_) | Sent::Refused(404, _) => true,
            Sent::Unsure(_) => writer.find(&url)?.is_none(),
            Sent::Refused(..) => false,
        };
        if gone {
            return Ok(());
        }
    }
    let why = "the snapshot has nothing of this number, and a closed issue keeps it";
    writer.report.differs("numbers", &number.to_string(), why);
    if closed { Ok(()) } else { close(writer, number) }
}

/// Makes something that takes the next number, which has to be `number`.
fn posted(
    writer: &mut Writer<'_>,
    path: &str,
    number: i64,
    (value, id): (&Value, &str),
) -> BackResult<Result<Value, (u16, String)>> {
    let url = writer.url(path);
    let sent = writer.once(&mut |client| client.send("POST", &url, value), &mut |writer| found(writer, number, id))?;
    if let Ok(made) = &sent
        && lines::number(made) != Some(number)
    {
        let got = lines::number(made).unwrap_or_default();
        return Err(
            writer.occupied(&format!("number {got} where {number} was next: somebody makes issues there meanwhile"))
        );
    }
    Ok(sent)
}

/// What issues and pull requests have in common: title, labels, milestone.
fn common(writer: &mut Writer<'_>, entry: &Value) -> BackResult<Value> {
    let mut labels = Vec::new();
    for label in entry.get("labels").and_then(Value::as_array).into_iter().flatten() {
        labels.extend(writer.label(label)?);
    }
    let mut common = json!({"title": title(entry), "labels": labels});
    if let Some(milestone) = writer.milestone(entry) {
        put(&mut common, "milestone", milestone);
    }
    Ok(common)
}

/// Why something was not taken, for the report.
fn not_taken(why: &(u16, String)) -> String {
    format!("{}; an issue without its title and text keeps the number, and has its comments", refused(why))
}

/// Keeps the number of something that the forge does not take, by an issue that has its thread.
fn stand_in(
    writer: &mut Writer<'_>,
    number: i64,
    (entry, pull): (&Value, Option<&Value>),
    why: &(u16, String),
) -> BackResult<()> {
    let id = format!("{REFUSED}{number}");
    let mut lines = head(entry, pull, true);
    lines.push("The forge did not take its title and text.".to_owned());
    let made = words(&id, &lines, "", usize::MAX);
    let value = json!({"title": format!("(number {number} was not taken)"), "body": first(&made)});
    posted(writer, "/issues", number, (&value, &id))?.map_err(|why| {
        SourceError::new(format!("number {number} can't be kept: {}", refused(&why)), writer.report.into.clone())
    })?;
    writer.report.lacks("issues", &number.to_string(), &not_taken(why));
    Ok(())
}

/// Gives what keeps the number of something that was not taken its title and text, if they are taken now.
fn again(writer: &mut Writer<'_>, number: i64, (entry, pull): (&Value, Option<&Value>)) -> BackResult<()> {
    let mut value = common(writer, entry)?;
    let made = words(&writer.called(number), &head(entry, pull, true), body(entry), limit(writer.provider));
    put(&mut value, "body", json!(first(&made)));
    let path = format!("/issues/{number}");
    if let Err(why) = writer.change("PATCH", &path, &value)? {
        writer.report.lacks("issues", &number.to_string(), &not_taken(&why));
        return Ok(());
    }
    writer.report.made("issues");
    // Gitea takes labels by a call of their own.
    if let Some(labels) = value.get("labels").filter(|all| writer.provider == Provider::Gitea && **all != json!([])) {
        let labels = json!({ "labels": labels });
        if let Err(why) = writer.change("PUT", &format!("{path}/labels"), &labels)? {
            writer.report.lacks("issues", &number.to_string(), &format!("its labels: {}", refused(&why)));
        }
    }
    Ok(())
}

/// Makes an issue or a pull request, open.
fn one(writer: &mut Writer<'_>, number: i64, (entry, pull): (&Value, Option<&Value>)) -> BackResult<()> {
    let id = writer.called(number);
    let limit = limit(writer.provider);
    let mut common = common(writer, entry)?;
    if let Some(pull) = pull
        && let Some(branches) = branches(writer, number, pull)?
    {
        let made = words(&id, &head(entry, Some(pull), false), body(entry), limit);
        // GitHub takes labels and the milestone by a call of their own, below.
        let github = writer.provider == Provider::Github;
        let mut value = if github { json!({ "title": common.get("title") }) } else { common.clone() };
        let (head, base) = branches;
        for (field, with) in [("head", json!(head)), ("base", json!(base)), ("body", json!(first(&made)))] {
            put(&mut value, field, with);
        }
        match posted(writer, "/pulls", number, (&value, &id))? {
            Ok(_) => {
                writer.report.made("pulls");
                if github {
                    patch(writer, number, &common)?;
                }
                return Ok(());
            }
            Err(why) => {
                writer.report.lacks("pulls", &number.to_string(), &format!("{}; it is an issue", refused(&why)));
            }
        }
    }
    let made = words(&id, &head(entry, pull, true), body(entry), limit);
    put(&mut common, "body", json!(first(&made)));
    match posted(writer, "/issues", number, (&common, &id))? {
        Ok(_) => writer.report.made("issues"),
        Err(why) => stand_in(writer, number, (entry, pull), &why)?,
    }
    Ok(())
}

pub(super) fn first(made: &Words) -> &str {
    made.parts.first().map(|(text, _)| text.as_str()).unwrap_or_default()
}

pub(super) fn title(entry: &Value) -> &str {
    let title = text(entry, "title");
    if title.trim().is_empty() { "(without a title)" } else { title }
}

/// The branches of a pull request that can be made one again.
fn branches(writer: &mut Writer<'_>, number: i64, pull: &Value) -> BackResult<Option<(String, String)>> {
    let merged = pull.get("merged").and_then(Value::as_bool) == Some(true) || !text(pull, "merged_at").is_empty();
    let called = number.to_string();
    if merged {
        writer.report.differs("pulls", &called, "it was merged, which no API makes: it is a closed issue that says so");
        return Ok(None);
    }
    if forked(pull) {
        let why = "it came from another repository, whose branch the target has not: it is an issue that says so";
        writer.report.differs("pulls", &called, why);
        return Ok(None);
    }
    let branch = |field: &str| pull.get(field).map(|one| text(one, "ref").to_owned()).unwrap_or_default();
    let (head, base) = (branch("head"), branch("base"));
    if head.is_empty() || base.is_empty() || !writer.has_ref("branch", &head)? || !writer.has_ref("branch", &base)? {
        writer.report.lacks(
            "pulls",
            &called,
            "its branches are not in the target, so it is an issue: to have it as it was, delete the repository there, push the \
             code, and restore again",
        );
        return Ok(None);
    }
    Ok(Some((head, base)))
}

/// The lines above the text of an issue or a pull request.
pub(super) fn head(entry: &Value, pull: Option<&Value>, as_issue: bool) -> Vec<String> {
    let mut lines = vec![format!("{} wrote this at {}:", author(entry), time(entry))];
    if let Some(pull) = pull.filter(|_| as_issue) {
        let branch = |field: &str| plain(pull.get(field).map(|one| text(one, "ref")).unwrap_or_default());
        let mut line = format!("It was a pull request from {} into {}", branch("head"), branch("base"));
        if !text(pull, "merged_at").is_empty() {
            let _ = write!(line, ", merged at {}", plain(text(pull, "merged_at")));
        }
        if !text(pull, "merge_commit_sha").is_empty() {
            let _ = write!(line, " as {}", plain(text(pull, "merge_commit_sha")));
        }
        lines.push(format!("{line}."));
    }
    let assigned = logins(entry, "assignees");
    if !assigned.is_empty() {
        lines.push(format!("Assigned to {}.", assigned.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")));
    }
    if !text(entry, "closed_at").is_empty() {
        lines.push(format!("Closed at {}.", plain(text(entry, "closed_at"))));
    }
    lines
}

fn close(writer: &mut Writer<'_>, number: i64) -> BackResult<()> {
    patch(writer, number, &json!({"state": "closed"}))
}

/// Changes an issue; to do so twice is to do so once.
fn patch(writer: &mut Writer<'_>, number: i64, value: &Value) -> BackResult<()> {
    let url = writer.url(&format!("/issues/{number}"));
    let sent = writer.once(&mut |client| client.send("PATCH", &url, value), &mut |_| Ok(None))?;
    if let Err(why) = sent {
        writer.report.lacks("issues", &number.to_string(), &format!("its state or labels: {}", refused(&why)));
    }
    Ok(())
}
