//! The forges that are spoken to: where their APIs are, how they want to be asked, and what kinds of things they have.

mod gitea;
mod github;
mod gitlab;
mod kind;
mod queries;

use serde_json::Value;

pub(super) use self::{
    kind::{Kind, Sight, Since},
    queries::Query,
};
use super::{client::Manner, link};
use crate::{codec::hash::hash, model::SourceKind};

/// Which API is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Gitea and Forgejo, v1.
    Gitea,
    /// GitHub, REST 2022-11-28.
    Github,
    /// GitLab, v4.
    Gitlab,
}

/// What a listing says of a repository that changes without anybody changing how it is set up.
const BUSY: &[&str] = &[
    "stars_count",
    "forks_count",
    "watchers_count",
    "open_issues_count",
    "open_pr_counter",
    "size",
    "stargazers_count",
    "watchers",
    "forks",
    "open_issues",
    "star_count",
    "last_activity_at",
    "statistics",
    "pushed_at",
    "updated_at",
    "permissions",
];

/// A repository of a forge.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Its number, which a new name does not change.
    pub id: i64,
    /// Its name with its owner's, such as `acme/app`; each part fit for a path.
    pub name: String,
    /// What its API said of it, on one line.
    pub(super) json: Vec<u8>,
    /// Where its wiki is to be looked for: whether it may have one.
    pub(super) may_have_wiki: bool,
    /// What is switched off in it.
    off: Vec<&'static str>,
}

impl Provider {
    /// The kind of its sources.
    #[must_use]
    pub const fn kind(self) -> SourceKind {
        match self {
            Self::Gitea => SourceKind::Gitea,
            Self::Github => SourceKind::Github,
            Self::Gitlab => SourceKind::Gitlab,
        }
    }

    /// The one whose sources are of that kind.
    #[must_use]
    pub const fn of(kind: SourceKind) -> Option<Self> {
        match kind {
            SourceKind::Gitea => Some(Self::Gitea),
            SourceKind::Github => Some(Self::Github),
            SourceKind::Gitlab => Some(Self::Gitlab),
            _ => None,
        }
    }

    /// Where it is if nothing else is said.
    #[must_use]
    pub const fn home(self) -> Option<&'static str> {
        match self {
            Self::Gitea => None,
            Self::Github => Some("https://github.com"),
            Self::Gitlab => Some("https://gitlab.com"),
        }
    }

    /// The root of the API of the forge at `url`.
    #[must_use]
    pub fn api(self, url: &str) -> String {
        match self {
            Self::Gitea => format!("{url}/api/v1"),
            Self::Github if url.eq_ignore_ascii_case("https://github.com") => "https://api.github.com".to_owned(),
            Self::Github => format!("{url}/api/v3"),
            Self::Gitlab => format!("{url}/api/v4"),
        }
    }

    /// Where queries of GraphQL are sent to, which tell what changed in many repositories at once.
    pub(super) fn graph(self, url: &str) -> Option<String> {
        match self {
            Self::Github if url.eq_ignore_ascii_case("https://github.com") => {
                Some("https://api.github.com/graphql".to_owned())
            }
            Self::Github => Some(format!("{url}/api/graphql")),
            Self::Gitea | Self::Gitlab => None,
        }
    }

    pub(super) const fn manner(self) -> Manner {
        match self {
            Self::Gitea => Manner { token: ("authorization", "token "), accept: "application/json", more: None },
            Self::Github => Manner {
                token: ("authorization", "Bearer "),
                accept: "application/vnd.github+json",
                more: Some(("x-github-api-version", "2022-11-28")),
            },
            Self::Gitlab => Manner { token: ("private-token", ""), accept: "application/json", more: None },
        }
    }

    /// The user that git logs in as beside the token; which does not matter to most.
    #[must_use]
    pub const fn git_user(self) -> &'static str {
        match self {
            Self::Gitea => "strongroom",
            Self::Github => "x-access-token",
            Self::Gitlab => "oauth2",
        }
    }

    /// What each repository has. A kind stands behind the one that it belongs to.
    pub(super) const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Gitea => gitea::KINDS,
            Self::Github => github::KINDS,
            Self::Gitlab => gitlab::KINDS,
        }
    }

    /// What an owner has. In paths, `{repo}` is the owner.
    pub(super) const fn owner_kinds(self) -> &'static [Kind] {
        match self {
            Self::Gitea => gitea::OWNER,
            Self::Github => github::OWNER,
            Self::Gitlab => gitlab::OWNER,
        }
    }

    /// The names that `exclude` may have.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let all = self.kinds().iter().chain(self.owner_kinds());
        let names = all.flat_map(|kind| [Some(kind.name), kind.nested.map(|n| n.0)]).flatten();
        names.chain([super::FILES]).collect()
    }

    /// How many entries a page may have.
    pub(super) const fn page(self) -> &'static str {
        match self {
            Self::Gitea => "limit=50",
            Self::Github | Self::Gitlab => "per_page=100",
        }
    }

    /// Where an owner's repositories are listed: the first of these that is there.
    pub(super) fn lists(self, owner: &str) -> Vec<String> {
        let owner = link::segment(owner);
        match self {
            Self::Gitea => vec![format!("orgs/{owner}/repos"), format!("users/{owner}/repos")],
            Self::Github => vec![
                format!("orgs/{owner}/repos?type=all&sort=full_name"),
                format!("users/{owner}/repos?type=owner&sort=full_name"),
            ],
            Self::Gitlab => vec![
                format!("groups/{owner}/projects?include_subgroups=true&with_shared=false&order_by=id&sort=asc"),
                format!("users/{owner}/projects?order_by=id&sort=asc"),
            ],
        }
    }

    /// Kinds of which an owner has a list of what changed in all its repositories: where, and what of an entry says whose it is.
    pub(super) const fn lists_of_owner(self) -> &'static [(&'static str, &'static str, &'static str)] {
        match self {
            Self::Gitea => gitea::OF_OWNER,
            Self::Gitlab => gitlab::OF_GROUP,
            Self::Github => &[],
        }
    }

    /// Where all that the token's own user owns is listed, private repositories too, and where it is told who that is.
    pub(super) const fn own(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Github => Some(("user", "user/repos?affiliation=owner&sort=full_name")),
            Self::Gitea | Self::Gitlab => None,
        }
    }

    /// How a repository stands in paths of the API.
    pub(super) fn in_path(self, name: &str) -> String {
        match self {
            Self::Gitlab => link::segment(name),
            Self::Gitea | Self::Github => name.split('/').map(link::segment).collect::<Vec<_>>().join("/"),
        }
    }

    /// What belongs to no repository, to see whether the forge answers.
    pub(super) const fn pulse(self) -> &'static str {
        match self {
            Self::Gitea | Self::Gitlab => "version",
            Self::Github => "rate_limit",
        }
    }

    /// Where one repository is told of.
    pub(super) fn one(self, name: &str) -> String {
        let root = if self == Self::Gitlab { "projects" } else { "repos" };
        format!("{root}/{}", self.in_path(name))
    }

    /// Which field of a file's entry is where it is had.
    pub(super) const fn file_url(self) -> &'static str {
        match self {
            Self::Gitea => "browser_download_url",
            Self::Github | Self::Gitlab => "url",
        }
    }

    /// A repository as its API tells of it. `None` if that can't be one.
    pub(super) fn repository(self, line: &[u8]) -> Option<Repository> {
        let value: Value = serde_json::from_slice(line).ok()?;
        let id = value.get("id")?.as_i64().filter(|id| *id > 0)?;
        let name = if self == Self::Gitlab { "path_with_namespace" } else { "full_name" };
        let name = value.get(name)?.as_str().filter(|name| is_repository(name))?.to_owned();
        let is_off = |switch: &str| match value.get(switch) {
            Some(Value::Bool(on)) => !on,
            Some(Value::String(level)) => level == "disabled",
            _ => false,
        };
        let wiki = if self == Self::Gitlab { "wiki_access_level" } else { "has_wiki" };
        let off = self.kinds().iter().filter_map(|kind| kind.switch).filter(|switch| is_off(switch)).collect();
        Some(Repository { id, name, json: line.to_vec(), may_have_wiki: !is_off(wiki), off })
    }
}

impl Repository {
    /// What changes when the listing tells that something of how it is set up did.
    pub(super) fn setup(&self) -> String {
        let mut value: Value = serde_json::from_slice(&self.json).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|name, _| !BUSY.contains(&name.as_str()));
        }
        hash(value.to_string().as_bytes()).to_string()
    }

    /// Whether the repository has a kind switched off.
    pub(super) fn lacks(&self, kind: &Kind) -> bool {
        kind.switch.is_some_and(|switch| self.off.contains(&switch))
    }
}

/// Whether `name` is that of a repository with its owner's, and leaves no directory that it is put into.
pub(super) fn is_repository(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 200
            && part != "."
            && part != ".."
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    name.len() <= 1000 && name.split('/').count() >= 2 && name.split('/').all(part)
}

/// Whether `name` fits `pattern`, in which `*` stands for anything but a slash.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(name),
        Some((before, rest)) => {
            let Some(begin) = name.get(..before.len()) else { return false };
            let behind = name.get(before.len()..).unwrap_or_default();
            begin.eq_ignore_ascii_case(before)
                && behind
                    .char_indices()
                    .map(|(at, c)| (at, c != '/'))
                    .chain([(behind.len(), true)])
                    .scan(true, |on, (at, plain)| {
                        let here = *on;
                        *on = *on && plain;
                        here.then_some(at)
                    })
                    .any(|at| fits(rest, behind.get(at..).unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_repositories_leave_no_directory() {
        for good in ["acme/app", "a/b/c", "acme/.github", "A-1/b_2.x"] {
            assert!(is_repository(good), "{good}");
        }
        for bad in ["app", "", "/app", "acme/", "acme/..", "../x", "a/./b", "a\\b/c", "a/b c", "a/b\n", "a/é"] {
            assert!(!is_repository(bad), "{bad}");
        }
    }

    #[test]
    fn patterns_stand_for_a_part_of_a_name() {
        for (pattern, name, fit) in [
            ("acme/app", "acme/app", true),
            ("Acme/App", "acme/app", true),
            ("acme/lib-*", "acme/lib-a", true),
            ("acme/lib-*", "acme/lib", false),
            ("acme/*", "acme/x/y", false),
            ("acme/*/y", "acme/x/y", true),
            ("acme/*a*", "acme/bab", true),
            ("acme/*", "other/x", false),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} {name}");
        }
    }

    #[test]
    fn a_kind_stands_behind_the_one_that_it_belongs_to() {
        for provider in [Provider::Gitea, Provider::Github, Provider::Gitlab] {
            for (at, kind) in provider.kinds().iter().enumerate() {
                let before = provider.kinds().iter().take(at);
                assert!(kind.of.is_none_or(|of| before.into_iter().any(|other| other.name == of)), "{}", kind.name);
            }
        }
    }
}
