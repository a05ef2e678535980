//! `watch`.

use std::{path::Path, sync::Arc};

use super::{Context, Done, open, verify::leave};
use crate::{
    cli::{
        args::WatchArgs,
        config::watch::React,
        error::CliError,
        failure::Failure,
        files, identity, react,
        render::Output,
        settings::{Settings, real_env},
    },
    model::{Finding, Progress, Severity},
    ops::{
        self, OpsError,
        watch::{Checkpoint, WatchReport, WatchRequest},
    },
};

/// The largest checkpoint that is read, in bytes.
const LIMIT: u64 = 1 << 30;

/// Runs it.
pub(super) async fn run(context: &Context, args: WatchArgs) -> Result<Done, CliError> {
    let before = args.checkpoint.as_deref().map(checkpoint).transpose()?.flatten();
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identity::load(&args.identity.identity, &real_env)?;
    let sources = || settings.config.iter().flat_map(|config| &config.sources);
    let reactions = settings.config.iter().flat_map(|config| config.watch.react.clone()).collect::<Vec<_>>();
    if args.react {
        if let Some(config) = &settings.config {
            config.must_be_ours()?;
        }
        if reactions.is_empty() {
            let hint = "add [[watch.react]] with a name and a command to the configuration, or leave --react out";
            return Err(CliError::usage("the configuration does not say what to do", hint));
        }
    }
    let vault = open(&settings, identities.as_ref()).await?;
    let request = WatchRequest {
        opener: identities.map(|identities| identities.opener),
        schedule: sources().filter_map(|source| Some((source.name.clone(), source.every?))).collect(),
        expected: sources().flat_map(|source| source.expect.clone()).collect(),
        checkpoint: before,
        acknowledge: args.acknowledge,
    };
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let (mut report, mut findings) = ops::watch::watch(&vault, request, &progress, &context.cancel).await?;
    let mut unwritten = args.checkpoint.as_deref().and_then(|path| keep(path, &report.checkpoint).err());
    if let (true, Some(path), None) = (args.react, &args.checkpoint, &unwritten) {
        findings.extend(respond(path, &reactions, &mut report));
        unwritten = keep(path, &report.checkpoint).err();
    }
    context.keep(findings.clone());
    let failure = Failure::of_watch(&report, &findings).or(unwritten);
    Ok((Output::Watch(Box::new(report), findings), failure))
}

/// Runs what there is to run. Each is noted in the checkpoint before it begins: what nobody knows the end of is not run
/// again.
fn respond(path: &Path, reactions: &[React], report: &mut WatchReport) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut tell = |name: &str, what: String| {
        findings.push(Finding::new(Severity::Weak, "watch.reaction", what).on(name));
    };
    for signal in report.own() {
        for reaction in reactions.iter().filter(|reaction| signal.level >= reaction.level) {
            let (cause, name) = (&signal.cause, reaction.name.as_str());
            if report.checkpoint.has_reacted(cause, name) {
                continue;
            }
            report.checkpoint.begin(cause, name, report.at);
            if keep(path, &report.checkpoint).is_err() {
                // What can't be noted would be run again at every pass.
                tell(name, format!("{name} was not run for {cause}: the checkpoint can't be written"));
                return findings;
            }
            let ended = react::run(reaction, &signal);
            if let Err(why) = &ended {
                tell(name, format!("{name} failed for {cause}: {why}"));
            }
            let ended = ended.err().unwrap_or_else(|| "done".to_owned());
            report.reactions.extend(report.checkpoint.end(cause, name, ended));
        }
    }
    findings
}

fn keep(path: &Path, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let text = serde_json::to_vec(checkpoint);
    let text = text.map_err(|_| Failure::of(&CliError::from(OpsError::Defect("the encoding of the checkpoint"))))?;
    leave(path, &text).map_or(Ok(()), Err)
}

/// Reads a checkpoint, if there is one yet.
pub(super) fn checkpoint(path: &Path) -> Result<Option<Checkpoint>, CliError> {
    files::must_be_a_file(path)?;
    let Some(bytes) = files::read_up_to(path, LIMIT)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        let what = format!("{} is no checkpoint of `watch`: {error}", path.display());
        CliError::usage(what, "give --checkpoint a file that `watch` wrote, or one that is not there yet")
    })
}
