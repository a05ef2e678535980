//! What changed in all repositories of an owner, where a forge lists that: in place of a list of each.

use std::cell::Cell;

use serde_json::Value;

use super::{
    Result,
    client::Got,
    json::broken,
    keys::Keys,
    link,
    memory::Entry,
    paging::{Pages, Turn},
    pass::Pass,
    provider::Repository,
};

/// The most pages of such a list. Where more changed, the lists of repositories are read.
const PAGES: usize = 100;

impl Pass<'_> {
    /// Reads the changed entries of an owner's repositories from its own lists.
    ///
    /// # Errors
    /// If somebody asks to stop, or the memory fails.
    pub(super) fn lists_of_owner(&mut self, owner: &str, repositories: &[Repository]) -> Result<()> {
        if self.full {
            return Ok(());
        }
        for (kind, path, whose) in self.provider.lists_of_owner() {
            let mut since: Option<String> = None;
            let mut ids = Vec::new();
            for one in repositories {
                let known = self.memory.progress(one.id, kind)?;
                // Where it was not read to its end before, its own list is.
                let Some(from) = known.since.filter(|_| known.done && known.pass != self.number) else { continue };
                since = Some(match since {
                    Some(least) => least.min(from),
                    None => from,
                });
                ids.push(one.id);
            }
            ids.sort_unstable();
            let Some(since) = since.filter(|_| ids.len() > 1 && !self.exclude.contains(*kind)) else { continue };
            let path = path.replace("{owner}", &link::segment(owner)).replace("{since}", &since);
            if self.changed_of((kind, &path, whose), &ids)? {
                for id in ids {
                    let seen = self.survey.entry(id).or_default();
                    seen.since.get_or_insert_with(|| since.clone());
                    seen.read.insert(kind);
                }
            }
        }
        Ok(())
    }

    /// Reads one list. Tells whether it was read to its end.
    fn changed_of(&mut self, (kind, path, whose): (&str, &str, &str), ids: &[i64]) -> Result<bool> {
        let mut url = format!("{}/{path}&{}", self.api, self.provider.page());
        let (mark, memory, mut list) = (self.mark(0), self.memory, Pages::default());
        for _ in 0..PAGES {
            let (entries, mut first) = (Cell::new(0), None);
            memory.begin()?;
            let got = self.client.list(
                &url,
                None,
                &mut |line| {
                    let value: Value =
                        serde_json::from_slice(line).map_err(|_| broken("has an entry that is not JSON"))?;
                    let keys = Keys::of(line)?;
                    let (named, rev) = (keys.id(line), keys.rev());
                    entries.set(entries.get() + 1);
                    first.get_or_insert_with(|| named.clone());
                    let id = value.pointer(whose).and_then(Value::as_i64);
                    let Some(id) = id.filter(|id| ids.binary_search(id).is_ok()) else { return Ok(()) };
                    memory.keep(id, kind, mark, &Entry { parent: 0, ord: keys.ord(), id: &named, rev, json: line })
                },
                &mut || memory.take_back().and_then(|()| memory.begin()).map(|()| entries.set(0)),
            );
            let page = match got {
                Ok(Got::Read(page)) => page,
                Ok(other) => {
                    memory.take_back()?;
                    tracing::info!(kind, ?other, "the owner has no list of what changed, so each repository's is read");
                    return Ok(false);
                }
                Err(error) => {
                    memory.take_back()?;
                    return Err(error);
                }
            };
            memory.commit()?;
            match list.after(&url, &page, (entries.get(), first)) {
                Turn::Next(next) => url = next,
                Turn::Cut(_) => return Ok(false),
                // Where some went while it was read, others may be missing.
                Turn::End => return Ok(page.total.is_none_or(|total| total <= list.had())),
            }
        }
        Ok(false)
    }
}
