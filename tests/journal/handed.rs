//! What a server hands over, and what is handed to it: nothing of other content under a name that was taken, and of two that hold
//! the same stretch the one that was there first.

use std::{fs, path::PathBuf};

use strongroom::{
    model::{Cancel, Clock, Silent, Span as Duration},
    ops::{OpsError, journal as op},
    source::postgres::journal::Ahead,
    vault::{
        audit::{self, Depth, VerifyRequest},
        journal::Reader,
    },
};
use tokio::runtime::Handle;

use crate::lab::{Lab, START, line, log, span};

const SEGMENT: u64 = 1 << 20;
const SYSTEM: u64 = 0x68f1_a2b3_c4d5_e6f7;

/// A server's directory, and the memory of who pushes from there.
struct Host {
    dir: tempfile::TempDir,
    state: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(dir.path().join("pg_wal")).unwrap();
        fs::create_dir_all(dir.path().join("global")).unwrap();
        fs::write(dir.path().join("global/pg_control"), SYSTEM.to_le_bytes()).unwrap();
        Self { dir, state }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join("pg_wal").join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn memory(&self, part: &str) -> PathBuf {
        let mut open = vec![self.state.path().to_owned()];
        while let Some(dir) = open.pop() {
            if dir.ends_with(part) {
                return dir;
            }
            open.extend(fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|path| path.is_dir()));
        }
        panic!("no {part}")
    }

    /// As `journal push` does it. Gives whether it was there already.
    async fn push(&self, lab: &Lab, path: PathBuf, again: bool) -> Result<bool, OpsError> {
        let (place, runtime) = (lab.made.place(), Handle::current());
        let request = op::PushRequest {
            path,
            source: Lab::source(),
            keep: None,
            state: self.state.path().to_owned(),
            pins: Vec::new(),
            new_cluster: false,
            again,
            ahead: 0,
        };
        let pushed = tokio::task::spawn_blocking(move || match op::was_pushed(&place.writer, &request)? {
            Some(report) => Ok(report),
            None => op::push(&place, &runtime, &request),
        });
        Ok(pushed.await.unwrap()?.already)
    }
}

/// A segment of the server, whose last bytes are `end`.
fn segment(start: u64, end: [u8; 16]) -> Vec<u8> {
    let mut bytes = vec![0x10, 0xd1, 2, 0, 1, 0, 0, 0];
    bytes.extend(start.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(SYSTEM.to_le_bytes());
    bytes.extend([0, 0, 16, 0, 0, 32, 0, 0]);
    bytes.extend(&log(start, start + SEGMENT)[bytes.len()..]);
    let at = bytes.len() - 16;
    bytes[at..].copy_from_slice(&end);
    bytes
}

fn name(start: u64) -> String {
    format!("{:08X}{:08X}{:08X}", 1, start >> 32, (start & 0xffff_ffff) / SEGMENT)
}

/// Refused, and nothing was stored.
async fn refused(lab: &Lab, host: &Host, path: PathBuf) -> String {
    let before = lab.keys().await;
    let error = host.push(lab, path, false).await.unwrap_err();
    assert_eq!(lab.keys().await, before, "{error}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_taken_is_refused_with_other_content() {
    let (lab, host) = (Lab::new().await, Host::new());
    let (first, other) = (segment(START, [1; 16]), segment(START, [2; 16]));
    let put = |bytes: &[u8]| host.write(&name(START), bytes);
    assert!(!host.push(&lab, put(&first), false).await.unwrap());
    assert!(host.push(&lab, put(&first), false).await.unwrap(), "again is right");
    let told = refused(&lab, &host, put(&other)).await;
    assert!(told.contains("before, with other content"), "{told}");
    assert!(host.push(&lab, put(&first), false).await.unwrap(), "what was there still is");

    // A process that ended between its put and its mark pushes the same again, and nothing else.
    fs::remove_file(host.memory("marks").join(name(START))).unwrap();
    let told = refused(&lab, &host, put(&other)).await;
    assert!(told.contains("before, with other content"), "{told}");
    assert!(!host.push(&lab, put(&first), false).await.unwrap());

    // Where nothing is remembered, nobody can tell that it is the same.
    let forgetful = Host::new();
    for bytes in [&first, &other] {
        let told = refused(&lab, &forgetful, forgetful.write(&name(START), bytes)).await;
        assert!(told.contains("`state`"), "{told}");
    }
    let next = START + SEGMENT;
    let path = forgetful.write(&name(next), &segment(next, [1; 16]));
    assert!(!forgetful.push(&lab, path, false).await.unwrap(), "what the vault does not have is taken");
    let path = forgetful.write(&name(START), &first);
    assert!(!forgetful.push(&lab, path.clone(), true).await.unwrap(), "who asks for it is obeyed");
    assert!(forgetful.push(&lab, path, false).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_has_one_history_and_that_is_one() {
    let (lab, host) = (Lab::new().await, Host::new());
    let (first, other) = ("1\t0/1000060\tno recovery target specified\n", "1\t0/1000090\tbefore 2026\n");
    let put = |name: &str, text: &str| host.write(name, text.as_bytes());
    assert!(!host.push(&lab, put("00000002.history", first), false).await.unwrap());
    assert!(host.push(&lab, put("00000002.history", first), false).await.unwrap());
    let told = refused(&lab, &host, put("00000002.history", other)).await;
    assert!(told.contains("other content"), "{told}");
    for text in ["", "3\t0/1000060\tx\n", "1\n", "# nothing\n"] {
        let told = refused(&lab, &host, put("00000003.history", text)).await;
        assert!(told.contains("is no history of timeline 3"), "{told}");
    }
    let forgetful = Host::new();
    refused(&lab, &forgetful, forgetful.write("00000002.history", other.as_bytes())).await;
    assert!(!host.push(&lab, put("00000003.history", "1\t0/1000060\tx\n2\t0/2000000\ty\n"), false).await.unwrap());
}

async fn differing(lab: &Lab, depth: Depth) -> Vec<String> {
    let request = VerifyRequest { opener: Some(lab.made.owner.clone()), ..VerifyRequest::new(depth) };
    let report = audit::verify(&lab.vault().await, &request, std::sync::Arc::new(Silent), &Cancel::default()).await;
    let found = report.unwrap().findings.into_iter().filter(|one| one.code == "journal.differs");
    found.map(|one| one.message).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_one_stretch_that_differ_are_found() {
    let lab = Lab::new().await;
    let writer = lab.writer();
    lab.base(0).await;
    lab.put(&writer, 0, 2000).await;
    lab.put(&writer, 0, 2000).await;
    writer.put_history(&line(2), b"1\t0/1000060\tx\n", lab.clock.now()).await.unwrap();
    writer.put_history(&line(2), b"1\t0/1000060\tx\n", lab.clock.now()).await.unwrap();
    assert_eq!(differing(&lab, Depth::Decrypt).await, [""; 0], "the same, sealed twice");
    writer.put(&line(1), span(START, START + 2000), &[7; 2000], lab.clock.now()).await.unwrap();
    writer.put_history(&line(2), b"1\t0/1000090\tx\n", lab.clock.now()).await.unwrap();
    let told = differing(&lab, Depth::Decrypt).await;
    assert!(told.len() >= 2 && told.iter().any(|one| one.contains("0/1000000 to 0/10007D0")), "{told:#?}");
    assert!(told.iter().any(|one| one.contains("the history of this timeline")), "{told:#?}");
    assert_eq!(differing(&lab, Depth::Locks).await, [""; 0], "names do not tell");
}

/// `journal fetch` with nothing read ahead.
async fn fetch(lab: &Lab, name: &str, of: impl FnOnce(&mut op::FetchRequest)) -> Result<Option<Vec<u8>>, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut request = op::FetchRequest {
        name: name.to_owned(),
        path: dir.path().join("out"),
        source: Lab::source(),
        writer: None,
        system: SYSTEM,
        ahead: Ahead::open(dir.path().join("ahead")).unwrap(),
        read_ahead: 0,
    };
    of(&mut request);
    let vault = lab.vault().await;
    let reader = Reader::new(&vault, &lab.made.owner, &[]).await.unwrap();
    let told = op::fetch(&vault, &reader, &request).await.map_err(|error| error.to_string())?;
    Ok(told.found.then(|| fs::read(&request.path).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_vault_had_first_is_what_a_server_gets() {
    let lab = Lab::new().await;
    let writer = lab.writer();
    let put = async |from: u64, to: u64, bytes: &[u8]| {
        let part = &bytes[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
        let at = span(START + from, START + to);
        writer.put(&line(1), at, part, lab.clock.now()).await.unwrap();
        lab.clock.pass(Duration::seconds(10));
    };
    let (first, later) = (segment(START, [1; 16]), vec![7; usize::try_from(SEGMENT).unwrap()]);
    put(0, 1000, &first).await;
    put(5000, 6000, &first).await;
    put(0, SEGMENT, &later).await;
    let got = fetch(&lab, &name(START), |_| {}).await.unwrap().unwrap();
    assert!(got[..1000] == first[..1000], "what was there first was replaced");
    assert!(got[1000..5000].iter().all(|byte| *byte == 7) && got[5000..6000] == first[5000..6000]);
    assert!(got[6000..] == later[6000..], "what lies beyond is added");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_from_before_a_segment_is_no_gap_behind_it() {
    let lab = Lab::new().await;
    let writer = lab.writer();
    // Of the usual size, which the name alone does not tell.
    let size = 16 * SEGMENT;
    let mut whole = segment(START, [1; 16])[..40].to_vec();
    whole[32..36].copy_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
    whole.resize(usize::try_from(size).unwrap(), 0);
    writer.put(&line(1), span(START, START + size), &whole, lab.clock.now()).await.unwrap();
    lab.put(&writer, size, size + 0xd8).await;
    for number in [0x3, 0x5, 0x6, 0xa, 0x10, 0x50, 0xa0] {
        let got = fetch(&lab, &format!("0000000100000000{number:08X}"), |_| {}).await;
        assert_eq!(got, Ok(None), "{number:x}");
    }
    // What is really missing still is.
    lab.put(&writer, 7 * size, 7 * size + 100).await;
    let told = fetch(&lab, "000000010000000000000005", |_| {}).await.unwrap_err();
    assert!(told.contains("a gap") && told.contains("0/8000000"), "{told}");
    // Of a line on which no piece begins a segment nothing is said but what is certain.
    let lab = Lab::new().await;
    let writer = lab.writer();
    lab.put(&writer, 100, 200).await;
    assert_eq!(fetch(&lab, "000000010000000000000005", |_| {}).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_of_what_was_mistyped_is_no_end_of_the_log() {
    let lab = Lab::new().await;
    let writer = lab.writer();
    let whole = segment(START, [1; 16]);
    writer.put(&line(1), span(START, START + SEGMENT), &whole, lab.clock.now()).await.unwrap();
    for name in ["000000010000000000000020", "00000002.history"] {
        let other = |text: &str| text.parse().unwrap();
        assert_eq!(fetch(&lab, name, |_| {}).await, Ok(None));
        assert_eq!(fetch(&lab, name, |request| request.writer = Some(other("w1"))).await, Ok(None));
        let told = fetch(&lab, name, |request| request.source = other("nosuch")).await.unwrap_err();
        assert!(told.contains("source nosuch"), "{told}");
        let told = fetch(&lab, name, |request| request.writer = Some(other("nosuch"))).await.unwrap_err();
        assert!(told.contains("writer nosuch"), "{told}");
        let told = fetch(&lab, name, |request| request.system = 4711).await.unwrap_err();
        assert!(told.contains("cluster 4711") && told.contains(&SYSTEM.to_string()), "{told}");
    }
    // A source whose journal has not begun yet is at the end of its log.
    let lab = Lab::new().await;
    lab.base(0).await;
    assert_eq!(fetch(&lab, "000000010000000000000020", |_| {}).await, Ok(None));
    assert!(fetch(&lab, "000000010000000000000020", |request| request.system = 4711).await.is_err());
}
