//! A home, a bucket, and people who each hold their own credentials.

use std::{
    fs,
    process::{Child, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use assert_cmd::Command;
use strongroom::{
    model::{LockBy, LockMode, Span},
    ops::init::{InitRequest, Prepared},
    store::s3::S3Store,
};

use crate::{
    sandbox::{Run, Sandbox},
    seaweed::{Raw, Seaweed, write_private},
};

/// Ends with the process: nobody drops a static.
static SERVER: LazyLock<Seaweed> = LazyLock::new(Seaweed::start);
static BUCKETS: AtomicU64 = AtomicU64::new(0);

/// A server that these tests share.
pub fn server() -> &'static Seaweed {
    &SERVER
}

pub struct Place<'a> {
    pub sandbox: Sandbox,
    pub server: &'a Seaweed,
    pub bucket: String,
    /// The writer's identity: `w1`, or `w1-explicit`.
    writer: &'static str,
}

impl<'a> Place<'a> {
    /// A place without a bucket.
    pub fn empty(server: &'a Seaweed) -> Self {
        let bucket = format!("vault-cli-{}", BUCKETS.fetch_add(1, Ordering::SeqCst));
        Self { sandbox: Sandbox::new(), server, bucket, writer: "w1" }
    }

    /// A place that was there before.
    pub fn of(server: &'a Seaweed, sandbox: Sandbox, bucket: String) -> Self {
        Self { sandbox, server, bucket, writer: "w1" }
    }

    /// The same, for a writer that sets its locks itself.
    pub fn explicit(server: &'a Seaweed) -> Self {
        Self { writer: "w1-explicit", ..Self::empty(server) }
    }

    /// A bucket with a vault, its writer `w1` configured, and its identity in the safe.
    pub fn with_vault(server: &'a Seaweed) -> Self {
        Self::prepared(server, "w1", &[])
    }

    /// The same, whose writer sets its locks itself.
    pub fn with_explicit_vault(server: &'a Seaweed) -> Self {
        Self::prepared(server, "w1-explicit", &["--lock-by", "explicit"])
    }

    /// A vault whose writer `w1` sets locks of a few seconds itself: shorter ones than `init` would choose.
    pub async fn short_lived(server: &'static Seaweed, keep: Span, window: Span) -> Place<'static> {
        let place = tokio::task::spawn_blocking(|| {
            let place = Place::explicit(server);
            fs::create_dir(place.sandbox.path("etc")).unwrap();
            place
        })
        .await
        .unwrap();
        let store = place.store("admin").await;
        store.admin().create_bucket().await.unwrap();
        store.admin().enable_versioning().await.unwrap();
        let request = InitRequest {
            owners: Vec::new(),
            drillers: Vec::new(),
            keep,
            max_lock: Span::days(400),
            mode: LockMode::Compliance,
            by: LockBy::Explicit,
            window,
            writer: "w1".parse().unwrap(),
            sources: Vec::new(),
        };
        let prepared = Prepared::new(&store, request).await.unwrap();
        write_private(&place.sandbox.path("etc/writer.key"), std::str::from_utf8(&prepared.writer_key).unwrap());
        write_private(&place.sandbox.identity(), &format!("{}\n", prepared.recovery.as_ref().unwrap().expose()));
        let config = format!(
            "[vault]\nurl = \"{}\"\nid = \"{}\"\nendpoint = \"{}\"\npath_style = true\ncredentials = \"file:writer-s3.toml\"\n\
             [writer]\nkey = \"writer.key\"\nstate = \"state\"\n",
            place.url(),
            prepared.vault_id(),
            place.server.endpoint()
        );
        write_private(&place.sandbox.config(), &config);
        fs::copy(place.server.credentials("w1-explicit"), place.sandbox.path("etc/writer-s3.toml")).unwrap();
        let proof = prepared.store(&store, &store).await.unwrap();
        prepared.found(&store, proof).await.unwrap();
        place
    }

    fn prepared(server: &'a Seaweed, writer: &'static str, args: &[&str]) -> Self {
        let place = Self { writer, ..Self::empty(server) };
        let run = place.init(&[&["--create-bucket"], args].concat()).ok();
        assert!(run.out().contains("nothing that init wrote into the vault can be deleted before 20"), "{}", run.out());
        place.settle();
        place
    }

    /// Gives the writer its credentials, and takes the identity away.
    pub fn settle(&self) {
        fs::copy(self.server.credentials(self.writer), self.sandbox.path("etc/writer-s3.toml")).unwrap();
        fs::rename(self.sandbox.path("etc/recovery.key"), self.sandbox.identity()).unwrap();
    }

    pub fn url(&self) -> String {
        format!("s3://{}/prod", self.bucket)
    }

    /// A backup of standard input by the writer, under way, with more on its command line.
    pub fn backing_up(&self, more: &[&str]) -> Child {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("strongroom"));
        command.arg("--config").arg(self.sandbox.config()).args(more).args(["backup", "--name", "orders", "--stdin"]);
        command.current_dir(self.sandbox.path("home")).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The program with the credentials of an identity, on the command line.
    pub fn command(&self, identity: &str) -> Command {
        let mut command = self.sandbox.command();
        let spec = format!("file:{}", self.server.credentials(identity).display());
        command.args(["--endpoint", &self.server.endpoint(), "--path-style", "--credentials", &spec]);
        command.args(["--vault", &self.url()]);
        command
    }

    /// Runs the program, and sees that no secret key is shown.
    pub fn finish(&self, command: &mut Command) -> Run {
        let run = self.sandbox.finish(command);
        let text = format!("{}{}", String::from_utf8_lossy(&run.stdout), run.stderr);
        for identity in
            ["admin", "w1", "w1-explicit", "w2", "reader", "keeper", "driller", "auditor", "pruner", "gate", "copier"]
        {
            assert!(!text.contains(self.server.secret(identity)), "the secret key of {identity} was shown:\n{text}");
        }
        run
    }

    pub fn init(&self, args: &[&str]) -> Run {
        let out = self.sandbox.path("etc");
        let mut command = self.command("admin");
        command.args(["init", "--writer", "w1", "--writer-credentials", "file:writer-s3.toml", "--out"]).arg(out);
        self.finish(command.args(args))
    }

    pub fn run_as(&self, identity: &str, args: &[&str]) -> Run {
        self.finish(self.command(identity).args(args))
    }

    /// Backs `bytes` up as the writer, with nothing but its configuration.
    pub fn backup(&self, source: &str, bytes: &[u8]) -> serde_json::Value {
        let mut command = self.sandbox.command();
        command.arg("--config").arg(self.sandbox.config());
        command.args(["backup", "--name", source, "--stdin", "--json"]).write_stdin(bytes);
        let run = self.finish(&mut command).ok();
        run.json()["result"]["snapshots"][0].clone()
    }

    /// Restores the newest snapshot of a source as a responder: with the reader's credentials, the identity, and a home
    /// in which nothing ever was.
    pub fn restore(&self, source: &str) -> Vec<u8> {
        let home = tempfile::tempdir().unwrap();
        let mut command = self.command("reader");
        command.env("HOME", home.path()).current_dir(home.path()).arg("restore");
        command.args(["latest", "--source", source, "--to", "-", "-i"]).arg(self.sandbox.identity());
        self.finish(&mut command).ok().stdout
    }

    /// The bucket itself, as an identity.
    pub async fn store(&self, identity: &str) -> S3Store {
        S3Store::connect(self.server.settings(identity, &self.bucket, "prod")).await.unwrap()
    }

    pub fn raw(&self, identity: &str) -> Raw {
        Raw::new(self.server, identity, &self.bucket, "prod")
    }

    /// Credentials that the server does not know.
    pub fn forged(&self) -> String {
        let path = self.sandbox.path("forged.toml");
        write_private(&path, "access_key_id = \"w1\"\nsecret_access_key = \"bm90IGl0cyBzZWNyZXQ\"\n");
        format!("file:{}", path.display())
    }
}
