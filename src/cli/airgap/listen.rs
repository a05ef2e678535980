//! `airgap listen`: an alert from elsewhere cuts the ways to the vault, and can do nothing else.
//!
//! `POST /trip` with `X-Strongroom-Timestamp` (seconds since 1970) and `X-Strongroom-Signature`: in hex the HMAC-SHA256 of the
//! timestamp, a dot and the body. It must be of the last five minutes and is heeded once.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::journal::Disk;
use crate::{
    cli::wiring::SystemClock,
    codec::mac,
    model::{Cancel, Clock, visible},
    ops::airgap::{Event, Journal},
};

/// So many alerts are read at once.
const AT_ONCE: usize = 16;
/// The largest head and body of a request, in bytes.
const HEAD: usize = 8 << 10;
const BODY: usize = 64 << 10;
/// How long a request may take to come in.
const PATIENCE: Duration = Duration::from_secs(10);
/// How far its time may be off, in seconds.
const WINDOW: i64 = 300;
/// The shortest secret, in bytes.
pub const SHORTEST: usize = 16;
/// So much of what an alert says is kept.
const REASON: usize = 300;
const POLL: Duration = Duration::from_millis(50);

/// What cuts, with the reason.
pub type Trip = dyn Fn(String) + Send + Sync;

/// Listens until somebody asks to stop. `ready` is told where.
///
/// # Errors
/// If nobody can listen there.
pub fn serve(
    address: SocketAddr,
    secret: Zeroizing<Vec<u8>>,
    disk: Disk,
    trip: Box<Trip>,
    (ready, cancel): (&dyn Fn(SocketAddr), &Cancel),
) -> io::Result<u64> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    ready(listener.local_addr()?);
    let shared = Arc::new(Shared {
        secret,
        disk: Mutex::new(disk),
        trip,
        busy: AtomicUsize::new(0),
        heeded: AtomicUsize::new(0),
    });
    while !cancel.is_cancelled() {
        // What comes in wrongly is no reason to stop listening.
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(POLL);
            continue;
        };
        if shared.busy.fetch_add(1, Ordering::SeqCst) >= AT_ONCE {
            shared.busy.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            shared.serve(stream);
            shared.busy.fetch_sub(1, Ordering::SeqCst);
        });
    }
    // An alert that is being heeded is heeded to its end.
    while shared.busy.load(Ordering::SeqCst) > 0 {
        thread::sleep(POLL);
    }
    Ok(shared.heeded.load(Ordering::SeqCst) as u64)
}

struct Shared {
    secret: Zeroizing<Vec<u8>>,
    disk: Mutex<Disk>,
    trip: Box<Trip>,
    busy: AtomicUsize,
    heeded: AtomicUsize,
}

/// What a request asks for.
enum Asked {
    /// To trip, for this reason.
    Trip(String),
    /// What was asked for before.
    Again,
}

/// Why it is not heeded: the code of HTTP, and in words.
type Refused = (u16, &'static str);

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let asked = self.read(&mut stream);
        let (code, body) = match &asked {
            Ok(Asked::Trip(_)) => (202, json!({ "ok": true, "tripping": true })),
            Ok(Asked::Again) => (200, json!({ "ok": true, "tripping": false, "why": "this alert was heeded before" })),
            Err((code, why)) => (*code, json!({ "ok": false, "why": why })),
        };
        // Whoever does not wait for the answer is heeded all the same.
        let _ = answer(&mut stream, code, &body);
        drop(stream);
        if let Ok(Asked::Trip(reason)) = asked {
            self.heeded.fetch_add(1, Ordering::SeqCst);
            (self.trip)(reason);
        }
    }

    fn read(&self, stream: &mut TcpStream) -> Result<Asked, Refused> {
        let late = |_| (408, "the request did not come in whole in time");
        stream.set_nonblocking(false).map_err(late)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(late)?;
        let Request { timestamp, signature, body } = request(stream)?;
        // Seconds as they were sent: what is signed is the text.
        let at: i64 = timestamp.parse().map_err(|_| (400, "X-Strongroom-Timestamp is not a number of seconds"))?;
        let tag = unhex(&signature).ok_or((400, "X-Strongroom-Signature is not hex"))?;
        if !mac::verifies(&self.secret, &[timestamp.as_bytes(), b".", &body], &tag) {
            return Err((401, "the signature is not right"));
        }
        if SystemClock.now().unix().abs_diff(at) > WINDOW.unsigned_abs() {
            return Err((401, "the timestamp is not of the last five minutes"));
        }
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let tag = signature.trim_start_matches("sha256=").to_ascii_lowercase();
        // Where nothing can be read or noted, cutting twice is better than not at all.
        if disk.read().is_ok_and(|state| state.alerts.contains(&tag)) {
            return Ok(Asked::Again);
        }
        let _ = disk.note(Event::Alert { tag });
        Ok(Asked::Trip(reason(&body)))
    }
}

/// What an alert says, in one short line.
fn reason(body: &[u8]) -> String {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    let said = said.as_ref().and_then(|said| said.get("reason")).and_then(Value::as_str).unwrap_or("an alert");
    visible(said).chars().take(REASON).collect()
}

struct Request {
    timestamp: String,
    signature: String,
    body: Vec<u8>,
}

/// Reads a request, and not more of it than may be.
fn request(stream: &mut TcpStream) -> Result<Request, Refused> {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let (head, length, timestamp, signature) = loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes) {
            Ok(httparse::Status::Complete(head)) => {
                if request.path != Some("/trip") {
                    return Err((404, "there is /trip and nothing else"));
                }
                if request.method != Some("POST") {
                    return Err((405, "/trip takes a POST"));
                }
                let of = |name: &str| {
                    let mut all = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
                    let one = all.next().and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim);
                    // Two of a kind are nobody's honest request.
                    one.filter(|_| all.next().is_none()).map(str::to_owned)
                };
                if of("transfer-encoding").is_some() {
                    return Err((411, "say its length with Content-Length"));
                }
                let length: usize = of("content-length")
                    .and_then(|text| text.parse().ok())
                    .ok_or((411, "say its length with Content-Length"))?;
                let timestamp = of("x-strongroom-timestamp").ok_or((401, "there is no X-Strongroom-Timestamp"))?;
                let signature = of("x-strongroom-signature").ok_or((401, "there is no X-Strongroom-Signature"))?;
                break (head, length, timestamp, signature);
            }
            Ok(httparse::Status::Partial) if bytes.len() < HEAD => more(stream, &mut bytes, HEAD, deadline)?,
            Ok(httparse::Status::Partial) => return Err((431, "its head is too large")),
            Err(_) => return Err((400, "it is not an HTTP request")),
        }
    };
    if length > BODY {
        return Err((413, "its body is larger than 64 KiB"));
    }
    while bytes.len() < head + length {
        more(stream, &mut bytes, head + length, deadline)?;
    }
    let body = bytes.get(head..head + length).unwrap_or_default().to_vec();
    Ok(Request { timestamp, signature, body })
}

/// Reads some more, up to `most` bytes in all.
fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>, most: usize, deadline: Instant) -> Result<(), Refused> {
    let late = (408, "the request did not come in whole in time");
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(late);
    }
    stream.set_read_timeout(Some(left)).map_err(|_| late)?;
    let mut piece = [0; 2048];
    let room = most.saturating_sub(bytes.len()).min(piece.len());
    let room = piece.get_mut(..room).unwrap_or_default();
    match stream.read(room) {
        Ok(n @ 1..) => bytes.extend(room.iter().take(n)),
        Ok(0) => return Err((400, "the request ended early")),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(_) => return Err(late),
    }
    Ok(())
}

fn answer(stream: &mut TcpStream, code: u16, body: &Value) -> io::Result<()> {
    let body = body.to_string();
    let words = match code {
        200 => "OK",
        202 => "Accepted",
        401 => "Unauthorized",
        404 => "Not Found",
        _ => "Refused",
    };
    let text = format!(
        "HTTP/1.1 {code} {words}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

/// The bytes of a text of 64 hex digits, with `sha256=` before it or not.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix("sha256=").unwrap_or(text);
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    Some(digits.chunks(2).filter_map(|pair| Some(pair.first()? << 4 | pair.get(1)?)).collect())
}
