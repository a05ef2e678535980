//! G11 on a real server, under locks of seconds: what every snapshot needs is locked until its floor by the server's own
//! word, and once that is over, it goes.

use std::{collections::BTreeSet, thread, time::Duration};

use strongroom::{
    format::{header::VerifiedHeader, layout, page::Page},
    model::{Key, LockMode, Span, Time},
    store::{ObjectStore, Version, s3::S3Store},
    vault::{Vault, snapshots},
};

use crate::{
    place::{Place, server},
    vault_support::dump,
};

/// Everything that a snapshot needs besides its header's own documents, each with the version that was stored.
async fn needed(store: &S3Store, snapshot: &VerifiedHeader) -> Vec<(Key, Option<Version>)> {
    let header = &snapshot.header;
    let version = |hint: &Option<String>| hint.as_deref().map(Version::new);
    let mut needed = vec![(layout::header(&header.writer, header.seq, &snapshot.id), None)];
    needed.extend(header.indexes.iter().map(|i| (layout::index(&header.writer, &i.hash), version(&i.version))));
    for page in &header.pages {
        let key = layout::page(&header.writer, &page.hash);
        let bytes = store.get(&key, version(&page.version).as_ref(), None).await.unwrap();
        let packs = Page::decode(&bytes, header.vault, &header.writer).unwrap().packs;
        needed.extend(packs.iter().map(|p| (layout::pack(&header.writer, &p.id), version(&p.version))));
        needed.push((key, version(&page.version)));
    }
    needed
}

async fn headers(place: &Place<'_>) -> Vec<VerifiedHeader> {
    let vault = Vault::open(std::sync::Arc::new(place.store("reader").await), None).await.unwrap();
    let mut headers = Vec::new();
    for listed in snapshots::list(&vault).await.unwrap().snapshots {
        headers.push(vault.whole(&listed).await.unwrap());
    }
    headers
}

/// Fails if anything that a snapshot needs is gone, or locked for less than was promised, while the promise lasts.
async fn assert_promises(place: &Place<'_>) -> usize {
    let store = place.store("reader").await;
    let mut looked = 0;
    for snapshot in headers(place).await {
        let floor = snapshot.header.floor_until;
        for (key, version) in needed(&store, &snapshot).await {
            let lock = store.lock_of(&key, version.as_ref()).await.unwrap().unwrap_or_else(|| panic!("{key}: no lock"));
            assert!(lock.mode == LockMode::Compliance && lock.until >= floor, "{key}: {lock:?}, promised {floor}");
            looked += 1;
        }
    }
    looked
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_everything_is_locked_as_long_as_promised_on_a_real_server() {
    let place = Place::short_lived(server(), Span::seconds(8), Span::seconds(3)).await;
    let mut data = dump(1, 600_000);
    let (mut made, mut packs, mut gone) = (Vec::new(), BTreeSet::new(), 0);
    for day in 0..10 {
        // Mostly what was there, so that each snapshot leans on packs and bases of those before it.
        data.extend_from_slice(&dump(100 + day, 40_000));
        data[usize::try_from(day).unwrap() * 1000] ^= 1;
        let run = place.backup("orders", &data);
        made.push((
            run["id"].as_str().unwrap().to_owned(),
            run["floor_until"].as_str().unwrap().to_owned(),
            data.clone(),
        ));
        assert!(assert_promises(&place).await >= 4);
        let leaning = headers(&place).await.last().unwrap().header.totals.packs;
        packs.insert(leaning);
        let done = place.run_as("pruner", &["prune", "--grace", "0s", "--yes", "--json"]).ok().json();
        assert_eq!(done["result"]["refused"], 0, "{done}");
        gone += done["result"]["deleted"]["snapshots"]["versions"].as_u64().unwrap_or(0);
        assert_promises(&place).await;
        // Whatever went, what is still promised comes back.
        let now = place.store("reader").await.server_time().await.unwrap();
        let identity = place.sandbox.identity();
        for (id, floor, bytes) in made.iter().filter(|(_, floor, _)| floor.parse::<Time>().unwrap() > now) {
            let args = ["restore", id, "--to", "-", "-i", identity.to_str().unwrap()];
            assert!(place.run_as("reader", &args).ok().stdout == *bytes, "{id}, promised until {floor}");
        }
        thread::sleep(Duration::from_millis(1500));
    }
    assert!(gone > 0, "promises ended in the course of this, and what they held went");
    assert!(packs.iter().any(|packs| *packs > 1), "snapshots lean on several packs: {packs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_a_writer_that_can_set_no_locks_makes_no_snapshot() {
    let place = Place::short_lived(server(), Span::seconds(8), Span::seconds(3)).await;
    place.backup("orders", b"some bytes");
    // The role of a writer for buckets that lock by default, in a bucket that does not.
    std::fs::copy(server().credentials("w1"), place.sandbox.path("etc/writer-s3.toml")).unwrap();
    let mut command = place.sandbox.command();
    command.arg("--config").arg(place.sandbox.config()).args(["backup", "--name", "orders", "--stdin", "--json"]);
    let run = place.finish(command.write_stdin("other bytes")).code(1);
    assert!(run.json()["error"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{}", run.out());
    assert_eq!(headers(&place).await.len(), 1);
}
