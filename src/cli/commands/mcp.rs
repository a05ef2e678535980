//! `mcp`.

use rmcp::ServiceExt as _;

use super::{Context, Done, request::arguments};
use crate::{
    cli::{
        args::McpArgs,
        error::CliError,
        interrupt,
        mcp::Tools,
        render::Output,
        settings::{Settings, real_env},
    },
    ops::OpsError,
    vault::{VaultError, VaultErrorKind},
};

/// Runs it until its client goes, or somebody asks to stop.
pub(super) async fn run(context: &Context, args: McpArgs) -> Result<Done, CliError> {
    if context.global.json {
        let hint = "leave --json out: what it says is JSON already";
        return Err(CliError::usage("mcp and --json both need standard output", hint));
    }
    // What is wrong with the configuration is told now, and not at the first call.
    let settings = Settings::new(&context.global, &real_env)?;
    let program = std::env::current_exe().map_err(|source| CliError::Io {
        what: "can't find strongroom's own program",
        path: "/proc/self/exe".into(),
        source,
    })?;
    let config = settings.config.as_ref().map(|config| config.path.clone());
    let tools = Tools::new(&program, arguments(&context.global, config.as_deref()), args.socket);
    let failed = |why: String| CliError::Ops(OpsError::Vault(VaultError::new(VaultErrorKind::Failed, why)));
    let over = interrupt::overdue(&context.cancel, std::time::Duration::ZERO);
    tokio::select! {
        served = async { tools.serve(rmcp::transport::stdio()).await.map_err(|e| failed(format!("no client spoke the protocol: {e}")))?
            .waiting().await.map_err(|e| failed(format!("the server of tools ended: {e}"))) } => { served?; }
        () = over => return Err(CliError::Ops(OpsError::Interrupted)),
    }
    Ok((Output::Nothing, None))
}
