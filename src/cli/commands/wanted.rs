//! Which snapshot a restore is of, and whether one that ended can be gone on with.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Context,
    seen::{acknowledged, expected},
};
use crate::{
    cli::{args::RestoreArgs, error::CliError, settings::Settings},
    codec::seal::Opener,
    model::{Progress, size},
    ops::{
        OpsError,
        lookback::{self, Known},
        snapshots::{SnapshotLine, Wanted},
    },
    vault::{Vault, VaultErrorKind},
};

/// What was asked for.
pub(super) enum Asked {
    /// A snapshot by its name or its time.
    Plain(Wanted),
    /// The newest good one up to this, and what is known of alarms.
    Good(Wanted, BTreeSet<String>),
}

/// What was asked for.
///
/// # Errors
/// If its parts contradict each other.
pub(super) fn asked(args: &RestoreArgs) -> Result<Asked, CliError> {
    let word = args.snapshot.as_str();
    if args.checkpoint.is_some() && word != "last-good" {
        let hint = "give `last-good --source NAME`, or leave --checkpoint out";
        return Err(CliError::usage("--checkpoint goes with `last-good`", hint));
    }
    if word == "latest" || word == "last-good" {
        let source = args.source.clone().ok_or_else(|| {
            CliError::usage(format!("`{word}` needs --source NAME"), "`strongroom snapshots` lists the sources")
        })?;
        let at = args.at.as_ref().map(|at| at.time);
        let wanted = Wanted::Latest { source, writer: args.writer.clone(), at };
        if word == "latest" {
            return Ok(Asked::Plain(wanted));
        }
        return Ok(Asked::Good(wanted, acknowledged(args.checkpoint.as_deref())?));
    }
    if args.source.is_some() || args.writer.is_some() || args.at.is_some() {
        let hint = "give `latest --source NAME`, or an id alone: it names one snapshot already";
        return Err(CliError::usage("--source, --writer and --at go with `latest` and `last-good`", hint));
    }
    Ok(Asked::Plain(Wanted::id(word)?))
}

/// Which snapshot it is: the last good one is looked for, and what is passed over is told.
///
/// # Errors
/// If there is none, or the vault can't be read.
pub(super) async fn settled(
    context: &Context,
    asked: Asked,
    (vault, opener): (&Vault, &Opener),
    settings: &Settings,
) -> Result<Wanted, CliError> {
    let (wanted, acknowledged) = match asked {
        Asked::Plain(wanted) => return Ok(wanted),
        Asked::Good(wanted, acknowledged) => (wanted, acknowledged),
    };
    let known = Known { expected: expected(settings), acknowledged };
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let good = lookback::find(vault, Some(opener), &wanted, &known, (&*progress, &context.cancel)).await?;
    context.found(good.findings);
    let SnapshotLine { id, source, writer, created_at, bytes, .. } = good.snapshot;
    let size = size::human(bytes);
    context
        .tell(&format!("last good snapshot of {source}: {}, of {created_at} by writer {writer}, {size}", id.short()));
    Ok(Wanted::Id(id.to_string()))
}

/// Whether a restore that ended so can be gone on with.
pub(super) fn can_go_on(error: &OpsError) -> bool {
    match error {
        OpsError::Interrupted => true,
        OpsError::Io { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
        OpsError::Vault(error) => error.kind == VaultErrorKind::TryAgain,
        _ => false,
    }
}
