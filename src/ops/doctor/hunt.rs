//! `doctor --hunt`: keys of a vault in the text of files, told by place and kind and never shown.

use serde::Serialize;
use zeroize::Zeroizing;

/// What a line gives away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An age identity: opens backups that were sealed to it.
    AgeIdentity,
    /// A writer's key: signs snapshots in its name.
    WriterKey,
    /// A member's key: signs evidence in its name.
    MemberKey,
    /// The access key or the secret that the configuration at hand uses for the vault.
    VaultAccessKey,
    /// A secret access key of some S3 store, maybe the vault's.
    SecretAccessKey,
}

impl Kind {
    /// The kind as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgeIdentity => "age-identity",
            Self::WriterKey => "writer-key",
            Self::MemberKey => "member-key",
            Self::VaultAccessKey => "vault-access-key",
            Self::SecretAccessKey => "secret-access-key",
        }
    }

    /// Whether it is known to be the vault's, and not only of a kind that may be.
    #[must_use]
    pub const fn is_certain(self) -> bool {
        !matches!(self, Self::SecretAccessKey)
    }
}

/// A key in a file.
#[derive(Debug, Clone, Serialize)]
pub struct Hit {
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// What it gives away.
    pub kind: Kind,
    /// Who can read the file, by its owner and mode.
    pub readers: String,
    /// Whether it is where the configuration at hand has it, for nobody but its owner.
    pub in_its_place: bool,
}

/// What a hunt found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct HuntReport {
    /// How many files were read.
    pub files: u64,
    /// How many were larger than is looked through.
    pub too_large: u64,
    /// How many hold no text.
    pub binary: u64,
    /// How many files and directories this user could not read.
    pub unreadable: u64,
    /// The keys, by file.
    pub hits: Vec<Hit>,
}

/// How every X25519 identity of age begins, and one of a plugin.
const IDENTITIES: [&[u8]; 2] = [b"AGE-SECRET-KEY-1", b"AGE-PLUGIN-"];
/// The fewest characters that an identity has after its beginning; whoever writes about identities shows fewer.
const IDENTITY: usize = 30;
/// The fewest characters of a secret access key.
const SECRET: usize = 16;

/// The secrets of the configuration at hand, to be found wherever else they are.
#[derive(Default)]
pub struct Known(Vec<Zeroizing<String>>);

impl Known {
    /// Knows these; short ones are left out, as they would be found in every text.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = Zeroizing<String>>) -> Self {
        Self(secrets.into_iter().filter(|secret| secret.len() >= SECRET).collect())
    }
}

/// The lines of `text` that give a key away, and what of.
#[must_use]
pub fn scan(text: &[u8], known: &Known) -> Vec<(usize, Kind)> {
    // A key file of ours is one thing, whatever its lines hold.
    let holds = |word: &[u8]| find(text, word).is_some();
    let ours =
        holds(b"\"signing_key\"").then(|| if holds(b"\"chunk_id_key\"") { Kind::WriterKey } else { Kind::MemberKey });
    let mut found = Vec::new();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let kind = if find(line, b"\"signing_key\"").is_some() {
            ours.filter(|_| has_value(line, b"\"signing_key\""))
        } else if known.0.iter().any(|secret| find(line, secret.as_bytes()).is_some()) {
            Some(Kind::VaultAccessKey)
        } else if ours.is_none() && is_identity(line) {
            Some(Kind::AgeIdentity)
        } else if is_secret(line) {
            Some(Kind::SecretAccessKey)
        } else {
            None
        };
        found.extend(kind.map(|kind| (at + 1, kind)));
    }
    found
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len().max(1)).position(|window| window.eq_ignore_ascii_case(word))
}

fn is_identity(line: &[u8]) -> bool {
    IDENTITIES.iter().any(|start| {
        find(line, start).and_then(|at| line.get(at + start.len()..)).is_some_and(|rest| {
            rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count() >= IDENTITY
        })
    })
}

/// Whether a line of JSON gives `name` a value of a key's length.
fn has_value(line: &[u8], name: &[u8]) -> bool {
    let rest = find(line, name).and_then(|at| line.get(at + name.len()..)).unwrap_or_default();
    rest.iter().filter(|byte| byte.is_ascii_alphanumeric()).take(SECRET).count() == SECRET
}

/// Whether a line sets a secret access key, in any of the ways that files and shells do.
fn is_secret(line: &[u8]) -> bool {
    let name = b"secret_access_key";
    let camel = b"secretaccesskey";
    let (at, len) = match (find(line, name), find(line, camel)) {
        (Some(at), _) => (at, name.len()),
        (None, Some(at)) => (at, camel.len()),
        (None, None) => return false,
    };
    let rest = line.get(at + len..).unwrap_or_default();
    let value = rest.trim_ascii_start();
    let value = value.strip_prefix(b"\"").unwrap_or(value).trim_ascii_start();
    let Some((b'=' | b':', value)) = value.split_first() else { return false };
    let plain = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'+' | b'/' | b'=' | b'-' | b'_');
    let value = value.trim_ascii_start();
    let value = value.strip_prefix(b"\"").or_else(|| value.strip_prefix(b"'")).unwrap_or(value);
    value.iter().take_while(plain).count() >= SECRET
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::seal::generate_identity;

    fn kinds(text: &str, known: &[&str]) -> Vec<(usize, Kind)> {
        let known = Known::new(known.iter().map(|secret| Zeroizing::new((*secret).to_owned())));
        scan(text.as_bytes(), &known)
    }

    #[test]
    fn keys_are_found_in_their_lines() {
        let (identity, _) = generate_identity();
        let text = format!("# a\nexport KEY={}\n", identity.expose());
        assert_eq!(kinds(&text, &[]), [(2, Kind::AgeIdentity)]);
        assert_eq!(kinds(&text.to_lowercase(), &[]), [(2, Kind::AgeIdentity)]);
        let writer = format!(
            "{{\n \"signing_key\": \"{}\",\n \"catalog_identity\": \"{}\",\n \"chunk_id_key\": \"{0}\"\n}}",
            "ab".repeat(32),
            identity.expose()
        );
        assert_eq!(kinds(&writer, &[]), [(2, Kind::WriterKey)]);
        let member = format!("{{\"signing_key\":\"{}\"}}", "ab".repeat(32));
        assert_eq!(kinds(&member, &[]), [(1, Kind::MemberKey)]);
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        for line in [
            format!("aws_secret_access_key = {secret}"),
            format!("export AWS_SECRET_ACCESS_KEY=\"{secret}\""),
            format!("  \"SecretAccessKey\": \"{secret}\","),
            format!("secret_access_key: '{secret}'"),
        ] {
            assert_eq!(kinds(&line, &[]), [(1, Kind::SecretAccessKey)], "{line}");
            assert_eq!(kinds(&line, &[secret]), [(1, Kind::VaultAccessKey)], "{line}");
        }
        assert_eq!(kinds(&format!("a\nb {secret} c"), &[secret]), [(2, Kind::VaultAccessKey)]);
    }

    #[test]
    fn words_about_keys_are_none() {
        for line in [
            "an identity begins with AGE-SECRET-KEY-1",
            "AGE-SECRET-KEY-1... goes into a safe",
            "aws_secret_access_key = $SECRET",
            "AWS_SECRET_ACCESS_KEY is not set",
            "let signing_key = SigningKey::generate();",
            "{ \"signing_key\": null }",
            "",
        ] {
            assert_eq!(kinds(line, &["w1"]), [], "{line}");
        }
    }
}
