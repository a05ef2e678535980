//! `init` on buckets.

use std::fs;

use aws_sdk_s3::types::{
    BucketVersioningStatus, DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode,
    ObjectLockRule, VersioningConfiguration,
};
use strongroom::model::{LockMode, Span};

use crate::{
    fakes3::{FakeS3, Lies},
    place::{Place, server},
    sandbox::Sandbox,
    seaweed::write_private,
};

#[tokio::test(flavor = "multi_thread")]
async fn it_makes_the_bucket_and_proves_its_locks() {
    let place = tokio::task::spawn_blocking(|| Place::empty(server())).await.unwrap();
    let document = place.init(&["--create-bucket", "--keep", "35d", "--json"]).ok().json();
    let result = &document["result"];
    assert_eq!((result["keep"].as_str(), result["window"].as_str()), (Some("35d"), Some("30d")));
    let copies = result["implied_copies"].as_f64().unwrap();
    assert!((copies - 65.0 / 30.0).abs() < 0.01 && result["extends"] == false, "{result}");
    let checks: Vec<_> = result["lock_proof"]["checks"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    let names = ["canary-locked", "taken-name-refused", "canary-delete-refused", "canary-survives", "control-deleted"];
    assert_eq!(checks, names);
    let store = place.store("admin").await;
    let default = store.admin().lock().await.unwrap().unwrap().default;
    assert_eq!(default, Some((LockMode::Compliance, Span::days(65))));
    for object in [&result["evidence"], &result["lock_proof"]["canary"]] {
        let key = object.as_str().unwrap().parse().unwrap();
        assert!(strongroom::store::ObjectStore::head(&store, &key, None).await.is_ok(), "{key} is kept");
    }
    let config = fs::read_to_string(place.sandbox.config()).unwrap();
    for line in [
        "credentials = \"file:writer-s3.toml\"".to_owned(),
        format!("endpoint = \"{}\"", server().endpoint()),
        "path_style = true".to_owned(),
    ] {
        assert!(config.contains(&line), "{line} is missing in {config}");
    }
    assert!(!config.contains("admin"), "the owner's credentials are not the writer's: {config}");
    let kit = fs::read_to_string(place.sandbox.path("etc/recovery-kit.txt")).unwrap();
    assert!(kit.contains(&server().endpoint()) && kit.contains("--path-style"), "{kit}");

    // A bucket that is there is not made again, whatever its owner meant by it.
    let admin = place.store("admin").await;
    admin.admin().set_default_lock(LockMode::Compliance, Span::days(400)).await.unwrap();
    let late = place.sandbox.path("late");
    let args = ["init", "--create-bucket", "--keep", "1d", "--out", late.to_str().unwrap()];
    place.run_as("admin", &args).code(2).says("leave --create-bucket out");
    assert_eq!(admin.admin().lock().await.unwrap().unwrap().default, Some((LockMode::Compliance, Span::days(400))));

    // Hidden is not gone: a second vault would be taken for the first.
    place.raw("admin").hide("vault.json").await;
    let again = place.sandbox.path("again");
    let out = again.to_str().unwrap();
    place.run_as("admin", &["init", "--out", out]).code(2).says("already a vault");
    place.run_as("admin", &["init", "--out", out, "--create-bucket"]).code(2).says("a bucket of this name already");
    assert!(!again.join("recovery.key").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_falls_short_is_refused_with_what_mends_it() {
    let place = tokio::task::spawn_blocking(|| Place::empty(server())).await.unwrap();
    place.init(&[]).code(10).says("--create-bucket");
    let raw = place.raw("admin");
    let bucket = || place.bucket.as_str();
    raw.client().create_bucket().bucket(bucket()).send().await.unwrap();
    let lockless = place.init(&[]).code(5).says("no object lock").says("aws s3api put-bucket-versioning");
    let endpoint = format!("--endpoint-url '{}'", server().endpoint());
    assert!(lockless.stderr.contains(&endpoint) && lockless.stderr.contains("\"Days\":65"), "{}", lockless.stderr);

    let versions = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    raw.client().put_bucket_versioning().bucket(bucket()).versioning_configuration(versions).send().await.unwrap();
    let default = |mode, days: Option<i32>| {
        let retention = days.map(|days| DefaultRetention::builder().mode(mode).days(days).build());
        let rule = retention.map(|retention| ObjectLockRule::builder().default_retention(retention).build());
        let lock = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled);
        raw.client()
            .put_object_lock_configuration()
            .bucket(bucket())
            .object_lock_configuration(lock.set_rule(rule).build())
    };
    let (compliance, governance) = (ObjectLockRetentionMode::Compliance, ObjectLockRetentionMode::Governance);
    for (mode, days, words) in [
        (compliance.clone(), None, "locks nothing by default"),
        (governance, Some(65), "in governance mode"),
        (compliance.clone(), Some(36), "37d at least"),
    ] {
        default(mode, days).send().await.unwrap();
        place.init(&[]).code(5).says(words).says("aws s3api put-object-lock-configuration --bucket vault-cli-");
    }
    assert!(!place.sandbox.path("etc/recovery.key").exists());
    let mut objects = 0;
    strongroom::store::ObjectStore::list(&place.store("admin").await, "", &mut |_| objects += 1).await.unwrap();
    assert_eq!(objects, 0, "a refused bucket stays as it was");

    // The window is what the bucket really gives.
    default(compliance, Some(40)).send().await.unwrap();
    let run = place.init(&["--json"]).ok();
    let result = &run.json()["result"];
    assert_eq!((result["window"].as_str(), result["implied_copies"].as_f64()), (Some("5d"), Some(8.0)));
}

#[test]
fn options_of_buckets_do_not_fit_directories() {
    let place = Place::empty(server());
    for args in [&["--create-bucket"][..], &["--writer-credentials", "file:x"]] {
        place.sandbox.init(args).code(2).says("a directory is not a bucket");
    }
    place.sandbox.init(&["--writer-credentials", "nonsense"]).code(2).says("profile:NAME");
}

#[test]
fn a_server_that_does_not_hold_its_locks_is_refused_by_name_of_the_check() {
    let honest = Lies::default();
    for (lies, code, words) in [
        (honest, 0, ""),
        (Lies { locks_not_enforced: true, ..honest }, 5, "\"canary-delete-refused\""),
        (Lies { locks_forgotten: true, ..honest }, 5, "\"canary-locked\""),
        (Lies { condition_ignored: true, ..honest }, 5, "\"taken-name-refused\""),
        (Lies { foreign_bytes: true, ..honest }, 5, "\"canary-survives\""),
        (Lies { no_versions: true, ..honest }, 5, "keeps no versions"),
        (Lies { no_lock_api: true, ..honest }, 5, "no object lock"),
        (Lies { condition_refused: true, ..honest }, 5, "--no-conditional-put"),
    ] {
        let (fake, sandbox) = (FakeS3::start(lies), Sandbox::new());
        let keys = sandbox.path("keys");
        write_private(&keys, "access_key_id = a\nsecret_access_key = b\n");
        let mut command = sandbox.command();
        command.args(["init", "--vault", "s3://vault", "--endpoint", &fake.endpoint(), "--path-style", "--out", "out"]);
        command.args(["--lock-by", "explicit", "--credentials", &format!("file:{}", keys.display())]);
        sandbox.finish(&mut command).code(code).says(words);
        let left = sandbox.path("home/out/recovery.key").exists();
        assert_eq!((left, fake.versions("vault.json")), (code == 0, usize::from(code == 0)), "{lies:?}");
    }
}

#[test]
fn a_server_without_conditional_puts_can_hold_a_vault_once_that_is_said() {
    let lacking =
        [Lies { condition_refused: true, ..Lies::default() }, Lies { condition_ignored: true, ..Lies::default() }];
    for lies in lacking {
        let (fake, sandbox) = (FakeS3::start(lies), Sandbox::new());
        let keys = sandbox.path("keys");
        write_private(&keys, "access_key_id = a\nsecret_access_key = b\n");
        let spec = format!("file:{}", keys.display());
        let init = |more: &[&str]| {
            let mut command = sandbox.command();
            command.args(["init", "--vault", "s3://vault", "--endpoint", &fake.endpoint(), "--path-style", "--out"]);
            command.arg(sandbox.path("etc")).args(["--lock-by", "explicit", "--writer-credentials", &spec]);
            sandbox.finish(command.args(["--credentials", &spec, "--checksum", "sha256"]).args(more))
        };
        let refused = init(&[]).says("--no-conditional-put");
        assert!(refused.code != 0 && fake.versions("vault.json") == 0);
        init(&["--no-conditional-put"]).ok().says("[store.no-conditional-put]");
        let config = fs::read_to_string(sandbox.config()).unwrap();
        assert!(config.contains("conditional_put = false\n") && config.contains("checksum = \"sha256\"\n"), "{config}");
        fs::rename(sandbox.path("etc/recovery.key"), sandbox.identity()).unwrap();
        // The writer's configuration says it too, so it works from the start; a second put of a name is still none.
        for _ in 0..2 {
            sandbox.writer_with(&["backup", "--name", "orders", "--stdin"], b"some bytes").ok();
        }
        let sent = fake.server().log();
        assert!(sent.iter().any(|line| line.starts_with("PUT /vault/snapshots/writer/")), "{sent:?}");
        let mut command = sandbox.command();
        command.args(["--vault", "s3://vault", "--endpoint", &fake.endpoint(), "--path-style", "--credentials", &spec]);
        command.args(["restore", "latest", "--source", "orders", "--to", "-", "-i"]).arg(sandbox.identity());
        assert_eq!(sandbox.finish(&mut command).ok().stdout, b"some bytes");
    }
}
