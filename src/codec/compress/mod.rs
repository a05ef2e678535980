//! Compression of blocks, and deltas against another chunk: zstd frames (RFC 8878) that stock tools open.
//!
//! A frame states its content size and has neither checksum nor dictionary id: chunk ids are what is verified.

use std::{io::Cursor, sync::Arc};

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx};

pub use self::{
    effort::{Contexts, Effort},
    frame::{open_frame, whole_frame},
    trials::Trials,
};
use super::{CodecError, Result};

mod effort;
mod frame;
mod trials;

/// The most plaintext bytes of a block, of a chunk, and of a delta's base: 4 MiB.
pub const BLOCK_LIMIT: usize = 4 << 20;

/// Blocks up to this size are compressed without sampling them first. Also the distance of the samples.
const SAMPLE_EVERY: usize = 64 << 10;

/// The shortest match that a delta looks for far back, in bytes, and how seldom it looks (1 in 2 to the power of it).
/// On a dump with 2% of its rows changed, 64 and 1 in 16 made deltas 3 times larger at a third of the speed.
const LONG_MATCH: u32 = 128;
const LONG_MATCH_RATE: u32 = 7;

/// At the level that is used unless told otherwise, the shortest match that is looked for, in bytes. zstd looks for 5. A
/// dump of tables, whose rows share long stretches, took 3% less with 6 and no more time; source code took 0.5% more.
const USUAL_LEVEL: i32 = 3;
const SHORT_MATCH: u32 = 6;

/// The setting that is tried beside the usual one. In rows with hashes or measured values it takes little more than half
/// the time for as many bytes, or fewer: it finds the same matches, and no short ones that get in their way.
const QUICK_LEVEL: i32 = 1;
const QUICK_MATCH: u32 = 7;

/// The level of deltas, and the size of the table for short matches (2 to the power of it): long matches leave little
/// to be found. Level 3 with its usual tables took 1.6 times as long, mostly to fill them with the base, and deltas were
/// a little larger, as its shorter matches get in the way of the long ones.
const DELTA_LEVEL: i32 = 1;
const DELTA_TABLE: u32 = 12;

/// The size of a sample: enough for zstd to find text, too little to cost anything.
const SAMPLE: usize = 1 << 10;

/// How the bytes of a block or a chunk are stored. The numbers are part of the vault format; 3 is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As they are.
    Raw = 0,
    /// One zstd frame.
    Zstd = 1,
    /// One zstd frame that has another whole chunk as its prefix.
    ZstdDelta = 2,
}

impl From<Codec> for u8 {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::Raw => 0,
            Codec::Zstd => 1,
            Codec::ZstdDelta => 2,
        }
    }
}

impl TryFrom<u8> for Codec {
    type Error = CodecError;
    fn try_from(number: u8) -> Result<Self> {
        match number {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Zstd),
            2 => Ok(Self::ZstdDelta),
            _ => Err(CodecError::Damaged("an unknown codec: a newer version wrote this, or it is damaged")),
        }
    }
}

/// Compresses. Keeps its working memory from block to block: have one per thread.
pub struct Compressor {
    blocks: CCtx<'static>,
    /// A quicker setting for the blocks in which it loses nothing, at the usual level alone: who asks for another one means it.
    quick: Option<(CCtx<'static>, Arc<Trials>)>,
    harder: Arc<Contexts>,
    samples: CCtx<'static>,
    scratch: Vec<u8>,
    /// zstd wants room for the worst. What it makes is copied out, so that results take no more memory than they need.
    room: Vec<u8>,
}

impl Compressor {
    /// A compressor at a zstd level, 1 to 19.
    ///
    /// # Errors
    /// If the level is none of these, or memory is short.
    pub fn new(level: i32) -> Result<Self> {
        Self::of_several(level, Arc::default(), Arc::default())
    }

    /// One of several that are given neighbouring blocks of the same data, and share what they learn of it and what
    /// compressing harder needs.
    ///
    /// # Errors
    /// As [`Compressor::new`].
    pub fn of_several(level: i32, trials: Arc<Trials>, harder: Arc<Contexts>) -> Result<Self> {
        if !(1..=19).contains(&level) {
            return Err(CodecError::BadKey(format!("{level} is not a compression level from 1 to 19")));
        }
        let scratch = Vec::with_capacity(zstd_safe::compress_bound(SAMPLE));
        let (mut blocks, mut quick) = (context(level)?, None);
        if level == USUAL_LEVEL {
            shortest_match(&mut blocks, SHORT_MATCH)?;
            let mut context = context(QUICK_LEVEL)?;
            shortest_match(&mut context, QUICK_MATCH)?;
            quick = Some((context, trials));
        }
        Ok(Self { blocks, quick, harder, samples: context(1)?, scratch, room: Vec::new() })
    }

    /// Appends `src` to `out`, as one zstd frame if that saves 1/32 at least, as it is otherwise.
    ///
    /// What will not shrink is found by samples, one in each 64 KiB: a stretch as long as that which does shrink is
    /// always found.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] beyond [`BLOCK_LIMIT`]; if zstd fails.
    pub fn compress(&mut self, src: &[u8], out: &mut Vec<u8>) -> Result<Codec> {
        self.compress_by(Effort::Usual, src, out)
    }

    /// As [`Compressor::compress`], harder.
    ///
    /// # Errors
    /// As [`Compressor::compress`].
    pub fn compress_by(&mut self, effort: Effort, src: &[u8], out: &mut Vec<u8>) -> Result<Codec> {
        limited(src.len())?;
        let start = out.len();
        if src.len() <= SAMPLE_EVERY || self.shrinks(src)? {
            match effort {
                Effort::Usual => self.shrink(src, out)?,
                harder => {
                    self.harder.lend(harder, |context| frame(context, src, &mut self.room))?;
                    out.extend_from_slice(&self.room);
                }
            }
            if saves(src.len(), out.len().saturating_sub(start)) {
                return Ok(Codec::Zstd);
            }
            out.truncate(start);
        }
        out.extend_from_slice(src);
        Ok(Codec::Raw)
    }

    /// Appends one frame of `src`, with the setting that the last blocks speak for, or the better of both.
    fn shrink(&mut self, src: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let Some((quick, trials)) = &mut self.quick else {
            frame(&mut self.blocks, src, &mut self.room)?;
            out.extend_from_slice(&self.room);
            return Ok(());
        };
        let (mut first, mut second) = (&mut self.blocks, quick);
        let swapped = trials.quick(src.len());
        if swapped {
            std::mem::swap(&mut first, &mut second);
        }
        frame(first, src, &mut self.room)?;
        let (start, one) = (out.len(), self.room.len());
        out.extend_from_slice(&self.room);
        if trials.due(src.len(), one) {
            frame(second, src, &mut self.room)?;
            let other = self.room.len();
            if other < one {
                out.truncate(start);
                out.extend_from_slice(&self.room);
            }
            let (usual, quick) = if swapped { (other, one) } else { (one, other) };
            trials.decide(usual, quick);
        }
        Ok(())
    }

    /// Whether any sample of `src` gets smaller.
    fn shrinks(&mut self, src: &[u8]) -> Result<bool> {
        for stretch in src.chunks(SAMPLE_EVERY) {
            let sample = stretch.get(..SAMPLE).unwrap_or(stretch);
            self.scratch.clear();
            self.samples.compress2(&mut self.scratch, sample).map_err(|e| refused("compress", e))?;
            if saves(sample.len(), self.scratch.len()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Makes deltas against bases that live as long as it does: zstd borrows them. Making it costs as much as a delta or two.
pub struct DeltaMaker<'a>(CCtx<'a>);

impl<'a> DeltaMaker<'a> {
    /// A maker.
    ///
    /// # Errors
    /// If memory is short.
    pub fn new() -> Result<Self> {
        let mut context = context(DELTA_LEVEL)?;
        // Rows of a dump resemble each other more than enough to lead a fast matcher away from the row's old version,
        // and its tables are too small for a large base. Long matches first solves both; it looks at one place in 128,
        // since what it is to find is long.
        for setting in [
            CParameter::HashLog(DELTA_TABLE),
            CParameter::EnableLongDistanceMatching(true),
            CParameter::LdmMinMatch(LONG_MATCH),
            CParameter::LdmHashRateLog(LONG_MATCH_RATE),
        ] {
            context.set_parameter(setting).map_err(|e| refused("make a delta", e))?;
        }
        Ok(Self(context))
    }

    /// Appends `src` as a delta against `base`: what `zstd --patch-from=BASE` makes and `zstd -d` with it opens.
    ///
    /// Worth storing only if it is clearly smaller than what [`Compressor::compress`] makes; the caller compares.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] if either is beyond [`BLOCK_LIMIT`]; if zstd fails.
    pub fn delta(&mut self, base: &'a [u8], src: &[u8], out: &mut Vec<u8>) -> Result<()> {
        limited(base.len())?;
        limited(src.len())?;
        let window = CParameter::WindowLog(window_log(base.len().saturating_add(src.len())));
        self.0.set_parameter(window).map_err(|e| refused("make a delta", e))?;
        self.0.ref_prefix(base).map_err(|e| refused("make a delta", e))?;
        append(out, zstd_safe::compress_bound(src.len()), |room| self.0.compress2(room, src))
            .map_err(|e| refused("make a delta", e))
    }
}

/// Makes one frame of `src`, into `room` alone.
fn frame(context: &mut CCtx<'static>, src: &[u8], room: &mut Vec<u8>) -> Result<()> {
    room.clear();
    append(room, zstd_safe::compress_bound(src.len()), |room| context.compress2(room, src))
        .map_err(|e| refused("compress", e))
}

fn shortest_match(context: &mut CCtx<'static>, bytes: u32) -> Result<()> {
    context.set_parameter(CParameter::MinMatch(bytes)).map(|_| ()).map_err(|e| refused("compress", e))
}

fn context<'a>(level: i32) -> Result<CCtx<'a>> {
    let mut context = CCtx::try_create().ok_or_else(|| no_memory("compress"))?;
    let settings = [
        CParameter::CompressionLevel(level),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
        CParameter::DictIdFlag(false),
    ];
    for setting in settings {
        context.set_parameter(setting).map_err(|e| refused("compress", e))?;
    }
    Ok(context)
}

/// The smallest window that holds this many bytes, within what zstd allows.
fn window_log(bytes: usize) -> u32 {
    bytes.max(1024).checked_next_power_of_two().map_or(23, usize::trailing_zeros).min(23)
}

/// Whether compression earned its keep: 1/32 is less than it costs to read one block more.
fn saves(plain: usize, stored: usize) -> bool {
    stored < plain.saturating_sub(plain / 32)
}

/// Decompresses. Keeps its working memory: have one per thread.
///
/// Frames are opened in one step into memory of the size that the caller expects, so what a hostile frame claims
/// about its size or window costs nothing.
pub struct Decompressor {
    blocks: DCtx<'static>,
}

impl Decompressor {
    /// A decompressor.
    ///
    /// # Errors
    /// If memory is short.
    pub fn new() -> Result<Self> {
        DCtx::try_create().map(|blocks| Self { blocks }).ok_or_else(|| no_memory("decompress"))
    }

    /// Appends the `plain_len` bytes that `src` holds to `out`.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] beyond [`BLOCK_LIMIT`]; [`CodecError::Damaged`] if `src` is not one whole frame of
    /// exactly that many bytes, or a delta. `out` is then as it was.
    pub fn decompress(&mut self, codec: Codec, src: &[u8], plain_len: usize, out: &mut Vec<u8>) -> Result<()> {
        match codec {
            Codec::Raw => {
                limited(plain_len)?;
                if src.len() != plain_len {
                    return Err(DAMAGED);
                }
                out.extend_from_slice(src);
                Ok(())
            }
            Codec::Zstd => unpack(src, plain_len, out, |room| self.blocks.decompress(room, src)),
            Codec::ZstdDelta => Err(CodecError::Damaged("a delta needs its base to be opened")),
        }
    }

    /// Appends the `plain_len` bytes that the delta `src` makes of `base` to `out`.
    ///
    /// Another base than the right one may give an error or other bytes: check the chunk's id.
    ///
    /// # Errors
    /// As [`Decompressor::decompress`]. `out` is then as it was.
    pub fn undelta(&mut self, base: &[u8], src: &[u8], plain_len: usize, out: &mut Vec<u8>) -> Result<()> {
        limited(base.len())?;
        // Making a context costs as much as opening a delta, and one that was told of a prefix borrows it for good.
        // Opening with a raw dictionary is the same, unless the base looks like a dictionary of zstd's own form.
        if !base.starts_with(&DICTIONARY) {
            return unpack(src, plain_len, out, |room| self.blocks.decompress_using_dict(room, src, base));
        }
        let mut context: DCtx<'_> = DCtx::try_create().ok_or_else(|| no_memory("decompress"))?;
        context.ref_prefix(base).map_err(|e| refused("open a delta", e))?;
        unpack(src, plain_len, out, |room| context.decompress(room, src))
    }
}

/// What a dictionary of zstd's own form begins with (RFC 8878, section 5).
const DICTIONARY: [u8; 4] = 0xEC30_A437_u32.to_le_bytes();

const DAMAGED: CodecError = CodecError::Damaged("the compressed bytes are damaged, or not of the length claimed");

/// Opens `src` with `open`, after checking that it is one frame of `plain_len` bytes.
fn unpack(src: &[u8], plain_len: usize, out: &mut Vec<u8>, open: impl FnOnce(&mut Room<'_>) -> Zstd) -> Result<()> {
    limited(plain_len)?;
    unpack_any(src, plain_len, out, open)
}

/// As [`unpack`], of whatever length the caller allows.
fn unpack_any(src: &[u8], plain_len: usize, out: &mut Vec<u8>, open: impl FnOnce(&mut Room<'_>) -> Zstd) -> Result<()> {
    let claimed = zstd_safe::get_frame_content_size(src).ok().flatten();
    let frame = zstd_safe::find_frame_compressed_size(src).ok();
    if claimed != u64::try_from(plain_len).ok() || frame != Some(src.len()) {
        return Err(DAMAGED);
    }
    let start = out.len();
    let opened = append(out, plain_len, open);
    if opened.is_err() || out.len().saturating_sub(start) != plain_len {
        out.truncate(start);
        return Err(DAMAGED);
    }
    Ok(())
}

type Room<'a> = Cursor<&'a mut Vec<u8>>;
type Zstd = std::result::Result<usize, zstd_safe::ErrorCode>;

/// Lets `write` write behind what `out` holds, with room for `most` bytes.
fn append(
    out: &mut Vec<u8>,
    most: usize,
    write: impl FnOnce(&mut Room<'_>) -> Zstd,
) -> std::result::Result<(), zstd_safe::ErrorCode> {
    out.reserve(most);
    let start = u64::try_from(out.len()).unwrap_or(u64::MAX);
    let mut room = Cursor::new(out);
    room.set_position(start);
    write(&mut room).map(|_| ())
}

fn limited(len: usize) -> Result<()> {
    if len > BLOCK_LIMIT { Err(CodecError::TooLarge(BLOCK_LIMIT)) } else { Ok(()) }
}

fn refused(what: &'static str, code: zstd_safe::ErrorCode) -> CodecError {
    CodecError::Library { what, source: zstd_safe::get_error_name(code).into() }
}

fn no_memory(what: &'static str) -> CodecError {
    CodecError::Library { what, source: "zstd got no memory".into() }
}

#[cfg(test)]
mod tests;
