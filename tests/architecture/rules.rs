//! The rules of the house. Each gives the lines that break it, for people.

use super::source::Source;

/// The rooms from the top of the house to its foundation: a room may use those that come after it.
pub const ROOMS: [&str; 13] = [
    "cli", "ops", "guard", "engine", "forge", "source", "vault", "catalog", "store", "format", "signal", "codec",
    "model",
];

/// Every outside crate and the rooms that may use it. Tests within `src` may use any of them.
pub const OWNERS: [(&str, &[&str]); 52] = [
    ("age", &["codec"]),
    ("age-core", &["codec"]),
    ("async-trait", &["store"]),
    ("aws-config", &["store"]),
    ("aws-credential-types", &["store"]),
    ("aws-sdk-s3", &["store"]),
    ("aws-smithy-http-client", &["store"]),
    ("aws-smithy-runtime-api", &["store"]),
    ("base64", &["ops", "forge", "store", "format"]),
    ("blahaj", &["codec"]),
    ("blake3", &["codec"]),
    ("bytes", &["vault", "store", "format", "codec"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    // What confines: the step before an engine.
    ("close_fds", &["engine"]),
    ("comfy-table", &["cli"]),
    ("crc-fast", &["source"]),
    ("crossbeam-channel", &["ops", "vault"]),
    ("ed25519-dalek", &["codec"]),
    ("fastcdc", &["codec"]),
    ("flate2", &["ops", "codec"]),
    ("futures", &["ops", "vault"]),
    ("getrandom", &["codec"]),
    ("hex", &["codec", "model"]),
    // The head of an alert.
    ("httparse", &["cli"]),
    ("hyper-util", &["store"]),
    ("indicatif", &["cli"]),
    ("landlock", &["engine"]),
    ("md5", &["store"]),
    ("memchr", &["ops"]),
    ("mimalloc", &["cli"]),
    ("jiff", &["cli", "model"]),
    ("reed-solomon-simd", &["codec"]),
    ("rmcp", &["cli"]),
    // The catalog is a database of ours; sources and engines handle those of others.
    ("ring", &["codec"]),
    ("rustls", &["store"]),
    ("rusqlite", &["forge", "source", "engine", "catalog"]),
    // File descriptors, advisory locks and process groups: wherever files and children are handled.
    ("rustix", &["cli", "engine", "source", "catalog", "store"]),
    ("seccompiler", &["engine"]),
    ("serde", &["cli", "ops", "engine", "forge", "source", "vault", "store", "format", "signal", "codec", "model"]),
    ("serde_json", &["cli", "ops", "engine", "forge", "source", "vault", "store", "format", "codec"]),
    ("sha1", &["codec"]),
    ("ssh-key", &["codec"]),
    ("tempfile", &["cli", "forge", "source", "catalog"]),
    (
        "thiserror",
        &["cli", "ops", "guard", "engine", "source", "vault", "catalog", "store", "format", "codec", "model"],
    ),
    ("tokio", &["cli", "ops", "vault", "store"]),
    ("toml", &["cli"]),
    ("tracing", &["cli", "ops", "engine", "forge", "source", "vault", "catalog", "store"]),
    ("tracing-subscriber", &["cli"]),
    ("zeroize", &["cli", "ops", "forge", "source", "vault", "store", "format", "codec"]),
    ("zstd", &["codec"]),
];

/// The most lines of a file.
pub const FILE_LINES: usize = 450;
/// The most lines of a function.
pub const FUNCTION_LINES: usize = 80;

/// The rooms that may touch files, processes, the network and the environment.
const WITH_IO: [&str; 6] = ["cli", "forge", "source", "engine", "catalog", "store"];
/// The rooms of pure values and bytes: no threads, no time, nothing asynchronous.
const PURE: [&str; 4] = ["format", "signal", "codec", "model"];
/// What of the standard library is IO.
const IO_MODULES: [&str; 5] = ["fs", "net", "process", "env", "os"];

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|known| *known == room)
}

/// A room uses itself and the rooms below it.
pub fn imports(source: &Source) -> Vec<String> {
    let Some(room) = source.room() else { return Vec::new() };
    let broken = |line: usize, why: String| format!("{}:{line}: {why}", source.path);
    let Some(own) = rank(room) else {
        return vec![broken(1, format!("{room} is no room of this house; see ROOMS"))];
    };
    let judge = |reference: &super::source::Reference| {
        let Some(used) = reference.path.first() else {
            return Some(broken(reference.line, "names the whole crate; name the room".to_owned()));
        };
        match rank(used) {
            None => Some(broken(reference.line, format!("uses crate::{used}, which is no room"))),
            Some(rank) if rank < own => Some(broken(reference.line, format!("{room} uses {used}, which is above it"))),
            Some(_) => None,
        }
    };
    source.references().iter().filter_map(judge).collect()
}

/// The crates that a file outside tests uses, with the line of the first use of each.
fn crates_used(source: &Source) -> Vec<(&'static str, usize)> {
    let text = |at: usize| source.tokens.get(at).map_or("", |t| t.text.as_str());
    let mut found = Vec::new();
    for (name, _) in OWNERS {
        let ident = name.replace('-', "_");
        let uses = |at: &usize| {
            let (before, second) = (at.checked_sub(1).map_or("", text), at.checked_sub(2).map_or("", text));
            let inside = before == "::" && second.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let path = text(at + 1) == "::" && !inside && before != ".";
            let import = matches!(before, "use" | "crate") && matches!(text(at + 1), ";" | "as");
            let grouped = before == "{" && second == "use";
            text(*at) == ident && !source.tokens[*at].test && (path || import || grouped)
        };
        let first = (0..source.tokens.len()).find(uses);
        found.extend(first.map(|at| (name, source.tokens[at].line)));
    }
    found
}

/// An outside crate is used by its owners alone.
pub fn ownership(source: &Source) -> Vec<String> {
    let Some(room) = source.room().filter(|_| !source.is_test()) else { return Vec::new() };
    let owners = |name: &str| OWNERS.iter().find(|(n, _)| *n == name).map_or(&[][..], |(_, rooms)| *rooms);
    let foreign = crates_used(source).into_iter().filter(|(name, _)| !owners(name).contains(&room));
    foreign
        .map(|(name, line)| format!("{}:{line}: {room} uses {name}, which belongs to {:?}", source.path, owners(name)))
        .collect()
}

/// Every dependency has owners and is used by somebody.
pub fn dependencies(manifest: &str, sources: &[Source]) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let declared: Vec<&String> = manifest["dependencies"].as_table().unwrap().keys().collect();
    let crates: Vec<&str> =
        sources.iter().filter(|s| !s.is_test()).flat_map(crates_used).map(|(name, _)| name).collect();
    let mut broken = Vec::new();
    for name in &declared {
        let owned = OWNERS.iter().any(|(n, _)| n == name);
        let used = crates.contains(&name.as_str());
        match (owned, used) {
            (false, _) => broken.push(format!("Cargo.toml: {name} has no owner; add it to OWNERS")),
            (true, false) => broken.push(format!("Cargo.toml: nobody uses {name}")),
            (true, true) => {}
        }
    }
    let gone = OWNERS.iter().filter(|(name, _)| !declared.iter().any(|d| d == name));
    broken.extend(gone.map(|(name, _)| format!("OWNERS: {name} is not a dependency")));
    broken
}

/// Files and functions stay small enough to be read at once.
pub fn sizes(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES {
        broken.push(format!("{}: {lines} lines, more than {FILE_LINES}", source.path));
    }
    for (name, line, length) in source.functions() {
        if length > FUNCTION_LINES {
            broken.push(format!("{}:{line}: fn {name} has {length} lines, more than {FUNCTION_LINES}", source.path));
        }
    }
    broken
}

/// Only the command line prints, and nothing is left for later.
pub fn leftovers(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    let prints = !matches!(source.room(), None | Some("cli"));
    for pair in source.tokens.windows(2) {
        let (name, line) = (pair[0].text.as_str(), pair[0].line);
        let print = prints
            && !pair[0].test
            && !source.is_test()
            && matches!(name, "print" | "println" | "eprint" | "eprintln" | "dbg");
        if pair[1].text == "!" && (print || matches!(name, "todo" | "unimplemented")) {
            broken.push(format!("{}:{line}: {name}!", source.path));
        }
    }
    for (no, line) in source.text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if words.any(|word| matches!(word, "TODO" | "FIXME" | "XXX" | "HACK")) {
            broken.push(format!("{}:{}: left for later: {}", source.path, no + 1, line.trim()));
        }
    }
    broken
}

/// IO stays in the rooms that may do it, and the pure rooms stay pure.
pub fn purity(source: &Source) -> Vec<String> {
    let Some(room) = source.room().filter(|_| !source.is_test()) else { return Vec::new() };
    let tokens: Vec<_> = source.tokens.iter().filter(|t| !t.test).collect();
    let text = |at: usize| tokens.get(at).map_or("", |t| t.text.as_str());
    let mut broken = Vec::new();
    let mut add = |at: usize, what: &str| {
        broken.push(format!("{}:{}: {room} uses {what}", source.path, tokens[at].line));
    };
    for at in 0..tokens.len() {
        if PURE.contains(&room) && matches!(text(at), "async" | "await" | "SystemTime" | "Instant" | "thread_local") {
            add(at, text(at));
        }
        if text(at) != "std" || text(at + 1) != "::" {
            continue;
        }
        let named: Vec<usize> = if text(at + 2) == "{" { group(&text, at + 2) } else { vec![at + 2] };
        for name in named {
            let io = IO_MODULES.contains(&text(name)) && !WITH_IO.contains(&room);
            let impure = PURE.contains(&room) && text(name) == "thread";
            if io || impure {
                add(name, &format!("std::{}", text(name)));
            }
        }
    }
    broken
}

/// Hostile calls are held by `doctor` and by nothing else.
pub fn hostile_calls(source: &Source) -> Vec<String> {
    let may = source.room() == Some("store") || source.path.starts_with("src/ops/doctor");
    if may || source.room().is_none() || source.is_test() {
        return Vec::new();
    }
    let hostile =
        |t: &&super::source::Token| !t.test && matches!(t.text.as_str(), "Attempts" | "S3Attempts" | "hostile");
    let used = source.tokens.iter().filter(hostile);
    used.map(|t| format!("{}:{}: only doctor may use {}", source.path, t.line, t.text)).collect()
}

/// The places of the first words of the items of a group that opens at `at`.
fn group<'a>(text: &impl Fn(usize) -> &'a str, at: usize) -> Vec<usize> {
    let mut items = vec![at + 1];
    let mut depth = 0;
    for next in at.. {
        match text(next) {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => items.push(next + 1),
            "" => break,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    items
}
