//! `restore`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Context, Done, identities, open,
    wanted::{Asked, asked, can_go_on, settled},
};
use crate::{
    cli::{
        args::{Form, RestoreArgs},
        error::CliError,
        failure::{Exit, Failure},
        render::Output,
        settings::{Settings, real_env},
        target::{Directory, Pipe, exposed},
    },
    forge::site,
    model::{Progress, SourceKind},
    ops::{
        self, OpsError,
        restore::{Lost, Part, RestoreRequest, Target, look},
    },
    source::redact::redact,
};

/// Runs it.
pub(super) async fn run(context: &Context, args: RestoreArgs) -> Result<Done, CliError> {
    args.into.must_have_effect()?;
    args.recovery.must_have_effect()?;
    let asked = asked(&args)?;
    if args.recovery.recover_to.is_some() || args.recovery.data_directory {
        if let Some(read) = args.at.as_ref().and_then(|at| at.read_as("--at")) {
            context.tell(&read);
        }
        return Box::pin(super::recover::run(context, args, asked)).await;
    }
    #[cfg(feature = "full")]
    if args.into.into.is_some() {
        return Box::pin(super::into::run(context, args, asked)).await;
    }
    if args.list || args.dry_run {
        return Box::pin(look(context, args, asked)).await;
    }
    let to = args.to.clone().unwrap_or_default();
    let to_stdout = to == Path::new("-");
    if to_stdout && context.global.json {
        let hint = "give --to a directory, or leave --json out";
        return Err(CliError::usage("--to - and --json both need standard output", hint));
    }
    if to_stdout && args.form == Form::Html {
        return Err(CliError::usage("--as html makes files", "give --to a directory"));
    }
    if let Some(read) = args.at.as_ref().and_then(|at| at.read_as("--at")) {
        context.tell(&read);
    }
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identities(&args.identity)?;
    // What comes back is for who restores it alone, whatever makes it: git too.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    if !to_stdout {
        context.found(exposed(&to));
    }
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let wanted = settled(context, asked, (&vault, &identities.opener), &settings).await?;
    let mut target: Box<dyn Target> = match (to_stdout, args.resume) {
        (true, _) => Box::<Pipe>::default(),
        (false, true) => Box::new(Directory::resuming(to.clone())),
        (false, false) => Box::new(Directory::new(to.clone())),
    };
    let site = args.form == Form::Html;
    let part = Part { stream: args.stream, include: args.include };
    let request = RestoreRequest { wanted, part, reference: args.reference, site };
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let done =
        ops::restore::restore(&vault, &identities.opener, &request, &mut *target, &progress, &context.cancel).await;
    if matches!(&done, Err(error) if can_go_on(error)) && !to_stdout {
        context.found(vec![Directory::unfinished(&to)]);
    }
    let (mut report, findings) = done?;
    context.found(findings);
    if site {
        report.site = Some(pages(&to, report.source.as_str())?);
    }
    let to = (!to_stdout).then(|| match report.kind {
        SourceKind::Git => to.join(format!("{}.git", report.source)),
        _ => to.join(report.source.as_str()),
    });
    let failure = not_whole(&report.lost);
    Ok((Output::Restore(Box::new(report), to), failure))
}

/// Makes pages of what was restored of a forge, beside it; gives the first.
fn pages(dir: &Path, source: &str) -> Result<PathBuf, CliError> {
    let (to, partial) = (dir.join(format!("{source}.html")), dir.join(format!("{source}.html.partial")));
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| CliError::Ops(OpsError::Io { what, path, source })
    };
    if to.exists() {
        return Err(CliError::Ops(OpsError::TargetExists { path: to }));
    }
    if partial.is_dir() {
        fs::remove_dir_all(&partial).map_err(failed("can't remove what was begun", &partial))?;
    }
    site::make(&dir.join(source), &partial).map_err(failed("can't make the pages", &partial))?;
    fs::rename(&partial, &to).map_err(failed("can't finish the pages", &to))?;
    Ok(to.join("index.html"))
}

/// `--list` and `--dry-run`.
async fn look(context: &Context, args: RestoreArgs, asked: Asked) -> Result<Done, CliError> {
    if let Some(read) = args.at.as_ref().and_then(|at| at.read_as("--at")) {
        context.tell(&read);
    }
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identities(&args.identity)?;
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let wanted = settled(context, asked, (&vault, &identities.opener), &settings).await?;
    let part = Part { stream: args.stream, include: args.include };
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    if args.list {
        let (report, findings) = look::list(&vault, &identities.opener, (&wanted, part), &progress).await?;
        context.found(findings);
        return Ok((Output::Listing(Box::new(report)), None));
    }
    let on = (&progress, &context.cancel);
    let (report, findings) = look::rehearse(&vault, &identities.opener, (&wanted, part), on).await?;
    context.found(findings);
    Ok((Output::RestoreRehearsal(Box::new(report)), None))
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
