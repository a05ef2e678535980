//! The writer's own signals: what its memory says of the run that is being made.

use std::sync::{Arc, Mutex, PoisonError};

use super::{super::Result, Expected, Taken, announce, facts, loudest};
use crate::{
    catalog::Catalog,
    format::header::Flag,
    model::{Name, SnapshotId, SourceKind},
    ops::OpsError,
    signal::{self, Facts, History, Verdict},
    vault::writer::{Judge, Observed, records},
};

/// The facts of the run and what was said of it, once it was judged.
type Said = Arc<Mutex<Option<(Facts, Vec<Verdict>)>>>;

/// What the writer remembers of one source, and what it says of its run.
pub(in crate::ops) struct Own {
    note: String,
    history: History,
    said: Said,
}

impl Own {
    /// What is remembered of `source`. A memory that can't be read is none.
    pub(in crate::ops) fn of(catalog: &mut Catalog, source: &Name) -> Result<Self> {
        let note = format!("signals {source}");
        let history = catalog.note(&note)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Ok(Self { note, history, said: Arc::default() })
    }

    /// What judges the run once all of it is known, for the header. Only rules and levels stand there: headers are clear.
    pub(in crate::ops) fn judge(&self, source: Name, kind: SourceKind, expected: Vec<Expected>) -> Judge {
        let (history, said) = (self.history.clone(), Arc::clone(&self.said));
        Box::new(move |seen: &Observed<'_>| {
            let taken = Taken {
                at: seen.at,
                snapshot: None,
                kind,
                streams: seen.streams,
                details: seen.details,
                fingerprints: seen.fingerprints,
                fresh: Some(signal::Fresh { bytes: seen.bytes_new, stored: seen.bytes_stored }),
            };
            let facts = facts(&taken).map_err(records::failed)?;
            let mut verdicts = signal::judge(&history, &facts);
            announce(&expected, &source, seen.at, &mut verdicts);
            let flags = verdicts.iter().map(|v| Flag { rule: v.rule.clone(), level: v.level }).collect();
            *said.lock().unwrap_or_else(PoisonError::into_inner) = Some((facts, verdicts));
            Ok(flags)
        })
    }

    /// Remembers the run, now that there is a snapshot, and gives back what was said of it.
    pub(in crate::ops) fn keep(mut self, catalog: &mut Catalog, snapshot: SnapshotId) -> Result<Vec<Verdict>> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((mut facts, verdicts)) = said else { return Ok(Vec::new()) };
        facts.snapshot = Some(snapshot);
        self.history.push(facts, &verdicts);
        let text = serde_json::to_string(&self.history).map_err(|_| OpsError::Defect("noting the facts of a run"))?;
        catalog.set_note(&self.note, &text)?;
        tracing::debug!(signals = verdicts.len(), loudest = ?loudest(&verdicts), "the run was judged");
        Ok(verdicts)
    }
}
