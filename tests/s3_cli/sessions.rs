//! Credentials that end: told when they are over, and renewed while a run lasts.

use std::{
    fs,
    io::Write,
    process::{Child, Output},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    http::{Fault, Forward, Server},
    place::{Place, server},
    sandbox::noise,
    seaweed::write_private,
    session::Session,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_over_is_told() {
    let place = tokio::task::spawn_blocking(|| Place::with_vault(server())).await.unwrap();
    let session = Session::begin(server(), "w1").await;
    let backup = |file: &str| {
        write_private(&place.sandbox.path("etc/writer-s3.toml"), file);
        let mut command = place.sandbox.command();
        command.arg("--config").arg(place.sandbox.config()).args(["backup", "--name", "orders", "--stdin"]);
        let run = place.finish(command.write_stdin("some bytes"));
        assert!(!run.stderr.contains(&session.secret) && !run.stderr.contains(&session.token), "{}", run.stderr);
        run
    };
    backup(&session.file("")).ok();
    // The server says so, in its own way.
    let ended = session.ended(server());
    backup(&ended.file("")).code(1).says("a session that has ended").says("hint: the store refused these credentials");
    // The file says so, before anything is asked.
    let stated = "expiration = \"2026-01-02T03:04:05Z\"\n";
    backup(&session.file(stated)).code(1).says("ended at 2026-01-02T03:04:05Z").says("writer-s3.toml");
    backup(&session.file("")).ok();
}

/// A child that does not outlive its test.
struct Leashed(Option<Child>);

impl Leashed {
    fn ended(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    fn finish(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_during_a_run_is_renewed() {
    let place = tokio::task::spawn_blocking(|| Place::with_vault(server())).await.unwrap();
    let (first, second) = (Session::begin(server(), "w1").await, Session::begin(server(), "w1").await);
    // A session that ends within 15 seconds is renewed at the next call, whatever the time. So the helper is asked for each
    // call, and gives the first session until the test has another one there.
    let path = |name: &str| place.sandbox.path(name).display().to_string();
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let ends = "1999-01-01T00:00:00Z".parse().unwrap();
    write_private(&place.sandbox.path("1"), &first.printed(ends));
    write_private(&place.sandbox.path("2"), &second.printed(later));
    let script = format!("sed \"s/1999-01-01T00:00:00Z/$(date -u -d '+10 seconds' +%FT%TZ)/\" {}\n", path("1"));
    write_private(&place.sandbox.path("helper"), &script);

    // From the first request with the second session on, the first one is over.
    let between = Server::start(Forward(server().address()));
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let packs = Arc::new(AtomicU64::new(0));
    between.plan({
        let (seen, packs) = (Arc::clone(&seen), Arc::clone(&packs));
        let (first, second) = (first.token.clone(), second.token.clone());
        move |_, request| {
            let token = request.header("x-amz-security-token").unwrap_or_default().to_owned();
            let mut seen = seen.lock().unwrap();
            let over = token == first && seen.contains(&second);
            if seen.last() != Some(&token) {
                seen.push(token);
            }
            if request.method == "PUT" && request.target.contains("/packs/") {
                packs.fetch_add(1, Ordering::SeqCst);
            }
            over.then_some(Fault::Error(400, "ExpiredToken"))
        }
    });
    let bytes = noise(48 << 20, 9);
    let credentials = format!("process:sh {}", path("helper"));
    let mut child = place.backing_up(&["--endpoint", &between.endpoint(), "--credentials", &credentials]);
    let mut input = child.stdin.take().unwrap();
    let mut child = Leashed(Some(child));
    input.write_all(&bytes[..40 << 20]).unwrap();
    // Two packs are full, and wait for nothing; then nothing is on its way any more.
    let (began, mut quiet) = (Instant::now(), (0, Instant::now()));
    while packs.load(Ordering::SeqCst) < 2 || quiet.1.elapsed() < Duration::from_secs(2) {
        assert!(!child.ended(), "it ended early");
        assert!(began.elapsed() < Duration::from_mins(2), "{:?}", between.log());
        if between.exchanges() != quiet.0 {
            quiet = (between.exchanges(), Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(20)).await; // nothing tells when another process is quiet
    }
    assert_eq!(seen.lock().unwrap().join("|"), first.token, "the first session was used so far, and no other");
    fs::rename(place.sandbox.path("2"), place.sandbox.path("1")).unwrap();
    input.write_all(&bytes[40 << 20..]).unwrap();
    drop(input);
    let output = child.finish();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(*seen.lock().unwrap(), [first.token, second.token]);
    assert!(place.restore("orders") == bytes);
}
