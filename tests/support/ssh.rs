//! Signatures as people make them: by stock `ssh-keygen`, and those of security keys, made here since none is plugged in.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use strongroom::codec::sign::SigningKey;

/// What approvals are signed in.
pub const NAMESPACE: &str = "strongroom-approval";

/// A key pair in files.
pub struct Key(PathBuf);

impl Key {
    /// A new key of a type, such as `ed25519`, `ecdsa` or `rsa`.
    pub fn new(dir: &Path, name: &str, kind: &str) -> Self {
        let path = dir.join(name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-N", "", "-C", name, "-t", kind, "-f"]).arg(&path);
        if kind == "rsa" {
            command.args(["-b", "2048"]);
        }
        assert!(command.status().unwrap().success(), "ssh-keygen makes a key");
        Self(path)
    }

    /// The file of the public key.
    pub fn file(&self) -> PathBuf {
        self.0.with_extension("pub")
    }

    /// Its line.
    pub fn public(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    /// Signs bytes.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.sign_in(NAMESPACE, bytes)
    }

    /// Signs bytes in a namespace.
    pub fn sign_in(&self, namespace: &str, bytes: &[u8]) -> Vec<u8> {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(&self.0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stdout.starts_with(b"-----BEGIN SSH SIGNATURE"));
        output.stdout
    }
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn number(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap();
    let sign = if bytes[start] >= 0x80 { &[0][..] } else { &[] };
    text(&[sign, &bytes[start..]].concat())
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

/// A security key as OpenSSH speaks to it.
pub enum SecurityKey {
    Ed25519(SigningKey),
    Ecdsa(EcdsaKeyPair, Vec<u8>),
}

const APPLICATION: &[u8] = b"ssh:";

impl SecurityKey {
    pub fn ed25519() -> Self {
        Self::Ed25519(SigningKey::generate().unwrap())
    }

    pub fn ecdsa() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let public = pair.public_key().as_ref().to_vec();
        Self::Ecdsa(pair, public)
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "sk-ssh-ed25519@openssh.com",
            Self::Ecdsa(..) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    fn blob(&self) -> Vec<u8> {
        let kind = text(self.kind().as_bytes());
        match self {
            Self::Ed25519(key) => [kind, text(key.public().as_bytes()), text(APPLICATION)].concat(),
            Self::Ecdsa(_, public) => [kind, text(b"nistp256"), text(public), text(APPLICATION)].concat(),
        }
    }

    /// Its line.
    pub fn public(&self) -> String {
        format!("{} {} on a stick\n", self.kind(), STANDARD.encode(self.blob()))
    }

    /// Signs bytes with these flags: 1 says that it was touched.
    pub fn sign(&self, bytes: &[u8], flags: u8) -> Vec<u8> {
        let hash = digest::digest(&digest::SHA512, bytes);
        let tail = [text(NAMESPACE.as_bytes()), text(b""), text(b"sha512")].concat();
        let signed = [&b"SSHSIG"[..], &tail, &text(hash.as_ref())].concat();
        let trailer = [&[flags][..], &7_u32.to_be_bytes()].concat();
        let message = [sha256(APPLICATION), trailer.clone(), sha256(&signed)].concat();
        let signature = match self {
            Self::Ed25519(key) => key.sign(&message).as_bytes().to_vec(),
            Self::Ecdsa(pair, _) => {
                let both = pair.sign(&SystemRandom::new(), &message).unwrap();
                let (r, s) = both.as_ref().split_at(32);
                [number(r), number(s)].concat()
            }
        };
        let signature = [text(self.kind().as_bytes()), text(&signature), trailer].concat();
        let version = 1_u32.to_be_bytes();
        let blob = [&b"SSHSIG"[..], &version, &text(&self.blob()), &tail, &text(&signature)].concat();
        let base64 = STANDARD.encode(blob);
        let lines: Vec<&str> = base64.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n")).into_bytes()
    }
}
