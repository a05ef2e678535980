//! `restore --recover-to` and `restore --data-directory`.

use std::{ffi::OsString, path::Path, sync::Arc};

use super::{
    Context, Done, identities, open,
    wanted::{Asked, can_go_on, settled},
};
use crate::{
    cli::{
        args::{Global, PointArg, RestoreArgs, WalArg},
        error::CliError,
        failure::{Exit, Failure},
        render::Output,
        settings::{Settings, real_env},
        shell,
        target::{Cluster, Replay, exposed},
    },
    model::Progress,
    ops::recover::{self, Fetch, Places, Point, RecoverRequest, Recovery},
    vault::Vault,
};

/// Runs it.
pub(super) async fn run(context: &Context, args: RestoreArgs, asked: Asked) -> Result<Done, CliError> {
    let to = args.to.clone().unwrap_or_default();
    if to == Path::new("-") {
        let hint = "give --to a directory";
        return Err(CliError::usage("a data directory is made, which standard output can't be", hint));
    }
    if let Some(read) = args.recovery.recover_to.as_ref().and_then(PointArg::read_as) {
        context.tell(&read);
    }
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identities(&args.identity)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    context.found(exposed(&to));
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let wanted = settled(context, asked, (&vault, &identities.opener), &settings).await?;
    let fetch = match args.recovery.wal {
        Some(WalArg::Fetch) => Some(fetch(&context.global, &vault, &args.identity.identity)?),
        Some(WalArg::Here) | None => None,
    };
    let recovery = args.recovery;
    let mut cluster = Cluster::new(to.clone(), recovery.tablespace_map).delta(recovery.delta);
    let mut replay = Replay::new(to.clone());
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let on = (&progress, &context.cancel);
    let done = match recovery.recover_to {
        Some(to) => {
            let target_of = recover::Target { point: to.point, inclusive: !recovery.exclusive };
            let request = RecoverRequest { wanted, target: target_of, timeline: recovery.timeline, fetch };
            let places = Places { cluster: &mut cluster, replay: &mut replay };
            Box::pin(recover::recover(&vault, &identities.opener, &request, places, on.0, on.1)).await
        }
        None => Box::pin(recover::lay_out_base(&vault, &identities.opener, &wanted, &mut cluster, on)).await,
    };
    if matches!(&done, Err(error) if can_go_on(error)) {
        context.found(cluster.leave().into_iter().collect());
    }
    let (report, findings) = done?;
    context.found(findings);
    let to = to.join(report.source.as_str());
    let failure = report.recovery.as_ref().and_then(short);
    Ok((Output::Restore(Box::new(report), Some(to)), failure))
}

/// What the server is to call: this program, with what was typed, wherever the server runs.
fn fetch(global: &Global, vault: &Vault, identities: &[OsString]) -> Result<Fetch, CliError> {
    let failed = |path: &Path, source| CliError::Io { what: "can't find", path: path.to_owned(), source };
    let absolute = |path: &Path| std::path::absolute(path).map_err(|e| failed(path, e));
    let program = std::env::current_exe().map_err(|e| failed(Path::new("/proc/self/exe"), e))?;
    let mut words = vec![program.display().to_string()];
    let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
    if let Some(config) = &global.config {
        option("config", absolute(config)?.display().to_string());
    }
    option("vault", vault.store.url());
    option("vault-id", vault.descriptor.vault.to_string());
    for (name, value) in [("endpoint", &global.endpoint), ("region", &global.region)] {
        if let Some(value) = value {
            option(name, value.clone());
        }
    }
    match global.credentials.as_deref().map(|spec| (spec, spec.strip_prefix("file:"))) {
        Some((_, Some(path))) => option("credentials", format!("file:{}", absolute(Path::new(path))?.display())),
        Some((spec, None)) => option("credentials", spec.to_owned()),
        None => {}
    }
    if let Some(checksum) = global.checksum {
        option("checksum", checksum.to_string());
    }
    words.extend(global.path_style.then(|| "--path-style".to_owned()));
    words.extend(["--quiet".to_owned(), "journal".to_owned(), "fetch".to_owned()]);
    let files: Vec<&Path> = identities.iter().map(Path::new).filter(|path| *path != Path::new("-")).collect();
    if files.is_empty() || files.len() < identities.len() {
        let hint = "give -i FILE, which the server's user may read, or leave --wal fetch out";
        return Err(CliError::usage(
            "--wal fetch needs the identity in a file: the server asks for the log by itself",
            hint,
        ));
    }
    for file in files {
        words.extend(["-i".to_owned(), absolute(file)?.display().to_string()]);
    }
    // In a server's settings % stands for what it puts there.
    let words: Vec<String> = words.iter().map(|word| shell::quoted(word).replace('%', "%%")).collect();
    Ok(Fetch { program: words.join(" "), file: "\"%f\" \"%p\"" })
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
