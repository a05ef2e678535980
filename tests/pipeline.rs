//! What goes in comes out: the writer and the reader over the memory store.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, and share support that each uses a part of"
)]

#[path = "support/faults.rs"]
mod faults;
#[path = "support/store.rs"]
mod store_support;
#[path = "support/vault.rs"]
mod vault_support;

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    io::{self, Read},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
};

use faults::{Fault, FaultyStore, When};
use strongroom::{
    codec::seal::{self, NoPrompt, Opener},
    format::{
        FormatError,
        epoch::EpochRecord,
        index::{self, INDEX_LIMIT},
        layout,
    },
    model::{Cancel, FileMeta, Progress, Severity, Silent},
    store::{local::LocalStore, memory::MemoryStore},
    vault::{
        Vault, VaultErrorKind,
        audit::{self, Depth, VerifyRequest},
        haste::{Aside, AtWork, Haste, Machine},
        input::{Facts, Incoming, Reading, SourceError},
        reader::Snapshot,
        snapshots,
        writer::Workplace,
    },
};
use vault_support::{Made, dump, make, noise, policy, streams};

async fn fresh() -> (MemoryStore, Made, tempfile::TempDir) {
    let clock = store_support::HandClock::new();
    let store = MemoryStore::new(clock.clone());
    let made = make(Arc::new(store.clone()), clock, policy()).await;
    (store, made, tempfile::tempdir().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_every_size_come_back_byte_for_byte() {
    let (_, made, state) = fresh().await;
    let sizes = [0, 1, 100, 32 << 10, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 9 << 20, 40 << 20];
    let mut expected = Vec::new();
    for (i, size) in sizes.into_iter().enumerate() {
        let data = if i % 2 == 0 { dump(i as u64, size) } else { noise(i as u64, size) };
        let run = streams([("a.dump", data.clone()), ("b", vec![7; 10])]);
        made.backup(state.path(), "orders", run).await.unwrap();
        expected.push(vec![("a.dump".to_owned(), data), ("b".to_owned(), vec![7; 10])]);
    }
    assert!(made.restore_all().await.unwrap() == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_of_the_same_stores_next_to_nothing() {
    let (_, made, state) = fresh().await;
    let data = dump(1, 64 << 20);
    let first = made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    let second = made.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    assert_eq!(second.bytes_new, 0);
    assert!(second.bytes_stored * 1000 < data.len() as u64, "{} of {}", second.bytes_stored, first.bytes_stored);
    assert_eq!(second.header.prev, [first.id]);
    assert_eq!(made.restore_all().await.unwrap()[1][0].1, data);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_compressed_harder_for_a_slow_store_comes_back_byte_for_byte() {
    let (store, made, state) = fresh().await;
    let made = Made { adapts: true, ..made };
    let slow = made.through(FaultyStore::slow(Arc::new(store), When::Never, Fault::Error, 12 << 20));
    let data = dump(1, 64 << 20);
    let run = slow.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    let levels = run.levels.unwrap();
    assert!(levels.contains_key(&3) && levels.len() > 1, "{levels:?}");
    assert_eq!(levels.values().sum::<u64>() >> 20, 64, "what blocks had");
    // A second run of the same has nothing to compress but its lists.
    let again = slow.backup(state.path(), "orders", streams([("a", data.clone())])).await.unwrap();
    assert_eq!((again.bytes_new, again.levels.unwrap().into_values().sum::<u64>() >> 20), (0, 0));
    let all = made.restore_all().await.unwrap();
    assert!(all.len() == 2 && all.iter().all(|streams| streams[0].1 == data));
    let usual = made.through(Arc::clone(&made.store));
    let usual =
        Made { adapts: false, ..usual }.backup(state.path(), "orders", streams([("a", dump(2, 1 << 20))])).await;
    assert!(usual.unwrap().levels.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_that_fail_while_blocks_are_compressed_harder_lose_nothing() {
    let (store, made, state) = fresh().await;
    let made = Made { adapts: true, ..made };
    let mut expected = Vec::new();
    for call in 4..8 {
        for fault in [Fault::AppliedButUnanswered, Fault::Denied] {
            let data = dump(call * 2 + u64::from(fault == Fault::Denied), 10 << 20);
            let slow = made.through(FaultyStore::slow(Arc::new(store.clone()), When::At(call), fault, 64 << 20));
            if slow.backup(state.path(), "orders", streams([("a", data.clone())])).await.is_ok() {
                expected.push(vec![("a".to_owned(), data)]);
            }
        }
    }
    assert!(!expected.is_empty() && expected.len() < 8, "some were borne, some were not: {}", expected.len());
    assert!(made.restore_all().await.unwrap() == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_forgets_packs_that_are_gone_and_no_others() {
    let (place, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let clock = store_support::HandClock::new();
    let store = LocalStore::create(place.path().join("vault"), clock.clone()).unwrap();
    let made = make(Arc::new(store), clock, policy()).await;
    let packs = || {
        let of = |dir: std::fs::DirEntry| std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
        let dirs = std::fs::read_dir(place.path().join("vault/packs/w1")).unwrap();
        let files = dirs.flat_map(|dir| of(dir.unwrap()));
        // Beside each lies the file of its lock.
        files.filter(|path| path.file_name().unwrap().len() == 64).collect::<BTreeSet<PathBuf>>()
    };
    made.backup(state.path(), "expired", streams([("a", noise(1, 3 << 20))])).await.unwrap();
    let gone = packs();
    let stays = noise(2, 3 << 20);
    let before = made.backup(state.path(), "stays", streams([("a", stays.clone())])).await.unwrap();
    let there = packs().difference(&gone).count();
    let indexed = async |header: &strongroom::format::header::Header| {
        let mut found = Vec::new();
        for index in &header.indexes {
            let key = layout::index(&made.writer.name, &index.hash);
            let sealed = made.store.get(&key, None, None).await.unwrap();
            let plain = made.writer.catalog.open(&sealed, INDEX_LIMIT).unwrap();
            let signer = &made.writer.certificate.signing_key;
            index::open(&plain, made.id, &made.writer.name, signer, |section, _| {
                found.push(section.pack.to_string());
                Ok::<_, FormatError>(())
            })
            .unwrap();
        }
        found
    };
    assert_eq!(indexed(&before.header).await.len(), gone.len() + there);
    // As `prune` does when their locks have ended.
    for pack in &gone {
        std::fs::remove_file(pack).unwrap();
    }
    assert!(!gone.is_empty() && there > 0);
    let after = made.backup(state.path(), "stays", streams([("a", stays), ("b", noise(3, 6 << 20))])).await.unwrap();
    let found = indexed(&after.header).await;
    let names: Vec<_> = gone.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert!(names.iter().all(|name| !found.iter().any(|pack| pack == name)), "{found:?}");
    assert_eq!(found.len(), packs().len(), "of what is there, all is found");
    assert!(after.bytes_new < 7 << 20, "what stays was found");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_added_to_an_epoch_later_opens_what_was_there_before() {
    let (_, made, state) = fresh().await;
    made.backup(state.path(), "orders", streams([("a.dump", dump(1, 300_000))])).await.unwrap();
    let vault = Vault::open(Arc::clone(&made.store), Some(made.id)).await.unwrap();
    let listed = snapshots::list(&vault).await.unwrap().snapshots.remove(0);
    let header = vault.whole(&listed).await.unwrap();
    let person = || {
        let (identity, recipient) = seal::generate_identity();
        (Opener::from_identity_text(identity.expose(), "test", Arc::new(NoPrompt)).unwrap(), recipient)
    };
    let opened = async |people: &Opener| {
        let request = VerifyRequest { opener: Some(people.clone()), ..VerifyRequest::new(Depth::Decrypt) };
        let report = audit::verify(&vault, &request, Arc::new(Silent), &Cancel::default()).await;
        let deep = report.map(|report| report.findings.iter().filter(|f| f.severity == Severity::Error).count());
        let snapshot = Snapshot::open(&vault, header.clone(), people).await.map(|snapshot| snapshot.body.streams.len());
        (deep.map_err(|error| error.kind), snapshot.map_err(|error| error.kind))
    };
    let refused = (Err(VaultErrorKind::NoIdentity), Err(VaultErrorKind::NoIdentity));
    let (added, recipient) = person();
    assert_eq!(opened(&added).await, refused);
    let (record, root) = made.resealed(2, recipient).await;
    made.put_epoch(&record, &root).await;
    assert_eq!(opened(&added).await, (Ok(0), Ok(1)));
    // The owner is in the record that the header embeds, whatever came later.
    assert_eq!(opened(&made.owner).await, (Ok(0), Ok(1)));
    // What somebody else signed, or what leads to another epoch's keys, opens nothing.
    let (stranger, recipient) = person();
    let (record, _) = made.resealed(3, recipient.clone()).await;
    made.put_epoch(&record, &made.writer.signing_key).await;
    made.put_epoch(&EpochRecord { rev: 4, recipient: recipient.to_string(), ..record }, &root).await;
    assert_eq!(opened(&stranger).await, refused);
    assert_eq!(opened(&added).await, (Ok(0), Ok(1)));
}

/// A program that holds locks until half of what it writes was read.
struct Dumping {
    haste: Haste,
    streams: VecDeque<Written>,
    /// Who asked for a stream.
    askers: Arc<Mutex<Vec<ThreadId>>>,
}

struct Written {
    data: io::Cursor<Vec<u8>>,
    half: u64,
    at_work: Option<AtWork>,
    /// What happens once all of it was read.
    ends: fn() -> io::Result<usize>,
    /// Who read while the program was at work, and who did afterwards.
    readers: Arc<Mutex<[HashSet<ThreadId>; 2]>>,
}

static GAVE_WAY: Mutex<Vec<ThreadId>> = Mutex::new(Vec::new());

impl Dumping {
    fn of(data: &[u8], ends: fn() -> io::Result<usize>) -> (Self, Arc<Mutex<[HashSet<ThreadId>; 2]>>) {
        // All cores are busy, but nothing that it writes is put aside.
        let busy = Machine { cores: 2, idle: || None };
        let haste = Haste::new(|| GAVE_WAY.lock().unwrap().push(thread::current().id())).pausing(busy);
        let (at_work, readers) = (Some(haste.begin()), Arc::default());
        haste.is_waited_for(true);
        let (data, half) = (io::Cursor::new(data.to_vec()), data.len() as u64 / 2);
        let stream = Written { data, half, at_work, ends, readers: Arc::clone(&readers) };
        (Self { haste, streams: [stream].into(), askers: Arc::default() }, readers)
    }
}

impl Read for Written {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let over = usize::from(self.at_work.is_none());
        self.readers.lock().unwrap()[over].insert(thread::current().id());
        if self.data.position() >= self.half {
            self.at_work = None;
        }
        match self.data.read(buf)? {
            0 => (self.ends)(),
            n => Ok(n),
        }
    }
}

impl Reading for Dumping {
    fn next_stream(&mut self) -> Result<Option<Incoming>, SourceError> {
        self.askers.lock().unwrap().push(thread::current().id());
        Ok(self.streams.pop_front().map(|stream| Incoming {
            name: format!("dump-{}", self.streams.len()).parse().unwrap(),
            path: None,
            meta: FileMeta::default(),
            expected: None,
            reader: Box::new(stream),
        }))
    }

    fn haste(&self) -> Option<Haste> {
        Some(self.haste.clone())
    }

    fn finish(self: Box<Self>) -> Result<Facts, SourceError> {
        Ok(Facts::default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_gives_way_while_a_program_holds_locks_and_no_longer() {
    let (_, made, state) = fresh().await;
    let data = noise(1, 40 << 20);
    let (dumping, readers) = Dumping::of(&data, || Ok(0));
    made.backup(state.path(), "orders", dumping).await.unwrap();
    assert!(made.restore_all().await.unwrap() == [[("dump-0".to_owned(), data)]]);
    let [during, after] = &*readers.lock().unwrap();
    let gave_way = GAVE_WAY.lock().unwrap();
    assert!(during.len() == 1 && during.iter().all(|thread| gave_way.contains(thread)), "{during:?} {gave_way:?}");
    // The step in which it ended is finished by who began it.
    assert!(after.iter().any(|thread| !gave_way.contains(thread)), "{after:?} {gave_way:?}");
}

/// What a source starts for its next stream gives way as well where the thread that asks does.
#[tokio::test(flavor = "multi_thread")]
async fn who_gives_way_asks_for_no_stream() {
    let (_, made, state) = fresh().await;
    let (mut dumping, _) = Dumping::of(&noise(1, 1 << 20), || Ok(0));
    let second = Dumping::of(&noise(2, 1 << 20), || Ok(0)).0.streams.pop_front().unwrap();
    // At work beyond the end of the first stream, and until half of the second.
    dumping.streams.push_back(Written { at_work: Some(dumping.haste.begin()), ..second });
    let askers = Arc::clone(&dumping.askers);
    made.backup(state.path(), "orders", dumping).await.unwrap();
    let (askers, gave_way) = (askers.lock().unwrap(), GAVE_WAY.lock().unwrap());
    assert!(askers.len() == 3 && askers.iter().all(|thread| !gave_way.contains(thread)), "{askers:?} {gave_way:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fails_in_the_hands_of_either_reader_ends_the_run() {
    let (_, made, state) = fresh().await;
    // Of a little the first reads all, of much the second the end.
    for len in [1, 40 << 20] {
        let (dumping, _) = Dumping::of(&noise(2, len), || Err(io::Error::other("gone")));
        let failed = made.backup(state.path(), "orders", dumping).await.unwrap_err();
        assert_eq!(failed.kind, VaultErrorKind::Source, "{failed}");
    }
    for len in [1, 40 << 20] {
        let (dumping, _) = Dumping::of(&noise(3, len), || panic!("planted"));
        assert!(made.backup(state.path(), "orders", dumping).await.is_err());
    }
    assert!(made.restore_all().await.unwrap().is_empty());
}

/// Whoever asks for progress is told, and ends the program or the run.
struct Told {
    haste: Haste,
    program: Mutex<Option<(AtWork, Aside)>>,
    ends: Mutex<Ends>,
    heard: Mutex<Vec<String>>,
}

/// What comes of a program that has written something.
enum Ends {
    Well,
    Full,
    Cancelled(Cancel),
}

impl Progress for Told {
    fn phase(&self, what: &str, _: Option<u64>) {
        self.heard.lock().unwrap().push(what.to_owned());
    }

    fn advance(&self, bytes: u64) {
        self.heard.lock().unwrap().push(bytes.to_string());
        match &*self.ends.lock().unwrap() {
            Ends::Well => drop(self.program.lock().unwrap().take()),
            Ends::Full => self.haste.is_full(),
            Ends::Cancelled(cancel) => cancel.cancel(),
        }
    }

    fn note(&self, _: &str) {}
}

/// A program on a busy machine that writes all aside, and whose locks somebody waits for. Nobody reads while it does, whatever becomes of it.
async fn aside(ends: impl FnOnce(&Cancel) -> Ends) -> (Result<(), VaultErrorKind>, Vec<String>, bool) {
    let (_, made, state) = fresh().await;
    let (mut dumping, readers) = Dumping::of(&noise(1, 5 << 20), || Ok(0));
    dumping.streams[0].at_work = None;
    let haste = dumping.haste.clone();
    let program = Mutex::new(Some((haste.begin(), haste.put_aside())));
    haste.is_waited_for(true);
    haste.wrote(5 << 20);
    let cancel = Cancel::default();
    let (ends, heard) = (Mutex::new(ends(&cancel)), Mutex::default());
    let told = Arc::new(Told { haste, program, ends, heard });
    let place = Workplace { progress: Arc::<Told>::clone(&told), cancel, ..made.place() };
    let done = made.backup_at(place, state.path(), "orders", dumping).await;
    let heard = std::mem::take(&mut *told.heard.lock().unwrap());
    let read = !readers.lock().unwrap()[1].is_empty();
    (done.map(drop).map_err(|error| error.kind), heard, read)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_while_a_program_writes_aside_on_a_busy_machine() {
    for ends in [Ends::Well, Ends::Full] {
        let (done, heard, read) = aside(|_| ends).await;
        assert_eq!((done, read), (Ok(()), true));
        // What is on its way is told first, and then what is read.
        assert_eq!(
            heard[..3],
            ["somebody waits for locks of the dump, so it goes first", "5242880", "storing what was dumped"],
            "{heard:?}"
        );
        let sum: u64 = heard[3..].iter().map_while(|bytes| bytes.parse::<u64>().ok()).sum();
        assert_eq!(sum, 5 << 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_program_hears_that_the_run_stops() {
    let (done, heard, read) = aside(|cancel| Ends::Cancelled(cancel.clone())).await;
    assert_eq!((done, read), (Err(VaultErrorKind::Cancelled), false));
    assert_eq!(heard, ["somebody waits for locks of the dump, so it goes first", "5242880"]);
}
