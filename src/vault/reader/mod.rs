//! The reader: a snapshot goes in, its streams come out, byte for byte, or an error.

mod ahead;
mod decode;
mod desk;
mod locate;
mod plan;
mod stream;

use std::sync::Arc;

use super::{Result, Vault, VaultError, VaultErrorKind, keys};
use crate::{
    codec::{
        hash::{ChunkIdKey, Hasher},
        seal::Opener,
    },
    format::{
        body::{BODY_LIMIT, Body, StreamRecord},
        epoch::EpochKeys,
        header::VerifiedHeader,
        list::{self, ChunkRef},
    },
    model::{Cancel, ChunkId, Hash, Progress, Silent},
    store::ObjectStore,
};
pub(crate) use ahead::PagesAhead;
pub(crate) use decode::directory_of_sealed;
use locate::Places;
pub(crate) use locate::sections;

/// A snapshot that was opened.
pub struct Snapshot {
    /// Its header.
    pub header: VerifiedHeader,
    /// Its body.
    pub body: Body,
    pub(super) places: Arc<Places>,
    pub(super) source: PackSource,
}

/// Where a snapshot's packs are and what opens them.
#[derive(Clone)]
pub(crate) struct PackSource {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) opener: Opener,
    pub(crate) key: ChunkIdKey,
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
        let source = PackSource { store: Arc::clone(&vault.store), opener: keys.opener.clone(), key };
        let places = Arc::new(Places::of(&source, &header).await?);
        let bytes = read_small(&source, &places, &header.header.body, BODY_LIMIT).await?;
        let body = Body::decode(&bytes)?;
        Ok(Self { header, body, places, source })
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
        let chunks = self.chunks_of(stream).await?;
        self.restore_chunks(stream, chunks, out, progress, cancel).await
    }

    /// As [`restore_stream`](Self::restore_stream), with the stream's chunks from [`chunks_of`](Self::chunks_of).
    ///
    /// # Errors
    /// As for that.
    pub(crate) async fn restore_chunks(
        &self,
        stream: &StreamRecord,
        chunks: Vec<ChunkRef>,
        out: Box<dyn std::io::Write + Send>,
        progress: Arc<dyn Progress>,
        cancel: Cancel,
    ) -> Result<Box<dyn std::io::Write + Send>> {
        let job = stream::Job { places: Arc::clone(&self.places), source: self.source.clone(), progress, cancel };
        job.write(chunks, out, Some((stream.blake3, stream.bytes))).await
    }

    /// What a stream is and where its chunks are: equal for two snapshots whose restores would read the same bytes of
    /// the same packs, and come to the same.
    pub(crate) fn likeness(&self, stream: &StreamRecord, chunks: &[ChunkRef]) -> Hash {
        let mut hasher = Hasher::new();
        hasher.update(self.header.header.writer.as_str().as_bytes());
        hasher.update(stream.blake3.as_bytes());
        hasher.update(&stream.bytes.to_le_bytes());
        let mut place = |id: &ChunkId| {
            let found = self.places.find(id).and_then(|at| self.places.block(at));
            hasher.update(id.as_bytes());
            hasher.update(found.map_or(&[0; 32], |(pack, _)| pack.id.as_bytes()));
            found.and_then(|(_, block)| block.base)
        };
        for chunk in stream.list.iter().chain(chunks) {
            // A base is never a delta, so this ends there.
            place(&chunk.id).map(|base| place(&base));
        }
        hasher.finish()
    }

    /// The chunks of a stream, read from its list.
    ///
    /// # Errors
    /// If the list can't be read or does not add up.
    pub async fn chunks_of(&self, stream: &StreamRecord) -> Result<Vec<ChunkRef>> {
        if stream.depth == 0 {
            return Ok(stream.list.clone());
        }
        let limit = usize::try_from(stream.chunks).unwrap_or(usize::MAX).saturating_mul(list::ENTRY);
        let bytes = read_small(&self.source, &self.places, &stream.list, limit).await?;
        let chunks = list::decode(&bytes)?;
        let total: u64 = chunks.iter().map(|c| u64::from(c.len)).sum();
        if chunks.len() as u64 != stream.chunks || total != stream.bytes {
            let what = format!("the list of stream {} does not add up to its length", stream.name);
            return Err(VaultError::new(VaultErrorKind::Damaged, what));
        }
        Ok(chunks)
    }
}

/// Reads chunks into memory: bodies and lists.
async fn read_small(source: &PackSource, places: &Arc<Places>, chunks: &[ChunkRef], limit: usize) -> Result<Vec<u8>> {
    let total: u64 = chunks.iter().map(|c| u64::from(c.len)).sum();
    if total > limit as u64 {
        return Err(VaultError::new(VaultErrorKind::Damaged, "a body or a list is larger than it may be"));
    }
    let job = stream::Job {
        places: Arc::clone(places),
        source: source.clone(),
        progress: Arc::new(Silent),
        cancel: Cancel::default(),
    };
    let (sink, bytes) = stream::collect();
    drop(job.write(chunks.to_vec(), sink, None).await?);
    Ok(bytes.take())
}
