//! A month of flushes, and more of them than anybody makes: listed, verified, renewed and pruned in bounded memory.
//!
//! `STRONGROOM_PIECES=302400` is 35 days of a piece each ten seconds; figures are printed with `--nocapture`.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use async_trait::async_trait;
use bytes::Bytes;
use strongroom::{
    format::layout,
    model::{
        Cancel, Clock, Hash, Key, Lock, LockMode, Severity, Silent, Span as Duration, Time,
        journal::{Piece, Position},
    },
    store::{
        Deleter, Entry, Head, ObjectStore, Payload, Put, Result, StoreError, StoreErrorKind, Traits, Version,
        VersionEntry,
    },
    vault::{
        Vault,
        audit::{self, Depth, VerifyRequest},
        journal,
        upkeep::{
            prune::{self, PruneRequest},
            renew,
        },
    },
};

use crate::lab::{Lab, START, line, span};

/// A store whose journal is made up while it is listed.
struct Many {
    lab: Arc<Lab>,
    pieces: u64,
    since: Time,
    /// How often all of it was listed.
    listed: AtomicU64,
}

/// Bytes of log in each piece, and how far apart in time they are.
const BYTES: u64 = 100_000;
const EVERY: Duration = Duration::seconds(10);

impl Many {
    fn modified(&self, no: u64) -> Time {
        self.since + Duration::seconds(no * EVERY.as_seconds())
    }

    fn key(no: u64) -> Key {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&no.to_be_bytes());
        let (from, hash) = (START + no * BYTES, Hash::from_bytes(hash));
        let (writer, source) = ("w1".parse().unwrap(), Lab::source());
        layout::piece(&Piece { writer, source, line: line(1), span: span(from, from + BYTES), hash })
    }

    /// The number of the piece that a key names.
    fn number(key: &Key) -> Option<u64> {
        let from = key.as_str().strip_prefix("journals/")?.split('/').nth(3)?.get(..16)?.parse::<Position>().ok()?;
        Some((from.0 - START) / BYTES)
    }

    fn entries(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) {
        if Self::key(0).as_str().starts_with(prefix) {
            self.listed.fetch_add(1, Ordering::Relaxed);
        }
        for no in 0..self.pieces {
            let key = Self::key(no).to_string();
            if key.starts_with(prefix) {
                let (version, modified) = (Version::new(format!("{no:032}")), self.modified(no));
                each(VersionEntry { key, version, bytes: 2000, modified, latest: true, delete_marker: false });
            }
        }
    }
}

#[async_trait]
impl ObjectStore for Many {
    fn url(&self) -> String {
        self.lab.store.url()
    }

    fn traits(&self) -> Traits {
        self.lab.store.traits()
    }

    async fn put_new(&self, key: &Key, payload: &Payload, lock: Option<Lock>) -> Result<Put> {
        self.lab.store.put_new(key, payload, lock).await
    }

    async fn get(&self, key: &Key, version: Option<&Version>, range: Option<Range<u64>>) -> Result<Bytes> {
        self.lab.store.get(key, version, range).await
    }

    async fn head(&self, key: &Key, version: Option<&Version>) -> Result<Head> {
        self.lab.store.head(key, version).await
    }

    async fn list(&self, prefix: &str, each: &mut (dyn FnMut(Entry) + Send)) -> Result<()> {
        self.lab.store.list(prefix, each).await
    }

    async fn list_versions(&self, prefix: &str, each: &mut (dyn FnMut(VersionEntry) + Send)) -> Result<()> {
        let mut own = Vec::new();
        self.lab.store.list_versions(prefix, &mut |entry| own.push(entry)).await?;
        let after = own.partition_point(|entry| entry.key.as_str() < "journals/");
        let later = own.split_off(after);
        own.into_iter().for_each(&mut *each);
        self.entries(prefix, each);
        later.into_iter().for_each(each);
        Ok(())
    }

    async fn lock_of(&self, key: &Key, version: Option<&Version>) -> Result<Option<Lock>> {
        match Self::number(key) {
            Some(no) => Ok(Some(Lock { mode: LockMode::Compliance, until: self.modified(no) + Duration::days(65) })),
            None => self.lab.store.lock_of(key, version).await,
        }
    }

    async fn extend_lock(&self, key: &Key, version: Option<&Version>, lock: Lock) -> Result<Lock> {
        self.lab.store.extend_lock(key, version, lock).await
    }

    async fn server_time(&self) -> Result<Time> {
        self.lab.store.server_time().await
    }
}

#[async_trait]
impl Deleter for Many {
    async fn delete_version(&self, key: &Key, _: Option<&Version>) -> Result<()> {
        assert!(Self::number(key).is_some(), "{key}");
        Err(StoreError::new(StoreErrorKind::NotFound, "it is made up"))
    }
}

/// The most memory that this process ever had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_flushes_takes_little_memory() {
    let pieces = std::env::var("STRONGROOM_PIECES").map_or(20_000, |n| n.parse().unwrap());
    let lab = Arc::new(Lab::new().await);
    lab.base(5).await;
    let many = Arc::new(Many { lab: Arc::clone(&lab), pieces, since: lab.clock.now(), listed: AtomicU64::new(0) });
    lab.clock.pass(Duration::seconds(pieces * EVERY.as_seconds()));
    let before = peak();
    let vault = Vault::open(Arc::clone(&many) as _, Some(lab.made.id)).await.unwrap();
    let windows = pieces.div_ceil(1 << 19).max(1);
    let told = |what: &str, since: Instant| {
        let listed = many.listed.swap(0, Ordering::Relaxed);
        // Whoever deletes looks at all else first.
        let most = windows + u64::from(what == "prune");
        assert!(listed <= most, "{what} lists all of it {listed} times");
        println!("{what} of {pieces} pieces: {:.1?}, at most {} MiB, {before} before", since.elapsed(), peak());
    };

    let since = Instant::now();
    many.listed.store(0, Ordering::Relaxed);
    let listing = journal::list(&vault, None, &Lab::source()).await.unwrap();
    assert_eq!(listing.lines.len() as u64 + u64::from(listing.more), 1 + u64::from(pieces > 1 << 19));
    drop(listing);
    told("list", since);

    let since = Instant::now();
    let request = VerifyRequest::new(Depth::Locks);
    let report = audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await.unwrap();
    assert!(report.findings.iter().all(|f| f.severity < Severity::Weak), "{:?}", report.findings);
    let base = &report.recoveries[0];
    assert_eq!((base.to.unwrap().0, base.age_s), (START + pieces * BYTES, Some(EVERY.as_seconds())));
    assert!(report.objects > pieces);
    told("verify", since);

    let since = Instant::now();
    let renewed = renew::renew(&vault, false, &Silent, &Cancel::default()).await.unwrap();
    assert!(renewed.updates == 0 && renewed.reads > pieces / 10, "{renewed:?}");
    told("renew", since);

    // When the last base's time is long over it stays, as the newest does, and so does what goes on from it.
    let since = Instant::now();
    lab.clock.pass(Duration::days(200));
    let request = PruneRequest { grace: Duration::days(1), clock_is_right: true };
    let done = prune::prune(&vault, Some(&*many), request, &Silent, &Cancel::default()).await.unwrap();
    assert!(!done.deleted.contains_key("journals"), "{done:?}");
    told("prune", since);
    let grown = peak() - before;
    assert!(grown < 110, "{grown} MiB more than before");
}
