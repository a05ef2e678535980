//! Codes that show that a message comes from somebody who knows a secret: HMAC with SHA-256.

use ring::hmac;

/// Whether `tag` is the code of `parts`, one after the other, under `secret`. Takes as long for a wrong one as for the right.
#[must_use]
pub fn verifies(secret: &[u8], parts: &[&[u8]], tag: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::verify(&key, &parts.concat(), tag).is_ok()
}

/// The code of `parts`, one after the other, under `secret`.
#[must_use]
pub fn code(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::sign(&key, &parts.concat()).as_ref().to_vec()
}

/// The same as headers of HTTP carry it.
#[must_use]
pub fn hex_code(secret: &[u8], parts: &[&[u8]]) -> String {
    hex::encode(code(secret, parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_code_of_rfc_4231_and_no_other() {
        let tag = code(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex::encode(&tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(verifies(b"Jefe", &[b"what do ya want for nothing?"], &tag));
        assert!(!verifies(b"Jefe", &[b"what do ya want for nothing!"], &tag));
        assert!(!verifies(b"other", &[b"what do ya want for nothing?"], &tag) && !verifies(b"Jefe", &[], &[]));
    }
}
