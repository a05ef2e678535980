//! LFS objects, which a forge gives by a protocol of their own (the batch API of git LFS): git itself brings pointers to them.

use std::{fs::File, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Provider, Result, SourceError, Token,
    client::{Broke, Call, Client, Got, LFS, Manner},
    json::broken,
    link,
};
use crate::{
    model::Cancel,
    source::git::{LfsClient, LfsServer},
};

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
        match self.client.file(&href, true, into)? {
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

impl Asking {
    /// Where the server says that an object is, or why it has none.
    fn place(&mut self, id: &str, size: u64) -> Result<std::result::Result<String, String>> {
        let asked = json!({
            "operation": "download", "transfers": ["basic"], "hash_algo": "sha256", "objects": [{"oid": id, "size": size}],
        });
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
        let one = told.get("objects").and_then(|all| all.get(0)).cloned().unwrap_or_default();
        if let Some(error) = one.get("error") {
            let said = error.get("message").and_then(Value::as_str).unwrap_or_default();
            let said: String = crate::model::visible::visible(said).chars().take(200).collect();
            return Ok(Err(format!("{} {said}", error.get("code").and_then(Value::as_i64).unwrap_or_default())));
        }
        let href = one.get("actions").and_then(|all| all.get("download")?.get("href")?.as_str());
        Ok(href.map(str::to_owned).ok_or_else(|| "it tells of no place to get it from".to_owned()))
    }
}
