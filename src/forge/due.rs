//! What a pass need not ask for: settings that were asked for lately, and lists of what another list shows to be as it was.

use super::{
    Result, SEAM,
    manifest::Row,
    memory::Progress,
    pass::Pass,
    provider::{Kind, Repository, Sight},
};
use crate::{codec::hash::hash, model::Time};

impl Pass<'_> {
    /// The rows of a kind that is not asked for in this pass, if it need not be.
    ///
    /// # Errors
    /// If the memory fails.
    pub(super) fn unchanged(
        &self,
        (id, repo): (i64, Option<&Repository>),
        kind: &Kind,
        before: &Progress,
    ) -> Result<Option<Vec<Row>>> {
        let (Some(since), Some(told)) = (&before.since, &before.told) else { return Ok(None) };
        if self.full || before.pass == self.number || !before.done {
            return Ok(None);
        }
        let Ok(mut rows) = serde_json::from_str::<Vec<Row>>(told) else { return Ok(None) };
        let (Ok(last), Ok(now)) = (since.parse::<Time>(), self.since.parse::<Time>()) else { return Ok(None) };
        let shown = match kind.shown_in {
            Some(other) => self.shows_none_changed(id, other)?,
            None => false,
        };
        let seen = kind.seen_by.and_then(|sight| self.is_seen((id, kind.name), sight, (last, now)));
        let stands = self.stands_as_before(id, kind.name)?;
        let waits = kind.is_setting() && !self.is_due(id, (last, now)) && self.is_set_up_as_before(repo)?;
        let kept = stands.unwrap_or(waits);
        if !shown && !kept && seen.is_none() {
            return Ok(None);
        }
        for row in &mut rows {
            (row.got, row.given) = self.memory.count(id, &row.kind, self.mark(0))?;
            (row.gone_ids, row.gone) = (Vec::new(), 0);
        }
        if kept {
            for row in &mut rows {
                row.as_of = Some(Time::from_unix(last.unix() + SEAM));
            }
        } else {
            let known = shown || seen == Some(true);
            let after = Progress {
                pass: self.number,
                since: if known { Some(self.since.clone()) } else { before.since.clone() },
                told: serde_json::to_string(&rows).ok(),
                ..before.clone()
            };
            self.memory.set_progress(id, kind.name, &after)?;
        }
        Ok(Some(rows))
    }

    /// Whether a survey tells that the memory has all that changed of a kind; and then, whether nothing of it changes unseen.
    fn is_seen(&self, (id, kind): (i64, &str), sight: Sight, times: (Time, Time)) -> Option<bool> {
        let seen = self.survey.get(&id).filter(|seen| seen.since.is_some())?;
        let (none, no_pulls) = (seen.changed().next().is_none(), seen.pulls.is_empty());
        let (told, all) = match sight {
            Sight::Issues => (none || seen.has_issues, true),
            Sight::Pulls => (no_pulls || seen.has_pulls, true),
            Sight::Owner => (seen.read.contains(kind), true),
            Sight::Events => (none || seen.has_events, true),
            // Whether a change of an old one changes what it belongs to is the forge's to say, so their lists have a turn, too.
            Sight::Comments => ((none || seen.has_comments) && !self.is_due(id, times), false),
            Sight::OnLines => ((no_pulls || seen.has_reviews) && !self.is_due(id, times), false),
        };
        told.then_some(all)
    }

    /// Whether a survey tells of settings the same as when they were read; `None` if it does not tell.
    fn stands_as_before(&self, id: i64, kind: &str) -> Result<Option<bool>> {
        let Some((digest, count)) = self.stands_for(id, kind) else { return Ok(None) };
        let Some(known) = self.memory.word(&format!("digest {id} {kind}"))? else { return Ok(None) };
        if known != *digest {
            return Ok(Some(false));
        }
        // One that is told of other numbers than the list has may be told only of what it may see.
        Ok((self.memory.count(id, kind, 0)?.0 == *count).then_some(true))
    }

    /// Whether it is time to ask for settings again. Each repository has its own hour, so that no run asks for those of all.
    pub(super) fn is_due(&self, id: i64, (last, now): (Time, Time)) -> bool {
        let every = i64::try_from(self.every.as_seconds()).unwrap_or(i64::MAX);
        if every == 0 || now < last {
            return true;
        }
        let digits = hash(&id.to_le_bytes()).to_string();
        let own = digits.get(..8).and_then(|text| i64::from_str_radix(text, 16).ok()).unwrap_or_default() % every;
        let turn = |time: Time| time.unix().saturating_add(own) / every;
        turn(now) != turn(last)
    }

    /// Whether the listing tells the same of a repository as when its settings were looked at.
    fn is_set_up_as_before(&self, repo: Option<&Repository>) -> Result<bool> {
        let Some(repo) = repo else { return Ok(true) };
        Ok(self.memory.word(&format!("setup {}", repo.id))?.is_some_and(|known| known == repo.setup()))
    }

    /// Whether a list was read to its end in this pass, and no pull request on it is new or changed.
    fn shows_none_changed(&self, id: i64, other: &str) -> Result<bool> {
        let read = self.memory.progress(id, other)?;
        let rows: Vec<Row> = read.told.as_deref().and_then(|told| serde_json::from_str(told).ok()).unwrap_or_default();
        let whole = read.pass == self.number && read.done && rows.first().is_some_and(|row| row.status.is_whole());
        Ok(whole && !self.memory.met_pulls(id, other, self.mark(0))?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        forge::{client::Client, memory::Memory, provider::Provider},
        model::Span,
    };

    #[test]
    fn settings_of_each_repository_are_due_once_in_a_span_at_a_time_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::open(&dir.path().join("m")).unwrap();
        let provider = Provider::Gitea;
        let cancel = crate::model::Cancel::default();
        let mut client = Client::new("http://127.0.0.1:1", None, provider.manner(), (None, cancel)).unwrap();
        let exclude = BTreeSet::new();
        let pass = Pass {
            client: &mut client,
            memory: &memory,
            provider,
            api: String::new(),
            graph: None,
            number: 2,
            full: false,
            since: String::new(),
            every: Span::days(5),
            exclude: &exclude,
            failed: 0,
            broken: None,
            timed: true,
            survey: std::collections::BTreeMap::new(),
        };
        let day = |n: i64| Time::from_unix(1_800_000_000 + n * 86_400);
        let mut spread = BTreeSet::new();
        for id in 1..=200 {
            let due: Vec<i64> = (0..5).filter(|n| pass.is_due(id, (day(*n), day(n + 1)))).collect();
            assert_eq!(due.len(), 1, "{id}: {due:?}");
            spread.extend(due);
        }
        assert_eq!(spread.len(), 5, "they are spread over the days");
        assert!(pass.is_due(1, (day(1), day(0))), "a clock that was set back hides nothing");
    }
}
