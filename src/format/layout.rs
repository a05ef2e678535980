//! The names of the objects of a vault, spelled here and nowhere else.

use crate::model::{
    Hash, Key, Name, PackId, SnapshotId, Time,
    journal::{Line, Piece, Span},
};

/// The descriptor's key.
pub const DESCRIPTOR: &str = "vault.json";
/// The prefix of root and epoch records.
pub const KEYS: &str = "keys/";
/// The prefix of certificates.
pub const MEMBERS: &str = "members/";
/// The prefix of all packs.
pub const PACKS: &str = "packs/";
/// The prefix of all indexes.
pub const INDEXES: &str = "indexes/";
/// The prefix of all page lists.
pub const LISTS: &str = "lists/";
/// The prefix of all headers.
pub const SNAPSHOTS: &str = "snapshots/";
/// The prefix of all journals.
pub const JOURNALS: &str = "journals/";
/// The prefix of all evidence.
pub const EVIDENCE: &str = "evidence/";
/// The prefix of all canaries.
pub const CANARIES: &str = "canaries/";
/// The prefix of the records that this place holds a copy.
pub const COPIES: &str = "copies/";
/// The prefix of all holds.
pub const HOLDS: &str = "holds/";
/// The prefix of all releases of holds.
pub const RELEASES: &str = "releases/";
/// The prefix of the lists of approvers.
pub const APPROVERS: &str = "approvers/";
/// The prefix of used approvals.
pub const APPROVALS: &str = "approvals/";

// Every key made below is valid by construction: names and hex are within a key's alphabet.
fn key(text: &str) -> Key {
    text.parse().unwrap_or_else(|e| unreachable!("layout spelled an invalid key: {e}"))
}

/// `vault.json`
#[must_use]
pub fn descriptor() -> Key {
    key(DESCRIPTOR)
}

/// `keys/root-<hash>.age`
#[must_use]
pub fn root_record(hash: &Hash) -> Key {
    key(&format!("{KEYS}root-{hash}.age"))
}

/// `keys/epoch-0001/<rev>-<hash>.json`
#[must_use]
pub fn epoch_record(epoch: u32, rev: u32, hash: &Hash) -> Key {
    key(&format!("{KEYS}epoch-{epoch:04}/{rev:04}-{hash}.json"))
}

/// `members/<name>/<rev>-<hash>.json`
#[must_use]
pub fn certificate(name: &Name, rev: u32, hash: &Hash) -> Key {
    key(&format!("{MEMBERS}{name}/{rev:04}-{hash}.json"))
}

/// `packs/<writer>/<2 hex>/<64 hex>`
#[must_use]
pub fn pack(writer: &Name, id: &PackId) -> Key {
    let hex = id.to_string();
    let (first, _) = hex.split_at(2);
    key(&format!("{PACKS}{writer}/{first}/{hex}"))
}

/// `indexes/<writer>/<hash>.age`
#[must_use]
pub fn index(writer: &Name, hash: &Hash) -> Key {
    key(&format!("{INDEXES}{writer}/{hash}.age"))
}

/// `lists/<writer>/<hash>`
#[must_use]
pub fn page(writer: &Name, hash: &Hash) -> Key {
    key(&format!("{LISTS}{writer}/{hash}"))
}

/// `snapshots/<writer>/<seq>-<id>.json`
#[must_use]
pub fn header(writer: &Name, seq: u64, id: &SnapshotId) -> Key {
    key(&format!("{SNAPSHOTS}{writer}/{seq:010}-{id}.json"))
}

/// `journals/<writer>/<source>/<line>/<from>-<to>-<hash>.age`
#[must_use]
pub fn piece(piece: &Piece) -> Key {
    let Piece { writer, source, line, span, hash } = piece;
    key(&format!("{}{}-{}-{hash}.age", journal(writer, source, line), span.from, span.to))
}

/// `journals/<writer>/<source>/<line>/history-<hash>.age`
#[must_use]
pub fn history(writer: &Name, source: &Name, line: &Line, hash: &Hash) -> Key {
    key(&format!("{}history-{hash}.age", journal(writer, source, line)))
}

/// The prefix of what a writer put of one line of a source's log.
#[must_use]
pub fn journal(writer: &Name, source: &Name, line: &Line) -> String {
    format!("{JOURNALS}{writer}/{source}/{line}/")
}

/// `evidence/<member>/<time>-<hash>.json`
#[must_use]
pub fn evidence(member: &Name, at: Time, hash: &Hash) -> Key {
    key(&format!("{EVIDENCE}{member}/{}-{hash}.json", at.compact()))
}

/// `canaries/<member>/<time>-<random>`
#[must_use]
pub fn canary(member: &Name, at: Time, random: &str) -> Key {
    let random: String = random.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    key(&format!("{CANARIES}{member}/{}-{random}", at.compact()))
}

/// `copies/<begins>-<ends>-<whole or part>-<hash>.json`
#[must_use]
pub fn copy(begins: Time, ends: Time, part: bool, hash: &Hash) -> Key {
    let extent = if part { "part" } else { "whole" };
    key(&format!("{COPIES}{}-{}-{extent}-{hash}.json", begins.compact(), ends.compact()))
}

/// The hash that the name of an object ends in: that of its bytes, of whatever kind it is.
#[must_use]
pub fn named_hash(key: &str) -> Option<Hash> {
    let name = key.rsplit('/').next()?;
    let name = name.strip_suffix(".json").or_else(|| name.strip_suffix(".age")).unwrap_or(name);
    let at = name.len().checked_sub(64)?;
    name.get(at..)?.parse().ok()
}

/// `holds/<member>/<time>-<hash>.json`
#[must_use]
pub fn hold(member: &Name, at: Time, hash: &Hash) -> Key {
    key(&format!("{HOLDS}{member}/{}-{hash}.json", at.compact()))
}

/// `releases/<member>/<time>-<hash>.json`
#[must_use]
pub fn release(member: &Name, at: Time, hash: &Hash) -> Key {
    key(&format!("{RELEASES}{member}/{}-{hash}.json", at.compact()))
}

/// `approvers/<rev>-<hash>.json`
#[must_use]
pub fn approvers(rev: u32, hash: &Hash) -> Key {
    key(&format!("{APPROVERS}{rev:04}-{hash}.json"))
}

/// `approvals/<nonce>.json`
#[must_use]
pub fn spent(nonce: &Hash) -> Key {
    key(&format!("{APPROVALS}{nonce}.json"))
}

/// The prefix of a writer's own objects of one kind, such as `packs/db1/`.
#[must_use]
pub fn own(kind: &str, writer: &Name) -> String {
    format!("{kind}{writer}/")
}

/// What an object's key says that it is. A claim: its bytes and signatures decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectName {
    /// The descriptor.
    Descriptor,
    /// A root record.
    Root(Hash),
    /// An epoch record: epoch, revision, hash.
    Epoch(u32, u32, Hash),
    /// A certificate: member, revision, hash.
    Certificate(Name, u32, Hash),
    /// A pack of a writer.
    Pack(Name, PackId),
    /// An index of a writer.
    Index(Name, Hash),
    /// A page of a writer.
    Page(Name, Hash),
    /// A header: writer, sequence number, snapshot.
    Header(Name, u64, SnapshotId),
    /// A piece of a journal.
    Piece(Piece),
    /// The history of a timeline: writer, source, line, hash.
    History(Name, Name, Line, Hash),
    /// Evidence of a member.
    Evidence(Name, Hash),
    /// A canary of a member.
    Canary(Name),
    /// A record that this place holds a copy.
    Copy(CopyName),
    /// A hold of a member.
    Hold(Name, Hash),
    /// A release by a member.
    Release(Name, Hash),
    /// A list of approvers: revision, hash.
    Approvers(u32, Hash),
    /// A used approval: its nonce.
    Spent(Hash),
}

/// What the name of a record of a copy tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyName {
    /// From when on headers were put.
    pub begins: Time,
    /// Until when at most.
    pub ends: Time,
    /// Whether not all of the vault was to be copied.
    pub part: bool,
    /// BLAKE3 of its bytes.
    pub hash: Hash,
}

/// Reads a key as it stands in a listing; `None` if it is no name of this format.
#[must_use]
pub fn parse(text: &str) -> Option<ObjectName> {
    let (kind, rest) = text.split_once('/').unwrap_or((text, ""));
    let object = match kind {
        DESCRIPTOR if rest.is_empty() => ObjectName::Descriptor,
        "keys" => parse_key_record(rest)?,
        "members" => {
            let (name, rev, hash) = numbered(rest, ".json")?;
            ObjectName::Certificate(name, u32::try_from(rev).ok()?, hash.parse().ok()?)
        }
        "packs" => {
            let (writer, rest) = rest.split_once('/')?;
            let (_, hex) = rest.split_once('/')?;
            ObjectName::Pack(writer.parse().ok()?, hex.parse().ok()?)
        }
        "indexes" => {
            let (writer, file) = rest.split_once('/')?;
            ObjectName::Index(writer.parse().ok()?, file.strip_suffix(".age")?.parse().ok()?)
        }
        "lists" => {
            let (writer, hash) = rest.split_once('/')?;
            ObjectName::Page(writer.parse().ok()?, hash.parse().ok()?)
        }
        "snapshots" => {
            let (writer, seq, id) = numbered(rest, ".json")?;
            ObjectName::Header(writer, seq, id.parse().ok()?)
        }
        "journals" => parse_journal(rest)?,
        "evidence" => {
            let (member, hash) = timed(rest)?;
            ObjectName::Evidence(member, hash)
        }
        "holds" => {
            let (member, hash) = timed(rest)?;
            ObjectName::Hold(member, hash)
        }
        "releases" => {
            let (member, hash) = timed(rest)?;
            ObjectName::Release(member, hash)
        }
        "approvers" => {
            let (rev, hash) = rest.strip_suffix(".json")?.split_once('-')?;
            ObjectName::Approvers(rev.parse().ok()?, hash.parse().ok()?)
        }
        "approvals" => ObjectName::Spent(rest.strip_suffix(".json")?.parse().ok()?),
        "canaries" => ObjectName::Canary(rest.split_once('/')?.0.parse().ok()?),
        "copies" => ObjectName::Copy(parse_copy(rest)?),
        _ => return None,
    };
    // A second spelling of the same object would let one object be counted twice.
    (spell(&object).is_none_or(|key| key.as_str() == text)).then_some(object)
}

fn parse_key_record(rest: &str) -> Option<ObjectName> {
    if let Some(hash) = rest.strip_prefix("root-") {
        return Some(ObjectName::Root(hash.strip_suffix(".age")?.parse().ok()?));
    }
    let (epoch, file) = rest.strip_prefix("epoch-")?.split_once('/')?;
    let (rev, hash) = file.strip_suffix(".json")?.split_once('-')?;
    Some(ObjectName::Epoch(epoch.parse().ok()?, rev.parse().ok()?, hash.parse().ok()?))
}

fn parse_journal(rest: &str) -> Option<ObjectName> {
    let mut parts = rest.split('/');
    let (writer, source) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let (line, file) = (parts.next()?.parse().ok()?, parts.next()?.strip_suffix(".age")?);
    if parts.next().is_some() {
        return None;
    }
    if let Some(hash) = file.strip_prefix("history-") {
        return Some(ObjectName::History(writer, source, line, hash.parse().ok()?));
    }
    let mut parts = file.splitn(3, '-');
    let span = Span::new(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?)?;
    Some(ObjectName::Piece(Piece { writer, source, line, span, hash: parts.next()?.parse().ok()? }))
}

fn parse_copy(rest: &str) -> Option<CopyName> {
    let mut parts = rest.strip_suffix(".json")?.splitn(4, '-');
    let (begins, ends) = (Time::from_compact(parts.next()?)?, Time::from_compact(parts.next()?)?);
    let part = match parts.next()? {
        "whole" => false,
        "part" => true,
        _ => return None,
    };
    let hash = parts.next()?.parse().ok()?;
    (begins <= ends).then_some(CopyName { begins, ends, part, hash })
}

/// `<member>/<time>-<hash>.json`
fn timed(rest: &str) -> Option<(Name, Hash)> {
    let (member, file) = rest.split_once('/')?;
    let (_, hash) = file.strip_suffix(".json")?.split_once('-')?;
    Some((member.parse().ok()?, hash.parse().ok()?))
}

fn numbered<'a>(rest: &'a str, suffix: &str) -> Option<(Name, u64, &'a str)> {
    let (name, file) = rest.split_once('/')?;
    let (number, hash) = file.strip_suffix(suffix)?.split_once('-')?;
    Some((name.parse().ok()?, number.parse().ok()?, hash))
}

/// The key of a named object; `None` where the key holds more than the name does.
fn spell(object: &ObjectName) -> Option<Key> {
    Some(match object {
        ObjectName::Descriptor => descriptor(),
        ObjectName::Root(hash) => root_record(hash),
        ObjectName::Epoch(epoch, rev, hash) => epoch_record(*epoch, *rev, hash),
        ObjectName::Certificate(name, rev, hash) => certificate(name, *rev, hash),
        ObjectName::Pack(writer, id) => pack(writer, id),
        ObjectName::Index(writer, hash) => index(writer, hash),
        ObjectName::Page(writer, hash) => page(writer, hash),
        ObjectName::Header(writer, seq, id) => header(writer, *seq, id),
        ObjectName::Piece(of) => piece(of),
        ObjectName::History(writer, source, line, hash) => history(writer, source, line, hash),
        ObjectName::Copy(of) => copy(of.begins, of.ends, of.part, &of.hash),
        ObjectName::Approvers(rev, hash) => approvers(*rev, hash),
        ObjectName::Spent(nonce) => spent(nonce),
        ObjectName::Evidence(..) | ObjectName::Canary(_) | ObjectName::Hold(..) | ObjectName::Release(..) => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read_back_as_what_it_names() {
        let name: Name = "db1".parse().unwrap();
        let hash = Hash::from_bytes([7; 32]);
        let id = PackId::from_bytes([8; 32]);
        let snapshot = SnapshotId::from_bytes([9; 32]);
        let line = Line::postgres(7, 2);
        let span = Span::new("0000000001000000".parse().unwrap(), "0000000002000000".parse().unwrap()).unwrap();
        let source: Name = "orders".parse().unwrap();
        let of = Piece { writer: name.clone(), source: source.clone(), line: line.clone(), span, hash };
        let cases = [
            (piece(&of), ObjectName::Piece(of.clone())),
            (
                history(&name, &source, &line, &hash),
                ObjectName::History(name.clone(), source.clone(), line.clone(), hash),
            ),
            (descriptor(), ObjectName::Descriptor),
            (root_record(&hash), ObjectName::Root(hash)),
            (epoch_record(1, 2, &hash), ObjectName::Epoch(1, 2, hash)),
            (certificate(&name, 3, &hash), ObjectName::Certificate(name.clone(), 3, hash)),
            (pack(&name, &id), ObjectName::Pack(name.clone(), id)),
            (index(&name, &hash), ObjectName::Index(name.clone(), hash)),
            (page(&name, &hash), ObjectName::Page(name.clone(), hash)),
            (header(&name, 12, &snapshot), ObjectName::Header(name.clone(), 12, snapshot)),
            (evidence(&name, Time::from_unix(0), &hash), ObjectName::Evidence(name.clone(), hash)),
            (canary(&name, Time::from_unix(0), "r4nd"), ObjectName::Canary(name.clone())),
            (
                copy(Time::from_unix(0), Time::from_unix(7200), true, &hash),
                ObjectName::Copy(CopyName {
                    begins: Time::from_unix(0),
                    ends: Time::from_unix(7200),
                    part: true,
                    hash,
                }),
            ),
            (
                copy(Time::from_unix(7), Time::from_unix(7), false, &hash),
                ObjectName::Copy(CopyName { begins: Time::from_unix(7), ends: Time::from_unix(7), part: false, hash }),
            ),
            (hold(&name, Time::from_unix(0), &hash), ObjectName::Hold(name.clone(), hash)),
            (release(&name, Time::from_unix(0), &hash), ObjectName::Release(name.clone(), hash)),
            (approvers(7, &hash), ObjectName::Approvers(7, hash)),
            (spent(&hash), ObjectName::Spent(hash)),
        ];
        for (key, object) in cases {
            assert_eq!(parse(key.as_str()), Some(object), "{key}");
        }
        assert!(pack(&name, &id).as_str().starts_with(&own(PACKS, &name)) && own(PACKS, &name) == "packs/db1/");
    }

    #[test]
    fn a_name_ends_in_the_hash_of_its_object() {
        let hash = Hash::from_bytes([7; 32]);
        let name: Name = "db1".parse().unwrap();
        let id = PackId::from_bytes([7; 32]);
        for key in [pack(&name, &id), index(&name, &hash), page(&name, &hash), root_record(&hash)] {
            assert_eq!(named_hash(key.as_str()), Some(hash), "{key}");
        }
        assert_eq!(named_hash("holds/db1/20261122T215100Z-x.json"), None);
        assert_eq!(named_hash(DESCRIPTOR), None);
    }

    #[test]
    fn other_spellings_are_none_of_ours() {
        let hex = "07".repeat(32);
        for text in [
            "",
            "junk",
            "vault.json/x",
            &format!("packs/db1/08/{hex}"),
            &format!("packs/DB1/07/{hex}"),
            &format!("snapshots/db1/12-{hex}.json"),
            &format!("snapshots/db1/00000000000000000000000000000-{hex}.json"),
            &format!("lists/db1/{}", "AB".repeat(32)),
            "keys/epoch-1/1-00.json",
            &format!("approvers/7-{hex}.json"),
            &format!("approvals/db1/{hex}.json"),
            &format!("journals/db1/orders/x/0000000000000001-0000000000000001-{hex}.age"),
            &format!("journals/db1/orders/x/0000000000000002-0000000000000001-{hex}.age"),
            &format!("journals/db1/orders/x/00000000000000A1-00000000000000b1-{hex}.age"),
            &format!("journals/db1/orders/x/1-0000000000000002-{hex}.age"),
            &format!("journals/db1/orders/x/y/history-{hex}.age"),
            &format!("journals/db1/orders/history-{hex}.age"),
            &format!("copies/20261122T215100Z-20261122T215000Z-whole-{hex}.json"),
            &format!("copies/2026-11-22T21:51:00Z-20261122T235100Z-whole-{hex}.json"),
            &format!("copies/20261122T215100Z-20261122T235100Z-all-{hex}.json"),
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
