//! The result as a document, and the log.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Serializer, Value, ser::Formatter};

use super::{Ended, value};
use crate::{
    cli::failure::Failure,
    model::{
        Finding, visible,
        visible::{is_hidden, is_marker},
    },
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
    document.serialize(&mut Serializer::with_formatter(&mut *out, Escaped))?;
    writeln!(out)
}

/// Compact JSON in which nothing hides, turns the direction of writing or is a command to a CI runner. Whoever parses it
/// gets each text as it is.
struct Escaped;

impl Formatter for Escaped {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut from = 0;
        for (at, c) in fragment.char_indices() {
            if !is_hidden(c) && !fragment.get(at..).is_some_and(is_marker) {
                continue;
            }
            out.write_all(fragment.get(from..at).unwrap_or_default().as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            from = at + c.len_utf8();
        }
        out.write_all(fragment.get(from..).unwrap_or_default().as_bytes())
    }
}

/// Takes each line of the log whole and writes it as one line, whatever it holds.
pub struct Visible<W>(pub W);

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        writeln!(self.0, "{}", visible(text.strip_suffix('\n').unwrap_or(&text)))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        cli::render::{Lines, Output, finding_line},
        model::Severity,
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
            let mut log = Visible(Vec::new());
            log.write_all(format!("{text}\n").as_bytes()).unwrap();
            prop_assert_eq!(String::from_utf8(log.0).unwrap().matches('\n').count(), 1);

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
