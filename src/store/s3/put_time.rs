//! When a version was put, on a server that gives it a new `Last-Modified` when its lock is extended.
//!
//! `SeaweedFS` does that, and its version ids hold the time of the put: 16 hexadecimal digits of nanoseconds since 1970
//! and 16 random ones. The digits are inverted (2^63 - 1 minus the time), so that newer ids sort first; early releases
//! wrote the time itself (`isNewFormatVersionId` of `SeaweedFS`, its pull request 9394). The id of what was uploaded in
//! parts, or copied, is made when the version comes to be, so nobody can ask for an earlier one.

use crate::model::Time;

/// What the server's own code tells the two forms of an id apart by.
const INVERTED: u64 = 0x4000_0000_0000_0000;
/// The month in which `SeaweedFS` got versions. What is read as earlier is an id of another form.
const FIRST: i64 = 1_751_328_000; // 2025-07-01
const NANOS: u64 = 1_000_000_000;

/// The time of the put: the earlier of what the server says and what the version's id holds.
pub(super) fn earlier(modified: Time, version: &str) -> Time {
    held(version).filter(|put| put.unix() >= FIRST).map_or(modified, |put| put.min(modified))
}

fn held(version: &str) -> Option<Time> {
    let hex = version.len() == 32 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = u64::from_str_radix(version.get(..16).filter(|_| hex)?, 16).ok()?;
    let nanos = if digits > INVERTED { (i64::MAX as u64).checked_sub(digits)? } else { digits };
    i64::try_from(nanos / NANOS).ok().map(Time::from_unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_id_is_that_of_its_put() {
        // Made by SeaweedFS 4.48 at 2026-11-29T08:50:31.566Z.
        let (put, id) = (Time::from_unix(1_795_942_231), "6713880e426444ecd4534aae65c47a0a");
        assert_eq!(earlier(Time::from_unix(1_795_999_999), id), put);
        assert_eq!(earlier(put, id), put);
        // A server's word that is earlier still stands.
        assert_eq!(earlier(Time::from_unix(1_795_942_230), id), Time::from_unix(1_795_942_230));
        // The time itself, as early releases wrote it.
        let raw = format!("{:016x}d4534aae65c47a0a", 1_795_942_231_565_908_755_u64);
        assert_eq!(earlier(Time::from_unix(1_795_999_999), &raw), put);
    }

    #[test]
    fn ids_of_another_form_say_nothing() {
        let modified = Time::from_unix(1_795_999_999);
        let others =
            ["", "null", "6713880e426444ec", "é713880e426444ecd4534aae65c47a0", "00000000000000010000000000000000"];
        let more = [
            "ffffffffffffffffd4534aae65c47a0a",
            "7ffffffffffffffe0000000000000000",
            "4000000000000000d4534aae65c47a0a",
        ];
        for id in others.iter().chain(&more) {
            assert_eq!(earlier(modified, id), modified, "{id}");
        }
        assert_eq!(earlier(modified, "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRcxvjVBH40Nr8X8gdRQBpUMLUo"), modified);
    }
}
