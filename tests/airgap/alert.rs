//! `airgap listen`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::Child,
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
