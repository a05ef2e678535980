//! Shares of a secret, of which a number restore it and fewer reveal nothing (Shamir's scheme over GF(256), by `blahaj`).

use blahaj::{Share, Sharks};
use zeroize::Zeroizing;

use super::{CodecError, Result, secret};

/// The longest secret, in bytes.
const LONGEST: usize = 4096;

/// `count` shares of `secret`, of which `threshold` restore it. The first byte of each is its number.
///
/// # Errors
/// If the numbers make no sense, or the secret is empty or long.
pub fn split(secret: &[u8], count: u8, threshold: u8) -> Result<Vec<Zeroizing<Vec<u8>>>> {
    let bad = |why: &str| Err(CodecError::BadKey(why.to_owned()));
    if secret.is_empty() || secret.len() > LONGEST {
        return bad("this secret can't be split: it is empty or too long");
    }
    if threshold < 2 || count < threshold || count == u8::MAX {
        return bad("the threshold must be 2 or more, and there must be as many shares at least, and 254 at most");
    }
    let dealer = Sharks(threshold).dealer(secret);
    Ok(dealer.take(count.into()).map(|share| Zeroizing::new(Vec::from(&share))).collect())
}

/// The secret of these shares, of which there must be as many as the threshold. Whether they belong together, the bytes do not
/// tell: others than those that were split give another secret.
///
/// # Errors
/// If there are too few, one is there twice, or they can't be shares of one secret.
pub fn combine<S: AsRef<[u8]>>(shares: &[S], threshold: u8) -> Result<Zeroizing<Vec<u8>>> {
    let damaged = CodecError::Damaged("these are not shares of one secret");
    let read: std::result::Result<Vec<Share>, _> = shares.iter().map(|share| Share::try_from(share.as_ref())).collect();
    let Ok(read) = read else { return Err(damaged) };
    Sharks(threshold).recover(&read).map(Zeroizing::new).map_err(|_| damaged)
}

/// 8 random bytes.
///
/// # Errors
/// If the operating system has no randomness to give.
pub fn random() -> Result<[u8; 8]> {
    let bytes = secret::random()?;
    bytes.first_chunk::<8>().copied().ok_or(CodecError::Damaged("randomness"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_the_threshold_restore_it_and_fewer_do_not() {
        let secret = b"AGE-SECRET-KEY-1 of sorts";
        let shares = split(secret, 5, 3).unwrap();
        for (a, b, c) in [(0, 1, 2), (4, 2, 0), (1, 3, 4)] {
            assert_eq!(&**combine(&[&*shares[a], &*shares[b], &*shares[c]], 3).unwrap(), secret);
        }
        assert!(combine(&[&*shares[0], &*shares[1]], 3).is_err());
        assert!(combine(&[&*shares[0], &*shares[1], &*shares[1]], 3).is_err(), "one share counts once");
        // Fewer give some other bytes, which say nothing.
        assert_ne!(&**combine(&[&*shares[0], &*shares[1]], 2).unwrap(), secret);
        let other = split(secret, 5, 3).unwrap();
        assert_ne!(&**combine(&[&*shares[0], &*shares[1], &*other[2]], 3).unwrap(), secret);
        for (count, threshold) in [(2, 3), (3, 1), (3, 0), (255, 2)] {
            assert!(split(secret, count, threshold).is_err(), "{count} {threshold}");
        }
        assert!(split(b"", 3, 2).is_err());
    }
}
