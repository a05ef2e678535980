//! Patterns of names, and the names that a mistyped one may have meant.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::Name;

/// How many names are offered in the place of one that is not known.
const OFFERED: usize = 3;

/// A pattern that names fit: a name in which `*` stands for anything, nothing included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NamePattern(String);

/// Why a text is no pattern of names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a pattern of names: use a-z, 0-9, '.', '_', '-', and '*' for anything")]
pub struct PatternError {
    text: String,
}

impl NamePattern {
    /// Whether `name` fits.
    #[must_use]
    pub fn fits(&self, name: &Name) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.as_str().strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some((_, after)) = rest.split_once(part) else { return false };
            rest = after;
        }
        rest.ends_with(last)
    }
}

impl FromStr for NamePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-' | b'*');
        if !text.is_empty() && text.len() <= Name::MAX && text.bytes().all(known) {
            return Ok(Self(text.to_owned()));
        }
        Err(PatternError { text: text.chars().take(80).collect() })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NamePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Those of `known` that `name` may have been meant to be, the nearest first; all of them where there are few.
#[must_use]
pub fn nearest<'a>(name: &Name, known: impl IntoIterator<Item = &'a Name>) -> Vec<&'a Name> {
    let mut by_distance: Vec<(usize, &Name)> =
        known.into_iter().map(|other| (distance(name.as_str(), other.as_str()), other)).collect();
    by_distance.sort_unstable();
    by_distance.dedup();
    by_distance.truncate(OFFERED);
    by_distance.into_iter().map(|(_, other)| other).collect()
}

/// Those of `known` that `text` may have been meant to be, the nearest first. Of paths that are long or many, some are not
/// looked at.
#[must_use]
pub fn nearest_texts<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const LONG: usize = 256;
    const MANY: usize = 50_000;
    if text.len() > LONG {
        return Vec::new();
    }
    let last = |path: &'a str| path.rsplit('/').next().unwrap_or(path);
    // Who types a name alone means the last part of a path.
    let near = |other: &'a str| distance(text, other).min(distance(text, last(other)));
    let looked_at = known.into_iter().take(MANY).filter(|other| other.len() <= LONG);
    let mut by_distance: Vec<(usize, &str)> = looked_at.map(|other| (near(other), other)).collect();
    by_distance.sort_unstable();
    by_distance.dedup();
    by_distance.truncate(OFFERED);
    by_distance.into_iter().map(|(_, other)| other).collect()
}

/// How many characters have to be put in, taken out or changed to make one text of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, a) in one.bytes().enumerate() {
        let mut before = at;
        let mut left = at + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(other.bytes()) {
            let changed = before + usize::from(a != b);
            before = *cell;
            left = changed.min(before + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_by_its_last_part() {
        let known = ["etc/nginx/nginx.conf", "etc/hosts", "home/a/notes.txt", "srv/data"];
        assert_eq!(nearest_texts("ngin.conf", known)[0], "etc/nginx/nginx.conf");
        assert_eq!(nearest_texts("etc/host", known)[0], "etc/hosts");
        let (long, longer) = ("x".repeat(256), "x".repeat(257));
        assert_eq!(nearest_texts(&long, [long.as_str(), longer.as_str()]), [long.as_str()]);
        assert!(nearest_texts(&longer, known).is_empty());
    }

    #[test]
    fn a_star_is_anything() {
        let fits =
            |pattern: &str, name: &str| pattern.parse::<NamePattern>().unwrap().fits(&name.parse::<Name>().unwrap());
        for (pattern, name) in [
            ("crm", "crm"),
            ("*", "crm"),
            ("code.*", "code.a"),
            ("code.*", "code."),
            ("*.db", "a.db"),
            ("a*b*c", "abc"),
            ("a*b*c", "a1bb2c"),
            ("*a*", "bab"),
            ("a**b", "ab"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("crm", "crm2"), ("crm", "cr"), ("code.*", "code"), ("a*a", "a"), ("a*b*c", "acb"), ("*.db", "db")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        assert_eq!("a*b".parse::<NamePattern>().unwrap().to_string(), "a*b");
        for bad in ["", "A", "a b", "a,b", "a?", "é", &"a".repeat(64)] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_nearest_names_come_first() {
        let names: Vec<Name> = ["orders", "code", "order-items", "wiki"].map(|n| n.parse().unwrap()).into();
        let near = |name: &str| -> Vec<&str> {
            nearest(&name.parse().unwrap(), names.iter().chain(&names)).into_iter().map(Name::as_str).collect()
        };
        assert_eq!(near("ordres")[0], "orders");
        assert_eq!(near("kode")[0], "code");
        assert_eq!(near("orders").len(), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!((distance("", "abc"), distance("abc", ""), distance("a", "a")), (3, 3, 0));
    }
}
