use super::*;

fn at(hours: i64) -> Time {
    Time::from_unix(1_800_000_000 + hours * 3600)
}

fn drill(passed: bool, failed: u64, not_run: u64, hours: i64) -> LastDrill {
    LastDrill {
        at: at(hours),
        snapshot: None,
        passed,
        failed,
        not_run,
        engine: None,
        rto_s: None,
        rpo_s: None,
        member: "ci".parse().unwrap(),
        evidence: String::new(),
    }
}

fn code(reason: Option<Reason>) -> Option<&'static str> {
    match reason?.code {
        std::borrow::Cow::Borrowed(code) => Some(code),
        std::borrow::Cow::Owned(_) => None,
    }
}

#[test]
fn a_drill_counts_if_it_passed_lately() {
    let day = Span::days(1);
    let judge = |drill: Option<LastDrill>| code(drilled(drill.as_ref(), day, at(0)));
    assert_eq!(judge(None), Some("drill-never"));
    assert_eq!(judge(Some(drill(true, 0, 0, -1))), None);
    assert_eq!(judge(Some(drill(true, 0, 0, -24))), None);
    assert_eq!(judge(Some(drill(true, 0, 0, -25))), Some("drill-old"));
    assert_eq!(judge(Some(drill(false, 1, 0, -1))), Some("drill-failed"));
    assert_eq!(judge(Some(drill(false, 1, 1, -1))), Some("drill-failed"));
    assert_eq!(judge(Some(drill(false, 0, 1, -1))), Some("drill-not-run"));
    assert_eq!(judge(Some(drill(true, 0, 0, 1))), Some("clock"), "of a time that is not yet");
}

#[test]
fn ages_and_clocks_are_held_against_the_stores_time() {
    assert_eq!(code(aged(at(-2), at(0), Span::seconds(7200))), None);
    assert_eq!(code(aged(at(-2), at(0), Span::seconds(7199))), Some("too-old"));
    assert_eq!(code(aged(at(1), at(0), Span::days(1))), Some("clock"));
    let second = |n: i64| Time::from_unix(at(0).unix() + n);
    assert_eq!(code(clock(second(300), at(0))), None);
    assert_eq!(code(clock(second(301), at(0))), Some("clock"));
    assert_eq!(code(clock(second(-301), at(0))), Some("clock"));
}

#[test]
fn a_lock_holds_or_it_is_told() {
    assert_eq!(code(locked(Some(at(1)), at(2), at(0))), None);
    assert_eq!(code(locked(Some(at(0)), at(2), at(0))), Some("lock"));
    assert_eq!(code(locked(Some(Time::from_unix(0)), at(2), at(0))), Some("lock"));
    assert_eq!(code(locked(None, at(2), at(0))), Some("lock"));
    assert_eq!(code(locked(Some(at(1)), at(0), at(0))), Some("expired"));
}

#[test]
fn what_could_not_be_read_is_no_yes() {
    let finding = |code: &str| Finding::new(Severity::Warning, code, "words");
    let codes = |all: &[Finding]| unread(all).into_iter().map(|reason| reason.code).collect::<Vec<_>>();
    assert_eq!(codes(&[finding("chain.gap")]), [""; 0]);
    assert_eq!(codes(&[finding("members.unread"), finding("vault.unpinned")]), ["unread", "unpinned"]);
    assert_eq!(codes(&[finding("evidence.unread")]), ["unread"]);
}
