//! Results as files: what `show`, `diff` and `incident` leave for `--report`.

use std::path::{Path, PathBuf};

use super::{Output, text, value};
use crate::cli::{error::CliError, failure::Failure, files};

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As `--json` has it.
    Json,
    /// To read.
    Markdown,
    /// One self-contained page.
    Html,
}

/// Files that a result goes to.
pub struct Reports<'a>(Vec<(&'a Path, Form)>);

impl<'a> Reports<'a> {
    /// Checks the files before any work is done. `pages` says whether there is a page of HTML.
    ///
    /// # Errors
    /// If a name does not say what it is, or a file can't be written.
    pub fn new(paths: &'a [PathBuf], pages: bool) -> Result<Self, CliError> {
        let named = paths.iter().map(|path| {
            files::must_be_writable(path)?;
            let form = match path.extension().and_then(|end| end.to_str()) {
                Some("json") => Form::Json,
                Some("md") => Form::Markdown,
                Some("html") if pages => Form::Html,
                _ => {
                    let what = format!("the name {} does not say what kind of report it is", path.display());
                    let ends = if pages { ".html, .md or .json" } else { ".md or .json" };
                    return Err(CliError::usage(what, format!("give --report a name that ends in {ends}")));
                }
            };
            Ok((path.as_path(), form))
        });
        named.collect::<Result<_, _>>().map(Self)
    }

    /// Writes them. Gives the first that could not be written.
    #[must_use]
    pub fn leave(&self, output: &Output) -> Option<Failure> {
        let mut failed = None;
        for (path, form) in &self.0 {
            if let Err(error) = files::replace(path, bytes(output, *form).as_bytes()) {
                failed.get_or_insert(Failure::of(&error));
            }
        }
        failed
    }
}

fn bytes(output: &Output, form: Form) -> String {
    match (form, output) {
        // Writing to memory does not fail.
        (Form::Json, _) => serde_json::to_string_pretty(&value(output)).unwrap_or_default() + "\n",
        #[cfg(feature = "full")]
        (Form::Html, Output::Incident(report, ..)) => report.html(),
        #[cfg(feature = "full")]
        (Form::Markdown, Output::Incident(report, ..)) => report.markdown(),
        // Names out of the data stay within their block: a line that is indented begins nothing.
        _ => text(output).0.lines().flat_map(|line| ["    ", line, "\n"].map(str::to_owned)).collect(),
    }
}
