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
console.log(`${repos.length} repositories read by gitea-js and @gitbeaker/rest`);
