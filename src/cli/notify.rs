//! What systemd is told: that a service is ready, lives, and stops (`Type=notify`, `WatchdogSec`).

use std::{
    env,
    ffi::OsString,
    os::unix::{ffi::OsStrExt, net::UnixDatagram},
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

/// Tells the service manager, or nobody.
pub struct Notifier {
    socket: Option<OsString>,
    /// How often it wants to hear that this lives.
    every: Option<Duration>,
    told: Mutex<Option<Instant>>,
}

impl Notifier {
    /// As the environment says.
    #[must_use]
    pub fn new() -> Self {
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        // Meant for another process of the service otherwise.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let every = number("WATCHDOG_USEC").filter(|_| ours).map(|micros| Duration::from_micros(micros / 3));
        Self { socket: env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()), every, told: Mutex::new(None) }
    }

    /// Sends a state such as `READY=1`. That nobody listens is no failure of the service.
    pub fn send(&self, state: &str) {
        let Some(name) = &self.socket else { return };
        let Ok(socket) = UnixDatagram::unbound() else { return };
        // Some ten messages wait for a manager that does not read; whoever works waits for none.
        if socket.set_nonblocking(true).is_err() {
            return;
        }
        let sent = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => abstract_socket(&socket, name, state),
            None => socket.send_to(state.as_bytes(), Path::new(name)),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "the service manager can't be notified");
        }
    }

    /// Tells that it lives, as often as that is wanted.
    pub fn alive(&self) {
        let Some(every) = self.every else { return };
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= every) {
            *told = Some(Instant::now());
            self.send("WATCHDOG=1");
        }
    }
}

impl Default for Notifier {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(target_os = "linux")]
fn abstract_socket(socket: &UnixDatagram, name: &[u8], state: &str) -> std::io::Result<usize> {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    socket.send_to_addr(state.as_bytes(), &SocketAddr::from_abstract_name(name)?)
}

#[cfg(not(target_os = "linux"))]
fn abstract_socket(_: &UnixDatagram, _: &[u8], _: &str) -> std::io::Result<usize> {
    Err(std::io::ErrorKind::Unsupported.into())
}
