//! Where the configuration and the command line become sources.

mod forge;
mod git;
mod glob;

use std::{io, path::Path};

use super::{
    args::BackupArgs,
    config::{GitInput, Input, MariadbInput, SourceConfig, dsn_input},
    error::CliError,
};
use crate::{
    model::{Cancel, Name, Span},
    ops::{OpsError, backup::Job},
    source::{
        CommandOptions, CommandSource, LargeSteps, MariadbSource, PathSource, PostgresSource, Source, SqliteSource,
        StdinSource,
        mariadb::Flavour,
        postgres::PostgresOptions,
        spool::{SPOOL, SpoolPlace},
        sqlite,
    },
};

#[cfg(feature = "full")]
pub use forge::forge_token;

/// The directory of spools in that of the writer's state.
pub const SPOOLS: &str = "spool";

/// The sources that `args` and the configuration ask for.
///
/// # Errors
/// If there are none, or one that is asked for is not configured.
pub fn jobs(
    args: BackupArgs,
    configured: &[SourceConfig],
    (state, cancel): (&Path, &Cancel),
) -> Result<Vec<Job>, CliError> {
    if let Some(name) = args.name.clone() {
        return Ok(vec![ad_hoc(name, args, state)?]);
    }
    configured_jobs(&args.sources, args.allow_empty, configured, (state, cancel))
}

/// The configured sources that `wanted` names, or all of them.
///
/// # Errors
/// If there are none, or one that is asked for is not configured.
pub fn configured_jobs(
    wanted: &[Name],
    allow_empty: bool,
    configured: &[SourceConfig],
    (state, cancel): (&Path, &Cancel),
) -> Result<Vec<Job>, CliError> {
    let has = |name: &Name| configured.iter().any(|source| source.name == *name || holds(source, name));
    if let Some(unknown) = wanted.iter().find(|name| !has(name)) {
        let names: Vec<&str> = configured.iter().map(|source| source.name.as_str()).collect();
        let hint = match names.as_slice() {
            [] => "the configuration has no [[source]]; give one as `--name NAME -- COMMAND`".to_owned(),
            names => format!("the configured sources are {}", names.join(", ")),
        };
        return Err(CliError::usage(format!("no source is called {unknown}"), hint));
    }
    let all = wanted.is_empty();
    let mut chosen = Vec::new();
    for source in configured {
        let whole = all || wanted.contains(&source.name);
        if whole || wanted.iter().any(|name| holds(source, name)) {
            let mut jobs = jobs_of(source, allow_empty, (state, cancel));
            if !whole {
                jobs.retain(|job| wanted.contains(&job.name));
                // Some of a group tell nothing of the others.
                for job in &mut jobs {
                    job.group = None;
                }
            }
            chosen.extend(jobs);
        }
    }
    let missing =
        |name: &&Name| !configured.iter().any(|s| s.name == **name) && !chosen.iter().any(|job| job.name == **name);
    if let Some(name) = wanted.iter().find(missing) {
        let hint = "the repositories of a source with `repos`, and of a forge, are called SOURCE.PATH; `strongroom snapshots` lists those \
                    that were backed up";
        return Err(CliError::usage(format!("no repository is called {name}"), hint));
    }
    let mut names: Vec<&Name> = chosen.iter().map(|job| &job.name).collect();
    names.sort_unstable();
    if let Some([twice, _]) = names.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
        let hint = "give the [[source]] that is called so another name";
        return Err(CliError::usage(format!("two sources are called {twice}"), hint));
    }
    if chosen.is_empty() {
        let hint = "add a [[source]] to the configuration, or give one as `--name NAME -- COMMAND`";
        return Err(CliError::usage(
            "there is nothing to back up: no [[source]] is configured, and none was given",
            hint,
        ));
    }
    Ok(chosen)
}

/// Whether `name` may be that of one of several repositories that `source` stands for.
fn holds(source: &SourceConfig, name: &Name) -> bool {
    let below = || name.as_str().strip_prefix(source.name.as_str()).is_some_and(|rest| rest.starts_with('.'));
    let many = match &source.input {
        Input::Git(git) => git.many,
        Input::Forge(forge) => forge.code,
        _ => false,
    };
    many && below()
}

/// A `[[source]]` as sources.
fn jobs_of(config: &SourceConfig, allow_empty: bool, (state, cancel): (&Path, &Cancel)) -> Vec<Job> {
    let spool = || spool_of(state, config.spool);
    let source: Box<dyn Source> = match &config.input {
        Input::Path { path, exclude } => Box::new(PathSource::new(path).excluding(exclude.clone())),
        Input::Git(input) => return git::jobs(&config.name, input, allow_empty || config.allow_empty, state),
        Input::Forge(input) => {
            return forge::jobs(&config.name, input, (allow_empty || config.allow_empty, cancel), state);
        }
        Input::Mariadb(input) => Box::new(server(input.clone()).based(config.journal.is_some()).spooling(spool())),
        Input::Postgres(options) => Box::new(PostgresSource::new((**options).clone()).spooling(spool())),
        Input::Sqlite { path, lock_timeout } => {
            Box::new(SqliteSource::new(path, lock_timeout.map_or(sqlite::LOCK_TIMEOUT, Span::as_duration)))
        }
        Input::Command { argv, timeout, min_bytes, trailer, stream } => {
            let options = CommandOptions {
                timeout: timeout.map(Span::as_duration),
                min_bytes: *min_bytes,
                trailer: trailer.as_ref().map(|text| text.clone().into_bytes()),
                env: Vec::new(),
                stream: stream.clone(),
            };
            Box::new(CommandSource::new(argv.iter().map(Into::into).collect(), options).spooling(spool()))
        }
    };
    let (allow_empty, timeout) = (allow_empty || config.allow_empty, config.timeout.map(Span::as_duration));
    vec![Job { name: config.name.clone(), source, allow_empty, group: None, timeout }]
}

/// How much of a dump may wait on the disk, of the source that is allowed most: they are read one after the other.
#[must_use]
pub fn most_spooled(configured: &[SourceConfig]) -> u64 {
    configured.iter().map(|source| source.spool).max().unwrap_or_default()
}

/// Where dumps wait for the backup to store them.
fn spool_of(state: &Path, most: u64) -> Option<SpoolPlace> {
    Some(SpoolPlace { dir: state.join(SPOOLS), most }).filter(|place| place.most > 0)
}

fn ad_hoc(name: Name, args: BackupArgs, state: &Path) -> Result<Job, CliError> {
    let BackupArgs {
        stdin,
        path,
        git: args_git,
        postgres,
        sqlite: database,
        mariadb,
        mysql,
        command,
        stream,
        exclude,
        allow_empty,
        ..
    } = args;
    let dsn = mariadb.map(|dsn| (Flavour::Mariadb, dsn)).or_else(|| mysql.map(|dsn| (Flavour::Mysql, dsn)));
    let source: Box<dyn Source> = if stdin {
        let default = || "stdin".parse().map_err(|_| OpsError::Defect("the name of the stream"));
        Box::new(StdinSource::new(Box::new(LargeSteps::new(io::stdin())), stream.map_or_else(default, Ok)?))
    } else if let Some(path) = path {
        Box::new(PathSource::new(path).excluding(exclude))
    } else if let Some(place) = args_git {
        git::one(&name, place.as_ref(), &GitInput::default(), allow_empty, state)
    } else if let Some(dsn) = postgres {
        let hint = "it is `service=NAME`, `host=… user=… dbname=…` or a postgresql:// URL, as psql takes it";
        let info = dsn.parse().map_err(|e| CliError::usage(format!("--postgres: {e}"), hint))?;
        Box::new(PostgresSource::new(PostgresOptions::new(info)).spooling(spool_of(state, SPOOL)))
    } else if let Some(path) = database {
        Box::new(SqliteSource::new(path, sqlite::LOCK_TIMEOUT))
    } else if let Some((flavour, dsn)) = dsn {
        let mut input = dsn_input(flavour, &dsn).map_err(|why| CliError::usage("this DSN can't be used", why))?;
        input.exclude = exclude;
        Box::new(server(input).spooling(spool_of(state, SPOOL)))
    } else {
        Box::new(CommandSource::new(command, CommandOptions { stream, ..CommandOptions::default() }))
    };
    Ok(Job { name, source, allow_empty, group: None, timeout: None })
}

/// The source for a server. Its password is read when it is opened, so that a wrong one fails this source alone.
fn server(input: MariadbInput) -> MariadbSource {
    let MariadbInput { flavour, login, databases, exclude, depth } = input;
    MariadbSource::new(flavour, login, databases, depth).excluding(exclude)
}
