//! The lines of restored streams, read in any order, and which of them belong to which thread.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use serde_json::Value;

use crate::model::Time;

/// The longest line that is read: an entry is no longer.
const LINE: u64 = 32 << 20;

/// The lines of a stream, with the place of each. One that is no JSON is passed over: the drill tells of it.
pub(super) struct Lines {
    reader: Option<BufReader<File>>,
    at: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match File::open(path) {
            Ok(file) => Ok(Self { reader: Some(BufReader::new(file)), at: 0 }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self { reader: None, at: 0 }),
            Err(e) => Err(e),
        }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Value)>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        loop {
            let (mut line, at) = (Vec::new(), self.at);
            let n = reader.by_ref().take(LINE).read_until(b'\n', &mut line)?;
            if n == 0 {
                return Ok(None);
            }
            self.at += n as u64;
            if let Ok(value) = serde_json::from_slice(&line) {
                return Ok(Some((at, value)));
            }
        }
    }

    /// The line at a place that was given before.
    pub(super) fn at(&mut self, at: u64) -> io::Result<Option<Value>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        reader.seek(SeekFrom::Start(at))?;
        self.at = at;
        Ok(self.next()?.map(|(_, value)| value))
    }
}

/// Where the lines are that belong to each number.
pub(super) type Places = BTreeMap<i64, Vec<u64>>;

/// A stream of which lines belong to threads.
pub(super) struct Part {
    pub(super) kind: &'static str,
    lines: Lines,
    places: Places,
}

impl Part {
    /// The line at a place.
    pub(super) fn at(&mut self, at: u64) -> io::Result<Option<Value>> {
        self.lines.at(at)
    }
}

/// The streams of these kinds of a repository, as far as they are there.
pub(super) fn parts(from: &Path, repository: &str, kinds: &[&'static str]) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for kind in kinds {
        let mut lines = Lines::open(&from.join(repository).join(format!("{kind}.jsonl")))?;
        let mut places = Places::new();
        while let Some((at, value)) = lines.next()? {
            if let Some(number) = number_of(&value) {
                places.entry(number).or_default().push(at);
            }
        }
        parts.push(Part { kind, lines, places });
    }
    Ok(parts)
}

/// What belongs to a number, in order of time: the part that it stands in, and the place there.
pub(super) fn thread(parts: &mut [Part], number: i64) -> io::Result<Vec<(usize, u64)>> {
    let mut thread = Vec::new();
    for (at, part) in parts.iter_mut().enumerate() {
        for place in part.places.get(&number).cloned().unwrap_or_default() {
            let Some(value) = part.lines.at(place)? else { continue };
            // A thread of GitLab is of its first comment's time; its own name tells of no order.
            let first = value.get("notes").and_then(|notes| notes.get(0));
            let of = first.unwrap_or(&value);
            let time =
                ["created_at", "submitted_at", "createdAt"].into_iter().find_map(|field| of.get(field)?.as_str());
            let number = first.and_then(|first| first.get("id")?.as_i64()).unwrap_or_default();
            thread.push((moment(time.unwrap_or_default()), at, number, place));
        }
    }
    thread.sort();
    Ok(thread.into_iter().map(|(_, at, _, place)| (at, place)).collect())
}

/// When a time was, whatever zone it is told in; those of one second, and what is no time, as they stand.
fn moment(text: &str) -> (i64, String) {
    (text.parse::<Time>().map_or(i64::MIN, Time::unix), text.to_owned())
}

/// The number of an issue or the like.
pub(super) fn number(value: &Value) -> Option<i64> {
    value.get("number").or_else(|| value.get("iid"))?.as_i64()
}

/// The number of the issue that an entry belongs to.
fn number_of(value: &Value) -> Option<i64> {
    if let Some(number) = value.get("noteable_iid").and_then(Value::as_i64) {
        return Some(number);
    }
    if let Some(whose) = ["issue", "of"].into_iter().find_map(|field| value.get(field).filter(|one| one.is_object())) {
        return number(whose);
    }
    if let Some(first) = value.get("notes").and_then(Value::as_array).and_then(|notes| notes.first()) {
        return first.get("noteable_iid").and_then(Value::as_i64);
    }
    let mut urls = ["issue_url", "pull_request_url"].into_iter().filter_map(|field| value.get(field)?.as_str());
    urls.find_map(|url| url.rsplit('/').next()?.parse().ok())
}
