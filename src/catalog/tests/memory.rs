use super::*;
use crate::model::Hash;

/// The list of the stream `n`.
fn chunks(n: u64) -> Vec<u8> {
    vec![u8::try_from(n).unwrap(); 72]
}

/// Keeps the stream `n`, whose list has a part for each three.
fn keep(catalog: &mut Catalog, source: &Name, n: u64) -> Kept {
    (0..n / 3).for_each(|part| catalog.keep_part(source, &chunks(100 + part)).unwrap());
    let stream = (name(&format!("stream-{n}")), n.is_multiple_of(2).then(|| format!("dir/{n}")));
    catalog.keep(source, stream, (n, Hash::from_bytes(bytes(n))), &chunks(n)).unwrap()
}

fn memory(streams: Vec<Kept>) -> Memory {
    let snapshot = SnapshotId::from_bytes(bytes(streams.len() as u64));
    let note = r#"{"tips":["x"]}"#.to_owned();
    Memory { snapshot, floor: Time::from_unix(77), note, streams }
}

/// Remembers these streams, all of them new.
fn remember(catalog: &mut Catalog, source: &Name, streams: &[u64]) {
    let streams = streams.iter().map(|n| keep(catalog, source, *n)).collect();
    catalog.remember(source, &memory(streams)).unwrap();
}

/// The streams that a source left, each held against what it was.
fn left(catalog: &mut Catalog, source: &Name) -> Option<Vec<u64>> {
    let memory = catalog.recall(source).unwrap()?;
    assert_eq!(
        (memory.floor, memory.snapshot),
        (Time::from_unix(77), SnapshotId::from_bytes(bytes(memory.streams.len() as u64)))
    );
    let mut all = Vec::new();
    for stream in memory.streams {
        let n = stream.bytes;
        assert_eq!((stream.name.clone(), stream.blake3), (name(&format!("stream-{n}")), Hash::from_bytes(bytes(n))));
        assert_eq!(stream.path, n.is_multiple_of(2).then(|| format!("dir/{n}")));
        assert_eq!(u64::from(stream.parts()), n / 3 + 1);
        for part in 0..stream.parts() {
            let last = part + 1 == stream.parts();
            let wanted = chunks(if last { n } else { 100 + u64::from(part) });
            assert_eq!(catalog.chunks_of(source, &stream, part).unwrap(), wanted);
        }
        all.push(n);
    }
    Some(all)
}

#[test]
fn what_a_source_left_is_replaced_whole_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let (code, other) = (name("code"), name("other"));
    assert_eq!(catalog.recall(&code).unwrap(), None);
    remember(&mut catalog, &code, &[3, 1, 2]);
    remember(&mut catalog, &other, &[]);
    remember(&mut catalog, &code, &[9, 4]);
    drop(catalog);
    let mut catalog = existing(dir.path());
    assert_eq!(left(&mut catalog, &code), Some(vec![9, 4]));
    assert_eq!(left(&mut catalog, &other), Some(vec![]));
    catalog.clear().unwrap();
    assert_eq!(catalog.recall(&code).unwrap(), None);
}

#[test]
fn streams_that_are_carried_stay_where_they_are_beside_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let (code, other) = (name("code"), name("other"));
    remember(&mut catalog, &code, &[1, 2, 3]);
    remember(&mut catalog, &other, &[5]);
    let before = catalog.recall(&code).unwrap().unwrap().streams;
    let new = keep(&mut catalog, &code, 7);
    let now = [before[2].clone(), before[0].clone(), new].to_vec();
    catalog.remember(&code, &memory(now)).unwrap();
    assert_eq!(left(&mut catalog, &code), Some(vec![1, 3, 7]));
    assert_eq!(left(&mut catalog, &other), Some(vec![5]));
    let count = |catalog: &Catalog| catalog.conn.query_row("SELECT COUNT(*) FROM kept", [], |row| row.get::<_, i64>(0));
    // Four streams, and the parts of their lists.
    assert_eq!(count(&catalog).unwrap(), 4 + 4, "what is needed no more is gone");
}

#[test]
fn what_a_run_kept_that_failed_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let code = name("code");
    remember(&mut catalog, &code, &[1]);
    let lost = keep(&mut catalog, &code, 2);
    assert_eq!(catalog.chunks_of(&code, &lost, 0).unwrap(), chunks(2));
    assert_eq!(left(&mut catalog, &code), Some(vec![1]));
    assert!(catalog.chunks_of(&code, &lost, 0).is_err());
}

#[test]
fn what_was_changed_behind_its_back_is_not_believed() {
    for change in [
        "UPDATE kept SET chunks = zeroblob(72) WHERE at = 1",
        "UPDATE kept SET bytes = 5 WHERE at = 0",
        "UPDATE kept SET path = NULL WHERE at = 1",
        "DELETE FROM kept WHERE at = 1",
        "DELETE FROM kept WHERE name = ''",
        "UPDATE kept SET chunks = zeroblob(72) WHERE name = ''",
        "UPDATE memories SET note = '{}'",
        "UPDATE memories SET floor = 78",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut catalog = open(dir.path()).into_catalog();
        remember(&mut catalog, &name("code"), &[1, 2, 3]);
        assert_eq!(catalog.conn.execute(change, []).unwrap(), 1, "{change}");
        assert_eq!(catalog.recall(&name("code")).unwrap(), None, "{change}");
    }
}
