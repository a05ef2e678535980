//! Listing current objects.

use futures::{StreamExt, stream};

use super::Subject;
use crate::support::{key, keys, listed, sealed, versions};

/// Names around the slash, which sorts after `-` and `.` and before digits and letters; in order.
const ORDERED: [&str; 10] = ["A", "a-b", "a-b.c", "a.b/x", "a/b", "a/b-c", "a/b.c/d", "a0", "ab", "b/c/d/e/f"];

pub async fn in_byte_order(subject: &dyn Subject) {
    let store = subject.store();
    for name in ORDERED.iter().rev() {
        store.put_new(&key(name), &sealed(name.as_bytes()), None).await.unwrap();
    }
    assert_eq!(keys(&*store, "").await, ORDERED);
    for entry in listed(&*store, "").await {
        assert_eq!(entry.bytes, store.head(&key(&entry.key), None).await.unwrap().bytes, "{}", entry.key);
    }
    let by_version: Vec<String> = versions(&*store, "").await.into_iter().map(|entry| entry.key).collect();
    assert_eq!(by_version, ORDERED);
}

pub async fn by_plain_prefix(subject: &dyn Subject) {
    let store = subject.store();
    for name in ORDERED {
        subject.plant(name, b"x").await;
    }
    for prefix in ["", "a", "a-", "a-b", "a/", "a/b", "a/b.", "a/b.c/", "a/b.c/d", "a.b/x", "b/c/d/e/f", "b/c/d/e/f/"] {
        let expected: Vec<&str> = ORDERED.into_iter().filter(|name| name.starts_with(prefix)).collect();
        assert_eq!(keys(&*store, prefix).await, expected, "{prefix:?}");
        let by_version: Vec<String> = versions(&*store, prefix).await.into_iter().map(|entry| entry.key).collect();
        assert_eq!(by_version, expected, "{prefix:?}");
    }
    // Nothing like that is a key; as a path it would be something else.
    for prefix in ["/", "/a", "//", "a//", "./", "./a", "../", "a/../a", ".", "..", "nothing/", "zz"] {
        assert!(keys(&*store, prefix).await.is_empty(), "{prefix:?}");
    }
}

pub async fn more_than_a_page(subject: &dyn Subject) {
    let names: Vec<String> = (0..1100).map(|n| format!("lists/w{}/{n:06}", n % 7)).collect();
    let plants = names.iter().map(|name| subject.plant(name, b"x"));
    stream::iter(plants).buffer_unordered(32).collect::<Vec<()>>().await;
    let mut sorted = names.clone();
    sorted.sort();
    let store = subject.store();
    assert_eq!(keys(&*store, "lists/").await, sorted);
    assert_eq!(versions(&*store, "lists/").await.len(), 1100);
    sorted.retain(|name| name.starts_with("lists/w3/"));
    assert_eq!(keys(&*store, "lists/w3/").await, sorted);
}

pub async fn empty(subject: &dyn Subject) {
    let store = subject.store();
    for prefix in ["", "packs/", "packs/w1"] {
        assert!(keys(&*store, prefix).await.is_empty());
        assert!(versions(&*store, prefix).await.is_empty());
    }
}

pub async fn foreign_keys(subject: &dyn Subject) {
    let names = [".hidden", "packs/a b", "packs/w1/x+y", "packs/\u{fc}ber"];
    for name in names {
        subject.plant(name, b"not ours").await;
    }
    let store = subject.store();
    assert_eq!(keys(&*store, "").await, names);
    assert_eq!(keys(&*store, "packs/a ").await, ["packs/a b"]);
    assert_eq!(keys(&*store, "packs/\u{fc}").await, ["packs/\u{fc}ber"]);
}
