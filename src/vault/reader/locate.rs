//! Where chunks are: the snapshot's signed pages say which packs it may use, its signed indexes where in them.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::PackSource;
use crate::{
    codec::seal::Opener,
    format::{
        header::VerifiedHeader,
        index::{self, INDEX_LIMIT, SEALED_LIMIT, Section},
        layout,
        page::{PAGE_LIMIT, PackRef, Page},
    },
    model::{ChunkId, PackId},
    store::ObjectStore,
    vault::{Result, VaultError, VaultErrorKind, fetch},
};

/// How many pages or indexes are fetched at once.
const AT_ONCE: usize = 8;

/// A pack as a snapshot may use it.
pub(crate) struct PackPlace {
    pub(crate) key: crate::model::Key,
    pub(crate) id: PackId,
    pub(crate) sealed_len: u64,
    pub(crate) version: Option<String>,
    /// The pack's age header and nonce.
    pub(crate) header: Bytes,
    pub(crate) blocks: Vec<BlockPlace>,
}

/// A block within a pack.
pub(crate) struct BlockPlace {
    /// Where its bytes begin in the opened pack.
    pub(crate) offset: u64,
    pub(crate) stored: u32,
    pub(crate) plain: u32,
    pub(crate) codec: crate::codec::compress::Codec,
    pub(crate) base: Option<ChunkId>,
}

/// One place of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) pack: u32,
    pub(crate) block: u32,
    /// Where the chunk begins in the decoded block.
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// All places that a snapshot's chunks may have.
#[derive(Default)]
pub(crate) struct Places {
    pub(crate) packs: Vec<PackPlace>,
    chunks: HashMap<ChunkId, Located>,
    /// Further places of chunks that were stored more than once.
    others: HashMap<ChunkId, Vec<Located>>,
}

impl Places {
    /// Reads the snapshot's pages and indexes. Packs that no index tells of are asked themselves: a pack's own
    /// directory is enough.
    ///
    /// # Errors
    /// If a page is missing or not what was signed.
    pub(crate) async fn of(source: &PackSource, header: &VerifiedHeader) -> Result<Self> {
        let allowed: HashMap<PackId, PackRef> =
            pages(&*source.store, header).await?.into_iter().map(|pack| (pack.id, pack)).collect();
        let mut places = Self::default();
        let writer = &header.header.writer;
        let mut missing = allowed.clone();
        let fetched: Vec<Result<Vec<Section>>> = stream::iter(header.header.indexes.iter())
            .map(|index| sections(&*source.store, &source.opener, header, index))
            .buffered(AT_ONCE)
            .collect()
            .await;
        for found in fetched {
            // An index that is gone or damaged costs time, not data.
            for section in or_lost(found)?.unwrap_or_default() {
                if missing.remove(&section.pack).is_some()
                    && let Some(pack) = allowed.get(&section.pack)
                {
                    places.add(writer, section, pack);
                }
            }
        }
        let rest: Vec<(Section, PackRef)> = stream::iter(missing.into_values())
            .map(|pack| async move {
                let section = or_lost(super::directory::directory_of(source, writer, &pack).await)?;
                Ok::<_, VaultError>((section, pack))
            })
            .buffer_unordered(2)
            .try_filter_map(|(section, pack)| async move { Ok(section.map(|s| (s, pack))) })
            .try_collect()
            .await?;
        for (section, pack) in rest {
            places.add(writer, section, &pack);
        }
        Ok(places)
    }

    fn add(&mut self, writer: &crate::model::Name, section: Section, pack: &PackRef) {
        let Ok(pack_no) = u32::try_from(self.packs.len()) else { return };
        let mut blocks = Vec::with_capacity(section.directory.blocks.len());
        let mut offset = 0;
        for (block, block_no) in section.directory.blocks.iter().zip(0_u32..) {
            let mut at = 0;
            for chunk in &block.chunks {
                let place = Located { pack: pack_no, block: block_no, offset: at, len: chunk.len };
                at = at.saturating_add(chunk.len);
                match self.chunks.entry(chunk.id) {
                    std::collections::hash_map::Entry::Vacant(free) => drop(free.insert(place)),
                    std::collections::hash_map::Entry::Occupied(_) => {
                        self.others.entry(chunk.id).or_default().push(place);
                    }
                }
            }
            let (stored, plain, codec, base) = (block.stored, block.plain, block.codec, block.base);
            blocks.push(BlockPlace { offset, stored, plain, codec, base });
            offset += u64::from(block.stored);
        }
        self.packs.push(PackPlace {
            key: layout::pack(writer, &pack.id),
            id: pack.id,
            sealed_len: section.sealed_len,
            version: pack.version.clone(),
            header: section.header,
            blocks,
        });
    }

    /// Where a chunk is, first. A delta counts only if its base is there: a pack that the snapshot names for other
    /// chunks may hold an old delta of this one whose base it does not need any more.
    pub(crate) fn find(&self, id: &ChunkId) -> Option<Located> {
        let first = self.chunks.get(id).copied()?;
        if self.can_be_opened(first) {
            return Some(first);
        }
        self.others.get(id).into_iter().flatten().copied().find(|place| self.can_be_opened(*place)).or(Some(first))
    }

    /// Where a chunk is that is a base, which is never a delta itself, though another pack may hold it as one.
    pub(crate) fn find_base(&self, id: &ChunkId) -> Option<Located> {
        let whole = |place: &Located| self.block(*place).is_some_and(|(_, block)| block.base.is_none());
        let first = self.chunks.get(id).copied().filter(whole);
        first.or_else(|| self.others.get(id).into_iter().flatten().copied().find(whole))
    }

    fn can_be_opened(&self, place: Located) -> bool {
        let base = self.block(place).and_then(|(_, block)| block.base);
        base.is_none_or(|base| self.find_base(&base).is_some())
    }

    /// Every place of a chunk.
    pub(crate) fn candidates(&self, id: &ChunkId) -> Vec<Located> {
        self.chunks.get(id).copied().into_iter().chain(self.others.get(id).into_iter().flatten().copied()).collect()
    }

    pub(crate) fn pack(&self, no: u32) -> Option<&PackPlace> {
        self.packs.get(usize::try_from(no).ok()?)
    }

    pub(crate) fn block(&self, place: Located) -> Option<(&PackPlace, &BlockPlace)> {
        let pack = self.pack(place.pack)?;
        Some((pack, pack.blocks.get(usize::try_from(place.block).ok()?)?))
    }
}

/// The packs that a snapshot's signed pages name.
pub(super) async fn pages(store: &dyn ObjectStore, header: &VerifiedHeader) -> Result<Vec<PackRef>> {
    let pages: Vec<Vec<PackRef>> = stream::iter(header.header.pages.iter())
        .map(|named| page(store, header, named))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(pages.into_iter().flatten().collect())
}

/// The packs that one of a snapshot's pages names.
pub(crate) async fn page(
    store: &dyn ObjectStore,
    header: &VerifiedHeader,
    named: &crate::format::header::ObjectRef,
) -> Result<Vec<PackRef>> {
    let (vault, writer) = (header.descriptor.vault, &header.header.writer);
    let key = layout::page(writer, &named.hash);
    let bytes = fetch::by_hash(store, &key, named.version.as_deref(), &named.hash, PAGE_LIMIT).await?;
    Ok(Page::decode(&bytes, vault, writer)?.packs)
}

/// The sections of one of a snapshot's indexes.
pub(crate) async fn sections(
    store: &dyn ObjectStore,
    opener: &Opener,
    header: &VerifiedHeader,
    index: &crate::format::header::ObjectRef,
) -> Result<Vec<Section>> {
    let (vault, writer) = (header.descriptor.vault, &header.header.writer);
    let key = layout::index(writer, &index.hash);
    let sealed = fetch::by_hash(store, &key, index.version.as_deref(), &index.hash, SEALED_LIMIT).await?;
    let plain = opener.open(&sealed, INDEX_LIMIT)?;
    let mut sections = Vec::new();
    index::open(&plain, vault, writer, &header.certificate.signing_key, |section, _| {
        sections.push(section);
        Ok::<_, VaultError>(())
    })
    .map_err(|error| VaultError { object: Some(key.to_string()), ..error })?;
    Ok(sections)
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

/// A shared handle on the places of a snapshot.
pub(crate) type Shared = Arc<Places>;
