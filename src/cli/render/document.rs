//! The result as a document.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::{Ended, value};
use crate::{
    cli::{failure::Failure, json_line},
    model::Finding,
};

#[derive(Serialize)]
struct Told<'a> {
    command: Option<&'static str>,
    ok: bool,
    result: Value,
    findings: &'a [Finding],
    error: Option<&'a Failure>,
}

/// Writes it as one line of JSON.
pub(super) fn write(out: &mut impl Write, ended: &Ended) -> io::Result<()> {
    let document = Told {
        command: ended.command,
        ok: ended.failure.is_none(),
        result: value(&ended.output),
        findings: &ended.findings,
        error: ended.failure.as_ref(),
    };
    json_line::write(out, &document)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        cli::render::{Lines, Output, finding_line},
        model::{
            Severity,
            visible::{is_hidden, is_marker},
        },
    };

    fn hostile() -> impl Strategy<Value = String> {
        let parts =
            vec!["::error::", "##[x]", "##vso[", "\n", "\r", "\x1b[2J", "\u{202e}", "\u{e0041}", " ", "\\", "\""];
        let part = prop_oneof![any::<String>(), prop::sample::select(parts).prop_map(str::to_owned)];
        prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn whatever_data_says_it_begins_no_line_and_documents_keep_it(text in hostile()) {
            let finding = Finding::new(Severity::Warning, "x.y", text.clone()).on(&text);
            let mut lines = Lines::default();
            lines.add(format!("of {text}"));
            for one in [finding_line(&finding) + "\n", lines.0] {
                prop_assert_eq!(one.matches('\n').count(), 1);
                prop_assert!(!one.trim_end_matches('\n').chars().any(is_hidden), "{one:?}");
            }
            let ended = Ended { command: None, output: Output::Text(text.clone()), findings: vec![finding], failure: None };
            let mut out = Vec::new();
            write(&mut out, &ended).unwrap();
            let out = String::from_utf8(out).unwrap();
            prop_assert!(!out.trim_end_matches('\n').chars().any(is_hidden), "{out:?}");
            prop_assert!(!out.char_indices().any(|(at, _)| is_marker(&out[at..])), "{out:?}");
            let document: Value = serde_json::from_str(&out).unwrap();
            prop_assert_eq!(document["result"].as_str(), Some(&*text));
            prop_assert_eq!(document["findings"][0]["message"].as_str(), Some(&*text));
        }
    }
}
