//! What is remembered of configured copies, beside the configuration: when each was seen last, since disks that lie in a
//! drawer can't be asked.

use std::{
    collections::BTreeMap,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    config::{Config, S3Config},
    error::CliError,
    failure::Failure,
    files,
    settings::{Env, Settings},
};
use crate::{
    format::layout,
    model::{Finding, Name, Severity, Time},
    ops::{readiness::KnownCopy, replicate::ReplicateReport},
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
    /// What was seen of a copy last.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<&Last> {
        self.copies.get(name)
    }

    /// Remembers a pass.
    pub fn note(&mut self, name: &Name, url: &str, report: &ReplicateReport) {
        let snapshots = report.there + report.copied.len() as u64;
        let last = Last { url: url.to_owned(), at: report.at, snapshots, left_out: report.left_out.len() as u64 };
        self.copies.insert(name.clone(), last);
    }
}

/// Where they are remembered: `strongroom.copies.json` beside `strongroom.toml`; in the state of a unit of systemd, which is
/// handed its configuration where nothing can be written.
#[must_use]
pub fn path(config: &Path, env: Env<'_>) -> PathBuf {
    let beside = config.with_extension("copies.json");
    let handed = env("CREDENTIALS_DIRECTORY").is_some_and(|dir| config.starts_with(dir));
    match (env("STATE_DIRECTORY"), beside.file_name()) {
        (Some(state), Some(name)) if handed => Path::new(&state).join(name),
        _ => beside,
    }
}

/// Reads what is remembered; nothing where there is no such file yet. What is there and can't be understood is told and
/// made anew: only when each copy was seen last is lost with it.
///
/// # Errors
/// If it can't be read.
pub fn read(path: &Path) -> Result<(Memory, Option<Finding>), CliError> {
    let Some(bytes) = files::read(path)? else { return Ok((Memory::default(), None)) };
    match serde_json::from_slice(&bytes) {
        Ok(memory) => Ok((memory, None)),
        Err(error) => {
            let what = format!(
                "this is not what `replicate` remembers of copies ({error}), so when each copy was seen last is not known; the \
                 next pass that is made by name writes it anew"
            );
            let finding = Finding::new(Severity::Warning, "copy.memory", what).on(path.display());
            Ok((Memory::default(), Some(finding)))
        }
    }
}

/// Writes what this run noted, beside what others did meanwhile.
///
/// # Errors
/// If it can't be written.
pub fn write(path: &Path, noted: Memory) -> Result<(), CliError> {
    let (mut memory, _) = read(path)?;
    memory.copies.extend(noted.copies);
    let text =
        serde_json::to_vec_pretty(&memory).map_err(|_| crate::ops::OpsError::Defect("what is remembered of copies"))?;
    files::replace(path, &text)
}

/// The configured copies with what is remembered of them.
///
/// # Errors
/// If what is remembered can't be read.
pub fn known(config: &Config, env: Env<'_>) -> Result<(Vec<KnownCopy>, Option<Finding>), CliError> {
    if config.copies.is_empty() {
        return Ok((Vec::new(), None));
    }
    let (memory, finding) = read(&path(&config.path, env))?;
    let of = |copy: &super::config::copy::CopyConfig| {
        // Where it is now is what counts: of another place nothing is known.
        let last = memory.get(&copy.name).filter(|last| last.url == copy.url.to_string());
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
    Ok((config.copies.iter().map(of).collect(), finding))
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
    let together = match (ours, theirs) {
        (VaultUrl::Local(ours), VaultUrl::Local(theirs)) => {
            let failed = |path: &Path, source| CliError::Io { what: "can't look at", path: path.to_owned(), source };
            let of_ours = above(ours).map_err(|error| failed(ours, error))?;
            let of_theirs = above(theirs).map_err(|error| failed(theirs, error))?;
            let within = |outer: &[Place], inner: &[Place]| outer.first().is_some_and(|own| inner.contains(own));
            match (within(&of_ours, &of_theirs), within(&of_theirs, &of_ours)) {
                (true, true) => Some("is"),
                (true, false) => Some("lies within"),
                (false, true) => Some("contains"),
                (false, false) => None,
            }
        }
        (VaultUrl::S3 { bucket: ours, prefix: outer }, VaultUrl::S3 { bucket: theirs, prefix: inner })
            if ours == theirs && server(vault) == server(copy) =>
        {
            let within = |outer: &str, inner: &str| {
                outer.is_empty()
                    || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            match (within(outer, inner), within(inner, outer)) {
                (true, true) => Some("is"),
                (true, false) => Some("lies within"),
                (false, true) => Some("contains"),
                (false, false) => None,
            }
        }
        _ => None,
    };
    together.map_or(Ok(()), |how| {
        let what = match (how, option) {
            ("is", "--from") => format!("{theirs} is the vault itself, which can't be repaired from itself"),
            ("is", _) => format!("{theirs} is the vault itself"),
            (how, _) => format!("{theirs} {how} {ours}: whatever befalls one befalls both"),
        };
        let hint =
            format!("give {option} another bucket, another prefix or another directory, neither within the other");
        Err(CliError::usage(what, hint))
    })
}

/// Fails if two of these copies are in one directory, however each is spelled.
///
/// # Errors
/// If they are, or one can't be looked at.
pub fn must_differ<'a>(copies: impl Iterator<Item = (&'a Name, &'a Settings)>) -> Result<(), CliError> {
    let mut seen: Vec<(Place, &Name)> = Vec::new();
    for (name, settings) in copies {
        let VaultUrl::Local(path) = settings.vault()? else { continue };
        let Ok(data) = path.metadata() else { continue };
        let place = (data.dev(), data.ino());
        if let Some((_, other)) = seen.iter().find(|(known, _)| *known == place) {
            let what = format!("the copies {other} and {name} are in one place: {}", path.display());
            return Err(CliError::usage(what, "give each [[copy]] a directory of its own"));
        }
        seen.push((place, name));
    }
    Ok(())
}

/// A directory, whatever it is called: its device and number.
type Place = (u64, u64);

/// A directory and those above it. What is not there yet begins at the first that is.
fn above(path: &Path) -> io::Result<Vec<Place>> {
    let mut found = Vec::new();
    let mut missing = 0;
    let mut existing = path;
    let whole = loop {
        match existing.canonicalize() {
            Ok(whole) => break whole,
            Err(error) if error.kind() == io::ErrorKind::NotFound => match existing.parent() {
                Some(parent) => existing = parent,
                None => return Err(error),
            },
            Err(error) => return Err(error),
        }
        missing += 1;
    };
    // Nothing is what is not there.
    found.extend((0..missing).map(|level| (u64::MAX, level)));
    for directory in whole.ancestors() {
        let data = directory.metadata()?;
        found.push((data.dev(), data.ino()));
    }
    Ok(found)
}

/// How the server of a bucket is called.
fn server(settings: &Settings) -> String {
    let endpoint = settings.endpoint().unwrap_or_default().trim_end_matches('/').to_ascii_lowercase();
    let endpoint = endpoint.strip_suffix(":443").filter(|rest| rest.starts_with("https:")).unwrap_or(&endpoint);
    endpoint.strip_suffix(":80").filter(|rest| rest.starts_with("http:")).unwrap_or(endpoint).to_owned()
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
