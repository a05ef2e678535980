//! The policies of roles: what they say, in a language that their providers know, and that the test server's identities
//! are made of them. What they do on a real server is tested in `tests/s3/roles.rs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "policy/cli.rs"]
mod cli;
#[path = "policy/fixture.rs"]
mod fixture;
#[path = "policy/grammar.rs"]
mod grammar;
#[allow(dead_code)]
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "policy/simulate.rs"]
mod simulate;

use serde_json::Value;
use strongroom::{
    model::{LockBy, LockMode, Span},
    ops::policy::{PolicyRequest, PolicyRole, Provider, policy},
};

const ROLES: [PolicyRole; 8] = [
    PolicyRole::Writer,
    PolicyRole::Keeper,
    PolicyRole::Reader,
    PolicyRole::Driller,
    PolicyRole::Auditor,
    PolicyRole::Pruner,
    PolicyRole::Copier,
    PolicyRole::Bucket,
];

/// What `policy` makes for the vault `s3://vault/prod` with `keep` 35 d, and locks of 400 d at most.
fn request(role: PolicyRole, provider: Provider, by: LockBy) -> PolicyRequest {
    PolicyRequest {
        role,
        provider,
        partition: "aws",
        bucket: "vault".to_owned(),
        prefix: "prod".to_owned(),
        member: "m1".parse().unwrap(),
        mode: LockMode::Compliance,
        by,
        keep: Span::days(35),
        window: Span::days(30),
        max_lock: Span::days(400),
        tls: true,
        admins: Vec::new(),
        pruners: Vec::new(),
        account: None,
    }
}

fn document(request: &PolicyRequest) -> Value {
    serde_json::to_value(policy(request).unwrap().document).unwrap()
}

/// Every policy that there is, with and without names of principals.
fn all() -> Vec<(PolicyRequest, Value)> {
    let mut found = Vec::new();
    for provider in [Provider::Aws, Provider::SeaweedFs, Provider::Minio] {
        for role in ROLES {
            for by in [LockBy::BucketDefault, LockBy::Explicit] {
                let plain = request(role, provider, by);
                if (role, provider) == (PolicyRole::Bucket, Provider::Minio) {
                    assert!(policy(&plain).is_err(), "MinIO would ignore it");
                    continue;
                }
                let named = PolicyRequest {
                    admins: vec!["arn:aws:iam::111122223333:role/admin".to_owned()],
                    pruners: vec!["arn:aws:iam::111122223333:role/pruner".to_owned()],
                    account: Some("111122223333".to_owned()),
                    mode: LockMode::Governance,
                    prefix: String::new(),
                    ..plain.clone()
                };
                if role == PolicyRole::Bucket && provider == Provider::Aws {
                    found.push((named.clone(), document(&named)));
                } else {
                    assert!(policy(&named).is_err(), "only the bucket's policy names principals");
                }
                found.push((plain.clone(), document(&plain)));
            }
        }
    }
    found
}

/// The texts of a list.
fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}
