//! What is kept of a repository besides its objects. Everything here is checked when it is decoded, since a restore
//! must not believe what a compromised writer may have made up.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

use crate::model::SnapshotId;

/// The facts of a git snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitDetails {
    /// How objects are named.
    pub format: ObjectFormat,
    /// Where `HEAD` stands, also when no commit is there yet.
    pub head: Head,
    /// Every ref and the object it names.
    #[serde(default)]
    pub refs: BTreeMap<RefName, Oid>,
    /// Refs that stand for another ref, such as `refs/remotes/origin/HEAD`.
    #[serde(default)]
    pub symrefs: BTreeMap<RefName, RefName>,
    /// The lines of the stash's log, oldest first; they are what `git stash list` shows.
    #[serde(default)]
    pub stash: Vec<String>,
    /// Detached `HEAD`s of the repository's other worktrees, what their own refs name, and what is named by lines and files
    /// whose names are damaged. Their objects come back, and as refs below `refs/from-backup`; the worktrees don't.
    #[serde(default)]
    pub worktrees: BTreeMap<String, Oid>,
    /// The repository's description.
    #[serde(default)]
    pub description: Option<String>,
    /// Its `info/grafts`, which make git show another history than is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grafts: Option<String>,
    /// The repository's own settings, without what may be secret.
    #[serde(default)]
    pub config: Vec<(String, String)>,
    /// The logs of refs and of `HEAD` without the stash's, oldest line first, if they were asked for. Lines whose object was
    /// gone are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reflogs: BTreeMap<LogName, Vec<String>>,
    /// What became of the refs since the last snapshot of this source; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
}

/// What became of the refs since an earlier snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// The earlier snapshot.
    pub snapshot: SnapshotId,
    /// Every ref that is not as it was.
    pub changes: Vec<Change>,
}

/// What became of one ref.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The ref.
    #[serde(rename = "ref")]
    pub name: RefName,
    /// What happened to it.
    pub what: ChangeKind,
    /// What it named before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Oid>,
    /// What it names now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Oid>,
}

/// What can happen to a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// What it named is part of the history of what it names now.
    Forward,
    /// What it named is no longer part of its history, as after a force-push.
    Rewritten,
    /// It is gone.
    Deleted,
    /// It names something else; with very many changes it is not looked up which way it went.
    Moved,
}

impl GitDetails {
    /// All refs, those of other worktrees among them: their detached `HEAD`s and their own refs come back under names that
    /// tell whose they were, since without one the next `git gc` would take their commits.
    pub(super) fn named(&self) -> BTreeMap<RefName, Oid> {
        let mut all = self.refs.clone();
        for (key, oid) in &self.worktrees {
            all.entry(kept_as(key)).or_insert_with(|| oid.clone());
        }
        all
    }

    /// Every object from which the others are reached.
    pub(super) fn tips(&self) -> impl Iterator<Item = &str> {
        let head = if let Head::Detached(oid) = &self.head { Some(oid) } else { None };
        let logs = self.stash.iter().chain(self.reflogs.values().flatten());
        let logged = logs.filter_map(|line| log_tip(line));
        self.refs.values().chain(self.worktrees.values()).chain(head).map(Oid::as_str).chain(logged)
    }

    /// As [`tips`](Self::tips).
    pub(super) fn oids(&self) -> impl Iterator<Item = Oid> {
        self.tips().filter_map(Oid::parse)
    }

    /// Whether all object names are of the repository's format.
    pub(super) fn is_consistent(&self) -> bool {
        let mut logs = self.stash.iter().chain(self.reflogs.values().flatten());
        let logs = logs.all(|line| log_tip(line).is_some() && !line.contains(['\n', '\r', '\0']));
        logs && self.tips().all(|oid| oid.len() == self.format.hex_len())
    }
}

/// The ref under which what a key of [`GitDetails::worktrees`] names comes back.
pub(super) fn kept_as(key: &str) -> RefName {
    let end = if key.contains("/refs/") { "" } else { "/HEAD" };
    let name = RefName::parse(format!("refs/from-backup/{key}{end}").as_bytes());
    name.unwrap_or_else(|| {
        let hex = key.bytes().take(128).fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        RefName(format!("refs/from-backup/worktrees-{hex}").into_bytes())
    })
}

/// The commit that a line of a ref's log is about: `old new who <mail> time zone TAB message`.
pub(super) fn log_tip(line: &str) -> Option<&str> {
    let mut words = line.splitn(3, ' ');
    let old = words.next()?;
    let new = words.next()?;
    (Oid::parse(old).is_some() && Oid::parse(new).is_some()).then_some(new)
}

/// Whose log it is: a ref's, or `HEAD`'s.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogName(Option<RefName>);

impl LogName {
    /// The log of `HEAD`.
    pub(super) const HEAD: Self = Self(None);

    /// The log of a ref.
    pub(super) const fn of(name: RefName) -> Self {
        Self(Some(name))
    }

    /// Its path below `logs`.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(b"HEAD", RefName::as_bytes)
    }
}

impl Serialize for LogName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            None => serializer.serialize_str("HEAD"),
            Some(name) => name.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for LogName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "HEAD" {
            return Ok(Self::HEAD);
        }
        RefName::deserialize(serde::de::value::StringDeserializer::new(text)).map(Self::of)
    }
}

/// How a repository names its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectFormat {
    /// SHA-1, the common one.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl ObjectFormat {
    /// The length of an object's name in hex digits.
    pub(super) const fn hex_len(self) -> usize {
        match self {
            Self::Sha1 => 40,
            Self::Sha256 => 64,
        }
    }
}

/// Where `HEAD` stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// On a ref, which need not exist yet.
    Symbolic(RefName),
    /// On a commit.
    Detached(Oid),
}

/// The name of an object: 40 or 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Oid(String);

impl Oid {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (hex && matches!(text.len(), 40 | 64)).then(|| Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Oid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("{:?} is not the name of an object", cut(&text))))
    }
}

/// The full name of a ref, `refs/…`, by git's rules. Git allows bytes that are no UTF-8; such a name is written as
/// `hex:` and its bytes, which no ref can be called.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefName(Vec<u8>);

impl RefName {
    /// The longest name that is believed, in bytes.
    const MAX: usize = 4096;

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bad = |b: &u8| *b < b' ' || *b == 0x7f || b" ~^:?*[\\".contains(b);
        let part = |p: &[u8]| !p.is_empty() && !p.starts_with(b".") && !p.ends_with(b".lock");
        let pair = |w: &[u8]| w == b".." || w == b"@{";
        let fine = bytes.starts_with(b"refs/")
            && bytes.len() <= Self::MAX
            && !bytes.ends_with(b".")
            && !bytes.iter().any(bad)
            && !bytes.windows(2).any(pair)
            && bytes.split(|b| *b == b'/').all(part);
        fine.then(|| Self(bytes.to_vec()))
    }

    /// The usual first branch.
    pub(super) fn main() -> Self {
        Self(b"refs/heads/main".to_vec())
    }

    /// The name as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether git keeps it per worktree, outside of `packed-refs`.
    pub(super) fn is_per_worktree(&self) -> bool {
        [&b"refs/bisect/"[..], b"refs/worktree/", b"refs/rewritten/"].iter().any(|p| self.0.starts_with(p))
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for RefName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return serializer.serialize_str(text);
        }
        let mut text = "hex:".to_owned();
        for byte in &self.0 {
            write!(text, "{byte:02x}").map_err(S::Error::custom)?;
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for RefName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = match text.strip_prefix("hex:") {
            Some(hex) => unhex(hex.as_bytes()),
            None => Some(text.as_bytes().to_vec()),
        };
        let name = bytes.and_then(|b| Self::parse(&b));
        name.ok_or_else(|| D::Error::custom(format!("{:?} is not the name of a ref", cut(&text))))
    }
}

/// The bytes that lower-case hex digits stand for.
pub(super) fn unhex(hex: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = hex.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect::<Option<Vec<_>>>();
    if rest.is_empty() { bytes } else { None }
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// An object's name as text.
pub(super) fn hex(oid: &[u8]) -> String {
    use std::fmt::Write as _;
    oid.iter().fold(String::with_capacity(2 * oid.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_refs_follow_the_rules_of_git() {
        for good in ["refs/heads/main", "refs/stash", "refs/notes/commits", "refs/heads/äb", "refs/@"] {
            assert!(RefName::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "",
            "HEAD",
            "heads/x",
            "refs",
            "refs/",
            "refs/heads/",
            "refs//x",
            "/refs/x",
            "refs/../x",
            "refs/a..b",
            "refs/.x",
            "refs/x.lock",
            "refs/x.lock/y",
            "refs/x.",
            "refs/a b",
            "refs/a\nb",
            "refs/a\0",
            "refs/a~1",
            "refs/a@{1}",
            "refs/a\\b",
            "refs/a\u{7f}",
            "../refs/x",
            "refs/x/./y",
            "refs/a:b",
        ] {
            assert!(RefName::parse(bad.as_bytes()).is_none(), "{bad:?}");
            assert!(serde_json::from_value::<RefName>(bad.into()).is_err());
        }
    }

    #[test]
    fn names_that_are_no_utf8_survive_json() {
        let name = RefName::parse(b"refs/heads/caf\xe9").unwrap();
        let json = serde_json::to_value(&name).unwrap();
        assert_eq!(json, "hex:726566732f68656164732f636166e9");
        assert_eq!(serde_json::from_value::<RefName>(json).unwrap(), name);
        // A hidden name is checked like any other.
        assert!(serde_json::from_value::<RefName>("hex:2e2e2f78".into()).is_err());
        assert!(serde_json::from_value::<RefName>("hex:7".into()).is_err());
    }

    #[test]
    fn object_names_are_hex_of_the_right_length() {
        assert!(Oid::parse(&"a1".repeat(20)).is_some() && Oid::parse(&"0f".repeat(32)).is_some());
        for bad in ["", "a1", &"A1".repeat(20), &"g1".repeat(20), &"a1".repeat(21)] {
            assert!(Oid::parse(bad).is_none());
        }
    }
}
