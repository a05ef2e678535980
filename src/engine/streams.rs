//! Plain streams: nobody knows what would load them, so their files are read again and hashed.

use std::{fs::File, io::Read, path::Path, time::Duration};

use super::{Check, Engine, EngineError, Restored, RestoredStream, Result};
use crate::codec::hash::Hasher;

/// So many streams are told one by one; of more, those that are wrong, and the number of the others.
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
        let checks: Vec<Check> = restored.streams.iter().filter(plain).map(check).collect();
        if checks.len() <= TOLD {
            return checks;
        }
        let all = checks.len();
        let mut wrong: Vec<Check> = checks.into_iter().filter(|check| !check.passed()).collect();
        let right = all - wrong.len();
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
    let failed = |e| EngineError::at("can't read a restored stream", path, e);
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
