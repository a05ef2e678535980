//! `[request]`: who may have which sources backed up now, at which socket.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use super::{Fault, SourceConfig};
use crate::{
    cli::request::peers::Who,
    model::{Name, Span},
};

/// Where the socket is, if nothing is said.
pub const SOCKET: &str = "/run/strongroom/request.sock";

/// What may be requested.
#[derive(Debug, Clone)]
pub struct RequestConfig {
    /// The socket.
    pub socket: PathBuf,
    /// Who may ask.
    pub users: Vec<Who>,
    /// Whose members may ask.
    pub groups: Vec<Who>,
    /// For what, and how young a snapshot must be to be answered instead of a new one.
    pub sources: BTreeMap<Name, Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRequest {
    socket: Option<PathBuf>,
    #[serde(default)]
    users: Vec<Who>,
    #[serde(default)]
    groups: Vec<Who>,
    sources: BTreeMap<Name, Span>,
}

/// What it means.
pub(super) fn parse(
    raw: Option<Spanned<RawRequest>>,
    dir: &Path,
    sources: &[SourceConfig],
) -> Result<Option<RequestConfig>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    let at = raw.span();
    let RawRequest { socket, users, groups, sources: wanted } = raw.into_inner();
    if users.is_empty() && groups.is_empty() {
        return Err(Fault(at, "[request] names neither users nor groups, so nobody may ask".to_owned()));
    }
    if wanted.is_empty() {
        return Err(Fault(at, "[request] names no sources".to_owned()));
    }
    if let Some(name) = wanted.keys().find(|name| !sources.iter().any(|source| source.name == **name)) {
        return Err(Fault(at, format!("[request] names {name}, and there is no [[source]] of that name")));
    }
    let socket = dir.join(socket.unwrap_or_else(|| SOCKET.into()));
    Ok(Some(RequestConfig { socket, users, groups, sources: wanted }))
}
