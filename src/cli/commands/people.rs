//! `key`: who opens the backups.

use super::{
    Context, Done,
    guard::{self, Handed},
    identities, open,
};
use crate::{
    cli::{
        args::{KeyAddArgs, KeyCheckArgs, KeyCommand, KeyRotateArgs},
        error::CliError,
        failure::Failure,
        render::Output,
        settings::{Settings, real_env},
    },
    codec::seal::Recipient,
    ops::people,
};

/// Runs it.
pub(super) async fn key(context: &Context, command: KeyCommand) -> Result<Done, CliError> {
    match command {
        KeyCommand::Split(args) => guard::split(&args),
        KeyCommand::Combine(args) => guard::combine(context, &args),
        KeyCommand::List => {
            let settings = Settings::new(&context.global, &real_env)?;
            let vault = open(&settings, None).await?;
            context.found(vault.findings.clone());
            let (report, findings) = people::list(&vault, None).await?;
            context.found(findings);
            Ok((Output::Keys(report), None))
        }
        KeyCommand::Check(args) => check(context, args).await,
        KeyCommand::AddRecipient(args) => add(context, args).await,
        KeyCommand::Rotate(args) => rotate(context, args).await,
    }
}

async fn check(context: &Context, args: KeyCheckArgs) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identities(&args.identity)?;
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let (report, findings) = people::list(&vault, Some(&identities.opener)).await?;
    context.found(findings);
    let failure = Failure::of_keys(&report);
    Ok((Output::Keys(report), failure))
}

async fn add(context: &Context, args: KeyAddArgs) -> Result<Done, CliError> {
    let recipients = recipients(&args.recipient)?;
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identities(&args.identity)?;
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    Ok((Output::Recipients(people::add(&vault, &identities.opener, recipients).await?), None))
}

async fn rotate(context: &Context, args: KeyRotateArgs) -> Result<Done, CliError> {
    let handed = Handed::read(&args.papers)?;
    let recipients = recipients(&args.recipient)?;
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identities(&args.identity)?;
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let (report, findings) = people::rotate(&vault, &identities.opener, recipients, handed.papers()).await?;
    context.found(findings);
    Ok((Output::Rotated(report), None))
}

fn recipients(texts: &[String]) -> Result<Vec<Recipient>, CliError> {
    let parsed = texts.iter().map(|text| {
        let hint = "age-keygen prints one beginning with age1; an ssh public key is the line of its .pub file";
        text.parse().map_err(|e| CliError::usage(format!("{text}: {e}"), hint))
    });
    parsed.collect()
}
