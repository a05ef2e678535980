//! G11 of what is held: a frozen snapshot outlives its own expiry, every prune, and whatever a writer can sign.

use std::{collections::BTreeMap, sync::Arc};

use strongroom::{
    codec::{hash, sign::SigningKey},
    format::{
        approval::Approval,
        certificate::Role,
        dsse::Envelope,
        header::VerifiedHeader,
        hold::{Hold, Release},
        layout,
        member_key::{self, Member},
    },
    guard::{
        GuardError,
        approvals::{self, Papers},
        holds::{self, Signer},
    },
    model::{
        Cancel, Clock, Key, Silent, Span, Time,
        journal::{Line, Position, Span as Range, Start},
    },
    ops::{
        approve,
        freeze::{self, Chosen, FreezeRequest},
        member::{self, NewMember},
        snapshots::Wanted,
        verify::{self, VerifyRequest},
    },
    store::{ObjectStore, memory::MemoryStore},
    vault::{Vault, holds::Holds, journal::JournalWriter},
};

use crate::{
    faults::{Fault, FaultyStore, When},
    house::{House, short},
    ssh,
    store_support::versions,
    vault_support::{Based, dump, noise, streams},
};

/// A house with six snapshots and a keeper.
struct Lab {
    house: House,
    all: Vec<VerifiedHeader>,
    key: Vec<u8>,
}

impl Lab {
    async fn new(by_default: bool) -> Self {
        let house = House::new(short(), by_default).await;
        let state = tempfile::tempdir().unwrap();
        let mut all = Vec::new();
        for day in 0..6 {
            all.push(house.backup(state.path(), &dump(day, 200_000)).await);
            house.clock.pass(Span::seconds(60));
        }
        let key = keeper(&house, "keep").await;
        Self { house, all, key }
    }

    fn keeper(&self) -> Member {
        member_key::open(&self.key).unwrap()
    }

    async fn freeze(&self, vault: &Vault, lasting: Span) -> Result<freeze::FreezeReport, strongroom::ops::OpsError> {
        let wanted = Wanted::id(&self.all[0].id.to_string()).unwrap();
        let until = Some(self.house.clock.now() + lasting);
        let request =
            FreezeRequest { chosen: Chosen::Some(vec![wanted]), until, lasting: None, reason: Some("why".to_owned()) };
        let (report, findings) =
            freeze::freeze(vault, (Some(self.keeper()), None), request, &Silent, &Cancel::default()).await?;
        assert!(findings.is_empty(), "{findings:?}");
        Ok(report)
    }

    async fn holds(&self) -> Holds {
        Holds::of(&self.house.vault().await).await.unwrap()
    }

    fn put(&self, key: &Key, bytes: impl Into<bytes::Bytes>) {
        self.house.bucket.overwrite(key.as_str(), bytes);
    }

    async fn here(&self) -> bool {
        self.house.headers().await.iter().any(|snapshot| snapshot.id == self.all[0].id)
    }
}

async fn keeper(house: &House, name: &str) -> Vec<u8> {
    let vault = house.vault().await;
    let new = NewMember::new(&vault, &house.made.owner, name.parse().unwrap(), Role::Keeper, Vec::new()).await.unwrap();
    let key = new.key_file().to_vec();
    new.store().await.unwrap();
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_what_is_frozen_outlives_its_expiry_and_every_prune() {
    for by_default in [true, false] {
        let lab = Lab::new(by_default).await;
        let (house, frozen) = (&lab.house, &lab.all[0]);
        let report = lab.freeze(&house.vault().await, Span::days(900)).await.unwrap();
        let most = house.clock.now() + short().max_lock;
        assert!(report.extended > 5, "{report:?}");
        for (key, until) in house.locks(frozen).await {
            assert_eq!(until, most, "{key} is locked as far as the root lets it be");
        }
        assert!(lab.freeze(&house.vault().await, Span::days(900)).await.unwrap().extended <= 12, "again is harmless");
        // Two years go by, in which the keeper runs now and then.
        for week in 0..125 {
            house.clock.pass(Span::days(6));
            let done = house.renew().await;
            let told = done.findings.into_vec();
            assert!(told.iter().all(|f| f.severity < strongroom::model::Severity::Weak), "{told:?}");
            if week % 10 == 0 {
                house.prune(Span::ZERO).await;
            }
            for (key, until) in house.locks(frozen).await {
                assert!(until > house.clock.now() + Span::days(6), "{key} is locked until {until}");
            }
        }
        assert!(lab.here().await);
        assert_eq!(house.headers().await.len(), 4, "the newest three stay as ever, and what is held");
        assert_eq!(house.made.through(Arc::new(house.bucket.clone())).restore_all().await.unwrap().len(), 4);
        // And when the hold is over, it goes like any other.
        house.clock.pass(Span::days(1500));
        let done = house.prune(Span::days(7)).await;
        assert_eq!((done.held, lab.here().await), (0, false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_nothing_of_a_writer_makes_lifts_or_shortens_a_hold() {
    let lab = Lab::new(true).await;
    let (house, made) = (&lab.house, &lab.house.made);
    let report = lab.freeze(&house.vault().await, Span::days(300)).await.unwrap();
    let at = house.clock.now();
    let stranger = SigningKey::generate().unwrap();
    let hold = |member: &str, until: Time| Hold {
        format: "1".to_owned(),
        vault: made.id,
        member: member.parse().unwrap(),
        at,
        until,
        snapshots: vec![lab.all[1].id],
        reason: None,
    };
    let release = |member: &str| Release {
        format: "1".to_owned(),
        vault: made.id,
        member: member.parse().unwrap(),
        at,
        hold: report.hold,
        approval: None,
    };
    // Signed by the writer as itself, as the keeper and as the root; by nobody; and by the keeper, who alone lifts nothing.
    for (member, key) in [
        ("w1", &made.writer.signing_key),
        ("keep", &made.writer.signing_key),
        ("owner", &made.writer.signing_key),
        ("keep", &stranger),
        ("nobody", &stranger),
    ] {
        let document = Envelope::sign(&hold(member, at + Span::days(9999)), key).unwrap().encode().unwrap();
        lab.put(&layout::hold(&member.parse().unwrap(), at, &hash::hash(document.bytes())), document.bytes().clone());
        let document = Envelope::sign(&release(member), key).unwrap().encode().unwrap();
        lab.put(
            &layout::release(&member.parse().unwrap(), at, &hash::hash(document.bytes())),
            document.bytes().clone(),
        );
    }
    let document = Envelope::sign(&release("keep"), &lab.keeper().signing_key).unwrap().encode().unwrap();
    lab.put(&layout::release(&"keep".parse().unwrap(), at, &hash::hash(document.bytes())), document.bytes().clone());
    // The hold itself, overwritten and hidden.
    lab.put(&report.key.parse().unwrap(), &b"{}"[..]);
    house.bucket.hide(&report.key);
    let holds = lab.holds().await;
    let count = |code: &str| holds.findings.iter().filter(|f| f.code == code).count();
    assert_eq!((count("hold.foreign"), count("release.refused")), (5, 6), "{:?}", holds.findings);
    assert!(holds.findings.iter().any(|f| f.message.contains("a writer holds nothing")), "{:?}", holds.findings);
    let now = house.clock.now();
    assert_eq!(holds.until(&lab.all[0].id, now), Some(report.until));
    assert_eq!(holds.until(&lab.all[1].id, now), None, "a forged hold holds nothing");
    house.clock.pass(Span::days(100));
    house.prune(Span::ZERO).await;
    assert!(lab.here().await);
    // The other way round, what a keeper signs after it was revoked holds nothing, and what it signed before does.
    let vault = house.vault().await;
    member::revoke(&vault, &made.owner, &"keep".parse().unwrap(), house.clock.now()).await.unwrap();
    assert!(lab.freeze(&house.vault().await, Span::days(30)).await.is_err());
    let late = Hold { at: house.clock.now(), ..hold("keep", at + Span::days(9999)) };
    let document = Envelope::sign(&late, &lab.keeper().signing_key).unwrap().encode().unwrap();
    lab.put(&layout::hold(&"keep".parse().unwrap(), late.at, &hash::hash(document.bytes())), document.bytes().clone());
    let holds = lab.holds().await;
    assert!(holds.all.iter().any(|held| held.suspect));
    assert_eq!(holds.until(&lab.all[1].id, house.clock.now()), None);
    assert!(holds.until(&lab.all[0].id, house.clock.now()).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_a_hold_that_nobody_can_read_stops_every_prune_and_a_lost_snapshot_is_told() {
    let lab = Lab::new(true).await;
    let house = &lab.house;
    let report = lab.freeze(&house.vault().await, Span::days(30)).await.unwrap();
    house.clock.pass(Span::days(20));
    let version = house.bucket.overwrite(&format!("holds/keep/20270101T000000Z-{}.json", "ab".repeat(32)), &b"cut"[..]);
    let done = house.prune(Span::ZERO).await;
    assert!(matches!(&done.blocked[..], [why] if why.contains("holds/keep")), "{done:?}");
    house.clock.pass(Span::days(8));
    let key = format!("holds/keep/20270101T000000Z-{}.json", "ab".repeat(32));
    strongroom::store::Deleter::delete_version(&house.bucket, &key.parse().unwrap(), Some(&version)).await.unwrap();
    assert!(house.prune(Span::ZERO).await.blocked.is_empty());
    // A hold of what is not there, as if somebody had deleted the snapshot all the same.
    let lost = Hold {
        format: "1".to_owned(),
        vault: house.made.id,
        member: "keep".parse().unwrap(),
        at: house.clock.now(),
        until: house.clock.now() + Span::days(30),
        snapshots: vec![strongroom::model::SnapshotId::from_bytes([7; 32])],
        reason: None,
    };
    let document = Envelope::sign(&lost, &lab.keeper().signing_key).unwrap().encode().unwrap();
    let key = layout::hold(&lost.member, lost.at, &hash::hash(document.bytes()));
    lab.put(&key, document.bytes().clone());
    assert!(report.until > house.clock.now());
    let vault = house.vault().await;
    let progress: Arc<dyn strongroom::model::Progress> = Arc::new(Silent);
    let (seen, findings) =
        verify::verify(&vault, VerifyRequest::default(), &progress, &Cancel::default()).await.unwrap();
    assert!(findings.iter().any(|f| f.code == "hold.lost" && f.object == Some(key.to_string())), "{findings:?}");
    assert_eq!(seen.holds.len(), 2);
}

/// Wherever the store fails, there is either a hold and everything is locked, or an error; and the next run makes it good.
#[tokio::test(flavor = "multi_thread")]
async fn g11_freeze_meets_a_fault_at_every_call() {
    let lab = Lab::new(true).await;
    let (house, mut met) = (&lab.house, 0);
    for fault in [Fault::Error, Fault::AppliedButUnanswered, Fault::Denied] {
        for at in 1..200 {
            house.clock.pass(Span::seconds(1));
            let lasting = Span::days(60) + Span::seconds(at * 3600);
            let until = house.clock.now() + lasting;
            let inner: Arc<MemoryStore> = Arc::new(house.bucket.clone());
            let faulty = FaultyStore::new(inner, When::At(at), fault);
            let vault = house.vault().await.through(faulty.clone());
            let wanted = Wanted::id(&lab.all[0].id.to_string()).unwrap();
            let chosen = Chosen::Some(vec![wanted]);
            let request = FreezeRequest { chosen, until: Some(until), lasting: None, reason: None };
            let cancel = Cancel::default();
            let done = freeze::freeze(&vault, (Some(lab.keeper()), None), request, &Silent, &cancel).await;
            let held = lab.holds().await.until(&lab.all[0].id, house.clock.now()) >= Some(until);
            let locked = house.locks(&lab.all[0]).await.into_values().min().unwrap();
            if let Ok((_, findings)) = &done {
                assert!(held, "{fault:?} at {at}: it says that it holds");
                let told = findings.iter().any(|f| f.severity >= strongroom::model::Severity::Warning);
                assert!(locked >= until || told, "{fault:?} at {at}: locked until {locked} alone, and nobody is told");
            } else {
                let again = lab.freeze(&house.vault().await, lasting).await.unwrap();
                assert!(again.locked_until.unwrap() >= until, "{fault:?} at {at}");
            }
            met += 1;
            if faulty.calls() < at {
                break;
            }
        }
    }
    assert!(met > 60, "{met} calls were made to fail");
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_a_hold_is_lifted_by_the_root_or_by_those_whom_it_names() {
    let lab = Lab::new(true).await;
    let (house, dir) = (&lab.house, tempfile::tempdir().unwrap());
    let first = lab.freeze(&house.vault().await, Span::days(300)).await.unwrap();
    let vault = house.vault().await;
    let keeper = || async { Signer::find(&vault, Some(lab.keeper()), None).await.unwrap() };
    let prefix = first.hold.to_string()[..12].to_owned();
    let refused = holds::release(&vault, &keeper().await, &prefix, None).await;
    assert!(matches!(refused, Err(GuardError::NotApproved { .. })), "a keeper alone lifts nothing");
    let root = Signer::root(&vault, &house.made.owner).await.unwrap();
    holds::release(&vault, &root, &prefix, None).await.unwrap();
    assert_eq!(lab.holds().await.until(&lab.all[0].id, house.clock.now()), None);
    assert!(holds::release(&vault, &root, &prefix, None).await.is_err(), "it holds nothing any more");

    // With a rule, the root alone lifts nothing either.
    let (alice, bob) = (ssh::Key::new(dir.path(), "a", "ed25519"), ssh::Key::new(dir.path(), "b", "ed25519"));
    let person = |name: &str, key: &ssh::Key| strongroom::format::approval::Approver {
        name: name.parse().unwrap(),
        keys: vec![key.public().parse().unwrap()],
    };
    let people = vec![person("alice", &alice), person("bob", &bob)];
    let needs = BTreeMap::from([("release".to_owned(), 2)]);
    approve::set(&vault, &house.made.owner, people, needs).await.unwrap();
    house.clock.pass(Span::seconds(60));
    let second = lab.freeze(&house.vault().await, Span::days(300)).await.unwrap();
    let prefix = second.hold.to_string();
    assert!(matches!(holds::release(&vault, &root, &prefix, None).await, Err(GuardError::NotApproved { .. })));
    let typed = BTreeMap::from([("hold".to_owned(), prefix[..10].to_owned())]);
    let action = strongroom::format::approval::Action::Release;
    let (asked, _) = approve::new(&vault, action, typed, (None, Span::days(1))).await.unwrap();
    let request = asked.request.as_bytes();
    let signatures = vec![alice.sign(request), bob.sign(request)];
    // Whoever has the keeper's key and one signature can store a release by hand. It lifts nothing.
    let forged = Release {
        format: "1".to_owned(),
        vault: house.made.id,
        member: "keep".parse().unwrap(),
        at: house.clock.now(),
        hold: second.hold,
        approval: Some(Approval {
            request: asked.request.clone(),
            signatures: vec![String::from_utf8(signatures[0].clone()).unwrap(); 2],
        }),
    };
    let document = Envelope::sign(&forged, &lab.keeper().signing_key).unwrap().encode().unwrap();
    lab.put(&layout::release(&forged.member, forged.at, &hash::hash(document.bytes())), document.bytes().clone());
    assert!(lab.holds().await.until(&lab.all[0].id, house.clock.now()).is_some());
    let papers = Papers { request, signatures: &signatures };
    let done = holds::release(&vault, &keeper().await, &prefix, Some(papers)).await.unwrap();
    assert_eq!(done.people.len(), 2);
    assert_eq!(lab.holds().await.until(&lab.all[0].id, house.clock.now()), None);
    let again = approvals::judge(&vault, None, papers).await.unwrap().0;
    assert!(again.why_not().contains("used already"));
    // Nothing was unlocked by it.
    for (key, until) in house.locks(&lab.all[0]).await {
        assert!(until >= second.until, "{key} {until}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_the_journal_of_what_is_held_stays_with_it() {
    let house = House::new(short(), true).await;
    let state = tempfile::tempdir().unwrap();
    let line = Line::postgres(7, 1);
    let journal = JournalWriter::new(house.made.place(), "orders".parse().unwrap(), None).unwrap();
    let at = |n: u64| Position(n * 1000);
    let base = Based(streams([("a", dump(1, 100_000))]), Start { line: line.clone(), from: Position(0) });
    let id = house.made.backup(state.path(), "orders", base).await.unwrap().id;
    for n in 0..3 {
        let span = Range { from: at(n), to: at(n + 1) };
        journal.put(&line, span, &noise(n, 1000), house.clock.now()).await.unwrap();
    }
    let lab = Lab { key: keeper(&house, "keep").await, all: house.headers().await, house };
    assert_eq!(lab.all[0].id, id);
    lab.freeze(&lab.house.vault().await, Span::days(300)).await.unwrap();
    lab.house.clock.pass(Span::seconds(600));
    let span = Range { from: at(3), to: at(4) };
    journal.put(&line, span, &noise(9, 1000), lab.house.clock.now()).await.unwrap();
    let until = lab.house.clock.now() + Span::days(299);
    let mut locks = Vec::new();
    for one in versions(&lab.house.bucket, layout::JOURNALS).await {
        let key: Key = one.key.parse().unwrap();
        locks.push(lab.house.bucket.lock_of(&key, Some(&one.version)).await.unwrap().unwrap().until);
    }
    assert_eq!(locks.iter().map(|lock| *lock >= until).collect::<Vec<_>>(), [true, true, true, false]);
    for day in 0..5 {
        lab.house.backup(state.path(), &dump(day, 100_000)).await;
        lab.house.clock.pass(Span::days(15));
    }
    lab.house.prune(Span::ZERO).await;
    assert_eq!(versions(&lab.house.bucket, layout::JOURNALS).await.len(), 4, "they go on from what is held");
    assert!(lab.here().await);
}

/// A hold that somebody signed and that nobody extended anything for: the pieces that were there then are promised, and the one
/// that came later is not.
#[tokio::test(flavor = "multi_thread")]
async fn g11_a_piece_of_a_held_journal_with_a_short_lock_is_told() {
    let house = House::new(short(), true).await;
    let state = tempfile::tempdir().unwrap();
    let line = Line::postgres(7, 1);
    let journal = JournalWriter::new(house.made.place(), "orders".parse().unwrap(), None).unwrap();
    let at = |n: u64| Position(n * 1000);
    let base = Based(streams([("a", dump(1, 100_000))]), Start { line: line.clone(), from: Position(0) });
    house.made.backup(state.path(), "orders", base).await.unwrap();
    let put = async |n: u64| {
        let span = Range { from: at(n), to: at(n + 1) };
        journal.put(&line, span, &noise(n, 1000), house.clock.now()).await.unwrap();
    };
    for n in 0..3 {
        put(n).await;
    }
    let key = keeper(&house, "keep").await;
    let (all, now) = (house.headers().await, house.clock.now());
    let hold = Hold {
        format: "1".to_owned(),
        vault: house.made.id,
        member: "keep".parse().unwrap(),
        at: now,
        until: now + Span::days(300),
        snapshots: vec![all[0].id],
        reason: None,
    };
    let document = Envelope::sign(&hold, &member_key::open(&key).unwrap().signing_key).unwrap().encode().unwrap();
    let name = layout::hold(&"keep".parse().unwrap(), now, &hash::hash(document.bytes()));
    house.bucket.overwrite(name.as_str(), document.bytes().clone());
    house.clock.pass(Span::seconds(600));
    put(3).await;
    let found = async || {
        let progress: Arc<dyn strongroom::model::Progress> = Arc::new(Silent);
        let vault = house.vault().await;
        let (_, findings) =
            verify::verify(&vault, VerifyRequest::default(), &progress, &Cancel::default()).await.unwrap();
        let mut found: Vec<String> =
            findings.into_iter().filter(|f| f.code == "hold.journal").filter_map(|f| f.object).collect();
        found.sort();
        found
    };
    let told = found().await;
    assert_eq!(told.len(), 3, "{told:?}");
    let from = format!("/{:016x}-", 3000);
    assert!(told.iter().all(|key| !key.contains(&from)), "it was not there when it was held: {told:?}");
    // What was promised is made good.
    house.renew().await;
    assert_eq!(found().await, Vec::<String>::new());
}
