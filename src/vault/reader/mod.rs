//! The reader: a snapshot goes in, its streams come out, byte for byte, or an error.

mod ahead;
mod block_cache;
mod body;
mod cost;
mod decode;
mod directory;
mod locate;
mod places;
mod plan;
mod recover;
mod resume;
mod seeds;
mod small;
mod stream;
mod walk;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{Result, Vault, VaultError, VaultErrorKind, fetch, keys};
use crate::{
    codec::{
        hash::{ChunkIdKey, Hasher},
        seal::Opener,
    },
    format::{
        body::{Body, StreamRecord},
        epoch::EpochKeys,
        header::{HEADER_LIMIT, VerifiedHeader},
        layout,
        list::ChunkRef,
    },
    model::{Cancel, ChunkId, Hash, Name, PackId, Progress, Silent, SnapshotId},
    store::ObjectStore,
};
pub(crate) use ahead::PagesAhead;
pub use cost::Fetching;
pub(crate) use directory::directory_hash;
pub(crate) use locate::{sealed, sections};
use places::Places;
use plan::Budget;
pub use resume::Sink;
pub use seeds::Seeds;
use stream::Tally;

/// A snapshot that was opened.
pub struct Snapshot {
    /// Its header.
    pub header: VerifiedHeader,
    /// Its body.
    pub body: Body,
    pub(super) places: Arc<Places>,
    pub(super) source: PackSource,
    blocks: small::Blocks,
}

/// The packs that an earlier snapshot needs; nothing where it is not there any more.
///
/// # Errors
/// If the store does not answer.
pub(crate) async fn packs_of(
    vault: &Vault,
    writer: &Name,
    seq: u64,
    id: SnapshotId,
) -> Result<Option<HashSet<PackId>>> {
    let (key, wanted) = (layout::header(writer, seq, &id), Hash::from_bytes(*id.as_bytes()));
    let found = async {
        let bytes = fetch::by_hash(&*vault.store, &key, None, &wanted, HEADER_LIMIT).await?;
        let header = VerifiedHeader::open(&bytes, vault.descriptor.vault)?;
        locate::pages(&*vault.store, &header).await
    };
    match found.await {
        Ok(packs) => Ok(Some(packs.into_iter().map(|pack| pack.id).collect())),
        Err(error) if error.is_of_object() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The packs that a snapshot needs, with their sealed bytes, as its pages say; nothing where one can't be read.
///
/// # Errors
/// If the store does not answer.
pub(crate) async fn packs_with_bytes(vault: &Vault, header: &VerifiedHeader) -> Result<Option<BTreeMap<PackId, u64>>> {
    match locate::pages(&*vault.store, header).await {
        Ok(packs) => Ok(Some(packs.into_iter().map(|pack| (pack.id, pack.bytes)).collect())),
        Err(error) if error.is_of_object() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a snapshot's packs are and what opens them.
#[derive(Clone)]
pub(crate) struct PackSource {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) opener: Opener,
    pub(crate) key: ChunkIdKey,
    /// Shared by its clones.
    pub(crate) salvaged: Arc<recover::Salvaged>,
}

impl Snapshot {
    /// Opens a snapshot with an identity of an owner or a driller: the epoch's keys, the snapshot's pages and indexes,
    /// and its body.
    ///
    /// # Errors
    /// `NoIdentity` if `people` can't open the epoch; `Damaged` if something that the header names is missing or not
    /// what was signed.
    pub async fn open(vault: &Vault, header: VerifiedHeader, people: &Opener) -> Result<Self> {
        let keys = keys::epoch_keys(vault, &header.epoch, people).await?;
        Self::open_with(vault, header, &keys).await
    }

    /// As [`open`](Self::open), with the keys of the snapshot's epoch: whoever opens many snapshots opens those once.
    ///
    /// # Errors
    /// `Damaged` if something that the header names is missing or not what was signed.
    pub async fn open_with(vault: &Vault, header: VerifiedHeader, keys: &EpochKeys) -> Result<Self> {
        let key = keys.chunk_id_key.for_writer(&header.header.writer);
        let source =
            PackSource { store: Arc::clone(&vault.store), opener: keys.opener.clone(), key, salvaged: Arc::default() };
        let places = Arc::new(Box::pin(locate::places(&source, &header)).await?);
        let body = Box::pin(body::read(&source, &places, &header.header.body)).await?;
        Ok(Self { header, body, places, source, blocks: small::Blocks::default() })
    }

    /// Writes one stream to `out`, in order, and returns `out` when all of it was written and its hash is right.
    /// Nothing that was not verified is written; on an error what was written is a true beginning of the stream.
    ///
    /// # Errors
    /// `Damaged` if a chunk can be had from no pack that the snapshot names; `Failed` if `out` fails.
    pub async fn restore_stream(
        &self,
        stream: &StreamRecord,
        out: Box<dyn std::io::Write + Send>,
        progress: Arc<dyn Progress>,
        cancel: Cancel,
    ) -> Result<Box<dyn std::io::Write + Send>> {
        if cancel.is_cancelled() {
            return Err(VaultError::cancelled());
        }
        if let Some(bytes) = self.small(stream).await {
            // Whoever takes them may be slow.
            let len = bytes.len() as u64;
            let writing = tokio::task::spawn_blocking(move || stream::put(out, &bytes));
            let out = writing.await.map_err(|_| VaultError::stage_gone("writing"))??;
            progress.advance(len);
            return Ok(out);
        }
        let mut walk = walk::Walk::new(self, stream, cancel.clone());
        let (mut out, mut tally) = (out, Some(Tally::new()));
        while let Some(chunks) = walk.next().await? {
            let (places, source) = (Arc::clone(&self.places), self.source.clone());
            let (progress, cancel) = (Arc::clone(&progress), cancel.clone());
            let job = stream::Job { places, source, budget: Budget::STREAM, progress, cancel };
            (out, tally) = job.write(chunks, out, tally).await?;
        }
        match tally {
            Some(tally) => tally.check(stream.blake3, stream.bytes).map(|()| out),
            None => Err(VaultError::stage_gone("reading")),
        }
    }

    /// All of a small stream, if it is where it should be.
    async fn small(&self, stream: &StreamRecord) -> Option<Vec<u8>> {
        if stream.depth > 0 || stream.bytes > small::SMALL {
            return None;
        }
        let bytes = self.blocks.read(&self.source, &self.places, &stream.list).await?;
        let mut tally = Tally::new();
        tally.add(&bytes);
        tally.check(stream.blake3, stream.bytes).ok().map(|()| bytes)
    }

    /// What a stream is and where its chunks are: equal for two snapshots whose restores would read the same bytes of
    /// the same packs, and come to the same.
    ///
    /// # Errors
    /// If its list can't be read or does not add up.
    pub(crate) async fn likeness(&self, stream: &StreamRecord, cancel: &Cancel) -> Result<Hash> {
        let mut hasher = Hasher::new();
        hasher.update(self.header.header.writer.as_str().as_bytes());
        hasher.update(stream.blake3.as_bytes());
        hasher.update(&stream.bytes.to_le_bytes());
        // All places: where one is not right, a restore takes another, and another snapshot may not name that.
        let mut place = |id: &ChunkId| {
            hasher.update(id.as_bytes());
            let mut bases = Vec::new();
            for (place, block) in self.places.candidates(id)? {
                hasher.update(self.places.id(place.pack)?.as_bytes());
                bases.extend(block.base);
            }
            hasher.update(&[0; 32]);
            Ok::<_, VaultError>(bases)
        };
        let mut add = |chunks: &[ChunkRef]| {
            for (no, chunk) in chunks.iter().enumerate() {
                if no % 256 == 0 && cancel.is_cancelled() {
                    return Err(VaultError::cancelled());
                }
                // A base is never a delta, so this ends there.
                for base in place(&chunk.id)? {
                    place(&base)?;
                }
            }
            Ok(())
        };
        add(&stream.list)?;
        let mut walk = walk::Walk::new(self, stream, cancel.clone());
        while let Some(chunks) = walk.next().await? {
            add(&chunks)?;
        }
        Ok(hasher.finish())
    }

    /// The packs that it needs.
    pub(crate) fn packs(&self) -> HashSet<PackId> {
        self.places.ids().copied().collect()
    }

    /// Of the packs that are not among those of `before`, the bytes as they were read and as they are compressed.
    ///
    /// # Errors
    /// If what is known of them can't be read any more.
    pub(crate) fn anew(&self, before: &HashSet<PackId>) -> Result<(u64, u64)> {
        let (mut plain, mut stored) = (0, 0);
        self.places.each_block(|pack, block| {
            if !before.contains(pack) {
                plain += u64::from(block.plain);
                stored += u64::from(block.stored);
            }
        })?;
        Ok((plain, stored))
    }

    /// Bytes of all blocks that the snapshot's packs hold, decoded.
    ///
    /// # Errors
    /// If what is known of them can't be read any more.
    pub(crate) fn held(&self) -> Result<u64> {
        let mut held = 0_u64;
        self.places.each_block(|_, block| held = held.saturating_add(block.plain.into()))?;
        Ok(held)
    }

    /// The chunks of a stream, read from its list, all of them in memory: for streams of a known size.
    ///
    /// # Errors
    /// If the list can't be read or does not add up.
    pub async fn chunks_of(&self, stream: &StreamRecord) -> Result<Vec<ChunkRef>> {
        let mut walk = walk::Walk::new(self, stream, Cancel::default());
        let mut all = Vec::new();
        while let Some(chunks) = walk.next().await? {
            all.extend(chunks);
        }
        Ok(all)
    }
}

/// Reads chunks into memory: bodies and lists.
async fn read_small(source: &PackSource, places: &Arc<Places>, chunks: &[ChunkRef], limit: usize) -> Result<Vec<u8>> {
    let total = chunks.iter().map(|c| u64::from(c.len)).fold(0, u64::saturating_add);
    if total > limit as u64 {
        return Err(VaultError::new(VaultErrorKind::Damaged, "a body or a list is larger than it may be"));
    }
    if total <= small::SMALL
        && let Some(bytes) = small::Blocks::default().read(source, places, chunks).await
    {
        return Ok(bytes);
    }
    let job = stream::Job {
        places: Arc::clone(places),
        source: source.clone(),
        budget: Budget::BODY,
        progress: Arc::new(Silent),
        cancel: Cancel::default(),
    };
    let (sink, bytes) = stream::collect(usize::try_from(total).unwrap_or(0));
    drop(job.write(chunks.to_vec(), sink, None).await?);
    Ok(bytes.take())
}
