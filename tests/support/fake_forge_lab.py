"""GitLab's projects in the forge of ours, with what only GitLab has: numbers of issues and of merge requests apart, threads, uploads, packages.

A project that was made by its API, or by `/_/lab`, is one of these; others are shown to GitLab's API as far as they go (`fake_forge.gitlab`).
Written from GitLab's documentation of its API: what it refuses is refused here.
"""

import hashlib, json, re
from urllib.parse import parse_qs, unquote


class Lab:
    def __init__(self):
        self.issues, self.merges, self.last_merge = {}, {}, 0
        self.notes, self.threads = {}, {}  # of issues, of merge requests
        self.labels, self.milestones, self.releases = [], [], []
        self.uploads, self.packages = {}, {}
        self.commands = []  # lines that it carried out

    def held(self):
        return {"issues": list(self.issues.values()), "merges": list(self.merges.values()), "notes": self.notes, "threads": self.threads,
                "labels": self.labels, "milestones": self.milestones, "releases": self.releases, "commands": self.commands,
                "uploads": {f"/uploads/{k}": v.decode("latin1") for k, v in self.uploads.items()},
                "packages": {"/".join(k): v.decode("latin1") for k, v in self.packages.items()}}


def user(name):
    return {"id": 7, "username": name, "name": name.title(), "state": "active"}


def seed(forge, repo, given, base):
    """A project with some of everything, as people and GitLab itself make it."""
    repo.lab = lab = Lab()
    at = "2026-01-02T03:04:05.678Z"
    lab.labels = [{"id": forge.new_id(), "name": n, "color": "#ff0000", "description": f"what {n} is", "priority": p} for n, p in
                  (("bug", 1), ("wish", None))]
    lab.milestones = [{"id": forge.new_id(), "iid": 1, "title": "v1", "description": "first", "state": "closed", "due_date": "2026-03-01",
                       "start_date": "2026-01-01"}]
    secret = hashlib.md5(b"upload").hexdigest()
    lab.uploads[f"{secret}/log.txt"] = b"an upload"
    link = f"![log](/uploads/{secret}/log.txt)"
    note = lambda n, kind, body, **more: {"id": forge.new_id(), "type": None, "body": body, "author": user("ben"), "created_at": at, "updated_at": at,
                                          "system": False, "noteable_type": kind, "noteable_iid": n, "noteable_id": n, "resolvable": False,
                                          "internal": False, "confidential": False, **more}
    for n in (1, 2, 5):
        lab.issues[n] = {"id": forge.new_id(), "iid": n, "title": f"Issue {n}", "description": f"words, see #5 and !2 {link}\n/close\n", "state": "opened",
                         "author": user("mia"), "assignees": [user("ben")], "labels": ["bug"], "milestone": lab.milestones[0], "created_at": at,
                         "updated_at": at, "confidential": n == 2, "issue_type": "issue", "due_date": "2026-04-01" if n == 1 else None}
        lab.notes[n] = [note(n, "Issue", f"said of {n}"), note(n, "Issue", "changed the description", system=True),
                        note(n, "Issue", f"between us {link}", internal=n == 1)]
    lab.issues[1].update(state="closed", closed_at="2026-02-01T00:00:00.000Z")
    merge = lambda n, state, head, **more: {"id": forge.new_id(), "iid": n, "title": f"Merge {n}", "description": f"please {link}", "state": state,
                                            "author": user("mia"), "assignees": [], "reviewers": [user("ada")], "labels": ["wish"], "milestone": None,
                                            "source_branch": head, "target_branch": "main", "source_project_id": repo.id, "target_project_id": repo.id,
                                            "sha": "abc123", "created_at": at, "updated_at": at, **more}
    lab.merges = {1: merge(1, "merged", "gone", merged_at="2026-02-02T00:00:00.000Z", merge_commit_sha="def456", merged_by=user("ada")),
                  2: merge(2, "opened", "topic"), 4: merge(4, "closed", "topic"), 5: merge(5, "opened", "lost")}
    lab.last_merge = 5
    for n in lab.merges:
        where = {"position_type": "text", "new_path": "src/main.rs", "old_path": "src/main.rs", "new_line": 7, "old_line": None, "head_sha": "abc123"}
        thread = lambda alone, *notes: {"id": hashlib.sha1(str(forge.new_id()).encode()).hexdigest(), "individual_note": alone, "notes": list(notes)}
        of = "MergeRequest"
        lab.threads[n] = [
            thread(True, note(n, of, f"said of merge {n}")),
            thread(False, note(n, of, f"look here {link}", type="DiffNote", position=where, resolvable=True, resolved=n == 1),
                   note(n, of, "I see", type="DiffNote", resolvable=True, resolved=n == 1)),
            thread(True, note(n, of, "approved this merge request", system=True, author=user("ada"))),
            thread(True, note(n, of, "approved this merge request", system=True, author=user("eve"))),
            thread(True, note(n, of, "unapproved this merge request", system=True, author=user("eve")))]
    package = ("tool", "1.0", "tool.tgz")
    lab.packages[package] = b"a package"
    url = f"{base}/api/v4/projects/{repo.id}/packages/generic/tool/1.0/tool.tgz"
    links = [{"id": forge.new_id(), "name": "tool", "url": url, "direct_asset_url": f"{base}/{repo.full}/-/releases/v1/downloads/bin/tool.tgz",
              "link_type": "package"},
             {"id": forge.new_id(), "name": "docs", "url": "https://docs.example/v1", "direct_asset_url": "https://docs.example/v1", "link_type": "other"}]
    lab.releases = [{"tag_name": "v1", "name": "One", "description": f"notes {link}", "author": user("mia"), "created_at": at, "released_at": at,
                     "assets": {"count": 2, "sources": [], "links": links}}]
    repo.branches |= {"main", "topic"}
    repo.tags.add("v1")
    return secret


def project(repo, forge):
    return {**forge.repo_json(repo, "gitlab"), "path": repo.name, "default_branch": repo.flags.get("default_branch") or ("main" if "main" in repo.branches else None),
            "permissions": {"project_access": None, "group_access": {"access_level": forge.STATE["access"]}},
            "visibility": repo.flags.get("visibility", "private")}


def by_path(forge, path):
    """A project, by its number or its name in one part of a path."""
    name = unquote(path)
    return next((r for r in forge.STATE["repos"] if str(r.id) == name), None) or forge.find(name)


def read(forge, repo, rest, query):
    """What stands at a path of a project; None where there is nothing."""
    lab = repo.lab
    if rest == "":
        return project(repo, forge)
    if rest == "issues":
        wanted = query.get("iids[]")
        own = [{**one, "user_notes_count": sum(not n["system"] for n in lab.notes.get(n, []))} for n, one in sorted(lab.issues.items())]
        return forge.listed([one for one in own if not wanted or str(one["iid"]) in wanted], query, since="updated_after")
    if rest == "merge_requests":
        return forge.listed([lab.merges[n] for n in sorted(lab.merges)], query, since="updated_after")
    if m := re.fullmatch(r"merge_requests/(\d+)", rest):
        return lab.merges.get(int(m[1]))
    if m := re.fullmatch(r"issues/(\d+)", rest):
        return lab.issues.get(int(m[1]))
    if m := re.fullmatch(r"issues/(\d+)/notes", rest):
        return lab.notes.get(int(m[1]), []) if int(m[1]) in lab.issues else None
    if m := re.fullmatch(r"merge_requests/(\d+)/discussions", rest):
        return lab.threads.get(int(m[1]), []) if int(m[1]) in lab.merges else None
    if m := re.fullmatch(r"repository/(branches|tags)(?:/([^/]+))?", rest):
        all = repo.branches if m[1] == "branches" else repo.tags
        if m[2] is None:
            return [{"name": name} for name in sorted(all)]
        return {"name": unquote(m[2])} if unquote(m[2]) in all else None
    if rest == "packages":
        name = query.get("package_name", [None])[0]
        known = sorted({k[:2] for k in lab.packages})
        return [{"id": i + 1, "name": n, "version": v, "package_type": "generic"} for i, (n, v) in enumerate(known) if name in (None, n)]
    if m := re.fullmatch(r"packages/(\d+)/package_files", rest):
        wanted = sorted({k[:2] for k in lab.packages})[int(m[1]) - 1]
        return [{"id": 1, "package_id": int(m[1]), "file_name": k[2]} for k in sorted(lab.packages) if k[:2] == wanted]
    if m := re.fullmatch(r"releases/([^/]+)/assets/links", rest):
        return next((r["assets"]["links"] for r in lab.releases if r["tag_name"] == unquote(m[1])), None)
    return {"labels": lab.labels, "milestones": lab.milestones, "releases": lab.releases, "hooks": [], "protected_branches": repo.protections,
            "protected_tags": [], "deploy_keys": [], "members/all": [user("mia")]}.get(rest)


def as_lab(repo, one):
    """An issue or a pull request as GitLab tells of it."""
    state = "merged" if one.get("merged_at") else {"open": "opened"}.get(one["state"], one["state"])
    return {**{k: v for k, v in one.items() if k not in ("number", "body", "user", "head", "base")}, "iid": one["number"], "state": state,
            "description": one["body"], "author": one["user"], "project_id": repo.id, "labels": [label["name"] for label in one["labels"]]}


def release(repo, one, base):
    """A release as GitLab tells of it, with its files as a package."""
    url = lambda asset: f"{base}/api/v4/projects/{repo.id}/packages/generic/files/{one['tag_name']}/{asset['name']}"
    links = [{"id": asset["id"], "name": asset["name"], "url": url(asset), "direct_asset_url": url(asset), "link_type": "package"} for asset in one["assets"]]
    return {"tag_name": one["tag_name"], "name": one["name"], "description": one["body"], "author": user("mia"), "created_at": one["created_at"],
            "released_at": one["published_at"], "assets": {"count": len(links), "sources": [], "links": links}}


def data(repo, rest, assets):
    """Bytes: an upload or a file of a package."""
    if repo.lab is None:
        named = re.fullmatch(r"packages/generic/files/([^/]+)/([^/]+)", rest)
        every = [asset for one in repo.releases if named and one["tag_name"] == unquote(named[1]) for asset in one["assets"]]
        return next((assets.get(asset["id"]) for asset in every if asset["name"] == unquote(named[2])), None)
    if m := re.fullmatch(r"uploads/([0-9a-f]{32})/([^/]+)", rest):
        return repo.lab.uploads.get(f"{m[1]}/{unquote(m[2])}")
    if m := re.fullmatch(r"packages/generic/([^/]+)/([^/]+)/([^/]+)", rest):
        return repo.lab.packages.get(tuple(map(unquote, m.groups())))
    return None


def change(forge, handler, parts, body):
    """Carries a request out: its status and answer."""
    path, method = parts.path.removeprefix("/api/v4/"), handler.command
    kind = handler.headers.get("Content-Type", "")
    given = json.loads(body or b"{}") if kind == "application/json" or not body else None
    state = forge.STATE
    if path == "groups" and method == "POST":
        above = next((name for name, id in state["groups"].items() if id == given.get("parent_id")), None)
        if above is None or not given.get("path") or given.get("visibility") != "private":
            return 400, {"message": "no group"}
        whole = f"{above}/{given['path']}"
        state["groups"][whole] = forge.new_id()
        return 201, {"id": state["groups"][whole], "full_path": whole}
    if path == "projects" and method == "POST":
        owner = next((name for name, id in state["groups"].items() if id == given.get("namespace_id")), None)
        if "namespace_id" not in given:
            owner = state["token_user"]
        if owner is None or not re.match(r"\w", given["name"]) or forge.find(f"{owner}/{given['path']}"):
            return 400, {"message": {"path": ["has already been taken"]}}
        repo = forge.Repo(given["path"], owner, empty=True)
        repo.lab, repo.flags = Lab(), {"description": given.get("description", ""), "visibility": given.get("visibility")}
        state["repos"].append(repo)
        forge.bare(repo.full)
        return 201, project(repo, forge)
    if (match := re.fullmatch(r"projects/([^/]+)", path)) and method == "PUT" and by_path(forge, match[1]):
        repo = by_path(forge, match[1])
        if given.get("default_branch", "") not in repo.branches | {""}:
            return 400, {"message": {"base": ["Could not change HEAD"]}}
        repo.flags.update(given)
        return 200, project(repo, forge)
    match = re.fullmatch(r"projects/([^/]+)/(.*)", path)
    repo = match and by_path(forge, match[1])
    if not repo:
        return 404, {"message": "404 Project Not Found"}
    repo.lab = repo.lab or Lab()
    if given is not None:  # what is asked for may stand in the URL as well
        given = {**{name: {"true": True, "false": False}.get(v[0], v[0]) for name, v in parse_qs(parts.query).items()}, **given}
    return of_project(forge, repo, (method, match[2]), (given, body, kind))


def label_names(lab, forge, text):
    """As GitLab does: labels that nobody made are made."""
    names = [name for name in text.split(",") if name]
    for name in names:
        if all(label["name"] != name for label in lab.labels):
            lab.labels.append({"id": forge.new_id(), "name": name, "color": "#6699cc", "description": None, "priority": None})
    return names


def commands(lab, text):
    """What GitLab takes for commands, it carries out."""
    for line in re.findall(r"(?m)^/([a-z_]+)(?:\s|$)", text or ""):
        lab.commands.append(line)


def of_project(forge, repo, what, sent):
    (method, rest), (given, body, kind), lab = what, sent, repo.lab
    owner, me = forge.STATE["access"] >= 50, user(forge.STATE["token_user"])
    at = lambda: (given.get("created_at") if owner else None) or forge.now()
    if rest == "labels" and method == "POST":
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", given.get("color", "")) or not given.get("name") or "," in given["name"]:
            return 400, {"message": {"title": ["is invalid"]}}
        if any(label["name"] == given["name"] for label in lab.labels):
            return 409, {"message": "Label already exists"}
        lab.labels.append({"id": forge.new_id(), "priority": None, **given})
        return 201, lab.labels[-1]
    if rest == "milestones" and method == "POST":
        if any(one["title"] == given["title"] for one in lab.milestones):
            return 400, {"message": {"title": ["already being used"]}}
        lab.milestones.append({"id": forge.new_id(), "iid": len(lab.milestones) + 1, "state": "active", **given})
        return 201, lab.milestones[-1]
    if (m := re.fullmatch(r"milestones/(\d+)", rest)) and method == "PUT":
        one = next(one for one in lab.milestones if one["id"] == int(m[1]))
        one["state"] = {"close": "closed", "activate": "active"}[given["state_event"]]
        return 200, one
    if rest == "issues" and method == "POST":
        n = given.get("iid") if owner and given.get("iid") else max(lab.issues, default=0) + 1
        if n in lab.issues:
            return 409, {"message": "Duplicated issue"}
        if not given.get("title") or len(given["title"]) > min(255, forge.STATE["longest"]):
            return 400, {"message": {"title": ["is too long"]}}
        commands(lab, given.get("description"))
        lab.issues[n] = {**text_of(forge, lab, given), "iid": n, "created_at": at(), "author": me, "state": "opened",
                         "confidential": given.get("confidential", False), "issue_type": given.get("issue_type", "issue"),
                         "due_date": given.get("due_date")}
        lab.notes[n] = []
        return 201, {**lab.issues[n], "user_notes_count": 0}
    if rest == "merge_requests" and method == "POST":
        return merge(forge, repo, given, me)
    if m := re.fullmatch(r"(issues|merge_requests)/(\d+)", rest):
        held, n = lab.issues if m[1] == "issues" else lab.merges, int(m[2])
        if n not in held:
            return 404, {"message": "404 Not found"}
        if method == "DELETE":
            if not owner:
                return 403, {"message": "403 Forbidden"}
            del held[n]
            return 204, None
        if len(given.get("title", "")) > min(255, forge.STATE["longest"]):
            return 400, {"message": {"title": ["is too long"]}}
        fields = {name: given[name] for name in ("title", "description") if name in given}
        if "labels" in given:
            fields["labels"] = label_names(lab, forge, given["labels"])
        if "state_event" in given:
            fields["state"] = {"close": "closed", "reopen": "opened"}[given["state_event"]]
        held[n].update(fields, updated_at=forge.now())
        return 200, held[n]
    if (m := re.fullmatch(r"issues/(\d+)/notes", rest)) and method == "POST":
        return said(forge, lab, lab.notes.get(int(m[1])), given, at(), me)
    if (m := re.fullmatch(r"merge_requests/(\d+)/(notes|discussions)", rest)) and method == "POST":
        if int(m[1]) not in lab.merges:
            return 404, {"message": "404 Not found"}
        thread = {"id": hashlib.sha1(str(forge.new_id()).encode()).hexdigest(), "individual_note": m[2] == "notes", "notes": []}
        status, note = said(forge, lab, thread["notes"], given, at(), me)
        if status == 201:
            lab.threads.setdefault(int(m[1]), []).append(thread)
            note["resolvable"] = m[2] == "discussions"
        return status, note if m[2] == "notes" else thread
    if m := re.fullmatch(r"merge_requests/(\d+)/discussions/(\w+)(/notes)?", rest):
        thread = next((one for one in lab.threads.get(int(m[1]), []) if one["id"] == m[2]), None)
        if thread is None:
            return 404, {"message": "404 Discussion Not Found"}
        if m[3]:
            return said(forge, lab, thread["notes"], given, at(), me)
        for note in thread["notes"]:
            note["resolved"] = given["resolved"]
        return 200, thread
    return of_files(forge, repo, what, sent)


def text_of(forge, lab, given):
    milestone = next((one for one in lab.milestones if one["id"] == given.get("milestone_id")), None)
    return {"id": forge.new_id(), "title": given["title"], "description": given.get("description"), "milestone": milestone,
            "labels": label_names(lab, forge, given.get("labels", "")), "updated_at": forge.now()}


def merge(forge, repo, given, me):
    lab, pair = repo.lab, (given["source_branch"], given["target_branch"])
    if not set(pair) <= repo.branches or pair[0] == pair[1]:
        return 400, {"message": ["branches"]}
    if any((one["source_branch"], one["target_branch"], one["state"]) == (*pair, "opened") for one in lab.merges.values()):
        return 409, {"message": ["Another open merge request already exists for this source branch"]}
    if len(given["title"]) > forge.STATE["longest"]:
        return 400, {"message": {"title": ["is too long"]}}
    commands(lab, given.get("description"))
    lab.last_merge += 1
    n = lab.last_merge
    lab.merges[n] = {**text_of(forge, lab, given), "iid": n, "state": "opened", "author": me, "created_at": forge.now(),
                     "source_branch": pair[0], "target_branch": pair[1]}
    return 201, lab.merges[n]


def said(forge, lab, notes, given, at, me):
    if notes is None:
        return 404, {"message": "404 Not found"}
    if not given.get("body"):
        return 400, {"error": "body is empty"}
    commands(lab, given["body"])
    notes.append({"id": forge.new_id(), "body": given["body"], "author": me, "created_at": at, "updated_at": at, "system": False,
                  "internal": given.get("internal", False), "resolvable": False, "resolved": False})
    return 201, notes[-1]


def of_files(forge, repo, what, sent):
    (method, rest), (given, body, kind), lab = what, sent, repo.lab
    if rest == "repository/branches" and method == "POST":
        if given["branch"] in repo.branches or given["ref"] not in repo.branches:
            return 400, {"message": "Invalid reference name"}
        repo.branches.add(given["branch"])
        return 201, {"name": given["branch"]}
    if (m := re.fullmatch(r"repository/branches/([^/]+)", rest)) and method == "DELETE":
        repo.branches.discard(unquote(m[1]))
        return 204, None
    if rest == "uploads" and method == "POST":
        line = b"--" + kind.partition("boundary=")[2].encode()
        head, _, data = body.partition(b"\r\n\r\n")
        name = re.search(rb'name="file"; filename="([^"]+)"', head)
        if not name or not body.endswith(b"\r\n" + line + b"--\r\n"):
            return 400, {"error": "file is invalid"}
        secret = hashlib.md5(str(forge.new_id()).encode()).hexdigest()
        lab.uploads[f"{secret}/{name[1].decode()}"] = data[:-len(b"\r\n" + line + b"--\r\n")]
        url = f"/uploads/{secret}/{name[1].decode()}"
        return 201, {"id": forge.new_id(), "alt": name[1].decode(), "url": url, "full_path": f"/-/project/{repo.id}{url}", "markdown": f"[]({url})"}
    if (m := re.fullmatch(r"packages/generic/([^/]+)/([^/]+)/([^/]+)", rest)) and method == "PUT":
        key = tuple(map(unquote, m.groups()))
        if key in lab.packages:
            return 400, {"message": "sent twice"}  # GitLab would have two
        lab.packages[key] = body
        return 201, {"message": "201 Created"}
    if rest == "releases" and method == "POST":
        if given["tag_name"] not in repo.tags:
            return 422, {"message": "Ref is not specified"}
        if any(one["tag_name"] == given["tag_name"] for one in lab.releases):
            return 409, {"message": "Release already exists"}
        lab.releases.append({"created_at": forge.now(), **given, "assets": {"count": 0, "sources": [], "links": []}})
        return 201, lab.releases[-1]
    if (m := re.fullmatch(r"releases/([^/]+)/assets/links", rest)) and method == "POST":
        release = next((one for one in lab.releases if one["tag_name"] == unquote(m[1])), None)
        if release is None or any(one["name"] == given["name"] for one in release["assets"]["links"]):
            return 400, {"message": {"name": ["has already been taken"]}}
        release["assets"]["links"].append({"id": forge.new_id(), **given})
        return 201, release["assets"]["links"][-1]
    return 404, {"message": f"{method} {rest} is not there"}
