//! Small file systems, mounted where only the commands that are run in them see them.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::lab::{Lab, PROGRAM};

/// A tmpfs at a path, for as long as this lives.
pub struct Mount {
    holder: Child,
    path: PathBuf,
}

impl Mount {
    /// Mounts a tmpfs with `options` at the directory `path`; `None`, and a word about it, where this user may not.
    pub fn tmpfs(lab: &Lab, path: &Path, options: &str) -> Option<Self> {
        let script = "mount -t tmpfs -o \"$2\" none \"$1\" && echo ready && exec cat";
        let mut holder = lab
            .around("unshare")
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(path)
            .arg(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take()?).read_line(&mut line).unwrap();
        if line.trim() != "ready" {
            let _ = holder.wait();
            eprintln!("not tested: this user may not mount a file system");
            return None;
        }
        Some(Self { holder, path: path.to_owned() })
    }

    /// `command` where the file system is mounted.
    pub fn inside(&self, lab: &Lab, command: &Command) -> Command {
        let mut inside = lab.around("nsenter");
        inside.arg("--target").arg(self.holder.id().to_string()).arg("--mount").arg("--").arg(command.get_program());
        inside.args(command.get_args());
        inside
    }

    /// Mounts it again with other options.
    pub fn remount(&self, lab: &Lab, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{options}"), "none"]).arg(&self.path);
        assert!(self.inside(lab, &mount).status().unwrap().success());
    }

    /// Where its root is seen from outside.
    pub fn seen(&self) -> PathBuf {
        let path = self.path.strip_prefix("/").unwrap();
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// The program in a process that may write no file larger than `blocks` of 512 bytes.
pub fn with_small_files(lab: &Lab, blocks: u32, command: &Command) -> Command {
    let mut limited = lab.around("sh");
    // Ignored, the signal becomes an error of the write.
    limited.args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"", "sh"]).arg(blocks.to_string());
    limited.arg(PROGRAM).args(command.get_args());
    limited
}

/// `command` without root's right to ignore permissions, if it is root who runs the tests.
pub fn without_privilege(lab: &Lab, command: &Command) -> Command {
    if !rustix::process::geteuid().is_root() {
        let mut same = lab.around(command.get_program());
        same.args(command.get_args());
        return same;
    }
    let mut plain = lab.around("setpriv");
    plain.args(["--bounding-set", "-dac_override,-dac_read_search", "--"]);
    plain.arg(command.get_program()).args(command.get_args());
    plain
}

/// The program where no hard link can be made, as on FAT, and with `strict` no renaming that replaces nothing either.
pub fn without_links(lab: &Lab, strict: bool, command: &Command) -> Command {
    let mut plain = lab.around("python3");
    plain.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/without_links.py"));
    plain.arg(command.get_program()).args(command.get_args());
    plain.env("STRONGROOM_WITHOUT", if strict { "rename" } else { "link" });
    plain
}
