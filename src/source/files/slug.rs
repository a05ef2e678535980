//! Stream names for files: derived from the path alone, so that another file coming or going renames nothing.

use crate::{
    codec::hash::hash,
    model::{Name, NameError},
};

/// How much of the path's hash a made-up name carries, in hex digits (80 bits).
const HASH: usize = 20;

/// The name of the only file of a source: its own name if that can be one, else what can be kept of it.
pub(super) fn single(file_name: &str) -> Result<Name, NameError> {
    file_name.parse().or_else(|_| slug(file_name, Name::MAX).parse())
}

/// The name of the file at `path` within a tree, unique there: the path itself where that is a name, else a slug of
/// it and a hash of it. A path that looks like such a made-up name gets a hash too, so no file can take another's name.
pub(in crate::source) fn in_tree(path: &str) -> Result<Name, NameError> {
    match path.parse::<Name>() {
        Ok(name) if !looks_made_up(path) => Ok(name),
        _ => {
            let digest = hash(path.as_bytes()).to_string();
            let digest = digest.get(..HASH).unwrap_or(&digest);
            format!("{}-{digest}", slug(path, Name::MAX - HASH - 1)).parse()
        }
    }
}

/// Whether `name` ends like the names that [`in_tree`] makes up.
fn looks_made_up(name: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    name.rsplit_once('-').is_some_and(|(_, end)| end.len() == HASH && end.bytes().all(hex))
}

/// What of `text` may stand in a name, at most `max` bytes; its end, since that tells files apart best.
fn slug(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') {
            out.push(c);
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    let cut = out.get(out.len().saturating_sub(max)..).unwrap_or_default();
    let cut = cut.trim_start_matches(['.', '_', '-']).trim_end_matches('-');
    if cut.is_empty() { "file".to_owned() } else { cut.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_a_name_stays_as_it_is() {
        assert_eq!(in_tree("orders.dump").unwrap().as_str(), "orders.dump");
        assert_eq!(single("orders.dump").unwrap().as_str(), "orders.dump");
        assert_eq!(single("Orders 2024.DUMP").unwrap().as_str(), "orders-2024.dump");
        assert_eq!(single("数据").unwrap().as_str(), "file");
    }

    #[test]
    fn names_in_a_tree_differ_where_paths_do() {
        let made_up = in_tree("a/b").unwrap();
        let long = format!("{}/x", "long".repeat(60));
        let paths = ["a/b", "a-b", "A-b", "a b", "a\nb", ".a", "é", "ê", &long, "-", made_up.as_str()];
        let mut names: Vec<_> = paths.iter().map(|p| in_tree(p).unwrap()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), paths.len());
    }
}
