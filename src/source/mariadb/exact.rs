//! Rows of tables with `FLOAT` columns. The server writes such a value with six digits, and the dump's tool takes what it
//! is given; asked for the value as `DOUBLE` the server writes it whole.

use std::io::{self, Read};

use super::{
    super::{Result, SourceError},
    print::{Column, Table},
    session::{Session, identifier},
};

/// What is kept of a table's locks until it was read, so that nobody who changes its structure waits for longer.
pub(super) const SAVEPOINT: &str = "SAVEPOINT strongroom";
/// What gives them back.
pub(super) const ROLLBACK: &str = "ROLLBACK TO SAVEPOINT strongroom";
/// An `INSERT` is ended when it has become this long.
const STATEMENT: usize = 1 << 20;
/// Rows are made until there is as much of them.
const STEP: usize = 64 << 10;

/// The statements that bring the rows of one table back.
pub(super) struct Rows {
    session: Option<Session>,
    columns: Vec<Column>,
    begin: String,
    out: Vec<u8>,
    at: usize,
    /// Bytes of the statement that is not ended yet.
    open: usize,
    /// Where the session goes when it is done.
    back: std::sync::mpsc::Sender<Session>,
}

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Number,
    Hex,
    Text,
}

fn form(kind: &str) -> Form {
    let number = ["int", "decimal", "float", "double", "year"];
    let bytes = ["binary", "blob", "bit", "geometry", "point", "linestring", "polygon", "geometrycollection", "vector"];
    if number.iter().any(|known| kind.ends_with(known)) && !kind.ends_with("point") {
        Form::Number
    } else if bytes.iter().any(|known| kind.ends_with(known)) {
        Form::Hex
    } else {
        Form::Text
    }
}

impl Rows {
    /// Asks for the rows of `table`, whose stored columns are `columns`. `back` gets the session when all were read.
    ///
    /// # Errors
    /// If the server can't be asked.
    pub(super) fn of(
        mut session: Session,
        table: &Table,
        columns: &[Column],
        back: std::sync::mpsc::Sender<Session>,
    ) -> Result<Self> {
        let names: Vec<String> = columns.iter().map(|column| identifier(&column.name)).collect();
        let null: Vec<String> = names.iter().map(|name| format!("{name} IS NULL")).collect();
        let value = |column: &Column| {
            let name = identifier(&column.name);
            if column.kind == "float" { format!("{name} * 1e0") } else { name }
        };
        let values: Vec<String> = columns.iter().map(value).collect();
        session.run(SAVEPOINT)?;
        session.ask(&format!(
            "SELECT CONCAT({}), {} FROM {}.{}",
            null.join(", "),
            values.join(", "),
            identifier(&table.0),
            identifier(&table.1)
        ))?;
        let begin = format!("INSERT INTO {} ({}) VALUES\n", identifier(&table.1), names.join(", "));
        Ok(Self { session: Some(session), columns: columns.to_vec(), begin, out: Vec::new(), at: 0, open: 0, back })
    }

    /// Writes one row behind the others.
    fn add(&mut self, row: &[Vec<u8>]) -> Result<()> {
        let odd = || SourceError::new("the server gave a row of another shape", self.begin.trim_end());
        let (null, values) = row.split_first().ok_or_else(odd)?;
        if values.len() != self.columns.len() || null.len() != values.len() {
            return Err(odd());
        }
        let begun = self.out.len();
        if self.open == 0 {
            self.out.extend_from_slice(self.begin.as_bytes());
        } else {
            self.out.extend_from_slice(b",\n");
        }
        for (at, ((column, value), null)) in self.columns.iter().zip(values).zip(null).enumerate() {
            self.out.push(if at == 0 { b'(' } else { b',' });
            match form(&column.kind) {
                _ if *null == b'1' => self.out.extend_from_slice(b"NULL"),
                Form::Number => self.out.extend_from_slice(value),
                Form::Hex if !value.is_empty() => {
                    self.out.extend_from_slice(b"0x");
                    let digits = value.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                    self.out.extend(digits.map(|digit| b"0123456789ABCDEF".get(usize::from(digit)).unwrap_or(&b'0')));
                }
                Form::Hex | Form::Text => quote(value, &mut self.out),
            }
        }
        self.out.push(b')');
        self.open += self.out.len() - begun;
        if self.open >= STATEMENT {
            self.end();
        }
        Ok(())
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.open) > 0 {
            self.out.extend_from_slice(b";\n");
        }
    }
}

/// A text as the dump's tool quotes it.
fn quote(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for byte in value {
        match byte {
            0 => out.extend_from_slice(b"\\0"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x1a => out.extend_from_slice(b"\\Z"),
            b'\\' | b'\'' | b'"' => out.extend_from_slice(&[b'\\', *byte]),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
}

impl Read for Rows {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.out.len() {
            self.at = 0;
            self.out.clear();
            while self.out.len() < STEP
                && let Some(session) = &mut self.session
            {
                if let Some(row) = session.answer().map_err(io::Error::other)? {
                    self.add(&row).map_err(io::Error::other)?;
                    continue;
                }
                self.end();
                if let Some(mut session) = self.session.take() {
                    session.run(ROLLBACK).map_err(io::Error::other)?;
                    // Nobody waits for it where all is being given up.
                    let _ = self.back.send(session);
                }
            }
        }
        let rest = self.out.get(self.at..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.at += n;
        Ok(n)
    }
}
