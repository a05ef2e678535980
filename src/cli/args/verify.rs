//! `verify`, as it is typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::IdentityArgs;
use crate::{
    model::{Name, Span},
    ops::verify::Sample,
};

/// How deep a verification goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DepthArg {
    /// Signatures, presence, sizes and locks
    Locks,
    /// The same, and the hash of every stored byte
    Read,
    /// The same, and every chunk and stream, decrypted with an identity
    Decrypt,
}

/// `verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  strongroom verify
  strongroom verify --depth read --sample next/20 --checkpoint seen.json
  strongroom verify --depth decrypt -i recovery.key --snapshot 4f1c0a9b
  strongroom verify --checkpoint seen.json --expect orders=24h \\
      --report audit.html --report audit.md

Exit code 4 if signed data is missing, damaged or forged; 5 if locks are shorter than promised or a source has no \
recent snapshot. docs/audit.md explains each finding and what to do about it.")]
pub struct VerifyArgs {
    /// How much to check
    #[arg(long, value_enum, default_value_t = DepthArg::Locks)]
    pub depth: DepthArg,
    /// The identities.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Only this snapshot, by a prefix of its id
    #[arg(long, value_name = "ID")]
    pub snapshot: Option<String>,
    /// Read only a part of the data, such as 3/20: the third of twenty parts. next/20 reads the part after the one
    /// that the checkpoint recorded last, so that twenty runs read everything
    #[arg(long, value_name = "A/B", value_parser = sample)]
    pub sample: Option<Sample>,
    /// Compare with the state recorded in this file, and record the new state. Created if missing
    #[arg(long, value_name = "FILE", conflicts_with = "snapshot")]
    pub checkpoint: Option<PathBuf>,
    /// Record in the checkpoint that the forks and revocations found now are known
    #[arg(long, requires = "checkpoint")]
    pub acknowledge: bool,
    /// How often a source must have a new snapshot, such as orders=24h [default: `every` of its [[source]], else its
    /// own rhythm so far]. Repeatable
    #[arg(long, value_name = "SOURCE=SPAN", value_parser = expected)]
    pub expect: Vec<(Name, Span)>,
    /// Maximum age of the newest part of a source's journal, such as orders=10m. An idle server produces none.
    /// Repeatable
    #[arg(long, value_name = "SOURCE=SPAN", value_parser = expected)]
    pub expect_journal: Vec<(Name, Span)>,
    /// Check the age of this writer's snapshots only
    #[arg(long, value_name = "NAME", conflicts_with = "snapshot")]
    pub writer: Option<Name>,
    /// Write a report: .html, .md, .xml (JUnit) or .json. Repeatable
    #[arg(long, value_name = "FILE")]
    pub report: Vec<PathBuf>,
    /// Store the result in the vault as evidence, signed with the key of [member] or by an owner's identity
    #[arg(long)]
    pub evidence: bool,
}

fn sample(text: &str) -> Result<Sample, String> {
    let parsed = text.split_once('/').and_then(|(part, of)| {
        let of: u32 = of.parse().ok().filter(|of| *of > 0)?;
        if part == "next" {
            return Some(Sample::Next(of));
        }
        part.parse().ok().filter(|part| (1..=of).contains(part)).map(|part| Sample::Part(part, of))
    });
    parsed.ok_or_else(|| "give a part such as 3/20, the third of twenty, or next/20 with a checkpoint".to_owned())
}

fn expected(text: &str) -> Result<(Name, Span), String> {
    let parsed = text.split_once('=').and_then(|(name, span)| Some((name.parse().ok()?, span.parse().ok()?)));
    parsed
        .filter(|(_, span): &(Name, Span)| *span > Span::ZERO)
        .ok_or_else(|| "give a source and a span, such as orders=24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Sample, expected, sample};

    #[test]
    fn a_sample_is_a_part_of_the_whole() {
        assert_eq!(sample("3/20"), Ok(Sample::Part(3, 20)));
        assert_eq!(sample("next/20"), Ok(Sample::Next(20)));
        for bad in ["", "1", "0/5", "6/5", "a/b", "1/0", "next", "next/0"] {
            assert!(sample(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_expectation_is_a_source_and_a_span() {
        assert_eq!(expected("orders=24h"), Ok(("orders".parse().unwrap(), "24h".parse().unwrap())));
        for bad in ["", "orders", "=24h", "orders=", "orders=0s", "Orders=24h"] {
            assert!(expected(bad).is_err(), "{bad}");
        }
    }
}
