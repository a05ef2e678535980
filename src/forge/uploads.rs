//! Uploads of GitLab: files that a text links by `/uploads/SECRET/NAME`, which no list of entries tells of.

use std::ops::Range;

use super::FILES;

/// What stands before an upload.
const BEGIN: &str = "/uploads/";
/// How many digits a secret has.
const SECRET: usize = 32;
/// The longest name of a file.
const LONGEST: usize = 255;

/// How long what stands for it in a snapshot may be.
const SHOWN: usize = 120;

/// A link to one, within a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Upload<'a> {
    pub(super) secret: &'a str,
    pub(super) name: &'a str,
    /// Where it stands, from the slash on.
    pub(super) at: Range<usize>,
}

impl Upload<'_> {
    /// Where it lies in a snapshot, below its repository.
    pub(super) fn path(&self) -> String {
        format!("{FILES}/uploads-{}-{}", self.secret, plain(self.name))
    }
}

/// What of a file's name can stand in one anywhere.
pub(super) fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+') { c } else { '_' };
    name.chars().map(plain).take(SHOWN).collect()
}

/// The uploads that `text` links, in their order.
pub(super) fn uploads(text: &str) -> Vec<Upload<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(begin) = text.get(from..).and_then(|rest| rest.find(BEGIN)).map(|at| from + at) {
        from = begin + BEGIN.len();
        let (Some(secret), Some(rest)) = (text.get(from..from + SECRET), text.get(from + SECRET..)) else { continue };
        if !secret.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            continue;
        }
        let Some(rest) = rest.strip_prefix('/') else { continue };
        let ends = |c: char| c.is_whitespace() || c.is_control() || "()[]{}<>\"'`\\|?#/".contains(c);
        let name = rest.split(ends).next().unwrap_or_default();
        let begins = from + SECRET + 1;
        if !matches!(name, "" | "." | "..") && name.len() <= LONGEST {
            from = begins + name.len();
            found.push(Upload { secret, name, at: begin..from });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_found_in_texts_and_nothing_else_is() {
        let secret = "0123456789abcdef0123456789abcdef";
        let text = format!(
            "![a](/uploads/{secret}/a.png) <img src=\"/uploads/{secret}/b_ü.log\"> /uploads/{secret}/c.txt\n/uploads/{secret}/"
        );
        let names: Vec<&str> = uploads(&text).iter().map(|one| one.name).collect();
        assert_eq!(names, ["a.png", "b_ü.log", "c.txt"]);
        let first = uploads(&text).into_iter().next().unwrap();
        assert_eq!(text.get(first.at.clone()), Some(format!("/uploads/{secret}/a.png").as_str()));
        assert_eq!(first.path(), format!("files/uploads-{secret}-a.png"));
        for none in [
            "/uploads/short/a.png".to_owned(),
            format!("/uploads/{}/a.png", "g".repeat(32)),
            format!("/uploads/{secret}/../x"),
            format!("/uploads/{secret}"),
            format!("/uploads/{secret}/{}", "x".repeat(300)),
            "/uploads/ü".repeat(9),
        ] {
            assert_eq!(uploads(&none), [], "{none}");
        }
    }
}
