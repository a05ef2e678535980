//! Requests to a server that is no vault and gives answers of any length, such as a forge: by the client that buckets are
//! reached with, its proxies and its trust. It blocks, follows nothing, tries nothing again and keeps nothing.

use std::{
    fmt,
    future::Future,
    path::Path,
    time::{Duration, Instant},
};

use aws_sdk_s3::{
    config::http::HttpRequest,
    primitives::{ByteStream, DateTime, DateTimeFormat, SdkBody},
};
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use bytes::Bytes;
use tokio::runtime::Runtime;

use super::{proxy::Proxy, trust};
use crate::{
    model::{Cancel, Time},
    store::{Result, StoreError, StoreErrorKind as Kind},
};

/// How often a wait looks whether somebody asks to stop.
const POLL: Duration = Duration::from_millis(100);

/// A client for the server at one URL. Its connections are kept from request to request.
pub struct Web {
    connector: Connector,
    runtime: Runtime,
    /// The longest wait for the head of an answer, and for each next part of it.
    limit: Duration,
    cancel: Cancel,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").finish_non_exhaustive()
    }
}

/// The head of an answer, and its body as it comes.
pub struct WebAnswer<'a> {
    web: &'a Web,
    /// The status.
    pub status: u16,
    headers: Vec<(String, String)>,
    body: ByteStream,
}

/// What goes with a request.
#[derive(Debug, Clone, Copy)]
pub enum WebBody<'a> {
    /// Nothing.
    Nothing,
    /// These bytes.
    Bytes(&'a [u8]),
    /// What a file holds, read as it goes out.
    File(&'a Path),
}

impl Web {
    /// A client for `url`. Nobody is asked anything yet.
    ///
    /// # Errors
    /// `Invalid` if a proxy or certificates can't be used.
    pub fn new(url: &str, limit: Duration, cancel: Cancel) -> Result<Self> {
        let invalid = |what: String| StoreError::new(Kind::Invalid, what);
        let trust = if url.starts_with("https://") { trust::store()? } else { TrustStore::empty() };
        let context = TlsContext::builder().with_trust_store(trust).build();
        let context = context.map_err(|e| invalid(format!("the certificates can't be used: {e}")))?;
        let proxy = Proxy::to(url)?.as_ref().map_or_else(ProxyConfig::disabled, Proxy::config);
        let connector = Connector::builder().proxy_config(proxy);
        let connector = connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| invalid(format!("no client can be made: {e}")))?;
        Ok(Self { connector, runtime, limit, cancel })
    }

    /// Asks for `url`. Blocks; not to be called where a runtime runs. Neither the URL nor a header stands in an error.
    ///
    /// # Errors
    /// `Invalid` if the URL is none, `Unreachable` if nobody answers in time.
    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<WebAnswer<'_>> {
        self.send("GET", url, headers, WebBody::Nothing)
    }

    /// Asks for `url` by a method, with a body. Blocks, as [`get`](Self::get).
    ///
    /// # Errors
    /// As [`get`](Self::get), and `Invalid` if the file can't be read.
    pub fn send(&self, method: &str, url: &str, headers: &[(&str, &str)], body: WebBody<'_>) -> Result<WebAnswer<'_>> {
        let invalid = |what: &str| StoreError::new(Kind::Invalid, what);
        let body = match body {
            WebBody::Nothing => SdkBody::empty(),
            WebBody::Bytes(bytes) => SdkBody::from(bytes),
            WebBody::File(path) => {
                let file = self.runtime.block_on(ByteStream::from_path(path));
                file.map_err(|_| invalid("the file that is to be sent can't be read"))?.into_inner()
            }
        };
        let length = body.content_length();
        let mut request = HttpRequest::new(body);
        request.set_method(method).map_err(|_| invalid("this is not a request"))?;
        request.set_uri(url.to_owned()).map_err(|_| invalid("this is not a URL"))?;
        for (name, value) in headers {
            let set = request.headers_mut().try_insert((*name).to_owned(), (*value).to_owned());
            set.map_err(|_| invalid("a header can't be sent: a token holds signs that none may hold"))?;
        }
        if let Some(length) = length.filter(|_| method != "GET") {
            request.headers_mut().insert("content-length", length.to_string());
        }
        let unreachable = |what: &str| StoreError::new(Kind::Unreachable, what);
        let answer = self.wait(self.connector.call(request))?;
        let response = answer.map_err(|error| {
            unreachable(if error.is_timeout() { "it did not answer in time" } else { "it can't be reached" })
        })?;
        let headers = response.headers().iter().map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect();
        let status = response.status().as_u16();
        Ok(WebAnswer { web: self, status, headers, body: ByteStream::new(response.into_body()) })
    }

    /// Waits for as long as that, unless somebody asks to stop.
    ///
    /// # Errors
    /// `Unreachable` if somebody does.
    pub fn pause(&self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.asked_to_stop()?;
            std::thread::sleep(POLL.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// What somebody asks to stop by.
    #[must_use]
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Whether somebody asked to stop, as an error.
    ///
    /// # Errors
    /// `Unreachable` if somebody did.
    pub fn asked_to_stop(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(StoreError::new(Kind::Unreachable, "was asked to stop"));
        }
        Ok(())
    }

    fn wait<F: Future>(&self, future: F) -> Result<F::Output> {
        self.runtime.block_on(async {
            let mut future = std::pin::pin!(future);
            let until = Instant::now() + self.limit;
            loop {
                if let Ok(done) = tokio::time::timeout(POLL, future.as_mut()).await {
                    return Ok(done);
                }
                self.asked_to_stop()?;
                if Instant::now() >= until {
                    let what = format!("no answer within {} s", self.limit.as_secs());
                    return Err(StoreError::new(Kind::Unreachable, what));
                }
            }
        })
    }
}

impl WebAnswer<'_> {
    /// The first header called `name`, in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The server's time, if it told.
    #[must_use]
    pub fn date(&self) -> Option<Time> {
        let date = DateTime::from_str(self.header("date")?, DateTimeFormat::HttpDate).ok()?;
        Some(Time::from_unix(date.secs()))
    }

    /// The next part of the body, or `None` after the last.
    ///
    /// # Errors
    /// `Unreachable` if it breaks off or stands still.
    pub fn next_part(&mut self) -> Result<Option<Bytes>> {
        let part = self.web.wait(self.body.try_next())?;
        part.map_err(|_| StoreError::new(Kind::Unreachable, "its answer broke off"))
    }

    /// All of the body, if it is no longer than `most`; else its beginning.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn beginning(&mut self, most: usize) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(part) = self.next_part()? {
            all.extend_from_slice(&part);
            if all.len() >= most {
                all.truncate(most);
                break;
            }
        }
        Ok(all)
    }
}
