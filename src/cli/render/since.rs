//! What became of a repository's refs since its last snapshot, for people. `--json` has all of it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Lines;

/// So many refs are shown one by one, those first that lost something.
const SHOWN: usize = 10;

/// Adds a line with counts, and one for each of the first refs.
pub(super) fn add(since: Option<&Value>, text: &mut Lines) {
    let Some(since) = since else { return };
    let changes = since["changes"].as_array().map_or(&[][..], Vec::as_slice);
    if changes.is_empty() {
        return;
    }
    let what = |change: &Value| change["what"].as_str().unwrap_or("changed").to_owned();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for change in changes {
        *counts.entry(what(change)).or_default() += 1;
    }
    let counts: Vec<String> = counts.into_iter().map(|(what, n)| format!("{n} {what}")).collect();
    let before: String = since["snapshot"].as_str().unwrap_or_default().chars().take(12).collect();
    text.add(format!("  refs since snapshot {before}: {}", counts.join(", ")));
    let mut sorted: Vec<&Value> = changes.iter().collect();
    sorted.sort_by_key(|change| !matches!(change["what"].as_str(), Some("deleted" | "rewritten" | "moved")));
    for change in sorted.iter().take(SHOWN) {
        let short = |oid: &Value| oid.as_str().map_or_else(|| "none".to_owned(), |oid| oid.chars().take(12).collect());
        let name = change["ref"].as_str().unwrap_or_default();
        text.add(format!("    {} {name}: {} -> {}", what(change), short(&change["from"]), short(&change["to"])));
    }
    if let Some(more) = changes.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.add(format!("    and {more} more; --json has them"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lost_something_is_shown_first_and_the_rest_is_counted() {
        let mut changes: Vec<Value> = (0..20)
            .map(|n| serde_json::json!({"ref": format!("refs/heads/b{n}"), "what": "added", "to": "ab".repeat(20)}))
            .collect();
        changes.push(serde_json::json!({"ref": "refs/heads/main", "what": "rewritten", "from": "cd".repeat(20), "to": "ab".repeat(20)}));
        changes.push(serde_json::json!({"ref": "refs/heads/x\n::error::", "what": "deleted", "from": "cd".repeat(20)}));
        let mut lines = Lines::default();
        add(Some(&serde_json::json!({"snapshot": "ef".repeat(32), "changes": changes})), &mut lines);
        let text = lines.0;
        assert!(text.contains("refs since snapshot efefefefefef: 20 added, 1 deleted, 1 rewritten"), "{text}");
        assert!(text.contains("rewritten refs/heads/main: cdcdcdcdcdcd -> abababababab"), "{text}");
        assert!(text.contains("cdcdcdcdcdcd -> none") && text.contains("and 12 more"), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("::")), "{text}");
        let mut nothing = Lines::default();
        add(Some(&serde_json::json!({"snapshot": "ef", "changes": []})), &mut nothing);
        assert_eq!(nothing.0, "");
    }
}
