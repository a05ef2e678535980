//! `watch`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

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
        typed::Typed,
        wiring,
    },
    codec::seal::Opener,
    model::{Clock as _, Finding, Progress, Severity, SnapshotId},
    ops::{
        self, OpsError,
        freeze::{self, Chosen, FreezeRequest},
        incident::Step,
        lookback::{self, Known},
        signals::Signal,
        snapshots::Wanted,
        watch::{Checkpoint, WatchReport, WatchRequest},
    },
    signal::Level,
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
    let typed = Typed::new(&settings, &vault, &args.identity.identity)?;
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
    let mut held = Held::new();
    if let (true, Some(path), None) = (args.react, &args.checkpoint, &unwritten) {
        let whole = (context, &vault, opener.as_ref());
        findings.extend(respond(path, (&reactions, &settings), whole, (&mut report, &mut held)).await);
        unwritten = keep(path, &report.checkpoint).err();
    }
    report.commands = back(&report, &held, &typed, args.checkpoint.as_deref())?;
    context.keep(findings.clone());
    let failure = Failure::of_watch(&report, &findings).or(unwritten);
    Ok((Output::Watch(Box::new(report), findings), failure))
}

/// What was held for a cause.
type Held = BTreeMap<String, SnapshotId>;

/// What to type to have each source back as it was.
fn back(report: &WatchReport, held: &Held, typed: &Typed, seen: Option<&Path>) -> Result<Vec<Step>, CliError> {
    let seen = seen.map(|path| typed.path(path)).transpose()?;
    let (mut steps, mut told) = (Vec::new(), BTreeSet::new());
    // Of a source that is quiet or floods, nothing needs to come back.
    let of_data = |signal: &Signal| signal.reasons.iter().any(|verdict| !verdict.rule.starts_with("runs."));
    for signal in report.own().iter().filter(|signal| signal.level == Level::Alarm && of_data(signal)) {
        let (source, writer) = (signal.source.as_str(), signal.writer.as_str());
        if !told.insert((&signal.writer, &signal.source)) {
            continue;
        }
        let to = format!("restored-{source}");
        let (what, command) = if let Some(id) = held.get(&signal.cause) {
            (
                format!("to have {source} back from {}, the last good snapshot, which is held:", id.short()),
                typed.opening(&["restore", &id.short(), "--to", &to]),
            )
        } else {
            let mut words = vec!["restore", "last-good", "--source", source, "--writer", writer, "--to", &to];
            // What was acknowledged is in it.
            words.extend(seen.iter().flat_map(|path| ["--checkpoint", path.as_str()]));
            (format!("to have {source} back from its last good snapshot:"), typed.opening(&words))
        };
        steps.push(Step { what, command });
    }
    Ok(steps)
}

/// Runs what there is to run. Each is noted in the checkpoint before it begins: what nobody knows the end of is not run
/// again.
async fn respond(
    path: &Path,
    (reactions, settings): (&[React], &Settings),
    whole: (&Context, &Vault, Option<&Opener>),
    (report, held): (&mut WatchReport, &mut Held),
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
            let ended = match &reaction.deed {
                Deed::Command(_) => react::run(reaction, &signal),
                Deed::Webhook(webhook) => {
                    let now = (whole.1.descriptor.vault, wiring::SystemClock.now());
                    react::tell(webhook, &signal, now, reaction.timeout).await
                }
                Deed::AirgapTrip => trip(settings, &signal).await,
                Deed::Freeze => {
                    let acknowledged = report.checkpoint.acknowledged.keys().cloned().collect();
                    let good = hold(settings, whole, acknowledged, &signal).await;
                    good.map(|good| {
                        held.insert(cause.clone(), good);
                    })
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
) -> Result<SnapshotId, String> {
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
    Failure::of_findings(&findings).map_or(Ok(good), |failure| Err(failure.message))
}

fn keep(path: &Path, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let text = serde_json::to_vec(checkpoint);
    let text = text.map_err(|_| Failure::of(&CliError::from(OpsError::Defect("the encoding of the checkpoint"))))?;
    leave(path, &text).map_or(Ok(()), Err)
}
