//! Releases. Their files are packages of the project, which the release links.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    super::{
        super::{
            FILES, Provider,
            link::segment,
            uploads::plain,
            uploads::{Upload, uploads},
        },
        BackResult,
        releases::publisher,
        words::{body, limit, text, time, words},
        writer::{put, refused},
    },
    Lab, files,
};
use crate::codec::hash::hash;

/// The package that files of releases are in, a version of it for each tag.
const PACKAGE: &str = "release-files";

/// Makes all of them, the oldest first. A project that is `fresh` has none, and no tag.
pub(super) fn make(lab: &mut Lab<'_, '_>, fresh: bool) -> BackResult<()> {
    let mut lines = lab.w.lines("releases")?;
    let mut places = Vec::new();
    while let Some((at, value)) = lines.next().map_err(|e| lab.w.unreadable("releases", e))? {
        places.push((text(&value, "created_at").to_owned(), at));
    }
    places.sort();
    let mut there = BTreeMap::new();
    if !fresh && !places.is_empty() {
        lab.w.each("/releases", &mut |value| {
            there.insert(text(&value, "tag_name").to_owned(), value);
        })?;
    }
    for (_, at) in places {
        let release = lines.at(at).map_err(|e| lab.w.unreadable("releases", e))?;
        let Some(release) = release else { continue };
        let tag = text(&release, "tag_name");
        let made = if let Some(known) = there.get(tag) {
            lab.w.report.there("releases");
            Some(known.clone())
        } else {
            create(lab, &release, tag)?
        };
        if let Some(made) = made {
            assets(lab, (&release, tag), &made)?;
        }
    }
    Ok(())
}

fn create(lab: &mut Lab<'_, '_>, release: &Value, tag: &str) -> BackResult<Option<Value>> {
    if !lab.w.has_ref("tag", tag)? {
        lab.w.report.lacks("releases", tag, "its tag is not in the target: push the code, and restore again");
        return Ok(None);
    }
    let flag = |field: &str| release.get(field).and_then(Value::as_bool) == Some(true);
    let mut head = vec![format!("{} published this at {}:", publisher(release), time(release))];
    for (field, word) in [("draft", "a draft"), ("prerelease", "a release before the release")] {
        if flag(field) {
            head.push(format!("It was {word}."));
            lab.w.report.differs("releases", tag, "GitLab has no drafts and no prereleases: its text says what it was");
        }
    }
    // What belongs to entries of its own is below it.
    let described = json!({ "body": body(release) });
    let ready = files::ready(lab, "releases", &described)?;
    let made = words(&format!("release/{tag}"), &head, &ready, limit(Provider::Gitlab));
    if made.parts.len() > 1 {
        lab.w.report.lacks("releases", tag, "its text is longer than the forge takes, and was cut");
    }
    let description = made.parts.into_iter().next().map(|(text, _)| text).unwrap_or_default();
    let name = if text(release, "name").is_empty() { tag } else { text(release, "name") };
    let mut value = json!({"tag_name": tag, "name": name, "description": description});
    let at = ["released_at", "published_at", "created_at"].into_iter().map(|field| text(release, field));
    if let Some(at) = at.into_iter().find(|at| !at.is_empty()) {
        put(&mut value, "released_at", json!(at));
    }
    match lab.w.create(("/releases", &value), "/releases", &|one| text(one, "tag_name") == tag)? {
        Ok(made) => {
            lab.w.report.made("releases");
            Ok(Some(made))
        }
        Err(why) => {
            lab.w.report.lacks("releases", tag, &refused(&why));
            Ok(None)
        }
    }
}

/// The entries of a release's files, or of its links, which are GitLab's word for them.
fn entries(release: &Value) -> impl Iterator<Item = &Value> {
    let assets = release.get("assets");
    let all = assets.and_then(Value::as_array).or_else(|| assets?.get("links")?.as_array());
    all.into_iter().flatten()
}

/// Makes the links that are not there, and sends the files that they lead to.
fn assets(lab: &mut Lab<'_, '_>, (release, tag): (&Value, &str), made: &Value) -> BackResult<()> {
    let there: Vec<&str> = entries(made).map(|one| text(one, "name")).collect();
    let mut names = BTreeSet::new();
    for asset in entries(release) {
        let id = asset.get("id").and_then(Value::as_i64).unwrap_or_default();
        let name = text(asset, "name");
        let other = format!("{name} ({id})");
        let called = if names.insert(name) { name } else { &other };
        if there.contains(&called) {
            lab.w.report.there("files");
            continue;
        }
        if called != name {
            lab.w.report.differs(
                "files",
                name,
                "GitLab takes no two files of one name in a release: its number is behind it",
            );
        }
        let target = text(asset, "url").to_owned();
        let own = format!("{FILES}/releases-{id}-{}", plain(name));
        let held = uploads(&target).first().map_or(own, Upload::path);
        let is_held = lab.w.from.join(lab.w.name).join(&held).is_file();
        let url = if is_held {
            sent(lab, (tag, &format!("{id}-{}", plain(name))), &held)?
        } else if lab.alike && !target.is_empty() {
            lab.w.report.differs("files", name, "it leads where it led before: the snapshot has no file of it");
            Some(target)
        } else {
            lab.w.report.lacks("files", name, "the snapshot does not have it");
            None
        };
        let Some(url) = url else { continue };
        let kind = if text(asset, "link_type").is_empty() { "other" } else { text(asset, "link_type") };
        let mut value = json!({"name": called, "url": url, "link_type": kind});
        // A link with a path of its own in the project.
        let own = text(asset, "direct_asset_url").split_once("/-/releases/");
        if let Some((_, path)) = own.and_then(|(_, rest)| rest.split_once("/downloads/")) {
            put(&mut value, "direct_asset_path", json!(format!("/{path}")));
        }
        let path = format!("/releases/{}/assets/links", segment(tag));
        match lab.w.create((&path, &value), &path, &|one| text(one, "name") == called)? {
            Ok(_) => lab.w.report.made("files"),
            Err(why) => lab.w.report.lacks("files", name, &refused(&why)),
        }
    }
    Ok(())
}

/// Sends a file as part of a package, unless it is there; gives where it is.
fn sent(lab: &mut Lab<'_, '_>, (tag, name): (&str, &str), held: &str) -> BackResult<Option<String>> {
    let plain_tag = plain(tag).replace("..", "_.");
    let digits = hash(tag.as_bytes()).to_string();
    let other = format!("{plain_tag}-{}", digits.get(..12).unwrap_or_default());
    let version = if plain_tag == tag { plain_tag } else { other };
    let path = format!("/packages/generic/{PACKAGE}/{}/{name}", segment(&version));
    let (url, held) = (lab.w.url(&path), lab.w.from.join(lab.w.name).join(held));
    if !package(lab.w, &version, name)? {
        let sent = lab.w.once(&mut |client| client.send_bytes("PUT", &url, &held), &mut |writer| {
            let there = package(writer, &version, name)?;
            Ok(there.then_some(Value::Null))
        })?;
        if let Err(why) = sent {
            lab.w.report.lacks("files", name, &refused(&why));
            return Ok(None);
        }
    }
    Ok(Some(url))
}

/// Whether a file is there already, which a run sent that was stopped before it made the link.
fn package(writer: &mut super::Writer<'_>, version: &str, name: &str) -> BackResult<bool> {
    let mut id = None;
    writer.each(&format!("/packages?package_type=generic&package_name={PACKAGE}"), &mut |value| {
        if text(&value, "name") == PACKAGE && text(&value, "version") == version {
            id = value.get("id").and_then(Value::as_i64);
        }
    })?;
    let mut there = false;
    if let Some(id) = id {
        writer.each(&format!("/packages/{id}/package_files"), &mut |value| {
            there |= text(&value, "file_name") == name;
        })?;
    }
    Ok(there)
}
