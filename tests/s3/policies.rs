//! What the policies of `strongroom policy` keep everybody from, on the real server: the bucket's settings, foreign
//! keys, and what no role needs. The test server's identities have these policies; see `tests/policy/fixture.rs`.

use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::{
        BucketLifecycleConfiguration, BucketVersioningStatus, ExpirationStatus, LifecycleExpiration, LifecycleRule,
        LifecycleRuleFilter, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold,
        ObjectLockLegalHoldStatus, StorageClass, VersioningConfiguration,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use strongroom::{
    model::{LockBy, LockMode, Span},
    ops::policy::{PolicyRequest, PolicyRole, Provider, policy},
    store::{Deleter, Put, s3::S3Store},
};

use crate::{
    Bucket,
    seaweed::Raw,
    support::{key, sealed},
};

/// What the server says to a call, if it refuses it.
fn code<T, E>(result: Result<T, SdkError<E, HttpResponse>>) -> Option<String>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    result.err().map(|error| error.as_service_error().and_then(|e| e.code()).unwrap_or("no answer").to_owned())
}

/// Tries everything that changes a bucket; the settings are those that it has, or concern no object.
async fn reconfigure(client: &Client, bucket: &str) -> Vec<(&'static str, Option<String>)> {
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let lock = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).build();
    let rule = LifecycleRule::builder()
        .id("none")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("nothing-here/").build())
        .expiration(LifecycleExpiration::builder().days(1).build())
        .build()
        .unwrap();
    let lifecycle = BucketLifecycleConfiguration::builder().rules(rule).build().unwrap();
    vec![
        (
            "versioning",
            code(client.put_bucket_versioning().bucket(bucket).versioning_configuration(versioning).send().await),
        ),
        (
            "lock",
            code(client.put_object_lock_configuration().bucket(bucket).object_lock_configuration(lock).send().await),
        ),
        (
            "lifecycle",
            code(
                client
                    .put_bucket_lifecycle_configuration()
                    .bucket(bucket)
                    .lifecycle_configuration(lifecycle)
                    .send()
                    .await,
            ),
        ),
    ]
}

fn bucket_policy(bucket: &str) -> String {
    let request = PolicyRequest {
        role: PolicyRole::Bucket,
        provider: Provider::SeaweedFs,
        partition: "aws",
        bucket: bucket.to_owned(),
        prefix: String::new(),
        member: "nobody".parse().unwrap(),
        mode: LockMode::Compliance,
        by: LockBy::BucketDefault,
        keep: Span::days(35),
        window: Span::days(30),
        max_lock: Span::days(3650),
        // The test server speaks no TLS, and would be shut for everybody.
        tls: false,
        admins: Vec::new(),
        pruners: Vec::new(),
        account: None,
    };
    serde_json::to_string(&policy(&request).unwrap().document).unwrap()
}

#[tokio::test]
async fn no_role_changes_the_bucket_or_holds_an_object() {
    let bucket = Bucket::fresh().await;
    let name = bucket.name.as_str();
    let pack = "packs/w1/ab/cd";
    put(&bucket.admin, pack).await;
    let policy = bucket_policy(name);
    for who in ["w1", "w1-explicit", "w2", "reader", "keeper", "driller", "auditor", "pruner"] {
        let raw = Raw::new(bucket.server, who, name, "");
        let client = raw.client();
        let mut tried = reconfigure(client, name).await;
        tried.push(("policy", code(client.put_bucket_policy().bucket(name).policy(&policy).send().await)));
        tried.push(("no policy", code(client.delete_bucket_policy().bucket(name).send().await)));
        let hold = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::On).build();
        let answer = client.put_object_legal_hold().bucket(name).key(pack).legal_hold(hold).send().await;
        tried.push(("hold", code(answer)));
        tried.push(("delete bucket", code(client.delete_bucket().bucket(name).send().await)));
        for (what, refused) in tried {
            assert_eq!(refused.as_deref(), Some("AccessDenied"), "{who}: {what}");
        }
    }
    // So that this proves something: the owner may.
    let admin = Raw::new(bucket.server, "admin", name, "");
    for (what, refused) in reconfigure(admin.client(), name).await {
        assert_eq!(refused, None, "{what}");
    }
}

#[tokio::test]
async fn the_buckets_policy_holds_for_its_owner_too() {
    let bucket = Bucket::fresh().await;
    let name = bucket.name.as_str();
    let admin = Raw::new(bucket.server, "admin", name, "");
    let encrypted = |raw: &Raw, key: &str| {
        let secret = [7; 32];
        // The MD5 of these bytes, which the protocol wants to see.
        let digest = "y4HAEFCYWuvAXWFTtA1Qpg==";
        let put = raw.client().put_object().bucket(name).key(key).body(vec![1; 100].into());
        let put = put.sse_customer_algorithm("AES256").sse_customer_key(BASE64_STANDARD.encode(secret));
        put.sse_customer_key_md5(digest).send()
    };
    let archived = |raw: &Raw, key: &str| {
        let put = raw.client().put_object().bucket(name).key(key).body(vec![1; 100].into());
        put.storage_class(StorageClass::DeepArchive).send()
    };
    let w1 = Raw::new(bucket.server, "w1", name, "");
    assert_eq!(code(archived(&w1, "packs/w1/aa/a").await), None, "without the policy, it is taken");
    assert_eq!(code(encrypted(&w1, "packs/w1/aa/1").await), None, "without the policy, it is taken");
    let put_policy = admin.client().put_bucket_policy().bucket(name).policy(bucket_policy(name));
    assert_eq!(code(put_policy.send().await), None);
    for (raw, key) in [(&w1, "packs/w1/aa/2"), (&admin, "packs/w1/aa/3")] {
        assert_eq!(code(encrypted(raw, key).await).as_deref(), Some("AccessDenied"), "{key}");
        assert_eq!(code(archived(raw, key).await).as_deref(), Some("AccessDenied"), "{key} into an archive");
    }
    for (what, refused) in reconfigure(admin.client(), name).await {
        assert_eq!(refused.as_deref(), Some("AccessDenied"), "{what}");
    }
    // What the roles need goes on.
    let writer = bucket.store("w1").await;
    put(&writer, "packs/w1/ab/cd").await;
    let pruner = bucket.store("pruner").await;
    let version = put(&bucket.admin, "packs/w1/ab/ef").await;
    pruner.delete_version(&key("packs/w1/ab/ef"), Some(&version)).await.unwrap();
    // The owner takes the policy away first, then reconfigures: two steps, and both show in the bucket.
    assert_eq!(code(admin.client().delete_bucket_policy().bucket(name).send().await), None);
    for (what, refused) in reconfigure(admin.client(), name).await {
        assert_eq!(refused, None, "{what}");
    }
}

async fn put(store: &S3Store, name: &str) -> strongroom::store::Version {
    use strongroom::store::ObjectStore;
    match store.put_new(&key(name), &sealed(name.as_bytes()), None).await.unwrap() {
        Put::Created { version: Some(version) } => version,
        other => panic!("{name}: {other:?}"),
    }
}
