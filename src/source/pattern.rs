//! Patterns that leave things out: `*` for anything, `?` for one character.

/// Whether all of `text` fits `pattern`.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star stands, and how far it reached.
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == c => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, reached)) = star else { return false };
                star = Some((at, reached + 1));
                (p, t) = (at + 1, reached + 1);
            }
        }
    }
    pattern.get(p..).is_none_or(|rest| rest.iter().all(|c| *c == '*'))
}

/// Whether a path below a root fits: a pattern without `/` fits a name at any depth, another the path from the root, where
/// `**` stands for any directories. What is within a directory that fits is left out with it.
#[must_use]
pub fn fits_path(pattern: &str, path: &str) -> bool {
    let pattern = pattern.trim_end_matches('/');
    if !pattern.contains('/') {
        return fits(pattern, path.rsplit('/').next().unwrap_or(path));
    }
    let parts = |text: &str| text.trim_start_matches('/').split('/').map(str::to_owned).collect::<Vec<_>>();
    below(&parts(pattern), &parts(path))
}

fn below(pattern: &[String], path: &[String]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((first, rest)) if first == "**" => {
            (0..=path.len()).any(|at| path.get(at..).is_some_and(|path| below(rest, path)))
        }
        Some((first, rest)) => path.split_first().is_some_and(|(name, path)| fits(first, name) && below(rest, path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, fit) in [
            ("shop", "shop", true),
            ("shop", "shop2", false),
            ("s*", "shop", true),
            ("*.tmp_*", "shop.tmp_1", true),
            ("*.tmp_*", "shop.temp", false),
            ("a?c*e*", "abcdde", true),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xaxbx", false),
            ("", "", true),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
        for (pattern, path, fit) in [
            ("*.tmp", "a/b.tmp", true),
            ("cache", "a/cache", true),
            ("a/cache/", "a/cache", true),
            ("/cache", "a/cache", false),
            ("a/*", "a/b/c", false),
            ("a/**", "a/b/c", true),
            ("a/**/c", "a/c", true),
            ("**/x/*.db", "a/x/y.db", true),
        ] {
            assert_eq!(fits_path(pattern, path), fit, "{pattern} {path}");
        }
    }
}
