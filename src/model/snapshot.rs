//! What a snapshot is of, and how its data was cut.

use serde::{Deserialize, Serialize};

/// What kind of source a snapshot was taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// What came in through standard input.
    Stdin,
    /// A file or a tree of files.
    Path,
    /// The standard output of a command.
    Command,
    /// A git repository.
    Git,
    /// A `PostgreSQL` database.
    Postgres,
    /// A `MariaDB` database.
    Mariadb,
    /// A `MySQL` database.
    Mysql,
    /// An `SQLite` database.
    Sqlite,
    /// What a Gitea or Forgejo has besides code.
    Gitea,
    /// The same of GitHub.
    Github,
    /// The same of a GitLab.
    Gitlab,
}

impl SourceKind {
    /// The kind as configuration and JSON spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Path => "path",
            Self::Command => "command",
            Self::Git => "git",
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
            Self::Sqlite => "sqlite",
            Self::Gitea => "gitea",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
        }
    }

    /// Whether it is of a forge.
    #[must_use]
    pub const fn is_forge(self) -> bool {
        matches!(self, Self::Gitea | Self::Github | Self::Gitlab)
    }
}

/// The sizes of content-defined chunks in bytes. All even, `min ≤ avg ≤ max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkerParams {
    /// No chunk but the last of a stream is smaller.
    pub min: u32,
    /// Where the cut becomes likely.
    pub avg: u32,
    /// No chunk is larger.
    pub max: u32,
}

impl ChunkerParams {
    /// For data: 32 KiB, 128 KiB, 512 KiB.
    pub const DATA: Self = Self { min: 32 << 10, avg: 128 << 10, max: 512 << 10 };
    /// For chunk lists: 4 KiB, 16 KiB, 64 KiB.
    pub const LIST: Self = Self { min: 4 << 10, avg: 16 << 10, max: 64 << 10 };
    /// The largest chunk that any vault may ask for: 4 MiB, which is also the largest block.
    pub const LIMIT: u32 = 4 << 20;

    /// Whether these sizes can be used.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        let even = (self.min | self.avg | self.max) & 1 == 0;
        even && self.min >= 1024
            && self.min <= self.avg
            && self.avg <= self.max
            && self.max <= Self::LIMIT
            && self.min <= 1 << 20
    }
}

/// What the file system knew of a stream's file. All empty for anything that is not a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMeta {
    /// Permission bits, the lower 12 of the mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Modification time in nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime_ns: Option<i64>,
    /// The target of a symbolic link; the stream is then empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Box<str>>,
    /// Whether it is a directory that holds nothing else in the snapshot; the stream is then empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dir: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_spelled_as_in_json() {
        use SourceKind as K;
        let all = [K::Stdin, K::Path, K::Command, K::Git, K::Postgres, K::Mariadb, K::Mysql, K::Sqlite];
        for kind in all.into_iter().chain([K::Gitea, K::Github, K::Gitlab]) {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.is_forge(), !all.contains(&kind));
        }
    }

    #[test]
    fn sizes_of_chunks_are_even_in_order_and_within_bounds() {
        let valid = |min, avg, max| ChunkerParams { min, avg, max }.is_valid();
        assert!(ChunkerParams::DATA.is_valid() && ChunkerParams::LIST.is_valid());
        let (data, list) = (ChunkerParams::DATA, ChunkerParams::LIST);
        assert_eq!((data.min, data.avg, data.max), (32_768, 131_072, 524_288));
        assert_eq!((list.min, list.avg, list.max, ChunkerParams::LIMIT), (4096, 16_384, 65_536, 4_194_304));
        assert!(valid(1024, 1024, 1024) && valid(1 << 20, 1 << 20, 1 << 20) && valid(1024, 2048, 4 << 20));
        assert!(
            !valid(1022, 2048, 4096)
                && !valid(1025, 2048, 4096)
                && !valid(1024, 2049, 4096)
                && !valid(1024, 2048, 4097)
        );
        assert!(!valid(1025, 2049, 4096) && !valid(1024, 2049, 4097) && !valid(1025, 2048, 4097), "two that are odd");
        assert!(!valid(4096, 2048, 8192) && !valid(1024, 8192, 4096) && !valid(1024, 2048, (4 << 20) + 2));
        assert!(!valid((1 << 20) + 2, 2 << 20, 4 << 20));
    }
}
