//! `request`, as it is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::model::Name;

/// `request`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  strongroom request orders --reason 'before migration 42' --wait
  strongroom --config /etc/strongroom/strongroom.toml request serve

The client needs no configuration, key or credentials. The server at the socket has them and runs the backups that \
its [request] allows:

  [request]
  users = [\"deploy\"]
  groups = [\"agents\", 1500]
  sources = { orders = \"10m\", code = \"1h\" }

If a source has a snapshot younger than the time given there, no backup is made and that snapshot is the answer. The \
reason and the user are stored in the snapshot (`show`). Exit codes: 0 if each source has its snapshot (without \
--wait: if the request was accepted), 1 if a backup failed, 2 if the request is not allowed, 75 if the server is not \
running or busy."
)]
pub struct RequestArgs {
    /// The server's side.
    #[command(subcommand)]
    pub command: Option<RequestCommand>,
    /// Sources to back up now
    #[arg(value_name = "SOURCE", required = true)]
    pub sources: Vec<Name>,
    /// Reason, stored in the snapshot; at most 300 characters
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Wait for the backup to finish
    #[arg(long)]
    pub wait: bool,
    /// Socket of `request serve` [default: /run/strongroom/request.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// What a server does.
#[derive(Debug, Subcommand)]
pub enum RequestCommand {
    /// Accept requests on a socket and run the backups that [request] allows. Uses the socket that systemd passes as
    /// standard input, else creates it
    #[command(visible_alias = "listen")]
    Serve,
}
