//! Takes secrets out of text that others wrote, before a person or a log sees it (G8).
//!
//! It guesses, and would rather hide too much: what stands before the `@` of a URL, what is assigned to anything called
//! password, secret, token or the like, age identities, and values that are known to be secret.

mod known;
mod shapes;

pub use known::{Known, given, given_as, without_given};

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

/// What a sentence goes on with after "password:" or "credentials:", and no secret begins with.
const PROSE: &[&str] = &[
    "a",
    "an",
    "and",
    "another",
    "can't",
    "cannot",
    "could",
    "expired",
    "for",
    "from",
    "give",
    "in",
    "invalid",
    "is",
    "it",
    "missing",
    "must",
    "neither",
    "no",
    "nobody",
    "none",
    "not",
    "of",
    "only",
    "permission",
    "put",
    "that",
    "the",
    "there",
    "this",
    "to",
    "use",
    "was",
    "where",
    "which",
    "who",
    "with",
    "without",
    "wrong",
    "yes",
];

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

/// `text` without what was handed to this process as a secret, and without what looks like one.
#[must_use]
pub fn redact(text: &str) -> String {
    shapes::mask(&mask_identities(&mask_assignments(&mask_urls(&without_given(text)))))
}

/// Masks what stands between `://` and the last `@` of the same word; of the same line, if the word begins with what is
/// no host and port: then a password holds a space or a quote.
fn mask_urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let line = after.split('\n').next().unwrap_or_default();
        let end = line.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>'));
        let (word, _) = line.split_at(end.unwrap_or(line.len()));
        let found = word.rfind('@').or_else(|| if is_place(word) { None } else { line.rfind('@') });
        rest = match found {
            Some(at) => {
                out.push_str(MASK);
                after.split_at(at).1
            }
            None => after,
        };
    }
    out + rest
}

/// Whether a URL that goes on like this can begin with a host, and a port if anything follows a `:`.
fn is_place(word: &str) -> bool {
    let authority = word.split(['/', '?', '#']).next().unwrap_or_default();
    let after = match authority.strip_prefix('[') {
        Some(inner) => inner.split_once(']').map_or("x", |(_, after)| after),
        None => authority.find(':').and_then(|at| authority.get(at..)).unwrap_or_default(),
    };
    let port = after.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).strip_prefix(':').unwrap_or_default();
    port.bytes().all(|b| b.is_ascii_digit())
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
        if is_path(text.get(..at).unwrap_or_default()) && is_told(after) {
            continue;
        }
        let Some((skip, len)) = value_after(after, line_long) else { continue };
        out.push_str(after.get(..skip).unwrap_or_default());
        out.push_str(MASK);
        from = at + skip + len;
    }
    out + text.get(from..).unwrap_or_default()
}

/// Whether `before` ends within the last part of an absolute path.
fn is_path(before: &str) -> bool {
    let edge = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '(' | '=');
    before.rsplit(edge).next().is_some_and(|word| word.starts_with('/'))
}

/// Whether nothing but the operating system's own words follow a path: "/etc/passwd: File exists".
fn is_told(after: &str) -> bool {
    let rest = after.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let Some(rest) = rest.strip_prefix(": ") else { return false };
    (1..=133).any(|number| {
        let words = std::io::Error::from_raw_os_error(number).to_string();
        let words = words.split(" (os error").next().unwrap_or_default();
        rest.strip_prefix(words).is_some_and(|more| !more.starts_with(|c: char| c.is_alphanumeric()))
    })
}

/// Where the value assigned after a name begins, and how long it is. `after` begins behind the known part of the name.
fn value_after(after: &str, line_long: bool) -> Option<(usize, usize)> {
    let rest = after.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start_matches([' ', '\t']);
    let spoken = rest.starts_with(": ");
    let rest = rest.strip_prefix(['=', ':'])?.trim_start_matches([' ', '\t']);
    // "credentials: the session ended", "(using password: NO)": a sentence goes on and nothing is assigned.
    let word = rest.split(|c: char| !c.is_ascii_alphabetic() && c != '\'').next().unwrap_or_default();
    if spoken && !word.is_empty() && PROSE.contains(&word.to_ascii_lowercase().as_str()) {
        return None;
    }
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
    const PLUGIN: &str = "age-plugin-";
    const PREFIXES: [&str; 2] = ["age-secret-key-", PLUGIN];
    let mut text = text.to_owned();
    for prefix in PREFIXES {
        // In either case: one that was typed in the wrong case is a secret all the same.
        let lower = text.to_ascii_lowercase();
        let (mut out, mut from) = (String::new(), 0);
        for (at, _) in lower.match_indices(prefix) {
            let end = at + prefix.len();
            let rest = text.get(end..).unwrap_or_default();
            let after = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '-');
            let word = rest.strip_suffix(after).unwrap_or(rest);
            if prefix == PLUGIN && !word.contains("-1") {
                // A plugin's program is called so; what an identity holds follows after "-1".
                continue;
            }
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
            ("identity AGE-PLUGIN-YUBIKEY-1QQQQ.", "identity AGE-PLUGIN-***."),
            ("install age-plugin-yubikey, age-plugin-tpm", "install age-plugin-yubikey, age-plugin-tpm"),
            ("password authentication failed for user \"app\"", "password authentication failed for user \"app\""),
            ("password=", "password="),
            ("Access denied (using password: NO)", "Access denied (using password: NO)"),
            ("gave no credentials: the session in file", "gave no credentials: the session in file"),
            ("can't read the password: Permission denied", "can't read the password: Permission denied"),
            ("at x://u:my pass@h, y", "at x://***@h, y"),
            ("http://127.0.0.1:9000/b told a@b", "http://127.0.0.1:9000/b told a@b"),
            ("at http://h:80, ask a@b", "at http://h:80, ask a@b"),
            ("can't make /etc/passwd: File exists", "can't make /etc/passwd: File exists"),
            ("at /a/db.password: File too large (os error 27)", "at /a/db.password: File too large (os error 27)"),
            ("/etc/passwd: hunter2", "/etc/passwd: ***"),
            ("/etc/passwd: File4exists", "/etc/passwd: ***"),
            ("/etc/passwd: File existsX", "/etc/passwd: *** existsX"),
            ("passwd: File exists", "passwd: *** exists"),
            ("curl /a password: File exists", "curl /a password: *** exists"),
            ("pässword: ünï secret: ünï", "pässword: ünï secret: ***"),
        ] {
            assert_eq!(redact(text), want);
        }
    }
}
