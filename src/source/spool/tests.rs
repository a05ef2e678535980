use std::{
    fs,
    io::Write,
    os::fd::AsFd,
    sync::mpsc,
    time::{Duration, Instant},
};

use super::*;

const MIB: usize = 1 << 20;

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i * 7 + i / 251) % 251).unwrap()).collect()
}

fn place(dir: &tempfile::TempDir, most: u64) -> SpoolPlace {
    SpoolPlace { dir: dir.path().join("spool"), most }
}

/// A spool that keeps next to nothing in memory.
fn narrow(place: Option<&SpoolPlace>) -> Spool {
    let spool = Spool::new(place, 1, &Haste::new(|| {}));
    spool.0.lock().most_in_memory(1);
    spool
}

/// Waits until the writer has ended, and fails if it does not.
fn wait(written: &mpsc::Receiver<()>) {
    assert_eq!(written.recv_timeout(Duration::from_mins(1)), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn who_writes_does_not_wait_for_who_reads_and_all_comes_out_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(&dir, 1 << 30);
    let spool = narrow(Some(&place));
    let plain = text(9 * MIB + 77);
    let (writing, written) = mpsc::channel::<()>();
    let mut spooled = spool.start(io::Cursor::new(plain.clone()), writing).unwrap();
    wait(&written);
    // The file has no name, and nothing of what is in it can be read there.
    assert_eq!(fs::read_dir(&place.dir).unwrap().count(), 0);
    let disk = spool.0.disk.as_ref().unwrap();
    let mut on_disk = Vec::new();
    disk.peek(&mut on_disk);
    assert!(on_disk.len() >= 8 * MIB);
    assert!(!on_disk.windows(64).any(|part| part == &plain[5 * MIB..5 * MIB + 64]));
    let held = disk.blocks();
    let mut out = Vec::new();
    spooled.read_to_end(&mut out).unwrap();
    assert!(out == plain);
    assert_eq!(spool.told(), None, "nobody had to wait");
    // What was read takes no room any more, where the file system can tell.
    assert!(disk.blocks() == 0 || disk.blocks() < held, "{held} then {}", disk.blocks());
}

#[test]
fn at_its_bound_who_writes_waits_and_that_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(&dir, 3 * SLOT as u64);
    let spool = narrow(Some(&place));
    let plain = text(12 * MIB);
    let (writing, written) = mpsc::channel::<()>();
    let mut spooled = spool.start(io::Cursor::new(plain.clone()), writing).unwrap();
    while spool.told().is_none() {
        thread::yield_now();
    }
    assert_eq!(written.try_recv(), Err(mpsc::TryRecvError::Empty));
    let told = spool.told().unwrap();
    assert!(told.contains("was full: `spool` allows 3.00 MiB"), "{told}");
    let mut out = Vec::new();
    spooled.read_to_end(&mut out).unwrap();
    assert!(out == plain);
    wait(&written);
    assert!(spool.0.disk.as_ref().unwrap().len() <= 3 * SLOT as u64);
}

#[test]
fn a_disk_that_takes_nothing_costs_time_and_no_dump() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("spool"), "a file where the directory is to be").unwrap();
    let place = place(&dir, 1 << 30);
    let spool = narrow(Some(&place));
    let plain = text(5 * MIB);
    let mut out = Vec::new();
    let mut spooled = spool.start(io::Cursor::new(plain.clone()), ()).unwrap();
    while spool.told().is_none() {
        thread::yield_now();
    }
    spooled.read_to_end(&mut out).unwrap();
    assert!(out == plain);
    let told = spool.told().unwrap();
    assert!(told.contains("took no more than 0 B: can't make a file"), "{told}");
}

#[test]
fn without_a_place_memory_is_all_there_is() {
    let plain = text(40 * MIB);
    let spool = Spool::new(None, 1, &Haste::new(|| {}));
    let (writing, written) = mpsc::channel::<()>();
    let mut spooled = spool.start(io::Cursor::new(plain.clone()), writing).unwrap();
    let mut first = vec![0; MIB];
    spooled.read_exact(&mut first).unwrap();
    assert_eq!(written.try_recv(), Err(mpsc::TryRecvError::Empty), "32 MiB are not enough for it");
    let mut rest = Vec::new();
    spooled.read_to_end(&mut rest).unwrap();
    assert!([first, rest].concat() == plain);
    assert_eq!(spool.told(), None, "as was asked for");
}

/// Who waits for a program's end must not wait for one that waits for its reader.
#[test]
fn who_pauses_goes_on_once_there_is_no_room() {
    let haste = Haste::new(|| {}).pausing(Machine { cores: 2, idle: || None });
    let spool = Spool::new(None, 1, &haste);
    spool.0.lock().most_in_memory(3);
    let at_work = haste.begin();
    let (reader, mut writer) = io::pipe().unwrap();
    let mut spooled = spool.start(reader, at_work).unwrap();
    haste.is_waited_for(true);
    writer.write_all(&text(2 * MIB)).unwrap();
    let mut looks = 0;
    let had = haste.turn_or(true, |aside| {
        looks += u32::from(aside.is_some());
        looks == 3
    });
    assert!(had && looks == 3, "there is room for what was written");
    let rest = thread::spawn(move || writer.write_all(&text(9 * MIB)).unwrap());
    assert!(haste.turn_or(true, |_| false));
    let mut out = Vec::new();
    spooled.read_to_end(&mut out).unwrap();
    assert!(out == [text(2 * MIB), text(9 * MIB)].concat());
    rest.join().unwrap();
    assert!(haste.turn_or(false, |_| false), "it is over");
}

/// Streams that are written at the same time and read one after the other share one bound and go on all the same.
#[test]
fn the_stream_that_is_read_goes_on_whatever_the_others_hold() {
    let dir = tempfile::tempdir().unwrap();
    for place in [Some(place(&dir, 2 * SLOT as u64)), None] {
        let spool = narrow(place.as_ref());
        let streams: Vec<_> = (0..4)
            .map(|n| {
                let plain = text(6 * MIB + n);
                (spool.start(io::Cursor::new(plain.clone()), ()).unwrap(), plain)
            })
            .collect();
        // Those that come last are the first to fill it.
        for (mut spooled, plain) in streams.into_iter().rev() {
            let mut out = Vec::new();
            spooled.read_to_end(&mut out).unwrap();
            assert!(out == plain);
        }
    }
}

#[test]
fn a_block_that_was_changed_on_the_disk_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(&dir, 1 << 30);
    let spool = narrow(Some(&place));
    let (writing, written) = mpsc::channel::<()>();
    let mut spooled = spool.start(io::Cursor::new(text(4 * MIB)), writing).unwrap();
    wait(&written);
    spool.0.disk.as_ref().unwrap().spoil();
    let error = spooled.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("can't be read"), "{error}");
}

#[test]
fn an_error_of_who_writes_comes_behind_what_was_written() {
    struct Bad;
    impl Read for Bad {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }
    let spool = narrow(None);
    let mut out = Vec::new();
    let bytes = io::Cursor::new(text(3 * MIB)).chain(Bad);
    let error = spool.start(bytes, ()).unwrap().read_to_end(&mut out).unwrap_err();
    assert!(error.to_string().contains("bad sector") && out == text(3 * MIB));
}

#[test]
fn who_writes_ends_soon_after_nobody_reads_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(&dir, 2 * SLOT as u64);
    let spool = narrow(Some(&place));
    let (reader, writer) = io::pipe().unwrap();
    let (writing, written) = mpsc::channel::<()>();
    let spooled = spool.start(reader, writing).unwrap();
    let filling = thread::spawn(move || {
        let mut writer = writer;
        while writer.write_all(&[7; 4096]).is_ok() {}
        writer.as_fd().try_clone_to_owned().is_ok()
    });
    while spool.told().is_none() {
        thread::yield_now();
    }
    let began = Instant::now();
    drop(spooled);
    wait(&written);
    assert!(filling.join().unwrap() && began.elapsed() < Duration::from_mins(1));
    assert_eq!(spool.0.lock().in_use(), (0, 0), "nothing of it is left");
}
