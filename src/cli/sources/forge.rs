//! Forges as sources: one for what their APIs have, and one for the code and the wiki of each repository.

use std::{collections::BTreeSet, path::Path, sync::Arc, thread};

use zeroize::Zeroizing;

use super::git;
use crate::{
    cli::{config::ForgeInput, error::CliError, secrets},
    codec::hash::hash,
    forge::{FULL_EVERY, ForgeOptions, ForgeSource, Listed, SETTINGS_EVERY, list},
    model::{Cancel, Name, SourceKind, Span},
    ops::backup::Job,
    source::{
        Reading, Result, Source, SourceError,
        git::{GitSource, Login, Remote},
        redact,
    },
    store::credentials::CredentialsSpec,
};

/// The sources that `input`, called `name`, stands for. What can't be listed is a source called `name` that fails and says so.
pub(super) fn jobs(name: &Name, input: &ForgeInput, allow_empty: bool, state: &Path) -> Vec<Job> {
    let timeout = input.timeout.map(Span::as_duration);
    let job = |source: Box<dyn Source>| Job { name: name.clone(), source, allow_empty, group: None, timeout };
    let refused = |error| vec![job(Box::new(Refused(input.provider.kind(), Some(error))))];
    let options = match options(name, input, state) {
        Ok(options) => options,
        Err(error) => return refused(error),
    };
    // A thread of its own, since the client blocks and runs a runtime.
    let listed = thread::scope(|scope| {
        let listing = scope.spawn(|| list(&options, input.code, Cancel::default()));
        listing
            .join()
            .unwrap_or_else(|_| Err(SourceError::new("can't be listed; this is a defect in strongroom", &options.url)))
    });
    let (mut listed, wikis) = match listed {
        Ok(listed) => listed,
        Err(error) => return refused(error),
    };
    let mut jobs = Vec::new();
    if input.code {
        let login = options.token.as_ref().map(|token| Login::new(&options.url, options.provider.git_user(), token));
        let login = match login.transpose() {
            Ok(login) => login,
            Err(error) => return refused(error),
        };
        let names: Vec<String> = listed.repositories.iter().map(|one| one.name.clone()).collect();
        for repository in names {
            let mut add = |path: &str| {
                let called = git::called(name, path.as_bytes());
                let url = format!("{}/{path}.git", options.url);
                let source = repository_at((&called, &url), login.clone(), (allow_empty, input), state);
                jobs.push(Job { name: called.clone(), source, allow_empty, group: Some(name.clone()), timeout: None });
                called
            };
            let code = add(&repository);
            let wiki = wikis.contains(&repository).then(|| add(&format!("{repository}.wiki")));
            listed.sources.push((repository, Some(code), wiki));
        }
    }
    jobs.insert(0, job(Box::new(ForgeSource::new(options, Arc::<Listed>::new(listed)))));
    jobs
}

fn repository_at(
    (called, url): (&Name, &str),
    login: Option<Login>,
    (allow_empty, input): (bool, &ForgeInput),
    state: &Path,
) -> Box<dyn Source> {
    let digits = hash(url.as_bytes()).to_string();
    let mirror = state.join("git").join(format!("{called}-{}.git", digits.get(..16).unwrap_or_default()));
    match Remote::new(url, mirror) {
        Ok(remote) => {
            let source = GitSource::remote(remote.with_login(login));
            Box::new(source.with_empty(allow_empty).with_timeout(input.timeout.map(Span::as_duration)))
        }
        Err(error) => Box::new(Refused(SourceKind::Git, Some(error))),
    }
}

fn options(name: &Name, input: &ForgeInput, state: &Path) -> Result<ForgeOptions> {
    let digits = hash(input.url.as_bytes()).to_string();
    let memory = state.join("forge").join(format!("{name}-{}.sqlite", digits.get(..16).unwrap_or_default()));
    Ok(ForgeOptions {
        provider: input.provider,
        url: input.url.clone(),
        owner: input.owner.clone(),
        repos: input.repos.clone(),
        token: input.token.as_ref().map(token).transpose()?,
        exclude: input.exclude.iter().cloned().collect::<BTreeSet<_>>(),
        full_every: input.full_every.unwrap_or(FULL_EVERY),
        settings_every: input.settings_every.unwrap_or(SETTINGS_EVERY),
        patience: input.patience.map(Span::as_duration),
        memory,
    })
}

/// The token that a text such as `file:PATH` names, relative to `dir`.
///
/// # Errors
/// If it names none, or others may read it.
pub fn forge_token(text: &str, dir: &Path) -> Result<Zeroizing<String>> {
    // Nothing of a token that stands there by mistake is repeated.
    let spec: CredentialsSpec =
        text.parse().map_err(|_| SourceError::new("is named as file:PATH or systemd:NAME", "the token"))?;
    token(&spec.relative_to(dir))
}

/// The token that `spec` names. From then on no message shows it.
fn token(spec: &CredentialsSpec) -> Result<Zeroizing<String>> {
    let path = match spec {
        CredentialsSpec::File(path) => path.clone(),
        CredentialsSpec::Systemd(name) => {
            let dir = std::env::var_os("CREDENTIALS_DIRECTORY");
            let dir = dir.ok_or_else(|| SourceError::new("systemd passed no credential", name))?;
            Path::new(&dir).join(name)
        }
        other => return Err(SourceError::new("names no token", other.to_string())),
    };
    let bytes = secrets::read(&path, "read the token").map_err(|error| match error {
        CliError::Io { source, .. } => SourceError::at("its token can't be read", &path, source),
        other => SourceError::new(format!("its token can't be used: {other}"), path.display().to_string()),
    })?;
    let text = std::str::from_utf8(&bytes)
        .ok()
        .map(str::trim)
        .filter(|text| !text.is_empty() && text.len() <= 4096 && text.bytes().all(|b| b.is_ascii_graphic()));
    let text = text.ok_or_else(|| {
        SourceError::new("holds no token: a token is one word on one line", path.display().to_string())
    })?;
    redact::given_as("token", text);
    Ok(Zeroizing::new(text.to_owned()))
}

/// A source that can't be read, for a reason that was found before.
struct Refused(SourceKind, Option<SourceError>);

impl Source for Refused {
    fn kind(&self) -> SourceKind {
        self.0
    }

    fn open(&mut self) -> Result<Box<dyn Reading>> {
        Err(self.1.take().unwrap_or_else(|| SourceError::new("can't be read", "the forge")))
    }
}
