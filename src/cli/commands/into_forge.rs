//! `restore --into` a forge.

use std::{path::Path, sync::Arc};

use super::{
    Context, Done,
    guard::Handed,
    identities, open,
    wanted::{Asked, settled},
};
use crate::{
    cli::{
        args::RestoreArgs,
        config::forge_place,
        error::CliError,
        failure::{Exit, Failure},
        render::Output,
        settings::{Settings, real_env},
        sources::forge_token,
        target::Directory,
    },
    forge::{Provider, Token, back::Back},
    model::Progress,
    ops::{
        OpsError,
        restore::{Target, forge},
    },
};

/// Where to: which API, if that was said, the forge's URL, and the owner.
pub(super) struct Place {
    provider: Option<Provider>,
    url: String,
    owner: String,
}

/// The forge that `--into` names, if it names one.
///
/// # Errors
/// If it is not the URL of an owner.
pub(super) fn place(text: &str) -> Result<Option<Place>, CliError> {
    let apis = [("gitea:", Provider::Gitea), ("github:", Provider::Github), ("gitlab:", Provider::Gitlab)];
    let named = apis.into_iter().find_map(|(name, api)| text.strip_prefix(name).map(|rest| (Some(api), rest)));
    let (mut provider, url) = match named {
        Some(found) => found,
        None if text.starts_with("https://") || text.starts_with("http://") => (None, text),
        None => return Ok(None),
    };
    let hint = "say gitea:https://HOST/OWNER, github:https://github.com/OWNER or gitlab:https://gitlab.com/GROUP";
    let whole = forge_place(url).map_err(|why| CliError::usage(format!("--into: {why}"), hint))?;
    let split = whole.rsplit_once('/').filter(|(before, owner)| !before.ends_with(":/") && is_owner(owner));
    let (url, owner) = split.ok_or_else(|| CliError::usage("--into names no owner behind the forge's URL", hint))?;
    if provider.is_none() {
        // A group of GitLab may be in a group.
        let is_home =
            |home: &str| home.eq_ignore_ascii_case(url) || whole.to_ascii_lowercase().starts_with(&format!("{home}/"));
        let homes = apis.into_iter().find(|(_, api)| api.home().is_some_and(is_home));
        provider = homes.map(|(_, api)| api);
    }
    Ok(Some(Place { provider, url: url.to_owned(), owner: owner.to_owned() }))
}

fn is_owner(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Runs it.
pub(super) async fn run(context: &Context, args: RestoreArgs, asked: Asked, place: Place) -> Result<Done, CliError> {
    let given = args.into;
    if given.database.is_some() || given.table.is_some() || given.clean || given.no_roles {
        let hint = "leave them out; --repo chooses repositories";
        return Err(CliError::usage(
            "--database, --table, --clean and --no-roles are of databases, and this is a forge",
            hint,
        ));
    }
    let spec = given.token.as_deref().ok_or_else(|| {
        CliError::usage("--into a forge needs --token", "give --token file:PATH, of a file that you alone may read")
    })?;
    let token = forge_token(spec, Path::new("")).map_err(OpsError::from)?;
    if let Some(read) = args.at.as_ref().and_then(|at| at.read_as("--at")) {
        context.tell(&read);
    }
    let handed = Handed::read(&given.papers)?;
    let settings = Settings::new(&context.global, &real_env)?;
    let identities = identities(&args.identity)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let vault = open(&settings, Some(&identities)).await?;
    context.found(vault.findings.clone());
    let wanted = settled(context, asked, (&vault, &identities.opener), &settings).await?;
    let Place { provider, url, owner } = place;
    let back = Back { provider, url, owner, token: Some(Token::word(token)), only: given.repo, patience: None };
    let failed = |source| CliError::Io {
        what: "can't make a directory for what is restored",
        path: std::env::temp_dir(),
        source,
    };
    let scratch = tempfile::tempdir().map_err(failed)?;
    let mut directory = Directory::scratch(scratch.path().to_owned());
    let target: &mut dyn Target = &mut directory;
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let on = (&progress, &context.cancel);
    let to = (scratch.path(), target);
    let (report, findings) = forge::back(&vault, &identities.opener, (&wanted, back), to, handed.papers(), on).await?;
    context.found(findings);
    let failure = open_ends(&report);
    Ok((Output::IntoForge(Box::new(report)), failure))
}

/// What it means that something did not come back that could.
fn open_ends(report: &forge::ForgeReport) -> Option<Failure> {
    let all = report.made.repositories.iter();
    let all = all.flat_map(|one| one.lacking.iter().map(move |lacking| (one.name.as_str(), lacking)));
    let all = all.chain(report.made.owner.iter().map(|lacking| ("the owner", lacking)));
    let mut open = all.filter(|(_, lacking)| lacking.open);
    let (whose, first) = open.next()?;
    let more = open.count();
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let message = format!("this is not all of it: {} of {}: {}{more}", first.kind, whose, first.why);
    let hint = "what came back stays, and what did not is listed. Mend what the reasons say, and give the same command again: it makes \
                what is missing";
    Some(Failure { exit: Exit::SomeFailed, kind: "not-whole", message, hint: Some(hint.to_owned()) })
}
