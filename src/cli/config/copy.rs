//! `[[copy]]`: where copies of the vault are kept.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::{Fault, S3Config, parsed};
use crate::{
    cli::places::{self, Overlap},
    model::{Name, size::ByteSize},
    ops::replicate::Rate,
    store::{VaultUrl, credentials::CredentialsSpec},
};

/// A copy that `replicate` makes.
#[derive(Debug, Clone)]
pub struct CopyConfig {
    /// What it is called.
    pub name: Name,
    /// Where it is.
    pub url: VaultUrl,
    /// How a bucket is reached.
    pub s3: S3Config,
    /// Only snapshots of these sources; of all if there are none.
    pub sources: Vec<Name>,
    /// Only so many of the newest of each source.
    pub newest: Option<u32>,
    /// Whether what can't be locked as it should be is copied anyway.
    pub as_possible: bool,
    /// Whether it is on a disk that is not always there.
    pub removable: bool,
    /// Bytes per second that are put there.
    pub limit_upload: Option<u64>,
    /// Bytes per second that are read for it.
    pub limit_download: Option<u64>,
    /// How much parity there is beside a directory.
    pub parity: Option<Rate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCopy {
    name: Spanned<Name>,
    url: Spanned<String>,
    endpoint: Option<Spanned<String>>,
    region: Option<Spanned<String>>,
    path_style: Option<Spanned<bool>>,
    credentials: Option<Spanned<String>>,
    checksum: Option<Spanned<String>>,
    conditional_put: Option<Spanned<bool>>,
    #[serde(default)]
    sources: Vec<Name>,
    newest: Option<Spanned<u32>>,
    locks: Option<RawLocks>,
    #[serde(default)]
    removable: Option<Spanned<bool>>,
    limit_upload: Option<Spanned<String>>,
    limit_download: Option<Spanned<String>>,
    parity: Option<Spanned<String>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum RawLocks {
    Required,
    AsPossible,
}

/// What they mean.
pub(super) fn parse(all: Vec<RawCopy>, dir: &Path) -> Result<Vec<CopyConfig>, Fault> {
    let mut copies: Vec<CopyConfig> = Vec::new();
    for raw in all {
        let copy = one(&raw, dir)?;
        if copies.iter().any(|other| other.name == copy.name) {
            return Err(Fault::new(&raw.name, format!("there are two copies called {}", copy.name)));
        }
        let here = (&copy.url, copy.s3.endpoint.as_deref());
        for other in &copies {
            let Some(how) = places::by_name(here, (&other.url, other.s3.endpoint.as_deref())) else { continue };
            let what = match how {
                Overlap::Same => format!("the copies {} and {} are in one place: {}", other.name, copy.name, copy.url),
                how => format!("the copy {} {} the copy {}: {}", copy.name, how.as_str(), other.name, copy.url),
            };
            return Err(Fault::new(&raw.url, what));
        }
        copies.push(copy);
    }
    Ok(copies)
}

/// A rate with which something is copied.
fn some(at: Option<&Spanned<String>>, rate: Option<u64>) -> Result<Option<u64>, Fault> {
    match (at, rate) {
        (Some(at), Some(0)) => {
            Err(Fault::new(at, "this limit is 0, so nothing would be copied: leave it out for no limit"))
        }
        _ => Ok(rate),
    }
}

/// Fails if something says how the server of a bucket is reached: it would have no effect on a directory.
fn must_be_plain(raw: &RawCopy) -> Result<(), Fault> {
    let of_text = |text: &Option<Spanned<String>>| text.as_ref().map(Spanned::span);
    let of_choice = |choice: &Option<Spanned<bool>>| choice.as_ref().map(Spanned::span);
    let given = [
        ("endpoint", of_text(&raw.endpoint)),
        ("region", of_text(&raw.region)),
        ("path_style", of_choice(&raw.path_style)),
        ("credentials", of_text(&raw.credentials)),
        ("checksum", of_text(&raw.checksum)),
        ("conditional_put", of_choice(&raw.conditional_put)),
    ];
    match given.into_iter().find_map(|(key, at)| Some((key, at?))) {
        None => Ok(()),
        Some((key, at)) => {
            let what = format!(
                "`{key}` says how a bucket is reached, and the url of the copy {} is a directory: leave it out",
                raw.name.get_ref()
            );
            Err(Fault(at, what))
        }
    }
}

fn one(raw: &RawCopy, dir: &Path) -> Result<CopyConfig, Fault> {
    let url: VaultUrl = raw.url.get_ref().parse().map_err(|e| Fault::new(&raw.url, e))?;
    if let VaultUrl::Local(_) = url {
        must_be_plain(raw)?;
    }
    let credentials: Option<CredentialsSpec> = parsed(raw.credentials.as_ref())?;
    if let Some(at) = raw.removable.as_ref().filter(|removable| *removable.get_ref())
        && matches!(url, VaultUrl::S3 { .. })
    {
        return Err(Fault::new(at, "a bucket is not a removable disk: leave it out, or give a url of file:///"));
    }
    if let Some(at) = raw.parity.as_ref().filter(|_| matches!(url, VaultUrl::S3 { .. })) {
        return Err(Fault::new(at, "parity lies beside a directory: leave it out, or give a url of file:///"));
    }
    if let Some(newest) = raw.newest.as_ref().filter(|newest| *newest.get_ref() == 0) {
        return Err(Fault::new(newest, "`newest` is 0, so nothing would be copied: give 1 or more, or leave it out"));
    }
    let rate = |text: &Option<Spanned<String>>| -> Result<Option<u64>, Fault> {
        Ok(parsed::<ByteSize>(text.as_ref())?.map(|size| size.0))
    };
    Ok(CopyConfig {
        name: raw.name.get_ref().clone(),
        s3: S3Config {
            endpoint: raw.endpoint.as_ref().map(|text| text.get_ref().clone()),
            region: raw.region.as_ref().map(|text| text.get_ref().clone()),
            path_style: raw.path_style.as_ref().map(|given| *given.get_ref()),
            credentials: credentials.map(|spec| spec.relative_to(dir)),
            checksum: parsed(raw.checksum.as_ref())?,
            conditional_put: raw.conditional_put.as_ref().map(|given| *given.get_ref()),
        },
        url,
        sources: raw.sources.clone(),
        newest: raw.newest.as_ref().map(|newest| *newest.get_ref()),
        as_possible: raw.locks == Some(RawLocks::AsPossible),
        removable: raw.removable.as_ref().is_some_and(|removable| *removable.get_ref()),
        limit_upload: some(raw.limit_upload.as_ref(), rate(&raw.limit_upload)?)?,
        limit_download: some(raw.limit_download.as_ref(), rate(&raw.limit_download)?)?,
        parity: parsed(raw.parity.as_ref())?,
    })
}
