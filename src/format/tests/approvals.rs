//! Who has to agree to what, roles, and what people sign.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    super::{
        FormatError,
        approval::{
            Action, Approval, Approver, Approvers, REQUEST_LIMIT, Request, SIGNATURES, SPENT_LIMIT, Spent, Vote, list,
        },
        certificate::{Certificate, Role},
        dsse::Envelope,
        evidence::EvidenceKind,
        hold::Hold,
    },
    damaged, too_large,
};
use crate::{
    codec::{sign::SigningKey, ssh::SshKey},
    model::{Hash, Name, SnapshotId, Time, VaultId},
};

const VAULT: VaultId = VaultId::from_bytes([7; 32]);

fn key(no: u8) -> SshKey {
    let blob = [b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &[no; 32]].concat();
    format!("ssh-ed25519 {}", STANDARD.encode(blob)).parse().unwrap()
}

fn person(no: u8, keys: impl IntoIterator<Item = u8>) -> Approver {
    Approver { name: format!("p{no}").parse().unwrap(), keys: keys.into_iter().map(key).collect() }
}

fn approvers(people: Vec<Approver>, needs: &[(&str, u32)]) -> Approvers {
    let needs: BTreeMap<String, u32> = needs.iter().map(|(action, number)| ((*action).to_owned(), *number)).collect();
    list(VAULT, 1, Time::from_unix(0), people, needs)
}

#[test]
fn a_list_of_approvers_can_be_obeyed_and_nobody_counts_twice() {
    let people = |count: u8| (0..count).map(|no| person(no, [no])).collect::<Vec<_>>();
    assert_eq!(approvers(people(2), &[]).format, "1");
    assert!(approvers(people(64), &[]).check().is_ok());
    damaged(approvers(people(65), &[]).check(), "more than 64 people");
    damaged(approvers(vec![person(1, [1]), person(1, [2])], &[]).check(), "p1 stands there twice");
    assert!(approvers(vec![person(1, 0..8)], &[]).check().is_ok());
    damaged(approvers(vec![person(1, 0..9)], &[]).check(), "between one and 8 keys");
    damaged(approvers(vec![person(1, [])], &[]).check(), "between one and 8 keys");
    damaged(approvers(vec![person(1, [1, 2]), person(2, [2])], &[]).check(), "stands there twice");
    assert!(approvers(people(2), &[("prune", 2)]).check().is_ok());
    damaged(approvers(people(2), &[("prune", 3)]).check(), "prune needs 3 people, and there are 2");
}

#[test]
fn an_action_needs_as_many_people_as_the_list_says() {
    let list = approvers((0..3).map(|no| person(no, [no])).collect(), &[("prune", 3), ("release", 2)]);
    assert_eq!([Action::Prune, Action::Release, Action::Open].map(|action| list.needs(action)), [3, 2, 0]);
}

#[test]
fn every_signature_has_an_answer_and_so_many_are_looked_at() {
    let list = approvers(vec![person(1, [1])], &[]);
    let nobody = |votes: &[Vote]| votes.iter().all(|vote| matches!(vote, Vote::Nobody(why) if !why.is_empty()));
    let few = list.votes(b"request", &["junk"; 2]);
    assert!(few.len() == 2 && nobody(&few));
    let most = list.votes(b"request", &["junk"; SIGNATURES + 1]);
    assert!(most.len() == SIGNATURES && nobody(&most));
}

#[test]
fn actions_roles_and_kinds_are_spelled_as_in_json() {
    for action in Action::ALL {
        assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        assert_eq!((action.to_string().as_str(), action.as_str().parse()), (action.as_str(), Ok(action)));
    }
    let refused = "wish".parse::<Action>().unwrap_err();
    assert!(refused.contains("prune, release, open, revoke-undo, remove-recipient, restore-into"), "{refused}");
    for role in [Role::Writer, Role::Driller, Role::Auditor, Role::Pruner, Role::Keeper] {
        assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        assert_eq!(role.to_string(), role.as_str());
    }
    for kind in [
        EvidenceKind::LockProof,
        EvidenceKind::Verification,
        EvidenceKind::Drill,
        EvidenceKind::Readiness,
        EvidenceKind::Airgap,
    ] {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}

#[test]
fn who_cuts_the_ways_to_a_vault_may_say_so_and_no_writer() {
    for role in [Role::Keeper, Role::Driller, Role::Auditor, Role::Pruner] {
        assert!(EvidenceKind::Airgap.may_sign(role));
    }
    assert!(!EvidenceKind::Drill.may_sign(Role::Keeper) && !EvidenceKind::LockProof.may_sign(Role::Keeper));
}

fn certificate() -> Certificate {
    Certificate {
        format: "1".to_owned(),
        vault: VAULT,
        name: "db1".parse().unwrap(),
        rev: 1,
        role: Role::Writer,
        signing_key: SigningKey::from_hex(&"1".repeat(64)).unwrap().public(),
        catalog_recipient: Some(String::new()),
        valid_from: Time::from_unix(0),
        revoked_from: None,
        sources: Vec::new(),
    }
}

#[test]
fn a_writer_writes_what_its_certificate_names_and_anything_where_it_names_nothing() {
    let may = |sources: &[&str], source: &str| {
        let sources = sources.iter().map(|pattern| pattern.parse().unwrap()).collect();
        Certificate { sources, ..certificate() }.may_write(&source.parse().unwrap())
    };
    assert!(may(&[], "orders"));
    assert!(may(&["orders"], "orders") && may(&["users", "ord*"], "orders"));
    assert!(!may(&["orders"], "users") && !may(&["shop-*", "users"], "orders"));
}

#[test]
fn a_document_is_signed_and_read_up_to_its_limit() {
    let signer = SigningKey::from_hex(&"2".repeat(64)).unwrap();
    let bare = serde_json::to_vec(&certificate()).unwrap().len();
    let padded = |bytes: usize| {
        let document = Certificate { catalog_recipient: Some("x".repeat(bytes - bare)), ..certificate() };
        assert_eq!(serde_json::to_vec(&document).unwrap().len(), bytes);
        Envelope::sign(&document, &signer)
    };
    let largest = padded(8192).unwrap().encode().unwrap().bytes().to_vec();
    too_large(padded(8193));
    // As it is stored it has a third more, and room for signatures.
    let stored =
        |bytes: usize| Envelope::decode::<Certificate>(&[&largest[..], &vec![b' '; bytes - largest.len()]].concat());
    assert!(stored(8192 * 4 / 3 + 4096).unwrap().open::<Certificate>(&signer.public(), VAULT).is_ok());
    too_large(stored(8192 * 4 / 3 + 4097));
}

fn request(reason: usize) -> Request {
    Request {
        format: "1".to_owned(),
        vault: VAULT,
        action: Action::Release,
        parameters: BTreeMap::new(),
        reason: Some("x".repeat(reason)),
        approvers: 1,
        nonce: Hash::from_bytes([3; 32]),
        made_at: Time::from_unix(1),
        not_after: Time::from_unix(2),
    }
}

#[test]
fn requests_and_records_are_taken_up_to_their_limit() {
    let room = REQUEST_LIMIT - request(0).encode().unwrap().len();
    let largest = request(room).encode().unwrap();
    assert_eq!((largest.len(), REQUEST_LIMIT), (REQUEST_LIMIT, 16_384));
    assert_eq!(Request::decode(&largest).unwrap(), request(room));
    too_large(request(room + 1).encode());
    too_large(Request::decode(&[&largest[..], b" "].concat()));

    let spent = |bytes: usize| {
        let approval = Approval { request: String::new(), signatures: vec!["x".repeat(bytes)] };
        Spent { format: "1".to_owned(), vault: VAULT, at: Time::from_unix(1), approval, run: Hash::from_bytes([4; 32]) }
    };
    let room = SPENT_LIMIT - spent(0).encode().unwrap().bytes().len();
    let largest = spent(room).encode().unwrap();
    assert_eq!((largest.bytes().len(), SPENT_LIMIT), (SPENT_LIMIT, 2_097_152));
    assert_eq!(Spent::decode(largest.bytes()).unwrap(), spent(room));
    too_large(spent(room + 1).encode());
}

#[test]
fn what_was_changed_after_it_was_made_is_no_request() {
    let bytes = request(3).encode().unwrap();
    let spaced = [b" ", &bytes[..]].concat();
    damaged(Request::decode(&spaced), "it was changed after");
    assert!(matches!(Request::decode(&bytes[1..]), Err(FormatError::Damaged { .. })));
}

#[test]
fn a_hold_names_the_snapshots_that_it_was_made_for_up_to_its_most() {
    let member: Name = "keeper".parse().unwrap();
    let read = |count: usize| {
        let snapshots = vec![SnapshotId::from_bytes([6; 32]); count];
        let (at, until) = (Time::from_unix(1), Time::from_unix(2));
        let hold =
            Hold { format: "1".to_owned(), vault: VAULT, member: member.clone(), at, until, snapshots, reason: None };
        let read: std::result::Result<Hold, _> = serde_json::from_value(serde_json::to_value(&hold).unwrap());
        read.map(|read| assert_eq!(read, hold)).map_err(|error| error.to_string())
    };
    assert_eq!((read(0), read(2), read(8192)), (Ok(()), Ok(()), Ok(())));
    assert!(read(8193).unwrap_err().contains("more than 8192"));
}
