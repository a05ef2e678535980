//! Numbers: what keeps one, how far they are kept, and which pull request can be one again.

use serde_json::Value;

use super::words::text;

/// The mark of what keeps a number that the snapshot has nothing of.
pub(super) const GAP: &str = "gap/";
/// The mark of what keeps the number of something that the forge did not take.
pub(super) const REFUSED: &str = "refused/";
/// So many numbers of which the snapshot has nothing are kept. GitHub counts discussions among issues, so there may be many; a
/// number that is told falsely is larger than any that was given.
const GAPS: i64 = 50_000;
/// Why something beyond these is not made.
pub(super) const BEYOND: &str =
    "over 50000 numbers below it are not in the snapshot, and each would cost an issue: it is not made";
/// What is to be done about a pull request that is an issue though it need not be.
pub(super) const AS_ISSUE: &str = "it is an issue, as it was made before, when its branches were not there or the forge did not take \
                                   it: to have it as it was, delete the repository there, push the code, and restore again";

/// The last of these numbers, which are in order, up to which all are made.
pub(super) fn reach(numbers: impl Iterator<Item = i64>) -> i64 {
    let (mut last, mut gaps) = (0_i64, 0_i64);
    for number in numbers {
        gaps = gaps.saturating_add(number.saturating_sub(last).saturating_sub(1));
        if gaps > GAPS {
            break;
        }
        last = number;
    }
    last
}

/// Whether a pull request of Gitea or GitHub came from another repository, whose branch of that name is not the target's.
pub(super) fn forked(pull: &Value) -> bool {
    let side = |side: &str| pull.get(side).unwrap_or(&Value::Null).clone();
    let (head, base) = (side("head"), side("base"));
    let of = |side: &Value| {
        side.get("repo").filter(|repo| repo.is_object()).map(|repo| text(repo, "full_name").to_ascii_lowercase())
    };
    match (of(&head), of(&base)) {
        (Some(head), Some(base)) => return head != base,
        // A fork that is gone has no repository any more.
        (None, Some(_)) if head.get("repo").is_some() => return true,
        _ => {}
    }
    let id = |side: &Value| side.get("repo_id").and_then(Value::as_i64).filter(|id| *id > 0);
    if let (Some(head), Some(base)) = (id(&head), id(&base)) {
        return head != base;
    }
    // As GitHub says it, `owner:branch`.
    let owner = |side: &Value| text(side, "label").split_once(':').map(|(owner, _)| owner.to_ascii_lowercase());
    matches!((owner(&head), owner(&base)), (Some(head), Some(base)) if head != base)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_kept_as_far_as_the_missing_ones_are_few() {
        assert_eq!(reach([].into_iter()), 0);
        assert_eq!(reach([1, 2, 5].into_iter()), 5);
        assert_eq!(reach([1, 50_002].into_iter()), 50_002);
        assert_eq!(reach([1, 50_003, 50_004].into_iter()), 1);
        assert_eq!(reach([7, i64::MAX].into_iter()), 7);
        assert_eq!(reach([i64::MAX].into_iter()), 0);
    }

    #[test]
    fn a_fork_is_known_by_whatever_the_forge_tells() {
        let repo = |name: &str| json!({"repo": {"full_name": name}, "ref": "topic"});
        for (head, base, is) in [
            (repo("evil/app"), repo("acme/app"), true),
            (repo("Acme/app"), repo("acme/app"), false),
            (json!({"repo": null, "label": "ghost:topic"}), repo("acme/app"), true),
            (json!({"repo": null, "repo_id": 9}), json!({"repo_id": 2}), true),
            (json!({"repo_id": 2}), json!({"repo_id": 2}), false),
            (json!({"label": "evil:topic"}), json!({"label": "acme:main"}), true),
            (json!({"label": "topic"}), json!({"label": "main"}), false),
            (json!({"ref": "topic"}), json!({"ref": "main"}), false),
        ] {
            assert_eq!(forked(&json!({"head": head, "base": base})), is, "{head} {base}");
        }
    }
}
