//! A real bucket under the suite. All cases share one server, each below a prefix of its own.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use strongroom::{
    model::Span,
    store::{
        Deleter, ObjectStore, Version,
        s3::{S3Settings, S3Store},
    },
};

use crate::{
    seaweed::{Raw, Seaweed},
    suite::{Bucket, Subject, passed},
};

suite!(contract, crate::s3::fresh);

/// Ends with the process: nobody drops a static.
static SERVER: LazyLock<Seaweed> = LazyLock::new(Seaweed::start);
static CASES: AtomicU64 = AtomicU64::new(0);

pub struct S3 {
    store: S3Store,
    raw: Raw,
}

pub async fn fresh() -> S3 {
    let server = tokio::task::spawn_blocking(|| &*SERVER).await.unwrap();
    let case = CASES.fetch_add(1, Ordering::SeqCst);
    let bucket = format!("vault-case-{case}");
    // Half of the cases have the bucket to themselves, half are below a prefix.
    let prefix = if case.is_multiple_of(2) { "" } else { "prod/eu" };
    let settings = S3Settings { path_style: true, ..server.settings("admin", &bucket, prefix) };
    let store = S3Store::connect(settings).await.unwrap();
    store.admin().create_bucket().await.unwrap();
    S3 { store, raw: Raw::new(server, "admin", &bucket, prefix) }
}

#[async_trait]
impl Subject for S3 {
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
        self.raw.put(key, bytes).await;
    }

    fn bucket(&self) -> Option<&dyn Bucket> {
        Some(self)
    }
}

#[async_trait]
impl Bucket for S3 {
    async fn overwrite(&self, key: &str, bytes: &[u8]) -> Version {
        self.raw.put(key, bytes).await
    }

    async fn hide(&self, key: &str) -> Version {
        self.raw.hide(key).await
    }
}
