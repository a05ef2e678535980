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

It needs no configuration, no key and no credentials: the server at the socket has them, and does what its [request] allows:

  [request]
  users = [\"deploy\"]
  groups = [\"agents\", 1500]
  sources = { orders = \"10m\", code = \"1h\" }

A source that has a snapshot younger than its time there is not backed up again; that snapshot is answered. The reason and who \
asked are kept in the snapshot (`show`). Exit codes: 0 if each source has its snapshot (or with no --wait was accepted), 1 if one failed, 2 \
if it may not be asked for, 75 if the server is away or busy."
)]
pub struct RequestArgs {
    /// The server's side.
    #[command(subcommand)]
    pub command: Option<RequestCommand>,
    /// What is to be backed up now
    #[arg(value_name = "SOURCE", required = true)]
    pub sources: Vec<Name>,
    /// Why, for whoever looks at the snapshot; 300 characters at most
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Wait until it is done
    #[arg(long)]
    pub wait: bool,
    /// The server's socket [default: /run/strongroom/request.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// What a server does.
#[derive(Debug, Subcommand)]
pub enum RequestCommand {
    /// Hear requests and have the writer back up what [request] allows. A socket for standard input, as systemd hands it
    /// over, is listened on; without one the socket is made
    #[command(visible_alias = "listen")]
    Serve,
}
