//! Each command: settings become keys, stores and sources, the work is done in `ops`, and what comes back is shown.
//! Here is what all of them share; each has a file of its own.

#[cfg(feature = "full")]
mod airgap;
mod backup;
mod catalog;
mod doctor;
mod drill;
#[cfg(feature = "full")]
mod guard;
#[cfg(feature = "full")]
mod incident;
mod init;
#[cfg(feature = "full")]
mod into;
#[cfg(feature = "full")]
mod into_forge;
mod journal;
#[cfg(feature = "full")]
mod journal_read;
#[cfg(feature = "full")]
mod mcp;
#[cfg(feature = "full")]
mod member;
#[cfg(feature = "full")]
mod people;
mod policy;
#[cfg(feature = "full")]
mod ready;
mod recover;
#[cfg(feature = "full")]
mod repair;
#[cfg(feature = "full")]
pub mod replicate;
#[cfg(feature = "full")]
mod request;
mod restore;
#[cfg(feature = "full")]
mod schedule;
mod seen;
#[cfg(feature = "full")]
mod show;
mod snapshots;
#[cfg(feature = "full")]
mod status;
#[cfg(feature = "full")]
mod upkeep;
mod verify;
mod wanted;
#[cfg(feature = "full")]
mod watch;
#[cfg(not(feature = "full"))]
mod writer;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use super::{
    args::{CatalogCommand, Command, Global, IdentityArgs, JournalCommand},
    bars::Bars,
    error::CliError,
    failure::Failure,
    help,
    identity::{self, Identities},
    log,
    outdir::Access,
    render::{Output, fields_of, graded_lines, level_of},
    settings::{Settings, real_env},
    wiring::{self, SystemClock},
};
use crate::{
    format::writer_key::Writer,
    model::{Cancel, Finding, Progress, Severity},
    ops::{self, OpsError, Pin},
    source::redact::without_given,
    store::{VaultUrl, credentials::CredentialsSpec, s3::S3Settings},
    vault::{Vault, writer::Workplace},
};

#[cfg(not(feature = "full"))]
pub use writer::run;

/// So many findings of each kind are told.
const SHOWN: usize = 5;

/// What every command works with.
pub struct Context {
    /// Options of every command.
    pub global: Global,
    /// Shows the progress.
    pub bars: Arc<Bars>,
    /// Set by Ctrl-C.
    pub cancel: Cancel,
    /// What was found so far.
    pub findings: Mutex<Vec<Finding>>,
}

impl Context {
    /// Keeps what was found for the document, and tells people now: a warning that comes after the restore is late.
    pub fn found(&self, findings: Vec<Finding>) {
        let hide = |finding: Finding| Finding { message: without_given(&finding.message), ..finding };
        let findings: Vec<Finding> = findings.into_iter().map(hide).collect();
        let told = findings.iter().filter(|finding| finding.severity > Severity::Info || !self.global.quiet);
        if !self.global.json {
            self.show(told);
        }
        self.keep(findings);
    }

    /// Writes findings to standard error: to people some of each kind, to machines each with its fields.
    fn show<'a>(&self, findings: impl Iterator<Item = &'a Finding>) {
        match log::form() {
            log::Form::Text => {
                for (level, line) in graded_lines(findings, SHOWN) {
                    self.bars.event(level, &line, log::Fields::new());
                }
            }
            log::Form::Json => findings.for_each(|one| self.bars.event(level_of(one), &one.message, fields_of(one))),
        }
    }

    /// Tells people something that is no finding.
    fn tell(&self, line: &str) {
        if !self.global.json && !self.global.quiet {
            self.bars.say(line);
        }
    }

    /// Keeps what was found for the document.
    fn keep(&self, findings: Vec<Finding>) {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).extend(findings);
    }
}

/// What a command gives back, and why it failed after all.
type Done = (Output, Option<Failure>);

/// Runs a command.
///
/// # Errors
/// If it fails before there is anything to show.
#[cfg(feature = "full")]
pub async fn run(context: &Context, command: Command) -> Result<Done, CliError> {
    match command {
        Command::Init(args) => init::run(context, args).await,
        Command::Backup(args) => backup::run(context, args).await,
        Command::Snapshots(args) => snapshots::run(context, args).await,
        Command::Show(args) => show::show(context, args).await,
        Command::Diff(args) => show::diff(context, args).await,
        Command::Restore(args) => restore::run(context, args).await,
        Command::Verify(args) => Box::pin(verify::run(context, args)).await,
        Command::Watch(args) => Box::pin(watch::run(context, args)).await,
        Command::Ready(args) => ready::run(context, args).await,
        Command::Mcp(args) => mcp::run(context, args).await,
        Command::Request(args) => request::run(context, args).await,
        Command::Status(args) => Box::pin(status::run(context, args)).await,
        Command::Schedule(args) => schedule::run(context, &args),
        Command::Incident(args) => Box::pin(incident::run(context, args)).await,
        Command::Airgap(command) => Box::pin(airgap::run(context, command)).await,
        Command::Policy(args) => policy::run(context, args),
        Command::Doctor(args) => doctor::run(context, args).await,
        Command::Renew(args) => upkeep::renew(context, args).await,
        Command::Prune(args) => upkeep::prune(context, args).await,
        Command::Replicate(args) => Box::pin(replicate::run(context, args)).await,
        Command::Repair(args) => Box::pin(repair::run(context, args)).await,
        Command::Freeze(args) => Box::pin(guard::freeze(context, args)).await,
        Command::Release(args) => Box::pin(guard::release(context, args)).await,
        Command::Approvers(command) => guard::approvers(context, command).await,
        Command::Approve(command) => guard::approve(context, command).await,
        Command::Key(command) => people::key(context, command).await,
        Command::Member(command) => member::run(context, command).await,
        Command::Writer(command) => member::run(context, command.into()).await,
        Command::Drill(args) => Box::pin(drill::run(context, args)).await,
        Command::Journal(command) => journal_command(context, command).await,
        Command::Catalog(CatalogCommand::Rebuild) => catalog::rebuild(context).await,
        Command::Completions { shell } => Ok((Output::Text(help::completions(shell)), None)),
        Command::Man => Ok((Output::Text(help::man()), None)),
    }
}

/// Runs a command of journals.
#[cfg(feature = "full")]
async fn journal_command(context: &Context, command: JournalCommand) -> Result<Done, CliError> {
    match command {
        JournalCommand::Run(args) => journal::run(context, args).await,
        JournalCommand::Push(args) => journal::push(context, args).await,
        JournalCommand::Fetch(args) => journal_read::fetch(context, args).await,
        JournalCommand::List(args) => journal_read::list(context, args).await,
    }
}

async fn workplace(context: &Context, settings: &Settings, writer: Writer) -> Result<Workplace, CliError> {
    Ok(Workplace {
        store: wiring::open_store(settings).await?,
        writer: Arc::new(writer),
        clock: Arc::new(SystemClock),
        progress: Arc::clone(&context.bars) as Arc<dyn Progress>,
        cancel: context.cancel.clone(),
    })
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Handle) -> ops::Result<T> + Send + 'static,
) -> Result<T, CliError> {
    let runtime = Handle::current();
    let joined = tokio::task::spawn_blocking(move || work(&runtime)).await;
    Ok(joined.map_err(|_| OpsError::Defect("the thread of the command"))??)
}

/// Opens the vault that the settings, and the identities if there are any, mean.
async fn open(settings: &Settings, identities: Option<&Identities>) -> Result<Vault, CliError> {
    let store = wiring::open_store(settings).await?;
    let mut pins: Vec<Pin> = settings.pins.clone();
    pins.extend(identities.into_iter().flat_map(|identities| identities.pins.iter().cloned()));
    Ok(ops::open_vault(&store, &pins).await?)
}

/// How a new member and the responder will reach the vault, if it is in a bucket.
fn access(settings: &Settings, credentials: Option<&str>, option: &str) -> Result<Option<Access>, CliError> {
    if let Some(spec) = credentials {
        spec.parse::<CredentialsSpec>()?;
    }
    match settings.vault()? {
        VaultUrl::Local(_) if credentials.is_some() => Err(no_bucket(option)),
        VaultUrl::Local(_) => Ok(None),
        VaultUrl::S3 { bucket, prefix } => {
            let S3Settings { endpoint, region, path_style, checksum, conditional_put, .. } =
                settings.bucket(bucket, prefix)?;
            let member = credentials.map(str::to_owned);
            Ok(Some(Access { endpoint, region, path_style, checksum, conditional_put, member }))
        }
    }
}

/// An option of buckets, given with a directory.
fn no_bucket(option: &str) -> CliError {
    let hint = format!("leave {option} out, or give --vault s3://bucket/prefix");
    CliError::usage("a directory is not a bucket and needs no credentials", hint)
}

fn identities(args: &IdentityArgs) -> Result<Identities, CliError> {
    identity::load(&args.identity, &real_env)?.ok_or_else(|| {
        let hint = "give -i FILE (- for standard input) or set STRONGROOM_IDENTITY; the recovery kit says where it is";
        CliError::usage("an identity is needed to open backups", hint)
    })
}
