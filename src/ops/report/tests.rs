use super::*;

/// A page whose texts come from somebody who wants to break out of each form.
fn hostile() -> Page {
    let evil = "x</script><img src=x onerror=alert(1)>|`]]>\"'&\u{1b}[2J\nnext";
    Page {
        title: "Verification".to_owned(),
        vault: VaultId::from_bytes([1; 32]),
        url: format!("s3://{evil}"),
        at: Time::from_unix(1_800_000_000),
        worst: Some(Severity::Error),
        headline: evil.to_owned(),
        facts: vec![(evil.to_owned(), evil.to_owned())],
        suites: vec![Suite {
            name: evil.to_owned(),
            seconds: Some(1.5),
            facts: vec![(evil.to_owned(), evil.to_owned())],
            parts: vec![(evil.to_owned(), 1.5)],
            not_checked: vec![evil.to_owned()],
            cases: vec![
                Case {
                    name: evil.to_owned(),
                    status: Status::Fail,
                    expected: Some(evil.to_owned()),
                    actual: Some("2".to_owned()),
                    detail: Some(evil.to_owned()),
                },
                Case { name: "b".to_owned(), status: Status::Error, expected: None, actual: None, detail: None },
            ],
        }],
        findings: vec![Finding::new(Severity::Error, "pack.missing", evil).on(evil).of(evil)],
        not_checked: vec![evil.to_owned()],
        sources: Vec::new(),
        snapshots: Vec::new(),
        drills: vec![DrillLine {
            at: Time::from_unix(1_800_000_000),
            source: evil.to_owned(),
            passed: false,
            rto_s: Some(61.0),
            rpo_s: None,
            member: Some(evil.to_owned()),
            suspect: true,
        }],
    }
}

#[test]
fn nothing_breaks_out_of_a_form() {
    let page = hostile();
    let html = page.write(Form::Html);
    assert!(!html.contains("<img") && !html.contains("<script") && !html.contains('\u{1b}'));
    let xml = page.write(Form::Junit);
    assert!(!xml.contains("<img") && !xml.contains("]]>") && !xml.contains('\u{1b}'));
    let markdown = page.write(Form::Markdown);
    assert!(!markdown.contains("<img") && !markdown.contains('\u{1b}'));
    // In a table, whatever is said stays in its cell.
    for row in markdown.lines().filter(|line| line.starts_with("| ")) {
        let bars = row.replace("\\|", "").matches('|').count();
        assert!(matches!(bars, 3 | 5 | 6), "{row}");
    }
    let json: Value = serde_json::from_str(&page.write(Form::Json)).unwrap();
    assert_eq!(json["findings"][0]["code"], "pack.missing");
}

#[test]
fn a_page_needs_nothing_from_outside() {
    let html = hostile().write(Form::Html);
    for outside in ["src=\"", "href=", "url(", "@import", "<link", "<iframe"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn junit_counts_what_failed_and_what_could_not_run() {
    let xml = hostile().write(Form::Junit);
    assert!(xml.contains("tests=\"2\" failures=\"1\" errors=\"1\""), "{xml}");
    assert!(xml.contains("<failure ") && xml.contains("<error "));
}

#[test]
fn spans_are_told_in_two_units_at_most() {
    let told: Vec<String> =
        [0.0, 0.0404, 1.04, 9.94, 41.0, 200.0, 18_600.0, 300_000.0].into_iter().map(lasting).collect();
    assert_eq!(told, ["0 ms", "40 ms", "1.0 s", "9.9 s", "41 s", "3 min 20 s", "5 h 10 min", "3 d 11 h"]);
}
