//! What a vault costs that has grown: packs, indexes, pages and headers of 1 TiB, with chunks that are distinct and small.
//! Makes the vault, then runs the program's commands on a copy of it, each in a process of its own, and prints the most memory
//! and the time that each took.
//!
//!     cargo build --release
//!     cargo bench --bench scale -- --packs 32000 --snapshots 1000
//!
//! `--program PATH` is another program, and may be given more than once to hold one against the other; `--chunk BYTES` the size
//! of a chunk (131072 is that of real vaults, and takes hours). `TMPDIR` says where it all goes: for 32,000 packs 2 GB, and as much again for each program.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "it measures, and ends where it can't"
)]

#[path = "scale/content.rs"]
mod content;
#[path = "scale/large.rs"]
mod large;
#[path = "../support/parts.rs"]
mod parts;
#[path = "scale/program.rs"]
mod program;
#[path = "../support/vault.rs"]
mod vault_support;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use content::Content;
use large::Large;
use program::{Program, mib};
use strongroom::{
    model::{Clock, Time, size::human},
    store::local::LocalStore,
};
use vault_support::noise;

struct Now;

impl Clock for Now {
    fn now(&self) -> Time {
        Time::from_unix(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap())
    }
}

/// All that `--name VALUE` says.
fn options(name: &str) -> Vec<String> {
    let args: Vec<String> = env::args().collect();
    args.windows(2).filter(|pair| pair[0] == name).map(|pair| pair[1].clone()).collect()
}

/// What `--name N` says, or else `default`.
fn option(name: &str, default: u64) -> u64 {
    options(name).pop().map_or(default, |value| value.parse().expect("a number"))
}

/// The programs that are measured.
fn programs() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = options("--program").into_iter().map(PathBuf::from).collect();
    if all.is_empty() {
        all.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/strongroom"));
    }
    for path in &all {
        assert!(path.exists(), "{} is not there: cargo build --release", path.display());
    }
    all.into_iter().map(|path| path.canonicalize().unwrap()).collect()
}

/// Streams of so many packs each are what a repository left.
const GRAFTED: u64 = 4096;
/// The number of the first of the many snapshots: after those of the commands.
const MANY_FROM: u64 = 100;

/// One program on its copy of the vault.
struct Measuring<'a> {
    large: &'a Large,
    content: Content,
    snapshots: u64,
    program: Program,
}

impl Measuring<'_> {
    fn run(&mut self, what: &str, arguments: &str) {
        self.program.run(what, &arguments.split(' ').collect::<Vec<_>>());
    }

    fn all(&mut self) {
        let vault = format!("--vault file://{}", self.program.dir.join("vault").display());
        let owner = format!("{vault} --identity ../identity");
        self.writing();
        let latest = format!("{owner} --source large");
        let part = format!("restore latest {latest} --stream new.bin --to back");
        self.run("`restore` of 8 MiB of a snapshot that needs everything", &part);
        self.run("`restore` of everything", &format!("restore latest {latest} --stream large.bin --to -"));
        self.run("`restore --dry-run` of everything", &format!("restore latest {latest} --to back --dry-run"));
        self.run("`verify --depth read`", &format!("verify --depth read {vault}"));
        self.run("`verify --depth decrypt`", &format!("verify --depth decrypt {owner}"));
        self.run("`drill` of it", &format!("drill large {owner}"));
        // What is made up for these can't be restored, so they come after what restores.
        self.repository();
        self.many(&vault);
    }

    /// What a writer does.
    fn writing(&mut self) {
        self.run("`catalog rebuild`", "catalog rebuild");
        self.run("`backup` of 8 MiB that needs nothing else", "backup --name small --path ../small");
        for what in ["the first `backup` of one stream of everything, all of it known", "the next"] {
            let mut source = Command::new(env::current_exe().unwrap());
            source.args(["--generate", &self.content.packs.to_string(), "--chunk", &self.content.chunk.to_string()]);
            self.program.run_of(what, &["backup", "--name", "stream", "--stdin"], Some(source));
        }
    }

    /// A repository whose last snapshot needs everything: the streams are not read again, and all of their chunks looked up.
    fn repository(&mut self) {
        let dir = self.program.dir.clone();
        let arguments = "backup --name code --git repository";
        program::repository(&dir.join("repository"), self.content.bytes());
        self.run("`backup` of a small repository", arguments);
        let lists = large::lists(&self.large.made, self.content, GRAFTED);
        large::graft(&dir, &self.large.made, "code", &lists, self.content.chunk.into());
        drop(lists);
        program::repository(&dir.join("repository"), 0);
        self.run("the first `backup` of a repository that needs everything", arguments);
        program::repository(&dir.join("repository"), 0);
        self.run("the next, with all locks known", arguments);
    }

    /// Many snapshots of all of it.
    fn many(&mut self, vault: &str) {
        let store = LocalStore::open(self.program.dir.join("vault"), Arc::new(Now)).unwrap();
        self.large.commit(&self.large.made.through(Arc::new(store)), MANY_FROM..MANY_FROM + self.snapshots);
        let many = format!("of {} snapshots", self.snapshots);
        self.run(&format!("`snapshots` {many}"), &format!("snapshots {vault}"));
        self.run(&format!("`verify --depth locks` {many}"), &format!("verify --depth locks {vault}"));
        self.run(&format!("`status` {many}"), &format!("status {vault}"));
        self.run(&format!("`renew` {many}"), &format!("renew {vault}"));
        self.run(&format!("`prune` {many}"), &format!("prune {vault} --yes"));
        self.run(
            &format!("`replicate` {many}"),
            &format!("replicate {vault} --to file://{}", self.program.dir.join("copy").display()),
        );
    }
}

fn main() {
    let content = Content {
        packs: option("--generate", option("--packs", 500)),
        chunk: option("--chunk", 4096).try_into().expect("the bytes of a chunk"),
    };
    if !options("--generate").is_empty() {
        return content.write(&mut io::BufWriter::with_capacity(1 << 20, io::stdout().lock())).unwrap();
    }
    let programs = programs();
    let dir = tempfile::tempdir().unwrap();
    println!(
        "{} packs, {} chunks of {} bytes, {} in all\n",
        content.packs,
        content.packs * content::CHUNKS,
        content.chunk,
        human(content.bytes())
    );
    let (vault, began) = (dir.path().join("vault"), Instant::now());
    let mut large = Large::create(&vault, Arc::new(Now), content);
    large.fill(content);
    large.commit(&large.made, 1..2);
    println!("the vault was made in {:.0} s\n", began.elapsed().as_secs_f64());
    fs::write(dir.path().join("identity"), &large.made.identity).unwrap();
    fs::write(dir.path().join("small"), noise(1, large::NEW)).unwrap();
    let mut all = Vec::new();
    for (no, path) in programs.into_iter().enumerate() {
        let here = dir.path().join(format!("program-{no}"));
        fs::create_dir_all(here.join("tmp")).unwrap();
        program::copy(&vault, &here.join("vault"));
        large.configure(&here, &here.join("vault"));
        println!("{}:\n\n| command | most memory | time |\n| --- | --- | --- |", path.display());
        let program = Program { path, dir: here.clone(), took: Vec::new() };
        let mut measuring = Measuring { large: &large, content, snapshots: option("--snapshots", 20), program };
        measuring.all();
        all.push(measuring.program.took);
        println!();
        fs::remove_dir_all(here).unwrap();
    }
    side_by_side(&all);
}

/// All programs in one table, each beside the first.
fn side_by_side(all: &[Vec<(String, u64, f64)>]) {
    let Some((first, others)) = all.split_first().filter(|(_, others)| !others.is_empty()) else { return };
    for (no, (what, peak, seconds)) in first.iter().enumerate() {
        let others = others.iter().map(|took| {
            let (_, peak, took) = &took[no];
            format!("| {} MiB, {:.2} of the time ", mib(*peak), took / seconds.max(0.01))
        });
        println!("| {what} | {} MiB {}|", mib(*peak), others.collect::<String>());
    }
}
