//! Ctrl-C, SIGTERM and SIGHUP: the first asks everybody to stop in good order, the second ends the process at once.

use std::{
    io::{IsTerminal, Write},
    process,
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    failure::Exit,
    log::{self, Fields, Level},
    plugin,
};
use crate::model::Cancel;

/// How long what was asked to stop may take before it is left behind: a read or a write that waits for somebody else
/// hears nothing.
pub const GRACE: Duration = Duration::from_secs(10);
/// The same of what leaves nothing behind.
pub const SHORT: Duration = Duration::from_millis(500);
/// The same of what has to bring something to an end.
pub const LONG: Duration = Duration::from_mins(1);
/// How often it is looked whether somebody asked.
const POLL: Duration = Duration::from_millis(200);

/// Watches for the signals on the runtime that this is called on.
///
/// # Errors
/// If the handlers can't be installed.
pub fn watch(cancel: Cancel) -> std::io::Result<()> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    // Whoever called it with nohup wants it to go on.
    let mut hangups = if ignores_hangups() { None } else { Some(signal(SignalKind::hangup())?) };
    tokio::spawn(async move {
        next(&mut interrupts, &mut terminations, hangups.as_mut()).await;
        cancel.cancel();
        // A plugin waits for a device or a person, and hears nothing of it.
        plugin::stop();
        if std::io::stderr().is_terminal() {
            // Behind the ^C that the terminal shows.
            let _ = writeln!(std::io::stderr());
        }
        log::write(Level::Info, "stopping; press Ctrl-C or send the signal again to stop at once", Fields::new());
        next(&mut interrupts, &mut terminations, hangups.as_mut()).await;
        crate::source::leave_nothing();
        process::exit(i32::from(Exit::Interrupted.code()));
    });
    Ok(())
}

/// Returns when the time to stop in good order, `grace`, is over; never, if nobody asks.
pub async fn overdue(cancel: &Cancel, grace: Duration) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(POLL).await;
    }
    tokio::time::sleep(grace).await;
}

async fn next(interrupts: &mut Signal, terminations: &mut Signal, hangups: Option<&mut Signal>) {
    let hangup = async {
        match hangups {
            Some(hangups) => drop(hangups.recv().await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupts.recv() => {}
        _ = terminations.recv() => {}
        () = hangup => {}
    }
}

/// Whether this process was started with SIGHUP ignored, as nohup does.
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
