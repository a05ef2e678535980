//! Vault URLs: `s3://bucket/prefix` and `file:///path`.

use std::{fmt, path::PathBuf, str::FromStr};

/// Why a text is not a vault URL, with what was probably meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} is not a vault URL: {reason}")]
pub struct UrlError {
    text: String,
    reason: String,
}

/// Where a vault is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultUrl {
    /// A directory, by absolute path.
    Local(PathBuf),
    /// A bucket and a prefix without leading or trailing slash (may be empty).
    S3 {
        /// The bucket's name.
        bucket: String,
        /// The prefix of every key.
        prefix: String,
    },
}

impl FromStr for VaultUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        // A login in it is no part of such a URL, and is not repeated.
        let shown = || if text.contains('@') { "what was given".to_owned() } else { format!("{text:?}") };
        let error = |reason: String| UrlError { text: shown(), reason };
        if let Some(path) = text.strip_prefix("file://") {
            // A file's URL may name its host, and this one is the only one that is read.
            let path = path.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(path);
            if path.starts_with('/') {
                return Ok(Self::Local(PathBuf::from(path)));
            }
            return Err(error(format!(
                "the path must be absolute, with three slashes: file:///{}",
                if path.contains('@') { "path" } else { path.trim_start_matches("./") }
            )));
        }
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
            if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(good) {
                return Err(error("a bucket's name has 3 to 63 of a-z, 0-9, '.' and '-'".to_owned()));
            }
            let prefix = prefix.trim_matches('/').to_owned();
            if !prefix.is_empty() && prefix.parse::<crate::model::Key>().is_err() {
                return Err(error("the prefix may hold letters, digits, '.', '_', '-' and '/'".to_owned()));
            }
            return Ok(Self::S3 { bucket: bucket.to_owned(), prefix });
        }
        Err(error(match text.split_once("://") {
            Some(_) if text.contains('@') => {
                "use s3://bucket/prefix or file:///absolute/path, without a login".to_owned()
            }
            Some((scheme, _)) => format!("{scheme:?} is not a known scheme; use s3://bucket/prefix or file:///path"),
            None if text.starts_with('/') && !text.contains('@') => format!("did you mean file://{text}?"),
            None => "use s3://bucket/prefix or file:///absolute/path".to_owned(),
        }))
    }
}

impl fmt::Display for VaultUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "file://{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_what_they_write() {
        for text in ["file:///srv/vault", "s3://acme-vault/prod", "s3://acme-vault"] {
            assert_eq!(text.parse::<VaultUrl>().unwrap().to_string(), text);
        }
        let named: VaultUrl = "file://localhost/srv/vault".parse().unwrap();
        assert_eq!(named.to_string(), "file:///srv/vault");
        assert!("file://localhostile/srv".parse::<VaultUrl>().is_err());
    }

    #[test]
    fn a_typo_is_told_with_what_was_meant() {
        let told = |text: &str| text.parse::<VaultUrl>().unwrap_err().to_string();
        assert!(told("/srv/vault").contains("file:///srv/vault"));
        assert!(told("file://srv/vault").contains("file:///srv/vault"));
        assert!(told("s4://x/y").contains("s4"));
        assert!(told("s3://UPPER/x").contains("bucket"));
        assert!(told("s3://bucket/../x").contains("prefix"));
        for text in
            ["s3://AK:s3cr/et@bucket/x", "https://AK:s3cr\"et@b", "file://AK:s3cr et@b", "/AK:s3cret@b", "AK:s3cret@b"]
        {
            assert!(!told(text).contains("s3cr"), "{}", told(text));
        }
    }
}
