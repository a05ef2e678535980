//! Posts a letter to a server that is no vault, and again if it is not taken, but not for ever. Whoever knows the URL may do
//! what it is for, so it stands in no text.

use std::time::Duration;

use crate::store::s3::{Letter, post};

/// So often it is tried.
const TRIES: u32 = 3;
/// The pause before it is tried again; the next is twice as long.
const PAUSE: Duration = Duration::from_secs(1);

/// Posts it, each time for no longer than `limit`.
///
/// # Errors
/// Why nobody took it, in words.
pub async fn deliver(url: &str, letter: &Letter, limit: Duration) -> Result<(), String> {
    let mut pause = PAUSE;
    let mut tries = 1;
    loop {
        let why = match post(url, letter, limit).await {
            Ok(200..=299) => return Ok(()),
            Ok(status) => format!("it answered {status}"),
            Err(error) => error.what,
        };
        if tries == TRIES {
            return Err(why);
        }
        tries += 1;
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}
