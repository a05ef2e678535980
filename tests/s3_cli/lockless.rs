//! A bucket with versions and without object lock, on a server that takes and tells the retention of objects all the same: no lock
//! counts there, whoever asks, and what such a copy lost is put back.

use std::fs;

use crate::{
    place::{Place, server},
    sandbox::{Run, Sandbox, noise},
};

/// The options of the other place.
fn other(place: &Place<'_>, identity: &str, option: &str) -> Vec<String> {
    let spec = format!("file:{}", place.server.credentials(identity).display());
    let (url, endpoint) = (place.url(), place.server.endpoint());
    let names = ["", "-credentials", "-endpoint"].map(|end| format!("--{option}{end}"));
    let mut all: Vec<String> =
        names.into_iter().zip([url, spec, endpoint]).flat_map(|(name, value)| [name, value]).collect();
    all.push(format!("--{option}-path-style"));
    all
}

fn strings<'a>(args: &'a [&'a str], more: &'a [String]) -> Vec<&'a str> {
    args.iter().copied().chain(more.iter().map(String::as_str)).collect()
}

fn codes(run: &Run) -> Vec<String> {
    let all = run.json()["findings"].as_array().unwrap().clone();
    all.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// Deletes every version of the last object below a prefix, as whoever may delete there can. Returns its key.
fn lose(copy: &Place<'_>, prefix: &str) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let raw = copy.raw("admin");
        let below = format!("prod/{prefix}");
        let listed = raw.client().list_object_versions().bucket(&copy.bucket).prefix(&below).send().await.unwrap();
        let key = listed.versions().last().unwrap().key().unwrap().to_owned();
        for version in listed.versions().iter().filter(|version| version.key() == Some(key.as_str())) {
            let request = raw.client().delete_object().bucket(&copy.bucket).key(&key);
            request.version_id(version.version_id().unwrap()).send().await.unwrap();
        }
        key["prod/".len()..].to_owned()
    })
}

#[test]
fn g1_no_lock_counts_in_a_bucket_without_object_lock() {
    let first = Place::with_explicit_vault(server());
    first.backup("orders", &noise(2 << 20, 1));
    let copy = Place::of(server(), Sandbox::new(), format!("{}-lockless", first.bucket));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let raw = copy.raw("admin");
        raw.client().create_bucket().bucket(&copy.bucket).send().await.unwrap();
        copy.store("admin").await.admin().enable_versioning().await.unwrap();
    });
    let (to, from) = (other(&copy, "copier", "to"), other(&first, "reader", "from"));
    let replicate = |more: &[&str]| first.run_as("reader", &strings(&[&["replicate", "--json"], more].concat(), &to));
    let verify = || copy.run_as("auditor", &["verify", "--depth", "read", "--json"]).code(5);
    let repair = || copy.run_as("copier", &strings(&["repair", "--json"], &from));
    replicate(&[]).code(5);
    let told = codes(&replicate(&["--locks", "as-possible"]).ok());
    assert!(told.contains(&"copy.as-possible".to_owned()), "{told:?}");
    let seen = verify();
    for code in ["bucket.lockless", "lock.missing"] {
        assert!(codes(&seen).contains(&code.to_owned()), "{}", seen.out());
    }
    assert!(seen.out().contains("what it answers about retention is not enforced"), "{}", seen.out());

    // A repair, which extends locks, makes nothing of that better: also where the retention of objects is told from then on.
    repair().code(5);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let raw = copy.raw("admin");
        let listed = raw.client().list_objects_v2().bucket(&copy.bucket).send().await.unwrap();
        let until = aws_sdk_s3::primitives::DateTime::from_secs(jiff::Timestamp::now().as_second() + 90 * 86_400);
        for object in listed.contents() {
            let retention = aws_sdk_s3::types::ObjectLockRetention::builder()
                .mode(aws_sdk_s3::types::ObjectLockRetentionMode::Compliance)
                .retain_until_date(until);
            let request = raw.client().put_object_retention().bucket(&copy.bucket).key(object.key().unwrap());
            request.retention(retention.build()).send().await.expect("this server takes it");
        }
    });
    let seen = verify();
    assert!(codes(&seen).contains(&"lock.missing".to_owned()), "{}", seen.out());
    copy.run_as("keeper", &["renew"]).code(5);

    // What is lost there comes back, and it is said that it is not locked.
    for prefix in ["packs/", "snapshots/", "evidence/", "vault.json"] {
        let key = lose(&copy, prefix);
        let run = repair().code(5);
        assert!(run.out().contains(&key) && codes(&run).contains(&"repair.mended".to_owned()), "{key}: {}", run.out());
        let seen = verify();
        assert!(!codes(&seen).iter().any(|code| code.contains("missing") && code != "lock.missing"), "{}", seen.out());
    }
    assert_eq!(copy.restore_from(&first), noise(2 << 20, 1));

    // With nothing new it is told again, and only who allows it may leave it at that.
    let told = replicate(&[]).code(5);
    assert!(codes(&told).contains(&"copy.as-possible".to_owned()), "{}", told.out());
    let told = replicate(&["--locks", "as-possible"]).ok();
    assert!(codes(&told).contains(&"copy.as-possible".to_owned()), "{}", told.out());
    replicate(&[]).code(5);
}

impl Place<'_> {
    /// Restores from here with the identity of another place's vault.
    fn restore_from(&self, first: &Place<'_>) -> Vec<u8> {
        fs::copy(first.sandbox.identity(), self.sandbox.identity()).unwrap();
        self.restore("orders")
    }
}
