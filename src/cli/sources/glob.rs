//! Patterns of paths: `*` and `?` within a part, `**` for any directories. They fit names that begin with a dot and
//! names that are not UTF-8: what a backup leaves out is not seen until it is needed. Only `.git` is fitted by none of
//! them, which is what a worktree keeps its repository in. `**` follows a link to a directory only where it leads to what
//! would not be walked through anyway, and each once, so that nothing is left out and no link leads in a circle.

use std::{
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use crate::source::pattern::fits;

/// What a pattern stands for.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The part of the pattern before the first wildcard, without its last component if there is none.
    pub(super) base: PathBuf,
    /// The directories that fit, in order.
    pub(super) paths: Vec<PathBuf>,
    /// What could not be looked at.
    pub(super) trouble: Vec<(PathBuf, io::Error)>,
    /// The directories outside of `base` that `**` was led to by links, by their real paths.
    followed: Vec<PathBuf>,
}

impl Found {
    /// Whether a link leads to a directory that nothing else that is walked through holds; it counts as walked from then on.
    fn leads_on(&mut self, link: &Path) -> bool {
        let (Ok(target), Ok(base)) = (fs::canonicalize(link), fs::canonicalize(&self.base)) else { return false };
        let walked = target.starts_with(&base) || base.starts_with(&target);
        if !target.is_dir() || walked || self.followed.iter().any(|seen| target.starts_with(seen)) {
            return false;
        }
        self.followed.push(target);
        true
    }
}

/// The directories that `pattern` fits.
pub(super) fn expand(pattern: &Path) -> Found {
    let parts: Vec<String> = pattern.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
    let wild = |part: &String| part.contains(['*', '?']);
    let plain = parts.iter().position(wild).unwrap_or(parts.len().saturating_sub(1));
    let base: PathBuf = pattern.components().take(plain).collect::<Vec<Component<'_>>>().iter().collect();
    let mut found = Found { base: base.clone(), ..Found::default() };
    walk(&base, parts.get(plain..).unwrap_or_default(), &mut found);
    found.paths.sort_unstable();
    found.paths.dedup();
    found
}

fn is_link(entry: &fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_symlink())
}

fn walk(dir: &Path, parts: &[String], found: &mut Found) {
    let Some((part, rest)) = parts.split_first() else {
        if dir.is_dir() {
            found.paths.push(dir.to_owned());
        }
        return;
    };
    if !part.contains(['*', '?']) {
        return walk(&dir.join(part), rest, found);
    }
    if part == "**" {
        walk(dir, rest, found);
    }
    let mut entries = match fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return,
        Err(e) => return found.trouble.push((dir.to_owned(), e)),
    };
    // Which of two links to one place is followed is no matter of chance.
    entries.sort_unstable_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        if name.as_bytes() == b".git" {
            continue;
        }
        let path = entry.path();
        if part == "**" {
            let leads = entry.file_type().is_ok_and(|kind| kind.is_dir()) || (is_link(&entry) && found.leads_on(&path));
            // What is a repository holds none that are meant.
            if leads && !path.join("HEAD").exists() {
                walk(&path, parts, found);
            }
        } else if fits(part, &name.to_string_lossy()) {
            match fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => walk(&path, rest, found),
                // A file is none of those that are meant. A link whose target is gone may be one.
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound && !(rest.is_empty() && is_link(&entry)) => {}
                Err(e) => found.trouble.push((path, e)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_shells() {
        let dir = tempfile::tempdir().unwrap();
        for repo in [
            "a.git",
            "team/b.git",
            "team/deep/c.git",
            "team/d",
            ".hidden/e.git",
            ".github.git",
            "work/.git",
            "a.git/modules/f.git",
        ] {
            fs::create_dir_all(dir.path().join(repo)).unwrap();
        }
        fs::write(dir.path().join("a.git/HEAD"), "").unwrap();
        fs::write(dir.path().join("file.git"), "").unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("team/circle")).unwrap();
        let found = |pattern: &str| {
            let found = expand(&dir.path().join(pattern));
            assert!(found.trouble.is_empty(), "{:?}", found.trouble);
            let name = |path: &PathBuf| path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
            found.paths.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(found("**/*.git"), [".github.git", ".hidden/e.git", "a.git", "team/b.git", "team/deep/c.git"]);
        assert_eq!(found("*.git"), [".github.git", "a.git"]);
        assert_eq!(found("team/?.git"), ["team/b.git"]);
        assert_eq!(found("t*m/*/c.git"), ["team/deep/c.git"]);
        assert_eq!(found("team/d"), ["team/d"]);
        assert_eq!(found("nothing/**/*.git"), [""; 0]);
        let latin = dir.path().join(std::ffi::OsStr::from_bytes(b"latin/caf\xe9.git"));
        fs::create_dir_all(&latin).unwrap();
        assert_eq!(expand(&dir.path().join("latin/*.git")).paths, [latin]);
        // A link that leads elsewhere is followed, once, and what it leads to does not lead back.
        let other = tempfile::tempdir().unwrap();
        fs::create_dir_all(other.path().join("nas/g.git")).unwrap();
        std::os::unix::fs::symlink(other.path(), dir.path().join("team/z-other")).unwrap();
        std::os::unix::fs::symlink(other.path().join("nas"), dir.path().join("team/z-same")).unwrap();
        std::os::unix::fs::symlink(dir.path(), other.path().join("back")).unwrap();
        assert_eq!(found("team/**/*.git"), ["team/b.git", "team/deep/c.git", "team/z-other/nas/g.git"]);
        fs::remove_file(dir.path().join("team/z-other")).unwrap();
        assert_eq!(found("team/**/*.git"), ["team/b.git", "team/deep/c.git", "team/z-same/g.git"]);
        fs::remove_file(dir.path().join("team/z-same")).unwrap();
        // What fits and is not there any more is left out by no silence.
        std::os::unix::fs::symlink(dir.path().join("unmounted"), dir.path().join("team/gone.git")).unwrap();
        let lost = expand(&dir.path().join("team/**/*.git"));
        assert_eq!((lost.paths.len(), lost.trouble.len()), (2, 1), "{lost:?}");
        assert_eq!(lost.trouble[0].0, dir.path().join("team/gone.git"));
        assert!(expand(&dir.path().join("*/*/*.git")).trouble.is_empty());
        assert_eq!(expand(&dir.path().join("team/**/*.git")).base, dir.path().join("team"));
        assert_eq!(expand(&dir.path().join("team/d")).base, dir.path().join("team"));
    }
}
