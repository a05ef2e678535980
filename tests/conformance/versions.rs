//! Versions: what a hostile client puts on top of an object is seen through.

use strongroom::store::{Put, StoreErrorKind as Kind, Version};

use super::{Subject, compliance};
use crate::support::{key, keys, sealed, versions};

const NAME: &str = "snapshots/w1/0000000001-aa.json";

pub async fn unknown_version(subject: &dyn Subject) {
    let store = subject.store();
    store.put_new(&key(NAME), &sealed(b"x"), None).await.unwrap();
    subject.plant("other", b"y").await;
    let mut unknown = vec![Version::new("0123456789abcdef0123456789abcdef")];
    if store.traits().versions {
        // A version of another key is none of this one.
        unknown.extend(versions(&*store, "other").await.into_iter().map(|entry| entry.version));
    }
    for version in &unknown {
        assert!(store.get(&key(NAME), Some(version), None).await.unwrap_err().is_not_found(), "{version}");
        assert!(store.head(&key(NAME), Some(version)).await.unwrap_err().is_not_found(), "{version}");
        assert!(store.lock_of(&key(NAME), Some(version)).await.unwrap_err().is_not_found(), "{version}");
        let lock = compliance(&*store, subject.short()).await;
        assert!(store.extend_lock(&key(NAME), Some(version), lock).await.unwrap_err().is_not_found(), "{version}");
    }
    assert_eq!(store.lock_of(&key(NAME), None).await.unwrap(), None);
}

pub async fn current_version_by_name(subject: &dyn Subject) {
    let store = subject.store();
    let payload = sealed(b"x");
    let lock = compliance(&*store, subject.short()).await;
    store.put_new(&key(NAME), &payload, Some(lock)).await.unwrap();
    let all = versions(&*store, "").await;
    assert_eq!(all.len(), 1);
    assert!(all[0].latest && !all[0].delete_marker);
    assert_eq!((all[0].key.as_str(), all[0].bytes), (NAME, payload.bytes().len() as u64));
    let version = Some(&all[0].version);
    assert_eq!(store.get(&key(NAME), version, None).await.unwrap(), payload.bytes());
    assert_eq!(store.get(&key(NAME), version, Some(3..9)).await.unwrap(), payload.bytes().slice(3..9));
    assert_eq!(store.head(&key(NAME), version).await.unwrap().bytes, all[0].bytes);
    assert_eq!(store.lock_of(&key(NAME), version).await.unwrap(), Some(lock));
    assert_eq!(store.extend_lock(&key(NAME), version, lock).await.unwrap(), lock);
    let error = subject.deleter().delete_version(&key(NAME), version).await.unwrap_err();
    assert_eq!(error.kind, Kind::Locked, "{error}");
}

pub async fn overwrite_is_seen_through(subject: &dyn Subject) {
    let Some(bucket) = subject.bucket() else { return no_versions(subject) };
    let store = subject.store();
    let payload = sealed(b"true");
    let lock = compliance(&*store, subject.short()).await;
    let Put::Created { version } = store.put_new(&key(NAME), &payload, Some(lock)).await.unwrap() else { panic!() };
    let false_one = bucket.overwrite(NAME, b"false").await;
    assert_eq!(store.get(&key(NAME), None, None).await.unwrap(), &b"false"[..]);
    assert_eq!(store.head(&key(NAME), None).await.unwrap().version, Some(false_one.clone()));
    assert_eq!(store.get(&key(NAME), version.as_ref(), None).await.unwrap(), payload.bytes());
    assert_eq!(store.head(&key(NAME), version.as_ref()).await.unwrap().bytes, payload.bytes().len() as u64);
    assert_eq!(store.lock_of(&key(NAME), version.as_ref()).await.unwrap(), Some(lock));
    let all: Vec<_> = versions(&*store, "").await.into_iter().map(|entry| (entry.version, entry.latest)).collect();
    assert_eq!(all, [(version.unwrap(), false), (false_one, true)]);
    assert_eq!(keys(&*store, "").await, [NAME]);
    assert_eq!(store.put_new(&key(NAME), &payload, None).await.unwrap(), Put::AlreadyThere);
}

pub async fn marker_is_seen_through(subject: &dyn Subject) {
    let Some(bucket) = subject.bucket() else { return no_versions(subject) };
    let store = subject.store();
    let payload = sealed(b"true");
    let lock = compliance(&*store, subject.short()).await;
    let Put::Created { version } = store.put_new(&key(NAME), &payload, Some(lock)).await.unwrap() else { panic!() };
    let marker = bucket.hide(NAME).await;
    assert!(store.get(&key(NAME), None, None).await.unwrap_err().is_not_found());
    assert!(store.head(&key(NAME), None).await.unwrap_err().is_not_found());
    assert!(store.lock_of(&key(NAME), None).await.unwrap_err().is_not_found());
    assert!(store.get(&key(NAME), Some(&marker), None).await.unwrap_err().is_not_found());
    assert!(keys(&*store, "").await.is_empty());
    assert_eq!(store.get(&key(NAME), version.as_ref(), None).await.unwrap(), payload.bytes());
    assert_eq!(store.lock_of(&key(NAME), version.as_ref()).await.unwrap(), Some(lock));
    let all = versions(&*store, "").await;
    let flags: Vec<_> = all.iter().map(|entry| (entry.delete_marker, entry.latest)).collect();
    assert_eq!(flags, [(false, false), (true, true)]);
    assert_eq!((&all[1].version, all[1].bytes), (&marker, 0));

    // A marker has no lock: taking it away shows the object again.
    subject.deleter().delete_version(&key(NAME), Some(&marker)).await.unwrap();
    assert_eq!(store.get(&key(NAME), None, None).await.unwrap(), payload.bytes());
}

pub async fn key_is_free_behind_a_marker(subject: &dyn Subject) {
    let Some(bucket) = subject.bucket() else { return no_versions(subject) };
    let store = subject.store();
    let (old, new) = (sealed(b"old"), sealed(b"new"));
    let Put::Created { version } = store.put_new(&key(NAME), &old, None).await.unwrap() else { panic!() };
    bucket.hide(NAME).await;
    let put = store.put_new(&key(NAME), &new, None).await.unwrap();
    assert!(matches!(put, Put::Created { .. }), "{put:?}");
    assert_eq!(store.get(&key(NAME), None, None).await.unwrap(), new.bytes());
    assert_eq!(store.get(&key(NAME), version.as_ref(), None).await.unwrap(), old.bytes());
    assert_eq!(versions(&*store, "").await.len(), 3);
}

pub async fn order_of_versions(subject: &dyn Subject) {
    let Some(bucket) = subject.bucket() else { return no_versions(subject) };
    let store = subject.store();
    let mut made = Vec::new();
    for n in 0..4_u8 {
        for name in ["b", "a", "a/b", "a-b"] {
            let version = if n == 2 { bucket.hide(name).await } else { bucket.overwrite(name, &[n; 3]).await };
            made.push((name.to_owned(), version));
        }
    }
    // Stable, so each key's versions stay in the order in which they were made.
    made.sort_by(|a, b| a.0.cmp(&b.0));
    let all = versions(&*store, "").await;
    let listed: Vec<_> = all.iter().map(|entry| (entry.key.clone(), entry.version.clone())).collect();
    assert_eq!(listed, made);
    let latest: Vec<bool> = all.iter().map(|entry| entry.latest).collect();
    assert_eq!(latest, [false, false, false, true].repeat(4));
    assert_eq!(versions(&*store, "a-").await.len(), 4);
}

pub async fn locks_are_per_version(subject: &dyn Subject) {
    let Some(bucket) = subject.bucket() else { return no_versions(subject) };
    let store = subject.store();
    let lock = compliance(&*store, subject.short()).await;
    let Put::Created { version } = store.put_new(&key(NAME), &sealed(b"x"), Some(lock)).await.unwrap() else {
        panic!()
    };
    let top = bucket.overwrite(NAME, b"false").await;
    let longer = strongroom::model::Lock { until: lock.until + subject.short(), ..lock };
    assert_eq!(store.extend_lock(&key(NAME), version.as_ref(), longer).await.unwrap(), longer);
    assert_eq!(store.lock_of(&key(NAME), version.as_ref()).await.unwrap(), Some(longer));
    assert_eq!(store.lock_of(&key(NAME), Some(&top)).await.unwrap(), None);
    assert_eq!(store.lock_of(&key(NAME), None).await.unwrap(), None);
}

pub async fn deletes_one_version(subject: &dyn Subject) {
    let Some(bucket) = subject.bucket() else { return no_versions(subject) };
    let store = subject.store();
    let payload = sealed(b"x");
    store.put_new(&key(NAME), &payload, None).await.unwrap();
    let top = bucket.overwrite(NAME, b"false").await;
    subject.deleter().delete_version(&key(NAME), Some(&top)).await.unwrap();
    assert_eq!(store.get(&key(NAME), None, None).await.unwrap(), payload.bytes());
    assert_eq!(versions(&*store, "").await.len(), 1);
}

/// A store without versions must at least say so.
fn no_versions(subject: &dyn Subject) {
    assert!(!subject.store().traits().versions, "a store with versions needs a bucket to be tested");
}
