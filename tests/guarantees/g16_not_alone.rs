//! G16, not alone: what the root puts under M of N does not happen on fewer; no approval is used twice, for another action,
//! another vault, or after its time.

use std::{collections::BTreeMap, sync::Arc};

use strongroom::{
    codec::{hash, sign::SigningKey},
    format::{
        approval::{self, Action, Approver, Request},
        dsse::Envelope,
        layout,
    },
    guard::{
        GuardError,
        approvals::{Deed, Papers, Passed, judge, request, spend},
    },
    model::Span,
    ops::approve,
    store::memory::MemoryStore,
    vault::Vault,
};
use tempfile::TempDir;

use crate::{
    faults::{Fault, FaultyStore, When},
    house::{House, short},
    ssh::{Key, SecurityKey},
    store_support::versions,
};

/// A vault whose root puts `open` under two of three.
struct Lab {
    house: House,
    dir: TempDir,
    alice: Key,
    bob: Key,
    carol: Key,
}

fn deed() -> Deed {
    Deed::new(Action::Open, [("steps", "all")])
}

fn person(name: &str, keys: &[String]) -> Approver {
    let keys = keys.iter().map(|key| key.parse().unwrap()).collect();
    Approver { name: name.parse().unwrap(), keys }
}

impl Lab {
    async fn new() -> Self {
        let (house, dir) = (House::new(short(), true).await, tempfile::tempdir().unwrap());
        let key = |name: &str, kind: &str| Key::new(dir.path(), name, kind);
        let (alice, bob, carol) = (key("alice", "ed25519"), key("bob", "ecdsa"), key("carol", "rsa"));
        let lab = Self { house, dir, alice, bob, carol };
        lab.set(2).await;
        lab
    }

    /// Signs a list; alice has two keys.
    async fn set(&self, needed: u32) -> u32 {
        let other =
            Key::new(self.dir.path(), &format!("alice-{}", self.dir.path().read_dir().unwrap().count()), "ed25519");
        let people = vec![
            person("alice", &[self.alice.public(), other.public()]),
            person("bob", &[self.bob.public()]),
            person("carol", &[self.carol.public()]),
        ];
        let needs = BTreeMap::from([("open".to_owned(), needed), ("prune".to_owned(), 2), ("release".to_owned(), 2)]);
        approve::set(&self.vault().await, &self.house.made.owner, people, needs).await.unwrap().0.rev
    }

    async fn vault(&self) -> Vault {
        self.house.vault().await
    }

    async fn ask(&self) -> Vec<u8> {
        request(&self.vault().await, deed(), None, Span::days(1)).await.unwrap().0.encode().unwrap()
    }

    async fn spend(&self, deed: &Deed, request: &[u8], signatures: &[Vec<u8>]) -> Result<Vec<String>, String> {
        told(spend(&self.vault().await, deed, Some(Papers { request, signatures })).await)
    }
}

/// Who approved, or why it was not let through.
fn told(result: Result<Passed, GuardError>) -> Result<Vec<String>, String> {
    match result {
        Ok(Passed::Spent { people, .. }) => Ok(people.iter().map(ToString::to_string).collect()),
        Ok(Passed::NotNeeded) => panic!("it needs two"),
        Err(GuardError::NotApproved { what, .. }) => Err(what),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g16_two_of_three_are_let_through_once() {
    let lab = Lab::new().await;
    let asked = lab.ask().await;
    let [alice, bob, carol] = [&lab.alice, &lab.bob, &lab.carol].map(|key| key.sign(&asked));
    let nothing = spend(&lab.vault().await, &deed(), None).await;
    assert!(told(nothing).unwrap_err().contains("needs the approval of 2"));
    assert!(lab.spend(&deed(), &asked, &[]).await.unwrap_err().contains("0 of 2"));
    assert!(lab.spend(&deed(), &asked, std::slice::from_ref(&alice)).await.unwrap_err().contains("1 of 2"));
    let all = [alice, bob, carol];
    let (judged, _) = judge(&lab.vault().await, None, Papers { request: &asked, signatures: &all }).await.unwrap();
    assert!(judged.holds() && judged.people().count() == 3);
    assert_eq!(lab.spend(&deed(), &asked, &all).await.unwrap(), ["alice", "bob", "carol"]);
    assert!(lab.spend(&deed(), &asked, &all).await.unwrap_err().contains("used already"));
    let (judged, _) = judge(&lab.vault().await, None, Papers { request: &asked, signatures: &all }).await.unwrap();
    assert!(!judged.holds() && judged.why_not().contains("used already"));
    // Whoever may hide it makes nothing of it, and of nothing is it said that it was never used.
    let nonce = Request::decode(&asked).unwrap().nonce;
    lab.house.bucket.hide(layout::spent(&nonce).as_str());
    assert!(lab.spend(&deed(), &asked, &all).await.unwrap_err().contains("used already"));
    assert_eq!(versions(&lab.house.bucket, layout::APPROVALS).await.len(), 2, "the record and the marker");
    // What the root did not put under anybody needs nobody.
    let free = Deed::new(Action::RestoreInto, [("dsn", "x")]);
    assert!(matches!(spend(&lab.vault().await, &free, None).await, Ok(Passed::NotNeeded)));
}

#[tokio::test(flavor = "multi_thread")]
async fn g16_one_person_is_one_whatever_the_keys_and_strangers_are_none() {
    let lab = Lab::new().await;
    let second = Key::new(lab.dir.path(), "second", "ed25519");
    let stranger = Key::new(lab.dir.path(), "stranger", "ed25519");
    let people = vec![person("alice", &[lab.alice.public(), second.public()]), person("bob", &[lab.bob.public()])];
    let needs = BTreeMap::from([("open".to_owned(), 2)]);
    let vault = lab.vault().await;
    approve::set(&vault, &lab.house.made.owner, people, needs.clone()).await.unwrap();
    let asked = lab.ask().await;
    let (one, two) = (lab.alice.sign(&asked), second.sign(&asked));
    let refused = lab.spend(&deed(), &asked, &[one.clone(), two, one.clone()]).await.unwrap_err();
    assert!(refused.contains("1 of 2") && refused.contains("counts once"), "{refused}");
    let refused = lab.spend(&deed(), &asked, &[one.clone(), stranger.sign(&asked)]).await.unwrap_err();
    assert!(refused.contains("not an approver's"), "{refused}");
    // Carol is not on this list any more.
    assert!(lab.spend(&deed(), &asked, &[one, lab.carol.sign(&asked)]).await.is_err());
    // One key is one person's, and no list asks for more than there are.
    for (people, needs) in [
        (vec![person("a", &[lab.bob.public()]), person("b", &[lab.bob.public()])], needs.clone()),
        (vec![person("a", &[lab.bob.public()])], needs.clone()),
        (vec![person("a", &[lab.bob.public()]), person("a", &[lab.alice.public()])], needs),
    ] {
        assert!(approve::set(&vault, &lab.house.made.owner, people, needs).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g16_a_signature_is_for_one_request_one_vault_one_namespace_and_a_while() {
    let (lab, other) = (Lab::new().await, Lab::new().await);
    let asked = lab.ask().await;
    let both = |bytes: &[u8]| vec![lab.alice.sign(bytes), lab.bob.sign(bytes)];
    // Another vault, whose approvers are the same people.
    let people = vec![person("alice", &[lab.alice.public()]), person("bob", &[lab.bob.public()])];
    let needs = BTreeMap::from([("open".to_owned(), 2)]);
    approve::set(&other.vault().await, &other.house.made.owner, people, needs).await.unwrap();
    other.set(2).await;
    assert!(other.spend(&deed(), &asked, &both(&asked)).await.unwrap_err().contains("it is for vault"));
    // Another action, and other parameters.
    let prune = Deed::new(Action::Prune, [("steps", "all")]);
    assert!(lab.spend(&prune, &asked, &both(&asked)).await.unwrap_err().contains("open steps=all"));
    for parameters in [vec![("steps", "one")], vec![], vec![("steps", "all"), ("more", "x")]] {
        let another = Deed::new(Action::Open, parameters);
        assert!(lab.spend(&another, &asked, &both(&asked)).await.unwrap_err().contains("it is for `open steps=all`"));
    }
    // Another namespace.
    let git = vec![lab.alice.sign_in("git", &asked), lab.bob.sign_in("file", &asked)];
    assert!(lab.spend(&deed(), &asked, &git).await.unwrap_err().contains("namespace"));
    // A request that was changed after it was signed, also where only its spelling was.
    let signed = both(&asked);
    let text = String::from_utf8(asked.clone()).unwrap();
    for changed in [text.replace("\"all\"", "\"one\""), text.replace("  ", " "), text.clone() + " "] {
        let deed = Deed::new(Action::Open, [("steps", if changed.contains("one") { "one" } else { "all" })]);
        assert!(lab.spend(&deed, changed.as_bytes(), &signed).await.is_err(), "{changed}");
    }
    // One that somebody made by hand, to last for years.
    let mut long = Request::decode(&asked).unwrap();
    long.not_after = long.not_after + Span::days(400);
    let long = long.encode().unwrap();
    assert!(lab.spend(&deed(), &long, &both(&long)).await.unwrap_err().contains("would last until"));
    assert!(request(&lab.vault().await, deed(), None, Span::days(30)).await.is_err());
    // After its time, by the store's clock.
    lab.house.clock.pass(Span::days(2));
    assert!(lab.spend(&deed(), &asked, &signed).await.unwrap_err().contains("its time was over"));
    assert!(versions(&lab.house.bucket, layout::APPROVALS).await.is_empty(), "what was refused was not used up");
}

#[tokio::test(flavor = "multi_thread")]
async fn g16_of_two_runs_with_one_approval_one_goes_on() {
    let lab = Arc::new(Lab::new().await);
    for _ in 0..5 {
        let asked = Arc::new(lab.ask().await);
        let signed = Arc::new(vec![lab.alice.sign(&asked), lab.bob.sign(&asked)]);
        let run = || {
            let (lab, asked, signed) = (Arc::clone(&lab), Arc::clone(&asked), Arc::clone(&signed));
            tokio::spawn(async move { lab.spend(&deed(), &asked, &signed).await.is_ok() })
        };
        let runs: Vec<_> = (0..8).map(|_| run()).collect();
        let mut passed = 0;
        for run in runs {
            passed += usize::from(run.await.unwrap());
        }
        assert_eq!(passed, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g16_the_newest_list_of_the_root_counts_and_no_other() {
    let lab = Lab::new().await;
    let asked = lab.ask().await;
    let signed = vec![lab.alice.sign(&asked), lab.bob.sign(&asked)];
    // A list that a writer signed, and one of another vault's root.
    let vault = lab.vault().await;
    let evil = vec![person("eve", &[Key::new(lab.dir.path(), "eve", "ed25519").public()])];
    let list = approval::list(lab.house.made.id, 9, vault.store.server_time().await.unwrap(), evil, BTreeMap::new());
    for key in [&lab.house.made.writer.signing_key, &SigningKey::generate().unwrap()] {
        let document = Envelope::sign(&list, key).unwrap().encode().unwrap();
        let key = layout::approvers(9, &hash::hash(document.bytes()));
        lab.house.bucket.overwrite(key.as_str(), document.bytes().clone());
    }
    lab.house.bucket.overwrite(&format!("approvers/0010-{}.json", "ab".repeat(32)), &b"junk"[..]);
    let (report, findings) = approve::list(&lab.vault().await).await.unwrap();
    assert_eq!(report.unwrap().rev, 1);
    assert_eq!(findings.iter().filter(|f| f.code == "approvers.foreign").count(), 3, "{findings:?}");
    // A newer list: what was asked for under the older one is worth nothing, and the older one does not come back.
    lab.house.clock.pass(Span::seconds(60));
    assert_eq!(lab.set(3).await, 2);
    assert!(lab.spend(&deed(), &asked, &signed).await.unwrap_err().contains("revision 2 counts now"));
    let old = versions(&lab.house.bucket, "approvers/0001-").await.remove(0);
    let bytes = strongroom::store::ObjectStore::get(&lab.house.bucket, &old.key.parse().unwrap(), None, None).await;
    lab.house.bucket.overwrite(&old.key, bytes.unwrap());
    let newest = versions(&lab.house.bucket, "approvers/0002-").await.remove(0);
    lab.house.bucket.hide(&newest.key);
    let fresh = lab.ask().await;
    assert_eq!(Request::decode(&fresh).unwrap().approvers, 2, "a marker hides no list");
    let two = vec![lab.alice.sign(&fresh), lab.bob.sign(&fresh)];
    assert!(lab.spend(&deed(), &fresh, &two).await.unwrap_err().contains("2 of 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn g16_a_security_key_counts_if_it_was_touched() {
    let lab = Lab::new().await;
    let (one, two) = (SecurityKey::ed25519(), SecurityKey::ecdsa());
    let people = vec![person("alice", &[one.public()]), person("bob", &[two.public()])];
    let needs = BTreeMap::from([("open".to_owned(), 2)]);
    approve::set(&lab.vault().await, &lab.house.made.owner, people, needs).await.unwrap();
    let asked = lab.ask().await;
    for flags in [0, 4] {
        let signed = [one.sign(&asked, flags), two.sign(&asked, 1)];
        assert!(lab.spend(&deed(), &asked, &signed).await.unwrap_err().contains("without being touched"));
    }
    let signed = [one.sign(&asked, 5), two.sign(b"other", 1)];
    assert!(lab.spend(&deed(), &asked, &signed).await.unwrap_err().contains("does not hold"));
    let signed = [one.sign(&asked, 1), two.sign(&asked, 5)];
    assert_eq!(lab.spend(&deed(), &asked, &signed).await.unwrap(), ["alice", "bob"]);
}

/// Whatever the store does at whichever call, nothing goes on without a record, and nothing goes on twice.
#[tokio::test(flavor = "multi_thread")]
async fn g16_no_fault_of_the_store_lets_an_approval_be_used_twice() {
    let lab = Lab::new().await;
    let mut most = 0;
    for fault in [Fault::Error, Fault::Timeout, Fault::AppliedButUnanswered, Fault::Denied] {
        for at in 1..40 {
            let asked = lab.ask().await;
            let signatures = vec![lab.alice.sign(&asked), lab.bob.sign(&asked)];
            let inner: Arc<MemoryStore> = Arc::new(lab.house.bucket.clone());
            let faulty = FaultyStore::new(inner, When::At(at), fault);
            let vault = lab.vault().await.through(faulty.clone());
            let papers = Papers { request: &asked, signatures: &signatures };
            let first = spend(&vault, &deed(), Some(papers)).await.is_ok();
            let nonce = Request::decode(&asked).unwrap().nonce;
            let records = versions(&lab.house.bucket, layout::spent(&nonce).as_str()).await.len();
            assert!(!first || records == 1, "{fault:?} at {at}");
            let again = lab.spend(&deed(), &asked, &signatures).await.is_ok();
            assert!(!(first && again), "{fault:?} at {at}: used twice");
            assert!(first || again || records == 1, "{fault:?} at {at}: refused without a cause");
            if faulty.calls() < at {
                most = most.max(at);
                break;
            }
        }
    }
    assert!(most > 5, "{most} calls were made to fail");
}
