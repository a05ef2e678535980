//! `airgap listen`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Child,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::process::{Pid, Signal, kill_process};
use strongroom::codec::mac;

use crate::{
    seaweed::write_private,
    steps::{Ways, good, wait_for},
};

const SECRET: &[u8] = b"correct horse battery staple";

struct Listener {
    ways: Ways,
    child: Child,
    address: SocketAddr,
}

impl Listener {
    fn start() -> Self {
        let ways = Ways::new("", &[good("a")]);
        ways.sandbox.configure("\n[airgap.listen]\naddress = \"127.0.0.1:0\"\nsecret = \"alert.secret\"\n");
        write_private(&ways.sandbox.path("etc/alert.secret"), std::str::from_utf8(SECRET).unwrap());
        ways.open("a");
        ways.run(&["airgap", "status"]).ok();
        let mut child = ways.start(&["airgap", "listen"]);
        let mut line = String::new();
        let mut reader = BufReader::new(child.stderr.take().unwrap());
        reader.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).parse().unwrap();
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        Self { ways, child, address }
    }

    /// What comes back for these bytes.
    fn send(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.write_all(bytes);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.lines().next().unwrap_or_default().to_owned()
    }

    fn end(mut self) -> Ways {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
        self.child.wait().unwrap();
        self.ways
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn request(path: &str, timestamp: u64, signed_as: &[u8], body: &str) -> Vec<u8> {
    let stamp = timestamp.to_string();
    let tag = mac::code(signed_as, &[stamp.as_bytes(), b".", body.as_bytes()]);
    let tag = hex::encode(tag);
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nX-Strongroom-Timestamp: {stamp}\r\n\
         X-Strongroom-Signature: sha256={tag}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[test]
fn only_a_signed_alert_of_now_trips_and_nothing_else_does() {
    let listener = Listener::start();
    let body = "{\"reason\": \"orders emptied\\u001b[2J\"}";
    let refused = [
        (request("/trip", now(), b"another secret of theirs", body), "401"),
        (request("/trip", now() - 400, SECRET, body), "401"),
        (request("/trip", now() + 400, SECRET, body), "401"),
        (request("/open", now(), SECRET, body), "404"),
        (String::from_utf8(request("/trip", now(), SECRET, body)).unwrap().replace("emptied", "altered").into_bytes(), "401"),
        (b"GET /trip HTTP/1.1\r\n\r\n".to_vec(), "405"),
        (b"POST /trip HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".to_vec(), "401"),
        (b"POST /trip HTTP/1.1\r\nContent-Length: 99999999\r\nX-Strongroom-Timestamp: 1\r\nX-Strongroom-Signature: 00\r\n\r\n".to_vec(), "413"),
        (b"\x16\x03\x01garbage\r\n\r\n".to_vec(), "400"),
        (format!("POST /trip HTTP/1.1\r\nX: {}", "a".repeat(20_000)).into_bytes(), "431"),
    ];
    for (bytes, code) in refused {
        let answer = listener.send(&bytes);
        assert!(answer.contains(code), "{code}: {answer} to {:?}", String::from_utf8_lossy(&bytes));
    }
    assert!(listener.ways.is_open("a"), "nobody tripped");
    // One that says nothing holds nobody up.
    let _silent = TcpStream::connect(listener.address).unwrap();
    let alert = request("/trip", now(), SECRET, body);
    let answer = listener.send(&alert);
    assert!(answer.contains("202"), "{answer}");
    wait_for("the cut", || !listener.ways.is_open("a"));
    wait_for("its end", || listener.ways.events().iter().any(|event| event["event"] == "tripped"));
    let trip = listener.ways.events().into_iter().find(|event| event["event"] == "trip").unwrap();
    assert_eq!((trip["by"].as_str(), trip["reason"].as_str()), (Some("alert"), Some("orders emptied\\u{1b}[2J")));
    // The same alert once more is heeded no more.
    let answer = listener.send(&alert);
    assert!(answer.contains("200"), "{answer}");
    let ways = listener.end();
    assert_eq!(ways.events().iter().filter(|event| event["event"] == "trip").count(), 1);
}

#[test]
fn a_secret_that_others_can_read_or_that_is_short_is_refused() {
    let ways = Ways::new("", &[good("a")]);
    ways.run(&["airgap", "listen"]).code(2).says("has no [airgap.listen]");
    ways.sandbox.configure("\n[airgap.listen]\nsecret = \"alert.secret\"\n");
    let file = ways.sandbox.path("etc/alert.secret");
    write_private(&file, "short");
    ways.run(&["airgap", "listen"]).code(2).says("shorter than 16 bytes");
    std::fs::write(&file, SECRET).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    ways.run(&["airgap", "listen"]).code(2).says("can be read by others");
}

/// Whoever is told, and what came: it says no twice before it takes a letter.
fn stubborn() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, came) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let noted = Arc::clone(&came);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            let whole = |text: &str| {
                let (head, body) = text.split_once("\r\n\r\n")?;
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())?;
                (body.len() >= length).then_some(())
            };
            while whole(&text).is_none() {
                let read = stream.read(&mut buffer).unwrap();
                assert!(read > 0, "it ended early: {text}");
                text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            let mut noted = noted.lock().unwrap();
            noted.push(text);
            let status = if noted.len() < 3 { "503 Busy" } else { "200 OK" };
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        }
    });
    (address, came)
}

#[test]
fn a_webhook_of_watch_is_signed_tried_again_says_nothing_of_the_data_and_can_trip_elsewhere() {
    let listener = Listener::start();
    let ways = &listener.ways;
    let (stubborn, came) = stubborn();
    let react = |name: &str, url: &str, secret: &str| {
        format!("[[watch.react]]\nname = \"{name}\"\nwebhook = \"{url}\"\nsecret = \"{secret}\"\ntimeout = \"20s\"\n")
    };
    let config = ways.sandbox.config();
    let plain = std::fs::read_to_string(&config).unwrap();
    for (text, why) in [
        (react("x", "alerts.example.org", "alert.secret"), "a webhook is a URL"),
        ("[[watch.react]]\nname = \"x\"\nwebhook = \"http://127.0.0.1:1/k\"\n".to_owned(), "the file of the secret"),
        ("[[watch.react]]\nname = \"x\"\ncommand = [\"true\"]\nsecret = \"s\"\n".to_owned(), "for a webhook"),
        (react("x", "http://127.0.0.1:1/k", "s") + "builtin = \"freeze\"\n", "give one of"),
    ] {
        std::fs::write(&config, format!("{plain}\n{text}")).unwrap();
        let run = ways.run(&["watch", "--react", "--checkpoint", "x"]).code(2);
        assert!(run.stderr.contains(why) && !run.stderr.contains("127.0.0.1"), "{why}: {}", run.stderr);
    }
    write_private(&ways.sandbox.path("etc/short.secret"), "short");
    let dead = react("dead", "http://127.0.0.1:1/hidden-path", "alert.secret");
    let short = react("short", &format!("http://{stubborn}/"), "short.secret");
    let tell = react("tell", &format!("http://{stubborn}/hook?key=hidden-key"), "alert.secret");
    let trip = react("trip", &format!("http://{}/trip", listener.address), "alert.secret");
    std::fs::write(&config, format!("{plain}\n{dead}{short}{tell}{trip}")).unwrap();

    let dump = |bytes: usize| ways.sandbox.backup("dump", "INSERT INTO t VALUES(1);\n".repeat(bytes / 25).as_bytes());
    (0..5).for_each(|n| drop(dump(200_000 + n * 1000)));
    let seen = ways.sandbox.path("seen.json").display().to_string();
    let identity = ways.sandbox.identity().display().to_string();
    let watch = || ways.run(&["watch", "--react", "--json", "--checkpoint", &seen, "-i", &identity]);
    watch().ok();
    let bad = dump(500);
    let run = watch().code(7);
    let document = run.json();
    let ended = |name: &str| {
        let all = document["result"]["reactions"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap()["ended"].as_str().unwrap().to_owned()
    };
    assert_eq!((ended("tell").as_str(), ended("trip").as_str()), ("done", "done"), "{document}");
    assert_eq!(ended("dead"), "it can't be reached");
    assert!(ended("short").contains("shorter than 16 bytes"), "{document}");
    assert!(!format!("{}{}", run.out(), run.stderr).contains("hidden"), "the URL is told to nobody");
    wait_for("the cut", || !ways.is_open("a"));

    let came = came.lock().unwrap();
    assert_eq!(came.len(), 3, "{came:?}");
    assert!(came[0] == came[1] && came[1] == came[2], "each try is the same: {came:?}");
    let (head, body) = came[0].split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    let tag = hex::decode(header("x-strongroom-signature")).unwrap();
    assert!(mac::verifies(SECRET, &[header("x-strongroom-timestamp").as_bytes(), b".", body.as_bytes()], &tag));
    let told: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((told["snapshot"].as_str(), told["level"].as_str()), (Some(bad.as_str()), Some("alarm")));
    assert_eq!(told["rules"][0], serde_json::json!({"rule": "data.collapsed", "level": "alarm"}));
    assert!(!body.contains("bytes") && !body.contains("words"), "{body}");
    assert_eq!(watch().json()["result"]["reactions"], serde_json::json!([]), "once for a cause");
    drop(came);
    listener.end();
}
