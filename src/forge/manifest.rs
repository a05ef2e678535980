//! What was asked of a forge and what came of it: the manifest that stands among a snapshot's streams. It is what says that
//! something is missing, so nothing that could not be read passes for empty.

use serde::{Deserialize, Serialize};

use crate::model::{Finding, Severity, Time};

/// The code of the finding that something of a forge was not read.
pub const UNREAD: &str = "forge.unread";
/// The code of the finding that rules which protected something are gone.
pub const UNPROTECTED: &str = "forge.unprotected";
/// The code of the finding that more may reach something than before.
pub const ACCESS_GREW: &str = "forge.access";
/// Kinds of rules that protect.
const RULES: &[&str] = &["branch_protections", "protected_branches", "protected_tags", "rulesets"];
/// Kinds of who, or what, may reach something.
const ACCESS: &[&str] =
    &["keys", "hooks", "collaborators", "members", "org_hooks", "org_members", "org_teams", "group_members"];
/// How many are named.
const NAMED: usize = 10;
/// The version of the manifest.
pub const FORMAT: u32 = 1;

/// How a kind was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was read to its end.
    Read,
    /// The repository has it switched off.
    Off,
    /// The configuration leaves it out.
    Excluded,
    /// The server refused.
    Refused,
    /// The server failed for as long as it was tried.
    Failed,
    /// It changed so much while it was read that some of it may be missing.
    Changed,
    /// The server gives no more of it.
    Cut,
}

impl Status {
    /// Whether the snapshot has all of it that was asked for.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        matches!(self, Self::Read | Self::Off | Self::Excluded)
    }

    /// In a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Off => "off",
            Self::Excluded => "excluded",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Changed => "changed",
            Self::Cut => "cut",
        }
    }
}

/// One kind of a repository or an owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The kind.
    pub kind: String,
    /// How it was found.
    pub status: Status,
    /// How many entries the snapshot has of it.
    pub got: u64,
    /// How many of these this run was given; the others it has from runs before.
    pub given: u64,
    /// How many entries are gone that earlier runs had.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gone: u64,
    /// The first of these, by number or id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone_ids: Vec<String>,
    /// How many entries of how something is set up came since an earlier run.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub came: u64,
    /// The status of HTTP that refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<u16>,
    /// When it was last asked for, where that was an earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Time>,
    /// What the server said, or what is to be known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
    /// The path of its stream, if it has any entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Row {
    /// A row without entries.
    #[must_use]
    pub fn new(kind: &str, status: Status) -> Self {
        let (kind, gone_ids, said) = (kind.to_owned(), Vec::new(), String::new());
        Self { kind, status, got: 0, given: 0, gone: 0, gone_ids, came: 0, http: None, as_of: None, said, path: None }
    }
}

/// A repository, and what was read of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryRows {
    /// Its name with its owner's.
    pub name: String,
    /// Its number.
    pub id: i64,
    /// Its kinds.
    pub kinds: Vec<Row>,
    /// The source that has its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The source that has its wiki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wiki: Option<String>,
}

/// The whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Which API.
    pub provider: String,
    /// Where the forge is.
    pub url: String,
    /// Whose repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// When the reading began, by the forge's clock if it told.
    pub began_at: Time,
    /// Whether everything was asked for, or only what changed since the run before.
    pub full: bool,
    /// How many requests it took.
    pub calls: u64,
    /// How many seconds were waited for rate limits.
    pub waited_s: u64,
    /// What the owner has.
    pub owner_kinds: Vec<Row>,
    /// The repositories.
    pub repositories: Vec<RepositoryRows>,
}

impl Manifest {
    /// All rows, each with whose they are.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Row)> {
        let owner = self.owner_kinds.iter().map(|row| (self.owner.as_deref().unwrap_or("the owner"), row));
        owner.chain(self.repositories.iter().flat_map(|one| one.kinds.iter().map(|row| (one.name.as_str(), row))))
    }

    /// What was not read, one finding for each kind and reason.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut told: Vec<(&Row, Vec<&str>)> = Vec::new();
        for (name, row) in self.rows().filter(|(_, row)| !row.status.is_whole()) {
            let alike = |(other, _): &&mut (&Row, Vec<&str>)| {
                (&other.kind, other.status, other.http, &other.said) == (&row.kind, row.status, row.http, &row.said)
            };
            match told.iter_mut().find(alike) {
                Some((_, names)) => names.push(name),
                None => told.push((row, vec![name])),
            }
        }
        let unread = told.into_iter().map(|(row, names)| finding(row, &names));
        unread
            .chain(self.rows().filter(|(_, row)| row.as_of.is_none()).flat_map(|(name, row)| rights(row, name)))
            .collect()
    }
}

/// What changed of who may do what. Each change is told once, by the run that notices it.
fn rights(row: &Row, name: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    if row.gone > 0 && RULES.contains(&row.kind.as_str()) {
        let which: Vec<String> = row.gone_ids.iter().take(NAMED).map(|id| format!("{id:?}")).collect();
        let what = format!("{} of {name} that were there are gone: {}", row.kind, which.join(", "));
        found.push(Finding::new(Severity::Warning, UNPROTECTED, what).on(format!("{name} {}", row.kind)));
    }
    if row.came > 0 && ACCESS.contains(&row.kind.as_str()) {
        let what = format!("{name} has {} {} more than before: {} in all", row.came, row.kind, row.got);
        found.push(Finding::new(Severity::Info, ACCESS_GREW, what).on(format!("{name} {}", row.kind)));
    }
    found
}

fn finding(row: &Row, names: &[&str]) -> Finding {
    let first = names.first().copied().unwrap_or_default();
    let whose = if names.len() > 1 { format!("{first} and {} more", names.len() - 1) } else { first.to_owned() };
    let http = row.http.map(|status| format!(" with {status}")).unwrap_or_default();
    let said = if row.said.is_empty() { String::new() } else { format!(": {}", row.said) };
    let why = match row.status {
        Status::Refused => format!("the forge refused it{http}{said}"),
        Status::Changed => format!("it changed while it was read{said}"),
        Status::Cut => format!("the forge gives no more of it{said}"),
        _ => format!("the forge failed{said}"),
    };
    if row.kind == super::LISTING {
        return Finding::new(Severity::Error, UNREAD, row.said.clone()).on(first);
    }
    let kept = if row.got > 0 { ". What earlier runs read of it is in the snapshot" } else { "" };
    let message = format!("{} of {whose} could not be read: {why}{kept}", row.kind);
    Finding::new(Severity::Error, UNREAD, message).on(format!("{first} {}", row.kind))
}
