//! Instants and spans in whole seconds, as object locks have them.

use std::{fmt, ops::Add, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// An instant in whole seconds, UTC. Written as RFC 3339 with `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// A text that is not an instant or a span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct TimeError {
    text: String,
    expected: &'static str,
}

const SPELLING: &str = "a time like 2026-11-22T21:51:00Z";

impl TimeError {
    fn of(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), expected }
    }
}

impl Time {
    /// The last instant that is accepted, 9999-12-30T22:00:00Z: what RFC 3339 can write, with room for arithmetic.
    pub const MAX: Self = Self(253_402_207_200);

    /// The instant `seconds` after 1970-01-01T00:00:00Z, clamped to what RFC 3339 can write.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds.clamp(0, Self::MAX.0))
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this instant is; nothing if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// The ISO year and week that it lies in, in UTC.
    #[must_use]
    pub fn iso_week(self) -> (i16, i8) {
        self.date().map_or((0, 0), |date| (date.iso_week_date().year(), date.iso_week_date().week()))
    }

    /// The year and month that it lies in, in UTC.
    #[must_use]
    pub fn month(self) -> (i16, i8) {
        self.date().map_or((0, 0), |date| (date.year(), date.month()))
    }

    fn date(self) -> Option<jiff::civil::Date> {
        let stamp = jiff::Timestamp::from_second(self.0).ok()?;
        Some(stamp.to_zoned(jiff::tz::TimeZone::UTC).date())
    }

    /// This instant as `20261122T215100Z`, which sorts by time and fits an object key.
    #[must_use]
    pub fn compact(self) -> String {
        self.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect()
    }

    /// Reads what [`compact`](Self::compact) writes, and no other spelling.
    #[must_use]
    pub fn from_compact(text: &str) -> Option<Self> {
        let stamp: jiff::Timestamp = text.parse().ok()?;
        Some(Self::from_unix(stamp.as_second())).filter(|time| time.compact() == text)
    }
}

impl Add<Span> for Time {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self::from_unix(self.0.saturating_add(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamp = jiff::Timestamp::from_second(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{stamp}")
    }
}

impl FromStr for Time {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let stamp: jiff::Timestamp = text.parse().map_err(|_| TimeError::of(text, SPELLING))?;
        Ok(Self::from_unix(stamp.as_second()))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Takes one spelling, the one that [`Display`](fmt::Display) writes: in a document, other zones, fractions or bounds
/// would be read differently by different readers.
impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let time: Self = text.parse().map_err(D::Error::custom)?;
        if time.to_string() == *text { Ok(time) } else { Err(D::Error::custom(TimeError::of(&text, SPELLING))) }
    }
}

/// A length of time in whole seconds. Written as `35d`, `12h`, `30m` or `90s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest span that is accepted: 100 years, beyond which a lock is a mistake.
    pub const MAX: Self = Self::days(36_525);

    /// A span of seconds.
    #[must_use]
    pub const fn seconds(n: u64) -> Self {
        Self(n)
    }

    /// A span of days of 24 hours.
    #[must_use]
    pub const fn days(n: u64) -> Self {
        Self(n * 86_400)
    }

    /// The span in seconds.
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0
    }

    /// The span as the standard library has it.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0s"),
            n if n % 86_400 == 0 => write!(f, "{}d", n / 86_400),
            n if n % 3_600 == 0 => write!(f, "{}h", n / 3_600),
            n if n % 60 == 0 => write!(f, "{}m", n / 60),
            n => write!(f, "{n}s"),
        }
    }
}

impl FromStr for Span {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let error = || TimeError::of(text, "a span like 35d, 12h, 30m, 90s or 5w, of 100 years at most");
        let unit = text.chars().next_back().ok_or_else(error)?;
        let digits = text.strip_suffix(unit).filter(|n| n.bytes().all(|b| b.is_ascii_digit())).ok_or_else(error)?;
        let number: u64 = digits.parse().map_err(|_| error())?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(error()),
        };
        number.checked_mul(factor).map(Self).filter(|span| *span <= Self::MAX).ok_or_else(error)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Seconds for people: `120 ms`, `41 s`, `3 min 20 s`, `5 h 10 min`, `3 d 4 h`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a span for people, never negative")]
#[must_use]
pub fn lasting(seconds: f64) -> String {
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds.max(0.0) * 1000.0);
    }
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..172_800 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ if whole % 86_400 < 3600 => format!("{} d", whole / 86_400),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_spans_read_what_they_write() {
        let time: Time = "2026-11-22T21:51:00Z".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-22T21:51:00Z");
        assert_eq!(time.compact(), "20261122T215100Z");
        assert_eq!(Time::from_compact("20261122T215100Z"), Some(time));
        assert_eq!(Time::from_compact("2026-11-22T21:51:00Z"), None);
        assert_eq!(time + Span::days(1), "2026-11-23T21:51:00Z".parse().unwrap());
        for text in ["35d", "12h", "30m", "90s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("5w".parse::<Span>().unwrap(), Span::days(35));
        for bad in ["", "d", "-1d", "+1d", "1", "1y", "1.5d", "999999999d", "99999999999999999999d", "1é"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_document_spells_a_time_in_one_way() {
        let read = |text: &str| serde_json::from_value::<Time>(text.into());
        assert_eq!(read("2026-11-22T21:51:00Z").unwrap(), "2026-11-22T22:51:00+01:00".parse().unwrap());
        for other in [
            "2026-11-22T22:51:00+01:00",
            "2026-11-22T21:51:00.5Z",
            "2026-11-22T21:51:00.0Z",
            "2026-11-22 21:51:00Z",
            "2026-11-22t21:51:00z",
            "2026-11-22T21:51Z",
            "1969-12-31T23:59:59Z",
            "9999-12-30T22:00:01Z",
        ] {
            assert!(read(other).is_err(), "{other}");
        }
    }

    #[test]
    fn how_long_something_lasted_is_short() {
        for (seconds, told) in [
            (0.12, "120 ms"),
            (9.0, "9.0 s"),
            (61.0, "1 min 1 s"),
            (7_260.0, "2 h 1 min"),
            (2_160_000.0, "25 d"),
            (273_600.0, "3 d 4 h"),
        ] {
            assert_eq!(lasting(seconds), told);
        }
    }

    #[test]
    fn time_arithmetic_never_overflows() {
        let end = Time::MAX + Span::MAX;
        assert_eq!(end, Time::MAX);
        assert!(end.to_string().parse::<Time>().is_ok());
        assert_eq!(Time::from_unix(5).since(Time::from_unix(9)), Span::ZERO);
    }

    #[test]
    fn the_edges_of_times_and_spans() {
        assert_eq!((Time::from_unix(-1).unix(), Time::from_unix(i64::MAX)), (0, Time::MAX));
        assert_eq!(Time::MAX.to_string(), "9999-12-30T22:00:00Z");
        let (early, late) = (Time::from_unix(100), Time::from_unix(350));
        assert_eq!((late.since(early), early.since(late)), (Span::seconds(250), Span::ZERO));
        assert_eq!("36525d".parse::<Span>().unwrap(), Span::MAX);
        assert!("36526d".parse::<Span>().is_err() && "3155760001s".parse::<Span>().is_err());
        assert_eq!(Span::days(2).as_duration(), Duration::from_hours(48));
        assert_eq!(Span::seconds(u64::MAX) + Span::seconds(1), Span::seconds(u64::MAX));
        for (seconds, text) in [(0, "0s"), (61, "61s"), (3_660, "61m"), (90_000, "25h"), (172_800, "2d")] {
            assert_eq!(Span::seconds(seconds).to_string(), text);
            assert_eq!(serde_json::to_value(Span::seconds(seconds)).unwrap(), text);
        }
        for (text, seconds) in [("7s", 7), ("7m", 420), ("7h", 25_200), ("7d", 604_800), ("7w", 4_233_600)] {
            assert_eq!(serde_json::from_value::<Span>(text.into()).unwrap().as_seconds(), seconds);
        }
        assert!(serde_json::from_value::<Span>("7".into()).is_err());
    }

    #[test]
    fn weeks_and_months_are_those_of_utc() {
        let at = |text: &str| text.parse::<Time>().unwrap();
        assert_eq!(
            (at("2027-01-03T23:59:59Z").iso_week(), at("2027-01-04T00:00:00Z").iso_week()),
            ((2026, 53), (2027, 1))
        );
        assert_eq!((at("2026-12-31T23:59:59Z").month(), at("2027-01-01T00:00:00Z").month()), ((2026, 12), (2027, 1)));
    }

    #[test]
    fn what_is_no_time_is_told_as_it_was_written() {
        let error = "tomorrow".parse::<Time>().unwrap_err().to_string();
        assert_eq!(error, "\"tomorrow\" is not a time like 2026-11-22T21:51:00Z");
        assert!("x".repeat(200).parse::<Time>().unwrap_err().to_string().len() < 150);
    }

    #[test]
    fn where_one_unit_ends_the_next_begins() {
        for (seconds, told) in [
            (-1.0, "0 ms"),
            (0.999, "999 ms"),
            (0.9995, "1.0 s"),
            (9.99, "10.0 s"),
            (10.0, "10 s"),
            (59.0, "59 s"),
            (60.0, "1 min 0 s"),
            (3599.0, "59 min 59 s"),
            (3600.0, "1 h 0 min"),
            (172_799.0, "47 h 59 min"),
            (172_800.0, "2 d"),
            (176_399.0, "2 d"),
            (176_400.0, "2 d 1 h"),
        ] {
            assert_eq!(lasting(seconds), told, "{seconds}");
        }
    }
}
