//! One pass over a forge: each kind of each repository is asked for, and what comes is put into the memory, page by page, so
//! that a pass that was stopped goes on where it was.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    Result, SourceError,
    client::{Client, Got},
    keys::{Keys, ODD},
    manifest::{Row, Status},
    memory::{Entry, Memory, Progress},
    paging::{Pages, Turn},
    provider::{Kind, Provider, Repository, Since},
    seen::Seen,
};
use crate::model::{Span, Time};

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
    /// Why nothing more is asked of this repository, where the forge itself answers.
    pub(super) broken: Option<String>,
    /// Whether the forge tells its time: else nothing can be asked for that changed since one.
    pub(super) timed: bool,
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
        let known: Option<Vec<Row>> =
            before.told.as_deref().filter(|_| before.done).and_then(|told| serde_json::from_str(told).ok());
        let in_path = self.provider.in_path(name);
        let path = kind.path.replace("{repo}", &in_path);
        let (ended, gone) = if let Some(why) = &self.broken {
            (Ended::Row(Status::Failed, None, why.clone()), (Vec::new(), 0))
        } else if kind.one {
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
            let odd = self.memory.count_at(id, name, ODD)?;
            if odd > 0 && row.status.is_whole() {
                row.status = Status::Failed;
                row.said =
                    format!("{odd} of its entries are no JSON that can be read; they are in the snapshot as they came");
            }
            let was =
                known.as_ref().and_then(|rows| rows.get(at)).filter(|was| kind.is_setting() && was.status.is_whole());
            row.came = was.map_or(0, |was| (row.got + row.gone).saturating_sub(was.got));
            rows.push(row);
        }
        let whole = !matches!(ended, Ended::Row(..));
        let told = serde_json::to_string(&rows).ok();
        let mut after = self.memory.progress(id, kind.name)?;
        // What could not be read is asked for in full next time.
        after.since = if whole && self.timed { Some(self.since.clone()) } else { None };
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

    pub(super) fn url(&self, path: &str, paged: bool) -> String {
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
        // Something that belongs to no repository: where that is answered, it is this one that is broken.
        let (asked, _) = self.client.one(&format!("{}/{}", self.api, self.provider.pulse()), None)?;
        if !matches!(asked, Got::Failed(_)) {
            self.broken = Some(format!("the forge fails at it again and again, and at nothing else: {why}"));
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
            let (mut enough, entries, mut first) = (false, Cell::new(0), None);
            let (mark, memory) = (self.mark(attempt), self.memory);
            memory.begin()?;
            let got = self.client.list(
                &url,
                etag.take().as_deref(),
                &mut |line| {
                    let keys = Keys::of(line)?;
                    let (named, rev) = (keys.id(line), keys.rev());
                    entries.set(entries.get() + 1);
                    first.get_or_insert_with(|| named.clone());
                    enough |= match (from, kind.since) {
                        (Some(from), Since::NewestFirst) => is_before(rev, from),
                        (Some(_), Since::LastMadeFirst) => memory.has(id, kind.name, &named)?,
                        _ => false,
                    };
                    memory.keep(id, kind.name, mark, &Entry { parent: 0, ord: keys.ord(), id: &named, rev, json: line })
                },
                // What came before trouble comes again.
                &mut || memory.take_back().and_then(|()| memory.begin()).map(|()| entries.set(0)),
            );
            let got = got.or_else(|error| memory.take_back().and(Err(error)))?;
            self.seen(&got, &url)?;
            let page = match got {
                Got::Read(page) => page,
                Got::Same => return memory.commit().map(|()| (Ended::Same, false)),
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
            let turn = if enough { Turn::End } else { list.after(&url, &page, (entries.get(), first)) };
            let next = turn.next();
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
}

/// Whether a time lies before another. Each may be told in a zone of its own.
fn is_before(one: &str, other: &str) -> bool {
    match (one.parse::<Time>(), other.parse::<Time>()) {
        (Ok(one), Ok(other)) => one < other,
        // What is no time ends no list.
        _ => false,
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
pub(super) type Bad = (Status, Option<u16>, String);
