//! What goes wrong before anything works: each a clear error of its kind.

use std::net::TcpListener;

use strongroom::store::{
    ObjectStore, StoreError, StoreErrorKind as Kind,
    credentials::CredentialsSpec,
    s3::{S3Settings, S3Store},
};

use crate::{
    Bucket, hasty,
    http::{Fault, Forward, Server},
    seaweed::write_private,
    support::key,
    tls::TlsServer,
};

/// What the first call at these settings comes to.
async fn first_call(settings: S3Settings) -> StoreError {
    match S3Store::connect(settings).await {
        Ok(store) => store.get(&key("vault.json"), None, None).await.unwrap_err(),
        Err(error) => error,
    }
}

fn says(error: &StoreError, kind: Kind, words: &str) {
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.to_string().contains(words), "{words:?}: {error}");
}

#[tokio::test]
async fn a_wrong_endpoint_is_told_soon() {
    let bucket = Bucket::fresh().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let at = |endpoint: &str| S3Settings { endpoint: Some(endpoint.to_owned()), ..bucket.settings("reader") };
    let refused = first_call(at(&format!("http://{free}"))).await;
    says(&refused, Kind::Unreachable, "can't be reached: Connection refused");
    assert!(refused.to_string().contains(&free.to_string()), "{refused}");
    says(&first_call(at("http://no-such-host.invalid")).await, Kind::Unreachable, "no-such-host.invalid");
    says(&first_call(at("127.0.0.1:8333")).await, Kind::Invalid, "write http://");
    let no_region = S3Settings { endpoint: None, ..bucket.settings("reader") };
    says(&first_call(no_region).await, Kind::Invalid, "region");
}

#[tokio::test]
async fn a_server_that_takes_and_never_answers_is_told_soon() {
    let bucket = Bucket::fresh().await;
    let server = Server::start(Forward(bucket.server.address()));
    server.plan(|_, _| Some(Fault::Silence));
    let settings = S3Settings { endpoint: Some(server.endpoint()), patience: hasty(), ..bucket.settings("reader") };
    says(&first_call(settings).await, Kind::Unreachable, "did not answer in time");
}

#[tokio::test]
async fn no_bucket_is_no_vault() {
    let bucket = Bucket::fresh().await;
    let settings = bucket.server.settings("admin", "vault-nowhere", "");
    let store = S3Store::connect(settings.clone()).await.unwrap();
    says(&store.list("", &mut |_| {}).await.unwrap_err(), Kind::NoVault, "no bucket \"vault-nowhere\"");
    says(&store.probe(None).await.unwrap_err(), Kind::NoVault, "vault-nowhere");
    says(&first_call(settings).await, Kind::NoVault, "vault-nowhere");
}

#[tokio::test]
async fn wrong_credentials_are_told_apart() {
    let bucket = Bucket::fresh().await;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, id: &str, secret: &str| {
        let path = dir.path().join(name);
        write_private(&path, &format!("access_key_id = {id}\nsecret_access_key = {secret}\n"));
        S3Settings { credentials: Some(CredentialsSpec::File(path)), ..bucket.settings("reader") }
    };
    let unknown = first_call(file("unknown", "nobody", "s3cr3t")).await;
    says(&unknown, Kind::Denied, "does not know these credentials");
    let wrong = first_call(file("wrong", "reader", "s3cr3t")).await;
    says(&wrong, Kind::Denied, "the secret access key does not belong");
    let foreign = S3Settings { bucket: "not-ours".to_owned(), ..bucket.settings("reader") };
    assert!(matches!(first_call(foreign).await.kind, Kind::Denied | Kind::NoVault));
    for error in [unknown, wrong] {
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }
}

#[tokio::test]
async fn what_only_aws_answers_is_understood() {
    let bucket = Bucket::fresh().await;
    let server = Server::start(Forward(bucket.server.address()));
    let cases = [
        (400, "ExpiredToken", Kind::Denied, "expired"),
        (403, "RequestTimeTooSkewed", Kind::Clock, "clock"),
        (400, "AuthorizationHeaderMalformed", Kind::Invalid, "--region"),
        (301, "PermanentRedirect", Kind::Invalid, "--region"),
    ];
    for (status, code, kind, words) in cases {
        server.plan(move |_, _| Some(Fault::Error(status, code)));
        let settings = S3Settings { endpoint: Some(server.endpoint()), ..bucket.settings("reader") };
        says(&first_call(settings).await, kind, words);
    }
}

#[tokio::test]
async fn https_to_a_server_without_tls_says_so() {
    let bucket = Bucket::fresh().await;
    let endpoint = bucket.server.endpoint().replace("http://", "https://");
    let settings = S3Settings { endpoint: Some(endpoint), ..bucket.settings("reader") };
    says(&first_call(settings).await, Kind::Invalid, "does not speak TLS");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let bucket = Bucket::fresh().await;
    let server = TlsServer::start(Forward(bucket.server.address()));
    let settings = S3Settings { endpoint: Some(server.endpoint()), ..bucket.settings("reader") };
    says(&first_call(settings).await, Kind::Invalid, "no certificate that this host trusts");
}
