//! A git that never ends: what ends the backup ends it too, and leaves nothing behind.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::lab::Lab;

/// A directory with a `git` that hangs as soon as it is to list objects, and says which process it is in `mark`.
fn hanging_git(lab: &Lab, mark: &Path) -> PathBuf {
    let dir = lab.sandbox.path("bin");
    fs::create_dir(&dir).unwrap();
    let real = Command::new("sh").args(["-c", "command -v git"]).output().unwrap().stdout;
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *rev-list*) echo $$ > '{}'; exec sleep 1000;; esac\nexec '{}' \"$@\"\n",
        mark.display(),
        String::from_utf8(real).unwrap().trim()
    );
    fs::write(dir.join("git"), script).unwrap();
    fs::set_permissions(dir.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// The process that `mark` names, once it does.
fn hanging(mark: &Path) -> String {
    loop {
        match fs::read_to_string(mark) {
            Ok(pid) if pid.ends_with('\n') => return pid.trim().to_owned(),
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[test]
fn a_git_that_hangs_ends_with_its_timeout_and_with_the_signals_that_end_us() {
    let mut lab = Lab::new();
    lab.commit(0, 500);
    lab.git(&["clone", "-q", "--bare", ".", "../code.git"]);
    let (mark, temporary) = (lab.sandbox.path("mark"), lab.sandbox.path("tmp"));
    fs::create_dir(&temporary).unwrap();
    let path = format!("{}:{}", hanging_git(&lab, &mark).display(), std::env::var("PATH").unwrap());
    let (worktree, bare) = (lab.repo().display().to_string(), lab.sandbox.path("code.git").display().to_string());
    for (name, repo, timeout) in [("slow", &worktree, "timeout = \"1s\""), ("open", &worktree, ""), ("read", &bare, "")]
    {
        lab.sandbox
            .configure(&format!("\n[[source]]\nname = \"{name}\"\nkind = \"git\"\nrepo = \"{repo}\"\n{timeout}\n"));
    }
    for (source, signal, code) in [("slow", None, 1), ("open", Some("TERM"), 130), ("read", Some("HUP"), 130)] {
        let _ = fs::remove_file(&mark);
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.arg("--config").arg(lab.sandbox.config()).args(["backup", source]).env_clear();
        command.env("PATH", &path).env("HOME", lab.sandbox.path("home")).env("TMPDIR", &temporary);
        let running = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let git = signal.map(|signal| {
            let git = hanging(&mark);
            let pid = running.id().to_string();
            assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
            git
        });
        let ended = running.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{source}: {said}");
        assert!(signal.is_some() || said.contains("it had not ended after 1 s"), "{said}");
        if let Some(git) = git.or_else(|| fs::read_to_string(&mark).ok()) {
            // What is left of it for the first process to reap has no command line.
            let line = fs::read(format!("/proc/{}/cmdline", git.trim())).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&line).contains("sleep"), "{source}: git goes on");
        }
        let left: Vec<_> = fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{source} left {left:?}");
    }
}
