//! What the policies come to, by the rules of IAM: a denial beats everything, and what nobody allows is denied.

use std::collections::BTreeMap;

use serde_json::Value;
use strongroom::{
    model::{LockBy, LockMode},
    ops::policy::{PolicyRequest, PolicyRole, Provider},
};

use crate::{document, request, texts};

/// What is known of a request besides its action and its ARN.
type Context<'a> = BTreeMap<&'a str, &'a str>;

/// Whether `text` is `pattern`, in which `*` stands for anything.
fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => {
            text.strip_prefix(head).is_some_and(|rest| (0..=rest.len()).any(|at| is_like(tail, &rest[at..])))
        }
    }
}

fn holds(operator: &str, value: Option<&str>, wanted: &[&str]) -> bool {
    let any = |test: &dyn Fn(&str, &str) -> bool| value.is_some_and(|value| wanted.iter().any(|w| test(value, w)));
    let number = |text: &str| text.parse::<f64>().unwrap();
    match operator {
        "Null" => wanted == [if value.is_none() { "true" } else { "false" }],
        "Bool" | "StringEquals" => any(&|value, wanted| value == wanted),
        "BoolIfExists" => value.is_none() || any(&|value, wanted| value == wanted),
        // Negations hold where the key is absent.
        "StringNotEquals" => !any(&|value, wanted| value == wanted),
        "ArnNotLike" => !any(&|value, wanted| is_like(wanted, value)),
        "NumericGreaterThan" => any(&|value, wanted| number(value) > number(wanted)),
        "NumericLessThan" => any(&|value, wanted| number(value) < number(wanted)),
        _ => panic!("{operator}"),
    }
}

fn applies(statement: &Value, action: &str, arn: &str, context: &Context<'_>) -> bool {
    let conditions = statement["Condition"].as_object().into_iter().flatten();
    texts(&statement["Action"]).iter().any(|pattern| is_like(pattern, action))
        && texts(&statement["Resource"]).iter().any(|pattern| is_like(pattern, arn))
        && conditions
            .flat_map(|(operator, keys)| keys.as_object().unwrap().iter().map(move |key| (operator, key)))
            .all(|(operator, (key, values))| holds(operator, context.get(key.as_str()).copied(), &texts(values)))
}

/// `Some(false)` if a statement denies it, `Some(true)` if one allows it.
fn verdict(document: &Value, action: &str, path: &str, context: &Context<'_>) -> Option<bool> {
    let arn = format!("arn:aws:s3:::vault{path}");
    let statements = document["Statement"].as_array().unwrap();
    let applying: Vec<&Value> = statements.iter().filter(|s| applies(s, action, &arn, context)).collect();
    let denied = applying.iter().any(|statement| statement["Effect"] == "Deny");
    if denied { Some(false) } else { (!applying.is_empty()).then_some(true) }
}

/// An honest request: over TLS, and a put of a new name.
fn honest(action: &str) -> Context<'static> {
    let mut context = Context::from([("aws:SecureTransport", "true"), ("s3:TlsVersion", "1.3")]);
    if action == "s3:PutObject" {
        context.insert("s3:if-none-match", "*");
    }
    context
}

fn may(document: &Value, action: &str, path: &str, more: &[(&'static str, &'static str)]) -> bool {
    let mut context = honest(action);
    context.extend(more.iter().copied());
    verdict(document, action, path, &context) == Some(true)
}

const DAYS: &str = "s3:object-lock-remaining-retention-days";
const MODE: &str = "s3:object-lock-mode";
const CUSTOMER_KEY: &str = "s3:x-amz-server-side-encryption-customer-algorithm";
const STORAGE: &str = "s3:x-amz-storage-class";
const KMS_KEY: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
const KINDS: [&str; 14] = [
    "vault.json",
    "keys/",
    "members/",
    "packs/",
    "indexes/",
    "lists/",
    "snapshots/",
    "journals/",
    "evidence/",
    "canaries/",
    "holds/",
    "releases/",
    "approvers/",
    "approvals/",
];

/// An object of each kind: one's own, or another's.
fn objects(member: &str) -> impl Iterator<Item = (&'static str, String)> {
    let member = member.to_owned();
    KINDS.into_iter().map(move |kind| match kind {
        "vault.json" | "keys/" => (kind, format!("/prod/{kind}")),
        _ => (kind, format!("/prod/{kind}{member}/x")),
    })
}

const LOCKS: [LockBy; 2] = [LockBy::BucketDefault, LockBy::Explicit];
const PROVIDERS: [Provider; 3] = [Provider::Aws, Provider::SeaweedFs, Provider::Minio];

/// On Ceph whoever puts an object owns it, and an owner reads it and shares it whatever no policy allows: only a denial holds.
#[test]
fn owners_of_objects_on_ceph_are_denied_what_nobody_allowed() {
    let roles = [PolicyRole::Writer, PolicyRole::Keeper, PolicyRole::Driller, PolicyRole::Auditor, PolicyRole::Pruner];
    for role in roles.into_iter().chain([PolicyRole::Copier, PolicyRole::Reader]) {
        let document = document(&request(role, Provider::Ceph, LockBy::BucketDefault));
        for (kind, path) in objects("m1") {
            let denied = |action: &str| verdict(&document, action, &path, &honest(action)) == Some(false);
            assert!(denied("s3:PutObjectAcl") && denied("s3:PutObjectVersionAcl"), "{role:?} {path}");
            if role == PolicyRole::Writer && matches!(kind, "packs/" | "journals/" | "keys/") {
                assert!(denied("s3:GetObject") && denied("s3:GetObjectVersion"), "{path}");
            }
        }
        if role == PolicyRole::Writer {
            assert!(may(&document, "s3:GetObject", "/prod/snapshots/m1/x", &[]), "its own headers");
        }
    }
}

#[test]
fn whoever_cuts_the_ways_changes_the_policy_and_touches_no_object() {
    for provider in [Provider::Aws, Provider::SeaweedFs, Provider::Ceph] {
        let document = document(&request(PolicyRole::Gate, provider, LockBy::BucketDefault));
        for action in ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"] {
            assert!(may(&document, action, "", &[]), "{action} {provider:?}");
        }
        for action in ["s3:PutBucketVersioning", "s3:PutBucketObjectLockConfiguration", "s3:DeleteBucket"] {
            assert!(!may(&document, action, "", &[]), "{action} {provider:?}");
        }
        for (_, path) in objects("m1") {
            for action in ["s3:PutObject", "s3:GetObject", "s3:DeleteObjectVersion", "s3:PutObjectRetention"] {
                assert!(!may(&document, action, &path, &[]), "{action} {path} {provider:?}");
            }
        }
    }
}

#[test]
fn each_role_writes_and_deletes_its_own_and_nothing_else() {
    let own = |role: PolicyRole| -> &[&str] {
        match role {
            PolicyRole::Writer => &["packs/", "indexes/", "lists/", "snapshots/", "journals/", "canaries/"],
            PolicyRole::Driller | PolicyRole::Auditor => &["evidence/"],
            PolicyRole::Pruner => &["evidence/", "canaries/", "approvals/"],
            PolicyRole::Keeper => &["holds/", "releases/", "approvals/"],
            _ => &[],
        }
    };
    for provider in PROVIDERS {
        for by in LOCKS {
            for role in &crate::ROLES[..7] {
                let document = document(&request(*role, provider, by));
                for (kind, path) in objects("m1").chain(objects("m2")) {
                    let about = format!("{provider:?} {by:?} {role:?} {path}");
                    // Under the nonce that everybody has who acts on an approval; a copier under all that there is.
                    let shared = path.contains("/m1/") || kind == "approvals/";
                    let mine = *role == PolicyRole::Copier || shared && own(*role).contains(&kind);
                    assert_eq!(may(&document, "s3:PutObject", &path, &[]), mine, "put {about}");
                    let trust = ["vault.json", "keys/", "members/", "holds/", "releases/", "approvers/", "approvals/"];
                    let data = !trust.contains(&kind);
                    for action in ["s3:DeleteObject", "s3:DeleteObjectVersion"] {
                        let deletes = *role == PolicyRole::Pruner && data;
                        assert_eq!(may(&document, action, &path, &[]), deletes, "{action} {about}");
                    }
                    let locks = *role == PolicyRole::Keeper || (mine && by == LockBy::Explicit);
                    let lock = [(MODE, "COMPLIANCE"), (DAYS, "60")];
                    assert_eq!(may(&document, "s3:PutObjectRetention", &path, &lock), locks, "lock {about}");
                    for action in ["s3:BypassGovernanceRetention", "s3:PutObjectLegalHold"] {
                        let verdict = verdict(&document, action, &path, &honest(action));
                        assert_eq!(verdict, Some(false), "{action} {about}");
                    }
                    // Nothing of another vault in the same bucket.
                    let elsewhere = path.replace("/prod/", "/test/");
                    for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObjectVersion", "s3:PutObjectRetention"] {
                        assert!(!may(&document, action, &elsewhere, &lock), "{action} {elsewhere} {about}");
                    }
                }
                for action in
                    ["PutBucketVersioning", "PutLifecycleConfiguration", "PutBucketPolicy", "DeleteBucketPolicy"]
                {
                    let action = format!("s3:{action}");
                    assert_eq!(verdict(&document, &action, "", &honest(&action)), Some(false), "{action} {role:?}");
                }
            }
        }
    }
}

#[test]
fn a_writer_reads_its_own_text_and_no_pack_and_the_others_read_everything() {
    for provider in PROVIDERS {
        for role in &crate::ROLES[..7] {
            let document = document(&request(*role, provider, LockBy::BucketDefault));
            let all = *role != PolicyRole::Writer;
            for (kind, path) in objects("m1").chain(objects("m2")) {
                let text = path.contains("/m1/") && matches!(kind, "indexes/" | "lists/" | "snapshots/");
                let trust = matches!(kind, "vault.json" | "members/" | "evidence/");
                for action in ["s3:GetObject", "s3:GetObjectVersion"] {
                    assert_eq!(may(&document, action, &path, &[]), all || text || trust, "{role:?} {action} {path}");
                }
                let guarded = matches!(kind, "holds/" | "releases/" | "approvers/" | "approvals/");
                if path.contains("/m1/") && (all || !guarded) {
                    assert!(may(&document, "s3:GetObjectRetention", &path, &[]), "{role:?} {path}");
                }
            }
            assert!(may(&document, "s3:ListBucket", "", &[]));
            assert_eq!(may(&document, "s3:ListBucketVersions", "", &[]), all, "{role:?}");
        }
    }
}

#[test]
fn a_put_is_of_a_new_name_under_no_strange_key_and_over_tls() {
    let (role, by) = (PolicyRole::Writer, LockBy::BucketDefault);
    let pack = "/prod/packs/m1/x";
    let plain = BTreeMap::from([("aws:SecureTransport", "true")]);
    let allowed = |provider: Provider, context: &Context<'_>| {
        verdict(&document(&request(role, provider, by)), "s3:PutObject", pack, context) == Some(true)
    };
    assert!(!allowed(Provider::Aws, &plain), "an overwrite");
    assert!(allowed(Provider::Minio, &plain) && allowed(Provider::SeaweedFs, &plain), "they know no condition on it");
    for provider in [Provider::Aws, Provider::Minio] {
        let document = document(&request(role, provider, by));
        assert!(may(&document, "s3:PutObject", pack, &[]));
        assert!(may(&document, "s3:PutObject", pack, &[(STORAGE, "STANDARD")]));
        let foreign = (KMS_KEY, "arn:aws:kms:eu-west-1:999988887777:key/x");
        for strange in [(CUSTOMER_KEY, "AES256"), foreign, (STORAGE, "DEEP_ARCHIVE"), (STORAGE, "GLACIER")] {
            assert!(!may(&document, "s3:PutObject", pack, &[strange]), "{provider:?} {strange:?}");
        }
        for action in ["s3:PutObject", "s3:GetObjectRetention"] {
            assert!(!may(&document, action, pack, &[("aws:SecureTransport", "false")]), "{provider:?} {action}");
        }
    }
}

#[test]
fn locks_are_bounded_where_the_provider_sees_them() {
    let (pack, canary, by) = ("/prod/packs/m1/x", "/prod/canaries/m1/x", LockBy::Explicit);
    for provider in [Provider::Aws, Provider::Minio] {
        let writer = document(&request(PolicyRole::Writer, provider, by));
        let lock = |path: &str, mode: &'static str, days: &'static str| {
            may(&writer, "s3:PutObjectRetention", path, &[(MODE, mode), (DAYS, days)])
        };
        assert!(lock(pack, "COMPLIANCE", "65") && lock(pack, "COMPLIANCE", "35"));
        assert!(!lock(pack, "COMPLIANCE", "67") && !lock(pack, "COMPLIANCE", "36500"), "{provider:?}: too long");
        assert!(!lock(pack, "COMPLIANCE", "34"), "{provider:?}: shorter than what is promised");
        assert!(!lock(pack, "GOVERNANCE", "65"), "{provider:?}: weaker");
        assert!(lock(canary, "COMPLIANCE", "0") && !lock(canary, "COMPLIANCE", "67"), "{provider:?}");
        let keeper = document(&request(PolicyRole::Keeper, provider, by));
        let extend = |days| may(&keeper, "s3:PutObjectRetention", pack, &[(MODE, "COMPLIANCE"), (DAYS, days)]);
        assert!(extend("400") && !extend("401"), "{provider:?}");
    }
    let put = |days| {
        let writer = document(&request(PolicyRole::Writer, Provider::Aws, by));
        may(&writer, "s3:PutObject", pack, &[(MODE, "COMPLIANCE"), (DAYS, days)])
    };
    assert!(put("65") && !put("67") && !put("1"));
    let governance = PolicyRequest { mode: LockMode::Governance, ..request(PolicyRole::Writer, Provider::Aws, by) };
    let document = document(&governance);
    assert!(may(&document, "s3:PutObjectRetention", pack, &[(MODE, "GOVERNANCE"), (DAYS, "65")]));
    assert!(!may(&document, "s3:PutObjectRetention", pack, &[(MODE, "COMPLIANCE"), (DAYS, "65")]));
}

#[test]
fn the_bucket_refuses_what_no_role_needs_whoever_asks() {
    let role = |name: &str| format!("arn:aws:iam::111122223333:role/{name}");
    let named = PolicyRequest {
        admins: vec![role("admin")],
        pruners: vec![role("pruner")],
        account: Some("111122223333".to_owned()),
        ..request(PolicyRole::Bucket, Provider::Aws, LockBy::BucketDefault)
    };
    let document = document(&named);
    let denied = |who: &str, action: &str, path: &str, more: &[(&'static str, &str)]| {
        let arn = role(who);
        let mut context: Context<'_> = honest(action);
        context.extend([("aws:PrincipalArn", arn.as_str()), ("aws:PrincipalAccount", "111122223333")]);
        context.extend(more.iter().copied());
        let verdict = verdict(&document, action, path, &context);
        assert_ne!(verdict, Some(true), "it allows nothing");
        verdict == Some(false)
    };
    let pack = "/prod/packs/m1/x";
    for action in ["s3:DeleteObject", "s3:DeleteObjectVersion"] {
        assert!(denied("writer", action, pack, &[]) && denied("keeper", action, pack, &[]));
        assert!(!denied("pruner", action, pack, &[]) && !denied("admin", action, pack, &[]));
    }
    for action in ["s3:PutBucketVersioning", "s3:PutLifecycleConfiguration", "s3:PutBucketPolicy", "s3:DeleteBucket"] {
        assert!(denied("pruner", action, "", &[]) && !denied("admin", action, "", &[]), "{action}");
    }
    assert!(!denied("writer", "s3:PutObject", pack, &[]));
    for who in ["writer", "admin"] {
        assert!(denied(who, "s3:PutObject", pack, &[(CUSTOMER_KEY, "AES256")]));
        assert!(denied(who, "s3:PutObject", pack, &[(KMS_KEY, "x")]));
        assert!(denied(who, "s3:PutObject", pack, &[(STORAGE, "DEEP_ARCHIVE")]));
        assert!(denied(who, "s3:BypassGovernanceRetention", pack, &[]));
        assert!(denied(who, "s3:PutObjectLegalHold", pack, &[]));
        assert!(denied(who, "s3:PutObjectRetention", pack, &[(MODE, "COMPLIANCE"), (DAYS, "401")]));
        assert!(denied(who, "s3:GetObject", pack, &[("aws:SecureTransport", "false")]));
        assert!(denied(who, "s3:GetObject", pack, &[("s3:TlsVersion", "1.1")]));
        assert!(denied(who, "s3:GetObject", pack, &[("aws:PrincipalAccount", "999988887777")]));
        assert!(!denied(who, "s3:GetObject", pack, &[]));
    }
    // A put without the condition: whatever a role's own policy forgot.
    let context = Context::from([("aws:SecureTransport", "true"), ("aws:PrincipalAccount", "111122223333")]);
    assert_eq!(verdict(&document, "s3:PutObject", pack, &context), Some(false));
    // Where nobody is named, nobody deletes and nobody reconfigures.
    let strict = crate::document(&request(PolicyRole::Bucket, Provider::Aws, LockBy::BucketDefault));
    for (action, path) in [("s3:DeleteObjectVersion", pack), ("s3:PutLifecycleConfiguration", "")] {
        assert_eq!(verdict(&strict, action, path, &honest(action)), Some(false));
    }
}
