//! `backup`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Context, Done, blocking, workplace};
use crate::{
    cli::{
        args::BackupArgs,
        config::{Compression, limits::LimitsConfig},
        error::CliError,
        failure::{Exit, Failure},
        host,
        render::Output,
        settings::{Settings, real_env},
        sources, wiring,
    },
    model::{Cancel, Finding, Severity, Span},
    ops::{
        self,
        backup::{BackupReport, BackupRequest, SOURCE_FAILED, lacks},
        groups::VANISHED,
        request::{REASON, Requested},
    },
    source::redact::redact,
    store::{VaultUrl, limited::Limited},
    vault::writer::{self, Workplace},
};

/// Runs it.
pub(super) async fn run(context: &Context, args: BackupArgs) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    let (config, writer_config) = settings.writer()?;
    context.found(wiring::no_identity_beside(config, args.allow_identity_here)?);
    let keys = wiring::writer(writer_config)?;
    let (clock_is_right, acknowledge, full) = (args.clock_is_right, args.acknowledge, args.full);
    let (dry_run, no_rebuild) = (args.dry_run, args.no_rebuild);
    let requested = requested(&args)?;
    let limits = limits(&args, config.limits)?;
    let most_spooled = sources::most_spooled(&config.sources);
    let mut jobs = sources::jobs(args, &config.sources, (&writer_config.state, &context.cancel))?;
    if let VaultUrl::Local(path) = settings.vault()? {
        for job in &mut jobs {
            job.source.avoid(path);
        }
    }
    let request = BackupRequest {
        jobs,
        keep: config.lock.keep,
        tiers: config.lock.tiers,
        full_every: if full { Some(Span::ZERO) } else { config.lock.full_every },
        state: writer_config.state.clone(),
        delta_cache: writer_config.delta_cache,
        adapts: writer_config.compression == Compression::Auto,
        pins: settings.pins.clone(),
        clock_is_right,
        acknowledge,
        expected: config.sources.iter().flat_map(|source| source.expect.clone()).collect(),
        no_rebuild,
        requested,
        elapsed: stopwatch(),
    };
    if let Some(nice) = limits.nice {
        writer::begin_workers_with(move || {
            // Where it can't be, it is as nice as it was.
            let _ = rustix::process::setpriority_process(None, nice);
        });
    }
    let mut place = workplace(context, &settings, keys).await?;
    if let Some(rate) = limits.upload {
        place.store = Arc::new(Limited::new(place.store, rate, context.cancel.clone()));
    }
    if dry_run {
        let mut looked = blocking(move |runtime| ops::backup::rehearse(&place, runtime, request)).await?;
        let spool = host::spool(&writer_config.state, most_spooled);
        looked.checks.splice(0..0, host::room(&writer_config.state).into_iter().chain(spool));
        context.found(std::mem::take(&mut looked.findings));
        let failure = Failure::of_rehearsal(&looked);
        return Ok((Output::Rehearsal(looked), failure));
    }
    let mut report = in_time(context, limits.deadline, (place, request)).await?;
    let findings = std::mem::take(&mut report.findings);
    let (failed, others): (Vec<_>, Vec<_>) = findings.into_iter().partition(|finding| finding.code == SOURCE_FAILED);
    let tampered = not_as_left(&others);
    let vanished = vanished(&others);
    let sick = not_whole(&others);
    context.found(others);
    // Where there is one source only, the error says it.
    if report.failed.len() + report.snapshots.len() > 1 {
        context.found(failed);
    } else {
        context.keep(failed);
    }
    let failure = Failure::of_backup(&report).or(tampered).or(sick).or(vanished);
    Ok((Output::Backup(report), failure))
}

/// What is typed comes before what is configured.
fn limits(args: &BackupArgs, configured: LimitsConfig) -> Result<LimitsConfig, CliError> {
    let upload = args.limit_upload.map(|size| size.0).or(configured.upload);
    let deadline = args.deadline.or(configured.deadline);
    if upload == Some(0) || deadline == Some(Span::ZERO) {
        return Err(CliError::usage("--limit-upload or --deadline is 0", "leave it out for no limit"));
    }
    Ok(LimitsConfig { upload, deadline, ..configured })
}

/// Backs up, and stops in good order when the time is over.
async fn in_time(
    context: &Context,
    deadline: Option<Span>,
    (place, request): (Workplace, BackupRequest),
) -> Result<BackupReport, CliError> {
    let deadline = deadline.map(|after| Deadline::start(after, context.cancel.clone()));
    let done = blocking(move |runtime| ops::backup::backup(&place, runtime, request)).await;
    let late = deadline.as_ref().and_then(Deadline::passed);
    match (done, late) {
        (Err(_), Some(after)) => Err(too_late(after, 0)),
        (Ok(report), Some(after)) if report.interrupted => Err(too_late(after, report.snapshots.len())),
        (done, _) => done,
    }
}

/// Asks a run to stop when its time is over.
struct Deadline {
    after: Span,
    fired: Arc<AtomicBool>,
    waiting: tokio::task::JoinHandle<()>,
}

impl Deadline {
    fn start(after: Span, cancel: Cancel) -> Self {
        let fired = Arc::new(AtomicBool::new(false));
        let late = Arc::clone(&fired);
        let waiting = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(after.as_seconds())).await;
            late.store(true, Ordering::SeqCst);
            cancel.cancel();
        });
        Self { after, fired, waiting }
    }

    fn passed(&self) -> Option<Span> {
        self.fired.load(Ordering::SeqCst).then_some(self.after)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.waiting.abort();
    }
}

fn too_late(after: Span, whole: usize) -> CliError {
    let what = if whole == 0 {
        "nothing was committed".to_owned()
    } else {
        format!("{whole} snapshots were committed before")
    };
    CliError::Late { after, what }
}

/// Why it is backed up now, where that was said.
fn requested(args: &BackupArgs) -> Result<Option<Requested>, CliError> {
    let (reason, by) = (args.reason.clone(), args.requested_by.clone());
    if [&reason, &by].into_iter().flatten().any(|text| text.chars().count() > REASON) {
        return Err(CliError::usage(format!("--reason is longer than {REASON} characters"), "say it shorter"));
    }
    Ok((reason.is_some() || by.is_some()).then_some(Requested { reason, by }))
}

/// What it means that the vault is not as its writer left it.
fn not_as_left(findings: &[Finding]) -> Option<Failure> {
    let first = findings.iter().find(|finding| finding.severity == Severity::Weak)?;
    let message = redact(&format!("the vault is not as this writer left it: {}", first.message));
    let hint = "there is a new snapshot all the same. Look who has this writer's key or its credentials, and run \
                verify; `writer revoke` makes suspect what another signed. If you know the cause: backup --acknowledge";
    Some(Failure { exit: Exit::Weak, kind: "tampered", message, hint: Some(hint.to_owned()) })
}

/// What it means that members of groups are gone.
fn vanished(findings: &[Finding]) -> Option<Failure> {
    let gone = |finding: &&Finding| finding.code == VANISHED && finding.severity == Severity::Error;
    let first = findings.iter().find(gone)?;
    let hint = "all that is there has new snapshots. Find out who removed what is gone; `restore` brings it back from the \
                snapshot that is named. If it was meant: backup --acknowledge, once";
    let message = redact(&first.message);
    Some(Failure { exit: Exit::SomeFailed, kind: "vanished", message, hint: Some(hint.to_owned()) })
}

/// What it means that something of a source is not whole.
fn not_whole(findings: &[Finding]) -> Option<Failure> {
    let sick: Vec<&Finding> = findings.iter().filter(|finding| lacks(finding)).collect();
    let first = sick.first()?;
    let more = if sick.len() > 1 { format!(" (and {} more)", sick.len() - 1) } else { String::new() };
    let message = redact(&format!("not all of it could be backed up: {}{more}", first.message));
    let hint = "all that is whole has a new snapshot. Mend what is named, or delete it, and run the backup again; an \
                earlier snapshot may have it";
    Some(Failure { exit: Exit::SomeFailed, kind: "not-whole", message, hint: Some(hint.to_owned()) })
}

fn stopwatch() -> Box<dyn Fn() -> Duration + Send> {
    let start = Instant::now();
    Box::new(move || start.elapsed())
}
