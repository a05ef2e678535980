//! What changed in which repository, asked of many at once by a query, so that those where nothing did cost no call of their own,
//! and of the others only the lists that have something new are read.

use serde_json::{Value, json};

use super::{
    Result,
    client::Got,
    graph::{Asked, whole},
    json::broken,
    keys::Keys,
    memory::Entry,
    pass::Pass,
    provider::Repository,
    seen::{Changed, Seen},
};
use crate::codec::hash::hash;

/// How many repositories a query asks of.
const AT_ONCE: usize = 20;
/// How many changed issues, and how many pull requests, it tells of. Where more changed, the lists are read.
const ISSUES: usize = 50;
const PULLS: usize = 30;
/// The most pages of an owner's changed issues.
const PAGES: u64 = 50;

impl Pass<'_> {
    /// Asks what changed in these repositories. What could not be told is read by lists, as if nobody had asked.
    ///
    /// # Errors
    /// If somebody asks to stop, or the memory fails.
    pub(super) fn survey(&mut self, url: &str, repositories: &[Repository]) -> Result<()> {
        for part in repositories.chunks(AT_ONCE) {
            let mut asked = Vec::new();
            let mut query = String::from("query Survey {");
            for (at, one) in part.iter().enumerate() {
                let since = if self.full { None } else { self.memory.word(&format!("surveyed {}", one.id))? };
                query.push_str(&of_one(at, &one.name, since.as_deref(), !self.exclude.contains("discussions")));
                asked.push((at, one, since));
            }
            query.push('}');
            match self.client.ask(url, &query, &json!({}))? {
                Asked::Told(data, lacks) => {
                    for lack in lacks {
                        tracing::debug!(
                            at = lack.at,
                            kind = lack.kind,
                            said = lack.said,
                            "the query does not tell all"
                        );
                    }
                    for (at, one, since) in asked {
                        self.survey.insert(one.id, seen(&data, at, one, since));
                    }
                }
                // An older server has none, or a token may not ask it.
                Asked::Refused(status, said) => {
                    tracing::info!(status, said, "no query tells what changed, so all lists are read");
                    return Ok(());
                }
                Asked::Failed(why) => {
                    tracing::info!(why, "no query tells what changed, so all lists are read");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads the changed issues of all of an organisation's repositories from its own list, where that takes fewer calls than
    /// a list of each.
    ///
    /// # Errors
    /// If somebody asks to stop, or the memory fails.
    pub(super) fn issues_of_owner(&mut self, owner: &str) -> Result<()> {
        let changed: Vec<&Seen> = self.survey.values().filter(|seen| seen.changed().next().is_some()).collect();
        let many = changed.iter().map(|seen| seen.changed().count()).sum::<usize>();
        let Some(since) = changed.iter().filter_map(|seen| seen.since.as_deref()).min() else { return Ok(()) };
        if changed.len() <= many / 100 + 1 {
            return Ok(());
        }
        let path = format!(
            "{}/orgs/{owner}/issues?filter=all&state=all&sort=updated&direction=desc&since={since}&{}",
            self.api,
            self.provider.page()
        );
        let (mut url, mark, memory) = (path, self.mark(0), self.memory);
        let ids: Vec<i64> = self.survey.keys().copied().collect();
        for _ in 0..PAGES {
            memory.begin()?;
            let got = self.client.list(
                &url,
                None,
                &mut |line| {
                    let mut value: Value =
                        serde_json::from_slice(line).map_err(|_| broken("has an entry that is not JSON"))?;
                    // What the list of the repository does not have, and what says which that is.
                    let repository = value.as_object_mut().and_then(|fields| fields.remove("repository"));
                    let id = repository.and_then(|one| one.get("id")?.as_i64());
                    let Some(id) = id.filter(|id| ids.binary_search(id).is_ok()) else { return Ok(()) };
                    let line = value.to_string().into_bytes();
                    let keys = Keys::of(&line)?;
                    let (named, rev) = (keys.id(&line), keys.rev());
                    memory.keep(id, "issues", mark, &Entry { parent: 0, ord: keys.ord(), id: &named, rev, json: &line })
                },
                &mut || memory.take_back().and_then(|()| memory.begin()),
            );
            let next = match got {
                Ok(Got::Read(page)) => page.next,
                Ok(_) => {
                    memory.take_back()?;
                    break;
                }
                Err(error) => {
                    memory.take_back()?;
                    return Err(error);
                }
            };
            memory.commit()?;
            match next {
                Some(next) if next != url => url = next,
                _ => break,
            }
        }
        // What the query told of must be there now. Where it is not, the repository's own list is read.
        for (id, seen) in &mut self.survey {
            let mut there = true;
            for one in seen.issues.iter().chain(&seen.pulls) {
                there = there && memory.rev(*id, "issues", one.number)?.is_some_and(|rev| rev >= one.at);
            }
            seen.has_issues = there && seen.since.is_some();
        }
        Ok(())
    }

    /// What stands for a kind of setting now, if the query told.
    pub(super) fn stands_for(&self, id: i64, kind: &str) -> Option<&(String, u64)> {
        self.survey.get(&id)?.settings.get(kind)
    }
}

/// What is asked of one repository. Its settings are asked for apart from what changed, and what takes more rights apart from
/// these, since what may not be told takes all with it that was asked beside it.
fn of_one(at: usize, name: &str, since: Option<&str>, discussions: bool) -> String {
    let (owner, short) = name.split_once('/').unwrap_or_default();
    let repository = format!("repository(owner: \"{owner}\", name: \"{short}\")");
    let newest = "orderBy: {field: UPDATED_AT, direction: DESC}";
    let changes = since.map(|since| {
        format!(
            "r{at}: {repository} {{ databaseId issues(first: {ISSUES}, filterBy: {{since: \"{since}\"}}, {newest}) {{ \
             pageInfo {{ hasNextPage }} nodes {{ id number updatedAt }} }} pullRequests(first: {PULLS}, {newest}) {{ nodes {{ \
             id number updatedAt }} }} }} "
        )
    });
    let said = format!(
        "d{at}: {repository} {{ databaseId discussions(first: 1, {newest}) {{ totalCount nodes {{ id updatedAt }} }} }} "
    );
    let said = if discussions { said } else { String::new() };
    let page = "pageInfo { hasNextPage }";
    format!(
        "{}{said}s{at}: {repository} {{ databaseId labels(first: 100) {{ {page} nodes {{ id name color description isDefault }} }} \
         milestones(first: 100) {{ {page} nodes {{ id number title description state dueOn }} }} \
         releases(first: 100) {{ {page} nodes {{ id tagName name isDraft isPrerelease publishedAt updatedAt \
         releaseAssets(first: 50) {{ {page} nodes {{ id name size updatedAt }} }} }} }} \
         rulesets(first: 100) {{ {page} nodes {{ id databaseId name enforcement updatedAt }} }} }} \
         k{at}: {repository} {{ databaseId deployKeys(first: 100) {{ {page} nodes {{ id title key readOnly verified }} }} \
         collaborators(first: 100) {{ {page} edges {{ permission }} nodes {{ id login }} }} }} \
         p{at}: {repository} {{ databaseId branchProtectionRules(first: 50) {{ {page} nodes {{ id pattern allowsDeletions \
         allowsForcePushes blocksCreations dismissesStaleReviews isAdminEnforced lockBranch requiredApprovingReviewCount \
         requiredStatusCheckContexts requiresApprovingReviews requiresCodeOwnerReviews requiresCommitSignatures \
         requiresConversationResolution requiresLinearHistory requiresStatusChecks requiresStrictStatusChecks restrictsPushes \
         matchingRefs(first: 50) {{ {page} nodes {{ name }} }} }} }} }} ",
        changes.unwrap_or_default()
    )
}

/// What of an answer is about one repository.
fn seen(data: &Value, at: usize, one: &Repository, since: Option<String>) -> Seen {
    let part = |letter: char| {
        let part = data.get(format!("{letter}{at}"))?;
        // One that was given that name since is another.
        (part.get("databaseId").and_then(Value::as_i64) == Some(one.id)).then_some(part)
    };
    let mut seen = Seen { name: one.name.clone(), ..Seen::default() };
    if let (Some(since), Some(told)) = (since, part('r'))
        && let Some((issues, pulls)) = changed(told, &since)
    {
        (seen.since, seen.issues, seen.pulls) = (Some(since), issues, pulls);
    }
    let kinds = [
        ("labels", 's', "labels"),
        ("milestones", 's', "milestones"),
        ("releases", 's', "releases"),
        ("rulesets", 's', "rulesets"),
        ("keys", 'k', "deployKeys"),
        ("collaborators", 'k', "collaborators"),
        ("protected_branches", 'p', "branchProtectionRules"),
    ];
    for (kind, letter, field) in kinds {
        let Some(nodes) = part(letter).and_then(|part| whole(part, field)) else { continue };
        let inner = |name: &str| nodes.iter().all(|node| node.get(name).is_none() || whole(node, name).is_some());
        if !inner("releaseAssets") || !inner("matchingRefs") {
            continue;
        }
        let mut count = nodes.len() as u64;
        if kind == "protected_branches" {
            // Who may not see the rules is told that there are none, so none is no reason to look at no list.
            let none = nodes.is_empty().then_some(u64::MAX);
            let branches = nodes.iter().filter_map(|node| Some(whole(node, "matchingRefs")?.len() as u64)).sum();
            count = none.unwrap_or(branches);
        }
        let digest = hash(part(letter).and_then(|part| part.get(field)).unwrap_or(&Value::Null).to_string().as_bytes());
        seen.settings.insert(kind, (digest.to_string(), count));
    }
    // The newest of them, and how many there are.
    if let Some(discussions) = part('d').and_then(|part| part.get("discussions"))
        && let Some(count) = discussions.get("totalCount").and_then(Value::as_u64)
    {
        seen.settings.insert("discussions", (hash(discussions.to_string().as_bytes()).to_string(), count));
    }
    seen
}

/// The issues and pull requests that changed, if all of them were told.
fn changed(told: &Value, since: &str) -> Option<(Vec<Changed>, Vec<Changed>)> {
    let of = |node: &Value| {
        Some(Changed {
            number: node.get("number")?.as_i64()?,
            node: node.get("id")?.as_str()?.to_owned(),
            at: node.get("updatedAt")?.as_str()?.to_owned(),
        })
    };
    let issues = whole(told, "issues")?.iter().map(of).collect::<Option<Vec<_>>>()?;
    let nodes = told.pointer("/pullRequests/nodes")?.as_array()?;
    let pulls = nodes.iter().map(of).collect::<Option<Vec<_>>>()?;
    let new: Vec<Changed> = pulls.iter().filter(|one| one.at.as_str() >= since).cloned().collect();
    // Where all that were told changed, there may be more.
    (new.len() < PULLS).then_some((issues, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Repository {
        let json = json!({"id": 7, "full_name": "acme/app"}).to_string();
        crate::forge::provider::Provider::Github.repository(json.as_bytes()).unwrap()
    }

    fn answer(pulls: usize, more: bool) -> Value {
        let pull = |n: usize| json!({"id": format!("P{n}"), "number": n, "updatedAt": "2026-01-05T00:00:00Z"});
        json!({
            "r0": {"databaseId": 7, "issues": {"pageInfo": {"hasNextPage": more}, "nodes": [
                {"id": "I1", "number": 1, "updatedAt": "2026-01-03T00:00:00Z"}]},
                "pullRequests": {"nodes": (0..pulls).map(pull).chain([json!({"id": "P", "number": 99,
                    "updatedAt": "2026-01-01T00:00:00Z"})]).take(PULLS).collect::<Vec<_>>()}},
            "s0": {"databaseId": 7, "labels": {"nodes": [{"name": "bug"}]}, "releases": {"nodes": [
                {"releaseAssets": {"nodes": [], "pageInfo": {"hasNextPage": true}}}]}},
            "p0": {"databaseId": 7, "branchProtectionRules": {"nodes": []}},
            "k0": {"databaseId": 8, "deployKeys": {"nodes": []}},
        })
    }

    #[test]
    fn only_what_is_told_whole_is_leaned_on() {
        let since = || Some("2026-01-02T00:00:00Z".to_owned());
        let told = seen(&answer(2, false), 0, &one(), since());
        assert_eq!(told.changed().map(|one| one.number).collect::<Vec<_>>(), [1, 0, 1]);
        // No releases with more files than were told, and nothing of another of that name.
        assert_eq!(told.settings.keys().collect::<Vec<_>>(), [&"labels", &"protected_branches"]);
        assert_eq!(told.settings["protected_branches"].1, u64::MAX, "rules may be hidden, so no list has as many");
        for lost in [answer(2, true), answer(PULLS, false), json!({}), json!({"r0": null})] {
            let told = seen(&lost, 0, &one(), since());
            assert!(told.since.is_none() && told.changed().next().is_none(), "{lost}");
        }
        assert!(seen(&answer(2, false), 0, &one(), None).since.is_none());
    }
}
