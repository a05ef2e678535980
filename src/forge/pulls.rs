//! Pull requests that changed, put together out of what their list gave before, their entries among the issues, and what a query
//! tells of branches, commits and reviewers.

use serde_json::{Map, Value, json};

use super::{
    Result,
    graph::{person, text, whole},
    keys::Keys,
    memory::{Entry, Memory},
};

/// What a query asks of a pull request for that.
pub(super) const ASKED: &str = "mergedAt mergeCommit { oid } headRefName headRefOid baseRefName baseRefOid \
    autoMergeRequest { enabledAt } reviewRequests(first: 50) { pageInfo { hasNextPage } nodes { requestedReviewer { ...by } } }";

/// What an entry among the issues has of a pull request, under the same name and in the same form.
const SAME: &[&str] = &[
    "active_lock_reason",
    "assignee",
    "assignees",
    "author_association",
    "body",
    "closed_at",
    "draft",
    "labels",
    "locked",
    "milestone",
    "state",
    "title",
    "updated_at",
];

/// Keeps a pull request as it is now. Tells whether that could be done; else its list is to be read.
///
/// # Errors
/// If the memory fails.
pub(super) fn keep((memory, id, mark): (&Memory, i64, i64), (number, at): (i64, &str), node: &Value) -> Result<bool> {
    let read = |kind: &str| -> Result<Option<Map<String, Value>>> {
        let line = memory.line(id, kind, number)?;
        Ok(line.and_then(|line| serde_json::from_slice(&line).ok()))
    };
    let (Some(before), Some(issue)) = (read("pulls")?, read("issues")?) else { return Ok(false) };
    // One that changed since the query told of it is of no use beside it, nor is an older one.
    if issue.get("updated_at").and_then(Value::as_str) != Some(at) {
        return Ok(false);
    }
    let Some(now) = patched(before, &issue, node) else { return Ok(false) };
    let line = Value::Object(now).to_string().into_bytes();
    let keys = Keys::of(&line)?;
    let entry = Entry { parent: 0, ord: keys.ord(), id: &keys.id(&line), rev: keys.rev(), json: &line };
    memory.keep(id, "pulls", mark, &entry)?;
    Ok(true)
}

/// A pull request of before as it is now, if all that changes of it is known.
fn patched(mut pull: Map<String, Value>, issue: &Map<String, Value>, node: &Value) -> Option<Map<String, Value>> {
    for field in SAME {
        // What the server has in none of the two, or in one alone, is left as it was.
        if let (Some(value), true) = (issue.get(*field), pull.contains_key(*field)) {
            pull.insert((*field).to_owned(), value.clone());
        }
    }
    let automatic = |value: Option<&Value>| value.is_some_and(Value::is_object);
    if automatic(node.get("autoMergeRequest")) || automatic(pull.get("auto_merge")) {
        return None;
    }
    let asked = whole(node, "reviewRequests")?;
    // A team is none of the people, and stands elsewhere.
    let asked: Option<Vec<Value>> = asked.iter().map(|one| person(one.get("requestedReviewer")?)).collect();
    let teams = pull.get("requested_teams").and_then(Value::as_array).is_some_and(|teams| !teams.is_empty());
    let asked = asked.filter(|_| !teams)?;
    if pull.contains_key("requested_reviewers") || !asked.is_empty() {
        pull.insert("requested_reviewers".to_owned(), json!(asked));
    }
    pull.insert("merged_at".to_owned(), node.get("mergedAt")?.clone());
    if let Some(commit) =
        node.pointer("/mergeCommit/oid").filter(|_| node.get("mergedAt").is_some_and(Value::is_string))
    {
        pull.insert("merge_commit_sha".to_owned(), commit.clone());
    }
    for (field, name, commit) in [("head", "headRefName", "headRefOid"), ("base", "baseRefName", "baseRefOid")] {
        let (name, commit) = (text(node, name), text(node, commit));
        let side = pull.get_mut(field)?.as_object_mut()?;
        if name.is_empty() || commit.is_empty() {
            return None;
        }
        let label = side.get("label").and_then(Value::as_str).unwrap_or_default();
        let label = label.split_once(':').map_or_else(|| name.to_owned(), |(whose, _)| format!("{whose}:{name}"));
        side.insert("label".to_owned(), json!(label));
        side.insert("ref".to_owned(), json!(name));
        side.insert("sha".to_owned(), json!(commit));
    }
    Some(pull)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_pull_request_is_put_together_or_left_to_its_list() {
        let side = |name: &str| json!({"label": format!("acme:{name}"), "ref": name, "sha": "a", "repo": {"id": 1}});
        let pull = of(
            json!({"id": 9, "number": 3, "title": "old", "state": "open", "head": side("topic"), "base": side("main"),
            "merged_at": null, "merge_commit_sha": "test", "auto_merge": null, "requested_reviewers": [], "requested_teams": []}),
        );
        let issue = of(json!({"id": 5, "number": 3, "title": "new", "state": "closed", "comments": 7}));
        let node = |more: Value| {
            let mut node = of(
                json!({"mergedAt": "2026-01-02T00:00:00Z", "mergeCommit": {"oid": "m"}, "headRefName": "topic2",
                "headRefOid": "b", "baseRefName": "main", "baseRefOid": "c", "autoMergeRequest": null, "reviewRequests": {
                "pageInfo": {"hasNextPage": false}, "nodes": [{"requestedReviewer": {"__typename": "User", "login": "ada"}}]}}),
            );
            node.extend(of(more));
            Value::Object(node)
        };
        let now = Value::Object(patched(pull.clone(), &issue, &node(json!({}))).unwrap());
        assert_eq!((&now["id"], &now["title"], &now["state"]), (&json!(9), &json!("new"), &json!("closed")));
        assert_eq!((&now["head"]["label"], &now["head"]["sha"]), (&json!("acme:topic2"), &json!("b")));
        assert_eq!((&now["merge_commit_sha"], &now["requested_reviewers"][0]["login"]), (&json!("m"), &json!("ada")));
        assert_eq!((&now["comments"], &now["head"]["repo"]["id"]), (&Value::Null, &json!(1)));
        for unknown in [
            json!({"autoMergeRequest": {"enabledAt": "t"}}),
            json!({"headRefOid": null}),
            json!({"reviewRequests": {"nodes": [{"requestedReviewer": {"__typename": "Team"}}]}}),
            json!({"reviewRequests": {"nodes": [], "pageInfo": {"hasNextPage": true}}}),
        ] {
            assert!(patched(pull.clone(), &issue, &node(unknown.clone())).is_none(), "{unknown}");
        }
        let open = Value::Object(patched(pull, &issue, &node(json!({"mergedAt": null, "mergeCommit": null}))).unwrap());
        assert_eq!((&open["merged_at"], &open["merge_commit_sha"]), (&Value::Null, &json!("test")));
    }
}
