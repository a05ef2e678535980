//! Pipes that hold more, so that who writes and who reads wait for one another less often.

use std::{
    io::{self, Read},
    os::fd::AsFd,
    thread,
    time::Duration,
};

use rustix::{
    fs::{FileType, fstat},
    io::ioctl_fionread,
    pipe::fcntl_setpipe_size,
};

/// What a pipe is made to hold, in bytes: the most that Linux allows without privileges, pipe(7).
const HOLDS: usize = 1 << 20;

/// Less than this in the pipe is left for a moment to become more.
const STEP: u64 = 256 << 10;

/// The moment. A program that fills the pipe within it makes 2 GB a second.
const MOMENT: Duration = Duration::from_micros(500);

/// A pipe that is read in large steps.
///
/// Many programs, `pg_dump` among them, write 4 KiB at a time. Who takes each as it comes wakes up, on a core that the
/// program and its server could use, some fifty thousand times a second.
pub struct LargeSteps<R> {
    inner: R,
    pipe: bool,
}

impl<R: Read + AsFd> LargeSteps<R> {
    /// Reads `inner` in large steps if it is a pipe that can be made large enough, and as it is otherwise.
    pub fn new(inner: R) -> Self {
        let is_pipe = fstat(&inner).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        let pipe = is_pipe && enlarge(&inner);
        Self { inner, pipe }
    }
}

/// Makes a pipe hold a MiB, instead of 64 KiB, and says whether it was one and that is allowed.
pub fn enlarge(pipe: impl AsFd) -> bool {
    fcntl_setpipe_size(pipe, HOLDS).is_ok()
}

impl<R: Read + AsFd> Read for LargeSteps<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let enough = STEP.min(buf.len() as u64);
        if self.pipe && ioctl_fionread(&self.inner).is_ok_and(|held| held < enough) {
            // Once only: a slow program's bytes wait no longer than this, and nor does its end.
            thread::sleep(MOMENT);
        }
        self.inner.read(buf)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::Write,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn what_a_pipe_gives_is_whole_and_comes_in_large_steps() {
        let mut child = Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 2000 ]; do printf '%01024d' $i; i=$((i + 1)); done"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reader = LargeSteps::new(child.stdout.take().unwrap());
        assert!(reader.pipe);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert!(child.wait().unwrap().success());
        let expected = (0..2000).map(|i| format!("{i:01024}")).collect::<Vec<_>>().concat();
        assert!(bytes == expected.as_bytes(), "{} bytes", bytes.len());
    }

    #[test]
    fn a_file_is_read_as_it_is() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"bytes").unwrap();
        let mut reader = LargeSteps::new(File::open("/dev/null").unwrap());
        assert!(!reader.pipe);
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
        assert!(!LargeSteps::new(file).pipe);
    }
}
