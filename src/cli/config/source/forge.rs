//! `kind = "gitea"`, `"github"`, `"gitlab"`: the repositories of a forge, with what git does not hold of them.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::{Fault, git::OneOrMore};
use crate::{forge::Provider, model::Span, store::credentials::CredentialsSpec};

/// What a source of a forge reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeInput {
    /// Which API.
    pub provider: Provider,
    /// Where it is, without a slash at its end.
    pub url: String,
    /// Whose repositories.
    pub owner: Option<String>,
    /// Names and patterns of repositories.
    pub repos: Vec<String>,
    /// Where the token comes from.
    pub token: Option<CredentialsSpec>,
    /// The app that gets tokens, in place of one.
    pub app: Option<AppInput>,
    /// Kinds that are left out.
    pub exclude: Vec<String>,
    /// How often everything is asked for.
    pub full_every: Option<Span>,
    /// How often settings are.
    pub settings_every: Option<Span>,
    /// How long a server that fails is asked again.
    pub patience: Option<Span>,
    /// Whether code and wikis are backed up, too.
    pub code: bool,
    /// After this time a repository fails.
    pub timeout: Option<Span>,
}

/// An app of GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppInput {
    /// Its id, or its client id.
    pub id: String,
    /// The number of its installation.
    pub installation: u64,
    /// Where its private key comes from.
    pub key: CredentialsSpec,
}

/// The same as it stands there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawApp {
    id: Id,
    installation: u64,
    key: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Word(String),
}

/// The keys as they stand there.
pub(super) struct Keys<'a> {
    pub(super) url: Option<&'a Spanned<String>>,
    pub(super) owner: Option<&'a Spanned<String>>,
    pub(super) repos: Option<Spanned<OneOrMore>>,
    pub(super) token: Option<&'a Spanned<String>>,
    pub(super) app: Option<&'a Spanned<RawApp>>,
    pub(super) exclude: Option<Spanned<Vec<String>>>,
    pub(super) full_every: Option<Span>,
    pub(super) settings_every: Option<Span>,
    pub(super) patience: Option<Span>,
    pub(super) code: Option<bool>,
    pub(super) timeout: Option<Span>,
}

/// What they mean. `None` if they name no repository.
pub(super) fn parse(provider: Provider, keys: Keys<'_>, dir: &Path) -> Result<Option<ForgeInput>, Fault> {
    let url = match (keys.url, provider.home()) {
        (Some(given), _) => place(given)?,
        (None, Some(home)) => home.to_owned(),
        (None, None) => return Ok(None),
    };
    let owner = keys.owner.map(|given| {
        let name = given.get_ref();
        let plain = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if name.split('/').all(plain) {
            Ok(name.clone())
        } else {
            Err(Fault::new(given, "this is not a valid name of an owner"))
        }
    });
    let owner = owner.transpose()?;
    let repos = match keys.repos {
        None => Vec::new(),
        Some(repos) => {
            let span = repos.span();
            let list = match repos.into_inner() {
                OneOrMore::One(one) => vec![one],
                OneOrMore::More(more) => more,
            };
            let bad = |name: &String| {
                let (owner, rest) = name.split_once('/').unwrap_or(("", ""));
                owner.is_empty() || owner.contains('*') || rest.is_empty() || name.contains(char::is_whitespace)
            };
            if list.is_empty() || list.iter().any(bad) {
                let what = "\"repos\" are names as OWNER/NAME, in which * stands for a part of NAME";
                return Err(Fault(span, what.to_owned()));
            }
            list
        }
    };
    if owner.is_none() && repos.is_empty() {
        return Ok(None);
    }
    let token = keys.token.map(|given| {
        let spec: CredentialsSpec = given.get_ref().parse().map_err(|_| Fault::new(given, TOKEN))?;
        match spec.relative_to(dir) {
            spec @ (CredentialsSpec::File(_) | CredentialsSpec::Systemd(_)) => Ok(spec),
            _ => Err(Fault::new(given, TOKEN)),
        }
    });
    let app = keys.app.map(|given| app(provider, given, dir)).transpose()?;
    if let (Some(_), Some(given)) = (&app, keys.token) {
        return Err(Fault::new(given, "\"app\" gets tokens of its own; leave \"token\" out"));
    }
    let exclude = match keys.exclude {
        None => Vec::new(),
        Some(given) => {
            let names = provider.names();
            if let Some(unknown) = given.get_ref().iter().find(|name| !names.contains(&name.as_str())) {
                let what = format!("{unknown:?} is not a kind of this forge's; they are {}", names.join(", "));
                return Err(Fault::new(&given, what));
            }
            given.into_inner()
        }
    };
    Ok(Some(ForgeInput {
        provider,
        url,
        owner,
        repos,
        token: token.transpose()?,
        app,
        exclude,
        full_every: keys.full_every,
        settings_every: keys.settings_every,
        patience: keys.patience,
        code: keys.code.unwrap_or(true),
        timeout: keys.timeout,
    }))
}

/// An app, whose key is named and not given.
fn app(provider: Provider, given: &Spanned<RawApp>, dir: &Path) -> Result<AppInput, Fault> {
    const KEY: &str =
        "an app's key is named as file:PATH or systemd:NAME; the key itself does not belong into the configuration";
    if provider != Provider::Github {
        return Err(Fault::new(given, "\"app\" belongs to sources of kind \"github\""));
    }
    let raw = given.get_ref();
    let id = match &raw.id {
        Id::Number(number) => number.to_string(),
        Id::Word(word) => word.clone(),
    };
    if id.is_empty() || id.len() > 100 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return Err(Fault::new(given, "the \"id\" of an app is its number or its client id"));
    }
    let spec: CredentialsSpec = raw.key.parse().map_err(|_| Fault::new(given, KEY))?;
    match spec.relative_to(dir) {
        key @ (CredentialsSpec::File(_) | CredentialsSpec::Systemd(_)) => {
            Ok(AppInput { id, installation: raw.installation, key })
        }
        _ => Err(Fault::new(given, KEY)),
    }
}

/// Nothing of a token that stands there by mistake is repeated.
const TOKEN: &str =
    "a token is named as file:PATH or systemd:NAME; the token itself does not belong into the configuration";

/// Where a forge is.
fn place(given: &Spanned<String>) -> Result<String, Fault> {
    forge_place(given.get_ref()).map_err(|why| Fault::new(given, why))
}

/// The URL of a forge, or of an owner on it, without slashes at its end.
///
/// # Errors
/// If it is none, holds a token, or would show one to others.
pub fn forge_place(given: &str) -> Result<String, &'static str> {
    let url = given.trim_end_matches('/');
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err("the URL of a forge is https://HOST, without what stands behind the API's or a repository's /");
    };
    if rest.is_empty() || rest.contains(['@', '?', '#', ' ', '\\', '"', '\'']) || rest.contains(char::is_control) {
        return Err(
            "the URL of a forge is https://HOST or https://HOST/PATH; a user or a token does not belong into it",
        );
    }
    let host = rest.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    match scheme {
        "https" => Ok(url.to_owned()),
        "http" if matches!(name, "localhost" | "127.0.0.1" | "[::1]") => Ok(url.to_owned()),
        "http" => Err("by http the token would be seen by everybody on the way; give https, or a proxy on this host"),
        _ => Err("the URL of a forge begins with https://"),
    }
}
