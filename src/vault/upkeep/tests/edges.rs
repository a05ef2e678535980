//! The decisions at their edges: the model counts in days, and locks in seconds.

use std::{collections::BTreeSet, sync::Arc};

use super::world::{POLICY, name, time};
use crate::{
    codec::sign::SigningKey,
    format::{
        descriptor::Descriptor,
        header::{HEADER_LIMIT, Standing, Totals},
        hold::Hold,
        index::SEALED_LIMIT,
        layout,
    },
    model::{
        Clock, Hash, Key, Lock, LockMode, SnapshotId, SourceKind, Span, Time,
        journal::{Line, Piece, Position, Span as Stretch, Start},
    },
    store::{Version, memory::MemoryStore},
    vault::{
        Vault,
        holds::{Held, Holds},
        snapshots::{Brief, Summary},
        stock::Stored,
        upkeep::{
            due::{Due, Looked, Renewed, generation},
            journals::{self, Bases},
            needs::Need,
            plausible::{ById, longest, wrong},
            prune::{choose, free_from},
            renew::{Candidates, LEAD, candidates, due_until, wanted},
            there::{KEEP_NEWEST, There},
        },
    },
};

const SECOND: Span = Span::seconds(1);
const HOUR: Span = Span::seconds(3600);
const MONTH: i64 = 30 * 86_400;

struct Begin;

impl Clock for Begin {
    fn now(&self) -> Time {
        time(0)
    }
}

fn vault() -> Vault {
    let root = SigningKey::from_hex(&"1".repeat(64)).unwrap().public();
    let descriptor = Descriptor::new(root, Hash::from_bytes([1; 32]), time(0), Vec::new(), POLICY);
    Vault { store: Arc::new(MemoryStore::new(Arc::new(Begin))), descriptor, findings: Vec::new(), room: 1 }
}

fn before(at: Time, span: Span) -> Time {
    Time::from_unix(at.unix() - i64::try_from(span.as_seconds()).unwrap())
}

fn id(no: u8) -> SnapshotId {
    SnapshotId::from_bytes([no; 32])
}

/// A snapshot of writer 0 that was made and put at a time.
fn made(no: u8, at: Time, prev: &[u8]) -> Summary {
    let header = Brief {
        writer: name(0),
        seq: u64::from(no),
        prev: prev.iter().map(|no| id(*no)).collect(),
        source: "shop".parse().unwrap(),
        kind: SourceKind::Stdin,
        started_at: at,
        claimed_at: at,
        floor_until: at + POLICY.keep,
        expires_at: at + POLICY.keep,
        journal: None,
        signal: None,
        whole: true,
        totals: Totals::default(),
    };
    let standing = Standing { stored_at: Some(at), since: Some(at), ..Standing::default() };
    Summary::from_parts(id(no), header, (time(0), Hash::from_bytes([0; 32]), standing), 1)
}

fn stored(version: &str, bytes: u64, marker: bool) -> Stored {
    Stored { version: Some(Version::new(version)), bytes, modified: time(0), marker }
}

fn lock(until: Time) -> Lock {
    Lock { mode: LockMode::Compliance, until }
}

fn held(snapshots: Vec<SnapshotId>, until: Time) -> Holds {
    let (format, vault, member) = ("1".to_owned(), vault().descriptor.vault, "keeper".parse().unwrap());
    let hold = Hold { format, vault, member, at: time(0), until, snapshots, reason: None };
    let key: Key = "holds/keeper/x.json".parse().unwrap();
    let one = Held {
        key,
        hash: Hash::from_bytes([9; 32]),
        hold,
        since: time(0),
        there: time(0),
        released: None,
        suspect: false,
    };
    Holds { all: vec![one], ..Holds::default() }
}

#[test]
fn a_generation_ends_at_or_behind_what_is_needed() {
    for (until, ends) in [(0, 0), (1, 1), (MONTH - 1, 1), (MONTH, 1), (MONTH + 1, 2), (7 * MONTH + 5, 8)] {
        assert_eq!(generation(Time::from_unix(until)), Time::from_unix(ends * MONTH), "{until}");
    }
}

#[test]
fn a_lock_is_due_within_its_lead_and_no_sooner() {
    let now = time(3);
    let (need, cap) = (time(20), time(300));
    let due = |ends: Time, need: Time, cap: Time| due_until(ends, (need, time(0)), (now, LEAD, cap));
    assert_eq!(due(before(now + LEAD, SECOND), need, cap), Some(generation(need)));
    assert_eq!(due(now + LEAD, need, cap), None, "it does not end within the lead");
    assert_eq!(due(time(5), time(5), cap), None, "it reaches what is needed");
    assert_eq!(due(time(5), time(5) + SECOND, cap), Some(generation(time(5) + SECOND)));
    assert_eq!(due(time(5), need, time(9)), Some(time(9)), "nothing is locked beyond what the root allows");
    assert_eq!(due(time(5), need, time(5)), None, "what would not be longer is not asked for");
    let held = |ends: Time| due_until(ends, (need, time(18)), (now, LEAD, cap));
    assert_eq!(held(time(17)), Some(generation(need)), "what a hold promised is due at once");
    assert_eq!(held(time(18)), None);
}

#[test]
fn what_is_needed_by_several_is_needed_the_longest_and_only_what_they_agree_on_counts() {
    let need = |until, bytes, hint: Option<&str>| Need {
        hash: Hash::from_bytes([3; 32]),
        bytes,
        hint: hint.map(Into::into),
        until,
        floor: time(0),
        header: false,
    };
    let join = |mut one: Need, other: &Need| {
        one.join(other);
        (one.until, one.bytes, one.hint.map(String::from))
    };
    let one = || need(time(5), Some(7), Some("v"));
    assert_eq!(join(one(), &need(time(4), Some(7), Some("v"))), (time(5), Some(7), Some("v".to_owned())));
    assert_eq!(join(one(), &need(time(6), Some(8), Some("w"))), (time(6), None, None));
}

#[test]
fn the_only_version_is_known_if_the_writer_was_told_of_it_and_else_is_read() {
    let need = |header, bytes: Option<u64>, hint: Option<&str>| Need {
        hash: Hash::from_bytes([3; 32]),
        bytes,
        hint: hint.map(Into::into),
        until: time(5),
        floor: time(0),
        header,
    };
    let told = |need: &Need, stored: &[Stored]| match candidates(need, stored) {
        Candidates::Known(one) => vec![format!("{} is known", one.version.as_ref().unwrap().as_str())],
        Candidates::ToRead(all) => all.iter().map(|one| one.version.as_ref().unwrap().as_str().to_owned()).collect(),
    };
    let pack = || need(false, Some(7), Some("a"));
    assert_eq!(told(&pack(), &[stored("a", 7, false)]), ["a is known"]);
    assert_eq!(told(&pack(), &[stored("a", 7, false), stored("m", 0, true)]), ["a is known"]);
    assert_eq!(told(&pack(), &[stored("b", 7, false)]), ["b"], "somebody put another");
    assert_eq!(told(&pack(), &[stored("a", 8, false)]), [""; 0], "its length is another");
    assert_eq!(told(&pack(), &[stored("b", 7, false), stored("a", 7, false)]), ["a", "b"], "the hint is a hint");
    assert_eq!(told(&pack(), &[stored("b", 8, false), stored("a", 7, false)]), ["a"]);
    assert_eq!(told(&need(false, None, None), &[stored("a", 7, false)]), ["a"]);
    let (header, limit) = (need(true, None, None), HEADER_LIMIT as u64);
    assert_eq!(told(&header, &[stored("a", limit, false)]), ["a is known"], "headers were read when they were listed");
    assert_eq!(told(&header, &[stored("a", limit + 1, false)]), [""; 0], "nobody reads more than a header has");
    assert_eq!(told(&header, &[stored("a", 5, false), stored("b", 5, false)]), ["a", "b"]);
    let huge = SEALED_LIMIT as u64 + 1;
    assert_eq!(told(&need(false, Some(huge), Some("a")), &[stored("a", huge, false)]), [""; 0]);
}

#[test]
fn a_version_goes_when_its_lock_and_the_grace_are_over() {
    let (old, lock) = (stored("a", 1, false), lock(time(9)));
    assert_eq!(free_from(&old, Some(lock), Span::days(2)), time(11));
    assert_eq!(free_from(&old, None, Span::ZERO), time(1), "what has no lock is kept for a day");
    assert_eq!(free_from(&old, None, Span::days(2)), time(2));
}

#[test]
fn headers_that_no_honest_run_makes_are_told_by_more_than_an_hour() {
    let all = [made(1, time(5), &[]), made(2, time(6), &[1])];
    let by_id: ById<'_> = all.iter().map(|s| (s.id, s)).collect();
    let wrong = |change: &dyn Fn(&mut Summary)| {
        let mut one = made(2, time(6), &[1]);
        change(&mut one);
        wrong(&one, &by_id)
    };
    assert_eq!(wrong(&|_| ()), None);
    assert!(wrong(&|one| one.standing.outside = true).unwrap().contains("certificate"));
    assert!(wrong(&|one| one.standing.suspect = true).unwrap().contains("revoked"));
    // The store's time and the header's own, either way.
    let (late, early) = (before(time(6), HOUR), time(6) + HOUR);
    assert_eq!(wrong(&|one| one.standing.stored_at = Some(late)), None);
    assert!(wrong(&|one| one.standing.stored_at = Some(before(late, SECOND))).unwrap().contains("claims"));
    assert_eq!(wrong(&|one| one.standing.stored_at = Some(early)), None);
    assert!(wrong(&|one| one.standing.stored_at = Some(early + SECOND)).unwrap().contains("claims"));
    let began = |one: &mut Summary, at: Time| (one.header.started_at, one.standing.stored_at) = (at, None);
    assert_eq!(wrong(&|one| began(one, before(time(0), HOUR))), None);
    assert!(wrong(&|one| began(one, before(time(0), HOUR + SECOND))).unwrap().contains("certified"));
    // What it names as before it.
    assert!(wrong(&|one| one.header.seq = 1).unwrap().contains("chain"), "its number is not greater");
    assert!(wrong(&|one| one.header.writer = name(1)).unwrap().contains("chain"), "it is another writer's");
    let since = |one: &mut Summary, at: Time| {
        (one.header.started_at, one.header.claimed_at) = (at, at);
        (one.standing.stored_at, one.standing.since) = (Some(at), Some(at));
    };
    assert_eq!(wrong(&|one| since(one, before(time(5), HOUR))), None, "the store's clock was set back");
    assert!(wrong(&|one| since(one, before(time(5), HOUR + SECOND))).unwrap().contains("chain"));
    // Where numbers are used up, the last one is everybody's.
    let mut last = made(1, time(5), &[]);
    last.header.seq = u64::MAX;
    let by_id: ById<'_> = [(last.id, &last)].into_iter().collect();
    let mut next = made(2, time(6), &[1]);
    next.header.seq = u64::MAX;
    assert_eq!(super::super::plausible::wrong(&next, &by_id), None);
}

#[test]
fn a_snapshot_goes_when_its_time_and_the_grace_are_over_unless_it_is_among_the_newest_or_held() {
    let vault = vault();
    let all: Vec<Summary> = (1..=5).map(|no| made(no, time(u16::from(no)), &[])).collect();
    let staying = |holds: &Holds, now: Time, grace: Span| -> (BTreeSet<SnapshotId>, Vec<SnapshotId>, u64) {
        let chosen = choose(&vault, &all, holds, (now, grace));
        (chosen.staying, chosen.over.iter().map(|one| one.id).collect(), chosen.held)
    };
    let newest: BTreeSet<_> = [3, 4, 5].map(id).into();
    let with = |no| newest.iter().copied().chain([id(no)]).collect::<BTreeSet<_>>();
    let none = Holds::default();
    assert_eq!(KEEP_NEWEST, 3);
    assert_eq!(staying(&none, time(12), Span::ZERO), (newest.clone(), vec![id(2), id(1)], 0));
    assert_eq!(staying(&none, before(time(12), SECOND), Span::ZERO).0, with(2), "until its last second");
    assert_eq!(staying(&none, before(time(14), SECOND), Span::days(2)).0, with(2), "and the grace");
    assert_eq!(staying(&none, time(14), Span::days(2)).0, newest);
    assert_eq!(staying(&held(vec![id(1)], time(90)), time(60), Span::ZERO), (with(1), vec![id(2)], 1));
    // A hold takes no place of the newest, and what is suspect or of the future takes none either.
    let (kept, ..) = staying(&held(vec![id(5)], time(90)), time(60), Span::ZERO);
    assert_eq!(kept, [2, 3, 4, 5].map(id).into());
    let mut odd = all.clone();
    (odd[4].standing.suspect, odd[3].standing.future) = (true, true);
    assert_eq!(choose(&vault, &odd, &none, (time(60), Span::ZERO)).staying, [1, 2, 3].map(id).into());
    // Headers that no honest run makes take no place of those that one did.
    let mut with_false: Vec<Summary> = (1..=8).map(|no| made(no, time(u16::from(no)), &[])).collect();
    with_false[5..].iter_mut().for_each(|one| one.standing.stored_at = Some(time(20)));
    let kept = choose(&vault, &with_false, &none, (time(60), Span::ZERO)).staying;
    assert_eq!(kept, [3, 4, 5, 6, 7, 8].map(id).into());
    // Nobody is promised more than the root allows, and nothing less than the floor.
    let mut greedy = all.clone();
    (greedy[0].header.expires_at, greedy[1].header.expires_at) = (time(900), time(3));
    let over =
        |now| choose(&vault, &greedy, &none, (now, Span::ZERO)).over.iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(longest(&vault, &greedy[0]), time(1) + POLICY.max_lock);
    assert_eq!(over(before(time(1) + POLICY.max_lock, SECOND)), [id(2)]);
    assert_eq!(over(time(1) + POLICY.max_lock), [id(2), id(1)]);
    assert_eq!(over(before(time(12), SECOND)), [] as [SnapshotId; 0]);
}

#[test]
fn what_is_kept_locked_and_until_when() {
    let vault = vault();
    let mut all: Vec<Summary> = (1..=3).map(|no| made(no, time(u16::from(no)), &[])).collect();
    all[0].header.expires_at = time(900);
    let of = |holds: &Holds, now: Time| {
        let mut done = Renewed::default();
        let found: Vec<_> =
            wanted(&vault, &all, holds, now, &mut done).into_iter().map(|(one, until)| (one.id, until)).collect();
        let codes: Vec<&str> = done.findings.iter().map(|finding| finding.code.as_str()).collect();
        (found, codes.join(" "), done.refused)
    };
    let none = Holds::default();
    let most = time(1) + POLICY.max_lock;
    let now = before(time(12), SECOND);
    let newest = (id(3), now + LEAD);
    assert_eq!(of(&none, now), (vec![(id(1), most), (id(2), time(12)), newest], "header.greedy".to_owned(), 0));
    // What is over is not wanted, but for the newest of a source.
    assert_eq!(of(&none, time(12)).0, [(id(1), most), (id(3), time(12) + LEAD)]);
    assert_eq!(of(&none, most).0, [(id(3), most + LEAD)]);
    assert_eq!(of(&held(vec![id(2)], time(90)), time(60)).0, [(id(2), time(90)), (id(3), time(60) + LEAD)]);
    all[2].standing.suspect = true;
    let mut done = Renewed::default();
    let found = wanted(&vault, &all, &held(vec![id(3)], time(90)), time(60), &mut done);
    let found: Vec<_> = found.into_iter().map(|(one, until)| (one.id, until)).collect();
    assert_eq!(found, [(id(3), time(90)), (id(2), time(60) + LEAD)], "a hold holds whatever its header says");
    assert_eq!(done.refused, 1);
}

#[test]
fn what_was_seen_and_done_adds_up() {
    let key = || "packs/w0/aa".parse::<Key>().unwrap();
    let (mut done, mut due) = (Renewed::default(), Vec::new());
    let seen =
        |until, ends: Option<Time>| Looked::Seen { version: None, bytes: 10, lock: ends.map(lock), until, reads: 2 };
    done.take(seen(None, Some(time(9))), key(), &mut due);
    done.take(seen(None, Some(time(8))), key(), &mut due);
    done.take(seen(Some(time(30)), Some(time(4))), key(), &mut due);
    done.take(Looked::Lost, key(), &mut due);
    done.take(Looked::Unread("refused".to_owned()), key(), &mut due);
    assert_eq!((done.objects, done.reads, due.len(), done.weakest_lock), (5, 6, 1, Some(time(8))));
    let codes: Vec<&str> = done.findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["object.lost", "lock.unread"]);
    done.extended(&due[0], time(30));
    done.extended(&Due { now: None, ..due.remove(0) }, time(6));
    assert_eq!((done.updates, done.bytes, done.extended_until), (2, 20, Some(time(30))));
    assert_eq!(done.weakest_lock, Some(time(6)));
    assert!((done.byte_seconds - 10.0 * 26.0 * 86_400.0).abs() < 0.5, "{}", done.byte_seconds);
}

#[test]
fn a_piece_of_a_journal_is_due_when_it_falls_short_of_its_promise_or_a_hold_nears_its_end() {
    let (now, cap) = (time(3), time(300));
    let due = |ends: Option<Time>, promised: Time, held: Option<Time>| {
        let (mut done, mut due) = (Renewed::default(), Vec::new());
        let lock = Ok(ends.map(lock));
        let held = held.map(|until| (until, time(0)));
        let looked = journals::Looked { key: "j/x".parse().unwrap(), version: None, bytes: 1, lock, promised, held };
        done.piece(looked, (now, LEAD, cap), &mut due);
        assert_eq!(done.reads, 1);
        due.pop().map(|one| one.until)
    };
    assert_eq!(due(None, time(9), None), Some(generation(time(9))));
    assert_eq!(due(Some(time(9)), time(9), None), None);
    assert_eq!(due(Some(before(time(9), HOUR)), time(9), None), None, "by an hour: what follows from the store's time");
    assert_eq!(due(Some(before(time(9), HOUR + SECOND)), time(9), None), Some(generation(time(9))));
    assert_eq!(due(Some(time(9)), time(9), Some(time(40))), Some(generation(time(40))), "within the lead");
    assert_eq!(due(Some(now + LEAD), time(9), Some(time(40))), None, "not yet");
    assert_eq!(due(Some(time(9)), time(9), Some(time(9))), None);
    assert_eq!(due(None, time(280), Some(time(299))), Some(cap), "and no longer than the root allows");
}

#[test]
fn a_base_needs_what_follows_it_in_its_line_and_in_those_it_became() {
    let line = |timeline| Line::postgres(7, timeline);
    let mut base = made(1, time(5), &[]);
    base.header.journal = Some(Start { line: line(2), from: Position(100) });
    base.header.floor_until = time(90);
    let mut later = made(2, time(6), &[]);
    later.header.journal = Some(Start { line: line(2), from: Position(200) });
    let all = [base, later];
    let bases = Bases::of(all.iter(), &POLICY);
    let (w, shop) = (name(0), "shop".parse().unwrap());
    let need = |line: &Line, to: Option<u64>| bases.need(&w, &shop, line, to.map(Position));
    assert!(bases.has(&w, &shop) && !bases.has(&name(1), &shop));
    assert!(need(&line(2), Some(101)) && !need(&line(2), Some(100)), "from the earliest base on");
    assert!(need(&line(3), Some(101)) && !need(&line(1), Some(101)), "a later timeline, and no earlier one");
    assert!(!need(&Line::postgres(8, 2), Some(101)) && !bases.need(&name(1), &shop, &line(2), Some(Position(101))));
    assert!(need(&line(3), None) && need(&line(2), None) && !need(&line(1), None), "histories by their line alone");
    let piece = |from, to| {
        let span = Stretch { from: Position(from), to: Position(to) };
        Piece { writer: w.clone(), source: shop.clone(), line: line(2), span, hash: Hash::from_bytes([1; 32]) }
    };
    let doomed = |key: &str| journals::doomed(&bases, key);
    assert_eq!(doomed(layout::piece(&piece(100, 101)).as_str()), Some(false));
    assert_eq!(doomed(layout::piece(&piece(90, 100)).as_str()), Some(true));
    let history = |timeline| layout::history(&w, &shop, &line(timeline), &Hash::from_bytes([1; 32]));
    assert_eq!(doomed(history(3).as_str()), Some(false));
    assert_eq!(doomed(history(1).as_str()), Some(true));
    assert_eq!(doomed("packs/w0/aa/x"), None);
}

#[test]
fn the_newest_evidence_of_each_member_stays_and_headers_go_whole_or_not_at_all() {
    let evidence =
        |member: u8, no: u8| format!("evidence/w{member}/20261127T18045{no}Z-{}.json", hex::encode([no; 32]));
    let at = |day: u16, version: &str| Stored { modified: time(day), ..stored(version, 5, false) };
    let over = [made(1, time(1), &[]), made(2, time(2), &[])];
    let over: Vec<&Summary> = over.iter().collect();
    let mut there = There::new(3, &over);
    for no in [1, 2, 3, 4] {
        // The first version says since when it is there, and neither a later one nor a marker says otherwise.
        there.add(&evidence(0, no), Stored { marker: true, ..at(80, "m") });
        there.add(&evidence(0, no), at(u16::from(no), "a"));
        there.add(&evidence(0, no), at(90 - u16::from(no), "b"));
    }
    there.add(&evidence(1, 1), at(1, "a"));
    let stays = |member: u8, no: u8| there.evidence.has(&evidence(member, no).parse().unwrap(), &name(member));
    assert_eq!([1, 2, 3, 4].map(|no| stays(0, no)), [false, true, true, true]);
    assert!(stays(1, 1) && !stays(1, 2) && !stays(2, 1));
    let header = |no: u8| layout::header(&name(0), u64::from(no), &id(no));
    let mut there = There::new(3, &over);
    there.add(header(1).as_str(), stored("a", 5, false));
    there.add(header(1).as_str(), stored("b", 5, false));
    there.add(header(3).as_str(), stored("a", 5, false));
    there.add(header(2).as_str(), stored("a", 5, false));
    assert!(!there.cut && there.headers[&header(1)].len() == 2 && !there.headers.contains_key(&header(3)));
    there.add(header(2).as_str(), stored("b", 5, false));
    assert!(there.cut && there.headers.contains_key(&header(1)) && !there.headers.contains_key(&header(2)));
}
