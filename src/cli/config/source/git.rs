//! `kind = "git"`: one repository, or a whole host's.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use crate::{model::Span, source::git::is_url};

/// What a source of kind `git` reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitInput {
    /// Paths, patterns and URLs; paths are absolute or start from the configuration's directory.
    pub repos: Vec<String>,
    /// Whether these become sources of their own, whatever their number.
    pub many: bool,
    /// Whether the logs of all refs are kept.
    pub reflogs: bool,
    /// After this time it fails.
    pub timeout: Option<Span>,
}

/// One repository, or pattern, or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "repositories are a path or a pattern, or a list of them")]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// What the keys of a source of kind `git` mean; relative paths start from `dir`.
pub(super) fn parse(
    repo: Option<Spanned<String>>,
    repos: Option<Spanned<OneOrMore>>,
    (reflogs, timeout): (bool, Option<Span>),
    dir: &Path,
) -> Result<Option<GitInput>, Fault> {
    let place = |text: String| if is_url(&text) { text } else { dir.join(text).to_string_lossy().into_owned() };
    match (repo, repos) {
        (Some(_), Some(repos)) => Err(Fault::new(&repos, "a source has either \"repo\" or \"repos\"")),
        (Some(repo), None) => {
            Ok(Some(GitInput { repos: vec![place(repo.into_inner())], many: false, reflogs, timeout }))
        }
        (None, Some(repos)) => {
            let span = repos.span();
            let list = match repos.into_inner() {
                OneOrMore::One(one) => vec![one],
                OneOrMore::More(more) => more,
            };
            if list.is_empty() || list.iter().any(String::is_empty) {
                return Err(Fault(span, "\"repos\" names no repository".to_owned()));
            }
            Ok(Some(GitInput { repos: list.into_iter().map(place).collect(), many: true, reflogs, timeout }))
        }
        (None, None) => Ok(None),
    }
}
