//! `doctor --hunt`: keys of a vault in what files hold, told by place and kind and never shown.

mod ssh;
mod unpack;

use std::sync::Arc;

use memchr::memmem::Finder;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::codec::seal::{self, NoPrompt, Opener};

/// What a place gives away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An age identity: opens backups that were sealed to it.
    AgeIdentity,
    /// An age identity that opens no record of the vault at hand.
    OtherIdentity,
    /// Something that a passphrase opens and that may be an identity.
    EncryptedIdentity,
    /// An ssh private key to whose public half the vault's keys are sealed.
    SshKey,
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
            Self::OtherIdentity => "other-identity",
            Self::EncryptedIdentity => "encrypted-identity",
            Self::SshKey => "ssh-key",
            Self::WriterKey => "writer-key",
            Self::MemberKey => "member-key",
            Self::VaultAccessKey => "vault-access-key",
            Self::SecretAccessKey => "secret-access-key",
        }
    }

    /// Whether it is known to be the vault's, and not only of a kind that may be.
    #[must_use]
    pub const fn is_certain(self) -> bool {
        !matches!(self, Self::SecretAccessKey | Self::EncryptedIdentity | Self::OtherIdentity)
    }

    /// Whether it opens backups.
    #[must_use]
    pub const fn opens(self) -> bool {
        matches!(self, Self::AgeIdentity | Self::SshKey)
    }
}

/// A key in a file.
#[derive(Debug, Clone, Serialize)]
pub struct Hit {
    /// The file.
    pub path: String,
    /// The line, from 1; of what is packed in the file, where it begins.
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
    /// How many of those that were read hold no text.
    pub binary: u64,
    /// How many hold more within than was looked at, or are packed in a way that is not known here.
    pub unopened: u64,
    /// How many ssh private keys there are of which nobody can say whether they open the vault.
    pub ssh_unjudged: u64,
    /// How many files and directories this user could not read.
    pub unreadable: u64,
    /// The keys, by file.
    pub hits: Vec<Hit>,
}

/// How deep things are packed in each other that are looked at.
const DEPTH: usize = 5;
/// How much of the text is squeezed at once, in bytes, and how much two pieces share.
const PIECE: usize = 1 << 20;
const SHARED: usize = 512;
/// How every X25519 identity of age begins, and how many characters follow.
const IDENTITY: (&[u8], usize) = (b"AGE-SECRET-KEY-1", 58);
/// How every identity of a plugin begins.
const PLUGIN: &[u8] = b"AGE-PLUGIN-";
/// The fewest characters that a plugin's identity has after its beginning; whoever writes about them shows fewer.
const PLUGIN_REST: usize = 30;
/// The fewest characters of a secret access key.
const SECRET: usize = 16;
/// The largest file that a passphrase opens and that is taken for an identity.
const ENCRYPTED: usize = 8 << 10;
/// What tools call a secret access key, in small letters.
const SECRET_NAMES: [&[u8]; 6] =
    [b"secret_access_key", b"secretaccesskey", b"secret_key", b"secretkey", b"secret-key", b"aws_secret"];

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

/// What opens the vault at hand, by its own records.
#[derive(Default)]
pub struct Judge {
    /// The records of its keys, sealed to people.
    sealed: Vec<Vec<u8>>,
}

impl Judge {
    /// Judges by these sealed records; by none, it knows nothing.
    #[must_use]
    pub fn new(sealed: Vec<Vec<u8>>) -> Self {
        Self { sealed }
    }

    /// Whether an age identity opens any record; `None` without records.
    fn opens(&self, identity: &str) -> Option<bool> {
        let opener = Opener::from_identity_text(identity, "an identity", Arc::new(NoPrompt)).ok()?;
        (!self.sealed.is_empty()).then(|| self.sealed.iter().any(|sealed| opener.open(sealed, 64 << 10).is_ok()))
    }

    /// Whether a record is sealed to the ssh key of this tag; `None` without records.
    fn is_for(&self, tag: &str) -> Option<bool> {
        (!self.sealed.is_empty())
            .then(|| self.sealed.iter().any(|sealed| seal::ssh_tags(sealed).iter().any(|other| other == tag)))
    }
}

/// What was found in one file.
#[derive(Default)]
pub struct Searched {
    /// Lines and kinds.
    pub hits: Vec<(usize, Kind)>,
    /// Whether something within was not looked at.
    pub cut: bool,
    /// ssh keys that could not be judged.
    pub ssh_unjudged: u64,
}

/// Looks through the bytes of a file, and through what is packed, compressed or encoded in it.
#[must_use]
pub fn search(bytes: &[u8], known: &Known, judge: &Judge) -> Searched {
    let mut searched = Searched::default();
    let search = Search { known, judge };
    search.look(bytes, None, 0, &mut searched);
    searched.hits.sort_unstable();
    searched.hits.dedup();
    searched
}

struct Search<'a> {
    known: &'a Known,
    judge: &'a Judge,
}

impl Search<'_> {
    /// Looks through what lies `depth` deep, which begins in `line` of the file.
    fn look(&self, bytes: &[u8], line: Option<usize>, depth: usize, found: &mut Searched) {
        let place = |at: usize| line.unwrap_or_else(|| line_of(bytes, at));
        let told = scan(bytes, self.known);
        let ours = told.iter().any(|(_, kind)| matches!(kind, Kind::WriterKey | Kind::MemberKey));
        found.hits.extend(told.into_iter().map(|(own, kind)| (line.unwrap_or(own), kind)));
        if !ours {
            for (at, identity) in identities(bytes) {
                let opens = self.judge.opens(&identity) != Some(false);
                let kind = if opens { Kind::AgeIdentity } else { Kind::OtherIdentity };
                found.hits.push((place(at), kind));
            }
        }
        for key in ssh::keys(bytes) {
            match key.tag.as_deref().and_then(|tag| self.judge.is_for(tag)) {
                Some(true) => found.hits.push((place(key.at), Kind::SshKey)),
                Some(false) => {}
                None => found.ssh_unjudged += 1,
            }
        }
        if bytes.len() <= ENCRYPTED && is_encrypted(bytes) {
            found.hits.push((place(0), Kind::EncryptedIdentity));
        }
        if depth == DEPTH {
            return;
        }
        found.cut |= unpack::is_closed(bytes);
        let inside = unpack::unpack(bytes);
        found.cut |= inside.cut;
        for part in &inside.parts {
            self.look(part, Some(place(0)), depth + 1, found);
        }
        for (at, part) in unpack::decoded(bytes) {
            self.look(&part, Some(place(at)), depth + 1, found);
        }
    }
}

fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + memchr::memchr_iter(b'\n', bytes.get(..at).unwrap_or_default()).count()
}

/// Whether an age file is closed by a passphrase.
fn is_encrypted(bytes: &[u8]) -> bool {
    let scrypt = |bytes: &[u8]| {
        bytes.starts_with(b"age-encryption.org/v1\n") && memchr::memmem::find(bytes, b"-> scrypt ").is_some()
    };
    let armored = bytes.trim_ascii_start().strip_prefix(b"-----BEGIN AGE ENCRYPTED FILE-----");
    let armored = armored.and_then(|rest| {
        let word: Vec<u8> =
            rest.iter().copied().take_while(|byte| *byte != b'-').filter(|b| !b.is_ascii_whitespace()).collect();
        unpack::plain(&word)
    });
    scrypt(bytes) || armored.is_some_and(|plain| scrypt(&plain))
}

/// The identities of age in a text, whatever divides their letters: ends of lines, spaces, quotes. What only looks like
/// one does not have its checksum.
fn identities(text: &[u8]) -> Vec<(usize, Zeroizing<String>)> {
    let finder = Finder::new(IDENTITY.0);
    let mut found: Vec<(usize, Zeroizing<String>)> = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = (start + PIECE).min(text.len());
        let piece = text.get(start..end).unwrap_or_default();
        let (squeezed, places) = squeezed(piece);
        for at in finder.find_iter(&squeezed) {
            let whole =
                squeezed.get(at..at + IDENTITY.0.len() + IDENTITY.1).and_then(|key| std::str::from_utf8(key).ok());
            let (Some(key), Some(place)) = (whole, places.get(at)) else { continue };
            let place = start + usize::try_from(*place).unwrap_or_default();
            if seal::recipient_of(key).is_ok() && found.last().is_none_or(|(last, _)| *last != place) {
                found.push((place, Zeroizing::new(key.to_owned())));
            }
        }
        start = if end == text.len() { end } else { end - SHARED };
    }
    found
}

/// A text without what divides words, in capitals, and where each letter was.
fn squeezed(text: &[u8]) -> (Zeroizing<Vec<u8>>, Vec<u32>) {
    let (mut squeezed, mut places) = (Zeroizing::new(Vec::with_capacity(text.len())), Vec::with_capacity(text.len()));
    let mut escaped = false;
    for (at, byte) in (0_u32..).zip(text) {
        let skip = byte.is_ascii_whitespace()
            || matches!(byte, b'"' | b'\'' | b'\\' | b',' | b'+' | b'|' | b'>' | 0)
            || (escaped && matches!(byte, b'n' | b'r' | b't'));
        escaped = *byte == b'\\';
        if !skip {
            squeezed.push(byte.to_ascii_uppercase());
            places.push(at);
        }
    }
    (squeezed, places)
}

/// The lines of `text` that give a key away by a name or because it is known, and what of.
#[must_use]
pub fn scan(text: &[u8], known: &Known) -> Vec<(usize, Kind)> {
    // A key file of ours is one thing, whatever its lines hold. A certificate has a key of that name as well, which is
    // public.
    let small = Zeroizing::new(text.to_ascii_lowercase());
    let holds = |word: &[u8]| memchr::memmem::find(&small, word).is_some();
    let certificate = holds(b"\"valid_from\"") && holds(b"\"rev\"");
    let ours = (holds(b"\"signing_key\"") && !certificate)
        .then(|| if holds(b"\"chunk_id_key\"") { Kind::WriterKey } else { Kind::MemberKey });
    let mut found = Vec::new();
    if let Some(ours) = ours {
        let word = b"\"signing_key\"";
        for at in memchr::memmem::find_iter(&small, word) {
            let rest = small.get(at + word.len()..).unwrap_or_default();
            if has_value(rest.get(..rest.len().min(100)).unwrap_or_default()) {
                found.push((line_of(text, at), ours));
            }
        }
    }
    for secret in &known.0 {
        let places = memchr::memmem::find_iter(text, secret.as_bytes());
        found.extend(places.map(|at| (line_of(text, at), Kind::VaultAccessKey)));
    }
    if found.iter().all(|(_, kind)| *kind == Kind::VaultAccessKey) {
        let plugin = PLUGIN.to_ascii_lowercase();
        for at in memchr::memmem::find_iter(&small, &plugin) {
            let rest = small.get(at + PLUGIN.len()..).unwrap_or_default();
            let long = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
            if long >= PLUGIN_REST && rest.iter().take(long).any(|byte| *byte == b'1') {
                found.push((line_of(text, at), Kind::AgeIdentity));
            }
        }
    }
    for name in SECRET_NAMES {
        for at in memchr::memmem::find_iter(&small, name) {
            let line = line_of(text, at);
            let rest = text.get(at + name.len()..).unwrap_or_default();
            if is_secret(rest) && !found.iter().any(|(other, _)| *other == line) {
                found.push((line, Kind::SecretAccessKey));
            }
        }
    }
    beside_ids(text, &mut found);
    found.sort_unstable();
    found.dedup();
    found
}

/// Secrets that stand beside an access key of AWS's form: `passwd-s3fs` has `ID:SECRET`, a state of Terraform names both.
fn beside_ids(text: &[u8], found: &mut Vec<(usize, Kind)>) {
    for start in [b"AKIA".as_slice(), b"ASIA"] {
        for at in memchr::memmem::find_iter(text, start) {
            let rest = text.get(at..).unwrap_or_default();
            let id = rest.iter().take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit()).count();
            let before = at.checked_sub(1).and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric);
            if id != 20 || before {
                continue;
            }
            // Within a screen of text, in either direction.
            let from = at.saturating_sub(600);
            let window = text.get(from..(at + 600).min(text.len())).unwrap_or_default();
            let mut place = from;
            for word in window.split(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))) {
                let line = line_of(text, place);
                place += word.len() + 1;
                let known = |found: &[(usize, Kind)]| found.iter().any(|(other, _)| *other == line);
                if looks_random(word.rsplit(|b| *b == b'=').next().unwrap_or(word)) && !known(found) {
                    found.push((line, Kind::SecretAccessKey));
                }
            }
        }
    }
}

/// Whether a word is of the length of AWS's secrets and of all kinds of letters.
fn looks_random(word: &[u8]) -> bool {
    word.len() == 40
        && word.iter().any(u8::is_ascii_uppercase)
        && word.iter().any(u8::is_ascii_lowercase)
        && word.iter().any(u8::is_ascii_digit)
}

/// Whether JSON gives a value of a key's length.
fn has_value(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b"\\").unwrap_or(rest).trim_ascii_start();
    let Some((b':', rest)) = rest.split_first() else { return false };
    let value = rest.iter().skip_while(|byte| !byte.is_ascii_alphanumeric());
    value.take_while(|byte| byte.is_ascii_alphanumeric()).take(SECRET).count() == SECRET
}

/// Whether what follows a name sets it to a secret, in any of the ways that files and shells do.
fn is_secret(rest: &[u8]) -> bool {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'\\');
    let after: Vec<u8> = rest.iter().copied().take(200).skip_while(blank).collect();
    let Some((b'=' | b':', value)) = after.split_first() else { return false };
    let value = value.get(value.iter().take_while(|byte| blank(byte)).count()..).unwrap_or_default();
    let plain = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'+' | b'/' | b'=' | b'-' | b'_');
    value.iter().take_while(plain).count() >= SECRET
}

#[cfg(test)]
#[path = "hunt/tests.rs"]
mod tests;
