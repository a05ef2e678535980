//! Filling a catalog from indexes: many packs at once, and a fill that does not end.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const CHUNKS: u64 = 12;

/// A pack's chunks, each with its base if it is a delta.
type Chunks = Vec<(u64, Option<u64>)>;

fn number(catalog: &mut Catalog, id: u64) -> PackNo {
    catalog.find_pack(&pack(id)).unwrap().unwrap().no
}

#[test]
fn a_rebuild_is_idempotent_and_leaves_orphans_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let chunks = [(10, None), (11, Some(10)), (12, Some(99))];
    assert_eq!(catalog.record_indexed_packs(&[indexed_pack(1, &chunks)]).unwrap(), [1]);
    assert!(!catalog.is_empty());
    let no = number(&mut catalog, 1);
    assert_eq!(catalog.record_indexed_packs(&[indexed_pack(1, &chunks)]).unwrap(), [1]);
    assert_eq!(number(&mut catalog, 1), no);
    assert_eq!(look(&mut catalog, &[10, 11, 12]), [whole(no), delta(no, no), None]);
    assert_eq!(catalog.pending(None, usize::MAX).unwrap(), []);
    assert_eq!(catalog.counts().unwrap(), (2, 1, 0));
}

#[test]
fn of_many_packs_the_newest_counts_and_bases_may_come_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let packs = [
        indexed_pack(1, &[(10, None), (11, None), (13, Some(12))]),
        indexed_pack(2, &[(12, None), (11, Some(10))]),
        // Named twice, as when two indexes tell of it.
        indexed_pack(1, &[(10, None), (11, None), (13, Some(12))]),
        indexed_pack(3, &[(10, None), (14, Some(13)), (12, Some(10))]),
    ];
    assert_eq!(catalog.record_indexed_packs(&packs).unwrap(), [0, 0, 0, 1], "a delta is nobody's base");
    let [first, second, third] = [1, 2, 3].map(|id| number(&mut catalog, id));
    assert!(first < second && second < third);
    let answers = [whole(third), delta(second, third), delta(third, third), delta(first, second), None];
    assert_eq!(look(&mut catalog, &[10, 11, 12, 13, 14]), answers);
    assert_eq!(catalog.record_indexed_packs(&[]).unwrap(), [0; 0]);
}

#[test]
fn a_rebuild_that_was_stopped_is_remembered_until_one_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    record(&mut catalog, 1, &[(10, None)]).unwrap();
    assert!(!catalog.is_partial());
    catalog.begin_rebuild().unwrap();
    catalog.record_indexed_packs(&[indexed_pack(2, &[(11, None)])]).unwrap();
    // What a killed process leaves: nothing is closed.
    let crashed = copied(dir.path());
    for left in [dir.path(), crashed.path()] {
        let mut catalog = existing(left);
        assert!(catalog.is_partial());
        let second = number(&mut catalog, 2);
        assert_eq!(look(&mut catalog, &[10, 11]), [None, whole(second)], "what is known is true");
        record(&mut catalog, 3, &[(12, None)]).unwrap();
        assert!(catalog.is_partial(), "a backup does not make it whole");
        drop(catalog);
        let mut catalog = existing(left);
        catalog.begin_rebuild().unwrap();
        catalog.record_indexed_packs(&[indexed_pack(2, &[(11, None)])]).unwrap();
        catalog.end_rebuild().unwrap();
        assert!(!catalog.is_partial());
        drop(catalog);
        assert!(!existing(left).is_partial());
    }
}

/// What of this is stored: for each chunk the packs that have it, with its base or whole.
fn stored(packs: &[Chunks]) -> HashMap<u64, Vec<(u64, Option<u64>)>> {
    let mut all: HashMap<u64, Vec<(u64, Option<u64>)>> = HashMap::new();
    for (pack, chunks) in (0..).zip(packs) {
        for (id, base) in chunks {
            all.entry(*id).or_default().push((pack, *base));
        }
    }
    all
}

/// What the catalog says of a chunk is so, and it knows every chunk that is there whole.
fn must_be_true(catalog: &mut Catalog, packs: &[Chunks]) {
    let all = stored(packs);
    let ids: HashMap<PackNo, u64> = (0..packs.len() as u64).map(|id| (number(catalog, id), id)).collect();
    for id in 0..CHUNKS {
        let places = all.get(&id).cloned().unwrap_or_default();
        let is_whole = |id: &u64, pack: &u64| all.get(id).is_some_and(|places| places.contains(&(*pack, None)));
        match look(catalog, &[id])[0] {
            None => assert!(places.iter().all(|(_, base)| base.is_some()), "chunk {id} is there whole"),
            Some(Known { pack, base_pack: None }) => assert!(is_whole(&id, &ids[&pack])),
            Some(Known { pack, base_pack: Some(home) }) => {
                let bases = places.iter().filter(|(at, _)| *at == ids[&pack]).filter_map(|(_, base)| *base);
                assert!(bases.into_iter().any(|base| is_whole(&base, &ids[&home])), "chunk {id}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn however_many_come_at_once_what_is_known_is_true(
        packs in prop::collection::vec(
            prop::collection::vec((0..CHUNKS, prop::option::weighted(0.4, 0..CHUNKS)), 0..6), 1..8),
        each in 1_usize..8,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut catalog = open(dir.path()).into_catalog();
        let all: Vec<_> = (0..).zip(&packs).map(|(id, chunks)| indexed_pack(id, chunks)).collect();
        let mut left_out = 0;
        for _ in 0..3 {
            left_out = all.chunks(each).flat_map(|some| catalog.record_indexed_packs(some).unwrap()).sum::<u64>();
        }
        must_be_true(&mut catalog, &packs);
        let deltas = packs.iter().flatten().filter(|(_, base)| base.is_some());
        let unknown = deltas.filter(|(id, _)| look(&mut catalog, &[*id])[0].is_none()).count();
        prop_assert_eq!(left_out, unknown as u64, "those whose base is nowhere whole");
    }
}
