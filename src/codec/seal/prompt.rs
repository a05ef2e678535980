//! How a person is asked while identities are read or used, by us and by age.

use std::sync::Arc;

use age::secrecy::SecretString;
use zeroize::Zeroizing;

/// How a person is asked while identities are read or used.
pub trait Prompt: Send + Sync {
    /// Asks for a secret. `what` says for what. `None` if nobody answers.
    fn secret(&self, what: &str) -> Option<Zeroizing<String>>;
    /// Tells something, such as that a hardware key waits to be touched.
    fn note(&self, text: &str);
}

/// Nobody is there to be asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPrompt;

impl Prompt for NoPrompt {
    fn secret(&self, _what: &str) -> Option<Zeroizing<String>> {
        None
    }

    fn note(&self, _text: &str) {}
}

/// Lets a plugin talk to the person.
#[derive(Clone)]
pub(super) struct Asker(pub(super) Arc<dyn Prompt>);

impl age::Callbacks for Asker {
    fn display_message(&self, message: &str) {
        self.0.note(message);
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let question = format!("{message} (y = {yes}, n = {})", no.unwrap_or("no"));
        let answer = self.0.secret(&question)?;
        Some(answer.trim_start().starts_with(['y', 'Y']))
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        self.0.secret(description).map(|answer| answer.to_string())
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        self.0.secret(description).map(|answer| SecretString::from(answer.as_str()))
    }
}

/// A key that opens files.
pub(super) type Key = Box<dyn age::Identity + Send + Sync>;
