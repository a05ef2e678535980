//! What a pruning looks at of what is listed.

use std::collections::{BTreeMap, BTreeSet};

use super::Everything;
use crate::{
    format::layout::{self, ObjectName},
    model::{Key, Name, SnapshotId, Time},
    vault::{
        snapshots::Summary,
        stock::{Stock, Stored},
    },
};

/// How many of the newest snapshots of each source always stay, and of each member's evidence.
pub(crate) const KEEP_NEWEST: usize = 3;
/// More members than this have no evidence told apart.
const MEMBERS: usize = 10_000;

/// What the store lists, as far as it may be deleted.
pub(super) struct There {
    /// Headers whose time is over.
    pub(super) headers: Everything,
    over: BTreeSet<SnapshotId>,
    /// How many more versions of headers fit, and whether there are more: then the headers stay that are not here.
    room: usize,
    pub(super) cut: bool,
    pub(super) evidence: Newest,
    pub(super) stock: Stock,
}

impl There {
    pub(super) fn new(room: usize, over: &[&Summary]) -> Self {
        let over: BTreeSet<SnapshotId> = over.iter().map(|snapshot| snapshot.id).collect();
        let (headers, evidence, stock) = (Everything::new(), Newest::default(), Stock::new(room, true));
        Self { headers, room: room.max(over.len()), over, cut: false, evidence, stock }
    }

    pub(super) fn add(&mut self, key: &str, stored: Stored) {
        self.evidence.add(key, &stored);
        let Err(stored) = self.stock.add(key, stored) else { return };
        let Some(ObjectName::Header(.., id)) = layout::parse(key) else { return };
        let Ok(key) = key.parse() else { return };
        if !self.over.contains(&id) {
            return;
        }
        if self.room == 0 {
            // A header goes whole or not at all, so a part of it is no use.
            self.headers.remove(&key);
            self.cut = true;
            return;
        }
        self.room -= 1;
        self.headers.entry(key).or_default().push(stored);
    }
}

/// The newest evidence of each member, by the store's time.
#[derive(Default)]
pub(super) struct Newest {
    of: BTreeMap<Name, BTreeSet<(Time, Key)>>,
    last: String,
    /// Whether there are more members than anybody has. Then all of it stays.
    crowd: bool,
}

impl Newest {
    /// Takes what was listed; the first version of a key that is no marker says since when it is there.
    fn add(&mut self, key: &str, stored: &Stored) {
        if stored.marker || self.last == key || !key.starts_with(layout::EVIDENCE) {
            return;
        }
        let (Some(ObjectName::Evidence(member, _)), Ok(parsed)) = (layout::parse(key), key.parse()) else { return };
        key.clone_into(&mut self.last);
        self.crowd |= self.of.len() >= MEMBERS && !self.of.contains_key(&member);
        if self.crowd {
            return;
        }
        let newest = self.of.entry(member).or_default();
        newest.insert((stored.modified, parsed));
        if newest.len() > KEEP_NEWEST {
            newest.pop_first();
        }
    }

    /// Whether this stays.
    pub(super) fn has(&self, key: &Key, member: &Name) -> bool {
        self.crowd || self.of.get(member).is_some_and(|newest| newest.iter().any(|(_, one)| one == key))
    }
}
