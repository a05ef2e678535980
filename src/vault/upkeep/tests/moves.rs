//! Who does what.

use stateright::{Model, Property};

use super::{
    laws,
    rule::{Rule, looks_honest},
    world::{Day, HOLD, Hold, Kind, Left, Object, PERIOD, POLICY, Run, Seen, Snapshot, TIER, World, day, time},
};

/// What a run makes of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Data {
    /// It is all new.
    New,
    /// It is what the run before stored.
    Same,
    /// It resembles that.
    Like,
}

/// One step of one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Begin(u8, Data),
    Commit(u8),
    Crash(u8),
    Period,
    Renew,
    Prune,
    Freeze(u8),
    Lift {
        root: bool,
    },
    Revoke,
    /// Other bytes on top of an object, the right ones again, or a delete marker.
    Spoil(Object),
    Again(Object),
    Hide(Object),
    /// A header signed with the stolen key of writer 0.
    Sign(Kind),
    /// Somebody with every right deletes what no lock holds.
    Thieve,
}

/// How objects are written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoils {
    No,
    Bytes,
    All,
}

/// How large the world is, and who is in it.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) left: Left,
    pub(super) thief: bool,
    /// Whether objects of writer 0 are written over: not at all, with other bytes, or in every way.
    pub(super) spoils: Spoils,
    /// Whether runs are stopped on their way.
    pub(super) crashes: bool,
    /// How many headers are signed in a step.
    pub(super) crowd: u8,
    /// Which headers are signed with its key.
    pub(super) signs: &'static [Kind],
    /// What runs make of their sources.
    pub(super) data: &'static [Data],
}

/// The model.
#[derive(Debug, Clone)]
pub(super) struct Protocol {
    pub(super) rule: Rule,
    pub(super) bounds: Bounds,
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            now: 0,
            objects: std::collections::BTreeMap::new(),
            snapshots: Vec::new(),
            runs: [None, None],
            known: [None, None],
            packs: [0, 0],
            revoked: [None, None],
            hold: None,
            left: self.bounds.left.clone(),
            renewed: true,
            late: false,
            displaced: [false, false],
            seen: Seen::default(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let left = &world.left;
        if left.periods > 0 {
            steps.push(Step::Period);
        }
        steps.extend([Step::Renew, Step::Prune]);
        for writer in 0..2 {
            let at = usize::from(writer);
            if world.runs[at].is_some() {
                steps.push(Step::Commit(writer));
                steps.extend(self.bounds.crashes.then_some(Step::Crash(writer)));
            } else if left.runs[at] > 0 {
                let can = |data: &&Data| **data == Data::New || world.known[at].is_some();
                steps.extend(self.bounds.data.iter().filter(can).map(|data| Step::Begin(writer, *data)));
            }
        }
        if left.holds > 0 && world.hold.is_none() {
            let honest = world.snapshots.iter().zip(0..).filter(|(s, _)| s.honest() && self.rule.restores(world, s));
            steps.extend(honest.map(|(_, no)| Step::Freeze(no)));
        }
        if world.hold.as_ref().is_some_and(|hold| hold.released.is_none()) {
            steps.extend([Step::Lift { root: true }, Step::Lift { root: false }]);
        }
        if left.revocations > 0 && world.revoked[0].is_none() {
            steps.push(Step::Revoke);
        }
        if left.attacks > 0 {
            for object in world.objects.keys().filter(|object| object.writer() == 0) {
                let ways = [Step::Spoil(*object), Step::Again(*object), Step::Hide(*object)];
                steps.extend(ways.into_iter().take(match self.bounds.spoils {
                    Spoils::No => 0,
                    Spoils::Bytes => 1,
                    Spoils::All => 3,
                }));
            }
            // On the first day there is no time before.
            let can = |kind: &&Kind| **kind != Kind::Past || world.now > 0;
            steps.extend(self.bounds.signs.iter().filter(can).map(|kind| Step::Sign(*kind)));
        }
        if self.bounds.thief {
            steps.push(Step::Thieve);
        }
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut world = last.clone();
        self.go(&mut world, step);
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        laws::all()
    }
}

impl Protocol {
    fn go(&self, world: &mut World, step: Step) {
        match step {
            Step::Begin(writer, data) => self.begin(world, writer, data),
            Step::Commit(writer) => self.commit(world, writer),
            Step::Crash(writer) => world.runs[usize::from(writer)] = None,
            Step::Period => {
                world.now += PERIOD;
                world.left.periods -= 1;
                world.late |= !world.renewed;
                world.renewed = false;
            }
            Step::Renew => {
                self.rule.renew(world);
                world.renewed = true;
            }
            Step::Prune => {
                Self::note_displaced(world);
                self.rule.prune(world);
            }
            Step::Freeze(snapshot) => {
                let until = day(time(world.now) + HOLD);
                self.rule.freeze(world, usize::from(snapshot), until);
                world.left.holds -= 1;
                world.hold = Some(Hold { snapshot, since: world.now, until, released: None, agreed: false });
            }
            Step::Lift { root } => {
                let lifted = self.rule.lifts(root, world.now);
                if let Some(hold) = world.hold.as_mut().filter(|_| lifted) {
                    (hold.released, hold.agreed) = (Some(world.now), root);
                }
            }
            Step::Revoke => {
                world.left.revocations -= 1;
                world.revoked[0] = Some(world.now);
            }
            Step::Spoil(object) => attack(world, |world| {
                let _ = world.put(object, false);
            }),
            Step::Again(object) => attack(world, |world| {
                let _ = world.put(object, true);
            }),
            Step::Hide(object) => attack(world, |world| world.hide(object)),
            Step::Sign(kind) => attack(world, |world| (0..self.bounds.crowd).for_each(|_| sign(world, kind))),
            Step::Thieve => {
                let all: Vec<(Object, u8)> =
                    world.objects.iter().flat_map(|(o, v)| v.iter().map(|kept| (*o, kept.no))).collect();
                for (object, no) in all {
                    world.delete(object, no);
                }
            }
        }
    }

    fn begin(&self, world: &mut World, writer: u8, data: Data) {
        let (at, started) = (usize::from(writer), world.now);
        world.left.runs[at] -= 1;
        // A base is a whole chunk: of a delta, its own base.
        let (pack, base) = match (data, world.known[at]) {
            (Data::Same, Some((pack, base))) => (Some(pack), base),
            (Data::Like, Some((pack, base))) => (None, Some(base.unwrap_or(pack))),
            _ => (None, None),
        };
        let leans = (pack.is_some() || base.is_some()) && self.rule.leans(world, started, pack, base);
        world.seen.leant |= leans;
        let named = pack.into_iter().chain(base.filter(|_| self.rule.names_bases())).filter(|_| leans);
        let mut packs: Vec<(Object, u8)> = named.map(|object| (object, 0)).collect();
        let mut truly: Vec<Object> = pack.into_iter().chain(base).filter(|_| leans).collect();
        if data != Data::Same || !leans {
            let pack = Object::Pack(writer, world.packs[at]);
            world.packs[at] += 1;
            let no = world.put(pack, true);
            let base = base.filter(|_| data == Data::Like && leans);
            packs.push((pack, no));
            truly.push(pack);
            world.known[at] = Some((pack, base));
        }
        let before = newest(world, writer);
        world.runs[at] = Some(Run { started, before, packs, truly });
    }

    fn commit(&self, world: &mut World, writer: u8) {
        let Some(run) = world.runs[usize::from(writer)].take() else { return };
        if !self.rule.commits(world, run.started, &run.packs) {
            return;
        }
        let floor = day(POLICY.floor(time(run.started)));
        let seq = run.before.map_or(0, |no| world.snapshots[usize::from(no)].seq + 1);
        // The first of a period is kept for longer.
        let expires = if seq == 0 { floor.max(day(time(run.started) + TIER)) } else { floor };
        let object = Object::Header(writer, u8::try_from(world.snapshots.len()).unwrap());
        world.put(object, true);
        let (started, claimed) = (run.started, world.now);
        // After a run that took so long the keeper must come once more in time.
        world.renewed &= started == claimed;
        let Run { before, packs, truly, .. } = run;
        world.snapshots.push(Snapshot {
            object,
            kind: Kind::Honest,
            seq,
            started,
            claimed,
            floor,
            expires,
            before,
            packs,
            truly,
        });
    }

    /// Notes whose headers take places among the newest that nobody could tell from honest ones.
    fn note_displaced(world: &mut World) {
        let honest_looking = |snapshot: &&Snapshot| !snapshot.honest() && looks_honest(snapshot.kind);
        let free = world.revoked[0]
            .is_none_or(|from| world.snapshots.iter().filter(honest_looking).any(|snapshot| snapshot.claimed < from));
        world.displaced[0] |= free && world.snapshots.iter().any(|snapshot| honest_looking(&snapshot));
    }
}

fn newest(world: &World, writer: u8) -> Option<u8> {
    let own = world.snapshots.iter().zip(0..).filter(|(snapshot, _)| snapshot.object.writer() == writer);
    own.max_by_key(|(snapshot, no)| (snapshot.seq, *no)).map(|(_, no)| no)
}

fn attack(world: &mut World, act: impl FnOnce(&mut World)) {
    world.left.attacks -= 1;
    act(world);
}

/// A header that names every pack of writer 0, with hints at what is on top of them, to be kept for ever.
fn sign(world: &mut World, kind: Kind) {
    const EVER: Day = 2000;
    let object = Object::Header(0, u8::try_from(world.snapshots.len()).unwrap());
    let own = world.objects.iter().filter(|(object, _)| matches!(object, Object::Pack(0, _)));
    let packs: Vec<(Object, u8)> = own.filter_map(|(object, versions)| Some((*object, versions.last()?.no))).collect();
    let claimed = match kind {
        Kind::Honest | Kind::Greedy => world.now,
        Kind::Future => world.now + 40,
        Kind::Past => world.now.saturating_sub(2 * PERIOD),
    };
    let before = newest(world, 0);
    let seq = before.map_or(0, |no| world.snapshots[usize::from(no)].seq + 1);
    world.put(object, true);
    let (started, truly) = (claimed, Vec::new());
    let (floor, expires) = (EVER, EVER);
    world.snapshots.push(Snapshot { object, kind, seq, started, claimed, floor, expires, before, packs, truly });
}
