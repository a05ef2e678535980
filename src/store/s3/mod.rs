//! A vault in an object-lock bucket: the only room that knows the SDK.
//!
//! What the bucket must have: versioning, object lock, and `If-None-Match` on puts. [`S3Store::probe`] finds out, and
//! says in words what is missing.

mod admin;
mod ambient;
mod answer;
mod attempts;
mod connect;
mod enforced;
mod fail;
mod helper;
mod identity;
mod inspect;
mod lines;
mod list;
mod locks;
mod objects;
mod page;
mod policy;
mod post;
mod probe;
mod proxy;
mod put_time;
mod settings;
mod spoil;
mod trust;
mod watch;
mod web;

use std::{
    collections::VecDeque,
    fmt,
    hash::{BuildHasher, RandomState},
    ops::Range,
    sync::{Arc, Mutex as PlainMutex, PoisonError},
};

use async_trait::async_trait;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    primitives::DateTime,
};
use bytes::Bytes;
use tokio::sync::{Mutex, OnceCell};

use super::{
    Deleter, Enforcement, Entry, Head, Mender, ObjectStore, Payload, Put, Result, StoreError, Traits, Version,
    VersionEntry, concurrency::Concurrency,
};
use crate::{
    format::copied::Copied,
    model::{Key, Lock, Time},
};
use fail::{Call, Facts, Place};

pub use admin::{BucketLock, S3Admin, Versioning};
pub use ambient::{AmbientCredentials, Found, ambient_credentials};
pub use attempts::S3Attempts;
pub use post::{Letter, post};
pub use probe::{Abilities, Ability};
pub use settings::{Checksum, Patience, S3Settings};
pub use web::{Web, WebAnswer, WebBody};

/// How many locks can be extended at once. Two versions may share a place, which costs a little waiting.
const EXTENDING: usize = 64;
/// Of so many objects that were put last, a lock that is not found is asked for again.
const RECENT: usize = 64;

/// A bucket, or the part of it below a prefix. Clones are handles to the same clients.
#[derive(Clone)]
pub struct S3Store {
    inner: Arc<Inner>,
}

struct Inner {
    settings: S3Settings,
    clients: connect::Clients,
    /// One update of a version's lock at a time: of two at once, a server may keep the lesser.
    extending: Vec<Mutex<()>>,
    hasher: RandomState,
    concurrency: Concurrency,
    /// What was put lately.
    recent: PlainMutex<VecDeque<Key>>,
    /// Whether the bucket has object lock, once that was asked.
    enforcement: OnceCell<Enforcement>,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl S3Store {
    /// Gets credentials and makes a client. The bucket is not asked anything yet.
    ///
    /// # Errors
    /// `Invalid` for settings that can't work, such as no credentials; `Denied` if their source gives none.
    pub async fn connect(settings: S3Settings) -> Result<Self> {
        let clients = connect::connect(&settings).await?;
        Ok(Self::over(settings, clients))
    }

    /// A client with what `credentials` give, whatever the settings say; without any, one that signs nothing.
    fn connect_as(settings: S3Settings, credentials: Option<SharedCredentialsProvider>) -> Result<Self> {
        let clients = connect::clients(&settings, credentials)?;
        Ok(Self::over(settings, clients))
    }

    fn over(settings: S3Settings, clients: connect::Clients) -> Self {
        let extending = (0..EXTENDING).map(|_| Mutex::new(())).collect();
        Self {
            inner: Arc::new(Inner {
                settings,
                clients,
                extending,
                hasher: RandomState::new(),
                concurrency: Concurrency::default(),
                recent: PlainMutex::default(),
                enforcement: OnceCell::new(),
            }),
        }
    }

    /// The bucket itself, for whoever makes or checks one.
    #[must_use]
    pub fn admin(&self) -> S3Admin {
        S3Admin::new(self.clone())
    }

    /// What an intruder who holds these credentials would try. Only `doctor` tries it.
    #[must_use]
    pub fn hostile(&self) -> S3Attempts {
        S3Attempts::new(self.clone(), Self::connect_as(self.settings().clone(), None).ok())
    }

    /// The settings that it was made with.
    #[must_use]
    pub fn settings(&self) -> &S3Settings {
        &self.inner.settings
    }

    fn client(&self) -> &Client {
        self.inner.clients.get()
    }

    fn bucket(&self) -> &str {
        &self.inner.settings.bucket
    }

    fn full(&self, key: &Key) -> String {
        self.inner.settings.full(key.as_str())
    }

    /// What an error of the SDK tells, with the reason that the SDK forgot when the time ran out.
    fn facts<E>(&self, error: &SdkError<E, HttpResponse>) -> Facts
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let mut facts = Facts::of(error);
        if facts.timed_out
            && let Some(trouble) = self.inner.clients.witness.trouble()
        {
            facts.reason = format!("{}; lately: {trouble}", facts.reason);
        }
        facts
    }

    fn told(&self, call: &Call<'_>, facts: &Facts) -> StoreError {
        let settings = &self.inner.settings;
        let region = settings.region.as_deref().unwrap_or("us-east-1");
        let virtual_host = settings.is_virtual_host();
        facts.told(call, &Place { server: &settings.place(), bucket: &settings.bucket, region, virtual_host })
    }

    fn failed<E>(&self, call: &Call<'_>, error: &SdkError<E, HttpResponse>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.told(call, &self.facts(error))
    }

    /// Notes what was put.
    fn note(&self, key: &Key) {
        let mut recent = self.inner.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(key.clone());
    }

    /// The place where updates of this version's lock wait for each other.
    fn extending(&self, key: &Key, version: Option<&Version>) -> Option<&Mutex<()>> {
        let hash = self.inner.hasher.hash_one((key, version));
        let place = usize::try_from(hash % (EXTENDING as u64)).unwrap_or_default();
        self.inner.extending.get(place)
    }
}

/// The SDK's time in whole seconds, cut: a lock is never told longer than it is.
fn time(stamp: &DateTime) -> Time {
    Time::from_unix(stamp.secs())
}

fn stamp(time: Time) -> DateTime {
    DateTime::from_secs(time.unix())
}

fn version_of(text: Option<&str>) -> Option<Version> {
    // A bucket without versioning calls all versions null.
    text.filter(|text| !text.is_empty() && *text != "null").map(Version::new)
}

#[async_trait]
impl ObjectStore for S3Store {
    fn url(&self) -> String {
        match self.inner.settings.prefix.as_str() {
            "" => format!("s3://{}", self.bucket()),
            prefix => format!("s3://{}/{prefix}", self.bucket()),
        }
    }

    /// A writer's locks are the bucket's default; a vault whose policy says otherwise sets them itself.
    fn traits(&self) -> Traits {
        Traits { versions: true, trusted_time: true, explicit_locks: false }
    }

    fn at_once(&self) -> usize {
        self.inner.concurrency.at_once()
    }

    async fn put_new(&self, key: &Key, payload: &Payload, lock: Option<Lock>) -> Result<Put> {
        let put = self.put(key, payload.bytes().clone(), lock).await?;
        self.note(key);
        Ok(put)
    }

    async fn get(&self, key: &Key, version: Option<&Version>, range: Option<Range<u64>>) -> Result<Bytes> {
        self.inner.concurrency.of(self.fetch(key, version, range)).await
    }

    async fn head(&self, key: &Key, version: Option<&Version>) -> Result<Head> {
        self.inner.concurrency.of(self.look(key, version)).await
    }

    async fn list(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()> {
        self.list_current(prefix, each).await
    }

    async fn list_versions(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> Result<()> {
        self.list_all(prefix, each).await
    }

    async fn lock_of(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>> {
        let new = self.inner.recent.lock().unwrap_or_else(PoisonError::into_inner).contains(key);
        if new {
            return self.inner.concurrency.of(self.lock_of_new(key, version)).await;
        }
        self.inner.concurrency.of(self.read_lock(key, version)).await
    }

    async fn enforcement(&self) -> Result<Enforcement> {
        self.locks_bind().await
    }

    async fn extend_lock(&self, key: &Key, version: Option<&Version>, lock: Lock) -> Result<Lock> {
        self.extend(key, version, lock).await
    }

    async fn server_time(&self) -> Result<Time> {
        self.inner.concurrency.of(self.time()).await
    }

    async fn harmful_rules(&self) -> Result<Vec<String>> {
        self.admin().lifecycle().await
    }
}

#[async_trait]
impl Deleter for S3Store {
    async fn delete_version(&self, key: &Key, version: Option<&Version>) -> Result<()> {
        self.delete(key, version).await
    }

    async fn hide(&self, key: &Key) -> Result<Version> {
        self.put_marker(key).await
    }
}

#[async_trait]
impl Mender for S3Store {
    async fn put_again(&self, key: &Key, copied: &Copied, lock: Option<Lock>) -> Result<Option<Version>> {
        let put = self.put_as(key, copied.bytes().clone(), lock, false).await?;
        self.note(key);
        Ok(match put {
            Put::Created { version } => version,
            Put::AlreadyThere => None,
        })
    }
}
