//! Forges: what git does not hold of the repositories of an owner — issues, pull requests, reviews, releases — through the
//! APIs of Gitea, GitHub and GitLab, in these APIs' own words.
//!
//! A pass asks for each kind of each repository ([`pass`]) and puts what comes into a memory ([`memory`]), from which the
//! streams are given. The next pass asks for what changed. Code and wikis are sources of their own, read by git.

mod asked;
pub mod back;
mod changes;
mod children;
mod client;
mod due;
mod ends;
mod events;
mod fetch;
mod files;
mod graph;
mod group;
mod json;
mod keys;
mod lfs;
mod lines;
mod link;
mod listing;
mod manifest;
mod memory;
mod paging;
mod pass;
mod provider;
mod pulls;
mod reading;
mod seen;
mod send;
pub mod site;
mod survey;
mod token;
mod told;
mod uploads;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use self::{client::Client, memory::Memory, pass::Pass, provider::Kind, reading::ForgeReading};
use crate::{
    model::{Cancel, SourceKind, Span, Time},
    source::{Before, Look, Reading, Result, Source, SourceError},
};

pub use lfs::LfsObjects;
pub use listing::{Listed, list};
pub use manifest::{ACCESS_GREW, FORMAT, Manifest, RepositoryRows, Row, Status, UNPROTECTED, UNREAD};
pub use provider::{Provider, Repository};
pub use token::{App, Token};

/// What `exclude` calls attached files and those of releases.
pub const FILES: &str = "files";
/// The path of the stream that says what was asked and got.
pub const MANIFEST: &str = "manifest.json";
/// How often everything is asked for, where nothing else is said.
pub const FULL_EVERY: Span = Span::days(7);
/// How often settings are asked for, where nothing else is said.
pub const SETTINGS_EVERY: Span = Span::days(5);
/// So much is asked for again at the seam of two passes: a server's clock, and what it wrote while it was read.
const SEAM: i64 = 120;
/// What the row of the manifest is called that says what is to be known of the listing of repositories.
const LISTING: &str = "repositories";
/// How many repositories are told of that are others than before.
const OTHERS: usize = 10;
/// A pass that was stopped is gone on with for so long.
const RESUMED_FOR: Span = Span::days(1);

/// Where a forge is, whose repositories are wanted, and how it is asked.
#[derive(Clone)]
pub struct ForgeOptions {
    /// Which API.
    pub provider: Provider,
    /// Where it is, without a slash at its end.
    pub url: String,
    /// Whose repositories.
    pub owner: Option<String>,
    /// Patterns of repositories with their owners; none stands for all.
    pub repos: Vec<String>,
    /// What it is asked with.
    pub token: Option<Token>,
    /// Kinds that are left out.
    pub exclude: BTreeSet<String>,
    /// How often everything is asked for.
    pub full_every: Span,
    /// How often settings are: what has no time by which a change could be asked for.
    pub settings_every: Span,
    /// How long a server that fails is asked again.
    pub patience: Option<Duration>,
    /// The file of the memory.
    pub memory: PathBuf,
}

impl ForgeOptions {
    fn client(&self, cancel: Cancel) -> Result<Client> {
        let api = self.provider.api(&self.url);
        Client::new(&api, self.token.clone(), self.provider.manner(), (self.patience, cancel))
    }
}

/// The metadata of an owner's repositories.
pub struct ForgeSource {
    options: ForgeOptions,
    listed: Arc<Listed>,
    cancel: Cancel,
}

impl ForgeSource {
    /// What `listed` says is there.
    #[must_use]
    pub fn new(options: ForgeOptions, listed: Arc<Listed>) -> Self {
        Self { options, listed, cancel: Cancel::default() }
    }

    /// The passage through the API, into the memory.
    fn pass(&self, client: &mut Client, memory: &Memory, anew: bool) -> Result<Manifest> {
        let options = &self.options;
        let (number, full, began) = self.begin(memory, anew)?;
        let since = Time::from_unix(began.unix() - SEAM).to_string();
        let ids: Vec<i64> = self.listed.repositories.iter().map(|one| one.id).chain([0]).collect();
        memory.retain(&ids)?;
        let api = options.provider.api(&options.url);
        let (provider, exclude) = (options.provider, &options.exclude);
        let every = options.settings_every;
        let survey = BTreeMap::new();
        let graph = provider.graph(&options.url);
        let (failed, broken, timed) = (0, None, self.listed.date.is_some());
        let mut pass = Pass {
            client,
            memory,
            provider,
            api,
            graph,
            number,
            full,
            since,
            every,
            exclude,
            failed,
            broken,
            timed,
            survey,
        };
        self.survey(&mut pass)?;
        let mut owner_kinds = Vec::new();
        if let Some(owner) = self.options.owner.as_deref() {
            // What only queries have, users have too.
            let asked = |kind: &&Kind| self.listed.organisation || kind.query.is_some();
            for kind in provider.owner_kinds().iter().filter(asked) {
                owner_kinds.extend(pass.kind(0, owner, kind, None)?);
            }
        }
        owner_kinds.extend(self.others(memory)?);
        let mut repositories = Vec::new();
        for one in &self.listed.repositories {
            tracing::info!(repository = one.name, "reading what the forge has of it");
            memory.set_word(&format!("name {}", one.id), &one.name)?;
            // Each is asked for itself, whatever became of the last.
            (pass.failed, pass.broken) = (0, None);
            let mut kinds = Vec::new();
            for kind in provider.kinds() {
                kinds.extend(pass.kind(one.id, &one.name, kind, Some(one))?);
            }
            // Only now: a pass that was stopped before asks for its settings when it goes on.
            memory.set_word(&format!("setup {}", one.id), &one.setup())?;
            if pass.timed && pass.broken.is_none() {
                memory.set_word(&format!("surveyed {}", one.id), &pass.since)?;
            }
            let (code, wiki) = self.listed.sources_of(&one.name);
            repositories.push(RepositoryRows { name: one.name.clone(), id: one.id, kinds, code, wiki });
        }
        Ok(Manifest {
            format: FORMAT,
            provider: provider.kind().as_str().to_owned(),
            url: options.url.clone(),
            owner: options.owner.clone(),
            began_at: began,
            full,
            calls: 0,
            waited_s: 0,
            owner_kinds,
            repositories,
        })
    }

    /// What is to be known of the listing itself: repositories that can't be read, and those that are others than those before of
    /// their names, since what these had is no longer there.
    fn others(&self, memory: &Memory) -> Result<Option<Row>> {
        let mut said = Vec::new();
        if self.listed.odd > 0 {
            let why =
                "have no number, a name that no file can have, or far too much to say, and are not in this backup";
            said.push(format!("{} entries of the listing {why}", self.listed.odd));
        }
        for one in &self.listed.repositories {
            let word = format!("id of {}", one.name);
            let was = memory.word(&word)?;
            if let Some(was) = was.filter(|was| *was != one.id.to_string()) {
                said.push(format!(
                    "{} is another repository than before (it had the number {was}, and has {}): what that had is in earlier snapshots alone",
                    one.name, one.id
                ));
            }
        }
        if said.is_empty() {
            return Ok(None);
        }
        let told = said.iter().take(OTHERS).cloned().collect::<Vec<_>>().join("; ");
        Ok(Some(Row { said: told, ..Row::new(LISTING, Status::Failed) }))
    }

    /// Asks what changed, where a forge tells that of many repositories at once.
    fn survey(&self, pass: &mut Pass<'_>) -> Result<()> {
        let options = &self.options;
        // With every run everything is asked for that has no time of change.
        if options.settings_every.as_seconds() == 0 {
            return Ok(());
        }
        if let Some(owner) = options.owner.as_deref().filter(|_| self.listed.organisation) {
            pass.lists_of_owner(owner, &self.listed.repositories)?;
        }
        let Some(url) = pass.graph.clone() else { return Ok(()) };
        pass.survey(&url, &self.listed.repositories)?;
        if !pass.full {
            if let Some(owner) = options.owner.as_deref().filter(|_| self.listed.organisation) {
                pass.issues_of_owner(owner)?;
            }
            pass.changes(&url)?;
        }
        Ok(())
    }

    /// Begins a pass, or goes on with one that was stopped: its number, whether it asks for everything, when it began.
    fn begin(&self, memory: &Memory, anew: bool) -> Result<(i64, bool, Time)> {
        let read = |name: &str| memory.word(name);
        let number: i64 = read("pass")?.and_then(|text| text.parse().ok()).unwrap_or_default();
        let time = |text: Option<String>| text.and_then(|text| text.parse::<Time>().ok());
        let (began, last) = (time(read("began")?), time(read("last full")?));
        let now = self.listed.date.unwrap_or_else(here);
        let whose =
            format!("{} {} {:?}", self.options.url, self.options.owner.as_deref().unwrap_or(""), self.options.repos);
        let same = read("whose")?.is_some_and(|known| known == whose);
        let open = read("open")?.filter(|open| !open.is_empty());
        if let (Some(open), Some(began), true) = (&open, began, same)
            && now.since(began) < RESUMED_FOR
            && began <= now
            && (open == "full" || !anew)
        {
            tracing::info!(number, "a pass over the forge was stopped, and is gone on with");
            return Ok((number, open == "full", began));
        }
        // Without the forge's own time nothing can be asked for that changed since one.
        let due = self.listed.date.is_none()
            || last.is_none_or(|last| now.since(last) >= self.options.full_every || last > now);
        let full = anew || due || !same;
        memory.begin()?;
        if full {
            memory.forget_children()?;
        }
        for (name, value) in [
            ("pass", (number + 1).to_string()),
            ("began", now.to_string()),
            ("open", if full { "full" } else { "changes" }.to_owned()),
            ("whose", whose),
        ] {
            memory.set_word(name, &value)?;
        }
        memory.commit()?;
        Ok((number + 1, full, now))
    }
}

/// This host's time, where the forge told none.
fn here() -> Time {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Time::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX))
}

impl Source for ForgeSource {
    fn kind(&self) -> SourceKind {
        self.options.provider.kind()
    }

    fn open(&mut self) -> Result<Box<dyn Reading>> {
        self.open_after(None)
    }

    fn open_after(&mut self, before: Option<Before>) -> Result<Box<dyn Reading>> {
        let memory = Memory::open(&self.options.memory)?;
        let mut client = self.options.client(self.cancel.clone())?;
        client.calls = self.listed.calls;
        // Where nothing of an earlier snapshot is leaned on, nothing of what was remembered is.
        let anew = before.as_ref().is_none_or(|before| before.streams.is_empty());
        let manifest = self.pass(&mut client, &memory, anew)?;
        let reading = ForgeReading::begin(
            (self.options.clone(), Arc::clone(&self.listed)),
            (client, self.cancel.clone()),
            memory,
            (manifest, before),
        )?;
        Ok(Box::new(reading))
    }

    fn look(&mut self) -> Look {
        let mut look = Look::default();
        let owner = self.options.owner.as_deref().unwrap_or("the patterns");
        look.good(
            "reach",
            format!("{} lists {} repositories of {owner}", self.options.url, self.listed.repositories.len()),
        );
        look
    }
}
