//! `backup`.

use std::time::{Duration, Instant};

use super::{Context, Done, blocking, workplace};
use crate::{
    cli::{
        args::BackupArgs,
        error::CliError,
        failure::Failure,
        render::Output,
        settings::{Settings, real_env},
        sources, wiring,
    },
    ops::{
        self,
        backup::{BackupRequest, SOURCE_FAILED},
    },
};

/// Runs it.
pub(super) async fn run(context: &Context, args: BackupArgs) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    let (config, writer_config) = settings.writer()?;
    context.found(wiring::no_identity_beside(config.dir(), args.allow_identity_here)?);
    let writer = wiring::writer(writer_config)?;
    let request = BackupRequest {
        jobs: sources::jobs(args, &config.sources, &writer_config.state)?,
        keep: config.lock.keep,
        tiers: config.lock.tiers,
        full_every: config.lock.full_every,
        state: writer_config.state.clone(),
        delta_cache: writer_config.delta_cache,
        pins: settings.pins.clone(),
        elapsed: stopwatch(),
    };
    let place = workplace(context, &settings, writer).await?;
    let mut report = blocking(move |runtime| ops::backup::backup(&place, runtime, request)).await?;
    let findings = std::mem::take(&mut report.findings);
    let (failed, others) = findings.into_iter().partition(|finding| finding.code == SOURCE_FAILED);
    context.found(others);
    // Where there is one source only, the error says it.
    if report.failed.len() + report.snapshots.len() > 1 {
        context.found(failed);
    } else {
        context.keep(failed);
    }
    let failure = Failure::of_backup(&report);
    Ok((Output::Backup(report), failure))
}

fn stopwatch() -> Box<dyn Fn() -> Duration + Send> {
    let start = Instant::now();
    Box::new(move || start.elapsed())
}
