//! The files of a whole cluster, as `pg_basebackup` copies them: one tar with the manifest and the log that it needs.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;

use super::{
    super::{
        Facts, FileMeta, Incoming, Reading, Result, SourceError,
        child::Running,
        read::{Seen, Watched},
    },
    Conninfo,
    tools::{Tools, Version},
};

/// The stream's name.
pub(crate) const STREAM: &str = "base.tar";
/// The size of a tar's blocks.
const BLOCK: usize = 512;
/// Files without which it is no backup of a cluster.
const NEEDED: [&str; 3] = ["backup_label", "backup_manifest", "global/pg_control"];

/// Starts `pg_basebackup`.
pub(super) fn open(
    info: &Conninfo,
    tools: &Tools,
    version: &Version,
    server: &BTreeMap<String, String>,
) -> Result<Box<dyn Reading>> {
    let tool = tools.for_server("pg_basebackup", version)?;
    let mut command = Command::new(&tool.path);
    // The log is fetched at the end, since one output can hold one tar; a checkpoint at once, since nobody knows how
    // long the server's own pace would take.
    command.args(["-D", "-", "-Ft", "-X", "fetch", "--checkpoint=fast", "-w", "-d"]).arg(info.argument(None));
    info.equip(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = Running::start(&mut command, &tool.path.to_string_lossy(), info.secrets())?;
    let tar = Arc::new(Mutex::new(Tar::default()));
    let walked = Walked { inner: running.stream()?, tar: Arc::clone(&tar) };
    let (reader, seen) = Watched::new(walked, STREAM, 0);
    let name = STREAM.parse().map_err(|e| SourceError::new(format!("{e}"), STREAM))?;
    let stream = Incoming { name, path: None, meta: FileMeta::default(), expected: None, reader: Box::new(reader) };
    let details = json!({ "server": server, "physical": true, "pg_basebackup": tool.version.text });
    Ok(Box::new(PhysicalReading { running, stream: Some(stream), seen, tar, details }))
}

fn server_of<'a>(details: &'a serde_json::Value, key: &str) -> Option<&'a str> {
    details.get("server")?.get(key)?.as_str()
}

struct PhysicalReading {
    running: Running,
    stream: Option<Incoming>,
    seen: Arc<Seen>,
    tar: Arc<Mutex<Tar>>,
    details: serde_json::Value,
}

impl Reading for PhysicalReading {
    fn next_stream(&mut self) -> Result<Option<Incoming>> {
        Ok(self.stream.take())
    }

    fn stopper(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let alive = self.running.alive();
        Some(Box::new(move || alive.stop()))
    }

    fn finish(self: Box<Self>) -> Result<Facts> {
        let Self { running, seen, tar, details, .. } = *self;
        seen.must_have_ended(STREAM)?;
        let heard = running.finish_heard()?;
        let tar = tar.lock().unwrap_or_else(PoisonError::into_inner);
        tar.check().map_err(|why| SourceError::new(format!("pg_basebackup succeeded, but {why}"), STREAM))?;
        let mut warnings = if heard.is_empty() { Vec::new() } else { vec![format!("pg_basebackup said: {heard}")] };
        if server_of(&details, "data_checksums") == Some("off") {
            warnings.push(
                "data checksums are off on this server, so nothing proves that the pages that were copied are sound; \
                 `pg_checksums --enable`, with the server stopped, turns them on"
                    .to_owned(),
            );
        }
        Ok(Facts { details, warnings, ..Facts::default() })
    }
}

/// A tar on its way by: which of the needed files it has, and whether it has its end.
#[derive(Default)]
struct Tar {
    header: Vec<u8>,
    skip: u64,
    zeros: u32,
    found: [bool; NEEDED.len()],
    damaged: bool,
}

impl Tar {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let n = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= n as u64;
                bytes = bytes.get(n..).unwrap_or_default();
                continue;
            }
            let (now, rest) = bytes.split_at((BLOCK - self.header.len()).min(bytes.len()));
            self.header.extend_from_slice(now);
            bytes = rest;
            if self.header.len() == BLOCK {
                let header = std::mem::take(&mut self.header);
                self.block(&header);
            }
        }
    }

    fn block(&mut self, header: &[u8]) {
        if header.iter().all(|byte| *byte == 0) {
            self.zeros += 1;
            return;
        }
        // Anything after the end, or a header that is none.
        let Some(size) = size(header.get(124..136).unwrap_or_default()).filter(|_| self.zeros == 0) else {
            self.damaged = true;
            return;
        };
        let name = header.get(..100).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
        for (needed, found) in NEEDED.iter().zip(&mut self.found) {
            *found |= name == needed.as_bytes();
        }
        self.skip = size.div_ceil(BLOCK as u64).saturating_mul(BLOCK as u64);
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.damaged || self.zeros < 2 || self.skip > 0 || !self.header.is_empty() {
            return Err("its tar has no end: it is cut short or damaged".to_owned());
        }
        match NEEDED.iter().zip(self.found).find(|(_, found)| !found) {
            Some((needed, _)) => Err(format!("its tar has no {needed}")),
            None => Ok(()),
        }
    }
}

/// A size in octal digits, or in binary where they don't suffice.
fn size(field: &[u8]) -> Option<u64> {
    if let Some((0x80, rest)) = field.split_first() {
        return Some(rest.iter().rev().take(8).rev().fold(0, |value, byte| (value << 8) | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok()
}

struct Walked<R> {
    inner: R,
    tar: Arc<Mutex<Tar>>,
}

impl<R: Read> Read for Walked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.tar.lock().unwrap_or_else(PoisonError::into_inner).feed(buf.get(..n).unwrap_or_default());
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(names: &[&str], ends: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in names {
            let mut header = [0; BLOCK];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..136].copy_from_slice(b"00000001000\0");
            bytes.extend(header);
            bytes.extend([7; BLOCK]);
        }
        bytes.extend(vec![0; BLOCK * ends]);
        bytes
    }

    fn judge(bytes: &[u8]) -> std::result::Result<(), String> {
        let mut tar = Tar::default();
        bytes.chunks(100).for_each(|some| tar.feed(some));
        tar.check()
    }

    #[test]
    fn a_tar_needs_its_end_and_the_files_that_make_it_a_cluster() {
        let whole = tar(&NEEDED, 2);
        judge(&whole).unwrap();
        for len in 0..whole.len() - 1 {
            assert!(judge(&whole[..len]).is_err(), "{len}");
        }
        assert!(judge(&tar(&NEEDED[1..], 2)).unwrap_err().contains("backup_label"));
        assert!(judge(&[tar(&NEEDED, 2), tar(&["x"], 0)].concat()).is_err());
    }

    #[test]
    fn sizes_are_octal_or_binary() {
        assert_eq!(size(b"00000001000\0"), Some(512));
        assert_eq!(size(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(8 << 30));
        assert_eq!(size(b"x"), None);
    }
}
