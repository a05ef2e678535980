//! A repository with one ref, where only one was asked for: by its name, or by whatever git takes for an object.

use std::{collections::BTreeMap, fs, io::Read};

use serde::Deserialize;

use super::{GitDetails, GitRestorer, Head, Oid, RefName, Result, SourceError, run};

/// The ref that a restored repository has, where only one was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only {
    /// Its full name.
    pub name: RefName,
    /// What it names.
    pub object: Oid,
    /// What that is: `commit`, `tag`, `tree` or `blob`.
    pub kind: String,
    /// The commit that it stands for, if it does.
    pub commit: Option<Oid>,
}

/// The ref `name` among those of `details`, as git finds it: by its full name, among tags, branches, remotes' branches, or
/// as a remote's `HEAD`.
fn find(details: &GitDetails, name: &str) -> Option<RefName> {
    let candidates =
        ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"].map(|prefix| format!("{prefix}{name}"));
    let head = format!("refs/remotes/{name}/HEAD");
    let found = candidates.iter().chain([&head]).filter_map(|full| RefName::parse(full.as_bytes()));
    let mut found = found.map(|full| details.symrefs.get(&full).cloned().unwrap_or(full));
    match (name, &details.head) {
        ("HEAD" | "@", Head::Symbolic(name)) => Some(name.clone()).filter(|name| details.refs.contains_key(name)),
        _ => found.find(|full| details.refs.contains_key(full)),
    }
}

/// Whether `name` may stand for an object of the repository that `details` tell of: what only its objects tell is found out
/// when they are there.
///
/// # Errors
/// If the details are no repository's, or it can stand for none; the error names some refs.
pub fn may_name(details: &serde_json::Value, name: &str) -> Result<()> {
    let failed = |e| SourceError::new(format!("the snapshot does not record a git repository: {e}"), name);
    let details: GitDetails = Deserialize::deserialize(details).map_err(failed)?;
    // What stands before `~1`, `^{tree}`, `@{1}` and `:path` is a name, or the beginning of an id; or there is nothing.
    let base = name.split(['~', '^', ':']).next().unwrap_or_default().split("@{").next().unwrap_or_default();
    let hex = (4..=64).contains(&base.len()) && base.bytes().all(|b| b.is_ascii_hexdigit());
    let described =
        base.rsplit_once("-g").is_some_and(|(_, id)| id.len() >= 4 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    let head = base.is_empty() && name != base || matches!(base, "HEAD" | "@");
    if !name.starts_with('-') && (head || hex || described || find(&details, base).is_some()) {
        return Ok(());
    }
    let some: Vec<_> = details.refs.keys().take(10).map(ToString::to_string).collect();
    let what = format!("the snapshot has no such ref; it has {}: {}", details.refs.len(), some.join(", "));
    Err(SourceError::new(what, name))
}

impl GitRestorer {
    /// The same, which leaves of all refs only what `name` stands for.
    #[must_use]
    pub fn with_only(mut self, name: Option<String>) -> Self {
        self.wanted = name;
        self
    }

    /// What git says to `arguments`, without its line's end; nothing if it refuses.
    fn asks(&self, arguments: &[&str]) -> Result<std::result::Result<String, String>> {
        let mut running = run::start(&mut run::git(&self.partial, None, arguments), "git rev-parse")?;
        let mut out = String::new();
        let failed = |e| SourceError::at("can't read what git says", &self.partial, e);
        running.stdout()?.take(4096).read_to_string(&mut out).map_err(failed)?;
        let ended = running.reap()?;
        Ok(if ended.success() { Ok(out.trim_end().to_owned()) } else { Err(running.heard()) })
    }

    fn object(&self, name: &str) -> Result<std::result::Result<Oid, String>> {
        let told = self.asks(&["rev-parse", "--verify", name])?;
        Ok(told.and_then(|oid| Oid::parse(&oid).ok_or_else(|| format!("it said {oid:?}"))))
    }

    /// If only one ref is wanted, leaves that: git looks for it among all, which are written already.
    pub(super) fn narrow(&mut self) -> Result<Option<Only>> {
        let Some(wanted) = self.wanted.take() else { return Ok(None) };
        let found = find(&self.details, &wanted);
        let asked =
            found.as_ref().map_or_else(|| wanted.clone(), |name| String::from_utf8_lossy(name.as_bytes()).into_owned());
        let listed = found.as_ref().and_then(|name| self.details.refs.get(name)).cloned();
        let object = listed.map_or_else(|| self.object(&asked), |oid| Ok(Ok(oid)))?;
        let object = object.map_err(|said| {
            let said = said.lines().next().unwrap_or_default().to_owned();
            SourceError::new(
                format!("names nothing in the snapshot ({said}); all of it is in {}", self.partial.display()),
                &wanted,
            )
        })?;
        let kind = self.asks(&["cat-file", "-t", object.as_str()])?;
        let kind = kind.map_err(|said| SourceError::new(format!("is not whole in the snapshot ({said})"), &wanted))?;
        let commit = self.object(&format!("{}^{{commit}}", object.as_str()))?.ok();
        let place: &[u8] = if kind == "commit" { b"refs/heads/restored" } else { b"refs/tags/restored" };
        let name = found.or_else(|| RefName::parse(place)).unwrap_or_else(RefName::main);
        let branch = name.as_bytes().starts_with(b"refs/heads/");
        self.details.head = match &commit {
            Some(commit) if !branch => Head::Detached(commit.clone()),
            _ if branch => Head::Symbolic(name.clone()),
            _ => Head::Symbolic(RefName::main()),
        };
        self.details.refs = BTreeMap::from([(name.clone(), object.clone())]);
        if name.as_bytes() != b"refs/stash" {
            self.details.stash.clear();
        }
        self.details.symrefs.clear();
        self.details.worktrees.clear();
        self.details.reflogs.clear();
        for dir in ["refs", "logs"] {
            let path = self.partial.join(dir);
            let failed = |e| SourceError::at("can't leave one ref of all in", &path, e);
            if path.exists() {
                fs::remove_dir_all(&path).map_err(failed)?;
            }
        }
        let heads = self.partial.join("refs/heads");
        fs::create_dir_all(&heads).map_err(|e| SourceError::at("can't make a directory", &heads, e))?;
        self.write_refs()?;
        self.write_texts()?;
        Ok(Some(Only { name, object, kind, commit }))
    }
}
