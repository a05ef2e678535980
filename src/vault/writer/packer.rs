//! Gathers compressed blocks into packs, in the order of the stream.

use std::collections::BTreeMap;

use crossbeam_channel::{Receiver, Sender};

use super::{
    buffers::{Buffer, Pool},
    pressure::PACK_TARGET,
    shared::Shared,
    stages::{Done, DoneBlock, PackPlan, ToPacker},
    tokens::Tokens,
};
use crate::{
    codec::{compress::BLOCK_LIMIT, sketch::Sketch},
    format::pack::Directory,
    vault::VaultError,
};

/// A pack is closed when it holds so many chunks as well: of 256 bytes each, or of files that are shorter. What a pack has to be remembered by
/// while it is on its way would be larger than its blocks.
const PACK_CHUNKS: usize = 64 << 10;

/// Packs blocks until all that were announced have come. A pack fills one of the `rooms`, and needs one of the
/// `permits` to be closed.
///
/// # Errors
/// If another stage failed.
pub(super) fn run(
    blocks: &Receiver<ToPacker>,
    (permits, rooms): (&Tokens, &Pool),
    plans: &Sender<PackPlan>,
    shared: &Shared,
) -> Result<(), VaultError> {
    let mut packer = Packer { waiting: BTreeMap::new(), next: 0, pack: None };
    let mut expected = None;
    while expected.is_none_or(|n| packer.next < n) {
        match blocks.recv().map_err(|_| shared.why("compressing"))? {
            ToPacker::End { works } => expected = Some(works),
            ToPacker::Done(done) => {
                packer.waiting.insert(done.seq, done);
                while let Some(done) = packer.waiting.remove(&packer.next) {
                    packer.next += 1;
                    let pack = packer.pack.get_or_insert_with(|| Filling::new(rooms.lend(PACK_TARGET + BLOCK_LIMIT)));
                    pack.add(done);
                    if (shared.pressure.closes(pack.blocks.bytes().len()) || pack.chunks >= PACK_CHUNKS)
                        && let Some(full) = packer.pack.take()
                    {
                        full.close(permits, plans, shared)?;
                    }
                }
            }
        }
    }
    packer.pack.map_or(Ok(()), |last| last.close(permits, plans, shared))
}

struct Packer {
    waiting: BTreeMap<u64, Done>,
    next: u64,
    pack: Option<Filling>,
}

struct Filling {
    directory: Directory,
    blocks: Buffer,
    chunks: usize,
    sketches: Vec<Vec<Option<Sketch>>>,
}

impl Filling {
    fn new(blocks: Buffer) -> Self {
        Self { directory: Directory::default(), blocks, chunks: 0, sketches: Vec::new() }
    }

    fn add(&mut self, done: Done) {
        self.blocks.bytes_mut().extend_from_slice(done.bytes.bytes());
        for DoneBlock { entry, sketches } in done.blocks {
            self.chunks += entry.chunks.len();
            self.directory.blocks.push(entry);
            self.sketches.push(sketches);
        }
    }

    fn close(self, permits: &Tokens, plans: &Sender<PackPlan>, shared: &Shared) -> Result<(), VaultError> {
        if self.directory.blocks.is_empty() {
            return Ok(());
        }
        let token = permits.take();
        shared.check()?;
        let Self { directory, blocks, sketches, .. } = self;
        let permit = shared.pressure.give(blocks.bytes().len(), token);
        plans.send(PackPlan { directory, blocks, sketches, permit }).map_err(|_| shared.why("sealing"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crossbeam_channel::unbounded;

    use super::{super::pressure::Pressure, *};
    use crate::{
        codec::compress::Codec,
        format::{list::ChunkRef, pack::Block},
        model::{Cancel, ChunkId, Silent},
    };

    /// How many blocks each pack gets, of blocks of so many chunks of one byte.
    fn packs(blocks: u64, chunks: usize) -> Vec<usize> {
        let (out, rooms) = (Pool::new(usize::try_from(blocks).unwrap()), Pool::new(2));
        let (blocks_in, to_packer) = unbounded();
        let (plans_in, plans) = unbounded();
        for seq in 0..blocks {
            let chunk = ChunkRef { id: ChunkId::from_bytes([7; 32]), len: 1 };
            let entry = Block { codec: Codec::Zstd, stored: 10, plain: 1, base: None, chunks: vec![chunk; chunks] };
            let mut bytes = out.lend(10);
            bytes.bytes_mut().extend_from_slice(&[0; 10]);
            let blocks = vec![DoneBlock { entry, sketches: Vec::new() }];
            blocks_in.send(ToPacker::Done(Done { seq, blocks, bytes })).unwrap();
        }
        blocks_in.send(ToPacker::End { works: blocks }).unwrap();
        let shared = Shared::new(Arc::new(Silent), Cancel::default(), Pressure::new(false, 1, 1));
        // Whoever seals gives the rooms back.
        let sealing =
            std::thread::spawn(move || plans.iter().map(|plan: PackPlan| plan.directory.blocks.len()).collect());
        run(&to_packer, (&Tokens::new(1), &rooms), &plans_in, &shared).unwrap();
        drop(plans_in);
        sealing.join().unwrap()
    }

    #[test]
    fn a_pack_of_tiny_chunks_is_closed_by_their_number() {
        assert_eq!(packs(9, PACK_CHUNKS / 4), [4, 4, 1]);
        assert_eq!(packs(9, PACK_CHUNKS / 4 - 1), [5, 4]);
        assert_eq!(packs(9, 100), [9]);
    }
}
