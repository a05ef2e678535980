//! Posts a letter to a server that is no vault, and again if it is not taken, but not for ever. Whoever knows the URL may do
//! what it is for, so it stands in no text.

use std::time::Duration;

use serde_json::Value;

use super::{config::webhook::Webhook, secrets};
use crate::{
    codec::mac,
    model::{Span, Time},
    store::s3::{Letter, post},
};

/// The shortest secret of a webhook, in bytes.
const SHORTEST: usize = 16;

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

/// Posts `body` to a webhook, signed with its secret, `at` a time.
///
/// # Errors
/// Why it was not taken, in words, without the URL.
pub async fn deliver_signed(webhook: &Webhook, body: &Value, at: Time, limit: Span) -> Result<(), String> {
    let secret = secrets::read(&webhook.secret, "can't read the secret of the webhook").map_err(|e| e.to_string())?;
    let secret = secret.trim_ascii();
    if secret.len() < SHORTEST {
        return Err(format!(
            "the secret in {} is shorter than {SHORTEST} bytes: make one with head -c 32 /dev/urandom | base64",
            webhook.secret.display()
        ));
    }
    deliver(&webhook.url, &signed(secret, body, at), limit.as_duration()).await
}

/// Each try of it is the same, so that whoever gets it twice can tell.
fn signed(secret: &[u8], body: &Value, at: Time) -> Letter {
    let (stamp, body) = (at.unix().to_string(), body.to_string());
    let tag = mac::hex_code(secret, &[stamp.as_bytes(), b".", body.as_bytes()]);
    let headers = vec![("x-strongroom-timestamp", stamp), ("x-strongroom-signature", tag)];
    Letter { kind: "application/json", headers, body }
}
