//! The manual page and the completions, made from the definition of the arguments.

use std::fmt::Write as _;

use clap::CommandFactory;
use clap_mangen::Man;

use super::args::Cli;

/// The day on which the page was last looked through; formatters want one.
const DATE: &str = "2026-11-28";

/// The completions of a shell.
#[must_use]
pub fn completions(shell: clap_complete::Shell) -> String {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "strongroom", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// One page with every command.
#[must_use]
pub fn man() -> String {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut page = section(&Man::new(root.clone()), Man::render);
    for command in root.get_subcommands() {
        describe(command, &mut page);
    }
    tidied(&page)
}

/// The same page as formatters want it: no line breaks around paragraphs, no long lines, no space at their ends, no
/// references to pages that are sections of this one.
fn tidied(page: &str) -> String {
    let page = page.replace('…', "\\&...").replace("\\-", "\u{1}");
    let mut lines: Vec<String> = Vec::new();
    let mut verbatim = false;
    for line in page.lines() {
        let mut line = line.trim_end().to_owned();
        if let Some(name) = line.strip_prefix("strongroom\u{1}").and_then(|rest| rest.strip_suffix("(1)")) {
            line = format!("strongroom {name}");
        }
        if line.starts_with(".TH ") {
            line = format!(".TH STRONGROOM 1 {DATE} \"strongroom {}\"", env!("CARGO_PKG_VERSION"));
        }
        if line.is_empty() && !verbatim {
            ".sp".clone_into(&mut line);
        }
        match line.as_str() {
            ".nf" => verbatim = true,
            ".fi" => verbatim = false,
            // A paragraph breaks the line by itself.
            ".br" if lines.last().is_some_and(|last| is_paragraph(last)) => continue,
            paragraph if is_paragraph(paragraph) => {
                while lines.last().is_some_and(|last| last == ".br") {
                    lines.pop();
                }
            }
            _ => {}
        }
        if verbatim || line.starts_with(['.', '\'']) {
            lines.push(line);
        } else {
            wrap(&line, &mut lines);
        }
    }
    lines.join("\n").replace('\u{1}', "\\-") + "\n"
}

fn is_paragraph(line: &str) -> bool {
    [".sp", ".PP", ".TP", ".SH", ".SS"].iter().any(|macro_| line.split(' ').next() == Some(macro_))
}

/// A line of running text as lines that are not long. None begins with what would make it a command.
fn wrap(line: &str, lines: &mut Vec<String>) {
    const LONG: usize = 76;
    let mut now = String::new();
    // What a line begins with is its indent, which breaks it.
    let (indent, text) = line.split_at(line.len() - line.trim_start().len());
    now.push_str(indent);
    for word in text.split(' ') {
        // An escaped hyphen is two characters.
        let len = |text: &str| text.chars().count() + text.matches('\u{1}').count();
        let begun = now.len() > indent.len();
        if begun && len(&now) + 1 + len(word) > LONG && !word.is_empty() && !word.starts_with(['.', '\'']) {
            lines.push(std::mem::take(&mut now).trim_end().to_owned());
        } else if begun {
            now.push(' ');
        }
        now.push_str(word);
    }
    lines.push(now);
}

/// A command as one section, and those below it as their own.
fn describe(command: &clap::Command, page: &mut String) {
    if command.has_subcommands() {
        command.get_subcommands().for_each(|below| describe(below, page));
        return;
    }
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let _ = writeln!(page, ".SH \"{}\"", name.to_uppercase());
    let man = Man::new(command.clone());
    for render in [
        Man::render_synopsis_section,
        Man::render_description_section,
        Man::render_options_section,
        Man::render_extra_section,
    ] {
        // Within the one page, the sections of a command are parts of its own.
        page.push_str(&section(&man, render).replace(".SH ", ".SS "));
    }
}

type Render = fn(&Man, &mut dyn std::io::Write) -> std::io::Result<()>;

fn section(man: &Man, render: Render) -> String {
    let mut out = Vec::new();
    // Writing to memory does not fail.
    let _ = render(man, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_every_command_and_the_exit_codes() {
        let page = man();
        for part in ["STRONGROOM INIT", "STRONGROOM BACKUP", "STRONGROOM CATALOG REBUILD", "allow\\-empty", "130"] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn the_page_is_as_formatters_want_it() {
        let page = man();
        let lines: Vec<&str> = page.lines().collect();
        for (no, line) in lines.iter().enumerate() {
            assert!(line.trim_end() == *line && line.is_ascii(), "{no}: {line:?}");
            assert!(line.starts_with('.') || line.len() <= 80 || !line.trim().contains(' '), "{no}: {line:?}");
            assert!(!line.ends_with("(1)"), "{no}: {line:?} is not a page of its own");
        }
        assert!(!page.contains(".br\n.sp") && !page.contains(".sp\n.br") && !page.contains("\n\n"));
        assert!(page.contains(".TH STRONGROOM 1 20"));
        assert!(page.contains("\nstrongroom init\n"));
    }

    #[test]
    fn every_shell_completes() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Fish, clap_complete::Shell::Zsh] {
            assert!(completions(shell).contains("snapshots"));
        }
    }
}
