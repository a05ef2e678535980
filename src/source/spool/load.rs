//! How busy the machine is.

use std::{fs, time::Duration};

/// Linux counts in hundredths of a second there, whatever its clock does: `proc_stat(5)`, `USER_HZ`. In milliseconds.
const TICK: u64 = 10;

/// How long all cores together have been idle since the machine was started, waiting for disks included; `None` where the
/// kernel does not say.
pub(super) fn idle() -> Option<Duration> {
    read(&fs::read_to_string("/proc/stat").ok()?)
}

/// The first line is of all cores: user, nice, system, idle, waiting for disks, and more.
fn read(text: &str) -> Option<Duration> {
    let mut numbers = text.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace().skip(3);
    let mut number = || numbers.next()?.parse::<u64>().ok();
    let (idle, disks) = (number()?, number()?);
    Some(Duration::from_millis(idle.checked_add(disks)?.checked_mul(TICK)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_all_cores_is_read() {
        let text = "cpu  5 2 3 700 20 0 9 0 0 0\ncpu0 5 2 3 350 10 0 9 0 0 0\nintr 1\n";
        assert_eq!(read(text), Some(Duration::from_millis(7200)));
        for odd in ["", "cpu", "cpu  1 2 3", "cpu0 1 2 3 4 5", "cpu  1 2 3 4 x"] {
            assert_eq!(read(odd), None, "{odd}");
        }
        assert!(idle() > Some(Duration::ZERO));
    }
}
