//! `ready`.

use std::{path::Path, sync::Arc};

use super::{Context, Done, open, seen};
use crate::{
    cli::{
        args::ReadyArgs,
        error::CliError,
        failure::Failure,
        render::Output,
        settings::{Settings, real_env},
        wiring::{self, SystemClock},
    },
    model::{Clock, Progress},
    ops::{self, readiness::ReadyRequest, watch::Checkpoint},
};

/// Runs it.
pub(super) async fn run(context: &Context, args: ReadyArgs) -> Result<Done, CliError> {
    let seen = args.checkpoint.as_deref().map(seen).transpose()?;
    let settings = Settings::new(&context.global, &real_env)?;
    let member = wiring::member(&settings)?;
    let vault = open(&settings, None).await?;
    let configured = settings.config.iter().flat_map(|config| &config.sources);
    let request = ReadyRequest {
        sources: args.sources.into_iter().chain(args.source).collect(),
        writer: args.writer,
        configured: settings.sources(),
        every: configured.filter_map(|source| Some((source.name.clone(), source.every?))).collect(),
        max_age: args.max_age,
        drilled: args.drilled,
        seen,
        acknowledge: args.acknowledge,
        host: SystemClock.now(),
        member,
    };
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let (report, findings) = Box::pin(ops::readiness::ready(&vault, request, &progress, &context.cancel)).await?;
    context.found(findings);
    let failure = Failure::of_ready(&report);
    Ok((Output::Ready(Box::new(report)), failure))
}

/// What a watch saw last. That it saw nothing yet is no peace.
pub(super) fn seen(path: &Path) -> Result<Checkpoint, CliError> {
    seen::checkpoint(path)?.ok_or_else(|| {
        let what = format!("there is no checkpoint at {}", path.display());
        CliError::usage(what, "give the file that `watch --checkpoint` keeps, or run `watch` first")
    })
}
