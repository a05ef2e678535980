//! Files: what is attached to issues, comments and releases. What was stored before is not fetched again.

use std::{collections::BTreeSet, fs::File, io::Seek};

use serde_json::Value;

use super::{
    ForgeOptions, Result, SourceError,
    client::{Client, Got},
    link,
    manifest::{Row, Status},
    memory::{FIRST, Memory},
    provider::{Provider, Repository},
    uploads::{Upload, plain, uploads},
};
use crate::{codec::hash::hash, model::Name};

/// One file.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    /// Its stream: made of what tells it from every other.
    pub(super) stream: Name,
    /// Where it lies among the snapshot's.
    pub(super) path: String,
    pub(super) size: Option<u64>,
    url: String,
    /// The repository, by its place.
    pub(super) repository: usize,
    /// Whether only a text names it, which may link what is not there.
    pub(super) linked: bool,
}

/// What was found of a repository's.
pub(super) struct Found {
    pub(super) files: Vec<Attached>,
    /// How many lie on other servers.
    pub(super) elsewhere: u64,
}

/// The files of `one`, as its entries name them.
pub(super) fn of(options: &ForgeOptions, memory: &Memory, one: (usize, &Repository)) -> Result<Found> {
    let (at, repository) = one;
    let (mut found, mut streams) = (Found { files: Vec::new(), elsewhere: 0 }, BTreeSet::new());
    for kind in options.provider.kinds().iter().filter(|kind| kind.files) {
        let mut place = FIRST;
        while let Some((next, line)) = memory.following(repository.id, kind.name, &place)? {
            place = next;
            let Ok(entry) = serde_json::from_slice::<Value>(&line) else { continue };
            for file in entry_files(options, (at, repository), kind.name, &entry) {
                match file {
                    Some(file) if streams.insert(file.stream.clone()) => found.files.push(file),
                    Some(_) => {}
                    None => found.elsewhere += 1,
                }
            }
        }
    }
    Ok(found)
}

/// The files that an entry has or, with GitLab, links. `None` stands for one on another server.
fn entry_files(
    options: &ForgeOptions,
    (at, repository): (usize, &Repository),
    kind: &str,
    entry: &Value,
) -> Vec<Option<Attached>> {
    let assets = entry.get("assets");
    if options.provider != Provider::Gitlab {
        let all = assets.and_then(Value::as_array).into_iter().flatten();
        return all.map(|asset| attached(options, (at, repository), kind, asset)).collect();
    }
    let links = assets.and_then(|assets| assets.get("links")).and_then(Value::as_array).into_iter().flatten();
    let mut files: Vec<_> = links.map(|link| linked(options, (at, repository), kind, link)).collect();
    let mut texts = Vec::new();
    for field in ["description", "body"] {
        texts.extend(entry.get(field).and_then(Value::as_str));
    }
    for note in entry.get("notes").and_then(Value::as_array).into_iter().flatten() {
        texts.extend(note.get("body").and_then(Value::as_str));
    }
    for text in texts {
        files.extend(uploads(text).iter().map(|one| uploaded(options, (at, repository), one)));
    }
    files
}

/// What a link of a release leads to: an upload, or what the API gives, such as a package. Of any other page of GitLab a
/// request with a token may give the page that people log in by.
fn linked(options: &ForgeOptions, one: (usize, &Repository), kind: &str, link: &Value) -> Option<Attached> {
    let url = link.get("url")?.as_str()?;
    let home = [format!("{}/{}/", options.url, one.1.name), format!("{}/-/project/{}/", options.url, one.1.id)];
    if home.iter().any(|home| url.starts_with(home.as_str())) {
        return uploads(url).first().and_then(|upload| uploaded(options, one, upload));
    }
    let api = format!("{}/", options.provider.api(&options.url));
    url.starts_with(&api).then(|| attached(options, one, kind, link)).flatten()
}

/// An upload that a text links. It never changes: its secret is made for it.
fn uploaded(options: &ForgeOptions, (at, repository): (usize, &Repository), one: &Upload<'_>) -> Option<Attached> {
    let told = format!("{}\0{}\0{}\0{}", options.url, repository.id, one.secret, one.name);
    let stream: Name = format!("file-{}", hash(told.as_bytes()).to_string().get(..40)?).parse().ok()?;
    let path = format!("{}/{}", repository.name, one.path());
    let api = options.provider.api(&options.url);
    let url = format!("{api}/projects/{}/uploads/{}/{}", repository.id, one.secret, link::segment(one.name));
    Some(Attached { stream, path, size: None, url, repository: at, linked: true })
}

fn attached(options: &ForgeOptions, one: (usize, &Repository), kind: &str, asset: &Value) -> Option<Attached> {
    let (at, repository) = one;
    let url = asset.get(options.provider.file_url())?.as_str()?;
    let here =
        [options.url.as_str(), &options.provider.api(&options.url)].iter().any(|place| link::same_place(place, url));
    if !here || !is_file(options.provider, url) {
        return None;
    }
    let id = asset.get("id")?.as_i64()?;
    let name = asset.get("name").and_then(Value::as_str).unwrap_or("file");
    let size = asset.get("size").and_then(Value::as_u64);
    let made = asset.get("updated_at").or_else(|| asset.get("created_at")).and_then(Value::as_str).unwrap_or_default();
    let told =
        hash(format!("{}\0{}\0{id}\0{size:?}\0{made}\0{name}", options.url, repository.id).as_bytes()).to_string();
    let stream: Name = format!("file-{}", told.get(..40)?).parse().ok()?;
    let path = format!("{}/{}/{kind}-{id}-{}", repository.name, super::FILES, plain(name));
    Some(Attached { stream, path, size, url: url.to_owned(), repository: at, linked: false })
}

/// Whether a URL of the forge is one of files. With any other, who names files could have the token ask for what they like.
fn is_file(provider: Provider, url: &str) -> bool {
    let places: &[&str] = match provider {
        Provider::Gitea => &["/attachments/", "/releases/download/"],
        Provider::Github => &["/releases/assets/"],
        Provider::Gitlab => &["/packages/generic/", "/uploads/"],
    };
    let path =
        link::origin(url).map(|(_, path)| path.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase());
    path.is_some_and(|path| {
        let plain = !path.split('/').any(|part| matches!(part, "." | ".." | "%2e" | "%2e%2e" | ".%2e" | "%2e."));
        plain && places.iter().any(|place| path.contains(place))
    })
}

/// Fetches one into a file without a name.
///
/// # Errors
/// If somebody asks to stop, or there is no room.
pub(super) fn fetch(
    client: &mut Client,
    options: &ForgeOptions,
    file: &Attached,
) -> Result<std::result::Result<File, Row>> {
    let failed = |e| SourceError::new("can't be put down in the state directory", &file.path).because(e);
    let dir = options.memory.parent().unwrap_or(&options.memory);
    let mut spool = tempfile::tempfile_in(dir).map_err(failed)?;
    let row = |status, http, said| Row { http, said, ..Row::new(super::FILES, status) };
    for _ in 0..2 {
        let got = client.file(&file.url, file.size, &mut spool)?;
        match got {
            Got::Read(_) | Got::Same => {}
            Got::Refused(status, said) => return Ok(Err(row(Status::Refused, Some(status), said))),
            Got::Failed(why) => return Ok(Err(row(Status::Failed, None, why))),
        }
        let length = spool.metadata().map_err(failed)?.len();
        if file.size.is_none_or(|size| size == length) {
            spool.rewind().map_err(failed)?;
            return Ok(Ok(spool));
        }
    }
    Ok(Err(row(Status::Changed, None, "it has another length than its entry says".to_owned())))
}

/// Whether the server gives uploads by its API at all: GitLab does since 17.4.
///
/// # Errors
/// If somebody asks to stop.
pub(super) fn gives_uploads(client: &mut Client, options: &ForgeOptions) -> Result<bool> {
    let (_, line) = client.one(&format!("{}/version", options.provider.api(&options.url)), None)?;
    let told: Value = serde_json::from_slice(&line).unwrap_or_default();
    let version = told.get("version").and_then(Value::as_str).unwrap_or_default();
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or_default());
    Ok((parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) >= (17, 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_fetched() {
        for (provider, url, is) in [
            (Provider::Gitea, "https://h/attachments/1", true),
            (Provider::Gitea, "https://h/sub/acme/app/releases/download/v1/a", true),
            (Provider::Gitea, "https://h/api/v1/user?x=/attachments/", false),
            (Provider::Gitea, "https://h/attachments/../api/v1/user", false),
            (Provider::Gitea, "https://h/attachments/%2E%2e/api/v1/user", false),
            (Provider::Github, "https://api.github.com/repos/a/b/releases/assets/1", true),
            (Provider::Github, "https://api.github.com/user/emails", false),
            (Provider::Gitlab, "https://h/attachments/1", false),
        ] {
            assert_eq!(is_file(provider, url), is, "{url}");
        }
    }
}
