//! G8, no secrets shown: every command at `-vv`, for people and for scripts, on a server that works and on one that does
//! not, shows no access key's secret, no token, no identity, no key of a writer and no password.

use std::{collections::BTreeSet, fmt, fs, io};

use strongroom::{
    cli::{
        args::{COMMANDS, Cli},
        identity::Identities,
    },
    codec::{
        hash::ChunkIdKey,
        seal::{IdentityText, Opener},
        sign::SigningKey,
    },
    forge::{App, Token},
    format::{member_key::Member, writer_key::Writer},
    source::redact::redact,
    store::credentials::Keys,
};

use crate::{
    http::{Backend, Fault, Forward, Request, Response, Server},
    place::{Place, server},
    seaweed::write_private,
    session::Session,
};

const PASSWORD: &str = "hunter2-correct-horse";

/// The commands, as somebody with too much in the environment runs them.
fn commands(place: &Place<'_>) -> Vec<(&'static str, Vec<String>)> {
    let identity = place.sandbox.identity().display().to_string();
    let hunted = place.sandbox.path("etc").display().to_string();
    let [w2, ci] = ["made-w2", "made-ci"].map(|name| place.sandbox.path(name).display().to_string());
    let shares = place.sandbox.path("made-shares").display().to_string();
    let share = place.sandbox.path("made-shares/share-1-of-3.txt").display().to_string();
    let combined = place.sandbox.path("made-shares/combined.key").display().to_string();
    let dsn = format!("postgres://app:{PASSWORD}@127.0.0.1:9/orders");
    let disk = format!("file://{}", place.sandbox.path("disk").display());
    let copy_to = ["replicate", "--to", &disk].map(str::to_owned);
    let spec = format!("file:{}", server().credentials("reader").display());
    let from = ["repair", "--from", &disk, "--from-credentials", &spec, "--from-endpoint", "http://127.0.0.1:9"];
    let repair_from = from.map(str::to_owned);
    let lines: Vec<(&str, Vec<&str>)> = vec![
        ("reader", vec!["snapshots"]),
        ("auditor", vec!["verify"]),
        ("auditor", vec!["verify", "--depth", "read"]),
        ("reader", vec!["verify", "--depth", "decrypt", "-i", &identity]),
        ("reader", vec!["restore", "latest", "--source", "orders", "--to", "-", "-i", &identity]),
        ("reader", vec!["restore", "latest", "--source", "orders", "--list", "-i", &identity]),
        ("reader", vec!["restore", "latest", "--source", "orders", "--dry-run", "-i", &identity]),
        ("reader", vec!["restore", "latest", "--source", "orders", "--into", &dsn, "-i", &identity]),
        ("w1", vec!["request", "serve"]),
        ("reader", vec!["request", "orders", "--reason", "x", "--socket", "/nowhere.sock"]),
        ("reader", vec!["drill", "-i", &identity]),
        ("reader", vec!["drill", "--history"]),
        ("reader", vec!["doctor", "--as", "reader"]),
        ("w1", vec!["doctor", "--as", "writer", "--name", "w1"]),
        ("keeper", vec!["doctor", "--as", "keeper"]),
        ("driller", vec!["doctor", "--as", "driller"]),
        ("auditor", vec!["doctor", "--as", "auditor"]),
        ("pruner", vec!["doctor", "--as", "pruner"]),
        ("admin", vec!["doctor", "--as", "owner", "-i", &identity]),
        ("w1", vec!["doctor", "--as", "agent"]),
        ("w1", vec!["doctor", "--hunt", &hunted]),
        ("keeper", vec!["renew", "-i", &identity]),
        ("keeper", vec!["renew", "--dry-run"]),
        ("keeper", vec!["freeze", "latest", "--source", "orders", "--for", "1s", "-i", &identity]),
        ("admin", vec!["freeze", "latest", "--source", "orders", "--for", "1d", "-i", &identity]),
        ("admin", vec!["release", "00000000", "-i", &identity]),
        ("admin", vec!["approvers", "set", "--approver", "a=/nowhere", "-i", &identity]),
        ("reader", vec!["key", "split", "--shares", "3", "--threshold", "2", "--out", &shares, "-i", &identity]),
        ("reader", vec!["key", "combine", "--out", &combined, &share]),
        ("reader", vec!["mcp"]),
        ("pruner", vec!["prune", "--grace", "0s"]),
        ("pruner", vec!["prune", "--grace", "0s", "--yes"]),
        ("reader", copy_to.iter().map(String::as_str).collect()),
        ("copier", repair_from.iter().map(String::as_str).collect()),
        ("admin", vec!["writer", "add", "w2", "--out", &w2, "-i", &identity]),
        ("admin", vec!["member", "add", "ci", "--role", "driller", "--out", &ci, "-i", &identity]),
        ("admin", vec!["member", "revoke", "ci", "--from", "2100-01-01T00:00:00Z", "-i", &identity]),
        ("admin", vec!["writer", "revoke", "w2", "--from", "2100-01-01T00:00:00Z", "-i", &identity]),
        ("admin", vec!["writer", "revoke", "nobody", "--from", "2026-01-01T00:00:00Z", "-i", &identity]),
        ("reader", vec!["policy", "writer", "--provider", "aws", "--writer", "w1"]),
        ("reader", vec!["policy", "bucket", "--provider", "seaweedfs"]),
        ("reader", vec!["completions", "bash"]),
        ("admin", vec!["init", "--out", "again"]),
        ("w1", vec!["backup", "--name", "orders", "--", "sh", "-c", "echo \"$0\"; exit 1", &dsn]),
        ("w1", vec!["catalog", "rebuild"]),
        ("w1", vec!["doctor"]),
        ("w1", vec!["journal", "run", "--until-idle"]),
        ("w1", vec!["journal", "push", "000000010000000000000001"]),
        ("reader", vec!["journal", "list"]),
        ("reader", vec!["journal", "fetch", "-i", &identity, "--source", "orders", "00000002.history", "x"]),
        ("reader", vec!["watch", "-i", &identity]),
        ("auditor", vec!["ready", "orders", "--max-age", "1h", "--drilled", "7d"]),
        ("auditor", vec!["status"]),
        ("reader", vec!["show", "latest", "--source", "orders"]),
        ("reader", vec!["show", "latest", "--source", "orders", "-i", &identity]),
        ("reader", vec!["diff", "00000000", "11111111", "-i", &identity]),
        ("w1", vec!["schedule", "--role", "writer", "--cron"]),
        ("reader", vec!["restore", "last-good", "--source", "orders", "--to", "-", "-i", &identity]),
        ("reader", vec!["incident", "-i", &identity]),
        ("reader", vec!["incident", "-i", &identity, "--html", "incident.html"]),
        ("w1", vec!["airgap", "status"]),
    ];
    let lines = lines.into_iter().chain(of_people(&identity));
    lines.map(|(who, args)| (who, args.into_iter().map(str::to_owned).collect())).collect()
}

/// Those about people and their keys, after the others: they need the members that those make.
fn of_people(identity: &str) -> Vec<(&'static str, Vec<&str>)> {
    vec![
        ("reader", vec!["key", "list"]),
        ("reader", vec!["key", "check", "-i", identity]),
        ("admin", vec!["key", "add-recipient", "age1nobody", "-i", identity]),
        ("admin", vec!["key", "rotate", "--recipient", "age1nobody", "-i", identity]),
        ("admin", vec!["writer", "unrevoke", "nobody", "-i", identity]),
        ("admin", vec!["member", "unrevoke", "ci", "-i", identity]),
        ("reader", vec!["approvers", "list"]),
        ("reader", vec!["approve", "new", "prune"]),
        ("reader", vec!["ready"]),
        ("reader", vec!["man"]),
    ]
}

/// The secrets in the key files that the commands made.
fn made(place: &Place<'_>) -> Vec<String> {
    let files = ["made-w2", "made-ci"].map(|name| fs::read_dir(place.sandbox.path(name)));
    let files = files.into_iter().flatten().flatten().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let keys = files.filter_map(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let secret = |key: serde_json::Value| {
        ["signing_key", "catalog_identity", "chunk_id_key"].map(|field| key[field].as_str().map(str::to_owned))
    };
    keys.flat_map(secret).flatten().collect()
}

/// Runs everything against `endpoint`; `finish` looks for the secrets.
fn run_all(place: &Place<'_>, endpoint: &str) -> usize {
    let secret = server().secret("w1").to_owned();
    let identity = std::fs::read_to_string(place.sandbox.identity()).unwrap();
    let mut run = 0;
    for (who, args) in commands(place) {
        for more in [&["-vv"][..], &["-vv", "--json"]] {
            let mut command = place.sandbox.command();
            let is_writer = matches!(args[0].as_str(), "backup" | "catalog" | "airgap")
                || args == ["doctor"]
                || (args[0] == "journal" && matches!(args[1].as_str(), "run" | "push"));
            if is_writer {
                command.arg("--config").arg(place.sandbox.config()).args(["--endpoint", endpoint]);
            } else {
                let spec = format!("file:{}", server().credentials(who).display());
                command.args(["--endpoint", endpoint, "--path-style", "--credentials", &spec]);
                command.args(["--vault", &place.url()]);
            }
            let split = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
            command.args(&args[..split]).args(more).args(&args[split..]);
            command.env("AWS_ACCESS_KEY_ID", "w1").env("AWS_SECRET_ACCESS_KEY", &secret);
            command.env("AWS_EC2_METADATA_DISABLED", "true").env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
            command.env("STRONGROOM_IDENTITY", &identity).env("PGPASSWORD", PASSWORD);
            let ended = place.finish(&mut command);
            let said = format!("{}{}", ended.out(), ended.stderr);
            assert!(!said.contains(PASSWORD), "{args:?} shows the password:\n{said}");
            for secret in made(place) {
                assert!(!said.contains(&secret), "{args:?} shows the key that it made:\n{said}");
            }
            run += 1;
        }
    }
    run
}

#[test]
fn g8_every_command_keeps_its_secrets_on_a_server_that_works_and_on_one_that_does_not() {
    let place = Place::with_vault(server());
    place.backup("orders", b"some bytes");
    let file = |who: &str| format!("file:{}", server().credentials(who).display());
    place.sandbox.configure(&format!(
        "\n[airgap]\njournal = \"journal\"\n[[airgap.step]]\nname = \"bucket\"\nbuiltin = \"bucket-deny-puts\"\n\
         allow = [\"admin\"]\ncredentials = \"{}\"\nprobe_credentials = \"{}\"\nprobe_member = \"w1\"\n\
         [[airgap.step]]\nname = \"tells\"\ndisconnect = [\"true\"]\nconnect = [\"true\"]\n\
         probe = [\"sh\", \"-c\", \"env >&2; exit 126\", \"{PASSWORD}\"]\n",
        file("admin"),
        file("w1")
    ));
    let run: BTreeSet<String> = commands(&place).into_iter().map(|(_, args)| args[0].clone()).collect();
    assert_eq!(run, COMMANDS.iter().map(|name| (*name).to_owned()).collect(), "every command is run");
    assert_eq!(run_all(&place, &server().endpoint()), 2 * commands(&place).len());
    assert_eq!(made(&place).len(), 4, "a writer's key has three secrets, a driller's one");
    let between = Server::start(Forward(server().address()));
    for fault in
        [Fault::Error(403, "AccessDenied"), Fault::Error(400, "MalformedXML"), Fault::Error(404, "NoSuchBucket")]
    {
        between.plan(move |_, _| Some(fault.clone()));
        run_all(&place, &between.endpoint());
    }
    // One that stops answering in the middle of things.
    between.plan(|n, _| (n % 4 == 0).then_some(Fault::Error(403, "AccessDenied")));
    run_all(&place, &between.endpoint());
}

/// A session's token is as good as a key for as long as it lasts, and so are the parts that it is made of.
#[tokio::test(flavor = "multi_thread")]
async fn g8_no_command_shows_the_token_of_a_session() {
    let place = tokio::task::spawn_blocking(|| Place::with_vault(server())).await.unwrap();
    place.backup("orders", b"some bytes");
    let session = Session::begin(server(), "w1").await;
    let ended = session.ended(server());
    let hunted = place.sandbox.path("etc").display().to_string();
    let mut worked = 0;
    for (session, lasts) in [(&session, true), (&ended, false)] {
        let file = place.sandbox.path("etc/writer-s3.toml");
        write_private(&file, &session.file(""));
        let printed = place.sandbox.path("printed");
        write_private(&printed, &session.printed(jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)));
        let process = format!("process:cat {}", printed.display());
        for spec in [format!("file:{}", file.display()), process, "ambient".to_owned()] {
            for args in [
                &["backup", "--name", "orders", "--", "sh", "-c", "env; echo bytes"][..],
                &["catalog", "rebuild"],
                &["snapshots"],
                &["verify"],
                &["renew"],
                &["prune", "--yes"],
                &["doctor"],
                &["doctor", "--as", "agent"],
                &["doctor", "--hunt", &hunted],
            ] {
                let mut command = place.sandbox.command();
                command.arg("--config").arg(place.sandbox.config()).args(["-vv", "--json", "--credentials", &spec]);
                command.args(args).env("RUST_LOG", "trace").env("AWS_EC2_METADATA_DISABLED", "true");
                command.env("AWS_ACCESS_KEY_ID", &session.id).env("AWS_SECRET_ACCESS_KEY", &session.secret);
                let run = place.finish(command.env("AWS_SESSION_TOKEN", &session.token));
                let said = format!("{}{}", run.out(), run.stderr);
                // The first part of a token says no more than how it was signed.
                for secret in session.token.split('.').skip(1).chain([session.secret.as_str()]) {
                    assert!(!said.contains(secret), "{args:?} with {spec} shows a session:\n{said}");
                }
                worked += usize::from(lasts && run.code == 0);
            }
        }
    }
    assert!(worked >= 9, "with a session that lasts, backup, catalog and snapshots work: {worked}");
}

/// A forge that repeats what it is asked with, in every header and body that it answers.
struct Repeats;

impl Backend for Repeats {
    fn answer(&self, request: &Request) -> io::Result<Response> {
        let given: Vec<&str> =
            ["authorization", "private-token"].into_iter().filter_map(|name| request.header(name)).collect();
        let given = given.join(" ").replace('"', "");
        let body = format!("{{\"message\": \"{given} may not\", \"error\": \"{given}\"}}");
        Ok(Response::new(403, body).with("x-said", given))
    }
}

/// The token of a forge, whether it comes from a source or with a restore into one, and one that another process was given.
#[test]
fn g8_no_command_shows_the_token_of_a_forge() {
    const TOKEN: &str = "Zq8f3kUeW1xYd7Lm2n";
    let place = Place::with_vault(server());
    let forge = Server::start(Repeats);
    let url = forge.endpoint();
    let file = place.sandbox.path("etc/forge-token");
    let mut searched = 0;
    for (kind, token) in
        [("gitea", TOKEN.to_owned()), ("github", format!("ghs_{TOKEN}")), ("gitlab", format!("glpat-{TOKEN}"))]
    {
        write_private(&file, &token);
        place.sandbox.configure(&format!(
            "\n[[source]]\nname = \"{kind}\"\nkind = \"{kind}\"\nurl = \"{url}\"\nowner = \"acme\"\ntoken = \"file:forge-token\"\npatience = \"1s\"\n"
        ));
        let (identity, hunted) =
            (place.sandbox.identity().display().to_string(), place.sandbox.path("etc").display().to_string());
        let (spec, into) = (format!("file:{}", file.display()), format!("{kind}:{url}/acme"));
        for args in [
            &["backup", kind][..],
            &["backup", kind, "--dry-run"],
            &["doctor"],
            &["doctor", "--hunt", &hunted],
            &["status"],
            &["restore", "latest", "--source", kind, "-i", &identity, "--into", &into, "--token", &spec],
        ] {
            let mut command = place.sandbox.command();
            command.arg("--config").arg(place.sandbox.config()).args([
                "-vv",
                "--json",
                "--endpoint",
                &server().endpoint(),
            ]);
            command
                .args(args)
                .env("RUST_LOG", "trace")
                .env("RUST_BACKTRACE", "1")
                .env("AWS_EC2_METADATA_DISABLED", "true");
            command.env("AWS_ACCESS_KEY_ID", "w1").env("AWS_SECRET_ACCESS_KEY", server().secret("w1"));
            let run = place.finish(&mut command);
            let said = format!("{}{}", run.out(), run.stderr);
            assert!(!said.contains(TOKEN), "{args:?} shows the token of {kind}:\n{said}");
            assert!(args != ["backup", kind] || run.code == 1, "{kind} refuses all");
            searched += 1;
        }
    }
    assert!(searched == 18 && forge.exchanges() >= 3, "the forge was asked: {}", forge.exchanges());
    // What an earlier process was given is known by its shape alone.
    for said in [format!("token ghs_{TOKEN} has ended"), format!("Bearer eyJhbGciOiJSUzI1NiI.eyJpc3MiOiJJdjIz.{TOKEN}")]
    {
        assert!(!redact(&said).contains(TOKEN), "{said}");
    }
}

/// Answers whether a type can be shown, without a value of it: an inherent method is found before a trait's.
struct Shown<T>(std::marker::PhantomData<T>);

trait Hidden {
    const CAN_BE_SHOWN: bool = false;
}

impl<T> Hidden for Shown<T> {}

impl<T: fmt::Debug> Shown<T> {
    const CAN_BE_SHOWN: bool = true;
}

#[test]
fn g8_what_holds_a_secret_has_no_debug() {
    const { assert!(Shown::<Cli>::CAN_BE_SHOWN, "the question is asked rightly") }
    let shown = [
        Shown::<IdentityText>::CAN_BE_SHOWN,
        Shown::<Opener>::CAN_BE_SHOWN,
        Shown::<SigningKey>::CAN_BE_SHOWN,
        Shown::<ChunkIdKey>::CAN_BE_SHOWN,
        Shown::<Writer>::CAN_BE_SHOWN,
        Shown::<Member>::CAN_BE_SHOWN,
        Shown::<Keys>::CAN_BE_SHOWN,
        Shown::<Identities>::CAN_BE_SHOWN,
        Shown::<Token>::CAN_BE_SHOWN,
        Shown::<App>::CAN_BE_SHOWN,
    ];
    assert_eq!(shown, [false; 10]);
}
