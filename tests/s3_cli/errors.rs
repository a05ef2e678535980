//! What can be wrong with a bucket, its server and its credentials: each is told, with its exit code.

use crate::place::{Place, server};

#[test]
fn credentials_are_named_or_refused() {
    let place = Place::empty(server());
    let endpoint = server().endpoint();
    let base = ["--vault", &place.url(), "--endpoint", &endpoint, "--path-style"].map(str::to_owned);
    let run = |more: &[&str]| {
        // Whatever lies around is not used.
        let mut command = place.sandbox.command();
        command.env("AWS_ACCESS_KEY_ID", "admin").env("AWS_SECRET_ACCESS_KEY", server().secret("admin"));
        place.finish(command.args(&base).args(more))
    };
    for choice in ["file:PATH", "profile:NAME", "process:CMD", "systemd:NAME", "web-identity", "ambient"] {
        run(&["snapshots"]).code(2).says(choice);
    }
    let document = run(&["snapshots", "--json"]).code(2).json();
    assert_eq!(document["error"]["kind"], "credentials");
    run(&["snapshots", "--credentials", "env"]).code(2).says("is not a way to get credentials");
    run(&["snapshots", "--credentials", "file:/nowhere/keys"]).code(2).says("/nowhere/keys");
    run(&["snapshots", "--credentials", &place.forged()]).code(1).says("the secret access key does not belong");
    // And what lies around is used if that is what was said.
    run(&["snapshots", "--credentials", "ambient"]).code(10);
}

#[test]
fn no_bucket_no_vault_and_no_server_are_told_apart() {
    let place = Place::empty(server());
    place.run_as("reader", &["snapshots"]).code(10).says(&place.bucket);
    place.init(&["--create-bucket"]).ok();
    let elsewhere = format!("s3://{}/elsewhere", place.bucket);
    let spec = format!("file:{}", server().credentials("reader").display());
    let args = |url: &str, endpoint: &str| {
        let mut command = place.sandbox.command();
        command.args(["--path-style", "--credentials", &spec, "--vault", url, "--endpoint", endpoint, "snapshots"]);
        place.finish(&mut command)
    };
    args(&elsewhere, &server().endpoint()).code(10).says("no vault here");
    args(&elsewhere, "http://127.0.0.1:9").code(75).says("127.0.0.1:9");
    args(&elsewhere, "127.0.0.1:9").code(2).says("not a URL");
    let tls = server().endpoint().replace("http://", "https://");
    args(&elsewhere, &tls).code(2).says("does not speak TLS");
    let mut aws = place.sandbox.command();
    aws.args(["--credentials", &spec, "--vault", &elsewhere, "snapshots"]);
    place.finish(&mut aws).code(2).says("which region");
}

#[test]
fn a_missing_permission_is_named() {
    let place = Place::with_vault(server());
    // The writer's role lists no versions, so it can't verify; the reader's puts nothing, so it can't back up.
    let config = place.sandbox.config();
    let mut command = place.sandbox.command();
    command.env("STRONGROOM_CREDENTIALS", format!("file:{}", server().credentials("reader").display()));
    command.arg("--config").arg(config).args(["backup", "--name", "x", "--stdin"]).write_stdin("some bytes");
    place.finish(&mut command).code(1).says("s3:PutObject");
    place
        .run_as("reader", &["init", "--out", place.sandbox.path("x").to_str().unwrap()])
        .code(2)
        .says("already a vault");
    let fresh = Place::empty(server());
    fresh.run_as("reader", &["init", "--create-bucket", "--out", "x"]).code(1).says("s3:CreateBucket");
}
