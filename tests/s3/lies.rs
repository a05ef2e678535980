//! A server that does otherwise than it says.

use strongroom::{
    model::{Lock, LockMode, Span},
    store::{
        Attempts, Deleter, Enforcement, ObjectStore, Put, StoreErrorKind as Kind,
        credentials::CredentialsSpec,
        s3::{Ability, S3Settings, S3Store},
    },
};
use tempfile::TempDir;

use crate::{
    fakes3::{FakeS3, Lies},
    hasty,
    http::{Fault, Request},
    lock,
    seaweed::write_private,
    support::{key, keys, sealed, versions},
};

/// A fake and a store on it; the directory holds the credentials.
async fn lying(lies: Lies) -> (FakeS3, S3Store, TempDir) {
    let (fake, dir) = (FakeS3::start(lies), tempfile::tempdir().unwrap());
    let settings = settings(&fake, &dir);
    (fake, S3Store::connect(settings).await.unwrap(), dir)
}

fn settings(fake: &FakeS3, dir: &TempDir) -> S3Settings {
    let path = dir.path().join("keys");
    write_private(&path, "access_key_id = a\nsecret_access_key = b\n");
    S3Settings {
        endpoint: Some(fake.endpoint()),
        path_style: true,
        credentials: Some(CredentialsSpec::File(path)),
        patience: hasty(),
        ..S3Settings::new("vault", "")
    }
}

async fn put(store: &S3Store, name: &str) -> strongroom::store::Version {
    match store.put_new(&key(name), &sealed(name.as_bytes()), None).await.unwrap() {
        Put::Created { version: Some(version) } => version,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_fake_is_a_bucket_when_it_does_not_lie() {
    let (_fake, store, _dir) = lying(Lies::default()).await;
    let asked = lock(&store, LockMode::Compliance, Span::seconds(60)).await;
    let payload = sealed(b"x");
    let Put::Created { version } = store.put_new(&key("a/1"), &payload, Some(asked)).await.unwrap() else { panic!() };
    assert_eq!(store.put_new(&key("a/1"), &payload, None).await.unwrap(), Put::AlreadyThere);
    assert_eq!(store.get(&key("a/1"), None, None).await.unwrap(), payload.bytes());
    assert_eq!(store.get(&key("a/1"), version.as_ref(), Some(3..7)).await.unwrap(), payload.bytes().slice(3..7));
    assert_eq!(store.lock_of(&key("a/1"), version.as_ref()).await.unwrap(), Some(asked));
    let longer = Lock { until: asked.until + Span::seconds(5), ..asked };
    assert_eq!(store.extend_lock(&key("a/1"), version.as_ref(), longer).await.unwrap(), longer);
    assert_eq!(store.delete_version(&key("a/1"), version.as_ref()).await.unwrap_err().kind, Kind::Locked);
    for n in 2..9 {
        put(&store, &format!("a/{n}")).await;
    }
    assert_eq!(keys(&store, "a/").await.len(), 8);
    store.hostile().hide(&key("a/1")).await.unwrap();
    assert_eq!(keys(&store, "a/").await.len(), 7);
    assert_eq!(versions(&store, "a/1").await.len(), 2);
    let abilities = store.probe(Some(&key("canaries/x"))).await.unwrap();
    assert_eq!(abilities.missing().count(), 0, "{abilities:?}");
}

#[tokio::test]
async fn a_lock_that_is_forgotten_is_noticed_at_once() {
    let (_fake, store, _dir) = lying(Lies { locks_forgotten: true, ..Lies::default() }).await;
    let asked = lock(&store, LockMode::Compliance, Span::days(1)).await;
    let error = store.put_new(&key("a"), &sealed(b"x"), Some(asked)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unsupported, "{error}");
    assert!(error.to_string().contains("not its lock"), "{error}");
    let error = store.extend_lock(&key("a"), None, asked).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unsupported, "{error}");
}

#[tokio::test]
async fn a_lock_that_is_told_and_not_enforced_falls_to_the_proof() {
    let (_fake, store, _dir) = lying(Lies { locks_not_enforced: true, ..Lies::default() }).await;
    let asked = lock(&store, LockMode::Compliance, Span::days(1)).await;
    let Put::Created { version } = store.put_new(&key("a"), &sealed(b"x"), Some(asked)).await.unwrap() else {
        panic!()
    };
    assert_eq!(store.lock_of(&key("a"), version.as_ref()).await.unwrap(), Some(asked));
    // Nothing but an attempt shows it: that is what the proof of the lock is for.
    store.delete_version(&key("a"), version.as_ref()).await.unwrap();
    assert!(store.get(&key("a"), version.as_ref(), None).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn what_a_server_lacks_is_told_in_words() {
    let lacking = [
        (Lies { no_lock_api: true, ..Lies::default() }, "no object lock"),
        (Lies { no_versions: true, ..Lies::default() }, "keeps no versions"),
        (Lies { condition_refused: true, ..Lies::default() }, "refuses conditional puts"),
        (Lies { condition_ignored: true, ..Lies::default() }, "ignores If-None-Match"),
    ];
    for (lies, words) in lacking {
        let (_fake, store, _dir) = lying(lies).await;
        let abilities = store.probe(Some(&key("canaries/x"))).await.unwrap();
        let missing: Vec<_> = abilities.missing().collect();
        assert!(missing.len() == 1 && missing[0].contains(words), "{words}: {missing:?}");
    }
    let (_fake, store, _dir) = lying(Lies { no_lock_api: true, ..Lies::default() }).await;
    put(&store, "a").await;
    assert_eq!(store.lock_of(&key("a"), None).await.unwrap_err().kind, Kind::Unsupported);
}

#[tokio::test]
async fn g1_no_lock_counts_where_the_bucket_has_no_object_lock() {
    let (fake, dir) = (FakeS3::start(Lies::default()), tempfile::tempdir().unwrap());
    let new = async || S3Store::connect(settings(&fake, &dir)).await.unwrap();
    let store = new().await;
    let asked = lock(&store, LockMode::Compliance, Span::days(1)).await;
    put(&store, "a").await;
    store.extend_lock(&key("a"), None, asked).await.unwrap();
    let questions = || fake.server().log().iter().filter(|line| line.contains("object-lock")).count();
    let before = questions();
    for _ in 0..3 {
        assert_eq!(store.clone().lock_of(&key("a"), None).await.unwrap(), Some(asked));
    }
    assert_eq!((store.enforcement().await.unwrap(), questions()), (Enforcement::Enforced, before), "asked once");

    let lockless = Lies { bucket_lock: Some((404, "ObjectLockConfigurationNotFoundError")), ..Lies::default() };
    fake.lie(lockless);
    let store = new().await;
    assert_eq!(store.lock_of(&key("a"), None).await.unwrap(), None);
    assert_eq!(store.enforcement().await.unwrap(), Enforcement::Absent);
    let longer = Lock { until: asked.until + Span::days(1), ..asked };
    let error = store.extend_lock(&key("a"), None, longer).await.unwrap_err();
    assert!(error.kind == Kind::Unsupported && error.to_string().contains("no object lock"), "{error}");
    let error = store.put_new(&key("b"), &sealed(b"x"), Some(asked)).await.unwrap_err();
    assert!(error.kind == Kind::Unsupported && error.to_string().contains("has none"), "{error}");

    // Where nobody may ask, or the server does not know the question, each object is believed.
    for (status, code) in [(403, "AccessDenied"), (501, "NotImplemented"), (405, "MethodNotAllowed")] {
        fake.lie(Lies { bucket_lock: Some((status, code)), ..Lies::default() });
        let store = new().await;
        assert_eq!(store.lock_of(&key("a"), None).await.unwrap(), Some(asked), "{code}");
        assert!(matches!(store.enforcement().await.unwrap(), Enforcement::Unknown(_)), "{code}");
    }
    // What may pass is no answer.
    fake.lie(Lies { bucket_lock: Some((503, "SlowDown")), ..Lies::default() });
    let store = new().await;
    assert_eq!(store.lock_of(&key("a"), None).await.unwrap_err().kind, Kind::Unreachable);
    fake.lie(lockless);
    assert_eq!(store.lock_of(&key("a"), None).await.unwrap(), None);
}

#[tokio::test]
async fn without_conditional_puts_a_put_looks_first() {
    let (fake, dir) =
        (FakeS3::start(Lies { condition_refused: true, ..Lies::default() }), tempfile::tempdir().unwrap());
    let error = {
        let store = S3Store::connect(settings(&fake, &dir)).await.unwrap();
        store.put_new(&key("a"), &sealed(b"x"), None).await.unwrap_err()
    };
    assert_eq!(error.kind, Kind::Unsupported, "{error}");
    let store = S3Store::connect(S3Settings { conditional_put: false, ..settings(&fake, &dir) }).await.unwrap();
    put(&store, "a/b").await;
    put(&store, "a").await;
    assert_eq!(store.put_new(&key("a"), &sealed(b"x"), None).await.unwrap(), Put::AlreadyThere);
    assert_eq!(fake.versions("a"), 1);
    let abilities = store.probe(Some(&key("canaries/x"))).await.unwrap();
    assert!(matches!(abilities.conditional_put, Ability::Unknown(_)), "{abilities:?}");
}

#[tokio::test]
async fn a_key_that_is_said_to_be_taken_says_nothing_of_what_is_there() {
    let (_fake, store, _dir) = lying(Lies { taken: true, ..Lies::default() }).await;
    assert_eq!(store.put_new(&key("a"), &sealed(b"x"), None).await.unwrap(), Put::AlreadyThere);
    assert!(store.get(&key("a"), None, None).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_cap_on_locks_is_a_refusal() {
    let (_fake, store, _dir) = lying(Lies { lock_cap: Some(Span::days(10)), ..Lies::default() }).await;
    let within = lock(&store, LockMode::Compliance, Span::days(9)).await;
    let beyond = lock(&store, LockMode::Compliance, Span::days(11)).await;
    let error = store.put_new(&key("a"), &sealed(b"x"), Some(beyond)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    store.put_new(&key("a"), &sealed(b"x"), Some(within)).await.unwrap();
    assert_eq!(store.extend_lock(&key("a"), None, beyond).await.unwrap_err().kind, Kind::Denied);
    assert_eq!(store.lock_of(&key("a"), None).await.unwrap(), Some(within));
}

#[tokio::test]
async fn ranges_are_right_or_an_error() {
    let (fake, store, _dir) = lying(Lies { ranges_ignored: true, ..Lies::default() }).await;
    let payload = sealed(b"0123456789");
    store.put_new(&key("a"), &payload, None).await.unwrap();
    let len = payload.bytes().len() as u64;
    for range in [0..1, 5..9, 5..u64::MAX, len - 1..len + 1] {
        let got = store.get(&key("a"), None, Some(range.clone())).await.unwrap();
        let end = usize::try_from(range.end.min(len)).unwrap();
        assert_eq!(got, payload.bytes().slice(usize::try_from(range.start).unwrap()..end), "{range:?}");
    }
    assert_eq!(store.get(&key("a"), None, Some(len..len + 1)).await.unwrap_err().kind, Kind::BadRange);
    fake.lie(Lies { ranges_shifted: true, ..Lies::default() });
    assert_eq!(store.get(&key("a"), None, Some(5..9)).await.unwrap_err().kind, Kind::Corrupt);
}

#[tokio::test]
async fn a_listing_that_never_ends_is_an_error() {
    let (_fake, store, _dir) = lying(Lies { pages_repeated: true, ..Lies::default() }).await;
    put(&store, "a").await;
    let error = store.list("", &mut |_| {}).await.unwrap_err();
    assert!(matches!(error.kind, Kind::Corrupt | Kind::Unsupported), "{error}");
}

/// The SDK takes an answer whose end is missing for a shorter one.
#[tokio::test]
async fn an_answer_that_is_cut_or_not_understood_is_never_taken_for_a_shorter_one() {
    let (fake, store, _dir) = lying(Lies::default()).await;
    for n in 0..8 {
        put(&store, &format!("a/{n}")).await;
    }
    let listing = |request: &Request| request.method == "GET" && request.target.contains("prefix=");
    // Now and then: asked for again.
    fake.server().plan(move |n, request| (n % 2 == 0 && listing(request)).then_some(Fault::Shortened));
    assert_eq!(keys(&store, "").await.len(), 8);
    assert_eq!(versions(&store, "").await.len(), 8);
    // Always.
    fake.server().plan(move |_, request| listing(request).then_some(Fault::Shortened));
    let error = store.list("", &mut |_| {}).await.unwrap_err();
    assert!(error.kind == Kind::Unreachable && error.to_string().contains("</ListBucketResult> is missing"), "{error}");
    let error = store.list_versions("", &mut |_| {}).await.unwrap_err();
    assert!(error.kind == Kind::Unreachable && error.to_string().contains("</ListVersionsResult> is mis"), "{error}");
    // What is no answer of S3 is not asked for again, and shown.
    for (body, words) in [
        ("<html><body>Welcome to nginx!</body></html>", "Welcome to nginx"),
        ("{\"status\":\"ok\"}", "status"),
        ("", "\"\""),
        ("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", "goes on"),
        ("<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>", "lacks its key"),
    ] {
        fake.server().plan(move |_, request| listing(request).then_some(Fault::Instead(body)));
        let error = store.list("", &mut |_| {}).await.unwrap_err();
        assert!(matches!(error.kind, Kind::Invalid | Kind::Corrupt) && error.to_string().contains(words), "{error}");
    }
}

/// What the store can't know is passed on as it is: the vault checks every byte against its hash.
#[tokio::test]
async fn other_bytes_and_missing_versions_are_passed_on() {
    let (fake, store, _dir) = lying(Lies::default()).await;
    let (old, new) = (sealed(b"old"), sealed(b"new"));
    store.put_new(&key("a"), &old, None).await.unwrap();
    store.hostile().overwrite(&key("a"), new.bytes().clone()).await.unwrap();
    fake.lie(Lies { old_bytes: true, ..Lies::default() });
    assert_eq!(store.get(&key("a"), None, None).await.unwrap(), old.bytes());
    fake.lie(Lies { foreign_bytes: true, ..Lies::default() });
    let got = store.get(&key("a"), None, None).await.unwrap();
    assert!(got.len() == new.bytes().len() && got != new.bytes());
    fake.lie(Lies { versions_dropped: true, ..Lies::default() });
    assert_eq!(versions(&store, "a").await.len(), 1);
}
