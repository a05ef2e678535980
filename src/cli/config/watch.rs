//! `[watch]`: what is run when something looks wrong. Without a shell: each is a program and its arguments.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use super::{
    Fault,
    webhook::{Webhook, whom},
};
use crate::{
    model::{Name, Span},
    signal::Level,
};

/// How long a reaction may take, if nothing is said.
const TIMEOUT: Span = Span::seconds(30);
/// How long one may take at most.
const LONGEST: Span = Span::seconds(3600);

/// What a watch does.
#[derive(Debug, Clone, Default)]
pub struct WatchConfig {
    /// What is run, in this order.
    pub react: Vec<React>,
}

/// Something that is run once for each cause.
#[derive(Debug, Clone)]
pub struct React {
    /// What it is called in the checkpoint.
    pub name: Name,
    /// What is done.
    pub deed: Deed,
    /// After this time it is ended.
    pub timeout: Span,
    /// From which level on.
    pub level: Level,
}

/// What a reaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Runs a program with these arguments.
    Command(Vec<String>),
    /// Cuts the ways to the vault, as [airgap] says.
    AirgapTrip,
    /// Holds the last good snapshot, with the keeper's key of [member].
    Freeze,
    /// Tells a server.
    Webhook(Webhook),
}

/// What a reaction does that is built in.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Builtin {
    AirgapTrip,
    Freeze,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWatch {
    #[serde(default)]
    react: Vec<RawReact>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReact {
    name: Spanned<Name>,
    command: Option<Spanned<Vec<String>>>,
    builtin: Option<Builtin>,
    webhook: Option<Spanned<String>>,
    secret: Option<Spanned<PathBuf>>,
    timeout: Option<Spanned<Span>>,
    level: Option<Level>,
}

/// What it means; relative paths start from `dir`.
pub(super) fn parse(raw: RawWatch, dir: &Path) -> Result<WatchConfig, Fault> {
    let (mut names, mut react) = (BTreeSet::new(), Vec::new());
    for RawReact { name, command, builtin, webhook, secret, timeout, level } in raw.react {
        if !names.insert(name.get_ref().clone()) {
            return Err(Fault::new(&name, format!("there are two reactions called {}", name.get_ref())));
        }
        if let (Some(secret), None) = (&secret, &webhook) {
            return Err(Fault::new(secret, "a secret is for a webhook"));
        }
        let deed = match (command, builtin, webhook) {
            (Some(command), None, None) if command.get_ref().first().is_none_or(String::is_empty) => {
                let what = "give a program and its arguments, such as [\"/usr/local/bin/page\", \"db\"]";
                return Err(Fault::new(&command, what));
            }
            (Some(command), None, None) => Deed::Command(command.into_inner()),
            (None, Some(Builtin::AirgapTrip), None) => Deed::AirgapTrip,
            (None, Some(Builtin::Freeze), None) => Deed::Freeze,
            (None, None, Some(url)) => Deed::Webhook(whom(&url, secret, dir)?),
            _ => {
                let what = "give one of a command, a webhook, and a builtin, such as builtin = \"airgap-trip\"";
                return Err(Fault::new(&name, what));
            }
        };
        if let Some(timeout) = timeout.as_ref().filter(|t| *t.get_ref() == Span::ZERO || *t.get_ref() > LONGEST) {
            return Err(Fault::new(timeout, format!("give a time from 1s to {LONGEST}")));
        }
        react.push(React {
            name: name.into_inner(),
            deed,
            timeout: timeout.map_or(TIMEOUT, Spanned::into_inner),
            level: level.unwrap_or(Level::Alarm),
        });
    }
    Ok(WatchConfig { react })
}
