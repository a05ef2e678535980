//! `snapshots`.

use super::{Context, Done, open};
use crate::{
    cli::{
        args::SnapshotsArgs,
        error::CliError,
        render::Output,
        settings::{Settings, real_env},
    },
    ops,
};

/// Runs it.
pub(super) async fn run(context: &Context, args: SnapshotsArgs) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    let vault = open(&settings, None).await?;
    context.found(vault.findings.clone());
    #[cfg(feature = "full")]
    if args.holds {
        let (holds, findings) = ops::freeze::list(&vault).await?;
        context.found(findings);
        return Ok((Output::Holds(holds), None));
    }
    let (source, writer) = (args.source.as_ref(), args.writer.as_ref());
    let (lines, findings) = ops::snapshots::list(&vault, source, writer, &settings.sources()).await?;
    context.found(findings);
    Ok((Output::Snapshots(lines), None))
}
