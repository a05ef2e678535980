//! A repository behind a URL: a mirror of it is kept in the writer's state directory and brought up to date before each
//! backup. Git runs with the settings of the user who runs the backup, since these know how to log in; nothing of the
//! other side's is run here.

use std::{
    env, fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use super::{Head, ObjectFormat, Oid, RefName, Result, SourceError, lfs::LfsServer, login::Login, run};
use crate::source::{
    child::{Running, without_ours},
    redact::{Known, given, redact},
};

/// Why a URL of http is not taken.
const TOKEN: &str = "holds a user or a token, which every user of this machine could see; leave it out, and let git's own \
                     credential helper know it (`git config --global credential.helper store`); an @, ? or # that belongs \
                     to the path is written as %40, %3F or %23";

/// Where a repository is and where its mirror.
#[derive(Clone)]
pub struct Remote {
    url: String,
    mirror: PathBuf,
    login: Option<Login>,
    lfs: Option<Arc<dyn LfsServer>>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("url", &self.url).field("mirror", &self.mirror).finish_non_exhaustive()
    }
}

/// Whether `text` names a repository elsewhere: `scheme://…`, or `host:path` as scp has it. `file://` counts as here.
#[must_use]
pub fn is_url(text: &str) -> bool {
    let scp = text.split_once(':').is_some_and(|(host, _)| !host.is_empty() && !host.contains('/'));
    (text.contains("://") || scp) && !text.starts_with("file://")
}

impl Remote {
    /// The repository at `url`, mirrored at `mirror`.
    ///
    /// # Errors
    /// If the URL holds a password or token, or is of a kind that is not known: `https`, `http`, `ssh` and `git` are,
    /// and `host:path`.
    pub fn new(url: &str, mirror: PathBuf) -> Result<Self> {
        given(url);
        // Nothing of it is repeated but its kind: what is wrong with it may be a secret in the wrong place.
        let kind = url.split_once("://").map_or("", |(scheme, _)| scheme);
        let kind = if matches!(kind, "http" | "https" | "ssh" | "git" | "ftp") { kind } else { "a" };
        let refuse = |what: &str| Err(SourceError::new(what, format!("{kind} URL of a repository")));
        if url.starts_with('-') || url.contains(char::is_control) {
            return refuse("is not a URL of a repository");
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            // `host:path`, of which git takes all before the first colon for the host, whatever was meant.
            if url.split_once(':').is_some_and(|(_, path)| path.contains('@')) {
                return refuse("holds a password, or a path with an @; leave the password out and use a key");
            }
            return Ok(Self { url: url.to_owned(), mirror, login: None, lfs: None });
        };
        // A token with a `/` or another sign in it moves what would be the host.
        match scheme {
            "http" | "https" if rest.contains(['@', '?', '#']) => return refuse(TOKEN),
            "ssh" | "git"
                if rest.split_once('@').is_some_and(|(user, more)| user.contains([':', '/']) || more.contains('@')) =>
            {
                return refuse("holds a password; leave it out and use a key");
            }
            "http" | "https" | "ssh" | "git" => {}
            _ => return refuse("is of a kind that is not read; give an https, http, ssh or git URL, or a path"),
        }
        let authority = rest.split('/').next().unwrap_or_default();
        let port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let port = port.rsplit_once(']').map_or(port, |(_, after)| after);
        if port.split_once(':').is_some_and(|(_, port)| port.bytes().any(|b| !b.is_ascii_digit())) {
            return refuse("names a port that is not a number; a user, a password or a token does not belong into it");
        }
        Ok(Self { url: url.to_owned(), mirror, login: None, lfs: None })
    }

    /// The same, logging in with `login` and in no other way.
    #[must_use]
    pub fn with_login(self, login: Option<Login>) -> Self {
        Self { login, ..self }
    }

    /// The same, with LFS objects from `server`.
    #[must_use]
    pub fn with_lfs(self, server: Arc<dyn LfsServer>) -> Self {
        Self { lfs: Some(server), ..self }
    }

    /// Who has its LFS objects, if anybody is known.
    pub(super) fn lfs(&self) -> Option<Arc<dyn LfsServer>> {
        self.lfs.clone()
    }

    /// Git, which logs in as was said.
    fn git(&self, git_dir: Option<&Path>, arguments: &[&str]) -> Command {
        let mut command = git(git_dir);
        if let Some(login) = &self.login {
            login.hand_to(&mut command);
        }
        command.args(arguments);
        command
    }

    /// Whether the other side answers; nothing is fetched.
    pub(super) fn answers(&self) -> Result<()> {
        self.look().map(drop)
    }

    /// The URL, for people.
    pub(super) fn shown(&self) -> String {
        redact(&self.url)
    }

    /// Brings the mirror up to date, or makes it, and tells where it is.
    ///
    /// # Errors
    /// If the other side does not answer, refuses, or has an object format that changed.
    pub(super) fn refresh(&self) -> Result<&Path> {
        let (head, format) = self.look()?;
        let failed = |e| SourceError::at("can't make the mirror", &self.mirror, e);
        if !self.mirror.join("HEAD").exists() {
            fs::create_dir_all(&self.mirror).map_err(failed)?;
            run::skeleton(&self.mirror, format)?;
        }
        let fetch = ["fetch", "--quiet", "--prune", "--no-write-fetch-head", "--no-tags", "--no-recurse-submodules"];
        let mut command = self.git(Some(&self.mirror), &fetch);
        command.args(["--", &self.url, "+refs/*:refs/*"]);
        let running = Running::start(&mut command, "git fetch", Known::default())?;
        running.finish().map_err(|e| {
            SourceError::new(
                format!("can't be fetched ({e}). If its mirror is damaged, remove {}", self.mirror.display()),
                redact(&self.url),
            )
        })?;
        let text = match head {
            Head::Symbolic(name) => [b"ref: ", name.as_bytes(), b"\n"].concat(),
            Head::Detached(oid) => [oid.as_str().as_bytes(), b"\n"].concat(),
        };
        fs::write(self.mirror.join("HEAD"), text).map_err(failed)?;
        Ok(&self.mirror)
    }

    /// Where the other side's `HEAD` stands, and how it names objects. A repository without a commit does not tell.
    fn look(&self) -> Result<(Head, ObjectFormat)> {
        let mut command = self.git(None, &["ls-remote", "--symref"]);
        command.args(["--", &self.url, "HEAD"]);
        let mut running = Running::start(&mut command, "git ls-remote", Known::default())?;
        let mut text = String::new();
        let failed = |e| SourceError::new("can't be read", redact(&self.url)).because(e);
        running.stdout()?.take(1 << 20).read_to_string(&mut text).map_err(failed)?;
        running.finish().map_err(|e| SourceError::new(format!("can't be reached ({e})"), redact(&self.url)))?;
        let mut head = RefName::parse(b"refs/heads/main").map(Head::Symbolic);
        let mut format = ObjectFormat::Sha1;
        for line in text.lines() {
            let Some((value, "HEAD")) = line.split_once('\t') else { continue };
            if let Some(name) = value.strip_prefix("ref: ").and_then(|name| RefName::parse(name.as_bytes())) {
                head = Some(Head::Symbolic(name));
                continue;
            }
            let Some(oid) = Oid::parse(value) else { continue };
            if oid.as_str().len() == ObjectFormat::Sha256.hex_len() {
                format = ObjectFormat::Sha256;
            }
            if !text.starts_with("ref: ") {
                head = Some(Head::Detached(oid));
            }
        }
        head.map(|head| (head, format)).ok_or_else(|| SourceError::new("has no HEAD", redact(&self.url)))
    }
}

/// Git with the user's own settings, which never asks on a terminal and does not wait for ever.
pub(super) fn git(git_dir: Option<&Path>) -> Command {
    let mut command = Command::new("git");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_CONFIG_PARAMETERS"] {
        command.env_remove(name);
    }
    // Git's library takes a proxy for http from the small letters alone, the bucket's client from both.
    if let (Some(proxy), None) = (env::var_os("HTTP_PROXY"), env::var_os("http_proxy")) {
        command.env("http_proxy", proxy);
    }
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ALLOW_PROTOCOL", "http:https:ssh:git").env("LC_ALL", "C");
    if env::var_os("GIT_SSH_COMMAND").is_none() && env::var_os("GIT_SSH").is_none() && !has_ssh_command() {
        command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=30");
    }
    for setting in [
        "core.hooksPath=/dev/null",
        "http.lowSpeedLimit=1",
        "http.lowSpeedTime=120",
        "maintenance.autoDetach=false",
        "gc.autoDetach=false",
    ] {
        command.args(["-c", setting]);
    }
    if let Some(dir) = git_dir {
        command.arg("--git-dir").arg(dir);
    } else {
        // Not in whatever repository the backup happens to be started from.
        command.current_dir("/");
    }
    command
}

/// Whether the user's settings say how to call ssh.
fn has_ssh_command() -> bool {
    let mut command = Command::new("git");
    without_ours(&mut command);
    command.args(["config", "--get", "core.sshCommand"]).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths() {
        for url in ["https://h/r", "ssh://git@h/r", "git@h:r.git", "h:r"] {
            assert!(is_url(url), "{url}");
        }
        for path in ["/a/b", "./a:b", "a/b:c", "repo", "file:///srv/r.git"] {
            assert!(!is_url(path), "{path}");
        }
    }

    #[test]
    fn secrets_in_urls_are_refused_and_not_shown() {
        for url in [
            "https://me:tok123@host/r",
            "https://tok123@host/r",
            "ssh://me:tok123@host/r",
            "ftp://me:tok123@h/r",
            "https://me:tok/123@host/r",
            "https://me:12/tok123@host/r",
            "https://me:t@ok123@host/r",
            "https://host/r?t=tok123",
            "https://host/r#tok123",
            "https://me:tok123/host",
            "https:/me:tok123@host/r",
            "me:tok123@host:r",
            "ssh://me:t/ok123@host/r",
            "https://me:tok 123@host/r",
            "ssh://me:tok123/r",
            "HTTPS://me:tok123@host/r",
            "ext::sh -c tok123@x",
        ] {
            let error = Remote::new(url, PathBuf::new()).unwrap_err().to_string();
            assert!(!error.contains("123"), "{error}");
        }
        for url in
            ["https://host/r", "ssh://git@host/r", "git@host:r.git", "http://h:80/r", "ssh://git@[::1]:22/r", "host:r"]
        {
            assert!(Remote::new(url, PathBuf::new()).is_ok(), "{url}");
        }
        assert!(Remote::new("--upload-pack=x:y", PathBuf::new()).is_err());
    }
}
