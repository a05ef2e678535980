//! What is written to standard error: one event a line, for people or as JSON with fields; in the journal with its priority.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    os::unix::fs::MetadataExt,
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value};
use tracing::{
    Metadata,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer},
    registry::LookupSpan,
};

use super::json_line;
use crate::{
    model::{Time, visible},
    source::redact,
};

/// What an event has besides its level and its words.
pub type Fields = Map<String, Value>;

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// A JSON object on each line.
    Json,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warning,
    /// What happened.
    Info,
    /// What happened, in detail.
    Debug,
}

impl Level {
    /// As syslog counts.
    const fn priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Info => 6,
            Self::Debug => 7,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    fn of(meta: &Metadata<'_>) -> Self {
        match *meta.level() {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warning,
            tracing::Level::INFO => Self::Info,
            _ => Self::Debug,
        }
    }
}

/// What holds for the whole process, once it is known.
#[derive(Debug, Clone, Copy, Default)]
struct Setting {
    form: Form,
    command: Option<&'static str>,
}

static SETTING: OnceLock<Setting> = OnceLock::new();
static IN_JOURNAL: OnceLock<bool> = OnceLock::new();

/// Sets how events are written from now on. The first time counts.
pub fn begin(form: Form, command: &'static str) {
    let _ = SETTING.set(Setting { form, command: Some(command) });
}

/// How events are written.
#[must_use]
pub fn form() -> Form {
    SETTING.get().copied().unwrap_or_default().form
}

/// Logs what happens in detail: with -v, and more with -vv.
pub fn detail(verbose: u8) {
    let filter = match verbose {
        0 => return,
        1 => EnvFilter::new("strongroom=info"),
        _ => EnvFilter::new("strongroom=debug"),
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Marked).with_target(false);
    // Only a second call fails.
    let _ = match form() {
        Form::Text => subscriber.try_init(),
        Form::Json => subscriber.event_format(Json).try_init(),
    };
}

/// Writes an event. `text` is what people read, in one line or more; `fields` are for machines, `message` among them if the
/// text has more than the words.
pub fn write(level: Level, text: &str, fields: Fields) {
    // Nobody may be listening.
    let _ = io::stderr().lock().write_all(line(level, text, fields).as_bytes());
}

/// The lines of an event.
fn line(level: Level, text: &str, fields: Fields) -> String {
    match form() {
        Form::Text => prefixed(level, text),
        Form::Json => json(level, text, fields),
    }
}

fn prefixed(level: Level, text: &str) -> String {
    let mark = if in_journal() { format!("<{}>", level.priority()) } else { String::new() };
    text.lines().flat_map(|line| [mark.as_str(), line, "\n"]).collect()
}

fn json(level: Level, text: &str, fields: Fields) -> String {
    let mut event = Fields::new();
    let mut put = |name: &str, value: Value| drop(event.insert(name.to_owned(), value));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    put("timestamp", Time::from_unix(i64::try_from(now).unwrap_or_default()).to_string().into());
    put("level", level.as_str().into());
    if let Some(command) = SETTING.get().and_then(|setting| setting.command) {
        put("command", command.into());
    }
    put("message", text.into());
    event.extend(fields);
    let mut out = Vec::new();
    // Writing to memory does not fail.
    let _ = json_line::write(&mut out, &event);
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether standard error is the journal's, by `JOURNAL_STREAM`.
fn in_journal() -> bool {
    *IN_JOURNAL.get_or_init(|| {
        let named = std::env::var("JOURNAL_STREAM").ok();
        let Some((device, inode)) = named.as_deref().and_then(|text| text.split_once(':')) else { return false };
        let Ok(meta) = std::fs::metadata("/proc/self/fd/2") else { return false };
        !io::stderr().is_terminal() && device.parse() == Ok(meta.dev()) && inode.parse() == Ok(meta.ino())
    })
}

/// Standard error for the log, a line at a time, without what was handed in as a secret.
struct Marked;

/// One line of it.
struct Line(Level);

impl MakeWriter<'_> for Marked {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(Level::Info)
    }

    fn make_writer_for(&self, meta: &Metadata<'_>) -> Line {
        Line(Level::of(meta))
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = redact::without_given(&String::from_utf8_lossy(line));
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let whole = match form() {
            Form::Text => prefixed(self.0, &visible(text)),
            Form::Json => format!("{text}\n"),
        };
        io::stderr().write_all(whole.as_bytes()).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Events of the log as JSON.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &tracing::Event<'_>) -> fmt::Result {
        let mut fields = Collected::default();
        event.record(&mut fields);
        let Collected { words, fields } = fields;
        out.write_str(&json(Level::of(event.metadata()), &words, fields))
    }
}

#[derive(Default)]
struct Collected {
    words: String,
    fields: Fields,
}

impl Collected {
    fn put(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.words = format!("{value:?}");
        } else {
            self.put(field, format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_json_whatever_it_says() {
        let fields = Fields::from_iter([("code".to_owned(), "a.b".into())]);
        let line = json(Level::Warning, "a\nb\u{202e}::error::", fields);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{202e}'), "{line}");
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&event["level"], &event["code"], &event["message"]),
            (&"warning".into(), &"a.b".into(), &"a\nb\u{202e}::error::".into())
        );
        assert!(event["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
    }

    #[test]
    fn text_is_marked_only_in_the_journal() {
        let _ = IN_JOURNAL.set(false);
        assert_eq!(prefixed(Level::Error, "a\nb"), "a\nb\n");
    }
}
