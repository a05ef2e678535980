//! What a watch remembers from pass to pass. It is all that makes a pass cheap, and it is the watch's own: nothing of a
//! writer's is believed because it was there before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    model::{Name, SnapshotId, Time, VaultId},
    ops::signals::Signal,
    signal::{History, Level},
};

/// The version of the file.
const FORMAT: &str = "1";
/// So many alarms are kept that nobody acknowledged; of more, the first ones.
const OPEN: usize = 1000;
/// So many days of runs are counted.
const DAYS: i64 = 60;
/// So many reactions are remembered.
const REACTIONS: usize = 1000;

/// The newest snapshot of a writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub id: SnapshotId,
}

/// What is remembered of a source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its last runs.
    pub history: History,
    /// How many runs each day had, by its number from 1970.
    #[serde(default)]
    pub days: BTreeMap<i64, u64>,
    /// The day of which it was said last that there are too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flooded: Option<i64>,
}

impl Remembered {
    /// Counts a run of this time.
    pub fn count(&mut self, at: Time) -> i64 {
        let day = at.unix().div_euclid(86_400);
        *self.days.entry(day).or_default() += 1;
        self.days.retain(|one, _| *one > day - DAYS);
        day
    }
}

/// Something that was run because of a signal, or was about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// Because of what.
    pub cause: String,
    /// What was run.
    pub name: String,
    /// When it began.
    pub began: Time,
    /// How it ended: `done`, or why not. Nothing where it was never heard of again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// What a watch remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The version of this file's format.
    pub format: String,
    /// The vault.
    pub vault: VaultId,
    /// When, by the store's clock.
    pub at: Time,
    /// Headers that were read: the first half of each id, and until when the snapshot is promised.
    #[serde(default)]
    pub known: BTreeMap<String, Time>,
    /// The newest snapshot of each writer.
    #[serde(default)]
    pub heads: BTreeMap<Name, Head>,
    /// Sources, by writer and name.
    #[serde(default)]
    pub sources: BTreeMap<String, Remembered>,
    /// Alarms that nobody acknowledged.
    #[serde(default)]
    pub open: Vec<Signal>,
    /// Causes that somebody knows of, and since when.
    #[serde(default)]
    pub acknowledged: BTreeMap<String, Time>,
    /// What was run because of signals.
    #[serde(default)]
    pub reactions: Vec<Reaction>,
}

/// What a header is called among those that are known.
pub(super) fn short(id: &SnapshotId) -> String {
    id.to_string().chars().take(32).collect()
}

impl Checkpoint {
    /// Of a vault that was never looked at.
    #[must_use]
    pub fn new(vault: VaultId, at: Time) -> Self {
        Self {
            format: FORMAT.to_owned(),
            vault,
            at,
            known: BTreeMap::new(),
            heads: BTreeMap::new(),
            sources: BTreeMap::new(),
            open: Vec::new(),
            acknowledged: BTreeMap::new(),
            reactions: Vec::new(),
        }
    }

    /// Whether this is a checkpoint of `vault` that this build understands; else why not.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn belongs_to(&self, vault: VaultId) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("it has format {:?}, and this build knows {FORMAT:?}", self.format));
        }
        if self.vault != vault {
            return Err(format!("it is of vault {}, and this is {vault}", self.vault));
        }
        Ok(())
    }

    /// Whether the header of this snapshot was read.
    #[must_use]
    pub fn knows(&self, id: &SnapshotId) -> bool {
        self.known.contains_key(&short(id))
    }

    /// Takes up an alarm that is not known yet.
    pub(super) fn open(&mut self, signal: &Signal) {
        let known = self.acknowledged.contains_key(&signal.cause) || self.open.iter().any(|o| o.cause == signal.cause);
        if signal.level == Level::Alarm && !known && self.open.len() < OPEN {
            self.open.push(signal.clone());
        }
    }

    /// Notes that somebody knows of these causes. Returns those of which no alarm is open.
    pub(super) fn acknowledge(&mut self, causes: &[String], now: Time) -> Vec<String> {
        let mut unknown = Vec::new();
        for cause in causes {
            let before = self.open.len();
            self.open.retain(|open| open.cause != *cause);
            if self.open.len() == before && !self.acknowledged.contains_key(cause) {
                unknown.push(cause.clone());
            } else {
                self.acknowledged.entry(cause.clone()).or_insert(now);
            }
        }
        unknown
    }

    /// Whether this was run for this cause, or begun.
    #[must_use]
    pub fn has_reacted(&self, cause: &str, name: &str) -> bool {
        self.reactions.iter().any(|one| one.cause == cause && one.name == name)
    }

    /// Notes that a reaction begins.
    pub fn begin(&mut self, cause: &str, name: &str, now: Time) {
        let reaction = Reaction { cause: cause.to_owned(), name: name.to_owned(), began: now, ended: None };
        self.reactions.push(reaction);
        let over = self.reactions.len().saturating_sub(REACTIONS);
        self.reactions.drain(..over);
    }

    /// Notes how a reaction ended.
    pub fn end(&mut self, cause: &str, name: &str, how: String) -> Option<Reaction> {
        let one = self.reactions.iter_mut().rev().find(|one| one.cause == cause && one.name == name)?;
        one.ended = Some(how);
        Some(one.clone())
    }
}
