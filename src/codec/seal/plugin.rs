//! Plugins of age. The age crate starts a plugin with all of the environment that it is called in, and in ours there may be
//! what opens the vault and reaches the store. So whoever owns the process names a [`Runner`], which calls [`plugin_step`] in a
//! process of its own with the variables that a plugin needs, and the plugin is started from there.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    sync::{Arc, OnceLock},
};

use age::{Identity as _, Recipient as _, secrecy::ExposeSecret as _};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::prompt::{Asker, Key, Prompt};
use crate::codec::{CodecError, Result};

/// Calls [`plugin_step`] with these bytes in another process, and gives its answer.
pub type Runner = fn(&[u8]) -> io::Result<Zeroizing<Vec<u8>>>;

static RUNNER: OnceLock<Runner> = OnceLock::new();

/// Has plugins run by `runner` from now on. Before, and in a process that never calls this, they get its own environment.
pub fn run_plugins_by(runner: Runner) {
    // The first one stays.
    let _ = RUNNER.set(runner);
}

/// What is asked of the process that starts the plugin.
#[derive(Serialize, Deserialize)]
enum Asked {
    /// The key of a file that one of these stanzas holds.
    Open { identity: Secret, stanzas: Vec<Told> },
    /// Stanzas that hold this key for these recipients.
    Seal { recipients: Vec<String>, key: Secret },
}

/// What it answers.
#[derive(Serialize, Deserialize)]
enum Answer {
    Key(Secret),
    /// None of the stanzas is for this identity.
    NotMine,
    Stanzas {
        stanzas: Vec<Told>,
        labels: BTreeSet<String>,
    },
    Failed(String),
}

/// A secret on its way. Wiped when dropped.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Secret(String);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A stanza, as it is passed on.
#[derive(Serialize, Deserialize)]
struct Told {
    tag: String,
    args: Vec<String>,
    body: String,
}

impl Told {
    fn of(stanza: &Stanza) -> Self {
        Self { tag: stanza.tag.clone(), args: stanza.args.clone(), body: hex::encode(&stanza.body) }
    }

    fn stanza(self) -> io::Result<Stanza> {
        let body = hex::decode(&self.body).map_err(io::Error::other)?;
        Ok(Stanza { tag: self.tag, args: self.args, body })
    }
}

fn spelled(key: &FileKey) -> Secret {
    Secret(hex::encode(key.expose_secret()))
}

fn key(spelled: &Secret) -> io::Result<FileKey> {
    let mut bytes = Box::new([0; FILE_KEY_BYTES]);
    hex::decode_to_slice(&spelled.0, bytes.as_mut()).map_err(io::Error::other)?;
    Ok(FileKey::new(bytes))
}

/// What a plugin, or starting it, failed of. The bytes that it was to open are none the worse for it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct PluginFailed(String);

fn ask(runner: Runner, asked: &Asked) -> io::Result<Answer> {
    let request = Zeroizing::new(serde_json::to_vec(asked)?);
    Ok(serde_json::from_slice(&runner(&request)?)?)
}

fn unexpected() -> io::Error {
    io::Error::other("the process that starts plugins answered something else; this is a defect in strongroom")
}

/// Does what is asked in `request` by a plugin that this process starts, and gives the answer. What fails is an answer, too.
#[must_use]
pub fn plugin_step(request: &[u8], prompt: Arc<dyn Prompt>) -> Zeroizing<Vec<u8>> {
    let answer = answer(request, prompt).unwrap_or_else(|e| Answer::Failed(without_isolates(&e.to_string())));
    Zeroizing::new(serde_json::to_vec(&answer).unwrap_or_default())
}

/// The answer that the plugin failed.
#[must_use]
pub fn plugin_failure(why: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(serde_json::to_vec(&Answer::Failed(why.to_owned())).unwrap_or_default())
}

/// Messages of the age crate hold signs around names that isolate their direction of writing, and show as escapes.
pub(super) fn without_isolates(text: &str) -> String {
    text.replace(|c| ('\u{2066}'..='\u{2069}').contains(&c), "")
}

fn answer(request: &[u8], prompt: Arc<dyn Prompt>) -> io::Result<Answer> {
    match serde_json::from_slice(request)? {
        Asked::Open { identity, stanzas } => {
            let identity: age::plugin::Identity = identity.0.parse().map_err(io::Error::other)?;
            let stanzas = stanzas.into_iter().map(Told::stanza).collect::<io::Result<Vec<_>>>()?;
            let name = identity.plugin().to_owned();
            let plugin = age::plugin::IdentityPluginV1::new(&name, &[identity], Asker(prompt));
            let plugin = plugin.map_err(|e| io::Error::other(e.to_string()))?;
            match plugin.unwrap_stanzas(&stanzas) {
                None => Ok(Answer::NotMine),
                Some(Ok(key)) => Ok(Answer::Key(spelled(&key))),
                Some(Err(e)) => Err(io::Error::other(e.to_string())),
            }
        }
        Asked::Seal { recipients, key: spelled } => {
            let recipients = recipients.iter().map(|text| text.parse::<age::plugin::Recipient>());
            let recipients = recipients.collect::<std::result::Result<Vec<_>, _>>().map_err(io::Error::other)?;
            let name = recipients.first().map(|first| first.plugin().to_owned()).unwrap_or_default();
            let plugin = age::plugin::RecipientPluginV1::new(&name, &recipients, &[], Asker(prompt));
            let plugin = plugin.map_err(|e| io::Error::other(e.to_string()))?;
            let (stanzas, labels) =
                plugin.wrap_file_key(&key(&spelled)?).map_err(|e| io::Error::other(e.to_string()))?;
            Ok(Answer::Stanzas {
                stanzas: stanzas.iter().map(Told::of).collect(),
                labels: labels.into_iter().collect(),
            })
        }
    }
}

fn not_there(name: &str, whose: &str) -> CodecError {
    CodecError::BadKey(format!(
        "{whose} is of a plugin, whose program age-plugin-{name} is not in the PATH; install it"
    ))
}

/// The identity of a plugin.
struct Opening {
    identity: age::plugin::Identity,
    direct: age::plugin::IdentityPluginV1<Asker>,
}

/// The key that `identity` is, which its plugin uses.
pub(super) fn identity(identity: age::plugin::Identity, prompt: &Arc<dyn Prompt>) -> Result<Key> {
    let name = identity.plugin().to_owned();
    // Found now, so that one that is not installed is told before anything is read.
    let direct = age::plugin::IdentityPluginV1::new(&name, std::slice::from_ref(&identity), Asker(Arc::clone(prompt)))
        .map_err(|_| not_there(&name, "the identity"))?;
    Ok(Box::new(Opening { identity, direct }))
}

impl age::Identity for Opening {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<std::result::Result<FileKey, age::DecryptError>> {
        let stanza = Stanza { tag: stanza.tag.clone(), args: stanza.args.clone(), body: stanza.body.clone() };
        self.unwrap_stanzas(&[stanza])
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<std::result::Result<FileKey, age::DecryptError>> {
        let Some(runner) = RUNNER.get() else { return self.direct.unwrap_stanzas(stanzas) };
        let asked = Asked::Open {
            identity: Secret(self.identity.to_string()),
            stanzas: stanzas.iter().map(Told::of).collect(),
        };
        let opened = match ask(*runner, &asked) {
            Ok(Answer::NotMine) => return None,
            Ok(Answer::Key(spelled)) => key(&spelled),
            Ok(Answer::Failed(why)) => Err(io::Error::other(why)),
            Ok(Answer::Stanzas { .. }) => Err(unexpected()),
            Err(e) => Err(e),
        };
        Some(opened.map_err(|why| age::DecryptError::Io(io::Error::other(PluginFailed(why.to_string())))))
    }
}

/// Recipients of one plugin.
struct Sealing {
    recipients: Vec<String>,
    direct: age::plugin::RecipientPluginV1<age::NoCallbacks>,
}

/// What seals to those of `recipients` that are of the plugin `name`.
pub(super) fn recipient(name: &str, recipients: &[age::plugin::Recipient]) -> Result<Box<dyn age::Recipient>> {
    let direct = age::plugin::RecipientPluginV1::new(name, recipients, &[], age::NoCallbacks)
        .map_err(|_| not_there(name, "the recipient"))?;
    let of_it = recipients.iter().filter(|recipient| recipient.plugin() == name).map(ToString::to_string);
    Ok(Box::new(Sealing { recipients: of_it.collect(), direct }))
}

impl age::Recipient for Sealing {
    fn wrap_file_key(
        &self,
        file_key: &FileKey,
    ) -> std::result::Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let Some(runner) = RUNNER.get() else { return self.direct.wrap_file_key(file_key) };
        let asked = Asked::Seal { recipients: self.recipients.clone(), key: spelled(file_key) };
        match ask(*runner, &asked)? {
            Answer::Stanzas { stanzas, labels } => {
                let stanzas = stanzas.into_iter().map(Told::stanza).collect::<io::Result<_>>()?;
                Ok((stanzas, labels.into_iter().collect()))
            }
            Answer::Failed(why) => Err(io::Error::other(why).into()),
            Answer::Key(_) | Answer::NotMine => Err(unexpected().into()),
        }
    }
}
