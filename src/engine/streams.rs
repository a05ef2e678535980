//! Plain streams: nobody knows what would load them, so their files are read again and hashed.

use std::{fs::File, io::Read, path::Path, time::Duration};

use super::{Check, Engine, EngineError, Restored, RestoredStream, Result};
use crate::codec::hash::Hasher;

/// So many streams are told one by one; of more, the first so many that are wrong, and the number of all that are right.
const TOLD: usize = 100;

/// No engine at all.
pub struct Streams;

impl Engine for Streams {
    fn describe(&self) -> String {
        "streams".to_owned()
    }

    fn load(&mut self, _restored: &Restored) -> Result<()> {
        Ok(())
    }

    fn check(&mut self, restored: &Restored) -> Vec<Check> {
        let plain = |stream: &&RestoredStream| stream.meta.link.is_none() && !stream.meta.dir;
        let (mut all, mut right, mut first, mut wrong) = (0, 0, Vec::new(), Vec::new());
        for check in restored.streams.iter().filter(plain).map(check) {
            all += 1;
            right += usize::from(check.passed());
            if !check.passed() && wrong.len() < TOLD {
                wrong.push(check.clone());
            }
            if all <= TOLD {
                first.push(check);
            }
        }
        if all <= TOLD {
            return first;
        }
        wrong.push(Check::compare("streams", format!("{all} as they were"), format!("{right} as they were")));
        wrong
    }

    fn query(&mut self, _database: Option<&str>, _sql: &str, _limit: Duration) -> Result<String> {
        let what = "a source of this kind knows no SQL; use a check with `command`";
        Err(EngineError::new(what, "streams"))
    }

    fn access(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn not_tested(&self, _restored: &Restored) -> Vec<String> {
        vec!["what is in the streams: no engine loads them. A check with `command` can".to_owned()]
    }
}

fn check(stream: &RestoredStream) -> Check {
    let name = format!("stream {}", stream.name);
    let told = |bytes: u64, hash: String| format!("{bytes} bytes, {hash}");
    match read(&stream.file) {
        Ok((bytes, hash)) => Check::compare(name, told(stream.bytes, stream.blake3.to_string()), told(bytes, hash)),
        Err(e) => Check::error(name, e.to_string()),
    }
}

fn read(path: &Path) -> Result<(u64, String)> {
    // The stream has been named; a path of thousands of bytes, a thousand times, is no help.
    let shown = if path.as_os_str().len() > 300 { path.file_name().map_or(path, Path::new) } else { path };
    let failed = |e| EngineError::at("can't read a restored stream", shown, e);
    let mut file = File::open(path).map_err(failed)?;
    let (mut hasher, mut bytes, mut buf) = (Hasher::new(), 0_u64, vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut buf).map_err(failed)?;
        if n == 0 {
            return Ok((bytes, hasher.finish().to_string()));
        }
        hasher.update(buf.get(..n).unwrap_or_default());
        bytes += n as u64;
    }
}
