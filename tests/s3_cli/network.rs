//! What lies between the program and its bucket: the region, the certificate, the clock.

use std::sync::{Arc, Mutex};

use assert_cmd::Command;

use crate::{
    fakes3::{FakeS3, Lies},
    http::{Backend, Fault, Forward, Request, Response, Server},
    place::{Place, server},
    sandbox::{Sandbox, noise},
    seaweed::write_private,
    tls::TlsServer,
};

#[test]
fn the_wrong_region_is_told_with_the_right_one() {
    let fake = FakeS3::start(Lies { region: Some("eu-central-1"), ..Lies::default() });
    let sandbox = Sandbox::new();
    let keys = sandbox.path("keys");
    write_private(&keys, "access_key_id = a\nsecret_access_key = b\n");
    let run = |region: &str, args: &[&str]| {
        let mut command = sandbox.command();
        command.args(["--vault", "s3://vault", "--endpoint", &fake.endpoint(), "--path-style", "--region", region]);
        sandbox.finish(command.args(["--credentials", &format!("file:{}", keys.display())]).args(args))
    };
    for args in [&["snapshots"][..], &["init", "--lock-by", "explicit", "--out", "out"]] {
        run("us-east-1", args).code(2).says("not in region us-east-1").says("--region eu-central-1");
    }
    run("eu-central-1", &["init", "--lock-by", "explicit", "--out", "out"]).ok();
    run("eu-central-1", &["snapshots"]).ok();
}

/// The program as a reader of `place` who goes to another server.
pub(crate) fn reader(place: &Place<'_>, endpoint: &str) -> Command {
    client(place, "reader", endpoint)
}

/// The program as somebody who goes to another server.
pub(crate) fn client(place: &Place<'_>, identity: &str, endpoint: &str) -> Command {
    let mut command = place.sandbox.command();
    let spec = format!("file:{}", place.server.credentials(identity).display());
    command.args(["--vault", &place.url(), "--endpoint", endpoint, "--path-style", "--credentials", &spec]);
    command
}

#[test]
fn a_certificate_is_trusted_only_where_somebody_said_so() {
    let place = Place::with_vault(server());
    let stored = b"one snapshot".repeat(100);
    place.backup("orders", &stored);
    let tls = TlsServer::start(Forward(server().address()));
    let restore = |trusted: Option<&std::path::Path>| {
        let mut command = reader(&place, &tls.endpoint());
        command.args(["restore", "latest", "--source", "orders", "--to", "-", "-i"]).arg(place.sandbox.identity());
        place.finish(command.envs(trusted.map(|path| ("SSL_CERT_FILE", path))))
    };
    let refused = restore(None).code(2).says("no certificate that this host trusts").says("SSL_CERT_FILE");
    assert!(refused.stdout.is_empty());
    let own = place.sandbox.path("ca.pem");
    std::fs::write(&own, tls.certificate()).unwrap();
    assert_eq!(restore(Some(&own)).ok().stdout, stored);
}

/// Asks the real server, and notes how each put vouches for its body.
struct Noting(Forward, Arc<Mutex<Vec<[String; 2]>>>);

impl Backend for Noting {
    fn answer(&self, request: &Request) -> std::io::Result<Response> {
        if request.method == "PUT" {
            let header = |name| request.header(name).unwrap_or_default().to_owned();
            self.1.lock().unwrap().push([header("x-amz-content-sha256"), header("x-amz-checksum-crc32c")]);
        }
        self.0.answer(request)
    }
}

#[test]
fn over_tls_a_put_is_vouched_for_by_its_checksum_and_not_hashed_twice() {
    let place = Place::with_vault(server());
    let puts = Arc::new(Mutex::new(Vec::new()));
    let tls = TlsServer::start(Noting(Forward(server().address()), Arc::clone(&puts)));
    let own = place.sandbox.path("ca.pem");
    std::fs::write(&own, tls.certificate()).unwrap();
    let dump = noise(1 << 20, 3);
    let mut command = place.sandbox.command();
    command.env("SSL_CERT_FILE", &own).arg("--config").arg(place.sandbox.config());
    command.args(["--endpoint", &tls.endpoint(), "backup", "--name", "orders", "--stdin"]);
    place.finish(command.write_stdin(dump.clone())).ok();
    let puts = puts.lock().unwrap();
    assert!(puts.len() >= 4, "{puts:?}");
    assert!(puts.iter().all(|[sha256, crc]| sha256 == "UNSIGNED-PAYLOAD" && !crc.is_empty()), "{puts:?}");
    assert!(place.restore("orders") == dump);
}

#[test]
fn a_clock_that_is_ten_minutes_off_stops_the_writer_and_no_reader() {
    let place = Place::with_vault(server());
    place.backup("orders", b"an earlier snapshot");
    let skewed = Server::start(Forward(server().address()));
    for seconds in [600, -600] {
        skewed.plan(move |_, _| Some(Fault::Date(seconds)));
        let mut command = place.sandbox.command();
        command.arg("--config").arg(place.sandbox.config()).args(["--endpoint", &skewed.endpoint(), "--json"]);
        let run = place.finish(command.args(["backup", "--name", "orders", "--stdin"]).write_stdin("newer")).code(1);
        let error = run.json()["error"].clone();
        assert_eq!(error["kind"], "clock", "{error}");
        let (message, hint) = (error["message"].as_str().unwrap(), error["hint"].as_str().unwrap());
        assert!(message.contains("differ by") && hint.contains("clock"), "{error}");
        assert!(!skewed.log().iter().any(|line| line.starts_with("PUT")), "nothing was put: {:?}", skewed.log());
        // What was stored can be had at any hour.
        let mut command = reader(&place, &skewed.endpoint());
        command.args(["restore", "latest", "--source", "orders", "--to", "-", "-i"]).arg(place.sandbox.identity());
        assert_eq!(place.finish(&mut command).ok().stdout, b"an earlier snapshot");
    }
    // A server that is strict about it says so itself.
    skewed.plan(|_, _| Some(Fault::Error(403, "RequestTimeTooSkewed")));
    let mut command = reader(&place, &skewed.endpoint());
    place.finish(command.arg("snapshots")).code(1).says("clock and the server's are too far apart").says("hint: set");
}
