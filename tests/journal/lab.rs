//! A vault in memory with a log whose every byte is known, and a base or more in it.

use std::sync::Arc;

use strongroom::{
    codec::hash,
    model::{
        Clock, Name, Span as Duration,
        journal::{Line, Position, Reach, Span, Start},
    },
    store::{ObjectStore, memory::MemoryStore},
    vault::{
        Vault,
        journal::{self, JournalWriter, LineListing, Listed, Put, Reader},
        snapshots,
    },
};

use crate::{
    store_support::HandClock,
    vault_support::{Based, Made, make, noise, policy, streams},
};

/// Where the log of the tests begins.
pub const START: u64 = 0x0100_0000;

pub fn line(timeline: u32) -> Line {
    Line::postgres(0x68f1_a2b3_c4d5_e6f7, timeline)
}

pub fn span(from: u64, to: u64) -> Span {
    Span::new(Position(from), Position(to)).unwrap()
}

/// The log between two positions: the same whoever asks.
pub fn log(from: u64, to: u64) -> Vec<u8> {
    let block = |at: u64| *hash::hash(&(at / 32).to_le_bytes()).as_bytes();
    (from..to).map(|at| block(at)[usize::try_from(at % 32).unwrap()]).collect()
}

pub struct Lab {
    pub made: Made,
    pub store: MemoryStore,
    pub clock: Arc<HandClock>,
    pub state: tempfile::TempDir,
}

impl Lab {
    pub async fn new() -> Self {
        let clock = HandClock::new();
        let store = MemoryStore::new(clock.clone()).with_default_lock(policy().mode, Duration::days(65));
        let made = make(Arc::new(store.clone()), clock.clone(), policy()).await;
        Self { made, store, clock, state: tempfile::tempdir().unwrap() }
    }

    pub fn source() -> Name {
        "orders".parse().unwrap()
    }

    pub fn writer(&self) -> JournalWriter {
        JournalWriter::new(self.made.place(), Self::source(), None).unwrap()
    }

    /// Puts the log from `START + from` up to `START + to`.
    pub async fn put(&self, writer: &JournalWriter, from: u64, to: u64) -> Put {
        let (from, to) = (START + from, START + to);
        writer.put(&line(1), span(from, to), &log(from, to), self.clock.now()).await.unwrap()
    }

    pub async fn base(&self, at: u64) -> strongroom::model::SnapshotId {
        self.base_on(1, at).await
    }

    /// A base whose journal begins `at` bytes after the start.
    pub async fn base_on(&self, timeline: u32, at: u64) -> strongroom::model::SnapshotId {
        let start = Start { line: line(timeline), from: Position(START + at) };
        let base = Based(streams([("base.tar", noise(at, 50_000))]), start);
        self.made.backup(self.state.path(), "orders", base).await.unwrap().id
    }

    pub async fn vault(&self) -> Vault {
        Vault::open(Arc::clone(&self.made.store), Some(self.made.id)).await.unwrap()
    }

    /// Opens every piece of the vault and holds it against the log; returns what the pieces that open cover, and how many
    /// do not.
    pub async fn opened(&self) -> (Reach, Vec<String>) {
        let vault = self.vault().await;
        let snapshots = snapshots::list(&vault).await.unwrap().snapshots;
        let reader = Reader::new(&vault, &self.made.owner, &snapshots).await.unwrap();
        let (mut reach, mut wrong) = (Reach::default(), Vec::new());
        for (line, listed) in self.listed().await {
            let Some(at) = listed.span else { continue };
            match reader.open(&line, &listed).await {
                Ok(opened) => {
                    assert!(opened.log == log(at.from.0, at.to.0), "{at:?} holds something else");
                    reach.add(at);
                }
                Err(error) => wrong.push(format!("{:?}: {error}", error.kind)),
            }
        }
        (reach, wrong)
    }

    pub async fn listed(&self) -> Vec<(LineListing, Listed)> {
        let listing = journal::list(&self.vault().await, None, &Self::source()).await.unwrap();
        assert!(!listing.more && !listing.unlisted);
        listing.lines.iter().flat_map(|line| line.objects.iter().map(|one| (line.clone(), *one))).collect()
    }

    /// The keys below `journals/`, in their order.
    pub async fn keys(&self) -> Vec<String> {
        crate::store_support::keys(&self.store as &dyn ObjectStore, "journals/").await
    }
}
