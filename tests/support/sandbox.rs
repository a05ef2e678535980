//! A home, a vault and the program, for tests of the command line. Every output is searched for the secrets at hand.

use std::{
    fs,
    path::{Path, PathBuf},
};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// A temporary place with a home (`home`), what `init` writes (`etc`), a safe (`safe`) and a vault (`vault`).
pub struct Sandbox {
    dir: TempDir,
}

/// How a run of the program ended.
pub struct Run {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Sandbox {
    /// A place without a vault.
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        fs::create_dir(dir.path().join("safe")).unwrap();
        Self { dir }
    }

    /// A place with a vault, whose identity was moved to the safe.
    pub fn with_vault() -> Self {
        let sandbox = Self::new();
        sandbox.init(&[]).ok();
        fs::rename(sandbox.path("etc/recovery.key"), sandbox.identity()).unwrap();
        sandbox
    }

    /// A path in this place.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// The vault's URL.
    pub fn url(&self) -> String {
        format!("file://{}", self.path("vault").display())
    }

    /// The writer's configuration.
    pub fn config(&self) -> PathBuf {
        self.path("etc/strongroom.toml")
    }

    /// The identity in the safe.
    pub fn identity(&self) -> PathBuf {
        self.path("safe/recovery.key")
    }

    /// The program, in the home and with nothing of this environment but the search path.
    pub fn command(&self) -> Command {
        let mut command = Command::cargo_bin("strongroom").unwrap();
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).current_dir(self.path("home"));
        command
    }

    /// Runs the program.
    pub fn run(&self, args: &[&str]) -> Run {
        self.finish(self.command().args(args))
    }

    /// Runs `init`.
    pub fn init(&self, args: &[&str]) -> Run {
        let (url, out) = (self.url(), self.path("etc"));
        self.finish(self.command().args(["init", "--vault", &url, "--out"]).arg(out).args(args))
    }

    /// Runs the program as the writer.
    pub fn writer(&self, args: &[&str]) -> Run {
        self.finish(self.command().arg("--config").arg(self.config()).args(args))
    }

    /// Runs the program as the writer and gives it `input`.
    pub fn writer_with(&self, args: &[&str], input: &[u8]) -> Run {
        self.finish(self.command().arg("--config").arg(self.config()).args(args).write_stdin(input))
    }

    /// Runs the program as a responder: with the vault's URL and, for `restore`, `verify` and `drill`, the identity.
    pub fn reader(&self, args: &[&str]) -> Run {
        let mut command = self.command();
        command.args(["--vault", &self.url()]).args(args);
        if matches!(args.first(), Some(&("restore" | "verify" | "drill"))) {
            command.arg("-i").arg(self.identity());
        }
        self.finish(&mut command)
    }

    /// Adds to the writer's configuration.
    pub fn configure(&self, text: &str) {
        let mut config = fs::read_to_string(self.config()).unwrap();
        config.push_str(text);
        fs::write(self.config(), config).unwrap();
    }

    /// Backs `bytes` up as the one stream of `source`, and returns the snapshot's id.
    pub fn backup(&self, source: &str, bytes: &[u8]) -> String {
        let run = self.writer_with(&["backup", "--name", source, "--stdin", "--json"], bytes);
        run.json()["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Runs a prepared command.
    pub fn finish(&self, command: &mut Command) -> Run {
        let output = command.output().unwrap();
        let run = Run {
            code: output.status.code().expect("not killed by a signal"),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        let text = format!("{}{}", String::from_utf8_lossy(&run.stdout), run.stderr);
        for secret in self.secrets() {
            assert!(!text.contains(&secret), "a secret was shown:\n{text}");
        }
        assert!(!text.contains("panicked"), "{text}");
        run
    }

    /// What no output may show (G8).
    fn secrets(&self) -> Vec<String> {
        let mut secrets = vec!["AGE-SECRET-KEY-1".to_owned()];
        if let Ok(key) = fs::read(self.path("etc/writer.key")) {
            let key: Value = serde_json::from_slice(&key).unwrap();
            for field in ["signing_key", "catalog_identity", "chunk_id_key"] {
                secrets.push(key[field].as_str().unwrap().to_owned());
            }
        }
        secrets
    }
}

impl Run {
    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Asserts success.
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// Asserts an exit code.
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out(), self.stderr);
        self
    }

    /// Asserts that standard error holds `text`.
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} is not in:\n{}", self.stderr);
        self
    }

    /// Asserts that the error of its JSON document holds `text`.
    #[allow(dead_code, reason = "not every test has one")]
    pub fn told(self, text: &str) -> Self {
        let message = self.json()["error"]["message"].to_string();
        assert!(message.contains(text), "{text:?} is not in {message}");
        self
    }

    /// Standard output as the one JSON document that it must be.
    pub fn json(&self) -> Value {
        let document: Value = serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|e| panic!("{e} in stdout:\n{}\nstderr:\n{}", self.out(), self.stderr));
        for field in ["command", "ok", "result", "findings", "error"] {
            assert!(document.get(field).is_some(), "{field} is missing in {document}");
        }
        assert_eq!(document["ok"] == true, self.code == 0, "{document}");
        assert_eq!(document["error"].is_null(), self.code == 0, "{document}");
        document
    }
}

/// Whether nothing in the directory `path` is left unfinished.
pub fn is_tidy(path: &Path) -> bool {
    fs::read_dir(path).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().contains(".partial"))
}

/// Bytes that don't compress and never repeat.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(len);
    bytes
}
