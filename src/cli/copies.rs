//! What is remembered of configured copies, beside the configuration: when each was seen last, since disks that lie in a
//! drawer can't be asked.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    config::{Config, S3Config},
    error::CliError,
    failure::Failure,
    files,
    places::{self, At, Overlap},
    settings::{Env, Settings},
    wiring::SystemClock,
};
use crate::{
    format::layout,
    model::{Clock, Finding, Name, Severity, Time},
    ops::{readiness::KnownCopy, replicate::ReplicateReport, schedule},
    store::VaultUrl,
};

/// What was seen of a copy at its last pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Where it was.
    pub url: String,
    /// When, by its own clock.
    pub at: Time,
    /// How many snapshots it had then of those that it was to have.
    pub snapshots: u64,
    /// How many were left out.
    pub left_out: u64,
}

/// All of them, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    copies: BTreeMap<Name, Last>,
}

impl Memory {
    /// Remembers a pass.
    pub fn note(&mut self, name: &Name, url: &str, report: &ReplicateReport) {
        let snapshots = report.there + report.copied.len() as u64;
        let last = Last { url: url.to_owned(), at: report.at, snapshots, left_out: report.left_out.len() as u64 };
        self.copies.insert(name.clone(), last);
    }
}

/// Where the units that `schedule` writes remember them, if nothing says where their state is.
const STATE: &str = "/var/lib/strongroom";

/// Where they are remembered: `strongroom.copies.json` beside `strongroom.toml`; in the state of a unit of systemd, which is
/// handed its configuration where nothing can be written.
#[must_use]
pub fn path(config: &Path, env: Env<'_>) -> PathBuf {
    let beside = config.with_extension("copies.json");
    let handed = env("CREDENTIALS_DIRECTORY").is_some_and(|dir| config.starts_with(dir));
    match (state(env), beside.file_name()) {
        (Some(state), Some(name)) if handed => state.join(name),
        _ => beside,
    }
}

/// Where this unit keeps its state, if it is one.
fn state(env: Env<'_>) -> Option<PathBuf> {
    // Of several the first is the one that `schedule` writes.
    let all = env("STATE_DIRECTORY")?;
    std::env::split_paths(&all).next()
}

/// Where units remember them, whatever their configuration is called elsewhere.
fn of_units(env: Env<'_>) -> PathBuf {
    let name = Path::new(schedule::SECRET_CONFIG).with_extension("copies.json");
    state(env).unwrap_or_else(|| STATE.into()).join(name)
}

/// Reads what is remembered; nothing where there is no such file yet. What can't be read or understood is told and made anew if
/// that can be: only when each copy was seen last is lost with it.
#[must_use]
pub fn read(path: &Path) -> (Memory, Option<Finding>) {
    let lost = |what: String| (Memory::default(), Some(unknown(path, what)));
    if fs::metadata(path).is_ok_and(|data| !data.is_file()) {
        return lost("it is no file, so what `replicate` remembers of copies is not known: move it away".to_owned());
    }
    match files::read(path) {
        Ok(None) => (Memory::default(), None),
        Ok(Some(bytes)) => match serde_json::from_slice(&bytes) {
            Ok(memory) => (memory, None),
            Err(error) => lost(format!(
                "this is not what `replicate` remembers of copies ({error}), so when each copy was seen last is not known; the \
                 next pass that is made by name writes it anew"
            )),
        },
        Err(error) => {
            let denied =
                matches!(&error, CliError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied);
            let next = if denied {
                "ask as the user who may, such as root or the user of the units"
            } else {
                "look what it is"
            };
            lost(format!("{error}, so what `replicate` remembers of copies there is not known: {next}"))
        }
    }
}

fn unknown(path: &Path, what: String) -> Finding {
    Finding::new(Severity::Warning, "copy.memory", what).on(path.display())
}

/// Writes what this run noted, beside what others did meanwhile. That it can't be is told: the copies are made.
#[must_use]
pub fn write(path: &Path, noted: Memory) -> Option<Finding> {
    let (mut memory, _) = read(path);
    memory.copies.extend(noted.copies);
    let text = serde_json::to_vec_pretty(&memory).ok()?;
    // Whoever writes into a pipe waits for who reads it.
    let error = files::must_be_a_file(path).and_then(|()| files::replace(path, &text)).err()?;
    let what =
        format!("{error}, so `status` and `ready` will not know of this pass: make room for that file, and copy again");
    Some(unknown(path, what))
}

/// The configured copies with what is remembered of them: beside the configuration and by the units, whichever saw a copy last.
///
/// # Errors
/// If two of them are in one place.
pub fn known(config: &Config, env: Env<'_>) -> Result<(Vec<KnownCopy>, Vec<Finding>), CliError> {
    if config.copies.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    must_differ(config)?;
    let memories = Memories::read(config, env);
    let of = |copy: &super::config::copy::CopyConfig| {
        let last = memories.last(&copy.name, &copy.url);
        KnownCopy {
            name: copy.name.clone(),
            url: copy.url.to_string(),
            at: last.map(|last| last.at),
            age_s: None,
            snapshots: last.map_or(0, |last| last.snapshots),
            left_out: last.map_or(0, |last| last.left_out),
            sources: copy.sources.clone(),
            removable: copy.removable,
        }
    };
    let known: Vec<KnownCopy> = config.copies.iter().map(of).collect();
    // What units remember may be nobody else's: that matters where something is owed.
    let owed = known.iter().any(|copy| copy.owed(SystemClock.now()).is_some());
    let findings = memories.beside.into_iter().chain(memories.of_units.filter(|_| owed)).collect();
    Ok((known, findings))
}

/// What is remembered beside a configuration, and by the units of this host.
#[derive(Default)]
pub struct Memories {
    all: Vec<Memory>,
    /// What is wrong with the first, and with the second.
    pub beside: Option<Finding>,
    of_units: Option<Finding>,
}

impl Memories {
    /// Reads both.
    #[must_use]
    pub fn read(config: &Config, env: Env<'_>) -> Self {
        let (beside, units) = (path(&config.path, env), of_units(env));
        let (own, found) = read(&beside);
        let (theirs, unread) = if units == beside { Default::default() } else { read(&units) };
        Self { all: vec![own, theirs], beside: found, of_units: unread }
    }

    /// What was seen of a copy last. Where it is now is what counts: of another place nothing is known.
    #[must_use]
    pub fn last(&self, name: &Name, url: &VaultUrl) -> Option<&Last> {
        let here = |last: &&Last| last.url == url.to_string();
        self.all.iter().filter_map(|memory| memory.copies.get(name)).filter(here).max_by_key(|last| last.at)
    }
}

/// Whether the disk of a copy is there, which the vault on it tells. An empty directory where a disk would be mounted is
/// none, or the copy would go to the disk below; so the first copy to a new disk is made with --to.
///
/// # Errors
/// If there is no place.
pub fn is_there(settings: &Settings) -> Result<bool, CliError> {
    let VaultUrl::Local(path) = settings.vault()? else { return Ok(true) };
    Ok(path.join(layout::DESCRIPTOR).exists())
}

/// Fails if two places are one, however each is spelled, or one lies within the other: whatever befalls one befalls both.
///
/// # Errors
/// If they are, or a directory can't be looked at.
pub fn must_be_apart(vault: &Settings, copy: &Settings, option: &str) -> Result<(), CliError> {
    let (ours, theirs) = (vault.vault()?, copy.vault()?);
    let overlap = places::overlap((theirs, copy.endpoint()), (ours, vault.endpoint()));
    let overlap = overlap.map_err(|(path, source)| CliError::Io { what: "can't look at", path, source })?;
    overlap.map_or(Ok(()), |how| {
        let what = match (how, option) {
            (Overlap::Same, "--from") => format!("{theirs} is the vault itself, which can't be repaired from itself"),
            (Overlap::Same, _) => format!("{theirs} is the vault itself"),
            (how, _) => format!("{theirs} {} {ours}: whatever befalls one befalls both", how.as_str()),
        };
        let hint =
            format!("give {option} another bucket, another prefix or another directory, neither within the other");
        Err(CliError::usage(what, hint))
    })
}

/// Fails if two of the configured copies are in one place, one lies within the other, or within the configured vault, however
/// each is spelled: a disk must not count as two. Whatever can't be looked at now is judged by its name.
///
/// # Errors
/// If they are.
pub fn must_differ(config: &Config) -> Result<(), CliError> {
    let hint = format!("correct {}: give each [[copy]] a place of its own", config.path.display());
    let lies = |first: At<'_>, second: At<'_>| {
        places::overlap(first, second).unwrap_or_else(|_| places::by_name(first, second))
    };
    for (no, copy) in config.copies.iter().enumerate() {
        let here = (&copy.url, copy.s3.endpoint.as_deref());
        let vault = config.url.as_ref().map(|url| (url, config.s3.endpoint.as_deref()));
        if let Some((url, how)) = vault.and_then(|vault| Some((vault.0, lies(here, vault)?))) {
            let what = match how {
                Overlap::Same => format!("the copy {} is the vault itself: {url}", copy.name),
                how => format!("the copy {} {} the vault {url}: {}", copy.name, how.as_str(), copy.url),
            };
            return Err(CliError::usage(what, hint));
        }
        for other in config.copies.iter().take(no) {
            let Some(how) = lies(here, (&other.url, other.s3.endpoint.as_deref())) else { continue };
            let what = match how {
                Overlap::Same => format!("the copies {} and {} are in one place: {}", other.name, copy.name, copy.url),
                how => format!("the copy {} {} the copy {}: {}", copy.name, how.as_str(), other.name, copy.url),
            };
            return Err(CliError::usage(what, hint));
        }
    }
    Ok(())
}

/// Fails if a copy would lie within another vault, such as another copy.
///
/// # Errors
/// If it would.
pub fn must_lie_in_no_vault(copy: &Settings) -> Result<(), CliError> {
    let VaultUrl::Local(path) = copy.vault()? else { return Ok(()) };
    places::vault_above(path).map_or(Ok(()), |outer| {
        let what = format!("file://{} lies within the vault in {}", path.display(), outer.display());
        Err(CliError::usage(what, "give --to a directory that lies in no vault and in no copy of one"))
    })
}

/// Fails if files of a copy are files of the vault: of a tree of hard links there is one on the disk.
///
/// # Errors
/// If they are, or the copy can't be looked at.
pub fn must_share_nothing(vault: &Settings, copy: &Settings) -> Result<(), CliError> {
    let (VaultUrl::Local(ours), VaultUrl::Local(theirs)) = (vault.vault()?, copy.vault()?) else { return Ok(()) };
    let shared = match places::shared(theirs, ours) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|source| CliError::Io { what: "can't look at", path: theirs.clone(), source })?,
    };
    let (count, Some(first)) = shared else { return Ok(()) };
    let what = format!(
        "{count} files in {} are files of the vault by a second name (hard links), such as {}: they are on the disk once, so \
         this is no copy",
        copy.vault()?,
        first.display()
    );
    Err(CliError::usage(what, "make the copy with `replicate` into an empty directory, or with cp -a without -l"))
}

/// Options of a server, which a directory has none of.
///
/// # Errors
/// If some were given for a directory.
pub fn must_be_of_a_bucket(option: &str, url: &VaultUrl, s3: &S3Config) -> Result<(), CliError> {
    let given = [
        ("credentials", s3.credentials.is_some()),
        ("endpoint", s3.endpoint.is_some()),
        ("region", s3.region.is_some()),
        ("path-style", s3.path_style.is_some()),
        ("checksum", s3.checksum.is_some()),
        ("no-conditional-put", s3.conditional_put.is_some()),
    ];
    let first = given.into_iter().find(|(_, given)| *given);
    match first.filter(|_| matches!(url, VaultUrl::Local(_))) {
        None => Ok(()),
        Some((name, _)) => {
            let what = format!("--{option}-{name} says how a bucket is reached, and --{option} is a directory");
            Err(CliError::usage(what, format!("leave --{option}-{name} out, or give --{option} s3://bucket/prefix")))
        }
    }
}

/// What became of one.
pub struct Replicated {
    /// What the configuration calls it.
    pub name: Option<Name>,
    /// Where it is.
    pub url: String,
    /// What was done; nothing where its disk is not there.
    pub report: Option<ReplicateReport>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// When it was seen last, and what it lacks since: of a disk that is not there.
    pub last: Option<Last>,
}
