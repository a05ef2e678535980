//! GitHub's GraphQL, where REST has nothing, or has it only one repository at a time.

use serde_json::{Value, json};

use super::{
    Result,
    client::{Broke, Call, Client, Got},
    json::broken,
    told::until_reset,
};

/// The longest answer. Queries are of a size that stays far below it.
const LONGEST: usize = 12 << 20;

/// What came of a query.
#[derive(Debug)]
pub(super) enum Asked {
    /// Its data, and what of it could not be had.
    Told(Value, Vec<Lack>),
    /// It may or can not be asked: the status, and what the server said.
    Refused(u16, String),
    /// The server failed for as long as it was tried.
    Failed(String),
}

/// What a query could not have.
#[derive(Debug, Clone)]
pub(super) struct Lack {
    /// The first part of its place in the data.
    pub(super) at: String,
    /// Why, in the server's word for it.
    pub(super) kind: String,
    /// Why, in words.
    pub(super) said: String,
}

impl Lack {
    /// Whether the server told that the token may not have it.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.kind.as_str(), "FORBIDDEN" | "INSUFFICIENT_SCOPES" | "NOT_FOUND" | "UNAUTHORIZED")
    }
}

impl Client {
    /// Asks `url` a query of GraphQL, which changes nothing and so may be asked again.
    ///
    /// # Errors
    /// If somebody asks to stop, or the token can't be sent.
    pub(super) fn ask(&mut self, url: &str, query: &str, variables: &Value) -> Result<Asked> {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let mut told = None;
        let accept = self.manner.accept;
        let call = Call { accept, etag: None, body: Some(body.as_bytes()), redirects: false };
        let got = self.attempts(url, call, &mut || Ok(()), &mut |answer| {
            let text = answer.beginning(LONGEST + 1).map_err(Broke::Off)?;
            if text.len() > LONGEST {
                told = Some(Asked::Failed("an answer to a query is longer than 12 MiB".to_owned()));
                return Ok(());
            }
            let mut value: Value = serde_json::from_slice(&text).map_err(|_| Broke::Cut(broken("is not JSON")))?;
            let lacks = lacks(&value);
            // The cost of queries has a limit of its own, which is told within an answer that looks well.
            if lacks.iter().any(|lack| lack.kind == "RATE_LIMITED") {
                return Err(Broke::Limited(until_reset(answer)));
            }
            let data = value.get_mut("data").map(Value::take).unwrap_or_default();
            told = Some(match (data, lacks.first()) {
                (Value::Null, Some(lack)) if lack.is_refusal() => Asked::Refused(403, lack.said.clone()),
                (Value::Null, Some(lack)) => Asked::Failed(lack.said.clone()),
                (Value::Null, None) => return Err(Broke::Cut(broken("has no data"))),
                (data, _) => Asked::Told(data, lacks),
            });
            Ok(())
        })?;
        Ok(match (got, told) {
            (Got::Read(_), Some(told)) => told,
            (Got::Refused(status, said), _) => Asked::Refused(status, said),
            (Got::Failed(why), _) => Asked::Failed(why),
            (Got::Read(_) | Got::Same, _) => Asked::Failed("the server gave no answer".to_owned()),
        })
    }
}

fn lacks(value: &Value) -> Vec<Lack> {
    let text = |value: Option<&Value>| {
        let text = value.and_then(Value::as_str).unwrap_or_default();
        crate::source::redact::redact(&crate::model::visible::visible(text).chars().take(200).collect::<String>())
    };
    let all = value.get("errors").and_then(Value::as_array).into_iter().flatten();
    all.map(|one| Lack {
        at: one.get("path").and_then(|path| path.get(0)).and_then(Value::as_str).unwrap_or_default().to_owned(),
        kind: one.get("type").and_then(Value::as_str).unwrap_or_default().to_owned(),
        said: text(one.get("message")),
    })
    .collect()
}

/// The nodes of a connection, if all of them were told.
pub(super) fn whole<'a>(value: &'a Value, name: &str) -> Option<&'a Vec<Value>> {
    let connection = value.get(name)?;
    let more = connection.pointer("/pageInfo/hasNextPage").and_then(Value::as_bool).unwrap_or_default();
    connection.get("nodes")?.as_array().filter(|_| !more)
}

/// A field that holds text.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Who wrote or did something, as REST tells of people.
pub(super) fn by(value: &Value, field: &str) -> Value {
    value.get(field).and_then(person).unwrap_or_default()
}

/// Somebody, as REST tells of people.
pub(super) fn person(author: &Value) -> Option<Value> {
    let kind = text(author, "__typename");
    let login = author.get("login")?.as_str()?;
    let login = if kind == "Bot" && !login.ends_with("[bot]") { format!("{login}[bot]") } else { login.to_owned() };
    Some(json!({
        "login": login, "id": author.get("databaseId"), "node_id": author.get("id"), "type": kind,
        "avatar_url": author.get("avatarUrl"), "html_url": author.get("url"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_lacks_is_told_by_its_place() {
        let value = json!({"errors": [
            {"type": "FORBIDDEN", "path": ["k3", "deployKeys"], "message": "Resource not accessible\u{1b}[1m"},
            {"message": "odd"},
        ]});
        let lacks = lacks(&value);
        assert_eq!((lacks[0].at.as_str(), lacks[0].is_refusal()), ("k3", true));
        assert!(!lacks[0].said.contains('\u{1b}'));
        assert_eq!((lacks[1].at.as_str(), lacks[1].is_refusal()), ("", false));
    }

    #[test]
    fn a_connection_with_more_pages_is_not_whole() {
        let of = |more: bool| json!({"x": {"nodes": [1], "pageInfo": {"hasNextPage": more}}});
        assert!(
            whole(&of(false), "x").is_some() && whole(&of(true), "x").is_none() && whole(&of(false), "y").is_none()
        );
    }
}
