//! What was said and reviewed in issues and pull requests that changed, asked by queries of many at once. It is kept under the
//! names that GitHub's REST has for it, since it stands among entries that came by REST, and the next pass through
//! everything replaces it by these.

use serde_json::{Value, json};

use super::{
    Result, events,
    graph::{Asked, by, text, whole},
    keys::Keys,
    memory::{Entry, Memory},
    pass::Pass,
    pulls,
    seen::Seen,
};

/// How many issues and pull requests a query asks of.
const AT_ONCE: usize = 20;

/// What is asked of each, besides what other files say.
const QUERY: &str = "query Changes($ids: [ID!]!, $since: DateTime!) { nodes(ids: $ids) { __typename id \
    ... on Issue { comments(first: 50, orderBy: {field: UPDATED_AT, direction: DESC}) { ...said } \
      timelineItems(first: 50, since: $since) { pageInfo { hasNextPage } nodes { __typename ...happened } } } \
    ... on PullRequest { PULL comments(first: 50, orderBy: {field: UPDATED_AT, direction: DESC}) { ...said } \
      timelineItems(first: 50, since: $since) { pageInfo { hasNextPage } nodes { __typename ...happened } } \
      reviews(first: 50) { pageInfo { hasNextPage } nodes { id fullDatabaseId url body state submittedAt updatedAt \
        authorAssociation commit { oid } author { ...by } \
        comments(first: 50) { pageInfo { hasNextPage } nodes { id fullDatabaseId url body path diffHunk position \
          originalPosition line originalLine startLine originalStartLine subjectType createdAt updatedAt authorAssociation \
          commit { oid } originalCommit { oid } replyTo { fullDatabaseId } author { ...by } } } } } } } } \
    fragment said on IssueCommentConnection { pageInfo { hasNextPage } \
      nodes { id fullDatabaseId url body createdAt updatedAt authorAssociation author { ...by } } } \
    fragment by on Actor { __typename login avatarUrl url ... on User { databaseId id } ... on Bot { databaseId id } \
      ... on Mannequin { databaseId id } ... on Organization { databaseId id } } ";

/// How whole the answer on one was.
#[allow(clippy::struct_excessive_bools, reason = "each says of another list whether it has to be read")]
struct Whole {
    comments: bool,
    reviews: bool,
    events: bool,
    pulls: bool,
}

impl Pass<'_> {
    /// Asks for what was said in all that the survey told of.
    ///
    /// # Errors
    /// If somebody asks to stop, or the memory fails.
    pub(super) fn changes(&mut self, url: &str) -> Result<()> {
        let mut todo = Vec::new();
        for (id, seen) in &mut self.survey {
            let told = seen.since.is_some();
            (seen.has_comments, seen.has_reviews) = (told, told);
            (seen.has_events, seen.has_pulls) = (told, told);
            todo.extend(seen.changed().map(|one| (*id, one.clone())));
        }
        let since = self.survey.values().filter_map(|seen| seen.since.clone()).min();
        let Some(since) = since else { return Ok(()) };
        let (mark, query) = (self.mark(0), format!("{}{}", QUERY.replace("PULL", pulls::ASKED), events::fragment()));
        for part in todo.chunks(AT_ONCE) {
            let ids: Vec<&str> = part.iter().map(|(_, one)| one.node.as_str()).collect();
            let told = match self.client.ask(url, &query, &json!({ "ids": ids, "since": since }))? {
                Asked::Told(data, _) => data,
                Asked::Refused(_, why) | Asked::Failed(why) => {
                    tracing::info!(why, "no query tells what was said, so lists are read");
                    Value::Null
                }
            };
            self.memory.begin()?;
            for (at, (id, one)) in part.iter().enumerate() {
                let node = told.get("nodes").and_then(|nodes| nodes.get(at)).unwrap_or(&Value::Null);
                let Some(seen) = self.survey.get_mut(id) else { continue };
                let same = node.get("id").and_then(Value::as_str) == Some(one.node.as_str());
                let pull = seen.pulls.iter().any(|other| other.number == one.number);
                let keeper = Keeper { memory: self.memory, id: *id, mark, api: &self.api };
                let whole = if same { keeper.node(seen, (one.number, &one.at), node, pull)? } else { None };
                let whole = whole.unwrap_or(Whole { comments: false, reviews: false, events: false, pulls: false });
                seen.has_comments &= whole.comments;
                seen.has_reviews &= whole.reviews || !pull;
                seen.has_events &= whole.events;
                seen.has_pulls &= whole.pulls || !pull;
            }
            self.memory.commit()?;
        }
        Ok(())
    }
}

/// Puts what came into the memory.
struct Keeper<'a> {
    memory: &'a Memory,
    id: i64,
    mark: i64,
    api: &'a str,
}

impl Keeper<'_> {
    fn node(&self, seen: &Seen, (number, at): (i64, &str), node: &Value, pull: bool) -> Result<Option<Whole>> {
        let repository = format!("{}/repos/{}", self.api, seen.name);
        let since = seen.since.as_deref().unwrap_or_default();
        let Some(said) = node.pointer("/comments/nodes").and_then(Value::as_array) else { return Ok(None) };
        // They come with the newest change first.
        let older = said.iter().any(|comment| text(comment, "updatedAt") < since);
        for comment in said.iter().filter(|comment| text(comment, "updatedAt") >= since) {
            let Some(value) = comment_of(comment, &repository, number) else { return Ok(None) };
            self.keep("comments", 0, &value)?;
        }
        let comments = older || whole(node, "comments").is_some();
        let mut reviews = pull;
        if pull {
            // Where those of before were read, only what is new of it replaces anything.
            let known = self.memory.child(self.id, "reviews", number)?.is_some();
            let since = if known { since } else { "" };
            match whole(node, "reviews").and_then(|all| reviews_of(all, &repository, (number, since))) {
                Some((all, on_lines, whole)) => {
                    all.iter().try_for_each(|value| self.keep("reviews", number, value))?;
                    on_lines.iter().try_for_each(|value| self.keep("review_comments", 0, value))?;
                    self.memory.set_child(self.id, "reviews", number, at)?;
                    reviews = whole;
                }
                None => reviews = false,
            }
        }
        let events = match whole(node, "timelineItems") {
            Some(items) => events::keep((self.memory, self.id, self.mark), items, (&repository, number, since))?,
            None => false,
        };
        let pulls = pull && pulls::keep((self.memory, self.id, self.mark), (number, at), node)?;
        Ok(Some(Whole { comments, reviews, events, pulls }))
    }

    fn keep(&self, kind: &str, parent: i64, value: &Value) -> Result<()> {
        let line = value.to_string().into_bytes();
        let keys = Keys::of(&line)?;
        let (named, rev) = (keys.id(&line), keys.rev());
        self.memory.keep(self.id, kind, self.mark, &Entry { parent, ord: keys.ord(), id: &named, rev, json: &line })
    }
}

/// A large number, which queries give as text.
fn big(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

/// A comment, as REST tells of it.
fn comment_of(value: &Value, repository: &str, number: i64) -> Option<Value> {
    let id = big(value.get("fullDatabaseId"))?;
    Some(json!({
        "id": id, "node_id": value.get("id"), "url": format!("{repository}/issues/comments/{id}"),
        "html_url": value.get("url"), "issue_url": format!("{repository}/issues/{number}"), "user": by(value, "author"),
        "created_at": value.get("createdAt"), "updated_at": value.get("updatedAt"),
        "author_association": value.get("authorAssociation"), "body": value.get("body"),
    }))
}

/// What is new of reviews and the comments on lines that belong to them, as REST tells of both, and whether these are all.
fn reviews_of(all: &[Value], repository: &str, (number, since): (i64, &str)) -> Option<(Vec<Value>, Vec<Value>, bool)> {
    let (mut reviews, mut on_lines, mut are_all) = (Vec::new(), Vec::new(), true);
    let url = format!("{repository}/pulls/{number}");
    // Those that were not sent yet are nobody else's.
    for value in all.iter().filter(|value| text(value, "state") != "PENDING") {
        let id = big(value.get("fullDatabaseId"))?;
        let comments = value.pointer("/comments/nodes").and_then(Value::as_array)?;
        are_all &= whole(value, "comments").is_some();
        // What was a draft for long is older than that it was sent.
        let new = ["updatedAt", "submittedAt"].into_iter().any(|field| text(value, field) >= since);
        if new {
            reviews.push(review_of(value, id, &url));
        }
        for one in comments.iter().filter(|one| new || text(one, "updatedAt") >= since) {
            on_lines.push(on_line_of(one, (repository, &url), id)?);
        }
    }
    Some((reviews, on_lines, are_all))
}

/// A review, as REST tells of it.
fn review_of(value: &Value, id: i64, url: &str) -> Value {
    json!({
        "id": id, "node_id": value.get("id"), "user": by(value, "author"), "body": value.get("body"),
        "state": value.get("state"), "html_url": value.get("url"), "pull_request_url": url,
        "author_association": value.get("authorAssociation"), "submitted_at": value.get("submittedAt"),
        "commit_id": value.pointer("/commit/oid"), "updated_at": value.get("updatedAt"),
    })
}

/// A comment on a line, as REST tells of it.
fn on_line_of(one: &Value, (repository, url): (&str, &str), review: i64) -> Option<Value> {
    let id = big(one.get("fullDatabaseId"))?;
    let mut line = json!({
        "id": id, "node_id": one.get("id"), "pull_request_review_id": review, "diff_hunk": one.get("diffHunk"),
        "path": one.get("path"), "position": one.get("position"), "original_position": one.get("originalPosition"),
        "line": one.get("line"), "original_line": one.get("originalLine"), "start_line": one.get("startLine"),
        "original_start_line": one.get("originalStartLine"), "commit_id": one.pointer("/commit/oid"),
        "original_commit_id": one.pointer("/originalCommit/oid"), "user": by(one, "author"), "body": one.get("body"),
        "created_at": one.get("createdAt"), "updated_at": one.get("updatedAt"), "html_url": one.get("url"),
        "url": format!("{repository}/pulls/comments/{id}"), "pull_request_url": url,
        "author_association": one.get("authorAssociation"),
        "subject_type": text(one, "subjectType").to_ascii_lowercase(),
    });
    if let (Some(to), Some(fields)) = (big(one.pointer("/replyTo/fullDatabaseId")), line.as_object_mut()) {
        fields.insert("in_reply_to_id".to_owned(), json!(to));
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_gives_has_the_names_that_rest_has() {
        let bot = json!({"__typename": "Bot", "login": "dependabot", "databaseId": 5, "id": "B_5"});
        let comment = json!({"id": "IC_1", "fullDatabaseId": "4123456789", "body": "x", "author": bot});
        let told = comment_of(&comment, "https://h/repos/a/b", 3).unwrap();
        assert_eq!((&told["id"], &told["user"]["login"]), (&json!(4_123_456_789_i64), &json!("dependabot[bot]")));
        assert_eq!(told["issue_url"], "https://h/repos/a/b/issues/3");
        assert!(comment_of(&json!({"author": null}), "", 1).is_none());
        let line = json!({"fullDatabaseId": "8", "replyTo": {"fullDatabaseId": "7"}, "subjectType": "LINE"});
        let review = |more: bool| {
            json!({"fullDatabaseId": "9", "state": "APPROVED",
            "comments": {"nodes": [line], "pageInfo": {"hasNextPage": more}}})
        };
        let mine = json!({"fullDatabaseId": "10", "state": "PENDING"});
        let (reviews, lines, all) = reviews_of(&[review(false), mine], "r", (2, "")).unwrap();
        assert_eq!((reviews.len(), &lines[0]["in_reply_to_id"], all), (1, &json!(7), true));
        assert_eq!((&lines[0]["subject_type"], &lines[0]["pull_request_url"]), (&json!("line"), &json!("r/pulls/2")));
        assert!(!reviews_of(&[review(true)], "r", (2, "")).unwrap().2);
        let (old, lines, _) = reviews_of(&[review(false)], "r", (2, "2026")).unwrap();
        assert!(old.is_empty() && lines.is_empty(), "what is older was read before");
    }
}
