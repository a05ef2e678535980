//! Projects of an owner, a page each: what they are about, and their items with the values of their fields.

use std::io;

use serde_json::Value;

use super::{
    Site,
    page::{author, brief, esc, own, text},
};
use crate::forge::lines::{self, Lines, number};

/// Writes a page for each project; tells their places and titles.
pub(super) fn pages(site: &mut Site<'_>) -> io::Result<Vec<(String, String)>> {
    let mut made = Vec::new();
    let mut lines = Lines::open(&site.from.join("projects.jsonl"))?;
    let mut parts = lines::parts(site.from, "", &["project_items"])?;
    while let Some((_, project)) = lines.next()? {
        let Some(number) = number(&project) else { continue };
        let (place, title) = (format!("projects/{number}.html"), text(&project, &["title"]));
        let mut page = site.page(&place, &format!("Project {number}: {title}"))?;
        let back = site.link(&place, "index.html", "all repositories");
        page.raw(&format!("<p>{back}</p>"));
        let closed = project.get("closed").and_then(Value::as_bool).unwrap_or_default();
        let (by, at) = (of(&project, "creator"), text(&project, &["createdAt"]));
        page.line(&format!("{} · {by}, {at}", if closed { "closed" } else { "open" }));
        page.line(&text(&project, &["shortDescription"]));
        page.body(own(&project, &["readme"]));
        page.raw("<table class=\"list\"><tr><th>Item</th><th>Of</th><th>Fields</th></tr>");
        for (part, at) in lines::thread(&mut parts, number)? {
            let Some(item) = parts.get_mut(part).map(|part| part.at(at)).transpose()?.flatten() else { continue };
            page.raw(&row(&item));
        }
        page.raw("</table>");
        page.end()?;
        made.push((place, brief(&title)));
    }
    Ok(made)
}

/// A person that a field names.
fn of(value: &Value, field: &str) -> String {
    value.get(field).map(|one| text(one, &["login"])).unwrap_or_default()
}

fn row(item: &Value) -> String {
    let content = item.get("content").unwrap_or(&Value::Null);
    let of = content.pointer("/repository/nameWithOwner").and_then(Value::as_str);
    let of = of.map_or_else(|| author(content), |name| format!("{name}#{}", text(content, &["number"])));
    let values = item.pointer("/fieldValues/nodes").and_then(Value::as_array).into_iter().flatten();
    let values: Vec<String> = values.filter_map(value).collect();
    let archived = item.get("isArchived").and_then(Value::as_bool).unwrap_or_default();
    let mut shown = esc(&values.join("\n"));
    if archived {
        shown.push_str(" (archived)");
    }
    let body = text(content, &["body"]);
    let body = if body.is_empty() { body } else { format!("<pre>{}</pre>", esc(&body)) };
    format!(
        "<tr><td>{}{body}</td><td>{}</td><td><pre>{shown}</pre></td></tr>",
        esc(&text(content, &["title"])),
        esc(&of)
    )
}

/// A field and what it holds, in words.
fn value(one: &Value) -> Option<String> {
    let name = one.pointer("/field/name")?.as_str()?;
    let list = |at: &str, field: &str| {
        let all = one.pointer(at).and_then(Value::as_array).into_iter().flatten();
        all.map(|one| text(one, &[field])).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
    };
    let words = [
        text(one, &["text", "number", "date", "name", "title"]),
        one.get("milestone").map(|one| text(one, &["title"])).unwrap_or_default(),
        one.pointer("/repository/nameWithOwner").and_then(Value::as_str).unwrap_or_default().to_owned(),
        list("/labels/nodes", "name"),
        list("/users/nodes", "login"),
    ];
    let word = words.into_iter().find(|word| !word.is_empty())?;
    (name != "Title").then(|| format!("{name}: {word}"))
}
