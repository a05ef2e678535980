//! A server that is told what happened, in a letter that a secret signs: of `[[webhook]]` and of `[[watch.react]]`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use super::{
    Fault,
    runs::{PING, bounded, commands as runs},
};
use crate::model::{Name, Span};

/// Who is told, and what proves that it comes from here.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where. It may be a secret.
    pub url: String,
    /// The file of the secret.
    pub secret: PathBuf,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("secret", &self.secret).finish_non_exhaustive()
    }
}

/// What of a run is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// That it begins.
    Start,
    /// That it ended with 0.
    Success,
    /// That it ended with anything else.
    Failure,
}

impl Phase {
    /// As the configuration spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// A server that is told of runs.
#[derive(Debug, Clone)]
pub struct RunWebhook {
    /// What it is called.
    pub name: Name,
    /// Who is told.
    pub webhook: Webhook,
    /// Of what.
    pub on: BTreeSet<Phase>,
    /// Of which commands.
    pub commands: BTreeSet<String>,
    /// How long one try may take.
    pub timeout: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWebhook {
    name: Spanned<Name>,
    url: Spanned<String>,
    secret: Option<Spanned<PathBuf>>,
    on: Option<Spanned<Vec<Phase>>>,
    commands: Option<Spanned<Vec<String>>>,
    timeout: Option<Spanned<Span>>,
}

/// What `[[webhook]]` means; relative paths start from `dir`.
pub(super) fn parse(raw: Vec<RawWebhook>, dir: &Path) -> Result<Vec<RunWebhook>, Fault> {
    let (mut names, mut all) = (BTreeSet::new(), Vec::new());
    for RawWebhook { name, url, secret, on, commands, timeout } in raw {
        if !names.insert(name.get_ref().clone()) {
            return Err(Fault::new(&name, format!("there are two webhooks called {}", name.get_ref())));
        }
        bounded(timeout.as_ref())?;
        if let Some(on) = on.as_ref().filter(|on| on.get_ref().is_empty()) {
            return Err(Fault::new(on, "give at least one of \"start\", \"success\" and \"failure\""));
        }
        all.push(RunWebhook {
            webhook: whom(&url, secret, dir)?,
            on: on.map_or_else(|| vec![Phase::Failure], Spanned::into_inner).into_iter().collect(),
            commands: runs(commands.as_ref(), "webhooks")?,
            timeout: timeout.map_or(PING, Spanned::into_inner),
            name: name.into_inner(),
        });
    }
    Ok(all)
}

/// The URL stands in no error: it may be a secret.
pub(super) fn whom(url: &Spanned<String>, secret: Option<Spanned<PathBuf>>, dir: &Path) -> Result<Webhook, Fault> {
    let text = url.get_ref();
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if rest.is_none_or(str::is_empty) || text.contains(['#', ' ']) {
        return Err(Fault::new(url, "a webhook is a URL, such as https://alerts.example.org/strongroom"));
    }
    let Some(secret) = secret else {
        let what = "name the file of the secret that signs what is posted: secret = \"webhook.secret\"";
        return Err(Fault::new(url, what));
    };
    Ok(Webhook { url: text.clone(), secret: dir.join(secret.into_inner()) })
}
