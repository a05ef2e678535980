//! Words of commands that people are told to run.

use std::fmt::Write as _;

use crate::model::visible::is_hidden;

/// `text` as one word of a shell, whatever it holds. Bash, zsh and ksh know the form for what can't be seen.
#[must_use]
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ':' | '@' | '%' | ',');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if !text.chars().any(is_hidden) {
        return format!("'{}'", text.replace('\'', "'\\''"));
    }
    let mut out = String::from("$'");
    for c in text.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            c if is_hidden(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    // Writing to memory does not fail.
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
            c => out.push(c),
        }
    }
    out + "'"
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        assert_eq!(quoted("/srv/vault"), "/srv/vault");
        for text in
            ["", "a b", "it's", "x;touch y", "$(id)", "a\nb", "\u{202e}'\\x", "größe", "-n", "~", "a=b", "!!", "*"]
        {
            let script = format!("printf %s {}", quoted(text));
            let out = Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(out.stdout).unwrap(), if text == "-n" { "-n" } else { text }, "{script}");
            assert!(!quoted(text).chars().any(is_hidden));
        }
    }
}
