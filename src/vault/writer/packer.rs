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
                    if shared.pressure.closes(pack.blocks.bytes().len())
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
    sketches: Vec<Vec<Option<Sketch>>>,
}

impl Filling {
    fn new(blocks: Buffer) -> Self {
        Self { directory: Directory::default(), blocks, sketches: Vec::new() }
    }

    fn add(&mut self, done: Done) {
        self.blocks.bytes_mut().extend_from_slice(done.bytes.bytes());
        for DoneBlock { entry, sketches } in done.blocks {
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
        let Self { directory, blocks, sketches } = self;
        let permit = shared.pressure.give(blocks.bytes().len(), token);
        plans.send(PackPlan { directory, blocks, sketches, permit }).map_err(|_| shared.why("sealing"))
    }
}
