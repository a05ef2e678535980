//! Sealing and opening together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::codec::Result;

fn opener(text: &str) -> Opener {
    Opener::from_identity_text(text, "the test", Arc::new(NoPrompt)).unwrap()
}

/// A pair of what seals and what opens.
fn pair() -> (Sealer, Opener) {
    let (identity, recipient) = generate_identity();
    (Sealer::new(vec![recipient]), opener(identity.expose()))
}

fn numbered(len: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(len).collect()
}

fn file(sealer: &Sealer, plain: &[u8]) -> SealedFile {
    let mut stream = sealer.stream(plain.len()).unwrap();
    stream.write(plain).unwrap();
    stream.finish().unwrap()
}

/// Opens a range with exactly the bytes that [`sealed_range`] asks for.
fn ranged(opener: &Opener, file: &SealedFile, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
    let sealed = file.sealed.bytes();
    let (header, len) = (file.header.len() as u64, sealed.len() as u64);
    let part = sealed_range(header, len, range.clone()).ok_or(CodecError::Damaged("no such range"))?;
    let mut out = b"before".to_vec();
    let bytes = &sealed[part.start as usize..part.end as usize];
    let done = opener.open_range(&file.header, len, (part.start, bytes), range, &mut out);
    assert_eq!(out.drain(..6).as_slice(), b"before");
    done.map(|()| out)
}

#[test]
fn what_is_sealed_opens_for_its_recipients_only() {
    let (sealer, owner) = pair();
    let (_, stranger) = pair();
    for len in [0, 1, 65_535, 65_536, 65_537, 131_072, 300_000] {
        let plain = numbered(len);
        let sealed = sealer.seal(&plain).unwrap();
        assert_eq!(*owner.open(sealed.bytes(), len).unwrap(), plain);
        assert!(matches!(stranger.open(sealed.bytes(), len), Err(CodecError::NoIdentity)));
        let both = Opener::merge(vec![stranger.clone(), owner.clone()]);
        assert_eq!(*both.open(sealed.bytes(), len).unwrap(), plain);
        if len > 0 {
            assert!(matches!(owner.open(sealed.bytes(), len - 1), Err(CodecError::TooLarge(_))));
        }
    }
}

#[test]
fn no_byte_can_be_changed_dropped_or_added() {
    let (sealer, opener) = pair();
    let sealed = sealer.seal(&numbered(300)).unwrap().bytes().to_vec();
    for at in 0..sealed.len() {
        for bit in [0x01, 0x20, 0x80] {
            let mut changed = sealed.clone();
            changed[at] ^= bit;
            assert!(opener.open(&changed, 1000).is_err(), "byte {at} ^ {bit}");
        }
        assert!(opener.open(&sealed[..at], 1000).is_err(), "cut at {at}");
    }
    assert!(opener.open(&[sealed.as_slice(), b"x"].concat(), 1000).is_err());
}

#[test]
fn whole_segments_cannot_be_dropped_or_swapped() {
    let (sealer, opener) = pair();
    let sealed = file(&sealer, &numbered(4 * 65_536));
    let (header, body) = sealed.sealed.bytes().split_at(sealed.header.len());
    let segments: Vec<&[u8]> = body.chunks(65_552).collect();
    assert_eq!(segments.len(), 4);
    for order in [&[0, 1, 2][..], &[1, 2, 3], &[0, 2, 1, 3], &[0, 1, 3], &[0, 1, 2, 3, 3], &[]] {
        let parts: Vec<&[u8]> = order.iter().map(|&i| segments[i]).collect();
        assert!(opener.open(&[header, &parts.concat()].concat(), 1 << 20).is_err(), "{order:?}");
    }
}

#[test]
fn ranges_at_the_edges_of_segments() {
    let (sealer, opener) = pair();
    let edges = [0_u64, 1, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 196_607, 196_608];
    for len in [0_u64, 1, 65_535, 65_536, 65_537, 131_072, 131_073, 196_608] {
        let plain = numbered(len as usize);
        let file = file(&sealer, &plain);
        assert_eq!(plain_len(file.header.len() as u64, file.sealed.bytes().len() as u64), Some(len));
        for (&start, &end) in edges.iter().flat_map(|start| edges.iter().map(move |end| (start, end))) {
            let opened = ranged(&opener, &file, start..end);
            if start <= end && end <= len {
                assert_eq!(opened.unwrap(), &plain[start as usize..end as usize], "{start}..{end} of {len}");
            } else {
                assert!(opened.is_err(), "{start}..{end} of {len}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn one_reader_serves_many_ranges(
        len in 1_u64..400_000, cuts in prop::collection::vec(0_u64..400_000, 2..12), sorted: bool,
    ) {
        let (sealer, opener) = pair();
        let plain = numbered(len as usize);
        let file = file(&sealer, &plain);
        let sealed = file.sealed.bytes();
        let mut cuts: Vec<u64> = cuts.into_iter().map(|cut| cut % (len + 1)).collect();
        if sorted {
            cuts.sort_unstable();
        }
        let (low, high) = (*cuts.iter().min().unwrap(), *cuts.iter().max().unwrap());
        let header = file.header.len() as u64;
        let part = sealed_range(header, sealed.len() as u64, low..high).unwrap();
        let bytes = &sealed[part.start as usize..part.end as usize];
        let mut reader = opener.reader(&file.header, sealed.len() as u64).unwrap();
        for pair in cuts.windows(2) {
            let (start, end) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
            let mut out = Vec::new();
            reader.read_at((part.start, bytes), start..end, &mut out).unwrap();
            prop_assert_eq!(&out, &plain[start as usize..end as usize]);
        }
    }

    #[test]
    fn hostile_bytes_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..400), keep in 0_usize..300) {
        let (sealer, opener) = pair();
        let sealed = sealer.seal(b"short").unwrap();
        let keep = keep.min(sealed.bytes().len() - 1);
        let hostile = [&sealed.bytes()[..keep], &bytes].concat();
        prop_assert!(opener.open(&hostile, 1 << 20).is_err());
        prop_assert!(opener.open(&bytes, 1 << 20).is_err());
        let mut out = Vec::new();
        let header = &sealed.bytes()[..header_len(sealed.bytes()).unwrap()];
        let claimed = (header.len() + bytes.len()) as u64;
        prop_assert!(opener.open_range(header, claimed, (header.len() as u64, &bytes), 0..1, &mut out).is_err());
        prop_assert!(out.is_empty());
    }
}

#[test]
fn a_range_that_was_changed_or_is_not_covered_is_refused() {
    let (sealer, opener) = pair();
    let file = file(&sealer, &numbered(200_000));
    let sealed = file.sealed.bytes();
    let (header, len) = (file.header.len() as u64, sealed.len() as u64);
    let range = 70_000..140_000;
    let part = sealed_range(header, len, range.clone()).unwrap();
    assert_eq!(part, header + 65_552..header + 3 * 65_552);
    let good = &sealed[part.start as usize..part.end as usize];
    let open = |header: &[u8], len, offset, bytes: &[u8]| {
        let mut out = Vec::new();
        let done = opener.open_range(header, len, (offset, bytes), range.clone(), &mut out);
        assert!(done.is_ok() || out.is_empty(), "a failure leaves nothing behind");
        done
    };
    open(&file.header, len, part.start, good).unwrap();
    for at in [0, 1000, 65_535, 65_551, 65_552, good.len() - 1] {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        assert!(open(&file.header, len, part.start, &bad).is_err(), "byte {at}");
    }
    assert!(open(&file.header, len, part.start, &good[..good.len() - 1]).is_err(), "cut short");
    assert!(open(&file.header, len, part.start, &good[1..]).is_err(), "moved");
    assert!(open(&file.header, len, part.start + 65_552, good).is_err(), "another segment");
    assert!(open(&file.header, len, part.start + 1, good).is_err(), "not at a segment");
    assert!(open(&file.header, part.end - 10, part.start, good).is_err(), "a shorter file");
    assert!(open(&file.header[1..], len, part.start, good).is_err(), "no header");
    assert!(open(&[&file.header[..], b"x"].concat(), len, part.start, good).is_err(), "more than a header");
    assert!(open(&file.header, len, u64::MAX, good).is_err());
    assert!(open(&file.header, u64::MAX, part.start, &[]).is_err());
}

#[test]
fn a_reader_goes_on_after_a_damaged_part() {
    let (sealer, opener) = pair();
    let plain = numbered(100_000);
    let file = file(&sealer, &plain);
    let header = file.header.len();
    let good = file.sealed.bytes().to_vec();
    let mut bad = good.clone();
    bad[header + 65_552] ^= 1;
    let mut reader = opener.reader(&file.header, good.len() as u64).unwrap();
    let mut out = Vec::new();
    for (bytes, range, whole) in
        [(&bad, 0..65_536, true), (&bad, 65_530..65_540, false), (&good, 65_530..65_540, true), (&bad, 0..9, true)]
    {
        let before = out.len();
        let done = reader.read_at((header as u64, &bytes[header..]), range.clone(), &mut out);
        assert_eq!(done.is_ok(), whole, "{range:?}");
        let expected = if whole { &plain[range.start as usize..range.end as usize] } else { &[] };
        assert_eq!(&out[before..], expected, "{range:?}");
    }
}

/// What the age crate seals is opened, and it opens what is sealed here, at every length where segments begin and end.
#[test]
fn payloads_are_those_of_age() {
    use std::io::{Read as _, Write as _};
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public();
    let ours = opener(generate_text(&identity).expose());
    let sealer = Sealer::new(vec![Recipient::x25519(recipient.clone())]);
    for len in [0, 1, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 400_000] {
        let plain = numbered(len);
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
        let mut theirs = Vec::new();
        let mut writer = encryptor.wrap_output(&mut theirs).unwrap();
        writer.write_all(&plain).unwrap();
        writer.finish().unwrap();
        assert_eq!(*ours.open(&theirs, len).unwrap(), plain, "{len}");
        let sealed = sealer.seal(&plain).unwrap();
        assert_eq!(
            sealed.bytes().len() - header_len(sealed.bytes()).unwrap(),
            theirs.len() - header_len(&theirs).unwrap()
        );
        let decryptor = age::Decryptor::new_buffered(&sealed.bytes()[..]).unwrap();
        let mut opened = Vec::new();
        let mut reader = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).unwrap();
        reader.read_to_end(&mut opened).unwrap();
        assert_eq!(opened, plain, "{len}");
    }
}

fn generate_text(identity: &age::x25519::Identity) -> IdentityText {
    use age::secrecy::ExposeSecret as _;
    IdentityText::from(identity.to_string().expose_secret())
}

#[test]
fn impossible_lengths_have_no_plaintext() {
    for (header, sealed) in [(200, 100), (200, 200), (200, 215), (200, 200 + 65_552 + 16), (u64::MAX, u64::MAX)] {
        assert_eq!(plain_len(header, sealed), None, "{header} {sealed}");
    }
    assert_eq!(plain_len(200, 216), Some(0));
    assert_eq!(plain_len(0, u64::MAX).map(|n| n < u64::MAX), Some(true));
    assert_eq!(sealed_range(200, 217, Range { start: 1, end: 0 }), None);
    assert_eq!(sealed_range(0, u64::MAX, 0..u64::MAX), None);
}

use std::ops::Range;

/// Answers the same to every question, and counts them.
struct Says(&'static str, AtomicUsize);

impl Prompt for Says {
    fn secret(&self, _what: &str) -> Option<Zeroizing<String>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Some(Zeroizing::new(self.0.to_owned()))
    }

    fn note(&self, _text: &str) {}
}

/// Made for this test, with the passphrase `open sesame`.
const SSH_KEY: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----\n\
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABCV4PNc5H\n\
R0QXLwMGGRl2eDAAAAAQAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIPIMk2Betr8I9NAw\n\
jDkY164QjHp/pK4RrwJxuvU2W0aMAAAAkNBCGKQ+O0nJxOC0FWyoJmuxS8q8Dxwg6+0Lu2\n\
iWDLxPZIHU4UpOTlgVhqt7sEkLtpO0D8de5A/6LAIuyR046rGhltjIuoiT8e6xMU1LX90L\n\
TWmjTEDbVlhFJJkqfpMZwpHmb5eb+X384ufWrbCEIK5+zberihMHbrrCbaJMl7CuxtOtYZ\n\
W3mTgDX+tQYa88dw==\n\
-----END OPENSSH PRIVATE KEY-----\n\
";
const SSH_PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPIMk2Betr8I9NAwjDkY164QjHp/pK4RrwJxuvU2W0aM";

#[test]
fn an_ssh_key_opens_once_its_passphrase_is_given() {
    let recipient: Recipient = SSH_PUBLIC.parse().unwrap();
    assert_eq!(recipient_of(SSH_KEY).unwrap(), recipient);
    let sealed = Sealer::new(vec![generate_identity().1, recipient]).seal(b"plain").unwrap();
    let prompt = Arc::new(Says("open sesame", AtomicUsize::new(0)));
    let opener = Opener::from_identity_text(SSH_KEY, "id_ed25519", Arc::<Says>::clone(&prompt)).unwrap();
    for _ in 0..3 {
        assert_eq!(opener.open(sealed.bytes(), 100).unwrap().as_slice(), b"plain");
    }
    assert_eq!(prompt.1.load(Ordering::Relaxed), 1, "asked once, not for each file");
    let wrong = Arc::new(Says("wrong", AtomicUsize::new(0)));
    assert!(Opener::from_identity_text(SSH_KEY, "id_ed25519", wrong).is_err());
    let error = Opener::from_identity_text(SSH_KEY, "id_ed25519", Arc::new(NoPrompt)).err().unwrap().to_string();
    assert!(error.contains("id_ed25519") && error.contains("passphrase"), "{error}");
}

/// What `age -p` makes of a text, with little work; `-a` if `armored`.
fn locked_up(text: &str, passphrase: &str, armored: bool) -> Vec<u8> {
    use std::io::Write as _;
    let mut recipient = age::scrypt::Recipient::new(passphrase.into());
    recipient.set_work_factor(2);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
    let format = if armored { age::armor::Format::AsciiArmor } else { age::armor::Format::Binary };
    let mut out = Vec::new();
    let armor = age::armor::ArmoredWriter::wrap_output(&mut out, format).unwrap();
    let mut writer = encryptor.wrap_output(armor).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap().finish().unwrap();
    out
}

#[test]
fn an_identity_file_with_a_passphrase_is_opened_with_it() {
    let (identity, recipient) = generate_identity();
    let text = format!("# strongroom-vault: {}\n{}\n", "44".repeat(32), identity.expose());
    for armored in [false, true] {
        let file = locked_up(&text, "open sesame", armored);
        assert!(is_encrypted(&file) && !is_encrypted(text.as_bytes()));
        let prompt = Says("open sesame", AtomicUsize::new(0));
        assert_eq!(unlocked(&file, "owner.age", &prompt).unwrap().as_slice(), text.as_bytes());
        assert_eq!(prompt.1.load(Ordering::Relaxed), 1);
        let wrong = Says("wrong", AtomicUsize::new(0));
        let error = unlocked(&file, "owner.age", &wrong).unwrap_err().to_string();
        assert!(error.contains("the passphrase is wrong") && wrong.1.load(Ordering::Relaxed) == 3, "{error}");
        let error = unlocked(&file, "owner.age", &NoPrompt).unwrap_err().to_string();
        assert!(error.contains("no terminal") && error.contains("-i -"), "{error}");
        assert!(unlocked(&file[..file.len() / 2], "owner.age", &prompt).is_err());
    }
    let to_a_key = Sealer::new(vec![recipient]).seal(text.as_bytes()).unwrap();
    let error = unlocked(to_a_key.bytes(), "owner.age", &NoPrompt).unwrap_err().to_string();
    assert!(error.contains("encrypted to a key"), "{error}");
}

#[test]
fn identity_files_have_comments_and_several_identities() {
    let ((one, to_one), (two, to_two)) = (generate_identity(), generate_identity());
    let text = format!("# created today\r\n\r\n{}\r\n# another\n  {}  \n", one.expose(), two.expose());
    let opener = opener(&text);
    for recipient in [to_one, to_two] {
        let sealed = Sealer::new(vec![recipient]).seal(b"x").unwrap();
        assert_eq!(opener.open(sealed.bytes(), 10).unwrap().as_slice(), b"x");
    }
    assert_eq!(recipient_of(&text).unwrap(), recipient_of(one.expose()).unwrap());
}

#[test]
fn texts_that_are_no_identities_are_refused_without_repeating_them() {
    let (identity, recipient) = generate_identity();
    let broken = format!("{}X", identity.expose());
    let mixed = format!("{}\n{recipient}", identity.expose());
    let refused = [
        ("", "holds no identity"),
        ("# only a comment\n", "holds no identity"),
        (&broken, "line 1"),
        (&mixed, "line 2"),
        ("age-encryption.org/v1\n-> scrypt", "age -d"),
        ("-----BEGIN AGE ENCRYPTED FILE-----\n", "age -d"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "ssh"),
    ];
    for (text, why) in refused {
        let error = Opener::from_identity_text(text, "owner.txt", Arc::new(NoPrompt)).err().unwrap().to_string();
        assert!(error.contains("owner.txt") && error.contains(why), "{error}");
        assert!(!error.contains("SECRET-KEY"), "{error}");
    }
}

#[test]
fn a_plugin_that_is_not_installed_is_named() {
    let recipient = "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t";
    let error = Sealer::new(vec![recipient.parse().unwrap()]).seal(b"x").unwrap_err().to_string();
    assert!(error.contains("age-plugin-yubikey") && error.contains("PATH"), "{error}");
}

#[test]
fn pins_are_read_and_broken_pins_are_errors() {
    let id = "0123456789abcdef".repeat(4);
    let text = format!("# created\n# strongroom-vault: {id}\r\nAGE-SECRET-KEY-1\n#strongroom-vault: no\n");
    assert_eq!(pin_comments(&text).unwrap(), [id.parse().unwrap()]);
    assert!(pin_comments("AGE-SECRET-KEY-1").unwrap().is_empty());
    assert!(pin_comments("# strongroom-vault: 0123").is_err());
}

#[test]
fn an_opener_can_be_shared_by_threads() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    shared(&pair().1);
    shared(&pair().0);
}
