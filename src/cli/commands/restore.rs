//! `restore`.

use std::{path::Path, sync::Arc};

use super::{
    Context, Done, identities, open,
    wanted::{asked, can_go_on, settled},
};
use crate::{
    cli::{
        args::RestoreArgs,
        error::CliError,
        failure::{Exit, Failure},
        render::Output,
        settings::{Settings, real_env},
        target::{Directory, Pipe, exposed},
    },
    model::{Progress, SourceKind},
    ops::{
        self,
        restore::{Lost, RestoreRequest, Target},
    },
    source::redact::redact,
};

/// Runs it.
pub(super) async fn run(context: &Context, args: RestoreArgs) -> Result<Done, CliError> {
    let asked = asked(&args)?;
    if args.recovery.recover_to.is_some() || args.recovery.data_directory {
        if let Some(read) = args.at.as_ref().and_then(|at| at.read_as("--at")) {
            context.tell(&read);
        }
        return Box::pin(super::recover::run(context, args, asked)).await;
    }
    let to_stdout = args.to == Path::new("-");
    if to_stdout && context.global.json {
        let hint = "give --to a directory, or leave --json out";
        return Err(CliError::usage("--to - and --json both need standard output", hint));
    }
    if let Some(read) = args.at.as_ref().and_then(|at| at.read_as("--at")) {
        context.tell(&read);
    }
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identities(&args.identity)?;
    // What comes back is for who restores it alone, whatever makes it: git too.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    if !to_stdout {
        context.found(exposed(&args.to));
    }
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let wanted = settled(context, asked, (&vault, &identities.opener), &settings).await?;
    let mut target: Box<dyn Target> = match (to_stdout, args.resume) {
        (true, _) => Box::<Pipe>::default(),
        (false, true) => Box::new(Directory::resuming(args.to.clone())),
        (false, false) => Box::new(Directory::new(args.to.clone())),
    };
    let request = RestoreRequest { wanted, stream: args.stream, reference: args.reference };
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let done =
        ops::restore::restore(&vault, &identities.opener, &request, &mut *target, &progress, &context.cancel).await;
    if matches!(&done, Err(error) if can_go_on(error)) && !to_stdout {
        context.found(vec![Directory::unfinished(&args.to)]);
    }
    let (report, findings) = done?;
    context.found(findings);
    let to = (!to_stdout).then(|| match report.kind {
        SourceKind::Git => args.to.join(format!("{}.git", report.source)),
        _ => args.to.join(report.source.as_str()),
    });
    let failure = not_whole(&report.lost);
    Ok((Output::Restore(Box::new(report), to), failure))
}

/// What it means that something did not come back.
fn not_whole(lost: &[Lost]) -> Option<Failure> {
    let first = lost.first()?;
    let more = if lost.len() > 1 { format!(", and {} more", lost.len() - 1) } else { String::new() };
    let message = redact(&format!("this is not all of it: {}: {}{more}", first.object, first.message));
    let hint = "all that is whole was restored, and what is not is listed. An earlier snapshot may have it: `strongroom \
                snapshots` lists them";
    Some(Failure { exit: Exit::Damage, kind: "damaged", message, hint: Some(hint.to_owned()) })
}
