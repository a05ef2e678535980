//! Progress at a terminal: what is done, how fast, and how long it will take.

use std::{
    io::IsTerminal,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::log::{self, Fields, Level};
use crate::model::{Progress, size, visible};

/// How often a bar is drawn at most, in hertz.
const RATE: u8 = 8;
/// How often it is drawn though nothing moves, so that a person sees that it lives.
const TICK: Duration = Duration::from_millis(250);

/// Tells the person at the terminal, or nobody.
pub struct Bars {
    drawn: bool,
    notes: bool,
    current: Mutex<Option<ProgressBar>>,
}

impl Bars {
    /// Bars if `wanted` and standard error is a terminal; notes unless `quiet`.
    #[must_use]
    pub fn new(wanted: bool, quiet: bool) -> Self {
        Self { drawn: wanted && std::io::stderr().is_terminal(), notes: !quiet, current: Mutex::new(None) }
    }

    /// Writes a line to standard error, above what is drawn.
    pub fn say(&self, line: &str) {
        self.event(Level::Info, line, Fields::new());
    }

    /// Writes an event to standard error, above what is drawn.
    pub fn event(&self, level: Level, line: &str, fields: Fields) {
        let say = || log::write(level, &visible(line), fields);
        match self.current().as_ref() {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    /// Removes what is drawn.
    pub fn clear(&self) {
        if let Some(bar) = self.current().take() {
            bar.finish_and_clear();
        }
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Bars {
    fn phase(&self, what: &str, total: Option<u64>) {
        tracing::info!(phase = what, total);
        if !self.drawn {
            return;
        }
        let mut current = self.current();
        if let Some(bar) = current.take() {
            bar.finish_and_clear();
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(RATE));
        bar.set_style(style(total.is_some()));
        bar.set_message(visible(what));
        bar.enable_steady_tick(TICK);
        *current = Some(bar);
    }

    fn advance(&self, bytes: u64) {
        if self.drawn
            && let Some(bar) = self.current().as_ref()
        {
            bar.inc(bytes);
        }
    }

    fn note(&self, message: &str) {
        if self.notes {
            self.say(message);
        }
    }
}

fn style(known: bool) -> ProgressStyle {
    let template =
        if known { "{msg}  {wide_bar}  {done} of {all}  {speed}  {left} left" } else { "{spinner} {msg}{moved}" };
    // The template is ours and fixed; the default is no worse than a bar that looks different.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style
        .with_key("done", |state: &ProgressState, w: &mut dyn std::fmt::Write| put(w, &size::human(state.pos())))
        .with_key("all", |state: &ProgressState, w: &mut dyn std::fmt::Write| {
            put(w, &size::human(state.len().unwrap_or_default()));
        })
        .with_key("moved", |state: &ProgressState, w: &mut dyn std::fmt::Write| {
            // Some work has no bytes to count.
            if state.pos() > 0 {
                put(w, &format!("  {}  {}", size::human(state.pos()), speed(state.per_sec())));
            }
        })
        .with_key("speed", |state: &ProgressState, w: &mut dyn std::fmt::Write| put(w, &speed(state.per_sec())))
        .with_key("left", |state: &ProgressState, w: &mut dyn std::fmt::Write| {
            // Nothing went yet, so nobody knows.
            let unknown = state.pos() == 0 && state.len().is_none_or(|all| all > 0);
            put(w, &if unknown { "…".to_owned() } else { left(state.eta()) });
        })
}

fn put(w: &mut dyn std::fmt::Write, text: &str) {
    let _ = w.write_str(text);
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped, and for people")]
fn speed(per_second: f64) -> String {
    format!("{}/s", size::human(per_second.clamp(0.0, 1e15) as u64))
}

fn left(eta: Duration) -> String {
    let seconds = eta.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_and_time_are_short() {
        assert_eq!(speed(1_500_000.0), "1.43 MiB/s");
        assert_eq!(speed(f64::NAN), "0 B/s");
        assert_eq!(left(Duration::from_secs(59)), "59 s");
        assert_eq!(left(Duration::from_secs(61)), "1:01 min");
        assert_eq!(left(Duration::from_mins(121)), "2:01 h");
    }

    #[test]
    fn the_templates_are_valid() {
        for known in [true, false] {
            let _ = style(known);
        }
        assert!(ProgressStyle::with_template("{msg}  {wide_bar}  {done} of {all}").is_ok());
    }

    #[test]
    fn without_a_terminal_there_is_nothing_to_draw() {
        let bars = Bars { drawn: false, notes: false, current: Mutex::new(None) };
        bars.phase("x", Some(10));
        bars.advance(5);
        assert!(bars.current().is_none());
        bars.clear();
    }
}
