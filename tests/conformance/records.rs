//! The record of a lock in a directory vault, where whoever wrote it was stopped before it had its name.

use std::{fs, path::Path, sync::Arc, thread, time::Duration};

use strongroom::{
    model::{Lock, LockMode, Span},
    store::{Deleter, ObjectStore, StoreErrorKind as Kind, local::LocalStore},
};

use crate::{
    suite::compliance,
    support::{HandClock, key, sealed},
};

const NAME: &str = "packs/w1/ab/cd";

struct Vault {
    dir: tempfile::TempDir,
    clock: Arc<HandClock>,
}

impl Vault {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: HandClock::new() }
    }

    fn open(&self) -> LocalStore {
        LocalStore::create(self.dir.path(), self.clock.clone()).unwrap()
    }

    fn unfinished(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join(".tmp")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "guard").collect()
    }

    /// An object as a kill leaves it: it has its name, and the record of its lock has none yet.
    async fn killed(&self) -> Lock {
        let store = self.open();
        let lock = compliance(&store, Span::days(9)).await;
        store.put_new(&key(NAME), &sealed(b"x"), Some(lock)).await.unwrap();
        fs::rename(self.dir.path().join(format!("{NAME}.lock")), self.left()).unwrap();
        assert_eq!(store.lock_of(&key(NAME), None).await.unwrap(), None);
        lock
    }

    fn left(&self) -> std::path::PathBuf {
        self.dir.path().join(".tmp/1-1%packs%w1%ab%cd")
    }
}

#[tokio::test]
async fn a_record_that_a_kill_left_without_its_name_gets_it() {
    let vault = Vault::new();
    let lock = vault.killed().await;
    let store = vault.open();
    assert_eq!(store.lock_of(&key(NAME), None).await.unwrap(), Some(lock));
    assert!(vault.unfinished().is_empty(), "{:?}", vault.unfinished());
    assert_eq!(store.delete_version(&key(NAME), None).await.unwrap_err().kind, Kind::Locked);
}

#[tokio::test]
async fn a_record_that_is_not_whole_or_whose_object_is_not_there_gets_no_name() {
    let vault = Vault::new();
    let lock = vault.killed().await;
    fs::remove_file(vault.left()).unwrap();
    fs::write(vault.left(), b"{\"mode\":\"compl").unwrap();
    fs::write(vault.dir.path().join(".tmp/1-2%packs%w1%ab%gone"), serde_json::to_vec(&lock).unwrap()).unwrap();
    fs::write(vault.dir.path().join(".tmp/1-3%..%x"), serde_json::to_vec(&lock).unwrap()).unwrap();
    assert_eq!(vault.open().lock_of(&key(NAME), None).await.unwrap(), None);
    assert!(!vault.dir.path().join("packs/w1/ab/gone.lock").exists());
    assert_eq!(vault.unfinished().len(), 3);
    // What is not whole is another's still: whoever was stopped before it may have a whole one.
    fs::write(vault.dir.path().join(".tmp/1-4%packs%w1%ab%cd"), serde_json::to_vec(&lock).unwrap()).unwrap();
    assert_eq!(vault.open().lock_of(&key(NAME), None).await.unwrap(), Some(lock));
}

#[tokio::test]
async fn a_record_that_is_there_stays_and_so_does_what_somebody_is_putting() {
    let vault = Vault::new();
    let lock = vault.killed().await;
    let guard = fs::File::open(vault.dir.path().join(".tmp/guard")).unwrap();
    // As a put holds it that is under way.
    guard.lock_shared().unwrap();
    assert_eq!(vault.open().lock_of(&key(NAME), None).await.unwrap(), None);
    drop(guard);
    let longer = Lock { mode: LockMode::Compliance, until: lock.until + Span::days(1) };
    vault.open().extend_lock(&key(NAME), None, longer).await.unwrap();
    let text = serde_json::to_vec(&lock).unwrap();
    fs::write(vault.dir.path().join(".tmp/1-5%packs%w1%ab%cd"), text).unwrap();
    assert_eq!(vault.open().lock_of(&key(NAME), None).await.unwrap(), Some(longer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_stopped_between_the_two_leaves_the_record_where_it_is_found() {
    let vault = Vault::new();
    let store = vault.open();
    let lock = compliance(&store, Span::days(9)).await;
    store.put_new(&key("a"), &sealed(b"x"), Some(lock)).await.unwrap();
    let guard = fs::File::open(vault.dir.path().join(".tmp/guard")).unwrap();
    guard.lock().unwrap();
    let put = tokio::spawn(async move { store.put_new(&key(NAME), &sealed(b"x"), Some(lock)).await });
    let marked = |name: &String| name.ends_with("%packs%w1%ab%cd");
    while !vault.unfinished().iter().any(marked) {
        thread::sleep(Duration::from_millis(5)); // until the put waits for the guard
    }
    drop(guard);
    put.await.unwrap().unwrap();
    assert!(vault.unfinished().is_empty(), "{:?}", vault.unfinished());
    assert!(Path::new(&vault.dir.path().join(format!("{NAME}.lock"))).exists());
}
