//! Names of members, sources and streams, and keys of objects.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// Why a text is not a name or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}: {rule}")]
pub struct NameError {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

/// The name of a member, a source or a stream: `[a-z0-9][a-z0-9._-]{0,62}`.
///
/// Checked whenever one is made, decoding included, so a name can stand in an object key or a file path as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(Box<str>);

impl Name {
    /// The longest name, in bytes.
    pub const MAX: usize = 63;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if first && text.len() <= Self::MAX && text.bytes().all(inner) {
            return Ok(Self(text.into()));
        }
        Err(NameError {
            kind: "name",
            text: text.chars().take(80).collect(),
            rule: "use 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or a digit",
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The key of an object in a vault: segments of `[A-Za-z0-9._-]` joined by `/`, relative, without `.` and `..`.
///
/// `format::layout` alone spells keys; listings may hold keys that are none of ours and stay plain text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// The longest key, in bytes (S3 allows 1024 with the prefix).
    pub const MAX: usize = 512;

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Key {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let segment = |s: &str| !s.is_empty() && !s.starts_with('.') && s.bytes().all(byte);
        if !text.is_empty() && text.len() <= Self::MAX && text.split('/').all(segment) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError {
            kind: "object key",
            text: text.chars().take(80).collect(),
            rule: "segments of letters, digits, '.', '_' and '-', none beginning with a dot, joined by '/'",
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_their_alphabet() {
        for good in ["a", "0", "orders.dump", "segment-0003.pack", &"a".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "A", "a/b", "a b", "é", &"a".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Name>("\"../x\"").is_err());
    }

    #[test]
    fn keys_cannot_leave_their_directory() {
        assert!("packs/w1/ab/cd".parse::<Key>().is_ok());
        for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.b", "a b"] {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_keys_are_told_as_they_are() {
        let (name, key): (Name, Key) = ("db-1".parse().unwrap(), "packs/db-1/aB".parse().unwrap());
        assert_eq!((name.to_string(), name.as_str()), ("db-1".to_owned(), "db-1"));
        assert_eq!((key.to_string(), key.as_str()), ("packs/db-1/aB".to_owned(), "packs/db-1/aB"));
        assert_eq!(serde_json::from_str::<Name>("\"db-1\"").unwrap(), name);
        assert!("a".repeat(512).parse::<Key>().is_ok() && "a".repeat(513).parse::<Key>().is_err());
        assert!("9a".parse::<Name>().is_ok() && "a-_.9".parse::<Name>().is_ok() && "_a".parse::<Name>().is_err());
        assert!("a-b_c.d/0".parse::<Key>().is_ok() && "a/b~".parse::<Key>().is_err());
    }
}
