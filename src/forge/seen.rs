//! What a survey saw of a repository.

use std::collections::{BTreeMap, BTreeSet};

/// What was seen of a repository.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each says of another list whether it has to be read")]
pub(super) struct Seen {
    /// Its place in the API, such as `acme/app`.
    pub(super) name: String,
    /// From when on changes were asked for; `None` where they were not told.
    pub(super) since: Option<String>,
    /// Issues that changed since.
    pub(super) issues: Vec<Changed>,
    /// Pull requests that changed since.
    pub(super) pulls: Vec<Changed>,
    /// Whether the memory has the changed issues already.
    pub(super) has_issues: bool,
    /// Whether it has what was said of them.
    pub(super) has_comments: bool,
    /// Whether it has the reviews of the changed pull requests, and the comments on lines.
    pub(super) has_reviews: bool,
    /// Whether it has the changed pull requests.
    pub(super) has_pulls: bool,
    /// Whether it has what happened to them.
    pub(super) has_events: bool,
    /// Kinds of which the memory has all that changed, by a list of the owner's.
    pub(super) read: BTreeSet<&'static str>,
    /// What stands for each kind of setting: where it is as before, so are they. With how many there are.
    pub(super) settings: BTreeMap<&'static str, (String, u64)>,
}

/// An issue or a pull request that changed.
#[derive(Debug, Clone)]
pub(super) struct Changed {
    pub(super) number: i64,
    /// Its name in queries.
    pub(super) node: String,
    /// When it changed.
    pub(super) at: String,
}

impl Seen {
    /// All that changed.
    pub(super) fn changed(&self) -> impl Iterator<Item = &Changed> {
        self.issues.iter().chain(&self.pulls)
    }
}
