//! A real object-lock server for tests: `SeaweedFS`, on free ports, with fresh keys and an empty directory.
//!
//! `weed` is found through `PATH` or `STRONGROOM_WEED`. A server that can't start fails the test.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    primitives::ByteStream,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use strongroom::store::{Version, credentials::CredentialsSpec, s3::S3Settings};

/// The identities that the server knows, shared with the demo and the docs.
const IDENTITIES: &str = include_str!("../../fixtures/seaweedfs/s3.json");
const IAM: &str = include_str!("../../fixtures/seaweedfs/iam.json");
const SECURITY: &str = include_str!("../../fixtures/seaweedfs/security.toml");

/// Runs the server as its child and ends it when told to, or when whoever started it is gone, however it went. A line
/// on its input names a signal to send at once; the end of its input ends the server.
const KEEPER: &str = r#"
cd "$1" && shift
"$@" >weed.log 2>&1 & pid=$!
while read -r signal; do kill -"$signal" $pid 2>/dev/null; done
kill -TERM $pid 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  kill -0 $pid 2>/dev/null || break
  sleep 0.2
done
kill -KILL $pid 2>/dev/null
wait $pid
[ -e keep ] || rm -rf "$PWD"
"#;

/// How long the server may take to be ready on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server. Ends with its handle, or with the process that started it.
pub struct Seaweed {
    dir: PathBuf,
    port: u16,
    /// Keeps other tests from these ports.
    claim: Option<File>,
    secrets: BTreeMap<String, String>,
    keeper: Option<Child>,
}

impl Seaweed {
    /// Starts an empty server whose roles reach every bucket named `vault…` and every prefix in it.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more identities: each has the policy of the writer `w1`, and one right more on what is below it in
    /// every vault, or on the bucket.
    pub fn start_with(more: &[(String, &str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("strongroom-weed-").tempdir().unwrap().keep();
        fs::create_dir(dir.join("data")).unwrap();
        let mut secrets = BTreeMap::new();
        let identities = fill(IDENTITIES, &mut secrets).replace("@BUCKET@", "vault*").replace("@PREFIX@", "*");
        let identities = granted(&identities, more, &mut secrets);
        fs::write(dir.join("s3.json"), with_copier(&identities, &mut secrets)).unwrap();
        fs::write(dir.join("iam.json"), fill(IAM, &mut secrets)).unwrap();
        fs::write(dir.join("security.toml"), fill(SECURITY, &mut secrets)).unwrap();
        assert!(installed(), "{} is not there; scripts/test installs it", program().display());
        let mut server = Self { dir, port: 0, claim: None, secrets, keeper: None };
        // A stranger may take a port between the look and the start.
        let started = (0..3).any(|_| {
            let (port, claim) = free_ports();
            (server.port, server.claim) = (port, Some(claim));
            server.launch()
        });
        assert!(started, "weed did not start:\n{}", server.log());
        server
    }

    /// The URL of its S3 interface.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The address of its S3 interface.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The secret key of an identity; its access key is its name.
    pub fn secret(&self, identity: &str) -> &str {
        self.secrets.get(identity).unwrap_or_else(|| panic!("no identity {identity} in fixtures/seaweedfs/s3.json"))
    }

    /// Writes the credentials of an identity to a file that only its owner reads, and says where. Goes with the server.
    pub fn credentials(&self, identity: &str) -> PathBuf {
        let path = self.dir.join(format!("{identity}.toml"));
        let text = format!("access_key_id = \"{identity}\"\nsecret_access_key = \"{}\"\n", self.secret(identity));
        write_private(&path, &text);
        path
    }

    /// The settings to reach a bucket as one of the identities.
    pub fn settings(&self, identity: &str, bucket: &str, prefix: &str) -> S3Settings {
        S3Settings {
            endpoint: Some(self.endpoint()),
            path_style: true,
            credentials: Some(CredentialsSpec::File(self.credentials(identity))),
            ..S3Settings::new(bucket, prefix)
        }
    }

    /// Ends the server at once, as a loss of power would.
    pub fn kill(&mut self) {
        fs::write(self.dir.join("keep"), "").unwrap();
        self.stop(Some("KILL"));
        fs::remove_file(self.dir.join("keep")).unwrap();
    }

    /// Starts a killed server again, on the same ports and with the same data.
    pub fn restart(&mut self) {
        assert!(self.keeper.is_none(), "the server is still running");
        assert!(self.launch(), "weed did not start again:\n{}", self.log());
    }

    /// The end of what the server said.
    pub fn log(&self) -> String {
        let text = fs::read(self.dir.join("weed.log")).unwrap_or_default();
        let tail = text.len().saturating_sub(4000);
        String::from_utf8_lossy(&text[tail..]).into_owned()
    }

    fn launch(&mut self) -> bool {
        let mut command = Command::new("sh");
        command.arg("-c").arg(KEEPER).arg("keeper").arg(&self.dir).arg(program());
        command.args(["-logtostderr=true", "mini", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
        for (at, flag) in ["s3.port", "master.port", "volume.port", "filer.port", "admin.port"].iter().enumerate() {
            command.arg(format!("-{flag}={}", usize::from(self.port) + at));
        }
        command.args(["-master.telemetry=false", "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0"]);
        command.args(["-s3.port.lance=0", "-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false"]);
        command.args(["-s3.config=s3.json", "-s3.iam.config=iam.json"]).env("HOME", &self.dir);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Whoever interrupts the tests as a group must not end the keeper before it has cleared away.
        command.process_group(0);
        self.keeper = Some(command.spawn().expect("sh"));
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if healthy(self.address()) {
                return true;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let log = self.log();
        self.kill();
        fs::write(self.dir.join("weed.log"), log).unwrap();
        false
    }

    fn stop(&mut self, signal: Option<&str>) {
        let Some(mut keeper) = self.keeper.take() else { return };
        let mut input = keeper.stdin.take().unwrap();
        if let Some(signal) = signal {
            let _ = writeln!(input, "{signal}");
        }
        drop(input);
        let _ = keeper.wait();
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        self.stop(None);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A plain client of a bucket, which does to it what strongroom never would.
pub struct Raw {
    client: Client,
    bucket: String,
    prefix: String,
}

impl Raw {
    /// A client of the part of a bucket below `prefix`, as one of the identities.
    pub fn new(server: &Seaweed, identity: &str, bucket: &str, prefix: &str) -> Self {
        let keys = Credentials::new(identity, server.secret(identity), None, None, "test");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(server.endpoint())
            .force_path_style(true)
            .credentials_provider(keys)
            .http_client(aws_smithy_http_client::Builder::new().build_http());
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { client: Client::from_conf(config.build()), bucket: bucket.to_owned(), prefix }
    }

    /// Puts a new version of `key`, and says which.
    pub async fn put(&self, key: &str, bytes: &[u8]) -> Version {
        let key = format!("{}{key}", self.prefix);
        let request = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes.to_vec()));
        Version::new(request.send().await.unwrap().version_id().unwrap())
    }

    /// Puts a delete marker on `key`, and says which version it is.
    pub async fn hide(&self, key: &str) -> Version {
        let request = self.client.delete_object().bucket(&self.bucket).key(format!("{}{key}", self.prefix));
        Version::new(request.send().await.unwrap().version_id().unwrap())
    }

    /// The client itself.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// Writes a file that only its owner may read, at once: somebody may be reading the one before.
pub fn write_private(path: &Path, text: &str) {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.persist(path).unwrap();
}

/// The identities, and those of `more`.
fn granted(identities: &str, more: &[(String, &str, &str)], secrets: &mut BTreeMap<String, String>) -> String {
    let mut all: serde_json::Value = serde_json::from_str(identities).unwrap();
    let writer = all["policies"].as_array().unwrap().iter().find(|policy| policy["name"] == "writer-w1").unwrap();
    let writer: serde_json::Value = serde_json::from_str(writer["content"].as_str().unwrap()).unwrap();
    for (name, right, below) in more {
        let mut policy = writer.clone();
        let statements = policy["Statement"].as_array_mut().unwrap();
        // A denial beats every permission.
        for statement in statements.iter_mut().filter(|statement| statement["Effect"] == "Deny") {
            statement["Action"].as_array_mut().unwrap().retain(|action| *action != format!("s3:{right}"));
        }
        let resource =
            if below.is_empty() { "arn:aws:s3:::vault*".to_owned() } else { format!("arn:aws:s3:::vault*/*{below}") };
        statements.push(serde_json::json!({
            "Sid": "More", "Effect": "Allow", "Action": [format!("s3:{right}")], "Resource": [resource]
        }));
        let secret = random_key();
        all["policies"].as_array_mut().unwrap().push(serde_json::json!({"name": name, "content": policy.to_string()}));
        all["identities"].as_array_mut().unwrap().push(serde_json::json!({
            "name": name, "credentials": [{"accessKey": name, "secretKey": &secret}], "policyNames": [name]
        }));
        secrets.insert(name.clone(), secret);
    }
    all.to_string()
}

/// The identity `copier`, which may put anything into every vault, lock it, and delete nothing: what `policy copier` prints
/// for a vault whose writers lock.
fn with_copier(identities: &str, secrets: &mut BTreeMap<String, String>) -> String {
    let mut all: serde_json::Value = serde_json::from_str(identities).unwrap();
    let of = |name: &str| {
        let all = all["policies"].as_array().unwrap();
        let policy = all.iter().find(|policy| policy["name"] == name).unwrap();
        serde_json::from_str::<serde_json::Value>(policy["content"].as_str().unwrap()).unwrap()
    };
    let mut policy = of("keeper");
    for statement in policy["Statement"].as_array_mut().unwrap() {
        if statement["Sid"] == "ExtendLocks" {
            statement["Action"] = serde_json::json!(["s3:PutObject", "s3:PutObjectRetention"]);
        }
        if statement["Effect"] == "Deny" {
            statement["Action"].as_array_mut().unwrap().retain(|action| action != "s3:PutObject");
        }
    }
    let secret = random_key();
    all["policies"].as_array_mut().unwrap().push(serde_json::json!({"name": "copier", "content": policy.to_string()}));
    all["identities"].as_array_mut().unwrap().push(serde_json::json!({
        "name": "copier", "credentials": [{"accessKey": "copier", "secretKey": &secret}], "policyNames": ["copier"]
    }));
    secrets.insert("copier".to_owned(), secret);
    all.to_string()
}

/// Puts a fresh secret in each place marked `@SECRET:name@` (kept by name) or `@KEY:name@`.
fn fill(text: &str, secrets: &mut BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    for (at, part) in text.split('@').enumerate() {
        let secret = part.strip_prefix("SECRET:").or_else(|| part.strip_prefix("KEY:"));
        match secret {
            Some(name) => filled += secrets.entry(name.to_owned()).or_insert_with(random_key),
            // What stands between two marks, or a mark of another kind, which keeps its signs.
            None if at % 2 == 0 => filled += part,
            None => filled.extend(["@", part, "@"]),
        }
    }
    filled
}

fn random_key() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    BASE64_STANDARD.encode(bytes)
}

fn program() -> PathBuf {
    env::var_os("STRONGROOM_WEED").unwrap_or_else(|| "weed".into()).into()
}

/// Whether there is a server to start.
fn installed() -> bool {
    let program = program();
    let dirs = env::var_os("PATH").unwrap_or_default();
    // A name with a slash is a path of its own wherever it is looked for.
    program.components().count() > 1 || env::split_paths(&dirs).any(|dir| dir.join(&program).is_file())
}

/// The first of five ports of which each is free, and so is the one 10000 above it, where gRPC listens, with what keeps
/// other tests from them until it is dropped: a server that took the port of another would be spoken to in its place. All
/// lie below those that outgoing connections use.
fn free_ports() -> (u16, File) {
    let claims = env::temp_dir().join("strongroom-test-ports");
    fs::create_dir_all(&claims).unwrap();
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    for _ in 0..1000 {
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        let first = 12_000 + u16::from_le_bytes(random) % 1000 * 10;
        let claim = File::create(claims.join(first.to_string())).unwrap();
        let mine = claim.try_lock().is_ok();
        if mine && (first..first + 5).all(|port| free(port) && free(port + 10_000)) {
            return (first, claim);
        }
    }
    panic!("no free ports for weed");
}

fn healthy(address: SocketAddr) -> bool {
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    answer().is_ok_and(|text| text.split(' ').nth(1) == Some("200"))
}
