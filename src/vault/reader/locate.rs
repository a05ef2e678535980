//! Where chunks are: the snapshot's signed pages say which packs it may use, its signed indexes where in them.

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};

use super::{
    PackSource,
    places::{Hint, Places},
};
use crate::{
    codec::seal::Opener,
    format::{
        header::{ObjectRef, VerifiedHeader},
        index::{self, Encoded, SEALED_LIMIT},
        layout::{self, ObjectName},
        page::{PACKS_PER_PAGE, PAGE_LIMIT, PackRef, Page},
    },
    model::{ChunkId, Key, Name, PackId},
    store::{ObjectStore, StoreErrorKind},
    vault::{Result, VaultError, VaultErrorKind, fetch},
};

/// How many pages or indexes are fetched at once.
const AT_ONCE: usize = 8;

/// So many packs that no index tells of are asked for without being looked up in a listing.
const FEW: usize = 64;

/// So many bytes of indexes are fetched at once; one that is larger is by itself.
const BYTES_AT_ONCE: u64 = 16 << 20;

/// Reads the snapshot's pages and indexes. Packs that no index tells of are asked themselves: a pack's own directory is
/// enough.
///
/// # Errors
/// If a page is missing or not what was signed.
pub(crate) async fn places(source: &PackSource, header: &VerifiedHeader) -> Result<Places> {
    let writer = &header.header.writer;
    let mut places = Places::new(writer.clone());
    let mut packs = Packs::of(header.header.pages.len());
    let mut read = pages_in_turn(&*source.store, header);
    while let Some(page) = read.try_next().await? {
        for pack in page {
            packs.add(pack.id, places.hint(pack.version.as_deref())?);
        }
    }
    packs.sort();
    let mut add = |section: Encoded<'_>| {
        if let Some(pack) = packs.get_mut(&section.pack)
            && pack.known != Known::Located
            && places.add(&section, pack.hint)?
        {
            pack.known = Known::Located;
        }
        Ok(())
    };
    for some in together(&header.header.indexes) {
        let reads = some.iter().map(|index| sealed(&*source.store, header, index));
        // In their order, each let go as soon as it was read.
        let mut fetched = stream::iter(reads).buffered(AT_ONCE);
        while let Some(found) = fetched.next().await {
            let read = found.and_then(|sealed| sections(&sealed, &source.opener, header, &mut add));
            // An index that is gone or damaged costs time, not data.
            or_lost(read)?;
        }
    }
    for Pack { id, hint, .. } in packs.left(source, writer).await? {
        // One after the other: a pack may be as large as its limit, and all of it is its directory.
        let version = places.version(hint)?;
        if let Some(own) = or_lost(super::directory::directory_of(source, writer, &id, version.as_deref()).await)? {
            or_lost(places.add(&own.encoded(id, version.as_deref()), hint))?;
        }
    }
    if places.are_many() {
        let sorting = tokio::task::spawn_blocking(move || places.sort().map(|()| places));
        return sorting.await.map_err(|_| VaultError::stage_gone("ordering chunks"))?;
    }
    places.sort()?;
    Ok(places)
}

/// What is known of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    /// An index says where its chunks are.
    Located,
    /// The store lists it.
    Listed,
}

/// A pack that a snapshot names.
#[derive(Debug, Clone, Copy)]
struct Pack {
    id: PackId,
    hint: Hint,
    known: Known,
}

/// All of them, at 44 bytes each: a header can name two million.
#[derive(Debug)]
struct Packs(Vec<Pack>);

impl Packs {
    /// With room for so many pages: what grows is copied, and so there twice.
    fn of(pages: usize) -> Self {
        Self(Vec::with_capacity(pages * PACKS_PER_PAGE))
    }

    fn add(&mut self, id: PackId, hint: Hint) {
        self.0.push(Pack { id, hint, known: Known::Nothing });
    }

    /// Called once all are there.
    fn sort(&mut self) {
        self.0.sort_unstable_by_key(|pack| pack.id);
        self.0.dedup_by_key(|pack| pack.id);
    }

    fn get_mut(&mut self, id: &PackId) -> Option<&mut Pack> {
        let at = self.0.binary_search_by(|pack| pack.id.cmp(id)).ok()?;
        self.0.get_mut(at)
    }

    /// Those that no index tells of. Of very many only those that the store lists: whoever has a writer's key can sign for millions
    /// that never were, and to ask for each would take hours.
    async fn left(mut self, source: &PackSource, writer: &Name) -> Result<Vec<Pack>> {
        self.0.retain(|pack| pack.known != Known::Located);
        if self.0.len() > FEW {
            let (store, prefix) = (&source.store, layout::own(layout::PACKS, writer));
            let mut add = |key: &str| {
                if let Some(ObjectName::Pack(_, id)) = layout::parse(key) {
                    self.get_mut(&id).into_iter().for_each(|pack| pack.known = Known::Listed);
                }
            };
            let listed = if store.traits().versions {
                store.list_versions(&prefix, &mut |entry| add(&entry.key)).await
            } else {
                store.list(&prefix, &mut |entry| add(&entry.key)).await
            };
            match listed {
                Ok(()) => self.0.retain(|pack| pack.known == Known::Listed),
                // Whoever may not list asks for each.
                Err(error) if error.kind == StoreErrorKind::Denied => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.0)
    }
}

/// Parts indexes into runs of those that are fetched at once.
fn together(indexes: &[ObjectRef]) -> Vec<&[ObjectRef]> {
    let (mut runs, mut from, mut bytes) = (Vec::new(), 0, 0_u64);
    for (at, index) in indexes.iter().enumerate() {
        if at > from && bytes.saturating_add(index.bytes) > BYTES_AT_ONCE {
            runs.extend(indexes.get(from..at));
            (from, bytes) = (at, 0);
        }
        bytes = bytes.saturating_add(index.bytes);
    }
    runs.extend(indexes.get(from..).filter(|rest| !rest.is_empty()));
    runs
}

/// The packs that a snapshot's signed pages name.
pub(super) async fn pages(store: &dyn ObjectStore, header: &VerifiedHeader) -> Result<Vec<PackRef>> {
    let pages: Vec<Vec<PackRef>> = pages_in_turn(store, header).try_collect().await?;
    Ok(pages.into_iter().flatten().collect())
}

/// The same page by page.
fn pages_in_turn<'a>(
    store: &'a dyn ObjectStore,
    header: &'a VerifiedHeader,
) -> impl Stream<Item = Result<Vec<PackRef>>> + Unpin + 'a {
    let pages = stream::iter(header.header.pages.iter());
    Box::pin(pages.map(move |named| page(store, header, named)).buffered(AT_ONCE))
}

/// The packs that one of a snapshot's pages names.
pub(crate) async fn page(store: &dyn ObjectStore, header: &VerifiedHeader, named: &ObjectRef) -> Result<Vec<PackRef>> {
    let (vault, writer) = (header.descriptor.vault, &header.header.writer);
    let key = layout::page(writer, &named.hash);
    let bytes = fetch::by_hash(store, &key, named.version.as_deref(), &named.hash, PAGE_LIMIT).await?;
    Ok(Page::decode(&bytes, vault, writer)?.packs)
}

/// One of a snapshot's indexes, as it is stored.
///
/// # Errors
/// If no version of it is what was signed, or the store does not answer.
pub(crate) async fn sealed(
    store: &dyn ObjectStore,
    header: &VerifiedHeader,
    index: &ObjectRef,
) -> Result<(Key, Bytes)> {
    let key = layout::index(&header.header.writer, &index.hash);
    let bytes = fetch::by_hash(store, &key, index.version.as_deref(), &index.hash, SEALED_LIMIT).await?;
    Ok((key, bytes))
}

/// Gives the sections of an index to `each`.
///
/// # Errors
/// If it can't be opened, is not what the snapshot's writer signed, or `each` fails.
pub(crate) fn sections(
    (key, sealed): &(Key, Bytes),
    opener: &Opener,
    header: &VerifiedHeader,
    mut each: impl FnMut(Encoded<'_>) -> Result<()>,
) -> Result<()> {
    let of = (header.descriptor.vault, &header.header.writer, &header.certificate.signing_key);
    let read = index::open_encoded(sealed, opener, of, |section, _| each(section));
    read.map(drop).map_err(|error| VaultError { object: Some(key.to_string()), ..error })
}

/// `None` for what is lost or damaged; a store that does not answer has lost nothing.
fn or_lost<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_of_object() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The error of a chunk that no pack of the snapshot holds.
pub(crate) fn lost(id: &ChunkId) -> VaultError {
    let what = format!("chunk {id} is in no pack that the snapshot names and that can be read");
    VaultError::new(VaultErrorKind::Damaged, what)
}
