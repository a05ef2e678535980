//! What a forge is asked with: a word that was given, or one that an app of GitHub gets for its installation, which ends within the
//! hour and is asked for again before that.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Result, SourceError,
    told::{SAID, message},
};
use crate::{
    codec::rsa::RsaKey,
    model::{Cancel, Time},
    source::redact,
    store::s3::{Web, WebBody},
};

/// So long before its end a token is asked for anew, or half its life where that is shorter: git keeps one for a whole command.
const MARGIN: Duration = Duration::from_mins(5);
/// How long an app's word for itself holds; GitHub takes ten minutes at most.
const HOLDS: i64 = 540;
/// What a clock may be ahead.
const AHEAD: i64 = 60;
const ANSWER: Duration = Duration::from_mins(2);
const STORM: Duration = Duration::from_mins(5);
const PAUSE: Duration = Duration::from_millis(500);

/// An app of GitHub, and where it is installed.
pub struct App {
    /// Its id, or its client id.
    pub id: String,
    /// The installation's number.
    pub installation: u64,
    /// Its private key.
    pub key: RsaKey,
    /// The root of the API.
    pub api: String,
    /// How long a server that fails is asked again.
    pub patience: Option<Duration>,
}

impl App {
    /// The key that the text of a PEM file holds, as PKCS #1 (`RSA PRIVATE KEY`) or PKCS #8 (`PRIVATE KEY`).
    ///
    /// # Errors
    /// In words, if it holds none.
    pub fn key_of(text: &str) -> std::result::Result<RsaKey, &'static str> {
        let der = |label: &str| {
            let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
            let (inner, _) = rest.split_once(&format!("-----END {label}-----"))?;
            let inner: Zeroizing<String> = Zeroizing::new(inner.split_whitespace().collect());
            BASE64_STANDARD.decode(inner.as_bytes()).ok().map(Zeroizing::new)
        };
        match (der("RSA PRIVATE KEY"), der("PRIVATE KEY")) {
            (Some(der), _) => RsaKey::from_pkcs1(&der),
            (None, Some(der)) => RsaKey::from_pkcs8(&der),
            (None, None) if text.contains("ENCRYPTED") => Err("its key is sealed by a passphrase, which nobody types"),
            (None, None) => Err("it holds no private key in PEM"),
        }
    }
}

/// What a forge is asked with. Clones are one.
#[derive(Clone)]
pub struct Token(Arc<Kind>);

enum Kind {
    Word(Zeroizing<String>),
    App(Box<App>, Mutex<Option<Held>>),
}

/// A token that ends.
struct Held {
    word: Zeroizing<String>,
    /// When the next one is asked for.
    until: Instant,
}

impl Token {
    /// A word that was given.
    #[must_use]
    pub fn word(word: Zeroizing<String>) -> Self {
        Self(Arc::new(Kind::Word(word)))
    }

    /// The tokens of an app's installation.
    #[must_use]
    pub fn app(app: App) -> Self {
        Self(Arc::new(Kind::App(Box::new(app), Mutex::new(None))))
    }

    /// Whether it ends, and another one follows.
    #[must_use]
    pub fn ends(&self) -> bool {
        matches!(*self.0, Kind::App(..))
    }

    /// What is sent now. Blocks where it has to be asked for.
    ///
    /// # Errors
    /// If the forge gives none.
    pub fn now(&self) -> Result<Zeroizing<String>> {
        match &*self.0 {
            Kind::Word(word) => Ok(word.clone()),
            Kind::App(app, held) => {
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(held) = held.as_ref().filter(|held| Instant::now() < held.until) {
                    return Ok(held.word.clone());
                }
                let new = app.get()?;
                let word = new.word.clone();
                *held = Some(new);
                Ok(word)
            }
        }
    }

    /// Takes note that the forge does not take it any longer. Tells whether another one can be had.
    pub(super) fn is_spent(&self) -> bool {
        match &*self.0 {
            Kind::Word(_) => false,
            Kind::App(_, held) => {
                *held.lock().unwrap_or_else(PoisonError::into_inner) = None;
                true
            }
        }
    }
}

impl App {
    /// A new token.
    fn get(&self) -> Result<Held> {
        let url = format!("{}/app/installations/{}/access_tokens", self.api, self.installation);
        let failed = |what: String| SourceError::new(what, format!("the token of app {}", self.id));
        // Whoever wants this run to stop is heard by the client that asked for the token.
        let web = Web::new(&self.api, ANSWER, Cancel::default()).map_err(|e| failed(e.to_string()))?;
        let (began, storm) = (Instant::now(), self.patience.unwrap_or(STORM));
        let (mut pause, mut now, mut moved) = (PAUSE, here(), false);
        loop {
            let own =
                Zeroizing::new(format!("Bearer {}", self.word_at(now).map_err(|why| failed(why.to_owned()))?.as_str()));
            let headers = [
                ("user-agent", concat!("strongroom/", env!("CARGO_PKG_VERSION"))),
                ("accept", "application/vnd.github+json"),
                ("x-github-api-version", "2022-11-28"),
                ("authorization", own.as_str()),
            ];
            let asked = Instant::now();
            let why = match web.send("POST", &url, &headers, WebBody::Nothing) {
                Ok(mut answer) => {
                    let (status, date) = (answer.status, answer.date());
                    let text = Zeroizing::new(answer.beginning(SAID).unwrap_or_default());
                    match status {
                        200..=299 => {
                            return held(&text, date, asked).ok_or_else(|| failed("its answer has none".to_owned()));
                        }
                        // The clock of this host may be wrong; the forge has told its own.
                        401 if !moved && date.is_some_and(|date| (date.unix() - now).abs() > AHEAD / 2) => {
                            (now, moved) = (date.map_or(now, Time::unix), true);
                            continue;
                        }
                        408 | 429 | 500..=599 => format!("the server answered with {status}"),
                        _ => {
                            let said = message(&text);
                            let what = "the forge gives none; look whether app.id, app.installation and app.key belong together";
                            return Err(failed(format!("{what} ({status} {said})")));
                        }
                    }
                }
                Err(error) => error.to_string(),
            };
            if began.elapsed() + pause > storm {
                return Err(failed(format!("can't be had: {why}")));
            }
            web.pause(pause).map_err(|e| failed(e.to_string()))?;
            pause *= 2;
            now = if moved { now } else { here() };
        }
    }

    /// What it says of itself at a time, signed (RFC 7519).
    fn word_at(&self, now: i64) -> std::result::Result<Zeroizing<String>, &'static str> {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(&json!({"alg": "RS256", "typ": "JWT"}));
        let claims = part(&json!({"iat": now - AHEAD, "exp": now + HOLDS - AHEAD, "iss": self.id}));
        let text = format!("{head}.{claims}");
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes())?);
        Ok(Zeroizing::new(format!("{text}.{signature}")))
    }
}

/// The token of an answer, which from then on no message shows.
fn held(text: &[u8], date: Option<Time>, asked: Instant) -> Option<Held> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let word = value.get("token")?.as_str()?;
    if word.is_empty() || word.len() > 4096 || !word.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    redact::given_as("token", word);
    let ends: Time = value.get("expires_at")?.as_str()?.parse().ok()?;
    let life = ends.unix() - date.map_or_else(here, Time::unix);
    let life = Duration::from_secs(u64::try_from(life).unwrap_or_default());
    Some(Held { word: Zeroizing::new(word.to_owned()), until: asked + life.saturating_sub(MARGIN.min(life / 2)) })
}

/// This host's time.
fn here() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_key_is_refused_in_words() {
        for (text, why) in [
            ("", "no private key"),
            ("-----BEGIN RSA PRIVATE KEY-----\n!!!\n-----END RSA PRIVATE KEY-----", "no private key"),
            ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", "not one of RSA"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----", "passphrase"),
        ] {
            let said = App::key_of(text).err().expect("it is refused");
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let asked = Instant::now();
        let text = |ends: &str| json!({"token": "ghs_x", "expires_at": ends}).to_string();
        let date = Some(Time::from_unix(1_800_000_000));
        let life = |text: &str| held(text.as_bytes(), date, asked).map(|held| held.until - asked);
        assert_eq!(life(&text("2027-01-15T09:00:00Z")), Some(Duration::from_mins(55)), "an hour");
        assert_eq!(life(&text("2027-01-15T08:00:08Z")), Some(Duration::from_secs(4)), "seconds");
        assert_eq!(life(&text("2027-01-15T07:00:00Z")), Some(Duration::ZERO), "one that has ended");
        assert_eq!(life("{\"token\": \"x\\n\", \"expires_at\": \"2027-01-15T09:00:00Z\"}"), None);
        assert_eq!(life("{}"), None);
    }
}
