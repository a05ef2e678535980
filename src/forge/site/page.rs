//! One page of the site. Whatever comes from a forge goes through [`esc`].

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::Path,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::{codec::Sha256, model::visible_lines};

const STYLE: &str = include_str!("style.css");
/// So many signs of a title are shown in a list.
const SHOWN: usize = 4096;

/// So much of a text is made ready at once.
const PART: usize = 64 << 10;

/// A page in the making: what is added to it is written at once, so that none is in memory however long it is.
pub(super) struct Page {
    out: BufWriter<File>,
    /// What went wrong first.
    failed: Option<io::Error>,
}

impl Page {
    /// Begins the page that the file `path` is to be.
    pub(super) fn begin(path: &Path, title: &str) -> io::Result<Self> {
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        let mut page = Self { out: BufWriter::new(File::create(path)?), failed: None };
        let mut hash = Sha256::default();
        hash.update(STYLE.as_bytes());
        let style = BASE64_STANDARD.encode(hash.finish_bytes());
        let title = esc(title);
        page.raw(&format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'\"><meta \
             name=\"referrer\" content=\"no-referrer\"><meta name=\"viewport\" content=\"width=device-width, \
             initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\
             <style>{STYLE}</style></head><body><main><h1>{title}</h1>"
        ));
        Ok(page)
    }

    /// A paragraph of words.
    pub(super) fn line(&mut self, words: &str) {
        self.raw("<p>");
        self.words(words);
        self.raw("</p>");
    }

    /// Markup of ours.
    pub(super) fn raw(&mut self, markup: &str) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(markup.as_bytes()).err();
        }
    }

    /// Text of others.
    pub(super) fn words(&mut self, words: &str) {
        let mut rest = words;
        while !rest.is_empty() {
            let (part, after) = split(rest);
            self.raw(&esc(part));
            rest = after;
        }
    }

    /// What a person wrote, as they wrote it.
    pub(super) fn body(&mut self, words: &str) {
        self.pre("<pre>", words);
    }

    /// Lines of a difference.
    pub(super) fn hunk(&mut self, lines: &str) {
        self.pre("<pre class=\"hunk\">", lines);
    }

    fn pre(&mut self, begin: &str, words: &str) {
        if !words.is_empty() {
            self.raw(begin);
            self.words(words);
            self.raw("</pre>");
        }
    }

    /// Ends it.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.raw("</main></body></html>\n");
        match self.failed {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }
}

/// A first part of a text, and the rest. They are parted where nothing that is shown in another way can begin before and end behind: at
/// the end of a line, or of one that is as long before a word.
fn split(text: &str) -> (&str, &str) {
    let bound = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    if text.len() <= PART {
        return (text, "");
    }
    let first = text.get(..bound(PART)).unwrap_or(text);
    let joins = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '#');
    let mut after = ' ';
    let word = first.char_indices().rev().find_map(|(at, c)| {
        let begins = after.is_ascii_alphanumeric() && !joins(c);
        after = c;
        begins.then_some(at + c.len_utf8())
    });
    let at = first.rfind('\n').map(|at| at + 1).or(word);
    text.split_at_checked(at.filter(|at| *at > 0).unwrap_or(first.len())).unwrap_or((text, ""))
}

/// Text that means nothing to a browser, in which nothing hides.
pub(super) fn esc(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in visible_lines(&words.replace("\r\n", "\n").replace('\t', "    ")).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// As much of words as a list of many shows.
pub(super) fn brief(words: &str) -> String {
    let mut shown: String = words.chars().take(SHOWN).collect();
    if shown.len() < words.len() {
        shown.push('…');
    }
    shown
}

/// The first of these fields that holds text.
pub(super) fn own<'a>(value: &'a Value, fields: &[&str]) -> &'a str {
    let texts = fields.iter().filter_map(|field| value.get(field)?.as_str());
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

/// The first of these fields that holds text or a number.
pub(super) fn text(value: &Value, fields: &[&str]) -> String {
    let found = fields.iter().find_map(|field| match value.get(field) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    });
    found.unwrap_or_default()
}

/// Who made it.
pub(super) fn author(value: &Value) -> String {
    let user =
        ["user", "author", "actor"].into_iter().find_map(|field| value.get(field).filter(|user| user.is_object()));
    user.map(|user| text(user, &["login", "username", "name"])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_parts_is_shown_as_the_whole_is() {
        let dir = tempfile::tempdir().unwrap();
        for line in [
            "one line only ::error:: ##[x] ",
            "plain words, é and <tags>\r\n",
            "::error::x\r\n\t::y ",
            "ü\u{202e}",
            "##[group]",
            "\r",
        ] {
            for pad in 0..7 {
                let text = "x".repeat(pad) + &line.repeat(3 * PART / line.len());
                let path = dir.path().join("page.html");
                let mut page = Page::begin(&path, "t").unwrap();
                page.body(&text);
                page.end().unwrap();
                let shown = std::fs::read_to_string(&path).unwrap();
                assert!(shown.contains(&format!("<pre>{}</pre>", esc(&text))), "{line:?} {pad}");
            }
        }
    }

    #[test]
    fn a_page_is_written_as_it_comes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("acme/app/page.html");
        let mut page = Page::begin(&path, "t").unwrap();
        for n in 1..=3_u64 {
            page.body(&"some words\n".repeat(100_000));
            let there = path.metadata().unwrap().len();
            assert!(there > n * 1_000_000, "{there} bytes are there after {n} comments");
        }
        page.end().unwrap();
    }
}
