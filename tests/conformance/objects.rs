//! Putting and getting.

use std::sync::Arc;

use futures::future::join_all;
use strongroom::{
    model::Span,
    store::{Put, StoreErrorKind as Kind},
};

use super::{Subject, compliance};
use crate::support::{key, keys, sealed};

pub async fn round_trip(subject: &dyn Subject) {
    let store = subject.store();
    let payload = sealed(b"a dump");
    let put = store.put_new(&key("packs/w1/ab/cd"), &payload, None).await.unwrap();
    let Put::Created { version } = put else { panic!("{put:?}") };
    assert_eq!(version.is_some(), store.traits().versions);
    let other = subject.store();
    assert_eq!(other.get(&key("packs/w1/ab/cd"), None, None).await.unwrap(), payload.bytes());
    let head = other.head(&key("packs/w1/ab/cd"), None).await.unwrap();
    assert_eq!(head.bytes, payload.bytes().len() as u64);
    assert_eq!(head.version, version);
}

pub async fn keys_in_practice(subject: &dyn Subject) {
    let store = subject.store();
    let hash = "0123456789abcdef".repeat(4);
    let names = [
        "vault.json".to_owned(),
        format!("keys/root-{hash}.age"),
        format!("keys/epoch-0001/0001-{hash}.json"),
        format!("members/{}/0001-{hash}.json", "m".repeat(63)),
        format!("packs/w1/01/{hash}"),
        format!("indexes/db_1.eu-west/{hash}.age"),
        format!("lists/w1/{hash}"),
        format!("snapshots/w1/0000000001-{hash}.json"),
        format!("evidence/ci/20261122T215100Z-{hash}.json"),
        "canaries/ci/20261122T215100Z-1f2e".to_owned(),
    ];
    for name in &names {
        let payload = sealed(name.as_bytes());
        let lock = compliance(&*store, subject.short()).await;
        let put = store.put_new(&key(name), &payload, Some(lock)).await.unwrap();
        assert!(matches!(put, Put::Created { .. }), "{name}");
        assert_eq!(store.get(&key(name), None, None).await.unwrap(), payload.bytes(), "{name}");
        assert_eq!(store.lock_of(&key(name), None).await.unwrap(), Some(lock), "{name}");
    }
    let mut sorted = names.to_vec();
    sorted.sort();
    assert_eq!(keys(&*store, "").await, sorted);
}

pub async fn empty_object(subject: &dyn Subject) {
    let store = subject.store();
    subject.plant("packs/empty", b"").await;
    assert!(store.get(&key("packs/empty"), None, None).await.unwrap().is_empty());
    assert_eq!(store.head(&key("packs/empty"), None).await.unwrap().bytes, 0);
    let error = store.get(&key("packs/empty"), None, Some(0..1)).await.unwrap_err();
    assert_eq!(error.kind, Kind::BadRange, "{error}");
}

pub async fn ranges(subject: &dyn Subject) {
    let store = subject.store();
    let name = key("packs/w1/ab/ranges");
    let payload = sealed(&[7; 1000]);
    store.put_new(&name, &payload, None).await.unwrap();
    let all = payload.bytes();
    let len = all.len() as u64;
    for (range, expected) in [
        (0..len, &all[..]),
        (0..1, &all[..1]),
        (17..400, &all[17..400]),
        (len - 1..len, &all[all.len() - 1..]),
        (100..len + 1, &all[100..]),
        (0..u64::MAX, &all[..]),
    ] {
        assert_eq!(store.get(&name, None, Some(range.clone())).await.unwrap(), expected, "{range:?}");
    }
    #[allow(clippy::reversed_empty_ranges, reason = "what a careless caller may pass")]
    for range in [0..0, 5..5, 9..3, len..len + 1, len + 5..u64::MAX, u64::MAX..u64::MAX] {
        let error = store.get(&name, None, Some(range.clone())).await.unwrap_err();
        assert_eq!(error.kind, Kind::BadRange, "{range:?}: {error}");
    }
}

pub async fn never_replaces(subject: &dyn Subject) {
    let store = subject.store();
    let name = key("packs/w1/ab/once");
    let first = sealed(b"first");
    let lock = compliance(&*store, subject.short()).await;
    store.put_new(&name, &first, Some(lock)).await.unwrap();
    let longer = compliance(&*store, subject.short() + Span::seconds(2)).await;
    for again in [None, Some(longer)] {
        let put = subject.store().put_new(&name, &sealed(b"second, and longer"), again).await.unwrap();
        assert_eq!(put, Put::AlreadyThere);
        assert_eq!(subject.store().put_new(&name, &first, again).await.unwrap(), Put::AlreadyThere);
    }
    assert_eq!(store.get(&name, None, None).await.unwrap(), first.bytes());
    assert_eq!(store.lock_of(&name, None).await.unwrap(), Some(lock));
    assert_eq!(keys(&*store, "").await, [name.to_string()]);
}

pub async fn racing_puts_have_one_winner(subject: &dyn Subject) {
    let name = key("packs/w1/ab/race");
    let payloads: Vec<_> = (0..16_u8).map(|n| Arc::new(sealed(&vec![n; 10_000]))).collect();
    let tasks = payloads.iter().map(|payload| {
        let (store, name, payload) = (subject.store(), name.clone(), payload.clone());
        tokio::spawn(async move { store.put_new(&name, &payload, None).await.unwrap() })
    });
    let puts: Vec<Put> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<usize> = (0..16).filter(|n| matches!(puts[*n], Put::Created { .. })).collect();
    assert_eq!(winners.len(), 1, "{puts:?}");
    let got = subject.store().get(&name, None, None).await.unwrap();
    assert_eq!(got, payloads[winners[0]].bytes());
}

pub async fn large_object(subject: &dyn Subject) {
    let store = subject.store();
    let name = key("packs/w1/ab/large");
    let payload = sealed(&vec![0x5a; 31 << 20]);
    store.put_new(&name, &payload, None).await.unwrap();
    assert_eq!(store.get(&name, None, None).await.unwrap(), payload.bytes());
    let tail = store.get(&name, None, Some((20 << 20)..u64::MAX)).await.unwrap();
    assert_eq!(tail, payload.bytes().slice(20 << 20..));
}

pub async fn missing_object(subject: &dyn Subject) {
    let store = subject.store();
    store.put_new(&key("packs/w1/ab/there"), &sealed(b"x"), None).await.unwrap();
    // Also below an object, above one, and beside one.
    for name in ["nothing", "packs/w1/ab/nothing", "packs/w1/ab/there/below", "packs/w1", "packs/w1/ab/ther"] {
        let error = store.get(&key(name), None, None).await.unwrap_err();
        assert!(error.is_not_found(), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(store.get(&key(name), None, Some(0..1)).await.unwrap_err().is_not_found(), "{name}");
        assert!(store.head(&key(name), None).await.unwrap_err().is_not_found(), "{name}");
    }
}

pub async fn head_tells_the_time(subject: &dyn Subject) {
    let store = subject.store();
    let before = store.server_time().await.unwrap();
    store.put_new(&key("a"), &sealed(b"a"), None).await.unwrap();
    let after = store.server_time().await.unwrap();
    let modified = store.head(&key("a"), None).await.unwrap().modified;
    assert!((before..=after).contains(&modified), "{before} {modified} {after}");
    // A listing of keys may hold a second time, taken later in the same put; see `extending_keeps_the_time`.
    let listed = crate::support::listed(&*store, "").await[0].modified;
    assert!(listed.unix().abs_diff(modified.unix()) <= 1 && (before..=after).contains(&listed), "{modified} {listed}");
}
