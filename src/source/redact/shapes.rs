//! Tokens that are known by their shape, whoever was given them and when: those of forges, which begin with words of their own, and
//! words that were signed (RFC 7519).

use super::MASK;

/// What tokens of GitHub and GitLab begin with. Gitea's are digits as hashes of commits are, and can't be told from these.
const BEGINNINGS: &[&str] = &[
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gloas-",
    "gldt-",
    "glrt-",
    "glrtr-",
    "glcbt-",
    "glptt-",
    "glft-",
    "glagent-",
];
/// How many letters and digits must follow.
const LEAST: usize = 12;
/// What the head of a signed word begins with: `{"` in its coding.
const SIGNED: &str = "eyJ";

/// `text` without what looks like such a token.
pub(super) fn mask(text: &str) -> String {
    let (mut out, mut rest, mut before) = (String::with_capacity(text.len()), text, None);
    while let Some(c) = rest.chars().next() {
        let inner = before.is_some_and(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if let Some((begin, len)) = Some(rest).filter(|_| !inner).and_then(token) {
            out.push_str(rest.get(..begin).unwrap_or_default());
            out.push_str(MASK);
            rest = rest.get(len..).unwrap_or_default();
            before = Some('*');
            continue;
        }
        out.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        before = Some(c);
    }
    out
}

/// How much of the beginning of `rest` is a token: the part that stays, and all of it.
fn token(rest: &str) -> Option<(usize, usize)> {
    if let Some(begin) = BEGINNINGS.iter().find(|begin| rest.starts_with(**begin)) {
        let after = rest.get(begin.len()..)?;
        let len = after.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"_-.".contains(b)).count();
        // One that ends a sentence ends before its stop.
        let word = after.get(..len)?.trim_end_matches('.');
        return (word.len() >= LEAST).then_some((begin.len(), begin.len() + word.len()));
    }
    if rest.starts_with(SIGNED) {
        let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"_-.".contains(b)).count();
        let word = rest.get(..len)?.trim_end_matches('.');
        let parts: Vec<&str> = word.split('.').collect();
        return (parts.len() == 3 && parts.iter().all(|part| part.len() >= LEAST)).then_some((0, word.len()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_known_by_their_shape() {
        let word = "Qw7eRt12xYzUi";
        for (text, want) in [
            (format!("token ghs_0001{word} may not"), "token ghs_*** may not".to_owned()),
            (format!("(github_pat_11AB_{word}.)"), "(github_pat_***.)".to_owned()),
            (format!("glpat-{word}"), "glpat-***".to_owned()),
            (format!("x-access-token:ghp_{word}@h"), "x-access-token:ghp_***@h".to_owned()),
            (format!("Bearer eyJhbGciOiJSUzI1NiI.eyJpc3MiOiJJ.{word}, then"), "Bearer ***, then".to_owned()),
        ] {
            assert_eq!(mask(&text), want);
        }
        for stays in
            ["ghs_short", "a_ghs_0001Qw7eRt12xYzUi", "eyJhbGciOiJSUzI1NiI.eyJpc3MiOiJJ", "eyJ", "über ghost_", ""]
        {
            assert_eq!(mask(stays), stays);
        }
    }
}
