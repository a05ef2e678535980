//! GitLab, v4. Notes are its comments; those that the system made are its events.

use super::{Kind, Sight, Since};

const ISSUES: &str = "issues_access_level";
const MERGES: &str = "merge_requests_access_level";

pub(super) const KINDS: &[Kind] = &[
    Kind::list("issues", "projects/{repo}/issues?scope=all&order_by=created_at&sort=asc")
        .since(Since::Parameter("updated_after"))
        .seen_by(Sight::Owner)
        .switched(ISSUES)
        .with_files(),
    Kind::list("issue_notes", "projects/{repo}/issues/{n}/notes?sort=asc&order_by=created_at")
        .of("issues")
        .switched(ISSUES)
        .with_files(),
    Kind::list("merge_requests", "projects/{repo}/merge_requests?scope=all&order_by=created_at&sort=asc")
        .since(Since::Parameter("updated_after"))
        .seen_by(Sight::Owner)
        .switched(MERGES)
        .with_files(),
    // Threads of notes, with where they stand in the difference.
    Kind::list("discussions", "projects/{repo}/merge_requests/{n}/discussions")
        .of("merge_requests")
        .switched(MERGES)
        .with_files(),
    Kind::list("labels", "projects/{repo}/labels"),
    Kind::list("milestones", "projects/{repo}/milestones"),
    Kind::list("releases", "projects/{repo}/releases").switched("releases_access_level").with_files(),
    Kind::list("protected_branches", "projects/{repo}/protected_branches"),
    Kind::list("protected_tags", "projects/{repo}/protected_tags"),
    Kind::list("hooks", "projects/{repo}/hooks"),
    Kind::list("keys", "projects/{repo}/deploy_keys"),
    Kind::list("members", "projects/{repo}/members/all"),
];

/// What changed in all projects of a group.
pub(super) const OF_GROUP: &[(&str, &str, &str)] = &[
    (
        "issues",
        "groups/{owner}/issues?scope=all&non_archived=false&order_by=updated_at&sort=desc&updated_after={since}",
        "/project_id",
    ),
    (
        "merge_requests",
        "groups/{owner}/merge_requests?scope=all&non_archived=false&order_by=updated_at&sort=desc&updated_after={since}",
        "/project_id",
    ),
];

pub(super) const OWNER: &[Kind] = &[
    Kind::list("owner", "groups/{repo}").single(),
    Kind::list("group_labels", "groups/{repo}/labels"),
    Kind::list("group_milestones", "groups/{repo}/milestones"),
    Kind::list("group_members", "groups/{repo}/members"),
];
