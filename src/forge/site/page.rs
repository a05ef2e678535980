//! One page of the site. Whatever comes from a forge goes through [`esc`].

use std::fmt::Write as _;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::{codec::Sha256, model::visible_lines};

const STYLE: &str = include_str!("style.css");

/// A page in the making.
pub(super) struct Page {
    title: String,
    inner: String,
}

impl Page {
    pub(super) fn new(title: &str) -> Self {
        Self { title: title.to_owned(), inner: String::new() }
    }

    /// A paragraph of words.
    pub(super) fn line(&mut self, words: &str) {
        let _ = write!(self.inner, "<p>{}</p>", esc(words));
    }

    /// Markup of ours.
    pub(super) fn raw(&mut self, markup: &str) {
        self.inner.push_str(markup);
    }

    /// What a person wrote, as they wrote it.
    pub(super) fn body(&mut self, words: &str) {
        if !words.is_empty() {
            let _ = write!(self.inner, "<pre>{}</pre>", esc(words));
        }
    }

    /// Lines of a difference.
    pub(super) fn hunk(&mut self, lines: &str) {
        if !lines.is_empty() {
            let _ = write!(self.inner, "<pre class=\"hunk\">{}</pre>", esc(lines));
        }
    }

    pub(super) fn whole(self) -> String {
        let mut hash = Sha256::default();
        hash.update(STYLE.as_bytes());
        let style = BASE64_STANDARD.encode(hash.finish_bytes());
        let title = esc(&self.title);
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'\"><meta \
             name=\"referrer\" content=\"no-referrer\"><meta name=\"viewport\" content=\"width=device-width, \
             initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\
             <style>{STYLE}</style></head><body><main><h1>{title}</h1>{}</main></body></html>\n",
            self.inner
        )
    }
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
