//! The side of whoever asks.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use crate::{
    model::Cancel,
    ops::request::{Answer, Ask, Question, Told},
};

/// The longest answer, in bytes.
const ANSWER: usize = 64 << 10;
const POLL: Duration = Duration::from_millis(200);
/// How long the first answer may take where nothing is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// The longest answer to a question, and how long it may take.
const TOLD: usize = 4 << 20;
const LOOK: Duration = Duration::from_mins(10);

/// What comes back of a question.
#[derive(Debug)]
pub enum Reply {
    /// The answer.
    Told(Box<Told>),
    /// Why there is none.
    Refused(Answer),
}

/// Connects. What is no socket will be none later either.
fn connect(path: &Path) -> io::Result<UnixStream> {
    use std::os::unix::fs::FileTypeExt as _;
    if std::fs::metadata(path).is_ok_and(|meta| !meta.file_type().is_socket()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a socket"));
    }
    UnixStream::connect(path)
}

/// Asks at the socket `path` whether sources are ready.
///
/// # Errors
/// If nobody is there, or what comes back is no answer.
pub fn question(path: &Path, question: &Question, cancel: &Cancel) -> io::Result<Reply> {
    let mut stream = connect(path)?;
    stream.set_read_timeout(Some(POLL))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    // A server that refuses may close before it read all.
    let sent = stream.write_all(&line).and_then(|()| stream.flush());
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    let begun = std::time::Instant::now();
    while !text.ends_with(b"\n") {
        if cancel.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
        }
        if begun.elapsed() > LOOK {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(n) => text.extend_from_slice(part.get(..n).unwrap_or_default()),
            Err(e) => match e.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {}
                io::ErrorKind::ConnectionReset => break,
                _ => return Err(e),
            },
        }
        if text.len() > TOLD {
            return Err(io::Error::other("the answer is longer than it may be"));
        }
    }
    if text.is_empty() {
        sent?;
        return Err(io::Error::other("the server closed without an answer"));
    }
    if let Ok(told) = serde_json::from_slice::<Told>(&text) {
        return Ok(Reply::Told(Box::new(told)));
    }
    let refused = serde_json::from_slice(&text).map_err(|_| io::Error::other("the answer is not understood"))?;
    Ok(Reply::Refused(refused))
}

/// Asks at the socket `path`, and gives the last answer to each source.
///
/// # Errors
/// If nobody is there, or what comes back is no answer.
pub fn ask(path: &Path, ask: &Ask, cancel: &Cancel) -> io::Result<Vec<Answer>> {
    let mut stream = connect(path)?;
    stream.set_read_timeout(Some(POLL))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // A server that refuses may close before it read all.
    let sent = stream.write_all(&ask.line()).and_then(|()| stream.flush());
    let mut answers: Vec<Answer> = Vec::new();
    let mut text = Vec::new();
    let mut part = [0; 4096];
    let begun = std::time::Instant::now();
    loop {
        if cancel.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted; what was asked for may go on"));
        }
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(n) => text.extend_from_slice(part.get(..n).unwrap_or_default()),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if !ask.wait && begun.elapsed() > PATIENCE {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                continue;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            // It was closed with something of ours unread; what it said before was read.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => break,
            Err(e) => return Err(e),
        }
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let rest = text.split_off(end + 1);
            let line = std::mem::replace(&mut text, rest);
            let answer: Answer =
                serde_json::from_slice(&line).map_err(|_| io::Error::other("the answer is not understood"))?;
            match answers.iter_mut().find(|known| known.source == answer.source) {
                Some(known) => *known = answer,
                None => answers.push(answer),
            }
        }
        if text.len() > ANSWER {
            return Err(io::Error::other("the answer is longer than it may be"));
        }
    }
    if answers.is_empty() {
        sent?;
        return Err(io::Error::other("the server closed without an answer"));
    }
    ask.complete(answers).map_err(io::Error::other)
}
