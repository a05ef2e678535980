//! `[metrics]`, `[ping]`, `[[hook]]` and `[[webhook]]`: what happens around a run. None of it makes a run fail unless a hook
//! is `required`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use super::{
    Fault,
    runs::{PING, RUNS, bounded, commands as runs},
    webhook::{self, RawWebhook, RunWebhook},
};
use crate::model::{Name, Span};

/// How long a hook may take, if nothing is said.
const HOOK: Span = Span::seconds(30);

/// What happens around runs.
#[derive(Debug, Clone, Default)]
pub struct AroundConfig {
    /// Where metrics are written.
    pub metrics: Option<PathBuf>,
    /// Whom a dead-man's switch belongs to, by command.
    pub pings: BTreeMap<String, String>,
    /// How long a ping may take.
    pub ping_timeout: Option<Span>,
    /// What is run, in this order.
    pub hooks: Vec<Hook>,
    /// Who else is told.
    pub webhooks: Vec<RunWebhook>,
}

impl AroundConfig {
    /// How long a ping may take.
    #[must_use]
    pub fn ping_timeout(&self) -> Span {
        self.ping_timeout.unwrap_or(PING)
    }
}

/// When a hook is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// Before a run.
    Pre,
    /// After each run.
    Post,
    /// After a run that failed.
    OnFailure,
}

impl On {
    /// As the configuration spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Post => "post",
            Self::OnFailure => "on_failure",
        }
    }
}

/// A program that is run around a run.
#[derive(Debug, Clone)]
pub struct Hook {
    /// What it is called.
    pub name: Name,
    /// When it is run.
    pub on: On,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// After this time it is ended.
    pub timeout: Span,
    /// Whether the run fails if it does.
    pub required: bool,
    /// Around which commands.
    pub commands: BTreeSet<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetrics {
    file: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPing {
    timeout: Option<Spanned<Span>>,
    backup: Option<Spanned<String>>,
    drill: Option<Spanned<String>>,
    verify: Option<Spanned<String>>,
    watch: Option<Spanned<String>>,
    renew: Option<Spanned<String>>,
    prune: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHook {
    name: Spanned<Name>,
    on: On,
    command: Spanned<Vec<String>>,
    timeout: Option<Spanned<Span>>,
    #[serde(default)]
    required: bool,
    commands: Option<Spanned<Vec<String>>>,
}

/// What it means; relative paths start from `dir`.
pub(super) fn parse(
    metrics: RawMetrics,
    ping: RawPing,
    (hooks, webhooks): (Vec<RawHook>, Vec<RawWebhook>),
    dir: &Path,
) -> Result<AroundConfig, Fault> {
    if let Some(file) = metrics.file.as_ref().filter(|file| file.get_ref().extension().is_none_or(|end| end != "prom"))
    {
        let what = "its name must end in .prom, or the textfile collector passes it over; a .json of the same name is \
                    written beside it";
        return Err(Fault::new(file, what));
    }
    let RawPing { timeout, backup, drill, verify, watch, renew, prune } = ping;
    bounded(timeout.as_ref())?;
    let mut pings = BTreeMap::new();
    for (command, url) in RUNS.into_iter().zip([backup, drill, verify, watch, renew, prune]) {
        let Some(url) = url else { continue };
        let text = url.get_ref();
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        if rest.is_none_or(str::is_empty) || text.contains(['#', ' ']) {
            return Err(Fault::new(&url, "a ping is a URL, such as https://hc-ping.com/UUID"));
        }
        pings.insert(command.to_owned(), url.into_inner());
    }
    let (mut names, mut all) = (BTreeSet::new(), Vec::new());
    for hook in hooks {
        let hook = one(hook)?;
        if !names.insert(hook.0.name.clone()) {
            return Err(Fault(hook.1, format!("there are two hooks called {}", hook.0.name)));
        }
        all.push(hook.0);
    }
    Ok(AroundConfig {
        metrics: metrics.file.map(|file| dir.join(file.into_inner())),
        pings,
        ping_timeout: timeout.map(Spanned::into_inner),
        hooks: all,
        webhooks: webhook::parse(webhooks, dir)?,
    })
}

fn one(raw: RawHook) -> Result<(Hook, std::ops::Range<usize>), Fault> {
    let RawHook { name, on, command, timeout, required, commands } = raw;
    if command.get_ref().first().is_none_or(String::is_empty) {
        return Err(Fault::new(
            &command,
            "give a program and its arguments, such as [\"/usr/local/bin/page\", \"db\"]",
        ));
    }
    bounded(timeout.as_ref())?;
    let commands = runs(commands.as_ref(), "hooks")?;
    let span = name.span();
    let hook = Hook {
        name: name.into_inner(),
        on,
        command: command.into_inner(),
        timeout: timeout.map_or(HOOK, Spanned::into_inner),
        required,
        commands,
    };
    Ok((hook, span))
}
