//! The pages of several snapshots, read ahead: days that follow each other have a page of their own each, and a store far
//! away would be waited for once for every one.

use std::{
    collections::{HashSet, VecDeque},
    pin::Pin,
};

use futures::{Stream, StreamExt, stream};

use super::locate::page;
use crate::{
    format::{
        header::{ObjectRef, VerifiedHeader},
        layout,
        page::PackRef,
    },
    model::Key,
    store::ObjectStore,
    vault::Result,
};

/// Reads pages in the order in which snapshots name them, each once, as many at once as suits the store.
pub(crate) struct PagesAhead<'a> {
    store: &'a dyn ObjectStore,
    order: VecDeque<Key>,
    reads: Pin<Box<dyn Stream<Item = Result<Vec<PackRef>>> + Send + 'a>>,
}

impl<'a> PagesAhead<'a> {
    /// Of these snapshots, in their order; pages that are `known` already are not read again.
    pub(crate) fn of(
        store: &'a dyn ObjectStore,
        snapshots: impl Iterator<Item = &'a VerifiedHeader>,
        known: impl Fn(&Key) -> bool,
    ) -> Self {
        let mut seen = HashSet::new();
        let named = snapshots.flat_map(|snapshot| snapshot.header.pages.iter().map(move |page| (snapshot, page)));
        let wanted: Vec<_> = named
            .filter(|(snapshot, page)| {
                let key = key(snapshot, page);
                !known(&key) && seen.insert(key)
            })
            .collect();
        let order = wanted.iter().map(|(snapshot, page)| key(snapshot, page)).collect();
        let read = move |(snapshot, named)| page(store, snapshot, named);
        let reads = Box::pin(stream::iter(wanted).map(read).buffered(store.at_once()));
        Self { store, order, reads }
    }

    /// The packs that a page names. Whoever asks for another than the next has it read for itself.
    ///
    /// # Errors
    /// If it can't be read.
    pub(crate) async fn page(&mut self, snapshot: &VerifiedHeader, named: &ObjectRef) -> Result<Vec<PackRef>> {
        if self.order.front() == Some(&key(snapshot, named)) {
            self.order.pop_front();
            if let Some(read) = self.reads.next().await {
                return read;
            }
        }
        page(self.store, snapshot, named).await
    }
}

fn key(snapshot: &VerifiedHeader, page: &ObjectRef) -> Key {
    layout::page(&snapshot.header.writer, &page.hash)
}
