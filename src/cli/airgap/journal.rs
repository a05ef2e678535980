//! The journal on the disk: a line of JSON for each thing, on the disk before the next one begins.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use crate::{
    cli::wiring::SystemClock,
    model::Clock,
    ops::airgap::{Entry, Event, Journal, State},
};

/// The largest journal that is read, in bytes.
const LIMIT: u64 = 64 << 20;
/// How long others are waited for.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A journal on the disk.
#[derive(Debug, Clone)]
pub struct Disk {
    path: PathBuf,
}

/// Nobody else opens or closes anything while this lasts.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

impl Disk {
    /// The journal at `path`, which may not be there yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn lock_file(&self) -> io::Result<File> {
        let mut name = self.path.clone().into_os_string();
        name.push(".lock");
        File::options().create(true).truncate(false).write(true).mode(0o600).open(PathBuf::from(name))
    }

    /// Waits for whoever opens or closes something. Nothing if that takes longer than `patience`: whoever cuts goes on then.
    #[must_use]
    pub fn hold(&self, patience: Duration) -> Option<Held> {
        let file = self.lock_file().ok()?;
        let deadline = Instant::now() + patience;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Some(Held { _file: file }),
                Err(_) if Instant::now() >= deadline => return None,
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn append(&self, line: &[u8]) -> io::Result<()> {
        self.must_be_a_file()?;
        let new = !self.path.exists();
        let mut file = File::options().create(true).append(true).read(true).mode(0o600).open(&self.path)?;
        // What was cut off by a loss of power must not swallow this line.
        let (len, mut last) = (file.metadata()?.len(), [b'\n']);
        let torn = len > 0 && file.read_at(&mut last, len - 1)? == 1 && last != [b'\n'];
        let mut bytes = if torn { vec![b'\n'] } else { Vec::new() };
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        file.write_all(&bytes)?;
        file.sync_all()?;
        if new && let Some(dir) = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    }

    /// What has no end would be read for ever, and nobody would cut.
    fn must_be_a_file(&self) -> io::Result<()> {
        match fs::metadata(&self.path) {
            Ok(meta) if !meta.is_file() => Err(io::Error::other("it is not a regular file")),
            _ => Ok(()),
        }
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        self.must_be_a_file()?;
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
            Ok(meta) if meta.len() > LIMIT => {
                return Err(io::Error::other("it is larger than 64 MiB: begin a new one"));
            }
            Ok(_) => {}
        }
        let text = fs::read_to_string(&self.path)?;
        // A line that a loss of power cut off says nothing; what it would have said was not done yet.
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    fn words(&self, what: &str, error: &io::Error) -> String {
        format!("the journal {} can't be {what}: {error}", self.path.display())
    }
}

impl Journal for Disk {
    fn note(&mut self, event: Event) -> Result<(), String> {
        let entry = Entry { at: SystemClock.now(), event };
        let line = serde_json::to_vec(&entry).map_err(|error| self.words("written", &error.into()))?;
        self.append(&line).map_err(|error| self.words("written", &error))
    }

    fn read(&mut self) -> Result<State, String> {
        self.entries().map(State::of).map_err(|error| self.words("read", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_off_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut disk = Disk::new(&path);
        assert!(disk.read().unwrap().tripped.is_none());
        disk.note(Event::Trip { id: "a".into(), by: "typed".into(), reason: "x\ny".into() }).unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"at\":\"20");
        fs::write(&path, text).unwrap();
        disk.note(Event::Tripped { id: "a".into(), open: vec!["net".into()] }).unwrap();
        let state = disk.read().unwrap();
        assert_eq!((state.tripped.unwrap().0.as_str(), state.ended.unwrap().len()), ("a", 1));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn nobody_waits_for_long() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(&dir.path().join("journal"));
        let held = disk.hold(PATIENCE).unwrap();
        assert!(disk.hold(Duration::from_millis(50)).is_none());
        drop(held);
        assert!(disk.hold(Duration::from_millis(50)).is_some());
    }
}
