//! `request`: somebody who holds nothing has a configured source backed up now, or asks whether it is `ready`. What may be
//! asked, and how it is answered: one line of JSON each way for each source. Nothing else can be asked.

use serde::{Deserialize, Serialize};

use super::readiness::ReadyReport;
use crate::model::{Name, SnapshotId, Span, Time, nearest};

/// The longest request, in bytes.
pub const LINE: usize = 4096;
/// The longest reason, in characters.
pub const REASON: usize = 300;
/// So many sources one request may name.
pub const SOURCES: usize = 16;
/// The version of what is said.
const VERSION: u32 = 1;
/// How long a source that failed is left alone.
pub const PAUSE: Span = Span::seconds(60);

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Which version of this it speaks.
    pub version: u32,
    /// What is to be backed up.
    pub sources: Vec<Name>,
    /// Why, for whoever looks at the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the answer is waited for until it is done.
    #[serde(default)]
    pub wait: bool,
}

impl Ask {
    /// A request.
    #[must_use]
    pub const fn new(sources: Vec<Name>, reason: Option<String>, wait: bool) -> Self {
        Self { version: VERSION, sources, reason, wait }
    }

    /// Its line.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, in words that show none of it.
    pub fn read(line: &[u8]) -> Result<Self, &'static str> {
        if line.len() > LINE {
            return Err("the request is longer than it may be");
        }
        let ask: Self = serde_json::from_slice(line).map_err(|_| "this is not a request")?;
        if ask.version != VERSION {
            return Err("the request speaks another version than this server");
        }
        ask.check().map(|()| ask)
    }

    /// An answer to each source that was asked for: where the server ended before it gave the last one, that says so.
    ///
    /// # Errors
    /// If an answer is about what was not asked.
    pub fn complete(&self, mut answers: Vec<Answer>) -> Result<Vec<Answer>, &'static str> {
        let asked = |answer: &Answer| answer.source.as_ref().is_none_or(|source| self.sources.contains(source));
        if !answers.iter().all(asked) {
            return Err("the answer is about a source that was not asked for");
        }
        if answers.iter().any(|answer| answer.source.is_none()) {
            return Ok(answers);
        }
        for source in &self.sources {
            match answers.iter_mut().find(|answer| answer.source.as_ref() == Some(source)) {
                Some(answer) if self.wait && !answer.is_last() => {
                    *answer = Answer::no(
                        Some(source.clone()),
                        State::Busy,
                        "accepted, and the server ended before it was done",
                    );
                }
                Some(_) => {}
                None => {
                    let why = "the server ended before it answered";
                    answers.push(Answer::no(Some(source.clone()), State::Busy, why));
                }
            }
        }
        Ok(answers)
    }

    /// Whether it may be asked at all.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.sources.is_empty() {
            return Err("the request names no source");
        }
        if self.sources.len() > SOURCES {
            return Err("the request names more sources than it may");
        }
        let reason = self.reason.as_deref().unwrap_or_default();
        if reason.chars().count() > REASON {
            return Err("the reason is longer than it may be");
        }
        if reason.chars().any(char::is_control) {
            return Err("the reason holds control characters");
        }
        Ok(())
    }
}

/// The question whether sources could be restored now: `ready --via`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Which version of this it speaks.
    pub version: u32,
    /// Which sources.
    pub ready: Vec<Name>,
    /// How old a snapshot may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,
    /// How long ago a drill may have passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drilled: Option<Span>,
    /// How many copies must have the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
}

impl Question {
    /// A question about `sources`.
    #[must_use]
    pub const fn new(sources: Vec<Name>, max_age: Option<Span>, drilled: Option<Span>, copies: Option<u32>) -> Self {
        Self { version: VERSION, ready: sources, max_age, drilled, copies }
    }

    /// Whether it may be asked at all.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), &'static str> {
        Ask::new(self.ready.clone(), None, false).check()
    }

    /// The words of the command that answers it.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = vec!["ready".to_owned()];
        words.extend(self.max_age.map(|span| format!("--max-age={span}")));
        words.extend(self.drilled.map(|span| format!("--drilled={span}")));
        words.extend(self.copies.map(|copies| format!("--copies={copies}")));
        words.extend(self.ready.iter().map(Name::to_string));
        words
    }
}

/// The answer to a question: how the command ended, and what it said.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    /// Its exit code.
    pub exit: u8,
    /// What it says of each source; nothing if it could not look.
    pub result: Option<ReadyReport>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<ToldError>,
}

/// Why the command failed that answers a question.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToldError {
    /// What is wrong.
    pub message: String,
    /// What to do next.
    #[serde(default)]
    pub hint: Option<String>,
}

/// What may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A backup is wanted.
    Backup(Ask),
    /// An answer is wanted.
    Ready(Question),
}

impl Heard {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, in words that show none of it.
    pub fn read(line: &[u8]) -> Result<Self, &'static str> {
        if line.len() <= LINE
            && let Ok(question) = serde_json::from_slice::<Question>(line)
        {
            if question.version != VERSION {
                return Err("the request speaks another version than this server");
            }
            return question.check().map(|()| Self::Ready(question));
        }
        Ask::read(line).map(Self::Backup)
    }
}

/// How it stands with a source that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A snapshot is recent enough, so none was made.
    Fresh,
    /// It will be backed up.
    Accepted,
    /// It was backed up.
    Done,
    /// It could not be backed up.
    Failed,
    /// There is no time for it now.
    Busy,
    /// It may not be asked for.
    Refused,
}

impl State {
    /// For the server's log.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Fresh => "no backup was made, a snapshot is recent enough:",
            Self::Accepted => "accepted",
            Self::Done => "backed up: snapshot",
            Self::Failed => "failed",
            Self::Busy => "not now",
            Self::Refused => "refused",
        }
    }
}

/// What is answered of one source, or of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which source; nothing where the request as a whole is meant.
    #[serde(default)]
    pub source: Option<Name>,
    /// How it stands.
    pub state: State,
    /// The snapshot that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
    /// When its run started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// Why, where there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Answer {
    /// An answer without a snapshot.
    #[must_use]
    pub fn no(source: Option<Name>, state: State, why: impl Into<String>) -> Self {
        Self { source, state, snapshot: None, created_at: None, why: Some(why.into()) }
    }

    /// An answer with a snapshot.
    #[must_use]
    pub const fn of(source: Name, state: State, made: Made, why: Option<String>) -> Self {
        Self { source: Some(source), state, snapshot: Some(made.id), created_at: Some(made.created_at), why }
    }

    /// Whether nothing more comes of this source.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.state != State::Accepted
    }
}

/// A snapshot that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// Its id.
    pub id: SnapshotId,
    /// When its run started, by the store's clock.
    pub created_at: Time,
}

impl Made {
    /// Whether it is recent enough at `now` to be answered in place of a new one.
    #[must_use]
    pub fn is_young(&self, now: Time, least: Span) -> bool {
        // One of the future is not taken for young for ever.
        self.created_at <= now + Span::seconds(300) && now.since(self.created_at) < least
    }
}

/// What a client gets back.
#[derive(Debug, Clone, Serialize)]
pub struct RequestedReport {
    /// How it stands with each source.
    pub requests: Vec<Answer>,
}

/// Who wanted a snapshot, and why: kept in its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who, as the server of requests saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What is said where a source may not be asked for. To whoever may ask for others, these are no secret.
#[must_use]
pub fn unknown(source: &Name, known: &[&Name]) -> String {
    let near: Vec<&str> = nearest(source, known.iter().copied()).into_iter().map(Name::as_str).collect();
    format!("{source} may not be requested here; sources that may: {}", near.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_strictly() {
        let good = Ask::new(vec!["orders".parse().unwrap()], Some("before the migration".to_owned()), true);
        let line = good.line();
        assert_eq!(Ask::read(line.trim_ascii_end()).unwrap(), good);
        let with = |change: &str| Ask::read(change.as_bytes());
        assert!(with(r#"{"version":1,"sources":["a"]}"#).is_ok());
        for bad in [
            "",
            "{}",
            "null",
            r#"{"version":2,"sources":["a"]}"#,
            r#"{"version":1,"sources":[]}"#,
            r#"{"version":1,"sources":["../a"]}"#,
            r#"{"version":1,"sources":["a"],"command":"rm"}"#,
            r#"{"version":1,"sources":["a"],"reason":"x\ny"}"#,
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
        let long = Ask::new(vec!["a".parse().unwrap()], Some("é".repeat(REASON + 1)), false);
        assert!(Ask::read(&long.line()).is_err());
        let many = Ask::new(vec!["a".parse().unwrap(); SOURCES + 1], None, false);
        assert!(Ask::read(&many.line()).is_err());
    }

    #[test]
    fn what_a_server_did_not_answer_is_no_success() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let (a, b) = (name("a"), name("b"));
        let given = |state| Answer { source: Some(a.clone()), state, snapshot: None, created_at: None, why: None };
        let states = |wait, answers: Vec<Answer>| {
            let ask = Ask::new(vec![a.clone(), b.clone()], None, wait);
            ask.complete(answers).map(|all| all.into_iter().map(|answer| answer.state).collect::<Vec<_>>())
        };
        assert_eq!(states(true, vec![given(State::Done)]).unwrap(), [State::Done, State::Busy]);
        assert_eq!(states(true, vec![given(State::Accepted)]).unwrap(), [State::Busy, State::Busy]);
        assert_eq!(states(false, vec![given(State::Accepted)]).unwrap(), [State::Accepted, State::Busy]);
        assert_eq!(states(true, vec![Answer::no(None, State::Refused, "no")]).unwrap(), [State::Refused]);
        assert!(states(true, vec![Answer { source: Some(name("c")), ..given(State::Done) }]).is_err());
    }

    #[test]
    fn a_question_is_read_strictly_and_becomes_the_words_of_its_command() {
        let question = Question::new(vec!["orders".parse().unwrap()], Some(Span::seconds(3600)), None, Some(2));
        let line = serde_json::to_vec(&question).unwrap();
        assert_eq!(Heard::read(&line).unwrap(), Heard::Ready(question.clone()));
        assert_eq!(question.words(), ["ready", "--max-age=1h", "--copies=2", "orders"]);
        let with = |text: &str| Heard::read(text.as_bytes());
        assert!(matches!(with(r#"{"version":1,"sources":["a"]}"#), Ok(Heard::Backup(_))));
        for bad in [
            r#"{"version":1,"ready":[]}"#,
            r#"{"version":2,"ready":["a"]}"#,
            r#"{"version":1,"ready":["--config"]}"#,
            r#"{"version":1,"ready":["a"],"sources":["a"]}"#,
            r#"{"version":1,"ready":["a"],"max_age":"--x"}"#,
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_snapshot_is_young_for_as_long_as_was_said() {
        let now: Time = "2026-11-29T12:00:00Z".parse().unwrap();
        let made =
            |ago: i64| Made { id: SnapshotId::from_bytes([0; 32]), created_at: Time::from_unix(now.unix() - ago) };
        assert!(made(59).is_young(now, Span::seconds(60)) && !made(60).is_young(now, Span::seconds(60)));
        assert!(made(-200).is_young(now, Span::seconds(60)) && !made(-400).is_young(now, Span::seconds(60)));
    }
}
