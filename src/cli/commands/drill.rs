//! `drill`.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use super::{
    Context, Done, identities, open,
    verify::{form, leave},
};
use crate::{
    cli::{
        args::DrillArgs,
        config,
        error::CliError,
        failure::Failure,
        identity,
        render::Output,
        settings::{Settings, real_env},
        target::{Cluster, Directory, Replay},
        wiring,
    },
    engine::{
        EngineError, Servers,
        jail::{Allowed, Warden},
    },
    model::Progress,
    ops::{
        self,
        drill::{DrillReport, DrillRequest},
        recover,
        report::{self, Form},
        restore::Target,
        snapshots::Wanted,
    },
    store::{VaultUrl, credentials::CredentialsSpec},
};

/// Runs it.
pub(super) async fn run(context: &Context, args: DrillArgs) -> Result<Done, CliError> {
    let start = Instant::now();
    let settings = Settings::new(&context.global, &real_env)?;
    if args.history {
        let identities = identity::load(&args.identity.identity, &real_env)?;
        let vault = open(&settings, identities.as_ref()).await?;
        let (lines, findings) = ops::drill::history(&vault, &args.sources, args.writer.as_ref()).await?;
        context.found(findings);
        return Ok((Output::Drills(lines), None));
    }
    let reports: Vec<(&Path, Form)> =
        args.report.iter().map(|path| Ok((path.as_path(), form(path)?))).collect::<Result<_, CliError>>()?;
    let servers = servers(&args, &settings)?;
    let warden = if args.unconfined { Warden::unconfined() } else { confined() };
    let warden = warden.map_err(|e| CliError::Unconfined(e.what))?;
    // What this process holds is nobody's to read, whoever runs beside it under the same user.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let wanted = args.snapshot.as_deref().map(Wanted::id).transpose()?;
    let identities = identities(&args.identity)?;
    let member = wiring::member(&settings)?;
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let allowed = allowed(&args.identity.identity, &settings);
    let configured = settings.config.iter().flat_map(|config| &config.sources);
    let request = DrillRequest {
        sources: args.sources,
        writer: args.writer,
        configured: settings.sources(),
        snapshot: wanted,
        checks: configured.map(|source| (source.name.clone(), source.checks.clone())).collect(),
        servers,
        warden,
        allowed,
        max_rto: args.max_rto,
        max_rpo: args.max_rpo,
        member,
        recover_to: args.recover_to.map(|to| recover::Target { point: to.point, inclusive: true }),
        target: Box::new(|dir: PathBuf| Box::new(Directory::scratch(dir)) as Box<dyn Target>),
        cluster: Box::new(|dir: PathBuf| Box::new(Cluster::new(dir, Vec::new()).alone()) as Box<dyn Target>),
        replay: Box::new(|dir: PathBuf| Box::new(Replay::new(dir)) as Box<dyn Target>),
        elapsed: Arc::new(move || start.elapsed()),
    };
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let (drills, findings) =
        Box::pin(ops::drill::drill(&vault, &identities.opener, request, &progress, &context.cancel)).await?;
    let mut unwritten = None;
    if !reports.is_empty() {
        // The report is of this run; that the past can't be read keeps nobody from it.
        let past =
            ops::evidence::list(&vault, None).await.map(|(signed, _)| report::drills(&signed)).unwrap_or_default();
        let page = report::of_drills(&drills, &findings, past);
        for (path, form) in reports {
            let text = if form == Form::Json { json(&drills)? } else { page.write(form) };
            unwritten = unwritten.or(leave(path, text.as_bytes()));
        }
    }
    let failure = Failure::of_drill(&drills).or(unwritten).or_else(|| Failure::of_unstored(&findings));
    context.found(findings);
    Ok((Output::Drill(drills), failure))
}

/// What confines what is loaded, by this program itself.
fn confined() -> Result<Warden, EngineError> {
    let failed = |e| EngineError::at("can't find strongroom's own program", Path::new("/proc/self/exe"), e);
    Warden::find(&std::env::current_exe().map_err(failed)?)
}

/// What commands of checks may be shown: files below the configuration's directory, and nothing that opens the vault.
fn allowed(identities: &[OsString], settings: &Settings) -> Allowed {
    let config = settings.config.as_ref();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let within_home =
        |home: &PathBuf| [".ssh", ".aws/credentials", ".aws/config", ".pgpass"].map(|name| home.join(name));
    let members = config.into_iter().flat_map(|config| {
        let (member, writer) = (config.member.as_ref().map(|m| &m.key), config.writer.as_ref().map(|w| &w.key));
        member.into_iter().chain(writer).cloned().chain([config.path.clone()])
    });
    let credentials = config.and_then(|config| config.s3.credentials.as_ref()).and_then(|spec| match spec {
        CredentialsSpec::File(path) => Some(path.clone()),
        _ => None,
    });
    let from_variable = std::env::var_os("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    let never = identities.iter().map(PathBuf::from).chain(members).chain(credentials).chain(from_variable);
    let never = never.chain(home.iter().flat_map(within_home)).chain(home.clone()).collect();
    let vault = match settings.vault() {
        Ok(VaultUrl::Local(path)) => Some(path.clone()),
        _ => None,
    };
    let below = config.and_then(|config| std::path::absolute(&config.path).ok()?.parent().map(Path::to_owned));
    Allowed { below, never, vault }
}

/// The servers that are lent: those of the command line come before those of the configuration.
fn servers(args: &DrillArgs, settings: &Settings) -> Result<Servers, CliError> {
    let mut servers = settings.config.as_ref().map(|config| config.servers.clone()).unwrap_or_default();
    if let Some(dsn) = &args.postgres {
        let refused = |why| CliError::usage(format!("--postgres: {why}"), "see `strongroom drill --help`");
        let info = config::drill::postgres(dsn).map_err(refused)?;
        if info.has_password() {
            let hint = "put it into ~/.pgpass or PGPASSWORD, or the DSN into [drill] of the configuration";
            return Err(CliError::usage("--postgres holds a password, which every user of this host can see", hint));
        }
        servers.postgres = Some(info);
    }
    if let Some(dsn) = &args.mariadb {
        let login = config::drill::mariadb(dsn).map_err(|why| CliError::usage("this DSN can't be used", why))?;
        servers.mariadb = Some(login);
    }
    Ok(servers)
}

/// All of it, for scripts.
fn json(drills: &DrillReport) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(drills);
    Ok(text.map_err(|_| ops::OpsError::Defect("the encoding of the report"))? + "\n")
}
