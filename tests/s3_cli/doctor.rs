//! `doctor` through the program, with the credentials of each role, and with some that may too much.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use serde_json::Value;

use crate::{
    fakes3::{FakeS3, Lies},
    place::{Place, server},
    sandbox::{Run, Sandbox},
    seaweed::write_private,
};

/// The status of each check, by its name.
pub fn statuses(run: &Run) -> BTreeMap<String, String> {
    let document = run.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = document["result"]["checks"].as_array().unwrap();
    checks.iter().map(|check| (text(&check["name"]), text(&check["status"]))).collect()
}

/// The names of the checks of this status.
pub fn of<'a>(statuses: &'a BTreeMap<String, String>, status: &str) -> Vec<&'a str> {
    statuses.iter().filter(|(_, s)| *s == status).map(|(name, _)| name.as_str()).collect()
}

fn doctor(place: &Place<'_>, args: &[&str]) -> Run {
    let mut command = place.sandbox.command();
    command.arg("--config").arg(place.sandbox.config()).args(["doctor", "--json"]).args(args);
    place.finish(&mut command)
}

fn findings(run: &Run) -> Vec<String> {
    run.json()["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap().to_owned()).collect()
}

/// What a writer tries and is refused.
const TRIED: [&str; 46] = [
    "shorten",
    "downgrade",
    "bypass-retention",
    "legal-hold",
    "delete-marker",
    "delete-version",
    "bypass-delete",
    "delete-pack",
    "lock-pack",
    "hold-pack",
    "delete-key",
    "lock-key",
    "delete-evidence",
    "lock-evidence",
    "lock-beyond-cap",
    "read-pack",
    "read-other-pack",
    "read-key",
    "list-versions",
    "put-vault-json",
    "put-key",
    "put-member",
    "put-other-evidence",
    "put-other-pack",
    "put-other-index",
    "put-other-list",
    "put-other-journal",
    "delete-journal",
    "read-journal-version",
    "put-other-snapshot",
    "put-other-canary",
    "set-versioning",
    "set-object-lock",
    "set-policy",
    "set-lifecycle",
    "set-acl",
    "set-ownership",
    "set-public-access",
    "set-replication",
    "set-encryption",
    "hide-pack",
    "lock-snapshot",
    "acl-pack",
    "read-pack-version",
    "delete-vault-json",
    "delete-other-pack",
];

#[test]
fn the_writers_role_is_refused_all_that_it_tries() {
    let place = Place::with_vault(server());
    place.backup("orders", b"some bytes");
    let run = doctor(&place, &[]).ok();
    let checks = statuses(&run);
    assert_eq!((of(&checks, "allowed"), of(&checks, "failed")), (vec![], vec![]));
    assert_eq!(of(&checks, "could-not-run"), [""; 0]);
    for name in TRIED {
        assert_eq!(checks.get(name).map(String::as_str), Some("refused"), "{name}");
    }
    for name in [
        "vault",
        "clock",
        "versioning",
        "object-lock",
        "default-retention",
        "canary",
        "canary-locked",
        "overwrite",
        "canary-survives",
        "wrong-checksum",
        "put-journal",
        "lock-proof",
        "writer-key-file",
        "credentials-file",
        "no-identity-here",
    ] {
        assert_eq!(checks.get(name).map(String::as_str), Some("ok"), "{name}");
    }
    let result = &run.json()["result"];
    assert_eq!((result["role"].as_str(), result["lock_proof"].is_null()), (Some("writer"), true));
    assert!(result["lock_proved_at"].is_string() && result["locked_until"].is_string(), "{result}");
    assert!((result["implied_copies"].as_f64().unwrap() - 65.0 / 30.0).abs() < 0.01, "{result}");
    assert_eq!(findings(&run), ["drill.none"]);
    // It left canaries, and took nothing away.
    assert!(place.restore("orders") == b"some bytes");
    place.run_as("auditor", &["verify"]).ok();
    let text = doctor(&place, &["-q"]);
    assert_eq!(text.code, 0);
}

#[test]
fn readers_and_keepers_are_refused_what_is_not_theirs() {
    let place = Place::with_vault(server());
    for who in ["reader", "keeper", "driller", "auditor"] {
        let run = place.run_as(who, &["doctor", "--as", who, "--json"]).ok();
        let checks = statuses(&run);
        assert_eq!((of(&checks, "allowed"), of(&checks, "failed")), (vec![], vec![]), "{who}");
        assert_eq!(of(&checks, "could-not-run"), [""; 0], "{who}");
        assert_eq!(checks.contains_key("lock-pack"), who != "keeper");
        for name in ["delete-pack", "hold-pack", "put-pack", "put-snapshot", "put-vault-json", "set-object-lock"] {
            assert_eq!(checks[name], "refused", "{who} {name}");
        }
    }
}

#[test]
fn who_may_delete_proves_that_locks_hold() {
    let place = Place::with_vault(server());
    for (who, role) in [("pruner", "pruner"), ("admin", "owner")] {
        let run = place.run_as(who, &["doctor", "--as", role, "--json"]).ok();
        let checks = statuses(&run);
        assert_eq!((of(&checks, "allowed"), of(&checks, "failed")), (vec![], vec![]), "{who}");
        for name in ["canary-delete-refused", "canary-survives", "control-deleted"] {
            assert_eq!(checks[name], "ok", "{who} {name}");
        }
        let proof = &run.json()["result"]["lock_proof"];
        assert!(proof["canary"].as_str().unwrap().starts_with(&format!("canaries/{role}/")), "{proof}");
    }
}

#[test]
fn a_role_that_may_too_much_is_told_which_permissions_to_lose() {
    let place = Place::with_vault(server());
    place.backup("orders", b"some bytes");
    let give =
        |identity: &str| fs::copy(server().credentials(identity), place.sandbox.path("etc/writer-s3.toml")).unwrap();
    // The writer of a vault whose locks are explicit, where the bucket's default is to lock.
    give("w1-explicit");
    let run = doctor(&place, &[]).code(5);
    let allowed = statuses(&run);
    let locks = ["lock-beyond-cap", "lock-index", "lock-journal", "lock-list", "lock-pack", "lock-snapshot"];
    assert_eq!(of(&allowed, "allowed"), locks);
    assert!(findings(&run).contains(&"cap.unenforced".to_owned()));
    // A reader's credentials put nothing, so a writer's checks can't run, and that is no success.
    give("reader");
    let run = doctor(&place, &[]).code(5);
    let checks = statuses(&run);
    for name in ["list-versions", "read-key", "read-key-version", "read-other-pack", "read-pack", "read-pack-version"] {
        assert_eq!(checks[name], "allowed", "{name}");
    }
    // And without a canary nothing is put elsewhere.
    assert_eq!(checks["put-vault-json"], "could-not-run");
    assert_eq!((checks["canary"].as_str(), checks["wrong-checksum"].as_str()), ("could-not-run", "could-not-run"));
    // The owner's.
    give("admin");
    let run = doctor(&place, &[]).code(5);
    let checks = statuses(&run);
    for name in [
        "delete-marker",
        "delete-pack",
        "lock-pack",
        "legal-hold",
        "read-pack",
        "read-key",
        "list-versions",
        "put-vault-json",
        "put-other-pack",
        "set-versioning",
        "set-object-lock",
    ] {
        assert_eq!(checks[name], "allowed", "{name}");
    }
    // The lock holds all the same.
    for name in ["shorten", "downgrade", "delete-version", "bypass-delete"] {
        assert_eq!(checks[name], "refused", "{name}");
    }
    assert_eq!(checks["canary-survives"], "ok");
    let text = run.json()["result"]["checks"].to_string();
    for permission in ["s3:DeleteObjectVersion", "s3:PutBucketVersioning", "s3:ListBucketVersions"] {
        assert!(text.contains(permission), "{permission}");
    }
    // And nothing was changed by trying.
    assert!(place.restore("orders") == b"some bytes");
    place.run_as("auditor", &["verify", "--depth", "read"]).ok();
}

#[test]
fn a_cap_that_the_store_can_t_hold_is_told() {
    let place = Place::with_explicit_vault(server());
    let run = doctor(&place, &[]).code(5);
    assert_eq!(of(&statuses(&run), "allowed"), ["lock-beyond-cap"]);
    assert!(findings(&run).contains(&"cap.unenforced".to_owned()));
    assert!(run.json()["result"]["checks"].to_string().contains("bucket-default"));
}

#[test]
fn files_that_others_can_read_and_identities_are_found() {
    let place = Place::with_vault(server());
    let chmod =
        |name: &str, mode| fs::set_permissions(place.sandbox.path(name), fs::Permissions::from_mode(mode)).unwrap();
    chmod("etc", 0o755);
    fs::copy(place.sandbox.identity(), place.sandbox.path("etc/forgotten.txt")).unwrap();
    let run = doctor(&place, &[]).code(5);
    assert_eq!(of(&statuses(&run), "failed"), ["no-identity-here"]);
    fs::remove_file(place.sandbox.path("etc/forgotten.txt")).unwrap();
    chmod("etc/strongroom.toml", 0o666);
    assert_eq!(of(&statuses(&doctor(&place, &[]).code(5)), "failed"), ["config-file"]);
    chmod("etc/strongroom.toml", 0o600);
    // What can't be used for it can't be tried; what was seen before is told all the same.
    chmod("etc/writer.key", 0o640);
    let run = doctor(&place, &[]).code(2);
    assert_eq!(of(&statuses(&run), "failed"), ["writer-key-file"]);
    chmod("etc/writer.key", 0o600);
    chmod("etc/writer-s3.toml", 0o604);
    let run = doctor(&place, &[]).code(2);
    assert_eq!(of(&statuses(&run), "failed"), ["credentials-file"]);
    chmod("etc/writer-s3.toml", 0o600);
    doctor(&place, &[]).ok();
}

#[test]
fn a_promise_that_the_bucket_does_not_keep_is_found() {
    let place = Place::with_vault(server());
    let config = fs::read_to_string(place.sandbox.config()).unwrap();
    fs::write(place.sandbox.config(), config.replace("keep = \"35d\"", "keep = \"64d\"")).unwrap();
    assert_eq!(of(&statuses(&doctor(&place, &[]).code(5)), "failed"), ["default-retention"]);
}

#[test]
fn a_store_that_can_t_be_asked_is_no_success() {
    let place = Place::with_vault(server());
    let run = place.finish(place.command("w1").args(["doctor", "--json", "--credentials", &place.forged()]));
    assert_eq!(of(&statuses(&run.code(1)), "could-not-run"), ["store"]);
    let config = fs::read_to_string(place.sandbox.config()).unwrap();
    fs::write(place.sandbox.config(), config.replace(&server().endpoint(), "http://127.0.0.1:9")).unwrap();
    let run = doctor(&place, &[]).code(75);
    assert_eq!(of(&statuses(&run), "could-not-run"), ["store"]);
}

/// A vault on a server that does not lie yet and lets everybody do everything.
fn lying() -> (FakeS3, Sandbox) {
    let (fake, sandbox) = (FakeS3::start(Lies::default()), Sandbox::new());
    write_private(&sandbox.path("owner.toml"), "access_key_id = a\nsecret_access_key = b\n");
    let out = sandbox.path("etc");
    on(&fake, &sandbox, &["init", "--lock-by", "explicit", "--out", out.to_str().unwrap()]).ok();
    (fake, sandbox)
}

fn on(fake: &FakeS3, sandbox: &Sandbox, args: &[&str]) -> Run {
    let mut command = sandbox.command();
    command.args(["--endpoint", &fake.endpoint(), "--path-style", "--vault", "s3://vault/prod"]);
    command.arg("--credentials").arg(format!("file:{}", sandbox.path("owner.toml").display()));
    sandbox.finish(command.args(args))
}

/// The status and the words of one check.
pub fn check(run: &Run, name: &str) -> (String, String) {
    let document = run.json();
    let checks = document["result"]["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap();
    (check["status"].as_str().unwrap().to_owned(), check["detail"].as_str().unwrap().to_owned())
}

#[test]
fn rules_that_delete_by_age_are_found() {
    let (fake, sandbox) = lying();
    for (rule, status, words) in [
        ("<ID>a</ID><Status>Enabled</Status><Filter/><Expiration><Days>1</Days></Expiration>", "failed", "by age"),
        (
            "<ID>b</ID><Status>Enabled</Status><Filter/><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>\
             </NoncurrentVersionExpiration>",
            "failed",
            "old versions",
        ),
        (
            "<ID>c</ID><Status>Enabled</Status><Filter/><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass>\
             </Transition>",
            "failed",
            "not be readable at once",
        ),
        ("<ID>d</ID><Status>Disabled</Status><Filter/><Expiration><Days>1</Days></Expiration>", "ok", "no rule"),
        (
            "<ID>e</ID><Status>Enabled</Status><Filter/><AbortIncompleteMultipartUpload><DaysAfterInitiation>3\
             </DaysAfterInitiation></AbortIncompleteMultipartUpload>",
            "ok",
            "no rule",
        ),
    ] {
        fake.lie(Lies { rule: Some(rule), ..Lies::default() });
        let run = on(&fake, &sandbox, &["doctor", "--as", "owner", "--json"]);
        let told = check(&run, "lifecycle");
        assert!(told.0 == status && told.1.contains(words), "{rule}: {told:?}");
        assert_eq!(run.code, if status == "ok" { 0 } else { 5 }, "{rule}");
    }
}

#[test]
fn a_key_of_another_account_is_found() {
    let (fake, sandbox) = lying();
    let (ours, theirs) = ("arn:aws:kms:eu-west-1:111122223333:key/0d1e", "arn:aws:kms:eu-west-1:999988887777:key/0d1e");
    for (key, status, words) in [
        (ours, "ok", "the bucket's own account 111122223333"),
        (theirs, "failed", "account 999988887777, which is not the bucket's"),
        ("alias/mine", "ok", "of the bucket's account"),
    ] {
        fake.lie(Lies { key: Some(key), account: Some("111122223333"), ..Lies::default() });
        let run = on(&fake, &sandbox, &["doctor", "--as", "owner", "--json"]);
        let told = check(&run, "encryption");
        assert!(told.0 == status && told.1.contains(words), "{key}: {told:?}");
        assert_eq!(run.code, if status == "ok" { 0 } else { 5 }, "{key}");
    }
}

/// The real server keeps such rules: every role that looks at the bucket sees it, and none of them may put it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_a_real_bucket_is_found_and_nobody_may_change_it() {
    use aws_sdk_s3::types::{
        BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    };
    let place = tokio::task::spawn_blocking(|| Place::with_vault(server())).await.unwrap();
    let rule = LifecycleRule::builder()
        .id("tidy")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("elsewhere/").build())
        .expiration(LifecycleExpiration::builder().days(3650).build())
        .build()
        .unwrap();
    let rules = BucketLifecycleConfiguration::builder().rules(rule).build().unwrap();
    let admin = place.raw("admin");
    let put = admin.client().put_bucket_lifecycle_configuration().bucket(&place.bucket).lifecycle_configuration(rules);
    put.send().await.unwrap();
    let verified = place.run_as("reader", &["verify", "--json"]);
    let found = verified.json()["findings"].to_string();
    assert!(found.contains("bucket.lifecycle") && found.contains("tidy"), "{found}");
    assert_eq!(verified.code, 5);
    for (who, role) in [("w1", "writer"), ("reader", "reader"), ("pruner", "pruner")] {
        let run = place.run_as(who, &["doctor", "--as", role, "--name", "w1", "--json"]);
        let told = check(&run, "lifecycle");
        assert!(told.0 == "failed" && told.1.contains("\"tidy\" hides or deletes objects by age"), "{who}: {told:?}");
        assert_eq!((run.code, check(&run, "set-lifecycle").0.as_str()), (5, "refused"), "{who}");
    }
}

/// What a server that lies is caught at, by who may delete.
#[test]
fn a_store_that_lies_about_its_locks_is_found() {
    let lies = Lies::default();
    for (lies, code, failed) in [
        (lies, 0, &[][..]),
        (Lies { locks_not_enforced: true, ..lies }, 5, &["canary-delete-refused", "canary-survives"]),
        (Lies { locks_forgotten: true, ..lies }, 5, &["canary-locked"]),
        (Lies { condition_ignored: true, ..lies }, 5, &["taken-name-refused"]),
        (Lies { no_lock_api: true, ..lies }, 5, &["object-lock", "canary-locked"]),
        (Lies { no_versions: true, ..lies }, 5, &["canary", "versioning"]),
        (Lies { checksums_ignored: true, ..lies }, 5, &["wrong-checksum"]),
    ] {
        let (fake, sandbox) = lying();
        fake.lie(lies);
        // As a pruner every put elsewhere is tried, too: this server lets everybody do everything.
        let role = if lies.checksums_ignored { "pruner" } else { "owner" };
        let run = on(&fake, &sandbox, &["doctor", "--as", role, "--json"]).code(code);
        let checks = statuses(&run);
        for name in failed {
            assert!(matches!(checks[*name].as_str(), "failed"), "{lies:?}: {name} {checks:?}");
        }
        if lies.locks_not_enforced {
            for name in ["shorten", "downgrade", "delete-version"] {
                assert_eq!(checks[name], "allowed", "{name}");
            }
        }
    }
}

#[test]
fn a_proof_is_signed_and_kept_and_the_writer_is_shown_its_age() {
    let place = Place::with_vault(server());
    let proved = |run: &Run| run.json()["result"]["lock_proved_at"].as_str().unwrap().to_owned();
    let first = proved(&doctor(&place, &[]).ok());
    let identity = place.sandbox.identity();
    let out = place.sandbox.path("pruner");
    let spec = format!("file:{}", server().credentials("pruner").display());
    let mut add = place.command("admin");
    add.args(["member", "add", "pruner", "--role", "pruner", "--member-credentials", &spec, "--out"]).arg(&out);
    place.finish(add.arg("-i").arg(&identity)).ok();
    let mut prune = place.sandbox.command();
    let run = place.finish(prune.arg("--config").arg(out.join("strongroom.toml")).args(["doctor", "--json"])).ok();
    let result = &run.json()["result"];
    assert_eq!(result["role"], "pruner");
    assert!(result["evidence"].as_str().unwrap().starts_with("evidence/pruner/"), "{result}");
    assert!(findings(&run).iter().all(|code| code == "drill.none"), "{:?}", findings(&run));
    let second = doctor(&place, &[]).ok();
    assert!(proved(&second) >= first, "{first} {}", proved(&second));
    assert!(second.out().contains("pruner proved"), "{}", second.out());

    // The owner signs with the root key; with no key at all it is said that nothing was kept.
    let owner = ["doctor", "--as", "owner", "--json", "-i", identity.to_str().unwrap()];
    let run = place.run_as("admin", &owner).ok();
    assert!(run.json()["result"]["evidence"].as_str().unwrap().starts_with("evidence/owner/"));
    let run = place.run_as("admin", &["doctor", "--as", "owner", "--json"]).ok();
    assert!(run.json()["result"]["evidence"].is_null());
    assert!(findings(&run).contains(&"evidence.unsigned".to_owned()));
}
