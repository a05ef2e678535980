//! `airgap`.

use std::{process::Command, sync::Arc, time::Duration};

use tokio::runtime::Handle;

use super::{Context, Done, blocking, guard::Handed};
use crate::{
    cli::{
        airgap::{
            self,
            journal::Disk,
            listen,
            window::{self, Refused},
        },
        args::{AirgapCommand, AirgapRunArgs, OpenArgs, WatchdogArgs},
        config::airgap::AirgapConfig,
        error::CliError,
        failure::Failure,
        render::Output,
        secrets,
        settings::{Settings, real_env},
        wiring::{self, SystemClock},
    },
    format::approval::Action,
    guard::{
        GuardError,
        approvals::{self, Deed, Passed},
    },
    model::{Clock, Finding, Name, Severity, Time},
    ops::{
        self, OpsError,
        airgap::{Journal, TripReport, status},
    },
};

/// How long the vault may take to note a trip: nobody waits for it longer.
const NOTED: Duration = Duration::from_secs(20);

/// Runs it.
pub(super) async fn run(context: &Context, command: AirgapCommand) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    let config = airgap::config(&settings)?;
    match command {
        AirgapCommand::Trip(args) => {
            let (report, findings) = trip(&config, &settings, "typed", args.reason).await?;
            context.keep(findings.clone());
            let failure = Failure::of_trip(&report);
            Ok((Output::Trip(report, findings), failure))
        }
        AirgapCommand::Open(args) => open(context, &config, &settings, args).await,
        AirgapCommand::Status => {
            let mut gates = airgap::gates(&config, &settings)?;
            let (journal, closed) = (config.journal.clone(), config.closed);
            let told = blocking(move |_| Ok(status(&mut gates, &mut Disk::new(&journal), (closed, SystemClock.now()))));
            let report = told.await?.map_err(journal_failed)?;
            let failure = Failure::of_airgap(&report);
            Ok((Output::Airgap(report), failure))
        }
        AirgapCommand::Run(args) => within(context, config, &settings, args).await,
        AirgapCommand::Listen => hear(context, config, settings).await,
        AirgapCommand::Watchdog(args) => guard(context, config, &settings, args).await,
    }
}

/// What it means that the journal can't be used.
fn journal_failed(why: String) -> CliError {
    CliError::usage(why, "let the user who runs this own the file that [airgap] names as journal")
}

/// Cuts everything, and notes it in the vault meanwhile and afterwards, while that can be reached.
///
/// # Errors
/// If the configuration can't be carried out.
pub(super) async fn trip(
    config: &AirgapConfig,
    settings: &Settings,
    by: &str,
    reason: String,
) -> Result<(TripReport, Vec<Finding>), CliError> {
    let mut gates = airgap::gates(config, settings)?;
    let (plan, who, why) = (config.clone(), by.to_owned(), reason.clone());
    let cutting = tokio::task::spawn_blocking(move || airgap::trip(&plan, &mut gates, &who, why));
    let begun = serde_json::json!({ "tripping": true, "by": by, "reason": reason });
    // Before the ways are cut, if the vault is quick enough; nothing waits for it.
    let first = tokio::time::timeout(NOTED, noted(settings, begun));
    let (report, first) = tokio::join!(cutting, first);
    let mut report = report.map_err(|_| OpsError::Defect("the thread that cuts"))?;
    let result = serde_json::to_value(&report).map_err(|_| OpsError::Defect("the encoding of a trip"))?;
    let last = tokio::time::timeout(NOTED, noted(settings, result)).await;
    let mut findings = Vec::new();
    match (last, first) {
        (Ok(Ok(key)), _) => report.stored = Some(key),
        (last, Ok(Ok(key))) => {
            report.stored = Some(key);
            findings.push(unstored(&format!("only that it began: {}", words(last))));
        }
        (last, _) => findings.push(unstored(&words(last))),
    }
    Ok((report, findings))
}

fn words(tried: Result<Result<String, CliError>, tokio::time::error::Elapsed>) -> String {
    match tried {
        Ok(Ok(_)) => String::new(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the vault did not answer within {} s", NOTED.as_secs()),
    }
}

fn unstored(why: &str) -> Finding {
    let what = format!("it is not noted in the vault ({why}); the journal on this disk has all of it");
    Finding::new(Severity::Warning, "airgap.unstored", what)
}

async fn noted(settings: &Settings, result: serde_json::Value) -> Result<String, CliError> {
    let member = wiring::member(settings)?;
    let vault = super::open(settings, None).await?;
    Ok(ops::airgap::leave(&vault, member, result).await?)
}

/// Connects the ways again, if the approvers agreed to exactly that.
async fn open(context: &Context, config: &AirgapConfig, settings: &Settings, args: OpenArgs) -> Result<Done, CliError> {
    let handed = Handed::read(&args.papers)?;
    let mut disk = Disk::new(&config.journal);
    let Some((trip, at)) = disk.read().map_err(journal_failed)?.tripped else {
        return Err(CliError::usage("nothing is tripped", "`airgap status` shows what is open"));
    };
    let mut gates = airgap::gates(config, settings)?;
    let vault = super::open(settings, None).await?;
    context.found(vault.findings.clone());
    let deed = Deed::new(Action::Open, [("trip", trip.clone())]);
    let by = match approvals::spend(&vault, &deed, handed.papers()).await.map_err(OpsError::from)? {
        Passed::Spent { people, .. } => people.iter().map(Name::as_str).collect::<Vec<_>>().join(", "),
        Passed::NotNeeded if args.unapproved => "nobody: the root asks for no approvals".to_owned(),
        Passed::NotNeeded => {
            return Err(not_approved(
                format!("tripped at {at}, and the root's list asks for no approvals of `open` in this vault"),
                "let an owner sign such a list: `strongroom approvers set … --need open=2`; or say --unapproved",
            ));
        }
    };
    let opened = blocking(move |_| {
        let _held = disk.hold(airgap::journal::PATIENCE);
        // Somebody may have tripped it again meanwhile: that was not approved.
        let still = disk.read().ok().and_then(|state| state.tripped).is_some_and(|(now, _)| now == trip);
        Ok(if still { ops::airgap::open(by, &mut gates, &mut disk) } else { Err(AGAIN.to_owned()) })
    });
    let report = opened.await?.map_err(journal_failed)?;
    let failure = Failure::of_opening(&report);
    Ok((Output::Opened(report), failure))
}

/// Why an approved trip is not opened.
const AGAIN: &str = "it was tripped again since, or opened: nothing was connected";

fn not_approved(what: String, next: &str) -> CliError {
    CliError::Ops(OpsError::Guard(GuardError::NotApproved { what, next: next.to_owned() }))
}

/// The command, and the watchdog, which is this program once more.
async fn within(
    context: &Context,
    config: AirgapConfig,
    settings: &Settings,
    args: AirgapRunArgs,
) -> Result<Done, CliError> {
    let mut gates = airgap::gates(&config, settings)?;
    let Some((program, words)) = args.command.split_first() else {
        return Err(CliError::usage("there is no command", "give one behind --"));
    };
    let mut command = Command::new(program);
    command.args(words);
    if context.global.json {
        // The document alone is on standard output.
        command.stdout(std::io::stderr());
    }
    let failed = |source| CliError::Io { what: "can't find", path: "/proc/self/exe".into(), source };
    let mut watchdog = Command::new(std::env::current_exe().map_err(failed)?);
    let global = &context.global;
    if let Some(config) = settings.config.as_ref() {
        watchdog.arg("--config").arg(&config.path);
    }
    for (name, value) in [("--vault", &global.vault), ("--endpoint", &global.endpoint), ("--region", &global.region)] {
        if let Some(value) = value {
            watchdog.arg(name).arg(value);
        }
    }
    if global.path_style {
        watchdog.arg("--path-style");
    }
    watchdog.args(["--quiet", "airgap", "watchdog"]);
    let cancel = context.cancel.clone();
    let ran = blocking(move |_| Ok(window::run(&config, &mut gates, command, watchdog, &cancel))).await?;
    let report = ran.map_err(|refused| match refused {
        Refused::Tripped(at) => not_approved(
            format!("the ways to the vault were cut at {at}, and approvers did not open them again"),
            "only `airgap open` connects them, as the approvers decide",
        ),
        Refused::Busy(what) => CliError::Ops(OpsError::Busy { what }),
        Refused::Failed(why) => journal_failed(why),
    })?;
    let failure = Failure::of_window(&report);
    Ok((Output::Window(report), failure))
}

async fn guard(
    context: &Context,
    config: AirgapConfig,
    settings: &Settings,
    args: WatchdogArgs,
) -> Result<Done, CliError> {
    let mut gates = airgap::gates(&config, settings)?;
    let cancel = context.cancel.clone();
    let until = Time::from_unix(args.until);
    let end = blocking(move |_| Ok(window::watch(&config, &mut gates, (&args.window, until), &cancel))).await?;
    let failure = end.as_ref().and_then(|end| Failure::of_open_ways(&end.open));
    Ok((Output::Nothing, failure))
}

/// Listens for alerts.
async fn hear(context: &Context, config: AirgapConfig, settings: Settings) -> Result<Done, CliError> {
    let wanted = config.listen.clone().ok_or_else(|| {
        CliError::usage(
            "the configuration has no [airgap.listen]",
            "give it the file of a secret: secret = \"alert.secret\"",
        )
    })?;
    let secret = secrets::read(&wanted.secret, "can't read the secret of alerts")?;
    let trimmed = zeroize::Zeroizing::new(secret.trim_ascii().to_vec());
    if trimmed.len() < listen::SHORTEST {
        let what = format!("the secret in {} is shorter than {} bytes", wanted.secret.display(), listen::SHORTEST);
        return Err(CliError::usage(what, "make one: head -c 32 /dev/urandom | base64"));
    }
    // What can't be carried out is told now, and not at the first alert.
    drop(airgap::gates(&config, &settings)?);
    let (runtime, disk) = (Handle::current(), Disk::new(&config.journal));
    let bars = Arc::clone(&context.bars);
    let tripping = move |reason: String| {
        let tripped = runtime.block_on(trip(&config, &settings, "alert", reason));
        match tripped {
            Ok((report, _)) if report.open.is_empty() => {
                bars.say(&format!("tripped by an alert ({}): all is cut", report.reason));
            }
            Ok((report, _)) => bars.say(&format!("tripped by an alert: NOT PROVED CUT: {}", report.open.join(", "))),
            Err(error) => bars.say(&format!("an alert could not be heeded: {error}")),
        }
    };
    let (cancel, bars) = (context.cancel.clone(), Arc::clone(&context.bars));
    let served = tokio::task::spawn_blocking(move || {
        let ready = |address| bars.say(&format!("listening on {address}"));
        listen::serve(wanted.address, trimmed, disk, Box::new(tripping), (&ready, &cancel))
    });
    let served = served.await.map_err(|_| OpsError::Defect("the thread that listens"))?;
    let failed = |source| CliError::Io { what: "can't listen on", path: wanted.address.to_string().into(), source };
    let heeded = served.map_err(failed)?;
    Ok((Output::Text(format!("{heeded} alerts were heeded\n")), None))
}
