//! An S3 server in this process that lies on demand, for what no real server does when asked.
//!
//! It knows what the store asks and no more: objects, versions, delete markers, locks, listings, and a bucket's
//! settings. Signatures are not checked: everybody is whoever they say.

mod objects;
mod state;
mod xml;

use std::{
    io,
    sync::{Arc, Mutex},
};

pub use state::Lies;
use state::State;

use crate::http::{Backend, Request, Response, Server};

/// A bucket `vault` with versions and object lock, on a server that lies as told.
pub struct FakeS3 {
    server: Server,
    state: Arc<Mutex<State>>,
}

struct Handler(Arc<Mutex<State>>);

impl Backend for Handler {
    fn answer(&self, request: &Request) -> io::Result<Response> {
        let response = objects::answer(&mut self.0.lock().unwrap(), request);
        let date = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
        Ok(response.with("Date", date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()))
    }
}

impl FakeS3 {
    /// An empty bucket.
    pub fn start(lies: Lies) -> Self {
        let state = Arc::new(Mutex::new(State { lies, ..State::default() }));
        Self { server: Server::start(Handler(Arc::clone(&state))), state }
    }

    /// The URL that clients use.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// What stands between the clients and the bucket.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// From now on it lies otherwise.
    pub fn lie(&self, lies: Lies) {
        self.state.lock().unwrap().lies = lies;
    }

    /// The keys that there really are.
    pub fn keys(&self) -> Vec<String> {
        self.state.lock().unwrap().keys.keys().cloned().collect()
    }

    /// How many versions of a key there really are.
    pub fn versions(&self, key: &str) -> usize {
        self.state.lock().unwrap().keys.get(key).map_or(0, Vec::len)
    }
}
