use super::*;
use crate::model::Hash;

fn kept(n: u64) -> Kept {
    let name = name(&format!("stream-{n}"));
    let path = n.is_multiple_of(2).then(|| format!("dir/{n}"));
    Kept { name, path, bytes: n, blake3: Hash::from_bytes(bytes(n)), chunks: vec![u8::try_from(n).unwrap(); 72] }
}

fn memory(streams: &[u64]) -> Memory {
    let snapshot = SnapshotId::from_bytes(bytes(streams.len() as u64));
    let note = r#"{"tips":["x"]}"#.to_owned();
    Memory { snapshot, floor: Time::from_unix(77), note, streams: streams.iter().map(|n| kept(*n)).collect() }
}

#[test]
fn what_a_source_left_is_replaced_whole_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).into_catalog();
    let (code, other) = (name("code"), name("other"));
    assert_eq!(catalog.recall(&code).unwrap(), None);
    catalog.remember(&code, &memory(&[3, 1, 2])).unwrap();
    catalog.remember(&other, &memory(&[])).unwrap();
    catalog.remember(&code, &memory(&[9, 4])).unwrap();
    drop(catalog);
    let mut catalog = existing(dir.path());
    assert_eq!(catalog.recall(&code).unwrap(), Some(memory(&[9, 4])));
    assert_eq!(catalog.recall(&other).unwrap(), Some(memory(&[])));
    catalog.clear().unwrap();
    assert_eq!(catalog.recall(&code).unwrap(), None);
}

#[test]
fn what_was_changed_behind_its_back_is_not_believed() {
    for change in [
        "UPDATE kept SET chunks = zeroblob(72) WHERE at = 1",
        "UPDATE kept SET bytes = 5 WHERE at = 0",
        "UPDATE kept SET path = NULL WHERE at = 1",
        "DELETE FROM kept WHERE at = 1",
        "UPDATE memories SET note = '{}'",
        "UPDATE memories SET floor = 78",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut catalog = open(dir.path()).into_catalog();
        catalog.remember(&name("code"), &memory(&[1, 2, 3])).unwrap();
        assert_eq!(catalog.conn.execute(change, []).unwrap(), 1, "{change}");
        assert_eq!(catalog.recall(&name("code")).unwrap(), None, "{change}");
    }
}
