//! `restore --recover-to`.

use std::{path::Path, sync::Arc};

use super::{Context, Done, identities, open};
use crate::{
    cli::{
        args::{PointArg, RestoreArgs, WalArg},
        error::CliError,
        failure::{Exit, Failure},
        render::Output,
        settings::{Settings, real_env},
        target::{Cluster, exposed},
    },
    model::{Progress, SourceKind},
    ops::{
        recover::{self, Point, RecoverRequest, Recovery},
        snapshots::Wanted,
    },
};

/// Runs it.
pub(super) async fn run(context: &Context, args: RestoreArgs, wanted: Wanted, to: &PointArg) -> Result<Done, CliError> {
    if args.to == Path::new("-") {
        let hint = "give --to a directory";
        return Err(CliError::usage("--recover-to makes a data directory, which standard output can't be", hint));
    }
    if let Some(read) = to.read_as() {
        context.tell(&read);
    }
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identities(&args.identity)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    context.found(exposed(&args.to));
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let recovery = args.recovery;
    let request = RecoverRequest {
        wanted,
        target: recover::Target { point: to.point.clone(), inclusive: !recovery.exclusive },
        timeline: recovery.timeline,
        fetch: (recovery.wal == Some(WalArg::Fetch)).then(fetch),
    };
    let mut target = Cluster::new(args.to.clone(), recovery.tablespace_map);
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let done = recover::recover(&vault, &identities.opener, &request, &mut target, &progress, &context.cancel).await;
    let (report, findings) = done?;
    context.found(findings);
    debug_assert_eq!(report.kind, SourceKind::Postgres);
    let to = args.to.join(report.source.as_str());
    let failure = report.recovery.as_ref().and_then(short);
    Ok((Output::Restore(Box::new(report), Some(to)), failure))
}

/// What the server is to call.
fn fetch() -> String {
    "strongroom journal fetch \"%f\" \"%p\"".to_owned()
}

/// What it means that `latest` is not all that there is.
fn short(recovery: &Recovery) -> Option<Failure> {
    let (from, to) = recovery.gap.as_ref().filter(|_| recovery.point == Point::Latest.to_string())?;
    let to = to.as_deref().unwrap_or("its end");
    let message = format!("the log is missing or damaged from {from} to {to}: what is laid out goes up to {from}");
    let hint =
        "a base behind the gap can be gone on from: give a point that lies behind it, or restore the newest snapshot";
    Some(Failure { exit: Exit::Damage, kind: "gap", message, hint: Some(hint.to_owned()) })
}
