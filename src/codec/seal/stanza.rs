//! For whom an age file is, as far as its header says it in the clear.

/// The tags of the ssh keys that open an age file: the beginnings of the hashes of their public halves, in base64.
#[must_use]
pub fn ssh_tags(sealed: &[u8]) -> Vec<String> {
    let head = sealed.get(..sealed.len().min(64 << 10)).unwrap_or_default();
    let lines = head.split(|byte| *byte == b'\n').take_while(|line| !line.starts_with(b"---"));
    lines
        .filter_map(|line| {
            let mut words = std::str::from_utf8(line).ok()?.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("->"), Some("ssh-ed25519" | "ssh-rsa"), Some(tag)) => Some(tag.to_owned()),
                _ => None,
            }
        })
        .collect()
}

/// The hash by which ssh and age name public keys.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}
