//! kill -9, of the server and of the writer, in the middle of a backup.

use std::{io::Write, process::Child, time::Duration};

use strongroom::store::ObjectStore;

use crate::{place::Place, sandbox::noise, seaweed::Seaweed};

const HALF: usize = 36 << 20;

/// A backup of standard input that has stored something of the first half of `bytes`, and waits for the rest.
async fn half_way(place: &Place<'_>, bytes: &[u8]) -> Child {
    let mut child = place.backing_up(&[]);
    let admin = place.store("admin").await;
    let before = packs(&admin).await;
    child.stdin.as_mut().unwrap().write_all(&bytes[..HALF]).unwrap();
    while packs(&admin).await == before || !remembers(place) {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        tokio::time::sleep(Duration::from_millis(20)).await; // nothing tells when another process has put
    }
    child
}

/// Whether the writer's catalog knows a pack that is not part of a snapshot yet.
fn remembers(place: &Place<'_>) -> bool {
    let state = std::fs::read_dir(place.sandbox.path("etc/state")).unwrap();
    let catalog = state.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|e| e == "sqlite"));
    let open = rusqlite::Connection::open(catalog.unwrap()).unwrap();
    let pending = open.query_row("SELECT count(*) FROM pending", [], |row| row.get::<_, i64>(0));
    pending.is_ok_and(|count| count > 0)
}

async fn packs(store: &impl ObjectStore) -> usize {
    let mut count = 0;
    store.list("packs/", &mut |_| count += 1).await.unwrap();
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_the_next_run_goes_on() {
    let mut server = tokio::task::spawn_blocking(Seaweed::start).await.unwrap();
    let bytes = noise(2 * HALF, 1);
    let place = Place::with_vault(&server);
    place.backup("small", b"an earlier snapshot");
    // The writer dies.
    let mut child = half_way(&place, &bytes).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(place.restore("small"), b"an earlier snapshot");
    let next = place.backup("orders", &bytes);
    let stored = next["bytes_stored"].as_u64().unwrap();
    assert!(stored < bytes.len() as u64 - (16 << 20), "what was uploaded is stored again: {stored} bytes");
    assert!(place.restore("orders") == bytes);

    // The server dies, and comes back with what it had on its disk.
    let bytes = noise(2 * HALF, 2);
    let mut child = half_way(&place, &bytes).await;
    let Place { sandbox, bucket, .. } = place;
    server.kill();
    server.restart();
    let place = Place::of(&server, sandbox, bucket);
    assert_eq!(place.restore("small"), b"an earlier snapshot");
    let mut rest = child.stdin.take().unwrap();
    rest.write_all(&bytes[HALF..]).unwrap();
    drop(rest);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(place.restore("orders") == bytes);
    place.run_as("auditor", &["verify", "--depth", "read"]).ok();
}
