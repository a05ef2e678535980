//! Asking a person for a passphrase, at the terminal and without showing it.

use std::{
    fs::File,
    io::{self, Read, Write},
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::{codec::seal::Prompt, model::visible};

/// The longest answer, in bytes.
const LONGEST: usize = 1024;

/// The terminal that the command runs in, whatever its standard streams are connected to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terminal;

impl Prompt for Terminal {
    fn secret(&self, what: &str) -> Option<Zeroizing<String>> {
        let mut tty = File::options().read(true).write(true).open("/dev/tty").ok()?;
        ask(&mut tty, what).ok()
    }

    fn note(&self, text: &str) {
        if let Ok(mut tty) = File::options().write(true).open("/dev/tty") {
            let _ = writeln!(tty, "{}", visible(text));
        }
    }
}

fn ask(tty: &mut File, what: &str) -> io::Result<Zeroizing<String>> {
    write!(tty, "{}: ", visible(what))?;
    tty.flush()?;
    let before = tcgetattr(&*tty)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    let _shown_again = Restore { tty: tty.try_clone()?, before };
    tcsetattr(&*tty, OptionalActions::Flush, &hidden)?;
    let line = line(tty);
    writeln!(tty)?;
    line
}

/// One line, without its end.
fn line(from: &mut impl Read) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut byte = [0_u8];
    loop {
        match from.read(&mut byte) {
            Ok(0) if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if line.len() == LONGEST => return Err(io::ErrorKind::InvalidInput.into()),
            Ok(_) => line.extend_from_slice(&byte),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let text = std::str::from_utf8(&line).map_err(io::Error::other)?;
    Ok(Zeroizing::new(text.trim_end_matches('\r').to_owned()))
}

/// Shows what is typed again, however the question ends.
struct Restore {
    tty: File,
    before: Termios,
}

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.tty, OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_line() {
        assert_eq!(&*line(&mut &b"open sesame\nmore"[..]).unwrap(), "open sesame");
        assert_eq!(&*line(&mut &b"windows\r\n"[..]).unwrap(), "windows");
        assert_eq!(&*line(&mut &b"\n"[..]).unwrap(), "");
        assert!(line(&mut &b""[..]).is_err(), "nobody answered");
        assert!(line(&mut &[b'x'; 2000][..]).is_err());
    }
}
