//! Approvals and holds at their edges, decided without a store.

use std::sync::Arc;

use super::{
    approvals::{Deed, Judged, LONGEST, Papers, Passed, judge_by, longest, spend},
    holds::named,
};
use crate::{
    codec::{hash, sign::SigningKey},
    format::{
        approval::{Action, Approver, Approvers, Request, SIGNATURES, Vote},
        descriptor::Descriptor,
        dsse::Envelope,
        hold::Hold,
        layout,
    },
    model::{Clock, Hash, LockBy, LockMode, LockPolicy, Name, Span, Time, VaultId},
    store::{Payload, memory::MemoryStore},
    vault::{
        Vault,
        approvers::Listed,
        holds::{Held, Holds},
    },
};

const FAR: Time = Time::MAX;
const SECOND: Span = Span::seconds(1);

struct Begin;

impl Clock for Begin {
    fn now(&self) -> Time {
        at(0)
    }
}

fn at(seconds: i64) -> Time {
    Time::from_unix(1_000_000_000 + seconds)
}

fn policy(keep: Span, window: Span) -> LockPolicy {
    LockPolicy { mode: LockMode::Compliance, by: LockBy::Explicit, keep, window, max_lock: Span::days(400) }
}

fn vault() -> Vault {
    let root = SigningKey::from_hex(&"1".repeat(64)).unwrap().public();
    let lock = policy(Span::days(10), Span::days(8));
    let descriptor = Descriptor::new(root, Hash::from_bytes([1; 32]), at(0), Vec::new(), lock);
    Vault { store: Arc::new(MemoryStore::new(Arc::new(Begin))), descriptor, findings: Vec::new(), room: 1 }
}

fn deed() -> Deed {
    Deed::new(Action::Release, [("hold", "x")])
}

fn request(vault: &Vault, not_after: Time) -> Request {
    Request {
        format: "1".to_owned(),
        vault: vault.descriptor.vault,
        action: Action::Release,
        parameters: deed().parameters,
        reason: None,
        approvers: 3,
        nonce: Hash::from_bytes([4; 32]),
        made_at: at(0),
        not_after,
    }
}

fn judged(request: &Request, signatures: usize) -> Result<Judged, String> {
    let vault = vault();
    let list = Approvers {
        format: "1".to_owned(),
        vault: vault.descriptor.vault,
        rev: 3,
        at: at(0),
        people: Vec::new(),
        needs: [("release".to_owned(), 2)].into(),
    };
    let listed = Listed { key: "approvers/0003.json".parse().unwrap(), list, since: at(0) };
    let papers = Papers { request: &request.encode().unwrap(), signatures: &vec![Vec::new(); signatures] };
    judge_by(&vault, &listed, &papers, Some(&deed()), at(0)).map_err(|error| error.to_string())
}

#[test]
fn a_request_counts_up_to_its_last_second_and_lasts_no_longer_than_its_record() {
    let vault = vault();
    let against = |not_after: Time| judged(&request(&vault, not_after), 0).unwrap().against.join("; ");
    assert_eq!((against(at(0)), against(at(0) + LONGEST)), (String::new(), String::new()));
    assert!(against(at(-1)).contains("its time was over"));
    assert!(against(at(0) + LONGEST + SECOND).contains("no approval lasts longer"));
    // No further than its record is locked, less a day that a server may count otherwise, but a day at least.
    let most = |keep, window| longest(&policy(Span::days(keep), Span::days(window)));
    assert_eq!(
        [most(10, 8), most(5, 3), most(2, 1), most(1, 1)],
        [Span::days(7), Span::days(7), Span::days(2), Span::days(1)]
    );
    assert_eq!((most(1, 0), most(0, 0)), (Span::days(1), Span::days(1)));
}

#[test]
fn a_request_is_for_one_deed_in_one_vault_by_one_list() {
    let vault = vault();
    let against = |change: &dyn Fn(&mut Request)| {
        let mut one = request(&vault, at(9));
        change(&mut one);
        judged(&one, 0).unwrap().against.join("; ")
    };
    assert_eq!(against(&|_| ()), "");
    assert!(against(&|one| one.vault = VaultId::from_bytes([7; 32])).contains("it is for vault"));
    assert!(
        against(&|one| drop(one.parameters.insert("hold".to_owned(), "y".to_owned()))).contains("`release hold=y`")
    );
    assert!(against(&|one| one.action = Action::Prune).contains("and this is `release hold=x`"));
    assert!(against(&|one| one.approvers = 2).contains("revision 3 counts now"));
    assert!(judged(&request(&vault, at(9)), SIGNATURES).is_ok());
    assert!(judged(&request(&vault, at(9)), SIGNATURES + 1).unwrap_err().contains("signatures"));
}

#[test]
fn enough_people_let_it_through_and_who_is_missing_is_told() {
    let vault = vault();
    let with = |votes: Vec<Vote>| Judged { votes, ..judged(&request(&vault, at(9)), 0).unwrap() };
    let of = |name: &str| Vote::Of(name.parse().unwrap());
    let (one, two) = (with(vec![of("ann"), Vote::Nobody("it is torn".to_owned())]), with(vec![of("ann"), of("bob")]));
    assert_eq!((one.needed, one.holds(), two.holds()), (2, false, true));
    assert_eq!(one.people().map(Name::as_str).collect::<Vec<_>>(), ["ann"]);
    assert_eq!(one.why_not(), "1 of 2 approvals: signed by ann; it is torn");
    assert_eq!(with(Vec::new()).why_not(), "0 of 2 approvals: signed by nobody");
    assert_eq!(two.why_not(), "");
    let late = Judged { against: vec!["its time was over".to_owned()], ..two };
    assert!(!late.holds(), "people alone do not let it through");
    assert_eq!(late.why_not(), "its time was over");
}

#[test]
fn a_hold_is_named_by_eight_digits_of_its_hash_or_more() {
    let held = |hash: [u8; 2], until: Time| {
        let mut bytes = [0xab; 32];
        bytes[4..6].copy_from_slice(&hash);
        let (format, vault, member) = ("1".to_owned(), vault().descriptor.vault, "keeper".parse().unwrap());
        let hold = Hold { format, vault, member, at: at(0), until, snapshots: Vec::new(), reason: None };
        let key = "holds/keeper/x.json".parse().unwrap();
        Held { key, hash: Hash::from_bytes(bytes), hold, since: at(0), there: at(0), released: None, suspect: false }
    };
    let told = |all: Vec<Held>, prefix: &str| {
        let holds = Holds { all, ..Holds::default() };
        named(&holds, prefix, at(5)).map(|held| held.hash.to_string()).map_err(|error| error.to_string())
    };
    let one = || held([1, 1], FAR);
    assert!(told(vec![one()], "abababab").unwrap().starts_with("abababab0101ab"));
    for wrong in ["abababa", "", "ABABABAB", "abababag"] {
        assert!(told(vec![one()], wrong).unwrap_err().contains("8 or more digits"), "{wrong}");
    }
    assert!(told(vec![one(), held([2, 2], FAR)], "abababab").unwrap_err().contains("several"));
    assert!(told(vec![one(), held([2, 2], FAR)], "abababab02").unwrap().starts_with("abababab0202"));
    assert!(told(vec![one()], "abababab03").unwrap_err().contains("there is no hold"));
    assert!(told(vec![held([1, 1], at(4))], "abababab").unwrap_err().contains("it ended at"));
    let lifted = Held { released: Some((at(3), "holds/x.json".parse().unwrap())), ..one() };
    assert!(told(vec![lifted], "abababab").unwrap_err().contains("was lifted at"));
    assert!(told(vec![Held { suspect: true, ..one() }], "abababab").unwrap_err().contains("revoked"));
}

#[tokio::test]
async fn what_the_root_put_under_people_needs_papers_and_nothing_else_does() {
    let (root, vault) = (SigningKey::from_hex(&"1".repeat(64)).unwrap(), vault());
    assert!(matches!(spend(&vault, &deed(), None).await.unwrap(), Passed::NotNeeded), "there is no list");
    let person = |name: &str, end: &str| {
        let key = format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4{end}");
        Approver { name: name.parse().unwrap(), keys: vec![key.parse().unwrap()] }
    };
    let list = Approvers {
        format: "1".to_owned(),
        vault: vault.descriptor.vault,
        rev: 1,
        at: at(0),
        people: vec![person("ann", "f"), person("bob", "e")],
        needs: [("release".to_owned(), 2)].into(),
    };
    let document = Envelope::sign(&list, &root).unwrap().encode().unwrap();
    let key = layout::approvers(1, &hash::hash(document.bytes()));
    vault.store.put_new(&key, &Payload::Public(document), None).await.unwrap();
    let refused = spend(&vault, &deed(), None).await.unwrap_err().to_string();
    assert_eq!(refused, "release hold=x needs the approval of 2 people, and there is none");
    let other = Deed::new(Action::Prune, [("grace", "7d")]);
    assert!(matches!(spend(&vault, &other, None).await.unwrap(), Passed::NotNeeded));
}
