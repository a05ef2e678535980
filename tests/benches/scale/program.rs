//! A program's commands, each in a process of its own, and the most memory and the time that it took.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The program on its own copy of the vault.
pub struct Program {
    pub path: PathBuf,
    /// Where its configuration, its state, the vault and all else is.
    pub dir: PathBuf,
    /// What each command took: KiB, seconds.
    pub took: Vec<(String, u64, f64)>,
}

impl Program {
    /// Runs a command of the program. `source` gives its standard input, if it is to have one.
    pub fn run(&mut self, what: &str, arguments: &[&str]) {
        self.run_of(what, arguments, None);
    }

    /// Through `time`, since a process begins with the peak of the one that it was forked from.
    pub fn run_of(&mut self, what: &str, arguments: &[&str], source: Option<Command>) {
        let told = self.dir.join("took");
        let mut command = Command::new("/usr/bin/time");
        command.args(["-f", "%M %e", "-o"]).arg(&told).arg(&self.path).args(arguments).current_dir(&self.dir);
        command.env("TMPDIR", self.dir.join("tmp")).stdout(Stdio::null()).stdin(Stdio::null());
        let mut giving = source.map(|mut source| source.stdout(Stdio::piped()).spawn().unwrap());
        if let Some(giving) = &mut giving {
            command.stdin(giving.stdout.take().unwrap());
        }
        let done = command.status().expect("time in /usr/bin");
        drop(command);
        assert!(giving.is_none_or(|mut giving| giving.wait().unwrap().success()), "{what}: its source");
        let took = fs::read_to_string(&told).unwrap();
        let numbers: Vec<&str> = took.lines().last().unwrap().split(' ').collect();
        let (peak, seconds) = (numbers[0].parse().unwrap(), numbers[1].parse().unwrap());
        let code = done.code().unwrap_or(-1);
        let ended = if code == 0 { String::new() } else { format!(", ended with {code}") };
        println!("| {what}{ended} | {} MiB | {seconds} s |", mib(peak));
        self.took.push((what.to_owned(), peak, seconds));
    }
}

/// KiB as MiB, as `/usr/bin/time` says them.
pub fn mib(kib: u64) -> u64 {
    kib.div_ceil(1024)
}

/// Copies all of a directory.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// A small repository, whose objects seem to take `bytes`.
pub fn repository(dir: &Path, bytes: u64) {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=x", "-c", "user.email=x@example.org"]).args(arguments);
        assert!(git.current_dir(dir).stdout(Stdio::null()).status().unwrap().success());
    };
    if !dir.exists() {
        fs::create_dir_all(dir).unwrap();
        git(&["init", "-q"]);
        // What is carried may not be many times as large as the source. Without an index, git passes it over.
        let large = dir.join(".git/objects/pack/pack-1111111111111111111111111111111111111111.pack");
        fs::create_dir_all(large.parent().unwrap()).unwrap();
        fs::File::create(large).unwrap().set_len(bytes).unwrap();
    }
    let file = dir.join("file");
    let more = fs::read_to_string(&file).unwrap_or_default() + "a line\n";
    fs::write(file, more).unwrap();
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "more"]);
}
