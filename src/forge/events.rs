//! What happened to issues and pull requests that changed, as a query tells of it, under the names that GitHub's REST has for events.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::{Value, json};

use super::{
    Result,
    graph::{by, person, text},
    memory::{Entry, Memory},
};
use crate::model::Time;

/// The types of items that are events, what REST calls each, and what more is asked of it.
const EVENTS: &[(&str, &str, &str)] = &[
    ("AddedToMergeQueueEvent", "added_to_merge_queue", ""),
    ("AssignedEvent", "assigned", "assignee { ...by }"),
    ("AutoMergeDisabledEvent", "auto_merge_disabled", ""),
    ("AutoMergeEnabledEvent", "auto_merge_enabled", ""),
    ("BaseRefChangedEvent", "base_ref_changed", ""),
    ("BaseRefForcePushedEvent", "base_ref_force_pushed", ""),
    ("ClosedEvent", "closed", "stateReason closer { ... on Commit { oid } }"),
    ("CommentDeletedEvent", "comment_deleted", ""),
    ("ConnectedEvent", "connected", ""),
    ("ConvertToDraftEvent", "convert_to_draft", ""),
    ("ConvertedToDiscussionEvent", "converted_to_discussion", ""),
    ("DemilestonedEvent", "demilestoned", "milestoneTitle"),
    ("DisconnectedEvent", "disconnected", ""),
    ("HeadRefDeletedEvent", "head_ref_deleted", ""),
    ("HeadRefForcePushedEvent", "head_ref_force_pushed", ""),
    ("HeadRefRestoredEvent", "head_ref_restored", ""),
    ("LabeledEvent", "labeled", "label { name color }"),
    ("LockedEvent", "locked", "lockReason"),
    ("MarkedAsDuplicateEvent", "marked_as_duplicate", ""),
    ("MentionedEvent", "mentioned", ""),
    ("MergedEvent", "merged", "commit { oid }"),
    ("MilestonedEvent", "milestoned", "milestoneTitle"),
    ("PinnedEvent", "pinned", ""),
    ("ReadyForReviewEvent", "ready_for_review", ""),
    ("ReferencedEvent", "referenced", "commit { oid }"),
    ("RemovedFromMergeQueueEvent", "removed_from_merge_queue", ""),
    ("RenamedTitleEvent", "renamed", "previousTitle currentTitle"),
    ("ReopenedEvent", "reopened", "stateReason"),
    ("ReviewRequestRemovedEvent", "review_request_removed", "requestedReviewer { ...by }"),
    ("ReviewRequestedEvent", "review_requested", "requestedReviewer { ...by }"),
    ("SubscribedEvent", "subscribed", ""),
    ("TransferredEvent", "transferred", ""),
    ("UnassignedEvent", "unassigned", "assignee { ...by }"),
    ("UnlabeledEvent", "unlabeled", "label { name color }"),
    ("UnlockedEvent", "unlocked", ""),
    ("UnmarkedAsDuplicateEvent", "unmarked_as_duplicate", ""),
    ("UnpinnedEvent", "unpinned", ""),
    ("UnsubscribedEvent", "unsubscribed", ""),
];

/// Items of a timeline that are no events to REST's list of these: they have lists of their own there, are commits, or stand
/// in its timelines alone.
const NO_EVENTS: &[&str] = &[
    "CrossReferencedEvent",
    "IssueComment",
    "PullRequestCommit",
    "PullRequestCommitCommentThread",
    "PullRequestReview",
    "PullRequestReviewThread",
    "PullRequestRevisionMarker",
];

/// They stand behind all that the list gave, whose numbers are lower.
const BEHIND: i64 = 1 << 60;

/// What a query asks of an item of a timeline, as the fragment `happened`.
pub(super) fn fragment() -> String {
    let mut text = String::from("fragment happened on Node { id");
    for (kind, _, more) in EVENTS {
        let _ = write!(text, " ... on {kind} {{ createdAt actor {{ ...by }} {more} }}");
    }
    text.push_str(" }");
    text
}

/// Keeps what the items of an issue's timeline tell of, if these are all that happened, and of kinds that are known. What the
/// list of events gave before, under a number that a query does not tell, is not kept twice.
///
/// # Errors
/// If the memory fails.
pub(super) fn keep(
    (memory, id, mark): (&Memory, i64, i64),
    items: &[Value],
    (repository, number, since): (&str, i64, &str),
) -> Result<bool> {
    let of_rest: Vec<&Value> = items.iter().filter(|item| !NO_EVENTS.contains(&text(item, "__typename"))).collect();
    if of_rest.is_empty() {
        return Ok(true);
    }
    let mut events = Vec::new();
    for item in of_rest {
        let Some(event) = event_of(item, repository, number) else {
            tracing::debug!(kind = text(item, "__typename"), "an event of a kind that is read from the list alone");
            return Ok(false);
        };
        events.push(event);
    }
    let known: BTreeSet<String> = memory.nodes_since(id, "events", since)?;
    for event in events.iter().filter(|event| !known.contains(text(event, "node_id"))) {
        let line = event.to_string().into_bytes();
        let at = text(event, "created_at").parse::<Time>().map_or(0, Time::unix);
        let entry = Entry { parent: 0, ord: BEHIND + at, id: text(event, "node_id"), rev: "", json: &line };
        memory.keep(id, "events", mark, &entry)?;
    }
    Ok(true)
}

/// An event, as REST tells of it, without the number that it has there.
fn event_of(item: &Value, repository: &str, number: i64) -> Option<Value> {
    let kind = text(item, "__typename");
    let (_, event, _) = EVENTS.iter().find(|(name, ..)| *name == kind)?;
    let (node, at) = (text(item, "id"), text(item, "createdAt"));
    // What is no number to SQLite can't be taken for one of REST.
    if node.is_empty() || at.is_empty() || node.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let commit = ["/commit/oid", "/closer/oid"].into_iter().find_map(|place| item.pointer(place)?.as_str());
    let mut value = json!({
        "node_id": node, "event": event, "actor": by(item, "actor"), "commit_id": commit, "created_at": at,
        "issue": {"number": number, "url": format!("{repository}/issues/{number}")},
    });
    let fields = value.as_object_mut()?;
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    if let Some(label) = item.get("label") {
        put("label", label.clone());
    }
    if let Some(title) = item.get("milestoneTitle") {
        put("milestone", json!({ "title": title }));
    }
    if let Some(from) = item.get("previousTitle") {
        put("rename", json!({ "from": from, "to": item.get("currentTitle") }));
    }
    if let Some(reason) = item.get("lockReason").and_then(Value::as_str) {
        put("lock_reason", json!(reason.to_ascii_lowercase()));
    }
    if let Some(reason) = item.get("stateReason").and_then(Value::as_str) {
        put("state_reason", json!(reason.to_ascii_lowercase()));
    }
    if item.get("assignee").is_some() {
        put("assignee", by(item, "assignee"));
    }
    // A team is none of the people, and has other fields.
    if let Some(reviewer) = item.get("requestedReviewer") {
        put("requested_reviewer", person(reviewer)?);
        put("review_requester", by(item, "actor"));
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(dir: &tempfile::TempDir) -> Memory {
        Memory::open(&dir.path().join("m")).unwrap()
    }

    #[test]
    fn events_of_a_query_are_kept_once_and_unknown_ones_are_left_to_the_list() {
        let dir = tempfile::tempdir().unwrap();
        let memory = memory(&dir);
        let item = |kind: &str, id: &str| json!({"__typename": kind, "id": id, "createdAt": "2026-01-03T00:00:00Z"});
        let keep = |items: &[Value]| keep((&memory, 7, 20), items, ("r", 3, "2026-01-02T00:00:00Z")).unwrap();
        let known = br#"{"id":41,"node_id":"CE_1","event":"closed","created_at":"2026-01-03T00:00:00Z"}"#;
        memory.keep(7, "events", 10, &Entry { parent: 0, ord: 41, id: "41", rev: "", json: known }).unwrap();
        assert!(keep(&[item("ClosedEvent", "CE_1"), item("ReopenedEvent", "RE_2"), item("IssueComment", "IC_3")]));
        assert!(keep(&[item("ReopenedEvent", "RE_2")]), "twice");
        assert_eq!(memory.count(7, "events", 0).unwrap().0, 2);
        assert!(!keep(&[item("LabeledEvent", "LE_4"), item("SomethingNewEvent", "SN_5")]));
        assert!(!keep(&[item("LabeledEvent", "")]) && !keep(&[item("LabeledEvent", "12")]));
        assert_eq!(memory.count(7, "events", 0).unwrap().0, 2, "all of an issue or nothing");
        memory.forget_asked(7, "events").unwrap();
        assert_eq!(memory.count(7, "events", 0).unwrap().0, 1, "what a list tells anew");
    }

    #[test]
    fn an_event_of_a_query_has_the_names_that_rest_has() {
        let actor = json!({"__typename": "User", "login": "mia", "databaseId": 7});
        let team = json!({"__typename": "Team"});
        let item = json!({"__typename": "MergedEvent", "id": "ME_1", "createdAt": "t", "actor": actor, "commit": {"oid": "c0"}});
        let event = event_of(&item, "https://h/repos/a/b", 3).unwrap();
        assert_eq!((&event["event"], &event["commit_id"]), (&json!("merged"), &json!("c0")));
        assert_eq!((&event["actor"]["login"], &event["issue"]["number"]), (&json!("mia"), &json!(3)));
        let asked = |who: &Value| json!({"__typename": "ReviewRequestedEvent", "id": "x", "createdAt": "t", "actor": actor, "requestedReviewer": who});
        assert_eq!(event_of(&asked(&actor), "", 3).unwrap()["requested_reviewer"]["login"], "mia");
        assert!(event_of(&asked(&team), "", 3).is_none());
        assert!(
            event_of(&json!({"__typename": "ClosedEvent", "id": "x", "createdAt": "t", "actor": null}), "", 3)
                .is_some()
        );
    }

    #[test]
    fn kinds_are_sorted_and_asked_for_once() {
        assert!(EVENTS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(fragment().contains("... on MergedEvent { createdAt actor { ...by } commit { oid } }"));
    }
}
