//! Changes of a text, and where each came to stand.

use proc_macro2::LineColumn;
use serde::Serialize;

struct Edit {
    at: usize,
    to: usize,
    text: String,
    id: Option<usize>,
}

/// Bytes of the written text, and the changes that they are of. The smaller extent says it more exactly.
#[derive(Serialize)]
pub struct Piece {
    from: usize,
    to: usize,
    ids: Vec<usize>,
}

/// A text and what is to be changed in it.
pub struct Edits {
    text: String,
    lines: Vec<usize>,
    edits: Vec<Edit>,
    sites: Vec<(usize, usize, Vec<usize>)>,
}

impl Edits {
    pub fn new(text: String) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, lines, edits: Vec::new(), sites: Vec::new() }
    }

    /// Where a line and column begin, in bytes. Columns count characters.
    pub fn offset(&self, at: LineColumn) -> usize {
        let from = self.lines[at.line - 1];
        self.text[from..].char_indices().nth(at.column).map_or(self.text.len(), |(offset, _)| from + offset)
    }

    pub fn text(&self, from: usize, to: usize) -> String {
        self.text[from..to].to_owned()
    }

    pub fn insert(&mut self, at: usize, text: &str, id: Option<usize>) {
        self.replace(at, at, text, id);
    }

    pub fn replace(&mut self, at: usize, to: usize, text: &str, id: Option<usize>) {
        self.edits.push(Edit { at, to, text: text.to_owned(), id });
    }

    /// Remembers that these bytes, with all that is in them, are of these changes.
    pub fn site(&mut self, from: usize, to: usize, ids: Vec<usize>) {
        if !ids.is_empty() {
            self.sites.push((from, to, ids));
        }
    }

    /// The text with the changes in it, and which bytes of it are of which.
    pub fn finish(mut self) -> (String, Vec<Piece>) {
        self.edits.sort_by_key(|edit| edit.at);
        let (mut out, mut at, mut pieces) = (String::new(), 0, Vec::new());
        // Pairs of a place in the old text and the earliest and latest in the new.
        let mut moved: Vec<(usize, usize, usize)> = Vec::new();
        for edit in &self.edits {
            out.push_str(&self.text[at..edit.at]);
            let from = out.len();
            out.push_str(&edit.text);
            if let Some(id) = edit.id {
                pieces.push(Piece { from, to: out.len(), ids: vec![id] });
            }
            moved.push((edit.at, from, out.len()));
            at = edit.to;
        }
        out.push_str(&self.text[at..]);
        for (from, to, ids) in self.sites {
            let begin = moved.iter().find(|one| one.0 == from).map_or(0, |one| one.1);
            let end = moved.iter().rfind(|one| one.0 == to).map_or(out.len(), |one| one.2);
            pieces.push(Piece { from: begin, to: end, ids });
        }
        (out, pieces)
    }
}
