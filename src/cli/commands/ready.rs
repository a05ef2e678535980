//! `ready`.

use std::{io, path::Path, sync::Arc};

use super::{Context, Done, blocking, open, seen};
use crate::{
    cli::{
        args::{Global, ReadyArgs},
        copies,
        error::CliError,
        failure::Failure,
        render::Output,
        request::client::{self, Reply},
        settings::{Settings, real_env},
        wiring::{self, SystemClock},
    },
    model::{Clock, Name, Progress},
    ops::{
        self, OpsError, Pin,
        readiness::ReadyRequest,
        request::{Question, RequestedReport},
        watch::Checkpoint,
    },
    vault::{VaultError, VaultErrorKind},
};

/// Runs it.
pub(super) async fn run(context: &Context, args: ReadyArgs) -> Result<Done, CliError> {
    if let Some(socket) = &args.via {
        return via(context, &args, socket).await;
    }
    let seen = args.checkpoint.as_deref().map(seen).transpose()?;
    let settings = Settings::new(&context.global, &real_env)?;
    let member = wiring::member(&settings)?;
    let vault = open(&settings, None).await?;
    let configured = settings.config.iter().flat_map(|config| &config.sources);
    let known = settings.config.as_ref().map(|config| copies::known(config, &real_env)).transpose()?;
    let (known_copies, unknown) = known.unwrap_or_default();
    context.found(unknown);
    let request = ReadyRequest {
        sources: args.sources.into_iter().chain(args.source).collect(),
        writer: args.writer,
        configured: settings.sources(),
        every: configured.filter_map(|source| Some((source.name.clone(), source.every?))).collect(),
        max_age: args.max_age,
        drilled: args.drilled,
        seen,
        acknowledge: args.acknowledge,
        copies: args.copies,
        known_copies,
        host: SystemClock.now(),
        member,
    };
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let (report, findings) = Box::pin(ops::readiness::ready(&vault, request, &progress, &context.cancel)).await?;
    context.found(findings);
    let failure = Failure::of_ready(&report);
    Ok((Output::Ready(Box::new(report)), failure))
}

/// Asks the server at a socket, which looks by itself.
async fn via(context: &Context, args: &ReadyArgs, socket: &Path) -> Result<Done, CliError> {
    let pins = pins(&context.global)?;
    let sources: Vec<Name> = args.sources.iter().chain(&args.source).cloned().collect();
    let question = Question::new(sources.clone(), args.max_age, args.drilled, args.copies);
    question.check().map_err(|why| CliError::usage(why, "name the sources: strongroom ready SOURCE… --via SOCKET"))?;
    let (cancel, place) = (context.cancel.clone(), socket.to_owned());
    let reply = blocking(move |_| Ok(client::question(&place, &question, &cancel))).await?.map_err(|error| {
        if error.kind() == io::ErrorKind::Interrupted {
            return CliError::Ops(OpsError::Interrupted);
        }
        let what = format!("the request server at {} can't be reached: {error}", socket.display());
        if error.kind() == io::ErrorKind::InvalidInput {
            return CliError::usage(
                what,
                "name the socket of `request serve`, which is in [request] of its configuration",
            );
        }
        CliError::Ops(VaultError::new(VaultErrorKind::TryAgain, what).into())
    })?;
    let told = match reply {
        Reply::Told(told) => told,
        Reply::Refused(answer) => {
            let report = RequestedReport { requests: vec![answer] };
            let failure = Failure::of_requested(&report).unwrap_or_else(|| Failure::of_told(1, None));
            return Ok((Output::Nothing, Some(failure)));
        }
    };
    let Some(report) = told.result.filter(|_| matches!(told.exit, 0 | 5)) else {
        return Ok((Output::Nothing, Some(Failure::of_told(told.exit, told.error.as_ref()))));
    };
    // A yes is one only for the vault that is meant, and for what was asked.
    ops::must_allow(&pins, report.vault)?;
    let about = |name: &Name| report.sources.iter().any(|one| one.source == *name && one.ready);
    let failure = match Failure::of_ready(&report) {
        None if told.exit != 0 || !sources.iter().all(about) => Some(Failure::of_told(1, told.error.as_ref())),
        failure => failure,
    };
    Ok((Output::Ready(Box::new(report)), failure))
}

/// What pins the vault that the server's answer has to be about. The server knows where it is and how it is reached.
fn pins(global: &Global) -> Result<Vec<Pin>, CliError> {
    let without_effect = [
        ("--vault", global.vault.is_some()),
        ("--endpoint", global.endpoint.is_some()),
        ("--region", global.region.is_some()),
        ("--path-style", global.path_style),
        ("--credentials", global.credentials.is_some()),
        ("--checksum", global.checksum.is_some()),
        ("--no-conditional-put", global.no_conditional_put),
    ];
    if let Some((name, _)) = without_effect.into_iter().find(|(_, given)| *given) {
        let hint = "leave it out. --vault-id makes sure that the server's vault is the one you mean";
        return Err(CliError::usage(format!("{name} has no effect with --via: the server knows its vault"), hint));
    }
    let named = global.config.is_some() || real_env("STRONGROOM_CONFIG").is_some();
    let settings = if named { Settings::new } else { Settings::without_config }(global, &real_env)?;
    Ok(settings.pins)
}

/// What a watch saw last. That it saw nothing yet is no peace.
pub(super) fn seen(path: &Path) -> Result<Checkpoint, CliError> {
    seen::checkpoint(path)?.ok_or_else(|| {
        let what = format!("there is no checkpoint at {}", path.display());
        CliError::usage(what, "give the file that `watch --checkpoint` keeps, or run `watch` first")
    })
}
