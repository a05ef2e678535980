//! The model checked: within bounds that fit into a test, within larger ones for `scripts/soak-model`, and each mutant killed.

use std::time::{Duration, Instant};

use stateright::{Checker, DiscoveryClassification, HasDiscoveries, Model};

use super::{
    moves::{Bounds, Data, Protocol, Spoils},
    rule::{Mutant, Rule},
    world::{Kind, Left},
};

const fn left(periods: u8, runs: [u8; 2], attacks: u8, holds: u8, revocations: u8) -> Left {
    Left { periods, runs, attacks, holds, revocations }
}

const ALL: &[Data] = &[Data::New, Data::Same, Data::Like];

const NEW: &[Data] = &[Data::New];

/// A writer, a keeper, a pruner and a thief.
const HONEST: Bounds = Bounds {
    left: left(4, [2, 0], 0, 0, 0),
    thief: true,
    spoils: Spoils::No,
    crashes: true,
    crowd: 1,
    signs: &[],
    data: ALL,
};
const NO_THIEF: Bounds = Bounds { thief: false, crashes: false, data: NEW, ..HONEST };
/// Two writers.
const TWO: Bounds = Bounds { left: left(3, [1, 1], 0, 0, 0), data: NEW, crashes: false, ..HONEST };
/// Whatever is there is written over.
const SPOILT: Bounds = Bounds { left: left(4, [1, 0], 1, 0, 0), spoils: Spoils::All, crashes: false, ..HONEST };
/// And named by headers that a stolen key signed.
const HINTED: Bounds =
    Bounds { left: left(3, [1, 0], 2, 0, 0), spoils: Spoils::Bytes, signs: &[Kind::Greedy], ..SPOILT };
/// A hold outlives its snapshot.
const HELD: Bounds = Bounds { left: left(4, [2, 0], 0, 1, 0), data: NEW, crashes: false, ..HONEST };
/// Headers that nobody can tell from honest ones take all places among the newest.
const DISPLACED: Bounds =
    Bounds { left: left(4, [1, 0], 1, 1, 0), thief: false, signs: &[Kind::Greedy], crowd: 3, ..HELD };
/// And those of another writer.
const ACROSS: Bounds = Bounds { left: left(4, [0, 1], 1, 0, 0), ..DISPLACED };
/// Headers that no honest run makes.
const UNSOUND: Bounds = Bounds { left: left(4, [1, 0], 1, 0, 0), signs: &[Kind::Past], ..DISPLACED };
/// A stolen key signs, and is revoked.
const REVOKED: Bounds =
    Bounds { left: left(3, [1, 0], 1, 0, 1), signs: &[Kind::Past, Kind::Greedy], crowd: 1, ..DISPLACED };

/// What came of it.
struct Explored {
    /// The law that was broken first, and by which steps.
    broken: Option<String>,
    /// What was seen to happen.
    seen: Vec<&'static str>,
    told: String,
}

fn explore(rule: Rule, bounds: &Bounds, limit: Option<Duration>) -> Explored {
    let began = Instant::now();
    let checker = Protocol { rule, bounds: bounds.clone() }.checker().threads(2);
    let checker = checker.finish_when(HasDiscoveries::AnyFailures);
    let checker = if let Some(limit) = limit { checker.timeout(limit) } else { checker };
    let checker = checker.spawn_bfs().join();
    let (mut broken, mut seen) = (None, Vec::new());
    for (property, path) in checker.discoveries() {
        match checker.discovery_classification(property) {
            DiscoveryClassification::Counterexample => {
                broken = Some(format!("{property}, by {:?}", path.into_actions()));
            }
            DiscoveryClassification::Example => seen.push(property),
        }
    }
    let (states, depth, took) = (checker.unique_state_count(), checker.max_depth(), began.elapsed());
    let whole = if limit.is_none_or(|limit| took < limit) { "all of them" } else { "as far as time went" };
    Explored { broken, seen, told: format!("{states} states to depth {depth} in {took:.1?}, {whole}") }
}

#[test]
fn the_protocol_holds_within_small_bounds() {
    let mut seen = std::collections::BTreeSet::new();
    for (name, bounds) in [
        ("a thief", HONEST),
        ("no thief", NO_THIEF),
        ("two writers", TWO),
        ("written over", SPOILT),
        ("held", HELD),
        ("across", ACROSS),
        ("unsound", UNSOUND),
        ("revoked", REVOKED),
    ] {
        let explored = explore(Rule::default(), &bounds, None);
        eprintln!("{name}: {}", explored.told);
        assert_eq!(explored.broken, None, "{name}");
        seen.extend(explored.seen);
    }
    assert_eq!(seen.len(), 4, "a model in which the rest never happens says nothing: {seen:?}");
}

/// Where each mutant is to be seen.
const fn place_of(mutant: Mutant) -> Bounds {
    match mutant {
        Mutant::ForgetsTheBase | Mutant::ForgetsTheLock | Mutant::CommitsLate | Mutant::RenewsLate => HONEST,
        Mutant::PrunesByTheNewestHeader => NO_THIEF,
        Mutant::ExtendsTheNewest | Mutant::ReadsTheCurrent => SPOILT,
        Mutant::TrustsTheHint => HINTED,
        Mutant::RenewsWithoutHolds | Mutant::LiftsAlone | Mutant::ForgetsTheCap => HELD,
        Mutant::PrunesWithoutHolds | Mutant::PrunesByTheFloor => DISPLACED,
        Mutant::CountsAcrossWriters => ACROSS,
        Mutant::CountsTheUnsound => UNSOUND,
        Mutant::ForgetsRevocations | Mutant::BelievesClaims => REVOKED,
    }
}

fn kill(mutants: impl Iterator<Item = Mutant>) {
    let mut alive = Vec::new();
    for mutant in mutants {
        let explored = explore(Rule { mutant: Some(mutant) }, &place_of(mutant), None);
        eprintln!("{mutant:?}: {}: {}", explored.broken.as_deref().unwrap_or("ALIVE"), explored.told);
        alive.extend(explored.broken.is_none().then_some(mutant));
    }
    assert_eq!(alive, []);
}

#[test]
fn each_mutant_of_a_run_and_of_renewal_is_killed() {
    kill(Mutant::ALL.into_iter().take(Mutant::ALL.len() / 2));
}

#[test]
fn each_mutant_of_pruning_and_reading_is_killed() {
    kill(Mutant::ALL.into_iter().skip(Mutant::ALL.len() / 2));
}

/// For `scripts/soak-model`: everybody at once, for so many minutes.
#[test]
#[ignore = "takes as long as it is given"]
fn the_protocol_holds_within_larger_bounds() {
    const SIGNS: &[Kind] = &[Kind::Past, Kind::Greedy, Kind::Future];
    let minutes: u64 = std::env::var("STRONGROOM_MODEL_MINUTES").ok().and_then(|t| t.parse().ok()).unwrap_or(10);
    let all = |thief| Bounds {
        left: left(6, [3, 2], 2, 1, 1),
        thief,
        spoils: Spoils::All,
        crashes: true,
        crowd: 1,
        signs: SIGNS,
        data: ALL,
    };
    for (name, bounds) in [("displaced", DISPLACED), ("with a thief", all(true)), ("without", all(false))] {
        let explored = explore(Rule::default(), &bounds, Some(Duration::from_secs(minutes * 30)));
        eprintln!("{name}: {}", explored.told);
        assert_eq!(explored.broken, None, "{name}");
    }
}
