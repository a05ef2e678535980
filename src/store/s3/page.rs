//! One page of a listing, in the contract's terms.

use std::cmp::Reverse;

use aws_sdk_s3::{
    operation::{list_object_versions::ListObjectVersionsOutput, list_objects_v2::ListObjectsV2Output},
    types::{CommonPrefix, DeleteMarkerEntry, EncodingType, Object, ObjectVersion},
};

use super::time;
use crate::store::{Entry, Version, VersionEntry};

/// Something with a key.
pub(super) trait Listed: Send {
    fn key(&self) -> &str;
}

impl Listed for Entry {
    fn key(&self) -> &str {
        &self.key
    }
}

impl Listed for VersionEntry {
    fn key(&self) -> &str {
        &self.key
    }
}

/// One page. Keys are full ones, as the bucket has them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<T, M> {
    pub(super) items: Vec<T>,
    /// What was summed up at a slash, slash included.
    pub(super) directories: Vec<String>,
    /// Where the next page begins; `None` on the last.
    pub(super) next: Option<M>,
}

/// A page of current objects; `None` if it or an entry lacks what it must have.
pub(super) fn current(answer: &ListObjectsV2Output) -> Option<Page<Entry, String>> {
    let spelled = Spelling::of(answer.encoding_type());
    let entry = |object: &Object| {
        let bytes = u64::try_from(object.size()?).ok()?;
        Some(Entry { key: spelled.read(object.key()?), bytes, modified: time(object.last_modified()?) })
    };
    let more = going_on(answer.is_truncated(), answer.next_continuation_token())?;
    let next = answer.next_continuation_token().filter(|_| more);
    Some(Page {
        items: answer.contents().iter().map(entry).collect::<Option<_>>()?,
        directories: spelled.directories(answer.common_prefixes()),
        next: next.map(str::to_owned),
    })
}

/// A page of versions, of each key newest first; `None` if it or an entry lacks what it must have. `markers` tells for each
/// entry in the order in which the server wrote them whether it is a delete marker.
pub(super) fn versions(
    answer: &ListObjectVersionsOutput,
    markers: &[bool],
) -> Option<Page<VersionEntry, (String, Option<String>)>> {
    let spelled = Spelling::of(answer.encoding_type());
    let more = going_on(answer.is_truncated(), answer.next_key_marker())?;
    let next = answer.next_key_marker().filter(|_| more);
    Some(Page {
        items: in_order(answer.versions(), answer.delete_markers(), markers, spelled)?,
        directories: spelled.directories(answer.common_prefixes()),
        next: next.map(|key| (spelled.read(key), answer.next_version_id_marker().map(str::to_owned))),
    })
}

/// Whether another page follows; `None` if this one says so, and not where it begins.
fn going_on(truncated: Option<bool>, next: Option<&str>) -> Option<bool> {
    let more = truncated == Some(true);
    (!more || next.is_some()).then_some(more)
}

/// Both lists in one: as the server wrote them, or by time where that is not known.
fn in_order(
    versions: &[ObjectVersion],
    deletions: &[DeleteMarkerEntry],
    markers: &[bool],
    spelled: Spelling,
) -> Option<Vec<VersionEntry>> {
    let marked = markers.iter().filter(|marker| **marker).count();
    let (mut version, mut deletion) =
        (versions.iter().map(|entry| spelled.version(entry)), deletions.iter().map(|entry| spelled.deletion(entry)));
    if marked == deletions.len() && markers.len() == marked + versions.len() {
        return markers.iter().map(|marker| if *marker { deletion.next()? } else { version.next()? }).collect();
    }
    let mut all: Vec<_> = version.chain(deletion).collect::<Option<_>>()?;
    all.sort_by_key(|entry| Reverse((entry.latest, entry.modified)));
    Some(all)
}

/// Whether keys are URL-encoded, as they were asked to be.
#[derive(Debug, Clone, Copy)]
struct Spelling {
    encoded: bool,
}

impl Spelling {
    fn of(encoding: Option<&EncodingType>) -> Self {
        Self { encoded: encoding == Some(&EncodingType::Url) }
    }

    fn read(self, key: &str) -> String {
        if self.encoded { decoded(key) } else { key.to_owned() }
    }

    fn directories(self, prefixes: &[CommonPrefix]) -> Vec<String> {
        prefixes.iter().filter_map(CommonPrefix::prefix).map(|prefix| self.read(prefix)).collect()
    }

    fn version(self, entry: &ObjectVersion) -> Option<VersionEntry> {
        Some(VersionEntry {
            key: self.read(entry.key()?),
            version: Version::new(entry.version_id()?),
            bytes: u64::try_from(entry.size()?).ok()?,
            modified: time(entry.last_modified()?),
            latest: entry.is_latest().unwrap_or(false),
            delete_marker: false,
        })
    }

    fn deletion(self, entry: &DeleteMarkerEntry) -> Option<VersionEntry> {
        Some(VersionEntry {
            key: self.read(entry.key()?),
            version: Version::new(entry.version_id()?),
            bytes: 0,
            modified: time(entry.last_modified()?),
            latest: entry.is_latest().unwrap_or(false),
            delete_marker: true,
        })
    }
}

/// A key without its URL encoding. What is no UTF-8 then is no key of ours, and shown as well as can be.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut ahead = rest.clone();
                match ahead.next().and_then(hex).zip(ahead.next().and_then(hex)) {
                    Some((high, low)) => {
                        bytes.push(high * 16 + low);
                        rest = ahead;
                    }
                    None => bytes.push(b'%'),
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::primitives::DateTime;

    use super::*;

    #[test]
    fn url_encoded_keys_are_decoded() {
        for (text, expected) in [
            ("packs/w1/ab", "packs/w1/ab"),
            ("a+b%2Bc%20d", "a b+c d"),
            ("%C3%BCber%2f", "\u{fc}ber/"),
            ("100%", "100%"),
            ("%2", "%2"),
            ("%zz%41", "%zzA"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(decoded(text), expected, "{text}");
        }
    }

    /// Versions 1 and 3 and the marker 2 between them, all of one second.
    fn page() -> (Vec<ObjectVersion>, Vec<DeleteMarkerEntry>) {
        let at = DateTime::from_secs(1);
        let version = |id: &str, latest| {
            let builder = ObjectVersion::builder().key("a").version_id(id).size(1).is_latest(latest);
            builder.last_modified(at).build()
        };
        let marker = DeleteMarkerEntry::builder().key("a").version_id("2").is_latest(false).last_modified(at).build();
        (vec![version("3", true), version("1", false)], vec![marker])
    }

    #[test]
    fn a_marker_keeps_its_place_among_versions_of_the_same_second() {
        let (versions, deletions) = page();
        let plain = Spelling { encoded: false };
        let all = in_order(&versions, &deletions, &[false, true, false], plain).unwrap();
        let ids: Vec<_> = all.iter().map(|entry| (entry.version.as_str(), entry.delete_marker)).collect();
        assert_eq!(ids, [("3", false), ("2", true), ("1", false)]);
        // Unknown order: the latest at least comes first, and nothing is lost.
        let all = in_order(&versions, &deletions, &[false, true], plain).unwrap();
        assert_eq!((all.len(), all[0].version.as_str()), (3, "3"));
    }

    #[test]
    fn an_entry_without_its_parts_is_not_passed_over() {
        let (mut versions, deletions) = page();
        versions.push(ObjectVersion::builder().key("b").size(1).build());
        assert_eq!(in_order(&versions, &deletions, &[], Spelling { encoded: false }), None);
        let answer = ListObjectsV2Output::builder().contents(Object::builder().key("b").build()).build();
        assert_eq!(current(&answer), None);
    }
}
