//! `bucket-deny-puts` on a real server with the real roles: after a trip whoever holds the writer's credentials puts nothing.

use std::{
    fs,
    time::{Duration, Instant},
};

use aws_sdk_s3::{
    config::{BehaviorVersion, Credentials, Region},
    primitives::ByteStream,
};
use serde_json::Value;

use crate::{
    place::{Place, server},
    seaweed::write_private,
    session::Session,
};

/// A vault with an `[airgap]` on the responder's side.
struct Guarded {
    place: Place<'static>,
}

impl Guarded {
    fn new() -> Self {
        let place = Place::with_vault(server());
        fs::create_dir(place.sandbox.path("guard")).unwrap();
        let file = |who: &str| format!("file:{}", server().credentials(who).display());
        let config = format!(
            "[vault]\nurl = \"{}\"\nendpoint = \"{}\"\npath_style = true\ncredentials = \"{}\"\n\
             [airgap]\njournal = \"journal\"\n[[airgap.step]]\nname = \"bucket\"\nbuiltin = \"bucket-deny-puts\"\n\
             allow = [\"admin\", \"auditor\"]\ncredentials = \"{}\"\nprobe_credentials = \"{}\"\nprobe_member = \"w1\"\n",
            place.url(),
            server().endpoint(),
            file("auditor"),
            file("gate"),
            file("w1"),
        );
        write_private(&place.sandbox.path("guard/strongroom.toml"), &config);
        Self { place }
    }

    fn run(&self, args: &[&str]) -> crate::sandbox::Run {
        let mut command = self.place.sandbox.command();
        command.arg("--config").arg(self.place.sandbox.path("guard/strongroom.toml")).args(args);
        self.place.finish(&mut command)
    }

    fn policy(&self) -> Option<String> {
        let settings = server().settings("admin", &self.place.bucket, "prod");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = strongroom::store::s3::S3Store::connect(settings).await.unwrap();
            store.admin().policy().await.unwrap()
        })
    }

    fn set_policy(&self, policy: &str) {
        let settings = server().settings("admin", &self.place.bucket, "prod");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = strongroom::store::s3::S3Store::connect(settings).await.unwrap();
            store.admin().set_policy(Some(policy)).await.unwrap();
        });
    }

    /// Whether an identity gets an object to `key`, in any way that there is.
    fn puts(&self, who: &str, key: &str) -> bool {
        self.gets_in(self.place.raw(who).client(), key)
    }

    /// The same for whoever holds a session of the writer's role that it gave this name.
    fn session_puts(&self, name: &str, key: &str) -> bool {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let session = runtime.block_on(Session::called(server(), "w1", name));
        let keys = Credentials::new(session.id, session.secret, Some(session.token), None, "test");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(server().endpoint())
            .credentials_provider(keys)
            .force_path_style(true)
            .http_client(aws_smithy_http_client::Builder::new().build_http());
        self.gets_in(&aws_sdk_s3::Client::from_conf(config.build()), key)
    }

    fn gets_in(&self, client: &aws_sdk_s3::Client, key: &str) -> bool {
        let bucket = self.place.bucket.clone();
        let key = format!("prod/{key}");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let body = || ByteStream::from_static(b"x");
            let plain = client.put_object().bucket(&bucket).key(&key).body(body()).send().await.is_ok();
            let copy = client.copy_object().bucket(&bucket).key(&key).copy_source(format!("{bucket}/prod/vault.json"));
            let copied = copy.send().await.is_ok();
            let upload = client.create_multipart_upload().bucket(&bucket).key(&key).send().await;
            let parts = match upload {
                Ok(upload) => {
                    let part = client.upload_part().bucket(&bucket).key(&key).part_number(1).body(body());
                    part.upload_id(upload.upload_id().unwrap()).send().await.is_ok()
                }
                Err(_) => false,
            };
            plain || copied || parts
        })
    }

    fn objects(&self) -> usize {
        let raw = self.place.raw("admin");
        let (client, bucket) = (raw.client().clone(), self.place.bucket.clone());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listed = runtime.block_on(client.list_object_versions().bucket(bucket).send()).unwrap();
        listed.versions().len()
    }
}

#[test]
fn after_a_trip_a_loop_with_the_writers_credentials_puts_nothing() {
    let guarded = Guarded::new();
    guarded.place.backup("orders", b"of before");
    let there = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Other","Effect":"Deny","Principal":"*","Action":["s3:PutBucketVersioning"],"Resource":["arn:aws:s3:::elsewhere"]}]}"#;
    guarded.set_policy(&there.replace("elsewhere", &guarded.place.bucket));
    let before: Value = serde_json::from_str(&guarded.policy().unwrap()).unwrap();
    assert!(guarded.puts("w1", "packs/w1/before"), "the writer may put");
    assert!(guarded.session_puts("admin", "packs/w1/session"), "a session of the writer's role may put");
    let status = guarded.run(&["airgap", "status", "--json"]).ok().json();
    assert_eq!(status["result"]["steps"][0]["state"], "open");
    let count = guarded.objects();

    let begin = Instant::now();
    let run = guarded.run(&["airgap", "trip", "--json"]).ok().json();
    assert!(begin.elapsed() < Duration::from_secs(30));
    assert_eq!(run["result"]["steps"][0]["proved"], true, "{run}");
    // All that was in the policy is in it, and the one before is kept.
    let after: Value = serde_json::from_str(&guarded.policy().unwrap()).unwrap();
    assert_eq!(after["Statement"][0]["Sid"], "Other");
    assert_eq!(after["Statement"][1]["Sid"], "StrongroomAirgap");
    assert_eq!(after["Statement"][2]["Sid"], "StrongroomAirgapSessions");
    let mut kept = fs::read_dir(guarded.place.sandbox.path("guard")).unwrap().map(|entry| entry.unwrap().path());
    let kept = kept.find(|path| path.to_string_lossy().contains("bucket-policy-")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&fs::read_to_string(kept).unwrap()).unwrap(), before);

    let end = Instant::now() + Duration::from_secs(6);
    let mut tried = 0;
    while Instant::now() < end {
        for place in ["packs/w1", "indexes/w1", "lists/w1", "snapshots/w1", "canaries/w1", "journals/w1"] {
            assert!(!guarded.puts("w1", &format!("{place}/{tried}")), "{place}");
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
    // Whoever begins a session chooses its name, and the server takes that for the name of the user.
    for name in ["admin", "auditor", "w1"] {
        assert!(!guarded.session_puts(name, "packs/w1/session"), "a session called {name}");
    }
    assert_eq!(guarded.objects(), count);
    let mut backup = guarded.place.sandbox.command();
    backup.arg("--config").arg(guarded.place.sandbox.config()).args(["backup", "--name", "orders", "--stdin"]);
    assert_ne!(guarded.place.finish(backup.write_stdin("of now")).code, 0);
    // Whoever is named may still put, and everybody may read.
    assert!(guarded.puts("auditor", "evidence/auditor/x"));
    assert_eq!(guarded.place.restore("orders"), b"of before");
    guarded.run(&["airgap", "trip"]).ok();
    guarded.run(&["airgap", "status"]).ok();
}

#[test]
fn evidence_of_a_trip_is_in_the_vault_where_a_member_may_leave_it() {
    let guarded = Guarded::new();
    let identity = guarded.place.sandbox.identity().display().to_string();
    let out = guarded.place.sandbox.path("auditor").display().to_string();
    let add = ["member", "add", "auditor", "--role", "auditor", "--out", &out, "-i", &identity];
    guarded.place.run_as("admin", &add).ok();
    let path = guarded.place.sandbox.path("guard/strongroom.toml");
    let key = guarded.place.sandbox.path("auditor/auditor.key");
    let key = if key.exists() { key } else { only_key(&guarded.place.sandbox.path("auditor")) };
    let config = fs::read_to_string(&path).unwrap() + &format!("[member]\nkey = \"{}\"\n", key.display());
    write_private(&path, &config);
    guarded.run(&["airgap", "status"]).ok();
    let run = guarded.run(&["airgap", "trip", "--json", "--reason", "a test"]).ok().json();
    assert_eq!(run["findings"], serde_json::json!([]), "{run}");
    assert!(run["result"]["stored"].as_str().unwrap().starts_with("evidence/auditor/"), "{run}");
    let verified = guarded.place.run_as("reader", &["verify", "--json"]).json();
    assert!(!verified["findings"].to_string().contains("evidence.foreign"), "{verified}");
}

fn only_key(dir: &std::path::Path) -> std::path::PathBuf {
    let mut files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "key")).unwrap()
}

#[test]
fn credentials_that_may_not_change_the_policy_cut_nothing_and_that_is_told() {
    let guarded = Guarded::new();
    let path = guarded.place.sandbox.path("guard/strongroom.toml");
    let config = fs::read_to_string(&path).unwrap();
    let [gate, reader] = ["gate", "reader"].map(|who| server().credentials(who).display().to_string());
    write_private(&path, &config.replace(&gate, &reader));
    guarded.run(&["airgap", "status"]).ok();
    let run = guarded.run(&["airgap", "trip", "--json"]).code(5).json();
    let told = run["result"]["steps"][0]["told"].as_str().unwrap();
    assert!(told.contains("STILL OPEN") && told.contains("bucket policy"), "{told}");
    assert!(guarded.puts("w1", "packs/w1/still"));
}
