//! The identities of the test server, which the demo and the docs share, have the policies that `policy` makes.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use serde_json::Value;
use strongroom::{
    model::LockBy,
    ops::policy::{PolicyRequest, PolicyRole, Provider},
};

use crate::{document, request};

const POLICIES: [(&str, PolicyRole, &str, LockBy); 9] = [
    ("writer-w1", PolicyRole::Writer, "w1", LockBy::BucketDefault),
    ("writer-w1-explicit", PolicyRole::Writer, "w1", LockBy::Explicit),
    ("writer-w2", PolicyRole::Writer, "w2", LockBy::BucketDefault),
    ("reader", PolicyRole::Reader, "reader", LockBy::BucketDefault),
    ("keeper", PolicyRole::Keeper, "keeper", LockBy::BucketDefault),
    ("driller", PolicyRole::Driller, "driller", LockBy::BucketDefault),
    ("auditor", PolicyRole::Auditor, "auditor", LockBy::BucketDefault),
    ("pruner", PolicyRole::Pruner, "pruner", LockBy::BucketDefault),
    ("gate", PolicyRole::Gate, "gate", LockBy::BucketDefault),
];

/// A policy with marks where whoever starts a server puts its own names.
fn marked(role: PolicyRole, member: &str, by: LockBy) -> String {
    let named = PolicyRequest {
        bucket: "BUCKET".to_owned(),
        prefix: "PREFIX".to_owned(),
        member: member.parse().unwrap(),
        ..request(role, Provider::SeaweedFs, by)
    };
    document(&named).to_string().replace("BUCKET", "@BUCKET@").replace("PREFIX/", "@PREFIX@")
}

/// With `STRONGROOM_WRITE_FIXTURES` set, it writes them instead.
#[test]
fn the_identities_of_the_test_server_have_the_policies_that_are_made_for_roles() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/seaweedfs/s3.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut wanted = BTreeMap::new();
    for (name, role, member, by) in POLICIES {
        wanted.insert(name, marked(role, member, by));
    }
    if std::env::var_os("STRONGROOM_WRITE_FIXTURES").is_some() {
        let head = text.split("  \"policies\": [").next().unwrap();
        let mut lines = Vec::new();
        for (name, ..) in POLICIES {
            let mut line = String::new();
            write!(line, "    {{\"name\": \"{name}\", \"content\":\n      {}}}", Value::from(wanted[name].as_str()))
                .unwrap();
            lines.push(line);
        }
        fs::write(&path, format!("{head}  \"policies\": [\n{}\n  ]\n}}\n", lines.join(",\n"))).unwrap();
        return;
    }
    let fixture: Value = serde_json::from_str(&text).unwrap();
    let policies = fixture["policies"].as_array().unwrap();
    assert_eq!(policies.len(), POLICIES.len());
    for policy in policies {
        let name = policy["name"].as_str().unwrap();
        assert_eq!(policy["content"].as_str().unwrap(), wanted[name], "{name}; README.md there says how it is made");
    }
    // Each identity but the owner's has one of them, and nothing besides.
    for identity in fixture["identities"].as_array().unwrap() {
        match identity["name"].as_str().unwrap() {
            "admin" => assert_eq!(identity["actions"], serde_json::json!(["Admin"])),
            name => {
                let policies: Vec<&str> = crate::texts(&identity["policyNames"]);
                assert!(policies.len() == 1 && wanted.contains_key(policies[0]), "{name}: {policies:?}");
                assert!(identity.get("actions").is_none(), "{name}");
            }
        }
    }
}
