//! `[airgap]`: the ways to the vault, what cuts each, and what proves it.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use super::{Fault, parsed};
use crate::{
    model::{Name, Span},
    store::credentials::CredentialsSpec,
};

/// How long a command of a step may take, if nothing is said.
const TIMEOUT: Span = Span::seconds(30);
/// How long a probe may take, if nothing is said.
const PROBE: Span = Span::seconds(10);
/// For how long a probe may go on to succeed after a step, if nothing is said.
const PATIENCE: Span = Span::seconds(15);
/// The longest that any of them may take.
const LONGEST: Span = Span::seconds(600);
/// How long a window may be open, if nothing is said.
const WINDOW: Span = Span::seconds(2 * 3600);
/// Where alerts are listened for, if nothing is said.
const ADDRESS: &str = "127.0.0.1:7468";

/// `[airgap]`.
#[derive(Debug, Clone)]
pub struct AirgapConfig {
    /// Where it is noted what was done.
    pub journal: PathBuf,
    /// How long a window may be open at most.
    pub longest: Span,
    /// Whether all is cut but within a window.
    pub closed: bool,
    /// The steps, in their order.
    pub steps: Vec<StepConfig>,
    /// Who may trip it from elsewhere.
    pub listen: Option<ListenConfig>,
}

/// A way that can be cut.
#[derive(Debug, Clone)]
pub struct StepConfig {
    /// What it is called.
    pub name: Name,
    /// What cuts it.
    pub way: Way,
    /// What goes through it.
    pub probe: Probe,
    /// How long its command may take.
    pub timeout: Span,
    /// How long its probe may take.
    pub probe_timeout: Span,
    /// For how long the probe may go on to succeed after the step.
    pub patience: Span,
}

/// How a way is cut.
#[derive(Debug, Clone)]
pub enum Way {
    /// By programs.
    Commands {
        /// What cuts it.
        disconnect: Vec<String>,
        /// What connects it again.
        connect: Vec<String>,
    },
    /// By a statement in the bucket's policy.
    BucketDenyPuts {
        /// Who may still put: ARNs or names of users.
        allow: Vec<String>,
        /// With whose credentials the policy is changed.
        credentials: CredentialsSpec,
    },
}

/// What goes through a way.
#[derive(Debug, Clone)]
pub enum Probe {
    /// A program that ends with success while the way is open.
    Command(Vec<String>),
    /// A put of what the store refuses to keep, with these credentials, as this member.
    Put(CredentialsSpec, Name),
}

/// `[airgap.listen]`.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// Where.
    pub address: SocketAddr,
    /// The file with the secret that alerts are signed with.
    pub secret: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAirgap {
    journal: PathBuf,
    longest: Option<Spanned<Span>>,
    #[serde(default)]
    closed: bool,
    #[serde(default)]
    step: Vec<RawStep>,
    listen: Option<RawListen>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawListen {
    address: Option<Spanned<String>>,
    secret: PathBuf,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Builtin {
    BucketDenyPuts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    name: Spanned<Name>,
    builtin: Option<Builtin>,
    disconnect: Option<Spanned<Vec<String>>>,
    connect: Option<Spanned<Vec<String>>>,
    allow: Option<Spanned<Vec<String>>>,
    credentials: Option<Spanned<String>>,
    probe: Option<Spanned<Vec<String>>>,
    probe_credentials: Option<Spanned<String>>,
    probe_member: Option<Name>,
    timeout: Option<Spanned<Span>>,
    probe_timeout: Option<Spanned<Span>>,
    patience: Option<Spanned<Span>>,
}

/// What it means.
pub(super) fn parse(raw: Option<&Spanned<RawAirgap>>, dir: &Path) -> Result<Option<AirgapConfig>, Fault> {
    let Some(spanned) = raw else { return Ok(None) };
    let raw = spanned.get_ref();
    let longest = raw.longest.as_ref().map_or(WINDOW, |longest| *longest.get_ref());
    if let Some(longest) = raw.longest.as_ref().filter(|longest| *longest.get_ref() == Span::ZERO) {
        return Err(Fault::new(longest, "give a time, such as \"2h\""));
    }
    let (mut names, mut steps) = (BTreeSet::new(), Vec::new());
    for step in &raw.step {
        if !names.insert(step.name.get_ref().clone()) {
            return Err(Fault::new(&step.name, format!("there are two steps called {}", step.name.get_ref())));
        }
        steps.push(understood(step, dir)?);
    }
    if steps.is_empty() {
        return Err(Fault::new(spanned, "it has no [[airgap.step]], so there is nothing to cut"));
    }
    let listen = raw.listen.as_ref().map(|listen| {
        let address = parsed(listen.address.as_ref())?;
        let usual = || ADDRESS.parse().map_err(|error| Fault::new(spanned, error));
        let address = address.map_or_else(usual, Ok)?;
        Ok(ListenConfig { address, secret: dir.join(&listen.secret) })
    });
    let (journal, listen) = (dir.join(&raw.journal), listen.transpose()?);
    Ok(Some(AirgapConfig { journal, longest, closed: raw.closed, steps, listen }))
}

fn words(given: Option<&Spanned<Vec<String>>>, at: &Spanned<Name>, what: &str) -> Result<Vec<String>, Fault> {
    let Some(given) = given else {
        return Err(Fault::new(at, format!("say what {what}: a program and its arguments")));
    };
    if given.get_ref().first().is_none_or(String::is_empty) {
        return Err(Fault::new(
            given,
            "give a program and its arguments, such as [\"ip\", \"link\", \"set\", \"wan0\", \"down\"]",
        ));
    }
    Ok(given.get_ref().clone())
}

fn limit(given: Option<&Spanned<Span>>, usual: Span) -> Result<Span, Fault> {
    match given {
        Some(given) if *given.get_ref() == Span::ZERO || *given.get_ref() > LONGEST => {
            Err(Fault::new(given, format!("give a time from 1s to {LONGEST}")))
        }
        Some(given) => Ok(*given.get_ref()),
        None => Ok(usual),
    }
}

fn understood(raw: &RawStep, dir: &Path) -> Result<StepConfig, Fault> {
    let name = &raw.name;
    let spec = |text: Option<&Spanned<String>>| {
        parsed::<CredentialsSpec>(text).map(|spec| spec.map(|spec| spec.relative_to(dir)))
    };
    let way = match raw.builtin {
        None => {
            if let Some(allow) = &raw.allow {
                return Err(Fault::new(allow, "it belongs to builtin = \"bucket-deny-puts\""));
            }
            if let Some(credentials) = &raw.credentials {
                return Err(Fault::new(credentials, "it belongs to builtin = \"bucket-deny-puts\""));
            }
            Way::Commands {
                disconnect: words(raw.disconnect.as_ref(), name, "disconnects it")?,
                connect: words(raw.connect.as_ref(), name, "connects it again")?,
            }
        }
        Some(Builtin::BucketDenyPuts) => {
            if let Some(command) = raw.disconnect.as_ref().or(raw.connect.as_ref()) {
                return Err(Fault::new(command, "a builtin has no commands of its own"));
            }
            let allow = raw.allow.as_ref().map(|allow| allow.get_ref().clone()).unwrap_or_default();
            if allow.is_empty() {
                let what =
                    "say with allow = […] who may still put, so that somebody can open it again and leave evidence";
                return Err(Fault::new(name, what));
            }
            let credentials = spec(raw.credentials.as_ref())?;
            let credentials = credentials
                .ok_or_else(|| Fault::new(name, "say with credentials = … who changes the bucket's policy"))?;
            Way::BucketDenyPuts { allow, credentials }
        }
    };
    let probe = match (&raw.probe, spec(raw.probe_credentials.as_ref())?, &raw.probe_member) {
        (Some(_), None, None) => Probe::Command(words(raw.probe.as_ref(), name, "probes it")?),
        (None, Some(spec), Some(member)) => Probe::Put(spec, member.clone()),
        _ => {
            let what = "say what gets through while it is open: probe = [PROGRAM, …], or for a bucket probe_credentials and \
                        probe_member. Without a probe nothing is proved";
            return Err(Fault::new(name, what));
        }
    };
    Ok(StepConfig {
        name: name.get_ref().clone(),
        way,
        probe,
        timeout: limit(raw.timeout.as_ref(), TIMEOUT)?,
        probe_timeout: limit(raw.probe_timeout.as_ref(), PROBE)?,
        patience: limit(raw.patience.as_ref(), PATIENCE)?,
    })
}
