//! `restore --into`.

use std::sync::Arc;

use super::{
    Context, Done,
    guard::Handed,
    identities, into_forge, open,
    wanted::{Asked, settled},
};
use crate::{
    cli::{
        args::RestoreArgs,
        config,
        error::CliError,
        render::Output,
        settings::{Settings, real_env},
    },
    engine::{
        into::{Options, Server},
        loaders::loader,
    },
    model::Progress,
    ops::{OpsError, restore::into},
};

/// Runs it.
pub(super) async fn run(context: &Context, args: RestoreArgs, asked: Asked) -> Result<Done, CliError> {
    if let Some(place) = into_forge::place(args.into.into.as_deref().unwrap_or_default())? {
        return Box::pin(into_forge::run(context, args, asked, place)).await;
    }
    let given = args.into;
    if given.token.is_some() || !given.repo.is_empty() {
        let hint = "leave them out, or name a forge as gitea:https://HOST/OWNER";
        return Err(CliError::usage("--token and --repo go with --into a forge", hint));
    }
    let server = server(given.into.as_deref().unwrap_or_default())?;
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
    let options =
        Options { database: given.database, table: given.table, clean: given.clean, without_roles: given.no_roles };
    let mut loader = loader(server, options).map_err(OpsError::from)?;
    let progress = Arc::clone(&context.bars) as Arc<dyn Progress>;
    let on = (&progress, &context.cancel);
    let (report, findings) =
        into::into(&vault, &identities.opener, (&wanted, &mut *loader), handed.papers(), on).await?;
    context.found(findings);
    Ok((Output::Into(Box::new(report)), None))
}

/// Where to. A password in the command line could be seen by every user of this host.
fn server(dsn: &str) -> Result<Server, CliError> {
    if dsn.trim().is_empty() {
        let what =
            "--into is empty: it names no server, and is not taken for the one that PostgreSQL would find by itself";
        return Err(CliError::usage(what, "give a DSN; where it stands in a variable, see that the variable is set"));
    }
    if let Some(path) = dsn.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(CliError::usage("--into sqlite: names no file", "say sqlite:/path/to/file.db"));
        }
        return Ok(Server::Sqlite(path.into()));
    }
    if dsn.starts_with("mysql://") || dsn.starts_with("mariadb://") {
        let login = config::drill::mariadb_server(dsn);
        return login.map(Server::Mariadb).map_err(|why| CliError::usage("the DSN of --into can't be used", why));
    }
    let info = config::drill::postgres(dsn)
        .map_err(|why| CliError::usage(format!("--into: {why}"), "see `strongroom restore --help`"))?;
    if info.has_password() {
        let hint = "put it into ~/.pgpass or PGPASSWORD";
        return Err(CliError::usage("--into holds a password, which every user of this host can see", hint));
    }
    Ok(Server::Postgres(info))
}
