//! `mcp`, as it is typed.

use std::path::PathBuf;

use clap::Args;

/// `mcp`.
#[derive(Debug, Args)]
#[command(after_help = "Example, for a client that starts servers by a file of JSON:
  { \"mcpServers\": { \"strongroom\": { \"command\": \"strongroom\", \"args\": [\"--config\", \"/etc/strongroom/reader.toml\", \"mcp\"] } } }

It speaks the Model Context Protocol over standard input and output, and has three tools: `ready`, `status` and `request`. \
The first two read the vault with the credentials of the configuration, which need open nothing; the third asks at the socket of \
`request serve`. There is no tool that restores, reads, changes or deletes backups. See docs/agents.md.")]
pub struct McpArgs {
    /// The socket of `request serve` [default: /run/strongroom/request.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}
