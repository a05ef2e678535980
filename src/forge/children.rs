//! Lists that belong to entries of another list: comments of an issue, reviews of a pull request.

use std::cell::Cell;

use serde_json::Value;

use super::{
    Result,
    client::Got,
    json::broken,
    keys::Keys,
    manifest::{Row, Status},
    memory::Entry,
    paging::{Pages, Turn},
    pass::{Bad, Ended, Pass},
    provider::Kind,
};

/// So many lists that are refused mean that all are.
const REFUSED: u64 = 3;

/// How one list came out.
enum Read {
    Whole,
    /// What it belongs to is gone.
    Gone,
    Not(Bad),
}

impl Pass<'_> {
    /// The lists that belong to entries of another kind, of those entries that changed.
    pub(super) fn children(
        &mut self,
        id: i64,
        kind: &Kind,
        of: &str,
        path: &str,
    ) -> Result<(Ended, (Vec<String>, u64))> {
        let mut gone = self.memory.forget_orphans(id, kind.name, of)?;
        if let Some((nested, ..)) = kind.nested {
            gone += self.memory.forget_orphans(id, nested, of)?;
        }
        let (mut after, mut bad, mut first, mut missed) = (0, 0_u64, None, 0_u64);
        let (mut read, mut absent) = (0_u64, None);
        loop {
            let stale = self.memory.stale(id, kind.name, of, after)?;
            let Some((last, _)) = stale.last() else { break };
            after = *last;
            for (parent, rev) in stale {
                match self.of_one(id, kind, parent, (path, &rev))? {
                    Read::Whole => read += 1,
                    Read::Gone => {
                        missed += 1;
                        absent.get_or_insert(parent);
                    }
                    Read::Not((status, http, said)) => {
                        bad += 1;
                        first.get_or_insert((status, http, format!("of number {parent}: {said}")));
                        // What three are refused for, all are refused for.
                        if status == Status::Refused && bad >= REFUSED {
                            break;
                        }
                    }
                }
                if self.broken.is_some() {
                    break;
                }
            }
            if self.broken.is_some() || (bad >= REFUSED && matches!(first, Some((Status::Refused, ..)))) {
                break;
            }
        }
        // Where none that the list of these has is there, it is not they who went.
        if let Some(parent) = absent.filter(|_| read == 0 && (self.full || missed >= REFUSED)) {
            bad += missed;
            first.get_or_insert((
                Status::Refused,
                Some(404),
                format!("of number {parent}, nor that itself, though {of} has it"),
            ));
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

    /// The list that belongs to one entry.
    fn of_one(&mut self, id: i64, kind: &Kind, parent: i64, (path, rev): (&str, &str)) -> Result<Read> {
        self.memory.begin()?;
        let done = self.read_one(id, kind, parent, path);
        let read = match done {
            Ok(None) => Read::Whole,
            Ok(Some((_, Some(404 | 410), url))) if self.is_gone(&url)? => Read::Gone,
            Ok(Some((status, http @ Some(404 | 410), _))) => {
                let said = "the server has no such list, though it has what that belongs to";
                Read::Not((status, http, said.to_owned()))
            }
            Ok(Some(bad)) => Read::Not(bad),
            Err(error) => {
                self.memory.take_back()?;
                return Err(error);
            }
        };
        // Of one that went while it was read, what was held stays until its own list says that it is gone.
        if !matches!(read, Read::Whole) {
            self.memory.take_back()?;
            self.memory.begin()?;
        }
        if !matches!(read, Read::Not(_)) {
            self.memory.set_child(id, kind.name, parent, rev)?;
        }
        self.memory.commit()?;
        Ok(read)
    }

    /// Whether what the list at `url` belongs to is gone.
    fn is_gone(&mut self, url: &str) -> Result<bool> {
        let path = url.split('?').next().unwrap_or_default();
        let Some((parent, _)) = path.rsplit_once('/') else { return Ok(false) };
        let (got, _) = self.client.one(parent, None)?;
        Ok(matches!(got, Got::Refused(404 | 410, _)))
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
            match bad {
                Some((_, Some(404 | 410), url)) if self.is_gone(&url)? => {}
                Some(bad) => return Ok(Some(bad)),
                None => {}
            }
        }
        Ok(None)
    }

    /// `path` with the repository's name.
    fn repo_in(&self, path: &str, id: i64) -> Result<String> {
        let name = self.memory.word(&format!("name {id}"))?.unwrap_or_default();
        Ok(path.replace("{repo}", &self.provider.in_path(&name)))
    }

    /// All pages of a short list, within one transaction. Of one that is not there, its URL is told.
    fn all_of(
        &mut self,
        id: i64,
        (kind, parent): (&str, i64),
        (mut url, mut pages): (String, Pages),
        look: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Option<Bad>> {
        let (mark, memory) = (self.mark(0), self.memory);
        loop {
            let (entries, mut first) = (Cell::new(0), None);
            let got = self.client.list(
                &url,
                None,
                &mut |line| {
                    let keys = Keys::of(line)?;
                    let (named, rev) = (keys.id(line), keys.rev());
                    look(line)?;
                    entries.set(entries.get() + 1);
                    first.get_or_insert_with(|| named.clone());
                    memory.keep(id, kind, mark, &Entry { parent, ord: keys.ord(), id: &named, rev, json: line })
                },
                // What came before the trouble comes again, in place of itself.
                &mut || {
                    entries.set(0);
                    Ok(())
                },
            )?;
            self.seen(&got, &url)?;
            match got {
                Got::Read(page) => match pages.after(&url, &page, (entries.get(), first)) {
                    Turn::Next(next) => url = next,
                    Turn::Cut(said) => return Ok(Some((Status::Cut, None, said))),
                    Turn::End => return Ok(None),
                },
                Got::Same => return Ok(None),
                // Whoever asked looks what that means.
                Got::Refused(status @ (404 | 410), _) => return Ok(Some((Status::Refused, Some(status), url))),
                Got::Refused(status, said) => return Ok(Some((Status::Refused, Some(status), said))),
                Got::Failed(why) => return Ok(Some((Status::Failed, None, why))),
            }
        }
    }
}
