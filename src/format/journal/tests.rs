use proptest::prelude::*;

use super::*;
use crate::codec::seal::generate_identity;

fn origin() -> Origin {
    let line = Line::postgres(0x68f1_a2b3_c4d5_e6f7, 1);
    let (writer, source) = ("db1".parse().unwrap(), "orders".parse().unwrap());
    Origin { vault: VaultId::from_bytes([7; 32]), writer, source, line }
}

fn span(from: u64, len: usize) -> Span {
    Span::new(Position(from), Position(from + len as u64)).unwrap()
}

fn piece(origin: &Origin, span: Span, hash: Hash) -> Piece {
    let Origin { writer, source, line, .. } = origin.clone();
    Piece { writer, source, line, span, hash }
}

/// What is sealed, opened again.
fn plain(record: &Record, log: &[u8], key: &SigningKey) -> Vec<u8> {
    let (identity, recipient) = generate_identity();
    let object = record.seal(log, key, &Sealer::new(vec![recipient])).unwrap();
    assert_eq!(object.hash, hash::hash(object.sealed.bytes()));
    let opener =
        crate::codec::Opener::from_identity_text(identity.expose(), "x", std::sync::Arc::new(crate::codec::NoPrompt));
    opener.unwrap().open(object.sealed.bytes(), SEALED_LIMIT).unwrap().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_piece_comes_back_and_no_bit_of_it_may_change(
        log in prop::collection::vec(any::<u8>(), 1..5000), from in 0..u64::MAX / 2, at in any::<prop::sample::Index>(),
    ) {
        let (key, origin) = (SigningKey::generate().unwrap(), origin());
        let span = span(from, log.len());
        let record = Record::new(&origin, span, &log, Some(Hash::from_bytes([3; 32])), Time::from_unix(5));
        let plain = plain(&record, &log, &key);
        let named = piece(&origin, span, Hash::from_bytes([0; 32]));
        prop_assert_eq!(open(&plain, origin.vault, &named, &key.public()).unwrap(), (record, log));
        let mut changed = plain.clone();
        let at = at.index(changed.len());
        changed[at] ^= 1;
        // The id of the key is a hint that nobody believes; all else is signed or hashed.
        if let Ok((record, log)) = open(&changed, origin.vault, &named, &key.public()) {
            prop_assert_eq!(record.plain, hash::hash(&log));
        }
        prop_assert!(open(&plain[..plain.len() - 1], origin.vault, &named, &key.public()).is_err());
    }

    #[test]
    fn anything_else_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (key, origin) = (SigningKey::generate().unwrap(), origin());
        let named = piece(&origin, span(0, 1), Hash::from_bytes([0; 32]));
        prop_assert!(open(&bytes, origin.vault, &named, &key.public()).is_err());
        prop_assert!(open_history(&bytes, &origin, &key.public()).is_err());
    }
}

#[test]
fn a_piece_belongs_where_its_record_says() {
    let (key, origin) = (SigningKey::generate().unwrap(), origin());
    let (log, span) = (b"some log".as_slice(), span(100, 8));
    let record = Record::new(&origin, span, log, None, Time::from_unix(5));
    let plain = plain(&record, log, &key);
    let named = piece(&origin, span, Hash::from_bytes([0; 32]));
    let opens = |piece: &Piece, vault| open(&plain, vault, piece, &key.public()).is_ok();
    assert!(opens(&named, origin.vault));
    assert!(!opens(&named, VaultId::from_bytes([8; 32])));
    let other: Name = "other".parse().unwrap();
    for wrong in [
        Piece { writer: other.clone(), ..named.clone() },
        Piece { source: other, ..named.clone() },
        Piece { line: Line::postgres(1, 1), ..named.clone() },
        Piece { span: self::span(101, 8), ..named.clone() },
        Piece { span: self::span(100, 9), ..named.clone() },
    ] {
        assert!(!opens(&wrong, origin.vault), "{wrong:?}");
    }
    assert!(open(&plain, origin.vault, &named, &SigningKey::generate().unwrap().public()).is_err());
    // A history is no piece, and the other way round: the payload types differ.
    assert!(open_history(&plain, &origin, &key.public()).is_err());
}

#[test]
fn what_is_sealed_is_within_bounds() {
    let (key, origin) = (SigningKey::generate().unwrap(), origin());
    let sealer = Sealer::new(vec![generate_identity().1]);
    let seal = |span, log: &[u8]| Record::new(&origin, span, log, None, Time::from_unix(5)).seal(log, &key, &sealer);
    let most = vec![7; LOG_LIMIT + 1];
    assert!(seal(span(0, LOG_LIMIT), &most[1..]).is_ok());
    assert!(seal(span(0, LOG_LIMIT + 1), &most).is_err(), "too long");
    assert!(seal(span(0, 5), b"four").is_err(), "not as many bytes as positions");
    assert!(seal(span(0, 1), b"").is_err(), "nothing");
    let record = Record::new(&origin, span(0, 4), b"four", None, Time::from_unix(5));
    assert!(record.seal(b"five", &key, &sealer).is_err(), "of other bytes");
    // On a line whose positions are no bytes, an end may lie further on: the piece ends a file.
    let mariadb = Origin { line: Line::mariadb(1, "bin").unwrap(), ..origin.clone() };
    let whole = Span::new(Position(1 << 32), Position(2 << 32)).unwrap();
    assert!(Record::new(&mariadb, whole, b"log", None, Time::from_unix(5)).seal(b"log", &key, &sealer).is_ok());
    let history = vec![b'x'; HISTORY_LIMIT + 1];
    assert!(HistoryRecord::new(&origin, &history, Time::from_unix(5)).seal(&history, &key, &sealer).is_err());
}

#[test]
fn a_piece_ends_where_a_piece_of_its_line_can() {
    let can = |line: &Line, from: u64, to: u64| plausible(line, Span::new(Position(from), Position(to)).unwrap());
    let postgres = Line::postgres(1, 1);
    let most = LOG_LIMIT as u64;
    assert!(can(&postgres, 7, 7 + most) && !can(&postgres, 7, 8 + most));
    // Where positions are a file and a place in it, a piece lies in one file, or ends where the next begins.
    let (mariadb, file) = (Line::mariadb(1, "bin").unwrap(), 1_u64 << 32);
    assert!(can(&mariadb, 3 * file + 4, 3 * file + 5) && can(&mariadb, 3 * file, 4 * file - 1));
    assert!(can(&mariadb, 3 * file + 4, 4 * file));
    assert!(!can(&mariadb, 3 * file + 4, 4 * file + 1) && !can(&mariadb, 3 * file + 4, 5 * file));
    assert!(can(&mariadb, u64::MAX - 1, u64::MAX) && !can(&mariadb, u64::MAX - file, u64::MAX));
    assert!(can(&"other".parse().unwrap(), 3 * file + 4, 9 * file + 1), "nobody knows what its positions are");
}

#[test]
fn less_effort_takes_more_bytes_and_a_piece_says_how_many() {
    let log = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/format.md"));
    let record = Record::new(&origin(), span(0, log.len()), log, None, Time::from_unix(5));
    let size = |effort| record.clone().pack(log, effort).unwrap().size();
    let (usual, less) = (size(Effort::Usual), size(Effort::Less));
    assert!(usual > 1000 && usual < less && less < log.len() / 2, "{usual} {less} {}", log.len());
}

#[test]
fn a_history_comes_back_to_whoever_asks_for_its_line() {
    let (key, origin) = (SigningKey::generate().unwrap(), origin());
    let history = b"1\t0/3000000\tno recovery target specified\n";
    let record = HistoryRecord::new(&origin, history, Time::from_unix(5));
    let (identity, recipient) = generate_identity();
    let sealer = Sealer::new(vec![recipient]);
    let object = record.seal(history, &key, &sealer).unwrap();
    let opener =
        crate::codec::Opener::from_identity_text(identity.expose(), "x", std::sync::Arc::new(crate::codec::NoPrompt));
    let plain = opener.unwrap().open(object.sealed.bytes(), SEALED_LIMIT).unwrap().to_vec();
    let read = |origin: &Origin| open_history(&plain, origin, &key.public());
    assert_eq!(read(&origin).unwrap(), (record.clone(), history.to_vec()));
    let other: Name = "other".parse().unwrap();
    for wrong in [
        Origin { vault: VaultId::from_bytes([8; 32]), ..origin.clone() },
        Origin { writer: other.clone(), ..origin.clone() },
        Origin { source: other, ..origin.clone() },
        Origin { line: Line::postgres(1, 1), ..origin.clone() },
    ] {
        assert!(matches!(read(&wrong), Err(FormatError::Untrusted { .. })), "{wrong:?}");
    }
    assert!(record.seal(b"another history of as many bytes as it is..", &key, &sealer).is_err());
}
