//! What is decided, by the functions that the code uses, and the mutants of it: each is a mistake that somebody could make.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use super::world::{Day, Kind, Object, POLICY, Seen, Snapshot, World, day, name, time};
use crate::{
    codec::sign::SigningKey,
    format::{
        FORMAT,
        certificate::{Certificate, Role},
        descriptor::Descriptor,
        header::{Standing, Totals},
        hold,
    },
    model::{Clock, Findings, Hash, Key, Lock, LockMode, SnapshotId, SourceKind, Span, Time},
    store::{Version, memory::MemoryStore},
    vault::{
        Vault,
        copies::Copies,
        evidence::OWNER,
        holds::{self, Held, Holds},
        members::Members,
        snapshots::{
            Brief, Summary, Unread,
            judge::{self, judge},
            order,
        },
        standing,
        upkeep::{
            KEEP_NEWEST,
            needs::Need,
            prune::{Chosen, choose, free_from},
            renew::{Candidates, LEAD, Renewed, candidates, due_until, wanted},
        },
        writer::upload::Locking,
    },
};

/// A mistake in one decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    /// A run leans on a delta whose base's lock ends before the floor.
    ForgetsTheBase,
    /// A run leans on what the catalog knows without looking at its lock.
    ForgetsTheLock,
    /// A run commits however long it took.
    CommitsLate,
    /// `renew` extends the version that the last header's hint names, without reading it.
    TrustsTheHint,
    /// `renew` extends the newest version, as one would by key.
    ExtendsTheNewest,
    /// `renew` waits until the last day.
    RenewsLate,
    /// `renew` extends beyond what the root allows.
    ForgetsTheCap,
    /// `renew` does not know of holds.
    RenewsWithoutHolds,
    /// `prune` keeps what the newest header needs.
    PrunesByTheNewestHeader,
    /// `prune` does not know of holds.
    PrunesWithoutHolds,
    /// `prune` goes by the floor, and not by what the header promised.
    PrunesByTheFloor,
    /// `prune` counts headers that no honest run makes among the newest.
    CountsTheUnsound,
    /// `prune` counts the newest of a source whoever wrote them.
    CountsAcrossWriters,
    /// What a revoked writer signed counts on.
    ForgetsRevocations,
    /// Headers are of the time that they claim.
    BelievesClaims,
    /// A reader takes the current version.
    ReadsTheCurrent,
    /// A keeper lifts holds alone.
    LiftsAlone,
}

impl Mutant {
    pub(super) const ALL: [Self; 17] = [
        Self::ForgetsTheBase,
        Self::ForgetsTheLock,
        Self::CommitsLate,
        Self::TrustsTheHint,
        Self::ExtendsTheNewest,
        Self::RenewsLate,
        Self::ForgetsTheCap,
        Self::RenewsWithoutHolds,
        Self::PrunesByTheNewestHeader,
        Self::PrunesWithoutHolds,
        Self::PrunesByTheFloor,
        Self::CountsTheUnsound,
        Self::CountsAcrossWriters,
        Self::ForgetsRevocations,
        Self::BelievesClaims,
        Self::ReadsTheCurrent,
        Self::LiftsAlone,
    ];
}

/// What the members of the model decide by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rule {
    pub(super) mutant: Option<Mutant>,
}

struct Begin;

impl Clock for Begin {
    fn now(&self) -> Time {
        time(0)
    }
}

/// The vault whose policy counts; nothing is ever stored in it.
fn vault() -> &'static Vault {
    static VAULT: OnceLock<Vault> = OnceLock::new();
    VAULT.get_or_init(|| {
        let root = SigningKey::from_hex(&"1".repeat(64)).unwrap().public();
        let descriptor = Descriptor::new(root, Hash::from_bytes([1; 32]), time(0), Vec::new(), POLICY);
        Vault { store: Arc::new(MemoryStore::new(Arc::new(Begin))), descriptor, findings: Vec::new(), room: 1 }
    })
}

/// Keys of objects, which take a hash to make.
fn key(object: Object) -> Key {
    static KEYS: OnceLock<BTreeMap<Object, Key>> = OnceLock::new();
    let all = || (0..2).flat_map(|w| (0..16).flat_map(move |no| [Object::Pack(w, no), Object::Header(w, no)]));
    KEYS.get_or_init(|| all().map(|object| (object, object.key())).collect())[&object].clone()
}

impl Rule {
    fn is(self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn locking(started: Day) -> Locking {
        let floor = POLICY.floor(time(started));
        Locking { on_put: None, floor, mode: LockMode::Compliance, extend_to: None }
    }

    /// Whether a run may lean on a pack and its base, or on a pack as a base.
    pub(super) fn leans(self, world: &World, started: Day, pack: Option<Object>, base: Option<Object>) -> bool {
        let locking = Self::locking(started);
        let suffices = |object: Object| {
            let lock = world.lock(object, Some(0));
            locking.suffices(lock) || (self.is(Mutant::ForgetsTheLock) && lock.is_some())
        };
        pack.is_none_or(suffices) && (self.is(Mutant::ForgetsTheBase) || base.is_none_or(suffices))
    }

    /// Whether a run names the base of what it leans on.
    pub(super) fn names_bases(self) -> bool {
        !self.is(Mutant::ForgetsTheBase)
    }

    /// Whether all that a run named is locked for long enough, and that is not over.
    pub(super) fn commits(self, world: &World, started: Day, packs: &[(Object, u8)]) -> bool {
        let read_back = |(object, no): &(Object, u8)| Self::locking(started).suffices(world.lock(*object, Some(*no)));
        let locked = self.is(Mutant::ForgetsTheLock) || packs.iter().all(read_back);
        locked && (self.is(Mutant::CommitsLate) || !Self::locking(started).lapsed(time(world.now)))
    }

    fn members(self, world: &World) -> Members {
        let certificate = |writer: u8| Certificate {
            format: FORMAT.to_owned(),
            vault: vault().descriptor.vault,
            name: name(writer),
            rev: 1,
            role: Role::Writer,
            signing_key: vault().descriptor.root,
            catalog_recipient: None,
            valid_from: time(0),
            revoked_from: world.revoked[usize::from(writer)].map(time).filter(|_| !self.is(Mutant::ForgetsRevocations)),
            sources: Vec::new(),
        };
        [0, 1].map(certificate).into_iter().collect()
    }

    /// The headers of a vault, judged and in order, and those that can't be read.
    pub(super) fn listing(self, world: &World) -> (Vec<Summary>, Vec<Unread>) {
        let (mut found, mut unread) = (Vec::new(), Vec::new());
        for snapshot in &world.snapshots {
            let versions = world.versions(snapshot.object);
            let writer = name(snapshot.object.writer());
            if let Some(oldest) = versions.iter().find(|kept| kept.right) {
                let stored_at = (!self.is(Mutant::BelievesClaims)).then_some(time(oldest.since));
                found.push(summary(world, snapshot, stored_at));
            } else if let Some(first) = versions.iter().find(|kept| !kept.marker) {
                unread.push(Unread {
                    writer: Arc::new(writer),
                    named: (snapshot.seq.into(), snapshot.id()),
                    since: Some(time(first.since)),
                });
            }
        }
        let (members, copies, mut findings) = (self.members(world), Copies::default(), Findings::default());
        let seen = judge::Seen { members: Some(&members), copies: &copies, alone: false, made_here: true };
        judge(&seen, &mut found, &mut unread, &mut findings);
        standing::settle(Some(&members), &mut found, time(world.now), &mut findings);
        order::sort(&mut found);
        (found, unread)
    }

    fn holds(world: &World) -> Holds {
        let of = |held: &super::world::Hold| {
            let snapshots = vec![world.snapshots[usize::from(held.snapshot)].id()];
            let (member, at, until) = ("keeper".parse().unwrap(), time(held.since), time(held.until));
            let (format, vault) = (FORMAT.to_owned(), vault().descriptor.vault);
            let hold = hold::Hold { format, vault, member, at, until, snapshots, reason: None };
            let key: Key = "holds/keeper/x.json".parse().unwrap();
            let released = held.released.map(|at| (time(at), key.clone()));
            Held { key, hash: Hash::from_bytes([9; 32]), hold, since: at, there: at, released, suspect: false }
        };
        Holds { all: world.hold.iter().map(of).collect(), ..Holds::default() }
    }

    /// Whether a hold is lifted by the root, or by a keeper alone.
    pub(super) fn lifts(self, root: bool, now: Day) -> bool {
        let member = if root { OWNER } else { "keeper" }.parse().unwrap();
        let (format, vault_id, at) = (FORMAT.to_owned(), vault().descriptor.vault, time(now));
        let hold = Hash::from_bytes([9; 32]);
        let release = hold::Release { format, vault: vault_id, member, at, hold, approval: None };
        self.is(Mutant::LiftsAlone) || holds::agreed(vault(), None, &release, at).is_ok()
    }

    /// `renew`: extends what live snapshots need.
    pub(super) fn renew(self, world: &mut World) {
        let (all, _) = self.listing(world);
        let holds = if self.is(Mutant::RenewsWithoutHolds) { Holds::default() } else { Self::holds(world) };
        let mut done = Renewed::default();
        let wanted = wanted(vault(), &all, &holds, time(world.now), &mut done);
        world.seen.refused |= done.refused > 0;
        let wanted: Vec<(SnapshotId, Time)> = wanted.into_iter().map(|(one, until)| (one.id, until)).collect();
        let lead = if self.is(Mutant::RenewsLate) { Span::days(1) } else { LEAD };
        self.extend(world, &wanted, lead);
    }

    /// `freeze`: extends what a snapshot needs to the end of its hold, as far as the root lets it be.
    pub(super) fn freeze(self, world: &mut World, snapshot: usize, until: Day) {
        let id = world.snapshots[snapshot].id();
        self.extend(world, &[(id, time(until))], POLICY.max_lock);
    }

    fn extend(self, world: &mut World, wanted: &[(SnapshotId, Time)], lead: Span) {
        let now = time(world.now);
        let far = if self.is(Mutant::ForgetsTheCap) { Span::days(1000) } else { POLICY.max_lock };
        let mut needs: BTreeMap<Key, Need> = BTreeMap::new();
        let (mut objects, mut hints) = (BTreeMap::new(), BTreeMap::new());
        for (id, until) in wanted {
            let Some(snapshot) = world.snapshots.iter().find(|snapshot| snapshot.id() == *id) else { continue };
            let mut need = |object: Object, bytes, hint, header| {
                objects.insert(key(object), object);
                let need = Need { hash: object.hash(), bytes, hint, until: *until, floor: time(0), header };
                needs.entry(key(object)).and_modify(|known| known.join(&need)).or_insert(need);
            };
            need(snapshot.object, None, None, true);
            // Those that are not there are told, and nothing more.
            for (pack, no) in snapshot.packs.iter().filter(|(pack, _)| !world.versions(*pack).is_empty()) {
                hints.insert(*pack, *no);
                need(*pack, Some(1), Some(no.to_string().into()), false);
            }
        }
        for (key, need) in &needs {
            let object = objects[key];
            let hint = hints.get(&object).copied().filter(|_| self.is(Mutant::TrustsTheHint));
            let Some(no) = hint.or_else(|| self.signed(world, object, need)) else { continue };
            let mut versions = world.objects.get_mut(&object).into_iter().flatten();
            let Some(kept) = versions.find(|kept| kept.no == no) else { continue };
            if let Some(until) = due_until(time(kept.until), (need.until, need.floor), (now, lead, now + far)) {
                kept.until = kept.until.max(day(until));
                world.seen.extended = true;
            }
        }
    }

    /// The version that was signed, as `renew` finds it.
    fn signed(self, world: &World, object: Object, need: &Need) -> Option<u8> {
        let versions = world.versions(object);
        let number = |version: &Option<Version>| version.as_ref().unwrap().as_str().parse::<u8>().unwrap();
        let newest = versions.iter().rev().find(|kept| !kept.marker).map(|kept| kept.no);
        if self.is(Mutant::ExtendsTheNewest) {
            return newest;
        }
        let right = |no: u8| versions.iter().any(|kept| kept.no == no && kept.right);
        match candidates(need, &world.listed(object)) {
            Candidates::Known(only) => Some(number(&only.version)),
            Candidates::ToRead(all) => all.iter().map(|one| number(&one.version)).find(|no| right(*no)),
        }
    }

    /// `prune`: deletes what nothing needs and no lock holds.
    pub(super) fn prune(self, world: &mut World) {
        let (mut all, unread) = self.listing(world);
        if !unread.is_empty() {
            world.seen.blocked = true;
            return;
        }
        if self.is(Mutant::PrunesByTheFloor) {
            for one in &mut all {
                one.header.expires_at = one.header.floor_until;
            }
        }
        let holds = if self.is(Mutant::PrunesWithoutHolds) { Holds::default() } else { Self::holds(world) };
        let Chosen { mut staying, over, .. } = self.choose(&all, &holds, time(world.now));
        let over: Vec<SnapshotId> = over.into_iter().map(|one| one.id).collect();
        for id in over {
            let object = world.snapshots.iter().find(|snapshot| snapshot.id() == id).unwrap().object;
            if !Self::remove(world, object, true) {
                staying.insert(id);
            }
        }
        let stays = |snapshot: &&Snapshot| staying.contains(&snapshot.id());
        let needed: BTreeSet<Object> =
            world.snapshots.iter().filter(stays).flat_map(|s| s.packs.iter().map(|(pack, _)| *pack)).collect();
        let packs: Vec<Object> = world.objects.keys().copied().filter(|o| matches!(o, Object::Pack(..))).collect();
        for pack in packs.into_iter().filter(|pack| !needed.contains(pack)) {
            Self::remove(world, pack, false);
        }
    }

    fn choose<'a>(self, all: &'a [Summary], holds: &Holds, now: Time) -> Chosen<'a> {
        let (unsound, across) = (self.is(Mutant::CountsTheUnsound), self.is(Mutant::CountsAcrossWriters));
        if self.is(Mutant::PrunesByTheNewestHeader) {
            let staying = all.last().map(|newest| newest.id).into_iter().collect();
            return Chosen { staying, over: all.iter().rev().skip(1).collect(), held: 0 };
        }
        let mut chosen = choose(vault(), all, holds, (now, Span::ZERO));
        if unsound || across {
            let mut places: BTreeMap<Option<u8>, usize> = BTreeMap::new();
            for one in all.iter().rev().filter(|one| !one.standing.suspect) {
                let place = places.entry((!across).then(|| u8::from(one.header.writer == name(0)))).or_default();
                *place += 1;
                if *place > KEEP_NEWEST && one.header.expires_at <= now && chosen.staying.remove(&one.id) {
                    chosen.over.push(one);
                }
            }
        }
        chosen
    }

    /// Deletes the versions of an object that are free, the newest first, and a header wholly or not at all; says whether it
    /// is gone.
    fn remove(world: &mut World, object: Object, whole: bool) -> bool {
        let now = time(world.now);
        let lock = |kept: &super::world::Kept| {
            (!kept.marker).then_some(Lock { mode: LockMode::Compliance, until: time(kept.until) })
        };
        let listed = world.listed(object);
        let free = |(kept, stored): (&super::world::Kept, &_)| free_from(stored, lock(kept), Span::ZERO) <= now;
        let versions = world.versions(object).to_vec();
        let free: Vec<bool> = versions.iter().zip(&listed).map(free).collect();
        if whole && free.contains(&false) {
            return false;
        }
        let mut every = !free.contains(&false);
        for (kept, _) in versions.iter().zip(&free).rev().filter(|(kept, free)| **free && !kept.marker) {
            every &= world.delete(object, kept.no);
            if whole && !every {
                return false;
            }
            world.seen = Seen { deleted: true, ..world.seen };
        }
        for (kept, _) in versions.iter().zip(&free).filter(|(kept, free)| **free && kept.marker && every) {
            world.delete(object, kept.no);
        }
        every
    }

    /// Whether a reader finds an object.
    fn finds(self, world: &World, object: Object) -> bool {
        let versions = world.versions(object);
        if self.is(Mutant::ReadsTheCurrent) {
            return versions.last().is_some_and(|kept| kept.right && !kept.marker);
        }
        versions.iter().any(|kept| kept.right)
    }

    /// Whether a snapshot can be restored.
    pub(super) fn restores(self, world: &World, snapshot: &Snapshot) -> bool {
        self.finds(world, snapshot.object) && snapshot.truly.iter().all(|object| self.finds(world, *object))
    }
}

fn summary(world: &World, snapshot: &Snapshot, stored_at: Option<Time>) -> Summary {
    let before = |no: u8| world.snapshots[usize::from(no)].id();
    let header = Brief {
        writer: name(snapshot.object.writer()),
        seq: u64::from(snapshot.seq),
        prev: snapshot.before.map(before).into_iter().collect(),
        source: "shop".parse().unwrap(),
        kind: SourceKind::Stdin,
        started_at: time(snapshot.started),
        claimed_at: time(snapshot.claimed),
        floor_until: time(snapshot.floor),
        expires_at: time(snapshot.expires),
        journal: None,
        signal: None,
        whole: true,
        totals: Totals::default(),
    };
    let standing = Standing { stored_at, ..Standing::default() };
    Summary::from_parts(snapshot.id(), header, (time(0), Hash::from_bytes([0; 32]), standing), 1)
}

/// Whether nobody can tell a header from an honest one.
pub(super) fn looks_honest(kind: Kind) -> bool {
    matches!(kind, Kind::Honest | Kind::Greedy)
}
