//! Where the chunks of a snapshot are, in bounded memory: a restore must know of each chunk of a writer's indexes, of which a
//! vault of a tebibyte has eight million, and whoever has a writer's key can sign indexes of many more.
//!
//! A chunk takes 16 bytes and a block 49. Up to a bound they are in memory, beyond it in a file without a name
//! ([`Scratch`]). What stays in memory for each chunk is a quarter of a byte, and some bytes for each pack. Chunks are found
//! by the beginnings of their ids. Ids of other chunks that begin alike are possible: whoever reads a chunk holds its bytes
//! against its id, and tries the chunk's other places where they are not right.

mod order;
mod rows;

use std::io;

use bytes::Bytes;

use self::{
    order::Order,
    rows::{BLOCK, BlockRow, CHUNK, ChunkRow, PackRow},
};
use crate::{
    catalog::scratch::{self, Scratch},
    codec::compress::Codec,
    format::{index::Encoded, layout, list::ChunkRef, pack, pack::PACK_LIMIT},
    model::{ChunkId, Key, Name, PackId},
    vault::{Result, VaultError, VaultErrorKind},
};

/// So many bytes of chunks, and of blocks, and of what is said of packs are kept in memory.
const IN_MEMORY: usize = 16 << 20;

/// So many places of a chunk are tried. A run stores a chunk again only where it can't lean on what is there, so few have more
/// than two; whoever signs an index can name millions.
const TRIED: usize = 32;

/// A pack as a snapshot may use it.
pub(crate) struct PackPlace {
    pub(crate) key: Key,
    pub(crate) id: PackId,
    pub(crate) sealed_len: u64,
    pub(crate) version: Option<String>,
    /// The pack's age header and nonce.
    pub(crate) header: Bytes,
}

/// A block within a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockPlace {
    /// Where its bytes begin in the opened pack.
    pub(crate) offset: u64,
    pub(crate) stored: u32,
    pub(crate) plain: u32,
    pub(crate) codec: Codec,
    pub(crate) base: Option<ChunkId>,
}

/// One place of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located {
    /// The number of its pack.
    pub(crate) pack: u32,
    /// The number of its block, among those of all packs.
    pub(crate) block: u32,
    /// Where the chunk begins in the decoded block.
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// One place of a chunk, and its block.
pub(crate) type Found = (Located, BlockPlace);

/// Where a version that was hinted at is kept.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hint {
    at: u32,
    len: u8,
}

/// All places that a snapshot's chunks may have.
pub(crate) struct Places {
    writer: Name,
    packs: Vec<PackRow>,
    /// Versions and headers of packs.
    texts: Scratch,
    blocks: Scratch,
    chunks: Chunks,
    /// So many bytes of each are kept in memory.
    limit: usize,
}

/// The chunks: first in the order of the packs, then in the order in which they are found.
enum Chunks {
    Arriving(Scratch),
    Ordered(Order),
}

fn failed(error: io::Error) -> VaultError {
    let what = format!(
        "where the snapshot's chunks are does not fit into memory, and can't be kept in a file in {}; set TMPDIR to a directory \
         with more room",
        scratch::place().display()
    );
    VaultError::new(VaultErrorKind::Failed, what).because(error)
}

impl Places {
    /// None yet, of packs of this writer.
    pub(crate) const fn new(writer: Name) -> Self {
        Self::within(writer, IN_MEMORY)
    }

    const fn within(writer: Name, limit: usize) -> Self {
        let chunks = Chunks::Arriving(Scratch::new(limit));
        Self { writer, packs: Vec::new(), texts: Scratch::new(limit), blocks: Scratch::new(limit), chunks, limit }
    }

    /// Keeps a version until its pack is [added](Self::add).
    ///
    /// # Errors
    /// If the file can't be written.
    pub(crate) fn hint(&mut self, version: Option<&str>) -> Result<Hint> {
        let fits = |version: &str| Some((u32::try_from(self.texts.len()).ok()?, u8::try_from(version.len()).ok()?));
        let Some((version, (at, len))) = version.and_then(|version| Some((version, fits(version)?))) else {
            return Ok(Hint::default());
        };
        self.texts.append(version.as_bytes()).map_err(failed)?;
        Ok(Hint { at, len })
    }

    /// The version that was hinted at.
    ///
    /// # Errors
    /// If the file can't be read.
    pub(crate) fn version(&self, hint: Hint) -> Result<Option<String>> {
        let version = self.text(hint.at.into(), hint.len.into())?;
        Ok(String::from_utf8(version).ok().filter(|version| !version.is_empty()))
    }

    fn text(&self, at: u64, len: u16) -> Result<Vec<u8>> {
        let mut text = vec![0; len.into()];
        self.texts.read_at(at, &mut text).map(|()| text).map_err(failed)
    }

    /// Adds what an index or the pack itself says of a pack; false if no pack can be so. Nothing is found before all are
    /// [sorted](Self::sort).
    ///
    /// # Errors
    /// If the directory breaks the format, or the file can't be written.
    pub(crate) fn add(&mut self, section: &Encoded<'_>, hint: Hint) -> Result<bool> {
        // All of it is checked before any is kept.
        let (mut chunks, mut blocks, mut bytes) = (0_u64, 0_u64, 0_u64);
        pack::each_block(section.directory, |block| {
            chunks += block.chunks.len() as u64;
            blocks += 1;
            bytes += u64::from(block.stored);
        })?;
        let Chunks::Arriving(arriving) = &mut self.chunks else { return Ok(false) };
        let first = self.blocks.len() / BLOCK as u64;
        let room = |have: u64, more: u64| u32::try_from(have + more).is_ok();
        let numbers = (u32::try_from(self.packs.len()), u32::try_from(first), u16::try_from(section.header.len()));
        let (Ok(no), Ok(first), Ok(header_len)) = numbers else { return Ok(false) };
        if bytes > PACK_LIMIT as u64 || !room(first.into(), blocks) || !room(arriving.len() / CHUNK as u64, chunks) {
            return Ok(false);
        }
        let header = self.texts.append(section.header).map_err(failed)?;
        let (mut offset, mut kept, mut at) = (0, Ok(()), first);
        pack::each_block(section.directory, |block| {
            let row = BlockRow { pack: no, offset, plain: block.plain, stored: block.stored, base: block.base };
            offset += block.stored;
            let mut within = 0;
            let mut keep = || {
                self.blocks.append(&row.encode(block.codec))?;
                for chunk in &block.chunks {
                    arriving.append(&ChunkRow::new(chunk, within, at).encode())?;
                    within += chunk.len;
                }
                io::Result::Ok(())
            };
            if kept.is_ok() {
                kept = keep();
            }
            at += 1;
        })?;
        kept.map_err(failed)?;
        let (id, sealed_len) = (section.pack, section.sealed_len);
        self.packs.push(PackRow { id, sealed_len, header, header_len, hint });
        Ok(true)
    }

    /// Puts the chunks into the order in which they are found.
    ///
    /// # Errors
    /// If the file can't be written.
    pub(crate) fn sort(&mut self) -> Result<()> {
        if let Chunks::Arriving(arriving) = &mut self.chunks {
            let arrived = std::mem::replace(arriving, Scratch::new(0));
            self.chunks = Chunks::Ordered(Order::of(arrived, self.limit).map_err(failed)?);
        }
        Ok(())
    }

    /// Whether sorting takes long enough to have a thread of its own.
    pub(crate) const fn are_many(&self) -> bool {
        match &self.chunks {
            Chunks::Arriving(arriving) => !arriving.is_in_memory(),
            Chunks::Ordered(_) => false,
        }
    }

    /// Every place of a chunk, and rarely one of another whose id begins as its does; in the order of the packs, of very many
    /// the first. Those that `fits` refuses are left out.
    fn all(&self, id: &ChunkId, fits: impl Fn(u32) -> bool) -> Result<impl Iterator<Item = Result<Found>>> {
        let rows = match &self.chunks {
            Chunks::Ordered(order) => order.alike(id).map_err(failed)?,
            Chunks::Arriving(_) => Vec::new(),
        };
        let fitting = rows.into_iter().filter(move |row| fits(row.len)).take(TRIED);
        Ok(fitting.map(|row| {
            let (pack, place) = self.row(row.block)?;
            Ok((Located { pack, block: row.block, offset: row.offset(), len: row.len }, place))
        }))
    }

    /// Where a chunk is, first. A delta counts only if its base is there: a pack that the snapshot names for other
    /// chunks may hold an old delta of this one whose base it does not need any more.
    ///
    /// # Errors
    /// If the file can't be read.
    pub(crate) fn find_of(&self, chunk: ChunkRef) -> Result<Option<Found>> {
        let mut first = None;
        for found in self.all(&chunk.id, |len| len == chunk.len)? {
            let found = found?;
            let can_be_opened = match found.1.base {
                Some(base) => self.find_base(&base)?.is_some(),
                None => true,
            };
            if can_be_opened {
                return Ok(Some(found));
            }
            first.get_or_insert(found);
        }
        Ok(first)
    }

    /// Where a chunk is that is a base, which is never a delta itself, though another pack may hold it as one.
    ///
    /// # Errors
    /// If the file can't be read.
    pub(crate) fn find_base(&self, id: &ChunkId) -> Result<Option<Found>> {
        let is_whole = |found: &Result<Found>| found.as_ref().map_or(true, |(_, block)| block.base.is_none());
        self.all(id, |_| true)?.find(is_whole).transpose()
    }

    /// The places of a chunk, of very many the first.
    ///
    /// # Errors
    /// If the file can't be read.
    pub(crate) fn candidates(&self, id: &ChunkId) -> Result<Vec<Found>> {
        self.all(id, |_| true)?.collect()
    }

    /// The pack of this number.
    ///
    /// # Errors
    /// If there is none, or the file can't be read.
    pub(crate) fn pack(&self, no: u32) -> Result<PackPlace> {
        let row = usize::try_from(no).ok().and_then(|no| self.packs.get(no));
        let row = row.ok_or_else(|| VaultError::stage_gone("finding a pack"))?;
        Ok(PackPlace {
            key: layout::pack(&self.writer, &row.id),
            id: row.id,
            sealed_len: row.sealed_len,
            version: self.version(row.hint)?,
            header: self.text(row.header, row.header_len)?.into(),
        })
    }

    /// The id of the pack of this number.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn id(&self, no: u32) -> Result<PackId> {
        let row = usize::try_from(no).ok().and_then(|no| self.packs.get(no));
        row.map(|row| row.id).ok_or_else(|| VaultError::stage_gone("finding a pack"))
    }

    /// How long the pack of this number is, and how long its header, both in bytes.
    pub(crate) fn lengths(&self, no: u32) -> Option<(u64, u64)> {
        let row = self.packs.get(usize::try_from(no).ok()?)?;
        Some((u64::from(row.header_len), row.sealed_len))
    }

    /// The block of this number, and that of its pack.
    ///
    /// # Errors
    /// If there is none, or the file can't be read.
    pub(crate) fn row(&self, no: u32) -> Result<(u32, BlockPlace)> {
        let mut row = [0; BLOCK];
        self.blocks.read_at(u64::from(no) * BLOCK as u64, &mut row).map_err(failed)?;
        BlockRow::decode(&row).ok_or_else(|| VaultError::stage_gone("finding a block"))
    }

    /// The ids of all packs, by their numbers.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &PackId> {
        self.packs.iter().map(|pack| &pack.id)
    }

    /// Gives each block with the id of its pack to `each`.
    ///
    /// # Errors
    /// If the file can't be read.
    pub(crate) fn each_block(&self, mut each: impl FnMut(&PackId, BlockPlace)) -> Result<()> {
        let read = self.blocks.each_piece(BLOCK, |piece| {
            for (pack, place) in piece.as_chunks().0.iter().filter_map(BlockRow::decode) {
                if let Some(row) = usize::try_from(pack).ok().and_then(|no| self.packs.get(no)) {
                    each(&row.id, place);
                }
            }
            Ok(())
        });
        read.map_err(failed)
    }
}

#[cfg(test)]
mod tests;
