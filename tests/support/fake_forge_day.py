"""A day as a forge has it: some of everything changes, in all the ways in which it does."""


def day(forge, base, percent):
    """Changes some percent of the issues and pull requests, and a little besides. Tells of what, in numbers."""
    told, at = {}, 0
    count = lambda what: told.__setitem__(what, told.get(what, 0) + 1)
    for repo in forge.STATE["repos"]:
        for n in sorted(repo.issues):
            if (n * 7919 + repo.id) % 100 < percent:
                at += 1
                (pull if n in repo.pulls else issue)(forge, repo, n, at, count)
    count_rest(forge, base, count)
    forge.STATE["day"] += 1
    return told


def issue(forge, repo, n, at, count):
    """What happens to one issue: most of them get a comment, others only an event, or another text."""
    one, now, bug, wish = repo.issues[n], forge.now(), repo.labels[0], repo.labels[1]
    what = ("commented", "closed", "labelled", "milestone", "reopened", "renamed", "mentioned", "edited")[at % 8]
    if what in ("commented", "closed", "mentioned"):
        repo.comment(n, "said the next day")
        count("comments")
    if what == "closed":
        close(repo, one, now)
    if what == "labelled":
        had = any(label["name"] == bug["name"] for label in one["labels"])
        change(repo, one, now, labels=[wish])
        repo.event("unlabeled" if had else "labeled", n, now, label=label_of(bug))
        repo.event("labeled", n, now, label=label_of(wish))
    if what == "milestone":
        mark = repo.milestones[0]
        mark["updated_at"] = now
        change(repo, one, now, milestone=dict(mark), assignees=[forge.user("ada")])
        repo.event("milestoned", n, now, milestone={"title": mark["title"]})
        repo.event("assigned", n, now, assignee=forge.user("ada"), assigner=forge.user("mia"))
    if what == "reopened":
        if one["state"] == "open":
            close(repo, one, now)
        change(repo, one, now, state="open", closed_at=None)
        repo.event("reopened", n, now)
    if what == "renamed":
        repo.event("renamed", n, now, rename={"from": one["title"], "to": "called otherwise"})
        change(repo, one, now, title="called otherwise")
    if what == "mentioned":
        for event in ("mentioned", "subscribed"):
            repo.event(event, n, now)
        repo.hidden.append({"n": n, "created_at": now})
    if what == "edited":
        change(repo, one, now, body=one["body"] + " and more of them")
    count(what)


def pull(forge, repo, n, at, count):
    """What happens to a pull request: a review with comments on lines, a merge, other commits."""
    one, now = repo.issues[n], forge.now()
    what = ("reviewed", "merged", "pushed", "closed")[at % 4]
    if what in ("reviewed", "merged"):
        repo.event("review_requested", n, now, requested_reviewer=forge.user("ada"), review_requester=forge.user("mia"))
        repo.pulls[n]["requested_reviewers"] = [forge.user("eve")]
        repo.review(n, "seen again", comments=2)
        count("reviews")
    if what == "merged":
        change(repo, one, now, state="closed", closed_at=now)
        one["pull_request"] = {"merged": True, "merged_at": now}
        repo.pulls[n].update(merged_at=now, merge_commit_sha=f"{n:040x}")
        for event, more in (("merged", {"commit_id": f"{n:040x}"}), ("closed", {}), ("head_ref_deleted", {})):
            repo.event(event, n, now, **more)
        repo.flags.update(pushed_at=now, updated_at=now)
    if what == "pushed":
        repo.pulls[n]["head"] = {**repo.pulls[n]["head"], "sha": f"{at:040x}"}
        change(repo, one, now)
        repo.event("head_ref_force_pushed", n, now)
        repo.comment(n, "pushed anew")
        repo.flags["pushed_at"] = now
        count("comments")
    if what == "closed":
        close(repo, one, now)
    count(what)


def count_rest(forge, base, count):
    """What happens once: a release, a label, a milestone that ends, an issue and a pull request made, one deleted, one moved."""
    repos, now, number = forge.STATE["repos"], forge.now(), forge.STATE["day"]
    pick = lambda at: repos[(at + 7 * number) % len(repos)]
    pick(0).release(f"next-{number}", base, b"the next day's", at=now)
    pick(1).labels.append({"id": forge.new_id(), "name": f"new-{number}", "color": "00ff00"})
    pick(2).milestones[0].update(state="closed", updated_at=now)
    pick(3).protections.append({"branch_name": f"r{number}", "rule_name": f"r{number}", "name": f"r{number}"})
    pick(4).issue("found the next day")
    pick(5).issue("proposed the next day", pull=True)
    for at, what in ((6, "deleted"), (7, "transferred")):
        repo = pick(at)
        n = next(n for n in sorted(repo.issues) if n not in repo.pulls)
        one, words = repo.issues.pop(n), [c for c in repo.comments.values() if c["n"] == n]
        for comment in words:
            del repo.comments[comment["id"]]
        repo.events = [event for event in repo.events if event["n"] != n]
        if what == "transferred":
            to = pick(8)
            there = to.issue(one["title"], one["body"], at=now)
            for comment in words:
                to.comment(there, comment["body"])
            to.hidden.append({"n": there, "created_at": now})
        count(what)
    for what in ("releases", "labels", "milestones", "rules", "issues made", "pull requests made"):
        count(what)


def label_of(label):
    return {"name": label["name"], "color": label["color"]}


def change(repo, one, now, **fields):
    for held in (repo.issues, repo.pulls):
        if one["number"] in held:
            held[one["number"]].update(updated_at=now, **fields)


def close(repo, one, now):
    change(repo, one, now, state="closed", closed_at=now)
    repo.event("closed", one["number"], now)
