//! A step that takes a network down: the writer's way is dead, the responder's is not. Where this user may not make
//! networks, it says so.

use std::{
    net::TcpListener,
    process::{Command, Output},
    thread,
};

use crate::steps::Ways;

fn ip(args: &[&str]) -> Output {
    Command::new("ip").args(args).output().unwrap()
}

/// Two hosts on networks of their own; gone with its handle.
struct Net {
    name: String,
    id: u32,
}

impl Net {
    fn new(id: u32) -> Option<Self> {
        let net = Self { name: format!("srt{id}"), id };
        for (at, host) in ["w", "r"].iter().enumerate() {
            let (space, ours, theirs) = (net.space(host), net.link(host), format!("{}x", net.link(host)));
            let address = |last: u32| format!("10.{}.{at}.{last}/24", 100 + id % 100);
            let made = ip(&["netns", "add", &space]).status.success()
                && ip(&["link", "add", &ours, "type", "veth", "peer", "name", &theirs, "netns", &space])
                    .status
                    .success()
                && ip(&["addr", "add", &address(1), "dev", &ours]).status.success()
                && ip(&["link", "set", &ours, "up"]).status.success()
                && ip(&["-n", &space, "addr", "add", &address(2), "dev", &theirs]).status.success()
                && ip(&["-n", &space, "link", "set", &theirs, "up"]).status.success();
            if !made {
                return None;
            }
        }
        Some(net)
    }

    fn space(&self, host: &str) -> String {
        format!("{}{host}", self.name)
    }

    fn link(&self, host: &str) -> String {
        format!("{}{host}", self.name)
    }

    /// A program that gets through from a host to a port here, or fails.
    fn probe(&self, host: &str, port: u16) -> Vec<String> {
        let at = u32::from(host == "r");
        let to = format!("exec 3<>/dev/tcp/10.{}.{at}.1/{port}", 100 + self.id % 100);
        let words = ["ip", "netns", "exec", &self.space(host), "timeout", "2", "bash", "-c", &to];
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn reaches(&self, host: &str, port: u16) -> bool {
        let words = self.probe(host, port);
        Command::new(&words[0]).args(&words[1..]).output().unwrap().status.success()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in ["w", "r"] {
            ip(&["link", "del", &self.link(host)]);
            ip(&["netns", "del", &self.space(host)]);
        }
    }
}

#[test]
fn the_writers_network_goes_down_and_the_responders_stays() {
    let Some(net) = Net::new(std::process::id() % 10_000) else {
        println!("not tried: this user may not make networks");
        return;
    };
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().for_each(drop));
    assert!(net.reaches("w", port) && net.reaches("r", port));
    let link = |state: &str| format!("[\"ip\", \"link\", \"set\", \"{}\", \"{state}\"]", net.link("w"));
    let step = format!(
        "[[airgap.step]]\nname = \"uplink\"\ndisconnect = {}\nconnect = {}\nprobe = {:?}\n",
        link("down"),
        link("up"),
        net.probe("w", port)
    );
    let ways = Ways::new("closed = true", &[step]);
    assert_eq!(ways.run(&["airgap", "status", "--json"]).code(5).json()["result"]["steps"][0]["state"], "open");
    ways.trip().ok();
    assert!(!net.reaches("w", port), "the writer's way is dead");
    assert!(net.reaches("r", port), "the responder's is not");
    ways.run(&["airgap", "status"]).ok();
    // The journal is the only witness that it was tripped; with a new one a window opens and closes.
    std::fs::remove_file(ways.sandbox.path("etc/airgap.journal")).unwrap();
    let words = net.probe("w", port);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    ways.run(&[&["airgap", "run", "--"], &words[..]].concat());
    assert!(!net.reaches("w", port));
}
