//! Credentials that end: told when they are over, and renewed while a run lasts.

use std::{
    fs,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
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
    backup(&ended.file("")).code(1).says("a session that has ended").says("hint: the store refuses these credentials");
    // The file says so, before anything is asked.
    let stated = "expiration = \"2026-01-02T03:04:05Z\"\n";
    backup(&session.file(stated)).code(1).says("ended at 2026-01-02T03:04:05Z").says("writer-s3.toml");
    backup(&session.file("")).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_during_a_run_is_renewed() {
    let place = tokio::task::spawn_blocking(|| Place::with_vault(server())).await.unwrap();
    let (first, second) = (Session::begin(server(), "w1").await, Session::begin(server(), "w1").await);
    // The helper gives the first session once. It is renewed 30 to 15 seconds before its end.
    let path = |name: &str| place.sandbox.path(name).display().to_string();
    let soon = Timestamp::now() + SignedDuration::from_secs(36);
    write_private(&place.sandbox.path("1"), &first.printed(soon));
    write_private(&place.sandbox.path("2"), &second.printed(soon + SignedDuration::from_hours(1)));
    let script = format!("cat {}; cp {} {}\n", path("1"), path("2"), path("1"));
    write_private(&place.sandbox.path("helper"), &script);

    // From the first request with the second session on, the first one is over.
    let between = Server::start(Forward(server().address()));
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    between.plan({
        let (seen, first, second) = (Arc::clone(&seen), first.token.clone(), second.token.clone());
        move |_, request| {
            let token = request.header("x-amz-security-token").unwrap_or_default().to_owned();
            let mut seen = seen.lock().unwrap();
            let over = token == first && seen.contains(&second);
            if seen.last() != Some(&token) {
                seen.push(token);
            }
            over.then_some(Fault::Error(400, "ExpiredToken"))
        }
    });
    let bytes = noise(48 << 20, 9);
    let credentials = format!("process:sh {}", path("helper"));
    let mut child = place.backing_up(&["--endpoint", &between.endpoint(), "--credentials", &credentials]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(&bytes[..40 << 20]).unwrap();
    // What was read so far is stored, nothing is on its way any more, and the first session's time is up.
    let mut quiet = (0, Timestamp::now());
    while Timestamp::now() < soon - SignedDuration::from_secs(14)
        || quiet.1 + SignedDuration::from_secs(2) > Timestamp::now()
    {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        if between.exchanges() != quiet.0 {
            quiet = (between.exchanges(), Timestamp::now());
        }
        tokio::time::sleep(Duration::from_millis(50)).await; // nothing tells when a session ended
    }
    assert_eq!(seen.lock().unwrap().join("|"), first.token, "the first session was used so far, and no other");
    input.write_all(&bytes[40 << 20..]).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(*seen.lock().unwrap(), [first.token, second.token]);
    assert!(place.restore("orders") == bytes);
    assert_eq!(fs::read(place.sandbox.path("1")).unwrap(), fs::read(place.sandbox.path("2")).unwrap());
}
