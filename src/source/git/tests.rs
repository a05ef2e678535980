use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
};

use tempfile::TempDir;

use super::*;
use crate::{model::Name, source::Facts};

mod left_out;
mod packed;
mod reach;
mod refused;
mod round_trip;
mod segments;

/// A repository in a directory that is gone with it, and a git that knows no settings but the repository's.
struct Lab {
    dir: TempDir,
}

impl Lab {
    /// A worktree repository `repo` on branch `main`.
    fn new() -> Self {
        Self::with(&["--initial-branch=main"])
    }

    fn with(init: &[&str]) -> Self {
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(lab.path("repo")).unwrap();
        lab.git("repo", &[&["init", "-q"], init].concat());
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn output(&self, within: &str, arguments: &[&str]) -> Output {
        let mut git = Command::new("git");
        git.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.dir.path());
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C");
        git.env("GIT_AUTHOR_DATE", "1700000000 +0000").env("GIT_COMMITTER_DATE", "1700000000 +0000");
        for (key, value) in
            [("user.name", "A"), ("user.email", "a@b"), ("protocol.file.allow", "always"), ("safe.directory", "*")]
        {
            git.args(["-c", &format!("{key}={value}")]);
        }
        git.args(arguments).current_dir(self.path(within)).output().unwrap()
    }

    /// Runs git, which must succeed, and gives what it wrote.
    #[track_caller]
    fn git(&self, within: &str, arguments: &[&str]) -> String {
        let out = self.output(within, arguments);
        assert!(out.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Commits a file called `name` in `repo`.
    fn commit(&self, name: &str) {
        fs::write(self.path("repo").join(name), format!("{name} {}", "text ".repeat(100))).unwrap();
        self.git("repo", &["add", "-A"]);
        self.git("repo", &["commit", "-q", "-m", name]);
    }

    /// Branches, a merge, tags of all kinds, notes, two stashes and an odd branch name.
    fn fill(&self) {
        for name in ["one", "two"] {
            self.commit(name);
        }
        self.git("repo", &["checkout", "-q", "-b", "side/é#'x", "HEAD~1"]);
        self.commit("three");
        self.git("repo", &["checkout", "-q", "main"]);
        self.git("repo", &["merge", "-q", "--no-edit", "side/é#'x"]);
        self.git("repo", &["tag", "light"]);
        self.git("repo", &["tag", "-a", "-m", "signed, in spirit", "v1"]);
        self.git("repo", &["tag", "-a", "-m", "a tag of a tag", "v1-again", "v1"]);
        self.git("repo", &["tag", "blob", "HEAD:one"]);
        self.git("repo", &["tag", "tree", "HEAD^{tree}"]);
        self.git("repo", &["notes", "add", "-m", "a note"]);
        for text in ["first stash", "second stash"] {
            fs::write(self.path("repo/one"), text).unwrap();
            self.git("repo", &["stash", "push", "-q", "-m", text]);
        }
    }

    /// Backs up `repo` and writes its streams to files.
    fn backup(&self, repo: &str) -> Result<(Vec<(Name, PathBuf)>, Facts)> {
        self.read(GitSource::new(self.path(repo)).open()?)
    }

    fn read(&self, mut reading: Box<dyn Reading>) -> Result<(Vec<(Name, PathBuf)>, Facts)> {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        let mut files = Vec::new();
        while let Some(mut stream) = reading.next_stream()? {
            let path = dir.join(stream.name.as_str());
            let copied = std::io::copy(&mut stream.reader, &mut File::create_new(&path).unwrap());
            copied.map_err(|e| SourceError::new(e.to_string(), stream.name.as_str()))?;
            files.push((stream.name, path));
        }
        Ok((files, reading.finish()?))
    }

    /// Why `repo` can't be backed up.
    #[track_caller]
    fn refused(&self, repo: &str) -> String {
        self.backup(repo).expect_err("the backup should fail").to_string()
    }

    /// Backs up `repo`, restores it as `back.git` and compares the two. Gives the streams' names and the facts.
    #[track_caller]
    fn round_trip(&self, repo: &str) -> (Vec<String>, Facts) {
        let before = tree(&self.path(repo));
        let (files, facts) = self.backup(repo).unwrap();
        assert_eq!(tree(&self.path(repo)), before, "the source was written to");
        let _ = fs::remove_dir_all(self.path("back.git"));
        restore_from_files(&files, &facts.details, &self.path("back.git")).unwrap();
        assert_eq!(self.state("back.git"), self.state(repo));
        self.git("back.git", &["fsck", "--full", "--strict"]);
        (files.into_iter().map(|f| f.0.to_string()).collect(), facts)
    }

    /// HEAD, refs, stashes and objects.
    fn state(&self, repo: &str) -> String {
        let head = fs::read_to_string(self.path(&self.git_dir(repo)).join("HEAD")).unwrap();
        let refs = self.git(repo, &["for-each-ref", "--format=%(refname) %(objectname) %(symref)"]);
        let stash =
            String::from_utf8(self.output(repo, &["log", "-g", "--format=%H %gs", "refs/stash"]).stdout).unwrap();
        let mut objects: Vec<_> =
            self.git(repo, &["rev-list", "--objects", "--reflog", "--all"]).lines().map(str::to_owned).collect();
        if repo != "back.git" {
            // Logs other than the stash's are not backed up, so count what refs and the stash reach only.
            let tips = stash.lines().filter_map(|l| l.split(' ').next()).map(str::to_owned);
            let mut arguments = vec!["rev-list".to_owned(), "--objects".to_owned(), "--all".to_owned()];
            arguments.extend(tips);
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            objects = self.git(repo, &arguments).lines().map(str::to_owned).collect();
        }
        objects.sort();
        format!("{head}\n{refs}\n{stash}\n{}", objects.join("\n"))
    }

    fn git_dir(&self, repo: &str) -> String {
        self.git(repo, &["rev-parse", "--absolute-git-dir"]).trim().to_owned()
    }
}

/// Every file below `dir` with its size and time.
fn tree(dir: &Path) -> Vec<(PathBuf, u64, Option<std::time::SystemTime>)> {
    let mut all = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let meta = fs::symlink_metadata(entry.path()).unwrap();
            if meta.is_dir() {
                todo.push(entry.path());
            }
            all.push((entry.path(), meta.len(), meta.modified().ok()));
        }
    }
    all.sort();
    all
}

/// Makes the file `path` a program with the text `script`.
fn program(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
