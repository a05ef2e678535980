//! Repositories behind ssh and HTTP, spoken for real: `git upload-pack` at the end of an ssh that is none, and
//! `git http-backend` behind an HTTP server. What logs in must be seen nowhere.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{
    http::{Backend, Request, Response, Server},
    lab::Lab,
    sandbox::Run,
    tls::TlsServer,
};

/// A password that no output, file or argument may hold.
const PASSWORD: &str = "pw-of-the-forge";

/// What `ssh` is to git, without a network: notes its arguments and runs the command that is meant for the other host.
const SSH: &str = r#"#!/bin/sh
printf '%s\n' "$*" >>"${0%/*}/ssh.log"
while :; do
  case $1 in -o|-p) shift 2 ;; -*) shift ;; *) break ;; esac
done
case $1 in
  *closed*) echo "Permission denied (publickey)." >&2; exit 255 ;;
esac
shift
PATH=$(git --exec-path):$PATH exec sh -c "$*"
"#;

/// Notes the arguments and the environment of every `git` that is started, and starts it.
const GIT: &str = r#"#!/bin/sh
here=${0%/*}
{ printf '%s\n' "$*"; env; } >>"$here/git.log"
PATH=${PATH#"$here:"} exec git "$@"
"#;

/// A directory of programs that stand before the real ones.
struct Programs(PathBuf);

impl Programs {
    fn new(lab: &Lab, programs: &[(&str, &str)]) -> Self {
        let dir = lab.sandbox.path("programs");
        fs::create_dir_all(&dir).unwrap();
        for (name, text) in programs {
            fs::write(dir.join(name), text).unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(dir)
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// Backs `url` up, with these programs first in the search path.
    fn backup(&self, lab: &Lab, url: &str, environment: &[(&str, &str)]) -> Run {
        let mut command = lab.sandbox.command();
        let path = format!("{}:{}", self.0.display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).envs(environment.iter().copied()).arg("--config").arg(lab.sandbox.config());
        lab.sandbox.finish(command.args(["backup", "--name", "code", "-v", "--json", "--git", url]))
    }
}

/// The snapshot of a run that went well.
#[track_caller]
fn id(run: &Run) -> String {
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.json()["result"]["snapshots"][0]["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn check(lab: &Lab, run: &Run) {
    let back = lab.restore(&id(run));
    assert_eq!(lab.state(&back), lab.state(&lab.repo()));
}

#[track_caller]
fn fails(run: &Run, word: &str) {
    assert_eq!(run.code, 1, "{}", run.stderr);
    let error = run.out();
    assert!(error.contains(word), "{error}");
}

/// A repository whose refs are more than branches.
fn repository() -> Lab {
    let mut lab = Lab::new();
    lab.commit(0, 5000);
    lab.git(&["update-ref", "refs/pull/7/head", "HEAD"]);
    lab.git(&["tag", "-a", "v1", "-m", "one"]);
    lab
}

#[test]
fn over_ssh_it_is_taken_as_the_user_would_clone_it() {
    let mut lab = repository();
    let programs = Programs::new(&lab, &[("ssh", SSH)]);
    let path = lab.repo().to_str().unwrap().to_owned();
    let ssh = format!("ssh://git@forge.example:2222{path}");
    check(&lab, &programs.backup(&lab, &ssh, &[]));
    let log = programs.log("ssh.log");
    // It must not ask and not wait for ever, unless the user says how to call ssh.
    for word in ["BatchMode=yes", "ConnectTimeout=30", "-p 2222", "git@forge.example", "git-upload-pack"] {
        assert!(log.contains(word), "{word}: {log}");
    }
    lab.commit(1, 500);
    let own = programs.0.join("ssh").to_str().unwrap().to_owned() + " -o Own=1";
    fs::remove_file(programs.0.join("ssh.log")).unwrap();
    check(&lab, &programs.backup(&lab, &ssh, &[("GIT_SSH_COMMAND", &own)]));
    let log = programs.log("ssh.log");
    assert!(log.contains("Own=1") && !log.contains("BatchMode"), "{log}");
    check(&lab, &programs.backup(&lab, &format!("git@forge.example:{path}"), &[]));

    fails(&programs.backup(&lab, &format!("ssh://git@closed.example{path}"), &[]), "Permission denied (publickey)");
    fails(&programs.backup(&lab, "ssh://git@forge.example/no/such/repository", &[]), "/no/such/repository");
}

/// `git http-backend`, for whoever knows the password.
struct Smart {
    root: PathBuf,
}

impl Backend for Smart {
    fn answer(&self, request: &Request) -> io::Result<Response> {
        let known = format!("Basic {}", BASE64_STANDARD.encode(format!("backup:{PASSWORD}")));
        if request.header("authorization") != Some(&known) {
            return Ok(Response::new(401, "who are you?").with("WWW-Authenticate", "Basic realm=\"forge\""));
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let mut command = Command::new("git");
        command.args(["-c", "safe.directory=*", "http-backend"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env("GIT_PROJECT_ROOT", &self.root).env("GIT_HTTP_EXPORT_ALL", "1").env("REMOTE_USER", "backup");
        command.env("REQUEST_METHOD", &request.method).env("PATH_INFO", path).env("QUERY_STRING", query);
        command.env("CONTENT_LENGTH", request.body.len().to_string());
        for (variable, header) in [
            ("CONTENT_TYPE", "content-type"),
            ("HTTP_CONTENT_ENCODING", "content-encoding"),
            ("GIT_PROTOCOL", "git-protocol"),
        ] {
            command.env(variable, request.header(header).unwrap_or_default());
        }
        let mut child = command.spawn()?;
        child.stdin.take().unwrap().write_all(&request.body)?;
        let output = child.wait_with_output()?.stdout;
        let at = output.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
        let head = String::from_utf8_lossy(&output[..at]).into_owned();
        let mut response = Response::new(200, &output[at + 4..]);
        for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
            match name {
                "Status" => response.status = value[..3].parse().unwrap(),
                _ => response = response.with(name, value),
            }
        }
        Ok(response)
    }
}

/// Every file below `dir` that holds `text`.
fn holding(dir: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if fs::read(&path).unwrap().windows(text.len()).any(|w| w == text.as_bytes()) {
            found.push(path);
        }
    }
    found
}

#[test]
fn over_http_the_users_own_helper_logs_in_and_the_password_is_seen_nowhere() {
    let mut lab = repository();
    let programs = Programs::new(&lab, &[("git", GIT)]);
    let root = lab.sandbox.path("");
    let (plain, tls) = (Server::start(Smart { root: root.clone() }), TlsServer::start(Smart { root }));
    let urls = [format!("{}/code", plain.endpoint()), format!("{}/code", tls.endpoint())];
    // Nobody is asked, and nothing waits for an answer.
    fails(&programs.backup(&lab, &urls[0], &[]), "can't be reached");

    let home = lab.sandbox.path("home");
    let known = urls.iter().map(|url| url.replace("/code", "\n").replace("://", &format!("://backup:{PASSWORD}@")));
    fs::write(home.join(".git-credentials"), known.collect::<String>()).unwrap();
    fs::write(home.join("forge.pem"), tls.certificate()).unwrap();
    fails(&programs.backup(&lab, &urls[1], &[]), "certificate");
    let settings = "[credential]\n\thelper = store\n[http]\n\tsslCAInfo = ~/forge.pem\n";
    fs::write(home.join(".gitconfig"), settings).unwrap();
    let mut shown = String::new();
    for url in &urls {
        for _ in 0..2 {
            lab.commit(1, 3000);
            let run = programs.backup(&lab, url, &[]);
            check(&lab, &run);
            shown += &(run.out() + &run.stderr);
        }
    }
    // A repository that is not there is no password's fault, and as quiet about it.
    let run = programs.backup(&lab, &urls[0].replace("/code", "/nothing"), &[]);
    fails(&run, "not found");
    shown += &(run.out() + &run.stderr);
    for text in [shown, programs.log("git.log")] {
        assert!(!text.contains(PASSWORD) && !text.contains("backup:"), "{text}");
        assert!(text.contains("code"), "{text}");
    }
    for dir in ["etc", "vault"] {
        assert_eq!(holding(&lab.sandbox.path(dir), PASSWORD), [""; 0].map(PathBuf::from));
    }
    assert_eq!(holding(&home, PASSWORD), [home.join(".git-credentials")]);
}
