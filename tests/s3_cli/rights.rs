//! Rights that a writer's role should not have, granted one by one on the real server: `doctor` names each, and what it
//! tries leaves nothing behind but its own canaries.

use std::{collections::BTreeSet, fs};

use strongroom::store::ObjectStore;

use crate::{
    doctor::{check, of, statuses},
    fakes3::{FakeS3, Lies},
    place::Place,
    sandbox::Sandbox,
    seaweed::{Seaweed, write_private},
};

/// A right, where it is granted, and the check that must find it.
const RIGHTS: [(&str, &str, &str); 19] = [
    ("PutBucketPolicy", "", "set-policy"),
    ("PutLifecycleConfiguration", "", "set-lifecycle"),
    ("PutBucketVersioning", "", "set-versioning"),
    ("PutBucketObjectLockConfiguration", "", "set-object-lock"),
    ("PutBucketAcl", "", "set-acl"),
    ("PutEncryptionConfiguration", "", "set-encryption"),
    ("ListBucketVersions", "", "list-versions"),
    ("PutObject", "snapshots/w2/*", "put-other-snapshot"),
    ("PutObject", "members/*", "put-member"),
    ("PutObject", "keys/*", "put-key"),
    ("DeleteObject", "packs/w1/*", "hide-pack"),
    ("DeleteObject", "snapshots/w1/*", "hide-snapshot"),
    ("DeleteObjectVersion", "packs/w1/*", "delete-pack"),
    ("DeleteObjectVersion", "keys/*", "delete-key"),
    ("DeleteObjectVersion", "snapshots/w2/*", "delete-other-snapshot"),
    ("PutObjectRetention", "snapshots/w1/*", "lock-snapshot"),
    ("PutObjectLegalHold", "lists/w1/*", "hold-list"),
    ("GetObjectVersion", "packs/w1/*", "read-pack-version"),
    ("GetObject", "packs/w1/*", "read-pack"),
];

fn identity(at: usize) -> String {
    format!("w1-and-{at}")
}

async fn versions(place: &Place<'_>) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    let mut take = |entry: strongroom::store::VersionEntry| {
        all.insert((entry.key, entry.version.to_string()));
    };
    place.store("reader").await.list_versions("", &mut take).await.unwrap();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_right_that_was_granted_is_named_and_trying_it_harms_nothing() {
    let server = tokio::task::spawn_blocking(|| {
        let more: Vec<_> =
            RIGHTS.iter().enumerate().map(|(at, (right, below, _))| (identity(at), *right, *below)).collect();
        Seaweed::start_with(&more)
    })
    .await
    .unwrap();
    let place = Place::with_vault(&server);
    place.backup("orders", b"some bytes");
    let (out, safe) = (place.sandbox.path("w2"), place.sandbox.identity());
    let add = ["writer", "add", "w2", "-i", safe.to_str().unwrap(), "--out", out.to_str().unwrap()];
    place.run_as("admin", &add).ok();
    let before = versions(&place).await;
    for (at, (right, below, name)) in RIGHTS.iter().enumerate() {
        fs::copy(server.credentials(&identity(at)), place.sandbox.path("etc/writer-s3.toml")).unwrap();
        let mut command = place.sandbox.command();
        command.arg("--config").arg(place.sandbox.config()).args(["doctor", "--json"]);
        let run = place.finish(&mut command);
        assert_eq!((run.code, of(&statuses(&run), "allowed")), (5, vec![*name]), "{right} on {below}: {}", run.out());
        assert_eq!((of(&statuses(&run), "failed"), of(&statuses(&run), "could-not-run")), (vec![], vec![]), "{right}");
        assert!(check(&run, name).1.contains(&format!("s3:{right}")), "{right}: {:?}", check(&run, name));
    }
    let new: Vec<_> = versions(&place).await.into_iter().filter(|entry| !before.contains(entry)).collect();
    assert!(new.iter().all(|(key, _)| key.starts_with("canaries/w1/")), "{new:?}");
    assert!(place.restore("orders") == b"some bytes");
}

/// A server that ignores checksums keeps what it is sent: there nothing is sent but to the role's own canaries.
#[test]
fn nothing_is_put_elsewhere_where_it_would_stay() {
    let honest = Lies::default();
    for (lies, way) in [
        (Lies { checksums_ignored: true, ..honest }, Some("md5")),
        (Lies { checksums_ignored: true, md5_ignored: true, ..honest }, Some("signed")),
        (Lies { checksums_ignored: true, md5_ignored: true, signed_ignored: true, ..honest }, None),
    ] {
        let (fake, sandbox) = (FakeS3::start(lies), Sandbox::new());
        write_private(&sandbox.path("keys.toml"), "access_key_id = a\nsecret_access_key = b\n");
        let spec = format!("file:{}", sandbox.path("keys.toml").display());
        let run = |args: &[&str]| {
            let mut command = sandbox.command();
            command.args([
                "--endpoint",
                &fake.endpoint(),
                "--path-style",
                "--vault",
                "s3://vault",
                "--credentials",
                &spec,
            ]);
            sandbox.finish(command.args(args))
        };
        let out = sandbox.path("etc");
        let args = ["init", "--lock-by", "explicit", "--writer-credentials", &spec, "--out", out.to_str().unwrap()];
        let made = run(&args).ok();
        let config = fs::read_to_string(sandbox.config()).unwrap();
        match way {
            // What the server does verify is written down.
            Some(way) => assert!(config.contains(&format!("checksum = \"{way}\"\n")), "{config}"),
            None => {
                made.says("[store.unverified]");
            }
        }
        fs::rename(sandbox.path("etc/recovery.key"), sandbox.identity()).unwrap();
        sandbox.writer_with(&["backup", "--name", "orders", "--stdin"], b"some bytes").ok();
        for config in [true, false] {
            let before = fake.keys();
            // With the configuration, and as somebody whose configuration says what this server ignores.
            let told = if config {
                let mut command = sandbox.command();
                command.arg("--config").arg(sandbox.config()).args(["doctor", "--json"]);
                sandbox.finish(&mut command)
            } else {
                run(&["doctor", "--as", "pruner", "--json"])
            };
            let checks = statuses(&told);
            assert_ne!(told.code, 0, "this server lets everybody do everything");
            let expected = if config && way.is_some() { "ok" } else { "failed" };
            assert_eq!(checks["wrong-checksum"], expected, "{lies:?} {config}");
            assert_eq!(checks["put-key"], if way.is_some() { "allowed" } else { "could-not-run" }, "{lies:?}");
            let new: Vec<_> = fake.keys().into_iter().filter(|key| !before.contains(key)).collect();
            assert!(new.iter().all(|key| key.starts_with("canaries/")), "{lies:?}: {new:?}");
        }
    }
}
