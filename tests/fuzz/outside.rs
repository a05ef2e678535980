//! What must hold for everything else that reads what strangers wrote: configurations, logs and archives of databases, packs
//! of git, the plan of a restore, and what servers answer. The fuzz targets and the property tests both run these.

use std::{
    collections::{BTreeSet, VecDeque},
    io::{BufRead, BufReader, Cursor, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, LazyLock, Mutex},
    thread,
    time::Duration,
};

use strongroom::{
    cli::config::{Config, ConfigError},
    codec::{
        git_object::{GitHash, Inflated, Inflater, loose_name},
        git_pack::{PackCheck, salvage::salvage},
    },
    forge::{self, ForgeOptions, ForgeSource, Provider},
    format::body::{Body, StreamRecord},
    model::{Cancel, FileMeta, Hash, SourceKind, Span, journal::Position},
    ops::restore::{Part, Plan},
    source::{
        Source,
        mariadb::binlog::{Groups, beginning, event::MAGIC},
        postgres::{
            Walker,
            journal::{Geometry, LogFile, Stop, Walk, history},
            wal::Records,
        },
    },
    store::{
        ObjectStore,
        credentials::CredentialsSpec,
        s3::{Patience, S3Settings, S3Store},
    },
};

/// A configuration: what is wrong with it is told by a place that it has.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(ConfigError::Wrong { line, column, .. }) = Config::parse(text, Path::new("/etc/strongroom.toml")) {
        let shown = text.split('\n').nth(line.checked_sub(1).unwrap()).unwrap();
        assert!(column >= 1 && column <= shown.chars().count() + 2, "{line}:{column}");
    }
}

/// A binary log, in two parts whose bounds lie anywhere: whatever is kept of it was given, once, and in its order.
pub fn binlog(data: &[u8]) {
    let whole = [&MAGIC, data].concat();
    let cut = data.first().map_or(0, |at| usize::from(*at)).min(whole.len());
    let read = |parts: &[&[u8]]| {
        let (mut groups, mut seen) = (Groups::default(), Vec::new());
        for part in parts {
            let Ok(kept) = groups.feed(part, &mut |group| seen.push(*group)) else { break };
            assert!(kept.windows(2).all(|pair| pair[0].end <= pair[1].start));
            assert!(kept.iter().all(|range| range.end <= part.len()));
        }
        seen
    };
    let all = read(&[&whole]);
    assert!(all.windows(2).all(|pair| pair[0].end <= pair[1].begin && pair[0].length < pair[1].length));
    assert!(all.iter().all(|group| group.length <= whole.len() as u64));
    let parts = read(&[&whole[..cut], &whole[cut..]]);
    assert!(parts.len() <= all.len() + 1);
    let _ = beginning(&whole);
}

/// Packs and loose objects of git, as they are and with a pack's head before them. However a pack is cut on its
/// way, it is whole or is not, and what is salvaged of it lies in it, in its order.
pub fn git(data: &[u8]) {
    let headed = [b"PACK\0\0\0\x02\0\0\0\x02".as_slice(), data].concat();
    for hash in [GitHash::Sha1, GitHash::Sha256] {
        let _ = loose_name(hash, data);
        for pack in [data, &headed] {
            let checked = |pieces: usize| {
                let mut check = PackCheck::new(hash);
                pack.chunks(pieces).for_each(|piece| check.update(piece));
                // Which of two faults is told first may differ.
                check.finish().is_ok()
            };
            assert_eq!(checked(pack.len().max(1)), checked(data.first().map_or(1, |first| usize::from(*first) + 1)));
            let (len, mut before) = (pack.len() as u64, 0);
            let each = |object: strongroom::codec::git_pack::salvage::Whole| {
                assert!(before <= object.at && object.at < object.content && object.content < object.end);
                assert!(object.end <= len);
                before = object.at;
                Ok(())
            };
            salvage(hash, Cursor::new(pack), len, each).unwrap();
        }
    }
    let size = data.first().map_or(0, |first| u64::from(*first));
    match Inflater::new(size).feed(data.get(1..).unwrap_or_default()) {
        Ok(Inflated::More(taken) | Inflated::End(taken)) => assert!(taken < data.len().max(1)),
        Err(_) => {}
    }
}

/// An archive of `pg_dump`, as it is, and behind the head of one of each version. However it is cut on its way, the same is
/// said of it, and what was cut off at its end is missed.
pub fn archive(data: &[u8]) {
    let judged = |whole: &[u8], pieces: usize| {
        let mut walker = Walker::new();
        whole.chunks(pieces.max(1)).for_each(|piece| walker.feed(piece));
        walker.finish()
    };
    let step = data.first().map_or(1, |first| usize::from(*first) + 1);
    let version = 12 + data.get(1).map_or(0, |second| second % 6);
    let headed = [b"PGDMP\x01".as_slice(), &[version, 0, 4, 8, 1], data.get(2..).unwrap_or_default()].concat();
    for whole in [data, &headed] {
        let all = judged(whole, whole.len());
        assert_eq!(all, judged(whole, step));
        if all == Ok(true) {
            assert!(judged(&whole[..whole.len() - 1], step).is_err(), "its end is missing, and nobody sees it");
        }
    }
}

/// A write-ahead log, from a segment's beginning on: what is said to be whole was given, in its order, however it was cut.
pub fn wal(data: &[u8]) {
    let step = data.first().map_or(1, |first| usize::from(*first) + 1);
    let text = String::from_utf8_lossy(data);
    let _ = (history(&text), text.lines().next().and_then(LogFile::read));
    let headed = [head_of_segment(data.get(1).copied().unwrap_or_default()).as_slice(), data].concat();
    for log in [data, &headed] {
        let Ok(Some(geometry)) = Geometry::read(log) else { continue };
        let (start, segment) = (Geometry::address(log), geometry.segment);
        let recorded = |pieces: usize| {
            let (mut records, mut seen) = (Records::new(Position(start), segment), Vec::new());
            for piece in log.chunks(pieces.max(1)) {
                records.feed(piece, &mut |record| {
                    seen.push(record);
                    true
                });
            }
            (seen, records.end(), records.last())
        };
        let all = recorded(log.len());
        assert!(all.0.iter().all(|one| one.start < one.end) && all.0.windows(2).all(|two| two[0].end <= two[1].start));
        assert_eq!(all, recorded(step));
        let mut walk = Walk::new(geometry, 1, start);
        let ended = walk.feed(log);
        assert!(walk.whole() >= start && walk.whole() <= walk.at());
        if let Ok(Stop::Torn { record }) = ended {
            assert!(record >= walk.whole() && record <= walk.at());
        }
    }
}

/// The header of the first page of a segment of a megabyte.
fn head_of_segment(number: u8) -> Vec<u8> {
    let address = u64::from(number) << 20;
    let mut head = [0x10, 0xd1, 2, 0, 1, 0, 0, 0].to_vec();
    head.extend(address.to_le_bytes());
    head.extend([0; 8]);
    head.extend(7_u64.to_le_bytes());
    head.extend([0, 0, 0x10, 0, 0, 0x20, 0, 0]);
    head
}

/// The paths of a restore, one a line: whatever is planned lies below its directory, in a place of its own.
pub fn plan(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (mut groups, mut streams, mut directories) = (Vec::<Vec<String>>::new(), Vec::new(), Vec::new());
    for (no, line) in text.lines().take(200).enumerate() {
        let (kind, path) = line.split_at_checked(1).unwrap_or_default();
        match kind {
            "=" => groups.push(path.split('=').map(str::to_owned).collect()),
            "/" => directories.push(serde_json::json!([path, 0o755, null])),
            _ => {
                let link = (kind == ">").then(|| "/etc/passwd".into());
                let meta = FileMeta { mode: None, mtime_ns: None, link, dir: kind == "d" };
                streams.push(StreamRecord {
                    name: format!("s{no}").parse().unwrap(),
                    path: Some(path.into()),
                    meta,
                    bytes: u64::from(kind == "f"),
                    blake3: Hash::from_bytes([0; 32]),
                    chunks: 0,
                    depth: 0,
                    list: Vec::new(),
                });
            }
        }
    }
    let include = if text.starts_with('*') { vec![text.lines().next().unwrap().to_owned()] } else { Vec::new() };
    let details = serde_json::json!({ "directories": directories, "hard_links": groups });
    let body = Body::new(streams, details, Vec::new());
    let wanted = Part { stream: None, include };
    let Ok(plan) = Plan::of_part("src".parse().unwrap(), SourceKind::Path, body, &wanted) else { return };
    let inside = |path: &str| path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'));
    let files: BTreeSet<&str> =
        plan.entries.iter().filter(|entry| !entry.meta().dir).map(strongroom::ops::restore::Entry::path).collect();
    let mut seen = BTreeSet::new();
    for entry in &plan.entries {
        assert!(inside(entry.path()) && seen.insert(entry.path()));
        let above = entry.path().match_indices('/').map(|(at, _)| &entry.path()[..at]);
        assert!(above.into_iter().all(|dir| !files.contains(dir)), "through a link or a file: {:?}", entry.path());
        if let Some(first) = plan.linked_to(entry) {
            assert!(first != entry.path() && entry.is_file() && seen.contains(first), "before what it is a name of");
        }
    }
    assert!(plan.directories.iter().all(|(path, ..)| inside(path)));
}

/// Answers of one server for all that is asked of it: what stands between two bytes 0xFE, each after its status. When they
/// are used up, nothing is there.
struct Server {
    address: SocketAddr,
    answers: Arc<Mutex<VecDeque<Vec<u8>>>>,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, answers) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(VecDeque::new())));
    let shared = Arc::clone(&answers);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answers = Arc::clone(&shared);
            thread::spawn(move || converse(stream, &answers));
        }
    });
    Server { address, answers }
});
/// One at a time: the answers are meant for whoever gave them.
static TURN: Mutex<()> = Mutex::new(());

fn converse(stream: TcpStream, answers: &Mutex<VecDeque<Vec<u8>>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut length, mut head) = (String::new(), 0, false);
        while reader.read_line(&mut line).ok()? > 2 {
            let small = line.to_ascii_lowercase();
            head |= small.starts_with("head ");
            length = small.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap_or(0));
            line.clear();
        }
        if line.is_empty() {
            return None;
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
        let answer = answers.lock().unwrap().pop_front();
        let bytes = spoken(answer.as_deref(), head);
        reader.get_mut().write_all(&bytes).ok()?;
    }
}

/// An answer as it goes over the wire: its first byte chooses the status, lines up to an empty one are headers.
fn spoken(answer: Option<&[u8]>, head: bool) -> Vec<u8> {
    let (status, rest) = match answer.and_then(<[u8]>::split_first) {
        Some((choice, rest)) => ([200, 200, 200, 200, 304, 403, 404, 409][usize::from(choice % 8)], rest),
        None => (404, &[][..]),
    };
    let split = rest.windows(2).position(|two| two == b"\n\n");
    let (headers, body) = split.map_or((&[][..], rest), |at| (&rest[..at], &rest[at + 2..]));
    let mut out = format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    for line in headers.split(|byte| *byte == b'\n').take(20) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or_default();
        let sound = colon > 0 && line[..colon].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        let small = line.to_ascii_lowercase();
        // What would change how long the answer is, or make the client wait.
        let ours = ["content-", "transfer-", "connection", "retry-", "x-ratelimit", "ratelimit"];
        if sound && !line.contains(&b'\r') && !ours.iter().any(|name| small.starts_with(name.as_bytes())) {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(if head || status == 304 { b"" } else { body });
    out
}

fn with_answers(data: &[u8], ask: impl FnOnce(SocketAddr)) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *SERVER.answers.lock().unwrap() = data.split(|byte| *byte == 0xfe).take(20).map(<[u8]>::to_vec).collect();
    ask(SERVER.address);
    SERVER.answers.lock().unwrap().clear();
}

/// What an S3 server answers to each thing that is asked of it.
pub fn s3(data: &[u8]) {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    static KEYS: LazyLock<tempfile::NamedTempFile> = LazyLock::new(|| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"access_key_id = \"a\"\nsecret_access_key = \"b\"\n").unwrap();
        file
    });
    static STORE: LazyLock<S3Store> = LazyLock::new(|| {
        let short = Duration::from_millis(300);
        let patience = Patience { connect: short, answer: short, transfer: short, budget: short, first: short };
        let settings = S3Settings {
            endpoint: Some(format!("http://{}", SERVER.address)),
            path_style: true,
            region: Some("us-east-1".to_owned()),
            credentials: Some(CredentialsSpec::File(KEYS.path().to_owned())),
            patience,
            ..S3Settings::new("bucket", "v")
        };
        RUNTIME.block_on(S3Store::connect(settings)).unwrap()
    });
    let Some((choice, data)) = data.split_first() else { return };
    let (store, key) = (&*STORE, "vault.json".parse().unwrap());
    with_answers(data, |_| {
        RUNTIME.block_on(async {
            match choice % 6 {
                0 => drop(store.list_versions("", &mut |_| ()).await),
                1 => drop(store.list("packs/", &mut |_| ()).await),
                2 => drop(store.lock_of(&key, None).await),
                3 => drop(store.harmful_rules().await),
                4 => drop(store.head(&key, None).await),
                _ => drop(store.admin().lock().await),
            }
        });
    });
}

/// What a forge answers, from its list of repositories to the end of a pass.
pub fn forge(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    with_answers(data, |address| {
        let dir = tempfile::tempdir().unwrap();
        let provider = [Provider::Github, Provider::Gitlab, Provider::Gitea][usize::from(choice % 3)];
        let options = ForgeOptions {
            provider,
            url: format!("http://{address}"),
            owner: Some("acme".to_owned()),
            repos: Vec::new(),
            token: None,
            exclude: BTreeSet::new(),
            full_every: Span::days(30),
            settings_every: Span::days(1),
            patience: Some(Duration::ZERO),
            memory: dir.path().join("memory"),
        };
        let Ok((listed, _)) = forge::list(&options, false, Cancel::default()) else { return };
        let Ok(mut reading) = ForgeSource::new(options, Arc::new(listed)).open() else { return };
        while let Ok(Some(mut stream)) = reading.next_stream() {
            if std::io::copy(&mut stream.reader, &mut std::io::sink()).is_err() {
                return;
            }
        }
        let _ = reading.finish();
    });
}
