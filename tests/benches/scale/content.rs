//! What the chunks of the large vault hold: distinct bytes, which most packs compress to nearly nothing, and some not at all.

use strongroom::format::pack::Block;

/// Chunks of a pack, and blocks: those of 32 MiB of chunks of 128 KiB in blocks of 4 MiB.
pub const CHUNKS: u64 = 256;
pub const BLOCKS: u64 = 8;
/// One pack in so many is of noise, all of them at the beginning.
const NOISY: u64 = 128;

/// What is in the vault.
#[derive(Clone, Copy)]
pub struct Content {
    pub packs: u64,
    /// The bytes of a chunk.
    pub chunk: u32,
}

impl Content {
    pub fn bytes(self) -> u64 {
        self.packs * CHUNKS * u64::from(self.chunk)
    }

    /// The packs whose bytes do not shrink, in blocks as large as there can be.
    pub fn is_noise(self, pack: u64) -> bool {
        pack < self.packs / NOISY
    }

    /// How many chunks a block of a pack has.
    pub fn chunks_of_a_block(self, pack: u64) -> u64 {
        if self.is_noise(pack) { CHUNKS } else { CHUNKS / BLOCKS }
    }

    /// Fills `out` with the chunk `no` of all.
    pub fn fill(self, no: u64, out: &mut [u8]) {
        if !self.is_noise(no / CHUNKS) {
            out[..8].copy_from_slice(&no.to_le_bytes());
            let mut done = 8;
            while done < out.len() {
                let more = done.min(out.len() - done);
                out.copy_within(..more, done);
                done += more;
            }
            return;
        }
        let mut state = no.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for word in out.chunks_mut(8) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mixed = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes();
            word.copy_from_slice(&mixed[..word.len()]);
        }
    }

    /// Writes all of it, as a source does.
    pub fn write(self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        let mut chunk = vec![0; usize::try_from(self.chunk).unwrap()];
        for no in 0..self.packs * CHUNKS {
            self.fill(no, &mut chunk);
            out.write_all(&chunk)?;
        }
        out.flush()
    }
}

/// The bytes that blocks take in a pack.
pub fn stored(blocks: &[Block]) -> usize {
    blocks.iter().map(|block| usize::try_from(block.stored).unwrap()).sum()
}
