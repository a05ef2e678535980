//! `freeze`, `release`, `approvers`, `approve`, and shares of a key.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{Context, Done, identities, open};
use crate::{
    cli::{
        args::{
            ApproveCheckArgs, ApproveCommand, ApproveNewArgs, ApproversCommand, ApproversSetArgs, FreezeArgs,
            KeyCombineArgs, KeySplitArgs, PapersArgs, ReleaseArgs,
        },
        error::CliError,
        failure::Failure,
        files, identity,
        outdir::{NewFile, Staged, must_be_free},
        render::Output,
        secrets,
        settings::{Settings, real_env},
        wiring,
    },
    format::approval::Approver,
    guard::approvals::Papers,
    model::Name,
    ops::{
        approve,
        freeze::{self, Chosen, FreezeRequest},
        shares::{self, Gathered},
        snapshots::Wanted,
    },
};

/// What people approved, as it is in their files.
#[derive(Default)]
pub(super) struct Handed(Option<(Vec<u8>, Vec<Vec<u8>>)>);

impl Handed {
    /// Reads the files.
    ///
    /// # Errors
    /// If one can't be read.
    pub(super) fn read(args: &PapersArgs) -> Result<Self, CliError> {
        let Some(request) = &args.approved else { return Ok(Self::default()) };
        Ok(Self(Some((read(request)?, args.signature.iter().map(|path| read(path)).collect::<Result<_, _>>()?))))
    }

    /// What the guard is given.
    pub(super) fn papers(&self) -> Option<Papers<'_>> {
        self.0.as_ref().map(|(request, signatures)| Papers { request, signatures })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    files::read(path)?.ok_or_else(|| CliError::Io {
        what: "can't read",
        path: path.to_owned(),
        source: io::Error::from(rustix::io::Errno::NOENT),
    })
}

/// `freeze`.
pub(super) async fn freeze(context: &Context, args: FreezeArgs) -> Result<Done, CliError> {
    let chosen = chosen(&args)?;
    if let Some(read) = args.until.as_ref().and_then(|until| until.read_as("--until")) {
        context.tell(&read);
    }
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identity::load(&args.identity.identity, &real_env)?;
    let member = wiring::member(&settings)?;
    let vault = open(&settings, identities.as_ref()).await?;
    context.found(vault.findings.clone());
    let until = args.until.map(|until| until.time);
    let request = FreezeRequest { chosen, until, lasting: args.lasting, reason: args.reason };
    let signers = (member, identities.as_ref().map(|identities| &identities.opener));
    let (report, findings) = freeze::freeze(&vault, signers, request, &*context.bars, &context.cancel).await?;
    let failure = Failure::of_findings(&findings);
    context.found(findings);
    Ok((Output::Freeze(report), failure))
}

/// Which snapshots are meant.
fn chosen(args: &FreezeArgs) -> Result<Chosen, CliError> {
    if args.all {
        return Ok(Chosen::All(args.source.clone()));
    }
    let latest = |source: &Name| Wanted::Latest { source: source.clone(), writer: args.writer.clone(), at: None };
    let mut wanted = Vec::new();
    for text in &args.snapshot {
        if text == "latest" {
            if args.source.is_empty() {
                return Err(CliError::usage("the latest of which source?", "add --source NAME"));
            }
            wanted.extend(args.source.iter().map(latest));
        } else {
            wanted.push(Wanted::id(text)?);
        }
    }
    if !args.source.is_empty() && !args.snapshot.iter().any(|text| text == "latest") {
        let hint = "leave --source out, or say `latest`";
        return Err(CliError::usage("--source goes with `latest` or --all: an id names one snapshot", hint));
    }
    Ok(Chosen::Some(wanted))
}

/// `release`.
pub(super) async fn release(context: &Context, args: ReleaseArgs) -> Result<Done, CliError> {
    let handed = Handed::read(&args.papers)?;
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identity::load(&args.identity.identity, &real_env)?;
    let member = wiring::member(&settings)?;
    let vault = open(&settings, identities.as_ref()).await?;
    context.found(vault.findings.clone());
    let signers = (member, identities.as_ref().map(|identities| &identities.opener));
    let (report, findings) = freeze::release(&vault, signers, &args.hold, handed.papers()).await?;
    let failure = Failure::of_findings(&findings);
    context.found(findings);
    Ok((Output::Release(report), failure))
}

/// `approvers`.
pub(super) async fn approvers(context: &Context, command: ApproversCommand) -> Result<Done, CliError> {
    match command {
        ApproversCommand::Set(args) => set(context, args).await,
        ApproversCommand::List => {
            let settings = Settings::new(&context.global, &real_env)?;
            let vault = open(&settings, None).await?;
            context.found(vault.findings.clone());
            let (report, findings) = approve::list(&vault).await?;
            context.found(findings);
            Ok((Output::Approvers(report), None))
        }
    }
}

async fn set(context: &Context, args: ApproversSetArgs) -> Result<Done, CliError> {
    let people = people(&args.approver)?;
    let needs: BTreeMap<String, u32> =
        args.need.iter().map(|(action, count)| (action.as_str().to_owned(), *count)).collect();
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identities(&args.identity)?;
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let (report, findings) = approve::set(&vault, &identities.opener, people, needs).await?;
    context.found(findings);
    Ok((Output::Approvers(Some(report)), None))
}

/// The people, with the keys of all files of each name.
fn people(given: &[(Name, PathBuf)]) -> Result<Vec<Approver>, CliError> {
    let mut people: Vec<Approver> = Vec::new();
    for (name, path) in given {
        let bytes = read(path)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut keys = Vec::new();
        for line in lines {
            keys.push(line.parse().map_err(|error| {
                CliError::usage(
                    format!("{}: {error}", path.display()),
                    "give a file with SSH public keys, such as id_ed25519.pub",
                )
            })?);
        }
        match people.iter_mut().find(|person| person.name == *name) {
            Some(person) => person.keys.extend(keys),
            None => people.push(Approver { name: name.clone(), keys }),
        }
    }
    Ok(people)
}

/// `approve`.
pub(super) async fn approve(context: &Context, command: ApproveCommand) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    match command {
        ApproveCommand::New(ApproveNewArgs { action, parameters, reason, lasting }) => {
            let vault = open(&settings, None).await?;
            context.found(vault.findings.clone());
            let typed: BTreeMap<String, String> = parameters.into_iter().collect();
            let (report, findings) = approve::new(&vault, action, typed, (reason, lasting)).await?;
            context.found(findings);
            context.tell("each approver signs it: ssh-keygen -Y sign -n strongroom-approval -f KEY FILE");
            Ok((Output::Request(report), None))
        }
        ApproveCommand::Check(ApproveCheckArgs { approved, signature }) => {
            let handed = Handed::read(&PapersArgs { approved: Some(approved), signature })?;
            let vault = open(&settings, None).await?;
            context.found(vault.findings.clone());
            let papers =
                handed.papers().ok_or_else(|| CliError::usage("no request was given", "give --approved FILE"))?;
            let (report, findings) = approve::check(&vault, papers).await?;
            context.found(findings);
            let failure = Failure::of_request(&report);
            Ok((Output::Check(report), failure))
        }
    }
}

/// `key split`.
pub(super) fn split(args: &KeySplitArgs) -> Result<Done, CliError> {
    let bytes = if args.identity.as_os_str() == "-" {
        let failed = |source| CliError::Io { what: "can't read", path: "standard input".into(), source };
        secrets::bounded(io::stdin().lock()).map_err(failed)?
    } else {
        secrets::read(&args.identity, "can't read the identity")?
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        CliError::usage("the identity is not text", "give the file of an age identity that no passphrase protects")
    })?;
    let (report, made) = shares::split(text, args.shares, args.threshold)?;
    let name = |number: u8| format!("share-{number}-of-{}.txt", args.shares);
    let names: Vec<String> = made.iter().map(|share| name(share.number)).collect();
    must_be_free(&args.out, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let file = |share: &crate::format::share::Share| NewFile {
        name: name(share.number).into(),
        text: Zeroizing::new(share.encode().as_bytes().to_vec()),
    };
    let files: Vec<NewFile> = made.iter().map(file).collect();
    let mut staged = Staged::write(&args.out, &files)?;
    staged.place()?;
    Ok((Output::Split(report, staged.keep()), None))
}

/// `key combine`.
pub(super) fn combine(context: &Context, args: &KeyCombineArgs) -> Result<Done, CliError> {
    let (dir, name) = place(&args.out)?;
    must_be_free(&dir, &[&name])?;
    let mut gathered = Gathered::default();
    if args.share.is_empty() {
        typed(context, &mut gathered)?;
    }
    for path in &args.share {
        let bytes = secrets::read(path, "can't read the share")?;
        gathered.add(&String::from_utf8_lossy(&bytes), &path.display().to_string())?;
    }
    let (report, text) = gathered.combine()?;
    let file = NewFile { name: name.into(), text: Zeroizing::new(text.as_bytes().to_vec()) };
    let mut staged = Staged::write(&dir, &[file])?;
    staged.place()?;
    Ok((Output::Combined(report, staged.keep()), None))
}

/// Reads shares from standard input until there are enough: a person types them one by one.
fn typed(context: &Context, gathered: &mut Gathered) -> Result<(), CliError> {
    let failed = |source| CliError::Io { what: "can't read", path: "standard input".into(), source };
    let mut lines = io::stdin().lock().lines();
    let mut number = 1;
    while gathered.missing() != Some(0) {
        let left = gathered.missing().map_or_else(String::new, |missing| format!(", {missing} to go"));
        context.tell(&format!("type or paste a share, up to its line `end`{left}"));
        let mut text = Zeroizing::new(String::with_capacity(8192));
        let mut ended = false;
        for line in lines.by_ref() {
            let line = Zeroizing::new(line.map_err(failed)?);
            if line.trim().eq_ignore_ascii_case("end") {
                ended = true;
                break;
            }
            text.push_str(&line);
            text.push('\n');
        }
        if text.trim().is_empty() && !ended {
            return Ok(());
        }
        gathered.add(&text, &format!("share {number} of standard input"))?;
        number += 1;
    }
    Ok(())
}

/// The directory and the name of a file to make.
fn place(path: &Path) -> Result<(PathBuf, String), CliError> {
    let absolute = std::path::absolute(path).map_err(|source| CliError::Io {
        what: "can't use",
        path: path.to_owned(),
        source,
    })?;
    let name = absolute.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    match (absolute.parent(), name) {
        (Some(dir), Some(name)) => Ok((dir.to_owned(), name)),
        _ => {
            Err(CliError::usage(format!("{} names no file", path.display()), "give --out a file that is not there yet"))
        }
    }
}
