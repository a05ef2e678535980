//! LFS objects, which a forge gives by a protocol of their own (the batch API of git LFS): git itself brings pointers to them.

use std::{fs::File, path::PathBuf, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Provider, Result, SourceError, Token,
    client::{Broke, Call, Client, Got, LFS, Manner},
    json::broken,
    link,
    told::{SAID, message},
};
use crate::{
    model::Cancel,
    source::git::{LfsClient, LfsServer},
    store::s3::WebBody,
};

/// How many objects are asked about at once.
const BATCH: usize = 100;
/// How long is waited before each time that something is sent.
const PAUSES: [Duration; 4] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// The LFS objects of one repository.
#[derive(Clone)]
pub struct LfsObjects {
    /// Where the repository is, as git is told.
    url: String,
    /// Who logs in beside the token.
    user: &'static str,
    token: Option<Token>,
    patience: Option<Duration>,
}

/// Who asks for them.
struct Asking {
    of: LfsObjects,
    client: Client,
}

impl LfsObjects {
    /// Those of the repository at `url`, which ends with `.git`.
    #[must_use]
    pub fn new(provider: Provider, url: &str, token: Option<Token>, patience: Option<Duration>) -> Self {
        Self { url: url.to_owned(), user: provider.git_user(), token, patience }
    }

    /// A client that logs in as git does.
    fn logged_in(&self) -> Result<Client> {
        let manner = Manner { token: ("authorization", "Basic "), accept: LFS, more: None };
        let word = match &self.token {
            None => None,
            Some(token) => {
                let both = Zeroizing::new(format!("{}:{}", self.user, token.now()?.as_str()));
                Some(Token::word(Zeroizing::new(STANDARD.encode(both.as_bytes()))))
            }
        };
        Client::new(&self.url, word, manner, (self.patience, Cancel::default()))
    }
}

impl LfsServer for LfsObjects {
    fn client(&self) -> Result<Box<dyn LfsClient>> {
        Ok(Box::new(Asking { of: self.clone(), client: self.logged_in()? }))
    }
}

impl LfsClient for Asking {
    fn fetch(&mut self, id: &str, size: u64, into: &mut File) -> Result<std::result::Result<(), String>> {
        if self.of.token.as_ref().is_some_and(Token::ends) {
            self.client = self.of.logged_in()?;
        }
        let href = match self.place(id, size)? {
            Ok(href) => href,
            Err(why) => return Ok(Err(why)),
        };
        // What is elsewhere is a store that the URL itself lets in to.
        if !link::same_place(&self.of.url, &href) && !href.starts_with("https://") {
            return Ok(Err("it is on another server, which is not asked by http".to_owned()));
        }
        match self.client.file(&href, Some(size), into)? {
            Got::Read(_) | Got::Same => {
                let length =
                    into.metadata().map_err(|e| SourceError::new("can't be written", "an LFS object").because(e))?;
                Ok(if length.len() == size { Ok(()) } else { Err(format!("{} bytes of {size} came", length.len())) })
            }
            Got::Refused(status, said) => Ok(Err(format!("{status} {said}").trim_end().to_owned())),
            Got::Failed(why) => Ok(Err(why)),
        }
    }
}

/// What became of objects that were given.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) made: u64,
    pub(super) there: u64,
    /// Those that the server did not take, with why.
    pub(super) refused: Vec<(String, String)>,
}

impl LfsObjects {
    /// Gives objects to the server, as far as it has them not.
    ///
    /// # Errors
    /// If it can't be asked.
    pub(super) fn give(&self, objects: &[(String, PathBuf, u64)]) -> Result<Given> {
        let mut asking = Asking { of: self.clone(), client: self.logged_in()? };
        let mut given = Given::default();
        for part in objects.chunks(BATCH) {
            asking.give(part, &mut given)?;
        }
        Ok(given)
    }
}

impl Asking {
    /// Asks about some objects.
    fn batch(&mut self, operation: &str, objects: &[Value]) -> Result<std::result::Result<Vec<Value>, String>> {
        let asked = json!({"operation": operation, "transfers": ["basic"], "hash_algo": "sha256", "objects": objects});
        let (url, body) = (format!("{}/info/lfs/objects/batch", self.of.url), asked.to_string());
        let mut told = Vec::new();
        let call = Call { accept: LFS, etag: None, body: Some(body.as_bytes()), redirects: false };
        let got = self.client.attempts(&url, call, &mut || Ok(()), &mut |answer| {
            told = answer.beginning(super::json::MOST).map_err(Broke::Off)?;
            Ok(())
        })?;
        match got {
            Got::Read(_) | Got::Same => {}
            Got::Refused(status, said) => return Ok(Err(format!("{status} {said}").trim_end().to_owned())),
            Got::Failed(why) => return Ok(Err(why)),
        }
        let told: Value = serde_json::from_slice(&told).map_err(|_| broken("answers for LFS with what is no JSON"))?;
        Ok(Ok(told.get("objects").and_then(Value::as_array).cloned().unwrap_or_default()))
    }

    fn give(&mut self, objects: &[(String, PathBuf, u64)], given: &mut Given) -> Result<()> {
        let wanted: Vec<Value> = objects.iter().map(|(id, _, size)| json!({"oid": id, "size": size})).collect();
        let told = match self.batch("upload", &wanted)? {
            Ok(told) => told,
            Err(why) => {
                given.refused.extend(objects.iter().map(|(id, ..)| (id.clone(), why.clone())));
                return Ok(());
            }
        };
        for (id, path, size) in objects {
            let one = told.iter().find(|one| one.get("oid").and_then(Value::as_str) == Some(id.as_str()));
            let Some(one) = one else {
                given.refused.push((id.clone(), "the server says nothing of it".to_owned()));
                continue;
            };
            if let Some(why) = refusal(one) {
                given.refused.push((id.clone(), why));
                continue;
            }
            let Some(upload) = one.get("actions").and_then(|all| all.get("upload")) else {
                given.there += 1;
                continue;
            };
            let sent = self.act("PUT", upload, ("application/octet-stream", WebBody::File(path)))?;
            let verify = one.get("actions").and_then(|all| all.get("verify"));
            let body = json!({"oid": id, "size": size}).to_string();
            let sent = match (sent, verify) {
                (Ok(()), Some(verify)) => self.act("POST", verify, (LFS, WebBody::Bytes(body.as_bytes())))?,
                (sent, _) => sent,
            };
            match sent {
                Ok(()) => given.made += 1,
                Err(why) => given.refused.push((id.clone(), why)),
            }
        }
        Ok(())
    }

    /// Does what the server said is to be done. To send an object twice is to send it once, since it goes by its hash.
    fn act(
        &mut self,
        method: &str,
        action: &Value,
        (kind, body): (&str, WebBody<'_>),
    ) -> Result<std::result::Result<(), String>> {
        let href = action.get("href").and_then(Value::as_str).unwrap_or_default();
        let here = link::same_place(&self.of.url, href);
        if !here && !href.starts_with("https://") {
            return Ok(Err("it belongs on another server, which is not spoken to by http".to_owned()));
        }
        let told = action.get("header").and_then(Value::as_object).into_iter().flatten();
        let told: Vec<(String, &str)> =
            told.filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?))).collect();
        let token = if here { self.client.token_header()? } else { None };
        let mut headers: Vec<(&str, &str)> = vec![("user-agent", "strongroom"), ("accept", LFS)];
        if !told.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type", kind));
        }
        if let Some(token) = token.as_ref().filter(|_| !told.iter().any(|(name, _)| name == "authorization")) {
            headers.push(("authorization", token.as_str()));
        }
        // How it is sent is ours.
        let ours = ["content-length", "transfer-encoding", "host", "user-agent", "accept"];
        headers.extend(told.iter().filter(|(name, _)| !ours.contains(&name.as_str())).map(|(n, v)| (n.as_str(), *v)));
        let mut why = String::new();
        self.client.meet(href)?;
        for pause in PAUSES {
            self.client.pause(pause, href)?;
            self.client.calls += 1;
            let (status, said) = match self.client.web_of(href).send(method, href, &headers, body) {
                Ok(mut answer) => (answer.status, message(&answer.beginning(SAID).unwrap_or_default())),
                Err(e) => {
                    why = e.to_string();
                    continue;
                }
            };
            if (200..300).contains(&status) {
                return Ok(Ok(()));
            }
            why = if said.is_empty() { status.to_string() } else { format!("{status} {said}") };
            if status != 429 && status < 500 {
                break;
            }
        }
        Ok(Err(why))
    }

    /// Where the server says that an object is, or why it has none.
    fn place(&mut self, id: &str, size: u64) -> Result<std::result::Result<String, String>> {
        let told = match self.batch("download", &[json!({"oid": id, "size": size})])? {
            Ok(told) => told,
            Err(why) => return Ok(Err(why)),
        };
        let one = told.into_iter().next().unwrap_or_default();
        if let Some(why) = refusal(&one) {
            return Ok(Err(why));
        }
        let href = one.get("actions").and_then(|all| all.get("download")?.get("href")?.as_str());
        Ok(href.map(str::to_owned).ok_or_else(|| "it tells of no place to get it from".to_owned()))
    }
}

/// What the server has against an object.
fn refusal(one: &Value) -> Option<String> {
    let error = one.get("error")?;
    let said = error.get("message").and_then(Value::as_str).unwrap_or_default();
    let said: String = crate::model::visible::visible(said).chars().take(200).collect();
    Some(format!("{} {said}", error.get("code").and_then(Value::as_i64).unwrap_or_default()))
}
