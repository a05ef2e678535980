//! The texts: who wrote it and when, what they wrote, and the mark by which it is known again.

use serde_json::Value;

use super::super::Provider;

/// What a mark begins and ends with.
const BEGIN: &str = "<!-- strongroom: ";
const END: &str = " -->";
/// How many bytes of a text GitHub takes, and GitLab in a comment, less what is added to it.
const OF_GITHUB: usize = 60_000;
const OF_GITLAB: usize = 900_000;

/// How much of a text goes into one.
pub(super) const fn limit(provider: Provider) -> usize {
    match provider {
        Provider::Gitea => usize::MAX,
        Provider::Github => OF_GITHUB,
        Provider::Gitlab => OF_GITLAB,
    }
}

/// A text to be made, which may be of several parts.
pub(super) struct Words {
    /// The parts, each with its mark.
    pub(super) parts: Vec<(String, String)>,
}

/// The text of an entry called `id`: first these lines, then what its author wrote.
pub(super) fn words(id: &str, lines: &[String], body: &str, limit: usize) -> Words {
    let mut head = String::new();
    for line in lines.iter().filter(|line| !line.is_empty()) {
        head.push_str(line);
        head.push('\n');
    }
    let mut parts = Vec::new();
    let mut rest = body;
    loop {
        let mut at = rest.len().min(limit);
        while !rest.is_char_boundary(at) {
            at -= 1;
        }
        let (part, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let no = parts.len() + 1;
        let id = if no == 1 { id.to_owned() } else { format!("{id}/{no}") };
        let above = if no == 1 { head.clone() } else { format!("(part {no} of the text above)\n") };
        let gap = if part.is_empty() { "" } else { "\n\n" };
        parts.push((format!("{above}\n{part}{gap}{BEGIN}{id}{END}"), id));
        rest = after;
        if rest.is_empty() {
            return Words { parts };
        }
    }
}

/// What the mark at a text's end says.
pub(super) fn mark(text: &str) -> Option<&str> {
    let inner = text.trim_end().strip_suffix(END)?;
    let (_, id) = inner.rsplit_once(BEGIN)?;
    (!id.contains(['<', '>', '\n'])).then_some(id)
}

/// A value of one line, as code, which no forge takes for a mention.
pub(super) fn plain(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control() && *c != '`').take(300).collect();
    if text.is_empty() { "`unknown`".to_owned() } else { format!("`{text}`") }
}

/// The text of a field, whatever it is.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Who wrote an entry.
pub(super) fn author(value: &Value) -> String {
    let user = ["user", "author"].into_iter().find_map(|field| value.get(field).filter(|user| user.is_object()));
    plain(user.map(login).unwrap_or_default())
}

/// What a user is called, which GitLab has another word for.
pub(super) fn login(user: &Value) -> &str {
    let name = text(user, "login");
    if name.is_empty() { text(user, "username") } else { name }
}

/// The text of an entry, which GitLab calls a description.
pub(super) fn body(entry: &Value) -> &str {
    let body = text(entry, "body");
    if body.is_empty() { text(entry, "description") } else { body }
}

/// When.
pub(super) fn time(value: &Value) -> String {
    let found = ["created_at", "submitted_at", "published_at"].into_iter().map(|field| text(value, field));
    plain(found.into_iter().find(|time| !time.is_empty()).unwrap_or_default())
}

/// The users in a list.
pub(super) fn logins(value: &Value, list: &str) -> Vec<String> {
    let all = value.get(list).and_then(Value::as_array).into_iter().flatten();
    all.map(|one| login(one).to_owned()).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_known_again_by_its_own_mark_alone() {
        let body = "says <!-- strongroom: comments/9 --> in the middle";
        let made = words("comments/5", &["by `x`".to_owned()], body, usize::MAX);
        let (text, id) = made.parts.first().unwrap();
        assert_eq!((mark(text), id.as_str()), (Some("comments/5"), "comments/5"));
        assert!(text.contains(body) && text.starts_with("by `x`\n"));
        assert_eq!(mark(body), None);
        assert_eq!(mark(&format!("{body} <!-- strongroom: a\nb -->")), None);
    }

    #[test]
    fn a_long_text_is_cut_between_signs_and_all_of_it_is_there() {
        let body = "ü".repeat(70_000);
        let made = words("issue/1", &[], &body, OF_GITHUB);
        assert_eq!(made.parts.len(), 3);
        let all: usize = made.parts.iter().map(|(text, _)| text.matches('ü').count()).sum();
        assert_eq!(all, 70_000);
        assert!(made.parts.iter().all(|(text, id)| text.len() < 65_000 && mark(text) == Some(id)));
        assert_eq!(words("issue/1", &[], &body, usize::MAX).parts.len(), 1);
    }

    #[test]
    fn nobody_is_mentioned_by_a_name_above_a_text() {
        assert_eq!(plain("@a`b\n@c"), "`@ab@c`");
        assert_eq!(plain(""), "`unknown`");
    }
}
