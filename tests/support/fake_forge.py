#!/usr/bin/env python3
"""A forge for tests: the APIs of Gitea v1, GitHub (REST, as on a server of one's own) and GitLab v4 over one state in memory.

Usage: fake_forge.py [--repos N --issues N --pulls N --comments N --releases N] [--git DIR] [--owner NAME]
What changes something stands in fake_forge_writes.py.

It prints its port on the first line. `POST /_/NAME` with JSON changes its state or makes it misbehave, see `control`.
"""

import argparse, base64, itertools, datetime, hashlib, json, os, re, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

sys.dont_write_bytecode = True
import fake_forge_day as days
import fake_forge_github as shown
import fake_forge_graph as graph
import fake_forge_hostile as hostile
import fake_forge_lab as lab
import fake_forge_writes as writes

TOKEN = "tok-Zq8f3kUeW1" "xYd7"
LOCK = threading.RLock()


def stamp(seconds):
    if STATE["zone"]:  # as Gitea tells times: in the zone of its server
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone(datetime.timedelta(hours=STATE["zone"]))).isoformat(timespec="seconds")
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def now():
    return stamp(time.time() + STATE["skew"])


STATE = {"zone": 0, "broken_pages": [], "hang": None, "app": None, "repeat": None, "app_tokens": {}, "git_slow": 0, "skew": 0, "repos": [], "projects": [], "log": [], "calls": 0, "faults": [], "write_faults": [], "writes": [], "queries": [], "kinds": [], "raw": {}, "endless": {}, "timeless": False, "short": {}, "deny": {}, "owner": "acme", "user": False,
         "lfs": {}, "access": 50, "longest": 1000, "groups": {}, "version": "17.4.1-ee", "after": [], "token_user": "mover", "next_id": 1, "git": None, "private_assets": {}, "token_seen_elsewhere": 0, "day": 0}
OLD = 1767225600  # 2026-01-01


def entitled(word):
    """Whether a token lets in: the one that lasts, or one of an app that has not ended."""
    return word == TOKEN or STATE["app_tokens"].get(word, 0) > time.time()


def app_token(authorization):
    """A token for an app that signs for itself (RS256), as GitHub makes it; a status where it does not."""
    app, now_s = STATE["app"], time.time() + STATE["skew"]
    try:
        text, _, signature = authorization.removeprefix("Bearer ").rpartition(".")
        part = lambda word: base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
        head, claims = (json.loads(part(word)) for word in text.split("."))
        size = (app["n"].bit_length() + 7) // 8
        signed = pow(int.from_bytes(part(signature), "big"), 65537, app["n"]).to_bytes(size, "big")
        info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(text.encode()).digest()
        right = signed == b"\0\1" + b"\xff" * (size - 3 - len(info)) + b"\0" + info
        assert right and head["alg"] == "RS256" and claims["iss"] == app["id"] and claims["exp"] - claims["iat"] <= 600
        assert claims["iat"] <= now_s < claims["exp"]
    except (ValueError, KeyError, AssertionError, TypeError):
        return 401, {"message": "A JSON web token could not be decoded"}
    word = f"ghs_{len(STATE['app_tokens']):04}{'Qw7eRt'}{new_id()}xYzUi"
    STATE["app_tokens"][word] = time.time() + app["seconds"]
    return 201, {"token": word, "expires_at": stamp(now_s + app["seconds"]), "permissions": {"issues": "read"}}


def new_id():
    STATE["next_id"] += 1
    return STATE["next_id"]


def user(name):
    return {"id": 7, "login": name, "username": name}


class Repo:
    def __init__(self, name, owner="acme", empty=False):
        self.id, self.owner, self.name = new_id(), owner, name
        self.issues, self.comments, self.pulls = {}, {}, {}
        self.reviews, self.review_comments, self.events, self.discussions = {}, {}, [], []
        self.hidden = []  # items of timelines that are no events
        self.labels = [{"id": new_id(), "name": n, "color": "ff0000"} for n in ("bug", "wish")]
        self.milestones = [{"id": new_id(), "number": 1, "title": "v1", "state": "open", "updated_at": stamp(OLD)}]
        self.releases, self.hooks = [], [{"id": new_id(), "type": "gitea", "config": {"url": "https://ci.example/x"}}]
        self.protections = [{"branch_name": "main", "rule_name": "main", "name": "main"}]
        self.flags, self.number, self.lab = {}, 0, None
        self.branches, self.tags = {"main"}, set()
        if empty:
            self.labels, self.milestones, self.hooks, self.protections, self.branches = [], [], [], [], set()

    @property
    def full(self):
        return f"{self.owner}/{self.name}"

    def issue(self, title, body="words", pull=False, at=None, **more):
        self.number += 1
        n, at = self.number, at or now()
        value = {"id": new_id(), "number": n, "title": title, "body": body, "state": "open", "user": user("mia"),
                 "labels": self.labels[:1], "created_at": at, "updated_at": at, "closed_at": None, "assets": []}
        value.update(more)
        if pull:
            self.pulls[n] = {**value, "head": {"label": "topic", "ref": "topic", "sha": f"{n:040x}"},
                             "base": {"label": "main", "ref": "main", "sha": "0" * 40}, "auto_merge": None, "requested_reviewers": [],
                             "merged_at": None}
            self.reviews[n] = []
            value["pull_request"] = {"merged": False}
        self.issues[n] = value
        self.events.append({"id": n * 10, "event": "labeled", "n": n, "by": user("mia"), "created_at": at,
                            "label": {"name": "bug", "color": "ff0000"}})
        return n

    def event(self, what, n, at, **more):
        """Something happens to an issue."""
        self.events.append({"id": 1_000_000 + new_id(), "event": what, "n": n, "by": user("mia"), "created_at": at, **more})
        self.touch(n, at)

    def comment(self, n, body="I agree", at=None, **more):
        at = at or now()
        value = {"id": new_id(), "body": body, "user": user("ben"), "created_at": at, "updated_at": at, "assets": [],
                 "n": n, **more}
        self.comments[value["id"]] = value
        self.touch(n, at)
        return value["id"]

    def touch(self, n, at):
        for held in (self.issues, self.pulls):
            if n in held and held[n]["updated_at"] < at:
                held[n]["updated_at"] = at

    def review(self, n, body="fine", at=None, comments=1):
        at = at or now()
        value = {"id": new_id(), "body": body, "state": "APPROVED", "user": user("ada"), "submitted_at": at,
                 "updated_at": at, "comments_count": comments}
        self.reviews[n].append(value)
        self.review_comments[value["id"]] = [
            {"id": new_id(), "body": f"look here {i}", "path": "src/main.rs", "position": 3, "diff_hunk": "@@ -1 +1 @@\n-a\n+b",
             "user": user("ada"), "created_at": at, "updated_at": at, "n": n} for i in range(comments)]
        self.touch(n, at)

    def release(self, tag, base, data=b"", at=None, name=None):
        asset = {"id": new_id(), "name": name or f"{tag}.tar.gz", "size": len(data), "created_at": stamp(OLD)}
        STATE["private_assets"][asset["id"]] = data
        asset["browser_download_url"] = f"{base}/attachments/{asset['id']}"
        asset["url"] = f"{base}/api/v3/repos/{self.full}/releases/assets/{asset['id']}"
        self.releases.append({"id": new_id(), "tag_name": tag, "name": f"Release {tag}", "body": "notes",
                              "created_at": at or stamp(OLD), "published_at": at or stamp(OLD), "assets": [asset]})


def repo_json(repo, api):
    value = {"id": repo.id, "name": repo.name, "full_name": repo.full, "path_with_namespace": repo.full, "private": True,
             "archived": False, "has_issues": True, "has_wiki": True, "has_pull_requests": True, "has_releases": True,
             "has_discussions": True,
             "owner": user(repo.owner), "updated_at": stamp(OLD)}
    value.update(repo.flags)
    return value


def bare(full):
    """The repository of one that was made now, where there is git."""
    if STATE["git"]:
        subprocess.run(["git", "init", "-q", "--bare", f"{STATE['git']}/{full}.git"], check=True)


def meta(repo):
    """What an entry of Gitea says of the repository that it belongs to."""
    return {"id": repo.id, "name": repo.name, "owner": repo.owner, "full_name": repo.full}


def find(full):
    return next((repo for repo in STATE["repos"] if repo.full.lower() == full.lower()), None)


def listed(entries, query, key="updated_at", since="since"):
    wanted = query.get(since, [None])[0]
    moment = lambda text: datetime.datetime.fromisoformat(text or "1970-01-01T00:00:00Z")
    return [e for e in entries if wanted is None or moment(e.get(key)) >= moment(wanted.replace("%3A", ":"))]


def with_urls(repo, comment, base):
    return {**{k: v for k, v in comment.items() if k != "n"}, "issue_url": f"{base}/{repo.full}/issues/{comment['n']}"}


def note(comment, kind):
    return {"id": comment["id"], "body": comment["body"], "author": user("ben"), "created_at": comment["created_at"],
            "updated_at": comment["updated_at"], "noteable_iid": comment["n"], "noteable_type": kind, "system": False}


def route(base, path, query):
    """The list, or the one value, at a path of an API; None where there is nothing."""
    owner = STATE["owner"]
    if path.startswith("/api/v1/"):
        return gitea(base, path[len("/api/v1/"):], query, owner)
    if path.startswith("/api/v3/"):
        return github(base, path[len("/api/v3/"):], query, owner)
    if path.startswith("/api/v4/"):
        return gitlab(base, path[len("/api/v4/"):], query, owner)
    return None


def owned(api):
    return [repo_json(repo, api) for repo in STATE["repos"]]


def gitea(base, path, query, owner):
    if path in (f"orgs/{owner}/repos", f"users/{owner}/repos"):
        return None if path.startswith("orgs") and STATE["user"] else owned("gitea")
    if path == "user":
        return user(STATE["token_user"])
    if path == "repos/issues/search":
        every = [{**issue, "repository": meta(repo)} for repo in STATE["repos"] if query.get("owner") == [repo.owner]
                 for issue in listed(repo.issues.values(), query)]
        return sorted(every, key=lambda issue: issue["created_at"], reverse=True) if query.get("state") == ["all"] else []
    if path in (f"users/{owner}", f"orgs/{owner}"):
        return user(owner)
    if re.fullmatch(f"orgs/{owner}/(labels|hooks|teams|members)", path):
        return []
    match = re.fullmatch(r"repos/([^/]+/[^/]+)(?:/(.*))?", path)
    repo = match and find(match[1])
    if not repo:
        return None
    rest = match[2] or ""
    if rest == "":
        return repo_json(repo, "gitea")
    if rest == "issues":
        return [{**one, "repository": meta(repo)} for one in listed([repo.issues[n] for n in sorted(repo.issues, reverse=True)], query)]
    if rest == "issues/comments":
        return [with_urls(repo, c, base) for c in listed([repo.comments[i] for i in sorted(repo.comments)], query)]
    if rest == "pulls":
        return sorted(repo.pulls.values(), key=lambda p: p["updated_at"], reverse=True)
    if m := re.fullmatch(r"pulls/(\d+)/reviews", rest):
        own = repo.reviews.get(int(m[1]))
        return own and [{**r, "pull_request_url": f"{base}/{repo.full}/pulls/{m[1]}"} for r in own] or own
    if m := re.fullmatch(r"pulls/(\d+)/reviews/(\d+)/comments", rest):
        own = repo.review_comments.get(int(m[2]))
        return own and [{**c, "pull_request_url": f"{base}/{repo.full}/pulls/{m[1]}"} for c in own]
    if m := re.fullmatch(r"issues/(\d+)/timeline", rest):
        n = int(m[1])
        if n not in repo.issues:
            return None
        own = [{"id": e["id"], "type": "label" if e["event"] == "labeled" else e["event"], "user": user("mia"), "created_at": e["created_at"],
                "issue_url": f"{base}/{repo.full}/issues/{n}"} for e in repo.events if e["n"] == n]
        # Comments on lines stand on its pages, and are left out.
        return own[:1] + [None for r in repo.reviews.get(n, []) for _ in repo.review_comments[r["id"]]] + own[1:]
    if (single := one_of(repo, rest, base)) is not MISSING:
        return single
    simple = {"labels": repo.labels, "milestones": repo.milestones, "releases": repo.releases, "hooks": repo.hooks,
              "branch_protections": repo.protections, "keys": [], "collaborators": [user("mia")]}
    return simple.get(rest)


MISSING = object()


def one_of(repo, rest, base):
    """What only a restore asks for: single things, and what belongs to them."""
    if m := re.fullmatch(r"branches/(.+)", rest):
        return {"name": unquote(m[1])} if unquote(m[1]) in repo.branches else None
    if m := re.fullmatch(r"tags/(.+)", rest):
        return {"name": unquote(m[1])} if unquote(m[1]) in repo.tags else None
    if m := re.fullmatch(r"issues/(\d+)", rest):
        return repo.issues.get(int(m[1]))
    if m := re.fullmatch(r"pulls/(\d+)", rest):
        return repo.pulls.get(int(m[1]))
    if m := re.fullmatch(r"pulls/(\d+)/reviews/(\d+)", rest):
        return next((r for r in repo.reviews.get(int(m[1]), []) if r["id"] == int(m[2])), None)
    if m := re.fullmatch(r"issues/(\d+)/assets", rest):
        return repo.issues[int(m[1])]["assets"] if int(m[1]) in repo.issues else None
    if m := re.fullmatch(r"issues/comments/(\d+)/assets", rest):
        return repo.comments[int(m[1])]["assets"] if int(m[1]) in repo.comments else None
    if m := re.fullmatch(r"releases/(\d+)/assets", rest):
        return next((r["assets"] for r in repo.releases if r["id"] == int(m[1])), None)
    if m := re.fullmatch(r"issues/(\d+)/comments", rest):
        return [with_urls(repo, c, base) for c in repo.comments.values() if c["n"] == int(m[1])]
    return MISSING


def github(base, path, query, owner):
    if path in (f"orgs/{owner}/repos", f"users/{owner}/repos", "user/repos"):
        return None if path.startswith("orgs") and STATE["user"] else owned("github")
    if path == "user":
        return user(owner if STATE["user"] else STATE["token_user"])
    if path in (f"users/{owner}", f"orgs/{owner}"):
        return user(owner)
    if re.fullmatch(f"orgs/{owner}/(hooks|teams|members)", path):
        return []
    if path == f"orgs/{owner}/issues":
        every = [{**issue, "repository": repo_json(repo, "github")} for repo in STATE["repos"] for issue in listed(repo.issues.values(), query)]
        return sorted(every, key=lambda issue: issue["updated_at"], reverse=True) if query.get("filter") == ["all"] else []
    match = re.fullmatch(r"repos/([^/]+/[^/]+)(?:/(.*))?", path)
    repo = match and find(match[1])
    if not repo:
        return None
    rest = match[2] or ""
    if rest == "issues":
        return listed([repo.issues[n] for n in sorted(repo.issues)], query)
    if rest == "issues/comments":
        return [shown.comment(repo, base, c) for c in listed([repo.comments[i] for i in sorted(repo.comments)], query)]
    if rest == "pulls/comments":
        every = [(c, review) for review, own in repo.review_comments.items() for c in own]
        wanted = listed([{**c, "of": review} for c, review in sorted(every, key=lambda one: one[0]["id"])], query)
        return [shown.on_line(repo, base, c["of"], c) for c in wanted]
    if m := re.fullmatch(r"pulls/(\d+)/reviews", rest):
        own = repo.reviews.get(int(m[1]))
        return own and [shown.review(repo, base, int(m[1]), r) for r in own] or own
    if rest == "issues/events":
        return [shown.event(repo, base, e) for e in reversed(repo.events)]
    if rest in ("branches", "rulesets"):
        return repo.protections if rest == "branches" else []
    if m := re.fullmatch(r"git/ref/tags/(.+)", rest):
        return {"ref": f"refs/tags/{unquote(m[1])}"} if unquote(m[1]) in repo.tags else None
    if re.fullmatch(r"branches/.+|issues/\d+(/comments)?|releases/\d+/assets|pulls/\d+(/reviews(/\d+(/comments)?)?)?|issues/comments|pulls|labels|milestones|releases|hooks|keys|collaborators|", rest):
        return gitea(base, f"repos/{match[1]}/{rest}".rstrip("/"), query, owner)
    return None


def gitlab(base, path, query, owner):
    if path == f"groups/{owner}/projects":
        return None if STATE["user"] else owned("gitlab")
    if path == f"users/{owner}/projects":
        return owned("gitlab")
    if path == "user":
        return lab.user(STATE["token_user"])
    if path == "version":
        return {"version": STATE["version"]}
    if path == f"groups/{owner}" and STATE["repos"] and not STATE["groups"]:
        return user(owner)
    if path in (f"groups/{owner}/issues", f"groups/{owner}/merge_requests"):  # those of all its projects
        if STATE["user"] or query.get("non_archived") != ["false"] or query.get("scope") != ["all"]:
            return []
        every = [one for repo in STATE["repos"] for one in gitlab(base, f"projects/{repo.owner}%2F{repo.name}/{path.split('/')[-1]}", query, owner)]
        return sorted(every, key=lambda one: one["updated_at"], reverse=True)
    if re.fullmatch(f"groups/{owner}/(labels|milestones|members)", path):
        return []
    if m := re.fullmatch(r"groups/([^/]+)", path):
        id = STATE["groups"].get(unquote(m[1]))
        return id and {"id": id, "full_path": unquote(m[1]), "name": unquote(m[1])}
    match = re.fullmatch(r"projects/([^/]+)(?:/(.*))?", path)
    repo = match and lab.by_path(sys.modules[__name__], match[1])
    if not repo:
        return None
    rest = match[2] or ""
    if repo.lab:
        return lab.read(sys.modules[__name__], repo, rest, query)
    if rest == "":
        return lab.project(repo, sys.modules[__name__])
    as_lab = lambda v: lab.as_lab(repo, v)
    if rest == "issues":
        own = [repo.issues[n] for n in sorted(repo.issues) if n not in repo.pulls]
        return [as_lab(v) for v in listed(own, query, since="updated_after")]
    if rest == "merge_requests":
        own = [{**repo.pulls[n], "source_branch": f"topic-{n}", "target_branch": "main"} for n in sorted(repo.pulls)]
        return [as_lab(v) for v in listed(own, query, since="updated_after")]
    if m := re.fullmatch(r"(issues|merge_requests)/(\d+)", rest):
        n = int(m[2])
        return as_lab(repo.issues[n]) if n in repo.issues and (n in repo.pulls) == (m[1] == "merge_requests") else None
    if m := re.fullmatch(r"issues/(\d+)/notes", rest):
        n = int(m[1])
        return [note(c, "Issue") for c in repo.comments.values() if c["n"] == n] if n in repo.issues else None
    if m := re.fullmatch(r"merge_requests/(\d+)/discussions", rest):
        n = int(m[1])
        return None if n not in repo.pulls else [{"id": hashlib.sha1(str(c["id"]).encode()).hexdigest(), "individual_note": True, "notes": [note(c, "MergeRequest")]}
                for c in repo.comments.values() if c["n"] == n]
    simple = {"labels": [{**one, "color": f"#{one['color']}"} for one in repo.labels], "milestones": [{**one, "state": "closed" if one["state"] == "closed" else "active"} for one in repo.milestones],
              "releases": [lab.release(repo, one, base) for one in repo.releases], "hooks": repo.hooks,
              "protected_branches": repo.protections, "protected_tags": [], "deploy_keys": [], "members/all": [user("mia")]}
    return simple.get(rest)


def served(api, repo, base):
    """What a whole reading of a repository would get of each kind."""
    def ask(rest, **query):
        path = {"gitea": f"/api/v1/repos/{repo.full}/", "github": f"/api/v3/repos/{repo.full}/", "gitlab": f"/api/v4/projects/{repo.owner}%2F{repo.name}/"}
        return route(base, path[api] + rest, query) or []
    out = {kind: ask(kind) for kind in ("issues", "labels", "milestones", "releases", "hooks")}
    if api == "gitlab":
        out |= {kind: ask(kind) for kind in ("merge_requests", "protected_branches")} | {"members": ask("members/all")}
        out["issue_notes"] = [one for n in repo.issues if n not in repo.pulls for one in ask(f"issues/{n}/notes")]
        out["discussions"] = [one for n in repo.pulls for one in ask(f"merge_requests/{n}/discussions")]
        return out
    out |= {"comments": ask("issues/comments"), "pulls": ask("pulls"), "collaborators": ask("collaborators")}
    out["reviews"] = [one for n in repo.pulls for one in ask(f"pulls/{n}/reviews")]
    if api == "github":
        return out | {"review_comments": ask("pulls/comments"), "events": ask("issues/events"), "protected_branches": ask("branches")}
    out["review_comments"] = [one for n, own in repo.reviews.items() for r in own for one in ask(f"pulls/{n}/reviews/{r['id']}/comments")]
    return out | {"timeline": [one for n in repo.issues for one in ask(f"issues/{n}/timeline") if one], "branch_protections": ask("branch_protections")}


def control(name, given, base):
    repo = find(given["repo"]) if "repo" in given else None
    if name == "issue":
        return repo.issue(given.get("title", "new"), given.get("body", "words"), given.get("pull", False))
    if name == "comment":
        return repo.comment(given["n"], given.get("body", "new words"))
    if name == "discussion":
        repo.number += 1
        repo.discussions.append({"id": new_id(), "number": repo.number, "title": given["title"], "body": given.get("body", "why"), "comments": [],
                                 "category": given.get("category", "Ideas"), "created_at": now(), "updated_at": now()})
        return repo.number
    if name == "discuss":  # a comment, or a reply
        one = next(d for d in repo.discussions if d["number"] == given["n"])
        one["comments"].append({"id": new_id(), "body": given["body"], "to": given.get("to"), "by": given.get("by", "ben"), "at": now()})
        one["updated_at"] = now()
        return one["comments"][-1]["id"]
    if name == "project":
        STATE["projects"].append({"id": new_id(), "number": len(STATE["projects"]) + 1, "title": given["title"], "readme": given.get("readme"),
                                  "items": [], "updated_at": now()})
    if name == "item":
        STATE["projects"][given["n"] - 1]["items"].append({"id": new_id(), "title": given["title"], "body": given.get("body", ""), "at": now(),
                                                           "status": given.get("status", "Todo")})
    if name == "move":  # without a change of the project
        STATE["projects"][given["n"] - 1]["items"][given["at"]]["status"] = given["status"]
    if name == "app":
        STATE["app"] = {**given, "n": int(given["n"], 16)}
    if name == "repeat":
        STATE["repeat"] = given
    if name == "app_tokens":
        return sorted(STATE["app_tokens"])
    if name == "revoke":  # the tokens that are out
        STATE["app_tokens"] = {word: 0 for word in STATE["app_tokens"]}
    if name == "git_slow":
        STATE["git_slow"] = given["seconds"]
    if name == "event":  # something happens to an issue
        repo.event(given.get("event", "closed"), given["n"], now(), **given.get("more", {}))
    if name == "label":
        repo.labels.append({"id": new_id(), "name": given["name"], "color": "00ff00"})
    if name == "edit":
        repo.comments[given["id"]].update(body=given["body"], updated_at=now())
    if name == "edit_issue":
        repo.issues[given["n"]].update(title=given["title"], updated_at=now())
        if given["n"] in repo.pulls:
            repo.pulls[given["n"]].update(title=given["title"], updated_at=now())
    if name == "review":
        repo.review(given["n"], given.get("body", "fine"), comments=given.get("comments", 1))
    if name == "delete_issue":
        del repo.issues[given["n"]]
        repo.pulls.pop(given["n"], None)
        repo.comments = {i: c for i, c in repo.comments.items() if c["n"] != given["n"]}
    if name == "repo":
        STATE["repos"].append(Repo(given["name"], given.get("owner", STATE["owner"]), given.get("empty", False)))
        STATE["repos"][-1].lab = lab.Lab() if given.get("lab") else None
    if name == "drop_repo":
        STATE["repos"].remove(repo)
    if name == "unprotect":
        repo.protections.clear()
    if name == "rename":
        repo.name = given["to"]
    if name == "flags":
        repo.flags.update(given["flags"])
    if name == "field":
        repo.issues[given["n"]].update(given["fields"])
        if given["n"] in repo.pulls:
            repo.pulls[given["n"]].update(given["fields"])
    if name == "attach":  # a file of an issue or of a comment
        id, data = new_id(), given["data"].encode()
        STATE["private_assets"][id] = data
        asset = {"id": id, "name": given["name"], "size": len(data), "created_at": stamp(OLD), "browser_download_url": f"{base}/attachments/{id}"}
        (repo.issues[given["n"]] if "n" in given else repo.comments[given["id"]])["assets"].append(asset)
    if name == "lfs_held":
        return {f"{repo} {id}": data.decode() for (repo, id), data in STATE["lfs"].items()}
    if name == "lfs":  # an object of a repository's
        id = hashlib.sha256(given["data"].encode()).hexdigest()
        STATE["lfs"][given["repo"], id] = given.get("is", given["data"]).encode()
        return id
    if name == "lab":
        return lab.seed(sys.modules[__name__], repo, given, base)
    if name == "milestone":
        repo.milestones[0].update(given["fields"])
    if name in ("access", "version", "longest"):
        STATE[name] = given["is"]
    if name == "group":
        STATE["groups"][given["name"]] = new_id()
    if name == "lab_issue":
        repo.lab.issues[given["n"]] = {"iid": given["n"], "title": "ours", "description": "made here", "state": "opened"}
    if name == "lab_field":
        held = {"issues": repo.lab.issues, "merge_requests": repo.lab.merges, "milestones": {m["iid"]: m for m in repo.lab.milestones}}
        held[given["kind"]][given["n"]].update(given["fields"])
    if name == "refs":
        repo.branches |= set(given.get("branches", []))
        repo.tags |= set(given.get("tags", []))
    if name == "asset":
        return STATE["private_assets"].get(given["id"], b"").decode()
    if name == "release":
        repo.release(given["tag"], base, given["data"].encode(), name=given.get("name"))
    if name == "poison":
        hostile.poison_all(sys.modules[__name__], repo, given["text"])
    if name == "raw":  # what is answered at paths that end so, as it stands; and "links": a proxy takes these away
        STATE["raw"] = given
    if name == "endless":  # lists of which do not end, by the ends of paths and the names of queries
        STATE["endless"] = given
    if name == "hang":
        STATE["hang"] = given["path"]
    if name == "broken_pages":  # the first answers at paths that end so break off behind most of their entries
        STATE["broken_pages"] = given["paths"]
    if name == "timeless":
        STATE["timeless"] = given["is"]
    if name == "recreate":  # one of the same name
        STATE["repos"][STATE["repos"].index(repo)] = Repo(repo.name, repo.owner)
    if name == "short":  # lists at paths that end so lack so many entries, whatever they say
        STATE["short"] = given
    if name == "deny":
        STATE["deny"] = given
    if name == "faults":
        STATE["faults"] = given["faults"]
    if name == "write_faults":
        STATE["write_faults"] = given["faults"]
    if name == "after":
        STATE["after"].append(given)
    if name == "skew":
        STATE["skew"] = given["seconds"]
    if name == "user":
        STATE["user"] = True
    if name == "log":
        log, STATE["log"] = STATE["log"], []
        return log
    if name == "writes":
        writes, STATE["writes"] = STATE["writes"], []
        return writes
    if name == "queries":
        queries, STATE["queries"] = STATE["queries"], []
        return queries
    if name == "kinds":  # how many calls of each kind there were
        kinds, STATE["kinds"] = STATE["kinds"], []
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    if name == "calls":
        calls, STATE["calls"] = STATE["calls"], 0
        return calls
    if name == "day":  # some percent of everything changes
        return days.day(sys.modules[__name__], base, given["percent"])
    if name == "served":  # all entries of each kind, as an API would show them now
        return {r.full: served(given["kind"], r, base) for r in STATE["repos"]}
    if name == "held":  # what a backup is compared with
        return {r.full: {"issues": list(r.issues.values()), "comments": [with_urls(r, c, base) for c in r.comments.values()],
                         "pulls": list(r.pulls.values()), "labels": r.labels, "releases": r.releases,
                         "milestones": r.milestones, "tags": sorted(r.tags), "flags": r.flags, "branches": sorted(r.branches), "id": r.id,
                         "lab": r.lab and r.lab.held(),
                         "all_reviews": [{**v, "n": n} for n, own in r.reviews.items() for v in own],
                         "review_comments": [c for own in r.review_comments.values() for c in own],
                         "discussions": r.discussions,
                         "reviews": sum(len(v) for v in r.reviews.values())} for r in STATE["repos"]}
    return None


def kind_of(path):
    """What is asked for at a path: its last words, without names and numbers."""
    path = re.sub(r"^/api/v\d/", "", path)
    if path == "repos/issues/search":
        return "issues/search"
    path = re.sub(r"^repos/[^/]+/[^/]+|^projects/[^/]+", "", path)
    path = re.sub(r"^(orgs|users|groups)/[^/]+", r"\1", path)
    return re.sub(r"/\d+", "/N", path).strip("/") or "one"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def log_message(self, *_):
        pass

    def base(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Type" not in headers and self.path.startswith("/api/"):
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def send_header(self, keyword, value):
        if keyword != "Date" or not STATE["timeless"]:
            super().send_header(keyword, value)

    def date_time_string(self, timestamp=None):
        return super().date_time_string(time.time() + STATE["skew"])

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while (size := int(self.rfile.readline(), 16)):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        parts = urlsplit(self.path)
        if parts.path.startswith("/_/"):
            with LOCK:
                told = control(parts.path[3:], json.loads(body or b"{}"), self.base())
            return self.answer(200, json.dumps(told).encode())
        if parts.path == "/api/graphql":
            return self.query(body)
        if STATE["app"] and parts.path == f"/api/v3/app/installations/{STATE['app']['installation']}/access_tokens":
            with LOCK:
                status, told = app_token(self.headers.get("Authorization", ""))
            return self.answer(status, json.dumps(told).encode())
        if parts.path.startswith("/api/"):
            return self.write(parts, body)
        if m := re.fullmatch(r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/([0-9a-f]{64})/verify", parts.path):
            told = json.loads(body)
            whole = (m[1], m[2]) in STATE["lfs"] and told == {"oid": m[2], "size": len(STATE["lfs"][m[1], m[2]])}
            return self.answer(200 if whole else 404, b"{}")
        if m := re.fullmatch(r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/(batch)", parts.path):
            return self.lfs(m, body)
        self.git(parts, body)

    def lfs(self, m, body):
        """LFS objects of a repository, by the batch API, for who logs in as git does."""
        words, LFS = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode(), "application/vnd.git-lfs+json"
        with LOCK:
            STATE["log"].append(self.path)
            if not entitled(words.partition(":")[2]):
                return self.answer(401, b'{"message":"log in"}', Content_Type=LFS)
            if m[2] != "batch":
                return self.answer(200, STATE["lfs"][m[1], m[2]])
            if self.headers.get("Accept") != LFS or self.headers.get("Content-Type") != LFS:
                return self.answer(406, b'{"message":"not of LFS"}', Content_Type=LFS)
            asked, told = json.loads(body), []
            assert asked["transfers"] == ["basic"]
            for one in asked["objects"]:
                there = (m[1], one["oid"]) in STATE["lfs"]
                href = STATE["raw"].get("lfs") or f"{self.base()}/{m[1]}.git/info/lfs/objects/{one['oid']}"
                if asked["operation"] == "upload":
                    actions = {"upload": {"href": href, "header": {"X-Given": "by the server"}}, "verify": {"href": f"{href}/verify"}}
                    told.append({**one, **({} if there else {"actions": actions})})
                    continue
                told.append({**one, **({"actions": {"download": {"href": href}}} if there else {"error": {"code": 404, "message": "Object does not exist"}})})
            self.answer(200, json.dumps({"transfer": "basic", "objects": told}).encode(), Content_Type=LFS)

    def query(self, body):
        """A query of GraphQL, for who has the token."""
        with LOCK:
            STATE["calls"] += 1
            STATE["log"].append(self.path)
            named = re.match(rb'{"query":"query (\w+)', body)
            STATE["kinds"].append(f"query {named[1].decode() if named else '?'}")
            if STATE["faults"]:
                fault = STATE["faults"].pop(0)
                if fault and self.fault(fault):
                    return
            if not entitled(self.headers.get("Authorization", "").removeprefix("Bearer ")):
                return self.answer(401, b'{"message":"Bad credentials"}')
            if "graphql" in STATE["deny"]:
                return self.answer(STATE["deny"]["graphql"], b'{"message":"no queries here"}')
            asked = json.loads(body)
            if asked["query"] not in (known["query"] for known in STATE["queries"]):
                STATE["queries"].append(asked)
            told = graph.Graph(sys.modules[__name__], self.base()).answer(asked)
            how = STATE["endless"].get(named[1].decode()) if named else None
            if how:
                told = hostile.turned(told, how if how == "circle" else itertools.count(1000 * STATE["calls"]))
            self.answer(200, json.dumps(told).encode())

    def do_PATCH(self):
        self.write(urlsplit(self.path), self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    do_DELETE = do_PATCH

    def do_PUT(self):
        parts = urlsplit(self.path)
        if not (m := re.fullmatch(r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/([0-9a-f]{64})", parts.path)):
            return self.do_PATCH()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        words = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        right = entitled(words.partition(":")[2]) and self.headers.get("X-Given") and hashlib.sha256(body).hexdigest() == m[2]
        if right:
            STATE["lfs"][m[1], m[2]] = body
        self.answer(200 if right else 403, b"{}")

    def write(self, parts, body):
        """A request that changes something, for who has the token."""
        with LOCK:
            STATE["calls"] += 1
            STATE["log"].append(f"{self.command} {self.path}")
            kind = self.headers.get("Content-Type", "")
            sent = json.loads(body) if body and kind == "application/json" else None
            STATE["writes"].append({"method": self.command, "path": self.path, "body": sent})
            fault = STATE["write_faults"].pop(0) if STATE["write_faults"] else None
            if fault and fault["kind"] not in ("lost", "killed") and self.fault(fault):
                return
            fields = {n.lower(): v for n, v in self.headers.items()}
            given = fields.get("authorization", "").removeprefix("token ").removeprefix("Bearer ") or fields.get("private-token")
            if not entitled(given):
                return self.answer(401, b'{"message":"token required"}')
            for ending, status in STATE["deny"].items():
                if parts.path.endswith(ending):
                    return self.answer(status, json.dumps({"message": f"may not {self.command} {ending}"}).encode())
            side = lab if parts.path.startswith("/api/v4/") else writes
            status, told = side.change(sys.modules[__name__], self, parts, body)
            if fault:  # carried out, and nobody hears of it
                if fault["kind"] == "killed":
                    os.kill(fault["pid"], 9)
                self.close_connection = True
                return self.connection.close()
            self.answer(status, b"" if status == 204 else json.dumps(told).encode())

    def do_GET(self):
        parts = urlsplit(self.path)
        if "/info/refs" in parts.path or parts.path.endswith("/HEAD"):
            return self.git(parts, b"")
        if m := re.fullmatch(r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/([0-9a-f]{64})", parts.path):
            return self.lfs(m, b"")
        if STATE["hang"] and parts.path.endswith(STATE["hang"]):
            STATE["log"].append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            while True:  # an answer that comes, and does not end
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.5)
        with LOCK:
            STATE["calls"] += 1
            STATE["log"].append(self.path)
            STATE["log"] = STATE["log"][-20000:]
            STATE["kinds"].append(kind_of(parts.path))
            if STATE["faults"]:
                fault = STATE["faults"].pop(0)
                if fault and self.fault(fault):
                    return
            fields = {n.lower(): v for n, v in self.headers.items()}
            given = fields.get("authorization", "").removeprefix("token ").removeprefix("Bearer ") or fields.get("private-token")
            if not entitled(given):
                return self.answer(401, b'{"message":"token required"}')
            if m := re.fullmatch(r"/attachments/(\d+)|/api/v3/repos/.*/releases/assets/(\d+)", parts.path):
                if "assets" in STATE["raw"]:  # they lie elsewhere
                    return self.answer(302, b"", Location=STATE["raw"]["assets"])
                data = STATE["private_assets"].get(int(m[1] or m[2]))
                return self.answer(200, data) if data is not None else self.answer(404, b"{}")
            if (m := re.fullmatch(r"/api/v4/projects/([^/]+)/((?:uploads|packages/generic)/.+)", parts.path)) and (
                    repo := lab.by_path(sys.modules[__name__], m[1])):
                if "assets" in STATE["raw"]:
                    return self.answer(302, b"", Location=STATE["raw"]["assets"])
                data = lab.data(repo, m[2], STATE["private_assets"])
                return self.answer(200, data) if data is not None else self.answer(404, b'{"message":"404 Not Found"}')
            query = parse_qs(parts.query)
            if STATE["repeat"] and parts.path.endswith(STATE["repeat"]["path"]):
                return self.answer(403, json.dumps({"message": f"token {given} may not"}).encode())
            for ending, status in STATE["deny"].items():
                if parts.path.endswith(ending) or ("*" in ending and re.search(ending.replace("*", ".*"), parts.path)):
                    return self.answer(status, b"" if status < 400 else json.dumps({"message": f"needs a scope <b>{ending}</b>"}).encode())
            for ending, body in STATE["raw"].items():
                if parts.path.endswith(ending) and ending != "links":
                    return self.answer(200, body.encode("utf-8", "surrogatepass"))
            for ending, how in STATE["endless"].items():
                if parts.path.endswith(ending):
                    page = 1 if how == "circle" else int(query.get("page", ["1"])[0]) + 1
                    body = json.dumps((route(self.base(), parts.path, query) or [])[:100] if how != "empty" else []).encode()
                    return self.answer(200, body, Link=f'<{self.base()}{parts.path}?page={page}>; rel="next"')
            found = route(self.base(), parts.path, query)
            if found is None:
                return self.answer(404, b'{"message":"Not Found"}')
            self.page(parts, query, found)
            todos = [t for t in STATE["after"] if t["path"] in self.path]
            for todo in todos[:1] if todos and todos[0].get("alone") else todos:  # one a request, or all
                STATE["after"].remove(todo)
                control(todo["name"], todo["given"], self.base())

    def fault(self, fault):
        kind = fault["kind"]
        if kind == "status":
            self.answer(fault["status"], b'{"message":"trouble"}', **fault.get("headers", {}))
        elif kind == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b'[{"id": 1, "nu')
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
        elif kind == "errors":  # of GraphQL, within an answer that looks well
            self.answer(200, json.dumps({"errors": fault["errors"]}).encode(), **fault.get("headers", {}))
        elif kind == "short":
            self.answer(200, b'[{"id":1,"number":1},')
        elif kind == "redirect":
            self.answer(301, b"{}", Location=fault["to"])
        elif kind == "link":
            self.answer(200, b"[]", Link=f'<{fault["to"]}>; rel="next"')
        elif kind == "kill":
            os.kill(fault["pid"], 9)
            self.close_connection = True
        return True

    def page(self, parts, query, found):
        if isinstance(found, dict):
            return self.answer(200, json.dumps(found, indent=1).encode())
        size = int((query.get("limit") or query.get("per_page") or ["30"])[0])
        size = min(size, 50 if "/api/v1/" in parts.path else 100)
        page = int(query.get("page", ["1"])[0])
        part, last = found[(page - 1) * size:page * size], max(1, -(-len(found) // size))
        for ending, few in STATE["short"].items():
            part = part[:-few] if parts.path.endswith(ending) else part
        headers, gitea = {}, parts.path.removeprefix("/api/v1/") if "/api/v1/" in parts.path else None
        if gitea and re.search(r"/issues/\d+/comments$|/assets$|/branch_protections$|/reviews/\d+/comments$", gitea):
            part, last = found, 1  # these have no pages
        # Gitea names the next page of some lists, and of the others none.
        names = not gitea or re.search(r"(^|/)(issues/search|issues|pulls|releases|repos)$", gitea)
        if page < last and names and "links" not in STATE["raw"]:
            more = urlencode({**{k: v[0] for k, v in query.items()}, "page": page + 1})
            headers["Link"] = f'<{self.base()}{parts.path}?{more}>; rel="next", <{self.base()}/x?page={last}>; rel="last"'
        if gitea:
            headers["X_Total_Count"] = str(len(found))
            if gitea.endswith("/timeline"):
                part = [one for one in part if one]
                headers["X_Total_Count"] = str(len(part))
        if "/api/v4/" in parts.path:
            headers |= {"X_Total": str(len(found)), "X_Page": str(page), "X_Per_Page": str(size), "X_Total_Pages": str(last),
                        "X_Next_Page": str(page + 1) if page < last else ""}
        body = json.dumps(part).encode()
        for ending in [ending for ending in STATE["broken_pages"] if parts.path.endswith(ending)]:
            STATE["broken_pages"].remove(ending)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:-20])
            self.wfile.flush()
            self.close_connection = True
            return self.connection.close()
        if "/api/v1/" not in parts.path:
            etag = '"' + hashlib.sha1(body).hexdigest() + '"'
            headers["ETag"] = etag
            if self.headers.get("If-None-Match") == etag:
                return self.answer(304, **headers)
        self.answer(200, body, **headers)

    def git(self, parts, body):
        """Git's own server, for who logs in."""
        given = self.headers.get("Authorization", "")
        word = base64.b64decode(given.removeprefix("Basic ")).decode() if given.startswith("Basic ") else ""
        right = entitled(word.partition(":")[2])
        if parts.path.endswith("/info/refs"):
            time.sleep(STATE["git_slow"])  # what takes long for the client of git
        if not right:
            return self.answer(401, b"", WWW_Authenticate='Basic realm="x"')
        dir = STATE["git"]
        if not dir or not re.fullmatch(r"/[\w.-]+/[\w.-]+\.git/(info/refs|git-upload-pack|git-receive-pack)", parts.path) or not os.path.isdir(
                dir + re.sub(r"/(info/refs|git-upload-pack|git-receive-pack)$", "", parts.path)):
            return self.answer(404)
        env = {**os.environ, "GIT_PROJECT_ROOT": dir, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": parts.path,
               "QUERY_STRING": parts.query, "REQUEST_METHOD": self.command, "GIT_CONFIG_COUNT": "2",
               "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*", "GIT_CONFIG_KEY_1": "http.receivepack", "GIT_CONFIG_VALUE_1": "true",
               "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
               "GIT_PROTOCOL": self.headers.get("Git-Protocol", "")}
        if self.headers.get("Content-Encoding") == "gzip":
            env["HTTP_CONTENT_ENCODING"] = "gzip"
        done = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        headers, status = {}, 200
        for line in head.decode().splitlines():
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers[name.replace("-", "_")] = value
        self.answer(status, rest, **headers)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that was killed is no error here."""


def populate(args, base):
    for i in range(args.repos):
        STATE["repos"].append(Repo(f"app-{i:02}" if args.repos > 1 else "app"))
    repos = STATE["repos"]
    for i in range(args.issues + args.pulls):
        repo = repos[i % len(repos)]
        repo.issue(f"Number {i}", "words " * 20, pull=i >= args.issues, at=stamp(OLD + i))
    every = [(repo, n) for repo in repos for n in repo.issues]
    for i in range(args.comments):
        repo, n = every[i % len(every)]
        repo.comment(n, f"comment {i} " + "more words " * 15, at=stamp(OLD + 200000 + i))
    for repo in repos:
        for n in repo.pulls:
            repo.review(n, at=stamp(OLD + 300000))
    for i in range(args.releases):
        repos[i % len(repos)].release(f"v{i}", base, f"asset {i} ".encode() * 100)


def main():
    parser = argparse.ArgumentParser()
    for name in ("repos", "issues", "pulls", "comments", "releases"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--git")
    parser.add_argument("--zone", type=int, default=0)
    parser.add_argument("--owner", default="acme")
    args = parser.parse_args()
    STATE["git"], STATE["owner"], STATE["zone"] = args.git, args.owner, args.zone
    STATE["groups"][args.owner] = new_id()
    server = Server(("127.0.0.1", 0), Handler)
    populate(args, f"http://127.0.0.1:{server.server_address[1]}")
    print(server.server_address[1], flush=True)
    server.serve_forever()


main()
