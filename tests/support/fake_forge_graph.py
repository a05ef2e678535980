"""GitHub's GraphQL of the forge of ours: as much of the language as is asked for, over the same state."""

import re

import fake_forge_github as shown

WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\.\.\.|[_A-Za-z]\w*|-?\d+|[{}()\[\]:$!=@]')


class Wrong(Exception):
    """What a server would refuse before it looks."""


def parse(text):
    """The selection of the operation and the fragments of a document."""
    words = WORD.findall(text)
    at = 0

    def take(wanted=None):
        nonlocal at
        word = words[at] if at < len(words) else ""
        if wanted and word != wanted:
            raise Wrong(f"{wanted} is missing before {' '.join(words[at:at + 5])}")
        at += 1
        return word

    def value():
        word = take()
        if word == "$":
            return ("variable", take())
        if word == "{":
            fields = {}
            while words[at] != "}":
                name = take()
                take(":")
                fields[name] = value()
            take()
            return ("object", fields)
        if word == "[":
            items = []
            while words[at] != "]":
                items.append(value())
            take()
            return ("list", items)
        if word.startswith('"'):
            return ("value", word[1:-1])
        if re.fullmatch(r"-?\d+", word):
            return ("value", int(word))
        return ("value", {"true": True, "false": False, "null": None}.get(word, word))

    def selection():
        take("{")
        out = []
        while words[at] != "}":
            if words[at] == "...":
                take()
                if words[at] == "on":
                    take()
                    out.append(("on", take(), selection()))
                else:
                    out.append(("fragment", take()))
                continue
            name = take()
            alias = name
            if words[at] == ":":
                take()
                name = take()
            args = {}
            if words[at] == "(":
                take()
                while words[at] != ")":
                    key = take()
                    take(":")
                    args[key] = value()
                take()
            out.append(("field", alias, name, args, selection() if words[at] == "{" else None))
        take()
        return out

    operation, fragments = None, {}
    while at < len(words):
        if words[at] == "fragment":
            take()
            name = take()
            take("on")
            kind = take()
            fragments[name] = (kind, selection())
        else:
            while words[at] != "{":
                take()
            operation = selection()
    return operation, fragments


class Run:
    def __init__(self, fragments, variables):
        self.fragments, self.variables, self.errors, self.nodes = fragments, variables, [], 0

    def given(self, value):
        kind, inner = value
        if kind == "variable":
            return self.variables[inner]
        if kind == "object":
            return {name: self.given(one) for name, one in inner.items()}
        return [self.given(one) for one in inner] if kind == "list" else inner

    def of(self, obj, selection, path):
        out = {}
        for one in selection:
            if one[0] in ("on", "fragment"):
                kind, inner = (one[1], one[2]) if one[0] == "on" else self.fragments[one[1]]
                if kind in (obj["__typename"], *obj.get("__is", ())):
                    for name, value in self.of(obj, inner, path).items():
                        if isinstance(value, dict) and isinstance(out.get(name), dict):
                            out[name].update(value)
                        else:
                            out[name] = value
                continue
            _, alias, name, args, inner = one
            if name not in obj:
                raise Wrong(f"Field '{name}' doesn't exist on type '{obj['__typename']}'")
            value, here = obj[name], path + [alias]
            if callable(value):
                try:
                    value = value(**{key: self.given(arg) for key, arg in args.items()})
                except PermissionError as e:
                    self.errors.append({"type": "INSUFFICIENT_SCOPES" if "scope" in str(e) else "FORBIDDEN", "path": here, "message": str(e)})
                    value = None
                except KeyError as e:
                    self.errors.append({"type": "NOT_FOUND", "path": here, "message": f"Could not resolve {e}"})
                    value = None
            elif args:
                raise Wrong(f"Field '{name}' takes no arguments")
            out[alias] = self.into(value, inner, here)
        return out

    def into(self, value, inner, path):
        if isinstance(value, list):
            return [self.into(one, inner, path + [at]) for at, one in enumerate(value)]
        if isinstance(value, dict):
            if inner is None:
                raise Wrong(f"Field must have selections: {path}")
            self.nodes += 1
            return self.of(value, inner, path)
        if inner is not None and value is not None:
            raise Wrong(f"Selections can't be made on scalars: {path}")
        return value


def connection(kind, make):
    """A list of `kind` in pages, made when it is asked for."""
    def ask(first=None, last=None, after=None, orderBy=None, **more):
        if (first is None) == (last is None) or not 1 <= (first or last) <= 100:
            raise Wrong("You must provide a `first` or `last` value of 1 to 100 to properly paginate")
        every = make(orderBy=orderBy, **more)
        start = int(after) if after else 0
        part = every[start:start + first] if first else every[-last:]
        end = start + len(part)
        return {"__typename": f"{kind}Connection", "totalCount": len(every), "nodes": part,
                "edges": [{"__typename": f"{kind}Edge", "permission": "ADMIN", "node": one} for one in part],
                "pageInfo": {"__typename": "PageInfo", "hasNextPage": bool(first) and end < len(every), "endCursor": str(end)}}
    return ask


def newest(entries, orderBy, key="updated_at"):
    assert orderBy is None or orderBy == {"field": "UPDATED_AT", "direction": "DESC"}, orderBy
    return sorted(entries, key=lambda one: one[key], reverse=True) if orderBy else list(entries)


class Graph:
    def __init__(self, forge, base):
        self.forge, self.base, self.made = forge, base, {}

    def author(self, user):
        """A person, who is null if gone."""
        if user is None:
            return None
        one, is_bot = shown.user(user), user.get("type") == "Bot"
        login = one["login"].removesuffix("[bot]") if is_bot else one["login"]
        return {"__typename": one["type"], "__is": ("Actor", "Assignee", "RequestedReviewer"), "login": login, "avatarUrl": one["avatar_url"],
                "url": one["html_url"], "databaseId": user["id"], "id": one["node_id"]}

    def words(self, kind, one, **more):
        return {"__typename": kind, "id": f"{kind}_{one['id']}", "fullDatabaseId": str(one["id"]), "databaseId": one["id"], "url": f"{self.base}/x",
                "body": one["body"], "authorAssociation": "MEMBER", "author": self.author(one["user"]),
                "createdAt": one.get("created_at") or one.get("submitted_at"), "updatedAt": one["updated_at"], **more}

    def item(self, repo, n):
        pull = n in repo.pulls
        kind, one = ("PullRequest", repo.pulls[n]) if pull else ("Issue", repo.issues[n])
        comments = lambda orderBy: [self.words("IssueComment", c) for c in newest([c for c in repo.comments.values() if c["n"] == n], orderBy)]

        def timeline(orderBy, since="", itemTypes=None):
            kinds = [("IssueComment", c["updated_at"]) for c in repo.comments.values() if c["n"] == n]
            kinds += [("PullRequestReview", r["submitted_at"]) for r in repo.reviews.get(n, [])]
            kinds += [("CrossReferencedEvent", one["created_at"]) for one in repo.hidden if one["n"] == n]
            items = [{"__typename": kind, "__is": ("Node",), "id": f"T{n}"} for kind, at in kinds if at >= since]
            return items + [shown.item(self, e) for e in repo.events if e["n"] == n and e["created_at"] >= since]
        out = {"__typename": kind, "id": f"{kind}:{repo.id}:{n}", "number": n, "updatedAt": one["updated_at"], "title": one["title"],
               "comments": connection("IssueComment", comments), "timelineItems": connection(f"{kind}TimelineItems", timeline)}
        if pull:
            merged = one.get("merged_at")
            out.update(mergedAt=merged, mergeCommit={"__typename": "Commit", "oid": one["merge_commit_sha"]} if merged else None,
                       headRefName=one["head"]["ref"], headRefOid=one["head"].get("sha", "0"), baseRefName=one["base"]["ref"],
                       baseRefOid=one["base"].get("sha", "0"), autoMergeRequest=None,
                       reviewRequests=connection("ReviewRequest", lambda orderBy: [{"__typename": "ReviewRequest", "requestedReviewer": self.author(p)}
                                                                                  for p in one["requested_reviewers"]]))
            out["reviews"] = connection("PullRequestReview", lambda orderBy: [self.review(repo, r) for r in repo.reviews[n]])
        return out

    def review(self, repo, one):
        line = lambda c: self.words("PullRequestReviewComment", c, path=c["path"], diffHunk=c["diff_hunk"], position=c["position"], subjectType="LINE",
                                    originalPosition=1, line=3, originalLine=3, startLine=None, originalStartLine=None,
                                    replyTo={"__typename": "PullRequestReviewComment", "fullDatabaseId": str(c["to"])} if c.get("to") else None,
                                    commit={"__typename": "Commit", "oid": "c0"}, originalCommit={"__typename": "Commit", "oid": "c0"})
        return self.words("PullRequestReview", one, state=one["state"], submittedAt=one["submitted_at"], commit={"__typename": "Commit", "oid": "c0"},
                          comments=connection("PullRequestReviewComment", lambda orderBy: [line(c) for c in repo.review_comments[one["id"]]]))

    def may(self, what):
        if what in self.forge.STATE["deny"]:
            raise PermissionError(f"Your token has not been granted the required scopes: {what}")

    def repository(self, owner, name):
        repo = self.forge.find(f"{owner}/{name}")
        if not repo:
            raise KeyError(f"{owner}/{name}")
        issues = lambda orderBy, filterBy={}: [self.item(repo, one["number"]) for one in newest(repo.issues.values(), orderBy)
                                               if one["number"] not in repo.pulls and one["updated_at"] >= filterBy.get("since", "")]
        pulls = lambda orderBy: [self.item(repo, one["number"]) for one in newest(repo.pulls.values(), orderBy)]
        plain = lambda kind, entries: connection(kind, lambda orderBy: [
            {"__typename": kind, "id": f"{kind}_{e.get('id', 1)}", "databaseId": e.get("id"), "description": None, "updatedAt": "2026-01-01T00:00:00Z",
             "isDefault": False, "dueOn": None, "number": 1, **e} for e in entries])
        asset = lambda a: {"__typename": "ReleaseAsset", "id": str(a["id"]), "name": a["name"], "size": a["size"], "updatedAt": a["created_at"]}
        release = lambda r: {"__typename": "Release", "id": str(r["id"]), "tagName": r["tag_name"], "name": r["name"], "isDraft": False,
                             "isPrerelease": False, "publishedAt": r["published_at"], "updatedAt": r["created_at"],
                             "releaseAssets": connection("ReleaseAsset", lambda orderBy: [asset(a) for a in r["assets"]])}
        flags = ("allowsDeletions allowsForcePushes blocksCreations dismissesStaleReviews isAdminEnforced lockBranch requiredApprovingReviewCount "
                 "requiredStatusCheckContexts requiresApprovingReviews requiresCodeOwnerReviews requiresCommitSignatures "
                 "requiresConversationResolution requiresLinearHistory requiresStatusChecks requiresStrictStatusChecks restrictsPushes").split()
        by = lambda name: self.author(self.forge.user(name))

        def comment(c, replies):
            out = {"__typename": "DiscussionComment", "id": f"DC:{c['id']}", "databaseId": c["id"], "url": f"{self.base}/d", "body": c["body"],
                   "createdAt": c["at"], "updatedAt": c["at"], "lastEditedAt": None, "deletedAt": None, "authorAssociation": "NONE",
                   "isAnswer": c.get("answer", False), "isMinimized": False, "minimizedReason": None, "upvoteCount": 1, "author": by(c["by"]),
                   "replyTo": {"__typename": "DiscussionComment", "id": f"DC:{c['to']}"} if c["to"] else None}
            mine = [r for r in replies if r["to"] == c["id"]]
            return {**out, "replies": connection("DiscussionComment", lambda orderBy: [comment(r, []) for r in mine])}

        def discussion(d):
            every = d["comments"]
            return {"__typename": "Discussion", "id": f"D:{repo.id}:{d['number']}", "databaseId": d["id"], "number": d["number"], "title": d["title"],
                    "url": f"{self.base}/d", "body": d["body"], "createdAt": d["created_at"], "updatedAt": d["updated_at"], "lastEditedAt": None,
                    "closed": False, "closedAt": None, "stateReason": None, "locked": False, "activeLockReason": None, "isAnswered": False,
                    "answerChosenAt": None, "upvoteCount": 2, "authorAssociation": "MEMBER", "author": by("mia"), "answerChosenBy": None,
                    "answer": None, "category": {"__typename": "DiscussionCategory", "id": "C1", "name": d["category"], "slug": "x", "emoji": ":x:",
                                                 "isAnswerable": True},
                    "labels": connection("Label", lambda orderBy: []), "poll": None,
                    "comments": connection("DiscussionComment", lambda orderBy: [comment(c, every) for c in every if not c["to"]])}

        def discussions(first=None, after=None, orderBy=None):
            self.may("discussions")
            assert orderBy in ({"field": "CREATED_AT", "direction": "ASC"}, {"field": "UPDATED_AT", "direction": "DESC"}), orderBy
            every = sorted(repo.discussions, key=lambda d: d["updated_at" if orderBy["field"] == "UPDATED_AT" else "number"],
                           reverse=orderBy["field"] == "UPDATED_AT")
            return connection("Discussion", lambda orderBy: [discussion(d) for d in every])(first=first, after=after)
        self.made[repo.id] = (discussion, comment)
        rule = lambda p: {"__typename": "BranchProtectionRule", "id": "R", "pattern": p["name"], **{flag: False for flag in flags},
                          "matchingRefs": connection("Ref", lambda orderBy: [{"__typename": "Ref", "name": p["name"]}])}
        return {"__typename": "Repository", "id": f"R:{repo.id}", "databaseId": repo.id, "discussions": discussions, "issues": connection("Issue", issues),
                "pullRequests": connection("PullRequest", pulls), "labels": plain("Label", repo.labels),
                "milestones": plain("Milestone", repo.milestones), "rulesets": plain("RepositoryRuleset", []),
                "releases": connection("Release", lambda orderBy: [release(r) for r in repo.releases]),
                "deployKeys": plain("DeployKey", []), "collaborators": plain("User", [self.forge.user("mia")]),
                "branchProtectionRules": connection("BranchProtectionRule", lambda orderBy: [rule(p) for p in repo.protections])}

    def owner(self, login):
        if login != self.forge.STATE["owner"]:
            raise KeyError(login)

        def projects(first=None, after=None, orderBy=None):
            self.may("read:project")
            every = self.forge.STATE["projects"]
            every = sorted(every, key=lambda p: p["updated_at"], reverse=True) if orderBy["field"] == "UPDATED_AT" else every
            return connection("ProjectV2", lambda orderBy: [self.project(p) for p in every])(first=first, after=after)
        kind = "User" if self.forge.STATE["user"] else "Organization"
        return {"__typename": kind, "__is": ("ProjectV2Owner",), "projectsV2": projects}

    def project(self, p):
        by = self.author(self.forge.user("mia"))
        status = {"__typename": "ProjectV2SingleSelectField", "__is": ("ProjectV2FieldCommon",), "id": "F1", "name": "Status", "dataType": "SINGLE_SELECT",
                  "options": [{"__typename": "O", "id": "o1", "name": "Todo", "color": "GRAY", "description": ""}]}

        def item(i):
            draft = {"__typename": "DraftIssue", "id": f"DI:{i['id']}", "title": i["title"], "body": i["body"], "createdAt": i["at"],
                     "updatedAt": i["at"], "creator": by}
            value = {"__typename": "ProjectV2ItemFieldSingleSelectValue", "name": i["status"], "optionId": "o1",
                     "field": {**status, "__is": ("ProjectV2FieldCommon", "ProjectV2FieldConfiguration")}}
            return {"__typename": "ProjectV2Item", "id": f"PI:{i['id']}", "fullDatabaseId": str(i["id"]), "type": "DRAFT_ISSUE", "isArchived": False,
                    "createdAt": i["at"], "updatedAt": i["at"], "creator": by, "content": draft,
                    "fieldValues": connection("V", lambda orderBy: [value])}
        none = connection("X", lambda orderBy: [])
        return {"__typename": "ProjectV2", "id": f"P:{p['id']}:0", "fullDatabaseId": str(p["id"]), "number": p["number"], "title": p["title"],
                "url": "u", "shortDescription": None, "readme": p["readme"], "public": False, "closed": False, "closedAt": None, "template": False,
                "createdAt": p["updated_at"], "updatedAt": p["updated_at"], "creator": by,
                "items": connection("ProjectV2Item", lambda orderBy: [item(i) for i in p["items"]]), "repositories": none,
                "fields": connection("F", lambda orderBy: [status]), "views": none, "workflows": none, "statusUpdates": none}

    def node(self, id):
        kind, first, *more = id.split(":")
        if kind == "P":
            return next(self.project(p) for p in self.forge.STATE["projects"] if p["id"] == int(first))
        for repo in self.forge.STATE["repos"]:
            self.repository(repo.owner, repo.name)
            discussion, comment = self.made[repo.id]
            for d in repo.discussions:
                if kind == "D" and (repo.id, d["number"]) == (int(first), int(more[0])):
                    return discussion(d)
                for c in d["comments"]:
                    if kind == "DC" and c["id"] == int(first):
                        return comment(c, d["comments"])
        raise KeyError(id)

    def nodes(self, ids):
        if len(ids) > 100:
            raise Wrong("more than 100 ids")
        out = []
        for id in ids:
            kind, repo, n = id.split(":")
            repo = next((r for r in self.forge.STATE["repos"] if r.id == int(repo)), None)
            out.append(self.item(repo, int(n)) if repo and int(n) in repo.issues else None)
        return out

    def answer(self, asked):
        try:
            operation, fragments = parse(asked["query"])
            run = Run(fragments, asked.get("variables") or {})
            root = {"__typename": "Query", "repository": self.repository, "nodes": self.nodes, "node": self.node,
                    "repositoryOwner": lambda login: self.owner(login)}
            data = run.of(root, operation, [])
            if run.nodes > 500_000:
                raise Wrong("This query requests more nodes than there may be")
        except Wrong as e:
            return {"errors": [{"message": str(e)}]}
        return {"data": data, **({"errors": run.errors} if run.errors else {})}
