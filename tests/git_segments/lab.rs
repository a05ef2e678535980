//! A repository to work in, its backups, and what came back of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::sandbox::Sandbox;

pub struct Lab {
    pub sandbox: Sandbox,
    /// Seconds since 1970 of the last commit, so that repeated runs make the same objects.
    clock: u64,
    seed: u64,
}

/// What a repository holds: `HEAD`, every ref, and every object that can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub head: String,
    pub refs: String,
    pub objects: Vec<String>,
}

impl Lab {
    /// A vault, and a repository `code` on branch `main` without a commit.
    pub fn new() -> Self {
        let lab = Self { sandbox: Sandbox::with_vault(), clock: 1_700_000_000, seed: 1 };
        fs::create_dir(lab.repo()).unwrap();
        lab.git(&["init", "-q", "--initial-branch=main"]);
        lab.git(&["config", "gc.auto", "0"]);
        lab
    }

    pub fn repo(&self) -> PathBuf {
        self.sandbox.path("code")
    }

    pub fn output(&self, dir: &Path, args: &[&str]) -> Output {
        let mut git = Command::new("git");
        git.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.sandbox.path("home"));
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C");
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "A Person").env(format!("GIT_{who}_EMAIL"), "person@example.org");
            git.env(format!("GIT_{who}_DATE"), format!("{} +0000", self.clock));
        }
        for setting in ["safe.directory=*", "protocol.file.allow=always"] {
            git.args(["-c", setting]);
        }
        git.args(args).current_dir(dir).output().unwrap()
    }

    #[track_caller]
    pub fn git_in(&self, dir: &Path, args: &[&str]) -> String {
        let out = self.output(dir, args);
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
    }

    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        self.git_in(&self.repo(), args)
    }

    /// Bytes that nobody can guess or compress.
    pub fn noise(&mut self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len);
        while out.len() < len {
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 7;
            self.seed ^= self.seed << 17;
            out.extend_from_slice(&self.seed.to_le_bytes());
        }
        out.truncate(len);
        out
    }

    /// Commits a change of a hundred files' worth of names, `bytes` of it new.
    pub fn commit(&mut self, no: u64, bytes: usize) {
        self.clock += 60;
        let path = self.repo().join(format!("dir{}/file{}.txt", no % 7, no % 41));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut text = fs::read(&path).unwrap_or_default();
        let noise = self.noise(bytes / 2);
        text.extend(noise.iter().flat_map(|b| format!("{b:02x}").into_bytes()));
        text.push(b'\n');
        fs::write(&path, text).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", &format!("Change {no}")]);
    }

    /// Backs the repository up, and gives what the program says of the snapshot.
    #[track_caller]
    pub fn backup(&self) -> Value {
        let run = self.sandbox.writer(&["backup", "--name", "code", "--json", "--git", self.repo().to_str().unwrap()]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.json()["result"]["snapshots"][0].clone()
    }

    /// Restores a snapshot and proves that it is complete.
    #[track_caller]
    pub fn restore(&self, id: &str) -> PathBuf {
        let to = self.sandbox.path("back");
        let _ = fs::remove_dir_all(&to);
        self.sandbox.reader(&["restore", id, "--to", to.to_str().unwrap()]).ok();
        let back = to.join("code.git");
        self.git_in(&back, &["fsck", "--full", "--strict"]);
        back
    }

    pub fn state(&self, dir: &Path) -> State {
        let objects = self.git_in(dir, &["rev-list", "--objects", "--no-object-names", "--all"]);
        let mut objects: Vec<_> = objects.lines().map(str::to_owned).collect();
        objects.sort_unstable();
        let refs = self.git_in(dir, &["for-each-ref", "--format=%(refname) %(objectname) %(objecttype) %(symref)"]);
        State { head: self.git_in(dir, &["symbolic-ref", "HEAD"]), refs, objects }
    }
}

/// The names of a snapshot's streams.
pub fn streams(snapshot: &Value) -> Vec<String> {
    snapshot["streams"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect()
}

pub fn stored(snapshot: &Value) -> u64 {
    snapshot["bytes_stored"].as_u64().unwrap()
}
