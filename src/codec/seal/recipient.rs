//! Public keys to seal to.

use std::{collections::BTreeSet, fmt, str::FromStr};

use super::plugin;
use crate::codec::{CodecError, Result};

/// A public key to seal to: X25519 (`age1…`), ssh-ed25519, ssh-rsa of 2048 bits and more, or a plugin's (`age1name1…`).
#[derive(Clone)]
pub struct Recipient(Kind);

#[derive(Clone)]
enum Kind {
    X25519(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
    Plugin(age::plugin::Recipient),
}

impl Recipient {
    pub(super) fn x25519(recipient: age::x25519::Recipient) -> Self {
        Self(Kind::X25519(recipient))
    }

    pub(super) fn ssh(recipient: age::ssh::Recipient) -> Self {
        Self(Kind::Ssh(recipient))
    }

    /// The name of the plugin that seals to it: `age-plugin-NAME` must be in the PATH then.
    #[must_use]
    pub fn plugin(&self) -> Option<&str> {
        match &self.0 {
            Kind::Plugin(recipient) => Some(recipient.plugin()),
            Kind::X25519(_) | Kind::Ssh(_) => None,
        }
    }
}

/// What age seals with. All recipients of one plugin share one run of it.
pub(super) fn wrappers(recipients: &[Recipient]) -> Result<Vec<Box<dyn age::Recipient>>> {
    let mut wrappers: Vec<Box<dyn age::Recipient>> = Vec::with_capacity(recipients.len());
    let mut plugins = Vec::new();
    for recipient in recipients {
        match &recipient.0 {
            Kind::X25519(recipient) => wrappers.push(Box::new(recipient.clone())),
            Kind::Ssh(recipient) => wrappers.push(Box::new(recipient.clone())),
            Kind::Plugin(recipient) => plugins.push(recipient.clone()),
        }
    }
    let names: BTreeSet<&str> = plugins.iter().map(age::plugin::Recipient::plugin).collect();
    for name in names {
        wrappers.push(plugin::recipient(name, &plugins)?);
    }
    Ok(wrappers)
}

impl FromStr for Recipient {
    type Err = CodecError;
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let bad = |why: &str| CodecError::BadKey(format!("{:?} is not a recipient: {why}", shown(text)));
        if text.starts_with("AGE-") || text.contains("PRIVATE KEY") {
            return Err(CodecError::BadKey("that is a secret identity, not a recipient".to_owned()));
        }
        if text.starts_with("ssh-") {
            return text.parse().map(|r| Self(Kind::Ssh(r))).map_err(|e| bad(ssh_reason(&e)));
        }
        if let Ok(recipient) = text.parse() {
            return Ok(Self(Kind::X25519(recipient)));
        }
        text.parse()
            .map(|r| Self(Kind::Plugin(r)))
            .map_err(|_| bad("expected age1…, a plugin's age1name1…, or a line of an ssh-ed25519 or ssh-rsa .pub file"))
    }
}

/// Enough of a refused text to recognise it.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

fn ssh_reason(error: &age::ssh::ParseRecipientKeyError) -> &'static str {
    use age::ssh::ParseRecipientKeyError as E;
    match error {
        E::RsaModulusTooLarge => "the RSA key is too large, at most 4096 bits can be used",
        E::RsaModulusTooSmall => "the RSA key is too small, at least 2048 bits are needed",
        E::Unsupported(_) => "age seals to ssh-ed25519 and ssh-rsa keys only",
        _ => "it is not a valid ssh public key",
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::X25519(recipient) => write!(f, "{recipient}"),
            Kind::Ssh(recipient) => write!(f, "{recipient}"),
            Kind::Plugin(recipient) => write!(f, "{recipient}"),
        }
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Recipient {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_survive_their_text() {
        let texts = [
            super::super::generate_identity().1.to_string(),
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN".to_owned(),
            "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t".to_owned(),
        ];
        for text in texts {
            assert_eq!(text.parse::<Recipient>().unwrap().to_string(), text);
        }
        let commented = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN me@host\n";
        assert!(commented.parse::<Recipient>().is_ok());
    }

    #[test]
    fn what_is_refused_is_explained_and_secrets_are_not_repeated() {
        let secret = super::super::generate_identity().0;
        let error = secret.expose().parse::<Recipient>().unwrap_err().to_string();
        assert!(error.contains("secret identity") && !error.contains(secret.expose()), "{error}");
        for bad in ["", "age1", "ssh-ed25519 AAAA", "ssh-dss AAAA", "hello"] {
            assert!(bad.parse::<Recipient>().is_err(), "{bad}");
        }
    }
}
