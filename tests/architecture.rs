//! The house keeps its shape: imports point down, outside crates stay with their owners, files stay small, and only
//! the command line prints. Each rule is also run on a made-up bad source, so that it is known to be able to fail.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;

use std::{path::Path, process::Command};

use source::Source;

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the house; fails if there are suspiciously few.
fn house() -> Vec<Source> {
    let sources = Source::all(package(), "src");
    assert!(sources.len() > 50, "only {} files were found in src", sources.len());
    sources
}

fn hold(rule: impl Fn(&Source) -> Vec<String>, sources: &[Source]) {
    let broken: Vec<String> = sources.iter().flat_map(rule).collect();
    assert!(broken.is_empty(), "{} lines break the rule:\n{}", broken.len(), broken.join("\n"));
}

/// What the rule says of a made-up file.
fn judged(rule: impl Fn(&Source) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
    rule(&Source::new(path, text))
}

#[test]
fn imports_point_down() {
    hold(rules::imports, &house());
}

#[test]
fn outside_crates_stay_with_their_owners() {
    hold(rules::ownership, &house());
}

#[test]
fn every_dependency_has_an_owner_who_uses_it() {
    let manifest = std::fs::read_to_string(package().join("Cargo.toml")).unwrap();
    let broken = rules::dependencies(&manifest, &house());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_and_functions_stay_small() {
    let mut sources = house();
    sources.extend(Source::all(package(), "tests"));
    hold(rules::sizes, &sources);
}

#[test]
fn only_the_command_line_prints_and_nothing_is_left_for_later() {
    hold(rules::leftovers, &house());
}

#[test]
fn io_stays_in_its_rooms_and_pure_rooms_are_pure() {
    hold(rules::purity, &house());
}

#[test]
fn only_doctor_holds_hostile_calls() {
    hold(rules::hostile_calls, &house());
    for text in ["use crate::store::Attempts;", "fn f(s: &S3Store) { s.hostile(); }"] {
        assert_eq!(judged(rules::hostile_calls, "src/ops/backup.rs", text).len(), 1, "{text}");
        assert!(judged(rules::hostile_calls, "src/ops/doctor/reach.rs", text).is_empty(), "{text}");
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let found = circles::circles(&house());
    assert!(found.is_empty(), "{} circles:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_map_in_lib_names_every_room() {
    let map = std::fs::read_to_string(package().join("src/lib.rs")).unwrap();
    for room in rules::ROOMS.iter().filter(|room| package().join("src").join(room).exists()) {
        assert!(map.contains(&format!("pub mod {room};")) && map.contains(&format!("[`{room}`]")), "{room}");
    }
}

// From here on: the rules can fail.

#[test]
fn an_upward_import_is_seen_however_it_is_written() {
    let bad = [
        ("src/store/x.rs", "use crate::vault::Vault;"),
        ("src/store/x.rs", "use crate::{model::Key, vault::Vault};"),
        ("src/store/x.rs", "use crate::{model::{Key, Name}, format, cli::args};"),
        ("src/store/x.rs", "fn f() -> crate::ops::Result<()> { Ok(()) }"),
        ("src/store/x.rs", "use super::super::vault::Vault;"),
        ("src/store/mod.rs", "use super::vault::Vault;"),
        ("src/store/local/mod.rs", "use super::{Result, super::vault};"),
        ("src/store.rs", "mod inner { use super::super::vault::Vault; }"),
        ("src/codec/x.rs", "fn f() { let x = |a: &str| -> char { 'a' }; crate::format::dsse::sign(x) }"),
        ("src/codec/x.rs", "const Q: char = '\"'; use crate::format; const R: &str = \"\";"),
        ("src/model/x.rs", "use crate::*;"),
        ("src/model/x.rs", "use crate as house;"),
        ("src/model/x.rs", "use crate::attic::Box;"),
        ("src/attic/x.rs", "fn f() {}"),
    ];
    for (path, text) in bad {
        assert_eq!(judged(rules::imports, path, text).len(), 1, "{path}: {text}");
    }
}

#[test]
fn a_downward_import_a_comment_or_a_string_is_none() {
    let good = [
        ("src/vault/x.rs", "use crate::{codec::hash, model::{self, Key}, vault::Vault};"),
        ("src/vault/x/y.rs", "use super::super::{Vault, fetch}; use self::z; pub(crate) fn f() {}"),
        ("src/vault/x.rs", "mod tests { use super::super::Vault; }"),
        ("src/model/x.rs", "// use crate::vault;\n/* crate::cli /* crate::ops */ */ const A: &str = \"crate::cli\";"),
        ("src/model/x.rs", "const A: &str = r#\"\" crate::cli \"#; fn f<'a>(x: &'a str) -> char { '\\'' }"),
        ("src/model/x.rs", "macro_rules! m { () => { $crate::model::Key } }"),
        ("src/lib.rs", "pub mod cli; use crate::cli::main;"),
    ];
    for (path, text) in good {
        assert_eq!(judged(rules::imports, path, text), Vec::<String>::new(), "{path}: {text}");
    }
}

#[test]
fn a_crate_outside_its_owner_is_seen() {
    let bad = [
        "use zstd::stream;",
        "fn f() { zstd::encode_all() }",
        "use {zstd};",
        "use zstd as z;",
        "extern crate zstd;",
        "fn f() -> ::zstd::Error { }",
        "#[derive(Debug)] struct S(zstd::Error);",
    ];
    for text in bad {
        assert_eq!(judged(rules::ownership, "src/store/x.rs", text).len(), 1, "{text}");
    }
    let good = [
        ("src/codec/x.rs", "use zstd::stream;"),
        (
            "src/store/x.rs",
            "// zstd::stream\nfn f() { self.zstd(); let zstd = 1; codec::zstd::open(); x.zstd::<u8>() }",
        ),
        ("src/store/x.rs", "#[cfg(test)] mod tests { use zstd::stream; }"),
        ("src/store/tests.rs", "use zstd::stream;"),
    ];
    for (path, text) in good {
        assert_eq!(judged(rules::ownership, path, text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_dependency_without_an_owner_or_a_user_is_seen() {
    let all = rules::OWNERS.map(|(name, _)| format!("{name} = \"1\"\n")).concat();
    let uses = |without: &str| -> Vec<Source> {
        let used = rules::OWNERS.iter().filter(|(name, _)| *name != without);
        let lines: Vec<String> = used.map(|(name, _)| format!("use {}::x;\n", name.replace('-', "_"))).collect();
        vec![Source::new("src/cli/x.rs", &lines.concat())]
    };
    let judge = |extra: &str, without| rules::dependencies(&format!("[dependencies]\n{all}{extra}"), &uses(without));
    assert_eq!(judge("", ""), Vec::<String>::new());
    assert_eq!(judge("leftpad = \"1\"", ""), ["Cargo.toml: leftpad has no owner; add it to OWNERS"]);
    assert_eq!(judge("", "clap"), ["Cargo.toml: nobody uses clap"]);
    let less = all.replace("clap = \"1\"\n", "");
    let broken = rules::dependencies(&format!("[dependencies]\n{less}"), &uses(""));
    assert_eq!(broken, ["OWNERS: clap is not a dependency"]);
}

#[test]
fn a_circle_between_files_is_seen_however_it_is_written() {
    let told = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        circles::circles(&sources)
    };
    let (a, b, c) = ("src/vault/a.rs", "src/vault/b.rs", "src/vault/c.rs");
    let there = "src/vault/a.rs:1 uses src/vault/b.rs, src/vault/b.rs:1 uses src/vault/a.rs";
    assert_eq!(told(&[(a, "use super::b::B;"), (b, "use crate::vault::a;")]), [there]);
    assert_eq!(told(&[(a, "fn f() { super::b::f() }"), (b, "use super::{c, a::{self, A}};"), (c, "")]), [there]);
    // By way of a third, by what a parent passes on under another name, and by what it only imports.
    assert_eq!(told(&[(a, "use super::b;"), (b, "use super::c;"), (c, "use super::a;")]).len(), 1);
    let parent = ("src/vault/mod.rs", "mod a; mod b; pub use a::A as First; use self::b::{B};");
    assert_eq!(told(&[parent, (a, "use super::B;"), (b, "use crate::vault::First;")]), [there]);
    assert_eq!(told(&[("src/ops/x.rs", "use crate::vault::b;"), (b, "use crate::ops::x::X;")]).len(), 1);
    // Two circles are two.
    let (up, down) = ("src/ops/up.rs", "src/ops/down.rs");
    let four = [(a, "use super::b;"), (b, "use super::a;"), (up, "use super::down;"), (down, "use super::up;")];
    assert_eq!(told(&four).len(), 2);
    // None: what only tests use, a module and what is within it, a parent that passes on what it wrote itself.
    let test = "#[cfg(test)] mod tests { use super::super::a::A; }";
    assert_eq!(told(&[(a, "use super::b;"), (b, test)]), [""; 0]);
    assert_eq!(told(&[("src/vault/mod.rs", "mod a; use a::A; pub struct B;"), (a, "use super::B;")]), [""; 0]);
    assert_eq!(told(&[(a, "use super::{b, c};"), (b, "use super::c;"), (c, "use std::a::A;")]), [""; 0]);
}

#[test]
fn what_is_too_long_is_seen() {
    let lines = |n| "\n".repeat(n);
    assert_eq!(judged(rules::sizes, "src/store/x.rs", &lines(rules::FILE_LINES + 1)).len(), 1);
    assert!(judged(rules::sizes, "src/store/x.rs", &lines(rules::FILE_LINES)).is_empty());
    let function = |n: usize| {
        format!("trait T {{ fn short(a: [u8; 3]); }}\nimpl T for S {{ fn long(a: [u8; 3]) {{{}}} }}", lines(n))
    };
    assert_eq!(judged(rules::sizes, "src/store/x.rs", &function(rules::FUNCTION_LINES)).len(), 1);
    assert!(judged(rules::sizes, "src/store/x.rs", &function(rules::FUNCTION_LINES - 1)).is_empty());
}

#[test]
fn printing_and_things_left_for_later_are_seen() {
    let bad =
        ["fn f() { println!(\"x\") }", "fn f() { std::eprint!(\"x\"); }", "fn f() { todo!() }", "// FIXME: later"];
    for text in bad {
        assert_eq!(judged(rules::leftovers, "src/vault/x.rs", text).len(), 1, "{text}");
    }
    assert_eq!(judged(rules::leftovers, "src/cli/x.rs", "fn f() { unimplemented!() }").len(), 1);
    assert!(judged(rules::leftovers, "src/cli/x.rs", "fn f() { println!(\"x\") }").is_empty());
    assert!(judged(rules::leftovers, "src/vault/x.rs", "#[cfg(test)] mod tests { fn f() { println!() } }").is_empty());
    assert!(judged(rules::leftovers, "src/vault/x.rs", "// println! is for the cli\nfn f() { x.print() }").is_empty());
}

#[test]
fn io_in_the_wrong_room_is_seen() {
    let bad = [
        ("src/vault/x.rs", "use std::fs::File;"),
        ("src/ops/x.rs", "use std::{io::Read, path::Path, process::{self, Command}};"),
        ("src/format/x.rs", "fn f() { std::thread::spawn(g) }"),
        ("src/codec/x.rs", "pub async fn f() {}"),
        ("src/model/x.rs", "fn now() -> i64 { SystemTime::now() }"),
    ];
    for (path, text) in bad {
        assert_eq!(judged(rules::purity, path, text).len(), 1, "{path}: {text}");
    }
    let good = [
        ("src/store/x.rs", "use std::{fs, process::Command};"),
        ("src/vault/x.rs", "use std::{io::{self, Read}, thread}; async fn f() {}"),
        ("src/model/x.rs", "#[cfg(test)] mod tests { use std::fs; }"),
    ];
    for (path, text) in good {
        assert_eq!(judged(rules::purity, path, text), Vec::<String>::new(), "{path}: {text}");
    }
}

/// `scripts/test` runs other servers again if the store room is another one than they were seen to be good with. Here it is told by a
/// tree without history.
#[test]
fn a_change_of_the_store_room_asks_for_other_servers_again() {
    let tree = tempfile::tempdir().unwrap();
    let at = |path: &str| tree.path().join(path);
    for dir in ["scripts", "src/store", "tests/conformance", "fixtures/servers"] {
        std::fs::create_dir_all(at(dir)).unwrap();
    }
    for script in ["scripts/test-servers", "scripts/on-ceph"] {
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(script), at(script)).unwrap();
    }
    for file in ["src/store/mod.rs", "tests/conformance.rs", "tests/conformance/suite.rs", "fixtures/servers/moto"] {
        std::fs::write(at(file), file).unwrap();
    }
    let run = |args: &[&str]| Command::new(at("scripts/test-servers")).args(args).output().unwrap();
    let needed = |server: &str| run(&["--needed", server]).status.code().unwrap() == 0;
    assert!(needed("moto") && needed("ceph"), "nothing was seen yet");
    let room = String::from_utf8(run(&["--room"]).stdout).unwrap();
    assert_eq!(room.trim().len(), 64, "{room}");
    std::fs::write(at("fixtures/servers/seen"), format!("moto {room}")).unwrap();
    assert!(!needed("moto") && needed("ceph"), "moto alone was seen");
    std::fs::write(at("src/store/mod.rs"), "changed").unwrap();
    assert!(needed("moto"));
    std::fs::write(at("src/store/mod.rs"), "src/store/mod.rs").unwrap();
    assert!(!needed("moto"), "as it was");
    std::fs::rename(at("tests/conformance/suite.rs"), at("tests/conformance/other.rs")).unwrap();
    assert!(needed("moto"), "another name is another room");
}
