//! Roles that may do more than before.

use std::collections::BTreeSet;

use super::{Facts, Found, History, Level, Verdict, rules, together};

/// What lets a role do anything, read anything, or give itself the right to.
const GREAT: &[&str] = &[
    "superuser",
    "createrole",
    "replication",
    "bypassrls",
    "member of pg_execute_server_program",
    "member of pg_read_server_files",
    "member of pg_write_server_files",
];

pub(super) fn judge(history: &History, now: &Facts) -> Vec<Verdict> {
    let before = history.iter().rev().find_map(|facts| facts.roles.as_ref());
    let (Some(before), Some(roles)) = (before, &now.roles) else { return Vec::new() };
    let none = BTreeSet::new();
    // Whoever is a member of a role that may do anything may as well.
    let great = |right: &str| {
        GREAT.contains(&right)
            || right
                .strip_prefix("member of ")
                .and_then(|role| roles.get(role))
                .is_some_and(|rights| rights.iter().any(|right| GREAT.contains(&right.as_str())))
    };
    let mut found = Vec::new();
    for (role, rights) in roles {
        let had = before.get(role);
        let gained: Vec<&str> = rights.difference(had.unwrap_or(&none)).map(String::as_str).collect();
        if gained.is_empty() && had.is_some() {
            continue;
        }
        let level = if gained.iter().any(|right| great(right)) { Level::Alarm } else { Level::Notice };
        let gained = if gained.is_empty() { "nothing beyond others".to_owned() } else { gained.join(", ") };
        let words = match had {
            Some(_) => format!("role {role} got: {gained}"),
            None => format!("role {role} is new and has: {gained}"),
        };
        found.push(Found { level, subject: role.clone(), words });
    }
    together(&rules::ROLES_GREW, found)
}
