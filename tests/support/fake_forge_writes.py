"""What changes the state of the forge of ours: the part of the APIs of Gitea v1 and GitHub that makes things."""

import json, re
from urllib.parse import parse_qs, unquote


def change(forge, handler, parts, body):
    """Carries a request out: its status and answer."""
    path = re.sub(r"^/api/(v1|v3|uploads)/", "", parts.path)
    github = "/api/v1/" not in parts.path
    base, method = handler.base(), handler.command
    if handler.headers.get("Content-Type", "").startswith(("multipart/", "application/octet-stream")):
        given = None
    else:
        given = json.loads(body or b"{}")
    owner = forge.STATE["owner"]
    if path in (f"orgs/{owner}/repos", "user/repos") and method == "POST":
        if forge.find(f"{owner}/{given['name']}"):
            return 409, {"message": "The repository with the same name already exists."}
        repo = forge.Repo(given["name"], owner, empty=True)
        repo.flags = {"description": given.get("description", ""), "private": given["private"],
                      "default_branch": given.get("default_branch", "main")}
        forge.STATE["repos"].append(repo)
        forge.bare(repo.full)
        return 201, forge.repo_json(repo, "gitea")
    if (match := re.fullmatch(r"repos/([^/]+/[^/]+)", path)) and method == "PATCH" and forge.find(match[1]):
        repo = forge.find(match[1])
        if given.get("default_branch", "") not in repo.branches | {""}:
            return 422, {"message": "no such branch"}
        repo.flags.update(given)
        return 200, forge.repo_json(repo, "gitea")
    match = re.fullmatch(r"repos/([^/]+/[^/]+)/(.*)", path)
    repo = match and forge.find(match[1])
    if not repo:
        return 404, {"message": "Not Found"}
    return of_repository(forge, (repo, base, github), (method, match[2], parse_qs(parts.query)), (given, body, handler))


def of_repository(forge, where, what, sent):
    (repo, base, github), (method, rest, query), (given, body, handler) = where, what, sent
    if rest == "labels" and method == "POST":
        if not re.fullmatch(r"#?[0-9a-fA-F]{6}", given.get("color", "")) or not given.get("name"):
            return 422, {"message": "no label"}
        label = {"id": forge.new_id(), "name": given["name"], "color": given["color"].lstrip("#"),
                 "description": given.get("description", "")}
        repo.labels.append(label)
        return 201, label
    if rest == "milestones" and method == "POST":
        one = {"id": forge.new_id(), "number": len(repo.milestones) + 1, **given}
        repo.milestones.append(one)
        return 201, one
    if rest in ("issues", "pulls") and method == "POST":
        return made(forge, repo, given, github, rest == "pulls")
    if m := re.fullmatch(r"issues/(\d+)", rest):
        n = int(m[1])
        if n not in repo.issues:
            return 404, {"message": "no such issue"}
        if method == "DELETE":
            if github:
                return 404, {"message": "Not Found"}
            del repo.issues[n]
            repo.pulls.pop(n, None)
            return 204, None
        if method == "PATCH":
            fields = {k: v for k, v in given.items() if k in ("state", "title", "body")}
            if len(given.get("title", "")) > forge.STATE["longest"]:
                return 422, {"message": "title is too long"}
            if not github:
                given.pop("labels", None)
            if "labels" in given:
                fields["labels"] = [l for l in repo.labels if l["name"] in given["labels"]]
            if "milestone" in given:
                fields["milestone"] = next(m for m in repo.milestones if m["number" if github else "id"] == given["milestone"])
            for held in (repo.issues, repo.pulls):
                if n in held:
                    held[n].update(fields, updated_at=forge.now())
            return 201, repo.issues[n]
    if (m := re.fullmatch(r"issues/(\d+)/labels", rest)) and method == "PUT":
        repo.issues[int(m[1])]["labels"] = [l for l in repo.labels if l["id"] in given["labels"]]
        return 200, repo.issues[int(m[1])]["labels"]
    if (m := re.fullmatch(r"issues/(\d+)/comments", rest)) and method == "POST":
        if int(m[1]) not in repo.issues:
            return 404, {"message": "no such issue"}
        if not given.get("body"):
            return 422, {"message": "a comment says something"}
        id = repo.comment(int(m[1]), given["body"], user=forge.user(forge.STATE["token_user"]))
        return 201, forge.with_urls(repo, repo.comments[id], base)
    if rest == "releases" and method == "POST":
        if any(r["tag_name"] == given["tag_name"] for r in repo.releases):
            return 409, {"message": "Release is has no Tag"}
        repo.tags.add(given["tag_name"])  # as forges do, where it is not there
        one = {"id": forge.new_id(), "author": forge.user(forge.STATE["token_user"]), "created_at": forge.now(),
               "published_at": forge.now(), "assets": [], **given}
        repo.releases.append(one)
        return 201, one
    if (m := re.fullmatch(r"(releases|issues|issues/comments)/(\d+)/assets", rest)) and method == "POST":
        id = int(m[2])
        carrier = {"releases": next((r for r in repo.releases if r["id"] == id), None), "issues": repo.issues.get(id),
                   "issues/comments": repo.comments.get(id)}[m[1]]
        if carrier is None:
            return 404, {"message": "nothing carries it"}
        data = body if github else part(handler.headers["Content-Type"], body)
        asset = {"id": forge.new_id(), "name": query["name"][0], "size": len(data), "created_at": forge.now()}
        forge.STATE["private_assets"][asset["id"]] = data
        carrier["assets"].append(asset)
        return 201, asset
    return 404, {"message": f"{method} {rest} is not there"}


def made(forge, repo, given, github, pull):
    """A new issue or pull request."""
    if pull and not {given["head"], given["base"]} <= repo.branches:
        return 422, {"message": "no such branch"}
    if len(given["title"]) > forge.STATE["longest"]:
        return 422, {"message": "title is too long"}
    wanted = given.get("labels", [])
    key = "name" if github else "id"
    labels = [label for label in repo.labels if label[key] in wanted]
    if len(labels) != len(wanted):
        return 422, {"message": "no such label"}
    milestone = given.get("milestone")
    one = next((m for m in repo.milestones if m["number" if github else "id"] == milestone), None)
    if milestone and not one:
        return 422, {"message": "no such milestone"}
    if github and pull:
        labels, one = [], None  # its API takes them by another call
    n = repo.issue(given["title"], given.get("body", ""), pull, user=forge.user(forge.STATE["token_user"]), labels=labels,
                   milestone=one)
    if pull:
        repo.pulls[n].update(head={"ref": given["head"]}, base={"ref": given["base"]})
    return 201, repo.issues[n]


def part(kind, body):
    """The one part of a form."""
    line = b"--" + kind.partition("boundary=")[2].encode()
    head, _, rest = body.partition(b"\r\n\r\n")
    assert head.startswith(line) and b'name="attachment"' in head and body.endswith(b"\r\n" + line + b"--\r\n"), head
    return rest[:-len(b"\r\n" + line + b"--\r\n")]
