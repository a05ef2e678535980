//! What may stand between the program and its bucket: proxies, certificates of a house, web servers, and faults that pass.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use crate::{
    http::{Backend, Fault, Forward, Request, Response, Server, converse},
    network::{client, reader},
    place::{Place, server},
    tls::TlsServer,
};

/// A proxy for plain requests, which notes what it is asked and by whom. It makes no tunnels.
struct Proxying(Forward, Arc<Mutex<Vec<String>>>);

impl Backend for Proxying {
    fn answer(&self, request: &Request) -> std::io::Result<Response> {
        let who = request.header("proxy-authorization").unwrap_or_default();
        self.1.lock().unwrap().push(format!("{} {} {who}", request.method, request.target));
        let Some(path) = request.target.strip_prefix("http://store.invalid:8333") else {
            return Ok(Response::new(502, "no such way"));
        };
        self.0.answer(&Request { target: path.to_owned(), ..request.clone() })
    }
}

#[test]
fn proxies_are_used_or_refused_by_name() {
    let place = Place::with_vault(server());
    place.backup("orders", b"a snapshot");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = Arc::new(Proxying(Forward(server().address()), Arc::clone(&asked)));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let proxy = Arc::clone(&proxy);
            thread::spawn(move || converse(stream, &*proxy));
        }
    });
    let run = |endpoint: &str, env: &[(&str, &str)]| {
        asked.lock().unwrap().clear();
        place.finish(reader(&place, endpoint).envs(env.iter().copied()).args(["snapshots", "-vv"]))
    };
    let (far, near) = ("http://store.invalid:8333", server().endpoint());
    let own = format!("http://me:pa%40ss@127.0.0.1:{port}");
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let run = run(far, &[(variable, &own)]).ok();
        assert!(run.out().contains("orders") && !run.stderr.contains("pa%40ss"), "{}", run.stderr);
        let asked = asked.lock().unwrap();
        assert!(asked.len() > 2 && asked.iter().all(|line| line.ends_with("Basic bWU6cGFAc3M=")), "{asked:?}");
    }
    // A tunnel is asked for where the server speaks TLS; this proxy makes none.
    let bare = format!("127.0.0.1:{port}");
    run("https://store.invalid", &[("https_proxy", &bare)]).code(75).says(&format!("through the proxy http://{bare}"));
    assert!(asked.lock().unwrap().iter().any(|line| line.starts_with("CONNECT store.invalid:443")));
    // Nobody goes there by a proxy that is for others, or for this host.
    run(far, &[("HTTPS_PROXY", &own)]).code(75).says("failed to lookup");
    run(far, &[("HTTP_PROXY", &own), ("NO_PROXY", "x.invalid,.invalid")]).code(75).says("failed to lookup");
    run(&near, &[("HTTP_PROXY", &own), ("ALL_PROXY", "socks5://127.0.0.1:1")]).ok();
    assert!(asked.lock().unwrap().is_empty());
    run(far, &[("ALL_PROXY", "socks5://me:pa%40ss@127.0.0.1:1")]).code(2).says("ALL_PROXY").says("\"socks5\"");
}

#[test]
fn the_certificates_that_are_named_are_trusted_or_refused_by_name() {
    let place = Place::with_vault(server());
    let tls = TlsServer::start(Forward(server().address()));
    let own = place.sandbox.path("ca.pem");
    std::fs::write(&own, tls.certificate()).unwrap();
    let bad = place.sandbox.path("bad.pem");
    std::fs::write(&bad, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let run = |env: &[(&str, &Path)]| {
        place.finish(reader(&place, &tls.endpoint()).envs(env.iter().copied()).args(["snapshots"]))
    };
    run(&[("AWS_CA_BUNDLE", &own)]).ok();
    // Said for AWS's tools, it stands before what is said for all.
    run(&[("AWS_CA_BUNDLE", &own), ("SSL_CERT_FILE", &own)]).ok();
    for (variable, path, why) in [
        ("AWS_CA_BUNDLE", Path::new("/nowhere.pem"), "can't be read"),
        ("SSL_CERT_FILE", Path::new("/nowhere.pem"), "can't be read"),
        ("AWS_CA_BUNDLE", &bad, "certificates that can't be read"),
        ("AWS_CA_BUNDLE", &place.sandbox.config(), "no certificate"),
    ] {
        run(&[(variable, path)]).code(2).says(variable).says(why);
    }
}

/// A server that says no in its own words to some requests, and takes the date from each answer if it is told to.
struct Odd(Forward, &'static str, fn(&Request) -> Option<Response>, bool);

impl Backend for Odd {
    fn answer(&self, request: &Request) -> std::io::Result<Response> {
        if request.method == self.1
            && let Some(own) = (self.2)(request)
        {
            return Ok(own);
        }
        let mut response = self.0.answer(request)?;
        response.headers.retain(|(name, _)| !self.3 || !name.eq_ignore_ascii_case("date"));
        Ok(response)
    }
}

fn page(status: u16, words: &str) -> Response {
    let body = format!(
        "<html>\r\n<head><title>{words}</title></head>\r\n<body>\r\n<center><h1>{words}</h1></center>\r\n<hr>\
         <center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
    );
    Response::new(status, body).with("Content-Type", "text/html").with("Server", "nginx/1.22.1")
}

#[test]
fn what_is_no_store_or_lacks_something_says_so() {
    let place = Place::with_vault(server());
    let address: SocketAddr = server().address();
    let backup = |odd: Odd| {
        let odd = Server::start(odd);
        let mut command = place.sandbox.command();
        command.arg("--config").arg(place.sandbox.config()).args(["--endpoint", &odd.endpoint(), "--json"]);
        let run = place.finish(command.args(["backup", "--name", "x", "--stdin"]).write_stdin("some bytes"));
        let error = run.json()["error"].clone();
        (run.code, format!("{} {}", error["message"].as_str().unwrap(), error["hint"].as_str().unwrap_or_default()))
    };
    let nothing = |_: &Request| None;
    for (odd, code, words) in [
        (
            Odd(Forward(address), "PUT", |_| Some(page(405, "405 Not Allowed")), false),
            2,
            "is this the URL of an S3 server",
        ),
        (
            Odd(Forward(address), "PUT", |_| Some(page(404, "404 Not Found")), false),
            2,
            "\"404 Not Found nginx/1.22.1\"",
        ),
        (Odd(Forward(address), "PUT", |_| Some(Response::new(404, "")), false), 2, "is the bucket there?"),
        (Odd(Forward(address), "PUT", |_| Some(Response::new(405, "")), false), 2, "takes no puts"),
        (
            Odd(Forward(address), "PUT", |_| Some(page(413, "413 Request Entity Too Large")), false),
            1,
            "client_max_body_size 64m): \"413 Request Entity Too Large nginx/1.22.1\"",
        ),
        (
            Odd(
                Forward(address),
                "PUT",
                |_| {
                    let body = "<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is \
                                required for Put Object requests with Object Lock parameters</Message></Error>";
                    Some(Response::new(400, body).with("Content-Type", "application/xml"))
                },
                false,
            ),
            1,
            "--checksum md5",
        ),
        (Odd(Forward(address), "NONE", nothing, true), 1, "carry no Date"),
    ] {
        let (ended, said) = backup(odd);
        assert!(ended == code && said.contains(words), "{code} {words:?}: {ended} {said}");
    }
    // A web server that knows nothing of S3 at all.
    let web = Server::start(Odd(Forward(address), "GET", |_| Some(page(404, "404 Not Found")), false));
    place.finish(reader(&place, &web.endpoint()).arg("snapshots")).code(2).says("is this the URL of an S3 server?");
    // The bucket becomes a part of the host's name, and nobody has that one.
    let mut command = place.sandbox.command();
    let spec = format!("file:{}", server().credentials("reader").display());
    command.args([
        "--vault",
        &place.url(),
        "--endpoint",
        "http://store.invalid:1",
        "--credentials",
        &spec,
        "snapshots",
    ]);
    let host = format!("http://{}.store.invalid:1", place.bucket);
    place.finish(&mut command).code(75).says(&host).says("--path-style");
}

#[test]
fn faults_that_pass_are_waited_for_and_can_be_seen() {
    let place = Place::with_vault(server());
    let faulty = Server::start(Forward(server().address()));
    // The first call of all meets a storm of six: two seconds and more.
    faulty.plan(|n, _| (n <= 5).then_some(Fault::Error(503, "SlowDown")));
    let run = place.finish(reader(&place, &faulty.endpoint()).args(["snapshots", "-vv"])).ok();
    assert_eq!(run.stderr.matches("an attempt failed").count(), 5, "{}", run.stderr);
    assert!(run.stderr.contains("HTTP 503"), "{}", run.stderr);
    // One garbled put, and one lock that is not known yet when it is read back.
    let (garbled, unknown) = (Arc::new(Mutex::new(false)), Arc::new(Mutex::new(false)));
    let once = |flag: &Mutex<bool>| !std::mem::replace(&mut *flag.lock().unwrap(), true);
    let seen = (Arc::clone(&garbled), Arc::clone(&unknown));
    faulty.plan(move |_, request| {
        let pack = request.target.contains("/packs/");
        if pack && request.method == "PUT" && once(&garbled) {
            return Some(Fault::Garble);
        }
        (pack && request.target.contains("retention") && once(&unknown)).then_some(Fault::Error(404, "NoSuchKey"))
    });
    let mut command = place.sandbox.command();
    command.arg("--config").arg(place.sandbox.config()).args(["--endpoint", &faulty.endpoint(), "-vv"]);
    let run = place.finish(command.args(["backup", "--name", "x", "--stdin"]).write_stdin("some bytes")).ok();
    assert!(*seen.0.lock().unwrap() && *seen.1.lock().unwrap());
    assert!(run.stderr.contains("putting again") && run.stderr.contains("asking again"), "{}", run.stderr);
}

#[test]
fn a_bucket_that_was_made_without_an_answer_is_the_own() {
    let place = Place::empty(server());
    let faulty = Server::start(Forward(server().address()));
    let calls = Arc::new(Mutex::new(0));
    let plan = move |_: u64, request: &Request| {
        let path = request.target.split('?').next().unwrap_or_default().matches('/').count();
        let makes = request.method == "PUT" && path <= 2 && !request.target.contains("object-lock");
        let mut calls = calls.lock().unwrap();
        *calls += usize::from(makes);
        match (makes, *calls) {
            (true, 1) => Some(Fault::CutAfter),
            (true, 2) => Some(Fault::Error(409, "BucketAlreadyOwnedByYou")),
            _ => None,
        }
    };
    faulty.plan(plan);
    let init = |out: &str| {
        let mut command = client(&place, "admin", &faulty.endpoint());
        place.finish(command.args(["init", "--create-bucket", "--out", out]))
    };
    init("made").ok();
    // Nobody's answer was lost here, so the bucket is somebody's.
    init("other").code(2).says("a bucket of this name already");
}
