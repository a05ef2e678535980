//! A long JSON array, read as it comes: each element by itself, on one line, with no more in memory than that element.

use super::{Result, SourceError};

/// The largest element. A comment of 10 MB fits, whatever of it is escaped twofold.
pub(super) const MOST: usize = 24 << 20;

/// How deep an element may be nested. Readers of JSON go no deeper than 128.
const DEEPEST: usize = 100;

/// Takes an array apart. What stands between elements and outside strings is left out, so that each is one line, and
/// otherwise as it came.
pub(super) struct Split {
    element: Vec<u8>,
    depth: usize,
    string: bool,
    escaped: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Within,
    After,
}

impl Split {
    pub(super) fn new() -> Self {
        Self { element: Vec::new(), depth: 0, string: false, escaped: false, state: State::Before }
    }

    /// Takes the next part, and gives each element that ends in it to `each`.
    ///
    /// # Errors
    /// If it is no array, an element is far too large, or `each` fails.
    pub(super) fn take(&mut self, part: &[u8], each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for &byte in part {
            match self.state {
                State::Before => match byte {
                    b'[' => self.state = State::Within,
                    b' ' | b'\t' | b'\r' | b'\n' => {}
                    _ => return Err(broken("is not a JSON array")),
                },
                State::After if byte.is_ascii_whitespace() => {}
                State::After => return Err(broken("goes on behind its end")),
                State::Within => self.within(byte, each)?,
            }
            if self.element.len() > MOST {
                return Err(broken("has an entry of more than 24 MiB"));
            }
        }
        Ok(())
    }

    fn within(&mut self, byte: u8, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if self.string {
            // A line of its own would be another entry.
            if byte == b'\n' {
                self.element.extend_from_slice(if self.escaped { b"n" } else { b"\\n" });
                self.escaped = false;
                return Ok(());
            }
            self.element.push(byte);
            if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'"' {
                self.string = false;
            }
            return Ok(());
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return Ok(()),
            b'"' => self.string = true,
            b'{' | b'[' if self.depth == DEEPEST => return Err(broken("has an entry that is nested too deep")),
            b'{' | b'[' => self.depth += 1,
            b'}' => self.depth = self.depth.checked_sub(1).ok_or_else(|| broken("is not JSON"))?,
            b']' if self.depth == 0 => {
                self.state = State::After;
                return self.end(each);
            }
            b']' => self.depth -= 1,
            b',' if self.depth == 0 => return self.end(each),
            _ => {}
        }
        self.element.push(byte);
        Ok(())
    }

    fn end(&mut self, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if !self.element.is_empty() {
            each(&self.element)?;
            self.element.clear();
            // One that was huge is no reason to hold so much from then on.
            self.element.shrink_to(64 << 10);
        }
        Ok(())
    }

    /// Whether the array ended.
    ///
    /// # Errors
    /// If it did not: the answer was cut.
    pub(super) fn finish(&self) -> Result<()> {
        if self.state == State::After { Ok(()) } else { Err(broken("ends before its end")) }
    }
}

/// A whole JSON value on one line, otherwise as it came.
pub(super) fn compact(text: &[u8]) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut split = Split::new();
    let mut keep = |element: &[u8]| {
        line.extend_from_slice(element);
        Ok(())
    };
    split.take(b"[", &mut keep)?;
    split.take(text, &mut keep)?;
    split.take(b"]", &mut keep)?;
    split.finish()?;
    Ok(line)
}

/// Whose fault it is that an answer is not what it should be.
const API: &str = "the forge's API";

/// What a forge answered and is not what its API promises.
pub(super) fn broken(what: &str) -> SourceError {
    SourceError::new(format!("an answer {what}"), API)
}

/// Whether it was what the forge answered that was wrong.
pub(super) fn is_broken(error: &SourceError) -> bool {
    error.object == API
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, step: usize) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut split = Split::new();
        let mut each = |element: &[u8]| {
            found.push(String::from_utf8(element.to_vec()).unwrap());
            Ok(())
        };
        for part in text.as_bytes().chunks(step) {
            split.take(part, &mut each)?;
        }
        split.finish()?;
        Ok(found)
    }

    #[test]
    fn elements_come_out_as_they_were_on_one_line() {
        let text = "[ {\"a\": \"x, ] \\\" }\", \n \"b\":[1, 2.50,{}]} , \"s\\\\\" ,3 ]\n";
        for step in [1, 2, 3, 7, 100] {
            assert_eq!(split(text, step).unwrap(), ["{\"a\":\"x, ] \\\" }\",\"b\":[1,2.50,{}]}", "\"s\\\\\"", "3"]);
        }
        assert!(split("[]", 1).unwrap().is_empty());
        assert_eq!(compact(b"{ \"a\" : 1 }\n").unwrap(), b"{\"a\":1}");
    }

    #[test]
    fn what_is_cut_or_no_array_is_an_error() {
        for text in ["", "{}", "[1", "[\"]", "[}", "[1] x"] {
            assert!(split(text, 3).is_err(), "{text}");
        }
        let mut huge = Split::new();
        huge.take(b"[\"", &mut |_| Ok(())).unwrap();
        let part = vec![b'x'; 1 << 20];
        let failed = (0..30).find_map(|_| huge.take(&part, &mut |_| Ok(())).err());
        assert!(failed.unwrap().to_string().contains("24 MiB"));
    }
}
