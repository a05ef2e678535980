//! Locks: set, read back, extended, enforced.

use futures::future::join_all;
use strongroom::{
    model::{Lock, LockMode, Span},
    store::StoreErrorKind as Kind,
};

use super::{Subject, compliance, governance};
use crate::support::{key, keys, sealed};

const NAME: &str = "packs/w1/ab/locked";

pub async fn read_back(subject: &dyn Subject) {
    let store = subject.store();
    // In the same second, so that only the modes differ.
    let strong = compliance(&*store, subject.short()).await;
    let weak = Lock { mode: governance(&*store, subject.short()).await.mode, ..strong };
    store.put_new(&key("packs/strong"), &sealed(b"x"), Some(strong)).await.unwrap();
    store.put_new(&key("packs/weak"), &sealed(b"x"), Some(weak)).await.unwrap();
    assert_eq!(subject.store().lock_of(&key("packs/strong"), None).await.unwrap(), Some(strong));
    assert_eq!(subject.store().lock_of(&key("packs/weak"), None).await.unwrap(), Some(weak));
    assert_eq!(keys(&*store, "").await, ["packs/strong", "packs/weak"]);
}

pub async fn none_without(subject: &dyn Subject) {
    let store = subject.store();
    store.put_new(&key(NAME), &sealed(b"x"), None).await.unwrap();
    assert_eq!(store.lock_of(&key(NAME), None).await.unwrap(), None);
}

pub async fn in_the_past(subject: &dyn Subject) {
    let store = subject.store();
    let now = store.server_time().await.unwrap();
    let past =
        Lock { until: strongroom::model::Time::from_unix(now.unix() - 3600), ..compliance(&*store, Span::ZERO).await };
    let error = store.put_new(&key(NAME), &sealed(b"x"), Some(past)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    assert!(store.head(&key(NAME), None).await.unwrap_err().is_not_found());
}

pub async fn refused_until_the_end(subject: &dyn Subject) {
    let store = subject.store();
    for mode in [LockMode::Compliance, LockMode::Governance] {
        let lock = Lock { mode, ..compliance(&*store, subject.short()).await };
        let name = key(&format!("packs/{}", mode.as_str()));
        let payload = sealed(b"x");
        store.put_new(&name, &payload, Some(lock)).await.unwrap();
        let version = store.head(&name, None).await.unwrap().version;
        for _ in 0..2 {
            let error = subject.deleter().delete_version(&name, version.as_ref()).await.unwrap_err();
            assert_eq!(error.kind, Kind::Locked, "{error}");
            assert!(error.to_string().contains(name.as_str()), "{error}");
        }
        assert_eq!(store.get(&name, None, None).await.unwrap(), payload.bytes());
        assert_eq!(store.lock_of(&name, None).await.unwrap(), Some(lock));

        let left = lock.until.since(store.server_time().await.unwrap());
        subject.pass(left).await;
        assert_eq!(store.lock_of(&name, None).await.unwrap(), Some(lock), "an ended lock is told as it stands");
        subject.deleter().delete_version(&name, version.as_ref()).await.unwrap();
        assert!(store.get(&name, None, None).await.unwrap_err().is_not_found());
        assert!(store.lock_of(&name, None).await.unwrap_err().is_not_found());
    }
    assert!(keys(&*store, "").await.is_empty());
}

pub async fn deletes_what_is_unlocked(subject: &dyn Subject) {
    let store = subject.store();
    store.put_new(&key(NAME), &sealed(b"x"), None).await.unwrap();
    let version = store.head(&key(NAME), None).await.unwrap().version;
    subject.deleter().delete_version(&key(NAME), version.as_ref()).await.unwrap();
    assert!(store.head(&key(NAME), None).await.unwrap_err().is_not_found());
    // Gone, not hidden: the key is free, and nothing is left of the old object.
    assert!(crate::support::versions(&*store, "").await.is_empty());
    store.put_new(&key(NAME), &sealed(b"y"), None).await.unwrap();
    subject.deleter().delete_version(&key(NAME), None).await.unwrap();
    assert!(crate::support::versions(&*store, "").await.is_empty(), "without a version, the current one is meant");
}

pub async fn extends(subject: &dyn Subject) {
    let store = subject.store();
    let lock = compliance(&*store, subject.short()).await;
    store.put_new(&key(NAME), &sealed(b"x"), Some(lock)).await.unwrap();
    let longer = Lock { until: lock.until + subject.short(), ..lock };
    assert_eq!(store.extend_lock(&key(NAME), None, longer).await.unwrap(), longer);
    assert_eq!(subject.store().lock_of(&key(NAME), None).await.unwrap(), Some(longer));
    subject.pass(lock.until.since(store.server_time().await.unwrap())).await;
    let version = store.head(&key(NAME), None).await.unwrap().version;
    let error = subject.deleter().delete_version(&key(NAME), version.as_ref()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Locked, "the longer lock holds: {error}");
    assert_eq!(keys(&*store, "").await, [NAME]);
}

pub async fn extending_keeps_the_time(subject: &dyn Subject) {
    let store = subject.store();
    store.put_new(&key(NAME), &sealed(b"x"), Some(compliance(&*store, subject.short()).await)).await.unwrap();
    let put = store.head(&key(NAME), None).await.unwrap().modified;
    subject.pass(Span::seconds(2)).await;
    let longer = compliance(&*store, subject.short() + subject.short()).await;
    assert_eq!(store.extend_lock(&key(NAME), None, longer).await.unwrap(), longer);
    let head = store.head(&key(NAME), None).await.unwrap();
    assert_eq!(head.modified, put, "a snapshot is as old as its put says, whatever became of its lock");
    assert_eq!(store.head(&key(NAME), head.version.as_ref()).await.unwrap().modified, put);
    let listed = crate::support::versions(&*store, "").await;
    assert_eq!(listed.iter().map(|entry| entry.modified).collect::<Vec<_>>(), [put]);
    let mut current = Vec::new();
    store.list("", &mut |entry| current.push(entry.modified)).await.unwrap();
    // One time is taken before the put and one after.
    assert!(matches!(current[..], [at] if at.unix().abs_diff(put.unix()) <= 1), "{current:?} {put}");
}

pub async fn never_shortens(subject: &dyn Subject) {
    let store = subject.store();
    for lock in [compliance(&*store, Span::seconds(30)).await, governance(&*store, Span::seconds(30)).await] {
        let name = key(&format!("packs/{}", lock.mode.as_str()));
        store.put_new(&name, &sealed(b"x"), Some(lock)).await.unwrap();
        let shorter = Lock { mode: lock.mode, until: store.server_time().await.unwrap() + Span::seconds(10) };
        assert!(shorter.until < lock.until, "the store took too long for this case");
        for asked in [shorter, lock] {
            assert_eq!(store.extend_lock(&name, None, asked).await.unwrap(), lock);
            assert_eq!(store.lock_of(&name, None).await.unwrap(), Some(lock));
        }
    }
}

pub async fn never_weakens(subject: &dyn Subject) {
    let store = subject.store();
    let lock = compliance(&*store, subject.short()).await;
    store.put_new(&key(NAME), &sealed(b"x"), Some(lock)).await.unwrap();
    for span in [Span::ZERO, subject.short()] {
        let weaker = Lock { until: lock.until + span, ..governance(&*store, Span::ZERO).await };
        // Whether the end moves is the store's business; the mode never does.
        let now = store.extend_lock(&key(NAME), None, weaker).await.unwrap();
        assert_eq!(now.mode, lock.mode);
        assert!(now.until >= lock.until);
        assert_eq!(store.lock_of(&key(NAME), None).await.unwrap(), Some(now));
    }
}

pub async fn extends_what_was_unlocked(subject: &dyn Subject) {
    let store = subject.store();
    store.put_new(&key(NAME), &sealed(b"x"), None).await.unwrap();
    let lock = compliance(&*store, subject.short()).await;
    assert_eq!(store.extend_lock(&key(NAME), None, lock).await.unwrap(), lock);
    assert_eq!(store.lock_of(&key(NAME), None).await.unwrap(), Some(lock));
    let version = store.head(&key(NAME), None).await.unwrap().version;
    let error = subject.deleter().delete_version(&key(NAME), version.as_ref()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Locked, "{error}");
}

pub async fn concurrent_extends(subject: &dyn Subject) {
    let store = subject.store();
    let lock = compliance(&*store, Span::seconds(10)).await;
    store.put_new(&key(NAME), &sealed(b"x"), Some(lock)).await.unwrap();
    let tasks = (0..16_u64).map(|n| {
        let store = subject.store();
        let asked = Lock { until: lock.until + Span::seconds(n * 7 % 16), ..lock };
        tokio::spawn(async move { (asked, store.extend_lock(&key(NAME), None, asked).await.unwrap()) })
    });
    for outcome in join_all(tasks).await {
        let (asked, applied) = outcome.unwrap();
        assert!(applied.until >= asked.until, "{asked:?} {applied:?}");
    }
    let greatest = Lock { until: lock.until + Span::seconds(15), ..lock };
    assert_eq!(store.lock_of(&key(NAME), None).await.unwrap(), Some(greatest));
}

pub async fn missing_object(subject: &dyn Subject) {
    let store = subject.store();
    assert!(store.lock_of(&key(NAME), None).await.unwrap_err().is_not_found());
    let lock = compliance(&*store, subject.short()).await;
    assert!(store.extend_lock(&key(NAME), None, lock).await.unwrap_err().is_not_found());
    assert!(keys(&*store, "").await.is_empty());
}
