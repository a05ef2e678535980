//! Tables as they are told of by the server.

use serde::Deserialize;

/// A table with rows of its own.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Table {
    /// Schema and name, quoted where they must be.
    pub(super) name: String,
    /// Schema and name, as they are.
    pub(super) place: (String, String),
    /// Its number, and those of its columns.
    #[serde(default)]
    pub(super) oid: u32,
    #[serde(default)]
    pub(super) numbers: Vec<i16>,
    /// What it takes on the server's disk, without indexes.
    pub(super) bytes: u64,
    /// How many rows the server last estimated, if it did.
    #[serde(default)]
    pub(super) estimate: f64,
    /// How many blocks of rows it has, where rows have a place among them; else none.
    pub(super) blocks: u64,
    /// Whether it belongs to no extension.
    pub(super) own: bool,
    /// What to read its rows from, under the name `x`.
    pub(super) from: String,
    /// Its columns, of `x`.
    pub(super) columns: String,
}
