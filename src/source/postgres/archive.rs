//! Watches a custom-format archive of `pg_dump` on its way by, and tells whether it has an end.
//!
//! Such an archive is a table of contents and then blocks of data, without any mark after the last. It is whole if every
//! entry that promises data has a block, and the last block is closed. The layout is that of the archive versions 1.12
//! to 1.16, which PostgreSQL 9 to 18 write.

mod contents;

use std::{
    collections::BTreeSet,
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

pub(super) use contents::{Contents, Rows};

/// The newest archive version whose layout is known: 1.16.
const NEWEST: u8 = 16;
/// How much of a string is kept, in bytes. Longer ones are of no interest here.
const KEPT: usize = 4 << 10;

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// `PGDMP`, version, sizes of integers and offsets, format.
    Magic,
    /// A byte of no interest.
    Byte,
    /// An integer of no interest.
    Number,
    /// A string of no interest.
    Text,
    /// How many entries the table of contents has.
    Entries,
    /// An entry's number.
    Id,
    /// Whether the entry has data.
    HasData,
    /// The entry's name, kind, definition and schema.
    Tag,
    Kind,
    Definition,
    Schema,
    /// Strings until one that is null.
    Texts,
    /// Where the entry's data is, which a pipe can't say.
    Offset,
}

/// Where in the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    /// The kind of the next block, or the end.
    Block,
    /// The entry of the block.
    Id { large: bool },
    /// The number of a large object; 0 ends the block.
    LargeObject,
    /// The length of a part; 0 ends the table's block or the large object.
    Part { large: bool },
}

/// A sequence's value as the archive sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SequenceSet {
    pub(super) schema: String,
    pub(super) name: String,
    /// The statement.
    pub(super) definition: String,
}

/// What is known of an archive so far.
#[derive(Debug)]
pub struct Walker {
    /// Bytes of the field in hand.
    held: Vec<u8>,
    /// How many bytes the field in hand needs, and whether they are kept.
    need: u64,
    keep: bool,
    /// The length of the string in hand was read.
    in_text: bool,
    minor: u8,
    int: usize,
    offset: usize,
    program: Vec<Field>,
    at: usize,
    entries_from: usize,
    entries: u64,
    data: Option<Data>,
    id: i64,
    expected: BTreeSet<i64>,
    found: BTreeSet<i64>,
    texts: [String; 4],
    pub(super) sequences: Vec<SequenceSet>,
    pub(super) contents: Contents,
    /// Why it is no archive, or none that can be judged.
    wrong: Option<String>,
    unknown: bool,
}

impl Walker {
    /// Nothing was given yet.
    #[must_use]
    #[allow(
        clippy::new_without_default,
        reason = "nothing was given is a state of its own, and no default of anything"
    )]
    pub fn new() -> Self {
        Self {
            held: Vec::new(),
            need: 11,
            keep: true,
            in_text: false,
            minor: 0,
            int: 4,
            offset: 8,
            program: vec![Field::Magic],
            at: 0,
            entries_from: 0,
            entries: 0,
            data: None,
            id: 0,
            expected: BTreeSet::new(),
            found: BTreeSet::new(),
            texts: Default::default(),
            sequences: Vec::new(),
            contents: Contents::default(),
            wrong: None,
            unknown: false,
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.wrong.is_none() && !self.unknown {
            let n = usize::try_from(self.need).unwrap_or(usize::MAX).min(bytes.len());
            let (now, rest) = bytes.split_at(n);
            if self.in_text && self.data == Some(Data::Part { large: false }) {
                self.contents.data(now);
            }
            if self.keep {
                let room = KEPT.saturating_sub(self.held.len()).min(n);
                self.held.extend_from_slice(now.get(..room).unwrap_or_default());
            }
            self.need -= n as u64;
            bytes = rest;
            while self.need == 0 && self.wrong.is_none() && !self.unknown {
                let held = std::mem::take(&mut self.held);
                self.take(&held);
            }
        }
    }

    /// Whether all of it was there; the layout of a newer version than is known can't be judged, and is `Ok(false)`.
    ///
    /// # Errors
    /// Why it is no archive, or not a whole one.
    pub fn finish(&self) -> Result<bool, String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        if self.unknown {
            return Ok(false);
        }
        if self.data != Some(Data::Block) || !self.held.is_empty() {
            return Err("it ends in the middle: it is cut short".to_owned());
        }
        match self.expected.difference(&self.found).count() {
            0 => Ok(true),
            missing => Err(format!("the data of {missing} of its entries is missing: it is cut short")),
        }
    }

    fn take(&mut self, held: &[u8]) {
        if let Some(data) = self.data {
            return self.data(data, held);
        }
        let Some(field) = self.program.get(self.at).copied() else { return };
        match field {
            Field::Magic => return self.magic(held),
            Field::Byte | Field::Number | Field::Offset => {}
            Field::Entries => self.entries = u64::try_from(self.number(held)).unwrap_or_default(),
            Field::Id => self.id = self.number(held),
            Field::HasData => {
                if self.number(held) != 0 {
                    self.expected.insert(self.id);
                }
            }
            Field::Text | Field::Tag | Field::Kind | Field::Definition | Field::Schema | Field::Texts => {
                let length = if self.in_text { 0 } else { self.number(held) };
                if length > 0 {
                    self.in_text = true;
                    return self.want(length.unsigned_abs(), !matches!(field, Field::Text | Field::Texts));
                }
                let was_text = std::mem::take(&mut self.in_text);
                // Only null ends a list of strings.
                if field == Field::Texts && (was_text || length == 0) {
                    return self.want(self.int_size(), true);
                }
                self.text(field, if was_text { held } else { &[] });
            }
        }
        self.step();
    }

    fn magic(&mut self, held: &[u8]) {
        let [b'P', b'G', b'D', b'M', b'P', 1, minor, _, int, offset, format] = held else {
            self.wrong = Some("it is not an archive of pg_dump's custom format".to_owned());
            return;
        };
        (self.minor, self.int, self.offset) = (*minor, usize::from(*int), usize::from(*offset));
        if *format != 1 || *minor < 12 || !(1..=8).contains(&self.int) || !(1..=16).contains(&self.offset) {
            self.wrong = Some("it is not an archive of pg_dump's custom format".to_owned());
            return;
        }
        if *minor > NEWEST {
            self.unknown = true;
            return;
        }
        let mut program = vec![Field::Magic, if self.minor >= 15 { Field::Byte } else { Field::Number }];
        program.extend([Field::Number; 7]);
        program.extend([Field::Text; 3]);
        program.push(Field::Entries);
        self.entries_from = program.len();
        program.extend([Field::Id, Field::HasData, Field::Text, Field::Text, Field::Tag, Field::Kind, Field::Number]);
        program.extend([Field::Definition, Field::Text, Field::Text, Field::Schema, Field::Text]);
        program.extend((self.minor >= 14).then_some(Field::Text));
        program.extend((self.minor >= 16).then_some(Field::Number));
        program.extend([Field::Text, Field::Text, Field::Texts, Field::Offset]);
        self.program = program;
        self.step();
    }

    /// Goes on to the next field.
    fn step(&mut self) {
        self.at += 1;
        if self.at == self.program.len() {
            self.entry();
            self.entries = self.entries.saturating_sub(1);
            self.at = self.entries_from;
        }
        if self.at == self.entries_from && self.entries == 0 {
            self.data = Some(Data::Block);
            return self.want(1, true);
        }
        match self.program.get(self.at) {
            Some(Field::Byte) => self.want(1, true),
            Some(Field::Offset) => self.want(1 + self.offset as u64, false),
            _ => self.want(self.int_size(), true),
        }
    }

    fn entry(&mut self) {
        let [name, kind, definition, schema] = std::mem::take(&mut self.texts);
        self.contents.entry(self.id, &kind, &schema, &name);
        if kind == "SEQUENCE SET" {
            self.sequences.push(SequenceSet { schema, name, definition });
        }
    }

    fn text(&mut self, field: Field, bytes: &[u8]) {
        let at = match field {
            Field::Tag => 0,
            Field::Kind => 1,
            Field::Definition => 2,
            Field::Schema => 3,
            _ => return,
        };
        if let Some(text) = self.texts.get_mut(at) {
            *text = String::from_utf8_lossy(bytes).into_owned();
        }
    }

    fn data(&mut self, data: Data, held: &[u8]) {
        let (next, need) = match data {
            Data::Block => match held {
                [1] => (Data::Id { large: false }, self.int_size()),
                [3] => (Data::Id { large: true }, self.int_size()),
                _ => {
                    self.wrong = Some("a block of its data has no kind that is known: it is damaged".to_owned());
                    return;
                }
            },
            Data::Id { large } => {
                let id = self.number(held);
                self.found.insert(id);
                self.contents.block(id);
                (if large { Data::LargeObject } else { Data::Part { large } }, self.int_size())
            }
            Data::LargeObject if self.number(held) == 0 => (Data::Block, 1),
            Data::LargeObject => {
                self.contents.large_object();
                (Data::Part { large: true }, self.int_size())
            }
            Data::Part { .. } if self.in_text => {
                self.in_text = false;
                (data, self.int_size())
            }
            Data::Part { large } => match self.number(held) {
                0 if large => (Data::LargeObject, self.int_size()),
                0 => {
                    self.contents.end_block();
                    (Data::Block, 1)
                }
                length if length > 0 => {
                    self.in_text = true;
                    return self.want(length.unsigned_abs(), false);
                }
                _ => {
                    self.wrong = Some("a part of its data has a length below zero: it is damaged".to_owned());
                    return;
                }
            },
        };
        self.data = Some(next);
        self.want(need, true);
    }

    const fn want(&mut self, need: u64, keep: bool) {
        self.need = need;
        self.keep = keep;
    }

    const fn int_size(&self) -> u64 {
        self.int as u64 + 1
    }

    /// A sign, then the lowest byte first.
    fn number(&self, held: &[u8]) -> i64 {
        let digits = held.get(1..=self.int).unwrap_or_default();
        let value = digits.iter().rev().fold(0_i64, |value, byte| (value << 8) | i64::from(*byte));
        if held.first() == Some(&0) { value } else { value.wrapping_neg() }
    }
}

/// A reader through which an archive passes.
pub(super) struct Walked<R> {
    inner: R,
    walker: Arc<Mutex<Walker>>,
}

impl<R: Read> Walked<R> {
    pub(super) fn new(inner: R) -> (Self, Arc<Mutex<Walker>>) {
        let walker = Arc::new(Mutex::new(Walker::new()));
        (Self { inner, walker: Arc::clone(&walker) }, walker)
    }
}

impl<R: Read> Read for Walked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.walker.lock().unwrap_or_else(PoisonError::into_inner).feed(buf.get(..n).unwrap_or_default());
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: i64) -> Vec<u8> {
        let mut bytes = vec![u8::from(value < 0)];
        bytes.extend_from_slice(&value.unsigned_abs().to_le_bytes()[..4]);
        bytes
    }

    fn text(value: Option<&str>) -> Vec<u8> {
        let Some(value) = value else { return int(-1) };
        [int(i64::try_from(value.len()).unwrap()), value.as_bytes().to_vec()].concat()
    }

    fn entry(minor: u8, id: i64, data: bool, kind: &str, definition: &str) -> Vec<u8> {
        let mut bytes = [int(id), int(i64::from(data)), text(Some("0")), text(Some("0")), text(Some("a\"b"))].concat();
        bytes.extend([text(Some(kind)), int(3), text(Some(definition)), text(None), text(Some(""))].concat());
        bytes.extend([text(Some("public")), text(None)].concat());
        bytes.extend(if minor >= 14 { text(Some("heap")) } else { Vec::new() });
        bytes.extend(if minor >= 16 { int(114) } else { Vec::new() });
        bytes.extend([text(Some("app")), text(Some("false")), text(Some("7")), text(Some("8")), text(None)].concat());
        bytes.extend([2; 9]);
        bytes
    }

    /// An archive with two entries that have data and one that has none, and the offsets at which it is not whole.
    fn archive(minor: u8) -> Vec<u8> {
        let mut bytes = b"PGDMP\x01".to_vec();
        bytes.extend([minor, 0, 4, 8, 1]);
        bytes.extend(if minor >= 15 { vec![0] } else { int(0) });
        (0..7).for_each(|n| bytes.extend(int(n)));
        bytes.extend([text(Some("db")), text(Some("15.1")), text(Some("15.1"))].concat());
        bytes.extend(int(3));
        bytes.extend(entry(minor, 5, true, "TABLE DATA", ""));
        bytes.extend(entry(minor, 6, false, "SEQUENCE SET", "SELECT setval('s', 7, true);\n"));
        bytes.extend(entry(minor, 9, true, "BLOBS", ""));
        bytes.extend([vec![1], int(5), int(3), b"abc".to_vec(), int(2), b"de".to_vec(), int(0)].concat());
        bytes.extend([vec![3], int(9), int(777), int(1), b"x".to_vec(), int(0), int(778), int(0), int(0)].concat());
        bytes
    }

    fn judge(bytes: &[u8], step: usize) -> Walker {
        let (mut reader, walker) = Walked::new(bytes);
        let mut buf = vec![0; step];
        while reader.read(&mut buf).unwrap() > 0 {}
        drop(reader);
        Arc::try_unwrap(walker).unwrap().into_inner().unwrap()
    }

    #[test]
    fn whole_archives_of_every_version_are_known_however_they_come_in() {
        for minor in 12..=16 {
            for step in [1, 2, 7, 4096] {
                let walker = judge(&archive(minor), step);
                assert_eq!(walker.finish(), Ok(true), "1.{minor} by {step}");
                let set = SequenceSet {
                    schema: "public".to_owned(),
                    name: "a\"b".to_owned(),
                    definition: "SELECT setval('s', 7, true);\n".to_owned(),
                };
                assert_eq!(walker.sequences, [set]);
            }
        }
    }

    #[test]
    fn an_archive_that_is_cut_anywhere_is_not_whole() {
        let whole = archive(14);
        for len in 0..whole.len() {
            assert!(judge(&whole[..len], 64).finish().is_err(), "{len} of {}", whole.len());
        }
    }

    #[test]
    fn what_is_no_archive_is_told_and_a_newer_version_is_not_judged() {
        assert!(judge(b"-- PostgreSQL database dump", 9).finish().unwrap_err().contains("not an archive"));
        let mut newer = archive(16);
        newer[6] = 17;
        assert_eq!(judge(&newer, 64).finish(), Ok(false));
        let mut junk = archive(14);
        junk.extend([9, 9]);
        assert!(judge(&junk, 64).finish().unwrap_err().contains("damaged"));
    }
}
