//! What of JSON is taken, and what of it is kept.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    super::{
        FormatError, bounded,
        copied::{CopyRecord, RECORD_LIMIT},
        header::Flag,
        layout,
        page::{PACKS_PER_PAGE, PAGE_LIMIT, PackRef, Page},
        text,
    },
    damaged, too_large,
};
use crate::{
    codec::hash,
    model::{PackId, Time, VaultId},
    signal::Level,
};

const VAULT: VaultId = VaultId::from_bytes([7; 32]);

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Read {
    #[serde(deserialize_with = "bounded::flags")]
    flags: Vec<Flag>,
    #[serde(deserialize_with = "bounded::version")]
    version: Option<String>,
    #[serde(deserialize_with = "bounded::features")]
    features: Vec<String>,
    #[serde(deserialize_with = "bounded::warnings")]
    warnings: Vec<String>,
    #[serde(deserialize_with = "bounded::streams")]
    streams: Vec<u8>,
    #[serde(deserialize_with = "bounded::value")]
    value: Value,
    #[serde(deserialize_with = "bounded::facts")]
    facts: Vec<i64>,
}

fn read<T: DeserializeOwned>(document: &Value) -> Result<T, String> {
    serde_json::from_str(&document.to_string()).map_err(|error| error.to_string())
}

#[test]
fn of_flags_those_are_kept_that_are_understood_and_no_more_than_a_few() {
    let flag = |rule: &str| Flag { rule: rule.to_owned(), level: Level::Alarm };
    let spelled = |rule: &str| json!({ "rule": rule, "level": "alarm" });
    let kept = |flags: Value| read::<Read>(&json!({ "flags": flags })).unwrap().flags;
    assert_eq!(kept(json!([spelled("a"), { "of": "a later build" }, 7, spelled("b")])), [flag("a"), flag("b")]);
    assert_eq!(kept(json!({ "rule": "a" })), []);
    assert_eq!(kept(Value::Array(vec![spelled("a"); 65])), vec![flag("a"); 64]);
}

#[test]
fn a_version_is_kept_as_long_as_stores_make_them() {
    let kept = |bytes: usize| read::<Read>(&json!({ "version": "v".repeat(bytes) })).unwrap().version;
    assert_eq!((kept(128).map(|text| text.len()), kept(129)), (Some(128), None));
}

#[test]
fn lists_have_a_most_and_say_so() {
    let few = |count: usize| read::<Read>(&json!({ "features": vec!["x"; count] })).map(|read| read.features.len());
    assert_eq!(few(64), Ok(64));
    assert!(few(65).unwrap_err().contains("a list has more than 64 entries"));
    let none = read::<Read>(&json!({ "features": 7 })).unwrap_err();
    assert!(none.contains("a list of at most 64"), "{none}");
    let streams = |count: usize| read::<Read>(&json!({ "streams": vec![7_u8; count] })).map(|read| read.streams);
    assert_eq!(streams(40_000).unwrap(), vec![7; 40_000]);
    // A short list takes no more room than it needs.
    assert!(streams(3).unwrap().capacity() < 1000);
    assert!(streams(500_001).unwrap_err().contains("more than 500000"));
    assert_eq!(streams(500_000).unwrap().len(), 500_000);
}

#[test]
fn of_warnings_the_first_are_kept_and_the_others_counted() {
    let kept = |warnings: Vec<String>| read::<Read>(&json!({ "warnings": warnings })).unwrap().warnings;
    let short = |count: usize| vec!["w".to_owned(); count];
    assert_eq!(kept(short(1000)), short(1000));
    assert_eq!(kept(short(1002)), [short(1000), vec!["and 2 more warnings".to_owned()]].concat());
    // They have so much room together; a short one may still fit where a long one did not.
    let long = |bytes: usize| "w".repeat(bytes);
    assert_eq!(kept(vec![long(256 << 10)]).len(), 1);
    assert_eq!(kept(vec![long((256 << 10) + 1)]), ["and 1 more warnings"]);
    let mixed = vec![long(200 << 10), long(100 << 10), long(56 << 10), long(1)];
    assert_eq!(kept(mixed.clone()), [mixed[0].clone(), mixed[2].clone(), "and 2 more warnings".to_owned()]);
    let none = read::<Read>(&json!({ "warnings": 7 })).unwrap_err();
    assert!(none.contains("a list of warnings"), "{none}");
}

#[test]
fn free_facts_are_read_as_they_are_and_counted() {
    let facts = json!({ "a": [true, false, null, -7, 7, 1.5, "text"], "b": { "c": [[], {}] }, "d": u64::MAX });
    assert_eq!(read::<Read>(&json!({ "value": facts })).unwrap().value, facts);
    assert_eq!(read::<Read>(&json!({ "facts": [1, -2] })).unwrap().facts, [1, -2]);
    // The list is a value, too, and so is each kind of thing in it.
    for one in ["1", "-1", "1.5", "true", "null", "\"\"", "[]", "{}"] {
        let many = |count: usize| {
            let text = format!("{{\"value\":[{}{one}]}}", format!("{one},").repeat(count - 2));
            serde_json::from_str::<Read>(&text).map(|read| read.value.as_array().unwrap().len())
        };
        assert_eq!(many(1_000_000).unwrap(), 999_999, "{one}");
        let error = many(1_000_001).unwrap_err().to_string();
        assert!(error.contains("more than 1000000 values"), "{error}");
    }
}

#[test]
fn a_record_of_a_copy_is_taken_up_to_its_limit_and_named_by_its_hash() {
    let record = |bytes: usize| {
        let times = (Time::from_unix(0), Time::from_unix(7200));
        CopyRecord::new(VAULT, "x".repeat(bytes), times, true)
    };
    let room = RECORD_LIMIT - record(0).encode().unwrap().1.bytes().len();
    let (key, largest) = record(room).encode().unwrap();
    assert_eq!((largest.bytes().len(), RECORD_LIMIT), (RECORD_LIMIT, 8192));
    assert_eq!(layout::named_hash(key.as_str()), Some(hash::hash(largest.bytes())));
    assert_eq!(CopyRecord::decode(largest.bytes()).unwrap(), record(room));
    too_large(record(room + 1).encode());
}

#[test]
fn a_document_is_read_up_to_its_limit() {
    let writer = "db1".parse().unwrap();
    let page = Page::new(VAULT, "db1".parse().unwrap(), Vec::new()).encode().unwrap();
    let padded = |bytes: usize| [&page.bytes()[..], &vec![b' '; bytes - page.bytes().len()]].concat();
    assert!(Page::decode(&padded(PAGE_LIMIT), VAULT, &writer).is_ok());
    too_large(Page::decode(&padded(PAGE_LIMIT + 1), VAULT, &writer));
    let pack = |version: Option<String>| PackRef { id: PackId::from_bytes([1; 32]), bytes: 1, version };
    let of = |packs| Page::new(VAULT, "db1".parse().unwrap(), packs);
    let most = of(vec![pack(None); PACKS_PER_PAGE]);
    assert_eq!(Page::decode(most.encode().unwrap().bytes(), VAULT, &writer).unwrap(), most);
    let hinted = |bytes: usize| of(vec![pack(Some("v".repeat(bytes)))]).encode();
    let room = PAGE_LIMIT - hinted(0).unwrap().bytes().len();
    assert_eq!(hinted(room).unwrap().bytes().len(), PAGE_LIMIT);
    too_large(hinted(room + 1));
}

#[test]
fn a_draft_another_version_and_unknown_features_are_three_reasons() {
    let why = |document: Value| {
        text::read_version("page", document.to_string().as_bytes()).map_err(|error| {
            assert!(error.is_of_another_version(), "{error}");
            error.to_string()
        })
    };
    assert_eq!(why(json!({ "format": "1" })), Ok(()));
    assert!(why(json!({ "format": "1-draft" })).unwrap_err().contains("only development builds wrote"));
    assert!(why(json!({ "format": "1", "features": ["sparse"] })).unwrap_err().contains("lacks: sparse: use"));
    // What a stranger wrote is told in part.
    let long = why(json!({ "format": "9".repeat(41) })).unwrap_err();
    assert!(long.contains(&format!("\"{}\"", "9".repeat(40))), "{long}");
    let many = why(json!({ "format": "1", "features": vec!["f".repeat(41); 9] })).unwrap_err();
    assert!(many.contains(&format!("lacks: {}: use", vec!["f".repeat(40); 8].join(", "))), "{many}");
    assert!(!FormatError::TooLarge { what: "page", limit: 1 }.is_of_another_version());
    assert!(!FormatError::damaged("page", "x").is_of_another_version());
    damaged(text::read_version("page", b"{}".as_slice()), "format");
}

#[test]
fn limits_stay_as_they_are_since_every_reader_knows_them() {
    use super::super::{
        approval::Approvers,
        body,
        certificate::Certificate,
        descriptor::Descriptor,
        dsse::Document,
        epoch::EpochRecord,
        evidence::Evidence,
        header,
        header::Header,
        hold::{Hold, Release},
        index, journal, pack, parity,
    };
    assert_eq!((header::HEADER_LIMIT, Header::LIMIT, body::BODY_LIMIT), (262_144, 262_144, 100_663_296));
    assert_eq!((index::INDEX_LIMIT, index::SEALED_LIMIT, pack::PACK_LIMIT), (67_108_864, 68_157_440, 33_554_432));
    assert_eq!(
        (journal::LOG_LIMIT, journal::HISTORY_LIMIT, journal::SEALED_LIMIT),
        (16_777_216, 1_048_576, 33_554_432)
    );
    assert_eq!((journal::Record::LIMIT, journal::HistoryRecord::LIMIT, PAGE_LIMIT), (4096, 4096, 1_048_576));
    assert_eq!((Certificate::LIMIT, Descriptor::LIMIT, EpochRecord::LIMIT), (8192, 16_384, 16_384));
    assert_eq!(
        (Approvers::LIMIT, Evidence::LIMIT, Hold::LIMIT, Release::LIMIT),
        (262_144, 4_194_304, 1_048_576, 2_097_152)
    );
    assert_eq!(parity::HEAD, 56);
}
