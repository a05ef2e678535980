//! `doctor`.

use std::sync::Arc;

use super::{Context, Done, blocking};
use crate::{
    cli::{
        args::DoctorArgs,
        error::CliError,
        failure::Failure,
        host, hunt,
        identity::{self, Identities},
        render::Output,
        settings::{Settings, real_env},
        sources,
        wiring::{self, SystemClock},
    },
    model::{Finding, Name, Progress},
    ops::{
        self, OpsError,
        doctor::{Check, DoctorReport, DoctorRequest, Role, hunt::Judge},
        look::Past,
    },
    store::VaultUrl,
};

/// Runs it.
pub(super) async fn run(context: &Context, args: DoctorArgs) -> Result<Done, CliError> {
    let settings = Settings::to_examine(&context.global, &real_env)?;
    let configured = settings.config.as_ref().and_then(|config| config.writer.as_ref());
    let role = match (args.role, configured) {
        (Some(role), _) => role.into(),
        (None, Some(_)) => Role::Writer,
        // A member's key says what it is for. One that can't be read is told of where it is looked at.
        (None, None) => wiring::member(&settings).ok().flatten().map_or(Role::Reader, |member| member.role.into()),
    };
    let mut report = DoctorReport::new(role, Vec::new());
    let mut findings = Vec::new();
    if !args.hunt.is_empty() {
        context.bars.phase("looking for keys that lie about", None);
        findings.extend(hunted(context, &args, &settings, &mut report).await?);
    }
    let mut failure = None;
    if args.hunt.is_empty() || args.role.is_some() {
        let tried = if role == Role::Agent {
            agent(context, &settings, &mut report).await.map(|()| Vec::new())
        } else {
            report.checks.extend(host::check(&settings, role)?);
            if role == Role::Writer && !args.no_sources {
                findings.extend(sources_of(context, &settings, &mut report).await?);
            }
            check(context, &args, &settings, role, &mut report).await
        };
        match tried {
            Ok(more) => findings.extend(more),
            // What was found out before is shown, and the error decides how it ends.
            Err(error) => {
                report.checks.push(Check::could_not_run("store", error.to_string()).must());
                failure = Some(Failure::of(&error));
            }
        }
    }
    let failure = failure.or_else(|| Failure::of_checks(&report.checks));
    context.keep(findings.clone());
    Ok((Output::Doctor(Box::new(report), findings), failure))
}

/// Looks at what the configuration backs up.
async fn sources_of(
    context: &Context,
    settings: &Settings,
    report: &mut DoctorReport,
) -> Result<Vec<Finding>, CliError> {
    // What somebody else may have written is not run.
    let Some(config) = settings.config.as_ref().filter(|config| config.foreign.is_none()) else {
        return Ok(Vec::new());
    };
    let Some(configured) = config.writer.as_ref().filter(|_| !config.sources.is_empty()) else { return Ok(Vec::new()) };
    report.checks.extend(host::room(&configured.state));
    report.checks.extend(host::spool(&configured.state, sources::most_spooled(&config.sources)));
    let mut jobs = sources::configured_jobs(&[], false, &config.sources, (&configured.state, &context.cancel))?;
    if let Ok(VaultUrl::Local(path)) = settings.vault() {
        for job in &mut jobs {
            job.source.avoid(path);
        }
    }
    // A key that can't be read is told of where it is looked at.
    let writer = wiring::writer(configured).ok().map(|writer| (writer.descriptor.vault, writer.name));
    let (state, bars, cancel) = (configured.state.clone(), Arc::clone(&context.bars), context.cancel.clone());
    let looked = blocking(move |_| ops::look::look(jobs, &Past { state: &state, writer }, &*bars, &cancel)).await?;
    report.checks.extend(looked.checks);
    Ok(looked.findings)
}

/// Hunts on a thread that may block.
async fn hunted(
    context: &Context,
    args: &DoctorArgs,
    settings: &Settings,
    report: &mut DoctorReport,
) -> Result<Vec<Finding>, CliError> {
    let judge = judge(settings).await;
    let (dirs, settings, cancel) = (args.hunt.clone(), settings.clone(), context.cancel.clone());
    let joined = tokio::task::spawn_blocking(move || hunt::hunt(&dirs, &settings, &judge, &cancel)).await;
    let found = joined.map_err(|_| OpsError::Defect("the thread of the hunt"))??;
    let (checks, findings) = hunt::checks(&found);
    report.checks.extend(checks);
    report.hunt = Some(found);
    Ok(findings)
}

/// What tells whether a key opens the vault: its own records, from the writer's key and from the vault, as far as these
/// can be read. A hunt without them is one all the same.
async fn judge(settings: &Settings) -> Judge {
    let mut sealed = host::sealed_epoch(settings);
    if settings.vault().is_ok()
        && let Ok(store) = wiring::open_store(settings).await
        && let Ok(vault) = ops::open_vault(&store, &settings.pins).await
    {
        sealed.extend(crate::vault::keys::sealed_to_people(&vault).await);
    }
    Judge::new(sealed)
}

/// Tries whatever credentials lie about here.
async fn agent(context: &Context, settings: &Settings, report: &mut DoctorReport) -> Result<(), CliError> {
    context.bars.phase("trying the credentials that lie about here", None);
    match settings.vault()? {
        VaultUrl::Local(path) => {
            report.url = Some(format!("file://{}", path.display()));
            report.checks.extend(host::directory_as_agent(path));
            Ok(())
        }
        VaultUrl::S3 { bucket, prefix } => {
            report.url = Some(settings.vault()?.to_string());
            let reach = settings.reach(bucket, prefix);
            Ok(ops::doctor::check_agent(&reach, settings.credentials(), report).await?)
        }
    }
}

async fn check(
    context: &Context,
    args: &DoctorArgs,
    settings: &Settings,
    role: Role,
    report: &mut DoctorReport,
) -> Result<Vec<Finding>, CliError> {
    let identities = identity::load(&args.identity.identity, &real_env)?;
    let signs = wiring::member(settings)?;
    let member = match (&args.name, role, &signs) {
        (Some(name), ..) => name.clone(),
        (None, Role::Writer, _) => writer_name(settings)?,
        (None, Role::Pruner | Role::Driller | Role::Auditor | Role::Keeper, Some(member)) => member.name.clone(),
        (None, role, _) => named(role.as_str())?,
    };
    context.bars.phase("trying what these credentials can do", None);
    let opened = wiring::examined_store(settings).await?;
    let mut pins = settings.pins.clone();
    pins.extend(identities.iter().flat_map(|identities: &Identities| identities.pins.iter().cloned()));
    let vault = ops::open_vault(&opened.store, &pins).await?;
    let request = DoctorRequest {
        vault: &vault,
        bucket: opened.bucket.as_ref(),
        deleter: &*opened.deleter,
        role,
        member,
        keep: settings.config.as_ref().and_then(|config| config.lock.keep),
        clock: Arc::new(SystemClock),
        journals: settings.config.iter().flat_map(|config| &config.sources).any(|source| source.journal.is_some()),
    };
    let mut findings = vault.findings.clone();
    findings.extend(ops::doctor::check(&request, report).await?);
    // A writer's key may sign no proof, so where nobody else was named there is nothing to say.
    if role.may_delete() || identities.is_some() {
        let identity = identities.as_ref().map(|identities| &identities.opener);
        findings.extend(ops::doctor::keep_proof(&vault, signs, identity, report).await?);
    }
    Ok(findings)
}

/// The name of the configured writer, by its key.
fn writer_name(settings: &Settings) -> Result<Name, CliError> {
    let (_, writer) = settings.writer()?;
    Ok(wiring::writer(writer)?.name)
}

fn named(text: &str) -> Result<Name, CliError> {
    text.parse().map_err(|_| OpsError::Defect("the name of the role").into())
}
