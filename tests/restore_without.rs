//! No lock-in (G10): stock `age` and `zstd` and a short script restore what strongroom wrote. The deltas here are made
//! by hand, and strongroom's own reader must open them too.
//!
//! `age` and `zstd` must be installed (`apt-get install age zstd`); without them these tests fail.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/craft.rs"]
mod craft;
#[path = "support/parts.rs"]
mod parts;
#[allow(dead_code)]
#[path = "support/store.rs"]
mod store_support;
#[path = "support/vault.rs"]
mod vault_support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use craft::{Craft, stream};
use strongroom::{
    codec::seal,
    format::body::{Records, StreamRecord},
    model::{
        Cancel, FileMeta, Silent, SnapshotId,
        journal::{Line, Position, Span},
    },
    store::local::LocalStore,
    vault::{Vault, VaultError, VaultErrorKind, journal::JournalWriter, reader::Snapshot, snapshots},
};
use vault_support::{Made, Shared, dump, make, noise, policy, streams};

/// A vault in a directory, and room for what comes out of it.
struct Place {
    dir: tempfile::TempDir,
    made: Made,
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = store_support::HandClock::new();
        let store = LocalStore::create(dir.path().join("vault"), clock.clone()).unwrap();
        let made = make(Arc::new(store), clock, policy()).await;
        fs::write(dir.path().join("identity"), &made.identity).unwrap();
        Self { dir, made }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the script into the directory `out`, with the tools in `tools` and no others if given.
    fn run(&self, snapshot: &str, out: &str, tools: Option<&Path>) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/restore-without-strongroom");
        let mut command = Command::new(python());
        command.arg(script).args([self.path("vault"), self.path("identity")]).arg(snapshot).arg(self.path(out));
        if let Some(tools) = tools {
            command.env("PATH", tools);
        }
        command.output().unwrap()
    }

    /// What the script restores, by path below its directory.
    fn restored(&self, snapshot: &str) -> BTreeMap<String, Vec<u8>> {
        let ran = self.run(snapshot, "out", None);
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        files(&self.path("out"))
    }

    /// Why the script refuses; whatever it says, nothing may have been restored.
    fn refused(&self, snapshot: &str) -> String {
        let ran = self.run(snapshot, "refused", None);
        assert!(!ran.status.success(), "restored: {}", text(&ran.stdout));
        assert_eq!(files(&self.path("refused")), BTreeMap::new());
        fs::remove_dir_all(self.path("refused")).unwrap();
        text(&ran.stderr)
    }

    /// What strongroom's own reader restores of a snapshot.
    async fn read(&self, id: SnapshotId) -> Result<BTreeMap<String, Vec<u8>>, VaultError> {
        let vault = Vault::open(Arc::clone(&self.made.store), Some(self.made.id)).await?;
        let listed = snapshots::by_id(&vault, &id.to_string()).await?.snapshots.remove(0);
        let header = vault.whole(&listed).await?;
        let snapshot = Snapshot::open(&vault, header, &self.made.owner).await?;
        let mut found = BTreeMap::new();
        for stream in &snapshot.body.streams {
            let sink = Shared::default();
            snapshot.restore_stream(stream, Box::new(sink.clone()), Arc::new(Silent), Cancel::default()).await?;
            let bytes = std::mem::take(&mut *sink.0.lock().unwrap());
            found.insert(stream.path.as_deref().unwrap_or(stream.name.as_str()).to_owned(), bytes);
        }
        Ok(found)
    }

    fn object(&self, prefix: &str) -> PathBuf {
        let found = files(&self.path("vault")).into_keys().find(|n| n.starts_with(prefix) && !n.contains(".lock"));
        self.path("vault").join(found.unwrap())
    }
}

/// Where the interpreter itself is, since what is called `python3` may be a script that looks for it.
fn python() -> String {
    let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    text(&asked.expect("python3 must be installed").stdout).trim().to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every file below `dir`, and for links where they lead.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            if path.is_symlink() {
                let link = fs::read_link(&path).unwrap().to_str().unwrap().as_bytes().to_vec();
                found.insert(name, link);
            } else if path.is_dir() {
                waiting.push(path);
            } else {
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn expected<const N: usize>(streams: [(&str, &[u8]); N]) -> BTreeMap<String, Vec<u8>> {
    streams.into_iter().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect()
}

/// Text of which a little changed here and there, as the rows of a table do.
fn edited(before: &[u8]) -> Vec<u8> {
    let mut after = before.to_vec();
    for at in (1000..after.len()).step_by(20_011) {
        after.splice(at..at + 3, *b"edited");
    }
    after
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_tools_restore_what_the_writer_wrote() {
    let place = Place::new().await;
    // Over 32 chunks, so that the list is chunked itself; what no compression helps; next to nothing; nothing.
    let (long, hard, zeros) = (dump(1, 12 << 20), noise(2, 5 << 20), vec![0; 3 << 20]);
    let run = || streams([("long.sql", long.clone()), ("hard", hard.clone()), ("zeros", zeros.clone())]);
    let first = place.made.backup(&place.path("state"), "orders", run()).await.unwrap();
    let short = streams([("long.sql", edited(&long)), ("a.txt", b"small".to_vec()), ("empty", Vec::new())]);
    let second = place.made.backup(&place.path("state"), "orders", short).await.unwrap();
    for made in [&first, &second] {
        let mut depths = Vec::new();
        let read = made.streams.each(&mut |stream| {
            depths.push(stream.depth);
            Ok(())
        });
        assert!(read.is_ok() && depths[0] == 1, "{depths:?}");
    }

    let found = place.restored(&first.id.to_string());
    assert!(found == expected([("long.sql", &long), ("hard", &hard), ("zeros", &zeros)]));
    fs::remove_dir_all(place.path("out")).unwrap();
    let found = place.restored(&first_digits(second.id));
    assert!(found == expected([("long.sql", &edited(&long)), ("a.txt", b"small"), ("empty", b"")]));
    assert!(!place.run(&first_digits(second.id), "out", None).status.success(), "the directory is not empty");
}

/// The commands of docs/format.md, but for `jq`, which not every machine has.
#[tokio::test(flavor = "multi_thread")]
async fn stock_tools_open_a_piece_of_a_journal() {
    let place = Place::new().await;
    let line = Line::postgres(7, 1);
    let log = dump(8, 300_000);
    let span = Span::new(Position(0x0100_0000), Position(0x0100_0000 + 300_000)).unwrap();
    let writer = JournalWriter::new(place.made.place(), "orders".parse().unwrap(), None).unwrap();
    writer.put(&line, span, &log, place.made.clock.now()).await.unwrap();
    let sealed = place.made.writer.epoch.sealed().unwrap();
    fs::write(place.path("epoch.age"), sealed).unwrap();
    let age = |identity: &str, file: PathBuf| {
        let done = Command::new("age").arg("-d").arg("-i").arg(place.path(identity)).arg(file).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        done.stdout
    };
    let epoch: serde_json::Value = serde_json::from_slice(&age("identity", place.path("epoch.age"))).unwrap();
    fs::write(place.path("epoch.key"), epoch["identity"].as_str().unwrap()).unwrap();
    let object = place.object("journals/w1/orders/pg-0000000000000007-00000001/0000000001000000-00000000010493e0-");
    fs::write(place.path("piece"), age("epoch.key", object)).unwrap();
    let script = "length=$(head -c 4 piece | od -An -tu4 --endian=little | tr -d ' ')
tail -c +5 piece | head -c \"$length\" > record
tail -c +$((5 + length)) piece | zstd -dcq > log";
    assert!(text(&fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/format.md")).unwrap()).contains(&script[..61]));
    let ran = Command::new("sh").args(["-ec", script]).current_dir(place.path("")).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    assert!(fs::read(place.path("log")).unwrap() == log);
    let record: serde_json::Value = serde_json::from_slice(&fs::read(place.path("record")).unwrap()).unwrap();
    assert_eq!(record["payloadType"], "application/vnd.strongroom.journal+json");
}

fn first_digits(id: SnapshotId) -> String {
    id.to_string()[..8].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_are_opened_by_stock_tools_and_by_the_reader() {
    for indexed in [true, false] {
        let place = Place::new().await;
        let mut craft = Craft::new(&place.made);
        let before = dump(3, 400 << 10);
        let after = edited(&before);
        let (base, delta) = (craft.plain(&before), craft.delta(&before, craft.chunk(&before).id, &after));
        assert!(delta.1.len() * 20 < base.1.len(), "{} of {}", delta.1.len(), base.1.len());
        let chunks = [craft.chunk(&before), craft.chunk(&after)];
        // The delta stands in a pack before that of its base, between other blocks.
        craft.pack(vec![craft.plain(b"first"), delta, craft.plain(&noise(1, 1000))]).await;
        craft.pack(vec![base]).await;
        let both = [after.as_slice(), &before, &after].concat();
        let streams = vec![
            stream("after", Some("db/after.sql"), &after, vec![chunks[1]]),
            stream("both", None, &both, vec![chunks[1], chunks[0], chunks[1]]),
        ];
        let id = craft.commit(streams, indexed).await;
        let whole = expected([("db/after.sql", &after), ("both", &both)]);
        assert!(place.read(id).await.unwrap() == whole, "indexed: {indexed}");
        assert!(place.restored(&id.to_string()) == whole);
    }
}

/// A snapshot of one delta whose directory names the base `named`, beside blocks of `others`.
async fn with_base(place: &Place, named: &[u8], others: &[&[u8]]) -> SnapshotId {
    let mut craft = Craft::new(&place.made);
    let (before, after) = (dump(4, 200 << 10), edited(&dump(4, 200 << 10)));
    let delta = craft.delta(&before, craft.chunk(named).id, &after);
    let blocks = std::iter::once(delta).chain(others.iter().map(|other| craft.plain(other)));
    let chunk = craft.chunk(&after);
    let blocks = blocks.collect();
    craft.pack(blocks).await;
    craft.commit(vec![stream("after", None, &after, vec![chunk])], true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_without_its_true_base_is_refused() {
    let (before, wrong) = (dump(4, 200 << 10), dump(5, 200 << 10));
    let place = Place::new().await;
    let right = with_base(&place, &before, &[&before]).await;
    assert!(place.read(right).await.is_ok(), "the example itself is sound");
    let cases = [
        ("is in no pack", with_base(&place, &before, &[]).await),
        ("", with_base(&place, &wrong, &[&before, &wrong]).await),
        ("", with_base(&place, b"short", &[b"short"]).await),
    ];
    for (why, id) in cases {
        let error = place.read(id).await.err().unwrap();
        assert_eq!(error.kind, VaultErrorKind::Damaged, "{error}");
        let said = place.refused(&id.to_string());
        assert!(error.to_string().contains("chunk") && said.contains(why), "{error}; {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_deltas_is_refused() {
    let place = Place::new().await;
    let mut craft = Craft::new(&place.made);
    let mut versions = vec![dump(6, 100 << 10)];
    let mut blocks = vec![craft.plain(&versions[0])];
    for n in 1..4 {
        let base = versions[n - 1].clone();
        let mut next = base.clone();
        next.truncate(base.len() - 100);
        blocks.push(craft.delta(&base, craft.chunk(&base).id, &next));
        versions.push(next);
    }
    let last = versions.pop().unwrap();
    let chunk = craft.chunk(&last);
    craft.pack(blocks).await;
    let id = craft.commit(vec![stream("last", None, &last, vec![chunk])], true).await;
    assert_eq!(place.read(id).await.err().map(|e| e.kind), Some(VaultErrorKind::Damaged));
    assert!(place.refused(&id.to_string()).contains("is in no pack of this snapshot"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_writes_nothing_outside_its_directory() {
    let place = Place::new().await;
    let plain = b"out of here";
    let link = |name: &str, path: &str, target: &Path| {
        let meta = FileMeta { link: Some(target.to_str().unwrap().into()), ..FileMeta::default() };
        StreamRecord { meta, ..stream(name, Some(path), b"", Vec::new()) }
    };
    let evil = place.path("evil");
    let through = vec![link("a", "d", place.dir.path()), link("b", "d/evil", Path::new("x"))];
    let cases = [
        ("up", "../evil", Vec::new()),
        ("absolute", evil.to_str().unwrap(), Vec::new()),
        ("inner", "a/../../evil", Vec::new()),
        ("empty", "a//b", Vec::new()),
        ("through", "fine", through),
        ("again", "fine", vec![stream("t", Some("fine"), b"", Vec::new())]),
    ];
    for (case, path, more) in cases {
        let mut craft = Craft::new(&place.made);
        let chunk = craft.chunk(plain);
        craft.pack(vec![craft.plain(plain)]).await;
        let streams = std::iter::once(stream("s", Some(path), plain, vec![chunk])).chain(more).collect();
        let id = craft.commit(streams, true).await;
        let ran = place.run(&id.to_string(), case, None);
        let said = text(&ran.stderr);
        assert!(!ran.status.success(), "{case}");
        assert!(said.contains("a path that leads") || said.contains("two streams go to"), "{case}: {said}");
        assert!(fs::symlink_metadata(&evil).is_err(), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_modes_links_and_directories_come_back() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new().await;
    let mut craft = Craft::new(&place.made);
    let chunk = craft.chunk(b"#!/bin/sh\n");
    craft.pack(vec![craft.plain(b"#!/bin/sh\n")]).await;
    let meta = FileMeta { mode: Some(0o750), mtime_ns: Some(1_700_000_000_123_456_789), ..FileMeta::default() };
    let run = StreamRecord { meta, ..stream("run.sh", Some("bin/Run Me.sh"), b"#!/bin/sh\n", vec![chunk]) };
    let meta = FileMeta { link: Some("bin/Run Me.sh".into()), ..FileMeta::default() };
    let link = StreamRecord { meta, ..stream("link", None, b"", Vec::new()) };
    let meta = FileMeta { dir: true, ..FileMeta::default() };
    let dir = StreamRecord { meta, ..stream("dir", Some("empty/dir"), b"", Vec::new()) };
    let id = craft.commit(vec![link, dir, run], true).await;
    let found = place.restored(&id.to_string());
    assert_eq!(found, expected([("bin/Run Me.sh", b"#!/bin/sh\n"), ("link", b"bin/Run Me.sh")]));
    let about = fs::metadata(place.path("out/bin/Run Me.sh")).unwrap();
    assert_eq!(about.permissions().mode() & 0o7777, 0o750);
    let modified = about.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(modified.as_nanos(), 1_700_000_000_123_456_789);
    assert!(place.path("out/empty/dir").is_dir());
}

/// A directory with links to these tools and no others.
fn tools(place: &Place, names: &[&str]) -> PathBuf {
    let dir = place.path(&names.concat());
    fs::create_dir(&dir).unwrap();
    for name in names {
        let found =
            std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|d| d.join(name)).find(|p| p.is_file());
        std::os::unix::fs::symlink(found.unwrap_or_else(|| panic!("{name} must be installed")), dir.join(name))
            .unwrap();
    }
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_and_forgery_are_refused() {
    let place = Place::new().await;
    let data = dump(7, 1 << 20);
    let made = place.made.backup(&place.path("state"), "orders", streams([("a", data.clone())])).await.unwrap();
    let id = made.id.to_string();
    for prefix in ["packs/", "lists/", "snapshots/"] {
        let object = place.object(prefix);
        let good = fs::read(&object).unwrap();
        for at in [good.len() / 3, good.len() - 2] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::remove_file(&object).unwrap();
            fs::write(&object, &bad).unwrap();
            let said = place.refused(&id);
            assert!(!said.contains("Traceback"), "{said}");
        }
        fs::remove_file(&object).unwrap();
        assert!(!place.refused(&id).contains("Traceback"));
        fs::write(&object, &good).unwrap();
    }
    assert!(place.refused("0123").contains("8 or more"));
    assert!(place.refused("0123456789").contains("0 snapshots"));
    let other = Place::new().await;
    fs::write(place.path("identity"), &other.made.identity).unwrap();
    assert!(place.refused(&id).contains("not the one that the identity file names"));
    let unpinned = other.made.identity.lines().nth(1).unwrap();
    fs::write(place.path("identity"), unpinned).unwrap();
    let said = place.refused(&id);
    assert!(said.contains("open the epoch's keys") && !said.contains(unpinned), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_nobody_trusted_signed_is_refused_by_its_signature() {
    let (place, other) = (Place::new().await, Place::new().await);
    let data = streams([("a", b"data".to_vec())]);
    let made = place.made.backup(&place.path("state"), "orders", data).await.unwrap();
    let stranger = &other.made.writer.signing_key;
    let (id, forged) = made.header.seal(stranger).unwrap();
    let name = format!("vault/snapshots/w1/0000000002-{id}.json");
    fs::write(place.path(&name), forged.bytes()).unwrap();
    tools(&place, &["openssl"]);
    assert!(place.refused(&id.to_string()).contains("nobody trusted signed the snapshot"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_tools_that_only_check_it_says_so_and_restores() {
    let place = Place::new().await;
    let data = dump(8, 300_000);
    let made = place.made.backup(&place.path("state"), "orders", streams([("a", data.clone())])).await.unwrap();
    let id = made.id.to_string();
    let ran = place.run(&id, "bare", Some(&tools(&place, &["age", "zstd"])));
    let said = text(&ran.stderr);
    assert!(ran.status.success() && said.contains("b3sum is not installed") && said.contains("openssl"), "{said}");
    assert!(files(&place.path("bare")) == expected([("a", &data)]));
    let ran = place.run(&id, "less", Some(&tools(&place, &["age"])));
    assert!(!ran.status.success() && text(&ran.stderr).contains("zstd is not installed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_added_to_the_epoch_later_restores_what_was_there_before() {
    let place = Place::new().await;
    let data = dump(9, 100_000);
    let made = place.made.backup(&place.path("state"), "orders", streams([("a", data.clone())])).await.unwrap();
    let (identity, recipient) = seal::generate_identity();
    fs::write(place.path("identity"), format!("{}\n", identity.expose())).unwrap();
    assert!(place.refused(&made.id.to_string()).contains("open the epoch's keys"));
    let (record, root) = place.made.resealed(2, recipient).await;
    place.made.put_epoch(&record, &root).await;
    assert!(place.restored(&made.id.to_string()) == expected([("a", &data)]));
}
