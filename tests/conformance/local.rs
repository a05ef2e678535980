//! The directory vault under the suite, and what only it does.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use strongroom::{
    model::{Clock, Lock, LockMode, Span},
    store::{Deleter, ObjectStore, Put, StoreErrorKind as Kind, local::LocalStore},
};
use tempfile::TempDir;

use crate::{
    suite::{Bucket, Subject, compliance},
    support::{HandClock, key, keys, sealed},
};

suite!(contract, crate::local::fresh);
suite!(
    #[ignore = "run by without_hard_links_the_contract_is_the_same, where link(2) is refused"]
    plain,
    crate::local::fresh
);

/// The whole suite once more in a child that may make no hard link, as on FAT, and in one that can't rename without replacing
/// either, as on file systems that a program makes.
#[test]
fn without_hard_links_the_contract_is_the_same() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/without_links.py");
    for without in ["link", "rename"] {
        let mut child = std::process::Command::new("python3");
        child.arg(script).arg(std::env::current_exe().unwrap()).args(["local::plain::", "--ignored"]);
        let output = child.env("STRONGROOM_WITHOUT", without).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let passed =
            text.split("ok. ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|n| n.parse::<u32>().ok());
        assert!(output.status.success() && passed.is_some_and(|passed| passed > 25), "without {without}: {text}");
    }
}

#[test]
fn where_links_are_refused_objects_are_moved_to_their_names() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/without_links.py");
    for without in ["link", "rename"] {
        let mut child = std::process::Command::new("python3");
        child.arg(script).arg(std::env::current_exe().unwrap()).args([
            "--exact",
            "local::puts_without_links",
            "--ignored",
        ]);
        let output = child.env("STRONGROOM_WITHOUT", without).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "without {without}: {text}");
    }
}

#[tokio::test]
#[ignore = "run by where_links_are_refused_objects_are_moved_to_their_names, where link(2) is refused"]
async fn puts_without_links() {
    let local = fresh().await;
    let (store, other) = (local.open(), local.open());
    assert!(!store.without_links());
    let lock = compliance(&store, Span::days(1)).await;
    store.put_new(&key("packs/w1/ab/cd"), &sealed(b"x"), Some(lock)).await.unwrap();
    assert!(store.without_links(), "the filter is not at work");
    // One that somebody else put meanwhile is never replaced, and neither is the record of a lost object's lock.
    assert_eq!(other.put_new(&key("packs/w1/ab/cd"), &sealed(b"y"), None).await.unwrap(), Put::AlreadyThere);
    local.plant("packs/w1/ab/ef.lock", b"{\"mode\":\"compliance\",\"until\":\"2027-11-23T21:51:00Z\"}\n").await;
    store.put_new(&key("packs/w1/ab/ef"), &sealed(b"z"), Some(lock)).await.unwrap();
    let held = store.lock_of(&key("packs/w1/ab/ef"), None).await.unwrap().unwrap();
    assert!(held.until > lock.until, "{held:?}");
    assert!(local.unfinished().is_empty());
    // Names that such file systems change are refused, and nothing is left of the trial of names.
    for name in ["packs/w1./x", "packs/a:b", "packs/x "] {
        if let Ok(name) = name.parse() {
            assert_eq!(store.put_new(&name, &sealed(b"x"), None).await.unwrap_err().kind, Kind::Invalid);
        }
    }
    assert!(local.unfinished().is_empty());
    assert_eq!(keys(&store, "").await, ["packs/w1/ab/cd", "packs/w1/ab/ef"]);
}

pub struct Local {
    dir: TempDir,
    clock: Arc<HandClock>,
}

#[allow(clippy::unused_async, reason = "a real server takes a while to be ready")]
pub async fn fresh() -> Local {
    let (dir, clock) = (tempfile::tempdir().unwrap(), HandClock::new());
    LocalStore::create(dir.path().join("vault"), clock.clone()).unwrap();
    Local { dir, clock }
}

impl Local {
    fn root(&self) -> PathBuf {
        self.dir.path().join("vault")
    }

    fn open(&self) -> LocalStore {
        LocalStore::open(self.root(), self.clock.clone()).unwrap()
    }

    /// The names in the directory of unfinished files, the guard left out.
    fn unfinished(&self) -> Vec<String> {
        names(&self.root().join(".tmp")).into_iter().filter(|name| name != "guard").collect()
    }
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[async_trait]
impl Subject for Local {
    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.open())
    }

    fn deleter(&self) -> Arc<dyn Deleter> {
        Arc::new(self.open())
    }

    async fn pass(&self, span: Span) {
        self.clock.pass(span);
    }

    async fn plant(&self, key: &str, bytes: &[u8]) {
        let path = self.root().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn bucket(&self) -> Option<&dyn Bucket> {
        None
    }
}

#[tokio::test]
async fn objects_and_locks_are_read_only_files_beside_each_other() {
    let local = fresh().await;
    let store = local.open();
    let lock = compliance(&store, Span::days(1)).await;
    let payload = sealed(b"x");
    store.put_new(&key("packs/w1/ab/cd"), &payload, Some(lock)).await.unwrap();
    let dir = local.root().join("packs/w1/ab");
    assert_eq!(names(&dir), ["cd", "cd.lock"]);
    assert_eq!(*payload.bytes(), fs::read(dir.join("cd")).unwrap());
    let text = fs::read_to_string(dir.join("cd.lock")).unwrap();
    assert_eq!(text, "{\"mode\":\"compliance\",\"until\":\"2026-11-23T21:51:00Z\"}\n");
    for name in ["cd", "cd.lock"] {
        let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o333, 0, "{name}: {mode:o}");
        assert_eq!(mode & 0o400, 0o400, "{name}: {mode:o}");
    }
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o722, 0o700, "only the owner may add");
    assert!(local.unfinished().is_empty());
    assert_eq!(store.url(), format!("file://{}", local.root().display()));
}

#[tokio::test]
async fn an_extension_replaces_the_record_and_leaves_nothing_behind() {
    let local = fresh().await;
    let store = local.open();
    let lock = compliance(&store, Span::days(1)).await;
    store.put_new(&key("a"), &sealed(b"x"), Some(lock)).await.unwrap();
    let record = local.root().join("a.lock");
    let old = fs::File::open(&record).unwrap();
    let longer = Lock { until: lock.until + Span::days(1), ..lock };
    store.extend_lock(&key("a"), None, longer).await.unwrap();
    // Whoever reads while it is replaced reads the old one or the new one, both whole.
    assert_eq!(serde_json::from_reader::<_, Lock>(old).unwrap(), lock);
    assert_eq!(serde_json::from_slice::<Lock>(&fs::read(&record).unwrap()).unwrap(), longer);
    assert_eq!(fs::metadata(&record).unwrap().permissions().mode() & 0o222, 0);
    assert!(local.unfinished().is_empty());
    assert_eq!(names(&local.root()), [".tmp", "a", "a.lock"]);
}

#[tokio::test]
async fn a_longer_lock_of_a_stronger_mode_gets_the_best_of_both() {
    let local = fresh().await;
    let store = local.open();
    let weak = Lock { mode: LockMode::Governance, ..compliance(&store, Span::days(9)).await };
    store.put_new(&key("a"), &sealed(b"x"), Some(weak)).await.unwrap();
    let strong = compliance(&store, Span::days(1)).await;
    let best = Lock { until: weak.until, ..strong };
    assert_eq!(store.extend_lock(&key("a"), None, strong).await.unwrap(), best);
}

#[tokio::test]
async fn a_failed_put_leaves_no_file() {
    let local = fresh().await;
    let store = local.open();
    // An object in the way of a directory, and a directory in the way of the record.
    store.put_new(&key("packs"), &sealed(b"x"), None).await.unwrap();
    let error = store.put_new(&key("packs/w1"), &sealed(b"x"), None).await.unwrap_err();
    assert_eq!(error.kind, Kind::Corrupt, "{error}");
    let past = Lock { mode: LockMode::Compliance, until: local.clock.now() };
    assert_eq!(store.put_new(&key("late"), &sealed(b"x"), Some(past)).await.unwrap_err().kind, Kind::Invalid);
    for name in ["a.lock", "lists/a.lock", &"n".repeat(251)] {
        let error = store.put_new(&key(name), &sealed(b"x"), None).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{error}");
    }
    assert!(local.unfinished().is_empty());
    assert_eq!(names(&local.root()), [".tmp", "packs"]);
}

/// A full disk without a mount: a child whose files may not grow beyond a few blocks.
#[test]
fn a_full_disk_leaves_no_file() {
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact local::puts_where_no_room_is --ignored";
    let this = std::env::current_exe().unwrap();
    let output = std::process::Command::new("sh").arg("-c").arg(limited).arg(this).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "run by a_full_disk_leaves_no_file, in a child whose files can't grow"]
async fn puts_where_no_room_is() {
    let local = fresh().await;
    let store = local.open();
    let error = store.put_new(&key("packs/w1/ab/cd"), &sealed(&vec![1; 1 << 20]), None).await.unwrap_err();
    assert_eq!(error.kind, Kind::Full, "{error}");
    assert!(error.to_string().contains("no room left") && error.to_string().contains("packs/w1/ab/cd"), "{error}");
    assert!(local.unfinished().is_empty());
    assert!(keys(&store, "").await.is_empty());
    store.put_new(&key("packs/w1/ab/cd"), &sealed(b"small"), None).await.unwrap();
}

#[tokio::test]
async fn a_put_that_died_before_its_lock_is_found_unlocked() {
    let local = fresh().await;
    let store = local.open();
    local.plant("packs/w1/ab/cd", b"whole, and never acknowledged").await;
    let lock = compliance(&store, Span::days(1)).await;
    let put = store.put_new(&key("packs/w1/ab/cd"), &sealed(b"x"), Some(lock)).await.unwrap();
    assert_eq!(put, Put::AlreadyThere);
    assert_eq!(store.lock_of(&key("packs/w1/ab/cd"), None).await.unwrap(), None);
}

#[tokio::test]
async fn the_record_of_a_lost_object_is_kept_and_still_holds() {
    let local = fresh().await;
    let store = local.open();
    let lock = compliance(&store, Span::days(9)).await;
    store.put_new(&key("a"), &sealed(b"x"), Some(lock)).await.unwrap();
    fs::remove_file(local.root().join("a")).unwrap();
    assert!(store.lock_of(&key("a"), None).await.unwrap_err().is_not_found());
    let shorter = compliance(&store, Span::days(1)).await;
    let put = store.put_new(&key("a"), &sealed(b"y"), Some(shorter)).await.unwrap();
    assert!(matches!(put, Put::Created { .. }));
    assert_eq!(store.lock_of(&key("a"), None).await.unwrap(), Some(lock));
}

#[tokio::test]
async fn a_damaged_record_never_reads_as_unlocked() {
    let local = fresh().await;
    let store = local.open();
    store.put_new(&key("a"), &sealed(b"x"), None).await.unwrap();
    for text in ["", "{", "{\"mode\":\"none\",\"until\":\"2026-11-23T21:51:00Z\"}", &" ".repeat(10_000)] {
        fs::write(local.root().join("a.lock"), text).unwrap();
        let error = store.lock_of(&key("a"), None).await.unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt, "{error}");
        assert_eq!(store.delete_version(&key("a"), None).await.unwrap_err().kind, Kind::Corrupt);
        let lock = compliance(&store, Span::days(1)).await;
        assert_eq!(store.extend_lock(&key("a"), None, lock).await.unwrap_err().kind, Kind::Corrupt);
    }
    assert_eq!(names(&local.root()), [".tmp", "a", "a.lock"]);
}

#[tokio::test]
async fn links_are_not_followed_and_never_pass_for_nothing() {
    let local = fresh().await;
    let store = local.open();
    let outside = local.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), b"secret").unwrap();
    symlink(outside.join("secret"), local.root().join("a")).unwrap();
    symlink(&outside, local.root().join("packs")).unwrap();
    for name in ["a", "packs/secret"] {
        for error in [
            store.get(&key(name), None, None).await.unwrap_err(),
            store.head(&key(name), None).await.unwrap_err(),
            store.lock_of(&key(name), None).await.unwrap_err(),
            store.delete_version(&key(name), None).await.unwrap_err(),
        ] {
            assert_eq!(error.kind, Kind::Corrupt, "{error}");
            assert!(error.to_string().contains("symbolic link"), "{error}");
        }
    }
    assert_eq!(store.put_new(&key("packs/new"), &sealed(b"x"), None).await.unwrap_err().kind, Kind::Corrupt);
    assert_eq!(names(&outside), ["secret"]);
    // What a link stands for is not gone, whoever asks what there is.
    let error = store.list("", &mut |_| ()).await.unwrap_err();
    assert_eq!((error.kind, error.object.as_deref()), (Kind::Corrupt, Some("packs")), "{error}");
    fs::remove_file(local.root().join("packs")).unwrap();
    symlink("nowhere", local.root().join("b")).unwrap();
    assert_eq!(keys(&store, "").await, ["a", "b"]);
}

#[tokio::test]
async fn what_is_no_file_is_no_object() {
    let local = fresh().await;
    let store = local.open();
    fs::create_dir(local.root().join("dir")).unwrap();
    let pipe = local.root().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for name in ["dir", "pipe"] {
        assert!(store.get(&key(name), None, None).await.unwrap_err().is_not_found(), "{name}");
    }
    let huge = fs::File::create(local.root().join("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    assert_eq!(store.get(&key("huge"), None, None).await.unwrap_err().kind, Kind::Corrupt);
    assert_eq!(store.get(&key("huge"), None, Some(0..4)).await.unwrap(), &[0; 4][..]);
    assert_eq!(keys(&store, "").await, ["huge"]);
}

#[tokio::test]
async fn records_and_unfinished_files_are_no_objects() {
    let local = fresh().await;
    let store = local.open();
    let lock = compliance(&store, Span::days(1)).await;
    store.put_new(&key("a"), &sealed(b"x"), Some(lock)).await.unwrap();
    fs::write(local.root().join(".tmp/1-1"), b"half").unwrap();
    assert!(store.get(&key("a.lock"), None, None).await.unwrap_err().is_not_found());
    assert!(store.delete_version(&key("a.lock"), None).await.unwrap_err().is_not_found());
    assert_eq!(keys(&store, "").await, ["a"]);
    for prefix in [".", ".tmp", ".tmp/", ".tmp/1", "a.", "a.lock"] {
        assert!(keys(&store, prefix).await.is_empty(), "{prefix}");
    }
    // Only a file can be a record: a member may well be called db.lock.
    store.put_new(&key("members/db.lock/1-a.json"), &sealed(b"x"), Some(lock)).await.unwrap();
    assert_eq!(keys(&store, "members/db.lock/").await, ["members/db.lock/1-a.json"]);
}

#[tokio::test]
async fn only_old_unfinished_files_are_swept() {
    let local = fresh().await;
    let tmp = local.root().join(".tmp");
    local.open().put_new(&key("a"), &sealed(b"x"), None).await.unwrap(); // Makes the directory and the guard.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(local.clock.now().unix()).unwrap());
    let day = Duration::from_hours(24);
    for (name, at) in
        [("old", now - day - day), ("young", now - day / 2), ("future", now + day), ("guard", now - day * 9)]
    {
        fs::File::create(tmp.join(name)).unwrap().set_modified(at).unwrap();
    }
    local.open();
    assert_eq!(names(&tmp), ["future", "guard", "young"]);
    assert_eq!(keys(&local.open(), "").await, ["a"]);
}

#[tokio::test]
async fn a_path_that_is_no_vault_is_told_as_what_it_is() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), HandClock::new());
    let error = LocalStore::open(dir.path().join("nothing"), clock.clone()).unwrap_err();
    assert_eq!(error.kind, Kind::NoVault, "{error}");
    let file = dir.path().join("file");
    fs::write(&file, b"x").unwrap();
    for result in [LocalStore::open(&file, clock.clone()), LocalStore::create(&file, clock.clone())] {
        let error = result.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{error}");
        assert!(error.to_string().contains("directory"), "{error}");
    }
    let deep = dir.path().join("x/y/vault");
    let store = LocalStore::create(&deep, clock.clone()).unwrap();
    LocalStore::create(&deep, clock.clone()).unwrap();
    store.put_new(&key("a"), &sealed(b"x"), None).await.unwrap();
    fs::rename(&deep, dir.path().join("away")).unwrap();
    for error in [
        store.put_new(&key("b"), &sealed(b"x"), None).await.unwrap_err(),
        store.get(&key("a"), None, None).await.unwrap_err(),
        store.list("", &mut |_| {}).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, Kind::NoVault, "{error}");
    }
    assert!(!deep.exists());
}

#[tokio::test]
async fn a_listing_that_nobody_waits_for_ends() {
    let local = fresh().await;
    for n in 0..600 {
        local.plant(&format!("lists/{n:04}"), b"x").await;
    }
    let store = local.open();
    // Stopped in the middle: the walk must not hold its thread, or the runtime would never shut down.
    let mut first = None;
    let mut each = |entry: strongroom::store::Entry| {
        first.get_or_insert(entry.key);
    };
    let list = store.list("", &mut each);
    drop(futures::poll!(Box::pin(list)));
    assert_eq!(keys(&store, "lists/059").await.len(), 10);
}

#[tokio::test]
async fn the_immutable_flag_holds_until_the_lock_ends() {
    let local = fresh().await;
    let store = match local.open().immutable() {
        Ok(store) => store,
        // Not root, or a file system without the flag: then it must be refused at once, in these words.
        Err(error) => {
            assert!(matches!(error.kind, Kind::Denied | Kind::Unsupported), "{error}");
            assert!(error.to_string().contains("immutable"), "{error}");
            assert!(local.unfinished().is_empty());
            return;
        }
    };
    let lock = compliance(&store, Span::days(1)).await;
    store.put_new(&key("a"), &sealed(b"x"), Some(lock)).await.unwrap();
    store.put_new(&key("unlocked"), &sealed(b"x"), None).await.unwrap();
    let held = ["a", "a.lock"].map(|name| fs::remove_file(local.root().join(name)).is_err());
    let longer = Lock { until: lock.until + Span::days(1), ..lock };
    let extended = store.extend_lock(&key("a"), None, longer).await;
    local.clock.pass(Span::days(2));
    // A handle that does not set the flag clears it, too. First clean up, then judge.
    let deleted = local.open().delete_version(&key("a"), None).await;
    assert_eq!(held, [true, true]);
    assert_eq!(extended.unwrap(), longer);
    deleted.unwrap();
    fs::remove_file(local.root().join("unlocked")).unwrap();
    assert_eq!(names(&local.root()), [".tmp"]);
    assert!(local.unfinished().is_empty());
}
