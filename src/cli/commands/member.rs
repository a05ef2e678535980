//! `member` and `writer`.

use super::{Context, Done, access, guard::Handed, identities, open};
use crate::{
    cli::{
        args::{MemberAddArgs, MemberCommand, RevokeArgs, UnrevokeArgs},
        error::CliError,
        outdir::{self, Staged},
        render::Output,
        settings::{Settings, real_env},
    },
    ops::member::{self, NewMember},
    store::VaultUrl,
};

/// Runs it.
pub(super) async fn run(context: &Context, command: MemberCommand) -> Result<Done, CliError> {
    match command {
        MemberCommand::Add(args) => add(context, args).await,
        MemberCommand::Revoke(args) => revoke(context, args).await,
        MemberCommand::Unrevoke(args) => unrevoke(context, args).await,
    }
}

async fn add(context: &Context, args: MemberAddArgs) -> Result<Done, CliError> {
    let MemberAddArgs { role, add } = args;
    let settings = Settings::new(&context.global, &real_env)?;
    let out = std::path::absolute(&add.out).map_err(|source| CliError::Io {
        what: "can't use",
        path: add.out.clone(),
        source,
    })?;
    if let VaultUrl::Local(vault) = settings.vault()?
        && out.starts_with(vault)
    {
        let hint = "give --out a directory outside of the vault: keys do not belong to what they open";
        return Err(CliError::usage("--out lies within the vault", hint));
    }
    outdir::must_be_free(&out, &[&outdir::member_key(&add.name), outdir::CONFIG])?;
    let access = access(&settings, add.member_credentials.as_deref(), "--member-credentials")?;
    let identities = identities(&add.identity)?;
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let new = NewMember::new(&vault, &identities.opener, add.name, role.into(), add.sources).await?;
    context.found(new.findings.clone());
    let files = outdir::member_files(&vault, &new, access.as_ref());
    let mut staged = Staged::write(&out, &files)?;
    // The certificate may come to be from here on, so its key must be safe before.
    staged.place()?;
    let report = new.store().await?;
    Ok((Output::Member(report, staged.keep()), None))
}

async fn revoke(context: &Context, args: RevokeArgs) -> Result<Done, CliError> {
    let handed = Handed::read(&args.papers)?;
    if let Some(read) = args.from.read_as("--from") {
        context.tell(&read);
    }
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identities(&args.identity)?;
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let whom = (&args.name, Some(args.from.time));
    let (report, findings) = member::revise(&vault, &identities.opener, whom, handed.papers()).await?;
    context.found(findings);
    Ok((Output::Revoke(report), None))
}

async fn unrevoke(context: &Context, args: UnrevokeArgs) -> Result<Done, CliError> {
    let handed = Handed::read(&args.papers)?;
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identities(&args.identity)?;
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let (report, findings) = member::revise(&vault, &identities.opener, (&args.name, None), handed.papers()).await?;
    context.found(findings);
    Ok((Output::Revoke(report), None))
}
