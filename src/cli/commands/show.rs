//! `show` and `diff`.

use std::sync::Arc;

use super::{Context, Done, identities, open};
use crate::{
    cli::{
        args::{DiffArgs, ShowArgs},
        error::CliError,
        identity,
        render::{Output, report::Reports},
        settings::{Settings, real_env},
    },
    model::Progress,
    ops::{self, snapshots::Wanted},
};

/// Runs `show`.
pub(super) async fn show(context: &Context, args: ShowArgs) -> Result<Done, CliError> {
    let reports = Reports::new(&args.report, false)?;
    let wanted = wanted(&args)?;
    if let Some(read) = args.at.as_ref().and_then(|at| at.read_as("--at")) {
        context.tell(&read);
    }
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identity::load(&args.identity.identity, &real_env)?;
    let vault = open(&settings, identities.as_ref()).await?;
    context.found(vault.findings.clone());
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let opener = identities.as_ref().map(|identities| &identities.opener);
    let (report, findings) = Box::pin(ops::show::show(&vault, &wanted, opener, &progress)).await?;
    context.found(findings);
    let output = Output::Show(Box::new(report));
    let unwritten = reports.leave(&output);
    Ok((output, unwritten))
}

fn wanted(args: &ShowArgs) -> Result<Wanted, CliError> {
    if args.snapshot == "latest" {
        let source = args.source.clone().ok_or_else(|| {
            CliError::usage("`latest` needs --source NAME", "`strongroom snapshots` lists the sources")
        })?;
        return Ok(Wanted::Latest { source, writer: args.writer.clone(), at: args.at.as_ref().map(|at| at.time) });
    }
    if args.source.is_some() || args.writer.is_some() || args.at.is_some() {
        let hint = "give `latest --source NAME`, or an id alone: it names one snapshot already";
        return Err(CliError::usage("--source, --writer and --at go with `latest`", hint));
    }
    Ok(Wanted::id(&args.snapshot)?)
}

/// Runs `diff`.
pub(super) async fn diff(context: &Context, args: DiffArgs) -> Result<Done, CliError> {
    let reports = Reports::new(&args.report, false)?;
    if [&args.a, &args.b].into_iter().any(|given| given == "latest") {
        let hint = "`strongroom snapshots` lists the ids; the newest of a source is the last of it";
        return Err(CliError::usage("`diff` compares two snapshots by their ids, and `latest` is none", hint));
    }
    let (a, b) = (Wanted::id(&args.a)?, Wanted::id(&args.b)?);
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identities(&args.identity)?;
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let (report, findings) = Box::pin(ops::diff::diff(&vault, (&a, &b), &identities.opener, &progress)).await?;
    context.found(findings);
    let output = Output::Diff(Box::new(report));
    let unwritten = reports.leave(&output);
    Ok((output, unwritten))
}
