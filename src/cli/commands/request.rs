//! `request` and `request serve`.

use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::AsFd,
        unix::{
            fs::{FileTypeExt as _, PermissionsExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Context, Done, blocking};
use crate::{
    cli::{
        args::{Global, RequestArgs, RequestCommand},
        config::request::{RequestConfig, SOCKET},
        error::CliError,
        failure::Failure,
        render::Output,
        request::{
            client,
            peers::Allowed,
            runner::Program,
            serve::{self, Rules},
        },
        settings::{Settings, real_env},
        wiring,
    },
    ops::{
        OpsError,
        request::{Ask, RequestedReport},
    },
    vault::{VaultError, VaultErrorKind},
};

/// Runs it.
pub(super) async fn run(context: &Context, args: RequestArgs) -> Result<Done, CliError> {
    if let Some(RequestCommand::Serve) = args.command {
        return serve(context).await;
    }
    let socket = args.socket.unwrap_or_else(|| PathBuf::from(SOCKET));
    let report = ask(context, Ask::new(args.sources, args.reason, args.wait), socket).await?;
    let failure = Failure::of_requested(&report);
    Ok((Output::Requested(report), failure))
}

/// Asks at a socket.
pub(super) async fn ask(context: &Context, ask: Ask, socket: PathBuf) -> Result<RequestedReport, CliError> {
    ask.check().map_err(|why| CliError::usage(why, "see `strongroom request --help`"))?;
    let (cancel, place) = (context.cancel.clone(), socket.clone());
    let answered = blocking(move |_| Ok(client::ask(&place, &ask, &cancel))).await?;
    let requests = answered.map_err(|error| {
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
    Ok(RequestedReport { requests })
}

async fn serve(context: &Context) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    let (config, writer) = settings.writer()?;
    let name = wiring::writer(writer)?.name;
    let request = config.request.clone().ok_or_else(|| {
        CliError::usage(format!("{} has no [request]", config.path.display()), "see `strongroom request --help`")
    })?;
    let allowed = Allowed::find(&request.users, &request.groups)
        .map_err(|why| CliError::usage(format!("[request]: {why}"), "correct it"))?;
    let path = std::env::current_exe().map_err(|source| CliError::Io {
        what: "can't find strongroom's own program",
        path: "/proc/self/exe".into(),
        source,
    })?;
    let runner = Program {
        path,
        arguments: arguments(&context.global, Some(&config.path)),
        writer: name,
        cancel: context.cancel.clone(),
    };
    let made = Made::take(&request)?;
    let (bars, cancel) = (Arc::clone(&context.bars), context.cancel.clone());
    let place = request.socket.clone();
    let heard = blocking(move |_| {
        bars.say(&format!("accepts requests at {}", made.told(&place)));
        let rules = Rules { allowed, sources: request.sources };
        let say = Box::new(move |line: &str| bars.say(line));
        Ok(serve::serve(&made.listener, rules, Box::new(runner), say, &cancel))
    })
    .await?;
    let failed = |source| CliError::Io { what: "can't hear requests at", path: "the socket".into(), source };
    let heard = heard.map_err(failed)?;
    Ok((Output::Text(format!("{heard} requests were heard\n")), None))
}

/// What children are given, so that they work with what this was given.
pub(super) fn arguments(global: &Global, config: Option<&Path>) -> Vec<OsString> {
    let mut all: Vec<OsString> = config.map_or_else(Vec::new, |config| vec!["--config".into(), config.into()]);
    let options = [
        ("--vault", &global.vault),
        ("--endpoint", &global.endpoint),
        ("--region", &global.region),
        ("--credentials", &global.credentials),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            all.extend([name.into(), value.into()]);
        }
    }
    if let Some(id) = &global.vault_id {
        all.extend(["--vault-id".into(), id.to_string().into()]);
    }
    if global.path_style {
        all.push("--path-style".into());
    }
    all
}

/// The socket that is listened on.
struct Made {
    listener: UnixListener,
    /// The path, where it was made here.
    path: Option<PathBuf>,
}

impl Made {
    /// The socket that the service manager handed over for standard input, or a new one.
    fn take(request: &RequestConfig) -> Result<Self, CliError> {
        let failed = |source| CliError::Io { what: "can't listen on", path: request.socket.clone(), source };
        let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
        if rustix::net::sockopt::socket_acceptconn(&stdin).unwrap_or(false) {
            return Ok(Self { listener: UnixListener::from(stdin), path: None });
        }
        let path = &request.socket;
        if fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
            if UnixStream::connect(path).is_ok() {
                let what = format!("another server accepts requests at {}", path.display());
                return Err(CliError::Ops(OpsError::Busy { what }));
            }
            // What a server that was killed has left.
            fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Everybody may connect; who may ask is decided by who the kernel says they are.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).map_err(failed)?;
        Ok(Self { listener, path: Some(path.clone()) })
    }

    fn told(&self, socket: &Path) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => format!("the socket passed by systemd ({})", socket.display()),
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}
