//! Identities: the secret halves of recipients, read from the texts people keep them in.

use std::{io::Read as _, sync::Arc};

use age::secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{
    Recipient, plugin,
    prompt::{Key, Prompt},
};
use crate::{
    codec::{CodecError, Result},
    model::VaultId,
};

/// The line of an identity file that says which vault it belongs to begins so.
const PIN: &str = "# strongroom-vault:";

/// How often a passphrase is asked for.
const TRIES: usize = 3;

/// How files begin that age wrote, in their two forms.
const ENCRYPTED: [&[u8]; 2] = [b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE"];

/// The most work that a passphrase may ask for, as a power of two: what age itself takes.
const MAX_WORK: u8 = 22;

/// The longest identity file in bytes, opened.
const LIMIT: u64 = 1 << 20;

/// The secret text of an identity, `AGE-SECRET-KEY-1…`. Wiped when dropped.
pub struct IdentityText(SecretString);

impl IdentityText {
    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<&str> for IdentityText {
    fn from(text: &str) -> Self {
        Self(SecretString::from(text))
    }
}

/// A new X25519 identity and its recipient.
#[must_use]
pub fn generate_identity() -> (IdentityText, Recipient) {
    let identity = age::x25519::Identity::generate();
    (IdentityText(identity.to_string()), Recipient::x25519(identity.to_public()))
}

/// The recipient of the first identity in `identity_text`.
///
/// # Errors
/// If there is none, or it is a plugin's: only the plugin knows its recipient.
pub fn recipient_of(identity_text: &str) -> Result<Recipient> {
    if is_ssh(identity_text) {
        let recipient = age::ssh::Recipient::try_from(ssh(identity_text, "the identity")?);
        return recipient.map(Recipient::ssh).map_err(|_| bad("the identity", "its type of ssh key cannot be used"));
    }
    let Some((_, line)) = lines(identity_text).next() else { return Err(bad("the identity", "it is empty")) };
    let identity: age::x25519::Identity =
        line.parse().map_err(|_| bad("the identity", "it is not an X25519 identity, AGE-SECRET-KEY-1…"))?;
    Ok(Recipient::x25519(identity.to_public()))
}

/// The vaults that an identity file pins: its lines `# strongroom-vault: ID`.
///
/// # Errors
/// If such a line holds no id. Reading on without it would trust any vault.
pub fn pin_comments(text: &str) -> Result<Vec<VaultId>> {
    let pins = text.lines().filter_map(|line| line.trim().strip_prefix(PIN));
    pins.map(|id| id.trim().parse().map_err(|_| bad("the line '# strongroom-vault:'", "it holds no vault id")))
        .collect()
}

/// The keys in `text`, those that need no plugin first: the first key that fits a file decides.
pub(super) fn parse(text: &str, origin: &str, prompt: &Arc<dyn Prompt>) -> Result<Vec<Key>> {
    if is_encrypted(text.as_bytes()) {
        return Err(bad(origin, "it is itself encrypted: decrypt it first, with 'age -d', and give the result"));
    }
    if is_ssh(text) {
        return Ok(vec![unlock(ssh(text, origin)?, origin, prompt.as_ref())?]);
    }
    let (mut keys, mut plugins): (Vec<Key>, Vec<Key>) = (Vec::new(), Vec::new());
    for (number, line) in lines(text) {
        if let Ok(identity) = line.parse::<age::x25519::Identity>() {
            keys.push(Box::new(identity));
        } else if let Ok(identity) = line.parse::<age::plugin::Identity>() {
            plugins.push(plugin::identity(identity, prompt)?);
        } else {
            return Err(bad(origin, &format!("line {number} is neither an identity nor a comment")));
        }
    }
    keys.append(&mut plugins);
    if keys.is_empty() {
        return Err(bad(origin, "it holds no identity"));
    }
    Ok(keys)
}

/// Whether these bytes are an age file themselves, as `age -p` makes of an identity file.
#[must_use]
pub fn is_encrypted(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_start();
    ENCRYPTED.iter().any(|beginning| bytes.starts_with(beginning))
}

/// What is in an identity file that a passphrase protects, which is asked for.
///
/// # Errors
/// If it was encrypted to a key, nobody gives the passphrase, or it is damaged.
pub fn unlocked(bytes: &[u8], origin: &str, prompt: &dyn Prompt) -> Result<Zeroizing<Vec<u8>>> {
    let damaged = |e: age::DecryptError| bad(origin, &format!("it is encrypted and can't be opened: {e}"));
    for _ in 0..TRIES {
        let armored = age::armor::ArmoredReader::new(bytes.trim_ascii_start());
        let decryptor = age::Decryptor::new(armored).map_err(damaged)?;
        if !decryptor.is_scrypt() {
            return Err(bad(
                origin,
                "it is encrypted to a key: decrypt it with 'age -d' and give the result as '-i -'",
            ));
        }
        let Some(passphrase) = prompt.secret(&format!("passphrase of {origin}")) else {
            let why = "it has a passphrase, and there is no terminal to ask for it at: run this where one is, or decrypt \
                       it elsewhere with 'age -d' and give the result as '-i -'";
            return Err(bad(origin, why));
        };
        let mut key = age::scrypt::Identity::new(SecretString::from(passphrase.as_str()));
        key.set_max_work_factor(MAX_WORK);
        match decryptor.decrypt(std::iter::once(&key as &dyn age::Identity)) {
            Ok(opened) => {
                // Growing would leave copies behind that nobody wipes.
                let mut text = Zeroizing::new(Vec::with_capacity(bytes.len()));
                let read = opened.take(LIMIT).read_to_end(&mut text);
                return read.map(|_| text).map_err(|e| bad(origin, &format!("what is in it can't be read: {e}")));
            }
            Err(age::DecryptError::DecryptionFailed | age::DecryptError::KeyDecryptionFailed) => {
                prompt.note("wrong passphrase");
            }
            Err(error) => return Err(damaged(error)),
        }
    }
    Err(bad(origin, "the passphrase is wrong"))
}

fn bad(origin: &str, why: &str) -> CodecError {
    CodecError::BadKey(format!("{origin} cannot be used as an identity: {why}"))
}

/// The lines that are neither empty nor comments, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(i, line)| (i.saturating_add(1), line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn is_ssh(text: &str) -> bool {
    lines(text).next().is_some_and(|(_, line)| line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY"))
}

fn ssh(text: &str, origin: &str) -> Result<age::ssh::Identity> {
    let start = text.find("-----BEGIN ").unwrap_or_default();
    let key = text.get(start..).unwrap_or_default();
    age::ssh::Identity::from_buffer(key.as_bytes(), Some(origin.to_owned()))
        .map_err(|_| bad(origin, "it is not an ssh private key of a known form; ssh-keygen -p rewrites an old one"))
}

/// Opens a key with its passphrase now, so that nobody is asked again for each file.
fn unlock(identity: age::ssh::Identity, origin: &str, prompt: &dyn Prompt) -> Result<Key> {
    let locked = match identity {
        age::ssh::Identity::Encrypted(locked) => locked,
        age::ssh::Identity::Unsupported(_) => return Err(bad(origin, "age does not support this kind of ssh key")),
        identity @ age::ssh::Identity::Unencrypted(_) => return Ok(Box::new(identity)),
    };
    for _ in 0..TRIES {
        let Some(passphrase) = prompt.secret(&format!("passphrase of {origin}")) else {
            return Err(bad(origin, "it has a passphrase, and nobody gave it"));
        };
        if let Ok(key) = locked.decrypt(SecretString::from(passphrase.as_str())) {
            return Ok(Box::new(age::ssh::Identity::from(key)));
        }
        prompt.note("wrong passphrase");
    }
    Err(bad(origin, "the passphrase is wrong"))
}
