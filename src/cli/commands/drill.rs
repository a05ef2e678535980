//! `drill`.

use std::{
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
        target::Directory,
        wiring,
    },
    engine::Servers,
    model::Progress,
    ops::{
        self,
        drill::{DrillReport, DrillRequest},
        report::{self, Form},
        restore::Target,
        snapshots::Wanted,
    },
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
    let wanted = args.snapshot.as_deref().map(Wanted::id).transpose()?;
    let identities = identities(&args.identity)?;
    let member = wiring::member(&settings)?;
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let configured = settings.config.iter().flat_map(|config| &config.sources);
    let request = DrillRequest {
        sources: args.sources,
        writer: args.writer,
        configured: settings.sources(),
        snapshot: wanted,
        checks: configured.map(|source| (source.name.clone(), source.checks.clone())).collect(),
        servers,
        max_rto: args.max_rto,
        max_rpo: args.max_rpo,
        member,
        target: Box::new(|dir: PathBuf| Box::new(Directory::new(dir)) as Box<dyn Target>),
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
    context.found(findings);
    let failure = Failure::of_drill(&drills).or(unwritten);
    Ok((Output::Drill(drills), failure))
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
