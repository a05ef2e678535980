//! The golden vaults, and a copy of one with the program beside it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::Value;
use strongroom::codec::hash::Sha256;

use crate::sandbox::{Run, Sandbox};

/// Every golden vault and its id. A vault that was made anew has another id, and is no golden vault.
pub const GOLDEN: [(&str, &str); 13] = [
    ("streams", "a2f57367bdcd9add9722d68ed4055d83d3e2e916f88316c1a18af1e371d565d2"),
    ("deltas", "0be5a97268f89a8a865d54db68ea025feac316a5fd0e7255a18ae2e9a889385a"),
    ("merged", "fdf8bcb2666f1de7b65075235a2cd39d5c415e5d58091be54a7ed79de320539e"),
    ("tiers", "e580e12f2d397fee42844724e2a4f9e46bcdeb4c3dd0090b6c826b386a273c53"),
    ("revoked", "8520cc8518559d3abebaa85f59fe4732e7649aa9f5bec260d1f1bc206741b2c7"),
    ("git", "f5f6e03d77634156b21d6ef0689dcd1eecea9f15e5066d78499dcfbfd3cdfdc1"),
    ("databases", "414c85f3ba04d13f2c1ffa32fafef2c2869b94ba3a65f71ef60bb878c9380fcc"),
    ("people", "0d1ed292353bb3695676090a54eaafd35e7618d844e759204cf39aac10ec7987"),
    ("bucket", "1e9cc8a6af38bdf4bba80fe28c366db35af0cacd244734b879b1b195db35410d"),
    ("held", "5d737a22c947b4305e06b451431ea8e2817fddaf6d1afc40d7e12ee4ac422c29"),
    ("cut", "2e9d524d06f4998f9c8d9c624aa089325e04c1f802174386f826453d29d583a8"),
    ("journal", "549e3df3d6928855981fad1e7125e775d7a7f79ae881404f83d8258fbef88cba"),
    ("forges", "168ef6415e3041d4340a681249b5cd903591c8f863a38c6046ef6da19f5b9bb9"),
];

/// What the golden vaults lie in.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A copy of a golden vault.
pub struct Golden {
    pub sandbox: Sandbox,
    pub expected: Value,
    from: PathBuf,
}

impl Golden {
    /// A copy of the vault called `name`, as a checkout has it: contents, and no modes, times or empty directories.
    pub fn copy(name: &str) -> Self {
        let from = fixtures().join("vaults").join(name);
        let golden = Self::copy_of(&from);
        let (_, id) = GOLDEN.iter().find(|(golden, _)| *golden == name).expect("it is listed in GOLDEN");
        assert_eq!(golden.expected["vault"], *id, "{name} was made anew: golden vaults are for ever");
        golden
    }

    /// A copy of the vault in the directory `from`.
    pub fn copy_of(from: &Path) -> Self {
        let sandbox = Sandbox::new();
        for (below, bytes) in files(&from.join("vault")) {
            let to = sandbox.path("vault").join(below);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, bytes).unwrap();
        }
        private(&from.join("recovery.key"), &sandbox.identity());
        let expected = fs::read(from.join("expected.json")).unwrap_or_else(|_| b"null".to_vec());
        Self { sandbox, expected: serde_json::from_slice(&expected).unwrap(), from: from.to_owned() }
    }

    /// Takes every right to write away from the copy.
    pub fn read_only(self) -> Self {
        self.modes(0o555, 0o444);
        self
    }

    fn modes(&self, dir: u32, file: u32) {
        let mut waiting = vec![self.sandbox.path("vault")];
        while let Some(path) = waiting.pop() {
            let mode = if path.is_dir() { dir } else { file };
            if path.is_dir() {
                waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    /// A key file that lies beside the vault.
    pub fn key(&self, name: &str) -> Vec<u8> {
        fs::read(self.from.join(name)).unwrap()
    }

    /// The names of all key files beside the vault.
    pub fn keys(&self) -> Vec<String> {
        let all = fs::read_dir(&self.from).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        all.filter(|name| Path::new(name).extension().is_some_and(|end| end == "key")).collect()
    }

    /// Gives the writer whose key is `key` a configuration of its own.
    pub fn configure(&self, key: &str, writer: &str) {
        fs::create_dir(self.sandbox.path("etc")).unwrap();
        private(&self.from.join(key), &self.sandbox.path("etc/writer.key"));
        let config = format!(
            "[vault]\nurl = \"{}\"\n[writer]\nname = \"{writer}\"\nkey = \"writer.key\"\nstate = \"state\"\n",
            self.sandbox.url()
        );
        fs::write(self.sandbox.config(), config).unwrap();
    }

    /// The snapshots that are expected, oldest first.
    pub fn snapshots(&self) -> &[Value] {
        self.expected["snapshots"].as_array().unwrap()
    }

    /// Restores a snapshot; returns where to.
    pub fn restore(&self, id: &str) -> PathBuf {
        let to = self.sandbox.path("out").join(id);
        self.sandbox.reader(&["restore", id, "--to", to.to_str().unwrap()]).ok();
        to
    }

    /// Verifies all of it with the identity. Whether locks are over is a matter of the day, and so is exit code 5.
    pub fn verify(&self) -> Value {
        let run: Run = self.sandbox.reader(&["verify", "--depth", "decrypt", "--json"]);
        assert!(matches!(run.code, 0 | 5), "{}: {}{}", run.code, run.out(), run.stderr);
        run.json()
    }

    /// Every file of the copy.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        files(&self.sandbox.path("vault"))
    }
}

impl Drop for Golden {
    fn drop(&mut self) {
        // So that whoever runs this can remove it.
        self.modes(0o755, 0o644);
    }
}

/// Copies a key file, which nobody else may read.
fn private(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Every file below a directory.
fn files(top: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![top.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.insert(path.strip_prefix(top).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
    found
}

/// The SHA-256 of `bytes`, as `sha256sum` prints it.
pub fn sha256(bytes: &[u8]) -> String {
    let mut hasher = Sha256::default();
    hasher.update(bytes);
    hasher.finish()
}

#[test]
fn no_golden_vault_is_forgotten() {
    let mut names: Vec<String> = fs::read_dir(fixtures().join("vaults"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    let mut listed: Vec<&str> = GOLDEN.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(names, listed, "every directory of fixtures/vaults is in GOLDEN, and has tests of its own");
    let readme = fs::read_to_string(fixtures().join("vaults/README.md")).unwrap();
    for name in names {
        assert!(readme.contains(&format!("\n| `{name}` | ")), "fixtures/vaults/README.md says nothing of {name}");
    }
}
