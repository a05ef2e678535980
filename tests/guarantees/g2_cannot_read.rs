//! G2, cannot read: nothing on the writer's host opens a pack, and its role fetches none.

use std::fs;

use strongroom::store::ObjectStore;

use crate::{
    fake_place::FakePlace,
    place::{Place, server},
    seaweed::write_private,
};

const ROW: &str = "INSERT INTO patients VALUES (4711, 'Erika Mustermann');\n";

/// The only identity that lies on the writer's host, out of its key.
fn writers_identity(sandbox: &crate::sandbox::Sandbox) -> String {
    let key: serde_json::Value = serde_json::from_slice(&fs::read(sandbox.path("etc/writer.key")).unwrap()).unwrap();
    let path = sandbox.path("found.key");
    write_private(&path, &format!("{}\n", key["catalog_identity"].as_str().unwrap()));
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_the_writers_role_and_key_open_nothing_on_a_real_server() {
    let place = tokio::task::spawn_blocking(|| Place::with_vault(server())).await.unwrap();
    let dump = ROW.repeat(20_000);
    place.backup("patients", dump.as_bytes());
    let (found, safe) = (writers_identity(&place.sandbox), place.sandbox.identity());
    let restore = |who: &str, identity: &str| {
        place.run_as(who, &["restore", "latest", "--source", "patients", "--to", "-", "-i", identity])
    };
    // Its role with the right identity, its identity with a role that reads, and both of its own.
    restore("w1", safe.to_str().unwrap()).code(1).says("s3:GetObject");
    restore("reader", &found).code(12);
    assert_ne!(restore("w1", &found).code, 0);
    assert!(restore("reader", safe.to_str().unwrap()).ok().stdout == dump.as_bytes());
    // And to whoever sees every byte, none of it says what it holds.
    let reader = place.store("reader").await;
    let mut keys = Vec::new();
    reader.list("", &mut |entry| keys.push(entry.key)).await.unwrap();
    for key in keys {
        let bytes = reader.get(&key.parse().unwrap(), None, None).await.unwrap();
        let shows = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
        assert!(!shows(b"Mustermann") && !shows(b"INSERT INTO"), "{key} shows what it holds");
    }
}

#[test]
fn g2_a_server_that_gives_packs_to_everybody_gives_nothing_away() {
    let place = FakePlace::new();
    place.backup(ROW.repeat(20_000).as_bytes()).ok();
    let found = writers_identity(&place.sandbox);
    place.run(&["restore", "latest", "--source", "orders", "--to", "-", "-i", &found]).code(12);
    assert!(place.restore().ok().stdout == ROW.repeat(20_000).as_bytes());
}
