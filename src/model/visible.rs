//! Text out of data, made fit to be shown: names of files, messages of other programs and words of a writer that may
//! have been taken over stand beside our own in terminals, logs of CI jobs and reports.

use std::fmt::Write as _;

/// The text in one line: what would steer a terminal, turn the direction of writing, hide, or begin a line of its own
/// is shown as an escape, and no part of it is a command to a CI runner.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape(text, &mut out);
    out
}

/// The same for text whose line breaks are meant: they stay.
#[must_use]
pub fn visible_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (no, line) in text.split('\n').enumerate() {
        if no > 0 {
            out.push('\n');
        }
        escape(line, &mut out);
    }
    out
}

fn escape(line: &str, out: &mut String) {
    // GitHub's runner takes lines for commands that begin so.
    let mut at_start = true;
    for (at, c) in line.char_indices() {
        let rest = line.get(at..).unwrap_or_default();
        let command = (at_start && rest.starts_with("::")) || is_marker(rest);
        at_start &= c.is_whitespace();
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if command || is_hidden(c) => {
                // Writing to memory does not fail.
                let _ = write!(out, "\\u{{{:02x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// Whether `text` begins a command of Azure Pipelines, `TeamCity` or GitHub's older syntax, `##[…]` or `##word[…]`, which
/// count anywhere in a line.
#[must_use]
pub fn is_marker(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("##") else { return false };
    rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '-').starts_with('[')
}

/// Whether a character steers or turns what is shown, or can't be seen.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    // C0, DEL and C1, and then what Unicode has for formatting (Cf), for separating lines and paragraphs, and for blanks
    // that take no room or look like nothing at all.
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}'
            | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A runner's way to find a command in a line.
    fn commands(line: &str) -> bool {
        let word = |at: usize| line[at + 2..].trim_start_matches(|c: char| c.is_ascii_alphanumeric()).starts_with('[');
        line.trim_start().starts_with("::") || line.match_indices("##").any(|(at, _)| word(at))
    }

    #[test]
    fn what_hides_is_shown_and_the_rest_stays() {
        assert_eq!(visible("a\x1b[2Jb\r\nc\td\u{7f}\u{9b}"), "a\\u{1b}[2Jb\\r\\nc\\td\\u{7f}\\u{9b}");
        assert_eq!(
            visible("a\u{202e}b\u{2066}c\u{feff}d\u{200f}\u{61c}"),
            "a\\u{202e}b\\u{2066}c\\u{feff}d\\u{200f}\\u{61c}"
        );
        for same in ["größe 你好 🦀 a::b #1 ## x [y] C:\\d", "", "a\u{301}"] {
            assert_eq!(visible(same), same);
        }
        assert_eq!(visible_lines("a\n  ::error::b\n"), "a\n  \\u{3a}:error::b\n");
        assert_eq!(visible("x ##vso[task] ##[group]"), "x \\u{23}#vso[task] \\u{23}#[group]");
        assert_eq!(visible("###[x]"), "#\\u{23}#[x]");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn nothing_hidden_comes_through(
            parts in prop::collection::vec(prop_oneof![
                any::<String>(), any::<char>().prop_map(String::from),
                prop::sample::select(vec!["::", "##", "[", "#", "vso", "\n", "\r", "\u{2028}", "\u{202e}", " ", "\u{85}"]).prop_map(str::to_owned),
            ], 0..12),
        ) {
            let text = parts.concat();
            let one = visible(&text);
            prop_assert!(!one.chars().any(is_hidden), "{one:?}");
            prop_assert!(!commands(&one), "{one:?}");
            let lines = visible_lines(&text);
            prop_assert_eq!(lines.matches('\n').count(), text.matches('\n').count());
            for line in lines.split('\n') {
                prop_assert!(!line.chars().any(is_hidden) && !commands(line), "{line:?}");
            }
        }
    }
}
