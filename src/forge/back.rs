//! Back into a forge: what a snapshot holds of repositories is made anew in a forge that has none of it, in the order of its
//! numbers, so that what refers to a number is still right.
//!
//! An API lets nobody write in another's name or at another time, so each text begins with who wrote it and when. It ends
//! with a mark that no reader sees, by which a restore that was stopped knows what it made.

mod code;
mod issues;
mod lab;
mod numbers;
mod releases;
mod thread;
mod words;
mod writer;

use std::{collections::BTreeMap, fs::File, io::BufReader, path::Path, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};

use self::writer::Writer;
use super::{
    MANIFEST, Manifest, Provider, RepositoryRows, Row, SourceError, Token,
    client::{Client, Got},
    link,
    provider::{fits, is_repository},
};
use crate::model::{Cancel, Progress};

/// How many of what did not come back are named.
const NAMED: usize = 10;
/// Kinds that are made anew, if not in the same form.
const MADE: &[&str] = &[
    "issues",
    "comments",
    "pulls",
    "reviews",
    "review_comments",
    "labels",
    "milestones",
    "releases",
    "files",
    "owner",
    "issue_notes",
    "merge_requests",
];
/// Kinds of an owner that are made as far as issues have them.
const AS_USED: &[&str] = &["org_labels", "group_labels", "group_milestones"];

/// Why nothing, or not all, was made.
#[derive(Debug)]
pub enum BackError {
    /// Something is there already.
    Occupied {
        /// What.
        what: String,
        /// What to do instead.
        next: String,
    },
    /// What was asked for can't be.
    Wrong {
        /// What is wrong with it.
        what: String,
        /// What to ask for instead.
        next: String,
    },
    /// The forge, or what was restored.
    Source(SourceError),
}

impl From<SourceError> for BackError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// Where repositories are made.
enum Owned {
    /// By requests to this URL.
    At(String),
    /// In a namespace of GitLab; and whether the token is an administrator's.
    In(lab::Namespace, bool),
}

/// The result of making something.
pub type BackResult<T> = std::result::Result<T, BackError>;

/// Where to.
#[derive(Clone)]
pub struct Back {
    /// Which API; where nothing is said, that of the snapshot.
    pub provider: Option<Provider>,
    /// Where it is, without a slash at its end.
    pub url: String,
    /// Whose the repositories become: an organisation, or the token's own user.
    pub owner: String,
    /// What it is asked with.
    pub token: Option<Token>,
    /// Patterns of the repositories that are wanted, by their names in the snapshot; none stands for all.
    pub only: Vec<String>,
    /// How long a server that fails is asked again.
    pub patience: Option<Duration>,
}

/// Something that did not come back, or not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lacking {
    /// The kind.
    pub kind: String,
    /// Why not.
    pub why: String,
    /// Whether something can be done about it; else it is in the nature of the API.
    pub open: bool,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Vec<String>,
}

/// What became of one repository.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RepositoryBack {
    /// Its name in the snapshot.
    pub name: String,
    /// Its name now.
    pub into: String,
    /// What was made, by kind.
    pub made: BTreeMap<&'static str, u64>,
    /// What a restore before had made.
    pub there: BTreeMap<&'static str, u64>,
    /// What did not come back, or not as it was.
    pub lacking: Vec<Lacking>,
}

impl RepositoryBack {
    fn made(&mut self, kind: &'static str) {
        *self.made.entry(kind).or_default() += 1;
    }

    fn there(&mut self, kind: &'static str) {
        *self.there.entry(kind).or_default() += 1;
    }

    /// Notes what did not come back, and could.
    fn lacks(&mut self, kind: &str, which: &str, why: &str) {
        self.note((kind, true), (1, &[which.to_owned()]), why);
    }

    /// Notes what can't come back as it was.
    fn differs(&mut self, kind: &str, which: &str, why: &str) {
        self.note((kind, false), (1, &[which.to_owned()]), why);
    }

    fn note(&mut self, (kind, open): (&str, bool), (count, first): (u64, &[String]), why: &str) {
        let known = self.lacking.iter_mut().find(|one| one.kind == kind && one.why == why);
        match known {
            Some(one) => {
                one.count += count;
                let room = NAMED.saturating_sub(one.first.len());
                one.first.extend(first.iter().take(room).cloned());
            }
            None => self.lacking.push(Lacking {
                kind: kind.to_owned(),
                why: why.to_owned(),
                open,
                count,
                first: first.to_vec(),
            }),
        }
    }
}

/// All of it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The repositories.
    pub repositories: Vec<RepositoryBack>,
    /// What the owner had that did not come back.
    pub owner: Vec<Lacking>,
    /// How many requests it took.
    pub calls: u64,
    /// How many seconds were waited for limits.
    pub waited_s: u64,
}

impl Back {
    /// The place as it is told and approved.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}", self.url, self.owner)
    }

    /// Which API is spoken there.
    fn spoken(&self) -> Provider {
        self.provider.unwrap_or(Provider::Gitea)
    }

    fn client(&self, cancel: Cancel) -> BackResult<Client> {
        let api = self.spoken().api(&self.url);
        let mut client = Client::new(&api, self.token.clone(), self.spoken().manner(), (self.patience, cancel))?;
        if api == "https://api.github.com" {
            client.uploads = Some("https://uploads.github.com".to_owned());
        }
        Ok(client)
    }

    /// Looks whether a snapshot of `from` can go there: the token is taken, and the owner is known. Nothing is made.
    ///
    /// # Errors
    /// If it can't.
    pub fn look(&self, from: Provider, cancel: Cancel) -> BackResult<()> {
        if from == Provider::Gitlab && self.spoken() != Provider::Gitlab {
            return Err(BackError::Wrong {
                what: "a snapshot of GitLab goes into GitLab alone: its issues and merge requests have numbers of their own, and \
                       other forges have one count for both"
                    .to_owned(),
                next: "name a GitLab, or restore to a directory with --to, and --as html for pages".to_owned(),
            });
        }
        self.owned(&mut self.client(cancel)?).map(drop)
    }

    /// Where the owner's repositories are made.
    fn owned(&self, client: &mut Client) -> BackResult<Owned> {
        let api = self.spoken().api(&self.url);
        if self.spoken() == Provider::Gitlab {
            let (namespace, admin) = lab::namespace(client, &api, (&self.url, &self.owner))?;
            return Ok(Owned::In(namespace, admin));
        }
        let (got, line) = client.one(&format!("{api}/user"), None)?;
        let refused = |got: Got, what: &str| {
            let said = match got {
                Got::Refused(status, said) => format!("{status} {said}"),
                Got::Failed(why) => why,
                Got::Read(_) | Got::Same => "no answer".to_owned(),
            };
            BackError::Source(SourceError::new(format!("{what} ({said})"), &self.url))
        };
        let Got::Read(_) = got else { return Err(refused(got, "does not say whose the token is")) };
        let user: Value = serde_json::from_slice(&line).unwrap_or_default();
        if user.get("login").and_then(Value::as_str).is_some_and(|login| login.eq_ignore_ascii_case(&self.owner)) {
            return Ok(Owned::At(format!("{api}/user/repos")));
        }
        let org = link::segment(&self.owner);
        match client.one(&format!("{api}/orgs/{org}"), None)?.0 {
            Got::Read(_) | Got::Same => Ok(Owned::At(format!("{api}/orgs/{org}/repos"))),
            Got::Refused(404, _) => Err(BackError::Wrong {
                what: format!("{} knows no organisation {}, and it is not the token's own user", self.url, self.owner),
                next: "make the organisation first, or name another owner behind the forge's URL".to_owned(),
            }),
            got => Err(refused(got, "does not tell of the owner")),
        }
    }

    /// Makes what the streams below `from` hold, as far as it is not there.
    ///
    /// # Errors
    /// If the forge refuses it or is down, something is there that is not of this, or `from` can't be read.
    pub fn run(&self, from: &Path, (progress, cancel): (&Arc<dyn Progress>, Cancel)) -> BackResult<Report> {
        let manifest = manifest(from)?;
        let wanted: Vec<&RepositoryRows> = manifest
            .repositories
            .iter()
            .filter(|one| is_repository(&one.name))
            .filter(|one| self.only.is_empty() || self.only.iter().any(|pattern| fits(pattern, &one.name)))
            .collect();
        self.may_be(&manifest, &wanted)?;
        let mut client = self.client(cancel)?;
        let owned = self.owned(&mut client)?;
        let mut repositories = Vec::new();
        for one in wanted {
            progress.phase(&format!("making {} in {}", one.name, self.place()), None);
            let into = format!("{}/{}", self.owner, self.called(&manifest, one));
            let back = RepositoryBack { name: one.name.clone(), into: into.clone(), ..RepositoryBack::default() };
            let mut writer = Writer::new((self, &mut client), (from, one), back);
            let described = described(from, &one.name)?;
            match &owned {
                Owned::In(namespace, admin) => {
                    lab::make(&mut writer, (*namespace, *admin), (&manifest, one), &described)?;
                }
                Owned::At(listing) => {
                    let fresh = writer.repository(listing, &described)?;
                    writer.labels()?;
                    writer.milestones()?;
                    issues::make(&mut writer, fresh)?;
                    releases::make(&mut writer, fresh)?;
                }
            }
            writer.settings(&described)?;
            repositories.push(rest(writer.report, &one.kinds, &manifest.provider));
        }
        let of_owner = rest(RepositoryBack::default(), &manifest.owner_kinds, &manifest.provider).lacking;
        Ok(Report { repositories, owner: of_owner, calls: client.calls, waited_s: client.waited.as_secs() })
    }

    /// What a repository is called below its owner there. GitLab has groups in groups.
    fn called<'a>(&self, manifest: &Manifest, one: &'a RepositoryRows) -> &'a str {
        let last = one.name.rsplit_once('/').map(|(_, name)| name).unwrap_or_default();
        if self.spoken() != Provider::Gitlab || manifest.provider != Provider::Gitlab.kind().as_str() {
            return last;
        }
        let owner = manifest.owner.as_deref().unwrap_or_default();
        let below = one.name.get(..owner.len()).filter(|begin| !owner.is_empty() && begin.eq_ignore_ascii_case(owner));
        let below = below.and_then(|_| one.name.get(owner.len()..)?.strip_prefix('/'));
        below.or_else(|| one.name.split_once('/').map(|(_, name)| name)).unwrap_or(last)
    }

    /// Takes a place of GitLab as it is meant there: all that stands behind the host is the owner, who may be a group in a group.
    pub fn settle(&mut self, from: Provider) {
        self.provider = self.provider.or(Some(from));
        if self.spoken() != Provider::Gitlab {
            return;
        }
        if let Some((host, path)) = link::origin(&self.url).filter(|(_, path)| !path.is_empty()) {
            self.owner = format!("{}/{}", path.trim_matches('/'), self.owner);
            self.url = host;
        }
    }

    /// Whether each repository has a name of its own there.
    fn may_be(&self, manifest: &Manifest, wanted: &[&RepositoryRows]) -> BackResult<()> {
        if wanted.is_empty() {
            let what = match self.only.first() {
                Some(pattern) => format!("the snapshot has no repository that fits {pattern}"),
                None => "the snapshot has no repository".to_owned(),
            };
            return Err(BackError::Wrong { what, next: "`restore --list` shows what it has".to_owned() });
        }
        let mut names: Vec<String> = wanted.iter().map(|one| self.called(manifest, one).to_ascii_lowercase()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair.first() == pair.last()) {
            let what =
                format!("two repositories of the snapshot would be called {}", pair.first().map_or("", String::as_str));
            return Err(BackError::Wrong {
                what,
                next: "choose one with --repo, and another owner for the other".to_owned(),
            });
        }
        Ok(())
    }
}

fn manifest(from: &Path) -> BackResult<Manifest> {
    let path = from.join(MANIFEST);
    let file = File::open(&path).map_err(|e| SourceError::at("can't be read", &path, e))?;
    let read = serde_json::from_reader(BufReader::new(file));
    Ok(read.map_err(|e| SourceError::new(format!("can't be read: {e}"), MANIFEST))?)
}

/// What the listing said of a repository, as far as it is set when one is made.
fn described(from: &Path, name: &str) -> BackResult<Value> {
    let failed = |e| SourceError::at("can't be read", from, e);
    let mut lines = super::lines::Lines::open(&from.join("repositories.jsonl")).map_err(failed)?;
    while let Some((_, value)) = lines.next().map_err(failed)? {
        if ["full_name", "path_with_namespace"]
            .iter()
            .any(|field| value.get(field).and_then(Value::as_str) == Some(name))
        {
            return Ok(value);
        }
    }
    Ok(json!({}))
}

/// Tells of the kinds of a snapshot of `provider` that nobody makes anew, and of what the snapshot itself lacks.
fn rest(mut report: RepositoryBack, kinds: &[Row], provider: &str) -> RepositoryBack {
    // What GitLab calls so are threads of merge requests.
    let threads = provider == Provider::Gitlab.kind().as_str();
    for row in kinds {
        if !row.status.is_whole() {
            let why = "the snapshot has not all of it: the forge did not give it when it was taken";
            report.note((&row.kind, true), (0, &[]), why);
        }
        let kind = row.kind.as_str();
        if row.got > 0 && !MADE.contains(&kind) && !(kind == "discussions" && threads) {
            let why = if AS_USED.contains(&kind) {
                "those that issues have are made in the repository; the lines of the others are in the snapshot"
            } else {
                "a restore does not make it; the lines are in the snapshot"
            };
            report.note((&row.kind, false), (row.got, &[]), why);
        }
    }
    report
}
