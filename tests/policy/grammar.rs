//! Every policy is in the language of its provider: actions that exist, ARNs of the right kind, conditions that the
//! actions have. For AWS the tables follow its service authorization reference for S3, for `MinIO` its own tables
//! (minio/pkg, `policy/action.go`), both of 2026 and only as far as they are used here.

use std::collections::BTreeSet;

use serde_json::Value;
use strongroom::ops::policy::{PolicyRequest, PolicyRole, Provider};

use crate::{all, texts};

/// Actions on the bucket.
const ON_BUCKET: &[&str] = &[
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:GetBucketLocation",
    "s3:GetBucketVersioning",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetEncryptionConfiguration",
    "s3:PutBucketVersioning",
    "s3:PutLifecycleConfiguration",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutReplicationConfiguration",
    "s3:PutEncryptionConfiguration",
    "s3:DeleteBucket",
    "s3:PutBucketPolicy",
    "s3:DeleteBucketPolicy",
];
/// Actions on objects.
const ON_OBJECTS: &[&str] = &[
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:GetObjectRetention",
    "s3:PutObject",
    "s3:PutObjectRetention",
    "s3:PutObjectLegalHold",
    "s3:BypassGovernanceRetention",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
];
/// Condition keys of every request.
const COMMON: &[&str] =
    &["aws:SecureTransport", "aws:PrincipalArn", "aws:PrincipalAccount", "aws:PrincipalIsAWSService", "s3:TlsVersion"];

/// The condition keys that an action has besides.
fn keys(provider: Provider, action: &str) -> &'static [&'static str] {
    let aws = provider != Provider::Minio;
    match action {
        "s3:PutObject" if aws => &[
            "s3:if-none-match",
            "s3:x-amz-server-side-encryption-customer-algorithm",
            "s3:x-amz-storage-class",
            "s3:x-amz-server-side-encryption-aws-kms-key-id",
            "s3:object-lock-mode",
            "s3:object-lock-remaining-retention-days",
        ],
        // MinIO refuses a policy with a key that the action lacks: the days of a lock are one.
        "s3:PutObject" => &[
            "s3:x-amz-server-side-encryption-customer-algorithm",
            "s3:x-amz-storage-class",
            "s3:x-amz-server-side-encryption-aws-kms-key-id",
            "s3:object-lock-mode",
        ],
        "s3:PutObjectRetention" => &["s3:object-lock-mode", "s3:object-lock-remaining-retention-days"],
        _ => &[],
    }
}

/// What is wrong with a statement, if anything.
fn judge(request: &PolicyRequest, statement: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let sid = statement["Sid"].as_str().unwrap_or_default();
    if sid.is_empty() || !sid.chars().all(|c| c.is_ascii_alphanumeric()) {
        wrong.push(format!("the sid {sid:?}"));
    }
    if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
        wrong.push("the effect".to_owned());
    }
    let of_bucket = request.role == PolicyRole::Bucket;
    if (statement.get("Principal") == Some(&Value::from("*"))) != of_bucket || statement.get("NotAction").is_some() {
        wrong.push("the principal".to_owned());
    }
    let bucket = format!("arn:aws:s3:::{}", request.bucket);
    let below = |arn: &str| arn.strip_prefix(&bucket).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1);
    let resources = texts(&statement["Resource"]);
    wrong.extend(resources.iter().filter(|arn| **arn != bucket && !below(arn)).map(|arn| format!("the ARN {arn}")));
    let (whole, objects) = (resources.contains(&bucket.as_str()), resources.iter().any(|arn| below(arn)));
    for action in texts(&statement["Action"]) {
        let fits = match action {
            "s3:*" => whole && objects,
            _ if ON_BUCKET.contains(&action) => whole && !objects,
            _ => ON_OBJECTS.contains(&action) && objects && !whole,
        };
        if !fits {
            wrong.push(format!("{action} on {resources:?}"));
        }
        for (operator, conditions) in statement["Condition"].as_object().into_iter().flatten() {
            for (key, values) in conditions.as_object().unwrap() {
                if !COMMON.contains(&key.as_str()) && !keys(request.provider, action).contains(&key.as_str()) {
                    wrong.push(format!("{action} has no {key}"));
                }
                wrong.extend(
                    texts(values)
                        .into_iter()
                        .filter(|value| !is_of(operator, value))
                        .map(|value| format!("{operator} of {value:?}")),
                );
            }
        }
    }
    wrong
}

fn is_of(operator: &str, value: &str) -> bool {
    match operator {
        "Null" | "Bool" | "BoolIfExists" => matches!(value, "true" | "false"),
        "NumericGreaterThan" | "NumericLessThan" => value.parse::<f64>().is_ok(),
        "StringEquals" | "StringNotEquals" => !value.is_empty(),
        "ArnNotLike" => value.starts_with("arn:aws:iam::"),
        _ => false,
    }
}

#[test]
fn every_policy_is_in_the_language_of_its_provider() {
    let all = all();
    assert!(all.len() > 40, "{}", all.len());
    for (request, document) in &all {
        let about = format!("{:?} {:?} {:?}", request.provider, request.role, request.by);
        assert_eq!(document["Version"], "2012-10-17");
        let statements = document["Statement"].as_array().unwrap();
        for statement in statements {
            assert_eq!(judge(request, statement), Vec::<String>::new(), "{about}: {statement}");
        }
        let sids: BTreeSet<&str> = statements.iter().map(|statement| statement["Sid"].as_str().unwrap()).collect();
        assert_eq!(sids.len(), statements.len(), "{about}: a sid is there twice");
        // What a customer-managed policy may have, and a bucket's.
        let most = if request.role == PolicyRole::Bucket { 20_480 } else { 6_144 };
        assert!(document.to_string().len() < most, "{about}: {} bytes", document.to_string().len());
    }
}

#[test]
fn what_a_provider_does_not_know_is_seen() {
    let (request, document) = all().into_iter().next().unwrap();
    let good = document["Statement"][0].clone();
    assert_eq!(judge(&request, &good), Vec::<String>::new());
    let with = |field: &str, value: Value| {
        let mut bad = good.clone();
        bad[field] = value;
        judge(&request, &bad)
    };
    for (field, value) in [
        ("Sid", "not this".into()),
        ("Effect", "Maybe".into()),
        ("Principal", "*".into()),
        ("Action", serde_json::json!(["s3:PutObjects"])),
        ("Action", serde_json::json!(["s3:ListBucket"])),
        ("Resource", serde_json::json!(["arn:aws:s3:::other/*"])),
        ("Resource", serde_json::json!(["arn:aws:s3:::vault2/*"])),
        ("Condition", serde_json::json!({"Null": {"s3:if-none-match": ["maybe"]}})),
        ("Condition", serde_json::json!({"Nil": {"s3:if-none-match": ["true"]}})),
        ("Condition", serde_json::json!({"StringEquals": {"s3:prefix": ["prod/"]}})),
    ] {
        assert!(!with(field, value.clone()).is_empty(), "{field}: {value}");
    }
}
