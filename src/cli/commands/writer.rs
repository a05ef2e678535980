//! Running the commands of the writer's own build.

use super::{Context, Done, backup, catalog, doctor, journal};
use crate::cli::{
    args::{CatalogCommand, Command, JournalCommand},
    error::CliError,
    help,
    render::Output,
};

/// Runs a command.
///
/// # Errors
/// If it fails before there is anything to show.
pub async fn run(context: &Context, command: Command) -> Result<Done, CliError> {
    match command {
        Command::Backup(args) => backup::run(context, args).await,
        Command::Doctor(args) => doctor::run(context, args).await,
        Command::Journal(JournalCommand::Run(args)) => journal::run(context, args).await,
        Command::Journal(JournalCommand::Push(args)) => journal::push(context, args).await,
        Command::Catalog(CatalogCommand::Rebuild) => catalog::rebuild(context).await,
        Command::Completions { shell } => Ok((Output::Text(help::completions(shell)), None)),
        Command::Man => Ok((Output::Text(help::man()), None)),
    }
}
