//! The real server behind a wire that breaks.

use std::sync::Arc;

use strongroom::{
    model::{Lock, LockMode, Span},
    store::{
        Deleter, ObjectStore, Put, StoreErrorKind as Kind,
        s3::{Checksum, Patience, S3Settings, S3Store},
    },
};

use crate::{
    Bucket, hasty,
    http::{Fault, Forward, Server},
    lock,
    support::{key, keys, sealed, versions},
};

/// A bucket of the real server, reached through a wire that breaks as told.
struct Wire {
    bucket: Bucket,
    server: Server,
}

impl Wire {
    async fn fresh() -> Self {
        let bucket = Bucket::fresh().await;
        let server = Server::start(Forward(bucket.server.address()));
        Self { bucket, server }
    }

    async fn store(&self, patience: Patience) -> S3Store {
        let settings = self.bucket.settings("admin");
        let store = S3Store::connect(S3Settings { endpoint: Some(self.server.endpoint()), patience, ..settings });
        store.await.unwrap()
    }
}

/// One of each call, all of which must come out right although exchanges fail.
async fn one_of_each(store: &S3Store, run: &str) {
    let lock = lock(store, LockMode::Compliance, Span::seconds(600)).await;
    let mut made = Vec::new();
    for n in 0..4_u8 {
        let (name, payload) = (key(&format!("{run}/{n}")), sealed(&vec![n; 70_000]));
        match store.put_new(&name, &payload, (n == 0).then_some(lock)).await.unwrap() {
            Put::Created { version } => assert!(version.is_some()),
            // An earlier try landed and its answer was lost: whatever is there must be what was sent.
            Put::AlreadyThere => {}
        }
        assert_eq!(store.get(&name, None, None).await.unwrap(), payload.bytes(), "{run} {n}");
        assert_eq!(store.get(&name, None, Some(5..66_000)).await.unwrap(), payload.bytes().slice(5..66_000));
        let head = store.head(&name, None).await.unwrap();
        assert_eq!(head.bytes, payload.bytes().len() as u64);
        made.push((name, head.version));
    }
    assert_eq!(store.lock_of(&made[0].0, None).await.unwrap(), Some(lock));
    let longer = Lock { until: lock.until + Span::seconds(60), ..lock };
    assert_eq!(store.extend_lock(&made[1].0, made[1].1.as_ref(), longer).await.unwrap(), longer);
    assert_eq!(keys(store, run).await.len(), 4);
    store.delete_version(&made[2].0, made[2].1.as_ref()).await.unwrap();
    let error = store.delete_version(&made[1].0, made[1].1.as_ref()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Locked, "{error}");
    let all = versions(store, run).await;
    assert_eq!(all.len(), 3, "each try of a put makes one version at most: {all:?}");
}

/// Every second, third and fourth exchange fails in each way.
async fn all_goes_well_despite(fault: Fault) {
    let wire = Wire::fresh().await;
    for every in [2, 3, 4] {
        // A store of its own, or a storm would slow down the next one.
        let store = wire.store(Patience::default()).await;
        store.server_time().await.unwrap();
        let fault = fault.clone();
        wire.server.plan(move |n, _| (n % every == 0).then(|| fault.clone()));
        one_of_each(&store, &format!("every-{every}")).await;
        let failed = wire.server.log().iter().filter(|line| line.split(' ').count() > 2).count();
        assert!(failed >= 4, "every {every}: {:?}", wire.server.log());
        wire.server.plan(|_, _| None);
    }
}

macro_rules! despite {
    ($($name:ident: $fault:expr;)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            all_goes_well_despite($fault).await;
        })+
    };
}

despite! {
    cut_before_it_was_applied: Fault::CutBefore;
    cut_after_it_was_applied: Fault::CutAfter;
    cut_within_the_answer: Fault::CutWithin;
    internal_errors: Fault::Error(500, "InternalError");
    internal_errors_after_it_was_applied: Fault::ErrorAfter(500, "InternalError");
    unavailable: Fault::Error(503, "SlowDown");
    conflicts: Fault::Error(409, "ConditionalRequestConflict");
    too_many_requests: Fault::Error(429, "TooManyRequests");
}

#[tokio::test]
async fn a_put_that_landed_unanswered_is_already_there() {
    let wire = Wire::fresh().await;
    let store = wire.store(Patience::default()).await;
    wire.server.plan(|n, _| (n == 1).then_some(Fault::CutAfter));
    let payload = sealed(b"x");
    assert_eq!(store.put_new(&key("a"), &payload, None).await.unwrap(), Put::AlreadyThere);
    assert_eq!(store.get(&key("a"), None, None).await.unwrap(), payload.bytes());
    assert_eq!(versions(&store, "a").await.len(), 1);
}

#[tokio::test]
async fn bytes_that_changed_on_their_way_are_refused() {
    let wire = Wire::fresh().await;
    for checksum in [Checksum::Crc32c, Checksum::Crc64Nvme, Checksum::Sha256] {
        let settings = wire.bucket.settings("admin");
        let settings = S3Settings { endpoint: Some(wire.server.endpoint()), checksum, ..settings };
        let store = S3Store::connect(settings).await.unwrap();
        wire.server.plan(|_, request| (request.method == "PUT").then_some(Fault::Garble));
        let error = store.put_new(&key("a"), &sealed(b"x"), None).await.unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt, "{checksum}: {error}");
        wire.server.plan(|_, _| None);
        assert!(store.get(&key("a"), None, None).await.unwrap_err().is_not_found());
    }
}

#[tokio::test]
async fn every_put_carries_the_checksum_that_was_chosen() {
    let wire = Wire::fresh().await;
    for checksum in [Checksum::Crc32c, Checksum::Crc64Nvme, Checksum::Sha256] {
        let settings = wire.bucket.settings("admin");
        let settings = S3Settings { endpoint: Some(wire.server.endpoint()), checksum, ..settings };
        let store = S3Store::connect(settings).await.unwrap();
        let header = format!("x-amz-checksum-{checksum}");
        // One that lacks it is answered with an error.
        wire.server.plan(move |_, request| {
            let bare = request.method == "PUT" && request.header(&header).is_none();
            bare.then_some(Fault::Error(400, "InvalidRequest"))
        });
        let name = key(&checksum.to_string());
        store.put_new(&name, &sealed(b"x"), None).await.unwrap();
        let asked = lock(&store, LockMode::Compliance, Span::seconds(60)).await;
        store.extend_lock(&name, None, asked).await.unwrap();
    }
}

#[tokio::test]
async fn a_dead_server_is_given_up_within_the_budget() {
    let wire = Wire::fresh().await;
    for fault in [Fault::CutBefore, Fault::Silence, Fault::Error(503, "SlowDown"), Fault::Error(500, "InternalError")] {
        let store = wire.store(hasty()).await;
        store.server_time().await.unwrap();
        let sent = fault.clone();
        wire.server.plan(move |_, _| Some(sent.clone()));
        let budget = hasty().budget;
        let call = async { store.put_new(&key("a"), &sealed(b"x"), None).await.unwrap_err() };
        let error = tokio::time::timeout(budget * 5, call).await.expect("the budget bounds the call");
        assert_eq!(error.kind, Kind::Unreachable, "{fault:?}: {error}");
        assert!(wire.server.exchanges() > 1, "{fault:?} was tried once: {error}");
        let error = tokio::time::timeout(budget * 5, store.get(&key("a"), None, None)).await.expect("bounded");
        assert_eq!(error.unwrap_err().kind, Kind::Unreachable, "{fault:?}");
        wire.server.plan(|_, _| None);
    }
    assert!(keys(&wire.bucket.admin, "").await.is_empty());
}

#[tokio::test]
async fn a_body_that_always_breaks_off_ends_with_the_budget_too() {
    let wire = Wire::fresh().await;
    let store = wire.store(hasty()).await;
    store.put_new(&key("a"), &sealed(&vec![7; 100_000]), None).await.unwrap();
    wire.server.plan(|_, _| Some(Fault::CutWithin));
    let name = key("a");
    let error =
        tokio::time::timeout(hasty().budget * 5, store.get(&name, None, None)).await.expect("bounded").unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    assert!(error.to_string().contains("broke off"), "{error}");
    assert!(wire.server.exchanges() > 2);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let wire = Wire::fresh().await;
    let store = wire.store(Patience::default()).await;
    for (status, code) in
        [(403, "AccessDenied"), (400, "InvalidRequest"), (409, "InvalidBucketState"), (404, "NoSuchKey")]
    {
        wire.server.plan(move |_, _| Some(Fault::Error(status, code)));
        store.get(&key("a"), None, None).await.unwrap_err();
        store.lock_of(&key("a"), None).await.unwrap_err();
        assert_eq!(wire.server.exchanges(), 2, "{code}: {:?}", wire.server.log());
    }
}

#[tokio::test]
async fn time_is_the_servers_even_when_it_refuses() {
    let wire = Wire::fresh().await;
    let store = wire.store(Patience::default()).await;
    let now = store.server_time().await.unwrap();
    wire.server.plan(|_, _| Some(Fault::Date(3600)));
    let ahead = store.server_time().await.unwrap();
    assert!((3590..3660).contains(&(ahead.unix() - now.unix())), "{now} {ahead}");
    // The date is that of this answer, and a wrong one does not stay in anybody's mind.
    wire.server.plan(|_, _| None);
    let back = store.server_time().await.unwrap();
    assert!((0..60).contains(&(back.unix() - now.unix())), "{now} {back}");
    let stranger = wire.bucket.store("w2").await;
    assert!((0..60).contains(&(stranger.server_time().await.unwrap().unix() - now.unix())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_killed_server() {
    let mut server = tokio::task::spawn_blocking(crate::seaweed::Seaweed::start).await.unwrap();
    let store = S3Store::connect(server.settings("admin", "vault-kill", "")).await.unwrap();
    store.admin().create_bucket().await.unwrap();
    let acknowledged = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (writing, kept) = (store.clone(), Arc::clone(&acknowledged));
    let writer = tokio::spawn(async move {
        for n in 0..200_u32 {
            let (name, payload) = (key(&format!("packs/w1/{n:04}")), sealed(&vec![7; 20_000]));
            // While it is down the call waits, within its budget; a put that landed unanswered is told apart.
            match writing.put_new(&name, &payload, None).await.unwrap() {
                Put::Created { .. } => kept.lock().unwrap().push((name, payload)),
                Put::AlreadyThere => assert_eq!(writing.get(&name, None, None).await.unwrap(), payload.bytes()),
            }
        }
    });
    while acknowledged.lock().unwrap().len() < 50 {
        tokio::task::yield_now().await;
    }
    let server = tokio::task::spawn_blocking(move || {
        server.kill();
        server.restart();
        server
    });
    let server = server.await.unwrap();
    writer.await.unwrap();
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    assert!(acknowledged.len() >= 150, "{}", acknowledged.len());
    for (name, payload) in acknowledged {
        assert_eq!(store.get(&name, None, None).await.unwrap(), payload.bytes(), "{name}");
    }
    drop(server);
}
