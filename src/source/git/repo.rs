//! Finding a repository and refusing those that do not hold all of their own history.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

use super::{ObjectFormat, Result, SourceError, run};
use crate::source::redact::{MASK, is_secret_name, redact};

/// Where a repository keeps its things.
#[derive(Debug, Clone)]
pub(super) struct Repo {
    /// What was given, for messages.
    pub(super) shown: String,
    /// The worktree's own directory: `HEAD` is here.
    pub(super) git_dir: PathBuf,
    /// The directory that all worktrees share: refs and objects are here.
    pub(super) common: PathBuf,
    /// Where its files are checked out, unless it is bare.
    pub(super) worktree: Option<PathBuf>,
    /// Where git finds its objects, if not where they are.
    view: Option<PathBuf>,
}

impl Repo {
    /// The repository at `path`: bare, or a worktree with a `.git` directory or file.
    pub(super) fn locate(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let path = path.canonicalize().map_err(|e| SourceError::at("can't find the repository", path, e))?;
        let dot_git = path.join(".git");
        let git_dir = match fs::metadata(&dot_git) {
            Ok(meta) if meta.is_dir() => dot_git,
            Ok(_) => linked(&dot_git)?,
            Err(_) => path.clone(),
        };
        let worktree = (git_dir != path).then_some(path);
        let common = match read_small(&git_dir.join("commondir"))? {
            Some(text) => git_dir.join(as_path(&text)),
            None => git_dir.clone(),
        };
        if !git_dir.join("HEAD").is_symlink() && !git_dir.join("HEAD").is_file() || !common.join("objects").is_dir() {
            let what = "is not a git repository; give its top directory, where `.git` is, or a bare repository";
            return Err(SourceError::new(what, shown));
        }
        Ok(Self { shown, git_dir, common, worktree, view: None })
    }

    /// The directory of its objects.
    pub(super) fn objects(&self) -> PathBuf {
        self.view.clone().unwrap_or_else(|| self.common.join("objects"))
    }

    /// The same repository, whose objects are found in `view`.
    pub(super) fn seen_through(&self, view: PathBuf) -> Self {
        Self { view: Some(view), ..self.clone() }
    }

    /// The directories of its other worktrees, and what is said of theirs: the main one's, and those of linked ones.
    pub(super) fn other_worktrees(&self) -> Result<Vec<(String, PathBuf)>> {
        let mut all = vec![("main".to_owned(), self.common.clone())];
        let dir = self.common.join("worktrees");
        let failed = |e| SourceError::at("can't list worktrees", &dir, e);
        match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
            Ok(entries) => {
                for entry in entries {
                    let entry = entry.map_err(failed)?;
                    all.push((format!("worktrees/{}", entry.file_name().to_string_lossy()), entry.path()));
                }
            }
        }
        let own = fs::canonicalize(&self.git_dir).ok();
        all.retain(|(_, git_dir)| fs::canonicalize(git_dir).ok() != own);
        Ok(all)
    }

    pub(super) fn error(&self, what: impl Into<String>) -> SourceError {
        SourceError::new(what, self.shown.clone())
    }

    /// Its settings, as git spells them. `scratch` is a repository of our own.
    pub(super) fn settings(&self, scratch: &Path) -> Result<Vec<(String, String)>> {
        let path = self.common.join("config");
        let Some(text) = read_small(&path)? else { return Ok(Vec::new()) };
        self.parse(scratch, &path, &text)
    }

    /// The settings in `text`, which came from `path`. Git only parses it; nothing in it takes effect, and what it
    /// includes is not read.
    pub(super) fn parse(&self, scratch: &Path, path: &Path, text: &[u8]) -> Result<Vec<(String, String)>> {
        let copy = scratch.join("settings-to-parse");
        fs::write(&copy, text).map_err(|e| SourceError::at("can't write a temporary file", &copy, e))?;
        let mut command = run::git(scratch, None, &["config", "--no-includes", "-z", "--list", "--file"]);
        let mut running = run::start(command.arg(&copy), "git config")?;
        let mut out = Vec::new();
        running.stdout()?.read_to_end(&mut out).map_err(|e| SourceError::at("can't read the settings", path, e))?;
        running.finish().map_err(|e| self.error(format!("its settings can't be read: {e}")))?;
        let text = String::from_utf8_lossy(&out);
        let pair = |entry: &str| match entry.split_once('\n') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (entry.to_owned(), "true".to_owned()),
        };
        Ok(text.split_terminator('\0').map(pair).collect())
    }

    /// Refuses what can't be backed up whole, and tells the object format.
    pub(super) fn check(&self, settings: &[(String, String)]) -> Result<ObjectFormat> {
        let setting = |key: &str| settings.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        if setting("extensions.refstorage").is_some_and(|v| v != "files") || self.common.join("reftable").is_dir() {
            return Err(self.error(
                "keeps its refs in a reftable, which is not read yet; run `git refs migrate --ref-format=files` in it",
            ));
        }
        if read_small(&self.common.join("shallow"))?.is_some_and(|text| !text.trim_ascii().is_empty()) {
            return Err(self.error("is a shallow clone, so its history is not here; run `git fetch --unshallow` in it"));
        }
        let promised = |(k, v): &(String, String)| {
            k == "extensions.partialclone"
                || k.starts_with("remote.") && k.ends_with(".promisor") && !matches!(v.as_str(), "false" | "no" | "0")
        };
        if settings.iter().any(promised) {
            return Err(self.partial());
        }
        let alternates = read_small(&self.objects().join("info/alternates"))?.unwrap_or_default();
        let mut lent = alternates.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty() && !l.starts_with(b"#"));
        if let Some(lender) = lent.clone().find(|line| !self.objects().join(as_path(line)).is_dir()) {
            return Err(self.error(format!(
                "borrows objects from {}, which does not exist; bring it back and run `git repack -a -d` in it, or clone it again with `git clone --mirror URL DIR`",
                as_path(lender).display()
            )));
        }
        if lent.next().is_some() {
            return Err(self.error(
                "borrows objects from another repository; run `git repack -a -d && rm \
                 \"$(git rev-parse --git-path objects/info/alternates)\"` in it",
            ));
        }
        match setting("extensions.objectformat") {
            None | Some("sha1") => Ok(ObjectFormat::Sha1),
            Some("sha256") => Ok(ObjectFormat::Sha256),
            Some(other) => Err(self.error(format!("names its objects by {other:?}, which is not known here"))),
        }
    }

    pub(super) fn partial(&self) -> SourceError {
        self.error("is a partial clone, so objects are missing here; clone it again without `--filter`: `git clone --mirror URL DIR`")
    }
}

/// The settings without what may be secret: only what is known to be harmless is kept, and URLs lose their users.
pub(super) fn harmless(settings: Vec<(String, String)>) -> Vec<(String, String)> {
    const SECTIONS: &[&str] = &[
        "core",
        "remote",
        "branch",
        "submodule",
        "extensions",
        "receive",
        "gc",
        "transfer",
        "notes",
        "push",
        "pull",
        "fetch",
        "merge",
        "i18n",
        "gitweb",
    ];
    let keep = |(key, value): (String, String)| {
        let section = key.split('.').next().unwrap_or_default();
        let last = key.rsplit('.').next().unwrap_or_default();
        let runs = ["command", "askpass", "proxy"].iter().any(|s| last.ends_with(s)) || value.starts_with("ext::");
        let value =
            if runs || !SECTIONS.contains(&section) || is_secret_name(&key) { MASK.to_owned() } else { redact(&value) };
        (redact(&key), value)
    };
    settings.into_iter().map(keep).collect()
}

/// Where a `.git` file leads.
fn linked(dot_git: &Path) -> Result<PathBuf> {
    let text = read_small(dot_git)?.unwrap_or_default();
    let Some(target) = text.strip_prefix(b"gitdir:") else {
        return Err(SourceError::new("is not the .git file of a worktree", dot_git.display().to_string()));
    };
    Ok(dot_git.parent().unwrap_or(dot_git).join(as_path(target)))
}

fn as_path(text: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(text.trim_ascii()))
}

/// The largest of git's own small files that is read: a megabyte.
const SMALL: u64 = 1 << 20;

/// The content of one of git's own small files; nothing if it is not there.
pub(super) fn read_small(path: &Path) -> Result<Option<Vec<u8>>> {
    read_file(path, SMALL)
}

/// The content of a file that is not a link and not larger than `limit`; nothing if it is not there.
///
/// Links are not followed, since the repository may belong to somebody who may read less than we may.
pub(super) fn read_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let failed = |e: io::Error| SourceError::at("can't read a file of the repository", path, e);
    let file = match open(path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(SourceError::new(format!("is larger than {limit} bytes"), path.display().to_string()));
    }
    Ok(Some(bytes))
}

/// Opens a regular file, never through a link at its end.
pub(super) fn open(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::NOFOLLOW)
}

/// Opens a regular file, also through a link.
pub(super) fn open_through(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::empty())
}

fn open_with(path: &Path, flags: OFlags) -> io::Result<File> {
    // Nothing that could make it wait.
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_keep_no_secrets() {
        let settings = [
            ("remote.origin.url", "https://tok123@host/r.git", "https://***@host/r.git"),
            ("core.bare", "true", "true"),
            ("core.sshcommand", "sshpass -p tok123 ssh", "***"),
            ("http.https://host/.extraheader", "AUTHORIZATION: basic tok123", "***"),
            ("alias.x", "!curl tok123", "***"),
            ("branch.main.merge", "refs/heads/main", "refs/heads/main"),
        ];
        let kept = harmless(settings.iter().map(|s| (s.0.to_owned(), s.1.to_owned())).collect());
        for (kept, want) in kept.iter().zip(settings) {
            assert_eq!((kept.0.as_str(), kept.1.as_str()), (want.0, want.2));
        }
        let key = harmless(vec![("url.https://tok123@host/.insteadof".into(), "x".into())]);
        assert_eq!(key[0].0, "url.https://***@host/.insteadof");
    }
}
