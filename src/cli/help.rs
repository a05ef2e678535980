//! The manual page and the completions, made from the definition of the arguments.

use std::fmt::Write as _;

use clap::CommandFactory;
use clap_mangen::Man;

use super::args::Cli;

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
    page
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
    fn every_shell_completes() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Fish, clap_complete::Shell::Zsh] {
            assert!(completions(shell).contains("snapshots"));
        }
    }
}
