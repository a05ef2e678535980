//! The forge of ours (`tests/support/fake_forge.py`) and a vault beside it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::sandbox::{Run, Sandbox};

/// What the forge lets in with.
pub const TOKEN: &str = "tok-Zq8f3kUeW1xYd7";

/// A running forge. Ends with its handle.
pub struct Fake {
    child: Child,
    pub port: u16,
}

impl Fake {
    pub fn start(args: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/fake_forge.py");
        let mut child =
            Command::new("python3").arg(script).args(args).stdout(Stdio::piped()).spawn().expect("python3 is there");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().expect("the forge tells its port") }
    }

    /// Two repositories with a little of everything.
    pub fn small(git: Option<&Path>) -> Self {
        let counts = ["--repos", "2", "--issues", "12", "--pulls", "4", "--comments", "130", "--releases", "2"];
        let mut args: Vec<&str> = counts.to_vec();
        let dir = git.map(|dir| dir.to_str().unwrap().to_owned());
        args.extend(dir.iter().flat_map(|dir| ["--git", dir.as_str()]));
        Self::start(&args)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Changes its state or has it misbehave, and gives what it told.
    pub fn tell(&self, name: &str, given: &Value) -> Value {
        let body = given.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = format!(
            "POST /_/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let text = String::from_utf8(answer).unwrap();
        serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    pub fn ask(&self, name: &str) -> Value {
        self.tell(name, &Value::Object(serde_json::Map::new()))
    }

    /// How many requests came since this was asked last.
    pub fn calls(&self) -> u64 {
        self.ask("calls").as_u64().unwrap()
    }

    /// A vault with the source `acme` of this forge; `more` goes into its `[[source]]`.
    pub fn vault(&self, kind: &str, more: &str) -> Sandbox {
        let sandbox = Sandbox::with_vault();
        let token = sandbox.path("etc/forge-token");
        fs::write(&token, format!("{TOKEN}\n")).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        sandbox.configure(&format!(
            "[[source]]\nname = \"acme\"\nkind = \"{kind}\"\nurl = \"{}\"\nowner = \"acme\"\ntoken = \"file:forge-token\"\n\
             {more}\n",
            self.url()
        ));
        sandbox
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Restores the newest snapshot of the metadata, with pages, and gives the directory.
pub fn restored(sandbox: &Sandbox, to: &str) -> PathBuf {
    let to = sandbox.path(to);
    restore(sandbox, &to).ok();
    to
}

pub fn restore(sandbox: &Sandbox, to: &Path) -> Run {
    let identity = sandbox.identity();
    let mut command = sandbox.command();
    command.args(["--vault", &sandbox.url(), "restore", "latest", "--source", "acme", "--as", "html", "-i"]);
    sandbox.finish(command.arg(identity).arg("--to").arg(to))
}

/// The entries of a restored stream.
pub fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn manifest(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("acme/manifest.json")).unwrap()).unwrap()
}

/// The row of a kind in a repository's part of the manifest.
pub fn row<'a>(manifest: &'a Value, repository: &str, kind: &str) -> &'a Value {
    let all = manifest["repositories"].as_array().unwrap();
    let one = all.iter().find(|one| one["name"] == repository).expect("the repository is in the manifest");
    one["kinds"].as_array().unwrap().iter().find(|row| row["kind"] == kind).expect("the kind is in the manifest")
}

/// Every file below `dir` that holds `what`.
pub fn holding(dir: &Path, what: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(holding(&path, what));
        } else if kind.is_file() && fs::read(&path).unwrap().windows(what.len()).any(|part| part == what) {
            found.push(path);
        }
    }
    found
}
