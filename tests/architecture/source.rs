//! Just enough of Rust's grammar to see what a file uses: tokens with their lines, module depth, and paths.

use std::path::Path;

/// A word or a sign of the source, without comments, strings and characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
    /// How many modules within the file stand around it.
    pub inner: usize,
    /// Whether it stands in a module that only tests compile.
    pub test: bool,
}

/// One source file.
pub struct Source {
    /// Its path below the package, such as `src/vault/error.rs`.
    pub path: String,
    pub text: String,
    pub tokens: Vec<Token>,
}

/// A path that begins with `crate` or that leads out of its room by `super`, written out from the crate's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub line: usize,
    /// `[]` if it names the whole crate.
    pub path: Vec<String>,
    /// What it is called from here on: the last word of the path, or what follows `as`.
    pub name: String,
    /// Whether it stands in a module that only tests compile.
    pub test: bool,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let mut tokens = tokenise(text);
        mark_modules(&mut tokens);
        Self { path: path.to_owned(), text: text.to_owned(), tokens }
    }

    /// Every Rust file below `dir`, itself below the package's root.
    pub fn all(root: &Path, dir: &str) -> Vec<Self> {
        let mut sources = Vec::new();
        let mut waiting = vec![root.join(dir)];
        while let Some(dir) = waiting.pop() {
            for entry in std::fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.ends_with("target") {
                    waiting.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                    sources.push(Self::new(name, &std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        sources
    }

    /// The room that the file belongs to; `None` for `main.rs`, `lib.rs` and what is not in `src`.
    pub fn room(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        if rest == "main.rs" || rest == "lib.rs" {
            return None;
        }
        rest.split('/').next()?.split('.').next()
    }

    /// Whether only tests compile the file.
    pub fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }

    /// The modules of the file, from the crate's root.
    pub fn modules(&self) -> Vec<String> {
        let rest = self.path.strip_prefix("src/").unwrap_or(&self.path).trim_end_matches(".rs");
        let mut modules: Vec<String> = rest.split('/').map(str::to_owned).collect();
        if modules.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
            modules.pop();
        }
        modules
    }

    /// Every path that is written from the crate's root or leads up to it.
    pub fn references(&self) -> Vec<Reference> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let token = &self.tokens[at];
            let begins = at == 0 || self.tokens[at - 1].text != "::";
            let visibility = token.text == "crate" && self.text_at(at + 1) == ")";
            if begins && !visibility && matches!(token.text.as_str(), "crate" | "super") {
                at = self.tree(at, None, &mut found);
            } else {
                at += 1;
            }
        }
        found
    }

    /// Everything that a `use` of the file brings in, written out from the crate's root. A path of an outside crate is
    /// written as if it were a module of the file.
    pub fn imports(&self) -> Vec<Reference> {
        let mut found = Vec::new();
        let starts = (0..self.tokens.len()).filter(|at| self.tokens[*at].text == "use");
        for at in starts.map(|at| at + 1).filter(|at| *at < self.tokens.len()) {
            let own = self.modules();
            let rooted = matches!(self.text_at(at), "crate" | "super");
            self.tree(at, (!rooted).then_some(&own), &mut found);
        }
        found
    }

    fn text_at(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |t| t.text.as_str())
    }

    /// Reads a path or a tree of paths that begins at `at`; returns where it ends. `prefix` is what stands before it
    /// from the crate's root, `None` where nothing does.
    fn tree(&self, mut at: usize, prefix: Option<&[String]>, found: &mut Vec<Reference>) -> usize {
        let Token { line, inner, test, .. } = self.tokens[at].clone();
        let mut path = prefix.map(<[String]>::to_vec);
        loop {
            match self.text_at(at) {
                "crate" => path = Some(Vec::new()),
                "super" => {
                    // Inline modules stand below the file's own.
                    let here = path.get_or_insert_with(|| {
                        let inline = (0..inner).map(|n| format!("inline-{n}"));
                        self.modules().into_iter().chain(inline).collect()
                    });
                    here.pop();
                }
                "self" => {}
                "{" => {
                    at += 1;
                    while !matches!(self.text_at(at), "}" | "") {
                        at = if self.text_at(at) == "," { at + 1 } else { self.tree(at, path.as_deref(), found) };
                    }
                    return at + 1;
                }
                segment if segment.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '*')) => {
                    path.get_or_insert_default().push(segment.to_owned());
                }
                // `crate::<` and the like: the path ended before it.
                _ => break,
            }
            at += 1;
            if self.text_at(at) != "::" {
                break;
            }
            at += 1;
        }
        let path = path.unwrap_or_default();
        let mut name = path.last().cloned().unwrap_or_default();
        if self.text_at(at) == "as" {
            self.text_at(at + 1).clone_into(&mut name);
            at += 2;
        }
        found.push(Reference { line, path, name, test });
        // Never stand still, whatever the file holds.
        at.max(1)
    }

    /// The functions of the file: name, first line, number of lines.
    pub fn functions(&self) -> Vec<(String, usize, usize)> {
        let mut functions = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let name = self.text_at(at + 1);
            if token.text != "fn" || !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                continue;
            }
            let mut depth = 0_i32;
            let mut opened = false;
            for end in self.tokens.iter().skip(at) {
                match end.text.as_str() {
                    ";" if depth == 0 => break,
                    "(" | "[" => depth += 1,
                    "{" => {
                        opened = true;
                        depth += 1;
                    }
                    ")" | "]" | "}" => depth -= 1,
                    _ => {}
                }
                if opened && depth == 0 {
                    functions.push((name.to_owned(), token.line, end.line - token.line + 1));
                    break;
                }
            }
        }
        functions
    }
}

/// Cuts a text into tokens.
fn tokenise(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    let peek = |at: usize| chars.get(at).copied().unwrap_or('\0');
    while at < chars.len() {
        let start = at;
        let mut word = None;
        match chars[at] {
            '/' if peek(at + 1) == '/' => at = until(&chars, at, |c| c == '\n'),
            '/' if peek(at + 1) == '*' => at = block_comment(&chars, at),
            '"' => at = string(&chars, at),
            '\'' => at = character(&chars, at),
            c if c.is_alphanumeric() || c == '_' => {
                at = until(&chars, at, |c| !(c.is_alphanumeric() || c == '_'));
                let text: String = chars[start..at].iter().collect();
                match (text.as_str(), peek(at)) {
                    ("r" | "br" | "cr", '"' | '#') => at = raw_string(&chars, at),
                    ("b" | "c", '"') => at = string(&chars, at),
                    ("b", '\'') => at = character(&chars, at),
                    _ => word = Some(text),
                }
            }
            ':' if peek(at + 1) == ':' => {
                at += 2;
                word = Some("::".to_owned());
            }
            c => {
                at += 1;
                word = (!c.is_whitespace()).then(|| c.to_string());
            }
        }
        tokens.extend(word.map(|text| Token { text, line, inner: 0, test: false }));
        line += chars[start..at].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn until(chars: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    chars.iter().skip(from).position(|c| stop(*c)).map_or(chars.len(), |n| from + n)
}

fn block_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(chars: &[char], mut at: usize) -> usize {
    at += 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_string(chars: &[char], at: usize) -> usize {
    let quote = until(chars, at, |c| c != '#');
    if chars.get(quote) != Some(&'"') {
        return at + 1;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', quote - at)).collect();
    let body = quote + 1;
    let found = chars.get(body..).unwrap_or_default().windows(end.len()).position(|w| w == end);
    found.map_or(chars.len(), |n| body + n + end.len())
}

/// A character, or the quote of a lifetime.
fn character(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => (until(chars, at + 3, |c| c == '\'') + 1).min(chars.len()),
        (Some(_), Some('\'')) => at + 3,
        _ => at + 1,
    }
}

/// Marks what stands in inline modules, and in those that only tests compile.
fn mark_modules(tokens: &mut [Token]) {
    // For every open brace: whether it opened a module, and whether one for tests.
    let mut open: Vec<(bool, bool)> = Vec::new();
    for at in 0..tokens.len() {
        let before = |n: usize| at.checked_sub(n).map_or("", |i| tokens[i].text.as_str());
        match tokens[at].text.as_str() {
            "{" => {
                let module = before(2) == "mod";
                let test =
                    module && (3..12).any(|n| before(n + 2) == "cfg" && before(n + 1) == "(" && before(n) == "test");
                open.push((module, test));
            }
            "}" => drop(open.pop()),
            _ => {}
        }
        tokens[at].inner = open.iter().filter(|(module, _)| *module).count();
        tokens[at].test = open.iter().any(|(_, test)| *test);
    }
}
