//! Listings longer than a page, with directories that sort otherwise than their names.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use strongroom::store::{Version, s3::S3Store};

use crate::{
    Bucket,
    seaweed::Raw,
    support::{keys, versions},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_pages_of_neighbours() {
    let bucket = Bucket::fresh().await;
    let prefix = "prod";
    let raw = Raw::new(bucket.server, "admin", &bucket.name, prefix);
    // `w1-b/` and `w1.c` sort before `w1/`, and a server of directories lists them after it.
    let mut names: Vec<String> =
        (0..700).flat_map(|n| [format!("packs/w1/{n:04}"), format!("packs/w1-b/{n:04}")]).collect();
    names.extend(["packs/w1.c", "packs/w1/0010/below", "packs/w1/0010-", "packs/a b", "vault.json"].map(str::to_owned));
    let raw = &raw;
    stream::iter(&names).for_each_concurrent(16, |name| async move { drop(raw.put(name, b"x").await) }).await;
    // Gone for a plain listing, not for the other.
    raw.hide("packs/w1/0500").await;
    names.sort();

    let store = S3Store::connect(bucket.server.settings("reader", &bucket.name, prefix)).await.unwrap();
    for prefix in ["", "packs/", "packs/w1", "packs/w1/", "packs/w1/0010"] {
        let expected: Vec<&String> = names.iter().filter(|name| name.starts_with(prefix)).collect();
        let all = versions(&store, prefix).await;
        let mut listed: Vec<&String> = all.iter().map(|entry| &entry.key).collect();
        let hidden = listed.len();
        listed.dedup();
        assert_eq!(hidden - listed.len(), usize::from(prefix != "packs/w1/0010"), "{prefix:?}: the marker");
        assert_eq!(listed, expected, "{prefix:?}");
        let expected: Vec<&String> = expected.into_iter().filter(|name| *name != "packs/w1/0500").collect();
        assert_eq!(keys(&store, prefix).await.iter().collect::<Vec<_>>(), expected, "{prefix:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_versions_of_one_key_than_a_page_come_oldest_first() {
    let bucket = Bucket::fresh().await;
    let raw = Raw::new(bucket.server, "admin", &bucket.name, "");
    let mut made = Vec::new();
    for n in 0..1100 {
        made.push(if n % 3 == 1 { raw.hide("packs/k").await } else { raw.put("packs/k", b"x").await });
    }
    raw.put("packs/k2", b"x").await;
    let all = versions(&bucket.admin, "packs/").await;
    assert_eq!(all.len(), 1101);
    for (n, entry) in all.iter().take(1100).enumerate() {
        assert_eq!((&entry.version, entry.delete_marker, entry.latest), (&made[n], n % 3 == 1, n == 1099), "{n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_where_a_page_ends_within_the_versions_of_a_key() {
    let bucket = Bucket::fresh().await;
    let raw = &Raw::new(bucket.server, "admin", &bucket.name, "");
    // Of each name another number of versions, so that pages end at all places.
    let names: Vec<(String, usize)> = (0..150).map(|n| (format!("snapshots/w1/{n:04}"), 1 + n * 7 % 23)).collect();
    let mut made: BTreeMap<String, Vec<Version>> = stream::iter(names)
        .map(|(name, count)| async move {
            let mut made = Vec::new();
            for n in 0..count {
                made.push(if n % 5 == 4 { raw.hide(&name).await } else { raw.put(&name, b"x").await });
            }
            (name, made)
        })
        .buffered(16)
        .collect()
        .await;
    made.insert("vault.json".to_owned(), vec![raw.put("vault.json", b"x").await]);
    for prefix in ["", "snapshots/", "snapshots/w1/"] {
        let mut listed: BTreeMap<String, Vec<Version>> = BTreeMap::new();
        for entry in versions(&bucket.admin, prefix).await {
            listed.entry(entry.key).or_default().push(entry.version);
        }
        for (name, made) in made.iter().filter(|(name, _)| name.starts_with(prefix)) {
            assert_eq!(listed.get(name), Some(made), "{prefix:?}: {name}");
        }
    }
}
