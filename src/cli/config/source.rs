//! `[[source]]`: what is backed up.

mod check;
mod expect;
mod forge;
mod git;
mod journal;
pub mod mariadb;
mod postgres;
mod spool;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use crate::{
    forge::Provider,
    model::{Name, Span},
    ops::{drill::Asked, signals::Expected},
    source::{journal::JournalOptions, mariadb::Flavour, postgres::PostgresOptions},
};

pub use forge::{AppInput, ForgeInput, forge_place};
pub use git::GitInput;
pub use mariadb::MariadbInput;

/// One `[[source]]`.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Its name.
    pub name: Name,
    /// What is read.
    pub input: Input,
    /// Whether it is right that it gives nothing.
    pub allow_empty: bool,
    /// How often `verify` expects a new snapshot.
    pub every: Option<Span>,
    /// What a drill asks besides.
    pub checks: Vec<Asked>,
    /// After this time it fails, whatever it waits for.
    pub timeout: Option<Span>,
    /// How its log becomes a journal, if it does.
    pub journal: Option<JournalOptions>,
    /// Changes that are announced.
    pub expect: Vec<Expected>,
    /// How many bytes of a dump wait on the disk at most for the backup to store them.
    pub spool: u64,
}

/// What a source reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file or a directory.
    Path {
        /// Where it is.
        path: PathBuf,
        /// Patterns of what is left out.
        exclude: Vec<String>,
    },
    /// Git repositories.
    Git(GitInput),
    /// A forge.
    Forge(ForgeInput),
    /// Databases of MariaDB or MySQL.
    Mariadb(MariadbInput),
    /// A PostgreSQL server.
    Postgres(Box<PostgresOptions>),
    /// An SQLite database.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// How long another program's lock is waited for.
        lock_timeout: Option<Span>,
    },
    /// A command's standard output.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
        /// After this time it is stopped.
        timeout: Option<Span>,
        /// Less than this is a failure.
        min_bytes: Option<u64>,
        /// What the end of its output must hold.
        trailer: Option<String>,
        /// What to call its stream.
        stream: Option<Name>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    pub(super) name: Spanned<Name>,
    kind: Kind,
    #[serde(default)]
    allow_empty: bool,
    every: Option<Span>,
    #[serde(default)]
    check: Vec<check::RawCheck>,
    #[serde(default)]
    expect: Vec<expect::RawExpect>,
    path: Option<Spanned<PathBuf>>,
    exclude: Option<Spanned<Vec<String>>>,
    repo: Option<Spanned<String>>,
    repos: Option<Spanned<git::OneOrMore>>,
    reflogs: Option<Spanned<bool>>,
    command: Option<Spanned<Vec<String>>>,
    timeout: Option<Spanned<Span>>,
    min_bytes: Option<Spanned<u64>>,
    trailer: Option<Spanned<String>>,
    stream: Option<Spanned<Name>>,
    dsn: Option<Spanned<String>>,
    databases: Option<Spanned<postgres::RawDatabases>>,
    fingerprint: Option<Spanned<postgres::RawDepth>>,
    jobs: Option<Spanned<usize>>,
    globals: Option<Spanned<bool>>,
    physical: Option<Spanned<bool>>,
    journal: Option<Spanned<journal::RawJournal>>,
    bin: Option<Spanned<PathBuf>>,
    spool: Option<Spanned<String>>,
    lock_timeout: Option<Spanned<Span>>,
    host: Option<Spanned<String>>,
    port: Option<Spanned<u16>>,
    socket: Option<Spanned<PathBuf>>,
    user: Option<Spanned<String>>,
    password_file: Option<Spanned<PathBuf>>,
    defaults_file: Option<Spanned<PathBuf>>,
    url: Option<Spanned<String>>,
    owner: Option<Spanned<String>>,
    token: Option<Spanned<String>>,
    app: Option<Spanned<forge::RawApp>>,
    full_every: Option<Spanned<Span>>,
    settings_every: Option<Spanned<Span>>,
    patience: Option<Spanned<Span>>,
    code: Option<Spanned<bool>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Path,
    Git,
    Postgres,
    Command,
    Sqlite,
    Mariadb,
    Mysql,
    Gitea,
    Github,
    Gitlab,
}

/// The kinds that are servers of MariaDB or MySQL.
const MARIADB: &[Kind] = &[Kind::Mariadb, Kind::Mysql];
/// The kinds of which something can be left out.
const PARTIAL: &[Kind] = &[Kind::Path, Kind::Mariadb, Kind::Mysql, Kind::Gitea, Kind::Github, Kind::Gitlab];
/// The kinds that are forges.
const FORGES: &[Kind] = &[Kind::Gitea, Kind::Github, Kind::Gitlab];
/// The kinds that may be of several repositories.
const SEVERAL: &[Kind] = &[Kind::Git, Kind::Gitea, Kind::Github, Kind::Gitlab];
/// The kinds that are servers.
const SERVERS: &[Kind] = &[Kind::Postgres, Kind::Mariadb, Kind::Mysql];
/// The kinds whose output can wait on the disk.
const SPOOLED: &[Kind] = &[Kind::Postgres, Kind::Mariadb, Kind::Mysql, Kind::Command];

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Git => "git",
            Self::Postgres => "postgres",
            Self::Command => "command",
            Self::Sqlite => "sqlite",
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
            Self::Gitea => "gitea",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
        }
    }

    /// The API of a forge.
    const fn forge(self) -> Option<Provider> {
        match self {
            Self::Gitea => Some(Provider::Gitea),
            Self::Github => Some(Provider::Github),
            Self::Gitlab => Some(Provider::Gitlab),
            _ => None,
        }
    }
}

/// Where a key stands, if it is there.
type At = Option<Range<usize>>;

impl RawSource {
    /// The keys that only some kinds have, and which.
    fn present(&self) -> Vec<(&'static str, At, &'static [Kind])> {
        fn at<T>(value: Option<&Spanned<T>>) -> At {
            value.map(Spanned::span)
        }
        vec![
            ("path", at(self.path.as_ref()), &[Kind::Path, Kind::Sqlite]),
            ("exclude", at(self.exclude.as_ref()), PARTIAL),
            ("repo", at(self.repo.as_ref()), &[Kind::Git]),
            ("repos", at(self.repos.as_ref()), SEVERAL),
            ("reflogs", at(self.reflogs.as_ref()), &[Kind::Git]),
            ("command", at(self.command.as_ref()), &[Kind::Command]),
            ("min_bytes", at(self.min_bytes.as_ref()), &[Kind::Command]),
            ("trailer", at(self.trailer.as_ref()), &[Kind::Command]),
            ("stream", at(self.stream.as_ref()), &[Kind::Command]),
            ("lock_timeout", at(self.lock_timeout.as_ref()), &[Kind::Sqlite, Kind::Postgres]),
            ("dsn", at(self.dsn.as_ref()), SERVERS),
            ("databases", at(self.databases.as_ref()), SERVERS),
            ("fingerprint", at(self.fingerprint.as_ref()), SERVERS),
            ("host", at(self.host.as_ref()), MARIADB),
            ("port", at(self.port.as_ref()), MARIADB),
            ("socket", at(self.socket.as_ref()), MARIADB),
            ("user", at(self.user.as_ref()), MARIADB),
            ("password_file", at(self.password_file.as_ref()), MARIADB),
            ("defaults_file", at(self.defaults_file.as_ref()), MARIADB),
            ("jobs", at(self.jobs.as_ref()), &[Kind::Postgres]),
            ("globals", at(self.globals.as_ref()), &[Kind::Postgres]),
            ("physical", at(self.physical.as_ref()), &[Kind::Postgres]),
            ("journal", at(self.journal.as_ref()), SERVERS),
            ("bin", at(self.bin.as_ref()), &[Kind::Postgres]),
            ("url", at(self.url.as_ref()), FORGES),
            ("owner", at(self.owner.as_ref()), FORGES),
            ("token", at(self.token.as_ref()), FORGES),
            ("app", at(self.app.as_ref()), FORGES),
            ("full_every", at(self.full_every.as_ref()), FORGES),
            ("settings_every", at(self.settings_every.as_ref()), FORGES),
            ("patience", at(self.patience.as_ref()), FORGES),
            ("code", at(self.code.as_ref()), FORGES),
            ("spool", at(self.spool.as_ref()), SPOOLED),
        ]
    }
}

/// What one `[[source]]` means; its relative paths start from `dir`.
pub(super) fn parse(raw: Spanned<RawSource>, dir: &Path) -> Result<SourceConfig, Fault> {
    let whole = raw.span();
    let raw = raw.into_inner();
    let (name, kind) = (raw.name.get_ref().clone(), raw.kind);
    // A key of another kind would be a wish that nobody grants.
    for (key, span, of) in raw.present() {
        if let Some(span) = span.filter(|_| !of.contains(&kind)) {
            let of: Vec<String> = of.iter().map(|kind| format!("{:?}", kind.as_str())).collect();
            let message = format!("{key:?} belongs to sources of kind {}, not {:?}", of.join(" or "), kind.as_str());
            return Err(Fault(span, message));
        }
    }
    let missing = |key: &str| Fault(whole.clone(), format!("source {name} of kind {:?} needs {key:?}", kind.as_str()));
    if let Some(empty) = raw.exclude.as_ref().filter(|all| all.get_ref().iter().any(|p| p.trim_matches('/').is_empty()))
    {
        return Err(Fault::new(empty, "a pattern of `exclude` is empty"));
    }
    if let Some(provider) = kind.forge() {
        return forge_of(raw, provider, dir, &whole);
    }
    let exclude = raw.exclude.map(Spanned::into_inner).unwrap_or_default();
    // A command sees to it by itself, and says what was left running.
    let timeout = raw.timeout.as_ref().filter(|_| kind != Kind::Command).map(|timeout| *timeout.get_ref());
    let input = match kind {
        // Seen to above.
        Kind::Gitea | Kind::Github | Kind::Gitlab => return Err(missing("owner")),
        Kind::Path => Input::Path { path: dir.join(raw.path.ok_or_else(|| missing("path"))?.into_inner()), exclude },
        Kind::Git => {
            let reflogs = raw.reflogs.is_some_and(Spanned::into_inner);
            let rest = (reflogs, raw.timeout.map(Spanned::into_inner));
            Input::Git(git::parse(raw.repo, raw.repos, rest, dir)?.ok_or_else(|| missing("repo"))?)
        }
        Kind::Mariadb | Kind::Mysql => {
            let flavour = if kind == Kind::Mysql { Flavour::Mysql } else { Flavour::Mariadb };
            let keys = mariadb::Keys {
                dsn: raw.dsn,
                host: raw.host,
                port: raw.port,
                socket: raw.socket,
                user: raw.user,
                password_file: raw.password_file,
                defaults_file: raw.defaults_file,
                databases: raw.databases,
                fingerprint: raw.fingerprint,
                exclude,
            };
            Input::Mariadb(mariadb::parse(flavour, keys, dir)?)
        }
        Kind::Postgres => {
            let dsn = raw.dsn.as_ref().ok_or_else(|| missing("dsn"))?;
            let given = postgres::Given {
                dsn,
                databases: raw.databases.as_ref(),
                fingerprint: raw.fingerprint.as_ref(),
                jobs: raw.jobs.as_ref(),
                globals: raw.globals.as_ref(),
                physical: raw.physical.as_ref(),
                lock_timeout: raw.lock_timeout.as_ref(),
                bin: raw.bin.as_ref().map(|bin| dir.join(bin.get_ref())),
            };
            Input::Postgres(Box::new(given.parse()?))
        }
        Kind::Sqlite => Input::Sqlite {
            path: dir.join(raw.path.ok_or_else(|| missing("path"))?.into_inner()),
            lock_timeout: raw.lock_timeout.map(Spanned::into_inner),
        },
        Kind::Command => {
            let argv = raw.command.ok_or_else(|| missing("command"))?;
            command_of(argv, (raw.timeout, raw.min_bytes), (raw.trailer, raw.stream))?
        }
    };
    let (checks, expect) = (check::parse(raw.check)?, expect::parse(&name, raw.expect));
    let (journal, spool) = (journal::parse(raw.journal.as_ref(), &input)?, spool::parse(raw.spool.as_ref(), &input)?);
    let (allow_empty, every) = (raw.allow_empty, raw.every);
    Ok(SourceConfig { name, input, allow_empty, every, checks, timeout, journal, expect, spool })
}

/// What the keys of a source of kind `command` mean.
fn command_of(
    argv: Spanned<Vec<String>>,
    (timeout, min_bytes): (Option<Spanned<Span>>, Option<Spanned<u64>>),
    (trailer, stream): (Option<Spanned<String>>, Option<Spanned<Name>>),
) -> Result<Input, Fault> {
    if argv.get_ref().first().is_none_or(String::is_empty) {
        return Err(Fault::new(&argv, "a command is a list of the program and its arguments"));
    }
    Ok(Input::Command {
        argv: argv.into_inner(),
        timeout: timeout.map(Spanned::into_inner),
        min_bytes: min_bytes.map(Spanned::into_inner),
        trailer: trailer.map(Spanned::into_inner),
        stream: stream.map(Spanned::into_inner),
    })
}

/// What a `[[source]]` of a forge means.
fn forge_of(raw: RawSource, provider: Provider, dir: &Path, whole: &Range<usize>) -> Result<SourceConfig, Fault> {
    let name = raw.name.get_ref().clone();
    let timeout = raw.timeout.map(Spanned::into_inner);
    let keys = forge::Keys {
        url: raw.url.as_ref(),
        owner: raw.owner.as_ref(),
        repos: raw.repos,
        token: raw.token.as_ref(),
        app: raw.app.as_ref(),
        exclude: raw.exclude,
        full_every: raw.full_every.map(Spanned::into_inner),
        settings_every: raw.settings_every.map(Spanned::into_inner),
        patience: raw.patience.map(Spanned::into_inner),
        code: raw.code.map(Spanned::into_inner),
        timeout,
    };
    let input = forge::parse(provider, keys, dir)?.ok_or_else(|| {
        let kind = provider.kind().as_str();
        Fault(whole.clone(), format!("source {name} of kind {kind:?} needs \"url\", and \"owner\" or \"repos\""))
    })?;
    let (checks, expect) = (check::parse(raw.check)?, expect::parse(&name, raw.expect));
    let (every, allow_empty, input) = (raw.every, raw.allow_empty, Input::Forge(input));
    let spool = spool::parse(None, &input)?;
    Ok(SourceConfig { name, input, checks, allow_empty, every, timeout, journal: None, expect, spool })
}
