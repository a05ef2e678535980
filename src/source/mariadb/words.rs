//! SQL in words, as far as dumps and grants need it.

/// The words of SQL, and whether each was quoted as a name. Comments of a version are opened, others are skipped.
pub(super) struct Words<'a>(pub(super) &'a str);

impl Words<'_> {
    /// The next word.
    pub(super) fn word(&mut self) -> Option<String> {
        self.next().map(|(word, _)| word)
    }
}

impl Iterator for Words<'_> {
    type Item = (String, bool);

    fn next(&mut self) -> Option<(String, bool)> {
        loop {
            self.0 = self.0.trim_start();
            if self.0.starts_with("-- ") || self.0.starts_with('#') {
                self.0 = self.0.split_once('\n').map_or("", |(_, rest)| rest);
                continue;
            }
            let Some(comment) = self.0.strip_prefix("/*").filter(|inner| !inner.starts_with(['!', 'M'])) else { break };
            self.0 = comment.split_once("*/").map_or("", |(_, rest)| rest);
        }
        let first = self.0.chars().next()?;
        if matches!(first, '`' | '"' | '\'') {
            let mut name = String::new();
            let mut chars = self.0.char_indices().skip(1).peekable();
            while let Some((at, c)) = chars.next() {
                if c == first {
                    if chars.peek().is_none_or(|(_, next)| *next != first) {
                        self.0 = self.0.get(at + c.len_utf8()..).unwrap_or_default();
                        return Some((name, true));
                    }
                    chars.next();
                }
                name.push(c);
            }
            self.0 = "";
            return None;
        }
        let of_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii();
        let of_comment = |c: char| matches!(c, '/' | '*' | '!');
        let end = if of_word(first) {
            self.0.find(|c| !of_word(c))
        } else if of_comment(first) {
            self.0.find(|c: char| !of_comment(c) && !c.is_ascii_digit())
        } else {
            Some(first.len_utf8())
        };
        let (word, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        Some((word.to_owned(), false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_comments_are_told_apart() {
        let told = |sql: &str| -> Vec<String> {
            Words(sql).map(|(word, quoted)| format!("{word}{}", if quoted { "'" } else { "" })).collect()
        };
        assert_eq!(
            told("/*!50003 CREATE*/ /* no */ trigger`a``b` -- no\n.\"c\" (x)"),
            ["/*!50003", "CREATE", "*/", "trigger", "a`b'", ".", "c'", "(", "x", ")"]
        );
        assert_eq!(told("*.* `unended"), ["*", ".", "*"]);
    }
}
