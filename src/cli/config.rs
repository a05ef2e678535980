//! `strongroom.toml`: read strictly, so that a misspelt key is told and not ignored.

pub mod airgap;
pub mod around;
pub mod copy;
mod delta;
pub mod drill;
pub mod limits;
#[cfg(feature = "full")]
pub mod request;
mod runs;
mod source;
pub mod watch;
pub mod webhook;
mod writer;

use std::{
    fmt, fs, io,
    ops::Range,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use airgap::{AirgapConfig, RawAirgap};
use around::{AroundConfig, RawHook, RawMetrics, RawPing};
use copy::{CopyConfig, RawCopy};
use delta::RawDelta;
use drill::RawDrill;
use limits::{LimitsConfig, RawLimits};
#[cfg(feature = "full")]
use request::{RawRequest, RequestConfig};
use source::RawSource;
use watch::{RawWatch, WatchConfig};
use webhook::RawWebhook;
use writer::RawWriter;

use crate::{
    engine::Servers,
    model::{Name, Span, Tiers, VaultId},
    source::redact::{given, given_as, without_given},
    store::{VaultUrl, credentials::CredentialsSpec, s3::Checksum},
};

/// The largest file that is read, in bytes.
const LIMIT: u64 = 1 << 20;

pub use self::writer::{Compression, WriterConfig};
pub use source::{AppInput, ForgeInput, GitInput, Input, MariadbInput, SourceConfig, forge_place, mariadb::dsn_input};

/// What is wrong with a configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may write what this user would run.
    #[error("the configuration {} says what is run here, and {why}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Who may.
        why: String,
    },
    /// The text is not what it should be.
    #[error("{}:{line}:{column}: {message}", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1, in characters.
        column: usize,
        /// What is wrong.
        message: String,
    },
}

/// A configuration whose relative paths were made absolute.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// The vault.
    pub url: Option<VaultUrl>,
    /// The id that it must have.
    pub id: Option<VaultId>,
    /// How a bucket is reached.
    pub s3: S3Config,
    /// Who writes.
    pub writer: Option<WriterConfig>,
    /// Who signs evidence here.
    pub member: Option<MemberConfig>,
    /// How long things are kept.
    pub lock: LockConfig,
    /// Whether a directory vault sets the immutable flag.
    pub immutable: bool,
    /// Servers that are lent for drills.
    pub servers: Servers,
    /// What is backed up.
    pub sources: Vec<SourceConfig>,
    /// What a watch does.
    pub watch: WatchConfig,
    /// What happens around runs.
    pub around: AroundConfig,
    /// What a backup is held to.
    pub limits: LimitsConfig,
    /// Where copies of the vault are kept.
    pub copies: Vec<CopyConfig>,
    /// How the ways to the vault are cut.
    pub airgap: Option<AirgapConfig>,
    /// Who may have what backed up now.
    #[cfg(feature = "full")]
    pub request: Option<RequestConfig>,
    /// Who else may write it, if anybody may.
    pub foreign: Option<String>,
}

/// What `[vault]` says of a bucket.
#[derive(Debug, Clone, Default)]
pub struct S3Config {
    /// The server, if it is not AWS.
    pub endpoint: Option<String>,
    /// The bucket's region.
    pub region: Option<String>,
    /// Whether the bucket's name goes into the path.
    pub path_style: Option<bool>,
    /// Where the credentials come from.
    pub credentials: Option<CredentialsSpec>,
    /// What a put sends along for the store to verify.
    pub checksum: Option<Checksum>,
    /// Whether the server honours conditional puts.
    pub conditional_put: Option<bool>,
}

/// `[lock]`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockConfig {
    /// How long to promise, if shorter than the vault's policy says.
    pub keep: Option<Span>,
    /// What the first snapshots of weeks, months and years are kept for.
    #[serde(default)]
    pub tiers: Tiers,
    /// How often everything is stored anew.
    pub full_every: Option<Span>,
}

/// `[member]`.
#[derive(Debug, Clone)]
pub struct MemberConfig {
    /// Its name, if the key is to be held against it.
    pub name: Option<Name>,
    /// Its key file.
    pub key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    vault: RawVault,
    writer: Option<RawWriter>,
    delta: Option<Spanned<RawDelta>>,
    member: Option<RawMember>,
    #[serde(default)]
    lock: LockConfig,
    #[serde(default)]
    local: RawLocal,
    #[serde(default)]
    drill: RawDrill,
    #[serde(default)]
    watch: RawWatch,
    airgap: Option<Spanned<RawAirgap>>,
    #[cfg(feature = "full")]
    request: Option<Spanned<RawRequest>>,
    // It is heard by the whole program alone.
    #[cfg(not(feature = "full"))]
    #[serde(rename = "request")]
    _request: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    metrics: RawMetrics,
    #[serde(default)]
    ping: RawPing,
    #[serde(default)]
    hook: Vec<RawHook>,
    #[serde(default)]
    webhook: Vec<RawWebhook>,
    #[serde(default)]
    copy: Vec<RawCopy>,
    #[serde(default)]
    source: Vec<Spanned<RawSource>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawVault {
    url: Option<Spanned<String>>,
    id: Option<VaultId>,
    endpoint: Option<String>,
    region: Option<String>,
    path_style: Option<bool>,
    credentials: Option<Spanned<String>>,
    checksum: Option<Spanned<String>>,
    conditional_put: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMember {
    name: Option<Name>,
    key: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLocal {
    #[serde(default)]
    immutable: bool,
}

/// Something wrong at a place of the text.
struct Fault(Range<usize>, String);

impl Fault {
    fn new<T>(at: &Spanned<T>, message: impl fmt::Display) -> Self {
        Self(at.span(), message.to_string())
    }
}

impl Config {
    /// Reads the configuration at `path`.
    ///
    /// # Errors
    /// If it can't be read, or says anything that is not understood.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let unreadable = |source| ConfigError::Unreadable { path: path.clone(), source };
        let meta = fs::metadata(&path).map_err(unreadable)?;
        if meta.len() > LIMIT {
            return Err(unreadable(io::Error::other("it is larger than 1 MiB")));
        }
        let text = fs::read_to_string(&path).map_err(unreadable)?;
        let foreign = foreign(&meta, rustix::process::geteuid().as_raw());
        Ok(Self { foreign, ..Self::parse(&text, &path)? })
    }

    /// Fails if other users may write to it: what it names is run.
    ///
    /// # Errors
    /// If they may.
    pub fn must_be_ours(&self) -> Result<(), ConfigError> {
        match &self.foreign {
            Some(why) => Err(ConfigError::Foreign { path: self.path.clone(), why: why.clone() }),
            None => Ok(()),
        }
    }

    /// Reads the text of the configuration at `path`, which is absolute.
    ///
    /// # Errors
    /// `Wrong`, with the line and the column, if it is none.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let wrong = |Fault(at, message): Fault| {
            let (line, column) = place(text, at.start);
            let message = without_given(&message);
            ConfigError::Wrong { path: path.to_owned(), line, column, message }
        };
        note_secrets(text);
        let raw: Raw = toml::from_str(text).map_err(|error| {
            let line = text.get(error.span().unwrap_or_default().start..).unwrap_or_default();
            let said = brackets(error.message(), line).map_or_else(|| plain(error.message()), str::to_owned);
            wrong(Fault(error.span().unwrap_or_default(), said))
        })?;
        Self::of_raw(raw, path).map_err(wrong)
    }

    fn of_raw(raw: Raw, path: &Path) -> Result<Self, Fault> {
        let dir = path.parent().unwrap_or(path);
        let url = parsed(raw.vault.url.as_ref())?;
        let credentials: Option<CredentialsSpec> = parsed(raw.vault.credentials.as_ref())?;
        let s3 = S3Config {
            credentials: credentials.map(|spec| spec.relative_to(dir)),
            checksum: parsed(raw.vault.checksum.as_ref())?,
            endpoint: raw.vault.endpoint,
            region: raw.vault.region,
            path_style: raw.vault.path_style,
            conditional_put: raw.vault.conditional_put,
        };
        let mut sources: Vec<SourceConfig> = Vec::new();
        for raw in raw.source {
            let at = raw.get_ref().name.span();
            let source = source::parse(raw, dir)?;
            if sources.iter().any(|other| other.name == source.name) {
                return Err(Fault(at, format!("there are two sources called {}", source.name)));
            }
            source.must_not_share_a_slot(&sources, at)?;
            sources.push(source);
        }
        Ok(Self {
            path: path.to_owned(),
            url,
            id: raw.vault.id,
            s3,
            writer: writer::parse(raw.writer, raw.delta.as_ref(), dir)?,
            member: raw.member.map(|member| MemberConfig { name: member.name, key: dir.join(member.key) }),
            lock: raw.lock,
            immutable: raw.local.immutable,
            servers: drill::parse(raw.drill, dir)?,
            watch: watch::parse(raw.watch, dir)?,
            around: around::parse(raw.metrics, raw.ping, (raw.hook, raw.webhook), dir)?,
            limits: limits::parse(&raw.limits)?,
            copies: copy::parse(raw.copy, dir)?,
            airgap: airgap::parse(raw.airgap.as_ref(), dir)?,
            #[cfg(feature = "full")]
            request: request::parse(raw.request, dir, &sources)?,
            sources,
            foreign: None,
        })
    }

    /// The directory of the file.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}

/// Who besides its user and root may write a configuration, if anybody may. Of root's, its group too: what it names is run.
fn foreign(meta: &fs::Metadata, us: u32) -> Option<String> {
    let (owner, mode) = (meta.uid(), meta.mode() & 0o7777);
    if !meta.is_file() {
        // A pipe or a terminal is written to by whoever gave it.
        return None;
    }
    if us == 0 && owner != 0 {
        return Some(format!(
            "it belongs to user {owner}, and this is root: chown 0 it, or run strongroom as that user"
        ));
    }
    let bits = if us == 0 { 0o022 } else { 0o002 };
    (mode & bits != 0).then(|| format!("other users may write to it (its mode is {mode:04o}): chmod go-w it"))
}

/// Notes what may be secret in a configuration, whatever key it stands under, and also if it is no TOML.
fn note_secrets(text: &str) {
    fn walk(name: &str, value: &toml::Value) {
        match value {
            toml::Value::String(text) => given_as(name, text),
            toml::Value::Array(all) => all.iter().for_each(|value| walk(name, value)),
            toml::Value::Table(all) => all.iter().for_each(|(name, value)| walk(name, value)),
            _ => {}
        }
    }
    match text.parse::<toml::Table>() {
        // Files and paths are called by what they hold, and are no secrets.
        Ok(table) => table
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "vault" | "copy"))
            .for_each(|(name, value)| walk(name, value)),
        Err(_) => text.lines().for_each(given),
    }
}

/// What the parser says of a table where a list of tables belongs, and the other way round.
fn brackets(message: &str, line: &str) -> Option<&'static str> {
    if message.contains("invalid type: map, expected a sequence") {
        return Some(
            "there may be several of these, so its name stands in two brackets, such as [[source]] or [[source.check]]",
        );
    }
    (line.starts_with("[[") && message.contains("invalid type"))
        .then_some("there is one of these only, so its name stands in one bracket, such as [vault] or [writer]")
}

/// What the parser says, without a value that is more than a word: such may be a secret under a wrong key.
fn plain(message: &str) -> String {
    let message = message.replace('\n', " ");
    let word = |text: &str| text.len() <= 40 && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    for (open, close) in [
        ("string \"", "\", expected"),
        ("unknown variant `", "`, expected"),
        ("unknown field `", "`, expected"),
        ("\"", "\" is not a valid"),
    ] {
        let Some(from) = message.find(open).map(|at| at + open.len()) else { continue };
        let Some(to) = message.rfind(close).filter(|to| *to >= from) else { continue };
        if !message.get(from..to).is_some_and(word) {
            let (before, after) = (message.get(..from).unwrap_or_default(), message.get(to..).unwrap_or_default());
            return format!("{before}…{after}");
        }
    }
    message
}

/// A text that must mean something.
fn parsed<T: std::str::FromStr<Err: fmt::Display>>(text: Option<&Spanned<String>>) -> Result<Option<T>, Fault> {
    text.map(|text| text.get_ref().parse().map_err(|e| Fault::new(text, e))).transpose()
}

/// Line and column of a byte, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
