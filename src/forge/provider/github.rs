//! GitHub, REST 2022-11-28.

use super::{
    Kind, Sight, Since,
    queries::{DISCUSSION_COMMENTS, DISCUSSIONS, PROJECT_ITEMS, PROJECTS},
};

const ISSUES: &str = "has_issues";
const DISCUSS: &str = "has_discussions";

pub(super) const KINDS: &[Kind] = &[
    // Pull requests among them.
    Kind::list("issues", "repos/{repo}/issues?state=all&sort=created&direction=asc")
        .since(Since::Parameter("since"))
        .seen_by(Sight::Issues)
        .switched(ISSUES),
    Kind::list("comments", "repos/{repo}/issues/comments?sort=created&direction=asc")
        .since(Since::Parameter("since"))
        .seen_by(Sight::Comments),
    Kind::list("pulls", "repos/{repo}/pulls?state=all&sort=updated&direction=desc")
        .since(Since::NewestFirst)
        .seen_by(Sight::Pulls),
    Kind::list("reviews", "repos/{repo}/pulls/{n}/reviews").of("pulls"),
    Kind::list("review_comments", "repos/{repo}/pulls/comments?sort=created&direction=asc")
        .since(Since::Parameter("since"))
        .seen_by(Sight::OnLines),
    Kind::list("events", "repos/{repo}/issues/events").since(Since::LastMadeFirst).seen_by(Sight::Events),
    Kind::asked("discussions", &DISCUSSIONS).since(Since::NewestFirst).switched(DISCUSS),
    Kind::asked("discussion_comments", &DISCUSSION_COMMENTS).of("discussions").switched(DISCUSS),
    Kind::list("labels", "repos/{repo}/labels"),
    Kind::list("milestones", "repos/{repo}/milestones?state=all").switched(ISSUES),
    Kind::list("releases", "repos/{repo}/releases").with_files(),
    Kind::list("protected_branches", "repos/{repo}/branches?protected=true"),
    Kind::list("rulesets", "repos/{repo}/rulesets"),
    Kind::list("hooks", "repos/{repo}/hooks"),
    Kind::list("keys", "repos/{repo}/keys"),
    Kind::list("collaborators", "repos/{repo}/collaborators"),
];

pub(super) const OWNER: &[Kind] = &[
    Kind::list("owner", "users/{repo}").single(),
    Kind::list("org_hooks", "orgs/{repo}/hooks"),
    Kind::list("org_teams", "orgs/{repo}/teams"),
    Kind::list("org_members", "orgs/{repo}/members"),
    Kind::asked("projects", &PROJECTS).since(Since::NewestFirst),
    Kind::asked("project_items", &PROJECT_ITEMS).of("projects").unseen(),
];
