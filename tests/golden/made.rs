//! What no command of the program made when its golden vault was due, for `scripts/make-golden`.

use std::{path::PathBuf, sync::Arc};

use strongroom::{
    codec::{NoPrompt, Opener},
    format::writer_key,
    model::{
        Tiers, Time,
        journal::{Line, Position, Span, Start},
    },
    store::local::LocalStore,
    vault::journal::JournalWriter,
};

use crate::{
    store_support::HandClock,
    vault_support::{Based, Made, dump, streams},
};

/// Two bases and the log that goes on from them, past a promotion, into the vault of the place that is told.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of scripts/make-golden"]
async fn a_journal() {
    let place = PathBuf::from(std::env::var("STRONGROOM_GOLDEN_PLACE").unwrap());
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let clock = HandClock::at(Time::from_unix(i64::try_from(now).unwrap()));
    let key = std::fs::read(place.join("keys/db1.key")).unwrap();
    let writer = writer_key::open(&key).unwrap();
    let identity = std::fs::read_to_string(place.join("keys/recovery.key")).unwrap();
    let made = Made {
        store: Arc::new(LocalStore::open(place.join("vault"), clock.clone()).unwrap()),
        clock: clock.clone(),
        id: writer.descriptor.vault,
        writer: Arc::new(writer),
        key,
        owner: Opener::from_identity_text(&identity, "test", Arc::new(NoPrompt)).unwrap(),
        identity,
        tiers: Tiers::default(),
        full_every: None,
        delta_cache: 1 << 30,
        adapts: false,
    };
    let journal = JournalWriter::new(made.place(), "orders".parse().unwrap(), None).unwrap();
    let line = |timeline| Line::postgres(0x68f1_a2b3_c4d5_e6f7, timeline);
    let log = |from: u64, to: u64| dump(from, usize::try_from(to - from).unwrap());
    let put = async |timeline, from: u64, to: u64| {
        let span = Span::new(Position(from), Position(to)).unwrap();
        journal.put(&line(timeline), span, &log(from, to), Time::from_unix(i64::try_from(now).unwrap())).await.unwrap();
    };
    let base = async |seed, from: u64| {
        let start = Start { line: line(1), from: Position(from) };
        let tar = Based(streams([("base.tar", dump(seed, 40_000))]), start);
        let id = made.backup(&place.join("state-of-journal"), "orders", tar).await.unwrap().id;
        println!("base {id}");
    };
    base(1, 0x0200_0028).await;
    put(1, 0x0200_0000, 0x0200_1000).await;
    put(1, 0x0200_1000, 0x0200_1f00).await;
    base(2, 0x0200_1a00).await;
    put(1, 0x0200_1f00, 0x0200_4000).await;
    put(2, 0x0200_3800, 0x0200_5000).await;
    let history = b"1\t0/2003F00\tno recovery target specified\n";
    journal.put_history(&line(2), history, Time::from_unix(i64::try_from(now).unwrap())).await.unwrap();
}
