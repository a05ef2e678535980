//! Groups and projects.

use serde_json::{Value, json};

use super::super::{
    super::{
        Provider, SourceError,
        client::{Client, Got},
        link,
    },
    BackError, BackResult,
    words::text,
    writer::{WAS_OPEN, Writer, is_open, put, refused, unread},
};

/// The right that sets numbers and times: an owner's.
const OWNER: i64 = 50;

/// Where projects are made: in a group, by its number, or in the token's own user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Namespace(Option<i64>);

/// The namespace of `owner`, and whether the token is an administrator's.
pub(in super::super) fn namespace(
    client: &mut Client,
    api: &str,
    (place, owner): (&str, &str),
) -> BackResult<(Namespace, bool)> {
    let url = format!("{api}/user");
    let (got, line) = client.one(&url, None)?;
    if !matches!(got, Got::Read(_)) {
        return Err(unread(got, &url));
    }
    let user: Value = serde_json::from_slice(&line).unwrap_or_default();
    let admin = user.get("is_admin").and_then(Value::as_bool) == Some(true);
    if text(&user, "username").eq_ignore_ascii_case(owner) {
        return Ok((Namespace(None), admin));
    }
    let url = format!("{api}/groups/{}?with_projects=false", link::segment(owner));
    let (got, line) = client.one(&url, None)?;
    match got {
        Got::Read(_) => {
            let group: Value = serde_json::from_slice(&line).unwrap_or_default();
            let id = group.get("id").and_then(Value::as_i64);
            let id = id.ok_or_else(|| SourceError::new("tells of a group without a number", url))?;
            Ok((Namespace(Some(id)), admin))
        }
        Got::Refused(404, _) => Err(BackError::Wrong {
            what: format!("{place} knows no group {owner}, and it is not the token's own user"),
            next: "make the group first, or name another owner behind the forge's URL".to_owned(),
        }),
        got => Err(unread(got, &url)),
    }
}

/// Makes the project, with the groups between it and its owner, if it is not there. Tells whether it was made now.
pub(super) fn make(
    writer: &mut Writer<'_>,
    mut namespace: Namespace,
    described: &Value,
    admin: bool,
) -> BackResult<bool> {
    let url = writer.url("");
    // Whose the namespace is may do all in it, whatever an older GitLab calls that.
    let may = admin || namespace == Namespace(None);
    if let Some(there) = writer.find(&url)? {
        writer.report.there("repository");
        owned(writer, &there, may)?;
        writer.found = Some(there);
        return Ok(false);
    }
    let into = writer.report.into.clone();
    let mut parts: Vec<&str> = into.strip_prefix(&format!("{}/", writer.owner)).unwrap_or(&into).split('/').collect();
    let path = parts.pop().unwrap_or_default();
    let mut above = writer.owner.clone();
    for part in parts {
        above = format!("{above}/{part}");
        namespace = group(writer, (&above, part), namespace)?;
    }
    // A path may begin with a dot, a name not.
    let name = path.trim_start_matches(['.', '-']);
    // Never more open than it may have been.
    let mut value = json!({"name": if name.is_empty() { path } else { name }, "path": path, "visibility": "private"});
    let about: String = text(described, "description").chars().take(2000).collect();
    put(&mut value, "description", json!(about));
    if let Namespace(Some(id)) = namespace {
        put(&mut value, "namespace_id", json!(id));
    }
    if is_open(described) {
        writer.report.differs("repository", writer.name, WAS_OPEN);
    }
    let listing = format!("{}/projects", writer.api);
    let sent = writer.once(&mut |client| client.send("POST", &listing, &value), &mut |writer| writer.find(&url))?;
    let made = sent.map_err(|why| {
        SourceError::new(format!("the forge does not make this project: {}", refused(&why)), into.clone())
    })?;
    writer.report.made("repository");
    owned(writer, &made, may)?;
    Ok(true)
}

/// The group `whole`, which is made below `above` if it is not there.
fn group(writer: &mut Writer<'_>, (whole, path): (&str, &str), Namespace(above): Namespace) -> BackResult<Namespace> {
    let url = format!("{}/groups/{}?with_projects=false", writer.api, link::segment(whole));
    let found = if let Some(found) = writer.find(&url)? {
        found
    } else {
        let value = json!({"name": path, "path": path, "visibility": "private", "parent_id": above});
        let listing = format!("{}/groups", writer.api);
        let sent = writer.once(&mut |client| client.send("POST", &listing, &value), &mut |writer| writer.find(&url))?;
        let made = sent.map_err(|why| {
            SourceError::new(format!("the forge does not make this group: {}", refused(&why)), whole.to_owned())
        })?;
        writer.report.made("groups");
        made
    };
    let id = found.get("id").and_then(Value::as_i64);
    Ok(Namespace(Some(id.ok_or_else(|| SourceError::new("is told of without a number", url))?)))
}

/// Refuses before anything is made what the numbers of issues would not be right in.
fn owned(writer: &Writer<'_>, project: &Value, may: bool) -> BackResult<()> {
    debug_assert_eq!(writer.provider, Provider::Gitlab);
    let Some(rights) = project.get("permissions").and_then(Value::as_object).filter(|_| !may) else { return Ok(()) };
    let level = |of: &Value| of.get("access_level").and_then(Value::as_i64);
    let most = rights.values().filter_map(level).max();
    match most {
        Some(most) if most < OWNER => Err(BackError::Wrong {
            what: format!(
                "the token's user is no owner of {}, and only an owner sets the numbers and times of issues",
                writer.report.into
            ),
            next:
                "give the token of an owner of the group or project, of an administrator, or of the group itself with \
                   the role owner"
                    .to_owned(),
        }),
        _ => Ok(()),
    }
}
