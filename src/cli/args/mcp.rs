//! `mcp`, as it is typed.

use std::path::PathBuf;

use clap::Args;

/// `mcp`.
#[derive(Debug, Args)]
#[command(after_help = "Example, for a client with a JSON configuration:
  { \"mcpServers\": { \"strongroom\": { \"command\": \"strongroom\",
      \"args\": [\"--config\", \"/etc/strongroom/reader.toml\", \"mcp\"] } } }

Speaks the Model Context Protocol over standard input and output and offers three tools: `ready`, `status` and \
`request`. The first two read the vault with the credentials of the configuration, which need not be able to open \
anything; the third uses the socket of `request serve`. No tool restores, reads, changes or deletes backups. See \
docs/agents.md.")]
pub struct McpArgs {
    /// Socket of `request serve` [default: /run/strongroom/request.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}
