//! `key split` and `key combine`: an identity in several hands, of which a number must come together.

use std::fmt::Write as _;

use serde::Serialize;
use zeroize::Zeroizing;

use super::{OpsError, Result};
use crate::{
    codec::{seal, shares},
    format::share::Share,
    model::VaultId,
};

/// How every identity begins that can be split.
const AGE: &str = "AGE-SECRET-KEY-1";

/// What `key split` made, without its secrets.
#[derive(Debug, Clone, Serialize)]
pub struct SplitReport {
    /// The vault that the identity names.
    pub vault_id: Option<VaultId>,
    /// The recipient of the identity.
    pub recipient: String,
    /// How many shares there are.
    pub shares: u8,
    /// How many restore the identity.
    pub threshold: u8,
}

/// What `key combine` made, without its secret.
#[derive(Debug, Clone, Serialize)]
pub struct CombineReport {
    /// The vault that the shares name.
    pub vault_id: Option<VaultId>,
    /// The recipient of the identity.
    pub recipient: String,
    /// The numbers of the shares that were used.
    pub used: Vec<u8>,
}

fn refuse(what: impl Into<String>, next: impl Into<String>) -> OpsError {
    OpsError::Request { what: what.into(), next: next.into() }
}

/// Splits the one age identity in a file's text.
///
/// # Errors
/// If there is not exactly one, or the numbers make no sense.
pub fn split(text: &str, count: u8, threshold: u8) -> Result<(SplitReport, Vec<Share>)> {
    let next = "give a file with one identity of age's own kind, as `init` makes it; other keys have hardware or ssh to \
                protect them";
    let mut lines = text.lines().map(str::trim).filter(|line| line.to_ascii_uppercase().starts_with(AGE));
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(refuse("one age identity can be split, and there is none or more than one here", next));
    };
    let recipient = seal::recipient_of(line)?.to_string();
    let vault = match seal::pin_comments(text)?.as_slice() {
        [] => None,
        [one] => Some(*one),
        _ => return Err(refuse("this identity names several vaults", "leave the line of the one that is meant")),
    };
    if threshold < 2 || count < threshold {
        return Err(refuse(
            format!("{threshold} of {count} shares make no sense"),
            "give --threshold 2 or more, and --shares as many at least",
        ));
    }
    let set = shares::random()?;
    let made = shares::split(line.as_bytes(), count, threshold)?;
    let share = |data: Zeroizing<Vec<u8>>| Share {
        vault,
        recipient: recipient.clone(),
        set,
        number: data.first().copied().unwrap_or_default(),
        of: count,
        threshold,
        data,
    };
    let made: Vec<Share> = made.into_iter().map(share).collect();
    Ok((SplitReport { vault_id: vault, recipient, shares: count, threshold }, made))
}

/// What is known of shares so far.
#[derive(Default)]
pub struct Gathered(Vec<Share>);

impl Gathered {
    /// Adds a share, as it was typed or read from `origin`.
    ///
    /// # Errors
    /// If it is none, or belongs to others than those before it. Then it is not added.
    pub fn add(&mut self, text: &str, origin: &str) -> Result<()> {
        let share = Share::decode(text).map_err(|error| {
            refuse(format!("{origin} is not a usable share: {error}"), "check each digit and enter it again")
        })?;
        if let Some(first) = self.0.first() {
            let of = |share: &Share| (share.set, share.vault, share.threshold, share.of);
            if of(first) != of(&share) || first.recipient != share.recipient {
                return Err(refuse(
                    format!(
                        "{origin} is a share of another set than the first one: it is of {}, and the first of {}",
                        share.recipient, first.recipient
                    ),
                    "give shares that were made together: their lines `set` are equal",
                ));
            }
        }
        if self.0.iter().any(|known| known.number == share.number) {
            return Err(refuse(format!("{origin} is share {} again", share.number), "give another one"));
        }
        self.0.push(share);
        Ok(())
    }

    /// How many more are needed; `None` if nobody knows yet.
    #[must_use]
    pub fn missing(&self) -> Option<usize> {
        self.0.first().map(|first| usize::from(first.threshold).saturating_sub(self.0.len()))
    }

    /// The identity file that the shares make.
    ///
    /// # Errors
    /// If they are too few, or what they make is not the identity that they name.
    pub fn combine(&self) -> Result<(CombineReport, Zeroizing<String>)> {
        let Some(first) = self.0.first() else {
            return Err(refuse("no share was given", "give the files of the shares, or type them one by one"));
        };
        let (have, need) = (self.0.len(), usize::from(first.threshold));
        if have < need {
            return Err(refuse(
                format!("{have} of {need} shares: fewer than {need} reveal nothing of the identity"),
                format!("find {} more of the set {}", need - have, first.recipient),
            ));
        }
        let used: Vec<&Share> = self.0.iter().take(need).collect();
        let data: Vec<&[u8]> = used.iter().map(|share| share.data.as_slice()).collect();
        let secret = shares::combine(&data, first.threshold)?;
        let wrong = || {
            refuse(
                "these shares make no identity, or another than they name: one of them is false",
                "try with another share in place of each",
            )
        };
        let line = Zeroizing::new(std::str::from_utf8(&secret).map_err(|_| wrong())?.to_owned());
        let recipient = seal::recipient_of(&line).map_err(|_| wrong())?.to_string();
        if recipient != first.recipient {
            return Err(wrong());
        }
        let mut text = Zeroizing::new(String::with_capacity(512));
        let _ = writeln!(text, "# public key: {recipient}");
        if let Some(vault) = first.vault {
            let _ = writeln!(text, "# strongroom-vault: {vault}");
        }
        text.push_str(&line);
        text.push('\n');
        let numbers = used.iter().map(|share| share.number).collect();
        Ok((CombineReport { vault_id: first.vault, recipient, used: numbers }, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_somebody_made_false_is_found_when_they_are_combined() {
        let (identity, _) = seal::generate_identity();
        let (report, shares) = split(&format!("# mine\n{}\n", identity.expose()), 5, 3).unwrap();
        let restored = |shares: &[&Share]| {
            let mut gathered = Gathered::default();
            for share in shares {
                gathered.add(&share.encode(), "one").unwrap();
            }
            gathered.combine()
        };
        let (combined, text) = restored(&[&shares[4], &shares[0], &shares[2]]).unwrap();
        assert_eq!((combined.recipient, combined.used), (report.recipient, vec![5, 1, 3]));
        assert!(text.contains(identity.expose()));
        // Whoever makes one false makes its checksum right as well.
        let mut bad = shares[1].clone();
        bad.data[20] ^= 1;
        let error = restored(&[&shares[0], &bad, &shares[2]]).unwrap_err();
        assert!(error.to_string().contains("one of them is false"), "{error}");
        assert!(restored(&[&shares[0], &shares[2]]).unwrap_err().to_string().contains("2 of 3 shares"));
    }
}
