//! G3, G4, G5, G7 and G11 on a server that lies: what was backed up comes back as it was, or there is an error. Never
//! anything else, and never a success that is none.

use crate::{
    fake_place::FakePlace,
    fakes3::Lies,
    http::Fault,
    sandbox::{Run, noise},
};

fn dump() -> Vec<u8> {
    noise(2 << 20, 3)
}

fn findings(run: &Run) -> Vec<String> {
    run.json()["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn g3_a_server_that_shows_other_bytes_or_versions_hides_nothing_and_passes_nothing_off() {
    let lies = Lies::default();
    for (lies, whole) in [
        (Lies { old_bytes: true, ..lies }, true),
        (Lies { versions_dropped: true, ..lies }, true),
        (Lies { ranges_ignored: true, ..lies }, true),
        (Lies { foreign_bytes: true, ..lies }, false),
        (Lies { ranges_shifted: true, ..lies }, false),
        (Lies { pages_repeated: true, ..lies }, false),
    ] {
        let place = FakePlace::new();
        place.backup(&dump()).ok();
        place.fake.lie(lies);
        let run = place.restore();
        assert!(dump().starts_with(&run.stdout), "{lies:?}: what is given is a true beginning");
        assert!(!whole || run.code == 0, "{lies:?}: {}", run.stderr);
        assert_eq!(run.code == 0, run.stdout == dump(), "{lies:?}: a success is whole, a failure told");
        place.fake.lie(Lies::default());
        assert!(place.restore().ok().stdout == dump());
    }
}

#[test]
fn g3_a_listing_that_is_cut_after_an_entry_hides_no_snapshot() {
    let place = FakePlace::new();
    place.backup(b"older").ok();
    place.backup(&dump()).ok();
    // Every other listing ends after its first entry, as one that a proxy cut.
    place.fake.server().plan(|n, request| {
        (n % 2 == 0 && request.method == "GET" && request.target.contains("prefix=")).then_some(Fault::Shortened)
    });
    assert!(place.restore().ok().stdout == dump());
}

#[test]
fn g4_a_server_that_says_names_are_taken_makes_no_false_snapshot() {
    let place = FakePlace::new();
    place.backup(&dump()).ok();
    place.fake.lie(Lies { taken: true, ..Lies::default() });
    let run = place.backup(&noise(2 << 20, 4));
    assert_ne!(run.code, 0, "{}", run.out());
    place.fake.lie(Lies::default());
    assert!(place.restore().ok().stdout == dump());
    place.backup(&noise(2 << 20, 4)).ok();
    assert!(place.restore().ok().stdout == noise(2 << 20, 4));
}

#[test]
fn g5_a_server_whose_date_is_off_is_refused() {
    let place = FakePlace::new();
    for seconds in [-600, 600, 400 * 86_400] {
        place.fake.server().plan(move |_, _| Some(Fault::Date(seconds)));
        let run = place.backup(b"bytes");
        assert!(run.code != 0 && run.out().contains("clock"), "{seconds}: {} {}", run.code, run.out());
        let run = place.run(&["doctor", "--as", "owner", "--json"]).code(5);
        let checks = run.json()["result"]["checks"].clone();
        assert!(checks.as_array().unwrap().iter().any(|c| c["name"] == "clock" && c["status"] == "failed"), "{checks}");
    }
    place.fake.server().plan(|_, _| None);
    place.backup(b"bytes").ok();
}

#[test]
fn g11_a_server_that_forgets_or_refuses_locks_gets_no_snapshot() {
    let lies = Lies::default();
    for lies in [
        Lies { locks_forgotten: true, ..lies },
        Lies { no_lock_api: true, ..lies },
        Lies { lock_cap: Some(strongroom::model::Span::days(10)), ..lies },
    ] {
        let place = FakePlace::new();
        place.fake.lie(lies);
        let run = place.backup(&dump());
        assert_ne!(run.code, 0, "{lies:?}: {}", run.out());
        place.fake.lie(Lies::default());
        let listed = place.run(&["snapshots", "--json"]).ok();
        assert!(listed.json()["result"].as_array().unwrap().is_empty(), "{lies:?}: {}", listed.out());
    }
}

#[test]
fn g11_locks_that_a_server_drops_later_are_found_by_verify() {
    let place = FakePlace::new();
    place.backup(&dump()).ok();
    place.run(&["verify"]).ok();
    place.fake.lie(Lies { no_lock_api: true, ..Lies::default() });
    let run = place.run(&["verify", "--json"]);
    assert!(run.code != 0, "locks that can't be read are not taken for good: {:?}", findings(&run));
}
