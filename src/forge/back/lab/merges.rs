//! Merge requests. No API gives one its number, and none makes a merged one: they are made in order, and what was merged or has
//! no branches any longer stands on a branch of its own until it is closed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::{
        super::{Provider, SourceError, lines, lines::Part, send::Sent},
        BackResult,
        issues::{Held, first, title},
        numbers::{BEYOND, forked, reach},
        words::{author, limit, mark, text, time, words},
        writer::{put, refused},
    },
    Lab, files,
    issues::EVENTS,
    said::{self as comments, Place, There},
    told::{approvals, head, is_system, said},
};

/// The branch of merge requests that have none of their own.
const BRANCH: &str = "strongroom/numbers";
/// The mark of one that keeps a number.
const GAP: &str = "gap!";
/// The mark of one that keeps the number of what was not taken.
const REFUSED: &str = "refused!";
/// Why one is closed whose branches are there by now.
const CLOSED: &str = "it is closed, as it was made before, when its branches were not there: to have it as it was, delete the project \
                      there, push the code, and restore again";
const LISTED: &str = "/merge_requests?scope=all&state=all&order_by=created_at&sort=asc";
/// What a stream of threads is called.
const THREADS: &[&str] = &["discussions"];

/// Those that are there: by number, their marks, and whether they are open.
type Known = BTreeMap<i64, (String, bool)>;

fn known(lab: &mut Lab<'_, '_>) -> BackResult<Known> {
    let mut known = Known::new();
    lab.w.each(LISTED, &mut |value| {
        let mark = mark(text(&value, "description")).unwrap_or_default().to_owned();
        known.extend(lines::number(&value).map(|number| (number, (mark, text(&value, "state") == "opened"))));
    })?;
    Ok(known)
}

/// The merge requests of a snapshot of GitLab.
pub(super) fn make(lab: &mut Lab<'_, '_>, fresh: bool) -> BackResult<()> {
    let mut lines = lab.w.lines("merge_requests")?;
    let mut places = BTreeMap::new();
    while let Some((at, value)) = lines.next().map_err(|e| lab.w.unreadable("merge_requests", e))? {
        places.extend(lines::number(&value).map(|number| (number, at)));
    }
    if places.is_empty() {
        return Ok(());
    }
    let last = reach(places.keys().copied());
    for number in places.range(last + 1..).map(|(number, _)| *number).collect::<Vec<_>>() {
        lab.w.report.lacks("merge_requests", &number.to_string(), BEYOND);
    }
    let Some(base) = base(lab)? else {
        let why = "the target has no branch, which a merge request needs: push the code, and restore again";
        lab.w.report.note(("merge_requests", true), (places.len() as u64, &[]), why);
        return Ok(());
    };
    let mut there = if fresh { Known::new() } else { known(lab)? };
    let next = there.keys().next_back().map_or(1, |last| last + 1);
    let of = |lab: &Lab<'_, '_>, number: i64| format!("{}!{number}", lab.w.name);
    let is_ours = |lab: &Lab<'_, '_>, n: i64, mark: &str| {
        mark == of(lab, n) || mark == format!("{GAP}{n}") || mark == format!("{REFUSED}{n}")
    };
    if let Some((number, _)) = there.iter().find(|(n, (mark, _))| !is_ours(lab, **n, mark)) {
        return Err(lab.w.occupied(&format!("merge request {number}")));
    }
    let mut parts = lines::parts(lab.w.from, lab.w.name, THREADS).map_err(|e| lab.w.unreadable("discussions", e))?;
    let mut gaps = Vec::new();
    for number in 1..=last {
        let entry = places.get(&number).map(|at| lines.at(*at)).transpose();
        let Some(entry) = entry.map_err(|e| lab.w.unreadable("merge_requests", e))?.flatten() else {
            if number >= next {
                keep(lab, number, &base)?;
            } else if there.get(&number).is_some_and(|(_, open)| *open) {
                close(lab, number)?;
            }
            if number >= next || there.contains_key(&number) {
                gaps.push(number);
            }
            continue;
        };
        let known = there.remove(&number);
        let mut said = There::new();
        if let Some((mark, _)) = &known {
            if *mark == format!("{REFUSED}{number}") {
                again(lab, (number, &of(lab, number)), (&entry, &mut parts))?;
            } else {
                lab.w.report.there("merge_requests");
            }
            said = comments::there(lab, &format!("/merge_requests/{number}/discussions"))?;
        } else if number < next {
            let why = "it was made before and is gone from there";
            lab.w.report.lacks("merge_requests", &number.to_string(), why);
            continue;
        }
        let own = branches(lab, &entry)?;
        if known.as_ref().is_some_and(|(_, open)| !open) && text(&entry, "state") == "opened" {
            stays_closed(lab, number, (&entry, own));
        }
        if known.is_none() {
            let id = of(lab, number);
            one(lab, (number, &id), (&entry, own), (&base, &mut parts))?;
        }
        for number in gaps.drain(..) {
            give_up(lab, number)?;
        }
        thread(lab, number, &mut parts, &said)?;
        let to_close = text(&entry, "state") != "opened" || !own;
        if to_close && known.is_none_or(|(_, open)| open) {
            close(lab, number)?;
        }
    }
    let path = format!("/repository/branches/{}", super::super::link::segment(BRANCH));
    if lab.w.has_ref("branch", BRANCH)? {
        lab.w.change("DELETE", &path, &Value::Null)?.ok();
    }
    Ok(())
}

/// The branch that something is asked to be merged into where its own is gone: the project's.
fn base(lab: &mut Lab<'_, '_>) -> BackResult<Option<String>> {
    let url = lab.w.url("");
    let project = lab.w.find(&url)?.unwrap_or_default();
    let default = text(&project, "default_branch").to_owned();
    if !default.is_empty() && lab.w.has_ref("branch", &default)? {
        return Ok(Some(default));
    }
    let mut first = None;
    lab.w.each("/repository/branches", &mut |value| {
        let name = text(&value, "name");
        if first.is_none() && name != BRANCH {
            first = Some(name.to_owned());
        }
    })?;
    Ok(first)
}

fn is_forked(entry: &Value) -> bool {
    entry.get("source_project_id") != entry.get("target_project_id")
}

/// Says why one that was open is closed.
fn stays_closed(lab: &mut Lab<'_, '_>, number: i64, (entry, own): (&Value, bool)) {
    let called = number.to_string();
    if is_forked(entry) {
        let why = "it came from another project, whose branch the target has not: it is closed and says so";
        lab.w.report.differs("merge_requests", &called, why);
    } else if own {
        lab.w.report.lacks("merge_requests", &called, CLOSED);
    } else {
        let why = "its branches are not in the target, so it is closed and says so: to have it as it was, delete the project there, \
                   push the code, and restore again";
        lab.w.report.lacks("merge_requests", &called, why);
    }
}

/// Whether the branches of one are there, in the project itself.
fn branches(lab: &mut Lab<'_, '_>, entry: &Value) -> BackResult<bool> {
    let (head, base) = (text(entry, "source_branch"), text(entry, "target_branch"));
    Ok(!is_forked(entry) && !head.is_empty() && lab.w.has_ref("branch", head)? && lab.w.has_ref("branch", base)?)
}

/// Sees to the branch that stands for those that are gone.
fn stand_in(lab: &mut Lab<'_, '_>, base: &str) -> BackResult<()> {
    if lab.w.has_ref("branch", BRANCH)? {
        return Ok(());
    }
    let value = json!({"branch": BRANCH, "ref": base});
    let sent =
        lab.w.create(("/repository/branches", &value), "/repository/branches", &|one| text(one, "name") == BRANCH)?;
    sent.map_err(|why| {
        let what = format!("a branch for merge requests without their own can't be made: {}", refused(&why));
        SourceError::new(what, lab.w.report.into.clone())
    })?;
    lab.w.knows_branch(BRANCH);
    Ok(())
}

/// Makes what takes the next number, which has to be `number`; the refusal where it is not taken.
fn posted(lab: &mut Lab<'_, '_>, (number, id): (i64, &str), value: &Value) -> BackResult<Result<Value, (u16, String)>> {
    let is_it = |value: &Value| mark(text(value, "description")) == Some(id);
    let sent = lab.w.create(("/merge_requests", value), LISTED, &is_it)?;
    let got = sent.as_ref().ok().and_then(lines::number);
    if sent.is_ok() && got != Some(number) {
        let got = got.unwrap_or_default();
        return Err(lab.w.occupied(&format!(
            "merge request {got} where {number} was next: somebody makes them there meanwhile, or did"
        )));
    }
    Ok(sent)
}

fn refusal(lab: &Lab<'_, '_>, number: i64, why: &(u16, String)) -> SourceError {
    SourceError::new(format!("merge request {number} is not taken: {}", refused(why)), lab.w.report.into.clone())
}

/// Keeps a number that the snapshot has nothing of.
fn keep(lab: &mut Lab<'_, '_>, number: i64, base: &str) -> BackResult<()> {
    stand_in(lab, base)?;
    let id = format!("{GAP}{number}");
    let made = words(&id, &["The backup has nothing of this number.".to_owned()], "", usize::MAX);
    let title = format!("(number {number} is not in the backup)");
    let value = json!({"title": title, "description": first(&made), "source_branch": BRANCH, "target_branch": base});
    posted(lab, (number, &id), &value)?.map_err(|why| refusal(lab, number, &why))?;
    close(lab, number)
}

/// Deletes what kept a number; it stays, closed, where that is not allowed.
fn give_up(lab: &mut Lab<'_, '_>, number: i64) -> BackResult<()> {
    let url = lab.w.url(&format!("/merge_requests/{number}"));
    let gone = match lab.w.client.send("DELETE", &url, &Value::Null)? {
        Sent::Done(_) | Sent::Refused(404, _) => true,
        Sent::Unsure(_) => lab.w.find(&url)?.is_none(),
        Sent::Refused(..) => false,
    };
    if !gone {
        let why = "the snapshot has nothing of this number, and a closed merge request keeps it";
        lab.w.report.differs("numbers", &format!("!{number}"), why);
    }
    Ok(())
}

fn close(lab: &mut Lab<'_, '_>, number: i64) -> BackResult<()> {
    let path = format!("/merge_requests/{number}");
    if let Err(why) = lab.w.change("PUT", &path, &json!({"state_event": "close"}))? {
        lab.w.report.lacks("merge_requests", &number.to_string(), &format!("its state: {}", refused(&why)));
    }
    Ok(())
}

/// Makes a merge request, open, on its own branches if it may be.
fn one(
    lab: &mut Lab<'_, '_>,
    (number, id): (i64, &str),
    (entry, own): (&Value, bool),
    (base, parts): (&str, &mut [Part]),
) -> BackResult<()> {
    let (called, state) = (number.to_string(), text(entry, "state"));
    let ready = files::ready(lab, "merge_requests", entry)?;
    let lines = head(entry, &approvals(lab, number, parts)?);
    let made = words(id, &lines, &ready, limit(Provider::Gitlab));
    let mut value = lab.common(("merge_requests", number), entry)?;
    put(&mut value, "description", json!(first(&made)));
    if state == "merged" {
        let why = "it was merged, which no API makes: it is closed and says so";
        lab.w.report.differs("merge_requests", &called, why);
    } else if !own && state == "opened" {
        stays_closed(lab, number, (entry, own));
    }
    if own {
        put(&mut value, "source_branch", json!(text(entry, "source_branch")));
        put(&mut value, "target_branch", json!(text(entry, "target_branch")));
        match posted(lab, (number, id), &value)? {
            Ok(_) => {
                lab.w.report.made("merge_requests");
                return Ok(());
            }
            // Another one of these branches is open.
            Err((409, _)) if state != "opened" => {}
            Err(why) => return instead(lab, number, (&lines, base), &why),
        }
    }
    stand_in(lab, base)?;
    put(&mut value, "source_branch", json!(BRANCH));
    put(&mut value, "target_branch", json!(base));
    match posted(lab, (number, id), &value)? {
        Ok(_) => lab.w.report.made("merge_requests"),
        Err(why) => instead(lab, number, (&lines, base), &why)?,
    }
    Ok(())
}

/// Why something was not taken, for the report.
fn not_taken(why: &(u16, String)) -> String {
    format!("{}; one without its title and text keeps the number, and has its threads", refused(why))
}

/// Keeps the number of one that GitLab does not take, by one that has its threads.
fn instead(
    lab: &mut Lab<'_, '_>,
    number: i64,
    (lines, base): (&[String], &str),
    why: &(u16, String),
) -> BackResult<()> {
    stand_in(lab, base)?;
    let id = format!("{REFUSED}{number}");
    let lines: Vec<String> =
        lines.iter().cloned().chain(["The forge did not take its title and text.".to_owned()]).collect();
    let made = words(&id, &lines, "", usize::MAX);
    let title = format!("(number {number} was not taken)");
    let value = json!({"title": title, "description": first(&made), "source_branch": BRANCH, "target_branch": base});
    posted(lab, (number, &id), &value)?.map_err(|why| refusal(lab, number, &why))?;
    lab.w.report.lacks("merge_requests", &number.to_string(), &not_taken(why));
    close(lab, number)
}

/// Gives what keeps the number of one that was not taken its title and text, if they are taken now.
fn again(lab: &mut Lab<'_, '_>, (number, id): (i64, &str), (entry, parts): (&Value, &mut [Part])) -> BackResult<()> {
    let ready = files::ready(lab, "merge_requests", entry)?;
    let made = words(id, &head(entry, &approvals(lab, number, parts)?), &ready, limit(Provider::Gitlab));
    let mut value = lab.common(("merge_requests", number), entry)?;
    put(&mut value, "description", json!(first(&made)));
    match lab.w.change("PUT", &format!("/merge_requests/{number}"), &value)? {
        Ok(_) => lab.w.report.made("merge_requests"),
        Err(why) => lab.w.report.lacks("merge_requests", &number.to_string(), &not_taken(&why)),
    }
    Ok(())
}

/// Makes what is missing of the threads of one.
fn thread(lab: &mut Lab<'_, '_>, number: i64, parts: &mut [Part], there: &There) -> BackResult<()> {
    let unreadable = |lab: &Lab<'_, '_>, e| lab.w.unreadable("discussions", e);
    for (at, line) in lines::thread(parts, number).map_err(|e| unreadable(lab, e))? {
        let Some(part) = parts.get_mut(at) else { continue };
        let Some(value) = part.at(line).map_err(|e| unreadable(lab, e))? else { continue };
        discussion(lab, number, &value, there)?;
    }
    Ok(())
}

/// A thread with its answers.
fn discussion(lab: &mut Lab<'_, '_>, number: i64, value: &Value, there: &There) -> BackResult<()> {
    let base = format!("/merge_requests/{number}");
    let listed = format!("{base}/discussions");
    let alone = value.get("individual_note").and_then(Value::as_bool) == Some(true);
    let mut thread: Option<String> = None;
    let (mut resolved, mut is_resolved) = (false, false);
    for note in value.get("notes").and_then(Value::as_array).into_iter().flatten() {
        if is_system(note) {
            lab.w.report.note(("events", false), (1, &[]), EVENTS);
            continue;
        }
        resolved |= note.get("resolved").and_then(Value::as_bool) == Some(true);
        let id = format!("discussions/{}", note.get("id").and_then(Value::as_i64).unwrap_or_default());
        let to = match &thread {
            _ if alone => format!("{base}/notes"),
            Some(thread) => format!("{listed}/{thread}/notes"),
            None => listed.clone(),
        };
        let place = Place { to: &to, listed: &listed };
        let made = comments::make(lab, &place, ("discussions", &said(note)), (note, there))?;
        is_resolved |= there.get(&id).is_some_and(|(_, resolved)| *resolved);
        if note.get("position").is_some_and(Value::is_object) && made.is_some() {
            lab.w.report.differs("discussions", &id, "it says on which line it stood, and does not stand there");
        }
        if thread.is_none() && !alone {
            // What was looked for and found may be the thread, what was made is.
            let made = made.map(|made| text(&made, "id").to_owned()).filter(|id| !id.is_empty());
            thread = made.or_else(|| there.get(&id).map(|(id, _)| id.clone())).filter(|id| !id.is_empty());
        }
    }
    if let Some(thread) = thread.filter(|_| resolved && !is_resolved) {
        let path = format!("{listed}/{thread}");
        if let Err(why) = lab.w.change("PUT", &path, &json!({"resolved": true}))? {
            lab.w.report.lacks("discussions", &thread, &format!("that it was resolved: {}", refused(&why)));
        }
    }
    Ok(())
}

/// Open pull requests of another forge, whose numbers are issues here, as merge requests besides.
pub(super) fn of_pulls(lab: &mut Lab<'_, '_>, fresh: bool) -> BackResult<()> {
    let mut all = Held::open(lab.w, &[])?;
    let there = if fresh { Known::new() } else { known(lab)? };
    let numbers: Vec<i64> = all.places.iter().filter(|(_, (_, pull))| pull.is_some()).map(|(n, _)| *n).collect();
    for number in numbers {
        let entry = all.entry(number).map_err(|e| lab.w.unreadable("pulls", e))?;
        let Some((entry, Some(pull))) = entry else { continue };
        if text(&entry, "state") != "open" || !text(&pull, "merged_at").is_empty() {
            continue;
        }
        let id = format!("pull/{}", lab.w.called(number));
        if there.values().any(|(mark, _)| *mark == id) {
            lab.w.report.there("pulls");
            continue;
        }
        if forked(&pull) {
            let why = "it came from another repository, whose branch the target has not: it is an issue alone";
            lab.w.report.differs("pulls", &number.to_string(), why);
            continue;
        }
        let branch = |field: &str| pull.get(field).map(|one| text(one, "ref").to_owned()).unwrap_or_default();
        let (head, base) = (branch("head"), branch("base"));
        let has = !head.is_empty() && lab.w.has_ref("branch", &head)? && lab.w.has_ref("branch", &base)?;
        if !has {
            let why = "its branches are not in the target (push the code first): it is an issue alone";
            lab.w.report.lacks("pulls", &number.to_string(), why);
            continue;
        }
        let lines =
            [format!("{} asked for this at {}. What was said of it is in #{number}.", author(&entry), time(&entry))];
        let made = words(&id, &lines, "", usize::MAX);
        let title: String = title(&entry).chars().take(super::TITLE).collect();
        let value = json!({"title": title, "description": first(&made), "source_branch": head, "target_branch": base});
        let is_it = |value: &Value| mark(text(value, "description")) == Some(id.as_str());
        match lab.w.create(("/merge_requests", &value), LISTED, &is_it)? {
            Ok(_) => lab.w.report.made("pulls"),
            Err((409, _)) => {
                let why = "one of the same branches is open, and GitLab has one at a time: it is an issue alone";
                lab.w.report.differs("pulls", &number.to_string(), why);
            }
            Err(why) => lab.w.report.lacks("pulls", &number.to_string(), &refused(&why)),
        }
    }
    Ok(())
}
