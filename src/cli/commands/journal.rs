//! `journal run` and `journal push`: what a writer's host needs.

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::Arc,
};

use super::{Context, Done, blocking, workplace};
use crate::{
    cli::{
        args::{JournalPushArgs, JournalRunArgs},
        bars::Bars,
        config::{Config, Input, SourceConfig},
        error::CliError,
        failure::{Exit, Failure},
        notify::Notifier,
        render::Output,
        settings::{Settings, real_env},
        wiring,
    },
    model::{Name, Severity},
    ops::{
        self,
        journal::{Event, JobServer, Observer, PushRequest, RunJob, RunReport, RunRequest},
    },
    source::redact::{redact, without_given},
};

/// `journal run`.
pub(super) async fn run(context: &Context, args: JournalRunArgs) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    let (config, writer_config) = settings.writer()?;
    context.found(wiring::no_identity_beside(config, false)?);
    let jobs = jobs(config, &args.sources)?;
    let writer = wiring::writer(writer_config)?;
    let request = RunRequest {
        jobs,
        keep: config.lock.keep,
        state: writer_config.state.clone(),
        pins: settings.pins.clone(),
        until_idle: args.until_idle,
        new_cluster: args.new_cluster,
        observer: Arc::new(Teller::new(context)),
    };
    let place = workplace(context, &settings, writer).await?;
    let mut report = blocking(move |runtime| ops::journal::run(&place, runtime, &request)).await?;
    context.found(std::mem::take(&mut report.findings));
    let failure = gaps(&report).filter(|_| args.until_idle);
    Ok((Output::JournalRun(report), failure))
}

/// What it means that something can't be had any more. Who asked a service to stop was told before.
fn gaps(report: &RunReport) -> Option<Failure> {
    let (source, gap) = report.sources.iter().find_map(|one| one.gaps.first().map(|gap| (&one.source, gap)))?;
    let (from, to) = (gap.line.say(gap.from), gap.line.say(gap.to));
    let message = format!("the journal of {source} has a gap: nothing from {from} to {to} in {}", gap.line);
    let hint = Some(format!("take a new base, from which recovery is possible again: strongroom backup {source}"));
    Some(Failure { exit: Exit::Weak, kind: "journal-gap", message: redact(&message), hint })
}

/// `journal push`.
pub(super) async fn push(context: &Context, args: JournalPushArgs) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    let (config, writer_config) = settings.writer()?;
    let writer = wiring::writer(writer_config)?;
    let request = PushRequest {
        path: args.path,
        source: the_source(config, args.source.as_ref())?,
        keep: config.lock.keep,
        state: writer_config.state.clone(),
        pins: settings.pins.clone(),
        new_cluster: args.new_cluster,
        again: args.again,
        ahead: usize::try_from(args.ahead).unwrap_or_default(),
    };
    if args.behind {
        let place = workplace(context, &settings, writer).await?;
        let path = request.path.display().to_string();
        let done = blocking(move |runtime| ops::journal::push_behind(&place, runtime, &request)).await?;
        tracing::debug!(?done, path, "pushed what waited");
        return Ok((Output::Nothing, None));
    }
    // Most calls of a busy server end here, without a word to the vault.
    if let Some(report) = ops::journal::was_pushed(&writer, &request)? {
        return Ok((Output::JournalPush(report), None));
    }
    context.found(wiring::no_identity_beside(config, false)?);
    let waiting = request.waiting();
    let begun = waiting > 0 && begin_behind();
    let place = workplace(context, &settings, writer).await?;
    let mut report = blocking(move |runtime| ops::journal::push(&place, runtime, &request)).await?;
    report.ahead = if begun { waiting } else { 0 };
    context.found(std::mem::take(&mut report.findings));
    Ok((Output::JournalPush(report), None))
}

/// Begins the process that pushes what waits, as this one was begun. It outlasts this one, tells nobody anything, and is in a
/// group of its own: a signal that the server sends its archiver's group is not meant for it. That it can't be begun costs time
/// only.
fn begin_behind() -> bool {
    let Ok(program) = env::current_exe() else { return false };
    let mut command = Command::new(program);
    command.args(env::args_os().skip(1)).arg("--behind").process_group(0);
    let begun = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(error) = &begun {
        tracing::debug!(%error, "what waits is not pushed before its turn");
    }
    begun.is_ok()
}

/// The sources that have a journal.
fn with_journal(config: &Config) -> Vec<&SourceConfig> {
    config.sources.iter().filter(|source| source.journal.is_some()).collect()
}

fn names(sources: &[&SourceConfig]) -> String {
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The source of `PostgreSQL` that is named, or the only one that has a journal: its servers hand over and take segments.
pub(super) fn the_source(config: &Config, name: Option<&Name>) -> Result<Name, CliError> {
    let mut all = with_journal(config);
    let handed = |source: &&SourceConfig| matches!(source.input, Input::Postgres(_));
    if let Some(other) = all.iter().find(|source| !handed(source) && Some(&source.name) == name) {
        let hint = "its log comes by `strongroom journal run`, and back by `strongroom restore --recover-to`";
        return Err(CliError::usage(
            format!("{} is a server of MariaDB, which hands over no segments", other.name),
            hint,
        ));
    }
    all.retain(handed);
    named(&all, name)
}

/// The one of these that is named, or the only one.
fn named(all: &[&SourceConfig], named: Option<&Name>) -> Result<Name, CliError> {
    match (named, all) {
        (Some(name), _) if all.iter().any(|source| source.name == *name) => Ok(name.clone()),
        (None, [only]) => Ok(only.name.clone()),
        (Some(name), _) => {
            let hint = format!("those with `journal` in their [[source]] are: {}", names(all));
            Err(CliError::usage(format!("no source called {name} has a journal"), hint))
        }
        (None, []) => Err(no_journal()),
        (None, _) => Err(CliError::usage("several sources have a journal", format!("give --source: {}", names(all)))),
    }
}

fn no_journal() -> CliError {
    let hint = "give a [[source]] of kind \"postgres\" with physical = true also journal = { slot = \"strongroom\" }, or one of \
                kind \"mariadb\" journal = true";
    CliError::usage("no source has a journal", hint)
}

fn jobs(config: &Config, wanted: &[Name]) -> Result<Vec<RunJob>, CliError> {
    let all = with_journal(config);
    if all.is_empty() {
        return Err(no_journal());
    }
    for name in wanted {
        named(&all, Some(name))?;
    }
    let job = |source: &&SourceConfig| {
        let server = match &source.input {
            Input::Postgres(options) => JobServer::Postgres(options.clone()),
            Input::Mariadb(input) => JobServer::Mariadb(input.login.clone()),
            _ => return None,
        };
        Some(RunJob { name: source.name.clone(), server, journal: source.journal.clone()? })
    };
    let chosen = all.iter().filter(|source| wanted.is_empty() || wanted.contains(&source.name));
    Ok(chosen.filter_map(job).collect())
}

/// Tells people and the service manager what happens.
struct Teller {
    bars: Arc<Bars>,
    notifier: Notifier,
    json: bool,
    quiet: bool,
}

impl Teller {
    fn new(context: &Context) -> Self {
        let (json, quiet) = (context.global.json, context.global.quiet);
        Self { bars: Arc::clone(&context.bars), notifier: Notifier::new(), json, quiet }
    }
}

impl Observer for Teller {
    fn event(&self, event: &Event) {
        let shown = Event { message: redact(&without_given(&event.message)), ..event.clone() };
        if self.json {
            self.bars.say(&serde_json::to_string(&shown).unwrap_or_default());
        } else if !self.quiet || event.severity > Severity::Info {
            let word = match event.severity {
                Severity::Info => "",
                Severity::Warning | Severity::Weak => "warning: ",
                Severity::Error => "error: ",
            };
            self.bars.say(&format!("{word}{}: {} [{}]", shown.source, shown.message, shown.event));
        }
        self.notifier.send(&format!("STATUS={}: {}", shown.source, shown.message));
    }

    fn ready(&self) {
        self.notifier.send("READY=1\nSTATUS=receiving");
    }

    fn alive(&self) {
        self.notifier.alive();
    }

    fn stopping(&self) {
        self.notifier.send("STOPPING=1\nSTATUS=shipping what is left");
    }
}
