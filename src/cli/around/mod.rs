//! What happens around a run: hooks, the pings of a dead-man's switch, webhooks, metrics. None of it makes a run fail, but for a hook
//! that is `required`.

mod known;
mod metrics;
mod ping;
mod prometheus;
mod webhook;

use std::{path::PathBuf, time::Instant};

use super::{
    args::Command,
    commands::{self, Context},
    config::around::{AroundConfig, Hook, On},
    error::CliError,
    failure::{Exit, Failure},
    files, program,
    render::Output,
    settings::{Settings, real_env},
    wiring,
};
use crate::model::{Clock as _, Finding, Severity};

use metrics::Ran;

/// A run that ended.
struct Ended {
    output: Output,
    failure: Option<Failure>,
}

impl Ended {
    fn code(&self) -> u8 {
        self.failure.as_ref().map_or(Exit::Done, |failure| failure.exit).code()
    }
}

/// Runs a command with what belongs around it.
///
/// # Errors
/// If it fails before there is anything to show and nothing belongs around it.
pub async fn run(context: &Context, command: Command) -> Result<(Output, Option<Failure>), CliError> {
    let name = command.name();
    // What is wrong with the configuration is told by the command itself.
    let settings = if command.is_run() { Settings::new(&context.global, &real_env).ok() } else { None };
    let Some(settings) = &settings else { return commands::run(context, command).await };
    let mut around = settings.config.as_ref().map(|config| config.around.clone()).unwrap_or_default();
    let typed = typed(&command)?;
    around.metrics = typed.clone().or(around.metrics);
    let around = &around;
    let silent = around.hooks.is_empty() && around.webhooks.is_empty() && !around.pings.contains_key(name);
    if around.metrics.is_none() && silent {
        return commands::run(context, command).await;
    }
    let began = Instant::now();
    let start = ping::start(around, name);
    let started = webhook::start(settings, &around.webhooks, name);
    let mut ended = match hooks(context, around, On::Pre, name, None).await {
        Some(failure) => Ended { output: Output::Nothing, failure: Some(failure) },
        None => work(context, command).await,
    };
    for on in [On::Post, On::OnFailure] {
        if on == On::OnFailure && ended.code() == 0 {
            continue;
        }
        let failed = hooks(context, around, on, name, Some(&ended)).await;
        ended.failure = match (ended.failure, failed) {
            // A run has one failure; that of a hook is not lost behind the first.
            (Some(first), Some(hook)) => {
                warn(context, "hook.failed", &hook.message);
                Some(first)
            }
            (first, hook) => first.or(hook),
        };
    }
    // Behind the hooks: one that is required may have made it a failure.
    let (now, duration_s) = (wiring::SystemClock.now(), began.elapsed().as_secs_f64());
    if let Some(path) = &around.metrics {
        let ran = Ran { command: name, at: now, exit_code: ended.code(), duration_s };
        let writer = wiring::writer_name(settings);
        if let Err(error) = metrics::write(path, &ran, writer.as_ref(), &ended.output) {
            if typed.is_some() {
                ended.failure = ended.failure.or_else(|| Some(Failure::of(&error)));
            } else {
                warn(context, "metrics.unwritten", &format!("the metrics of this run were not written: {error}"));
            }
        }
    }
    webhook::end(context, (settings, &around.webhooks), (name, duration_s), started, &ended).await;
    ping::end(context, around, name, start, ended.code(), ended.failure.as_ref().map(|failure| failure.kind)).await;
    Ok((ended.output, ended.failure))
}

/// The file of `status --metrics`.
fn typed(command: &Command) -> Result<Option<PathBuf>, CliError> {
    let Some(path) = command.metrics() else { return Ok(None) };
    if path.extension().is_none_or(|end| end != "prom") {
        let what = format!("--metrics {}: the textfile collector passes over a name like that", path.display());
        return Err(CliError::usage(what, "give it a name that ends in .prom; a .json is written beside it"));
    }
    files::must_be_writable(path)?;
    Ok(Some(path.to_owned()))
}

async fn work(context: &Context, command: Command) -> Ended {
    match commands::run(context, command).await {
        Ok((output, failure)) => Ended { output, failure },
        Err(error) => {
            let (failure, findings) = Failure::with_findings(error);
            context.found(findings);
            Ended { output: Output::Nothing, failure: Some(failure) }
        }
    }
}

/// Tells of something that did not work and makes nothing fail.
fn warn(context: &Context, code: &str, what: &str) {
    context.found(vec![Finding::new(Severity::Warning, code, what)]);
}

/// Runs the hooks of this moment, one after the other. Gives the failure of the first that is required and failed; those
/// after it are not run before a run, and are run after one.
async fn hooks(context: &Context, around: &AroundConfig, on: On, name: &str, ended: Option<&Ended>) -> Option<Failure> {
    let mut failed = None;
    for hook in around.hooks.iter().filter(|hook| hook.on == on && hook.commands.contains(name)) {
        let (hook, told) = (hook.clone(), told(hook, name, ended));
        let ran = tokio::task::spawn_blocking(move || {
            let ended = program::run(&hook.command, hook.timeout, told);
            (hook, ended)
        });
        let Ok((hook, Err(why))) = ran.await else { continue };
        let what = format!("hook {} ({}) failed: {why}", hook.name, on.as_str());
        if !hook.required {
            warn(context, "hook.failed", &what);
            continue;
        }
        let hint = "fix the hook, or remove `required = true` from its [[hook]]".to_owned();
        failed.get_or_insert(Failure { exit: Exit::Failed, kind: "hook", message: what, hint: Some(hint) });
        if on == On::Pre {
            break;
        }
    }
    failed
}

/// What a hook is told of the run.
fn told(hook: &Hook, name: &str, ended: Option<&Ended>) -> Vec<(&'static str, String)> {
    let mut told = vec![("HOOK_ON", hook.on.as_str().to_owned()), ("HOOK_COMMAND", name.to_owned())];
    let Some(ended) = ended else { return told };
    told.push(("HOOK_EXIT_CODE", ended.code().to_string()));
    if let Some(failure) = &ended.failure {
        told.push(("HOOK_ERROR", failure.kind.to_owned()));
        told.push(("HOOK_MESSAGE", program::words(&failure.message)));
    }
    if let Output::Backup(report) = &ended.output {
        let ids: Vec<String> = report.snapshots.iter().map(|one| one.id.to_string()).collect();
        told.push(("HOOK_SNAPSHOTS", ids.join(" ")));
    }
    told
}
