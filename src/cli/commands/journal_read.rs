//! `journal fetch` and `journal list`: what reads a vault.

use super::{Context, Done, identities, journal::the_source, open};
use crate::{
    cli::{
        NOT_THERE,
        args::{JournalFetchArgs, JournalListArgs},
        error::CliError,
        failure::{Exit, Failure},
        render::Output,
        settings::{Settings, real_env},
    },
    codec::hash,
    model::Name,
    ops::{
        self, OpsError,
        journal::{FetchRequest, Fetched},
    },
    source::postgres::journal::{Ahead, system_of},
    vault::journal::Reader,
};

/// `journal fetch`.
pub(super) async fn fetch(context: &Context, args: JournalFetchArgs) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    let source = source(&settings, args.source.as_ref())?;
    let system = args.system.or_else(|| system_of(&args.path)).ok_or_else(|| {
        let hint =
            "restore_command runs in the data directory, which has it; or give --system, as pg_controldata prints it";
        CliError::usage("nobody knows which cluster recovers: there is no global/pg_control here", hint)
    })?;
    let ahead = args.ahead.unwrap_or_else(|| Ahead::usual(system));
    let ahead =
        Ahead::of_journal(ahead, &journal(&settings, &source, args.writer.as_ref())?).map_err(OpsError::from)?;
    let request = FetchRequest {
        name: args.name,
        path: args.path,
        source,
        writer: args.writer,
        system,
        ahead,
        read_ahead: args.read_ahead,
    };
    if let Some(fetched) = ops::journal::from_ahead(&request)? {
        return Ok((Output::JournalFetch(fetched), None));
    }
    let identities = identities(&args.identity)?;
    let vault = open(&settings, Some(&identities)).await?;
    let reader = Reader::new(&vault, &identities.opener, &[]).await.map_err(OpsError::from)?;
    let fetched = ops::journal::fetch(&vault, &reader, &request).await?;
    context.keep(vault.findings.clone());
    let failure = (!fetched.found).then(|| not_there(&fetched));
    Ok((Output::JournalFetch(fetched), failure))
}

/// A name for the journal that is read.
fn journal(settings: &Settings, source: &Name, writer: Option<&Name>) -> Result<String, CliError> {
    let endpoint = settings.endpoint().unwrap_or_default();
    let writer = writer.map(Name::as_str).unwrap_or_default();
    let text = format!("{}\n{endpoint}\n{source}\n{writer}", settings.vault()?);
    Ok(hash(text.as_bytes()).to_string().chars().take(16).collect())
}

fn not_there(fetched: &Fetched) -> Failure {
    let message = if fetched.beside {
        format!("there is no {}, and the server has it itself", fetched.file)
    } else {
        format!("there is no {}, and nothing beyond it", fetched.file)
    };
    Failure { exit: Exit::Failed, kind: NOT_THERE, message, hint: None }
}

fn source(settings: &Settings, named: Option<&Name>) -> Result<Name, CliError> {
    match (named, &settings.config) {
        (Some(name), _) => Ok(name.clone()),
        (None, Some(config)) => the_source(config, None),
        (None, None) => Err(CliError::usage("nothing says whose log it is", "give --source NAME")),
    }
}

/// `journal list`.
pub(super) async fn list(context: &Context, args: JournalListArgs) -> Result<Done, CliError> {
    let settings = Settings::new(&context.global, &real_env)?;
    let vault = open(&settings, None).await?;
    context.found(vault.findings.clone());
    let lines = ops::journal::list(&vault, args.source.as_ref(), args.writer.as_ref()).await?;
    Ok((Output::Journals(lines), None))
}
