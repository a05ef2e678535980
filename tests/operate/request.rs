//! `request`: a backup now for who holds nothing, and what becomes of everything else that somebody says at its socket.

use std::{
    fs,
    io::{Read, Write},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    lab::with_shop,
    sandbox::{Run, Sandbox},
};

/// A server of requests, ended with the test.
pub struct Server {
    child: Child,
    pub socket: PathBuf,
    log: PathBuf,
}

pub fn uid() -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap())
}

impl Server {
    pub fn start(sandbox: &Sandbox, users: &str, least: &str) -> Self {
        let socket = sandbox.path("request.sock");
        sandbox.configure(&format!(
            "\n[request]\nsocket = {:?}\nusers = {users}\nsources = {{ shop = \"{least}\" }}\n",
            socket.to_str().unwrap()
        ));
        Self::launch(sandbox, socket, Stdio::null())
    }

    fn launch(sandbox: &Sandbox, socket: PathBuf, stdin: Stdio) -> Self {
        let log = sandbox.path("request.log");
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("strongroom"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", sandbox.path("home"));
        command.arg("--config").arg(sandbox.config()).args(["request", "serve"]);
        command.stdin(stdin).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        let server = Self { child: command.spawn().unwrap(), socket, log };
        server.wait_for("accepts requests");
        server
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn wait_for(&self, text: &str) {
        let until = Instant::now() + Duration::from_mins(1);
        while !self.said().contains(text) {
            assert!(Instant::now() < until, "{text:?} is not in: {}", self.said());
            thread::sleep(Duration::from_millis(20)); // nothing tells when the server has said it
        }
    }

    /// Says `bytes` and gives what comes back until the server closes.
    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let _ = stream.write_all(bytes);
        let mut back = Vec::new();
        let _ = stream.read_to_end(&mut back);
        String::from_utf8(back).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// Asks as somebody with neither configuration nor credentials.
fn ask(sandbox: &Sandbox, server: &Server, args: &[&str]) -> Run {
    let mut command = sandbox.command();
    sandbox.finish(command.arg("request").args(args).arg("--socket").arg(&server.socket))
}

fn snapshots(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.reader(&["snapshots", "--json"]).ok().json()["result"].as_array().unwrap().clone()
}

#[test]
fn who_holds_nothing_has_a_source_backed_up_and_a_young_snapshot_is_answered_instead() {
    let sandbox = with_shop("");
    let server = Server::start(&sandbox, &format!("[{}]", uid()), "1h");
    let done = ask(&sandbox, &server, &["shop", "--reason", "before migration 42", "--wait", "--json"]).ok().json();
    let answer = &done["result"]["requests"][0];
    assert_eq!((&answer["state"], &answer["source"]), (&json!("done"), &json!("shop")), "{done}");
    let made = snapshots(&sandbox);
    assert_eq!((made.len(), &made[0]["id"]), (1, &answer["snapshot"]));
    let mut show = sandbox.command();
    show.args(["--vault", &sandbox.url(), "show", "latest", "--source", "shop", "--json", "-i"])
        .arg(sandbox.identity());
    let shown = sandbox.finish(&mut show).ok().json();
    let requested = &shown["result"]["opened"]["requested"];
    assert_eq!(requested["reason"], "before migration 42");
    assert!(requested["by"].as_str().unwrap().contains(&format!("uid {}", uid())), "{requested}");

    let again = ask(&sandbox, &server, &["shop", "--wait", "--json"]).ok().json();
    assert_eq!(again["result"]["requests"][0]["state"], "fresh");
    assert_eq!(snapshots(&sandbox).len(), 1, "one that is recent enough is not made again");
    let accepted = ask(&sandbox, &server, &["shop", "--json"]).ok().json();
    assert_eq!(accepted["result"]["requests"][0]["state"], "accepted");
    ask(&sandbox, &server, &["shopp", "--wait"]).code(2).says("shop");
    ask(&sandbox, &server, &["shop", "--reason", &"x".repeat(301)]).code(2);
    assert!(server.said().contains("before migration 42"), "{}", server.said());
    let socket = server.socket.clone();
    drop(server);
    assert!(!socket.exists(), "the socket goes with its server");
    let mut command = sandbox.command();
    sandbox.finish(command.args(["request", "shop", "--socket"]).arg(&socket)).code(75);
}

#[test]
fn whatever_else_is_said_is_refused_and_nothing_is_made() {
    let sandbox = with_shop("");
    let server = Server::start(&sandbox, &format!("[{}]", uid()), "1h");
    let refused = |bytes: &[u8]| {
        let back = server.say(bytes);
        assert!(back.contains("\"refused\"") && back.lines().count() == 1, "{back}");
        back
    };
    refused(b"GET / HTTP/1.1\r\n\r\n");
    refused(b"{\"version\":1,\"sources\":[\"shop\"],\"restore\":true}\n");
    refused(b"{\"version\":9,\"sources\":[\"shop\"]}\n");
    refused(b"{\"version\":1,\"sources\":[\"--config\"]}\n");
    refused(b"{\"version\":1,\"sources\":[\"shop\"],\"reason\":\"a\\nb\"}\n");
    refused(&[0xff, 0xfe, b'\n']);
    // Too large, and never ending: heard up to its limit.
    refused(&vec![b'a'; 1 << 20]);
    // Half of one, and then nothing: from one that closes, and from one that stays.
    let mut half = UnixStream::connect(&server.socket).unwrap();
    half.write_all(b"{\"version\":1,").unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = String::new();
    half.read_to_string(&mut back).unwrap();
    assert!(back.contains("ended before its line"), "{back}");
    let begun = Instant::now();
    let silent = server.say(b"{\"version\":1,\"sour");
    assert!(silent.contains("in time") && begun.elapsed() < Duration::from_secs(50), "{silent}");
    assert!(snapshots(&sandbox).is_empty(), "none of it made a snapshot");
    // And it still hears.
    ask(&sandbox, &server, &["shop", "--wait"]).ok();
}

#[test]
fn the_wrong_user_is_refused_before_anything_is_read() {
    let sandbox = with_shop("");
    let server = Server::start(&sandbox, &format!("[{}]", uid() + 12_345), "1h");
    ask(&sandbox, &server, &["shop", "--wait"]).code(2).says("may not request");
    assert!(server.say(b"").contains("may not request"), "nothing need be said to be refused");
    assert!(snapshots(&sandbox).is_empty());
}

#[test]
fn a_hundred_at_once_make_one_snapshot() {
    let sandbox = with_shop("");
    let server = Server::start(&sandbox, &format!("[{}]", uid()), "1h");
    let line = b"{\"version\":1,\"sources\":[\"shop\"],\"reason\":\"all at once\",\"wait\":true}\n";
    let states: Vec<String> = thread::scope(|scope| {
        let asking: Vec<_> = (0..100).map(|_| scope.spawn(|| server.say(line))).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let count = |state: &str| states.iter().filter(|line| line.contains(&format!("\"state\":\"{state}\""))).count();
    assert_eq!((count("done"), snapshots(&sandbox).len()), (1, 1), "{states:?}");
    // Those for whom there was no place are told so.
    assert_eq!(count("fresh") + count("busy"), 99, "{states:?}");
    assert!(count("fresh") >= 63, "{states:?}");
}

#[test]
fn a_source_that_fails_is_told_and_not_tried_again_at_once() {
    let sandbox = with_shop("");
    let server = Server::start(&sandbox, &format!("[{}]", uid()), "1h");
    fs::rename(sandbox.path("shop.db"), sandbox.path("away.db")).unwrap();
    ask(&sandbox, &server, &["shop", "--wait"]).code(1).says("no snapshot was made");
    fs::rename(sandbox.path("away.db"), sandbox.path("shop.db")).unwrap();
    ask(&sandbox, &server, &["shop", "--wait"]).code(1).says("left alone for a minute");
    assert!(snapshots(&sandbox).is_empty());
}

#[test]
fn a_socket_that_the_service_manager_hands_over_is_listened_on() {
    let sandbox = with_shop("");
    let socket = sandbox.path("handed.sock");
    sandbox.configure(&format!("\n[request]\nusers = [{}]\nsources = {{ shop = \"1h\" }}\n", uid()));
    let listener = UnixListener::bind(&socket).unwrap();
    let server = Server::launch(&sandbox, socket, Stdio::from(OwnedFd::from(listener)));
    ask(&sandbox, &server, &["shop", "--wait"]).ok();
    assert!(server.said().contains("passed by systemd"), "{}", server.said());
}

#[test]
fn what_is_configured_wrongly_is_told_at_the_start() {
    let sandbox = with_shop("");
    sandbox.writer(&["request", "serve"]).code(2).says("[request]");
    let before = fs::read_to_string(sandbox.config()).unwrap();
    for (text, says) in [
        ("[request]\nsources = { shop = \"1h\" }\n", "nobody may ask"),
        ("[request]\nusers = [1]\nsources = { other = \"1h\" }\n", "other"),
        ("[request]\nusers = [\"nobody-of-this-name\"]\nsources = { shop = \"1h\" }\n", "nobody-of-this-name"),
        ("[request]\nusers = [1]\nsources = {}\n", "no sources"),
    ] {
        fs::write(sandbox.config(), format!("{before}\n{text}")).unwrap();
        sandbox.writer(&["request", "serve"]).code(2).says(says);
    }
}
