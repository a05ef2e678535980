//! Commands for people to type: the program by its name, and the same vault, options and identities as now.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    error::CliError,
    settings::{Settings, real_env},
    shell,
};
use crate::{
    store::{VaultUrl, credentials::is_passed_by_systemd, s3::S3Settings},
    vault::Vault,
};

/// How a command of this vault is typed. Files that systemd passed to a service are gone when that ends, and are not named.
pub struct Typed {
    /// Options that come behind.
    reach: Vec<String>,
    identities: Vec<String>,
}

impl Typed {
    /// As `settings` say and `identities` were given.
    ///
    /// # Errors
    /// If a path can't be made absolute.
    pub fn new(settings: &Settings, vault: &Vault, identities: &[OsString]) -> Result<Self, CliError> {
        let mut reach = Vec::new();
        let mut option = |name: &str, value: String| reach.extend([format!("--{name}"), value]);
        if let Some(config) = settings.config.as_ref().filter(|config| !is_passed_by_systemd(&config.path)) {
            option("config", absolute(&config.path)?.display().to_string());
        }
        option("vault", vault.store.url());
        option("vault-id", vault.descriptor.vault.to_string());
        if let VaultUrl::S3 { bucket, prefix } = settings.vault()? {
            let S3Settings { endpoint, region, path_style, checksum, conditional_put, .. } =
                settings.reach(bucket, prefix);
            if let Some(endpoint) = endpoint {
                option("endpoint", endpoint);
            }
            if let Some(region) = region {
                option("region", region);
            }
            if let Some(spec) = settings.credentials() {
                let spec = spec.to_string();
                let spec = match spec.strip_prefix("file:") {
                    Some(path) if is_passed_by_systemd(Path::new(path)) => "file:CREDENTIALS".to_owned(),
                    Some(path) => format!("file:{}", absolute(Path::new(path))?.display()),
                    None => spec,
                };
                option("credentials", spec);
            }
            option("checksum", checksum.to_string());
            if path_style {
                reach.push("--path-style".to_owned());
            }
            if !conditional_put {
                reach.push("--no-conditional-put".to_owned());
            }
        }
        let mut words = Vec::new();
        for identity in identities {
            let word = match Path::new(identity) {
                _ if identity == "-" => "-".to_owned(),
                path if is_passed_by_systemd(path) => "IDENTITY".to_owned(),
                path => absolute(path)?.display().to_string(),
            };
            words.extend(["-i".to_owned(), word]);
        }
        // What is in the environment is there for the next command as well.
        if words.is_empty() && real_env("STRONGROOM_IDENTITY").is_none() {
            words.extend(["-i".to_owned(), "IDENTITY".to_owned()]);
        }
        Ok(Self { reach, identities: words })
    }

    /// A command that reads what is clear.
    #[must_use]
    pub fn reading(&self, words: &[&str]) -> String {
        line(words.iter().copied().chain(self.reach.iter().map(String::as_str)))
    }

    /// A command that opens snapshots.
    #[must_use]
    pub fn opening(&self, words: &[&str]) -> String {
        let more = self.identities.iter().chain(&self.reach).map(String::as_str);
        line(words.iter().copied().chain(more))
    }

    /// A path, from wherever the command is typed.
    ///
    /// # Errors
    /// If it can't be made absolute.
    #[allow(clippy::unused_self, reason = "it goes into a command of these")]
    pub fn path(&self, path: &Path) -> Result<String, CliError> {
        Ok(absolute(path)?.display().to_string())
    }
}

fn line<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = std::iter::once("strongroom").chain(words).map(shell::quoted).collect();
    words.join(" ")
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    let failed = |source| CliError::Io { what: "can't find", path: path.to_owned(), source };
    std::path::absolute(path).map_err(failed)
}
