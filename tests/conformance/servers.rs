//! Any other server under the suite: the one that `scripts/test-servers` started. The variables say where it is, with which keys,
//! and what it is known to lack.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    primitives::ByteStream,
};
use strongroom::{
    model::Span,
    store::{
        Deleter, ObjectStore, Version,
        credentials::CredentialsSpec,
        s3::{S3Settings, S3Store},
    },
};

use crate::suite::{Bucket, Subject, passed};

suite!(
    #[ignore = "scripts/test-servers starts a server and names it"]
    contract,
    crate::servers::fresh
);

static CASES: AtomicU64 = AtomicU64::new(0);

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; scripts/test-servers sets it"))
}

pub struct Server {
    store: S3Store,
    client: Client,
    bucket: String,
    prefix: String,
}

pub async fn fresh() -> Server {
    let case = CASES.fetch_add(1, Ordering::SeqCst);
    let bucket = format!("vault-{}-{case}", std::process::id());
    let prefix = if case.is_multiple_of(2) { "" } else { "prod/eu" };
    let endpoint = variable("STRONGROOM_SERVER");
    let credentials = PathBuf::from(variable("STRONGROOM_SERVER_KEYS"));
    let conditional_put = variable("STRONGROOM_SERVER_CONDITIONAL") == "true";
    let settings = S3Settings {
        endpoint: Some(endpoint.clone()),
        path_style: true,
        credentials: Some(CredentialsSpec::File(credentials.clone())),
        checksum: variable("STRONGROOM_SERVER_CHECKSUM").parse().unwrap(),
        conditional_put,
        ..S3Settings::new(bucket.clone(), prefix)
    };
    let store = S3Store::connect(settings).await.unwrap();
    store.admin().create_bucket().await.unwrap();
    let text = std::fs::read_to_string(credentials).unwrap();
    let keys: Vec<&str> = text.lines().filter_map(|line| line.split('"').nth(1)).collect();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(Credentials::new(keys[0], keys[1], None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    Server { store, client: Client::from_conf(config.build()), bucket, prefix }
}

#[async_trait]
impl Subject for Server {
    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.store.clone())
    }

    fn deleter(&self) -> Arc<dyn Deleter> {
        Arc::new(self.store.clone())
    }

    async fn pass(&self, span: Span) {
        passed(&self.store, span).await;
    }

    async fn plant(&self, key: &str, bytes: &[u8]) {
        self.overwrite(key, bytes).await;
    }

    fn bucket(&self) -> Option<&dyn Bucket> {
        Some(self)
    }
}

#[async_trait]
impl Bucket for Server {
    async fn overwrite(&self, key: &str, bytes: &[u8]) -> Version {
        let key = format!("{}{key}", self.prefix);
        let put = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes.to_vec()));
        Version::new(put.send().await.unwrap().version_id().unwrap())
    }

    async fn hide(&self, key: &str) -> Version {
        let delete = self.client.delete_object().bucket(&self.bucket).key(format!("{}{key}", self.prefix));
        Version::new(delete.send().await.unwrap().version_id().unwrap())
    }
}
