//! Repositories as sources: one, or all that patterns and lists name.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::glob;
use crate::{
    cli::config::GitInput,
    codec::hash::hash,
    model::{Name, SourceKind, Span},
    ops::backup::Job,
    source::{
        Reading, Result, Source, SourceError,
        git::{GitSource, Remote, is_url},
    },
};

/// How many digits of its path's hash the name of a repository gets if it is not the path itself.
const HASH: usize = 8;

/// One repository, at a path or behind a URL whose mirror is kept in `state`.
pub(super) fn one(name: &Name, place: &OsStr, input: &GitInput, allow_empty: bool, state: &Path) -> Box<dyn Source> {
    let timeout = input.timeout.map(Span::as_duration);
    let with = |source: GitSource| source.with_reflogs(input.reflogs).with_empty(allow_empty).with_timeout(timeout);
    let Some(place) = place.to_str().filter(|place| is_url(place)) else {
        return Box::new(with(GitSource::new(place)));
    };
    let digits = hash(place.as_bytes()).to_string();
    let mirror = state.join("git").join(format!("{name}-{}.git", digits.get(..16).unwrap_or_default()));
    match Remote::new(place, mirror) {
        Ok(remote) => Box::new(with(GitSource::remote(remote))),
        Err(error) => Box::new(Refused(Some(error))),
    }
}

/// The sources that `input`, called `name`, stands for. What can't be listed, and a pattern that fits nothing, is a
/// source called `name` that fails and says so.
pub(super) fn jobs(name: &Name, input: &GitInput, allow_empty: bool, state: &Path) -> Vec<Job> {
    if let ([place], false) = (input.repos.as_slice(), input.many) {
        return vec![Job {
            name: name.clone(),
            source: one(name, place.as_ref(), input, allow_empty, state),
            allow_empty,
            group: None,
            timeout: None,
        }];
    }
    let mut found: BTreeMap<Name, OsString> = BTreeMap::new();
    let mut failed = Vec::new();
    for wanted in &input.repos {
        let (places, trouble) = places(wanted);
        failed.extend(trouble);
        for (path, place) in places {
            let called = called(name, &path);
            match found.get(&called) {
                Some(other) if *other != place => {
                    let what = format!(
                        "would be called {called} like {}; give one of them as a source of its own",
                        Path::new(other).display()
                    );
                    failed.push(SourceError::new(what, place.to_string_lossy()));
                }
                _ => drop(found.insert(called, place)),
            }
        }
    }
    let job = |(called, place): (Name, OsString)| {
        let source = one(&called, &place, input, allow_empty, state);
        Job { name: called, source, allow_empty, group: Some(name.clone()), timeout: None }
    };
    let mut jobs: Vec<Job> = found.into_iter().map(job).collect();
    if let Some(error) = all_of(failed) {
        let group = Some(name.clone());
        let source = Box::new(Refused(Some(error)));
        jobs.push(Job { name: name.clone(), source, allow_empty, group, timeout: None });
    }
    jobs
}

/// One error for all of them.
fn all_of(errors: Vec<SourceError>) -> Option<SourceError> {
    let several = errors.len() > 1;
    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let first = errors.into_iter().next()?;
    Some(if several { SourceError::new(text.join("; "), "repos") } else { first })
}

/// What a path, pattern or URL stands for: each with the part of it that names it.
fn places(wanted: &str) -> (Vec<(Vec<u8>, OsString)>, Vec<SourceError>) {
    if is_url(wanted) {
        let path = wanted.split_once("://").map_or_else(
            || wanted.split_once(':').map_or(wanted, |(_, path)| path),
            |(_, rest)| rest.split_once('/').map_or(rest, |(_, path)| path),
        );
        return (vec![(path.trim_matches('/').into(), wanted.into())], Vec::new());
    }
    let found = glob::expand(Path::new(wanted));
    let mut trouble: Vec<SourceError> = found
        .trouble
        .into_iter()
        .map(|(path, e)| SourceError::at("can't look for repositories in", &path, e))
        .collect();
    if found.paths.is_empty() && trouble.is_empty() {
        trouble.push(SourceError::new("fits no directory", wanted));
    }
    let named = |path: PathBuf| {
        let below = path.strip_prefix(&found.base).unwrap_or(&path).as_os_str().as_bytes().to_vec();
        (below, path.into_os_string())
    };
    (found.paths.into_iter().map(named).collect(), trouble)
}

/// The name of the repository at `path` in the group `name`: `name.path`, with dots between its parts. Where that is no
/// name, or could be another path's too, a hash of the path comes behind what can be kept of it. It depends on the path
/// alone, so that another repository coming or going renames nothing.
pub(super) fn called(name: &Name, bytes: &[u8]) -> Name {
    let path = &*String::from_utf8_lossy(bytes);
    let plain = path.strip_suffix(".git").unwrap_or(path);
    let text = format!("{name}.{}", plain.replace('/', "."));
    if let Ok(called) = text.parse()
        && !plain.is_empty()
        && !plain.contains('.')
        && !looks_made_up(plain)
    {
        return called;
    }
    let digits = hash(bytes).to_string();
    let digits = digits.get(..HASH).unwrap_or_default();
    let kept: String = text
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .take(Name::MAX - HASH - 1)
        .collect();
    // It begins as `name` does, and holds nothing that a name may not.
    format!("{kept}-{digits}").parse().unwrap_or_else(|_| name.clone())
}

/// Whether it ends as made-up names do.
fn looks_made_up(text: &str) -> bool {
    text.rsplit_once('-').is_some_and(|(_, end)| end.len() == HASH && end.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A source that can't be read, for a reason that was found before.
struct Refused(Option<SourceError>);

impl Source for Refused {
    fn kind(&self) -> SourceKind {
        SourceKind::Git
    }

    fn open(&mut self) -> Result<Box<dyn Reading>> {
        Err(self.0.take().unwrap_or_else(|| SourceError::new("can't be read", "git")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_follow_from_the_path_alone() {
        let group = "code".parse().unwrap();
        let plain = [("app.git", "code.app"), ("team/app.git", "code.team.app"), ("a_b-c", "code.a_b-c")];
        for (path, name) in plain {
            assert_eq!(called(&group, path.as_bytes()).as_str(), name);
        }
        let odd = ["Team/App.git", "team/App.git", "a.b/c.git", "a/b.c.git", "a b.git", "é.git", &"x/".repeat(60), ""];
        let names: Vec<Name> = odd.iter().map(|path| called(&group, path.as_bytes())).collect();
        for (at, name) in names.iter().enumerate() {
            assert!(name.as_str().starts_with("code."), "{name}");
            assert!(names.iter().skip(at + 1).all(|other| other != name), "{name} twice");
            // A path that looks like a made-up name does not take it.
            let plain = name.as_str().trim_start_matches("code.").replace('.', "/");
            assert_ne!(called(&group, plain.as_bytes()), *name);
        }
    }

    #[test]
    fn urls_are_named_by_their_paths() {
        for (url, path) in [
            ("https://h:1/team/app.git", "team/app.git"),
            ("ssh://git@h/app", "app"),
            ("git@h:team/app.git", "team/app.git"),
        ] {
            assert_eq!(places(url).0, [(path.as_bytes().to_vec(), OsString::from(url))]);
        }
    }
}
