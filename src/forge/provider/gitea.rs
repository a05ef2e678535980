//! Gitea and Forgejo, v1.

use super::{Kind, Sight, Since};

const ISSUES: &str = "has_issues";

pub(super) const KINDS: &[Kind] = &[
    // Pull requests among them, as on GitHub.
    Kind::list("issues", "repos/{repo}/issues?state=all")
        .since(Since::Parameter("since"))
        .seen_by(Sight::Owner)
        .with_files(),
    Kind::list("comments", "repos/{repo}/issues/comments").since(Since::Parameter("since")).with_files(),
    Kind::list("pulls", "repos/{repo}/pulls?state=all&sort=recentupdate")
        .since(Since::NewestFirst)
        .shown_in("issues")
        .switched("has_pull_requests"),
    Kind {
        nested: Some(("review_comments", "repos/{repo}/pulls/{n}/reviews/{id}/comments", "comments_count")),
        ..Kind::list("reviews", "repos/{repo}/pulls/{n}/reviews").of("pulls").switched("has_pull_requests")
    },
    // Comments on lines count for its pages, and it shows none of them.
    Kind::list("timeline", "repos/{repo}/issues/{n}/timeline").of("issues").hides("review_comments"),
    Kind::list("labels", "repos/{repo}/labels"),
    Kind::list("milestones", "repos/{repo}/milestones?state=all").switched(ISSUES),
    Kind::list("releases", "repos/{repo}/releases").switched("has_releases").with_files(),
    Kind::list("branch_protections", "repos/{repo}/branch_protections").unpaged(),
    Kind::list("hooks", "repos/{repo}/hooks"),
    Kind::list("keys", "repos/{repo}/keys"),
    Kind::list("collaborators", "repos/{repo}/collaborators"),
];

/// What changed in all repositories of an owner.
pub(super) const OF_OWNER: &[(&str, &str, &str)] =
    &[("issues", "repos/issues/search?state=all&owner={owner}&since={since}", "/repository/id")];

pub(super) const OWNER: &[Kind] = &[
    Kind::list("owner", "users/{repo}").single(),
    Kind::list("org_labels", "orgs/{repo}/labels"),
    Kind::list("org_hooks", "orgs/{repo}/hooks"),
    Kind::list("org_teams", "orgs/{repo}/teams"),
    Kind::list("org_members", "orgs/{repo}/members"),
];
