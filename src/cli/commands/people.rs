//! `key`: who opens the backups.

use super::{
    Context, Done,
    guard::{self, Handed},
    identities, open,
};
use crate::{
    cli::{
        args::{KeyAddArgs, KeyCheckArgs, KeyCommand, KeyRemoveArgs, KeyRotateArgs},
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
        KeyCommand::RemoveRecipient(args) => remove(context, args).await,
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

/// An age header does not say who opens it, so those who stay are named, and everybody else is removed.
async fn remove(context: &Context, args: KeyRemoveArgs) -> Result<Done, CliError> {
    let names = |texts: &[String]| -> Result<Vec<String>, CliError> {
        Ok(recipients(texts)?.iter().map(ToString::to_string).collect())
    };
    let stay = names(&args.stay.recipient)?;
    if let Some(both) = names(&args.removed)?.into_iter().find(|name| stay.contains(name)) {
        let hint = "give --recipient for those who stay alone";
        return Err(CliError::usage(format!("{both} is to be removed, and stands among those who stay"), hint));
    }
    rotate(context, args.stay).await
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
