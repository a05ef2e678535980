//! The cases of the contract, for any store that can play a [`Subject`].

#[path = "lists.rs"]
pub mod lists;
#[path = "locks.rs"]
pub mod locks;
#[path = "objects.rs"]
pub mod objects;
#[path = "versions.rs"]
pub mod versions;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use strongroom::{
    model::{Lock, LockMode, Span},
    store::{Deleter, ObjectStore, Version},
};

/// A store to be tested: fresh and empty, or with a prefix that nothing else uses.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A handle to the store. Every call may give another one, as another process would have.
    fn store(&self) -> Arc<dyn ObjectStore>;

    /// A handle that may delete.
    fn deleter(&self) -> Arc<dyn Deleter>;

    /// Lets `span` pass, by the store's clock.
    async fn pass(&self, span: Span);

    /// Puts raw bytes under a free key without a lock, by other means than the store's. Makes what strongroom never
    /// would: empty objects and keys that are none of ours.
    async fn plant(&self, key: &str, bytes: &[u8]);

    /// The powers of whoever may write to a bucket with versions; `None` where a store has none.
    fn bucket(&self) -> Option<&dyn Bucket>;

    /// A lock this long outlives the few calls of a case, and waiting for its end is bearable.
    fn short(&self) -> Span {
        Span::seconds(5)
    }
}

/// Waits until `span` has passed by the clock of a real server, which nobody can turn.
pub async fn passed(store: &dyn ObjectStore, span: Span) {
    let end = store.server_time().await.unwrap() + span;
    while store.server_time().await.unwrap() < end {
        tokio::time::sleep(Duration::from_millis(100)).await; // the server's clock is what is waited for
    }
}

/// What a plain client can do to a bucket that keeps versions.
#[async_trait]
pub trait Bucket: Send + Sync {
    /// Puts `bytes` on top of whatever `key` holds.
    async fn overwrite(&self, key: &str, bytes: &[u8]) -> Version;

    /// Deletes `key` without naming a version, which leaves a delete marker.
    async fn hide(&self, key: &str) -> Version;
}

/// A compliance lock that ends `span` from now by the store's clock.
pub async fn compliance(store: &dyn ObjectStore, span: Span) -> Lock {
    Lock { mode: LockMode::Compliance, until: store.server_time().await.unwrap() + span }
}

/// A governance lock that ends `span` from now by the store's clock.
pub async fn governance(store: &dyn ObjectStore, span: Span) -> Lock {
    Lock { mode: LockMode::Governance, ..compliance(store, span).await }
}

/// Makes a test of each case for the subject that `$fresh` makes: `suite!(name, fresh)`, with attributes such as
/// `#[ignore = "needs a server"]` before the name.
macro_rules! suite {
    ($(#[$meta:meta])* $name:ident, $fresh:path) => {
        suite!(@cases [$(#[$meta])*] $name, $fresh,
            objects: round_trip, keys_in_practice, empty_object, ranges, never_replaces, racing_puts_have_one_winner,
                large_object, missing_object, head_tells_the_time;
            lists: in_byte_order, by_plain_prefix, more_than_a_page, empty, foreign_keys;
            locks: read_back, none_without, in_the_past, refused_until_the_end, deletes_what_is_unlocked, extends,
                extending_keeps_the_time, never_shortens, never_weakens, extends_what_was_unlocked, concurrent_extends, missing_object;
            versions: unknown_version, current_version_by_name, overwrite_is_seen_through, marker_is_seen_through,
                key_is_free_behind_a_marker, order_of_versions, locks_are_per_version, deletes_one_version;
        );
    };
    (@cases $metas:tt $name:ident, $fresh:path, $($group:ident: $($case:ident),+;)+) => {
        mod $name {
            $(mod $group { $(suite!(@case $metas $fresh, $group, $case);)+ })+
        }
    };
    (@case [$(#[$meta:meta])*] $fresh:path, $group:ident, $case:ident) => {
        $(#[$meta])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let subject = $fresh().await;
            crate::suite::$group::$case(&subject).await;
        }
    };
}
