//! Several connections to one server.
//!
//! A server that offers HTTP/2 is reached over a single connection, for all calls under way: what goes up waits there for the
//! server to say that it has room, a mebibyte for all of it where the server is written in Go. Through 50 ms that is 20 MiB a
//! second, however many puts there are. So there are several clients, each with a connection of its own, and a call goes over
//! the one that has the fewest calls. Whoever calls one after the other has one connection as before.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_sdk_s3::config::{RuntimeComponents, SharedHttpClient, http::HttpRequest};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};

/// The most connections over which calls are spread, where the server speaks HTTP/2. Of HTTP/1 each has as many as there are
/// calls at once.
const LINES: usize = 8;

/// The clients, in the order in which they are taken.
#[derive(Debug)]
struct Lines(Vec<Line>);

#[derive(Debug)]
struct Line {
    client: SharedHttpClient,
    busy: Arc<AtomicUsize>,
}

/// A call that is under way.
struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client that spreads calls over several of those that `make` gives. They are made at once, and connect when they are needed.
pub(super) fn spread(make: impl Fn() -> SharedHttpClient) -> SharedHttpClient {
    let line = || Line { client: make(), busy: Arc::default() };
    SharedHttpClient::new(Spread(Arc::new(Lines((0..LINES).map(|_| line()).collect()))))
}

#[derive(Debug)]
struct Spread(Arc<Lines>);

impl HttpClient for Spread {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let (settings, components) = (settings.clone(), components.clone());
        SharedHttpConnector::new(Chosen { lines: Arc::clone(&self.0), settings, components })
    }
}

/// What chooses when it is called: a client that is not needed makes nothing ready.
struct Chosen {
    lines: Arc<Lines>,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chosen").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Lines {
    /// The first of those with the fewest calls, with one more.
    fn take(&self) -> Option<(&SharedHttpClient, Busy)> {
        let line = self.0.iter().min_by_key(|line| line.busy.load(Ordering::Relaxed))?;
        line.busy.fetch_add(1, Ordering::Relaxed);
        Some((&line.client, Busy(Arc::clone(&line.busy))))
    }
}

impl HttpConnector for Chosen {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Some((client, busy)) = self.lines.take() else {
            let none = aws_smithy_runtime_api::client::result::ConnectorError::user("no client was made".into());
            return HttpConnectorFuture::ready(Err(none));
        };
        let answer = client.http_connector(&self.settings, &self.components).call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            drop(busy);
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_http_client::Builder;

    use super::*;

    #[test]
    fn calls_at_once_go_over_several_and_calls_in_turn_over_one() {
        let line = || Line { client: Builder::new().build_http(), busy: Arc::default() };
        let lines = Lines((0..3).map(|_| line()).collect());
        let counts = || lines.0.iter().map(|line| line.busy.load(Ordering::Relaxed)).collect::<Vec<_>>();
        for _ in 0..5 {
            let (_, _busy) = lines.take().unwrap();
            assert_eq!(counts(), [1, 0, 0]);
        }
        let mut held: Vec<_> = (0..7).map(|_| lines.take().unwrap().1).collect();
        assert_eq!(counts(), [3, 2, 2]);
        drop(held.remove(1));
        assert_eq!(counts(), [3, 1, 2]);
        held.push(lines.take().unwrap().1);
        assert_eq!(counts(), [3, 2, 2]);
        drop(held);
        assert_eq!(counts(), [0, 0, 0]);
        assert!(Lines(Vec::new()).take().is_none());
    }
}
