//! Which repositories there are.

use super::{
    ForgeOptions, Result, SourceError,
    client::{Client, Got},
    json::broken,
    paging::{Pages, Turn},
    provider::{Repository, fits},
};
use crate::model::{Cancel, Name, Time};

/// The longest of what a forge says of one repository, and of all.
const LONGEST: usize = 256 << 10;
const MOST: usize = 64 << 20;

/// What was found.
#[derive(Debug, Default)]
pub struct Listed {
    /// The repositories, by name.
    pub repositories: Vec<Repository>,
    /// Whether their owner is an organisation or a group.
    pub organisation: bool,
    /// The sources that have the code and the wiki of each, by its name.
    pub sources: Vec<(String, Option<Name>, Option<Name>)>,
    /// Those that can't be told from others, or whose names can't be trusted.
    pub odd: u64,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// How many calls it took.
    pub(super) calls: u64,
    /// The forge's time before anything was asked.
    pub(super) date: Option<Time>,
}

impl Listed {
    pub(super) fn sources_of(&self, repository: &str) -> (Option<String>, Option<String>) {
        let found = self.sources.iter().find(|(name, ..)| name == repository);
        let text = |name: &Option<Name>| name.as_ref().map(ToString::to_string);
        found.map(|(_, code, wiki)| (text(code), text(wiki))).unwrap_or_default()
    }
}

/// Lists the repositories that `options` ask for; with `wikis`, asks besides which of them have one.
///
/// # Errors
/// If the forge can't be reached, refuses the token, or has nothing of that name.
pub fn list(options: &ForgeOptions, wikis: bool, cancel: Cancel) -> Result<(Listed, Vec<String>)> {
    let mut client = options.client(cancel)?;
    let mut listed = Listed::default();
    let owners = owners(options);
    for owner in &owners {
        let all = of_owner(&mut client, options, owner, &mut listed)?;
        let wanted =
            |one: &Repository| options.repos.is_empty() || options.repos.iter().any(|pattern| fits(pattern, &one.name));
        listed.repositories.extend(all.into_iter().filter(wanted));
    }
    for name in options.repos.iter().filter(|name| !name.contains('*')) {
        let there = listed.repositories.iter().any(|one| one.name.eq_ignore_ascii_case(name));
        if !there {
            let one = alone(&mut client, options, name, &mut listed)?;
            listed.repositories.push(one);
        }
    }
    listed.repositories.sort_by(|a, b| a.name.cmp(&b.name));
    listed.repositories.dedup_by(|a, b| a.id == b.id);
    for pattern in options.repos.iter().filter(|pattern| pattern.contains('*')) {
        if !listed.repositories.iter().any(|one| fits(pattern, &one.name)) {
            return Err(SourceError::new("fits no repository of the forge", pattern));
        }
    }
    let mut with_wiki = Vec::new();
    if wikis {
        for one in listed.repositories.iter().filter(|one| one.may_have_wiki) {
            let url = format!("{}/{}.wiki.git/info/refs?service=git-upload-pack", options.url, one.name);
            if client.status(&url, basic(options)?.as_ref().map(|value| value.as_str()))? != 404 {
                with_wiki.push(one.name.clone());
            }
        }
    }
    listed.calls = client.calls;
    Ok((listed, with_wiki))
}

/// How git logs in.
fn basic(options: &ForgeOptions) -> Result<Option<zeroize::Zeroizing<String>>> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let Some(token) = &options.token else { return Ok(None) };
    let pair = zeroize::Zeroizing::new(format!("{}:{}", options.provider.git_user(), token.now()?.as_str()));
    Ok(Some(zeroize::Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())))))
}

/// Whose repositories have to be listed: the owner's, or of all patterns.
fn owners(options: &ForgeOptions) -> Vec<String> {
    if let Some(owner) = &options.owner {
        return vec![owner.clone()];
    }
    let patterns = options.repos.iter().filter(|name| name.contains('*'));
    let mut owners: Vec<String> =
        patterns.filter_map(|name| Some(name.split_once('/')?.0.to_owned())).filter(|o| !o.contains('*')).collect();
    owners.sort_unstable();
    owners.dedup();
    owners
}

fn alone(client: &mut Client, options: &ForgeOptions, name: &str, listed: &mut Listed) -> Result<Repository> {
    let url = format!("{}/{}", options.provider.api(&options.url), options.provider.one(name));
    let (got, line) = client.one(&url, None)?;
    match got {
        Got::Read(page) => {
            listed.date = listed.date.or(page.date);
            options.provider.repository(&line).ok_or_else(|| broken("is of no repository"))
        }
        other => Err(refused(other, name)),
    }
}

/// Why nothing could be listed.
fn refused(got: Got, name: &str) -> SourceError {
    let what = match got {
        Got::Refused(401, said) => {
            format!("the forge refuses the token (401 {said}); look whether it is right and has not ended")
        }
        Got::Refused(404, said) => {
            format!("the forge knows nothing of that name, or does not show it to this token (404 {said})")
        }
        Got::Refused(status, said) => format!("the forge refuses ({status} {said})"),
        Got::Failed(why) => format!("the forge can't be asked: {why}"),
        Got::Read(_) | Got::Same => "the forge gave no answer".to_owned(),
    };
    SourceError::new(what, name)
}

/// All repositories of one owner.
fn of_owner(client: &mut Client, options: &ForgeOptions, owner: &str, listed: &mut Listed) -> Result<Vec<Repository>> {
    let (provider, api) = (options.provider, options.provider.api(&options.url));
    let lists = provider.lists(owner);
    for (at, path) in lists.iter().enumerate() {
        let mut path = path.clone();
        if at > 0
            && let Some((me, own)) = provider.own()
            && let (Got::Read(_), line) = client.one(&format!("{api}/{me}"), None)?
        {
            let me: serde_json::Value = serde_json::from_slice(&line).unwrap_or_default();
            let login = me.get("login").and_then(serde_json::Value::as_str).unwrap_or_default();
            if login.eq_ignore_ascii_case(owner) {
                own.clone_into(&mut path);
            } else {
                listed
                    .warnings
                    .push(format!("{owner} is a user and not this token's, so private repositories are not listed"));
            }
        }
        let sign = if path.contains('?') { '&' } else { '?' };
        let url = format!("{api}/{path}{sign}{}", provider.page());
        match whole(client, options, &url, listed)? {
            Ok(found) => {
                listed.organisation |= at == 0;
                return Ok(found);
            }
            Err(Got::Refused(404, _)) if at + 1 < lists.len() => {}
            Err(got) => return Err(refused(got, owner)),
        }
    }
    Err(refused(Got::Refused(404, String::new()), owner))
}

/// All pages of a list of repositories, or why the first can't be had. One that goes missing meanwhile is read anew.
fn whole(
    client: &mut Client,
    options: &ForgeOptions,
    first: &str,
    listed: &mut Listed,
) -> Result<std::result::Result<Vec<Repository>, Got>> {
    for _ in 0..3 {
        let (mut found, mut url, mut pages) = (Vec::<Repository>::new(), first.to_owned(), Pages::default());
        let mut odd = 0_u64;
        let total = loop {
            let (begun, before) = ((found.len(), odd), found.len() + usize::try_from(odd).unwrap_or_default());
            let cell = std::cell::RefCell::new((&mut found, &mut odd));
            let got = client.list(
                &url,
                None,
                &mut |line| {
                    let mut cell = cell.borrow_mut();
                    match options.provider.repository(line).filter(|_| line.len() <= LONGEST) {
                        Some(one) => cell.0.push(one),
                        None => *cell.1 += 1,
                    }
                    let held: usize = cell.0.iter().map(|one| one.json.len()).sum();
                    if held > MOST { Err(broken("about repositories is longer than 64 MiB")) } else { Ok(()) }
                },
                &mut || {
                    let mut cell = cell.borrow_mut();
                    cell.0.truncate(begun.0);
                    *cell.1 = begun.1;
                    Ok(())
                },
            )?;
            match got {
                Got::Read(page) => {
                    listed.date = listed.date.or(page.date);
                    let entries = found.len() + usize::try_from(odd).unwrap_or_default() - before;
                    let named = found.get(begun.0).map(|one| one.id.to_string());
                    match pages.after(&url, &page, (entries, named)) {
                        Turn::Next(next) => url = next,
                        Turn::End => break page.total,
                        Turn::Cut(why) => {
                            let what = format!("the list of repositories does not end: {why}");
                            return Err(SourceError::new(what, first));
                        }
                    }
                }
                other => return Ok(Err(other)),
            }
        };
        let mut ids: Vec<i64> = found.iter().map(|one| one.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if total.is_none_or(|total| total <= ids.len() as u64 + odd) {
            listed.odd += odd;
            return Ok(Ok(found));
        }
    }
    Ok(Err(Got::Failed("repositories went while they were listed, three times".to_owned())))
}
