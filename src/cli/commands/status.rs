//! `status`.

use std::sync::Arc;

use super::{Context, Done, open, ready::seen};
use crate::{
    cli::{
        args::StatusArgs,
        copies,
        error::CliError,
        failure::Failure,
        identity,
        render::Output,
        settings::{Settings, real_env},
        wiring::SystemClock,
    },
    model::{Clock, Progress},
    ops::{self, status::StatusRequest},
};

/// Runs it.
pub(super) async fn run(context: &Context, args: StatusArgs) -> Result<Done, CliError> {
    let seen = args.checkpoint.as_deref().map(seen).transpose()?;
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identity::load(&args.identity.identity, &real_env)?;
    let vault = open(&settings, identities.as_ref()).await?;
    context.found(vault.findings.clone());
    let configured = || settings.config.iter().flat_map(|config| &config.sources);
    let journal = |source: &crate::cli::config::SourceConfig| source.journal.as_ref().and_then(|journal| journal.every);
    let known = settings.config.as_ref().map(|config| copies::known(config, &real_env)).transpose()?;
    let (copies, unknown) = known.unwrap_or_default();
    context.found(unknown);
    let request = StatusRequest {
        sources: args.source,
        configured: settings.sources(),
        every: configured().filter_map(|source| Some((source.name.clone(), source.every?))).collect(),
        journals: configured().filter_map(|source| Some((source.name.clone(), journal(source)?))).collect(),
        max_age: args.max_age,
        drilled: args.drilled,
        seen,
        copies,
        host: SystemClock.now(),
    };
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let (report, findings) = Box::pin(ops::status::status(&vault, request, &progress, &context.cancel)).await?;
    let failure = Failure::of_status(&report, &findings);
    context.keep(findings.into_iter().filter(|finding| !vault.findings.contains(finding)).collect());
    Ok((Output::Status(Box::new(report)), failure))
}
