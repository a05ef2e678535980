"""How GitHub's REST shows what the forge of ours holds, with the fields that a query gives under other names, and what stands for
each event in its GraphQL."""

# The type in GraphQL of each event that REST lists. The forge makes others, too, which no query is asked for.
EVENTS = {"labeled": "LabeledEvent", "unlabeled": "UnlabeledEvent", "closed": "ClosedEvent", "reopened": "ReopenedEvent",
          "milestoned": "MilestonedEvent", "demilestoned": "DemilestonedEvent", "renamed": "RenamedTitleEvent", "assigned": "AssignedEvent",
          "unassigned": "UnassignedEvent", "merged": "MergedEvent", "head_ref_deleted": "HeadRefDeletedEvent",
          "head_ref_force_pushed": "HeadRefForcePushedEvent", "review_requested": "ReviewRequestedEvent", "mentioned": "MentionedEvent",
          "subscribed": "SubscribedEvent", "ready_for_review": "ReadyForReviewEvent", "locked": "LockedEvent", "referenced": "ReferencedEvent",
          "pinned": "PinnedEvent", "issue_type_added": "IssueTypeAddedEvent"}


def user(one):
    """A person. Null is one who is gone."""
    if one is None:
        return None
    kind = one.get("type", "User")
    return {"login": one["login"], "id": one["id"], "node_id": f"U_{one['id']}", "avatar_url": f"https://avatars.example/{one['id']}",
            "html_url": f"https://git.example/{one['login']}", "type": kind, "site_admin": False}


def said(repo, base, kind, one, **more):
    """What somebody wrote: a comment, a review, a comment on a line."""
    return {"id": one["id"], "node_id": f"{kind}_{one['id']}", "html_url": f"{base}/x", "user": user(one["user"]), "body": one["body"],
            "author_association": "MEMBER", **more}


REACTIONS = {"url": "x", "total_count": 1, "+1": 1, "-1": 0}


def comment(repo, base, one):
    api = f"{base}/api/v3/repos/{repo.full}"
    return said(repo, base, "IssueComment", one, url=f"{api}/issues/comments/{one['id']}", issue_url=f"{api}/issues/{one['n']}",
                created_at=one["created_at"], updated_at=one["updated_at"], reactions=REACTIONS, performed_via_github_app=None)


def review(repo, base, n, one):
    api = f"{base}/api/v3/repos/{repo.full}"
    return said(repo, base, "PullRequestReview", one, state=one["state"], submitted_at=one["submitted_at"], commit_id="c0",
                pull_request_url=f"{api}/pulls/{n}", _links={"html": {"href": "x"}})


def on_line(repo, base, review, one):
    api = f"{base}/api/v3/repos/{repo.full}"
    out = said(repo, base, "PullRequestReviewComment", one, url=f"{api}/pulls/comments/{one['id']}", pull_request_url=f"{api}/pulls/{one['n']}",
               pull_request_review_id=review, diff_hunk=one["diff_hunk"], path=one["path"], position=one["position"], original_position=1,
               line=3, original_line=3, start_line=None, original_start_line=None, commit_id="c0", original_commit_id="c0", side="RIGHT",
               start_side=None, subject_type="line", created_at=one["created_at"], updated_at=one["updated_at"], reactions=REACTIONS,
               _links={"self": {"href": "x"}})
    return out | ({"in_reply_to_id": one["to"]} if one.get("to") else {})


def event(repo, base, one):
    """One that happened, with what it is about."""
    api = f"{base}/api/v3/repos/{repo.full}"
    fields = {name: value for name, value in one.items() if name not in ("id", "n", "event", "created_at", "by")}
    for name in ("assignee", "assigner", "requested_reviewer", "review_requester"):
        if name in fields:
            fields[name] = user(fields[name])
    issue = {"number": one["n"], "url": f"{api}/issues/{one['n']}", "title": repo.issues[one["n"]]["title"]} if one["n"] in repo.issues else None
    return {"id": one["id"], "node_id": f"EV_{one['id']}", "url": f"{api}/issues/events/{one['id']}", "actor": user(one["by"]),
            "event": one["event"], "commit_id": None, "commit_url": None, "created_at": one["created_at"], "performed_via_github_app": None,
            **fields, "issue": issue}


def item(graph, one):
    """The same in the words of GraphQL; `graph` knows how it tells of people."""
    person = lambda field: graph.author(one[field]) if one.get(field) else None
    label, rename = one.get("label"), one.get("rename", {})
    commit = {"__typename": "Commit", "oid": one["commit_id"]} if one.get("commit_id") else None
    closer = {**commit, "__is": ("Closer",)} if commit and one["event"] == "closed" else None
    return {"__typename": EVENTS[one["event"]], "__is": ("Node",), "id": f"EV_{one['id']}", "createdAt": one["created_at"], "actor": person("by"),
            "label": {"__typename": "Label", **{k: label[k] for k in ("name", "color")}} if label else None,
            "milestoneTitle": one.get("milestone", {}).get("title"), "previousTitle": rename.get("from"), "currentTitle": rename.get("to"),
            "assignee": person("assignee"), "requestedReviewer": person("requested_reviewer"), "lockReason": None,
            "commit": commit, "closer": closer, "stateReason": None}
