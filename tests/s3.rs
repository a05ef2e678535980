//! The S3 store against a real server, a server with faults and a server that lies. The contract itself is tested in
//! `tests/conformance`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "s3/credentials.rs"]
mod credentials;
#[path = "s3/failures.rs"]
mod failures;
#[allow(dead_code)]
#[path = "support/fakes3/mod.rs"]
mod fakes3;
#[path = "s3/faults.rs"]
mod faults;
#[allow(dead_code)]
#[path = "support/http.rs"]
mod http;
#[path = "s3/lies.rs"]
mod lies;
#[path = "s3/listing.rs"]
mod listing;
#[path = "support/vault.rs"]
mod made;
#[path = "s3/policies.rs"]
mod policies;
#[path = "s3/roles.rs"]
mod roles;
#[allow(dead_code)]
#[path = "support/seaweed.rs"]
mod seaweed;
#[allow(dead_code)]
#[path = "support/store.rs"]
mod support;
#[path = "support/tls.rs"]
#[allow(dead_code)]
mod tls;
#[path = "s3/vault.rs"]
mod vault;

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use seaweed::Seaweed;
use strongroom::{
    model::{Lock, Span},
    store::{
        ObjectStore,
        s3::{Patience, S3Settings, S3Store},
    },
};

/// One server for all tests that do not kill it. Ends with the process.
static SERVER: LazyLock<Seaweed> = LazyLock::new(Seaweed::start);
static BUCKETS: AtomicU64 = AtomicU64::new(0);

/// A fresh bucket with object lock.
struct Bucket {
    server: &'static Seaweed,
    name: String,
    admin: S3Store,
}

impl Bucket {
    async fn fresh() -> Self {
        let server = tokio::task::spawn_blocking(|| &*SERVER).await.unwrap();
        let name = format!("vault-s3-{}", BUCKETS.fetch_add(1, Ordering::SeqCst));
        let admin = S3Store::connect(server.settings("admin", &name, "")).await.unwrap();
        admin.admin().create_bucket().await.unwrap();
        Self { server, name, admin }
    }

    fn settings(&self, identity: &str) -> S3Settings {
        self.server.settings(identity, &self.name, "")
    }

    async fn store(&self, identity: &str) -> S3Store {
        S3Store::connect(self.settings(identity)).await.unwrap()
    }
}

/// A lock of this mode that ends `span` from now by the store's clock.
async fn lock(store: &S3Store, mode: strongroom::model::LockMode, span: Span) -> Lock {
    Lock { mode, until: store.server_time().await.unwrap() + span }
}

/// Waiting that a test can bear.
fn hasty() -> Patience {
    let second = Duration::from_secs(1);
    Patience { connect: second, answer: second, transfer: 2 * second, budget: 3 * second, first: second }
}
