//! The command line: what was typed, what it means, and how it is told.

#[cfg(feature = "full")]
pub mod airgap;
pub mod args;
pub mod around;
pub mod bars;
pub mod commands;
pub mod config;
#[cfg(feature = "full")]
pub mod copies;
pub mod error;
pub mod failure;
pub mod files;
pub mod help;
pub mod host;
pub mod hunt;
pub mod identity;
pub mod interrupt;
pub mod json_line;
pub mod log;
#[cfg(feature = "full")]
pub mod mcp;
pub mod notify;
pub mod outdir;
pub mod places;
pub mod plugin;
mod plugin_watch;
pub mod post;
pub mod program;
pub mod prompt;
#[cfg(feature = "full")]
pub mod react;
pub mod render;
#[cfg(feature = "full")]
pub mod request;
pub mod secrets;
pub mod settings;
pub mod shell;
pub mod sources;
pub mod target;
#[cfg(feature = "full")]
pub mod typed;
pub mod version;
pub mod wiring;

use std::{
    ffi::OsString,
    io::Write,
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use clap::{CommandFactory, Parser, error::ErrorKind};

use self::{
    args::{Cli, Command},
    bars::Bars,
    commands::Context,
    failure::{Exit, Failure},
    render::{Console, Ended, Output},
};
use crate::{
    model::{Cancel, SnapshotId, visible},
    ops::OpsError,
    source::redact::{self, redact},
};

/// Threads for the store's calls; the heavy work has threads of its own.
const RUNTIME_THREADS: usize = 2;
/// Threads for what blocks. Work there waits for no more than one other of its kind, so a few suffice; each keeps memory of
/// its own.
const BLOCKING_THREADS: usize = 16;
/// The command whose exit code a server that recovers judges by.
const FETCH: &str = "journal fetch";
/// What a standby has in its data directory, where its `restore_command` runs.
const STANDBY: &str = "standby.signal";
/// The kind of failure by which recovery ends in good order.
pub(crate) const NOT_THERE: &str = "not-there";
/// How the step that confines a program ends if it can't.
#[cfg(feature = "full")]
const NOT_CONFINED: u8 = 125;

/// Buffers of megabytes go from thread to thread here. The C library's allocator keeps what each thread freed for that
/// thread alone, and so a run of many threads ends with several times the memory that it uses at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the command line of this process and returns its exit code.
///
/// What still blocks then, such as a source that waits for data after Ctrl-C, ends with the process.
#[must_use]
pub fn main() -> ExitCode {
    // Memory is used again rather than given back, so pages of 2 MiB save next to no time here, and half of what a
    // buffer rounds up to them is never used. A kernel that can't turn them off only costs memory.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let typed: Vec<OsString> = std::env::args_os().collect();
    if typed.get(1).is_some_and(|word| word == plugin::WORD) {
        return plugin::step();
    }
    crate::codec::seal::run_plugins_by(plugin::run);
    #[cfg(feature = "full")]
    if let Some((_, [word, rest @ ..])) = typed.split_first() {
        if word == crate::engine::jail::WORD {
            return confine(rest);
        }
        if word == crate::engine::sqlite::WORD {
            return crate::engine::sqlite::serve().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
        }
    }
    raise_open_files();
    note_secrets(&typed);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // What was at hand when it happened may be in it.
        let told = panic.to_string();
        if redact(&told) == told {
            usual(panic);
        } else {
            // Nobody may be listening.
            let _ = writeln!(std::io::stderr(), "{}", redact(&told));
        }
    }));
    let exit = match Cli::try_parse_from(&typed) {
        Ok(cli) => run(cli),
        Err(error) => unparsed(&error, &typed),
    };
    ExitCode::from(exit.code())
}

/// Allows as many open files as this user may have: a repository may have a thousand packs, and git opens them, too. If it
/// can't be had, what needs it says so.
fn raise_open_files() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
}

/// The step before a program that handles what is not trusted.
#[cfg(feature = "full")]
fn confine(words: &[OsString]) -> ExitCode {
    use std::io::Write as _;
    let (told, code) = match crate::engine::jail::step(words) {
        Ok(told) => (std::io::stdout().write_all(told.as_bytes()), ExitCode::SUCCESS),
        Err(why) => (writeln!(std::io::stderr(), "strongroom jail: {why}"), ExitCode::from(NOT_CONFINED)),
    };
    told.map_or(ExitCode::FAILURE, |()| code)
}

fn run(cli: Cli) -> Exit {
    let Cli { global, command } = cli;
    let form = form(&global, &settings::real_env);
    log::begin(form.as_ref().copied().unwrap_or_default(), command.name());
    log::detail(global.verbose);
    let console = Console { json: global.json, quiet: global.quiet };
    let wanted = !(global.no_progress || global.json || global.quiet || global.verbose > 0);
    let bars = Arc::new(Bars::new(wanted, global.quiet));
    let name = command.name();
    let findings = Mutex::default();
    let context = Context { global, bars: Arc::clone(&bars), cancel: Cancel::default(), findings };
    let done = form.and_then(|_| execute(&context, command));
    let (output, failure) = done.unwrap_or_else(|error| {
        tracing::debug!(error = redact(&format!("{error:?}")), "the command failed");
        let (failure, findings) = Failure::with_findings(error);
        let failure = failure.of_command(name);
        context.found(findings);
        (Output::Nothing, Some(failure))
    });
    // Whatever still waits for somebody, such as after Ctrl-C, has children and plaintext on the disk.
    crate::source::leave_nothing();
    bars.clear();
    let findings = context.findings.into_inner().unwrap_or_else(PoisonError::into_inner);
    let ended = Ended { command: Some(name), output, findings, failure };
    let exit = console.show(&ended);
    let kind = ended.failure.as_ref().map(|failure| failure.kind);
    match exit {
        Exit::Done => exit,
        _ if name != FETCH || kind == Some(NOT_THERE) => exit,
        // A standby asks again, and a server that recovers takes this for the end of the log.
        Exit::NoVault | Exit::TryAgain if Path::new(STANDBY).exists() => Exit::Failed,
        _ => Exit::StopRecovery,
    }
}

fn execute(context: &Context, command: Command) -> Result<(Output, Option<Failure>), error::CliError> {
    let failed = |what| move |source| error::CliError::Io { what, path: "this process".into(), source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(failed("can't start the threads of"))?;
    // The writer's own build has none of these.
    let grace = match command.name() {
        "snapshots" | "verify" | "watch" | "incident" | "renew" | "prune" => interrupt::SHORT,
        // What is whole is shipped before it ends, and what is open is cut.
        "journal run" | "airgap trip" | "airgap run" | "airgap watchdog" | "airgap listen" => interrupt::LONG,
        _ => interrupt::GRACE,
    };
    let done = runtime.block_on(async {
        interrupt::watch(context.cancel.clone()).map_err(failed("can't watch the signals of"))?;
        tokio::select! {
            done = around::run(context, command) => done,
            () = interrupt::overdue(&context.cancel, grace) => Err(OpsError::Interrupted.into()),
        }
    });
    // Not dropped: that would wait for what still blocks.
    runtime.shutdown_background();
    if done.is_err() && plugin::was_stopped() {
        return Err(OpsError::Interrupted.into());
    }
    done
}

/// How events are written to standard error.
fn form(global: &args::Global, env: &dyn Fn(&str) -> Option<OsString>) -> Result<log::Form, error::CliError> {
    match global.log_format {
        Some(args::LogFormat::Json) => Ok(log::Form::Json),
        Some(args::LogFormat::Text) => Ok(log::Form::Text),
        None => env("STRONGROOM_LOG_FORMAT").map_or(Ok(log::Form::Text), |text| {
            if text.eq_ignore_ascii_case("json") {
                return Ok(log::Form::Json);
            }
            let what = || format!("STRONGROOM_LOG_FORMAT: {:?} is no format of log lines", text.to_string_lossy());
            let known = text.eq_ignore_ascii_case("text").then_some(log::Form::Text);
            known.ok_or_else(|| error::CliError::usage(what(), "set it to text or json"))
        }),
    }
}

/// Notes what is secret among what was typed and in the environment, before anything can go wrong.
fn note_secrets(typed: &[OsString]) {
    typed.iter().skip(1).for_each(|word| redact::given(&word.to_string_lossy()));
    for (name, value) in std::env::vars_os() {
        redact::given_as(&name.to_string_lossy(), &value.to_string_lossy());
    }
}

/// Shows help, the version, or what is wrong with the command line.
fn unparsed(error: &clap::Error, typed: &[OsString]) -> Exit {
    let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let words = || typed.iter().skip(1).take_while(|word| *word != "--");
    let json = words().any(|word| word == "--json");
    if json && error.kind() == ErrorKind::DisplayVersion {
        let console = Console { json, quiet: false };
        let output = Output::Version(version::build());
        return console.show(&Ended { command: None, output, findings: Vec::new(), failure: None });
    }
    if is_help {
        return render::written(error.print()).map_or(Exit::Done, |failure| failure.exit);
    }
    let text = in_words(error, typed);
    let mut message = text.trim().strip_prefix("error: ").unwrap_or(text.trim()).to_owned();
    // A connection string that the shell cut at a space, or that stands where none belongs.
    for word in typed.iter().skip(1).map(|word| visible(&word.to_string_lossy())) {
        for part in [Some(&*word), word.split_once('=').map(|(_, value)| value)].into_iter().flatten() {
            if part.len() > 3 && (part.contains('@') || part.contains("://")) {
                message = message.replace(part, redact::MASK);
            }
        }
    }
    let commands = Cli::command();
    let command = words().find_map(|word| commands.find_subcommand(word)).map(|command| command.get_name().to_owned());
    let command = command.and_then(|name| args::COMMANDS.iter().copied().find(|known| *known == name));
    let mut failure = Failure::usage(&message);
    if command == Some("drill")
        && words().any(|word| word.to_str().is_some_and(|word| word.parse::<SnapshotId>().is_ok()))
    {
        failure.hint = Some("a snapshot is drilled by `strongroom drill --snapshot ID`".to_owned());
    }
    let console = Console { json, quiet: false };
    let exit = console.show(&Ended { command, output: Output::Unparsed, findings: Vec::new(), failure: Some(failure) });
    // A restore_command that is typed wrongly is no end of the log either.
    if words().any(|word| word == "journal") && words().any(|word| word == "fetch") { Exit::StopRecovery } else { exit }
}

/// What is wrong with the command line, in lines. What was typed stands in them, and may hold anything.
fn in_words(error: &clap::Error, typed: &[OsString]) -> String {
    let shown = |word: &OsString| OsString::from(visible(&word.to_string_lossy()));
    let same = Cli::try_parse_from(typed.iter().map(shown)).err().filter(|same| same.kind() == error.kind());
    same.map_or_else(|| visible(&error.render().to_string()), |same| same.render().to_string())
}
