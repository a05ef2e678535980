//! `watch`.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use super::{
    Context, Done, open,
    seen::{checkpoint, expected},
    verify::leave,
};
use crate::{
    cli::{
        airgap,
        args::WatchArgs,
        config::watch::{Deed, React},
        error::CliError,
        failure::Failure,
        identity, react,
        render::Output,
        settings::{Settings, real_env},
        wiring,
    },
    codec::seal::Opener,
    model::{Finding, Progress, Severity},
    ops::{
        self, OpsError,
        freeze::{self, Chosen, FreezeRequest},
        lookback::{self, Known},
        signals::Signal,
        snapshots::Wanted,
        watch::{Checkpoint, WatchReport, WatchRequest},
    },
    vault::Vault,
};

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
    let opener = identities.map(|identities| identities.opener);
    let request = WatchRequest {
        opener: opener.clone(),
        schedule: sources().filter_map(|source| Some((source.name.clone(), source.every?))).collect(),
        expected: expected(&settings),
        checkpoint: before,
        acknowledge: args.acknowledge,
    };
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let (mut report, mut findings) = ops::watch::watch(&vault, request, &progress, &context.cancel).await?;
    let mut unwritten = args.checkpoint.as_deref().and_then(|path| keep(path, &report.checkpoint).err());
    if let (true, Some(path), None) = (args.react, &args.checkpoint, &unwritten) {
        findings.extend(respond(path, (&reactions, &settings), (context, &vault, opener.as_ref()), &mut report).await);
        unwritten = keep(path, &report.checkpoint).err();
    }
    context.keep(findings.clone());
    let failure = Failure::of_watch(&report, &findings).or(unwritten);
    Ok((Output::Watch(Box::new(report), findings), failure))
}

/// Runs what there is to run. Each is noted in the checkpoint before it begins: what nobody knows the end of is not run
/// again.
async fn respond(
    path: &Path,
    (reactions, settings): (&[React], &Settings),
    whole: (&Context, &Vault, Option<&Opener>),
    report: &mut WatchReport,
) -> Vec<Finding> {
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
            let ended = match reaction.deed {
                Deed::Command(_) => react::run(reaction, &signal),
                Deed::AirgapTrip => trip(settings, &signal).await,
                Deed::Freeze => {
                    let acknowledged = report.checkpoint.acknowledged.keys().cloned().collect();
                    hold(settings, whole, acknowledged, &signal).await
                }
            };
            if let Err(why) = &ended {
                tell(name, format!("{name} failed for {cause}: {why}"));
            }
            let ended = ended.err().unwrap_or_else(|| "done".to_owned());
            report.reactions.extend(report.checkpoint.end(cause, name, ended));
        }
    }
    findings
}

/// Cuts the ways to the vault.
async fn trip(settings: &Settings, signal: &Signal) -> Result<(), String> {
    let reason = format!("{}: {}", signal.cause, react::words(signal));
    let tripped = match airgap::config(settings) {
        Ok(config) => super::airgap::trip(&config, settings, "watch", reason).await,
        Err(error) => Err(error),
    };
    let (report, _) = tripped.map_err(|error| error.to_string())?;
    let unnoted = report.unnoted.first().map(|why| format!("all is cut, and it could not be noted: {why}"));
    match (report.open.is_empty(), unnoted) {
        (true, None) => Ok(()),
        (true, Some(why)) => Err(why),
        (false, _) => Err(format!("not proved to be cut: {}", report.open.join(", "))),
    }
}

/// Holds the last good snapshot, judged anew: the last calm run that a watch remembers may be one after the damage. Whoever reads
/// the vault reads why, so nothing of the data is said.
async fn hold(
    settings: &Settings,
    (context, vault, opener): (&Context, &Vault, Option<&Opener>),
    acknowledged: BTreeSet<String>,
    signal: &Signal,
) -> Result<(), String> {
    let known = Known { expected: expected(settings), acknowledged };
    let wanted = Wanted::Latest { source: signal.source.clone(), writer: Some(signal.writer.clone()), at: None };
    let on = (&*context.bars as &dyn Progress, &context.cancel);
    let found = lookback::find(vault, opener, &wanted, &known, on).await;
    let good = found.map_err(|error| error.to_string())?.snapshot.id;
    let member = wiring::member(settings).map_err(|error| error.to_string())?;
    let request = FreezeRequest {
        chosen: Chosen::Some(vec![Wanted::Id(good.to_string())]),
        until: None,
        lasting: None,
        reason: Some(format!("watch: {}", signal.cause)),
    };
    let held = freeze::freeze(vault, (member, None), request, &*context.bars, &context.cancel).await;
    let (_, findings) = held.map_err(|error| error.to_string())?;
    Failure::of_findings(&findings).map_or(Ok(()), |failure| Err(failure.message))
}

fn keep(path: &Path, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let text = serde_json::to_vec(checkpoint);
    let text = text.map_err(|_| Failure::of(&CliError::from(OpsError::Defect("the encoding of the checkpoint"))))?;
    leave(path, &text).map_or(Ok(()), Err)
}
