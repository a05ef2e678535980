// The forge of ours, read and written by clients of others: gitea-js and @gitbeaker/rest. Run by scripts/check-forge-api.
import { giteaApi } from "gitea-js";
import { Gitlab } from "@gitbeaker/rest";
const [url, token] = process.argv.slice(2);
const fail = (what, a, b) => { if (JSON.stringify(a) !== JSON.stringify(b)) { console.log(`${what}: ${JSON.stringify(a)} is not ${JSON.stringify(b)}`); process.exitCode = 1; } };
const held = await (await fetch(`${url}/_/held`, { method: "POST", body: "{}" })).json();
const numbers = (all, field) => all.map((one) => one[field]).sort((a, b) => a - b);
const gitea = giteaApi(url, { token });
const repos = (await gitea.orgs.orgListRepos("acme")).data;
fail("gitea repositories", repos.map((one) => one.full_name), Object.keys(held));
for (const { name, full_name } of repos) {
  const all = async (call) => { const got = []; for (let page = 1; ; page++) { const { data } = await call(page); got.push(...data); if (data.length < 50) return got; } };
  const issues = await all((page) => gitea.repos.issueListIssues("acme", name, { state: "all", limit: 50, page }));
  fail(`gitea issues of ${name}`, numbers(issues, "number"), numbers(held[full_name].issues, "number"));
  const comments = await all((page) => gitea.repos.issueGetRepoComments("acme", name, { limit: 50, page }));
  fail(`gitea comments of ${name}`, numbers(comments, "id"), numbers(held[full_name].comments, "id"));
  const pulls = await all((page) => gitea.repos.repoListPullRequests("acme", name, { state: "all", limit: 50, page }));
  fail(`gitea pulls of ${name}`, numbers(pulls, "number"), numbers(held[full_name].pulls, "number"));
  const releases = (await gitea.repos.repoListReleases("acme", name)).data;
  fail(`gitea releases of ${name}`, releases.map((one) => one.tag_name), held[full_name].releases.map((one) => one.tag_name));
}
const lab = new Gitlab({ host: url, token });
for (const full of Object.keys(held)) {
  const pulls = new Set(held[full].pulls.map((one) => one.number));
  const issues = await lab.Issues.all({ projectId: full, scope: "all", perPage: 100 });
  fail(`gitlab issues of ${full}`, numbers(issues, "iid"), numbers(held[full].issues.filter((one) => !pulls.has(one.number)), "number"));
  const merges = await lab.MergeRequests.all({ projectId: full, scope: "all", perPage: 100 });
  fail(`gitlab merge requests of ${full}`, numbers(merges, "iid"), [...pulls].sort((a, b) => a - b));
  const notes = await lab.IssueNotes.all(full, issues[0].iid);
  fail(`gitlab notes of ${full}`, notes.length, held[full].comments.filter((one) => one.issue_url.endsWith(`/${issues[0].iid}`)).length);
}
const { data: made } = await gitea.repos.issueCreateIssue("acme", repos[0].name, { title: "by another client", body: "x" });
await gitea.repos.issueCreateComment("acme", repos[0].name, made.number, { body: "y" });
await gitea.repos.issueEditIssue("acme", repos[0].name, made.number, { state: "closed" });
const { data: again } = await gitea.repos.issueGetIssue("acme", repos[0].name, made.number);
fail("gitea's issue that was made", [again.title, again.state], ["by another client", "closed"]);
// GitLab's side as a restore writes it.
const tell = async (name, given) => await (await fetch(`${url}/_/${name}`, { method: "POST", body: JSON.stringify(given) })).json();
await tell("repo", { name: "lab", empty: true, lab: true });
await tell("refs", { repo: "acme/lab", branches: ["main", "topic"], tags: ["v1"] });
const id = "acme/lab", at = "2020-01-02T03:04:05Z";
await lab.ProjectLabels.create(id, "bug", "#ff0000", { description: "what" });
const { id: milestoneId } = await lab.ProjectMilestones.create(id, "v1", { dueDate: "2026-03-01" });
await lab.ProjectMilestones.edit(id, milestoneId, { stateEvent: "close" });
const upload = await lab.Projects.uploadForReference(id, { content: new Blob(["bytes"]), filename: "log.txt" });
const text = `see ${upload.url} <!-- strongroom: x -->`;
const issue = await lab.Issues.create(id, "by another client", { iid: 7, createdAt: at, description: text, labels: "bug", milestoneId, confidential: true });
await lab.IssueNotes.create(id, 7, "said", { createdAt: at, internal: true });
await lab.Issues.edit(id, 7, { stateEvent: "close" });
const issueNow = (await lab.Issues.all({ projectId: id, scope: "all" }))[0];
fail("gitlab's issue that was made", [issueNow.iid, issueNow.created_at, issueNow.state, issueNow.description, issueNow.labels, issueNow.milestone.state, issueNow.confidential],
  [7, at, "closed", text, ["bug"], "closed", true]);
const said = (await lab.IssueNotes.all(id, 7))[0];
fail("gitlab's note that was made", [said.body, said.created_at, said.internal], ["said", at, true]);
fail("gitlab's upload", await (await fetch(`${url}/api/v4/projects/acme%2Flab${upload.url}`, { headers: { "private-token": token } })).text(), "bytes");
const merge = await lab.MergeRequests.create(id, "topic", "main", "merge it", { labels: "bug" });
const thread = await lab.MergeRequestDiscussions.create(id, merge.iid, "look", { createdAt: at });
await lab.MergeRequestDiscussions.addNote(id, merge.iid, thread.id, "I see", { createdAt: at });
await lab.MergeRequestDiscussions.resolve(id, merge.iid, thread.id, true);
const threads = await lab.MergeRequestDiscussions.all(id, merge.iid);
fail("gitlab's thread that was made", threads[0].notes.map((one) => [one.body, one.created_at, one.resolved]), [["look", at, true], ["I see", at, true]]);
await lab.Branches.create(id, "strongroom/numbers", "main");
await lab.Branches.remove(id, "strongroom/numbers");
await lab.ProjectReleases.create(id, { tagName: "v1", name: "One", description: "notes", releasedAt: at });
await lab.ReleaseLinks.create(id, "v1", "file", `${url}/x`, { linkType: "package" });
const release = (await lab.ProjectReleases.all(id))[0];
fail("gitlab's release that was made", [release.tag_name, release.released_at, release.assets.links[0].name], ["v1", at, "file"]);
console.log(`${repos.length} repositories read by gitea-js and @gitbeaker/rest`);
