//! What must hold, whatever happens; and what must be able to happen, or the rest would say nothing.

use stateright::Property;

use super::{
    moves::Protocol,
    rule::looks_honest,
    world::{Day, POLICY, Snapshot, World, day, name, time},
};
use crate::vault::upkeep::KEEP_NEWEST;

/// Every law, by the guarantee that it is a part of.
pub(super) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always("G1 G3 G6 G11: what is promised can be restored", promised),
        Property::always("G11: what is to be kept can be restored while the keeper comes", kept),
        Property::always("G16: what is held can be restored until those who must agree lift it", held),
        Property::always("G4: the newest of each writer stay", newest_stay),
        Property::always("G4: nothing is locked for longer than the root allows", capped),
        Property::always("G4: nothing that was signed since a revocation is the latest", latest),
        Property::always("G5: what was stored later comes later", ordered),
        Property::sometimes("a lock is extended", |_, world: &World| world.seen.extended),
        Property::sometimes("something is deleted", |_, world: &World| world.seen.deleted),
        Property::sometimes("a run leans on one before", |_, world: &World| world.seen.leant),
        Property::sometimes("two writers have snapshots", |_, world: &World| {
            [0, 1].iter().all(|writer| honest(world).any(|snapshot| snapshot.object.writer() == *writer))
        }),
    ]
}

fn honest(world: &World) -> impl Iterator<Item = &Snapshot> {
    world.snapshots.iter().filter(|snapshot| snapshot.honest())
}

fn suspect(world: &World, snapshot: &Snapshot) -> bool {
    world.revoked[usize::from(snapshot.object.writer())].is_some_and(|from| snapshot.claimed >= from)
}

/// Whether somebody may have deleted what the keeper let lapse.
fn lapsed(model: &Protocol, world: &World) -> bool {
    model.bounds.thief && world.late
}

fn promised(model: &Protocol, world: &World) -> bool {
    honest(world).all(|snapshot| world.now >= snapshot.floor || model.rule.restores(world, snapshot))
}

fn kept(model: &Protocol, world: &World) -> bool {
    let over = |snapshot: &Snapshot| world.now >= snapshot.expires || suspect(world, snapshot) || lapsed(model, world);
    honest(world).all(|snapshot| over(snapshot) || model.rule.restores(world, snapshot))
}

fn held(model: &Protocol, world: &World) -> bool {
    let Some(hold) = &world.hold else { return true };
    let over = world.now >= hold.until || (hold.released.is_some() && hold.agreed);
    over || lapsed(model, world) || model.rule.restores(world, &world.snapshots[usize::from(hold.snapshot)])
}

fn newest_stay(model: &Protocol, world: &World) -> bool {
    let of = |writer: u8| {
        let own = honest(world).filter(move |s| s.object.writer() == writer && !suspect(world, s));
        let mut own: Vec<&Snapshot> = own.collect();
        own.sort_by_key(|snapshot| snapshot.claimed);
        let stay = own.iter().rev().take(KEEP_NEWEST);
        world.displaced[usize::from(writer)] || stay.into_iter().all(|snapshot| model.rule.restores(world, snapshot))
    };
    model.bounds.thief || [0, 1].into_iter().all(of)
}

fn capped(_: &Protocol, world: &World) -> bool {
    let most: Day = day(time(world.now) + POLICY.max_lock);
    world.objects.values().flatten().all(|kept| kept.until <= most)
}

fn latest(model: &Protocol, world: &World) -> bool {
    let Some(from) = world.revoked[0] else { return true };
    let (all, _) = model.rule.listing(world);
    let sound = |s: &&crate::vault::snapshots::Summary| !s.standing.suspect && !s.standing.future;
    let newest = all.iter().rev().filter(sound).find(|one| one.header.writer == name(0));
    let of = |snapshot: &&Snapshot| newest.is_some_and(|newest| newest.id == snapshot.id());
    world.snapshots.iter().find(of).is_none_or(|snapshot| {
        let stored = world.versions(snapshot.object).iter().find(|kept| kept.right).map(|kept| kept.since);
        stored.is_some_and(|stored| stored < from)
    })
}

fn ordered(model: &Protocol, world: &World) -> bool {
    let stored = |snapshot: &Snapshot| world.versions(snapshot.object).iter().find(|k| k.right).map(|k| k.since);
    if world.snapshots.iter().all(|snapshot| looks_honest(snapshot.kind)) {
        return true;
    }
    let (all, _) = model.rule.listing(world);
    let of = |one: &crate::vault::snapshots::Summary| world.snapshots.iter().find(|s| s.id() == one.id);
    let times: Vec<Day> = all.iter().filter_map(of).filter_map(stored).collect();
    times.is_sorted()
}
