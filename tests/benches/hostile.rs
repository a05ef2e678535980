//! Plants in a directory vault what somebody with a writer's key can sign and put there, to see what it costs others. It only
//! adds; the vault must have a snapshot of that writer.
//!
//!     cargo bench --bench hostile -- --vault DIR --key writer.key --absent 3000000 --hint 1000
//!
//! `--absent N` packs that are named and not there, each with a version of `--hint` bytes; `--junk N` objects under the names of
//! packs, `--named N` of which are signed for; `--headers N` objects under the names of headers; `--pages N` headers that name
//! 1500 pages each which are not there; `--files N` a snapshot of so many empty files; `--list N` one whose list says half a tebibyte
//! so many times.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "it ends where it can't"
)]

#[path = "../support/hostile.rs"]
mod hostile;

use std::{env, path::Path};

use hostile::Hostile;

/// What `--name` says.
fn option(name: &str) -> Option<String> {
    env::args().skip_while(|arg| arg != name).nth(1)
}

fn number(name: &str) -> u64 {
    option(name).map_or(0, |value| value.parse().unwrap())
}

fn main() {
    let (vault, key) = (option("--vault").unwrap(), option("--key").unwrap());
    let mut hostile = Hostile::of(Path::new(&vault), Path::new(&key));
    match number("--absent") {
        0 => {}
        packs => _ = hostile.name_absent(packs, usize::try_from(number("--hint")).unwrap()),
    }
    match number("--junk") {
        0 => {}
        packs => hostile.put_packs(packs, number("--named")),
    }
    hostile.put_junk_headers(number("--headers"));
    hostile.name_absent_pages(number("--pages"), 1500);
    match number("--files") {
        0 => {}
        files => _ = hostile.sign_files(usize::try_from(files).unwrap()),
    }
    match number("--list") {
        0 => {}
        times => println!("{}", hostile.sign_list(times)),
    }
}
