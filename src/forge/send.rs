//! Requests that change something. Where it is not known whether one was carried out, it is not sent again: who asked looks.

use std::{fs::File, io::Write, path::Path, time::Duration};

use tempfile::NamedTempFile;

use super::{
    Result, SourceError,
    client::{Client, headers_of},
    json::{MOST, broken},
    link,
    told::{LIMITED, SAID, limit_of, message},
};
use crate::store::s3::WebBody;

/// What came of a request.
#[derive(Debug)]
pub(super) enum Sent {
    /// It was carried out, and answered so.
    Done(serde_json::Value),
    /// It was not: the status, and what the server said.
    Refused(u16, String),
    /// Nobody knows: the server failed, or its answer did not come.
    Unsure(String),
}

impl Client {
    /// Sends `value`.
    ///
    /// # Errors
    /// If somebody asks to stop, or it is no request.
    pub(super) fn send(&mut self, method: &str, url: &str, value: &serde_json::Value) -> Result<Sent> {
        let text = value.to_string();
        let body = if value.is_null() { WebBody::Nothing } else { WebBody::Bytes(text.as_bytes()) };
        self.sent(method, url, ("application/json", body))
    }

    /// Sends the file at `path` as a form's part called `part`, with its name.
    ///
    /// # Errors
    /// As [`send`](Self::send), and if there is no room for it beside itself.
    pub(super) fn send_file(&mut self, url: &str, (part, name): (&str, &str), path: &Path) -> Result<Sent> {
        let failed = |e| SourceError::at("can't be made ready to be sent", path, e);
        let dir = path.parent().unwrap_or(path);
        let mut form = NamedTempFile::new_in(dir).map_err(failed)?;
        let mut file = File::open(path).map_err(failed)?;
        // Nothing of a file's own can be taken for the line between parts, since that is made of what nobody knows before.
        let line = form
            .path()
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "");
        let line = format!("strongroom-{line}-{}", crate::codec::hash::hash(path.as_os_str().as_encoded_bytes()));
        let line = line.get(..60).unwrap_or(&line).to_owned();
        let head = format!(
            "--{line}\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{name}\"\r\nContent-Type: \
             application/octet-stream\r\n\r\n"
        );
        form.write_all(head.as_bytes()).map_err(failed)?;
        std::io::copy(&mut file, &mut form).map_err(failed)?;
        form.write_all(format!("\r\n--{line}--\r\n").as_bytes()).map_err(failed)?;
        let kind = format!("multipart/form-data; boundary={line}");
        self.sent("POST", url, (&kind, WebBody::File(form.path())))
    }

    /// Sends the file at `path` as it is.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(super) fn send_bytes(&mut self, method: &str, url: &str, path: &Path) -> Result<Sent> {
        self.sent(method, url, ("application/octet-stream", WebBody::File(path)))
    }

    fn sent(&mut self, method: &str, url: &str, (kind, body): (&str, WebBody<'_>)) -> Result<Sent> {
        if !self.may_have_token(url) {
            return Err(broken("names a place on another server, which nothing is sent to"));
        }
        let mut limited = Duration::ZERO;
        loop {
            self.calls += 1;
            self.asked_to_stop(url)?;
            let wait = {
                let token = self.token_header()?;
                let mut headers = headers_of(&self.manner, self.manner.accept, token.as_ref());
                if !matches!(body, WebBody::Nothing) {
                    headers.push(("content-type", kind));
                }
                let mut answer = match self.web.send(method, url, &headers, body) {
                    Ok(answer) => answer,
                    Err(e) if e.kind == crate::store::StoreErrorKind::Invalid => {
                        return Err(SourceError::new(e.to_string(), url));
                    }
                    Err(e) => return Ok(Sent::Unsure(e.to_string())),
                };
                tracing::trace!(method, url, status = answer.status, "the forge answered");
                let status = answer.status;
                match limit_of(&answer) {
                    Some(wait) => wait,
                    None if (200..300).contains(&status) => {
                        return Ok(match answer.beginning(MOST) {
                            Ok(text) => Sent::Done(serde_json::from_slice(&text).unwrap_or_default()),
                            Err(e) => Sent::Unsure(e.to_string()),
                        });
                    }
                    None => {
                        let said = message(&answer.beginning(SAID).unwrap_or_default());
                        if status == 408 || status >= 500 {
                            return Ok(Sent::Unsure(format!("the server answered with {status} {said}")));
                        }
                        if status != 403 || !said.to_ascii_lowercase().contains("rate limit") {
                            return Ok(Sent::Refused(status, said));
                        }
                        Duration::from_mins(1)
                    }
                }
            };
            limited += wait;
            if limited > LIMITED {
                return Ok(Sent::Refused(429, "its rate limit did not end".to_owned()));
            }
            self.waited += wait;
            self.pause(wait, url)?;
        }
    }

    fn may_have_token(&self, url: &str) -> bool {
        link::same_place(&self.place, url) || self.uploads.as_deref().is_some_and(|place| link::same_place(place, url))
    }
}
