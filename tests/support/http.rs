//! A small HTTP/1.1 server for tests that misbehaves on demand, whatever answers behind it.

use std::{
    fmt::Write as _,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

type Headers = Vec<(String, String)>;

/// A request, complete.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Path and query, as they were sent.
    pub target: String,
    pub headers: Headers,
    pub body: Vec<u8>,
}

/// An answer, complete.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}

/// How an exchange goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks off before anything was done.
    CutBefore,
    /// It was done; the connection breaks off without an answer.
    CutAfter,
    /// It was done; the connection breaks off in the middle of the answer.
    CutWithin,
    /// It was done; the answer ends after its first entry, or in its middle, and its length says so too.
    Shortened,
    /// It was done; this is the answer, with 200.
    Instead(&'static str),
    /// This S3 error instead of an answer; nothing was done.
    Error(u16, &'static str),
    /// It was done, and answered with this S3 error.
    ErrorAfter(u16, &'static str),
    /// No answer, and no end either, until the client gives up; nothing was done.
    Silence,
    /// A bit of the request's body flips on its way.
    Garble,
    /// The answer's date is this many seconds off.
    Date(i64),
}

/// What answers when nothing goes wrong.
pub trait Backend: Send + Sync + 'static {
    fn answer(&self, request: &Request) -> io::Result<Response>;
}

/// Decides about an exchange by its number, from 1, and by what is asked.
pub type Plan = dyn Fn(u64, &Request) -> Option<Fault> + Send + Sync;

/// The server. Ends with its handle.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    backend: Box<dyn Backend>,
    plan: Mutex<Arc<Plan>>,
    exchanges: AtomicU64,
    log: Mutex<Vec<String>>,
    stopping: AtomicBool,
}

impl Server {
    /// A server on a free port in front of `backend`, without faults.
    pub fn start(backend: impl Backend) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            backend: Box::new(backend),
            plan: Mutex::new(Arc::new(|_, _| None)),
            exchanges: AtomicU64::new(0),
            log: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stopping.load(Ordering::SeqCst) {
                    break;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&accepting)) else { continue };
                thread::spawn(move || {
                    // A connection that ends badly is what these tests are about.
                    let _ = serve(&stream, &shared);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, shared }
    }

    /// From now on exchanges go wrong as `plan` says. Counting begins anew.
    pub fn plan(&self, plan: impl Fn(u64, &Request) -> Option<Fault> + Send + Sync + 'static) {
        self.shared.exchanges.store(0, Ordering::SeqCst);
        *self.shared.plan.lock().unwrap() = Arc::new(plan);
        self.shared.log.lock().unwrap().clear();
    }

    /// The URL that clients use.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many exchanges began since the plan was made.
    pub fn exchanges(&self) -> u64 {
        self.shared.exchanges.load(Ordering::SeqCst)
    }

    /// What was asked since the plan was made, as `METHOD target`, and how it went wrong.
    pub fn log(&self) -> Vec<String> {
        self.shared.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read_request(&mut reader)? {
        let n = shared.exchanges.fetch_add(1, Ordering::SeqCst) + 1;
        let plan = Arc::clone(&shared.plan.lock().unwrap());
        let fault = plan(n, &request);
        let note = fault.as_ref().map(|fault| format!(" {fault:?}")).unwrap_or_default();
        shared.log.lock().unwrap().push(format!("{} {}{note}", request.method, request.target));
        match fault {
            Some(Fault::CutBefore) => return Ok(()),
            Some(Fault::CutAfter) => {
                shared.backend.answer(&request)?;
                return Ok(());
            }
            Some(Fault::CutWithin) => {
                let response = shared.backend.answer(&request)?;
                let bytes = response.bytes(&request);
                return (&*stream).write_all(&bytes[..bytes.len() - bytes.len().min(response.body.len() / 2 + 1)]);
            }
            Some(Fault::Error(status, code)) => send(stream, &request, &Response::error(status, code))?,
            Some(Fault::ErrorAfter(status, code)) => {
                shared.backend.answer(&request)?;
                send(stream, &request, &Response::error(status, code))?;
            }
            Some(Fault::Silence) => {
                // Ends when the client closes.
                let _ = reader.read(&mut [0]);
                return Ok(());
            }
            Some(Fault::Garble) => {
                let mut request = request;
                if let Some(byte) = request.body.last_mut() {
                    *byte ^= 1;
                }
                send(stream, &request, &shared.backend.answer(&request)?)?;
            }
            Some(Fault::Shortened) => {
                let mut response = shared.backend.answer(&request)?;
                let end = ["</Contents>", "</Version>", "</DeleteMarker>"].map(|tag| {
                    response
                        .body
                        .windows(tag.len())
                        .position(|window| window == tag.as_bytes())
                        .map(|at| at + tag.len())
                });
                response.body.truncate(end.into_iter().flatten().min().unwrap_or(response.body.len() / 2));
                send(stream, &request, &response)?;
            }
            Some(Fault::Instead(body)) => {
                shared.backend.answer(&request)?;
                send(stream, &request, &Response::new(200, body))?;
            }
            Some(Fault::Date(seconds)) => {
                let mut response = shared.backend.answer(&request)?;
                response.shift_date(seconds);
                send(stream, &request, &response)?;
            }
            None => send(stream, &request, &shared.backend.answer(&request)?)?,
        }
    }
    Ok(())
}

/// Answers every request that comes over `stream`, whatever carries it.
pub fn converse(stream: impl Read + Write, backend: &dyn Backend) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream)? {
        let response = backend.answer(&request)?.bytes(&request);
        stream.get_mut().write_all(&response)?;
        stream.get_mut().flush()?;
    }
    Ok(())
}

fn send(mut stream: &TcpStream, request: &Request, response: &Response) -> io::Result<()> {
    stream.write_all(&response.bytes(request))
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        [text.as_bytes(), b"\r\n", &self.body].concat()
    }
}

impl Response {
    /// An answer with this status and body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// An S3 error.
    pub fn error(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>injected {code}</Message></Error>");
        Self::new(status, body).with("Content-Type", "application/xml")
    }

    /// The same answer with a header.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn shift_date(&mut self, seconds: i64) {
        let format = "%a, %d %b %Y %H:%M:%S GMT";
        for (name, value) in &mut self.headers {
            if name.eq_ignore_ascii_case("date") {
                let date = jiff::fmt::strtime::parse(format, &*value).unwrap().to_datetime().unwrap();
                let date = date.to_zoned(jiff::tz::TimeZone::UTC).unwrap() + jiff::SignedDuration::from_secs(seconds);
                *value = date.strftime(format).to_string();
            }
        }
    }

    /// As it goes over the wire. The body of an answer to HEAD is only announced.
    fn bytes(&self, request: &Request) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} -\r\n", self.status);
        for (name, value) in &self.headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        let head = request.method == "HEAD";
        if find(&self.headers, "content-length").is_none() && self.status != 204 {
            write!(text, "Content-Length: {}\r\n", self.body.len()).unwrap();
        }
        [text.as_bytes(), b"\r\n", if head { b"" } else { &self.body }].concat()
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The first line and the headers; `None` if the other side closed instead.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<(String, Headers)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let (first, mut headers) = (line.trim_end().to_owned(), Vec::new());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(Some((first, headers))) };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let Some((first, headers)) = read_head(reader)? else { return Ok(None) };
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut body = vec![0; find(&headers, "content-length").and_then(|n| n.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { method, target, headers, body }))
}

fn read_response(reader: &mut impl BufRead, head: bool) -> io::Result<Response> {
    let (first, mut headers) = read_head(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    if first.starts_with("HTTP/1.1 100") {
        return read_response(reader, head);
    }
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let mut body = Vec::new();
    if find(&headers, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding"));
        if !head {
            read_chunks(reader, &mut body)?;
        }
    } else if !head && status != 204 && status != 304 {
        body = vec![0; find(&headers, "content-length").and_then(|n| n.parse().ok()).unwrap_or(0)];
        reader.read_exact(&mut body)?;
    }
    Ok(Response { status, headers, body })
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
        let from = body.len();
        body.resize(from + size, 0);
        reader.read_exact(&mut body[from..])?;
        line.clear();
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// A backend that asks a real server.
pub struct Forward(pub SocketAddr);

impl Backend for Forward {
    fn answer(&self, request: &Request) -> io::Result<Response> {
        let stream = TcpStream::connect_timeout(&self.0, Duration::from_secs(5))?;
        (&stream).write_all(&request.bytes())?;
        read_response(&mut BufReader::new(&stream), request.method == "HEAD")
    }
}
