//! Takes secrets out of text that others wrote, before a person or a log sees it (G8).
//!
//! It guesses, and would rather hide too much: what stands before the `@` of a URL, what is assigned to anything called
//! password, secret, token or the like, age identities, and values that are known to be secret.

use std::ffi::OsStr;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Names of things that are secret, as parts of the name, in lower case.
const SECRET_NAMES: &[&str] = &[
    "passw",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "access-key",
    "accesskey",
    "private_key",
    "private-key",
    "privatekey",
    "credential",
    "cookie",
    "extraheader",
];

/// Shorter values are not looked for: masking every `1` would leave nothing to read.
const SHORTEST: usize = 5;

/// Whether something called `name` is likely a secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // The shell's working directories, not passwords.
    if matches!(name.as_str(), "pwd" | "oldpwd") {
        return false;
    }
    SECRET_NAMES.iter().any(|s| name.contains(s)) || name.contains("authorization")
}

/// `text` without what looks like a secret.
#[must_use]
pub fn redact(text: &str) -> String {
    mask_identities(&mask_assignments(&mask_urls(text)))
}

/// Secrets that are known beforehand: those in a command's arguments and environment. Shows nothing of itself.
#[derive(Default, Clone)]
pub struct Known(Vec<String>);

impl Known {
    /// Takes note of the value of the variable `name` if that is likely a secret.
    pub fn add_variable(&mut self, name: &OsStr, value: &OsStr) {
        if is_secret_name(&name.to_string_lossy()) {
            self.add(&value.to_string_lossy());
        }
        self.add_url(&value.to_string_lossy());
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
        self.add_url(&argument);
    }

    /// Takes note of a secret.
    pub fn add(&mut self, value: &str) {
        if value.len() >= SHORTEST && !self.0.iter().any(|v| v == value) {
            self.0.push(value.to_owned());
            // The longest first, or a part of it would be left when one holds another.
            self.0.sort_by_key(|v| std::cmp::Reverse(v.len()));
        }
    }

    fn add_url(&mut self, text: &str) {
        let Some((_, rest)) = text.split_once("://") else { return };
        let Some((user, _)) = rest.rsplit_once('@') else { return };
        if let Some((_, password)) = user.split_once(':') {
            self.add(password);
        }
    }

    /// `text` without these and without what looks like a secret.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.0 {
            text = text.replace(value.as_str(), MASK);
        }
        redact(&text)
    }
}

/// Masks what stands between `://` and the last `@` of the same word.
fn mask_urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>'));
        let (word, _) = after.split_at(end.unwrap_or(after.len()));
        rest = match word.rfind('@') {
            Some(at) => {
                out.push_str(MASK);
                after.split_at(at).1
            }
            None => after,
        };
    }
    out + rest
}

/// Masks the value in `name = value` and `name: value` where the name sounds secret.
fn mask_assignments(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let next = |from: usize| {
        let rest = lower.get(from..)?;
        SECRET_NAMES.iter().chain(&["authorization"]).filter_map(|n| Some(from + rest.find(n)? + n.len())).min()
    };
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    while let Some(at) = next(from) {
        let (before, after) = (text.get(from..at).unwrap_or_default(), text.get(at..).unwrap_or_default());
        out.push_str(before);
        let line_long =
            ["authorization", "cookie", "extraheader"].iter().any(|n| before.to_ascii_lowercase().ends_with(n));
        from = at;
        let Some((skip, len)) = value_after(after, line_long) else { continue };
        out.push_str(after.get(..skip).unwrap_or_default());
        out.push_str(MASK);
        from = at + skip + len;
    }
    out + text.get(from..).unwrap_or_default()
}

/// Where the value assigned after a name begins, and how long it is. `after` begins behind the known part of the name.
fn value_after(after: &str, line_long: bool) -> Option<(usize, usize)> {
    let rest = after.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start_matches([' ', '\t']);
    let rest = rest.strip_prefix(['=', ':'])?.trim_start_matches([' ', '\t']);
    let (rest, end): (_, Option<usize>) = match rest.chars().next()? {
        quote @ ('"' | '\'') => {
            let inner = rest.get(1..)?;
            (inner, inner.find(quote))
        }
        _ if line_long => (rest, rest.find(['\n', '\r', '"', '\''])),
        _ => (rest, rest.find(|c: char| c.is_whitespace() || matches!(c, ';' | '&' | ',' | ')' | '"' | '\''))),
    };
    let len = end.unwrap_or(rest.len());
    (len > 0).then_some((after.len() - rest.len(), len))
}

/// Masks age identities.
fn mask_identities(text: &str) -> String {
    const PREFIXES: [&str; 2] = ["age-secret-key-", "age-plugin-"];
    let mut text = text.to_owned();
    for prefix in PREFIXES {
        // In either case: one that was typed in the wrong case is a secret all the same.
        let lower = text.to_ascii_lowercase();
        let (mut out, mut from) = (String::new(), 0);
        for (at, _) in lower.match_indices(prefix) {
            let end = at + prefix.len();
            let rest = text.get(end..).unwrap_or_default();
            let after = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '-');
            out.push_str(text.get(from..end).unwrap_or_default());
            out.push_str(MASK);
            from = text.len() - after.len();
        }
        out.push_str(text.get(from..).unwrap_or_default());
        text = out;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_the_rest_stays() {
        for (text, want) in [
            ("at postgres://app:hunter2@db/orders failed", "at postgres://***@db/orders failed"),
            ("x://a:p@ss@h y://u@i", "x://***@h y://***@i"),
            ("see https://docs.example/a.html", "see https://docs.example/a.html"),
            ("PGPASSWORD=hunter2 pg_dump", "PGPASSWORD=*** pg_dump"),
            ("conn: host=db password='hun ter2' user=app", "conn: host=db password='***' user=app"),
            ("--password=hunter2 -h db", "--password=*** -h db"),
            ("{\"token\": \"abc\", \"n\": 1}", "{\"token\": \"***\", \"n\": 1}"),
            ("AWS_SECRET_ACCESS_KEY=abc/def+g", "AWS_SECRET_ACCESS_KEY=***"),
            ("Authorization: Basic dXNlcjpw\nnext", "Authorization: ***\nnext"),
            ("identity AGE-SECRET-KEY-1QQQQ.", "identity AGE-SECRET-KEY-***."),
            ("password authentication failed for user \"app\"", "password authentication failed for user \"app\""),
            ("password=", "password="),
            ("pässword: ünï secret: ünï", "pässword: ünï secret: ***"),
        ] {
            assert_eq!(redact(text), want);
        }
    }

    #[test]
    fn known_values_are_masked_wherever_they_stand() {
        let mut known = Known::default();
        for argument in
            ["--password=correct horse", "-phunter22", "postgres://app:s3cr/et@db/x", "--verbose=very", "-p1"]
        {
            known.add_argument(OsStr::new(argument));
        }
        known.add_variable(OsStr::new("MY_TOKEN"), OsStr::new("tok-12345"));
        known.add_variable(OsStr::new("HOME"), OsStr::new("/home/app"));
        let text = known.redact("correct horse, hunter22, s3cr/et, tok-12345, very, /home/app, -p1");
        assert_eq!(text, "***, ***, ***, ***, very, /home/app, -p1");
    }
}
