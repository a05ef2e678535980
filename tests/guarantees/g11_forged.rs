//! G11 against whoever holds a writer's key: forged headers take nothing from honest snapshots, and get no more than the
//! root allows.

use std::sync::Arc;

use strongroom::{
    format::{
        header::{Header, VerifiedHeader},
        layout,
    },
    model::{Clock, SnapshotId, Span, Time},
    ops::member,
    store::ObjectStore,
};

use crate::{
    house::{House, short},
    store_support::{keys, versions},
    vault_support::{dump, streams},
};

impl House {
    /// Signs a header with the writer's key, like `old` but for a change, and puts it.
    fn forge(&self, old: &Header, change: impl FnOnce(&mut Header)) -> SnapshotId {
        let now = self.clock.now();
        let mut header = Header { seq: old.seq + 1, started_at: now, claimed_at: now, ..old.clone() };
        header.floor_until = now + Span::days(5);
        header.expires_at = header.floor_until;
        change(&mut header);
        let (id, public) = header.seal(&self.made.writer.signing_key).unwrap();
        self.bucket.overwrite(layout::header(&header.writer, header.seq, &id).as_str(), public.bytes().clone());
        id
    }

    async fn revoke(&self, from: Time) {
        member::revoke(&self.vault().await, &self.made.owner, &self.made.writer.name, from).await.unwrap();
    }

    /// A backup on each of five days.
    async fn five_days(&self, state: &std::path::Path) -> Vec<VerifiedHeader> {
        let mut honest = Vec::new();
        for day in 0..5 {
            honest.push(self.backup(state, &dump(day, 400_000)).await);
            self.clock.pass(Span::days(1));
        }
        honest
    }

    async fn ids(&self) -> Vec<SnapshotId> {
        self.headers().await.iter().map(|s| s.id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_forged_headers_push_no_honest_one_out_and_keep_nothing_for_ever() {
    let house = House::new(short(), true).await;
    let state = tempfile::tempdir().unwrap();
    let honest = house.five_days(state.path()).await;
    let theft = house.clock.now();
    let century = theft + Span::days(36_500);
    for n in 0..5 {
        // The newest of its source, as it says; and one whose chain can't be.
        house.forge(&honest[n].header, |h| {
            (h.started_at, h.claimed_at) = (century, century);
            (h.floor_until, h.expires_at) = (century, century);
        });
        house.forge(&honest[n].header, |h| (h.seq, h.prev) = (1, vec![honest[4].id]));
    }
    let refused = house.renew().await;
    assert_eq!(refused.refused, 10, "{:?}", refused.findings);
    // Long after the locks of all ended, and after what the root allows.
    house.clock.pass(Span::days(1000));
    let kept: Vec<SnapshotId> = honest[2..].iter().map(|s| s.id).collect();
    house.prune(Span::ZERO).await;
    let left = house.ids().await;
    assert!(kept.iter().all(|id| left.contains(id)) && left.len() == 6, "three of each sort: {left:?}");
    assert_eq!(house.prune(Span::ZERO).await.deleted.len(), 0, "twice is once");

    // Known to be forged, they keep nothing at all.
    house.revoke(theft).await;
    house.prune(Span::ZERO).await;
    assert_eq!(house.ids().await, kept);
    let all = house.made.through(Arc::new(house.bucket.clone())).restore_all().await.unwrap();
    assert_eq!(all.iter().map(|s| s[0].1.clone()).collect::<Vec<_>>(), [2, 3, 4].map(|day| dump(day, 400_000)));
    let needed: Vec<_> = kept_packs(&house).await;
    assert_eq!(keys(&house.bucket, "packs/").await, needed, "what only forged ones named is gone");
}

/// Headers of `w1` come before those of `w2`, and the names of pages can be listed.
#[tokio::test(flavor = "multi_thread")]
async fn g11_who_names_the_page_of_another_writer_takes_nothing_from_him() {
    let house = House::new(short(), true).await;
    let (state, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = house.backup(state.path(), &dump(1, 100_000)).await;
    let other = house.second_writer().await;
    other.backup(others.path(), "theirs", streams([("a", dump(2, 400_000))])).await.unwrap();
    let honest = house.headers().await.into_iter().find(|s| s.id != own.id).unwrap();
    house.forge(&own.header, |h| (h.prev, h.pages) = (vec![own.id], honest.header.pages.clone()));
    house.clock.pass(Span::days(1));
    house.renew().await;
    let week = house.clock.now() + Span::days(7);
    for (key, until) in house.locks(&honest).await {
        assert!(until >= week, "{key} is locked until {until}");
    }
    // And when only its packs could go, since their locks have ended, they stay.
    house.clock.pass(Span::days(100));
    house.prune(Span::ZERO).await;
    assert_eq!(keys(&house.bucket, "packs/w2/").await, kept_packs_of(&house, &honest).await);
}

async fn kept_packs_of(house: &House, snapshot: &VerifiedHeader) -> Vec<String> {
    let locks = house.locks(snapshot).await;
    locks.into_keys().map(|key| key.to_string()).filter(|key| key.starts_with("packs/")).collect()
}

/// The packs that the snapshots which are there need.
async fn kept_packs(house: &House) -> Vec<String> {
    let mut packs = std::collections::BTreeSet::new();
    for snapshot in house.headers().await {
        packs.extend(house.locks(&snapshot).await.into_keys().map(|key| key.to_string()));
    }
    packs.into_iter().filter(|key| key.starts_with("packs/")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_a_forged_header_stops_no_renewal_of_what_it_names() {
    let house = House::new(short(), true).await;
    let state = tempfile::tempdir().unwrap();
    let data = dump(1, 400_000);
    let first = house.backup(state.path(), &data).await;
    house.clock.pass(Span::seconds(3600));
    // Sound in its times and its chain, and false about the size and the version of what is there.
    house.forge(&first.header, |h| {
        h.prev = vec![first.id];
        h.expires_at = house.clock.now() + Span::days(300);
        for object in h.pages.iter_mut().chain(&mut h.indexes) {
            object.bytes += 1;
            object.version = Some("none".to_owned());
        }
    });
    house.clock.pass(Span::seconds(3600));
    let second = house.backup(state.path(), &data).await;
    assert!(second.header.pages.iter().any(|page| first.header.pages.iter().any(|p| p.hash == page.hash)));
    // What the first one promised is over; the forged one and the newest are to be kept.
    house.clock.pass(Span::seconds(5 * 86_400 + 3600));
    let done = house.renew().await;
    let week = house.clock.now() + Span::days(7);
    for (key, until) in house.locks(&second).await {
        assert!(until >= week, "{key} until {until}");
        let lost = done.findings.iter().find(|f| f.object.as_deref() == Some(key.as_str()));
        assert_eq!(lost, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_honest_headers_are_renewed_though_numbers_are_used_up() {
    let house = House::new(short(), true).await;
    let state = tempfile::tempdir().unwrap();
    let first = house.backup(state.path(), &dump(1, 400_000)).await;
    house.forge(&first.header, |h| (h.seq, h.prev) = (u64::MAX, vec![first.id]));
    let mut later = Vec::new();
    for day in 2..4 {
        later.push(house.backup(state.path(), &dump(day, 400_000)).await);
    }
    assert!(later.iter().all(|s| s.header.seq == u64::MAX));
    house.clock.pass(Span::days(4));
    assert_eq!(house.renew().await.refused, 0);
    house.assert_renewed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_junk_of_a_revoked_writer_stops_no_prune() {
    let house = House::new(short(), false).await;
    let state = tempfile::tempdir().unwrap();
    let honest = house.five_days(state.path()).await;
    let theft = house.clock.now();
    // One that pretends to be a damaged header, and one in the place of a true one.
    let name = format!("snapshots/w1/{:010}-{}.json", 9, "ab".repeat(32));
    house.bucket.overwrite(&name, &b"cut short"[..]);
    house.clock.pass(Span::days(100));
    assert!(matches!(&house.prune(Span::ZERO).await.blocked[..], [why] if why.contains(&name)));
    house.revoke(theft).await;
    let whole = house.prune(Span::ZERO).await;
    assert!(whole.blocked.is_empty() && whole.deleted["snapshots"].versions == 2, "{whole:?}");
    let bytes = house.bucket.get(&name.parse().unwrap(), None, None).await.unwrap();
    assert_eq!(bytes, &b"cut short"[..], "nobody knows what it is, so it stays");

    // A true header whose bytes are gone was there before, and what it needs is not known.
    let key = layout::header(&honest[4].header.writer, honest[4].header.seq, &honest[4].id);
    let version = versions(&house.bucket, key.as_str()).await.remove(0);
    strongroom::store::Deleter::delete_version(&house.bucket, &key, Some(&version.version)).await.unwrap();
    house.revoke(Time::from_unix(0)).await;
    house.bucket.overwrite(key.as_str(), &b"{}"[..]);
    house.revoke(house.clock.now() + Span::seconds(1)).await;
    assert!(matches!(&house.prune(Span::ZERO).await.blocked[..], [_, _]), "put before the revocation, both stop it");
}
