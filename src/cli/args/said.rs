//! Times, as they are typed.

use std::str::FromStr;

use jiff::tz::TimeZone;

use crate::{
    cli::wiring::SystemClock,
    model::{Clock as _, Time, spoken},
};

/// A time, and how it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What it means.
    pub time: Time,
    text: String,
}

impl FromStr for Said {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = spoken::read(text, SystemClock.now(), &TimeZone::system());
        let time =
            time.ok_or_else(|| format!("this time is not understood; use a form such as {}", spoken::EXAMPLES))?;
        Ok(Self { time, text: text.to_owned() })
    }
}

impl Said {
    /// How it was read, unless it was said as exactly as that; and whether it is still to come.
    #[must_use]
    pub fn read_as(&self, option: &str) -> Option<String> {
        let Self { time, text } = self;
        let ahead = *time > SystemClock.now();
        let so = if ahead { ", which is in the future" } else { "" };
        (ahead || time.to_string() != *text).then(|| format!("{option} {text}: read as {time}{so}"))
    }
}
