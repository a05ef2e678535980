"""What a forge holds if everybody who can write into it is hostile, and how one answers that is hostile itself."""

# What people write: everything that is words, whatever it is called. Numbers, times and places stay as they are.
WORDS = {"title", "body", "login", "username", "name", "description", "label", "ref", "tag_name", "diff_hunk", "path", "color", "state", "event",
         "category", "readme", "status", "from", "to", "branch_name", "rule_name", "by", "commit_id"}


def poison(value, text, key=None):
    """`value` with `text` in the place of all that people wrote."""
    if isinstance(value, dict):
        return {name: poison(one, text, name) for name, one in value.items()}
    if isinstance(value, list):
        return [poison(one, text, key) for one in value]
    return text if isinstance(value, str) and key in WORDS else value


def poison_all(forge, repo, text):
    """All of a repository, and of projects."""
    for name in ("issues", "pulls", "comments", "reviews", "review_comments"):
        held = getattr(repo, name)
        for id in held:
            held[id] = poison(held[id], text)
    for name in ("labels", "milestones", "releases", "protections", "discussions"):
        setattr(repo, name, poison(getattr(repo, name), text))
    # Events are told by their kind, to queries and by the list.
    for event in repo.events:
        event.update({name: poison(one, text) for name, one in event.items() if isinstance(one, dict)})
    for project in forge.STATE["projects"]:
        project.update(poison(project, text))


def turned(body, pages):
    """An answer of GraphQL in which no list ends: each goes on at a place that only this answer names, or at the same."""
    if isinstance(body, dict):
        body = {name: turned(one, pages) for name, one in body.items()}
        if "hasNextPage" in body:
            body.update(hasNextPage=True, endCursor="0" if pages == "circle" else str(next(pages)))
        return body
    return [turned(one, pages) for one in body] if isinstance(body, list) else body
