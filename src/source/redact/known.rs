//! Secrets that are known beforehand: what was handed in, in every way in which some program may read it.
//!
//! A text that holds a secret is read by more than one program, and they disagree on where the secret ends: at the first
//! `@` or the last, at a space or a quote. So the whole is noted and each piece between such signs, decoded and as given.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use super::{MASK, SECRET_NAMES, is_secret_name, redact};

/// Shorter values are not looked for: masking every `1` would leave nothing to read.
const SHORTEST: usize = 4;
/// Shorter ones of letters and digits are masked as whole words alone: `pass` is a part of `password`.
const DISTINCT: usize = 8;
/// Where programs may take a secret to end.
const SIGNS: &[char] =
    &['/', ':', '@', '?', '#', '&', '%', '=', ',', ';', '[', ']', '(', ')', '<', '>', '\'', '"', '\\', '`', '$'];
/// Words that messages are made of. Where one is a password, masking it everywhere would only tell which.
const COMMON: &[&str] = &[
    "admin",
    "backup",
    "backups",
    "cannot",
    "command",
    "connect",
    "connection",
    "credential",
    "credentials",
    "database",
    "default",
    "denied",
    "dump",
    "error",
    "failed",
    "false",
    "file",
    "fork",
    "from",
    "host",
    "http",
    "https",
    "localhost",
    "mariadb",
    "mysql",
    "none",
    "null",
    "open",
    "orders",
    "pass",
    "passwd",
    "password",
    "path",
    "port",
    "postgres",
    "postgresql",
    "prod",
    "production",
    "public",
    "root",
    "secret",
    "server",
    "service",
    "session",
    "socket",
    "source",
    "strongroom",
    "table",
    "test",
    "this",
    "token",
    "true",
    "user",
    "username",
    "using",
    "vault",
    "with",
    "writer",
];

/// What was handed to this process: its arguments, its environment and its configuration.
static GIVEN: Mutex<Known> = Mutex::new(Known(Vec::new()));

/// Notes the secrets of a text that was handed to this process. From then on no message shows them.
pub fn given(text: &str) {
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner).add_text(text);
}

/// The same for a variable of the environment, or whatever else has a name.
pub fn given_as(name: &str, value: &str) {
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner).add_variable(OsStr::new(name), OsStr::new(value));
}

/// `text` without the secrets that were handed to this process, and otherwise as it is.
#[must_use]
pub fn without_given(text: &str) -> String {
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner).mask(text)
}

/// Secrets that are known beforehand: those in a command's arguments and environment. Shows nothing of itself.
#[derive(Default, Clone)]
pub struct Known(Vec<String>);

impl Known {
    /// Takes note of the value of the variable `name` if that is likely a secret.
    pub fn add_variable(&mut self, name: &OsStr, value: &OsStr) {
        let value = value.to_string_lossy();
        if is_secret_name(&name.to_string_lossy()) {
            self.add(&value);
        }
        self.add_text(&value);
    }

    /// Takes note of the secret that an argument holds, if it looks as if it did: `--password=X`, `-pX`, a URL.
    pub fn add_argument(&mut self, argument: &OsStr) {
        let argument = argument.to_string_lossy();
        match argument.split_once('=') {
            Some((name, value)) if is_secret_name(name) => self.add(value),
            _ => {}
        }
        if let Some(value) = argument.strip_prefix("-p") {
            self.add(value);
        }
        self.add_text(&argument);
    }

    /// Takes note of a secret, as it is and as programs write it.
    pub fn add(&mut self, value: &str) {
        let debug = format!("{value:?}");
        let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
        let plain: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut upper = String::new();
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                upper.push(char::from(byte));
            } else {
                // Writing to a string can't fail.
                let _ = write!(upper, "%{byte:02X}");
            }
        }
        let all = [
            value,
            debug.trim_matches('"'),
            &escaped,
            &value.replace('\'', "''"),
            &value.replace('\'', "'\\''"),
            &plain,
            plain.trim(),
            &upper.to_ascii_lowercase(),
            &upper,
            &decoded(value),
        ];
        for form in all {
            self.note(form);
        }
    }

    /// Takes note of what is secret in a text, in all readings: what may be a password before an `@`, and what is assigned
    /// to a secret's name.
    pub fn add_text(&mut self, text: &str) {
        for (at, _) in text.match_indices("://") {
            let (scheme, rest) = (text.get(..at).unwrap_or_default(), text.get(at + 3..).unwrap_or_default());
            // Behind a name alone there is a token where http is spoken, and else nobody's secret.
            let bare = scheme.ends_with("http") || scheme.ends_with("https");
            for before in [rest.rsplit_once('@'), rest.split_once('@')].into_iter().flatten().map(|(user, _)| user) {
                match before.split_once(':') {
                    Some((name, secret)) => {
                        self.add_pieces(secret);
                        if bare {
                            self.add_pieces(name);
                        }
                    }
                    None if bare => self.add_pieces(before),
                    None => {}
                }
            }
        }
        let lower = text.to_ascii_lowercase();
        for name in SECRET_NAMES {
            for (at, _) in lower.match_indices(name) {
                self.add_assigned(text.get(at + name.len()..).unwrap_or_default());
            }
        }
    }

    /// Takes note of the value in ` = value`, by every rule of where it ends.
    fn add_assigned(&mut self, after: &str) {
        let rest = after.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        let Some(rest) = rest.trim_start().strip_prefix('=') else { return };
        let rest = rest.trim_start();
        let line = rest.split('\n').next().unwrap_or_default();
        // Up to where the next assignment begins, if there is one.
        let longest = match line.split_once('=') {
            Some((before, _)) => before.rsplit_once(char::is_whitespace).map_or(line, |(value, _)| value),
            None => line,
        };
        let ends: [&[char]; 4] = [&[' ', '\t'], &['&'], &[';'], &[',']];
        for end in ends {
            self.add_pieces(line.split(end).next().unwrap_or_default());
        }
        self.add_pieces(longest);
        if let Some(inner) = rest.strip_prefix('\'') {
            let (mut value, mut chars) = (String::new(), inner.chars());
            while let Some(c) = chars.next().filter(|c| *c != '\'') {
                value.extend(if c == '\\' { chars.next() } else { Some(c) });
            }
            self.add(&value);
        }
    }

    /// Takes note of a secret and of what would be left of it for who takes some sign in it to be its end.
    fn add_pieces(&mut self, secret: &str) {
        let signs = |c: char| SIGNS.contains(&c) || c.is_whitespace();
        for reading in [secret.to_owned(), decoded(secret), secret.replace('\\', "")] {
            self.add(&reading);
            reading.split(signs).for_each(|piece| self.note(piece));
        }
    }

    fn note(&mut self, value: &str) {
        let number = value.len() < 6 && value.bytes().all(|b| b.is_ascii_digit());
        let common = COMMON.contains(&value.to_ascii_lowercase().as_str());
        if value.chars().count() < SHORTEST || number || common || self.0.iter().any(|v| v == value) {
            return;
        }
        self.0.push(value.to_owned());
        // The longest first, or a part of it would be left when one holds another.
        self.0.sort_by_key(|v| std::cmp::Reverse(v.len()));
    }

    /// Whether one of them holds a space, so that a word alone may be a part of it.
    pub(in super::super) fn has_words(&self) -> bool {
        self.0.iter().any(|value| value.contains(char::is_whitespace))
    }

    /// `text` without these.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.0 {
            let word = value.len() < DISTINCT && value.chars().all(char::is_alphanumeric);
            text = if word { replace_words(&text, value) } else { text.replace(value.as_str(), MASK) };
        }
        text
    }

    /// `text` without these and without what looks like a secret.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        redact(&self.mask(text))
    }
}

/// `text` with the mask where `word` stands alone.
fn replace_words(text: &str, word: &str) -> String {
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for (at, _) in text.match_indices(word) {
        let end = at + word.len();
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(end..).and_then(|t| t.chars().next());
        if [before, after].into_iter().flatten().any(char::is_alphanumeric) {
            continue;
        }
        out.push_str(text.get(from..at).unwrap_or_default());
        out.push_str(MASK);
        from = end;
    }
    out + text.get(from..).unwrap_or_default()
}

/// `text` with `%2F` and the like decoded, as far as they can be.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, more)) = rest.split_first() {
        let digit = |at: usize| more.get(at).and_then(|b| char::from(*b).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (byte, digit(0), digit(1)) {
            bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
            rest = more.get(2..).unwrap_or_default();
        } else {
            bytes.push(byte);
            rest = more;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_are_masked_wherever_they_stand() {
        let mut known = Known::default();
        for argument in
            ["--password=correct horse", "-phunter22", "postgres://app:s3cr/et@db/x", "--verbose=very", "-p1", "-p5432"]
        {
            known.add_argument(OsStr::new(argument));
        }
        known.add_variable(OsStr::new("MY_TOKEN"), OsStr::new("tok-12345"));
        known.add_variable(OsStr::new("HOME"), OsStr::new("/home/app"));
        let text = known.redact("correct horse, hunter22, s3cr/et, tok-12345, very, /home/app, -p1, 127.0.0.1:5432");
        assert_eq!(text, "***, ***, ***, ***, very, /home/app, -p1, 127.0.0.1:5432");
    }

    #[test]
    fn a_secret_is_masked_as_every_program_reads_it() {
        for (text, shown) in [
            ("postgres://app:hunter2@db/x", "\"hunter2\""),
            ("postgres://app:hun/ter2@db/x", "port \"hun\" ter2"),
            ("postgres://app:12/hunter2@db/x", "database \"hunter2@db/x\""),
            ("postgres://app:p@ss@horse@db/x", "host horse@db"),
            ("postgres://app:p%2Fhorse@db/x", "p/horse p%2Fhorse p%2fhorse"),
            ("postgres://db/x?password=a%20horse&user=x", "a horse"),
            ("host=db password='a ho\\'rse' user=x", "a ho'rse; a ho\\'rse"),
            ("host=db password=a\\ horse user=x", "horse"),
            ("host=db password=ahh horse user=x", "after \"horse\""),
            ("https://ghp_horse@git.example/r", "ghp_horse"),
            ("mysqldump --password=a;horse", "horse"),
        ] {
            let mut known = Known::default();
            known.add_text(text);
            let told = known.mask(shown);
            assert!(!["hunter2", "ter2", "horse", "ho'rse"].iter().any(|part| told.contains(part)), "{text}: {told}");
        }
    }

    #[test]
    fn words_of_ours_stay_where_they_are_no_secret() {
        let mut known = Known::default();
        for password in ["postgres", "pass", "user", "abcd"] {
            known.add(password);
        }
        let text = "password of user postgres: abcde, \"abcd\"";
        assert_eq!(known.mask(text), "password of user postgres: abcde, \"***\"");
        assert!(!known.has_words());
    }
}
