//! The client of a forge's API: it bears with rate limits and storms, and gives up within a budget.

use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::{
    Result, SourceError,
    json::{Split, broken, compact, is_broken},
    link,
    token::Token,
    told::{LIMITED, SAID, limit_of, message, retry_after},
};
use crate::{
    model::{Cancel, Time},
    store::s3::{Web, WebAnswer, WebBody},
};

/// What LFS is asked and answers in.
pub(super) const LFS: &str = "application/vnd.git-lfs+json";
/// The longest wait for the head of an answer and for each part of it.
pub(super) const ANSWER: Duration = Duration::from_mins(2);
/// How long a call is tried for while the server fails or can't be reached, where nothing else is said.
const STORM: Duration = Duration::from_mins(5);
/// The first pause between two tries; the next are twice as long, up to [`LONGEST`].
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// How many redirects are followed, of what was renamed.
pub(super) const REDIRECTS: usize = 5;
/// The longest answer: 100 comments of 10 MB, twofold escaped.
const LONGEST_ANSWER: u64 = 2 << 30;

/// How a forge wants to be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// The header of the token, and what stands before it there.
    pub(super) token: (&'static str, &'static str),
    /// What is accepted.
    pub(super) accept: &'static str,
    /// A header more.
    pub(super) more: Option<(&'static str, &'static str)>,
}

/// What came of a call.
#[derive(Debug)]
pub(super) enum Got {
    /// It was read to its end.
    Read(Page),
    /// It is as it was.
    Same,
    /// It may or can not be read: the status, and what the server said.
    Refused(u16, String),
    /// The server failed for as long as it was tried.
    Failed(String),
}

/// The head of a page that was read.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The next page, on the same server.
    pub(super) next: Option<String>,
    /// What to ask with next time, whether it is as it was.
    pub(super) etag: Option<String>,
    /// How many there are in all, where the server tells.
    pub(super) total: Option<u64>,
    /// The number of the next page, where it is told so and not by a link.
    pub(super) number: Option<u64>,
    /// The server's time.
    pub(super) date: Option<Time>,
}

/// A client with a token.
pub(super) struct Client {
    pub(super) web: Web,
    /// Where the token may go.
    pub(super) place: String,
    /// Where files are sent to, if that is another server of the forge.
    pub(super) uploads: Option<String>,
    /// The server that has files of the forge's and was asked last, and what asks it.
    pub(super) stranger: Option<(String, Web)>,
    token: Option<Token>,
    pub(super) manner: Manner,
    /// How many requests went out.
    pub(super) calls: u64,
    /// How long was waited for limits.
    pub(super) waited: Duration,
    storm: Duration,
}

impl Client {
    pub(super) fn new(
        place: &str,
        token: Option<Token>,
        manner: Manner,
        (patience, cancel): (Option<Duration>, Cancel),
    ) -> Result<Self> {
        let web = Web::new(place, ANSWER, cancel).map_err(|e| SourceError::new(e.to_string(), place))?;
        let storm = patience.unwrap_or(STORM);
        let (calls, waited) = (0, Duration::ZERO);
        Ok(Self { web, place: place.to_owned(), uploads: None, stranger: None, token, manner, calls, waited, storm })
    }

    /// Reads the list at `url`; each entry of it goes to `each`, as one line.
    ///
    /// # Errors
    /// If somebody asks to stop, the token is refused, the answer is no list, or `each` fails.
    pub(super) fn list(
        &mut self,
        url: &str,
        etag: Option<&str>,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
        again: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Got> {
        self.call(url, etag, again, &mut |answer| {
            let (mut split, mut read) = (Split::new(), 0_u64);
            while let Some(part) = answer.next_part().map_err(Broke::Off)? {
                read += part.len() as u64;
                if read > LONGEST_ANSWER {
                    return Err(Broke::Bad(broken("is longer than 2 GiB")));
                }
                split.take(&part, each).map_err(|e| if is_broken(&e) { Broke::Bad(e) } else { Broke::Other(e) })?;
            }
            split.finish().map_err(Broke::Cut)
        })
    }

    /// Reads the one value at `url`, as one line.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub(super) fn one(&mut self, url: &str, etag: Option<&str>) -> Result<(Got, Vec<u8>)> {
        let mut all = Vec::new();
        let got = self.call(url, etag, &mut || Ok(()), &mut |answer| {
            let text = answer.beginning(super::json::MOST + 1).map_err(Broke::Off)?;
            all = compact(&text).map_err(Broke::Cut)?;
            Ok(())
        })?;
        Ok((got, all))
    }

    /// The status that a request with a password, as git sends it, gets: whether a repository is there.
    ///
    /// # Errors
    /// If somebody asks to stop, or nobody answers.
    pub(super) fn status(&mut self, url: &str, basic: Option<&str>) -> Result<u16> {
        let mut headers = vec![("user-agent", "git/2.40 strongroom")];
        headers.extend(basic.filter(|_| link::same_place(&self.place, url)).map(|value| ("authorization", value)));
        let began = Instant::now();
        let mut pause = PAUSE;
        loop {
            self.calls += 1;
            let answer = self.web.get(url, &headers).map(|mut answer| {
                let _ = answer.beginning(SAID);
                answer.status
            });
            match answer {
                Ok(status) if status != 429 && status < 500 => return Ok(status),
                Ok(status) if began.elapsed() + pause > self.storm => return Ok(status),
                Err(e) if began.elapsed() + pause > self.storm => return Err(SourceError::new(e.to_string(), url)),
                _ => self.pause(pause, url)?,
            }
            pause = (pause * 2).min(LONGEST);
        }
    }

    fn call(
        &mut self,
        url: &str,
        etag: Option<&str>,
        again: &mut dyn FnMut() -> Result<()>,
        read: &mut Reader<'_>,
    ) -> Result<Got> {
        let mut url = url.to_owned();
        for _ in 0..REDIRECTS {
            let mut seen = None;
            let accept = self.manner.accept;
            let call = Call { accept, etag, body: None, redirects: true };
            let got = self.attempts(&url, call, again, &mut |answer| {
                if is_redirect(answer.status) {
                    seen = Some(answer.header("location").unwrap_or_default().to_owned());
                    return Ok(());
                }
                read(answer)
            })?;
            let Some(target) = seen else { return Ok(got) };
            // What was renamed. The token never goes elsewhere, and an answer from elsewhere is no answer.
            match link::join(&url, &target).filter(|next| link::same_place(&self.place, next)) {
                Some(next) => url = next,
                None => return Ok(Got::Refused(301, "is redirected to another server, which is not asked".to_owned())),
            }
        }
        Ok(Got::Refused(301, "is redirected again and again".to_owned()))
    }

    /// Asks until there is an answer, within the budgets.
    pub(super) fn attempts(
        &mut self,
        url: &str,
        call: Call<'_>,
        again: &mut dyn FnMut() -> Result<()>,
        read: &mut Reader<'_>,
    ) -> Result<Got> {
        let (mut pause, mut trouble, mut limited) = (PAUSE, Duration::ZERO, Duration::ZERO);
        let mut renewed = false;
        loop {
            let began = Instant::now();
            let outcome = self.once(url, call, read)?;
            let (why, wait) = match outcome {
                Once::Done(Got::Refused(401, _)) if !renewed && self.has_another_token() => {
                    renewed = true;
                    continue;
                }
                Once::Done(got) => return Ok(got),
                Once::Limited(wait) => {
                    limited += wait;
                    if limited > LIMITED {
                        return Ok(Got::Failed(format!(
                            "the rate limit of the server did not end within {} min",
                            LIMITED.as_secs() / 60
                        )));
                    }
                    self.waited += wait;
                    ("a rate limit", wait)
                }
                Once::Trouble(why, told) => {
                    let wait = told.unwrap_or(pause);
                    trouble += began.elapsed() + wait;
                    if trouble > self.storm {
                        return Ok(Got::Failed(why));
                    }
                    pause = (pause * 2).min(LONGEST);
                    ("trouble", wait)
                }
            };
            tracing::debug!(why, seconds = wait.as_secs_f64(), "the forge is asked again after a pause");
            self.pause(wait, url)?;
            again()?;
        }
    }

    pub(super) fn pause(&self, time: Duration, url: &str) -> Result<()> {
        self.web.pause(time).map_err(|e| SourceError::new(e.to_string(), self.shown(url)))
    }

    fn once(&mut self, url: &str, call: Call<'_>, read: &mut Reader<'_>) -> Result<Once> {
        let here = self.is_home(url);
        let token = if here { self.token_header()? } else { None };
        let mut headers = headers_of(&self.manner, call.accept, token.as_ref());
        if !here {
            self.meet(url)?;
            headers.truncate(2);
        }
        headers.extend(call.etag.map(|etag| ("if-none-match", etag)));
        // What is asked in words of its own is answered in them.
        let kind = if call.accept == LFS { LFS } else { "application/json" };
        headers.extend(call.body.map(|_| ("content-type", kind)));
        self.asked_to_stop(url)?;
        self.calls += 1;
        let answer = match call.body {
            Some(body) => self.web_of(url).send("POST", url, &headers, WebBody::Bytes(body)),
            None => self.web_of(url).get(url, &headers),
        };
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(e) if e.kind == crate::store::StoreErrorKind::Invalid => {
                return Err(SourceError::new(e.to_string(), self.shown(url)));
            }
            Err(e) => return Ok(Once::Trouble(e.to_string(), None)),
        };
        tracing::trace!(url = self.shown(url), status = answer.status, "the forge answered");
        if let Some(wait) = limit_of(&answer) {
            return Ok(Once::Limited(wait));
        }
        match answer.status {
            200 => {}
            304 if call.etag.is_some() => return Ok(Once::Done(Got::Same)),
            status if call.redirects && is_redirect(status) => {}
            // None of these says that there is nothing.
            status @ (201..=299 | 304) => {
                let said = "answers without what was asked for";
                return Ok(Once::Done(Got::Refused(status, said.to_owned())));
            }
            status @ (408 | 500..=599) => {
                let why = format!("the server answered with {status}");
                return Ok(Once::Trouble(why, retry_after(&answer)));
            }
            status => {
                let said = answer.beginning(SAID).unwrap_or_default();
                let said = message(&said);
                // GitHub's secondary limits come as 403 without a header at times.
                if status == 403 && said.to_ascii_lowercase().contains("rate limit") {
                    return Ok(Once::Limited(Duration::from_mins(1)));
                }
                return Ok(Once::Done(Got::Refused(status, said)));
            }
        }
        match read(&mut answer) {
            Ok(()) => Ok(Once::Done(self.page(url, &answer).map_or_else(|e| Got::Failed(e.to_string()), Got::Read))),
            Err(Broke::Off(e)) => Ok(Once::Trouble(e.to_string(), None)),
            Err(Broke::Cut(e)) => Ok(Once::Trouble(e.to_string(), None)),
            // It will be no other for being asked again.
            Err(Broke::Bad(e)) => Ok(Once::Done(Got::Failed(e.to_string()))),
            Err(Broke::Limited(wait)) => Ok(Once::Limited(wait)),
            Err(Broke::Other(e)) => Err(e),
        }
    }

    /// What stands in the token's header.
    ///
    /// # Errors
    /// If it ended and the forge gives no other.
    pub(super) fn token_header(&self) -> Result<Option<Zeroizing<String>>> {
        let Some(token) = &self.token else { return Ok(None) };
        Ok(Some(Zeroizing::new(format!("{}{}", self.manner.token.1, token.now()?.as_str()))))
    }

    /// Whether there is another token where one is not taken any longer.
    pub(super) fn has_another_token(&self) -> bool {
        self.token.as_ref().is_some_and(Token::is_spent)
    }

    pub(super) fn asked_to_stop(&self, url: &str) -> Result<()> {
        self.web.asked_to_stop().map_err(|e| SourceError::new(e.to_string(), self.shown(url)))
    }

    /// For how long a server that fails is tried.
    pub(super) const fn patience(&self) -> Duration {
        self.storm
    }

    fn page(&self, url: &str, answer: &WebAnswer<'_>) -> Result<Page> {
        let named = answer.header("link").and_then(|header| link::relation(header, "next"));
        let next = named.map(|next| {
            let whole = link::join(url, &next).filter(|next| link::same_place(&self.place, next));
            let elsewhere =
                "names a next page on another server, which is not asked. Is `url` how the server calls itself?";
            whole.ok_or_else(|| broken(elsewhere))
        });
        let total = ["x-total-count", "x-total"].into_iter().find_map(|name| answer.header(name));
        Ok(Page {
            next: next.transpose()?,
            etag: answer.header("etag").map(str::to_owned),
            number: answer.header("x-next-page").and_then(|text| text.parse().ok()),
            total: total.and_then(|text| text.parse().ok()),
            date: answer.date(),
        })
    }
}

/// What is asked, besides where.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    /// What is accepted.
    pub(super) accept: &'a str,
    /// What it was last time.
    pub(super) etag: Option<&'a str>,
    /// A query, which is sent.
    pub(super) body: Option<&'a [u8]>,
    /// Whether the answer that it is elsewhere is one to read.
    pub(super) redirects: bool,
}

pub(super) type Reader<'a> = dyn FnMut(&mut WebAnswer<'_>) -> std::result::Result<(), Broke> + 'a;

/// How reading an answer ended before its end.
pub(super) enum Broke {
    /// The connection did.
    Off(crate::store::StoreError),
    /// It is no whole JSON.
    Cut(SourceError),
    /// It is whole, and not what was asked for.
    Bad(SourceError),
    /// For a reason of ours.
    Other(SourceError),
    /// It says that a limit was met, which ends so much later.
    Limited(Duration),
}

enum Once {
    Done(Got),
    Limited(Duration),
    /// With how long the server asks to be left alone.
    Trouble(String, Option<Duration>),
}

/// The headers that go with each request; the first two are for everybody.
pub(super) fn headers_of<'a>(
    manner: &Manner,
    accept: &'a str,
    token: Option<&'a Zeroizing<String>>,
) -> Vec<(&'static str, &'a str)> {
    let mut headers = vec![("user-agent", concat!("strongroom/", env!("CARGO_PKG_VERSION"))), ("accept", accept)];
    headers.extend(token.map(|value| (manner.token.0, value.as_str())));
    headers.extend(manner.more);
    headers
}

pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}
