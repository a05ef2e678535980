//! `policy`, as people type it.

use serde_json::Value;
use strongroom::{
    model::{LockBy, Span},
    ops::policy::{PolicyRequest, PolicyRole, Provider},
};

use crate::{document, request, sandbox::Sandbox};

const ROLES: [(&str, PolicyRole); 9] = [
    ("writer", PolicyRole::Writer),
    ("keeper", PolicyRole::Keeper),
    ("reader", PolicyRole::Reader),
    ("driller", PolicyRole::Driller),
    ("auditor", PolicyRole::Auditor),
    ("pruner", PolicyRole::Pruner),
    ("copier", PolicyRole::Copier),
    ("gate", PolicyRole::Gate),
    ("bucket", PolicyRole::Bucket),
];

#[test]
fn it_prints_the_document_for_people_and_for_scripts() {
    let sandbox = Sandbox::new();
    let providers = [("aws", Provider::Aws), ("seaweedfs", Provider::SeaweedFs), ("minio", Provider::Minio)];
    for (provider, wanted) in providers {
        for (role, of) in ROLES.iter().filter(|(role, _)| provider != "minio" || !["bucket", "gate"].contains(role)) {
            let args = ["policy", role, "--provider", provider, "--vault", "s3://vault/prod", "--member", "m1"];
            let more = ["--lock-by", "explicit", "--keep", "35d", "--max-lock", "400d"];
            let run = sandbox.run(&[&args[..], &more].concat()).ok();
            let expected = document(&request(*of, wanted, LockBy::Explicit));
            assert_eq!(serde_json::from_slice::<Value>(&run.stdout).unwrap(), expected, "{role} {provider}");
            let document = sandbox.run(&[&args[..], &more, &["--json"]].concat()).ok().json();
            assert_eq!((&document["command"], &document["result"]), (&"policy".into(), &expected));
            let gap = document["findings"].as_array().unwrap().iter().any(|finding| finding["code"] == "policy.gap");
            assert_eq!(gap, provider != "aws" || ["bucket", "gate"].contains(role), "{role} {provider}: {document}");
        }
    }
}

#[test]
fn what_a_configuration_says_need_not_be_said_again() {
    let sandbox = Sandbox::new();
    let config = sandbox.path("strongroom.toml");
    let text = "[vault]\nurl = \"s3://vault/prod\"\nregion = \"us-gov-west-1\"\n[writer]\nname = \"m1\"\n\
                key = \"k\"\nstate = \"s\"\n[lock]\nkeep = \"10d\"\n";
    std::fs::write(&config, text).unwrap();
    let run = sandbox.run(&["--config", config.to_str().unwrap(), "policy", "writer", "--provider", "aws"]).ok();
    let expected = PolicyRequest {
        partition: "aws-us-gov",
        keep: Span::days(10),
        max_lock: Span::days(3650),
        ..request(PolicyRole::Writer, Provider::Aws, LockBy::BucketDefault)
    };
    assert_eq!(serde_json::from_slice::<Value>(&run.stdout).unwrap(), document(&expected));
    // Over plain HTTP, nothing can ask for TLS.
    let plain = ["policy", "reader", "--provider", "minio", "--vault", "s3://vault", "--endpoint", "http://localhost"];
    let run = sandbox.run(&plain).ok().says("TLS is not required");
    assert!(!run.out().contains("SecureTransport"), "{}", run.out());
}

#[test]
fn what_makes_no_policy_is_refused() {
    let sandbox = Sandbox::new();
    let run = |args: &[&str]| sandbox.run(&[&["policy"], args].concat());
    let aws = ["--provider", "aws", "--vault", "s3://vault"];
    run(&[&["writer"], &aws[..]].concat()).code(2).says("which writer").says("--writer NAME");
    run(&["reader", "--provider", "aws"]).code(2).says("no vault was given");
    run(&["reader", "--provider", "aws", "--vault", "file:///vault"]).code(2).says("for buckets");
    run(&["bucket", "--provider", "minio", "--vault", "s3://vault"]).code(2).says("anonymous requests only");
    run(&[&["reader", "--pruner", "arn:aws:iam::1:role/p"], &aws[..]].concat()).code(2).says("names principals");
    run(&[&["keeper", "--max-lock", "40d"], &aws[..]].concat()).code(2).says("--max-lock");
    run(&[&["owner"], &aws[..]].concat()).code(2);
    run(&["reader", "--provider", "gcs", "--vault", "s3://vault"]).code(2);
    run(&["writer", "--writer", "w1", "--provider", "aws", "--vault", "s3://vault"]).ok();
}
