//! A place with a vault, the writer's files, a safe and a home; and the program, of which every word is looked at.

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_strongroom");
/// The variable by which everything that a test started is found again, however far it ran.
const MARK: &str = "BLACKBOX_MARK";

/// A temporary place: `vault`, `etc` (what `init` wrote), `safe` (the identity) and `home`.
pub struct Lab {
    dir: TempDir,
}

/// How a run of the program ended.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Lab {
    /// A place without a vault.
    pub fn bare() -> Self {
        let dir = TempDir::new().unwrap();
        for name in ["home", "safe"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    /// A place with a vault, whose identity lies in the safe.
    pub fn new() -> Self {
        let lab = Self::bare();
        let url = lab.url();
        lab.run(lab.program(["init", "--vault", &url, "--out"]).arg(lab.path("etc"))).ok();
        fs::rename(lab.path("etc/recovery.key"), lab.identity()).unwrap();
        lab
    }

    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(below)
    }

    /// A path as the text that it is.
    pub fn text(&self, below: impl AsRef<Path>) -> String {
        self.path(below).into_os_string().into_string().unwrap()
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.path("vault").display())
    }

    pub fn config(&self) -> PathBuf {
        self.path("etc/strongroom.toml")
    }

    pub fn identity(&self) -> PathBuf {
        self.path("safe/recovery.key")
    }

    /// `command` in the home, with nothing of this environment but the search path.
    pub fn around(&self, command: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(command);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).env(MARK, self.dir.path()).current_dir(self.path("home"));
        command
    }

    /// The program.
    pub fn program<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.around(PROGRAM);
        command.args(args);
        command
    }

    /// The program, as the writer runs it.
    pub fn writer<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.around(PROGRAM);
        command.arg("--config").arg(self.config()).args(args);
        command
    }

    /// The program on a clean machine: with the vault's URL and the identity, and nothing else.
    pub fn reader<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.around(PROGRAM);
        command.args(["--vault", &self.url()]).args(args);
        let opens = command.get_args().nth(2).is_some_and(|name| name == "restore" || name == "verify");
        if opens {
            command.arg("-i").arg(self.identity());
        }
        command
    }

    /// Runs a prepared command and looks at every word of it.
    pub fn run(&self, command: &mut Command) -> Run {
        self.feed(command, b"")
    }

    /// The same, with `input`.
    pub fn feed(&self, command: &mut Command, input: &[u8]) -> Run {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        thread::scope(|scope| {
            // Whoever does not read all of it need not.
            scope.spawn(move || drop(stdin.write_all(input)));
            self.wait(child)
        })
    }

    /// Waits for a child that was started with pipes.
    pub fn wait(&self, mut child: Child) -> Run {
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        thread::scope(|scope| {
            scope.spawn(|| stderr.as_mut().map(|pipe| pipe.read_to_end(&mut err).unwrap()));
            stdout.as_mut().map(|pipe| pipe.read_to_end(&mut out).unwrap())
        });
        let code = child.wait().unwrap().code();
        let run = Run { code, stdout: out, stderr: String::from_utf8(err).unwrap() };
        self.must_be_decent(&run);
        run
    }

    /// No secret is shown, and nothing panics.
    fn must_be_decent(&self, run: &Run) {
        let shown = run.said();
        for secret in self.secrets() {
            assert!(!shown.contains(&secret), "a secret was shown:\n{shown}");
        }
        for word in ["panicked", "RUST_BACKTRACE", "stack backtrace", "defect in strongroom"] {
            assert!(!shown.contains(word), "{word}:\n{shown}");
        }
    }

    /// What no output may show.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = vec!["AGE-SECRET-KEY-1".to_owned()];
        if let Ok(key) = fs::read(self.path("etc/writer.key"))
            && let Ok(key) = serde_json::from_slice::<Value>(&key)
        {
            let fields = ["signing_key", "catalog_identity", "chunk_id_key"].iter();
            secrets.extend(fields.filter_map(|field| Some(key.get(field)?.as_str()?.to_owned())));
        }
        secrets
    }

    /// Backs `bytes` up as the one stream of `source`; returns what the run tells of its snapshot.
    pub fn backup(&self, source: &str, bytes: &[u8]) -> Value {
        let run = self.feed(&mut self.writer(["backup", "--name", source, "--stdin", "--json"]), bytes).ok();
        run.json()["result"]["snapshots"][0].clone()
    }

    /// The bytes of a snapshot of one stream.
    pub fn bytes_of(&self, id: &str) -> Vec<u8> {
        self.run(&mut self.reader(["restore", id, "--to", "-"])).ok().stdout
    }

    /// The ids of all snapshots, oldest first.
    pub fn ids(&self) -> Vec<String> {
        let listed = self.run(&mut self.reader(["snapshots", "--json"])).ok().json();
        listed["result"].as_array().unwrap().iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Every object of the vault, records of locks included, as paths relative to the vault, in order.
    pub fn objects(&self) -> Vec<String> {
        let all = tree(&self.path("vault")).into_iter();
        all.filter(|path| !path.ends_with('/') && !path.starts_with(".tmp/")).collect()
    }

    /// Files that an aborted run left in the vault's own directory for them.
    pub fn unfinished(&self) -> Vec<String> {
        let all = tree(&self.path("vault")).into_iter();
        all.filter(|path| path.starts_with(".tmp/") && !path.ends_with('/') && path != ".tmp/guard").collect()
    }

    /// Adds to the writer's configuration.
    pub fn configure(&self, text: &str) {
        let mut config = fs::read_to_string(self.config()).unwrap();
        config.push_str(text);
        fs::write(self.config(), config).unwrap();
    }

    /// The processes that this test started and that still run, as their command lines.
    pub fn still_running(&self) -> Vec<String> {
        let mark = format!("{MARK}={}", self.dir.path().display());
        let marked = |pid: &PathBuf| {
            fs::read(pid.join("environ")).is_ok_and(|vars| vars.split(|b| *b == 0).any(|v| v == mark.as_bytes()))
        };
        let pids = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()).filter(marked);
        let line = |pid: PathBuf| fs::read(pid.join("cmdline")).map(|line| String::from_utf8_lossy(&line).into_owned());
        // A process that has ended and was not waited for has no command line any more.
        pids.filter_map(|pid| line(pid).ok()).filter(|line| !line.is_empty()).collect()
    }
}

impl Run {
    pub fn said(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.stdout), self.stderr)
    }

    /// Asserts success.
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// Asserts an exit code.
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.said());
        self
    }

    /// Asserts that standard error holds each of `texts`.
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is not in:\n{}", self.said());
        }
        self
    }

    /// Asserts that either output holds each of `texts`.
    pub fn says_anywhere(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.said().contains(text), "{text:?} is not in:\n{}", self.said());
        }
        self
    }

    /// Asserts a failure as people see it: a code, one error, and nothing on standard output.
    pub fn fails(self, code: i32, texts: &[&str]) -> Self {
        let run = self.code(code).says(texts);
        let errors = run.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{}", run.said());
        assert!(run.stdout.is_empty(), "{}", run.said());
        run
    }

    /// Standard output as the one JSON document that it must be.
    pub fn json(&self) -> Value {
        let document: Value = serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("{e} in {}", self.said()));
        let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
        for key in ["command", "ok", "result", "findings", "error"] {
            assert!(keys.contains(&key), "{key} is missing in {document}");
        }
        assert_eq!(document["ok"] == true, self.code == Some(0), "{document}");
        assert_eq!(document["error"].is_null(), self.code == Some(0), "{document}");
        document
    }
}

/// Everything below `root` as relative paths, in order, directories with a slash at their end; empty if nothing is there.
pub fn tree(root: &Path) -> Vec<String> {
    fn walk(dir: &Path, below: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                let name = format!("{name}/");
                walk(&entry.path(), &name, found);
                found.push(name);
            } else {
                found.push(name);
            }
        }
    }
    let mut found = Vec::new();
    walk(root, "", &mut found);
    found.sort();
    found
}

/// Gives a file or directory a mode.
pub fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Bytes that nothing shrinks, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Bytes that look like a dump, the same for the same seed.
pub fn dump(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 64);
    for row in noise(seed, len / 8 + 8).chunks_exact(8).cycle() {
        if bytes.len() >= len {
            break;
        }
        let word = ["paid", "open", "shipped", "returned"][usize::from(row[0] % 4)];
        writeln!(bytes, "{}\t{word}\t{}\tthe customer's note {}", bytes.len(), row[1], row[2]).unwrap();
    }
    bytes.truncate(len);
    bytes
}

/// Asserts that two streams are the same, without printing them.
pub fn must_be(found: &[u8], wanted: &[u8], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}: another length");
    assert!(found == wanted, "{what}: other bytes of the same length");
}
