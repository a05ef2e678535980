//! Files, as they are. A forge may have them on another server, which it leads to by a URL that lets in whoever has it: that
//! server is told nothing but what is wanted.

use std::{
    fs::File,
    io::{Seek, Write},
};

use super::{
    Result, SourceError,
    client::{ANSWER, Broke, Call, Client, Got, REDIRECTS, is_redirect},
    json::broken,
    link,
};
use crate::store::s3::Web;

/// The longest file whose length nobody tells.
const LONGEST: u64 = 16 << 30;

impl Client {
    /// The bytes at `url`; of more than `most` the first of them. Another server is asked by https alone, and without the token.
    ///
    /// # Errors
    /// If somebody asks to stop, or there is no room.
    pub(super) fn file(&mut self, url: &str, most: Option<u64>, into: &mut File) -> Result<Got> {
        let (got, away) = self.led(url, most, into)?;
        match got {
            // What it led to lets in for some minutes, which may have gone by while it was tried.
            Got::Refused(..) if away => Ok(self.led(url, most, into)?.0),
            got => Ok(got),
        }
    }

    /// Goes where `url` leads; tells besides whether that was another server.
    fn led(&mut self, url: &str, most: Option<u64>, into: &mut File) -> Result<(Got, bool)> {
        let (mut url, mut away) = (url.to_owned(), !self.is_home(url));
        for _ in 0..REDIRECTS {
            let mut seen = None;
            let call = Call { accept: "application/octet-stream", etag: None, body: None, redirects: true };
            let got = self.attempts(&url, call, &mut || Ok(()), &mut |answer| {
                if is_redirect(answer.status) {
                    seen = Some(answer.header("location").unwrap_or_default().to_owned());
                    return Ok(());
                }
                let failed = |e| SourceError::new("can't be written", "an attachment").because(e);
                // What an attempt before has written is not a part of it.
                into.set_len(0).and_then(|()| into.rewind()).map_err(failed).map_err(Broke::Other)?;
                let mut length = 0_u64;
                while let Some(part) = answer.next_part().map_err(Broke::Off)? {
                    into.write_all(&part).map_err(failed).map_err(Broke::Other)?;
                    length += part.len() as u64;
                    if most.is_some_and(|most| length > most) {
                        break;
                    }
                    if length > LONGEST && most.is_none() {
                        return Err(Broke::Bad(broken("with a file is longer than 16 GiB")));
                    }
                }
                Ok(())
            })?;
            let Some(target) = seen else { return Ok((got, away)) };
            let next = link::join(&url, &target).filter(|next| self.is_home(next) || next.starts_with("https://"));
            let Some(next) = next else {
                let said = "leads to another server, which is not asked but by https";
                return Ok((Got::Refused(302, said.to_owned()), away));
            };
            if away && self.is_home(&next) {
                let said = "leads to another server and from there back, where the token would go along";
                return Ok((Got::Refused(302, said.to_owned()), away));
            }
            (away, url) = (away || !self.is_home(&next), next);
        }
        Ok((Got::Refused(302, "is redirected again and again".to_owned()), away))
    }

    /// Whether `url` is on the forge's own server.
    pub(super) fn is_home(&self, url: &str) -> bool {
        link::same_place(&self.place, url)
    }

    /// Sees to it that the server of `url` can be asked, by its own proxy and certificates.
    ///
    /// # Errors
    /// If these can't be used.
    pub(super) fn meet(&mut self, url: &str) -> Result<()> {
        let Some((place, _)) = link::origin(url).filter(|_| !self.is_home(url)) else { return Ok(()) };
        if self.stranger.as_ref().is_none_or(|(known, _)| *known != place) {
            let cancel = self.web.cancel();
            let web = Web::new(&place, ANSWER, cancel).map_err(|e| SourceError::new(e.to_string(), &place))?;
            self.stranger = Some((place, web));
        }
        Ok(())
    }

    /// What asks the server of `url`, which was met.
    pub(super) fn web_of(&self, url: &str) -> &Web {
        match &self.stranger {
            Some((place, web)) if link::same_place(place, url) => web,
            _ => &self.web,
        }
    }

    /// `url` as it may be told: what stands behind the path of another server's lets in there.
    pub(super) fn shown<'a>(&self, url: &'a str) -> &'a str {
        if self.is_home(url) {
            return url;
        }
        url.split(['?', '#']).next().unwrap_or_default()
    }
}
