//! `restore --recover-to`, as it is typed.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum};

use super::said::Said;
use crate::{model::spoken, ops::recover::Point};

/// A point in a log, and how it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointArg {
    /// What it means.
    pub point: Point,
    said: Option<Said>,
}

impl FromStr for PointArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let why = match text.parse() {
            Ok(point) => return Ok(Self { point, said: None }),
            Err(why) => why,
        };
        if ["lsn:", "xid:", "name:", "pos:", "gtid:"].iter().any(|kind| text.starts_with(kind)) {
            return Err(why);
        }
        // Transactions are told apart by microseconds.
        if text.contains('.')
            && let Ok(exact) = text.parse::<jiff::Timestamp>()
        {
            return Ok(Self { point: Point::Time(exact.as_microsecond()), said: None });
        }
        let (whole, fraction_us) = fraction(text).unwrap_or_else(|| (text.to_owned(), 0));
        let said: Said = whole.parse().map_err(|_| {
            format!(
                "{why}; points are latest, lsn:16/B374D848, xid:4711, name:LABEL, pos:FILE:OFFSET, gtid:0-1-42, and times \
                 like {}",
                spoken::EXAMPLES
            )
        })?;
        let us = said.time.unix().saturating_mul(1_000_000).saturating_add(fraction_us);
        Ok(Self { point: Point::Time(us), said: Some(said) })
    }
}

impl PointArg {
    /// How it was read, unless it was said as exactly as that.
    #[must_use]
    pub fn read_as(&self) -> Option<String> {
        let said = self.said.as_ref()?;
        // Which tells whole seconds.
        Some(said.read_as("--recover-to")?.replace(&said.time.to_string(), &self.point.to_string()))
    }
}

/// Where a server gets the log from that it goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WalArg {
    /// Put all of it into the data directory; strongroom is not needed afterwards
    Here,
    /// Let the server call `strongroom journal fetch` for each segment when it needs it
    Fetch,
}

/// Options of a recovery.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
pub struct RecoverArgs {
    /// Recover a source that has a journal to this point, from the newest base before it: a time, or latest.
    /// PostgreSQL (`physical = true`) also takes lsn:16/B374D848, xid:4711, or name:LABEL of
    /// `pg_create_restore_point`; DIR/<source> becomes a data directory to start a server on. MariaDB also takes
    /// gtid:0-1-42 or pos:FILE:OFFSET; DIR/<source> gets the dump, the log cut at the point, and the commands that
    /// load both
    #[arg(long, value_name = "POINT", help_heading = "Recovery", group = "laid_out", conflicts_with_all = ["at", "resume", "stream", "reference"])]
    pub recover_to: Option<PointArg>,
    /// For PostgreSQL with `physical = true`: unpack base.tar, so that DIR/<source> is the data directory as it was
    /// copied. A server started on it continues in the timeline of the original
    #[arg(long, help_heading = "Recovery", group = "laid_out", conflicts_with_all = ["resume", "stream", "reference"])]
    pub data_directory: bool,
    /// Turn the existing data directory at DIR/<source> into the snapshot's: files that match are kept and not
    /// fetched, files that are not in the snapshot are removed. It must be of the same server, which must be stopped
    #[arg(long, help_heading = "Recovery", requires = "laid_out")]
    pub delta: bool,
    /// Include the transaction at the point, or those of that instant [default]
    #[arg(long, help_heading = "Recovery", requires = "recover_to", conflicts_with = "exclusive")]
    pub inclusive: bool,
    /// Stop just before the point
    #[arg(long, help_heading = "Recovery", requires = "recover_to")]
    pub exclusive: bool,
    /// Follow this timeline instead of the newest that leads from the base
    #[arg(long, value_name = "N", help_heading = "Recovery", requires = "recover_to")]
    pub timeline: Option<u32>,
    /// Where the server gets its write-ahead log from [default: here]
    #[arg(long, value_name = "WHERE", help_heading = "Recovery", requires = "recover_to")]
    pub wal: Option<WalArg>,
    /// Restore the tablespace that was at OLD to NEW. Others go to DIR/<source>.tablespaces
    #[arg(long, value_name = "OLD=NEW", help_heading = "Recovery", requires = "laid_out", value_parser = mapped)]
    pub tablespace_map: Vec<(PathBuf, PathBuf)>,
}

/// A time without the fraction of its second, and that in microseconds: as the log of a server has it (`%m`).
fn fraction(text: &str) -> Option<(String, i64)> {
    let (before, rest) = text.split_once('.')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, after) = rest.split_at_checked(digits)?;
    let fits = (1..=9).contains(&digits.len()) && before.ends_with(|c: char| c.is_ascii_digit());
    // What is finer than the log's microseconds is left out.
    let us = fits.then(|| format!("{digits:0<6}").get(..6)?.parse().ok()).flatten()?;
    Some((format!("{before}{after}"), us))
}

fn mapped(text: &str) -> Result<(PathBuf, PathBuf), String> {
    let (old, new) = text.split_once('=').ok_or("it is OLD=NEW, such as /mnt/fast=/srv/fast")?;
    let (old, new) = (PathBuf::from(old), PathBuf::from(new));
    if old.is_absolute() && new.is_absolute() && new.file_name().is_some() {
        Ok((old, new))
    } else {
        Err("both are absolute paths, such as /mnt/fast=/srv/fast".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_position_a_transaction_a_name_or_a_time() {
        let read = |text: &str| text.parse::<PointArg>().map(|arg| arg.point);
        assert_eq!(read("latest"), Ok(Point::Latest));
        assert_eq!(read("xid:4711"), Ok(Point::Xid(4711)));
        assert_eq!(read("1970-01-01T00:00:05Z"), Ok(Point::Time(5_000_000)));
        assert_eq!(read("1970-01-01T01:00:05.25+01:00"), Ok(Point::Time(5_250_000)));
        let whole = read("2026-11-30 07:20:05 UTC").unwrap();
        let Point::Time(whole) = whole else { panic!("{whole}") };
        assert_eq!(read("2026-11-30 07:20:05.25 UTC"), Ok(Point::Time(whole + 250_000)), "as a server logs it");
        assert_eq!(read("2026-11-30 07:20:05.000001 UTC"), Ok(Point::Time(whole + 1)));
        assert_eq!(read("2026-11-30 07:20:05.000001999 UTC"), Ok(Point::Time(whole + 1)));
        let said = "2026-11-30 07:20:05.25 UTC".parse::<PointArg>().unwrap().read_as().unwrap();
        assert!(said.contains("read as 2026-11-30T07:20:05.250000Z"), "{said}");
        assert!(read("2026-11-30 07:20:05.x").is_err() && read(".5").is_err());
        assert!(read("lsn:nonsense").unwrap_err().contains("not a position"));
        assert!(read("nonsense").unwrap_err().contains("yesterday"));
        assert!(mapped("/a=/b").is_ok() && mapped("/a").is_err() && mapped("/a=b").is_err());
    }
}
