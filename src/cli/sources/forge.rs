//! Forges as sources: one for what their APIs have, and one for the code and the wiki of each repository.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::git;
use crate::{
    cli::{
        config::{AppInput, ForgeInput},
        error::CliError,
        secrets,
    },
    codec::hash::hash,
    forge::{App, FULL_EVERY, ForgeOptions, ForgeSource, LfsObjects, Listed, SETTINGS_EVERY, Token, list},
    model::{Cancel, Name, SourceKind, Span},
    ops::backup::Job,
    source::{
        Look, Reading, Result, Source, SourceError,
        git::{GitSource, Login, Remote},
        redact,
    },
    store::credentials::CredentialsSpec,
};

/// How long the listing of a forge's repositories may take where no `timeout` is set.
const LISTED: Duration = Duration::from_hours(1);
/// How often it is looked whether it is over.
const POLL: Duration = Duration::from_millis(50);

/// The sources that `input`, called `name`, stands for. What can't be listed is a source called `name` that fails and says so.
pub(super) fn jobs(name: &Name, input: &ForgeInput, (allow_empty, cancel): (bool, &Cancel), state: &Path) -> Vec<Job> {
    let timeout = input.timeout.map(Span::as_duration);
    let job = |source: Box<dyn Source>| Job { name: name.clone(), source, allow_empty, group: None, timeout };
    let refused = |error| vec![job(Box::new(Refused(input.provider.kind(), Some(error))))];
    let options = match options(name, input, state) {
        Ok(options) => options,
        Err(error) => return refused(error),
    };
    // Others wait for it, so it has an end whatever the forge does.
    let (limit, own) = (timeout.unwrap_or(LISTED), Cancel::default());
    let listed = within((limit, &own, cancel), || apart(|| list(&options, input.code, own.clone()), &options.url));
    let (mut listed, wikis) = match listed {
        Ok(listed) => listed,
        Err(error) => return refused(error),
    };
    if listed.repositories.is_empty() && !allow_empty {
        let what = "lists no repository to this token; if there may be none, add --allow-empty, or `allow_empty = true` to its [[source]]";
        return refused(SourceError::new(what, &options.url));
    }
    let mut jobs = Vec::new();
    if input.code {
        let login = match login(&options) {
            Ok(login) => login,
            Err(error) => return refused(error),
        };
        let names: Vec<String> = listed.repositories.iter().map(|one| one.name.clone()).collect();
        for repository in names {
            let mut add = |path: &str| {
                let called = git::called(name, path.as_bytes());
                let url = format!("{}/{path}.git", options.url);
                let objects = LfsObjects::new(options.provider, &url, options.token.clone(), options.patience);
                let source = repository_at((&called, &url), (login.clone(), objects), (allow_empty, input), state);
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

/// Does `work`, which `own` stops when its time is over or somebody asks to stop.
fn within<T>((limit, own, asked): (Duration, &Cancel, &Cancel), work: impl FnOnce() -> Result<T>) -> Result<T> {
    let done = AtomicBool::new(false);
    let late = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            while !done.load(Ordering::SeqCst) {
                late.fetch_or(began.elapsed() >= limit, Ordering::SeqCst);
                if late.load(Ordering::SeqCst) || asked.is_cancelled() {
                    own.cancel();
                    return;
                }
                thread::sleep(POLL.min(limit));
            }
        });
        let result = work();
        done.store(true, Ordering::SeqCst);
        result
    });
    result.map_err(|error| {
        if !late.load(Ordering::SeqCst) {
            return error;
        }
        let what = format!("its repositories could not be listed within {} s (`timeout`): {error}", limit.as_secs());
        SourceError::new(what, "the forge")
    })
}

/// What git logs in with. Where tokens end, each next one follows while git is at work.
fn login(options: &ForgeOptions) -> Result<Option<Login>> {
    let Some(token) = options.token.clone() else { return Ok(None) };
    let user = options.provider.git_user();
    let word = apart(|| token.now(), &options.url)?;
    let login = Login::new(&options.url, user, &word)?;
    if token.ends() {
        login.renewed_by(user, move || match token.now() {
            Ok(word) => Some(word),
            Err(error) => {
                tracing::warn!(%error, "git goes on with the token that it has");
                None
            }
        });
    }
    Ok(Some(login))
}

/// What `work` gives, on a thread of its own, since the client of a forge blocks and runs a runtime.
fn apart<T: Send>(work: impl FnOnce() -> Result<T> + Send, url: &str) -> Result<T> {
    thread::scope(|scope| {
        let done = scope.spawn(work).join();
        done.unwrap_or_else(|_| Err(SourceError::new("can't be asked; this is a defect in strongroom", url)))
    })
}

fn repository_at(
    (called, url): (&Name, &str),
    (login, objects): (Option<Login>, LfsObjects),
    (allow_empty, input): (bool, &ForgeInput),
    state: &Path,
) -> Box<dyn Source> {
    let digits = hash(url.as_bytes()).to_string();
    let mirror = state.join("git").join(format!("{called}-{}.git", digits.get(..16).unwrap_or_default()));
    match Remote::new(url, mirror) {
        Ok(remote) => {
            let source = GitSource::remote(remote.with_login(login).with_lfs(Arc::new(objects)));
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
        token: match &input.app {
            Some(given) => Some(Token::app(app(given, input)?)),
            None => input.token.as_ref().map(token).transpose()?.map(Token::word),
        },
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

/// The app that a configuration names.
fn app(given: &AppInput, input: &ForgeInput) -> Result<App> {
    let (path, bytes) = secret(&given.key, "key")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "it holds no private key in PEM");
    let key = text.and_then(App::key_of);
    let key = key.map_err(|why| SourceError::new(format!("can't be used: {why}"), path.display().to_string()))?;
    let (id, installation) = (given.id.clone(), given.installation);
    Ok(App {
        id,
        installation,
        key,
        api: input.provider.api(&input.url),
        patience: input.patience.map(Span::as_duration),
    })
}

/// The token that `spec` names. From then on no message shows it.
fn token(spec: &CredentialsSpec) -> Result<Zeroizing<String>> {
    let (path, bytes) = secret(spec, "token")?;
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

/// The file that `spec` names, which is a source's `what`, and what it holds.
fn secret(spec: &CredentialsSpec, what: &str) -> Result<(PathBuf, Zeroizing<Vec<u8>>)> {
    let path = match spec {
        CredentialsSpec::File(path) => path.clone(),
        CredentialsSpec::Systemd(name) => {
            let dir = std::env::var_os("CREDENTIALS_DIRECTORY");
            let dir = dir.ok_or_else(|| SourceError::new("systemd passed no credential", name))?;
            Path::new(&dir).join(name)
        }
        other => return Err(SourceError::new(format!("names no {what}"), other.to_string())),
    };
    let bytes = secrets::read(&path, "read a secret of a forge").map_err(|error| match error {
        CliError::Io { source, .. } => SourceError::at(format!("its {what} can't be read"), &path, source),
        other => SourceError::new(format!("its {what} can't be used: {other}"), path.display().to_string()),
    })?;
    Ok((path, bytes))
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

    fn look(&mut self) -> Look {
        let mut look = Look::default();
        look.bad("reach", self.1.as_ref().map_or_else(|| "can't be read".to_owned(), ToString::to_string));
        look
    }
}
