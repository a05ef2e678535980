//! A stream that somebody else hands in, usually standard input.

use std::{io::Read, sync::Arc};

use super::{
    Facts, FileMeta, Incoming, Look, Reading, Result, Source, SourceError,
    complete::{Judge, Judged},
    read::{Seen, Watched},
};
use crate::model::{Name, SourceKind};

/// One stream, read to its end.
///
/// Nobody sees whether the program before the pipe failed. Dumps that are known by how they begin must have their end; of
/// all else a short one looks whole here. Where that matters, which is nearly everywhere, the command source is the better
/// choice: it knows the exit status.
pub struct StdinSource {
    reader: Option<Box<dyn Read + Send>>,
    stream: Name,
}

impl StdinSource {
    /// Reads `reader` as the one stream `stream`. It can be opened once.
    #[must_use]
    pub fn new(reader: Box<dyn Read + Send>, stream: Name) -> Self {
        Self { reader: Some(reader), stream }
    }
}

impl Source for StdinSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Stdin
    }

    fn open(&mut self) -> Result<Box<dyn Reading>> {
        let reader = self
            .reader
            .take()
            .ok_or_else(|| SourceError::new("standard input can be read only once", self.stream.as_str()))?;
        let (reader, seen) = Watched::new(reader, "standard input", 0);
        let (reader, judge) = Judged::new(reader);
        Ok(Box::new(StdinReading { reader: Some(Box::new(reader)), stream: self.stream.clone(), seen, judge }))
    }

    fn look(&mut self) -> Look {
        let mut look = Look::default();
        look.unknown("contents", "standard input is read by a backup only, and nobody sees how its producer ends");
        look
    }
}

struct StdinReading {
    reader: Option<Box<dyn Read + Send>>,
    stream: Name,
    seen: Arc<Seen>,
    judge: Arc<Judge>,
}

impl Reading for StdinReading {
    fn next_stream(&mut self) -> Result<Option<Incoming>> {
        Ok(self.reader.take().map(|reader| Incoming {
            name: self.stream.clone(),
            path: None,
            meta: FileMeta::default(),
            expected: None,
            reader,
        }))
    }

    fn finish(self: Box<Self>) -> Result<Facts> {
        self.seen.must_have_ended("standard input")?;
        self.judge.must_be_complete("standard input")?;
        Ok(Facts::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_stream_and_can_be_read_once() {
        let mut source = StdinSource::new(Box::new(&b"a dump"[..]), "orders.sql".parse().unwrap());
        assert_eq!(source.kind(), SourceKind::Stdin);
        let mut reading = source.open().unwrap();
        let mut stream = reading.next_stream().unwrap().unwrap();
        let mut text = String::new();
        stream.reader.read_to_string(&mut text).unwrap();
        assert_eq!((stream.name.as_str(), text.as_str()), ("orders.sql", "a dump"));
        assert!(reading.next_stream().unwrap().is_none());
        assert!(reading.finish().unwrap().warnings.is_empty());
        assert!(source.open().is_err());
    }

    #[test]
    fn a_stream_that_was_not_read_to_its_end_is_no_success() {
        let mut source = StdinSource::new(Box::new(&b"a dump"[..]), "orders.sql".parse().unwrap());
        let mut reading = source.open().unwrap();
        let mut stream = reading.next_stream().unwrap().unwrap();
        stream.reader.read_exact(&mut [0; 3]).unwrap();
        assert!(reading.finish().is_err());
    }
}
