//! What snapshots need, each object once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::object::{Id, Object};
use crate::model::Name;

/// So many objects are counted once by a rehearsal; of more, some are counted again.
const COUNTED: usize = 1 << 21;

/// What all windows share: objects by their place in a table, since snapshots share most of them.
pub(super) struct Table {
    /// So many objects are in it before another is begun: of 128 thousand about 25 MB.
    room: usize,
    objects: Vec<Object>,
    places: HashMap<Id, u32>,
    /// The packs that each page names. By key: whoever names a page of another writer names nothing.
    pub(super) pages: HashMap<Id, Arc<[u32]>>,
    writers: HashMap<Name, Arc<Name>>,
}

impl Table {
    pub(super) fn new(room: usize) -> Self {
        let (objects, places, pages, writers) = (Vec::new(), HashMap::new(), HashMap::new(), HashMap::new());
        Self { room, objects, places, pages, writers }
    }

    pub(super) fn writer(&mut self, name: &Name) -> Arc<Name> {
        Arc::clone(self.writers.entry(name.clone()).or_insert_with(|| Arc::new(name.clone())))
    }

    pub(super) fn add(&mut self, object: Object) -> u32 {
        let next = u32::try_from(self.objects.len()).unwrap_or(u32::MAX);
        let at = *self.places.entry(Id::of(object.key().as_str())).or_insert(next);
        if at == next {
            self.objects.push(object);
        }
        at
    }

    /// Whether it has grown so large that a new one is to be begun.
    pub(super) fn is_full(&self) -> bool {
        self.objects.len() >= self.room
    }

    pub(super) fn get(&self, at: u32) -> Option<&Object> {
        self.objects.get(at as usize)
    }
}

/// What a rehearsal counted already.
#[derive(Default)]
pub(super) struct Counted(HashSet<Id>);

impl Counted {
    /// Whether this is to be counted now.
    pub(super) fn first(&mut self, object: Id) -> bool {
        !self.0.contains(&object) && (self.0.len() >= COUNTED || self.0.insert(object))
    }
}
