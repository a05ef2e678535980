//! The world: a store with versions, delete markers and locks, who wrote what, and what is true of it.

use std::collections::BTreeMap;

use crate::{
    codec::hash::hash,
    format::layout,
    model::{Hash, Key, Lock, LockBy, LockMode, LockPolicy, Name, PackId, SnapshotId, Span, Time},
    store::Version,
    vault::stock::Stored,
};

/// Days since the beginning.
pub(super) type Day = u16;

/// When the model begins: a whole generation of locks after 1970.
const BEGIN: i64 = 700 * 30 * 86_400;

/// What the root signed: kept for 10 days, locked for 18, and nothing for longer than 24.
pub(super) const POLICY: LockPolicy = LockPolicy {
    mode: LockMode::Compliance,
    by: LockBy::BucketDefault,
    keep: Span::days(10),
    window: Span::days(8),
    max_lock: Span::days(24),
};
/// The keeper is to come once in a period.
pub(super) const PERIOD: Day = 6;
/// What a tier gives some snapshots.
pub(super) const TIER: Span = Span::days(22);
/// How long a hold is to last.
pub(super) const HOLD: Span = Span::days(30);

pub(super) fn time(day: Day) -> Time {
    Time::from_unix(BEGIN + i64::from(day) * 86_400)
}

/// The day on which a time lies, of those that the model knows.
pub(super) fn day(time: Time) -> Day {
    Day::try_from((time.unix() - BEGIN).max(0) / 86_400).unwrap()
}

/// An object, by whose it is and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Object {
    Pack(u8, u8),
    Header(u8, u8),
}

impl Object {
    pub(super) const fn writer(self) -> u8 {
        match self {
            Self::Pack(writer, _) | Self::Header(writer, _) => writer,
        }
    }

    fn tag(self) -> [u8; 3] {
        match self {
            Self::Pack(writer, no) => [1, writer, no],
            Self::Header(writer, no) => [2, writer, no],
        }
    }

    /// The hash by which it is named.
    pub(super) fn hash(self) -> Hash {
        hash(&self.tag())
    }

    pub(super) fn key(self) -> Key {
        let hash = *self.hash().as_bytes();
        match self {
            Self::Pack(writer, _) => layout::pack(&name(writer), &PackId::from_bytes(hash)),
            Self::Header(writer, no) => layout::header(&name(writer), u64::from(no), &SnapshotId::from_bytes(hash)),
        }
    }
}

pub(super) fn name(writer: u8) -> Name {
    format!("w{writer}").parse().unwrap()
}

/// A version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kept {
    /// Its number within its key.
    pub(super) no: u8,
    /// Whether its bytes are those that were signed.
    pub(super) right: bool,
    pub(super) marker: bool,
    pub(super) since: Day,
    pub(super) until: Day,
}

/// What a header claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// An honest run made it.
    Honest,
    /// Signed with a stolen key, like one of an honest run, to be kept for ever, naming everything there is, with hints at
    /// whatever is newest.
    Greedy,
    /// The same, of a time that is not yet.
    Future,
    /// The same, of a time before.
    Past,
}

/// A header that a writer's key signed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Snapshot {
    pub(super) object: Object,
    pub(super) kind: Kind,
    pub(super) seq: u8,
    pub(super) started: Day,
    pub(super) claimed: Day,
    pub(super) floor: Day,
    pub(super) expires: Day,
    pub(super) before: Option<u8>,
    /// Its packs, with the version that the writer was told of.
    pub(super) packs: Vec<(Object, u8)>,
    /// What restoring it takes in truth.
    pub(super) truly: Vec<Object>,
}

impl Snapshot {
    pub(super) fn id(&self) -> SnapshotId {
        SnapshotId::from_bytes(*self.object.hash().as_bytes())
    }

    pub(super) fn honest(&self) -> bool {
        self.kind == Kind::Honest
    }
}

/// A run on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) started: Day,
    pub(super) before: Option<u8>,
    pub(super) packs: Vec<(Object, u8)>,
    pub(super) truly: Vec<Object>,
}

/// A hold, and since when it is lifted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Hold {
    pub(super) snapshot: u8,
    pub(super) since: Day,
    pub(super) until: Day,
    pub(super) released: Option<Day>,
    /// Whether those who must agree did.
    pub(super) agreed: bool,
}

/// How often each may still do what it does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Left {
    pub(super) periods: u8,
    pub(super) runs: [u8; 2],
    pub(super) attacks: u8,
    pub(super) holds: u8,
    pub(super) revocations: u8,
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) now: Day,
    pub(super) objects: BTreeMap<Object, Vec<Kept>>,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) runs: [Option<Run>; 2],
    /// The newest pack that each writer's catalog knows, with its base.
    pub(super) known: [Option<(Object, Option<Object>)>; 2],
    pub(super) packs: [u8; 2],
    pub(super) revoked: [Option<Day>; 2],
    pub(super) hold: Option<Hold>,
    pub(super) left: Left,
    // What is noted for the laws.
    /// Whether the keeper came in this period.
    pub(super) renewed: bool,
    /// Whether it ever stayed away for a whole period.
    pub(super) late: bool,
    /// Whether a pruning counted headers that nobody could tell from honest ones.
    pub(super) displaced: [bool; 2],
    /// What just happened, for the properties that something can happen at all.
    pub(super) seen: Seen,
}

/// Things that happened at least once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "each is told by itself")]
pub(super) struct Seen {
    pub(super) extended: bool,
    pub(super) deleted: bool,
    pub(super) leant: bool,
    pub(super) refused: bool,
    pub(super) blocked: bool,
}

impl World {
    /// Puts a version on top of an object, with the lock that the bucket gives, and tells its number.
    pub(super) fn put(&mut self, object: Object, right: bool) -> u8 {
        let until = day(POLICY.lock_from(time(self.now)).until);
        self.add(object, Kept { no: 0, right, marker: false, since: self.now, until })
    }

    pub(super) fn hide(&mut self, object: Object) {
        self.add(object, Kept { no: 0, right: false, marker: true, since: self.now, until: self.now });
    }

    #[allow(clippy::needless_pass_by_value)] // It goes in, with a number.
    fn add(&mut self, object: Object, kept: Kept) -> u8 {
        let versions = self.objects.entry(object).or_default();
        let no = versions.iter().map(|kept| kept.no + 1).max().unwrap_or(0);
        versions.push(Kept { no, ..kept });
        no
    }

    pub(super) fn versions(&self, object: Object) -> &[Kept] {
        self.objects.get(&object).map_or(&[], Vec::as_slice)
    }

    /// The version that a writer was told of, or the oldest with the right bytes.
    pub(super) fn lock(&self, object: Object, version: Option<u8>) -> Option<Lock> {
        let of = |kept: &&Kept| !kept.marker && version.map_or(kept.right, |no| kept.no == no);
        let kept = self.versions(object).iter().find(of)?;
        Some(Lock { mode: LockMode::Compliance, until: time(kept.until) })
    }

    /// The versions of an object as a listing tells of them.
    pub(super) fn listed(&self, object: Object) -> Vec<Stored> {
        let stored = |kept: &Kept| Stored {
            version: Some(Version::new(kept.no.to_string())),
            bytes: 1,
            modified: time(kept.since),
            marker: kept.marker,
        };
        self.versions(object).iter().map(stored).collect()
    }

    /// Deletes a version unless its lock forbids it.
    pub(super) fn delete(&mut self, object: Object, no: u8) -> bool {
        let now = self.now;
        let Some(versions) = self.objects.get_mut(&object) else { return true };
        let locked = versions.iter().any(|kept| kept.no == no && !kept.marker && kept.until > now);
        if !locked {
            versions.retain(|kept| kept.no != no);
            if versions.is_empty() {
                self.objects.remove(&object);
            }
        }
        !locked
    }
}
