//! Any series of calls gives what a plain map would give.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const CHUNKS: u64 = 12;
const PACKS: u64 = 8;

#[derive(Debug, Clone)]
enum Op {
    Record { pack: u64, chunks: Vec<(u64, Option<u64>)>, indexed: bool },
    Forget(u64),
    Lock(u64, i64),
    Indexed(u64),
    Sweep,
    Reopen,
    Clear,
}

#[derive(Debug, Default)]
struct Model {
    /// Chunk → the pack it is in, and its base's.
    chunks: HashMap<u64, (u64, Option<u64>)>,
    /// Pack → its lock, and whether its section is kept.
    packs: BTreeMap<u64, (Option<i64>, bool)>,
}

impl Model {
    /// Whether the pack is accepted.
    fn record(&mut self, pack: u64, chunks: &[(u64, Option<u64>)], indexed: bool) -> bool {
        if let Some((_, pending)) = self.packs.get_mut(&pack) {
            *pending &= !indexed;
            for (id, base) in chunks.iter().filter(|_| indexed) {
                if let Some((home, None)) = base.and_then(|base| self.chunks.get(&base).copied()) {
                    self.chunks.entry(*id).or_insert((pack, Some(home)));
                }
            }
            return indexed;
        }
        let mut next = self.chunks.clone();
        next.extend(chunks.iter().filter(|c| c.1.is_none()).map(|(id, _)| (*id, (pack, None))));
        let bases = next.clone();
        for (id, base) in chunks {
            let Some(base) = base else { continue };
            match bases.get(base) {
                Some((home, None)) => {
                    if next.get(id).is_none_or(|(p, _)| *p != pack) {
                        next.insert(*id, (pack, Some(*home)));
                    }
                }
                _ if indexed => {}
                _ => return false,
            }
        }
        self.chunks = next;
        self.packs.insert(pack, (None, !indexed));
        true
    }

    fn forget(&mut self, pack: u64) {
        self.packs.remove(&pack);
        self.chunks.retain(|_, (home, base)| *home != pack && *base != Some(pack));
    }
}

fn op() -> impl Strategy<Value = Op> {
    let one = (0..CHUNKS, prop::option::weighted(0.3, 0..CHUNKS));
    prop_oneof![
        8 => (0..PACKS, prop::collection::vec(one, 0..6), any::<bool>())
            .prop_map(|(pack, mut chunks, indexed)| {
                // No pack holds a chunk as a delta twice; if one did, either base would do.
                let mut seen = HashSet::new();
                chunks.retain(|(id, base): &(u64, Option<u64>)| seen.insert((*id, base.is_some())));
                Op::Record { pack, chunks, indexed }
            }),
        3 => (0..PACKS).prop_map(Op::Forget),
        1 => (0..PACKS, 0_i64..1000).prop_map(|(pack, until)| Op::Lock(pack, until)),
        2 => (0..PACKS).prop_map(Op::Indexed),
        1 => Just(Op::Sweep),
        1 => Just(Op::Reopen),
        1 => Just(Op::Clear),
    ]
}

fn number(catalog: &mut Catalog, id: u64) -> Option<PackNo> {
    catalog.find_pack(&pack(id)).unwrap().map(|row| row.no)
}

fn apply(catalog: &mut Catalog, model: &mut Model, op: &Op) {
    match op {
        Op::Record { pack, chunks, indexed } => {
            let ids: Vec<_> = chunks.iter().map(|(id, base)| (chunk(*id), base.map(chunk))).collect();
            let new = new_pack(*pack, &ids);
            let done = if *indexed {
                catalog.record_indexed_packs(&[indexed_pack(*pack, chunks)]).is_ok()
            } else {
                catalog.record_pack(&new).is_ok()
            };
            assert_eq!(done, model.record(*pack, chunks, *indexed));
        }
        Op::Forget(pack) => {
            if let Some(no) = number(catalog, *pack) {
                catalog.forget_pack(no).unwrap();
            }
            model.forget(*pack);
        }
        Op::Lock(pack, until) => {
            if let Some(no) = number(catalog, *pack) {
                catalog.set_lock(no, Some(lock(*until))).unwrap();
            }
            if let Some((lock, _)) = model.packs.get_mut(pack) {
                *lock = Some(*until);
            }
        }
        Op::Indexed(pack) => {
            if let Some(no) = number(catalog, *pack) {
                catalog.mark_indexed(&[no]).unwrap();
            }
            if let Some((_, pending)) = model.packs.get_mut(pack) {
                *pending = false;
            }
        }
        Op::Sweep => {
            catalog.sweep().unwrap();
        }
        Op::Clear => {
            catalog.clear().unwrap();
            *model = Model::default();
        }
        Op::Reopen => {}
    }
}

fn compare(catalog: &mut Catalog, model: &Model) {
    let mut nos = HashMap::new();
    for id in 0..PACKS {
        let row = catalog.find_pack(&pack(id)).unwrap();
        let expected = model.packs.get(&id).map(|(until, _)| until.map(lock));
        assert_eq!(row.as_ref().map(|row| row.lock), expected);
        nos.extend(row.map(|row| (id, row.no)));
    }
    let expected: Vec<_> = (0..CHUNKS)
        .map(|id| {
            let (home, base) = model.chunks.get(&id)?;
            Some(Known { pack: nos[home], base_pack: base.map(|base| nos[&base]) })
        })
        .collect();
    assert_eq!(look(catalog, &(0..CHUNKS).collect::<Vec<_>>()), expected);
    let mut pending: Vec<_> = model.packs.iter().filter(|(_, p)| p.1).map(|(id, _)| nos[id]).collect();
    pending.sort_unstable();
    assert_eq!(catalog.pending(None, usize::MAX).unwrap().into_iter().map(|(no, _)| no).collect::<Vec<_>>(), pending);
    let (chunks, packs, _) = catalog.counts().unwrap();
    assert_eq!((chunks, packs), (model.chunks.len() as u64, model.packs.len() as u64));
    assert_eq!(catalog.is_empty(), model.packs.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn it_behaves_like_a_map(ops in prop::collection::vec(op(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut catalog = open(dir.path()).into_catalog();
        let mut model = Model::default();
        for op in &ops {
            if matches!(op, Op::Reopen) {
                drop(catalog);
                catalog = existing(dir.path());
            }
            apply(&mut catalog, &mut model, op);
            compare(&mut catalog, &model);
        }
    }
}
