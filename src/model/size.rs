//! Sizes for people.

/// `bytes` with a binary unit and three significant digits, such as `1.25 GiB`.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for next in units {
        if value < 1000.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// A number of bytes, as people write it: `20GiB`, `500 MB`, `4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl std::str::FromStr for ByteSize {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not a size: a whole number and B, KiB, MiB, GiB or TiB, such as `20GiB`");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
        let scale: u64 = match unit.trim_start() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "kB" | "KB" => 1000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(scale).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteSize, human};

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<ByteSize>().ok().map(|size| size.0);
        assert_eq!(read("20GiB"), Some(20 << 30));
        assert_eq!(read("1 TB"), Some(1_000_000_000_000));
        assert_eq!((read("0"), read("512B"), read("3KiB")), (Some(0), Some(512), Some(3072)));
        assert_eq!((read("2MiB"), read("2TiB"), read("2kB")), (Some(2 << 20), Some(2 << 40), Some(2000)));
        assert_eq!((read("2KB"), read("2MB"), read("2 GB")), (Some(2000), Some(2_000_000), Some(2_000_000_000)));
        for bad in ["", "GiB", "-1", "1.5GiB", "20 gib", "20G", "99999999TiB"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_have_three_digits() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1_063_000_000, "0.99 GiB"),
            (u64::MAX, "16.0 EiB"),
            (10_240, "10.0 KiB"),
            (10_230, "9.99 KiB"),
            (102_400, "100 KiB"),
            (102_300, "99.9 KiB"),
            (1_023_999, "1000 KiB"),
            (1_024_000, "0.98 MiB"),
            (3 << 40, "3.00 TiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text);
        }
    }
}
