//! Times as people say them: `yesterday`, `2 hours ago`, `2026-11-28 07:00`.

use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, DateTime, Time as Clock},
    tz::TimeZone,
};

use super::Time;

/// What is understood, for messages.
pub const EXAMPLES: &str = "2026-11-22T06:00:00Z, 2026-11-22T07:00+01:00, \"2026-11-22 07:00\" (this host's time), \
                            2026-11-22 (the end of that day), 07:00, yesterday, \"yesterday 07:00\", \"2 hours ago\", 90m ago";

/// The instant that `text` means, said at `now` where the clocks show `zone`. `None` if it means none.
///
/// A day without an hour is its end, and an hour without a day is the last time that clocks showed it.
#[must_use]
pub fn read(text: &str, now: Time, zone: &TimeZone) -> Option<Time> {
    let text = text.trim().to_ascii_lowercase();
    if let Ok(exact) = text.to_ascii_uppercase().parse() {
        return Some(exact);
    }
    let at = Timestamp::from_second(now.unix()).ok()?.to_zoned(zone.clone());
    let told = |zoned: jiff::Zoned| Some(Time::from_unix(zoned.timestamp().as_second()));
    let civil = |date: Date, clock: Clock| told(DateTime::from_parts(date, clock).to_zoned(zone.clone()).ok()?);
    // A `t` between day and hour, as in RFC 3339, is a space.
    let spaced = match (text.get(..10), text.get(10..).and_then(|rest| rest.strip_prefix('t'))) {
        (Some(day), Some(hour)) => format!("{day} {hour}"),
        _ => text.clone(),
    };
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let end = Clock::constant(23, 59, 59, 0);
    if let Some(said) = text.strip_suffix("ago") {
        return ago(said.trim(), &at).and_then(told);
    }
    match text.as_str() {
        "now" => return Some(now),
        "yesterday" => return told(at.checked_sub(1.day()).ok()?),
        _ => {}
    }
    match words.as_slice() {
        [one] => match (date(one), clock(one)) {
            (Some(date), _) => civil(date, end),
            (None, Some(clock)) => {
                let today = civil(at.date(), clock)?;
                if today <= now { Some(today) } else { civil(at.date().yesterday().ok()?, clock) }
            }
            (None, None) => None,
        },
        [day, hour] => civil(date_of(day, &at)?, clock(hour)?),
        [day, hour, offset] => {
            let offset = if matches!(*offset, "utc" | "gmt") { "Z".to_owned() } else { offset.to_ascii_uppercase() };
            let exact = format!("{}T{}{offset}", date_of(day, &at)?, clock(hour)?);
            exact.parse().ok()
        }
        _ => None,
    }
}

fn date_of(text: &str, at: &jiff::Zoned) -> Option<Date> {
    match text {
        "today" => Some(at.date()),
        "yesterday" => at.date().yesterday().ok(),
        _ => date(text),
    }
}

fn date(text: &str) -> Option<Date> {
    (text.len() == 10).then(|| Date::strptime("%Y-%m-%d", text).ok()).flatten()
}

/// `07:00` and `07:00:30`.
fn clock(text: &str) -> Option<Clock> {
    let long = text.matches(':').count() == 2;
    Clock::strptime(if long { "%H:%M:%S" } else { "%H:%M" }, text).ok()
}

/// `2 hours`, `2h`, `an hour`, `3 weeks`.
fn ago(text: &str, at: &jiff::Zoned) -> Option<jiff::Zoned> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = match text.split_at_checked(digits)? {
        ("", rest) => (1, rest.strip_prefix("an ").or_else(|| rest.strip_prefix("a "))?),
        (number, rest) => (number.parse::<i64>().ok().filter(|n| *n < 1_000_000)?, rest),
    };
    let span = match unit.trim() {
        "s" | "sec" | "secs" | "second" | "seconds" => number.seconds(),
        "m" | "min" | "mins" | "minute" | "minutes" => number.minutes(),
        "h" | "hour" | "hours" => number.hours(),
        "d" | "day" | "days" => jiff::Span::new().try_days(number).ok()?,
        "w" | "week" | "weeks" => jiff::Span::new().try_weeks(number).ok()?,
        "month" | "months" => jiff::Span::new().try_months(number).ok()?,
        "y" | "year" | "years" => jiff::Span::new().try_years(number).ok()?,
        _ => return None,
    };
    at.checked_sub(span).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_say_them() {
        let now: Time = "2026-11-28T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let told = |text: &str| read(text, now, &zone).map(|time| time.to_string());
        for (text, want) in [
            ("2026-11-22T06:00:00Z", "2026-11-22T06:00:00Z"),
            ("2026-11-22T07:00:00+01:00", "2026-11-22T06:00:00Z"),
            ("2026-11-22T07:00+01:00", "2026-11-22T06:00:00Z"),
            ("2026-11-22 07:00 +01:00", "2026-11-22T06:00:00Z"),
            ("2026-11-22 07:00+01:00", "2026-11-22T06:00:00Z"),
            ("2026-11-22 07:00 Z", "2026-11-22T07:00:00Z"),
            ("2026-11-22 07:00 UTC", "2026-11-22T07:00:00Z"),
            ("yesterday 07:00 utc", "2026-11-27T07:00:00Z"),
            ("2026-11-22T07:00", "2026-11-22T06:00:00Z"),
            ("2026-11-22 07:00:30", "2026-11-22T06:00:30Z"),
            ("2026-11-22", "2026-11-22T22:59:59Z"),
            ("now", "2026-11-28T12:00:00Z"),
            ("Yesterday", "2026-11-27T12:00:00Z"),
            ("yesterday 07:00", "2026-11-27T06:00:00Z"),
            ("07:00", "2026-11-28T06:00:00Z"),
            ("23:00", "2026-11-27T22:00:00Z"),
            ("today 07:00", "2026-11-28T06:00:00Z"),
            ("2 hours ago", "2026-11-28T10:00:00Z"),
            ("90m ago", "2026-11-28T10:30:00Z"),
            ("an hour ago", "2026-11-28T11:00:00Z"),
            ("3 weeks ago", "2026-11-07T12:00:00Z"),
            ("1 month ago", "2026-10-28T12:00:00Z"),
            ("45s ago", "2026-11-28T11:59:15Z"),
            ("2 days ago", "2026-11-26T12:00:00Z"),
            ("2 years ago", "2024-11-28T12:00:00Z"),
            ("999999 s ago", "2026-11-16T22:13:21Z"),
        ] {
            assert_eq!(told(text).as_deref(), Some(want), "{text}");
        }
        for bad in [
            "",
            "ago",
            "-2 hours ago",
            "2 moons ago",
            "1000000 s ago",
            "28.11.2026",
            "2026-02-30",
            "25:00",
            "tomorrow",
            "2026",
            "x 07:00",
        ] {
            assert_eq!(told(bad), None, "{bad}");
        }
        // A day of 25 hours is one day.
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let after: Time = "2026-10-25T20:00:00Z".parse().unwrap();
        assert_eq!(read("yesterday", after, &berlin).unwrap().to_string(), "2026-10-24T19:00:00Z");
    }
}
