//! One pass over a forge: each kind of each repository is asked for, and what comes is put into the memory, page by page, so
//! that a pass that was stopped goes on where it was.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Result, SourceError,
    client::{Client, Got},
    json::broken,
    keys::Keys,
    manifest::{Row, Status},
    memory::{Entry, Memory, Progress},
    paging::{Pages, Turn},
    provider::{Kind, Provider, Repository, Since},
    seen::Seen,
};
use crate::model::Span;

/// How often a list is read anew because some of it went missing while it was read.
const TRIES: i64 = 3;
/// So many marks a pass has.
const MARKS: i64 = 10;
/// So many calls in a row that fail mean that the forge is down.
const DOWN: u32 = 3;

/// What stays the same throughout a pass.
pub(super) struct Pass<'a> {
    pub(super) client: &'a mut Client,
    pub(super) memory: &'a Memory,
    pub(super) provider: Provider,
    pub(super) api: String,
    /// Where queries are sent to, where there are any.
    pub(super) graph: Option<String>,
    /// Its number.
    pub(super) number: i64,
    /// Whether everything is asked for.
    pub(super) full: bool,
    /// When it began, a little before, by the forge's clock.
    pub(super) since: String,
    /// How often settings are asked for.
    pub(super) every: Span,
    pub(super) exclude: &'a BTreeSet<String>,
    /// How many calls failed in a row.
    pub(super) failed: u32,
    /// What a survey told of repositories, where there was one.
    pub(super) survey: BTreeMap<i64, Seen>,
}

/// How reading a list ended.
pub(super) enum Ended {
    Whole,
    Same,
    Row(Status, Option<u16>, String),
}

impl Pass<'_> {
    /// Reads one kind of a repository, or of an owner, whose number is 0.
    ///
    /// # Errors
    /// If the forge is down, somebody asks to stop, or the memory fails.
    pub(super) fn kind(&mut self, id: i64, name: &str, kind: &Kind, repo: Option<&Repository>) -> Result<Vec<Row>> {
        let names: Vec<&'static str> = [Some(kind.name), kind.nested.map(|n| n.0)].into_iter().flatten().collect();
        let excluded = |name: &str| self.exclude.contains(name);
        let fixed = if excluded(kind.name) || kind.of.is_some_and(excluded) {
            Some(Status::Excluded)
        } else if repo.is_some_and(|repo| repo.lacks(kind)) {
            Some(Status::Off)
        } else {
            None
        };
        if let Some(status) = fixed {
            names.iter().try_for_each(|name| self.memory.forget(id, name))?;
            return Ok(names.iter().map(|name| Row::new(name, status)).collect());
        }
        let before = self.memory.progress(id, kind.name)?;
        if before.pass == self.number
            && before.done
            && let Some(rows) = before.told.as_deref().and_then(|told| serde_json::from_str(told).ok())
        {
            return Ok(rows);
        }
        if let Some(rows) = self.unchanged((id, repo), kind, &before)? {
            return Ok(rows);
        }
        let in_path = self.provider.in_path(name);
        let path = kind.path.replace("{repo}", &in_path);
        let (ended, gone) = if kind.one {
            (self.single(id, kind, &path)?, (Vec::new(), 0))
        } else if let Some(query) = kind.query {
            match kind.of {
                Some(of) => self.asked_of(id, (kind, query, of), &before)?,
                None => self.asked((id, name), (kind, query), &before)?,
            }
        } else if let Some(of) = kind.of {
            self.children(id, kind, of, &path)?
        } else {
            self.list(id, kind, &path, &before)?
        };
        let mut rows = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let mut row = Row::new(name, Status::Read);
            (row.got, row.given) = self.memory.count(id, name, self.mark(0))?;
            if at == 0 {
                (row.gone_ids, row.gone) = gone.clone();
            }
            if let Ended::Row(status, http, said) = &ended {
                (row.status, row.http, row.said) = (*status, *http, said.clone());
            }
            rows.push(row);
        }
        let whole = !matches!(ended, Ended::Row(..));
        let told = serde_json::to_string(&rows).ok();
        let mut after = self.memory.progress(id, kind.name)?;
        // What could not be read is asked for in full next time.
        after.since = if whole { Some(self.since.clone()) } else { None };
        after.etag = if whole { after.etag } else { None };
        (after.pass, after.done, after.next, after.told) = (self.number, true, None, told);
        self.memory.set_progress(id, kind.name, &after)?;
        if let Some((digest, _)) = self.stands_for(id, kind.name).filter(|_| whole) {
            self.memory.set_word(&format!("digest {id} {}", kind.name), digest)?;
        }
        Ok(rows)
    }

    /// What entries are marked with that an attempt of this pass meets.
    pub(super) const fn mark(&self, attempt: i64) -> i64 {
        self.number * MARKS + attempt
    }

    fn url(&self, path: &str, paged: bool) -> String {
        if !paged {
            return format!("{}/{path}", self.api);
        }
        let sign = if path.contains('?') { '&' } else { '?' };
        format!("{}/{path}{sign}{}", self.api, self.provider.page())
    }

    /// Notes how a call ended.
    ///
    /// # Errors
    /// If the forge is down.
    pub(super) fn seen(&mut self, got: &Got, url: &str) -> Result<()> {
        let Got::Failed(why) = got else {
            self.failed = 0;
            return Ok(());
        };
        self.failed += 1;
        if self.failed < DOWN {
            return Ok(());
        }
        Err(SourceError::new(format!("the forge does not answer as it should, again and again: {why}"), url))
    }

    fn single(&mut self, id: i64, kind: &Kind, path: &str) -> Result<Ended> {
        let url = format!("{}/{path}", self.api);
        let (got, line) = self.client.one(&url, None)?;
        self.seen(&got, &url)?;
        match got {
            Got::Read(_) => {
                Keys::of(&line)?;
                self.memory.keep(
                    id,
                    kind.name,
                    self.mark(0),
                    &Entry { parent: 0, ord: 1, id: "1", rev: "", json: &line },
                )?;
                Ok(Ended::Whole)
            }
            Got::Same => Ok(Ended::Same),
            Got::Refused(status, said) => Ok(Ended::Row(Status::Refused, Some(status), said)),
            Got::Failed(why) => Ok(Ended::Row(Status::Failed, None, why)),
        }
    }

    /// A list of a repository's own.
    fn list(&mut self, id: i64, kind: &Kind, path: &str, before: &Progress) -> Result<(Ended, (Vec<String>, u64))> {
        let none = (Vec::new(), 0);
        let from = before.since.clone().filter(|_| !self.full && kind.since != Since::Never);
        let begun = before.pass == self.number && !before.done;
        let mut resumed = before.next.clone().filter(|_| begun);
        // Which attempt it was that is gone on with: what only an earlier one met may be gone.
        let first = before.told.as_deref().filter(|_| begun).map_or(0, |told| noted(told).0);
        for attempt in first..TRIES.max(first + 1) {
            let from_there = match (&from, kind.since) {
                (Some(since), Since::Parameter(name)) => {
                    format!("{path}{}{name}={since}", if path.contains('?') { '&' } else { '?' })
                }
                _ => path.to_owned(),
            };
            let page = resumed.take().unwrap_or_else(|| self.url(&from_there, kind.paged));
            let (ended, missing) = self.pages(id, kind, page, (from.as_deref(), attempt))?;
            match ended {
                // All that was met is all there is.
                Ended::Whole if !missing && from.is_none() => {
                    let gone = self.memory.forget_unmet(id, kind.name, self.mark(attempt))?;
                    return Ok((Ended::Whole, gone));
                }
                Ended::Whole if missing && attempt + 1 < TRIES => {}
                Ended::Whole if missing => {
                    let said = "entries went while it was read, three times; the next run asks for all of it again";
                    return Ok((Ended::Row(Status::Changed, None, said.to_owned()), none));
                }
                other => return Ok((other, none)),
            }
        }
        Ok((Ended::Whole, none))
    }

    /// All pages from `url` on. Tells also whether fewer entries came than there are.
    fn pages(
        &mut self,
        id: i64,
        kind: &Kind,
        mut url: String,
        (from, attempt): (Option<&str>, i64),
    ) -> Result<(Ended, bool)> {
        let mut progress = self.memory.progress(id, kind.name)?;
        let resumed = progress.pass == self.number && progress.next.as_ref() == Some(&url);
        let before = progress.told.as_deref().filter(|_| resumed).map(noted);
        let mut total = before.and_then(|(_, _, total)| total);
        let mut list = Pages::behind(before.map_or(0, |(_, had, _)| had));
        let (mut pages, mut fewer) = (u64::from(resumed), false);
        // Only a list that is one page can be told to be as it was.
        let mut etag = progress.etag.take().filter(|_| kind.since == Since::Never && !self.full);
        loop {
            let (mut enough, mut entries, mut first) = (false, 0_usize, None);
            let (mark, memory) = (self.mark(attempt), self.memory);
            memory.begin()?;
            let got = self.client.list(
                &url,
                etag.take().as_deref(),
                &mut |line| {
                    let keys = Keys::of(line)?;
                    let (named, rev) = (keys.id(line), keys.rev());
                    entries += 1;
                    first.get_or_insert_with(|| named.clone());
                    enough |= match (from, kind.since) {
                        (Some(from), Since::NewestFirst) => rev < from,
                        (Some(_), Since::LastMadeFirst) => memory.has(id, kind.name, &named)?,
                        _ => false,
                    };
                    memory.keep(id, kind.name, mark, &Entry { parent: 0, ord: keys.ord(), id: &named, rev, json: line })
                },
                &mut || memory.take_back().and_then(|()| memory.begin()),
            );
            let got = got.or_else(|error| memory.take_back().and(Err(error)))?;
            self.seen(&got, &url)?;
            let page = match got {
                Got::Read(page) => page,
                Got::Same => {
                    memory.commit()?;
                    return Ok((Ended::Same, false));
                }
                Got::Refused(status, said) => {
                    memory.take_back()?;
                    return Ok((Ended::Row(Status::Refused, Some(status), said), false));
                }
                Got::Failed(why) => {
                    memory.take_back()?;
                    return Ok((Ended::Row(Status::Failed, None, why), false));
                }
            };
            pages += 1;
            if pages == 1 && kind.since == Since::LastMadeFirst {
                memory.forget_asked(id, kind.name)?;
            }
            // One that went from a page that was read moved another from the next page to that.
            fewer |= page.total.zip(total).is_some_and(|(now, before)| now < before);
            total = page.total;
            let turn = if enough { Turn::End } else { list.after(&url, &page, (entries, first)) };
            let next = if let Turn::Next(next) = &turn { Some(next.clone()) } else { None };
            progress.etag = page.etag.filter(|_| pages == 1 && next.is_none());
            (progress.pass, progress.done, progress.next) = (self.number, false, next);
            let told = total.map_or_else(String::new, |total| format!(" {total}"));
            progress.told = Some(format!("{attempt} {}{told}", list.had()));
            memory.set_progress(id, kind.name, &progress)?;
            memory.commit()?;
            match turn {
                Turn::Next(next) => url = next,
                Turn::Cut(said) => return Ok((Ended::Row(Status::Cut, None, said), false)),
                Turn::End => {
                    // What a page names twice is one.
                    let met = if pages > 1 { memory.count(id, kind.name, mark)?.1 } else { list.had() };
                    // A list of what changed is as long as it says, and one that is left early tells of all.
                    let whole = from.is_none() || matches!(kind.since, Since::Parameter(_));
                    return Ok((Ended::Whole, fewer || (whole && total.is_some_and(|total| total > met))));
                }
            }
        }
    }

    /// The lists that belong to entries of another kind, of those entries that changed.
    fn children(&mut self, id: i64, kind: &Kind, of: &str, path: &str) -> Result<(Ended, (Vec<String>, u64))> {
        let mut gone = self.memory.forget_orphans(id, kind.name, of)?;
        if let Some((nested, ..)) = kind.nested {
            gone += self.memory.forget_orphans(id, nested, of)?;
        }
        let (mut after, mut bad, mut first) = (0, 0_u64, None);
        loop {
            let stale = self.memory.stale(id, kind.name, of, after)?;
            let Some((last, _)) = stale.last() else { break };
            after = *last;
            for (parent, rev) in stale {
                if let Some((status, http, said)) = self.of_one(id, kind, parent, (path, &rev))? {
                    bad += 1;
                    first.get_or_insert((status, http, format!("of number {parent}: {said}")));
                    // What three are refused for, all are refused for.
                    if status == Status::Refused && bad >= 3 {
                        break;
                    }
                }
            }
            if bad >= 3 && matches!(first, Some((Status::Refused, ..))) {
                break;
            }
        }
        let ended = match first {
            None => self.parent(id, of)?,
            Some((status, http, said)) => Ended::Row(status, http, format!("{said} ({bad} could not be read)")),
        };
        Ok((ended, (Vec::new(), gone)))
    }

    /// How what belongs to entries of `of` stands, all of which was read: where these could not be, it is not whole either.
    pub(super) fn parent(&self, id: i64, of: &str) -> Result<Ended> {
        let told = self.memory.progress(id, of)?.told.unwrap_or_default();
        let rows: Vec<Row> = serde_json::from_str(&told).unwrap_or_default();
        Ok(match rows.first().filter(|row| !row.status.is_whole()) {
            Some(row) => Ended::Row(row.status, row.http, format!("it belongs to {of}, which could not be read")),
            None => Ended::Whole,
        })
    }

    /// The list that belongs to one entry. Tells why it could not be read.
    fn of_one(&mut self, id: i64, kind: &Kind, parent: i64, (path, rev): (&str, &str)) -> Result<Option<Bad>> {
        self.memory.begin()?;
        let done = self.read_one(id, kind, parent, path).and_then(|bad| match bad {
            None => self.memory.set_child(id, kind.name, parent, rev).map(|()| None),
            // It went while it was read; its own list tells of that in the next pass.
            Some((_, Some(404 | 410), _)) => self.memory.set_child(id, kind.name, parent, rev).map(|()| None),
            bad => Ok(bad),
        });
        match &done {
            Ok(None) => self.memory.commit()?,
            _ => self.memory.take_back()?,
        }
        done
    }

    fn read_one(&mut self, id: i64, kind: &Kind, parent: i64, path: &str) -> Result<Option<Bad>> {
        let memory = self.memory;
        memory.forget_of(id, kind.name, parent)?;
        let mut inner = Vec::new();
        let url = self.url(&path.replace("{n}", &parent.to_string()), kind.paged);
        let wanted = kind.nested.map(|(_, _, count)| count);
        let list = match kind.hides {
            Some(hidden) => Pages::untold(memory.count_of(id, hidden, parent)?),
            None => Pages::default(),
        };
        let bad = self.all_of(id, (kind.name, parent), (url, list), &mut |line| {
            let Some(count) = wanted else { return Ok(()) };
            let value: Value = serde_json::from_slice(line).map_err(|_| broken("has an entry that is not JSON"))?;
            if value.get(count).and_then(Value::as_i64) != Some(0) {
                inner.extend(value.get("id").and_then(Value::as_i64));
            }
            Ok(())
        })?;
        let (None, Some((nested, path, _))) = (&bad, kind.nested) else { return Ok(bad) };
        memory.forget_of(id, nested, parent)?;
        let repo = self.repo_in(path, id)?;
        for inner in inner {
            let url = self.url(&repo.replace("{n}", &parent.to_string()).replace("{id}", &inner.to_string()), false);
            let bad = self.all_of(id, (nested, parent), (url, Pages::default()), &mut |_| Ok(()))?;
            if !matches!(bad, None | Some((_, Some(404 | 410), _))) {
                return Ok(bad);
            }
        }
        Ok(None)
    }

    /// `path` with the repository's name.
    fn repo_in(&self, path: &str, id: i64) -> Result<String> {
        let name = self.memory.word(&format!("name {id}"))?.unwrap_or_default();
        Ok(path.replace("{repo}", &self.provider.in_path(&name)))
    }

    /// All pages of a short list, within one transaction.
    fn all_of(
        &mut self,
        id: i64,
        (kind, parent): (&str, i64),
        (mut url, mut pages): (String, Pages),
        look: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Option<Bad>> {
        let (mark, memory) = (self.mark(0), self.memory);
        loop {
            let (mut entries, mut first) = (0, None);
            let got = self.client.list(
                &url,
                None,
                &mut |line| {
                    let keys = Keys::of(line)?;
                    let (named, rev) = (keys.id(line), keys.rev());
                    look(line)?;
                    entries += 1;
                    first.get_or_insert_with(|| named.clone());
                    memory.keep(id, kind, mark, &Entry { parent, ord: keys.ord(), id: &named, rev, json: line })
                },
                // What came before the trouble comes again, in place of itself.
                &mut || Ok(()),
            )?;
            self.seen(&got, &url)?;
            match got {
                Got::Read(page) => match pages.after(&url, &page, (entries, first)) {
                    Turn::Next(next) => url = next,
                    Turn::Cut(said) => return Ok(Some((Status::Cut, None, said))),
                    Turn::End => return Ok(None),
                },
                Got::Same => return Ok(None),
                Got::Refused(status, said) => return Ok(Some((Status::Refused, Some(status), said))),
                Got::Failed(why) => return Ok(Some((Status::Failed, None, why))),
            }
        }
    }
}

/// What is noted of a list that is not at its end: the attempt, how many entries were read, and how many there were at the last page.
fn noted(told: &str) -> (i64, u64, Option<u64>) {
    let mut words = told.split(' ');
    let attempt = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
    let had = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
    (attempt, had, words.next().and_then(|word| word.parse().ok()))
}

/// Why a list could not be read.
type Bad = (Status, Option<u16>, String);
