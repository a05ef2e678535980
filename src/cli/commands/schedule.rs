//! `schedule`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

use super::{Context, Done};
use crate::{
    cli::{
        args::{ScheduleArgs, ScheduleRole},
        config::{Config, Input, watch::Deed},
        error::CliError,
        files,
        render::Output,
        settings::{DEFAULT_CONFIG, real_env},
    },
    model::{Finding, Name, Severity},
    ops::schedule::{self, Entry, ScheduleRequest, Task},
    store::{VaultUrl, credentials::CredentialsSpec},
};

/// Runs it. It reads configurations and writes files.
pub(super) fn run(context: &Context, args: &ScheduleArgs) -> Result<Done, CliError> {
    let named = context.global.config.clone().or_else(|| real_env("STRONGROOM_CONFIG").map(Into::into));
    let config = named.unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG));
    let config = whole("--config", &config)?;
    let identity = args.identity.as_deref().map(|path| whole("--identity", path)).transpose()?;
    let user_fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    if args.user.is_empty() || !args.user.chars().all(user_fits) {
        return Err(CliError::usage("--user is not a valid user name", "give one such as strongroom"));
    }
    let mut entries = Vec::new();
    for (role, tasks) in boxes(args.role) {
        let path = if *role == args.role { config.clone() } else { beside(&config, *role) };
        if *role == ScheduleRole::Copier && *role != args.role && !path.exists() {
            continue;
        }
        if *role != args.role && !path.exists() {
            say(context, &format!("{} is not there, so nothing of the {} was written", path.display(), name(*role)));
            continue;
        }
        let read = Config::read(&path)?;
        for task in *tasks {
            entries.extend(entry(context, (args.role, identity.as_deref()), *task, &read)?);
        }
        let already: BTreeSet<Name> = entries.iter().filter_map(|entry| entry.copy.clone()).collect();
        entries.extend(copies(&read, &already)?);
        if *role == ScheduleRole::Copier && read.copies.is_empty() {
            let what = format!("{} has no [[copy]], so there is nothing to schedule", read.path.display());
            return Err(CliError::usage(what, "add [[copy]] with a name and a url to the copier's configuration"));
        }
    }
    let program = match &args.program {
        // Which one of that name it would be, the user's PATH decides; systemd and cron have another.
        Some(program) if program.components().count() < 2 => {
            let what = format!("--program {} is a name, and not a path", program.display());
            return Err(CliError::usage(what, "give the program's path, such as /usr/bin/strongroom"));
        }
        Some(program) => whole("--program", program)?,
        None => std::env::current_exe().map_err(|source| CliError::Io {
            what: "can't find strongroom's own program",
            path: "/proc/self/exe".into(),
            source,
        })?,
    };
    let request = ScheduleRequest { entries, program, user: args.user.clone() };
    let Some(dir) = &args.systemd else {
        return Ok((Output::Text(schedule::cron(&request)?), None));
    };
    let units = schedule::systemd(&request)?;
    let failed = |source| CliError::Io { what: "can't make", path: dir.clone(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    let mut written = Vec::new();
    for unit in &units {
        let path = dir.join(&unit.name);
        if files::read(&path)?.is_some_and(|there| there != unit.text.as_bytes()) {
            let hint =
                "give another directory, or move what is there away; changes belong into drop-ins (systemctl edit)";
            return Err(CliError::usage(format!("{} is there and says something else", path.display()), hint));
        }
        files::replace_readable(&path, unit.text.as_bytes())?;
        written.push(path);
    }
    Ok((Output::Schedule(written), None))
}

/// A path as units and crontabs need it: from the root on, and without `..`, which systemd takes nowhere.
fn whole(option: &str, path: &Path) -> Result<PathBuf, CliError> {
    let failed = |source| CliError::Io { what: "can't find out where it is:", path: path.to_owned(), source };
    let absolute: PathBuf = std::path::absolute(path).map_err(failed)?.components().collect();
    if !absolute.components().any(|part| part == Component::ParentDir) {
        return Ok(absolute);
    }
    if let (Some(Ok(dir)), Some(name)) = (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        return Ok(dir.join(name));
    }
    let what = format!("{option} {}: what `..` means there can't be found out", path.display());
    Err(CliError::usage(what, "give the path from the root on, without `..`"))
}

/// What runs on the box of a role, and with whose configuration.
const fn boxes(role: ScheduleRole) -> &'static [(ScheduleRole, &'static [Task])] {
    const PRUNER: (ScheduleRole, &[Task]) = (ScheduleRole::Pruner, &[Task::Prune]);
    const AUDITOR: (ScheduleRole, &[Task]) = (ScheduleRole::Auditor, &[Task::Verify, Task::Watch, Task::Status]);
    const DRILLER: (ScheduleRole, &[Task]) = (ScheduleRole::Driller, &[Task::Drill]);
    const COPIER: (ScheduleRole, &[Task]) = (ScheduleRole::Copier, &[]);
    match role {
        ScheduleRole::Writer => &[(ScheduleRole::Writer, &[Task::Backup, Task::Doctor, Task::Journal, Task::Request])],
        ScheduleRole::Keeper => &[(ScheduleRole::Keeper, &[Task::Renew]), PRUNER, AUDITOR, DRILLER, COPIER],
        ScheduleRole::Pruner => &[PRUNER],
        ScheduleRole::Auditor => &[AUDITOR],
        ScheduleRole::Driller => &[DRILLER],
        ScheduleRole::Copier => &[COPIER],
    }
}

const fn name(role: ScheduleRole) -> &'static str {
    match role {
        ScheduleRole::Writer => "writer",
        ScheduleRole::Keeper => "keeper",
        ScheduleRole::Pruner => "pruner",
        ScheduleRole::Auditor => "auditor",
        ScheduleRole::Driller => "driller",
        ScheduleRole::Copier => "copier",
    }
}

fn beside(config: &Path, role: ScheduleRole) -> PathBuf {
    config.with_file_name(format!("{}.toml", name(role)))
}

fn say(context: &Context, what: &str) {
    context.found(vec![Finding::new(Severity::Warning, "schedule.partial", what)]);
}

/// One thing that runs; nothing, where it can't.
fn entry(
    context: &Context,
    (role, identity): (ScheduleRole, Option<&Path>),
    task: Task,
    config: &Config,
) -> Result<Option<Entry>, CliError> {
    if task == Task::Journal && config.sources.iter().all(|source| source.journal.is_none()) {
        return Ok(None);
    }
    let socket = config.request.as_ref().map(|request| request.socket.clone()).filter(|_| task == Task::Request);
    if task == Task::Request && socket.is_none() {
        return Ok(None);
    }
    let opens = matches!(task, Task::Drill | Task::Watch);
    if task == Task::Drill && identity.is_none() {
        if role == ScheduleRole::Driller {
            let what = "a drill opens snapshots, and no identity was given: there is nothing to schedule";
            return Err(CliError::usage(what, "give -i FILE, the identity's path on the host where the drill runs"));
        }
        say(context, "a drill opens snapshots: without --identity nothing of the driller was written");
        return Ok(None);
    }
    let mut writes = BTreeSet::new();
    if let Some(VaultUrl::Local(path)) = &config.url {
        writes.insert(path.clone());
    }
    if let Some(dir) = config.around.metrics.as_deref().and_then(Path::parent) {
        writes.insert(dir.to_owned());
    }
    let by_writer = matches!(task, Task::Backup | Task::Doctor | Task::Journal | Task::Request);
    if by_writer && config.writer.is_none() {
        let what = format!("{} has no [writer]", config.path.display());
        return Err(CliError::usage(what, "name the writer's configuration with --config"));
    }
    let secrets = secrets(config)?;
    let homes = by_writer && config.sources.iter().filter_map(|source| place(&source.input)).any(is_home);
    Ok(Some(Entry {
        task,
        config: config.path.clone(),
        secrets,
        identity: identity.filter(|_| opens).map(Path::to_owned),
        mounts: writes.clone(),
        writes,
        copy: None,
        homes,
        state: config.writer.as_ref().filter(|_| by_writer).map(|writer| writer.state.clone()),
        every: config.sources.iter().filter_map(|source| source.every).min(),
        socket,
        reacts: !config.watch.react.is_empty(),
    }))
}

/// A pass for each copy that the configuration names.
fn copies(config: &Config, already: &BTreeSet<Name>) -> Result<Vec<Entry>, CliError> {
    let mut entries = Vec::new();
    for copy in config.copies.iter().filter(|copy| !already.contains(&copy.name)) {
        let (mut writes, mut mounts, mut homes) = (BTreeSet::new(), BTreeSet::new(), false);
        if let Some(VaultUrl::Local(path)) = &config.url {
            homes |= is_home(path);
            mounts.insert(path.clone());
        }
        if let VaultUrl::Local(path) = &copy.url {
            homes |= is_home(path);
            writes.insert(path.clone());
            // A disk that lies in a drawer is no failure.
            if !copy.removable {
                mounts.insert(path.clone());
            }
        }
        entries.push(Entry {
            task: Task::Replicate,
            config: config.path.clone(),
            secrets: secrets(config)?,
            identity: None,
            writes,
            mounts,
            copy: Some(copy.name.clone()),
            homes,
            state: None,
            every: None,
            socket: None,
            reacts: false,
        });
    }
    Ok(entries)
}

/// Where a source lies, if it is in this host's files.
fn place(input: &Input) -> Option<&Path> {
    match input {
        Input::Path { path, .. } | Input::Sqlite { path, .. } => Some(path),
        _ => None,
    }
}

fn is_home(path: &Path) -> bool {
    path.starts_with("/home") || path.starts_with("/root")
}

/// Secrets that runs read besides keys and credentials: tokens of forges, and what signs webhooks.
fn others(config: &Config) -> impl Iterator<Item = &PathBuf> {
    let tokens = config.sources.iter().filter_map(|source| match &source.input {
        Input::Forge(forge) => match forge.token.as_ref().or(forge.app.as_ref().map(|app| &app.key)) {
            Some(CredentialsSpec::File(path)) => Some(path),
            _ => None,
        },
        _ => None,
    });
    let react = config.watch.react.iter().filter_map(|react| match &react.deed {
        Deed::Webhook(webhook) => Some(&webhook.secret),
        _ => None,
    });
    tokens.chain(react).chain(config.around.webhooks.iter().map(|one| &one.webhook.secret))
}

/// The files that the configuration names, which lie beside it.
fn secrets(config: &Config) -> Result<BTreeSet<String>, CliError> {
    let mut names = BTreeSet::new();
    let dir = config.dir();
    let writer = config.writer.as_ref();
    let member = config.member.as_ref();
    let key = writer.map(|writer| &writer.key).into_iter().chain(member.map(|member| &member.key));
    let credentials = match &config.s3.credentials {
        Some(CredentialsSpec::File(path)) => Some(path),
        _ => None,
    };
    let of_copies = config.copies.iter().filter_map(|copy| match &copy.s3.credentials {
        Some(CredentialsSpec::File(path)) => Some(path),
        _ => None,
    });
    for path in key.chain(credentials).chain(of_copies).chain(others(config)) {
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.parent() != Some(dir)
            || file.is_empty()
            || !file.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        {
            let what = format!("{} does not lie beside {}", path.display(), config.path.display());
            let hint = "put it there and name it without a path, such as key = \"writer.key\": systemd hands both over together";
            return Err(CliError::usage(what, hint));
        }
        names.insert(file);
    }
    if let Some(state) = writer.map(|writer| &writer.state).filter(|state| state.starts_with(dir)) {
        let what = format!("`state` is {}, beside the configuration, where a unit can't write", state.display());
        let hint = "set `state` in [writer] to a path such as /var/lib/strongroom/state, and move what is there";
        return Err(CliError::usage(what, hint));
    }
    Ok(names)
}
