//! `incident`.

use std::{path::Path, sync::Arc};

use super::{
    Context, Done, open,
    seen::{acknowledged, expected},
    verify::leave,
};
use crate::{
    cli::{
        args::IncidentArgs,
        error::CliError,
        failure::Failure,
        files, identity,
        render::{Output, report::Reports},
        settings::{Settings, real_env},
        typed::Typed,
    },
    model::{Progress, SourceKind, Span},
    ops::{
        self,
        incident::{IncidentReport, IncidentRequest, SourcePage, State, Step},
        lookback::Known,
    },
};

/// Runs it.
pub(super) async fn run(context: &Context, args: IncidentArgs) -> Result<Done, CliError> {
    args.html.as_deref().map(files::must_be_writable).transpose()?;
    let reports = Reports::new(&args.report, true)?;
    if let Some(read) = args.since.as_ref().and_then(|since| since.read_as("--since")) {
        context.tell(&read);
    }
    let acknowledged = acknowledged(args.checkpoint.as_deref())?;
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identity::load(&args.identity.identity, &real_env)?;
    let vault = open(&settings, identities.as_ref()).await?;
    let typed = Typed::new(&settings, &vault, &args.identity.identity)?;
    let sources = || settings.config.iter().flat_map(|config| &config.sources);
    let request = IncidentRequest {
        opener: identities.map(|identities| identities.opener),
        sources: args.source,
        since: args.since.as_ref().map(|since| since.time),
        schedule: sources().filter_map(|source| Some((source.name.clone(), source.every?))).collect(),
        known: Known { expected: expected(&settings), acknowledged },
    };
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let (mut report, findings) = ops::incident::incident(&vault, &request, &progress, &context.cancel).await?;
    let checkpoint = args.checkpoint.as_deref().map(|path| typed.path(path)).transpose()?;
    for page in &mut report.sources {
        page.commands = steps(page, &typed, checkpoint.as_deref());
    }
    let airgap = settings.config.as_ref().is_some_and(|config| config.airgap.is_some());
    report.commands = whole(&report, &typed, airgap);
    context.keep(findings.clone());
    let unwritten = args.html.as_deref().and_then(|path| leave_page(path, &report));
    let failure = Failure::of_incident(&report, &findings).or(unwritten);
    let output = Output::Incident(Box::new(report), args.markdown, findings);
    let unwritten = reports.leave(&output);
    Ok((output, failure.or(unwritten)))
}

fn leave_page(path: &Path, report: &IncidentReport) -> Option<Failure> {
    leave(path, report.html().as_bytes())
}

/// What to type for a source.
fn steps(page: &SourcePage, typed: &Typed, checkpoint: Option<&str>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut add = |what: String, command: String| steps.push(Step { what, command });
    let source = page.source.as_str();
    let Some(good) = &page.last_good else {
        let what = format!("See all snapshots of {source}, for one that is older than what was looked at");
        add(what, typed.reading(&["snapshots", "--source", source, "--writer", page.writer.as_str()]));
        return steps;
    };
    let (id, journal) = (good.id.short(), page.journal.as_ref());
    let to = format!("restored-{source}-{id}");
    add(
        format!("Restore the last good snapshot into a directory of its own ({to})"),
        typed.opening(&["restore", &id, "--to", &to]),
    );
    if let Some((from, until)) = journal.and_then(|journal| Some((journal.from_at, journal.to_at?))) {
        // Times of headers are cut to whole seconds.
        let from = from + Span::seconds(1);
        let what = format!(
            "Or go on from it with the journal, which reaches {until}: put the time forward as far as you know that all was \
             well"
        );
        let to = format!("{to}-later");
        add(what, typed.opening(&["restore", &id, "--recover-to", &from.to_string(), "--to", &to]));
    }
    add("Verify every byte of it".to_owned(), typed.opening(&["verify", "--depth", "decrypt", "--snapshot", &id]));
    if page.state >= State::Over {
        add(
            "Hold it, so that it does not expire and is not pruned (with the keeper's or an owner's credentials)"
                .to_owned(),
            typed.opening(&["freeze", &id, "--reason", "incident"]),
        );
    }
    if matches!(page.kind, SourceKind::Postgres | SourceKind::Mariadb | SourceKind::Sqlite | SourceKind::Git) {
        add(
            "Test it in a temporary server first, with the checks of the configuration".to_owned(),
            typed.opening(&["drill", "--snapshot", &id]),
        );
    }
    if let (Some(checkpoint), State::Alarm | State::Over) = (checkpoint, page.state) {
        for cause in page.causes.iter().take(5) {
            let what = format!("If it was meant, note that {cause} is known");
            add(what, typed.reading(&["watch", "--checkpoint", checkpoint, "--acknowledge", cause]));
        }
    }
    steps
}

/// What to type for the vault as a whole.
fn whole(report: &IncidentReport, typed: &Typed, airgap: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut add = |what: &str, command: String| steps.push(Step { what: what.to_owned(), command });
    if report.troubled().next().is_some() && airgap {
        add("Cut the ways to the vault", typed.reading(&["airgap", "trip", "--reason", "incident"]));
    }
    if report.troubled().next().is_some() {
        add("Verify the whole vault", typed.reading(&["verify"]));
    }
    steps
}
